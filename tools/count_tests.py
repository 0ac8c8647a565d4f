#!/usr/bin/env python3
"""Counts what meson test ran: every TAP line is a test, so is every program without TAP. Last line: the count.

usage: count_tests.py [--failed 'WHAT|WHAT...'] BUILD_DIR...     reads BUILD_DIR/meson-logs/testlog.json
       count_tests.py --self-test

A program that crashes, times out, or ends before its plan counts as one failure on top of those it reported. What was
skipped is listed with its reason, what failed with the last of what it said. Exit status 0 only if something passed and nothing failed.
"""
import itertools
import json
import os
import re
import sys

TAP_LINE = re.compile(r'^(not )?ok\b\s*(\d+)?\s*-?\s*([^#]*)(?:#\s*(\w+)\s*(.*))?$')
TAP_PLAN = re.compile(r'^1\.\.(\d+)(?:\s*#\s*skip\s*(.*))?', re.I)
GOOD = ('OK', 'SKIP', 'EXPECTEDFAIL')


class Count:
    def __init__(self):
        self.passed, self.failures, self.skips = 0, [], []
        self.why = {}  # of a failure: the lines of output that tell

    def line(self):
        text = '%d passed, %d failed' % (self.passed, len(self.failures))
        return text + (', %d skipped' % len(self.skips) if self.skips else '')

    def add_tap(self, name, text):
        """Counts the TAP lines of one program. Returns whether it held to its plan (None: it is no TAP)."""
        planned, seen, bad, odd_skips = None, 0, 0, 0
        lines = text.splitlines()
        for at, line in enumerate(lines):
            plan, result = TAP_PLAN.match(line), TAP_LINE.match(line)
            if plan:
                planned = int(plan.group(1))
                if planned == 0:
                    self.skips.append((name, plan.group(2) or 'no reason given'))
            elif result:
                seen += 1
                what = '%s: %s' % (name, result.group(3).strip() or result.group(2) or '?')
                directive = (result.group(4) or '').upper()
                if directive == 'SKIP':
                    self.skips.append((what, result.group(5).strip() or 'no reason given'))
                    odd_skips += bool(result.group(1))
                elif result.group(1) and directive != 'TODO':
                    bad += 1
                    self.failures.append(what)
                    self.why[what] = list(itertools.takewhile(lambda told: told.startswith('#'), lines[at + 1:]))
                else:
                    self.passed += 1
            elif line.startswith('Bail out!'):
                bad += 1
                self.failures.append('%s: %s' % (name, line))
        if planned is None and not seen:
            return None
        if bad or planned not in (None, seen):
            return 'failed' if bad else 'short'
        return 'odd skips' if odd_skips else 'good'

    def add(self, test):
        name, result = test['name'], test['result']
        tap = self.add_tap(name, test.get('stdout') or '')
        if tap is None:
            if result == 'SKIP':
                lines = (test.get('stdout') or '').strip().splitlines()
                self.skips.append((name, lines[-1] if lines else 'no reason given'))
            elif result in GOOD:
                self.passed += 1
            else:
                self.failures.append('%s: %s' % (name, result))
                self.why[self.failures[-1]] = ((test.get('stdout') or '') + (test.get('stderr') or '')).splitlines()
        elif tap == 'odd skips' and test.get('returncode') == 0:
            pass  # cmocka 1.1.5 writes "not ok n # SKIP", which Meson takes for a failure
        elif tap == 'short' or (tap in ('good', 'odd skips') and result not in GOOD):
            self.failures.append('%s: %s (status %s) before its end' % (name, result, test.get('returncode')))
            self.why[self.failures[-1]] = (test.get('stderr') or '').splitlines()


def count(dirs, failed):
    total = Count()
    total.failures += failed
    for directory in dirs:
        path = os.path.join(directory, 'meson-logs', 'testlog.json')
        if not os.path.exists(path):
            continue
        with open(path, encoding='utf-8') as log:
            for line in log:
                if line.strip():
                    total.add(json.loads(line))
    return total


def self_test():
    rows = [
        # stdout, result -> passed, failed, skipped
        ('1..2\nok 1 - a\nok 2 - b\n', 'OK', 2, 0, 0),
        ('1..2\nok 1 - a\nnot ok 2 - b\n', 'FAIL', 1, 1, 0),
        ('1..3\nok 1 - a\n', 'ERROR', 1, 1, 0),
        ('ok 1 - a\nok 2 - b\n1..2\n', 'ERROR', 2, 1, 0),
        ('1..2\nok 1 - a\nok 2 - b # SKIP no broker\n', 'OK', 1, 0, 1),
        ('1..1\nnot ok 1 # SKIP b\n', 'OK', 0, 0, 1),
        ('1..2\nok 1 - a\nnot ok 2 # SKIP b\n', 'FAIL', 1, 0, 1),
        ('1..0 # SKIP no doxygen\n', 'SKIP', 0, 0, 1),
        ('', 'OK', 1, 0, 0),
        ('Segmentation fault\n', 'FAIL', 0, 1, 0),
        ('', 'TIMEOUT', 0, 1, 0),
        ('why not\n', 'SKIP', 0, 0, 1),
        ('1..2\nok 1 - a\nBail out! no disk\n', 'ERROR', 1, 1, 0),
        ('1..1\nok 1 - a ok\n# ok - group\n', 'OK', 1, 0, 0),
    ]
    print('1..%d' % (len(rows) + 1))
    bad = 0
    for number, (stdout, result, *want) in enumerate(rows, 1):
        total = Count()
        total.add({'name': 't', 'stdout': stdout, 'result': result, 'returncode': 0})
        got = [total.passed, len(total.failures), len(total.skips)]
        bad += got != want
        print('%sok %d - row %d%s' % ('' if got == want else 'not ', number, number,
                                      '' if got == want else ' gives %s, not %s' % (got, want)))
    total = Count()
    total.add({'name': 't', 'stdout': '1..2\nnot ok 1 - a\n# why\n# not\nok 2\n# x\n', 'result': 'FAIL', 'returncode': 1})
    told = total.why == {'t: a': ['# why', '# not']}
    print('%sok %d - what failed says why' % ('' if told else 'not ', len(rows) + 1))
    return bad + (not told)


def main(argv):
    args = argv[1:]
    if args == ['--self-test']:
        return 1 if self_test() else 0
    failed = []
    if args[:1] == ['--failed']:
        failed = [what for what in args[1].split('|') if what]
        args = args[2:]
    total = count(args, failed)
    if not total.passed and not total.failures:
        total.failures.append('no test ran at all')
    print()
    for name, why in total.skips:
        print('skipped: %s (%s)' % (name, why))
    for what in total.failures:
        print('failed: %s' % what)
        for line in total.why.get(what, [])[-12:]:
            print('    ' + (line if len(line) <= 1000 else line[:500] + ' ... ' + line[-500:]))
    print(total.line(), flush=True)
    return 1 if total.failures else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
