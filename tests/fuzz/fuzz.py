#!/usr/bin/env python3
"""Runs the fuzzers one after the other, what is soonest done first, and goes on where it stopped.

usage: fuzz.py BUILD_DIR [--seconds N] [--runs N] [--pause FILE] [--json FILE] [TARGET...]

--seconds bounds one target's time in this run, --runs its executions over all runs in BUILD_DIR. What is interrupted
is counted as far as it came: BUILD_DIR/corpus/runs.json has the sums, beside what the fuzzers keep and find. While
there is a FILE of --pause, nothing is executed. --json writes the sums of all targets to FILE, for tools/evidence.py.
Status 1 if anything was found in this run.

Whole machines count the operations that they carried out: an execution of theirs is a start and many of those.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SLICE_S = 600  # what a machine that stops dead may take with it
FIELDS = ('executions', 'seconds', 'edges', 'features', 'findings')
MAX_LEN = 4096
# Longer inputs only repeat: what is read takes lines, words or fields of a few hundred bytes, or 48 operations.
MAX_LENS = {'args': 1024, 'csv': 1024, 'edhoc': 1024, 'logs': 1024, 'recorder': 1024, 'x509': 1536, 'yaml': 1024}
# Freed memory is watched for four megabytes, which is several executions, instead of 256, and stacks are short: twice
# the executions of what allocates. An input that finds something is kept, to be run again with whole stacks.
ASAN_OPTIONS = 'malloc_context_size=2:quarantine_size_mb=4:thread_local_quarantine_size_kb=64'


class Stopped(Exception):
    """SIGTERM or SIGINT came, and what ran has been counted."""


class Fuzzers:
    def __init__(self, build, pause=None):
        self.pause = pause
        self.build = os.path.abspath(build)  # a target may have a working directory of its own
        self.corpus = os.path.join(self.build, 'corpus')
        self.child, self.is_stopped = None, False
        os.makedirs(self.corpus, exist_ok=True)
        self.path = os.path.join(self.corpus, 'runs.json')
        self.sums = {}
        if os.path.exists(self.path):
            with open(self.path, encoding='utf-8') as file:
                self.sums = json.load(file)

    def targets(self):
        place = os.path.join(self.build, 'tests', 'fuzz')
        return sorted(name[5:] for name in os.listdir(place)
                      if name.startswith('fuzz_') and os.path.isfile(os.path.join(place, name)))

    def of(self, target):
        return self.sums.setdefault(target, dict.fromkeys(FIELDS, 0))

    def speed(self, target):
        s = self.of(target)
        return s['executions'] / s['seconds'] if s['seconds'] else float('inf')

    def left(self, target, runs):
        """Seconds that are left of --runs, by what has been seen; a target without any history goes first."""
        return max(0, runs - self.of(target)['executions']) / self.speed(target)

    def keep(self):
        """Whole or not at all."""
        with open(self.path + '.new', 'w', encoding='utf-8') as file:
            json.dump(self.sums, file, indent=1, sort_keys=True)
        os.replace(self.path + '.new', self.path)

    def stop(self, number, _):
        self.is_stopped = True
        if self.child:
            self.child.send_signal(number)

    def wait(self):
        """(status, seconds that it stood still): for as long as there is a file that says so."""
        stood, since = 0.0, None
        while True:
            try:
                return self.child.wait(timeout=0.5), stood
            except subprocess.TimeoutExpired:
                pass
            asked = bool(self.pause) and os.path.exists(self.pause) and not self.is_stopped
            if asked and since is None:
                self.child.send_signal(signal.SIGSTOP)
                since = time.monotonic()
            elif not asked and since is not None:
                self.child.send_signal(signal.SIGCONT)
                stood, since = stood + time.monotonic() - since, None

    def slice(self, target, seconds, runs):
        """One run of a fuzzer, counted: (found something, executions)."""
        kept, log = os.path.join(self.corpus, target), os.path.join(self.corpus, target + '.log')
        words = os.path.join(HERE, 'dict', target + '.dict')
        os.makedirs(kept, exist_ok=True)
        # Time is wall-clock time, and the machine may be busy with other things.
        command = [os.path.join(self.build, 'tests', 'fuzz', 'fuzz_' + target), '-max_total_time=%d' % seconds,
                   '-runs=%d' % runs, '-timeout=%d' % (3600 if self.pause else 60), '-rss_limit_mb=2048',
                   '-max_len=%d' % MAX_LENS.get(target, MAX_LEN), '-print_final_stats=1',
                   '-artifact_prefix=' + os.path.join(self.corpus, target + '-')]
        command += ['-dict=' + words] if os.path.exists(words) else []
        counter = os.path.join(self.corpus, target + '.operations')
        with open(counter, 'wb') as out:
            out.write(bytes(8))
        env = dict(os.environ, FUZZ_OPERATIONS=counter)
        env.setdefault('ASAN_OPTIONS', ASAN_OPTIONS)
        began = time.monotonic()
        with open(log, 'w', encoding='utf-8') as out:
            self.child = subprocess.Popen(command + [kept, os.path.join(HERE, 'corpus', target)], stdout=out,
                                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)
            status, stood = self.wait()
            self.child = None
        with open(log, encoding='utf-8', errors='replace') as file:
            said = counted(file.read())
        s = self.of(target)
        s['executions'] += said['executions']
        s['seconds'] = round(s['seconds'] + time.monotonic() - began - stood, 1)
        with open(counter, 'rb') as file:
            operations = int.from_bytes(file.read(8), sys.byteorder)
        os.remove(counter)
        if operations:
            s['operations'] = s.get('operations', 0) + operations
        s['edges'], s['features'] = max(s['edges'], said['edges']), max(s['features'], said['features'])
        found = status != 0 and not self.is_stopped
        s['findings'] += found
        self.keep()
        if found:
            with open(log, encoding='utf-8', errors='replace') as file:
                sys.stderr.write(''.join(file.readlines()[-40:]))
        if self.is_stopped:
            raise Stopped
        return found, said['executions']

    def fuzz(self, target, seconds, runs):
        """True if something was found. A target that finds something has had its turn."""
        until = time.monotonic() + seconds if seconds else float('inf')
        while time.monotonic() < until and (not runs or self.of(target)['executions'] < runs):
            left = runs - self.of(target)['executions'] if runs else -1
            found, done = self.slice(target, max(1, int(min(SLICE_S, until - time.monotonic()))), left)
            if found:
                return True
            if not done:
                raise SystemExit('fuzz: %s executes nothing: see its log in %s' % (target, self.corpus))
        return False


def counted(log):
    """What libFuzzer said of a run, however it ended."""
    def last(form):
        found = re.findall(form, log)
        return int(found[-1]) if found else 0
    return {'executions': last(r'stat::number_of_executed_units: *(\d+)') or last(r'(?m)^#(\d+)'),
            'edges': last(r' cov: (\d+)'), 'features': last(r' ft: (\d+)')}


def row(cells):
    print('%-12s %12s %9s %8s %8s %9s %s' % tuple(cells), flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog='fuzz', description=__doc__.split('\n')[0])
    parser.add_argument('build')
    parser.add_argument('--seconds', type=int, default=0)
    parser.add_argument('--runs', type=int, default=0)
    parser.add_argument('--pause')
    parser.add_argument('--json')
    parser.add_argument('target', nargs='*')
    a = parser.parse_intermixed_args()
    if a.seconds < 0 or a.runs < 0 or a.seconds + a.runs == 0:
        parser.error('--seconds or --runs takes a whole number above 0')
    return a


def main():
    a = arguments()
    fuzzers = Fuzzers(a.build, a.pause)
    there = fuzzers.targets()
    for target in a.target:
        if target not in there:
            sys.exit("fuzz: no target '%s'; there are: %s" % (target, ' '.join(there)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, fuzzers.stop)
    status = 0
    row(('target', 'executions', 'seconds', 'edges', 'features', 'findings', ''))
    try:
        for target in sorted(a.target or there, key=lambda t: (fuzzers.left(t, a.runs), -fuzzers.speed(t), t)):
            found = fuzzers.fuzz(target, a.seconds, a.runs)
            status |= found
            row([target] + ['%d' % fuzzers.of(target)[f] for f in FIELDS] + ['FOUND' if found else ''])
    except Stopped:
        print('stopped; the same command goes on from here')
    if a.json:
        with open(a.json, 'w', encoding='utf-8') as file:
            json.dump({t: fuzzers.of(t) for t in there}, file, indent=1, sort_keys=True)
            file.write('\n')
    print('found something: see %s' % fuzzers.corpus if status else 'nothing found')
    return status


if __name__ == '__main__':
    sys.exit(main())
