#!/usr/bin/env python3
"""Enrolment over HTTPS (EST, RFC 7030), with curl and openssl as the devices: what is given, to whom, and how often.

usage: test_enrol.py SEALMQ ROOT
"""
import base64
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, TAP, Process, find, ok, run  # noqa: E402

EST = '/.well-known/est/'


class Realm:
    def __init__(self, *init):
        self.room = tempfile.mkdtemp(prefix='sealmq-enrol-')
        self.ca = self.path('plant')
        self.must('init', self.ca, *init)
        self.must('issue', 'enrol', '--role', 'broker', '--dns', 'localhost', '--ip', '127.0.0.1', '--ca', self.ca)
        self.server, self.port = None, 0

    def path(self, *names):
        return os.path.join(self.room, *names)

    @staticmethod
    def must(*words):
        status, out, err = run(SEALMQ, 'ca', *words)
        if status:
            raise RuntimeError('%s: %s' % (' '.join(words), err))
        return out

    def start(self):
        self.server = Process([SEALMQ, 'ca', 'serve', self.ca, '--port', '0', '--json'])
        if not self.server.got(1):
            raise RuntimeError('\n'.join(self.server.said))
        self.port = json.loads(self.server.lines[0])['port']

    def token(self, name, *more):
        return self.must('token', name, '--ca', self.ca, *more).strip()

    def curl(self, what, *more, out=None):
        """(status, body)"""
        out = out or self.path('out%d' % time.monotonic_ns())
        _, status, err = run('curl', '-s', '-S', '--max-time', '20', '-o', out, '-w', '%{http_code}', '--cacert',
                             self.path('plant/root.crt'), *more, 'https://localhost:%d%s' % (self.port, what))
        body = b''
        if os.path.exists(out):
            with open(out, 'rb') as file:
                body = file.read()
        return int(status or 0), body or err.encode()

    def request(self, name, *more, key=None):
        """A signing request in base64, its file, and the key's."""
        key = key or self.path(name + '.key')
        if not os.path.exists(key):
            run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key)
        der = self.path(name + '.der')
        run('openssl', 'req', '-new', '-key', key, '-subj', '/CN=' + name, '-outform', 'der', '-out', der, *more)
        with open(der, 'rb') as file:
            text = base64.encodebytes(file.read())
        with open(self.path(name + '.b64'), 'wb') as file:
            file.write(text)
        return self.path(name + '.b64'), key

    def post(self, operation, body, *more, type_='application/pkcs10'):
        return self.curl(EST + operation, '-H', 'Content-Type: ' + type_, '--data-binary', '@' + body, *more)

    def certs(self, body, name):
        """The certificates of an answer, as a PEM file."""
        with open(self.path(name + '.p7'), 'wb') as file:
            file.write(base64.b64decode(body))
        _, pem, err = run('openssl', 'pkcs7', '-inform', 'der', '-print_certs', '-in', self.path(name + '.p7'))
        with open(self.path(name + '.crt'), 'w', encoding='ascii') as file:
            file.write(pem)
        return self.path(name + '.crt'), pem + err

    def events(self, word):
        return [line for line in self.server.lines if word in line]

    def strike(self):
        Process.stop_all()
        shutil.rmtree(self.room, ignore_errors=True)


def what_everybody_may_have(r):
    status, body = r.curl(EST + 'cacerts')
    _, pem = r.certs(body, 'cacerts')
    ok(status == 200 and 'plant root' in pem and 'plant issuing' in pem, '/cacerts: the root and the issuing authority', pem)
    ok(r.curl(EST + 'csrattrs')[0] == 204, '/csrattrs: nothing is wanted')
    status, body = r.curl('/.well-known/sealmq/realm.yaml')
    ok(status == 200 and b'realm: "plant"' in body, 'realm.yaml')
    ok(r.curl('/.well-known/sealmq/crl.pem')[0] == 404, 'no list yet')
    r.must('crl', '--ca', r.ca)
    status, body = r.curl('/.well-known/sealmq/crl.pem')
    ok(status == 200 and body.count(b'BEGIN X509 CRL') == 2, 'crl.pem, once there is one')
    rows = [('/', 404), (EST, 404), (EST + '../est/cacerts', 404), (EST + 'serverkeygen', 404),
            ('/.well-known/sealmq/root.key', 404), (EST + 'simpleenroll', 405)]
    for path, want in rows:
        status, _ = r.curl(path, '--path-as-is')
        ok(status == want, '%s: %d' % (path, want), str(status))


def a_device_enrols_and_renews(r):
    token = r.token('meter', '--role', 'member,admin', '--days', '7')
    with open(r.path('plant/tokens/meter'), encoding='ascii') as file:
        ok(token not in file.read() and len(token) == 32, 'the authority keeps no token')
    body, key = r.request('meter')
    status, answer = r.post('simpleenroll', body, '-u', 'meter:' + token)
    ok(status == 200, '/simpleenroll with a token', answer[:200])
    cert, pem = r.certs(answer, 'meter')
    said = run('openssl', 'verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', r.path('plant/root.crt'),
               '-untrusted', cert, cert)
    ok(said[0] == 0 and 'CN = meter' in pem, 'openssl verifies what came', said[1] + said[2])
    same = run('openssl', 'x509', '-in', cert, '-noout', '-pubkey')[1] == run('openssl', 'pkey', '-in', key, '-pubout')[1]
    ok(same, 'for the key that asked')
    status, _ = r.post('simpleenroll', body, '-u', 'meter:' + token)
    ok(status == 401, 'the token is used up', str(status))
    # renewed by the certificate, with a new key
    fresh, next_key = r.request('meter', key=r.path('meter-next.key'))
    status, answer = r.post('simplereenroll', fresh, '--cert', cert, '--key', key)
    ok(status == 200, '/simplereenroll with the certificate', answer[:200])
    renewed, pem = r.certs(answer, 'renewed')
    listed = json.loads(r.must('show', 'meter', '--ca', r.ca, '--json'))
    ok(len(listed) == 2 and listed[1]['roles'] == ['member', 'admin'], 'with the roles it had', str(listed))
    # nobody else renews it, and it renews nobody else
    other, _ = r.request('other')
    for name, words, want in (('without a certificate', (fresh,), 401),
                              ('for another name', (other, '--cert', renewed, '--key', next_key), 403)):
        status, answer = r.post('simplereenroll', *words)
        ok(status == want, '/simplereenroll %s: %d' % (name, want), '%d %s' % (status, answer[:100]))
    r.must('revoke', listed[1]['serial'], '--ca', r.ca)
    status, _ = r.post('simplereenroll', fresh, '--cert', renewed, '--key', next_key)
    ok(status == 401, 'a revoked certificate renews nothing', str(status))
    status, _ = r.post('simplereenroll', fresh, '--cert', r.path('plant/members/enrol/server.crt'), '--key',
                       r.path('plant/members/enrol/server.key'))
    ok(status != 200, 'nor does a server\'s', str(status))


def a_realm_directory_over_the_network(r):
    """The tool makes the key; what comes is a directory that opens."""
    token = r.token('pump')
    r.must('csr', r.path('pump'), '--name', 'pump')
    run('openssl', 'req', '-in', r.path('pump/member.csr'), '-outform', 'der', '-out', r.path('pump.der'))
    with open(r.path('pump.der'), 'rb') as file, open(r.path('pump.b64'), 'wb') as out:
        out.write(base64.b64encode(file.read()))  # in one line
    status, answer = r.post('simpleenroll', r.path('pump.b64'), '-u', 'pump:' + token)
    os.mkdir(r.path('got'))
    os.rename(r.certs(answer, 'pump')[0], r.path('got/member.crt'))
    shutil.copy(r.path('plant/root.crt'), r.path('got/root.crt'))
    r.curl('/.well-known/sealmq/realm.yaml', out=r.path('got/realm.yaml'))
    r.must('accept', r.path('pump'), '--from', r.path('got'))
    status, out, err = run(SEALMQ, 'inspect', '--realm', r.path('pump'), '--help')
    ok(status == 0 and sorted(os.listdir(r.path('pump'))) == ['member.crt', 'member.csr', 'member.key', 'realm.yaml',
                                                             'root.crt'], 'a realm directory, its key made here', err)


def the_device_does_it_by_itself(r):
    """`sealmq ca enrol`: a first certificate, nothing while nothing is due, a renewal, a list, refusals."""
    def enrol(*more):
        return run(SEALMQ, 'ca', 'enrol', r.path('tap'), '--server', 'localhost', '--port', str(r.port), '--json', *more)

    token = r.path('token')
    with open(token, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write('0' * 32 + '\n')
    first = ('--root', r.path('plant/root.crt'), '--name', 'tap', '--token-file', token)
    status, _, err = enrol(*first)
    ok(status != 0 and 'refused' in err, 'a wrong token is refused', err)
    with open(token, 'w', encoding='ascii') as file:
        file.write(r.token('tap', '--days', '30') + '\n')
    status, out, err = enrol(*first)
    ok(status == 0 and json.loads(out)['issued'] and json.loads(out)['crl'], 'the right one gets a certificate and the list',
       out + err)
    ok(sorted(os.listdir(r.path('tap'))) == ['crl.pem', 'member.crt', 'member.csr', 'member.key', 'realm.yaml', 'root.crt'],
       'into a realm directory', str(os.listdir(r.path('tap'))))
    status, out, err = enrol()
    said = json.loads(out or '{}')
    ok(status == 0 and not said['issued'] and not said['crl'] and said['due'] < said['not_after'], 'nothing is due', out + err)
    r.must('crl', '--ca', r.ca)
    status, out, err = enrol('--force')
    said = json.loads(out or '{}')
    ok(status == 0 and said['issued'] and said['crl'] and os.path.exists(r.path('tap/member.pem')), 'renewed, and a newer list',
       out + err)
    ok('member.pem' in os.listdir(r.path('tap')) and not any('next' in n or '.new-' in n for n in os.listdir(r.path('tap'))),
       'nothing is left over', str(os.listdir(r.path('tap'))))
    status, out, err = enrol('--force', '--key', 'ed25519')
    ok(status == 0 and json.loads(out)['issued'], 'and once more, by the renewed one, with another kind of key', out + err)
    foreign = Realm()
    status, _, err = enrol('--force', '--root', foreign.path('plant/root.crt'))
    ok(status != 0 and 'TLS' in err, 'a server of another realm is not believed', err)
    status, _, err = run(SEALMQ, 'ca', 'enrol', r.path('tap'), '--server', '127.0.0.2', '--port', str(r.port), '--force')
    ok(status != 0, 'nor one under a name that is not its own', err)
    shutil.rmtree(foreign.room, ignore_errors=True)
    r.must('revoke', 'tap', '--ca', r.ca)
    status, _, err = enrol('--force')
    ok(status != 0 and 'refused' in err, 'a revoked device gets nothing', err)


def what_is_refused(r):
    token = r.token('valve')
    body, key = r.request('valve')
    other, _ = r.request('gate')
    with open(body, 'rb') as file:
        der = bytearray(base64.b64decode(file.read()))
    der[-5] ^= 1
    files = {'altered': base64.encodebytes(bytes(der)), 'junk': b'!' * 200, 'empty': b'', 'not der': base64.b64encode(b'x' * 99),
             'large': b'A' * 20000}
    for name, bytes_ in files.items():
        with open(r.path(name), 'wb') as file:
            file.write(bytes_)
    user = ('-u', 'valve:' + token)
    rows = [('no token', body, (), 401), ('a wrong token', body, ('-u', 'valve:' + '0' * 32), 401),
            ('an empty token', body, ('-u', 'valve:'), 401), ('another\'s name', body, ('-u', 'gate:' + token), 401),
            ('a path for a name', body, ('-u', '../tokens/valve:' + token), 401),
            ('a request for another', other, user, 403), ('an altered request', r.path('altered'), user, 400),
            ('junk', r.path('junk'), user, 400), ('nothing', r.path('empty'), user, 400),
            ('base64 of junk', r.path('not der'), user, 400), ('20 kB', r.path('large'), user, 413)]
    for name, file, more, want in rows:
        status, answer = r.post('simpleenroll', file, *more)
        ok(status == want, '/simpleenroll with %s: %d' % (name, want), '%d %s' % (status, answer[:100]))
    status, _ = r.post('simpleenroll', body, *user, type_='text/plain')
    ok(status == 415, 'of another type: 415', str(status))
    ok(len(json.loads(r.must('list', r.ca, '--json'))) == HELD['count'], 'none of them got a certificate')
    # the operator was told, the stranger was not
    ok(any('the request is for' in line for line in r.server.lines), 'the operator is told why')
    # an expired token
    path = r.path('plant/tokens/valve')
    with open(path, encoding='ascii') as file:
        words = file.read().split()
    words[2] = '1700000000'
    with open(path, 'w', encoding='ascii') as file:
        file.write(' '.join(words) + '\n')
    status, _ = r.post('simpleenroll', body, *user)
    ok(status == 401, 'an expired token: 401', str(status))
    # one token, eight at once
    token = r.token('valve')
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: r.post('simpleenroll', body, '-u', 'valve:' + token)[0], range(8)))
    ok(sorted(got) == [200] + [401] * 7, 'one token, eight at once: one certificate', str(got))
    status, _ = r.post('simpleenroll', body, '-u', 'valve:' + r.token('valve'))
    ok(status == 403, 'a second certificate must be meant', str(status))
    status, _ = r.post('simpleenroll', body, '-u', 'valve:' + r.token('valve', '--reissue'))
    ok(status == 200, 'and may be', str(status))
    status, _, err = run(SEALMQ, 'ca', 'token', 'mqtt', '--role', 'broker', '--ca', r.ca)
    ok(status != 0 and 'broker' in err, 'no token makes a broker', err)


def strangers(r):
    """Whoever says nothing, or nonsense, or too much, keeps nobody else waiting."""
    silent = [socket.create_connection(('127.0.0.1', r.port)) for _ in range(20)]
    for number, link in enumerate(silent):
        link.sendall(os.urandom(200) if number % 3 == 0 else b'GET / HTTP/1.1\r\n\r\n' if number % 3 == 1 else b'')
    context = ssl.create_default_context(cafile=r.path('plant/root.crt'))
    held = [context.wrap_socket(socket.create_connection(('127.0.0.1', r.port)), server_hostname='localhost')
            for _ in range(5)]
    for link in held:
        link.sendall(b'POST /.well-known/est/simpleenroll HTTP/1.1\r\nContent-Length: 100000\r\n')
    status, _ = r.curl(EST + 'cacerts')
    ok(status == 200, 'others are served meanwhile', str(status))
    try:
        held[0].sendall(b'Host: x\r\n' * 20000)
    except OSError:
        pass  # it has had enough
    for link in silent + held:
        link.close()
    # another realm's certificate
    foreign = Realm()
    foreign.must('issue', 'meter', '--ca', foreign.ca)
    status, answer = r.curl(EST + 'cacerts', '--cert', foreign.path('plant/members/meter/member.crt'), '--key',
                            foreign.path('plant/members/meter/member.key'))
    shutil.rmtree(foreign.room, ignore_errors=True)
    ok(status != 200, 'a certificate of another realm ends the handshake', '%d %s' % (status, answer[:100]))
    old = run('curl', '-s', '--tls-max', '1.2', '--cacert', r.path('plant/root.crt'),
              'https://localhost:%d%scacerts' % (r.port, EST))
    ok(old[0] != 0, 'TLS 1.2 is not spoken')
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: r.curl(EST + 'cacerts')[0], range(64)))
    ok(got == [200] * 64, 'sixty-four requests, sixteen at a time', str(got))
    ok(r.curl(EST + 'cacerts')[0] == 200 and r.server.child.poll() is None, 'and it is still there',
       '%s\n%s' % (r.server.child.poll(), '\n'.join(r.server.said)))
    before = r.server.rss_mib()
    with open(SEALMQ, 'rb') as file:
        sanitized = b'__asan_init' in file.read()
    ok(before < 60 or sanitized, 'in little memory', '%.0f MiB' % before)


HELD = {'count': 0}
os.environ.pop('MALLOC_PERTURB_', None)  # it touches what a process only reserves


def main():
    if not find('curl') or not find('openssl'):
        print('1..0 # SKIP curl or openssl is not installed')
        return 0
    r = Realm('--issuing')
    try:
        r.start()
        what_everybody_may_have(r)
        a_device_enrols_and_renews(r)
        a_realm_directory_over_the_network(r)
        the_device_does_it_by_itself(r)
        HELD['count'] = len(json.loads(r.must('list', r.ca, '--json')))
        what_is_refused(r)
        strangers(r)
        ok(all(not re.search(r'[0-9a-f]{32}', line) for line in r.events('refused')), 'no token is ever told')
        ok(r.server.stop(signal.SIGTERM) == 0, 'SIGTERM ends it well', '\n'.join(r.server.said))
        status, _, err = run(SEALMQ, 'ca', 'serve', r.ca, '--identity', r.path('nowhere'))
        ok(status != 0 and 'ca issue enrol' in err, 'without an identity it says how to make one', err)
    finally:
        r.strike()
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
