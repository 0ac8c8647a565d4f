"""The parts of `sealmq bench` that measure whole processes: how soon they are there, how large they are, and how they
compare with a Python program of the same job. Loaded by sealmq_bench.py; `suite` is that module."""
import json
import os
import re
import select
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 60


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(words, **more):
    return subprocess.Popen([str(w) for w in words], stderr=subprocess.DEVNULL,
                            **dict({'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL}, **more))


class Tool:
    """sealmq in a world: who it is, where the broker is."""

    def __init__(self, world, tls):
        self.world = world
        self.at = ['-h', 'localhost', '-p', world.tls if tls else world.tcp] + (['--tls'] if tls else [])

    def words(self, command, member, *more):
        return [self.world.sealmq, command, '--realm', self.world.member(member), *self.at, *more]

    def pub(self, *more):
        return self.words('pub', 'fridge-07', '-q', 1, *more)

    def sub(self, *more, topic='bench/#'):
        return self.words('sub', 'desk', '-q', 1, '-t', topic, *more)


# ---- from start to the first opened message ----

def line_after(reader, text, suite):
    """Until that line is printed; unbuffered, so that select() knows of all there is."""
    until, had = time.monotonic() + LIMIT_S, b''
    while (b'\n' + text.encode() + b'\n') not in b'\n' + had:
        left = until - time.monotonic()
        ready = select.select([reader.stdout], [], [], max(left, 0))[0]
        more = os.read(reader.stdout.fileno(), 65536) if ready else b''
        if not more:
            raise suite.Trouble('a message did not come within %d s' % LIMIT_S if left <= 0 else 'a subscriber ended')
        had = (had + more)[-100000:]


def publisher_starts(tool, to, repeats, suite):
    """A subscriber is there; from a publisher's start until its message is opened."""
    reader = start(tool.sub(), stdout=subprocess.PIPE)
    times = []
    try:
        time.sleep(0.5)
        for i in range(repeats + 2):
            text = 'number %d' % i
            begun = time.monotonic()
            writer = start(tool.pub(*to, '-t', 'bench/start', '-m', text))
            line_after(reader, text, suite)
            times.append((time.monotonic() - begun) * 1e3)
            writer.wait(LIMIT_S)
    finally:
        end(reader)
    return times[2:]  # the first ones warm up


def subscriber_starts(tool, repeats, suite):
    """A retained message is there, a new one each time; from a subscriber's start until it is opened and printed."""
    times = []
    for _ in range(repeats + 2):
        suite.run(*tool.pub('--group', 'bench', '-t', 'bench/kept', '-m', 'kept', '-r'))
        begun = time.monotonic()
        reader = start(tool.sub('-C', 1, topic='bench/kept'), stdout=subprocess.PIPE)
        try:
            line_after(reader, 'kept', suite)
            times.append((time.monotonic() - begun) * 1e3)
            reader.wait(LIMIT_S)
        finally:
            end(reader)
    suite.run(*tool.pub('--plain', '-t', 'bench/kept', '-n', '-r'))
    return times[2:]


def start_rows(options, world, suite):
    repeats = 5 if options['quick'] else 100
    for tls in (False, True):
        tool = Tool(world, tls)
        for what, measure in (
                ('session, publisher starts', lambda: publisher_starts(tool, ('--to', 'desk'), repeats, suite)),
                ('group, publisher starts', lambda: publisher_starts(tool, ('--group', 'bench'), repeats, suite)),
                ('group, subscriber starts', lambda: subscriber_starts(tool, repeats, suite))):
            suite.say('start: %s%s' % (what, ', TLS' if tls else ''))
            yield {'what': what, 'tls': tls, 'repeats': repeats, 'ms': suite.quartiles(measure())}


# ---- memory ----

def rss_kib(process):
    fields = dict(re.findall(r'^(VmRSS|RssAnon|VmHWM):\s*(\d+) kB', read_status(process.pid), re.M))
    return {'rss_kib': int(fields['VmRSS']), 'own_kib': int(fields['RssAnon']), 'most_kib': int(fields['VmHWM'])}


def read_status(pid):
    with open('/proc/%d/status' % pid, encoding='ascii') as file:
        return file.read()


def memory_rows(world, suite):
    suite.say('memory')
    tool = Tool(world, True)
    reader = start(tool.sub(), stdout=subprocess.PIPE)
    writer = None
    try:
        time.sleep(0.5)
        writer = start(tool.pub('--group', 'bench', '-t', 'bench/memory', '-l'), stdin=subprocess.PIPE, text=True)
        writer.stdin.write(''.join('%-63d\n' % i for i in range(1000)) + 'last\n')
        writer.stdin.flush()
        line_after(reader, 'last', suite)
        yield dict(rss_kib(writer), what='sealmq pub -l, TLS, after 1,001 messages')
        yield dict(rss_kib(reader), what='sealmq sub, TLS, after 1,001 messages')
    finally:
        if writer:
            writer.stdin.close()
            end(writer)
        end(reader)


def measure_start(options, world, suite):
    return {'rows': list(start_rows(options, world, suite))}


def measure_memory(_options, world, suite):
    return {'memory': list(memory_rows(world, suite)),
            'sender': json.loads(suite.run(os.path.join(HERE, 'bench_seal'), 'memory'))}


# ---- a Python program of the same job ----

def python_with_libraries():
    """The interpreter that has paho and cryptography: this one, or the system's."""
    for python in (sys.executable, '/usr/bin/python3'):
        found = subprocess.run([python, '-c', 'import paho.mqtt.client, cryptography'], capture_output=True, check=False)
        if found.returncode == 0:
            return python
    return None


def their_rate(python, port, qos, count, size):
    peer = [python, os.path.join(HERE, 'python_peer.py')]
    reader = start([*peer, 'sub', port, qos, count], stdout=subprocess.PIPE, text=True)
    writer = None
    try:
        reader.stdout.readline()
        writer = start([*peer, 'pub', port, qos, count, size], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun, last = float(writer.stdout.readline()), float(reader.stdout.readline())
    finally:
        if writer:
            writer.stdin.close()
            end(writer)
        end(reader)
    return count / (last - begun)


def our_rate(world, qos, count, size):
    return world.link('flood', 'sealed', False, qos, size, count, 1)['rate']


def peer_rate_rows(options, world, python, suite):
    rounds = options['rounds'] or (3 if options['quick'] else 11)
    count = 2000 if options['quick'] else 20000
    for qos in (0, 1):
        suite.say('python: QoS %d' % qos)
        ours, theirs = [], []
        for i in range(rounds):
            if i % 2:
                ours.append(our_rate(world, qos, count, 64))
            theirs.append(their_rate(python, world.tcp, qos, count, 64))
            if i % 2 == 0:
                ours.append(our_rate(world, qos, count, 64))
        yield {'qos': qos, 'ours': statistics.median(ours), 'theirs': statistics.median(theirs), 'rounds': rounds,
               'ratio': suite.quartiles([a / b for a, b in zip(ours, theirs)])}


def peer_seal(options, python, suite):
    """ns of one message sealed and opened: theirs, and each lane of ours, in turns."""
    rounds = 3 if options['quick'] else 11
    rows = []
    for _ in range(rounds):
        suite.say('python: seal and open')
        theirs = json.loads(suite.run(python, os.path.join(HERE, 'python_peer.py'), 'seal', 20000, 64))
        ours = next(r for r in json.loads(suite.run(os.path.join(HERE, 'bench_seal'), 11, 200, 64))['rows']
                    if r['algorithm'] == 'A128GCM' and r['size'] == 64)
        rows.append((theirs, ours))
    lane = 'multi' if 'multi_seal_ns' in rows[0][1] else 'direct'
    out = {'lane': lane, 'rounds': rounds}
    for what in ('seal', 'open'):
        out[what] = {'theirs_ns': statistics.median(t[what + '_ns'] for t, _ in rows),
                     'ours_ns': statistics.median(o['%s_%s_ns' % (lane, what)] for _, o in rows),
                     'ratio': suite.quartiles([t[what + '_ns'] / o['%s_%s_ns' % (lane, what)] for t, o in rows])}
    return out


def measure_python(options, world, suite):
    python = python_with_libraries()
    if not python:
        raise suite.Trouble('python3-paho-mqtt and python3-cryptography are not installed')
    return {'rates': list(peer_rate_rows(options, world, python, suite)), 'seal': peer_seal(options, python, suite)}
