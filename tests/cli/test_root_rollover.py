#!/usr/bin/env python3
"""A realm changes its root while its members talk: both are believed during the overlap, and nothing is handed around.

usage: test_root_rollover.py SEALMQ ROOT
"""
import glob
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, TAP, Process, find, ok, run, wait  # noqa: E402
from test_enrol import Realm as HttpsRealm  # noqa: E402
from test_enrol_mqtt import Realm  # noqa: E402

LIMIT = float(os.environ.get('SEALMQ_PATIENCE', '90'))


def roots(path):
    with open(os.path.join(path, 'root.crt'), encoding='ascii') as file:
        return file.read().count('BEGIN CERTIFICATE')


def flows(pub, sub, word):
    def heard():
        pub.write(word)
        return wait(lambda: any(word in line for line in sub.lines), 0.5)
    return wait(heard, LIMIT)


def verified(cert, root):
    return run('openssl', 'verify', '-x509_strict', '-CAfile', root, '-untrusted', cert, cert)[0] == 0


def change(r):
    broker = ('-h', '127.0.0.1', '-p', str(r.port), '--rotate-every', '2')
    # elsewhere: nothing but the broker reaches them
    for name in ('desk', 'fridge-07'):
        os.rename(r.member(name), r.path(name))
    sub = Process([SEALMQ, 'sub', '--realm', r.path('desk'), *broker, '-t', 'p/a', '-F', '%s %p', '--from', 'fridge-07'])
    pub = Process([SEALMQ, 'pub', '--realm', r.path('fridge-07'), *broker, '--to', 'desk', '-t', 'p/a', '-q', '1', '-l'])
    ok(flows(pub, sub, 'before'), 'members talk', '\n'.join(sub.said + pub.said))
    r.token('meter')
    ok(r.enrol('meter')[0] == 0, 'a device that only asks now and then')

    status, _, err = r.ca('rollover', '--root', 'plant')
    ok(status == 0 and roots(r.path('plant')) == 2 and roots(r.member('ops')) == 2, 'a new root, beside the old one', err)
    first, second = r.path('first.crt'), glob.glob(r.path('plant/roots/*/root.crt'))[0]
    with open(r.path('plant/root.crt'), encoding='ascii') as file, open(first, 'w', encoding='ascii') as out:
        out.write(file.read().split('-----END CERTIFICATE-----')[0] + '-----END CERTIFICATE-----\n')
    ok(verified(os.path.join(os.path.dirname(second), 'link.crt'), first), 'which the old one vouches for, says OpenSSL')
    r.must('issue', 'early', '--ca', 'plant')
    ok(verified(r.path('plant/members/early/member.crt'), first), 'the old one\'s authority goes on issuing')
    r.must('crl', 'plant')
    ok(wait(lambda: roots(r.path('desk')) == 2 and roots(r.path('fridge-07')) == 2, LIMIT),
       'members elsewhere take it over the broker', '\n'.join(sub.said + pub.said))
    ok(wait(lambda: any("roots have changed" in line for line in sub.said), LIMIT), 'while they run', '\n'.join(sub.said))
    status, _, err = r.enrol('meter', '--force', first=False)
    ok(status == 0 and roots(r.path('meter')) == 2, 'the device, too, when it renews', err)
    ok(flows(pub, sub, 'between'), 'and all talk on', '\n'.join(sub.said + pub.said))

    status, _, err = r.ca('rollover', 'plant')
    ok(status == 0, 'the new root makes an issuing authority', err)
    r.must('issue', 'late', '--ca', 'plant')
    late = r.path('plant/members/late/member.crt')
    ok(verified(late, second) and not verified(late, first), 'what that issues is the new root\'s')
    r.must('crl', 'plant')
    status, _, err = r.enrol('fridge-07', '--force', first=False)
    ok(status == 0 and verified(r.path('fridge-07/member.pem'), second), 'one member is renewed under the new root', err)
    ok(wait(lambda: any('our certificate was renewed' in line for line in pub.said), LIMIT), 'while it runs', '\n'.join(pub.said))
    ok(flows(pub, sub, 'after'), 'and talks with one that is still under the old one', '\n'.join(sub.said + pub.said))
    # new processes, too, in both directions
    back = Process([SEALMQ, 'sub', '--realm', r.path('fridge-07'), *broker, '-t', 'p/b', '-F', '%s %p', '--from', 'desk'])
    forth = Process([SEALMQ, 'pub', '--realm', r.path('desk'), *broker, '--to', 'fridge-07', '-t', 'p/b', '-q', '1', '-l'])
    ok(flows(forth, back, 'fresh'), 'so do processes that begin now', '\n'.join(back.said + forth.said))
    # revocation under both
    r.must('revoke', 'fridge-07', '--ca', 'plant')
    ok(wait(lambda: any("session with 'fridge-07' ended: a revoked" in line for line in sub.said), LIMIT),
       'a revocation under the new root reaches those under the old one', '\n'.join(sub.said))
    for process in (sub, pub, back, forth):
        process.stop()


def what_vouches_for_nothing(r):
    """An issuing authority that makes itself a root, and a root that nobody vouches for."""
    r.must('init', 'other', '--issuing')
    r.must('crl', 'other')
    issuing = glob.glob(r.path('plant/issuers/*'))[0]
    r.write('req.conf', '[req]\ndistinguished_name = dn\nx509_extensions = v3\n[dn]\n[v3]\nbasicConstraints = critical,CA:TRUE\n'
            'keyUsage = critical,keyCertSign,cRLSign\nsubjectKeyIdentifier = hash\n')
    run('openssl', 'req', '-config', r.path('req.conf'), '-new', '-x509', '-key', os.path.join(issuing, 'issuing.key'), '-out', r.path('self.crt'), '-days', '30',
        '-subj', '/CN=' + run('openssl', 'x509', '-in', os.path.join(issuing, 'issuing.crt'), '-noout', '-subject', '-nameopt',
                              'multiline')[1].split('= ')[-1].strip())
    ok('CA:TRUE' in run('openssl', 'x509', '-in', r.path('self.crt'), '-noout', '-text')[1], 'an issuing authority certifies itself')
    with open(r.path('offer'), 'wb') as out:
        for name in (r.path('self.crt'), os.path.join(issuing, 'issuing.crt'), r.path('other/root.crt'), r.path('plant/crl.pem')):
            with open(name, 'rb') as file:
                out.write(file.read())
    r.server.stop()
    before = roots(r.path('meter'))
    r.put('sealmq/plant/crl', r.path('offer'), '-r')
    status, _, err = r.enrol('meter', first=False)
    ok(status == 0 and roots(r.path('meter')) == before, 'neither an issuing authority nor a stranger becomes a root', err)
    status, _, err = run(SEALMQ, 'ca', 'init', r.path('flat'))
    status, _, err = r.ca('rollover', '--root', 'flat')
    ok(status != 0 and 'issuing authority' in err, 'a root that issues itself is told what comes first', err)
    os.rename(glob.glob(r.path('plant/roots/*/root.key'))[0], r.path('away.key'))
    status, _, err = r.ca('crl', 'plant')
    ok(status == 0, 'with the new root\'s key away its list of a year is kept', err)
    status, _, err = r.ca('rollover', 'plant')
    ok(status != 0 and 'bring it back' in err, 'and a new issuing authority needs it', err)


def over_https():
    """A device that has nothing but the enrolment server takes the new root from /cacerts (RFC 7030, 4.1.3)."""
    r = HttpsRealm('--issuing')
    try:
        r.start()
        with open(r.path('token'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(r.token('tap') + '\n')

        def enrol(*more):
            return run(SEALMQ, 'ca', 'enrol', r.path('tap'), '--server', 'localhost', '--port', str(r.port), '--json', *more)
        status, _, err = enrol('--root', r.path('plant/root.crt'), '--name', 'tap', '--token-file', r.path('token'))
        ok(status == 0 and roots(r.path('tap')) == 1, 'over HTTPS: a device enrols', err)
        r.must('rollover', '--root', r.ca)
        second = glob.glob(r.path('plant/roots/*/root.crt'))[0]
        status, out, err = enrol()
        ok(status == 0 and not json.loads(out)['issued'] and roots(r.path('tap')) == 2,
           'it takes the new root where nothing is due but to look', '%s%s' % (out, err))
        r.must('rollover', r.ca)
        status, out, err = enrol('--force')
        ok(status == 0 and verified(r.path('tap/member.pem'), second), 'and a certificate under it', '%s%s' % (out, err))
        r.server.stop(signal.SIGTERM)

        # a server with a certificate of the realm, and the roots of another one
        other = HttpsRealm('--issuing')
        other.server = Process([SEALMQ, 'ca', 'serve', other.ca, '--port', '0', '--json', '--identity', r.path('plant/members/enrol')])
        other.server.got(1)
        r.port = json.loads(other.server.lines[0])['port']
        with open(r.path('tap/root.crt'), 'rb') as file:
            before = file.read()
        status, out, err = enrol()
        with open(r.path('tap/root.crt'), 'rb') as file:
            ok(file.read() == before, 'a root that ours does not vouch for is not taken', '%s%s' % (out, err))
        _, pem = other.certs(r.curl('/.well-known/est/cacerts')[1], 'given')
        ok('plant root' in pem and pem.count('BEGIN CERTIFICATE') == 2, 'though it was offered', pem)
        other.strike()
    finally:
        r.strike()


def main():
    for name in ('mosquitto', 'mosquitto_pub', 'openssl'):
        if not find(name):
            print('1..0 # SKIP %s is not installed' % name)
            return 0
    r = Realm()
    try:
        r.serve()
        change(r)
        what_vouches_for_nothing(r)
    finally:
        r.strike()
    if find('curl'):
        over_https()
    else:
        TAP.skip('the new root over HTTPS', 'curl is not installed')
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
