#!/usr/bin/env python3
"""A real browser (Chromium, headless) over secure WebSockets through NGINX: a page that speaks MQTT itself, and one with
MQTT.js, publish and read what their ACL allows, and no more.

usage: test_browser.py SEALMQ ROOT
"""
import base64
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from sealed_rig import SEALMQ, TAP, find, free_port, ok, run, wait
from broker_rig import Deployment, find_mqtt_js, needs

PASSWORD = 'meter-password-1'
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync']
PAGE = r'''<!doctype html><meta charset="utf-8"><title>meters</title>
<script src="/mqtt.js"></script>
<script>
const o = WISH, enc = new TextEncoder(), dec = new TextDecoder();
const text = s => { const b = enc.encode(s); return [b.length >> 8, b.length & 255, ...b]; };
const packet = (kind, body) => new Uint8Array([kind, ...length(body.length), ...body]);
function length(n) { const out = []; do { let b = n % 128; n = n >> 7; if (n) b |= 128; out.push(b); } while (n); return out; }
/* MQTT 3.1.1 by hand: what is heard until nothing has come for a second. */
function byHand(c) {
  return new Promise(done => {
    const ws = new WebSocket('wss://localhost:' + o.port + '/mqtt', 'mqtt'), said = { connected: null, suback: null, acked: [], got: [] };
    let have = [], timer = 0;
    const end = () => { clearTimeout(timer); ws.onclose = null; ws.close(); done(said); };
    const later = ms => { clearTimeout(timer); timer = setTimeout(end, ms); };
    later(20000);
    ws.binaryType = 'arraybuffer';
    ws.onopen = () => ws.send(packet(0x10, [...text('MQTT'), 4, 2 | (c.user ? 0x80 : 0) | (c.password ? 0x40 : 0), 0, 60,
      ...text(c.id), ...(c.user ? text(c.user) : []), ...(c.password ? text(c.password) : [])]));
    ws.onerror = () => { said.error = true; };
    ws.onclose = end;
    ws.onmessage = e => {
      have.push(...new Uint8Array(e.data));
      for (;;) {
        let n = 0, at = 1, shift = 0;
        do { if (at >= have.length) return; n |= (have[at] & 127) << shift; shift += 7; } while (have[at++] & 128);
        if (have.length < at + n) return;
        take(have[0], have.slice(at, at + n));
        have = have.slice(at + n);
      }
    };
    function take(head, body) {
      if (head >> 4 === 2) {
        said.connected = body[1];
        if (body[1] === 0) ws.send(packet(0x82, [0, 1, ...text(c.read), 1]));
      } else if (head >> 4 === 9) {
        said.suback = body[2];
        c.write.forEach((t, i) => ws.send(packet(0x32, [...text(t), 0, i + 2, ...enc.encode('by hand')])));
      } else if (head >> 4 === 4) {
        said.acked.push(body[1] - 2);
      } else if (head >> 4 === 3) {
        const t = body[0] * 256 + body[1], qos = head >> 1 & 3, from = 2 + t + (qos ? 2 : 0);
        said.got.push(dec.decode(new Uint8Array(body.slice(2, 2 + t))) + ' ' + dec.decode(new Uint8Array(body.slice(from))));
        if (qos) ws.send(packet(0x40, body.slice(2 + t, 4 + t)));
      }
      if (said.acked.length === c.write.length) later(1000);
    }
  });
}
function byMqttJs(c) {
  return new Promise(done => {
    const said = { connected: null, got: [] };
    const m = mqtt.connect('wss://localhost:' + o.port + '/mqtt', { clientId: c.id, username: c.user, password: c.password,
      reconnectPeriod: 0, connectTimeout: 20000 });
    let acked = 0;
    const end = () => { m.end(true); done(said); };
    m.on('message', (t, p) => said.got.push(t + ' ' + p));
    m.on('error', e => { said.connected = e.code || String(e); });
    m.on('close', end);
    m.on('connect', () => { said.connected = 0; m.subscribe(c.read, { qos: 1 }, () => c.write.forEach(t =>
      m.publish(t, 'by MQTT.js', { qos: 1 }, () => { if (++acked === c.write.length) setTimeout(end, 1000); }))); });
  });
}
(async () => {
  const out = { browser: navigator.userAgent };
  for (const c of o.cases)
    out[c.id] = c.js && !window.mqtt ? null : await (c.js ? byMqttJs(c) : byHand(c));
  await fetch('/said', { method: 'POST', body: JSON.stringify(out) });
})();
</script>'''


def case(name, **more):
    return {'id': name, 'user': 'meter', 'password': PASSWORD, 'read': '#', 'write': ['plant/desk/x', 'meters/1'], **more}


CASES = [case('own'), case('own-js', js=True), case('wrong-password', password='guess'), case('nobody', user=None, password=None),
         case('a-members-name', user='desk', password='guess')]


class Site(http.server.BaseHTTPRequestHandler):
    page, script, said = '', '', []

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((self.script if self.path == '/mqtt.js' else self.page if self.path == '/' else '').encode())

    def do_POST(self):
        self.said.append(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def key_hash(path):
    """What Chromium calls a key: base64 of SHA-256 of its SubjectPublicKeyInfo."""
    with open(path, encoding='ascii') as file:
        public = subprocess.run(['openssl', 'x509', '-noout', '-pubkey'], input=file.read(), capture_output=True, text=True, check=True)
    der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'der'], input=public.stdout.encode(), capture_output=True, check=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


def visit(d, port, *more):
    """What the page says when a browser has opened it."""
    Site.said.clear()
    room = tempfile.mkdtemp(dir=d.room)
    with open(os.path.join(room, 'out'), 'wb') as out:
        browser = subprocess.Popen([find('chromium'), *FLAGS, '--remote-debugging-port=0', '--user-data-dir=' + os.path.join(room, 'profile'), *more,
                                    'http://localhost:%d/' % port], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                   start_new_session=True, env={**os.environ, 'HOME': room})
    try:
        wait(lambda: Site.said or browser.poll() is not None, 180)
    finally:
        try:
            os.killpg(browser.pid, signal.SIGKILL)  # its own group, made by start_new_session
        except ProcessLookupError:
            pass
        browser.wait(30)
    if not Site.said:
        with open(os.path.join(room, 'out'), encoding='utf-8', errors='replace') as out:
            ok(False, 'the browser opens the page', out.read()[-2000:])
        return {}
    return Site.said[0]


def main():
    needs('mosquitto', 'mosquitto_pub', 'nginx', 'openssl', 'chromium')
    d = Deployment(options=['--password-port', str(free_port()), '--wss-port', str(free_port())])
    site = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    try:
        d.write('acl.local/meters.acl', 'user meter\ntopic readwrite meters/#\n')
        run('mosquitto_passwd', '-b', d.path('passwords'), 'meter', PASSWORD)
        d.init()
        d.start('--realm', d.ca)
        Site.page = PAGE.replace('WISH', json.dumps({'port': d.events('ready')[0]['wss_port'], 'cases': CASES}))
        place = find_mqtt_js('dist/mqtt.min.js')
        if place:
            with open(os.path.join(place, 'mqtt', 'dist', 'mqtt.min.js'), encoding='utf-8') as file:
                Site.script = file.read()
        kept = run('mosquitto_pub', *d.tls('desk'), '-q', '1', '-r', '-t', 'plant/desk/kept', '-m', 'not for meters')
        ok(kept[0] == 0, 'something is there that is not for it', kept)
        said = visit(d, site.server_port, '--ignore-certificate-errors-spki-list=' + key_hash(d.path('certs/server.crt')))
        print('# ' + str(said.get('browser')))
        own = said.get('own', {})
        ok(own.get('connected') == 0 and own.get('suback') == 1, 'a page connects over wss with name and password', own)
        ok(own.get('got') == ['meters/1 by hand'] and own.get('acked') == [0, 1], 'it reads and writes what its ACL allows, and no more', own)
        for name, how in (('wrong-password', 'a wrong password'), ('nobody', 'no name'), ('a-members-name', 'a member\'s name')):
            one = said.get(name, {})
            ok(one.get('connected') not in (0, None) and not one.get('got'), 'refused: ' + how, one)
        if said.get('own-js'):
            ok(said['own-js'] == {'connected': 0, 'got': ['meters/1 by MQTT.js']}, 'the same with MQTT.js in the page', said['own-js'])
        else:
            TAP.skip('MQTT.js in the page', 'it is not installed, and npm cannot fetch it')
        said = visit(d, site.server_port)
        ok(said and all(said[c['id']]['connected'] is None or c.get('js') for c in CASES if said[c['id']]) and
           not any(one and one['got'] for one in (said[c['id']] for c in CASES)),
           'a browser that does not trust the realm\'s root says nothing to the broker', said)
    finally:
        site.shutdown()
        d.strike()
        shutil.rmtree(d.room, ignore_errors=True)
    return TAP.end()


sys.exit(main())
