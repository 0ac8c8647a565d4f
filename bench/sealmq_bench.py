#!/usr/bin/env python3
"""What end-to-end security costs on this machine, measured against what it would be compared with.

usage: sealmq bench [PART...] [options]

  seal             sealing and opening beside OpenSSL by hand: cached, naive, signed; no network
  session          key exchanges of two members over a broker: time, processor, bytes
  group            rekeying from 100 to 100,000 members (sealmq simulate)
  link             over a real broker: sealed against plain in turns, TCP and TLS, QoS 0 to 2, latency,
                   one to many, signed, and against mosquitto_pub | mosquitto_sub
  record           rows a second into each store, beside bare SQLite and PostgreSQL; recording from a full queue,
                   unsigned and signed; signatures verified on all cores
  start            from starting sealmq to the first opened message
  memory           of whole processes, and of each known sender
  python           against a Python program of the same job, with paho and `cryptography`
  dataset FILE     rows of a CSV file as telemetry: time and bytes of each
  all              everything but dataset (default)

  --quick          few rounds: a minute instead of twenty
  --rounds N       paired rounds of link (default: 25, with --quick 3) and record (default: 9, with --quick 2)
  --json           the results as JSON
  --plot DIR       plots as PNG and SVG, the JSON, and report.html, which holds all of it in one file
  --help           this text

A private Mosquitto is started on free loopback ports where a part needs one, for record a private PostgreSQL where that
is installed, and both are ended again. Every comparison is made
in turns within one run, and given as the median of the rounds' ratios with their quartiles; plain against plain is the
control that shows what the machine itself adds. Needs python3; link, start and memory need mosquitto, plots gnuplot, python
python3-paho-mqtt and python3-cryptography.
"""
import csv
import datetime
import html
import itertools
import json
import math
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import bench_processes  # noqa: E402 pylint: disable=wrong-import-position
import sealmq_bench_record as record_part  # noqa: E402 pylint: disable=wrong-import-position

SEARCH = os.environ.get('PATH', os.defpath) + ':/usr/sbin:/usr/local/sbin'
PARTS = ('seal', 'session', 'group', 'link', 'record', 'start', 'memory', 'python')
OVER_A_BROKER = ('session', 'link', 'record', 'start', 'memory', 'python')


class Trouble(Exception):
    pass


def find(name):
    return shutil.which(name, path=SEARCH)


def need(name):
    path = find(name)
    if not path:
        raise Trouble('%s is not installed' % name)
    return path


def run(*words, stdin=None, seconds=600):
    done = subprocess.run([str(w) for w in words], input=stdin, capture_output=True, text=True, timeout=seconds,
                          stdin=None if stdin is not None else subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Trouble('%s: %s' % (os.path.basename(words[0]), (done.stderr.strip().splitlines() or ['failed'])[-1]))
    return done.stdout


def quartiles(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) - 1, int(len(values) * share))]
    return {'median': statistics.median(values), 'low': at(0.25), 'high': at(0.75)}


def read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def machine():
    model = re.search(r'^model name\s*:\s*(.*)$', read('/proc/cpuinfo'), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"$', read('/etc/os-release'), re.M)
    memory = re.search(r'^MemTotal:\s*(\d+)', read('/proc/meminfo'), re.M)
    openssl = find('openssl') and ' '.join(run('openssl', 'version').split()[:2])
    broker = find('mosquitto') and subprocess.run([find('mosquitto'), '-h'], capture_output=True, text=True,
                                                  check=False).stdout.splitlines()[:1]
    return {'processor': model.group(1) if model else 'unknown', 'cores': os.cpu_count(),
            'memory_mib': int(memory.group(1)) // 1024 if memory else 0,
            'system': system.group(1) if system else 'unknown', 'kernel': os.uname().release,
            'openssl': openssl or 'unknown', 'broker': broker[0] if broker else 'none',
            'load_before': os.getloadavg()[0]}


# ---- a world: a realm, its members, a broker ----

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class World:
    def __init__(self, sealmq, many):
        self.sealmq, self.broker, self.many = sealmq, None, many
        self.dir = tempfile.mkdtemp(prefix='sealmq-bench-')
        os.chmod(self.dir, 0o755)
        ca = os.path.join(self.dir, 'plant')
        run(sealmq, 'ca', 'init', ca)
        for name, more in (('fridge-07', ()), ('desk', ()), ('pump-2', ('--static-dh',)), ('ward-3', ('--static-dh',)),
                           ('tram-1', ('--key', 'ed25519')), ('tram-2', ('--key', 'ed25519')),
                           ('broker', ('--role', 'broker', '--dns', 'localhost', '--ip', '127.0.0.1'))):
            run(sealmq, 'ca', 'issue', name, '--ca', ca, *more)
        readers = ['desk'] + ['desk-%d' % i for i in range(1, many)]
        for name in readers[1:]:
            run(sealmq, 'ca', 'issue', name, '--ca', ca)
        run(sealmq, 'group', 'create', 'bench', '--realm', self.member('fridge-07'), '--members',
            ','.join(['fridge-07'] + readers))
        for name in readers:
            os.makedirs(self.member(name, 'groups'), mode=0o700, exist_ok=True)
            shutil.copy(self.member('fridge-07', 'groups', 'bench.key'), self.member(name, 'groups'))
        self.tcp, self.tls = free_port(), free_port()

    def member(self, *names):
        return os.path.join(self.dir, 'plant', 'members', *names)

    def __enter__(self):
        conf = os.path.join(self.dir, 'mosquitto.conf')
        common = ['allow_anonymous true']
        lines = ['per_listener_settings true', 'listener %d 127.0.0.1' % self.tcp] + common + [
            'listener %d 127.0.0.1' % self.tls] + common + [
            'cafile ' + self.member('broker', 'root.crt'), 'certfile ' + self.member('broker', 'server.crt'),
            'keyfile ' + self.member('broker', 'server.key'), 'require_certificate true', 'tls_version tlsv1.3',
            'set_tcp_nodelay true', 'max_queued_messages 0', 'max_inflight_messages 0', 'log_type none']
        if os.geteuid() == 0:
            lines.append('user root')
        with open(conf, 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')
        self.broker = subprocess.Popen([need('mosquitto'), '-c', conf], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for port in (self.tcp, self.tls):
            for _ in range(200):
                try:
                    socket.create_connection(('127.0.0.1', port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            else:
                raise Trouble('the broker does not start')
        return self

    def __exit__(self, *_):
        if self.broker:
            self.broker.terminate()
            self.broker.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def link(self, how, kind, tls, qos, size, *numbers):
        return json.loads(run(os.path.join(HERE, 'link'), how, self.tls if tls else self.tcp, self.broker.pid,
                              self.member('fridge-07'), self.member('desk'), kind,
                              'tls' if tls else 'tcp', qos, size, *numbers))

    def pace(self, tls, qos, size, rate, seconds):
        return json.loads(run(os.path.join(HERE, 'link'), 'pace', self.tls if tls else self.tcp, self.member('fridge-07'),
                              self.member('desk'), 'tls' if tls else 'tcp', qos, size, rate, seconds))


# ---- the parts ----

def say(text):
    if sys.stderr.isatty():
        sys.stderr.write('\r\033[K' + text)
        sys.stderr.flush()


def measure_seal(options):
    say('seal')
    numbers = (25, 50, 4096) if options['quick'] else (101, 200, 65536)
    return dict(json.loads(run(os.path.join(HERE, 'bench_seal'), *numbers)),
                many=json.loads(run(os.path.join(HERE, 'bench_many'), numbers[0])))


def measure_session(options, world):
    rows = []
    for method, suite, a, b in ((0, 2, 'fridge-07', 'desk'), (0, 0, 'tram-1', 'tram-2'), (3, 2, 'pump-2', 'ward-3')):
        say('session: method %d, suite %d' % (method, suite))
        rows.append(json.loads(run(os.path.join(HERE, 'link'), 'session', world.tcp, world.member(a), world.member(b),
                                   method, suite, 20 if options['quick'] else 200)))
    return {'rows': rows}


def measure_group(options):
    say('group')
    sizes = '100,1000,10000' if options['quick'] else '100,1000,10000,100000'
    return {'runs': json.loads(run(options['sealmq'], 'simulate', '--members', sizes, '--json'))}


def ratios(seen, keys):
    """Of rounds {kind: [row, ...]} with a control: each key's medians, and its ratios to the first kind of each round."""
    base, *others = seen
    out = {}
    for key in keys:
        out[key] = {kind: statistics.median(row[key] for row in seen[kind]) for kind in seen}
        for kind in others:
            out[key][kind + '_ratio'] = quartiles([b[key] / a[key] for a, b in zip(seen[base], seen[kind])
                                                   if a[key]] or [0])
    return out


def compare(measure, rounds, keys, kinds=('plain', 'sealed')):
    """Each kind, and the first one again as its control, in an order that changes."""
    base, all_kinds = kinds[0], kinds + ('control',)
    seen = {kind: [] for kind in all_kinds}
    for i in range(rounds):
        turn = i % len(all_kinds)
        for kind in all_kinds[turn:] + all_kinds[:turn]:
            seen[kind].append(measure(base if kind == 'control' else kind))
    return dict(ratios(seen, keys), refused=sum(row['refused'] for kind in all_kinds if kind != 'plain' for row in seen[kind]))


def link_floods(options, world, rounds):
    rows = []
    sizes = (64,) if options['quick'] else (64, 1024)
    for qos, tls, size in itertools.product((0, 1, 2), (False, True), sizes):
        if qos == 2 and size != 64:
            continue
        say('link: QoS %d, %s, %d bytes' % (qos, 'TLS' if tls else 'TCP', size))
        count = (40000, 20000, 6000)[qos] // (8 if options['quick'] else 1)
        row = compare(lambda kind: world.link('flood', kind, tls, qos, size, count, 1), rounds, ('rate', 'cpu_us'))
        rows.append(dict(row, qos=qos, tls=tls, size=size, rounds=rounds))
    return rows


def link_paces(options, world, rounds):
    """The kinds take turns within each run: between two, a machine differs by more than sealing takes."""
    rows = []
    for qos, tls, size in itertools.product((0, 1), (False, True), (64,) if options['quick'] else (64, 1024)):
        say('link: latency, QoS %d, %s, %d bytes' % (qos, 'TLS' if tls else 'TCP', size))
        runs = [world.pace(tls, qos, size, 1000, 0.6 if options['quick'] else 3) for _ in range(rounds)]
        row = ratios({kind: [each[kind] for each in runs] for kind in ('plain', 'sealed', 'control')},
                     ('p50_ms', 'p99_ms', 'p999_ms'))
        rows.append(dict(row, refused=sum(each['refused'] for each in runs), qos=qos, tls=tls, size=size, rate=1000, rounds=rounds))
    return rows


def link_many(options, world, rounds):
    say('link: one to many')
    count = 100 if options['quick'] else 300
    many = max(3, rounds // 2)
    row = compare(lambda kind: world.link('flood', kind, False, 0, 64, count, world.many), many, ('rate', 'cpu_us'))
    return dict(row, qos=0, tls=False, size=64, subscribers=world.many, rounds=many)


def link_signed(options, world, rounds):
    """What the proof of the sender costs, end to end: signed against sealed alone."""
    rows = []
    for qos, size in ((0, 64), (1, 64)):
        say('link: signed, QoS %d' % qos)
        count = (30000, 15000)[qos] // (8 if options['quick'] else 1)
        row = compare(lambda kind: world.link('flood', kind, False, qos, size, count, 1), max(3, rounds // 2),
                      ('rate', 'cpu_us'), ('sealed', 'checkpoint', 'every'))
        rows.append(dict(row, qos=qos, size=size))
    return rows


def piped(publisher, subscriber, lines, count):
    """Messages a second from the publisher's start to the subscriber's end, who counts them."""
    sub = subprocess.Popen(subscriber, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.4)
    start = time.monotonic()
    pub = subprocess.Popen(publisher, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pub.communicate(lines)
    try:
        status = sub.wait(60)
    except subprocess.TimeoutExpired:
        status = 1
    took = time.monotonic() - start
    if sub.poll() is None:
        sub.kill()
        sub.wait()
    return count / took if status == 0 else None


def link_tools(options, world, rounds):
    rows = []
    for qos in (0, 1, 2):
        say('link: against mosquitto_pub | mosquitto_sub, QoS %d' % qos)
        count = (20000, 10000, 5000)[qos] // (4 if options['quick'] else 1)
        lines = b''.join(b'%-63d\n' % i for i in range(count))
        at = ['-h', '127.0.0.1', '-p', str(world.tcp), '-q', str(qos), '-t', 'bench/tools']
        theirs = ([need('mosquitto_pub'), *at, '-l'], [need('mosquitto_sub'), *at, '-C', str(count)])
        ours = ([world.sealmq, 'pub', '--realm', world.member('fridge-07'), *at, '--group', 'bench', '-l'],
                [world.sealmq, 'sub', '--realm', world.member('desk'), *at, '-C', str(count)])
        seen = {'ours': [], 'theirs': []}
        for i in range(max(3, rounds // 4)):
            for kind, pair in ((('ours', ours), ('theirs', theirs)) if i % 2 else (('theirs', theirs), ('ours', ours))):
                seen[kind].append(piped(*pair, lines, count))
        pairs = [(a, b) for a, b in zip(seen['ours'], seen['theirs']) if a and b]
        lost = {kind: sum(v is None for v in values) for kind, values in seen.items()}
        row = {'qos': qos, 'count': count, 'lost_runs': lost}
        for kind, values in seen.items():
            row[kind] = statistics.median([v for v in values if v] or [0])
        row['ratio'] = quartiles([a / b for a, b in pairs] or [0])
        rows.append(row)
    return rows


def measure_link(options, world):
    rounds = options['rounds'] or (3 if options['quick'] else 25)
    result = {'rounds': rounds, 'flood': link_floods(options, world, rounds), 'pace': link_paces(options, world, rounds),
              'many': link_many(options, world, rounds), 'signed': link_signed(options, world, rounds)}
    if find('mosquitto_pub') and find('mosquitto_sub'):
        result['tools'] = link_tools(options, world, rounds)
    return result


def measure_record(options, world):
    return record_part.measure(sys.modules[__name__], options, world)


def measure_start(options, world):
    return bench_processes.measure_start(options, world, sys.modules[__name__])


def measure_memory(options, world):
    return bench_processes.measure_memory(options, world, sys.modules[__name__])


def measure_python(options, world):
    return bench_processes.measure_python(options, world, sys.modules[__name__])


def rows_of(path):
    """The rows as telemetry would send them: objects with the columns' names."""
    with open(path, newline='', encoding='utf-8', errors='replace') as file:
        for row in itertools.islice(csv.DictReader(file), 200000):
            text = json.dumps({k: v for k, v in row.items() if k}, ensure_ascii=False, separators=(',', ':'))
            if 0 < len(text.encode()) <= 4000:
                yield text


def measure_dataset(options):
    say('dataset')
    lines = list(rows_of(options['file']))
    if not lines:
        raise Trouble('%s has no rows' % options['file'])
    result = json.loads(run(os.path.join(HERE, 'bench_seal'), 'rows', 3 if options['quick'] else 11,
                            stdin='\n'.join(lines) + '\n'))
    return dict(result, name=os.path.basename(options['file']))


# ---- for people ----

def ratio_text(r):
    return '%.2f (%.2f to %.2f)' % (r['median'], r['low'], r['high'])


def seal_rows(part):
    many = lambda r, key: '%.2f x' % r[key] if key in r else '-'
    yield ('algorithm', 'bytes', 'on the wire', 'floor ns', 'naive', 'EVP', 'provider', 'multi-buffer', 'floor open',
           'EVP', 'provider', 'multi-buffer')
    for r in part['rows']:
        yield (r['algorithm'], r['size'], r['size'] + r['overhead'], '%.0f' % r['floor_seal_ns'],
               '%.2f x' % r['naive_seal_ratio'], '%.2f x' % r['evp_seal_ratio'], '%.2f x' % r['direct_seal_ratio'],
               many(r, 'multi_seal_ratio'), '%.0f' % r['floor_open_ns'], '%.2f x' % r['evp_open_ratio'],
               '%.2f x' % r['direct_open_ratio'], many(r, 'multi_open_ratio'))


def signed_rows(part):
    yield ('algorithm', 'bytes', 'unsigned ns', 'checkpoint ns', 'every ns', 'open ns', 'open and verify ns')
    for r in part['rows']:
        yield (r['algorithm'], r['size'], '%.0f' % r['direct_seal_ns'], '%.0f' % r['checkpoint_seal_ns'],
               '%.0f' % r['every_seal_ns'], '%.0f' % r['direct_open_ns'], '%.0f' % r['every_open_ns'])


def many_rows(part):
    yield ('senders', 'one by one ns', 'in bursts of %d' % part['many']['burst'], 'one by one again')
    for r in part['many']['rows']:
        yield (r['senders'], '%.0f' % r['single_ns'], *('%.2f x (%.2f to %.2f)' % (r[key + '_ratio'], *r[key + '_ratio_quartiles'])
                                                        for key in ('many', 'control')))


def session_rows(part):
    yield ('method', 'suite', 'first bytes', 'later bytes', 'rotation ms', 'processor ms, both', 'a second')
    for r in part['rows']:
        yield (r['method'], r['suite'], r['first_bytes'], '%.0f' % r['bytes'], '%.2f' % r['rotation_ms'],
               '%.2f' % r['cpu_ms'], '%.0f' % r['per_s'])


def group_rows(part):
    yield ('members', 'operation', 'messages', 'bytes', 'server us', 'messages a member', 'bytes a member', 'its us')
    for r in part['runs']:
        for o in r['operations']:
            yield (r['members'], o['operation'], '%.1f' % o['messages'], '%.0f' % o['bytes'], '%.0f' % o['server_us'],
                   '%.2f' % o['member_messages'], '%.0f' % o['member_bytes'], '%.0f' % o['member_us'])


def flood_rows(part):
    yield ('QoS', 'over', 'bytes', 'plain a second', 'sealed', 'sealed / plain', 'plain / plain', 'plain us', 'sealed us',
           'sealed / plain', 'plain / plain')
    for r in part['flood'] + [dict(part['many'], many=True)]:
        over = 'TLS' if r['tls'] else 'TCP, 1 to %d' % r['subscribers'] if 'many' in r else 'TCP'
        yield (r['qos'], over, r['size'], '%.0f' % r['rate']['plain'], '%.0f' % r['rate']['sealed'],
               ratio_text(r['rate']['sealed_ratio']), ratio_text(r['rate']['control_ratio']),
               '%.1f' % r['cpu_us']['plain'], '%.1f' % r['cpu_us']['sealed'], ratio_text(r['cpu_us']['sealed_ratio']),
               ratio_text(r['cpu_us']['control_ratio']))


def pace_rows(part):
    yield ('QoS', 'over', 'p50 plain ms', 'sealed', 'p99 plain', 'sealed', 'p99.9 plain', 'sealed', 'p50 sealed / plain',
           'plain / plain')
    for r in part['pace']:
        yield (r['qos'], 'TLS' if r['tls'] else 'TCP', *('%.2f' % r[key][kind] for key in ('p50_ms', 'p99_ms', 'p999_ms')
                                                       for kind in ('plain', 'sealed')),
               ratio_text(r['p50_ms']['sealed_ratio']), ratio_text(r['p50_ms']['control_ratio']))


def tools_rows(part):
    yield ('QoS', 'mosquitto_pub | mosquitto_sub, plain', 'sealmq pub | sealmq sub, sealed', 'ratio')
    for r in part.get('tools', []):
        yield (r['qos'], '%.0f' % r['theirs'], '%.0f' % r['ours'], ratio_text(r['ratio']))


def link_signed_rows(part):
    yield ('QoS', 'bytes', 'sealed a second', 'checkpoint', 'every', 'checkpoint / sealed', 'every / sealed', 'sealed / sealed',
           'sealed us', 'checkpoint us', 'every us')
    for r in part.get('signed', []):
        rate, cpu = r['rate'], r['cpu_us']
        yield (r['qos'], r['size'], *('%.0f' % rate[k] for k in ('sealed', 'checkpoint', 'every')),
               *(ratio_text(rate[k + '_ratio']) for k in ('checkpoint', 'every', 'control')),
               *('%.1f' % cpu[k] for k in ('sealed', 'checkpoint', 'every')))


def start_rows(part):
    yield ('what', 'over', 'ms', 'quartiles')
    for r in part['rows']:
        yield (r['what'], 'TLS' if r['tls'] else 'TCP', '%.1f' % r['ms']['median'],
               '%.1f to %.1f' % (r['ms']['low'], r['ms']['high']))


def memory_rows(part):
    yield ('what', 'resident MiB', 'of it its own', 'at most')
    for r in part['memory']:
        yield (r['what'], *('%.1f' % (r[k] / 1024) for k in ('rss_kib', 'own_kib', 'most_kib')))


def sender_rows(part):
    yield ('senders', 'lane', 'in our table', 'by the library, for its key', 'bytes in all')
    for row in part['sender']['rows']:
        for lane, key in (('EVP', 'evp'), ('provider', 'direct'), ('multi-buffer', 'multi')):
            heap = row.get(key + '_bytes')
            if heap:
                yield (row['senders'], lane, row['table_bytes'], heap, row['table_bytes'] + heap)


def python_rows(part):
    yield ('what', 'Python', 'SealMQ', 'times as fast')
    for r in part['rates']:
        yield ('messages a second, QoS %d' % r['qos'], '%.0f' % r['theirs'], '%.0f' % r['ours'], ratio_text(r['ratio']))
    for what in ('seal', 'open'):
        r = part['seal'][what]
        yield (what + ' 64 bytes, ns', '%.0f' % r['theirs_ns'], '%.0f' % r['ours_ns'], ratio_text(r['ratio']))


def dataset_rows(part):
    yield ('rows', 'bytes a row', 'over the plaintext', 'seal ns', 'p99', 'open ns', 'p99', 'rows a second', 'MB/s')
    seal, opened = part['seal_ns'], part['open_ns']
    yield (part['rows'], '%.0f' % part['bytes'], '%.1f' % part['overhead'], '%.0f' % seal[100], '%.0f' % seal[198],
           '%.0f' % opened[100], '%.0f' % opened[198], '%.0f' % part['per_s'],
           '%.0f' % (part['per_s'] * part['bytes'] / 1e6))


TABLES = {
    'seal': (('Sealing and opening one message, beside EVP with a cached context (floor)', seal_rows),
             ('Signed', signed_rows),
             ('Messages of 64 bytes from many senders, opened', many_rows)),
    'session': (('Key exchanges between two members over a broker', session_rows),),
    'group': (('Rekeying', group_rows),),
    'link': (('Through a broker: messages a second, and processor time of publisher, broker and subscribers a message',
              flood_rows),
             ('Latency at 1,000 messages a second', pace_rows),
             ('Signed against sealed alone, TCP', link_signed_rows),
             ('Tool against tool, messages a second', tools_rows)),
    'record': record_part.TABLES,
    'start': (('From starting sealmq to the first opened message, in a warm realm', start_rows),),
    'memory': (('Memory of whole processes', memory_rows),
               ('Memory for each known sender of a group, bytes', sender_rows)),
    'python': (('Against a Python program of the same job (paho, cryptography)', python_rows),),
    'dataset': (('Rows of a file', dataset_rows),),
}


def logarithmic_fit(runs):
    """Least squares of the bytes of a leave against a + b ln n."""
    points = [(math.log(r['members']), next(o for o in r['operations'] if o['operation'] == 'leave')['bytes']) for r in runs]
    mean_x, mean_y = (statistics.mean(p[i] for p in points) for i in (0, 1))
    b = sum((x - mean_x) * (y - mean_y) for x, y in points) / (sum((x - mean_x) ** 2 for x, _ in points) or 1)
    a = mean_y - b * mean_x
    total = sum((y - mean_y) ** 2 for _, y in points)
    return {'a': a, 'b': b, 'r_squared': 1 - sum((y - a - b * x) ** 2 for x, y in points) / total if total else 1}


def figures(parts):
    """What stands beside the predecessors' figures, as far as it was measured."""
    out = {}
    for r in parts['link']['flood'] if 'link' in parts else ():
        if not r['tls'] and r['size'] == 64:
            out['rate_qos%d' % r['qos']] = r['rate']['sealed']
    if 'link' in parts:
        out['p50_ms'] = parts['link']['pace'][0]['p50_ms']['sealed']
    if 'seal' in parts:
        r = next(r for r in parts['seal']['rows'] if r['algorithm'] == 'A128GCM' and r['size'] == 64)
        lane = 'multi' if 'multi_seal_ns' in r else 'direct'
        out['seal_open_us'] = (r[lane + '_seal_ns'] + r[lane + '_open_ns']) / 1e3
        out['sign_us'] = (r['every_seal_ns'] - r['direct_seal_ns']) / 1e3
        out['verify_us'] = (r['every_open_ns'] - r['direct_open_ns']) / 1e3
    if 'session' in parts:
        out['edhoc_ms'] = parts['session']['rows'][0]['cpu_ms']
    if 'record' in parts:
        out['stored_rows'] = max(r['store_per_s'] for r in parts['record']['stores'][0]['results'])
    for r in parts['group']['runs'] if 'group' in parts else ():
        if r['members'] == 10000:
            out['keyserver_mb'] = r['server_memory'] / 1e6
    return out


def predecessor_rows(ours):
    with open(os.path.join(HERE, 'predecessors.json'), encoding='utf-8') as file:
        data = json.load(file)
    yield ('', 'predecessors', 'SealMQ')
    for row in data['rows']:
        value = ours.get(row['ours'])
        yield row['what'], row['theirs'], '-' if value is None else '%.2f' % value if value < 100 else '{:,.0f}'.format(value)


def predecessors_source():
    with open(os.path.join(HERE, 'predecessors.json'), encoding='utf-8') as file:
        return json.load(file)['source']


def print_tables(result):
    for part, data in result['parts'].items():
        for title, rows in TABLES[part]:
            table = [[str(cell) for cell in row] for row in rows(data)]
            if len(table) < 2:
                continue
            widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
            print('%s: %s' % (part, title))
            for row in table:
                print('  ' + '  '.join(cell.rjust(width) for cell, width in zip(row, widths)))
            print()


# ---- plots ----

STYLE = '''set encoding utf8
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#555555"
set tics nomirror
set style line 1 lc rgb "#1b6ca8" lw 2 pt 7 ps 0.7
set style line 2 lc rgb "#d1495b" lw 2 pt 5 ps 0.7
set style line 3 lc rgb "#66a182" lw 2 pt 9 ps 0.8
set style line 4 lc rgb "#edae49" lw 2 pt 13 ps 0.8
set style line 5 lc rgb "#777777" lw 2 dt 2 pt 6 ps 0.7
'''
TERMINALS = (('png', 'pngcairo size 1100,620 font "sans,12"'), ('svg', 'svg size 1100,620 font "sans,14" background "white"'))


def table_block(name, rows):
    return '$%s << EOD\n%s\nEOD\n' % (name, '\n'.join(' '.join(str(c) for c in row) for row in rows))


def seal_plots(part):
    rows = [r for r in part['rows'] if r['algorithm'] == 'A128GCM']
    multi = all('multi_seal_ns' in r for r in rows)
    data = [(r['size'],) + tuple(r['size'] / r[k] * 1e3 for k in
                                 ('floor_seal_ns', 'naive_seal_ns', 'evp_seal_ns', 'direct_seal_ns',
                                  'multi_seal_ns' if multi else 'direct_seal_ns')) for r in rows]
    yield 'seal-throughput', table_block('d', data) + '''set title "Sealing with A128GCM: payload bytes a microsecond, by size"
set logscale xy
set format y "%.0s%c"
set xrange [12:90000]
set xlabel "payload, bytes"
set ylabel "MB/s"
set key left top Left reverse
plot $d u 1:2 w lp ls 5 t "EVP by hand, cached context, same bytes", $d u 1:3 w lp ls 4 t "EVP, naive", $d u 1:4 w lp ls 2 t "SealMQ on EVP", $d u 1:5 w lp ls 1 t "SealMQ on provider functions"%s
'''.replace('%s', ', $d u 1:6 w lp ls 3 t "SealMQ on the multi-buffer lane"' if multi else '').replace('payload bytes a microsecond, by size', 'throughput by size of payload')
    ratios = [('"%s\\n%d B"' % (r['algorithm'].replace('ChaCha20-Poly1305', 'ChaCha20'), r['size']),
               r['evp_seal_ratio'], r['direct_seal_ratio'], r['evp_open_ratio'], r['direct_open_ratio'],
               r.get('multi_seal_ratio', 0), r.get('multi_open_ratio', 0))
              for r in part['rows'] if r['size'] in (64, 1024)]
    yield 'seal-ratio', table_block('d', ratios) + '''set title "A message with everything, against bare EVP of the same bytes (1 = as fast; below = faster)"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.85 noborder
set yrange [0:*]
set ylabel "times bare EVP with a cached context"
set bmargin 4
set key outside top center horizontal
set arrow from graph 0, first 1 to graph 1, first 1 nohead lc rgb "#555555" dt 2 front
plot $d u 2:xtic(1) ls 2 t "seal, EVP", $d u 3 ls 1 t "seal, provider", $d u 4 ls 4 t "open, EVP", $d u 5 ls 3 t "open, provider"%s
'''.replace('%s', ', $d u 6 ls 5 t "seal, multi-buffer", $d u 7 lc rgb "#8d6a9f" t "open, multi-buffer"' if multi else '')
    single = part['distribution']
    names = [n for n in ('floor_seal', 'evp_seal', 'direct_seal', 'multi_seal', 'floor_open', 'evp_open', 'direct_open',
                         'multi_open') if n in single]
    data = [(i / 2,) + tuple(single[n][i] for n in names) for i in range(1, 199)]
    top = 1.3 * max(single[n][190] for n in names)
    lanes = {'floor': (5, 'EVP by hand'), 'evp': (2, 'SealMQ, EVP'), 'direct': (1, 'SealMQ, provider'),
             'multi': (3, 'SealMQ, multi-buffer')}
    lines = ', '.join('$d u %d:1 w l ls %d dt %d t "%s, %s"' % (k + 2, lanes[lane][0], 1 if what == 'seal' else 3,
                                                             lanes[lane][1], what)
                      for k, (lane, what) in enumerate(n.split('_') for n in names))
    yield 'seal-distribution', table_block('d', data) + '''set title "Single messages of 64 bytes, A128GCM: share done within a time"
set xlabel "ns"
set ylabel "percent of messages"
set xrange [0:%d]
set key outside right center Left reverse
plot %s
''' % (top, lines)


def session_plots(part):
    data = [('"method %d, suite %d"' % (r['method'], r['suite']), r['rotation_ms'], r['cpu_ms']) for r in part['rows']]
    yield 'session', table_block('d', data) + '''set title "A key exchange between two members over a broker"
set style data histograms
set style fill solid 0.85 noborder
set yrange [0:*]
set ylabel "ms"
set key outside top center horizontal
plot $d u 2:xtic(1) ls 1 t "from start to end", $d u 3 ls 3 t "processor time of both members"
'''


def group_plots(part):
    rows = []
    for r in part['runs']:
        o = {row['operation']: row for row in r['operations']}
        rows.append((r['members'], o['leave']['bytes'], o['join']['bytes'], o['rotation']['bytes'], r['unicast_bytes'],
                     o['leave']['member_bytes']))
    yield 'group', table_block('d', rows) + '''set title "Rekeying: bytes published when one member leaves, by size of the group"
set logscale xy
set format y "%.0s%c"
set xlabel "members"
set ylabel "bytes"
set key outside right center Left reverse
f(x) = a + b * log(x)
a = 100; b = 100
fit f(x) $d u 1:2 via a, b
plot $d u 1:5 w lp ls 4 t "unicast to each", $d u 1:2 w p ls 1 t "leave", f(x) w l ls 1 dt 2 t sprintf("fit: %.0f + %.0f ln n", a, b), $d u 1:3 w lp ls 3 t "join", $d u 1:4 w lp ls 5 t "rotation", $d u 1:6 w lp ls 2 t "leave: received by a member"
'''


def link_plots(part):
    def row(r, key):
        s, c = r[key]['sealed_ratio'], r[key]['control_ratio']
        return ('"QoS %d %s\\n%d B"' % (r['qos'], 'TLS' if r['tls'] else 'TCP', r['size']),
                s['median'], s['low'], s['high'], c['median'], c['low'], c['high'])
    for key, title in (('cpu_us', 'processor time of publisher, broker and subscriber'), ('rate', 'messages a second')):
        yield 'link-' + key.split('_', maxsplit=1)[0], table_block('d', [row(r, key) for r in part['flood']]) + '''set title "Through a broker, sealed against plain: %s (median and quartiles of %d rounds)"
set xrange [-0.6:*]
set offsets 0, 0.6, 0.02, 0.02
set ylabel "times plain"
set bmargin 4
set key outside top center horizontal
set arrow from graph 0, first 1 to graph 1, first 1 nohead lc rgb "#555555" dt 2
plot $d u ($0-0.1):2:3:4:xtic(1) w yerrorbars ls 1 t "sealed / plain", $d u ($0+0.1):5:6:7 w yerrorbars ls 5 dt 1 t "plain / plain (control)"
''' % (title, part['rounds'])
    data = [('"QoS %d %s"' % (r['qos'], 'TLS' if r['tls'] else 'TCP'),) +
            tuple(r[k][kind] for k in ('p50_ms', 'p99_ms', 'p999_ms') for kind in ('plain', 'sealed')) for r in part['pace']]
    yield 'link-latency', table_block('d', data) + '''set title "Latency through a broker at 1,000 messages a second"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.85 noborder
set logscale y
set ylabel "ms"
set key outside top center horizontal
plot $d u 2:xtic(1) lc rgb "#bbd4e6" t "p50 plain", $d u 3 ls 1 t "p50 sealed", $d u 4 lc rgb "#efc4ca" t "p99 plain", $d u 5 ls 2 t "p99 sealed", $d u 6 lc rgb "#d2e3da" t "p99.9 plain", $d u 7 ls 3 t "p99.9 sealed"
'''
    if part.get('tools'):
        data = [('"QoS %d"' % r['qos'], r['theirs'], r['ours']) for r in part['tools']]
        yield 'link-tools', table_block('d', data) + '''set title "From standard input to standard output through a broker: messages a second"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.85 noborder
set yrange [0:*]
set ylabel "messages a second"
set key outside top center horizontal
plot $d u 2:xtic(1) ls 5 dt 1 t "mosquitto_pub -l | mosquitto_sub, plain", $d u 3 ls 1 t "sealmq pub -l | sealmq sub, sealed"
'''


def dataset_plots(part):
    data = [(i / 2, part['seal_ns'][i], part['open_ns'][i]) for i in range(1, 199)]
    top = 1.3 * max(part['seal_ns'][190], part['open_ns'][190])
    yield 'dataset', table_block('d', data) + '''set title "Rows as telemetry: share sealed and opened within a time"
set xlabel "ns"
set ylabel "percent of rows"
set xrange [0:%d]
set key right bottom
plot $d u 2:1 w l ls 1 t "seal", $d u 3:1 w l ls 3 t "open"
''' % top


def start_plots(part):
    data = [('"%s\\n%s"' % (r['what'].replace(', ', '\\n'), 'TLS' if r['tls'] else 'TCP'), r['ms']['median'], r['ms']['low'],
             r['ms']['high']) for r in part['rows']]
    yield 'start', table_block('d', data) + '''set title "From starting sealmq to the first opened message (median and quartiles)"
set style data histograms
set style histogram errorbars gap 2 lw 1.5
set style fill solid 0.85 border rgb "#333333"
set yrange [0:*]
set bmargin 5
set ylabel "ms"
set key off
plot $d u 2:3:4:xtic(1) ls 1
'''


def python_plots(part):
    rows = [('"messages a second\\nQoS %d"' % r['qos'], r['ratio']['median']) for r in part['rates']]
    rows += [('"%s\\n64 bytes"' % what, part['seal'][what]['ratio']['median']) for what in ('seal', 'open')]
    yield 'python', table_block('d', rows) + '''set title "SealMQ against a Python program of the same job: times as fast (median)"
set style data histograms
set style fill solid 0.85 noborder
set logscale y
set yrange [1:*]
set bmargin 4
set ylabel "times as fast"
set key off
plot $d u 2:xtic(1) ls 1, $d u 0:2:(sprintf("%.1f", $2)) w labels offset 0,0.7 notitle
'''


PLOTS = {'start': start_plots, 'memory': lambda part: (), 'python': python_plots, 'seal': seal_plots, 'session': session_plots, 'group': group_plots, 'link': link_plots,
         'record': lambda part: record_part.plots(part, table_block), 'dataset': dataset_plots}


def draw(result, folder):
    os.makedirs(folder, exist_ok=True)
    drawn = {}
    for part, data in result['parts'].items():
        for name, script in PLOTS[part](data):
            for ending, terminal in TERMINALS:
                out = os.path.join(folder, '%s.%s' % (name, ending))
                text = 'set terminal %s\nset output "%s"\nset fit quiet logfile "/dev/null"\n%s%s' % (
                    terminal, out.replace('"', ''), STYLE, script)
                run(need('gnuplot'), '-', stdin=text)
            drawn.setdefault(part, []).append(name)
    return drawn


def report(result, folder, drawn):
    """One file that needs no other: tables and the plots as inline SVG."""
    m = result['machine']
    out = ['<!doctype html><html lang="en"><meta charset="utf-8"><title>SealMQ: what it costs</title><style>',
           'body{font:16px/1.5 sans-serif;max-width:1150px;margin:2em auto;padding:0 1em;color:#222}',
           'table{border-collapse:collapse;margin:1em 0;font-size:14px}td,th{padding:.2em .7em;text-align:right;',
           'border-bottom:1px solid #ddd}svg{max-width:100%;height:auto}</style><h1>What end-to-end security costs</h1>',
           '<p>%s</p>' % html.escape('%s, %d cores, %d MiB, %s, %s, %s; SealMQ %s, %s, %s.' % (
               m['processor'], m['cores'], m['memory_mib'], m['system'], m['openssl'], m['broker'], result['version'],
               result['date'], result['command'])),
           '<p>Comparisons were made in turns within one run; in brackets, or as bars, the quartiles of the rounds. '
           'Plain against plain is the control.</p>']
    for part, data in result['parts'].items():
        out.append('<h2>%s</h2>' % html.escape(part))
        for name in drawn.get(part, []):
            svg = read(os.path.join(folder, name + '.svg'))
            svg = svg[svg.index('<svg'):].replace('gnuplot_', name + '_').replace('id="', 'id="%s_' % name)
            out.append(svg.replace('href="#', 'href="#%s_' % name).replace('url(#', 'url(#%s_' % name))
        for title, rows in TABLES[part]:
            table = list(rows(data))
            out.append('<h3>%s</h3><table>' % html.escape(title))
            for i, row in enumerate(table):
                tag = 'td' if i else 'th'
                out.append('<tr>%s</tr>' % ''.join('<%s>%s</%s>' % (tag, html.escape(str(c)), tag) for c in row))
            out.append('</table>')
    out.append('<h2>predecessors</h2><p>%s</p><table>' % html.escape(predecessors_source()))
    for i, row in enumerate(predecessor_rows(figures(result['parts']))):
        tag = 'td' if i else 'th'
        out.append('<tr>%s</tr>' % ''.join('<%s>%s</%s>' % (tag, html.escape(str(c)), tag) for c in row))
    out.append('</table>')
    with open(os.path.join(folder, 'report.html'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(out) + '\n</html>\n')


# ---- the command ----

class Usage(Exception):
    pass


def all_parts():
    """What can be measured here: the comparison with Python needs libraries that nothing else needs."""
    return [part for part in PARTS if part != 'python' or bench_processes.python_with_libraries()]


def parse(words):
    options = {'parts': [], 'quick': False, 'json': False, 'plot': None, 'rounds': 0, 'file': None}
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ('--quick', '--json'):
            options[word[2:]] = True
        elif word in ('--plot', '--rounds') and words:
            options[word[2:]] = words.pop(0)
        elif word == 'dataset' and words and not words[0].startswith('-'):
            options['file'] = words.pop(0)
            options['parts'].append(word)
        elif word in PARTS:
            options['parts'].append(word)
        elif word != 'all':
            raise Usage('dataset takes a file' if word == 'dataset' else 'not understood: %s' % ascii(word)[1:-1])
        else:
            options['parts'] += all_parts()
    try:
        options['rounds'] = int(options['rounds'])
    except ValueError as e:
        raise Usage('--rounds takes a number') from e
    if not 0 <= options['rounds'] <= 1000:
        raise Usage('--rounds takes a number up to 1000')
    options['parts'] = list(dict.fromkeys(options['parts'] or all_parts()))
    return options


def measure(options):
    result = {'bench': 'all', 'version': run(options['sealmq'], '--version').split()[-1], 'machine': machine(),
              'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
              'command': options['command'], 'parts': {}}
    for part in options['parts']:
        if part in OVER_A_BROKER:
            many = 1 if part != 'link' else 5 if options['quick'] else 100
            with World(options['sealmq'], many) as world:
                result['parts'][part] = globals()['measure_' + part](options, world)
        else:
            result['parts'][part] = globals()['measure_' + part](options)
    say('')
    return result


def main():
    sealmq, words = sys.argv[1], sys.argv[2:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what ends the broker
    if '--help' in words:
        print(__doc__.split('\n\n', 1)[1].rstrip())
        return 0
    try:
        options = dict(parse(words), sealmq=sealmq, command=' '.join(['sealmq bench'] + words))
        if options['plot']:
            need('gnuplot')
        result = measure(options)
        if options['json']:
            json.dump(result, sys.stdout, indent=1)
            print()
        else:
            print_tables(result)
        if options['plot']:
            drawn = draw(result, options['plot'])
            report(result, options['plot'], drawn)
            with open(os.path.join(options['plot'], 'results.json'), 'w', encoding='utf-8') as file:
                json.dump(result, file, indent=1)
    except Usage as e:
        print('sealmq bench: %s; `sealmq bench --help` tells more' % e, file=sys.stderr)
        return 1
    except (Trouble, OSError, subprocess.TimeoutExpired) as e:
        print('sealmq bench: %s' % e, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
