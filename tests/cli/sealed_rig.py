"""What the tests of sealed traffic stand on: a realm, a private Mosquitto with TLS, and the tool as a process.

The broker listens on a free loopback port with a certificate of the realm, asks for client certificates, and takes the
name in them as user name. Every process is ended by its own handle.
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

SEALMQ, ROOT = (os.path.abspath(path) for path in sys.argv[1:3])
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from ports import free_port  # noqa: E402
from tap import Tap  # noqa: E402

TAP = Tap()
LONG = bool(os.environ.get('SEALMQ_LONG'))
ASAN_ENV = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=1:exitcode=99'}
SEARCH = os.environ.get('PATH', os.defpath) + ':/usr/sbin:/usr/local/sbin:/sbin'


def ok(good, name, details=''):
    return TAP.row(bool(good), name, str(details).splitlines()[-40:])


def find(name):
    return shutil.which(name, path=SEARCH)


def environ(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith('SEALMQ_')}
    clean.update(HOME='/nonexistent', **ASAN_ENV)
    clean.update(more)
    return clean


def run(*words, stdin=None, seconds=90, cwd=None, **env):
    """A command to its end; (status, stdout, stderr)."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run(words, input=stdin, capture_output=True, env=environ(**env), timeout=seconds, cwd=cwd,
                          stdin=subprocess.DEVNULL if stdin is None else None)
    return done.returncode, done.stdout.decode('utf-8', 'replace'), done.stderr.decode('utf-8', 'replace')


def measured(bench, **data):
    """What was measured, for the documents: a line of JSON at the end of $SEALMQ_MEASURED (tools/measured.py reads it)."""
    path = os.environ.get('SEALMQ_MEASURED')
    if path:
        with open(path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(dict(bench=bench, **data)) + '\n')


def wait(condition, seconds=60):
    """The condition's value once it holds, or at the end."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > until:
            return value
        time.sleep(0.02)


def begun(said, group):
    """The epochs that these lines of -d tell to have begun. What is sealed under one is for all who have joined it;
    what others seal before it begins is not for who has just joined."""
    said = [line.split("group '%s': " % group)[-1].rstrip('"}') for line in list(said)]
    return {int(at.group(1)) for at in (re.fullmatch(r'(?:joined at )?epoch (\d+)(?:, \d+ ms)?', line) for line in said) if at}


def ready(said):
    """How many joins of these lines are granted, at an epoch that has begun."""
    at = [re.search(r"group '([^']+)': joined at epoch (\d+)", line) for line in list(said)]
    return sum(int(found.group(2)) in begun(said, found.group(1)) for found in at if found)


def joined(process, seconds=60, groups=1):
    return wait(lambda: ready(process.said) >= groups, seconds)


class Process:
    """A running program whose output is collected by line."""
    alive = []

    def __init__(self, words, **env):
        self.words = words
        self.lines, self.said = [], []
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env=environ(**env))
        self.readers = [threading.Thread(target=self.read, args=pair, daemon=True)
                        for pair in ((self.child.stdout, self.lines), (self.child.stderr, self.said))]
        for reader in self.readers:
            reader.start()
        Process.alive.append(self)

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.append(line.decode('utf-8', 'replace').rstrip('\n'))

    def write(self, *lines):
        try:
            self.child.stdin.write(''.join(line + '\n' for line in lines).encode())
            self.child.stdin.flush()
        except BrokenPipeError:
            pass

    def close(self):
        try:
            self.child.stdin.close()
        except BrokenPipeError:
            pass

    def end(self, seconds=60):
        """Its status once it has ended; None if it does not."""
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        for reader in self.readers:
            reader.join(2)
        return status

    def stop(self, number=signal.SIGTERM, seconds=60):
        if self.child.poll() is None:
            self.child.send_signal(number)
        status = self.end(seconds)
        if status is None:
            self.child.kill()
            self.child.wait()
        return status

    def rss_mib(self):
        with open('/proc/%d/status' % self.child.pid, encoding='ascii') as file:
            found = re.search(r'VmRSS:\s+(\d+)', file.read())
        return int(found.group(1)) / 1024 if found else 0

    def got(self, count, seconds=60):
        return wait(lambda: len(self.lines) >= count, seconds)

    def says(self, text, seconds=60):
        return wait(lambda: any(text in line for line in self.said), seconds)

    def refusals(self):
        return [found.group(1) for line in self.said for found in [re.search(r': refused: ([\w-]+):', line)] if found]

    def total(self, word):
        """A number of the last line of --stats, by the word before it."""
        lines = [line for line in self.said if line.startswith('stats in all')]
        found = re.search(re.escape(word) + r' (\d+)', lines[-1]) if lines else None
        return int(found.group(1)) if found else 0

    def opened(self):
        lines = [line for line in self.said if line.startswith('stats in all')]
        found = re.search(r': (\d+) messages', lines[-1]) if lines else None
        return int(found.group(1)) if found else -1

    @classmethod
    def stop_all(cls):
        for process in cls.alive:
            if process.child.poll() is None:
                process.child.kill()
                process.child.wait()


class Hand:
    """The broker's hand: publishes exactly these bytes, at QoS 0, many a second."""

    def __init__(self, stage):
        context = ssl.create_default_context(cafile=stage.member('observer', 'root.crt'))
        context.load_cert_chain(stage.member('observer', 'member.crt'), stage.member('observer', 'member.key'))
        self.link = context.wrap_socket(socket.create_connection(('127.0.0.1', stage.port)),
                                        server_hostname='localhost')
        name = b'hand%08x' % random.getrandbits(32)
        self.packet(0x10, b'\0\x04MQTT\x04\x02\0\0' + self.text(name))
        self.link.recv(4)

    @staticmethod
    def text(words):
        return len(words).to_bytes(2, 'big') + words

    def packet(self, kind, body):
        left, length = len(body), b''
        while True:
            length += bytes([left % 128 | (128 if left > 127 else 0)])
            left //= 128
            if not left:
                break
        self.link.sendall(bytes([kind]) + length + body)

    def put(self, topic, payload, retain=False):
        self.packet(0x31 if retain else 0x30, self.text(topic if isinstance(topic, bytes) else topic.encode()) + payload)

    def settle(self):
        """Returns when the broker has taken all of it."""
        self.packet(0xc0, b'')
        self.link.recv(2)

    def close(self):
        self.link.close()


class Stage:
    MEMBERS = ('desk', 'fridge-07', 'ward-3', 'pump-2', 'observer')

    def __init__(self, members=MEMBERS):
        self.dir = tempfile.mkdtemp(prefix='sealmq-sealed-')
        self.ca = self.path('plant')
        self.log = self.path('mosquitto.log')
        self.broker, self.extra = None, []
        self.must(SEALMQ, 'ca', 'init', self.ca)
        for name in members:
            self.issue(name)
        self.issue('broker', '--role', 'broker', '--dns', 'localhost', '--ip', '127.0.0.1')
        self.server = 'broker'
        self.port = free_port()
        self.acl = None

    def path(self, *names):
        return os.path.join(self.dir, *names)

    @staticmethod
    def must(*words):
        status, out, err = run(*words)
        if status:
            raise RuntimeError('%s: %d: %s%s' % (' '.join(words), status, out, err))
        return out

    def issue(self, name, *more):
        self.must(SEALMQ, 'ca', 'issue', name, '--ca', self.ca, *more)

    def member(self, name, file=''):
        return os.path.join(self.ca, 'members', name, file).rstrip('/')

    # ---- the broker ----

    def configure(self):
        lines = ['listener %d 127.0.0.1' % self.port, 'cafile ' + self.member('broker', 'root.crt'),
                 'certfile ' + self.member(self.server, 'server.crt'),
                 'keyfile ' + self.member(self.server, 'server.key'), 'tls_version tlsv1.3',
                 'require_certificate true', 'use_identity_as_username true', 'allow_anonymous false',
                 'set_tcp_nodelay true', 'max_queued_messages 0', 'max_inflight_messages 0', 'persistence true',
                 'persistence_location %s/' % self.dir, 'autosave_on_changes true', 'autosave_interval 1',
                 'log_dest file ' + self.log, 'log_type all'] + self.extra
        if os.geteuid() == 0:
            lines.append('user root')
        if self.acl:
            with open(self.path('acl'), 'w', encoding='utf-8') as file:
                file.write('\n'.join(self.acl) + '\n')
            lines.append('acl_file ' + self.path('acl'))
        with open(self.path('mosquitto.conf'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')

    def start(self):
        for _ in range(5):
            self.configure()
            before = self.log_text().count(' running')
            self.broker = subprocess.Popen([find('mosquitto'), '-c', self.path('mosquitto.conf')],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if wait(lambda: self.log_text().count(' running') > before or self.broker.poll() is not None) and \
                    self.broker.poll() is None:
                return
            self.kill()
            self.port = free_port()
        raise RuntimeError('mosquitto does not start: ' + self.log_text()[-300:])

    def kill(self, number=signal.SIGKILL):
        if self.broker and self.broker.poll() is None:
            self.broker.send_signal(number)
            self.broker.wait(10)

    def restart(self, number=signal.SIGKILL):
        self.kill(number)
        self.start()

    def log_text(self):
        try:
            with open(self.log, encoding='utf-8', errors='replace') as file:
                return file.read()
        except OSError:
            return ''

    # ---- the programs ----

    def tls(self, name):
        return ['-h', 'localhost', '-p', str(self.port), '--cafile', self.member(name, 'root.crt'),
                '--cert', self.member(name, 'member.crt'), '--key', self.member(name, 'member.key')]

    def words(self, command, name, *more):
        return [SEALMQ, command, '--realm', self.member(name)] + self.tls(name) + list(more)

    def sub(self, name, *more, ready=True, **env):
        """Subscribes, and waits until the broker has said so."""
        client = 'sub%08x' % random.getrandbits(32)
        process = Process(self.words('sub', name, '-i', client, *more), **env)
        if ready:
            topic = more[len(more) - 1 - more[::-1].index('-t') + 1]
            wait(lambda: self.subscribed(client, topic) or process.child.poll() is not None)
        return process

    def subscribed(self, client, topic):
        """Whether the broker has answered that subscription; those of the key exchange come first."""
        found = re.search(r'%s \d %s\n' % (client, re.escape(topic)), self.log_text())
        return found and 'Sending SUBACK to ' + client in self.log_text()[found.end():]

    def pub(self, name, *more, **env):
        return Process(self.words('pub', name, *more), **env)

    def pub_now(self, name, *more, **options):
        return run(*self.words('pub', name, *more), **options)

    def eye(self, *more):
        """The broker's eye: `topic hex` by line."""
        client = 'eye%08x' % random.getrandbits(32)
        process = Process([find('mosquitto_sub')] + self.tls('observer') +
                          ['-V', '5', '-q', '2', '-i', client, '-F', '%t %x', *(more or ('-t', '#'))])
        wait(lambda: 'Sending SUBACK to ' + client in self.log_text())
        return process

    def hand(self):
        return Hand(self)

    def strike(self):
        Process.stop_all()
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def needs_programs():
    for name in ('mosquitto', 'mosquitto_sub', 'mosquitto_pub', 'openssl'):
        if not find(name):
            print('1..0 # SKIP %s is not installed' % name)
            sys.exit(0)


def play(scenes):
    """Runs the scenes on one stage each class asks for; SEALMQ_ONLY=name plays one."""
    needs_programs()
    stage = Stage()
    started = time.monotonic()
    try:
        stage.start()
        for scene in scenes:
            if os.environ.get('SEALMQ_ONLY', scene.__name__) != scene.__name__:
                continue
            before = time.monotonic()
            try:
                scene(stage)
            except Exception as failure:  # a scene that breaks is a failed row, the others go on
                ok(False, '%s: %s: %s' % (scene.__name__, type(failure).__name__, failure))
            Process.stop_all()
            if stage.broker.poll() is not None:
                stage.start()
            print('# %s: %.1f s' % (scene.__name__, time.monotonic() - before), flush=True)
    finally:
        stage.strike()
    print('# %.1f s in all' % (time.monotonic() - started))
    return TAP.end()
