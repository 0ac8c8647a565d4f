#!/usr/bin/env python3
"""Load and soak: many real members that join and leave at random, against real Mosquitto and a real key server, and a
flood of junk at ten times the honest rate.

usage: soak.py SEALMQ [--seconds N] [--members N] [--moves N] [--rate N] [--json FILE]
       soak.py SEALMQ --planted

Ends with status 0 if all converge, nobody who left reads anything, nothing is lost, memory and descriptors of the tool,
the key server's processes and Mosquitto are flat, and junk raises the honest p99 by a factor of at most 2.

--planted runs short ones in which one of these is not so, each of which must be found: a member who is
taken for gone and is not, a broker that forgets what it was given, a process that leaks, a publisher that leaves a message out, and a
subscriber that stands still under junk.
"""
import argparse
import json
import multiprocessing
import os
import random
import re
import signal
import ssl
import socket
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'bench'))
import swarm  # noqa: E402

FLAT = 1.10  # the last fifth may take so much more than the second; what is still filling up then is a leak
JUNK_FACTOR = 10
P99_FACTOR = 2.0
TURNS = 6


def usage_of(pid):
    with open('/proc/%d/status' % pid, encoding='ascii') as file:
        rss = int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))
    try:
        return rss, len(os.listdir('/proc/%d/fd' % pid))
    except PermissionError:  # not dumpable: its descriptors are for root to see
        return rss, 0


def children_of(pid):
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # it has ended
        return []


def name_of(pid):
    with open('/proc/%d/cmdline' % pid, encoding='utf-8') as file:
        words = file.read().split('\0')
    base = os.path.basename(words[0])
    return base if base == 'mosquitto' else words[words.index('--duty') + 1] if '--duty' in words else words[1]


class Watch(threading.Thread):
    """Looks at processes every so often: {name: [(seconds, kB, descriptors)]}."""

    def __init__(self, pids, every):
        super().__init__(daemon=True)
        self.pids, self.every, self.over, self.seen = pids, every, threading.Event(), {}
        self.begin = time.monotonic()

    def run(self):
        while not self.over.wait(self.every):
            for pid in self.pids():
                try:
                    rss, files = usage_of(pid)
                    self.seen.setdefault(name_of(pid), []).append((time.monotonic() - self.begin, rss, files))
                except (OSError, AttributeError, IndexError):
                    pass

    def verdict(self, since):
        """(name, kB early, kB late, descriptors early, late, flat) from when they were all there."""
        rows = []
        for name, seen in sorted(self.seen.items()):
            seen = [row for row in seen if row[0] >= since]
            fifth = max(1, len(seen) // 5)
            early, late = seen[fifth:2 * fifth] or seen, seen[-fifth:]
            if not seen:
                continue
            most = [max(row[1] for row in part) for part in (early, late)]
            files = [max(row[2] for row in part) for part in (early, late)]
            rows.append({'process': name, 'kib_early': most[0], 'kib_late': most[1], 'files_early': files[0],
                         'files_late': files[1],
                         'flat': most[1] <= most[0] * FLAT + 1024 and files[1] <= files[0] * FLAT + 8})
        return rows


class Rig(swarm.Rig):
    def set_up(self):
        super().set_up()
        for name in ('desk', 'fridge', 'vandal'):
            self.must('ca', 'issue', name, '--ca', self.path('swarm'))

    def group(self, name, *more):
        self.must('group', 'create', name, '--realm', self.member('ops'), *self.tls(), '--mode', 'update', '--filter',
                  'swarm/%s' % name, '--publish', '*', '--subscribe', '*', '--batch-ms', '2000', '--activation-ms', '100',
                  '--wait', '30', *more)


def churn(rig, options, meanwhile=None, tool=lambda sealmq: sealmq):
    rig.group('crowd')
    done = {}
    words = [tool(rig.sealmq), 'swarm', '--ca', rig.path('swarm'), '--group', 'crowd', '-t', 'swarm/crowd', '--members',
             str(options.members), '--leaves', '0', '--rate', str(options.rate), '--churn', str(options.seconds), '--moves',
             str(options.moves), '--json', *rig.tls()]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    roots = [c.pid for c in rig.children] + [child.pid]
    watch = Watch(lambda: roots + [p for r in roots for p in children_of(r)], max(0.2, options.seconds / 300))
    watch.start()
    if meanwhile:
        roots += meanwhile(rig)
    done['out'], done['err'] = child.communicate()
    watch.over.set()
    try:
        result = json.loads(done['out'])
    except ValueError:
        raise SystemExit('soak: the swarm did not come to an end: ' + done['err'][-500:])
    result['processes'] = watch.verdict(max(0.0, time.monotonic() - watch.begin - options.seconds))
    return result


# ---- junk ----

def connect(rig, member):
    context = ssl.create_default_context(cafile=rig.member(member, 'root.crt'))
    context.load_cert_chain(rig.member(member, 'member.crt'), rig.member(member, 'member.key'))
    link = context.wrap_socket(socket.create_connection(('127.0.0.1', rig.port)), server_hostname='localhost')
    name = b'junk%08x' % random.getrandbits(32)
    body = b'\0\x04MQTT\x04\x02\0\0' + len(name).to_bytes(2, 'big') + name
    link.sendall(b'\x10' + bytes([len(body)]) + body)
    link.recv(4)
    return link


def flood(rig, rate, seconds):
    """Junk where the honest listen: on the traffic's topic, on the key exchange's and the key server's."""
    link, draw, sent = connect(rig, 'vandal'), random.Random(7), 0
    topics = [b'swarm/line', b'swarm/line', b'sealmq/swarm/keyex/all', b'sealmq/swarm/keyex/desk', b'sealmq/swarm/ks/q/vandal']
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        due = int((time.monotonic() - begin) * rate)
        packets = b''
        for _ in range(due - sent):
            topic, payload = draw.choice(topics), draw.randbytes(draw.choice((1, 40, 64, 200)))
            if draw.random() < 0.5:  # what looks like a message of ours at first
                payload = b'\x11\x01' + payload
            length, left = b'', 2 + len(topic) + len(payload)
            while True:
                length += bytes([left % 128 | (128 if left > 127 else 0)])
                left //= 128
                if not left:
                    break
            packets += b'\x30' + length + len(topic).to_bytes(2, 'big') + topic + payload
        sent = due
        if packets:
            link.sendall(packets)
        time.sleep(0.002)
    link.close()
    return sent


def p(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Line:
    """An honest publisher and an honest subscriber, and how long each message takes from one to the other."""

    def __init__(self, rig, rate, group='line'):
        self.rate, self.took, self.sent = rate, {}, 0
        where = [*rig.tls(), '--group', group, '-t', 'swarm/' + group, '--quiet']
        self.sub = subprocess.Popen([rig.sealmq, 'sub', '--realm', rig.member('desk'), *where], stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
        self.pub = subprocess.Popen([rig.sealmq, 'pub', '--realm', rig.member('fridge'), *where, '-l'], stdin=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
        threading.Thread(target=self.read, daemon=True).start()

    def begin(self):
        until = time.monotonic() + 60
        while not self.took and time.monotonic() < until:
            self.one()
            time.sleep(0.2)

    def read(self):
        for line in self.sub.stdout:
            now = time.monotonic_ns()
            try:
                number, at = line.split()
                self.took[int(number)] = (now - int(at)) / 1e6
            except ValueError:
                pass

    def one(self):
        self.sent += 1
        self.pub.stdin.write(b'%d %d\n' % (self.sent, time.monotonic_ns()))
        self.pub.stdin.flush()

    def stretch(self, seconds):
        """Publishes for so long; the latencies of what was published then, and how many did not come."""
        first, begin = self.sent + 1, time.monotonic()
        while time.monotonic() < begin + seconds:
            while self.sent - first + 1 < (time.monotonic() - begin) * self.rate:
                self.one()
            time.sleep(0.001)
        until = time.monotonic() + 10
        while len([n for n in self.took if n >= first]) < self.sent - first + 1 and time.monotonic() < until:
            time.sleep(0.01)
        took = [ms for n, ms in self.took.items() if n >= first]
        return took, self.sent - first + 1 - len(took)

    def end(self):
        self.pub.stdin.close()
        for child in (self.pub, self.sub):
            child.terminate()
            child.wait()


def junk(rig, rate, seconds, line_of=Line, meanwhile=None):
    rig.group('line', '--batch-ms', '1')
    line = line_of(rig, rate)
    line.begin()
    quiet, loud, lost, sent = [], [], 0, 0
    # by turns, so that whatever else the machine does falls on both
    for _ in range(TURNS):
        took, missing = line.stretch(seconds)
        quiet += took
        lost += missing
        counts = multiprocessing.Queue()  # a process of its own: the clock above is not to wait for it
        flooding = multiprocessing.Process(target=lambda: counts.put(flood(rig, JUNK_FACTOR * rate, seconds)))
        flooding.start()
        if meanwhile:
            threading.Thread(target=meanwhile, args=(line, seconds), daemon=True).start()
        took, missing = line.stretch(seconds)
        sent += counts.get()
        flooding.join()
        loud += took
        lost += missing
    line.end()
    return {'honest_per_s': rate, 'junk_per_s': round(sent / (TURNS * seconds)), 'messages': len(quiet) + len(loud), 'lost': lost,
            'quiet_ms': {'p50': round(p(quiet, .5), 2), 'p99': round(p(quiet, .99), 2)},
            'junk_ms': {'p50': round(p(loud, .5), 2), 'p99': round(p(loud, .99), 2)},
            'p99_factor': round(p(loud, .99) / p(quiet, .99), 2)}


# ---- the result ----

def crowd_complaints(crowd):
    if crowd['lost']:
        yield '%d messages were lost' % crowd['lost']
    if crowd['opened_after_leaving']:
        yield 'who had left opened %d messages' % crowd['opened_after_leaving']
    if not crowd['left'] or not crowd['came_back']:
        yield 'nobody came or went'
    for row in crowd['processes']:
        if not row['flat']:
            yield '%(process)s grows: %(kib_early)d to %(kib_late)d kB, %(files_early)d to %(files_late)d descriptors' % row


def junk_complaints(flood_result):
    if flood_result['lost']:
        yield '%d honest messages were lost under junk' % flood_result['lost']
    if flood_result['p99_factor'] > P99_FACTOR:
        yield 'junk raises the honest p99 by a factor of %.2f' % flood_result['p99_factor']


# ---- planted ----

STAYS = {'m->gone = m->leaving = true;': 'm->gone = true;', 'smq_client_leave_groups(m->client);': '',
         'return come_back(s, m);': 'return ++s->result.came_back != 0 || come_back(s, m);'}


def who_stays(sealmq):
    """The tool, with a swarm that says "gone" of members without their leaving."""
    build = os.path.dirname(os.path.dirname(os.path.dirname(sealmq)))
    out = sealmq + '-planted'
    with open(os.path.join(ROOT, 'src', 'cli', 'cmd_swarm.c'), encoding='utf-8') as file:
        text = file.read()
    for line, planted_line in STAYS.items():
        if text.count(line) != 1:
            raise SystemExit('soak: not found in cmd_swarm.c: ' + line)
        text = text.replace(line, planted_line)
    with open(out + '.c', 'w', encoding='utf-8') as file:
        file.write(text)
    commands = subprocess.run(['ninja', '-C', build, '-t', 'commands', 'src/cli/sealmq'], capture_output=True, text=True,
                              check=True).stdout.splitlines()
    compiling = next(line for line in commands if 'cmd_swarm.c.o -c' in line)
    source = compiling.rpartition(' ')[2]
    for line in (compiling.replace('cmd_swarm.c.o', 'planted.o').replace(source, out + '.c'),
                 commands[-1].replace('cmd_swarm.c.o', 'planted.o').replace('-o src/cli/sealmq ', '-o %s ' % out)):
        subprocess.run(line, shell=True, cwd=build, check=True)
    return out


def leaking_process(_):
    return [subprocess.Popen([sys.executable, '-c', 'import os, time\nkept = []\nwhile os.getppid() == %d:\n kept += '
                              '[bytearray(500000), open("/dev/null")]\n time.sleep(0.1)' % os.getpid()]).pid]


def forgetful_broker(rig):
    def again():
        for _ in range(3):
            time.sleep(3)
            rig.children[0].kill()
            rig.children[0].wait()
            rig.broker()
            rig.children[0] = rig.children.pop()
    threading.Thread(target=again, daemon=True).start()
    return []


class LeavesOneOut(Line):
    def one(self):
        if self.sent == 77:
            self.sent += 1
        super().one()


def stands_still(line, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        line.sub.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        line.sub.send_signal(signal.SIGCONT)
        time.sleep(0.2)


def planted(sealmq):
    """(what, the complaint that must come, how)"""
    short = argparse.Namespace(seconds=15, members=20, moves=3, rate=10)
    crowd = lambda **how: lambda rig: crowd_complaints(churn(rig, short, **how))
    flood_of = lambda **how: lambda rig: junk_complaints(junk(rig, 50, 2, **how))
    rows = [('nothing is planted', '', crowd()),
            ('one who leaves, and does not', 'who had left opened', crowd(tool=who_stays)),
            ('a broker that forgets', 'messages were lost', crowd(meanwhile=forgetful_broker)),
            ('a process that leaks', '-c grows', crowd(meanwhile=leaking_process)),
            ('a publisher that leaves one out', 'honest messages were lost', flood_of(line_of=LeavesOneOut)),
            ('a subscriber that stands still', 'raises the honest p99', flood_of(meanwhile=stands_still))]
    missed = 0
    for what, wanted, run in rows:
        rig = Rig(sealmq)
        try:
            rig.set_up()
            found = list(run(rig))
        finally:
            rig.strike()
        good = any(wanted in line for line in found) if wanted else not found
        missed += not good
        print('%s: %s: %s' % ('ok' if good else 'MISSED', what, '; '.join(found) or 'no complaint'), flush=True)
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('sealmq')
    parser.add_argument('--seconds', type=int, default=600)
    parser.add_argument('--members', type=int, default=1000)
    parser.add_argument('--moves', type=int, default=2, help='joins and leaves a second')
    parser.add_argument('--rate', type=int, default=2, help='messages a second to the crowd')
    parser.add_argument('--honest', type=int, default=50, help='messages a second beside the junk')
    parser.add_argument('--junk-seconds', type=int, default=10, help='of each of six turns')
    parser.add_argument('--planted', action='store_true', help='short ones in which something is wrong: each must be found')
    parser.add_argument('--json', help='a file for the figures')
    options = parser.parse_args()
    if options.planted:
        return planted(options.sealmq)
    rig = Rig(options.sealmq)
    try:
        rig.set_up()
        flood_result = junk(rig, options.honest, options.junk_seconds)
        print('junk: ' + json.dumps(flood_result), flush=True)
        crowd = churn(rig, options)
        print('crowd: ' + json.dumps(crowd), flush=True)
    finally:
        rig.strike()
    if options.json:
        with open(options.json, 'w', encoding='ascii') as file:
            json.dump({'seconds': options.seconds, 'moves_per_s': options.moves, 'crowd': crowd, 'junk': flood_result}, file,
                      indent=1)
            file.write('\n')
    wrong = [*crowd_complaints(crowd), *junk_complaints(flood_result)]
    for line in wrong:
        print('WRONG: ' + line)
    if not wrong:
        print('sound: %d members, %d seconds, %d left and %d came back; all converged, nothing lost' %
              (options.members, options.seconds, crowd['left'], crowd['came_back']))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
