"""The stage: a realm, a private Mosquitto with TLS and certificates for everybody, and how each program is called."""
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time

from programs import Failure

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from ports import free_port  # noqa: E402

REALM = 'clinic'
READER, OBSERVER, BROKER = 'dashboard', 'observer', 'broker'
FRIDGE, WARD, PUMP = 'fridge-07', 'ward-3', 'pump-2'
PUBLISHERS = (FRIDGE, WARD, PUMP)
ELSEWHERE = REALM + '/pump-9'  # where the broker moves a message of pump-2
EVERYTHING = REALM + '/#'


def topic_of(member):
    return '%s/%s' % (REALM, member)


def find_program(name, *places):
    """Absolute path; packages put daemons where a user's PATH does not look."""
    for place in places:
        if place and os.access(place, os.X_OK):
            return os.path.abspath(place)
    found = shutil.which(name, path=os.environ.get('PATH', os.defpath) + ':/usr/sbin:/usr/local/sbin:/sbin')
    if not found:
        raise Failure('%s is not installed; ./run demo installs it, or: apt install mosquitto mosquitto-clients' % name)
    return found


def private(path, flags):
    return os.open(path, flags, 0o600)


class Stage:
    def __init__(self, programs, sealmq, port, rotate_every):
        self.programs, self.sealmq = programs, sealmq
        self.mosquitto = find_program('mosquitto')
        self.mosquitto_sub = find_program('mosquitto_sub')
        self.mosquitto_pub = find_program('mosquitto_pub')
        self.wanted_port, self.port = port, port
        self.rotate_every = rotate_every
        self.dir = tempfile.mkdtemp(prefix='sealmq-demo-')
        self.log = os.path.join(self.dir, 'mosquitto.log')
        self.ca = os.path.join(self.dir, REALM)
        self.broker = None
        self.admitted = {}  # members of the second act: topics to write, filters to read

    def path(self, *names):
        return os.path.join(self.dir, *names)

    # ---- identities ----

    def make_realm(self):
        self.programs.run([self.sealmq, 'ca', 'init', self.ca])
        for name in (READER,) + PUBLISHERS + (OBSERVER,):
            self.issue(name)
        self.issue(BROKER, '--role', 'broker', '--dns', 'localhost', '--ip', '127.0.0.1')

    def issue(self, name, *more):
        self.programs.run([self.sealmq, 'ca', 'issue', name, '--ca', self.ca] + list(more))

    def member(self, name, file=''):
        return os.path.join(self.ca, 'members', name, file).rstrip('/')

    # ---- the broker ----

    def start_broker(self):
        self.write_acl(None)
        attempts = 1 if self.wanted_port else 5
        for attempt in range(attempts):
            self.port = self.wanted_port or free_port()
            self.write_config()
            self.broker = self.programs.start('mosquitto', self.broker_argv())
            self.broker.expected_to_end = True
            if self.wait_for_broker():
                self.broker.expected_to_end = False
                return
            self.programs.stop([self.broker])
            if not self.port_is_taken():
                break
        if self.port_is_taken():
            raise Failure('port %d is taken; choose another with --port' % self.port)
        raise Failure('mosquitto did not start: %s' % self.last_log_line())

    def broker_argv(self):
        return [self.mosquitto, '-c', self.path('mosquitto.conf')]

    def leave_broker(self):
        """A broker that goes on after us, on the same port, with the same realm; its process id."""
        self.programs.stop([self.broker])
        os.unlink(self.log)
        self.write_config(('error', 'warning', 'notice', 'information'))  # it may run for long
        self.broker = self.programs.start('mosquitto', self.broker_argv(), survives=True)
        if not self.wait_for_broker():
            raise Failure('mosquitto did not start again: %s' % self.last_log_line())
        self.programs.let_go(self.broker)
        return self.broker.process.pid

    def wait_for_broker(self):
        until = time.monotonic() + 10
        while time.monotonic() < until and self.broker.process.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(('127.0.0.1', self.port)) == 0 and self.broker.process.poll() is None:
                    # Somebody else may be listening there: it is ours once it has said that it runs.
                    if re.search(r'mosquitto version \S+ running', self.log_text()):
                        return True
            self.programs.turn(0.02)
        return False

    def port_is_taken(self):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(('127.0.0.1', self.port))
            except OSError:
                return True
        return False

    def write_config(self, log_types=('all',)):
        lines = ['# A private broker: one listener on loopback, nobody without a certificate of this realm.',
                 'per_listener_settings false',
                 'listener %d 127.0.0.1' % self.port,
                 'cafile %s' % self.member(BROKER, 'root.crt'),
                 'certfile %s' % self.member(BROKER, 'server.crt'),
                 'keyfile %s' % self.member(BROKER, 'server.key'),
                 'tls_version tlsv1.3',
                 'require_certificate true',
                 'use_identity_as_username true',
                 'allow_anonymous false',
                 'acl_file %s' % self.path('acl'),
                 'set_tcp_nodelay true',
                 'persistence false',
                 'log_dest file %s' % self.log,
                 'connection_messages true'] + ['log_type ' + kind for kind in log_types]
        if os.geteuid() == 0:
            lines.append('user root')  # else it becomes `mosquitto`, which may not read this directory
        self.write('mosquitto.conf', lines)

    def write_acl(self, withheld):
        """Who may do what. The observer stands for the broker itself, which can do anything."""
        control = 'topic readwrite sealmq/#'
        lines = ['user %s' % READER, 'topic read %s' % EVERYTHING, control]
        if withheld:
            lines.append('topic deny %s' % topic_of(withheld))
        for name in PUBLISHERS:
            lines += ['user %s' % name, 'topic write %s' % topic_of(name), control]
        for name, (writes, reads) in self.admitted.items():
            lines += ['user %s' % name, control] + ['topic write %s' % t for t in writes] + [
                'topic read %s' % t for t in reads]
        lines += ['user %s' % OBSERVER, 'topic read #', 'topic readwrite %s' % EVERYTHING]
        self.write('acl', lines)

    def admit(self, members):
        """More members, at a running broker."""
        self.admitted = members
        self.withhold(None)

    def withhold(self, member):
        """The broker keeps what this member sends from the reader; None: nobody's."""
        before = self.log_count('Reloading config')
        self.write_acl(member)
        self.broker.process.send_signal(signal.SIGHUP)
        self.wait_log(lambda: self.log_count('Reloading config') > before, 'mosquitto did not reload its ACL')

    def write(self, name, lines):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')

    # ---- its log: how we know that somebody has subscribed ----

    def log_text(self):
        try:
            with open(self.log, encoding='utf-8', errors='replace') as file:
                return file.read()
        except OSError:
            return ''

    def log_count(self, text):
        return self.log_text().count(text)

    def logged(self, text):
        return text in self.log_text()

    def last_log_line(self):
        lines = [line for line in self.log_text().split('\n') if line]
        return lines[-1].split(': ', 1)[-1] if lines else 'it said nothing'

    def wait_log(self, condition, otherwise, seconds=10):
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise Failure(otherwise)
            self.programs.turn(0.02)

    def wait_subscribed(self, client_id):
        self.wait_log(lambda: self.logged('Sending SUBACK to %s' % client_id),
                      '%s could not subscribe at the broker: %s' % (client_id, self.last_log_line()))

    # ---- how the programs are called ----

    def tls(self, member):
        return ['-h', 'localhost', '-p', str(self.port), '--cafile', self.member(member, 'root.crt'),
                '--cert', self.member(member, 'member.crt'), '--key', self.member(member, 'member.key')]

    def sub(self):
        return [self.sealmq, 'sub', '--realm', self.member(READER)] + self.tls(READER) + [
            '-i', READER, '-t', EVERYTHING, '-q', '1', '--from', ','.join(PUBLISHERS), '-F', '%j',
            '--rotate-every', str(self.rotate_every), '--stats', '1']

    def pub(self, member, *what, plain=False):
        return [self.sealmq, 'pub', '--realm', self.member(member)] + self.tls(member) + [
            '-i', member, '-t', topic_of(member), '-q', '1'] + list(what) + (
                ['--plain'] if plain else ['--to', READER, '--rotate-every', str(self.rotate_every)])

    def eye(self, name='eye', topic='#'):
        return [self.mosquitto_sub] + self.tls(OBSERVER) + ['-V', '5', '-i', name, '-t', topic, '-q', '1',
                                                            '-F', '%t %x']

    def inject(self, topic, payload):
        """The broker's hand: mosquitto_pub sends exactly these bytes."""
        self.programs.run([self.mosquitto_pub] + self.tls(OBSERVER) + ['-V', '5', '-i', 'hand', '-t', topic, '-q', '1',
                                                                       '-s'], data=payload)

    def options_file(self, member):
        """For -o: everything about the connection and the realm, so that what is typed is short."""
        words = ['--realm', self.member(member)] + self.tls(member)
        self.write(member + '.options', ['%s %s' % pair for pair in zip(words[::2], words[1::2])])
        return self.path(member + '.options')

    # ---- the end ----

    def strike(self):
        shutil.rmtree(self.dir, ignore_errors=True)
