#!/usr/bin/env python3
"""TLS ends at NGINX: the certificate's name goes on to Mosquitto, whatever CONNECT says; and browsers by WebSockets.

usage: test_broker_ends_tls.py SEALMQ ROOT
"""
import json
import os
import shutil
import socket
import ssl
import struct
import sys
import tempfile
import time

from sealed_rig import LONG, SEALMQ, TAP, Process, find, free_port, ok, run, wait
from findings import of_files
from broker_rig import MQTT_JS, Deployment, find_mqtt_js, needs, revoke, testssl

PASSWORD = 'meter-password-1'


def text(words):
    return struct.pack('>H', len(words)) + words


def connect(level=4, user=b'', password=b'', will=(), name=b'MQTT', client=b'raw'):
    """A CONNECT of any version, with a length of its own making."""
    flags = 2 | (4 if will else 0) | (0x80 if user else 0) | (0x40 if password else 0)
    none = b'\0' if level == 5 else b''
    body = text(name) + bytes([level, flags]) + b'\0\x3c' + none + text(client)
    body += none + text(will[0]) + text(will[1]) if will else b''
    body += (text(user) if user else b'') + (text(password) if password else b'')
    return packet(0x10, body)


def packet(kind, body):
    length, left = b'', len(body)
    while True:
        length += bytes([left % 128 | (128 if left > 127 else 0)])
        left //= 128
        if not left:
            return bytes([kind]) + length + body


def say(d, context, parts, port=None, seconds=5):
    """What is answered to these bytes, sent piece by piece over TLS."""
    try:
        with socket.create_connection(('127.0.0.1', port or d.port), 10) as plain:
            with context.wrap_socket(plain, server_hostname='localhost') as link:
                link.settimeout(seconds)
                for part in parts:
                    link.sendall(part)
                    if len(parts) > 1:
                        time.sleep(0.001)
                return link.recv(64)
    except OSError:
        return b''


def who(d, client):
    """The name under which the broker knows that client."""
    lines = [line for line in d.read('log/mosquitto.log').splitlines() if ' as %s (' % client in line]
    return lines[-1].split("u'")[-1].split("'")[0] if lines and "u'" in lines[-1] else None


def names(d):
    member = d.context('fridge-07')
    long_will = (b'plant/fridge-07/will', os.urandom(60000))
    rows = [('3.1.1', connect(client=b'a1')), ('3.1.1, another name', connect(user=b'desk', client=b'a2')),
            ('3.1.1, another name and a password', connect(user=b'desk', password=b'x', client=b'a3')),
            ('3.1, another name', connect(3, user=b'desk', name=b'MQIsdp', client=b'a4')),
            ('5, another name and a will', connect(5, user=b'ward-3', password=b'y', will=(b'plant/fridge-07/w', b'gone'), client=b'a5')),
            ('5, a will of 60 kB', connect(5, user=b'desk', will=long_will, client=b'a6')),
            ('an empty name', packet(0x10, text(b'MQTT') + b'\x04\x82\0\x3c' + text(b'a7') + text(b'')))]
    for n, (how, bytes_) in enumerate(rows):
        answer = say(d, member, [bytes_])
        client = 'a%d' % (n + 1)
        ok(answer[:1] == b'\x20' and answer[3:4] == b'\0' and who(d, client) == 'fridge-07',
           'the name is the certificate\'s: MQTT ' + how, '%r %s' % (answer, who(d, client)))
    bytes_ = connect(5, user=b'desk', password=b'x', client=b'slow')
    answer = say(d, member, [bytes_[i:i + 1] for i in range(len(bytes_))])
    ok(answer[:1] == b'\x20' and who(d, 'slow') == 'fridge-07', 'a CONNECT that comes byte by byte', answer)
    both = connect(client=b'both') + packet(0xc0, b'')
    answer = say(d, member, [both])
    ok(answer[:4] == b'\x20\x02\0\0', 'what follows CONNECT in the same record is passed on', answer)


def malformed(d):
    member = d.context('fridge-07')
    rows = [('another packet first', packet(0xc0, b'')), ('a length without an end', b'\x10\xff\xff\xff\xff\xff'),
            ('a client id beyond the end', packet(0x10, text(b'MQTT') + b'\x04\x02\0\x3c' + b'\xff\xffx')),
            ('properties beyond the end', packet(0x10, text(b'MQTT') + b'\x05\x02\0\x3c\x7f')),
            ('a will that is not there', packet(0x10, text(b'MQTT') + b'\x04\x06\0\x3c' + text(b'c'))),
            ('two megabytes announced', b'\x10\x80\x80\x80\x01'), ('HTTP', b'GET / HTTP/1.1\r\n\r\n')]
    before = d.pid('mosquitto'), d.pid('nginx')
    for how, bytes_ in rows:
        ok(say(d, member, [bytes_]) == b'', 'malformed: ' + how)
    ok((d.pid('mosquitto'), d.pid('nginx')) == before and d.answers('desk'), 'and the others go on')


def strangers(d):
    room = tempfile.mkdtemp(dir=d.room)
    run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=desk',
        '-keyout', room + '/a.pem', '-out', room + '/c.pem')
    own, old, broker = d.context(), d.context('desk'), d.context()
    own.load_cert_chain(room + '/c.pem', room + '/a.pem')
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    broker.load_cert_chain(d.path('certs/server.crt'), d.path('certs/server.key'))
    for how, context in (('without a certificate', d.context()), ('with a certificate of its own making', own),
                         ('with TLS 1.2', old), ('with the broker\'s own certificate', broker)):
        ok(say(d, context, [connect(user=b'desk')]) == b'', 'no byte of MQTT for a stranger ' + how)


def members(d):
    desk = Process([SEALMQ, 'sub', '--realm', d.member('desk'), *d.tls('desk'), '-i', 'desk-sub', '-q', '1', '-t', 'plant/#',
                    '-F', '%s %p'])
    wait(lambda: 'plant/# (QoS' in d.read('log/mosquitto.log'), 60)
    words = [SEALMQ, 'pub', '--realm', d.member('fridge-07'), *d.tls('fridge-07'), '--to', 'desk', '-q', '1', '-t']
    done = run(*words, 'plant/fridge-07/temp', '-m', '4.2', seconds=60)
    ok(desk.got(1, 60) and done[0] == 0 and desk.lines == ['fridge-07 4.2'], 'a sealed session', '%s %s' % (done, desk.said))
    done = run(*words, 'plant/ward-3/temp', '-m', '9', seconds=60)
    ok(done[0] == 135, 'the ACL holds: no member publishes where another does', done)
    desk.stop()


def browsers(d):
    place = find('node') and find_mqtt_js()
    if not place:
        TAP.skip('browsers', 'MQTT.js is not installed, and npm cannot fetch it')
        return
    script = os.path.join(d.room, 'client.js')
    with open(script, 'w', encoding='utf-8') as file:
        file.write(MQTT_JS)

    def ask(**more):
        wish = {'ca': os.path.join(d.ca, 'root.crt'), 'expect': 1, 'port': d.wss_port, 'protocol': 'wss', 'user': 'meter',
                'password': PASSWORD, 'read': 'meters/#', 'write': ['plant/desk/x', 'meters/1'], **more}
        out = run('node', script, json.dumps(wish), NODE_PATH=place, seconds=60)
        try:
            return json.loads(out[1].strip().splitlines()[-1])
        except (ValueError, IndexError):
            return out
    said = ask()
    ok(said == {'connected': 0, 'got': ['meters/1 from mqttjs']}, 'MQTT.js by wss: what its ACL allows and no more', said)
    for how, more in (('a wrong password', {'password': 'guess'}), ('a member\'s name', {'user': 'desk', 'password': 'guess'}),
                      ('no name', {'user': None, 'password': None}),
                      ('a member\'s certificate and name, without its password',
                       {'user': 'desk', 'password': None, 'cert': d.member('desk', 'member.crt'), 'key': d.member('desk', 'member.key')})):
        said = ask(**more)
        ok(isinstance(said, dict) and said['connected'] != 0 and not said['got'], 'by wss refused: ' + how, said)
    answer = say(d, d.context(), [b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'], d.wss_port)
    ok(answer.startswith(b'HTTP/1.1 404'), 'nothing else is served there', answer)


def looked_over(d):
    _, out, err = run(SEALMQ, 'broker', 'check', d.dir, '--json')
    ok(of_files(json.loads(out)['findings']) == [], 'check finds nothing', out + err)
    conf = d.read('conf/nginx.conf')
    for what, change, rule in (
            ('lesson: without the step that carries the name on', lambda t: t.replace('js_filter identity.connect;', ''), 'identity-ends'),
            ('njs is not loaded', lambda t: '\n'.join(line for line in t.splitlines() if 'stream_js_module' not in line), 'stream-module'),
            ('WebSockets that end after a minute', lambda t: t.replace('proxy_read_timeout', '# '), 'proxy-timeout'),
            ('WebSockets without a limit', lambda t: t.replace('limit_conn web_per_address', '# '), 'no-limit'),
            ('a certificate as the key of a limit', lambda t: t.replace('$binary_remote_addr zone=per_address', '$ssl_client_serial zone=per_address'), 'limit-key'),
            ('TLS 1.2', lambda t: t.replace('ssl_protocols TLSv1.3', 'ssl_protocols TLSv1.2 TLSv1.3'), 'tls-version'),
            ('a choice by name without a default', lambda t: t.replace('stream {', 'stream {\n\tmap $ssl_preread_server_name $x {\n\t\tmqtt.example y;\n\t}', 1), 'sni')):
        d.write('conf/nginx.conf', change(conf))
        out = run(SEALMQ, 'broker', 'check', d.dir, '--json')[1]
        ok(rule in [f['rule'] for f in json.loads(out)['findings']], 'check: ' + what, out)
    d.write('conf/nginx.conf', conf)
    os.chmod(d.path('run'), 0o755)
    out = run(SEALMQ, 'broker', 'check', d.dir, '--json')[1]
    os.chmod(d.path('run'), 0o750)
    ok('file-open' in [f['rule'] for f in json.loads(out)['findings']], 'check: everybody may open the socket', out)


def from_outside(d):
    if not LONG:
        TAP.skip('testssl', 'SEALMQ_LONG=1, and testssl.sh')
        return
    for name, port in (('members', d.port), ('passwords', d.password_port), ('browsers', d.wss_port)):
        testssl(d, 'the port for %s, TLS ends at NGINX' % name, port, os.environ.get('SEALMQ_TESTSSL', '').split())


def revoked(d):
    live = Process([find('mosquitto_sub'), *d.tls('fridge-07'), '-i', 'revoked', '-t', 'plant/#', '-q', '1', '-F', '%p'])
    wait(lambda: 'Sending SUBACK to revoked' in d.read('log/mosquitto.log'), 60)
    pid = d.pid('nginx')
    started = time.monotonic()
    revoke(d.ca, 'fridge-07')
    good = wait(lambda: d.pid('nginx') != pid and not d.answers('fridge-07') and d.answers('desk'), 60)
    print('# the revoked member was cut off after %.1f s' % (time.monotonic() - started))
    run('mosquitto_pub', *d.tls('ward-3'), '-q', '1', '-t', 'plant/ward-3/x', '-m', 'after')
    ok(good and 'after' not in live.lines, 'a revoked member is cut off, its live session included', d.runner.lines)


def main():
    needs('mosquitto', 'mosquitto_pub', 'mosquitto_sub', 'nginx', 'openssl')
    if not os.path.exists('/usr/lib/nginx/modules/ngx_stream_js_module.so'):
        print('1..0 # SKIP libnginx-mod-stream-js is not installed')
        return 0
    d = Deployment(crl=True, options=['--end-tls', '--log-denials', '--password-port', str(free_port()),
                                             '--wss-port', str(free_port())])
    try:
        d.write('acl.local/meters.acl', 'user meter\ntopic readwrite meters/#\n')
        run('mosquitto_passwd', '-b', d.path('passwords'), 'meter', PASSWORD)
        d.init()
        d.start('--realm', d.ca)
        d.wss_port = d.events('ready')[0].get('wss_port', 0)
        for part in (names, malformed, strangers, members, browsers, looked_over, from_outside, revoked):
            if os.environ.get('SEALMQ_ONLY', part.__name__) != part.__name__:
                continue
            started = time.monotonic()
            part(d)
            print('# %s: %.1f s' % (part.__name__, time.monotonic() - started), flush=True)
    finally:
        Process.stop_all()
        d.strike()
        shutil.rmtree(d.room, ignore_errors=True)
    return TAP.end()


sys.exit(main())
