#!/usr/bin/env python3
"""`sealmq simulate`: what rekeying costs, held against the bounds of PROTOCOL.md 6.2.

usage: test_simulate.py SEALMQ ROOT
"""
import json
import math
import os
import subprocess
import sys

SEALMQ, ROOT = sys.argv[1:3]
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402

TAP = Tap()


def run(*args):
    done = subprocess.run([SEALMQ, 'simulate', *args], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def repeatable(text):
    """All that does not depend on the machine's speed."""
    runs = json.loads(text)
    for one in runs:
        for row in one['operations']:
            del row['server_us'], row['member_us']
    return runs


def bounds():
    status, out, _ = run('--members', '100,1000,10000,100000', '--json')
    TAP.row(status == 0, 'four sizes, as JSON')
    runs = {one['members']: {row['operation']: row for row in one['operations']} for one in json.loads(out)}
    large = runs[100000]
    leave = large['leave']
    print('# a leave among 100,000: %.0f messages, %.0f bytes; a member is sent %.2f of them, %.0f bytes' % (
        leave['messages'], leave['bytes'], leave['member_messages'], leave['member_bytes']))
    TAP.row(leave['messages'] <= 10 and leave['bytes'] <= 3000, 'a leave among 100,000: at most 10 messages and 3 kB')
    TAP.row(leave['member_messages'] <= 3 and leave['member_bytes'] <= 800, 'a member is sent at most 3 of them and 800 B')
    TAP.row(large['join']['messages'] == 1, 'a join publishes the manifest and nothing else')
    TAP.row(large['rotation']['messages'] == 2, 'a rotation publishes the manifest and one node')
    TAP.row(large['sleeper']['member_bytes_max'] <= 4000, 'a sleeper needs at most 4 kB')
    growth = [(runs[n]['leave']['messages'] - 1) / math.log(n, 4) for n in (100, 1000, 10000, 100000)]
    TAP.row(max(growth) < 1.4, 'messages grow with the logarithm of the members', ['%r' % growth])


def batches():
    status, out, _ = run('--members', '10000', '--batch', '100', '--json')
    row = [r for r in json.loads(out)[0]['operations'] if r['operation'] == 'batch of leaves'][0]
    print('# 100 leaves of 10,000 in one batch: %.0f messages, %.0f bytes' % (row['messages'], row['bytes']))
    TAP.row(status == 0 and 100 < row['wraps'] <= 1200, '100 leaves of 10,000 cost at most 1,200 wrapped keys',
            ['%.0f' % row['wraps']])
    status, out, _ = run('--members', '100000', '--batch', '1000', '--json')
    row = [r for r in json.loads(out)[0]['operations'] if r['operation'] == 'batch of leaves'][0]
    print('# 1,000 leaves of 100,000 in one batch: %.0f bytes' % row['bytes'])
    TAP.row(row['bytes'] < 700000, '1,000 leaves of 100,000 stay under 700 kB')


def seeds():
    first, second = run('--members', '500', '--json')[1], run('--members', '500', '--json')[1]
    other = run('--members', '500', '--json', '--seed', '2')[1]
    TAP.row(repeatable(first) == repeatable(second), 'one seed gives one run')
    TAP.row(repeatable(first) != repeatable(other), 'another seed gives another')


def wrong_use():
    for args in (['--members', '99'], ['--members', '1000001'], ['--members', '100,'], ['--members', '1e3'],
                 ['--rounds', 'x'], ['--batch', '90', '--members', '100'], ['--what'], ['extra']):
        status, out, err = run(*args)
        TAP.row(status == 1 and out == '' and err.count('\n') == 1, 'refused: %s' % ' '.join(args), [err])
    status, out, _ = run('--members', '100')
    TAP.row(status == 0 and 'leave' in out and 'by unicast' in out, 'a table for people')
    status, out, _ = run('--help')
    TAP.row(status == 0 and '--members' in out, 'help')


bounds()
batches()
seeds()
wrong_use()
sys.exit(TAP.end())
