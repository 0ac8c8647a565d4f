#!/usr/bin/env python3
"""Writes one bench's table into doc/PERFORMANCE.md, between its two marks.

usage: performance.py ROOT COMMAND < JSON       the bench's JSON; COMMAND is what a reader types to measure again
       performance.py --self-test

The machine, the commit and the date are noted beside the numbers. A bench that is not in TABLES is refused.
"""
import datetime
import json
import os
import re
import subprocess
import sys


def seal_table(data):
    yield 'Nanoseconds a message, median of %d rounds of %d messages, all candidates taking turns.' % (
        data['rounds'], data['batch'])
    yield '"Raw" is OpenSSL\'s EVP with a cached context that gets a nonce per message; "+ AAD" has it authenticate as'
    yield 'many bytes as the protocol does. In brackets: how much of it SealMQ takes.'
    yield ''
    yield '| algorithm | plaintext | on the wire | raw seal | + AAD | SealMQ seal | raw open | + AAD | SealMQ open |'
    yield '|---|---|---|---|---|---|---|---|---|'
    for row in data['rows']:
        yield '| %s | %d | %d | %.0f | %.0f | %.0f (%.2f x) | %.0f | %.0f | %.0f (%.2f x) |' % (
            row['algorithm'], row['size'], row['size'] + row['overhead'], row['raw_seal_ns'], row['raw_aad_seal_ns'],
            row['seal_ns'], row['seal_ns'] / row['raw_seal_ns'], row['raw_open_ns'], row['raw_aad_open_ns'],
            row['open_ns'], row['open_ns'] / row['raw_open_ns'])


def group_table(data):
    yield 'Messages are the epoch\'s signed manifest and the nodes of the key tree. "A member" is the mean over those who'
    yield 'are followed, with the most that any was sent; its time includes the check of the signature.'
    yield ''
    yield '| members | operation | messages | bytes | key server, us | messages a member | bytes a member | its us |'
    yield '|---|---|---|---|---|---|---|---|'
    for run in data['runs']:
        for row in run['operations']:
            slept = row['operation'] == 'sleeper'
            published = ('%.0f' % row['messages'], '%.0f' % row['bytes'], '%.0f' % row['server_us'])
            yield '| %d | %s | %s | %s | %s | %.2f (%d) | %.0f (%d) | %.0f |' % (
                (run['members'], row['operation']) + (('-', '-', '-') if slept else published) + (
                    row['member_messages'], row['member_messages_max'], row['member_bytes'], row['member_bytes_max'],
                    row['member_us']))
    last = data['runs'][-1]
    yield ''
    yield 'By unicast one leave among %d would be %d messages. The key server keeps %.0f bytes for each of them.' % (
        last['members'], last['members'] - 1, last['server_memory'] / last['members'])


def pki_table(data):
    yield '%d identities issued in %.2f s, %.2f ms each.' % (data['issued'], data['issue_ms'] / 1e3,
                                                            data['issue_ms'] / data['issued'])
    yield ''
    yield '| entries | bytes | list made, ms | loaded, ms | first check, us | good, us | revoked, us |'
    yield '|---|---|---|---|---|---|---|'
    for row in data['rows']:
        yield '| %d | %d | %.1f | %.1f | %.0f | %.0f | %.0f |' % (
            row['entries'], row['bytes'], row['make_ms'], row['load_ms'], row['first_us'], row['good_us'],
            row['revoked_us'])


def keyserver_table(data):
    yield '%d members, %d at a time, each over an EDHOC run of its own with signatures on both sides. Processor time of' % (
        data['members'], data['at_a_time'])
    yield 'the key server alone, its SQLite commits included; what the members compute is not counted. Messages and bytes'
    yield 'are all that it published, its part of the handshake included.'
    yield ''
    yield '| operation | us | a second and core | messages | bytes | epochs |'
    yield '|---|---|---|---|---|---|'
    for row in data['rows']:
        yield '| %s | %.0f | %.0f | %.1f | %.0f | %.0f |' % (row['operation'], row['us'], row['per_s'], row['messages'],
                                                             row['bytes'], row['epochs'])
    yield ''
    yield 'Memory: %.0f bytes for each member of a group.' % data['memory']


def record_table(data):
    yield 'Rows a second, %d rows, the best of %d rounds taking turns: the store, and bare SQLite with the same tables,' % (
        data['rows'], data['rounds'])
    yield 'index, pragmas (WAL, synchronous FULL) and batches, whose numbers are known beforehand.'
    yield ''
    yield '| rows a commit | bare SQLite | the store | |'
    yield '|---|---|---|---|'
    for row in data['results']:
        yield '| %d | %.0f | %.0f | %.2f x |' % (row['batch'], row['bare_per_s'], row['store_per_s'], row['ratio'])


TABLES = {'record': record_table, 'keyserver': keyserver_table, 'seal': seal_table, 'group': group_table, 'pki': pki_table}


def machine():
    """Processor, cores, system and OpenSSL; no names of hosts."""
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        model = re.search(r'^model name\s*:\s*(.*)$', file.read(), re.M)
    with open('/etc/os-release', encoding='utf-8') as file:
        system = re.search(r'^PRETTY_NAME="(.*)"$', file.read(), re.M)
    openssl = subprocess.run(['openssl', 'version'], capture_output=True, text=True, check=False).stdout.split()[:2]
    return '%s, %d cores, %s, %s' % (model.group(1) if model else 'unknown processor', os.cpu_count() or 0,
                                     system.group(1) if system else 'unknown system', ' '.join(openssl))


def block(data, command, commit, date, where):
    lines = ['<!-- bench %s -->' % data['bench']] + list(TABLES[data['bench']](data))
    lines += ['', '`%s`, commit %s, %s, on %s.' % (command, commit, date, where), '<!-- end -->']
    return '\n'.join(lines)


def replace(text, name, new):
    """The document with that block replaced, or added at the end."""
    old = re.compile(r'<!-- bench %s -->.*?<!-- end -->' % re.escape(name), re.S)
    if old.search(text):
        return old.sub(lambda _: new, text, count=1)
    return text.rstrip('\n') + '\n\n' + new + '\n'


def self_test():
    data = {'bench': 'seal', 'rounds': 1, 'batch': 1, 'rows': [
        {'algorithm': 'A', 'size': 16, 'overhead': 23, 'raw_seal_ns': 100.0, 'raw_aad_seal_ns': 110.0, 'seal_ns': 150.0,
         'raw_open_ns': 100.0, 'raw_aad_open_ns': 1.0, 'open_ns': 125.0}]}
    new = block(data, 'run', 'c', 'd', 'm')
    good = '| A | 16 | 39 | 100 | 110 | 150 (1.50 x) | 100 | 1 | 125 (1.25 x) |' in new
    once = replace('# T\n', 'seal', new)
    good = good and replace(once, 'seal', new) == once and once.startswith('# T\n\n<!--') and once.count('<!-- end') == 1
    print('%sok 1 - tables are written and replaced\n1..1' % ('' if good else 'not '))
    return 0 if good else 1


def main():
    if sys.argv[1:] == ['--self-test']:
        return self_test()
    root, command = sys.argv[1:]
    data = json.load(sys.stdin)
    if data.get('bench') not in TABLES:
        print('performance.py: no table for bench %r' % data.get('bench'), file=sys.stderr)
        return 1
    commit = subprocess.run(['git', '-C', root, 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True,
                            check=False).stdout.strip() or 'unknown'
    path = os.path.join(root, 'doc', 'PERFORMANCE.md')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    text = replace(text, data['bench'], block(data, command, commit, datetime.date.today().isoformat(), machine()))
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return 0


sys.exit(main())
