#!/usr/bin/env python3
"""Runs the fuzzers one after the other, the quickest first, and goes on where it stopped.

usage: fuzz.py BUILD_DIR [--seconds N] [--runs N] [--json FILE] [TARGET...]

--seconds bounds one target's time in this run, --runs its executions over all runs in BUILD_DIR. What is interrupted
is counted as far as it came: BUILD_DIR/corpus/runs.json has the sums, beside what the fuzzers keep and find. --json
writes the sums of all targets to FILE, for tools/evidence.py. Status 1 if anything was found in this run.
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


class Stopped(Exception):
    """SIGTERM or SIGINT came, and what ran has been counted."""


class Fuzzers:
    def __init__(self, build):
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

    def keep(self):
        """Whole or not at all."""
        with open(self.path + '.new', 'w', encoding='utf-8') as file:
            json.dump(self.sums, file, indent=1, sort_keys=True)
        os.replace(self.path + '.new', self.path)

    def stop(self, number, _):
        self.is_stopped = True
        if self.child:
            self.child.send_signal(number)

    def slice(self, target, seconds, runs):
        """One run of a fuzzer, counted: (found something, executions)."""
        kept, log = os.path.join(self.corpus, target), os.path.join(self.corpus, target + '.log')
        words = os.path.join(HERE, 'dict', target + '.dict')
        os.makedirs(kept, exist_ok=True)
        # Time is wall-clock time, and the machine may be busy with other things.
        command = [os.path.join(self.build, 'tests', 'fuzz', 'fuzz_' + target), '-max_total_time=%d' % seconds,
                   '-runs=%d' % runs, '-timeout=60', '-rss_limit_mb=2048', '-max_len=4096', '-print_final_stats=1',
                   '-artifact_prefix=' + os.path.join(self.corpus, target + '-')]
        command += ['-dict=' + words] if os.path.exists(words) else []
        began = time.monotonic()
        with open(log, 'w', encoding='utf-8') as out:
            self.child = subprocess.Popen(command + [kept, os.path.join(HERE, 'corpus', target)], stdout=out,
                                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            status = self.child.wait()
            self.child = None
        with open(log, encoding='utf-8', errors='replace') as file:
            said = counted(file.read())
        s = self.of(target)
        s['executions'] += said['executions']
        s['seconds'] = round(s['seconds'] + time.monotonic() - began, 1)
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
    parser.add_argument('--json')
    parser.add_argument('target', nargs='*')
    a = parser.parse_intermixed_args()
    if a.seconds < 0 or a.runs < 0 or a.seconds + a.runs == 0:
        parser.error('--seconds or --runs takes a whole number above 0')
    return a


def main():
    a = arguments()
    fuzzers = Fuzzers(a.build)
    there = fuzzers.targets()
    for target in a.target:
        if target not in there:
            sys.exit("fuzz: no target '%s'; there are: %s" % (target, ' '.join(there)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, fuzzers.stop)
    status = 0
    row(('target', 'executions', 'seconds', 'edges', 'features', 'findings', ''))
    try:
        for target in sorted(a.target or there, key=lambda t: (-fuzzers.speed(t), t)):
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
