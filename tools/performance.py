#!/usr/bin/env python3
"""Writes the tables of measured parts into doc/PERFORMANCE.md, each between its two marks; no number there is typed.

usage: performance.py ROOT COMMAND < JSON       JSON of `sealmq bench --json` or of a bench beside it;
                                                COMMAND is what a reader types to measure again
       performance.py --self-test

The machine, the commit and the date are noted beside the numbers. A part that has no table is refused.
"""
import datetime
import importlib.util
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = importlib.util.spec_from_file_location('sealmq_bench', os.path.join(HERE, '..', 'bench', 'sealmq_bench.py'))
SUITE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SUITE)

# What five earlier systems reached on a machine of the same kind, as they were measured: see "Predecessors".
PREDECESSORS = (
    ('sealed messages a second end to end, QoS 0', '2,250 to 18,900'),
    ('sealed messages a second end to end, QoS 2', '326'),
    ('latency p50 at 20 a second, ms', '0.65 to 1.2'),
    ('encrypt and decrypt a record, us', '18 to 137'),
    ('key exchange (ECDH alone), ms', '0.9 to 1.35'),
    ('update rekey for 9 members, ms', '44 to 54'),
)


def markdown(rows):
    rows = [[str(cell).replace('|', '\\|') for cell in row] for row in rows]
    yield '| %s |' % ' | '.join(rows[0])
    yield '|' + '---|' * len(rows[0])
    for row in rows[1:]:
        yield '| %s |' % ' | '.join(row)


def part_lines(part, data):
    for title, rows in SUITE.TABLES[part]:
        table = list(rows(data))
        if len(table) > 1:
            yield '%s:' % title
            yield ''
            yield from markdown(table)
            yield ''


def row_where(rows, **want):
    return next((r for r in rows if all(r.get(k) == v for k, v in want.items())), None)


def seal_targets(data):
    row = row_where(data['rows'], algorithm='A128GCM', size=64)
    for what, key, limit in (('seal on EVP', 'evp_seal', 1.25), ('open on EVP', 'evp_open', 1.25),
                             ('seal on provider functions', 'direct_seal', 0.75),
                             ('open on provider functions', 'direct_open', 0.75),
                             ('seal on the multi-buffer lane', 'multi_seal', 0.4),
                             ('open on the multi-buffer lane', 'multi_open', 0.4)):
        if key + '_ratio' not in row:
            continue
        yield '%s, 64 bytes, against bare EVP of the same bytes' % what, limit, row[key + '_ratio'], False


def link_targets(data):
    for r in data['flood']:
        where = 'QoS %d, %s, %d bytes' % (r['qos'], 'TLS' if r['tls'] else 'TCP', r['size'])
        if r['qos'] < 2:
            yield 'processor time, sealed against plain: ' + where, 1.05, r['cpu_us']['sealed_ratio']['median'], False
            yield 'rate, sealed against plain: ' + where, r['rate']['control_ratio']['low'], \
                r['rate']['sealed_ratio']['median'], True
    for r in data['pace']:
        where = 'QoS %d, %s' % (r['qos'], 'TLS' if r['tls'] else 'TCP')
        yield 'p50, sealed against plain: ' + where, 1.05, r['p50_ms']['sealed_ratio']['median'], False
        yield 'p99.9 at 1,000 a second, sealed, ms: ' + where, 5, r['p999_ms']['sealed'], False
    for r in data.get('tools', []):
        yield 'sealmq, sealed, against mosquitto tools, plain: QoS %d' % r['qos'], 1.0, r['ratio']['median'], True


def group_targets(data):
    last = data['runs'][-1]
    leave = row_where(last['operations'], operation='leave')
    yield 'one leave among %d, key server, us' % last['members'], 1000, leave['server_us'], False
    yield 'one leave among %d, a member, us' % last['members'], 150, leave['member_us'], False


def instructions_targets(data):
    c = data['counts']
    yield 'instructions for a seal and an open, EVP', 7500, c['seal_evp'] + c['open_evp'], False
    yield 'instructions for a seal and an open, provider functions', 5000, c['seal'] + c['open'], False


TARGETS = {'record': SUITE.record_part.targets, 'seal': seal_targets, 'link': link_targets, 'group': group_targets, 'instructions': instructions_targets}


def target_lines(part, data):
    rows = [('aimed at', 'bound', 'measured', '')]
    for what, bound, value, at_least in TARGETS.get(part, lambda _: ())(data):
        met = value >= bound if at_least else value <= bound
        number = '%.2f' if value < 100 else '%.0f'
        rows.append((what, ('at least ' if at_least else 'at most ') + '%g' % round(bound, 2), number % value,
                     'met' if met else '**missed**'))
    if len(rows) > 1:
        yield from markdown(rows)
        yield ''


def instructions_lines(data):
    rows = [('work', 'instructions')] + [(k.replace('_', ' '), '%.0f' % v) for k, v in sorted(data['counts'].items())]
    yield 'For %s:' % data['where']
    yield ''
    yield from markdown(rows)
    yield ''


def ours(parts):
    """Our figures for the rows of PREDECESSORS; '-' where they were not measured."""
    link, seal, session, group = (parts.get(k) for k in ('link', 'seal', 'session', 'group'))
    tls = {qos: row_where(link['flood'], qos=qos, tls=False, size=64) for qos in (0, 2)} if link else {}
    row = seal and row_where(seal['rows'], algorithm='A128GCM', size=64)
    leave = group and row_where(group['runs'][0]['operations'], operation='leave')
    return ('%.0f' % tls[0]['rate']['sealed'] if tls.get(0) else '-',
            '%.0f' % tls[2]['rate']['sealed'] if tls.get(2) else '-',
            '%.2f (at 1,000 a second)' % link['pace'][0]['p50_ms']['sealed'] if link else '-',
            '%.2f' % ((row['direct_seal_ns'] + row['direct_open_ns']) / 1000) if row else '-',
            '%.2f (whole EDHOC, both members)' % session['rows'][0]['cpu_ms'] if session else '-',
            '%.2f (of the key server, a leave among %d)' % (leave['server_us'] / 1000, group['runs'][0]['members'])
            if leave else '-')


def predecessor_lines(parts):
    yield from markdown([('', 'predecessors', 'SealMQ')] + [(what, theirs, mine) for (what, theirs), mine
                                                              in zip(PREDECESSORS, ours(parts))])
    yield ''


def pki_lines(data):
    yield '%d identities issued in %.2f s, %.2f ms each.' % (data['issued'], data['issue_ms'] / 1e3,
                                                            data['issue_ms'] / data['issued'])
    yield ''
    rows = [('entries', 'bytes', 'list made, ms', 'loaded, ms', 'first check, us', 'good, us', 'revoked, us')]
    for r in data['rows']:
        rows.append((r['entries'], r['bytes'], '%.1f' % r['make_ms'], '%.1f' % r['load_ms'], '%.0f' % r['first_us'],
                     '%.0f' % r['good_us'], '%.0f' % r['revoked_us']))
    yield from markdown(rows)
    yield ''


def keyserver_lines(data):
    yield '%d members, %d at a time, each over an EDHOC run of its own with signatures on both sides. Processor time of' % (
        data['members'], data['at_a_time'])
    yield 'the key server alone, its SQLite commits included; what the members compute is not counted. Messages and bytes'
    yield 'are all that it published, its part of the handshake included.'
    yield ''
    rows = [('operation', 'us', 'a second and core', 'messages', 'bytes', 'epochs')]
    for r in data['rows']:
        rows.append((r['operation'], '%.0f' % r['us'], '%.0f' % r['per_s'], '%.1f' % r['messages'],
                     '%.0f' % r['bytes'], '%.0f' % r['epochs']))
    yield from markdown(rows)
    yield ''
    yield 'Memory: %.0f bytes for each member of a group.' % data['memory']
    yield ''


def swarm_lines(data):
    yield 'Real members (`sealmq swarm`) in one process, over Mosquitto with TLS 1.3 and client certificates, their state in'
    yield 'memory; broker, key server and all members share the cores of this machine. Update mode, nothing taken together,'
    yield 'activation at once. "Join" is from connecting to being granted, 32 at a time; "next epoch" from a member\'s asking'
    yield 'to be let go until another one uses the next epoch, over %d leaves. The first member publishes %d messages a' % (
        data['leaves'], data['rate'])
    yield 'second all the while.'
    yield ''
    rows = [('members', 'all joined, s', 'join p50, ms', 'p99', 'next epoch p50, ms', 'p99', 'messages read', 'lost',
             'memory a member, KiB')]
    for r in data['runs']:
        rows.append((r['members'], '%.1f' % r['joined_s'], '%.0f' % r['join_ms']['p50'], '%.0f' % r['join_ms']['p99'],
                     '%.0f' % r['rekey_ms']['p50'], '%.0f' % r['rekey_ms']['p99'], r['received'], r['lost'],
                     '%.0f' % (r['rss_kib'] / r['members'])))
    yield from markdown(rows)
    yield ''


ALONE = {'instructions': lambda d: list(instructions_lines(d)) + list(target_lines('instructions', d)),
         'pki': pki_lines, 'keyserver': keyserver_lines,
         'swarm': swarm_lines}


def block(name, lines, note):
    return '\n'.join(['<!-- bench %s -->' % name] + list(lines) + [note, '<!-- end -->'])


def replace(text, name, new):
    """The document with that block replaced, or added at the end."""
    old = re.compile(r'<!-- bench %s -->.*?<!-- end -->' % re.escape(name), re.S)
    if old.search(text):
        return old.sub(lambda _: new, text, count=1)
    return text.rstrip('\n') + '\n\n' + new + '\n'


def blocks(data, note):
    name = data.get('bench')
    if name in ALONE:
        yield name, block(name, ALONE[name](data), note)
        return
    for part, measured in data['parts'].items():
        yield part, block(part, list(part_lines(part, measured)) + list(target_lines(part, measured)), note)
    if len(data['parts']) > 2:
        yield 'predecessors', block('predecessors', predecessor_lines(data['parts']), note)


def self_test():
    ops = [{'operation': 'leave', 'messages': 5, 'bytes': 900, 'server_us': 70, 'member_messages': 2,
            'member_bytes': 500, 'member_us': 160}]
    data = {'bench': 'all', 'parts': {'group': {'runs': [{'members': 100, 'operations': ops}]}}}
    (name, new), = blocks(data, 'n')
    good = name == 'group' and '| 100 | leave | 5.0 | 900 | 70 | 2.00 | 500 | 160 |' in new
    good = good and '| at most 150 | 160 | **missed** |' in new and '| at most 1000 | 70.00 | met |' in new
    once = replace('# T\n', 'group', new)
    good = good and replace(once, 'group', new) == once and once.startswith('# T\n\n<!--') and once.count('<!-- end') == 1
    counts = {'seal': 1, 'open': 2, 'seal_evp': 3, 'open_evp': 7498}
    (_, text), = blocks({'bench': 'instructions', 'where': 'w', 'counts': counts}, 'n')
    good = good and '| open evp | 7498 |' in text and '| at most 7500 | 7501 | **missed** |' in text
    good = good and '| at most 5000 | 3.00 | met |' in text
    print('%sok 1 - tables are written and replaced\n1..1' % ('' if good else 'not '))
    return 0 if good else 1


def main():
    if sys.argv[1:] == ['--self-test']:
        return self_test()
    root, command = sys.argv[1:]
    data = json.load(sys.stdin)
    commit = subprocess.run(['git', '-C', root, 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True,
                            check=False).stdout.strip() or 'unknown'
    m = data.get('machine') or SUITE.machine()
    note = '`%s`, commit %s, %s, on %s, %d cores, %s, %s; load before it %.1f.' % (
        command, commit, datetime.date.today().isoformat(), m['processor'], m['cores'], m['system'], m['openssl'],
        m['load_before'])
    path = os.path.join(root, 'doc', 'PERFORMANCE.md')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    for name, new in blocks(data, note):
        text = replace(text, name, new)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return 0


sys.exit(main())
