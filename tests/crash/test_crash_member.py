#!/usr/bin/env python3
"""A member's own state under crashes: joins, rotations, sealing, recording, obeying commands. Killed at every system call that
alters a file or says something to somebody; refused each of them by full and broken disks; cut from power; without memory.
What was acknowledged is there, nothing is told twice, and no (key, nonce) is used twice, by what the broker saw.

usage: test_crash_member.py SEALMQ ROOT FAILMALLOC

Short by default; SEALMQ_KILLS=N (./run crash) walks all of it, which takes hours on a slow machine: with SEALMQ_SECONDS=N it
stops after about so long, and goes on from there when it is started again with the same SEALMQ_STATE, a file. SEALMQ_ONLY
names scenes by their numbers.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

SEALMQ, ROOT, FAILMALLOC = (os.path.abspath(path) for path in sys.argv[1:4])
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, 'tests', 'cli')]
import files  # noqa: E402
from record_rig import TAP, World, needs, wait  # noqa: E402

LONG = int(os.environ.get('SEALMQ_KILLS', '0')) > 0
FIGURES = {}
SAYING = files.ALTERING + ['sendto', 'sendmsg', 'writev']
DECLARED = 'parameters:\n  LEVEL: { type: integer, min: 0, max: 1000000 }\nfrom: [ centre ]\n'
PATIENCE = 90


class Walk:
    """What a scene has done, in this run and in those before it: its rows, each once, and what it counts."""

    state, until, kept = {}, float('inf'), 0.0

    def __init__(self, name, eye):
        self.name, self.eye, self.is_whole = name, eye, True
        self.at = Walk.state.setdefault(name, {'done': [], 'bad': [], 'messages': 0, 'sums': {}})
        self.before, self.seen = len(eye.seen), set(self.at['done'])

    def rows(self, points, count):
        """Those that are left; one is done when the next is asked for. They are known by what they are, not by where they
        stand: the same command makes a call more or less from time to time."""
        points = sample(points, count)
        self.at['of'] = max(self.at.get('of', 0), len(points))
        for row in points:
            words = ' '.join(map(str, row))
            if words in self.seen:
                continue
            if time.monotonic() > Walk.until:
                self.is_whole = False
                return
            yield row
            self.at['done'].append(words)
            if time.monotonic() - Walk.kept > 2:
                Walk.keep()

    def add(self, what, count=1):
        self.at['sums'][what] = self.at['sums'].get(what, 0) + count

    def of(self, what):
        return self.at['sums'].get(what, 0)

    def wrong(self, text):
        self.at['bad'].append(text)

    def messages(self, w):
        """Sealed ones that the broker has been given in this scene."""
        total = self.eye.judge(w)
        self.at['messages'] += total - self.before
        self.before = total
        Walk.keep()
        return self.at['messages']

    def told(self, text, count):
        bad = self.at['bad'] + self.eye.bad
        left = '' if self.is_whole else '; %d of %d so far' % (len(self.at['done']), self.at['of'])
        TAP.row((count > 0 or not self.is_whole) and not bad, '%s: %s%s' % (self.name, text, left), bad[:6])
        if count > 0:
            FIGURES[self.name] = text + left

    @staticmethod
    def keep():
        place = os.environ.get('SEALMQ_STATE')
        if place:
            with open(place + '.new', 'w', encoding='ascii') as file:
                json.dump(Walk.state, file, indent=1)
            os.replace(place + '.new', place)
        Walk.kept = time.monotonic()


class Eye:
    """All that the broker is given, and whether a (key, nonce) came twice: one counter of one life in one epoch, two texts."""

    def __init__(self, w):
        self.seen, self.bad, self.cache = {}, [], {}
        self.child = subprocess.Popen(['mosquitto_sub', '-h', '127.0.0.1', '-p', str(w.port), '-t', 'audit/#', '-t', 'plant/#', '-q', '1',
                                       '-i', 'eye', '-c', '-F', '%t %X'], stdout=subprocess.PIPE, text=True)
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.lines.append(line.split())

    def judge(self, w):
        """Everything so far; the number of sealed messages."""
        for topic, text in [line for line in self.lines if len(line) == 2]:
            if text in self.cache:
                continue
            done = w.run('inspect', '--hex', '--json', '-', stdin=text)
            self.cache[text] = json.loads(done.stdout) if done.returncode == 0 else None
            head = self.cache[text]
            if not head or 'counter' not in head:
                continue
            group = 'audit' if topic.startswith('audit') else 'tele'
            key = (group, head.get('epoch'), head.get('sender_id'), head.get('boot_id'), head['counter'])
            if self.seen.setdefault(key, text) != text:
                self.bad.append('a (key, nonce) is used twice: %s' % (key,))
        return len(self.seen)

    def close(self):
        self.child.terminate()
        self.child.wait()


def sample(points, count):
    """All of them, or so many from end to end."""
    if LONG or len(points) <= count:
        return points
    return [points[i * (len(points) - 1) // (count - 1)] for i in range(count)]


def talk(words, env, log):
    """Its calls that alter files or say something; [(call, n)]."""
    subprocess.run(['strace', '-f', '-qqq', '-e', 'trace=' + ','.join(SAYING), '-e', 'signal=none', '-o', log, *words],
                   env=env, capture_output=True, check=False, timeout=PATIENCE)
    return points_of(log)


def points_of(log):
    seen, found = {}, []
    with open(log, encoding='ascii', errors='replace') as file:
        for line in file:
            match = re.match(r'^\d+ +(\w+)\((.*)', line)
            if not match or '<unfinished' in line or 'resumed>' in line:
                continue
            call = match.group(1)
            seen[call] = seen.get(call, 0) + 1
            if files.writes(call, match.group(2)):
                found.append((call, seen[call]))
    return found


def kill_words(call, number, words):
    return ['strace', '-f', '-qqq', '-o', '/dev/null', '-e', 'trace=' + call, '-e', 'inject=%s:signal=KILL:when=%d' % (call, number), *words]


def was_killed(status):
    return status in (-9, 137)


class Room:
    """The world, with a key server beside the static group."""

    def __init__(self):
        self.w = World(members=('aud-1', 'aud-2', 'centre'))
        self.eye = Eye(self.w)
        self.env = dict(os.environ, TMPDIR=self.w.dir, HOME='/nonexistent')
        self.pristine = self.w.path('pristine')
        shutil.copytree(self.w.member('aud-1'), self.pristine)
        self.count = 0

    def keyserver(self):
        w = self.w
        w.must('ca', 'issue', 'keys', '--role', 'keyserver', '--ca', 'plant')
        w.must('ca', 'issue', 'ops', '--role', 'admin', '--ca', 'plant')
        with open(w.path('pass'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write('a passphrase of several words\n')
        own = ['--realm', w.member('keys'), '--db', 'keys.db', '--passphrase-file', 'pass']
        w.must('keyserver', 'init', *own)
        # members that die by the hundred ask more often than honest ones
        self.keys = w.start('keyserver', 'run', *own, *w.at(), '--requests', '100000', '--quiet')
        words = ('create', 'tele', '--mode', 'static', '--filter', 'plant/#', '--publish', '*', '--subscribe', '*')
        if not wait(lambda: self.ask(*words).returncode == 0):
            raise RuntimeError('no key server: ' + w.said(self.keys))

    def ask(self, *words):
        return self.w.run('group', *words, '--realm', self.w.member('ops'), *self.w.at())

    def fresh(self):
        """The member's directory as it was made."""
        files.copy(self.pristine, self.w.member('aud-1'))

    def text(self):
        self.count += 1
        return 'text %d' % self.count

    def pub(self, group, topic, *more):
        """Two messages of other texts than ever before."""
        place = self.w.path('lines')
        with open(place, 'w', encoding='ascii') as file:
            file.write(self.text() + '\n' + self.text() + '\n')
        words = [SEALMQ, 'pub', '--realm', self.w.member('aud-1'), *self.w.at(), '-q', '1', '--group', group, '-t', topic, '--wait', '60', *more]
        return words, place

    def run_pub(self, words, place, prefix=(), **env):
        with open(place, encoding='ascii') as stdin:
            return subprocess.run([*prefix, *words], stdin=stdin, capture_output=True, text=True, env=dict(self.env, **env), check=False,
                                  timeout=PATIENCE)

    def close(self):
        self.eye.close()
        self.w.close()


# ---- sealing, with a boot id that is kept and with one that is not, in both kinds of groups ----

def traced_pub(r, group, topic, more):
    r.fresh()
    words, place = r.pub(group, topic, *more)
    log = r.w.path('strace.log')
    done = r.run_pub(words, place, ['strace', '-f', '-qqq', '-e', 'trace=' + ','.join(SAYING), '-e', 'signal=none', '-o', log])
    return points_of(log) if done.returncode == 0 else []


def seal_killed(r, name, group, topic, more, count):
    walk = Walk(name + ', killed', r.eye)
    for call, number in walk.rows(traced_pub(r, group, topic, more), count):
        r.fresh()
        words, place = r.pub(group, topic, *more)
        walk.add('kills', was_killed(r.run_pub(words, place, kill_words(call, number, [])).returncode))
        words, place = r.pub(group, topic, *more)
        done = r.run_pub(words, place)
        if done.returncode != 0:
            walk.wrong('killed at %s %d, then: %d %s' % (call, number, done.returncode, done.stderr[-200:]))
    walk.told('%d kills at its calls, then it goes on; %d messages at the broker, no nonce twice' % (
        walk.of('kills'), walk.messages(r.w)), walk.of('kills'))


def seal_refused(r, name, group, topic, more, count):
    walk = Walk(name + ', ENOSPC and EIO', r.eye)
    points = traced_pub(r, group, topic, more)
    for error, call, number in walk.rows([(error, call, number) for error, which in files.ERRORS for call, number in points if call in which], count):
        r.fresh()
        words, place = r.pub(group, topic, *more)
        done = r.run_pub(words, place, ['strace', '-f', '-qqq', '-o', '/dev/null', '-e', 'trace=' + call, '-e',
                                        'inject=%s:error=%s:when=%d' % (call, error, number)])
        walk.add('errors')
        walk.add('refusals', done.returncode != 0)
        if done.returncode < 0 or done.returncode > 128:
            walk.wrong('%s at %s %d: %d' % (error, call, number, done.returncode))
        words, place = r.pub(group, topic, *more)
        done = r.run_pub(words, place)
        if done.returncode != 0:
            walk.wrong('%s at %s %d, then: %d %s' % (error, call, number, done.returncode, done.stderr[-200:]))
    walk.told('%d errors, %d refusals; it goes on, %d messages at the broker, no nonce twice' % (
        walk.of('errors'), walk.of('refusals'), walk.messages(r.w)), walk.of('errors'))


def seal_without_memory(r, name, group, topic, more, count):
    walk = Walk(name + ', failing allocations', r.eye)
    counted = r.w.path('count')
    r.fresh()
    words, place = r.pub(group, topic, *more, '--unconfined')  # it writes its count where it likes
    r.run_pub(words, place, LD_PRELOAD=FAILMALLOC, FAILMALLOC='0', FAILMALLOC_COUNT=counted)
    with open(counted, encoding='ascii') as file:
        total = int(file.read())
    # the count differs from run to run by a few; a walk that goes on keeps its step
    step = walk.at['sums'].setdefault('step', 1 if LONG else max(1, total // count))
    for (i,) in walk.rows([(i,) for i in range(1, total + 1, step)], total):
        r.fresh()
        words, place = r.pub(group, topic, *more)
        done = r.run_pub(words, place, LD_PRELOAD=FAILMALLOC, FAILMALLOC=str(i))
        walk.add('tried')
        walk.add('refusals', done.returncode != 0)
        if done.returncode < 0:
            walk.wrong('allocation %d: crashed by signal %d: %s' % (i, -done.returncode, done.stderr[-200:]))
    walk.told('%s, one at a time: %d refusals, no crash, %d messages at the broker, no nonce twice' % (
        'each of %d' % walk.of('tried') if step == 1 else '%d of %d' % (walk.of('tried'), total), walk.of('refusals'), walk.messages(r.w)),
        walk.of('tried'))


def seal_cut(r, heed):
    """Power is cut after it had said that all was sent, and the disk is put back as it then may be: (cuts, complaints)."""
    r.fresh()
    home = r.w.member('aud-1')
    words, place = r.pub('audit', 'audit/aud-1/x', '-l', '--keep-boot-id')
    r.run_pub(words, place)  # the boot id is there
    disk = files.Disk(home)
    bad, count, draw = [], 0, files.random.Random(7)
    for _ in range(40 if LONG else 3 if heed else 8):
        words, place = r.pub('audit', 'audit/aud-1/x', '-l', '--keep-boot-id')
        with open(place, encoding='ascii') as stdin:
            log = r.w.path('strace.log')
            subprocess.run(['strace', '-f', '-qqq', '-y', '-xx', '-s', '1000000', '-e', 'trace=' + ','.join(files.ALTERING), '-e',
                            'signal=none', '-o', log, *words], stdin=stdin, env=r.env, capture_output=True, check=False)
        with open(log, encoding='ascii', errors='replace') as file:
            for match in filter(None, map(files.LINE.match, file)):
                disk.do(match.group(1), match.group(2), int(match.group(3)), heed)
        image = r.w.path('image')
        shutil.rmtree(image, ignore_errors=True)
        disk.cut(draw, image)
        shutil.rmtree(home)
        os.rename(image, home)
        os.chmod(home, 0o700)
        count += 1
        words, place = r.pub('audit', 'audit/aud-1/x', '-l', '--keep-boot-id')
        done = r.run_pub(words, place)
        if done.returncode != 0:
            bad.append('after a cut: %d %s' % (done.returncode, done.stderr[-200:]))
        disk = files.Disk(home)
    return count, bad


def cut_from_power(r):
    walk = Walk('seal, kept boot id, cut from power', r.eye)
    for _ in walk.rows([('all',)], 1):
        count, bad = seal_cut(r, True)
        walk.add('cuts', count)
        walk.at['bad'] += bad
    walk.messages(r.w)
    walk.told('%d cuts: no nonce twice' % walk.of('cuts'), walk.of('cuts'))
    if not walk.is_whole:
        return
    before = len(r.eye.bad)
    count, _ = seal_cut(r, False)
    r.eye.judge(r.w)
    repeated = len(r.eye.bad) - before
    del r.eye.bad[before:]
    TAP.row(repeated > 0, 'planted: where no sync is heeded %d cuts repeat %d nonces' % (count, repeated), [])


# ---- following a rotation ----

class Reader:
    """sub -d, perhaps under strace; its standard output and error in files."""

    def __init__(self, r, prefix=()):
        self.out, self.err = r.w.path('reader.out'), r.w.path('reader.err')
        words = [SEALMQ, 'sub', '--realm', r.w.member('aud-1'), *r.w.at(), '--group', 'tele', '-t', 'plant/r', '-q', '1', '-c', '-i', 'reader', '-d']
        with open(self.out, 'w', encoding='ascii') as out, open(self.err, 'w', encoding='ascii') as err:
            self.child = subprocess.Popen([*prefix, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=r.env)

    def said(self):
        with open(self.err, encoding='utf-8', errors='replace') as file:
            return file.read()

    def told(self):
        with open(self.out, encoding='utf-8', errors='replace') as file:
            return file.read().splitlines()

    def ready(self, epoch):
        return wait(lambda: re.search(r'epoch %d\b' % epoch, self.said()) and 'subscribed' in self.said() or self.child.poll() is not None)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE)


def epoch_now(r):
    done = r.ask('show', 'tele', '--json')
    return int(re.search(r'"epoch":\s*(\d+)', done.stdout).group(1))


def send(r, sent):
    text = r.text()
    sent.append(text)
    return r.w.run('pub', '--realm', r.w.member('centre'), *r.w.at(), '-q', '1', '--group', 'tele', '-t', 'plant/r', '-m', text, '--wait', '60')


def rotation(r, prefix):
    """It joins, hears, the epoch moves, it hears again: (texts told, texts sent while it was ready, whether it was killed)."""
    sent = []
    reader = Reader(r, prefix)
    reader.ready(epoch_now(r))
    send(r, sent)
    wait(lambda: len(reader.told()) >= 1 or reader.child.poll() is not None, 30)
    if reader.child.poll() is None:
        r.ask('rotate', 'tele')
        reader.ready(epoch_now(r))
        send(r, sent)
        wait(lambda: len(reader.told()) >= 2 or reader.child.poll() is not None, 30)
    # strace -p would follow it; a signal to strace is not one to it
    killed = reader.child.poll() is not None
    if not killed:
        subprocess.run(['pkill', '-TERM', '-P', str(reader.child.pid)], check=False)
        try:
            killed = was_killed(reader.child.wait(30))
        except subprocess.TimeoutExpired:
            reader.child.kill()
    return reader.told(), sent, killed


def rotate_killed(r, count):
    walk = Walk('join and rotate, killed', r.eye)
    log = r.w.path('strace.log')
    r.fresh()
    first, sent, _ = rotation(r, ['strace', '-f', '-qqq', '-e', 'trace=' + ','.join(SAYING), '-e', 'signal=none', '-o', log])
    if first != sent:
        walk.wrong('undisturbed: %s, not %s' % (first, sent))
    for call, number in walk.rows(points_of(log), count):
        r.fresh()
        told_first, _, killed = rotation(r, kill_words(call, number, []))
        walk.add('kills', killed)
        again, later = Reader(r), []
        good = again.ready(epoch_now(r))
        send(r, later)
        good = good and wait(lambda: later[0] in again.told(), 30)
        again.stop()
        both = told_first + again.told()
        if not good:
            walk.wrong('killed at %s %d: it does not read on: %s' % (call, number, again.said()[-300:]))
        if len(set(both)) != len(both):
            walk.wrong('killed at %s %d: told twice: %s' % (call, number, both))
    walk.messages(r.w)
    walk.told('%d kills at its calls: each reads on, nothing told twice' % walk.of('kills'), walk.of('kills'))


# ---- recording ----

def record_killed(r, count):
    w, walk = r.w, Walk('record, killed', r.eye)
    store, total = w.path('kept.db'), 0
    words = [SEALMQ, 'record', '--realm', w.member('centre'), *w.at(), '--store', store, '-t', 'audit/kept/#', '-i', 'kept', '--verify-threads', '1']
    # its session is there from now on: what it misses waits
    subprocess.run([*words, '-W', '1'], env=r.env, capture_output=True, check=False, timeout=PATIENCE)

    def publish():
        w.must('pub', '--realm', w.member('aud-1'), *w.at(), '-q', '1', '--group', 'audit', '-t', 'audit/kept/x', '--sign', 'every', '-l',
               stdin='%s\n%s\n' % (r.text(), r.text()))
        return 2

    r.fresh()
    total += publish()
    for call, number in walk.rows(talk([*words, '-C', '2'], r.env, w.path('strace.log')), count):
        total += publish()
        walk.add('acknowledged', 2)
        try:
            walk.add('kills', was_killed(subprocess.run(kill_words(call, number, [*words, '-C', '2']), env=r.env, capture_output=True, check=False,
                                                          timeout=PATIENCE).returncode))
        except subprocess.TimeoutExpired:
            walk.wrong('at %s %d: it does not end' % (call, number))
        if w.stored(store) < total:
            again = subprocess.Popen(words, env=r.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait(lambda: w.stored(store) >= total)
            again.terminate()
            again.wait(PATIENCE)
        if w.stored(store) != total:
            walk.wrong('killed at %s %d: %d stored of %d acknowledged' % (call, number, w.stored(store), total))
            total = w.stored(store)
    walk.messages(r.w)
    walk.told('%d kills at its calls, %d messages acknowledged to their publisher: all stored, none twice' % (
        walk.of('kills'), walk.of('acknowledged')), walk.of('kills'))


# ---- obeying ----

def command(r, level, number, *more):
    return r.w.run('command', 'send', 'aud-1', '--set', 'LEVEL=%d' % level, '--group', 'audit', '--id', '%032x' % number, '--realm',
                   r.w.member('centre'), *r.w.at(), *more)


def device(r, prefix=()):
    log = r.w.path('device.err')
    words = [SEALMQ, 'pub', '--realm', r.w.member('aud-1'), *r.w.at(), '-q', '1', '--group', 'audit', '-t', 'audit/aud-1/n', '--source', 'vitals',
             '--interval', '3600', '--commands', r.w.path('commands.yaml'), '-d']
    with open(log, 'w', encoding='ascii') as err:
        child = subprocess.Popen([*prefix, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, env=r.env)

    def said():
        with open(log, encoding='utf-8', errors='replace') as file:
            return file.read()
    wait(lambda: said().count('listening for commands') == 2 or child.poll() is not None, 30)
    return child, said


def end_device(child):
    if child.poll() is None:
        subprocess.run(['pkill', '-TERM', '-P', str(child.pid)], check=False)
        try:
            child.wait(2)
        except subprocess.TimeoutExpired:
            child.terminate()
    try:
        return child.wait(15)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def obey_killed(r, count):
    walk = Walk('commands, killed', r.eye)
    log = r.w.path('strace.log')
    r.w.write('commands.yaml', DECLARED)
    r.fresh()
    child, _ = device(r, ['strace', '-f', '-qqq', '-e', 'trace=' + ','.join(SAYING), '-e', 'signal=none', '-o', log])
    good = command(r, 1, 1, '--wait', '--expires', '30s').returncode == 0
    end_device(child)
    if not good:
        walk.wrong('undisturbed it does not obey')
    for at, (call, number) in enumerate(walk.rows(points_of(log), count)):
        r.fresh()
        level = 1000 + at
        child, first = device(r, kill_words(call, number, []))
        acknowledged = False
        if child.poll() is None:
            sender = subprocess.Popen([SEALMQ, 'command', 'send', 'aud-1', '--set', 'LEVEL=%d' % level, '--group', 'audit', '--id',
                                       '%032x' % level, '--realm', r.w.member('centre'), *r.w.at(), '--wait', '--expires', '1h'],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=r.env)
            wait(lambda: sender.poll() is not None or child.poll() is not None, 30)
            time.sleep(0.2)
            acknowledged = sender.poll() == 0
            sender.kill()
            sender.wait()
        walk.add('kills', child.poll() is not None)
        end_device(child)
        obeyed = len(re.findall(r'command from .*LEVEL=%d\b' % level, first()))
        child, said = device(r)
        kept = 'still commanded: LEVEL=%d' % level in said()
        if (acknowledged or obeyed) and not kept:
            walk.wrong('killed at %s %d: obeyed and acknowledged, and forgotten: %s' % (call, number, said()[-200:]))
        done = command(r, level, level, '--wait', '--expires', '1h')
        again = len(re.findall(r'command from .*LEVEL=%d\b' % level, said()))
        if done.returncode != 0 and 'replayed' not in done.stdout:
            walk.wrong('killed at %s %d: sent again, it is not obeyed: %s' % (call, number, (done.stdout + done.stderr + said())[-300:]))
        if again + kept != 1:
            walk.wrong('killed at %s %d: obeyed %d times' % (call, number, again + kept))
        end_device(child)
    walk.messages(r.w)
    walk.told('%d kills at its calls: each obeyed once, and what was acknowledged is remembered' % walk.of('kills'), walk.of('kills'))


def main():
    if b'__asan_init' in open(SEALMQ, 'rb').read():
        print('1..0 # SKIP a build with sanitizers has calls and allocations of its own')
        return 0
    needs('mosquitto', 'mosquitto_sub', 'strace')
    if os.environ.get('SEALMQ_SECONDS'):
        Walk.until = time.monotonic() + int(os.environ['SEALMQ_SECONDS'])
    if os.path.exists(os.environ.get('SEALMQ_STATE', '')):
        with open(os.environ['SEALMQ_STATE'], encoding='ascii') as file:
            Walk.state.update(json.load(file))
    r = Room()
    kept = ('audit', 'audit/aud-1/x', ('-l', '--keep-boot-id'))
    joined = ('tele', 'plant/x', ('-l',))
    try:
        r.keyserver()
        scenes = [
            lambda: seal_killed(r, 'seal, kept boot id', *kept, 5), lambda: seal_refused(r, 'seal, kept boot id', *kept, 4),
            lambda: seal_without_memory(r, 'seal, kept boot id', *kept, 3), lambda: cut_from_power(r),
            lambda: seal_killed(r, 'join and seal', *joined, 4), lambda: seal_refused(r, 'join and seal', *joined, 3),
            lambda: seal_without_memory(r, 'join and seal', *joined, 3), lambda: rotate_killed(r, 2),
            lambda: record_killed(r, 3), lambda: obey_killed(r, 2)]
        only = os.environ.get('SEALMQ_ONLY')
        for at, scene in enumerate(scenes):
            if only and str(at) not in only.split(','):
                continue
            began = time.monotonic()
            try:
                scene()
                print('# scene %d: %.0f s' % (at, time.monotonic() - began), flush=True)
            except Exception as failure:  # the others go on
                TAP.row(False, 'scene %d' % at, ['%s: %s' % (type(failure).__name__, failure)])
    finally:
        r.close()
    files.write_figures({'member: ' + k: v for k, v in FIGURES.items()})
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
