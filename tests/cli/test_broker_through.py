#!/usr/bin/env python3
"""Through NGINX with mutual TLS: sessions, forged names, strangers, other people's clients, revocation, junk.

usage: test_broker_through.py SEALMQ ROOT
"""
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from sealed_rig import LONG, SEALMQ, TAP, Process, find, free_port, measured, ok, run, wait
from broker_rig import MQTT_JS, Deployment, find_mqtt_js, needs, revoke, testssl

PASSWORD = 'meter-password-1'
MEMBERS = 1000
PAHO = '''
import json, ssl, sys, time
import paho.mqtt.client as mqtt
o = json.loads(sys.argv[1])
got, flags = [], {'subscribed': False, 'connected': None}
make = {'client_id': 'paho', 'protocol': mqtt.MQTTv311}
c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, **make) if hasattr(mqtt, 'CallbackAPIVersion') else mqtt.Client(**make)
c.tls_set(o['ca'], o.get('cert'), o.get('key'))
if o.get('user'):
    c.username_pw_set(o['user'], o['password'])
c.on_connect = lambda c, u, f, rc: flags.update(connected=rc)
c.on_subscribe = lambda *a: flags.update(subscribed=True)
c.on_message = lambda c, u, m: got.append('%s %s' % (m.topic, m.payload.decode()))
c.connect('localhost', o['port'])
c.loop_start()
def wait(f):
    until = time.monotonic() + 20
    while not f() and time.monotonic() < until:
        time.sleep(0.02)
wait(lambda: flags['connected'] is not None)
c.subscribe(o['read'], 1)
wait(lambda: flags['subscribed'])
for topic in o['write']:
    c.publish(topic, 'from paho', 1).wait_for_publish(20)
wait(lambda: len(got) >= o['expect'])
time.sleep(0.3)
print(json.dumps({'connected': flags['connected'], 'got': got}))
'''
def subscribed(d, client, topic='plant/#'):
    """Whether the broker has answered that subscription; those of the key exchange come first."""
    log = d.read('log/mosquitto.log')
    at = log.find('%s (QoS' % topic, log.find('Received SUBSCRIBE from %s\n' % client))
    return at >= 0 and log.find('Sending SUBACK to %s\n' % client, at) >= 0


def sessions(d):
    desk = Process([SEALMQ, 'sub', '--realm', d.member('desk'), *d.tls('desk'), '-i', 'desk-sub', '-q', '1', '-t', 'plant/#',
                    '-F', '%s %t %p'])
    wait(lambda: subscribed(d, 'desk-sub'), 60)
    words = [SEALMQ, 'pub', '--realm', d.member('fridge-07'), *d.tls('fridge-07'), '--to', 'desk', '-q', '1', '-t',
             'plant/fridge-07/temp', '-m', '4.2']
    done = run(*words)
    desk.got(1, 60)
    ok(done[0] == 0 and desk.lines == ['fridge-07 plant/fridge-07/temp 4.2'], 'a session through NGINX',
       '%s %s %s' % (done, desk.lines, desk.said))
    done = run(*(words[:-3] + ['plant/ward-3/temp', '-m', '9']))
    ok(done[0] == 135, 'a member cannot publish where another does', done)
    desk.stop()


def names_forged(d):
    eye = Process([find('mosquitto_sub'), *d.tls('desk'), '-i', 'eye', '-t', 'plant/#', '-q', '1', '-F', '%t %p'])
    wait(lambda: subscribed(d, 'eye'), 60)
    forged = run('mosquitto_pub', *d.tls('fridge-07'), '-u', 'ward-3', '-P', 'x', '-i', 'forger', '-V', '5', '-q', '1', '-t',
                 'plant/ward-3/temp', '-m', 'forged')
    own = run('mosquitto_pub', *d.tls('fridge-07'), '-u', 'ward-3', '-i', 'forger', '-q', '1', '-t', 'plant/fridge-07/x', '-m', 'own')
    eye.got(1, 60)
    ok('not authorized' in (forged[1] + forged[2]).lower() and own[0] == 0 and eye.lines == ['plant/fridge-07/x own'],
       'lesson: a certificate with another\'s name in CONNECT is itself', '%s %s %s' % (forged, own, eye.lines))
    ok("as forger (p2, c1, k60, u'fridge-07')" in d.read('log/mosquitto.log'), 'and the log has the proven name')
    others = run('mosquitto_sub', *d.tls('fridge-07'), '-u', 'desk', '-t', 'sealmq/plant/keyex/desk', '-W', '1', '-d')
    ok('Subscribed' in others[1] and not [line for line in others[1].splitlines() if 'PUBLISH' in line],
       'what is for others is not heard', others)
    eye.stop()


def heard_by(d, context=None, first=None):
    """Bytes of MQTT that a client with these means gets for its CONNECT."""
    connect = b'\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05alien'
    try:
        with socket.create_connection(('127.0.0.1', d.port), 10) as plain:
            if context is None:
                plain.sendall(first or connect)
                return plain.recv(64)
            with context.wrap_socket(plain, server_hostname='localhost') as link:
                link.sendall(connect)
                return link.recv(64)
    except OSError:
        return b''


def strangers(d):
    room = tempfile.mkdtemp(dir=d.room)
    run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=desk',
        '-keyout', room + '/a.pem', '-out', room + '/c.pem')
    own = d.context()
    own.load_cert_chain(room + '/c.pem', room + '/a.pem')
    old = d.context('desk')
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    rows = [('without TLS', heard_by(d)), ('without TLS, with a proxy header', heard_by(d, first=b'PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n')),
            ('without a certificate', heard_by(d, d.context())), ('with a certificate of its own making', heard_by(d, own)),
            ('with TLS 1.2', heard_by(d, old))]
    for name, answer in rows:
        ok(answer == b'', 'no byte of MQTT for a stranger ' + name, answer)
    ok(heard_by(d, d.context('desk')).startswith(b'\x20\x02\0\0'), 'and a member is answered')
    status, out, err = run(SEALMQ, 'broker', 'check', '127.0.0.1:%d' % d.port)
    ok(status == 0, 'check finds nothing at the port for members', out + err)


# ---- other people's clients ----

def ask(d, by, **more):
    wish = {'ca': os.path.join(d.ca, 'root.crt'), 'expect': 1, **more}
    if by == 'certificate':
        wish.update(port=d.port, cert=d.member('ward-3', 'member.crt'), key=d.member('ward-3', 'member.key'),
                    read='plant/ward-3/#', write=['plant/desk/x', 'plant/ward-3/x'])
    else:
        wish.update(port=d.password_port, user='meter', password=PASSWORD, read='meters/#', write=['plant/desk/x', 'meters/1'])
        wish.update(more)
    return json.dumps(wish)


def judge(client, how, out, expected):
    try:
        said = json.loads(out[1].strip().splitlines()[-1])
    except (ValueError, IndexError):
        said = None
    ok(said and said['connected'] == 0 and said['got'] == expected,
       '%s with a %s: writes and reads what the ACL allows, and nothing else' % (client, how), out)


def mosquitto_clients(d):
    for how, tls, write, denied in (
            ('certificate', d.tls('ward-3'), 'plant/ward-3/m', 'plant/desk/x'),
            ('password', ['-h', 'localhost', '-p', str(d.password_port), '--cafile', os.path.join(d.ca, 'root.crt'),
                          '-u', 'meter', '-P', PASSWORD], 'meters/2', 'plant/desk/x')):
        sub = Process([find('mosquitto_sub'), *tls, '-i', 'msub-' + how, '-t', write, '-t', denied, '-q', '1', '-F', '%t %p'])
        wait(lambda: 'Sending SUBACK to msub-' + how in d.read('log/mosquitto.log'), 60)
        run('mosquitto_pub', *tls, '-q', '1', '-t', denied, '-m', 'no')
        done = run('mosquitto_pub', *tls, '-q', '1', '-t', write, '-m', 'yes')
        sub.got(1, 60)
        ok(done[0] == 0 and sub.lines == [write + ' yes'], 'mosquitto_pub and mosquitto_sub with a %s' % how,
           '%s %s' % (done, sub.lines))
        sub.stop()
    wrong = run('mosquitto_pub', '-h', 'localhost', '-p', str(d.password_port), '--cafile', os.path.join(d.ca, 'root.crt'),
                '-u', 'meter', '-P', 'guess', '-t', 'meters/2', '-m', 'no')
    ok(wrong[0] == 5, 'a wrong password is refused', wrong)


def paho(d):
    python = next((p for p in (sys.executable, '/usr/bin/python3')
                   if subprocess.run([p, '-c', 'import paho.mqtt'], capture_output=True).returncode == 0), None)
    if not python:
        TAP.skip('paho', 'python3-paho-mqtt is not installed')
        return
    for how, topic in (('certificate', 'plant/ward-3/x'), ('password', 'meters/1')):
        judge('paho', how, run(python, '-c', PAHO, ask(d, how), seconds=60), [topic + ' from paho'])


def mqtt_js(d):
    place = find('node') and find_mqtt_js()
    if not place:
        TAP.skip('MQTT.js', 'not installed, and npm cannot fetch it')
        return
    script = os.path.join(d.room, 'client.js')
    with open(script, 'w', encoding='utf-8') as file:
        file.write(MQTT_JS)
    for how, topic in (('certificate', 'plant/ward-3/x'), ('password', 'meters/1')):
        judge('MQTT.js', how, run('node', script, ask(d, how), NODE_PATH=place, seconds=60), [topic + ' from mqttjs'])


# ---- what is noticed, and who is told ----

def alarms(d):
    """A member probes the ACL; the alarm reaches another one sealed."""
    for n in range(7):
        run(find('mosquitto_pub'), *d.tls('fridge-07'), '-i', 'prober', '-q', '1', '-t', 'plant/ward-3/set%d' % n, '-m', 'x')
    eye = Process([find('mosquitto_sub'), *d.tls('desk'), '-i', 'alarm-eye', '-t', 'plant/ward-3/alarms', '-q', '1', '-F', '%x'])
    desk = Process([SEALMQ, 'sub', '--realm', d.member('desk'), *d.tls('desk'), '-i', 'alarm-desk', '-q', '1', '-t',
                    'plant/ward-3/alarms', '-F', '%s %p'])
    wait(lambda: subscribed(d, 'alarm-desk', 'plant/ward-3/alarms') and subscribed(d, 'alarm-eye', 'plant/ward-3/alarms'), 60)
    watch = subprocess.Popen([SEALMQ, 'watch', d.dir, '--once', '--json'], stdout=subprocess.PIPE)
    told = subprocess.run([SEALMQ, 'pub', '--realm', d.member('ward-3'), *d.tls('ward-3'), '--to', 'desk', '-q', '1', '-t',
                           'plant/ward-3/alarms', '-l'], stdin=watch.stdout, capture_output=True, timeout=90)
    watch.wait(30)
    wait(lambda: any('"acl-probing"' in line and '"fridge-07"' in line for line in desk.lines), 60)
    mine = [json.loads(line.split(' ', 1)[1]) for line in desk.lines if line.startswith('ward-3 ')]
    ok(watch.returncode >= 91 and told.returncode == 0 and any(a['alarm'] == 'acl-probing' and a['subject'] == 'fridge-07' for a in mine),
       'an alarm arrives sealed, and opens', '%s %s %s' % (watch.returncode, told, desk.lines))
    ok(eye.got(1, 60) and not any(b'acl-probing'.hex() in line for line in eye.lines), 'and who only sees the broker does not read it',
       eye.lines)
    eye.stop()
    desk.stop()


# ---- load, and the end of a membership ----

def junk(d):
    """Four hundred connections from one address that say nothing of use, or nothing at all."""
    held, before = [], d.pid('mosquitto')
    noise = [b'', b'GET / HTTP/1.0\r\n\r\n', os.urandom(300), b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', b'\x10\xff\xff\xff\x7f']
    try:
        for n in range(400):
            s = socket.create_connection(('127.0.0.1', d.port), 10)
            s.settimeout(0.5)
            try:
                s.sendall(noise[n % len(noise)])
            except OSError:
                pass
            held.append(s)
        done = run(find('mosquitto_pub'), *d.tls('ward-3'), '-q', '1', '-t', 'plant/ward-3/x', '-m', 'still here')
        ok(done[0] == 0 and d.pid('mosquitto') == before and not d.events('ended'), 'junk connections do not stop the others', done)
    finally:
        for s in held:
            s.close()


def flood(d, stop, count):
    """Junk from one other address, as fast as it is taken, 5,000 connections at most."""
    held = []
    while not stop.is_set() and count[0] < 5000:
        try:
            s = socket.create_connection(('127.0.0.1', d.port), 5, ('127.0.0.2', 0))
            s.sendall(b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' if count[0] % 2 else b'junk\r\n')
            held.append(s)
            count[0] += 1
        except OSError:
            pass
        if len(held) > 800:
            held.pop(0).close()
    for s in held:
        s.close()


def many(d):
    """Members of a site come at once; then again, while somebody floods the port."""
    rows = []
    for name, flooded in (('', False), (', and junk from one other address', True)):
        links, failures, stop, junks = [], [], threading.Event(), [0]
        connect = b'\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06'

        def come(numbers):
            context = d.context('ward-3')
            for n in numbers:
                try:
                    link = context.wrap_socket(socket.create_connection(('127.0.0.1', d.port), 30), server_hostname='localhost')
                    link.sendall(connect + b'm%05d' % n)
                    if link.recv(4) != b'\x20\x02\0\0':
                        failures.append(n)
                    links.append(link)
                except OSError as e:
                    failures.append((n, e))
        noise = threading.Thread(target=flood, args=(d, stop, junks))
        if flooded:
            noise.start()
        started = time.monotonic()
        threads = [threading.Thread(target=come, args=(range(k, MEMBERS, 8),)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        took = time.monotonic() - started
        stop.set()
        if flooded:
            noise.join()
        print('# %d members connected through NGINX in %.1f s%s' % (MEMBERS, took, ' beside %d junk connections' % junks[0] if flooded else ''))
        ok(not failures and len(links) == MEMBERS and took < 30, '%d members of one address connect within 30 s%s' % (MEMBERS, name),
           '%.1f s %s' % (took, failures[:5]))
        rows.append({'took_s': took, 'members': len(links), 'refused': len(failures), 'junk': junks[0]})
        for link in links:
            link.close()
    measured('arrivals', rows=rows)


def revoked(d):
    live = Process([find('mosquitto_sub'), *d.tls('fridge-07'), '-i', 'revoked', '-t', 'plant/#', '-q', '1', '-F', '%p', '-V', '5'])
    other = Process([find('mosquitto_sub'), *d.tls('desk'), '-i', 'loyal', '-c', '-t', 'plant/#', '-q', '1', '-F', '%p'])
    wait(lambda: all(('Sending SUBACK to ' + n) in d.read('log/mosquitto.log') for n in ('revoked', 'loyal')), 60)
    pid = d.pid('mosquitto')
    started = time.monotonic()
    revoke(d.ca, 'fridge-07')
    good = wait(lambda: d.pid('mosquitto') != pid and 'OpenSSL Error' in d.read('log/mosquitto.log').rsplit(' running', 1)[-1], 60)
    print('# the revoked member was cut off, and refused, after %.1f s' % (time.monotonic() - started))
    ok(good and not d.answers('fridge-07'), 'a revoked member is cut off, its live session included', d.runner.lines)

    def arrives():
        run(find('mosquitto_pub'), *d.tls('ward-3'), '-q', '1', '-t', 'plant/ward-3/x', '-m', 'after')
        return wait(lambda: 'after' in other.lines, 1)
    ok(wait(arrives, 40) and 'after' not in live.lines, 'the others go on with their sessions, and it hears nothing more',
       '%s %s' % (other.lines, live.lines))


def from_outside(d):
    for name, port in (('members', d.port), ('passwords', d.password_port)):
        testssl(d, 'the port for ' + name, port, [] if LONG else ['-p', '-s', '-U'] if name == 'members' else ['-p', '-s'])


def main():
    needs('mosquitto', 'mosquitto_pub', 'mosquitto_sub', 'nginx', 'openssl')
    d = Deployment(crl=True, options=['--password-port', str(free_port()), '--log-denials'])
    try:
        d.write('acl.local/meters.acl', 'user meter\ntopic readwrite meters/#\n')
        run('mosquitto_passwd', '-b', d.path('passwords'), 'meter', PASSWORD)
        d.init()
        d.start('--realm', d.ca)
        for part in (sessions, names_forged, strangers, mosquitto_clients, paho, mqtt_js, alarms, junk, many, from_outside, revoked):
            if os.environ.get('SEALMQ_ONLY', part.__name__) == part.__name__:
                started = time.monotonic()
                part(d)
                print('# %s: %.1f s' % (part.__name__, time.monotonic() - started), flush=True)
    finally:
        Process.stop_all()
        d.strike()
        shutil.rmtree(d.room, ignore_errors=True)
    return TAP.end()


sys.exit(main())
