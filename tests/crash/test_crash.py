#!/usr/bin/env python3
"""Crash and power: what was acknowledged is there, and nothing is issued twice.

usage: test_crash.py SEALMQ ROOT CRASH_SERVER CRASH_RECORDS FAILMALLOC

Short by default; SEALMQ_KILLS=N (./run crash) walks everything and kills N times at random. SEALMQ_ONLY names parts:
databases, files, memory, enrol.
"""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

SEALMQ, ROOT, SERVER, RECORDS, FAILMALLOC = (os.path.abspath(path) for path in sys.argv[1:6])
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, 'tools')]
import files  # noqa: E402
from tap import Tap  # noqa: E402

TAP = Tap()
KILLS = int(os.environ.get('SEALMQ_KILLS', '0'))
LONG = KILLS > 0
FIGURES = {}
WORDS = {'kills': 'killed anywhere', 'cuts': 'cut from power', 'walk': 'killed at each system call',
         'faults': 'disks that fail at each call'}


def wanted(part):
    only = os.environ.get('SEALMQ_ONLY')
    return not only or part in only.split(',')


def run(*words, **env):
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                          env=dict(os.environ, **env))


# ---- databases ----

def databases():
    kills = KILLS // 2 if LONG else 40
    rows = [(SERVER, 'kills', kills), (SERVER, 'cuts', 2000 if LONG else 60), (SERVER, 'walk', 1 if LONG else 60),
            (SERVER, 'faults', 1 if LONG else 16), (RECORDS, 'kills', kills), (RECORDS, 'cuts', 2000 if LONG else 60), (RECORDS, 'walk', 1 if LONG else 25)]
    for program, what, count in rows:
        done = run(program, what, str(count))
        said = (done.stdout.strip().splitlines() or [''])[-1]
        name = 'key server' if program == SERVER else 'recorder'
        TAP.row(done.returncode == 0, '%s, %s %d: %s' % (name, what, count, said), (done.stdout + done.stderr).splitlines()[-5:])
        for line in done.stdout.splitlines()[:-1]:
            print(line)
        FIGURES['%s, %s' % (name, WORDS[what])] = said.split(': ', 1)[-1].replace('killed at ', '')
    for program, what in ((SERVER, 'kills'), (SERVER, 'cuts'), (RECORDS, 'kills'), (RECORDS, 'cuts')):
        done = run(program, what, '300', '--planted')
        TAP.row(done.returncode == 3 and 'BROKEN' in done.stderr, 'planted, %s %s without durability: %s' % (
            os.path.basename(program), what, done.stderr.strip()[-80:]), done.stdout.splitlines()[-3:])


# ---- the authority's files ----

def listed(place):
    done = run(SEALMQ, 'ca', 'list', '--ca', place, '--json')
    return json.loads(done.stdout) if done.returncode == 0 else None


def authority_sound(place):
    rows = listed(place)
    if rows is None:
        return 'the log does not read'
    serials = [row['serial'] for row in rows]
    if len(set(serials)) != len(serials):
        return 'a serial number was given twice'
    if 'fridge' not in [row['name'] for row in rows]:
        return 'what was issued before is not listed'
    return None


def same_key(folder):
    done = [run('openssl', 'x509', '-in', folder + '/member.crt', '-noout', '-pubkey'),
            run('openssl', 'pkey', '-in', folder + '/member.key', '-pubout')]
    return done[0].returncode == 0 and done[0].stdout == done[1].stdout


def issued(place):
    rows = [row for row in listed(place) or [] if row['name'] == 'probe']
    folder = os.path.join(place, 'members', 'probe')
    if not rows or not os.path.isdir(folder):
        return 'probe was issued, and is not there'
    return None if same_key(folder) else 'probe has a certificate that is not its key\'s'


def revoked(place):
    rows = [row for row in listed(place) or [] if row['name'] == 'fridge']
    if not rows or rows[0]['status'] != 'revoked':
        return 'fridge was revoked, and is not'
    done = run('openssl', 'crl', '-in', place + '/crl.pem', '-noout', '-text')
    serial = rows[0]['serial'].upper()
    return None if serial in done.stdout else 'the list does not name it'


def fences(deed, place, env):
    step = 1 if LONG else 4
    count, bad = files.killed(deed, place, env, step)
    TAP.row(count > 0 and not bad, '%s: killed at %d of its calls' % (deed.name, count), bad)
    FIGURES[deed.name + ': killed at each call that alters a file'] = '%d kills' % count
    count, bad = files.refused(deed, place, env, 1 if LONG else 9)
    TAP.row(count > 0 and not bad, '%s: %d full disks and broken ones' % (deed.name, count), bad)
    FIGURES[deed.name + ': ENOSPC and EIO at each'] = '%d errors' % count
    count, bad = files.cut(deed, place, env, 200 if LONG else 6, 1, step=1 if LONG else 5)
    TAP.row(count > 0 and not bad, '%s: %d power cuts' % (deed.name, count), bad)
    FIGURES[deed.name + ': cut from power'] = '%d cuts' % count
    count, bad = files.cut(deed, place, env, 8, 2, heed=False)
    TAP.row(bad, 'planted, %s: %d of %d cuts lose it where no sync is heeded' % (deed.name, len(bad), count), [])


# ---- memory ----

AGAIN = 25  # of the runs that came to their end in spite of it, one in so many is asked for once more


class Starved:
    """One allocation after the other fails, alone: the command says so, or does without; nothing is half done, nothing
    crashes. Several at a time, each in a copy of the world that is its own."""

    def __init__(self, deed, place, env):
        self.deed, self.place, self.env = deed, place, env
        self.lock = threading.Lock()
        self.places = []
        self.tried, self.refusals, self.bad = 0, 0, []

    def run(self, place, number, **more):
        files.copy(self.deed.world, place)
        return subprocess.run(self.deed.command(place), env=dict(self.env, LD_PRELOAD=FAILMALLOC, FAILMALLOC=str(number), **more),
                              capture_output=True, text=True, errors='replace', stdin=subprocess.DEVNULL, check=False)

    def count(self):
        """Its allocations; None if it does not get there at all."""
        counted = os.path.join(self.env['TMPDIR'], 'count')
        first = self.run(self.place, 0, FAILMALLOC_COUNT=counted)
        with open(counted, encoding='ascii') as file:
            return int(file.read()) if first.returncode == 0 else None

    def complaint(self, place, number, done):
        if done.returncode < 0:
            return 'it crashed: %d %s' % (done.returncode, done.stderr[-200:])
        if done.returncode == 0:
            wrong = self.deed.finished(place) or self.deed.sound(place)
            return wrong or (self.deed.again(place, self.env) if number % AGAIN == 0 else None)
        if files.differs(place, self.deed.world):
            return self.deed.sound(place) or self.deed.again(place, self.env)
        return None

    def one(self, number):
        with self.lock:
            place = self.places.pop()
        done = self.run(place, number)
        complaint = self.complaint(place, number, done)
        with self.lock:
            self.places.append(place)
            self.tried += 1
            self.refusals += done.returncode != 0
            if complaint:
                self.bad.append('allocation %d: %s' % (number, complaint))

    def all(self, numbers, jobs):
        self.places = ['%s-%d' % (self.place, at) for at in range(jobs)]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for _ in pool.map(self.one, numbers):
                pass


def memory(deed, place, env):
    starved = Starved(deed, place, env)
    total = starved.count()
    if total is None:
        TAP.row(False, '%s does not work under failmalloc at all' % deed.name, [])
        return
    step = 1 if LONG else max(1, total // 12)
    starved.all(range(1, total + 1, step), os.cpu_count() if LONG else 1)
    # most of them are OpenSSL's, which does without: a dozen may all be of those
    TAP.row((starved.refusals > 0 or not LONG) and not starved.bad, '%s: each %sof %d allocations fails; %d refusals, no crash' %
            (deed.name, '' if step == 1 else '%d. ' % step, total, starved.refusals), starved.bad[:8])
    FIGURES[deed.name + ': failing allocations'] = '%s, one at a time: %d refusals, no crash' % (
        'each of %d' % total if step == 1 else '%d of %d' % (starved.tried, total), starved.refusals)


def authority(folder):
    env = dict(os.environ, TMPDIR=folder, HOME='/nonexistent')
    env = {k: v for k, v in env.items() if not k.startswith('SEALMQ_')}
    world, place = os.path.join(folder, 'before'), os.path.join(folder, 'plant')
    for words in (('ca', 'init', world), ('ca', 'issue', 'fridge', '--ca', world)):
        if run(SEALMQ, *words).returncode:
            raise SystemExit('no authority')
    deeds = [files.Deed('issue', world, lambda p: [SEALMQ, 'ca', 'issue', 'probe', '--ca', p], authority_sound, issued,
                        ('--reissue',)),
             files.Deed('revoke', world, lambda p: [SEALMQ, 'ca', 'revoke', 'fridge', '--ca', p], authority_sound, revoked)]
    for deed in deeds:
        if wanted('files') and shutil.which('strace'):
            fences(deed, place, env)
        elif wanted('files'):
            TAP.skip(deed.name, 'no strace')
        if wanted('memory'):
            memory(deed, place, env)


# ---- a device that enrols ----

class Device:
    """A new directory each time, at one running enrolment server."""

    def __init__(self, folder, env):
        self.folder, self.env, self.count = folder, env, 0
        self.ca = os.path.join(folder, 'authority')
        for words in (('init', self.ca), ('issue', 'enrol', '--role', 'broker', '--dns', 'localhost', '--ca', self.ca)):
            run(SEALMQ, 'ca', *words)
        self.server = subprocess.Popen([SEALMQ, 'ca', 'serve', self.ca, '--port', '0', '--json'], stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True, env=env)
        self.port = str(json.loads(self.server.stdout.readline())['port'])
        self.token = os.path.join(folder, 'token')

    def new_token(self, *more):
        done = run(SEALMQ, 'ca', 'token', self.name, '--ca', self.ca, *more)
        with open(self.token, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(done.stdout)
        return done.returncode == 0

    def next(self):
        self.count += 1
        self.name = 'tap-%d' % self.count
        self.place = os.path.join(self.folder, self.name)
        self.new_token()
        return [SEALMQ, 'ca', 'enrol', self.place, '--server', 'localhost', '--port', self.port, '--root', self.ca + '/root.crt',
                '--name', self.name, '--token-file', self.token]

    def good(self):
        place = self.place
        if os.path.exists(place + '/member.pem'):
            text = run('openssl', 'x509', '-in', place + '/member.pem', '-noout', '-pubkey').stdout
            return text and text == run('openssl', 'pkey', '-in', place + '/member.pem', '-pubout').stdout
        return os.path.exists(place + '/member.crt') and same_key(place)


def enrolment(folder, env):
    """A device killed at every call that alters a file: the same command goes on, or another token does."""
    device = Device(folder, env)
    try:
        status, calls = files.trace(device.next(), env)
        bad, count, again = [] if status == 0 and device.good() else ['it does not enrol at all'], 0, 0
        for call, number in files.points(calls)[::1 if LONG else 6]:
            words = device.next()
            count += files.inject(words, env, call, number, 'signal=KILL').returncode in (-9, 137)
            done = subprocess.run(words, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            if done.returncode != 0:  # the token was used up, and its certificate never came
                again += 1
                device.new_token('--reissue')
                done = subprocess.run(words, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            if done.returncode != 0 or not device.good():
                bad.append('killed at %s %d: %d %s' % (call, number, done.returncode, done.stderr.strip()[-200:]))
        serials = [row['serial'] for row in listed(device.ca)]
        if len(serials) != len(set(serials)):
            bad.append('a serial number was given twice')
        TAP.row(count > 0 and not bad, 'enrol: killed at %d of its calls; %d times another token was needed' % (count, again), bad[:6])
        FIGURES['enrol: killed at each call that alters a file'] = '%d kills; %d times another token was needed' % (count, again)
    finally:
        device.server.terminate()
        device.server.wait()


def main():
    sanitized = b'__asan_init' in open(SEALMQ, 'rb').read()
    if wanted('databases'):
        databases()
    folder = tempfile.mkdtemp(prefix='sealmq-crash-', dir='/dev/shm' if os.path.isdir('/dev/shm') else None)
    try:
        if sanitized:
            TAP.skip('files', 'a build with sanitizers has allocations and traces of its own')
        else:
            authority(os.path.realpath(folder))
            if wanted('enrol') and shutil.which('strace'):
                enrolment(os.path.realpath(folder), dict(os.environ, TMPDIR=folder, HOME='/nonexistent'))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    files.write_figures(FIGURES)
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
