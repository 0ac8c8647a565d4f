#!/usr/bin/env python3
"""`sealmq broker check`: every bad configuration of a fixed set is caught, and the good ones are clean.

usage: test_broker_check.py SEALMQ ROOT
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from findings import of_files
from sealed_rig import SEALMQ, TAP, find, free_port, ok, run, wait

STATUS = {None: 0, 'low': 91, 'medium': 92, 'high': 93, 'critical': 94}
ROOM = tempfile.mkdtemp(prefix='sealmq-check-')


def check(target, *more):
    status, out, err = run(SEALMQ, 'broker', 'check', target, '--json', *more)
    return status, json.loads(out) if out else None, err


def worst(findings):
    return max((f['severity'] for f in findings), key=lambda s: STATUS[s], default=None)


def swap(name, old, new):
    """The file with something exchanged in it."""
    def change(top):
        path = os.path.join(top, name)
        with open(path, encoding='utf-8') as file:
            text = file.read()
        changed = re.sub(old, new, text, flags=re.M)
        assert changed != text, (name, old)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(changed)
    return change


def put(name, text, mode=0o644):
    def change(top):
        with open(os.path.join(top, name), 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(os.path.join(top, name), mode)
    return change


def mode(name, bits):
    return lambda top: os.chmod(os.path.join(top, name), bits)


def cert(days):
    def change(top):
        done = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                               '-keyout', os.path.join(top, 'scrap.key'), '-out', os.path.join(top, 'certs/server.crt'),
                               '-subj', '/CN=x', '-days', str(days)], capture_output=True)
        assert done.returncode == 0, done.stderr
    return change


def crl(hours):
    def change(top):
        import datetime
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        now = datetime.datetime.utcnow()
        made = x509.CertificateRevocationListBuilder().issuer_name(x509.Name([])).last_update(
            now - datetime.timedelta(days=9)).next_update(now + datetime.timedelta(hours=hours)).sign(
                ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        from cryptography.hazmat.primitives import serialization
        put('certs/crl.pem', made.public_bytes(serialization.Encoding.PEM).decode())(top)
        path = os.path.join(top, 'conf/mosquitto.conf')
        with open(path, encoding='utf-8') as file:
            text = file.read()
        if 'crlfile' not in text:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text.replace('require_certificate true', 'require_certificate true\ncrlfile certs/crl.pem'))
    return change


MOSQ, ACL, NGINX = 'conf/mosquitto.conf', 'conf/acl', 'conf/nginx.conf'
OPEN = swap(MOSQ, r'^listener 18883 127.0.0.1', 'listener 18883')

# what is done to a good deployment, what must be said of it, how bad it is
BAD = [
    ('anybody', [OPEN, swap(MOSQ, '^allow_anonymous false', 'allow_anonymous true'),
                 swap(MOSQ, '^require_certificate true', 'require_certificate false')], 'anonymous', 'critical'),
    ('anybody from here', [swap(MOSQ, '^allow_anonymous false', 'allow_anonymous true'),
                           swap(MOSQ, '^require_certificate true', 'require_certificate false')], 'anonymous', 'medium'),
    ('anybody, by a local addition', [OPEN, put('mosquitto.local/x.conf', 'listener 1883\nallow_anonymous true\n')],
     'anonymous', 'critical'),
    ('no listener line', [swap(MOSQ, '^listener .*\n', '')], 'no-listener', 'critical'),
    ('plaintext beyond loopback', [put('mosquitto.local/x.conf', 'listener 1883\nmax_connections 5\n')], 'plaintext', 'high'),
    ('passwords in the clear', [put('mosquitto.local/x.conf', 'listener 1883 0.0.0.0\nmax_connections 5\npassword_file p\n')],
     'plaintext', 'critical'),
    ('TLS 1.2', [swap(MOSQ, '^tls_version .*', 'tls_version tlsv1.2')], 'tls-version', 'medium'),
    ('TLS 1.1', [swap(MOSQ, '^tls_version .*', 'tls_version tlsv1.1')], 'tls-version', 'high'),
    ('no TLS version said', [swap(MOSQ, '^tls_version .*\n', '')], 'tls-version', 'medium'),
    ('no client certificates', [swap(MOSQ, '^require_certificate true', 'require_certificate false')],
     'no-client-certificate', 'high'),
    ('lesson: a certificate, and another name in CONNECT', [swap(MOSQ, '^use_identity_as_username .*\n', '')],
     'name-not-proven', 'high'),
    ('lesson: no ACL', [swap(MOSQ, '^acl_file .*\n', '')], 'no-acl', 'high'),
    ('unbounded packets', [swap(MOSQ, '^max_packet_size .*\n', '')], 'no-limit', 'medium'),
    ('unbounded queues', [swap(MOSQ, '^max_queued_messages .*', 'max_queued_messages 0')], 'no-limit', 'medium'),
    ('unbounded connections', [swap(MOSQ, '^max_connections .*', 'max_connections -1')], 'no-limit', 'medium'),
    ('unbounded in flight', [swap(MOSQ, '^max_inflight_messages .*', 'max_inflight_messages 0')], 'no-limit', 'low'),
    ('no log', [swap(MOSQ, '^connection_messages true', 'connection_messages false')], 'no-log', 'medium'),
    ('no times in the log', [swap(MOSQ, '^log_timestamp true', 'log_timestamp false')], 'no-log', 'low'),
    ('root', [put('mosquitto.local/x.conf', 'user root\n')], 'root', 'medium'),
    ('a bridge that trusts anybody', [put('mosquitto.local/x.conf', 'connection b\naddress 10.1.2.3:8883\nbridge_cafile x\n'
                                          'bridge_insecure true\n')], 'bridge', 'high'),
    ('a bridge in the clear', [put('mosquitto.local/x.conf', 'connection b\naddress 10.1.2.3:1883\n')], 'bridge', 'high'),
    ('acl: everything for all', [put(ACL, 'pattern readwrite #\n')], 'acl-wildcard', 'critical'),
    ('acl: everything for those without a name', [put(ACL, 'topic #\n')], 'acl-wildcard', 'critical'),
    ('acl: one may write everything', [put(ACL, 'user desk\ntopic readwrite #\n')], 'acl-wildcard', 'high'),
    ('acl: one may read everything', [put(ACL, 'user desk\ntopic read #\n')], 'acl-wildcard', 'medium'),
    ('acl: rights by client id', [put(ACL, 'pattern write plant/%c/#\n')], 'acl-client-id', 'high'),
    ('acl: a pattern for everybody', [put(ACL, 'pattern write plant/all\n')], 'acl-pattern', 'medium'),
    ('acl: a member writes groups', [swap(ACL, '^user desk$', 'user desk\ntopic write sealmq/plant/g/ward/#')],
     'acl-control', 'critical'),
    ('acl: a member writes all control topics', [swap(ACL, '^user desk$', 'user desk\ntopic sealmq/#')],
     'acl-control', 'critical'),
    ('acl: a member speaks as the key server', [swap(ACL, '^user desk$', 'user desk\ntopic write sealmq/+/ks/+/desk')],
     'acl-control', 'critical'),
    ('acl: a member listens to key exchanges', [swap(ACL, '^user desk$', 'user desk\ntopic read sealmq/plant/keyex/+')],
     'acl-keyex', 'medium'),
    ('a key for all to read', [mode('certs/server.key', 0o644)], 'file-open', 'critical'),
    ('a key for the group to read', [mode('certs/server.key', 0o640)], 'file-open', 'medium'),
    ('a configuration for all to change', [mode(MOSQ, 0o666)], 'file-open', 'high'),
    ('an ACL for all to change', [mode(ACL, 0o606)], 'file-open', 'high'),
    ('passwords for all to read', [put('passwords', 'a:$7$101$x$y\n', 0o644)], 'file-open', 'critical'),
    ('passwords as they are', [put('passwords', 'a:secret\n', 0o600)], 'password-plain', 'critical'),
    ('a certificate that ends', [cert(20)], 'certificate-end', 'medium'),
    ('a certificate that ends this week', [cert(3)], 'certificate-end', 'high'),
    ('a stale CRL', [crl(-1)], 'crl', 'critical'),
    ('a CRL that ends tomorrow', [crl(20)], 'crl', 'medium'),
    ('a CRL that is none', [crl(99), put('certs/crl.pem', 'x\n')], 'crl', 'high'),
    ('a CRL that nobody reads', [crl(99), swap(MOSQ, '^crlfile .*\n', '')], 'crl', 'high'),
    ('lesson: the proxy shows its own certificate', [swap(NGINX, '^\t\tssl_preread on;', '\t\tproxy_ssl_certificate x;')],
     'identity-ends', 'critical'),
    ('TLS ends at the proxy', [swap(NGINX, r'so_keepalive=on;', 'ssl;')], 'identity-ends', 'high'),
    ('lesson: a limit keyed on the certificate', [swap(NGINX, r'\$binary_remote_addr', '$ssl_client_fingerprint')],
     'limit-key', 'high'),
    ('a limit keyed on something', [swap(NGINX, r'\$binary_remote_addr', '$ssl_preread_server_name')], 'limit-key', 'medium'),
    ('lesson: eleven were one too many', [swap(NGINX, 'limit_conn per_address .*;', 'limit_conn per_address 10;')],
     'limit-low', 'low'),
    ('no limit at the proxy', [swap(NGINX, 'limit_conn per_address .*;', '')], 'no-limit', 'medium'),
    ('proxy_timeout too short', [swap(NGINX, 'proxy_timeout .*;', 'proxy_timeout 15m;')], 'proxy-timeout', 'medium'),
    ('proxy_timeout not said', [swap(NGINX, 'proxy_timeout .*;', '')], 'proxy-timeout', 'medium'),
    ('lesson: it does not start on Debian', [swap(NGINX, '^load_module .*;', '')], 'stream-module', 'medium'),
    ('old TLS at the proxy', [put('nginx.local/x.conf', 'ssl_protocols TLSv1 TLSv1.2;\n')], 'tls-version', 'high'),
]


def good_ones():
    for n, options in enumerate(([], ['--password-port', '8884'], ['--no-nginx'],
                                 ['--no-nginx', '--password-port', '8884', '--address', '127.0.0.1'], ['--log-denials'],
                                 ['--keepalive-max', '60', '--per-address', '20', '--topics', 'factory'])):
        top = os.path.join(ROOM, 'good%d' % n)
        status, _, err = run(SEALMQ, 'broker', 'init', top, '--realm', os.path.join(ROOM, 'plant'), *options)
        assert status == 0, err
        status, said, err = check(top)
        ok(of_files(said['findings']) == [] and (status != 0) == (said['findings'] != []), 'clean: init ' + ' '.join(options),
           '%s %s' % (said, err))
    status, out, _ = run(SEALMQ, 'broker', 'check', os.path.join(ROOM, 'good0'))
    if check(os.path.join(ROOM, 'good0'))[1]['findings']:
        TAP.skip('and in words', 'this machine\'s NGINX or Mosquitto lacks corrections of Debian, and check says so')
    else:
        ok(status == 0 and out == 'nothing found that would hurt\n', 'and in words', out)


def bad_ones():
    for name, changes, rule, severity in BAD:
        from_here = os.path.join(ROOM, 'good1' if name.startswith('passwords') else 'good0')
        top = os.path.join(ROOM, 'bad')
        shutil.copytree(from_here, top)
        for change in changes:
            change(top)
        status, said, err = check(top)
        found = [f for f in said['findings'] if f['rule'] == rule and f['severity'] == severity]
        ok(found and found[0]['reason'] and found[0]['write'] and status == STATUS[worst(said['findings'])], name,
           '%s %s %s' % (status, json.dumps(said, indent=1), err))
        shutil.rmtree(top)


def snippets():
    """What is found in tutorials."""
    for name, text, rules in (
            ('two lines', 'listener 1883\nallow_anonymous true\n', {'anonymous', 'plaintext', 'no-acl'}),
            ('TLS from a tutorial', 'port 8883\ncafile ca.crt\ncertfile a.crt\nkeyfile a.key\n',
             {'tls-version', 'no-client-certificate', 'no-acl'}),
            ('only certificates', 'cafile ca.crt\ncertfile a.crt\nkeyfile a.key\n', {'no-listener'})):
        top = os.path.join(ROOM, 'etc')
        os.makedirs(top)
        put('mosquitto.conf', text)(top)
        for target in (top, os.path.join(top, 'mosquitto.conf')):
            status, said, err = check(target)
            ok(rules <= {f['rule'] for f in said['findings']} and status >= 93,
               'a snippet: %s, %s' % (name, os.path.basename(target)), '%s %s' % (said, err))
        shutil.rmtree(top)


# ---- running ones ----

def broker(text):
    """A private Mosquitto; (process, port)."""
    port = free_port()
    path = os.path.join(ROOM, 'running.conf')
    log = os.path.join(ROOM, 'running.log')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('listener %d 127.0.0.1\nlog_dest file %s\n%s%s' % (port, log, text, 'user root\n' if os.geteuid() == 0 else ''))
    process = subprocess.Popen([find('mosquitto'), '-c', path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(lambda: os.path.exists(log) and ' running' in open(log, encoding='utf-8').read())
    return process, port, log


def running_ones():
    certs = os.path.join(ROOM, 'good0', 'certs')
    tls = 'cafile {0}/root.crt\ncertfile {0}/server.crt\nkeyfile {0}/server.key\n'.format(certs)
    rows = [
        ('anybody', 'allow_anonymous true\n', {('anonymous', 'critical')}),
        ('plaintext', 'allow_anonymous false\n', {('plaintext', 'high')}),
        ('anybody, over TLS', tls + 'tls_version tlsv1.3\nallow_anonymous true\n', {('anonymous', 'critical')}),
        ('no client certificates', tls + 'tls_version tlsv1.3\nallow_anonymous false\n', {('no-client-certificate', 'low')}),
        ('TLS 1.2', tls + 'tls_version tlsv1.2\nrequire_certificate true\nuse_identity_as_username true\n',
         {('tls-version', 'medium')}),
        ('as it should be', tls + 'tls_version tlsv1.3\nrequire_certificate true\nuse_identity_as_username true\n', set()),
    ]
    for name, text, expected in rows:
        process, port, log = broker(text)
        status, said, err = check('127.0.0.1:%d' % port, '--timeout', '20')
        with open(log, encoding='utf-8') as file:
            connections = file.read().count('New connection from')
        process.terminate()
        process.wait(10)
        os.unlink(log)
        found = {(f['rule'], f['severity']) for f in said['findings']} if said else None
        ok(found == expected and status == STATUS[worst(said['findings'])] and connections <= 4,
           'running: %s' % name, '%s %s %s' % (said, err, connections))


def refusals():
    for words, status, says in ((['/nowhere/at/all'], 14, 'nowhere'), ([ROOM], 14, 'mosquitto.conf'), (['localhost:x'], 14, 'HOST:PORT'),
                                (['127.0.0.1:%d' % free_port()], None, 'refused'), ([], 1, 'check needs'),
                                (['a', 'b'], 1, "'b'"), (['a', '--least', 'much'], 1, 'much')):
        done = run(SEALMQ, 'broker', 'check', *words)
        ok((done[0] == status if status else done[0] not in (0, 91, 92, 93, 94)) and says in done[2],
           'refused: ' + ' '.join(w if len(w) < 20 and ':' not in w else 'ADDRESS' for w in words), done)
    top = os.path.join(ROOM, 'bad')
    shutil.copytree(os.path.join(ROOM, 'good0'), top)
    swap(MOSQ, '^max_inflight_messages .*', 'max_inflight_messages 0')(top)
    least, all_ = (of_files(check(top, *words)[1]['findings']) for words in (['--least', 'medium'], []))
    ok(not least and [f['severity'] for f in all_] == ['low'], '--least leaves out what is lower', '%s %s' % (least, all_))
    put(ACL, 'user \x1b[31mx\ntopic #\n')(top)
    status, out, _ = run(SEALMQ, 'broker', 'check', top)
    ok(status == 93 and '\x1b' not in out, 'what a file says does not reach the terminal raw', repr(out))
    ok(run(SEALMQ, 'broker', 'check', '--help')[0] == 0, 'check --help')


def main():
    try:
        for words in (['ca', 'init', 'plant'], ['ca', 'issue', 'desk', '--ca', 'plant'],
                      ['ca', 'issue', 'keys', '--ca', 'plant', '--role', 'keyserver']):
            done = run(SEALMQ, *words, cwd=ROOM)
            assert done[0] == 0, done
        parts = [good_ones, bad_ones, snippets, refusals]
        if find('mosquitto'):
            parts.append(running_ones)
        for part in parts:
            part()
    finally:
        shutil.rmtree(ROOM, ignore_errors=True)
    return TAP.end()


sys.exit(main())
