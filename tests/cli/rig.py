"""What the command-line tests need: TAP output, a private broker, and runs of the tools.

A test is a function named test_*; it asserts, or raises Skip. main() runs those of the calling module.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools'))
from ports import free_port  # noqa: E402

SEALMQ = os.environ.get('SEALMQ', 'sealmq')
BROKER = shutil.which('mosquitto', path=os.environ.get('PATH', '') + ':/usr/sbin:/usr/local/sbin')
CLIENTS = shutil.which('mosquitto_pub') and shutil.which('mosquitto_sub')
LIMIT = 60  # seconds after which a run has failed


class Skip(Exception):
    pass


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err.decode('utf-8', 'replace')

    def __repr__(self):
        return 'status %d, out %r, err %r' % (self.code, self.out[:400], self.err[:800])


def wait(condition, seconds=LIMIT):
    """The condition's value once it holds, or at the end."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > until:
            return value
        time.sleep(0.01)


class Broker:
    """mosquitto on a loopback port of its own; with users: only they may in, and only on topics below open/."""

    def __init__(self, users=None, port=None, psk=None):
        self.dir = tempfile.mkdtemp(prefix='sealmq-cli-')
        os.chmod(self.dir, 0o755)
        self.port = port or free_port()
        lines = ['listener %d 127.0.0.1' % self.port, 'allow_anonymous %s' % ('false' if users else 'true'),
                 'max_queued_messages 0', 'persistence false', 'log_type all']
        if os.getuid() == 0:
            lines.append('user root')
        if users:
            passwords, acl = self.path('passwords'), self.path('acl')
            for n, (name, word) in enumerate(users.items()):
                subprocess.run(['mosquitto_passwd', '-b'] + (['-c'] if n == 0 else []) + [passwords, name, word], check=True,
                               stderr=subprocess.DEVNULL)
            with open(acl, 'w', encoding='utf-8') as f:
                f.write('topic readwrite open/#\n' + ''.join('user %s\ntopic readwrite open/#\n' % u for u in users))
            lines += ['password_file ' + passwords, 'acl_file ' + acl]
        if psk:
            with open(self.path('psk'), 'w', encoding='ascii') as f:
                f.write(psk + '\n')
            lines += ['psk_hint here', 'psk_file ' + self.path('psk')]
        with open(self.path('conf'), 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')
        self.process = None
        self.start()

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self):
        with open(self.path('log'), 'ab') as log:
            self.process = subprocess.Popen([BROKER, '-c', self.path('conf')], stdout=log, stderr=log)
        if not wait(self.answers):
            raise RuntimeError('the broker did not start: ' + self.log())

    def answers(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), 0.2).close()
            return True
        except OSError:
            return False

    def log(self):
        with open(self.path('log'), encoding='utf-8', errors='replace') as log:
            return log.read()

    def count(self, text):
        return self.log().count(text)

    def granted(self, topic):
        """How often this filter was acknowledged so far."""
        done = self.log().rpartition('Sending SUBACK')[0]
        return len(re.findall(r'^\d+: \S+ \d %s$' % re.escape(topic), done, re.M))

    def subscriber(self, start, topics):
        """What start() returns, once the broker has acknowledged its filters."""
        before = {topic: self.granted(topic) for topic in topics}
        run = start()
        process = getattr(run, 'process', run)
        wait(lambda: process.poll() is not None or all(self.granted(topic) > count for topic, count in before.items()))
        return run

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.process.send_signal(sig)
            self.process.wait(LIMIT)
            self.process = None

    def close(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


def clean_environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith('SEALMQ')}
    env.update(HOME='/nonexistent', TZ='UTC', LC_ALL='C.UTF-8')
    env.pop('XDG_CONFIG_HOME', None)
    env.update(more)
    return env


class Run:
    """A tool in the background."""

    def __init__(self, args, stdin=None, **env):
        self.process = subprocess.Popen([os.fsencode(a) if isinstance(a, str) else a for a in args],
                                        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(**env))
        self.stdin = stdin or None

    def end(self, sig=None, limit=LIMIT):
        if sig:
            self.process.send_signal(sig)
        try:
            out, err = self.process.communicate(self.stdin, limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError('still running after %d s: %r' % (limit, Result(-1, out, err))) from None
        return Result(self.process.returncode, out, err)


def topics_of(args):
    return [args[i + 1] for i, word in enumerate(args[:-1]) if word in ('-t', '--topic')]


def run(args, stdin=None, **env):
    return Run(args, stdin, **env).end()


def main(module):
    tests = [(n, f) for n, f in vars(module).items() if n.startswith('test_') and callable(f)]
    failed = 0
    print('1..%d' % len(tests), flush=True)
    for number, (name, function) in enumerate(tests, 1):
        title = '%d - %s' % (number, name[5:].replace('_', ' '))
        try:
            if not BROKER or not CLIENTS:
                raise Skip('mosquitto and mosquitto-clients are not installed')
            function()
            print('ok ' + title, flush=True)
        except Skip as why:
            print('ok %s # SKIP %s' % (title, why), flush=True)
        except Exception:  # a test must not end the others
            failed += 1
            print('not ok ' + title)
            print('\n'.join('# ' + line for line in traceback.format_exc().splitlines()), flush=True)
    sys.exit(1 if failed else 0)
