"""The part `record` of sealmq bench: stores against their bare databases, recording from a full queue of a broker,
and signatures verified on all cores. What it needs of the suite (run, Trouble, ...) is handed in."""
import glob
import json
import os
import pwd
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ENERGY = '''name: energy
topic: audit/{sender}/energy
time: { field: measured_timestamp, format: rfc3339, past: 7d, future: 60s }
fields:
  auditor_id: { type: text, is_sender: true }
  measured_timestamp: { type: text }
  measure_type: { type: text }
  measure: { type: number, type_from: measure_type }
readings:
  gas_m3: { unit: m3, min: 0, max: 100000 }
'''


class Postgres:
    """A private server in a new directory, on a Unix socket. It refuses to run as root, and then does as postgres."""

    def __init__(self, programs):
        self.programs, self.server = programs, None
        self.who = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam('postgres')
            self.who = {'user': user.pw_uid, 'group': user.pw_gid, 'extra_groups': []}
        self.dir = tempfile.mkdtemp(prefix='sealmq-pg-')
        os.chmod(self.dir, 0o755)
        if self.who:
            os.chown(self.dir, self.who['user'], self.who['group'])
        self.url = 'postgresql:///postgres?host=%s&user=sealmq' % self.dir

    def tool(self, name, *words):
        return subprocess.run([os.path.join(self.programs, name), *words], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, cwd=self.dir, timeout=120, **self.who)

    def __enter__(self):
        data = os.path.join(self.dir, 'data')
        try:
            done = self.tool('initdb', '-D', data, '-U', 'sealmq', '-A', 'trust', '-E', 'UTF8', '--locale=C')
            if done.returncode:
                raise OSError('initdb: ' + done.stderr.strip()[-200:])
            self.server = subprocess.Popen(
                [os.path.join(self.programs, 'postgres'), '-D', data, '-k', self.dir, '-c', 'listen_addresses=', '-c',
                 'max_wal_size=4GB', '-c', 'shared_buffers=256MB'], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.dir, **self.who)
            for _ in range(600):
                if self.tool('pg_isready', '-h', self.dir, '-U', 'sealmq', '-d', 'postgres').returncode == 0:
                    return self
                time.sleep(0.1)
            raise OSError('postgres does not start')
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)


def postgres_programs():
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/initdb'), key=lambda path: int(path.split('/')[4]))
    try:
        pwd.getpwnam('postgres')
    except KeyError:
        return None
    return os.path.dirname(found[-1]) if found else None


def quartiles(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) - 1, int(len(values) * share))]
    return {'median': statistics.median(values), 'low': at(0.25), 'high': at(0.75)}


# ---- from a full queue ----

class Queue:
    """Messages that wait at the broker for a recorder that was there before, and is not now."""

    def __init__(self, suite, world, schema, sign, evidence, count):
        self.suite, self.world, self.schema, self.sign, self.count = suite, world, schema, sign, count
        self.evidence = ['--evidence'] if evidence else []
        self.at = ['-h', '127.0.0.1', '-p', str(world.tcp)]

    def words(self, store, name):
        return [self.world.sealmq, 'record', '--realm', self.world.member('desk'), *self.at, '-t', 'audit/#', '--store',
                store, '--schema', self.schema, '-i', name, '--json', '-W', '120', *self.evidence]

    def publish(self):
        now = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
        lines = ''.join('{"auditor_id":"fridge-07","measured_timestamp":"%s","measure_type":"gas_m3","measure":%d.%d}\n' %
                        (now, i % 90000, i % 10) for i in range(self.count))
        words = [self.world.sealmq, 'pub', '--realm', self.world.member('fridge-07'), *self.at, '--group', 'bench', '-t',
                 'audit/fridge-07/energy', '-q', '1', '-l'] + (['--sign', self.sign] if self.sign else [])
        start = time.monotonic()
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(lines.encode())
        process.stdin.close()
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
        if status:
            raise self.suite.Trouble('sealmq pub: ' + said.decode(errors='replace').strip()[-200:])
        return self.count / (time.monotonic() - start), (used.ru_utime + used.ru_stime) / self.count * 1e6

    def run(self, store, name):
        """Subscribes and goes; lets the queue fill; then records all of it."""
        first = subprocess.Popen(self.words(store, name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        time.sleep(0.7)
        first.terminate()
        first.wait(30)
        published, published_us = self.publish()
        start = time.monotonic()
        process = subprocess.Popen(self.words(store, name) + ['-C', str(self.count)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        counts = json.loads(process.stdout.read() or '{}')
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
        took = time.monotonic() - start
        process.stdout.close()
        if status or counts.get('stored') != self.count:
            raise self.suite.Trouble('sealmq record: status %d, %s' % (status, counts))
        return {'rate': self.count / took, 'cpu_us': (used.ru_utime + used.ru_stime) / self.count * 1e6,
                'published': published, 'published_us': published_us}


def from_queue(suite, options, world, url, rounds):
    """In turns, each on an empty store; ratios to the unsigned one of the same round."""
    count = 5000 if options['quick'] else 50000
    schema = os.path.join(world.dir, 'energy.yaml')
    with open(schema, 'w', encoding='utf-8') as file:
        file.write(ENERGY)
    kinds = [('unsigned', None, None, False), ('control', None, None, False)]
    for where, at in (('', None), (', PostgreSQL', url)) if url else (('', None), ):
        kinds += [('unsigned' + where, None, at, False)] if at else []
        for sign in ('checkpoint', 'every'):
            kinds += [(sign + where, sign, at, False), (sign + ', evidence' + where, sign, at, True)]
    seen = {kind: [] for kind, _, _, _ in kinds}
    for i in range(rounds):
        for number, (kind, sign, store, evidence) in enumerate(kinds[i % len(kinds):] + kinds[:i % len(kinds)]):
            suite.say('record: from a full queue, %s' % kind)
            file = os.path.join(world.dir, 'records-%d-%d.db' % (i, number))
            queue = Queue(suite, world, schema, sign, evidence, count // 10 if sign == 'every' else count)
            seen[kind].append(queue.run(store or file, 'bench-%d-%s' % (i, kind.replace(', ', '-').lower())))
            for end in ('', '-wal', '-shm'):
                if os.path.exists(file + end):
                    os.unlink(file + end)
    rows = []
    for kind, sign, _, _ in kinds:
        row = {'kind': kind, 'count': count // 10 if sign == 'every' else count}
        for key in ('rate', 'cpu_us', 'published', 'published_us'):
            row[key] = statistics.median(r[key] for r in seen[kind])
            row[key + '_ratio'] = quartiles([a[key] / b[key] for a, b in zip(seen[kind], seen['unsigned'])])
        rows.append(row)
    return rows


def measure(suite, options, world):
    rounds = options['rounds'] or (2 if options['quick'] else 9)
    rows = 5000 if options['quick'] else 50000
    program = os.path.join(HERE, 'bench_record')
    suite.say('record: SQLite')
    result = {'rounds': rounds, 'stores': [json.loads(suite.run(program, world.dir, rounds, rows, seconds=3600))]}
    suite.say('record: signatures')
    result['verify'] = json.loads(suite.run(os.path.join(HERE, 'bench_verify'), os.cpu_count(), max(3, rounds),
                                            512 if options['quick'] else 8192, seconds=3600))
    programs = postgres_programs()
    if not programs:
        result['queue'] = from_queue(suite, options, world, None, rounds)
        return result
    with Postgres(programs) as server:
        suite.say('record: PostgreSQL')
        result['stores'].append(json.loads(suite.run(program, server.url, rounds, rows, seconds=3600)))
        result['queue'] = from_queue(suite, options, world, server.url, rounds)
    return result


# ---- for people ----

def ratio_text(r):
    return '%.2f (%.2f to %.2f)' % (r['median'], r['low'], r['high'])


def store_rows(part):
    yield ('store', 'rows a commit', 'bare, rows a second', 'the store', 'store / bare', 'bare / bare')
    for store in part['stores']:
        for r in store['results']:
            yield (store['store'], r['batch'], '%.0f' % r['bare_per_s'], '%.0f' % r['store_per_s'],
                   ratio_text(r['ratio']), ratio_text(r['control']))


def queue_rows(part):
    yield ('messages', 'recorded a second', 'against unsigned', 'processor us each', 'against unsigned',
           'published a second', 'processor us each')
    for r in part['queue']:
        yield (r['kind'], '%.0f' % r['rate'], ratio_text(r['rate_ratio']), '%.1f' % r['cpu_us'],
               ratio_text(r['cpu_us_ratio']), '%.0f' % r['published'], '%.1f' % r['published_us'])


def verify_rows(part):
    v = part['verify']
    yield ('threads', 'bare P-256 a second', 'messages verified a second', 'against bare', 'bare / bare')
    yield (v['threads'], '%.0f' % v['bare_per_s'], '%.0f' % v['pool_per_s'], ratio_text(v['ratio']),
           ratio_text(v['control']))


TABLES = (('Stores against their bare databases, in turns: SQLite in WAL mode with synchronous FULL, PostgreSQL with COPY',
           store_rows),
          ('`sealmq record` from a full queue of the broker, with a schema, each acknowledged once it is durable',
           queue_rows),
          ('Signatures of messages verified by all cores, as a recorder does, against bare verification by as many threads',
           verify_rows))


def plots(part, table_block):
    rows = [('"%s\\n%d"' % (s['store'], r['batch']), r['bare_per_s'], r['store_per_s']) for s in part['stores']
            for r in s['results']]
    yield 'record-stores', table_block('d', rows) + '''set title "Rows a second into a store, by rows a commit"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.85 noborder
set yrange [0:*]
set ylabel "rows a second"
set key outside top center horizontal
plot $d u 2:xtic(1) ls 5 t "bare database", $d u 3 ls 1 t "SealMQ's store"
'''
    rows = [('"%s"' % r['kind'].replace(', ', '\\n'), r['rate'], r['published']) for r in part['queue']]
    yield 'record-queue', table_block('d', rows) + '''set title "sealmq record from a full queue: messages a second"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.85 noborder
set yrange [0:*]
set ylabel "messages a second"
set key outside top center horizontal
plot $d u 2:xtic(1) ls 1 t "recorded", $d u 3 ls 4 t "published before"
'''


def targets(part):
    """What was aimed at: text, bound, measured, whether more is better."""
    for store in part['stores']:
        for r in store['results']:
            yield '%s against bare, %d rows a commit' % (store['store'], r['batch']), 0.8, r['ratio']['median'], True
    for r in part['queue']:
        if r['kind'] in ('unsigned', 'checkpoint'):
            yield 'recorded from a full queue into SQLite a second, %s' % r['kind'], 50000, r['rate'], True
        if r['kind'].startswith('checkpoint, evidence'):
            yield 'recorded from a full queue a second, %s' % r['kind'], 50000, r['rate'], True
        if r['kind'] == 'checkpoint':
            yield 'recorded a second, checkpoint against unsigned', 0.9, r['rate_ratio']['median'], True
    yield 'messages verified on all cores against bare P-256 on all cores', 0.9, part['verify']['ratio']['median'], True
