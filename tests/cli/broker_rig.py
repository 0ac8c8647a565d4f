"""A deployment made by `sealmq broker init` and run by `sealmq broker run` on free loopback ports."""
import json
import os
import shutil
import signal
import ssl
import socket
import subprocess
import tempfile

from sealed_rig import SEALMQ, TAP, Process, find, ok, run, wait


MQTT_JS = '''
const mqtt = require('mqtt'), fs = require('fs');
const o = JSON.parse(process.argv[2]), got = [];
const c = mqtt.connect({ host: 'localhost', port: o.port, protocol: o.protocol || 'mqtts', path: '/mqtt', ca: fs.readFileSync(o.ca), clientId: 'mqttjs',
  cert: o.cert && fs.readFileSync(o.cert), key: o.key && fs.readFileSync(o.key), username: o.user, password: o.password,
  reconnectPeriod: 0, connectTimeout: 20000 });
let done = false;
const end = connected => { if (!done) { done = true; console.log(JSON.stringify({ connected, got })); c.end(true, () => process.exit(0)); } };
c.on('message', (topic, payload) => { got.push(topic + ' ' + payload); if (got.length >= o.expect) setTimeout(() => end(0), 300); });
c.on('error', e => end(String(e.code || e)));
c.on('close', () => end(-1));
c.on('connect', () => c.subscribe(o.read, { qos: 1 }, () => o.write.forEach(t => c.publish(t, 'from mqttjs', { qos: 1 }))));
setTimeout(() => end(0), 25000);
'''


def find_mqtt_js(file=''):
    """A place from which node finds it, with that file of it: installed, or fetched by npm once into the build directory."""
    own = os.path.abspath('mqtt.js')
    places = ['/usr/share/nodejs', os.path.join(own, 'node_modules'), '/usr/lib/node_modules']
    for attempt in (1, 2):
        for place in places:
            if os.path.exists(os.path.join(place, 'mqtt', file)):
                return place
        if attempt == 1 and find('npm'):
            os.makedirs(own, exist_ok=True)
            try:
                subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--no-save', '--fetch-retries', '0', '--prefix',
                                own, 'mqtt@5.16.0'], capture_output=True, timeout=60)
            except subprocess.TimeoutExpired:
                pass
    return None


def revoke(ca, name):
    """The authority revokes all certificates of that name; without one it makes a list that revokes nobody."""
    status, _, err = run(SEALMQ, 'ca', *(['revoke', name] if name else ['crl']), '--ca', ca)
    if status:
        raise RuntimeError('ca revoke: %d: %s' % (status, err))


class Deployment:
    def __init__(self, members=('desk', 'fridge-07', 'ward-3'), crl=False, options=()):
        self.room = tempfile.mkdtemp(prefix='sealmq-deploy-')
        self.ca, self.dir = os.path.join(self.room, 'plant'), os.path.join(self.room, 'mqtt')
        self.must(SEALMQ, 'ca', 'init', self.ca)
        for name in members:
            self.must(SEALMQ, 'ca', 'issue', name, '--ca', self.ca)
        if crl and not os.path.exists(os.path.join(self.ca, 'crl.pem')):
            revoke(self.ca, None)
        self.options = list(options)
        self.init()
        self.runner, self.port, self.password_port = None, 0, 0

    @staticmethod
    def must(*words):
        status, out, err = run(*words)
        if status:
            raise RuntimeError('%s: %d: %s%s' % (' '.join(words), status, out, err))
        return out

    def init(self, *more):
        self.must(SEALMQ, 'broker', 'init', self.dir, '--realm', self.ca, *self.options, *more)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def member(self, name, file=''):
        return os.path.join(self.ca, 'members', name, file).rstrip('/')

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(text)

    def read(self, name):
        try:
            with open(self.path(name), encoding='utf-8', errors='replace') as file:
                return file.read()
        except OSError:
            return ''

    # ---- running it ----

    def start(self, *more, seconds=40):
        self.runner = Process([SEALMQ, 'broker', 'run', self.dir, '--free-ports', '--json', *more])
        wait(lambda: self.events('ready') or self.runner.child.poll() is not None, seconds)
        if not self.events('ready'):
            raise RuntimeError('does not run: %s %s' % (self.runner.lines, self.runner.said))
        self.port = self.events('ready')[0]['port']
        self.password_port = self.events('ready')[0].get('password_port', 0)

    def events(self, kind, program=None):
        said = [json.loads(line) for line in list(self.runner.lines)]
        return [e for e in said if e['event'] == kind and program in (None, e.get('program'))]

    def pid(self, program):
        return self.events('started', program)[-1]['pid']

    def context(self, name=None):
        context = ssl.create_default_context(cafile=os.path.join(self.ca, 'root.crt'))
        if name:
            context.load_cert_chain(self.member(name, 'member.crt'), self.member(name, 'member.key'))
        return context

    def answers(self, name='desk', port=None):
        """Whether a member's CONNECT is answered with success."""
        try:
            with socket.create_connection(('127.0.0.1', port or self.port), 5) as plain:
                with self.context(name).wrap_socket(plain, server_hostname='localhost') as link:
                    link.sendall(b'\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05probe')
                    return link.recv(4) == b'\x20\x02\0\0'
        except OSError:
            return False

    def tls(self, name):
        return ['-h', 'localhost', '-p', str(self.port), '--cafile', self.member(name, 'root.crt'),
                '--cert', self.member(name, 'member.crt'), '--key', self.member(name, 'member.key')]

    def strike(self):
        if self.runner and self.runner.child.poll() is None:
            self.runner.stop(signal.SIGTERM, 60)
        shutil.rmtree(self.room, ignore_errors=True)


# What testssl says of certificates for the public web, and of names that no DNS knows; all else counts.
NOT_OURS = {'cert_revocation': 'revocation lists of a realm come by MQTT or as files, and clients do not judge the broker by an URI',
            'DNS_CAArecord': 'localhost has no DNS'}


def testssl(d, name, port, kinds=()):
    """testssl finds nothing of severity low or worse at a port but NOT_OURS, TLS 1.3 and nothing else."""
    if not find('testssl'):
        TAP.skip('testssl at ' + name, 'testssl.sh is not installed')
        return
    out = os.path.join(d.room, 'testssl-%d.json' % port)
    done = run('testssl', '--quiet', '--color', '0', '--warnings', 'off', '--ip', 'one', '--severity', 'LOW', '--jsonfile', out, *kinds,
               '--add-ca', os.path.join(d.ca, 'root.crt'), 'localhost:%d' % port, seconds=1200)
    try:
        with open(out, encoding='utf-8') as file:
            found = [f for f in json.load(file) if f['severity'] in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')]
        for f in found:
            if f['id'] in NOT_OURS:
                print('# testssl, left out: %s %s (%s)' % (f['severity'], f['id'], NOT_OURS[f['id']]))
        found = [f for f in found if f['id'] not in NOT_OURS]
    except (OSError, ValueError):
        found = ['no answer']
    lines = [line.strip() for line in done[1].splitlines()]
    tls13 = any(line.startswith('TLS 1.3') and ' offered' in line and 'not offered' not in line for line in lines)
    old = [line for line in lines if line.startswith(('SSLv2 ', 'SSLv3 ', 'TLS 1 ', 'TLS 1.1 ', 'TLS 1.2 '))]
    ok(tls13 and not found and old and all('not offered' in line for line in old[:5]), 'testssl finds nothing at ' + name,
       '%s\n%s' % (found, done[1][-2000:]))


def needs(*programs):
    missing = [name for name in programs if not find(name)]
    if missing:
        print('1..0 # SKIP not installed: ' + ', '.join(missing))
        raise SystemExit(0)


def sanitized():
    """Whether all was built with a sanitizer: Mosquitto, which was not, cannot load such a plugin."""
    with open(SEALMQ, 'rb') as file:
        return b'__asan_init' in file.read()


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False
