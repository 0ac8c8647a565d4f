"""What the tests of record and query stand on: a realm with a group, a private broker, recorders as processes."""
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SEALMQ, ROOT = os.path.abspath(sys.argv[1]), sys.argv[2]
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from ports import free_port  # noqa: E402
from tap import Tap  # noqa: E402

TAP = Tap()
SEARCH = os.environ.get('PATH', os.defpath) + ':/usr/sbin:/usr/local/sbin'
ENERGY = '''
name: energy
topic: audit/{sender}/energy
time: { field: measured_timestamp, format: rfc3339, past: 30d, future: 60 }
fields:
  auditor_id: { type: text, is_sender: true }
  measured_timestamp: { type: text }
  measure_type: { type: text }
  measure: { type: number, type_from: measure_type }
readings:
  electricity_kwh: { unit: kWh, min: 0, max: 100000 }
  gas_m3: { unit: m3, min: 0, max: 100000 }
'''


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def stamp(ago=0):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - ago))


class World:
    def __init__(self, members=('aud-1', 'aud-2', 'centre'), inflight=100):
        self.dir = tempfile.mkdtemp(prefix='sealmq-record-')
        self.port, self.alive = free_port(), []
        conf = self.path('mosquitto.conf')
        with open(conf, 'w', encoding='utf-8') as file:
            file.write('listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n'
                       'max_inflight_messages %d\nset_tcp_nodelay true\n' % (self.port, inflight))
        self.broker = subprocess.Popen([shutil.which('mosquitto', path=SEARCH), '-c', conf], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        try:
            self.must('ca', 'init', 'plant')
            for name in members:
                self.must('ca', 'issue', name, '--ca', 'plant')
            self.must('group', 'create', 'audit', '--realm', self.member('centre'), '--members', ','.join(members),
                      '--filter', 'audit/#')
            for name in members:
                if name != 'centre':
                    self.give(name)
            if not wait(self.answers):
                raise RuntimeError('the broker does not start')
        except BaseException:
            self.close()
            raise

    def answers(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), 1).close()
            return True
        except OSError:
            return False

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def member(self, name):
        return self.path('plant', 'members', name)

    def give(self, name):
        os.makedirs(os.path.join(self.member(name), 'groups'), 0o700, exist_ok=True)
        shutil.copy2(os.path.join(self.member('centre'), 'groups', 'audit.key'),
                     os.path.join(self.member(name), 'groups', 'audit.key'))

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(text)
        return self.path(name)

    def run(self, *args, stdin=None, seconds=60):
        return subprocess.run([SEALMQ, *args], input=stdin, capture_output=True, text=True, check=False, cwd=self.dir,
                              timeout=seconds)

    def must(self, *args, **more):
        done = self.run(*args, **more)
        if done.returncode:
            raise RuntimeError('%s: %d: %s' % (' '.join(args), done.returncode, done.stderr))
        return done.stdout

    def at(self):
        return ['-h', '127.0.0.1', '-p', str(self.port)]

    def pub_words(self, name, topic, *more):
        return ['pub', '--realm', self.member(name), *self.at(), '-q', '1', '--group', 'audit', '-t', topic, *more]

    def pub(self, name, lines, topic=None, *more):
        self.must(*self.pub_words(name, topic or 'audit/%s/energy' % name, '-l', *more),
                  stdin=''.join(line + '\n' for line in lines))

    def start(self, *args, limit=None):
        """A process whose standard error goes to a file; limit: largest file it may write."""
        def before():
            if limit:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        log = self.path('log-%d' % len(self.alive))
        with open(log, 'w', encoding='utf-8') as file:
            process = subprocess.Popen([SEALMQ, *args], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=file, text=True, preexec_fn=before if limit else None)
        process.log = log
        self.alive.append(process)
        return process

    def recorder(self, store, *more, **options):
        return self.start('record', '--realm', self.member('centre'), *self.at(), '--store', store, '-t', 'audit/#',
                          *more, **options)

    def said(self, process):
        with open(process.log, encoding='utf-8', errors='replace') as file:
            return file.read()

    def rows(self, store, question, *more):
        done = self.run('query', question, '--store', store, '--csv', *more)
        return [line for line in done.stdout.splitlines()[1:]]

    def stored(self, store):
        return sum(int(line.split(',')[2]) for line in self.rows(store, 'counts'))

    def stop(self, process, number=signal.SIGTERM):
        """Its status and what it printed."""
        if process.poll() is None:
            process.send_signal(number)
        try:
            out = process.communicate(timeout=30)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            out = process.communicate()[0]
        return process.returncode, out

    def close(self):
        for process in self.alive:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        if self.broker.poll() is None:
            self.broker.terminate()
            self.broker.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)


def needs(*programs):
    for name in programs:
        if not shutil.which(name, path=SEARCH):
            print('1..0 # SKIP %s is not installed' % name)
            sys.exit(0)


def play(scenes, **options):
    needs('mosquitto')
    world = World(**options)
    try:
        for scene in scenes:
            if os.environ.get('SEALMQ_ONLY', scene.__name__) != scene.__name__:
                continue
            try:
                scene(world)
            except Exception as failure:  # the others go on
                TAP.row(False, scene.__name__, ['%s: %s' % (type(failure).__name__, failure)])
    finally:
        world.close()
    return TAP.end()
