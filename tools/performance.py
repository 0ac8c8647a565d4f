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

FIGURES = os.path.join(HERE, '..', 'bench', 'figures.json')  # ours, of the latest run of each part


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
    for r in data['flood'] + [dict(data['many'], many=True)]:
        over = 'TLS' if r['tls'] else 'TCP, 1 to %d' % r['subscribers'] if 'many' in r else 'TCP'
        where = 'QoS %d, %s, %d bytes' % (r['qos'], over, r['size'])
        if r['qos'] < 2:
            yield 'processor time, sealed against plain: ' + where, 1.05, r['cpu_us']['sealed_ratio']['median'], False
            yield 'rate, sealed against plain (the control\'s lower quartile): ' + where, \
                r['rate']['control_ratio']['low'], r['rate']['sealed_ratio']['median'], True
    for r in data['pace']:
        where = 'QoS %d, %s, %d bytes' % (r['qos'], 'TLS' if r['tls'] else 'TCP', r['size'])
        yield 'p50, sealed against plain: ' + where, 1.05, r['p50_ms']['sealed_ratio']['median'], False
        yield 'p99, sealed against plain: ' + where, 1.05, r['p99_ms']['sealed_ratio']['median'], False
        yield 'p99.9 at 1,000 a second, sealed, ms: ' + where, 5, r['p999_ms']['sealed'], False
    for r in data.get('signed', []):
        yield 'rate, checkpoint-signed against unsigned, end to end: QoS %d' % r['qos'], 0.9, \
            r['rate']['checkpoint_ratio']['median'], True
    for r in data.get('tools', []):
        yield 'sealmq, sealed, against mosquitto tools, plain: QoS %d' % r['qos'], 1.0, r['ratio']['median'], True


def group_targets(data):
    last = data['runs'][-1]
    leave = row_where(last['operations'], operation='leave')
    yield 'one leave among %d, key server, us' % last['members'], 1000, leave['server_us'], False
    yield 'one leave among %d, a member, us' % last['members'], 150, leave['member_us'], False
    ten = row_where(data['runs'], members=10000)
    batch = ten and row_where(ten['operations'], operation='batch of leaves')
    if batch and 'wraps' in batch:
        yield '100 leaves of 10,000 in one batch, wrapped keys', 1200, batch['wraps'], False
    fit = SUITE.logarithmic_fit(data['runs'])
    yield 'published bytes of a leave against a + b ln n, R squared, %d to %d members' % (
        data['runs'][0]['members'], last['members']), 0.95, fit['r_squared'], True


def start_targets(data):
    for r in data['rows']:
        if not r['tls']:
            yield 'start to first opened message, ms: ' + r['what'], 15 if 'session' in r['what'] else 10, \
                r['ms']['median'], False


def memory_targets(data):
    for r in data['memory']:
        yield 'resident memory, MiB: ' + r['what'], 10, r['rss_kib'] / 1024, False
    for s in data['sender']['rows']:
        yield 'memory for each of %d known senders, bytes' % s['senders'], 1200, \
            s['table_bytes'] + s.get('multi_bytes', s['direct_bytes']), False


def python_targets(data):
    for r in data['rates']:
        yield 'rate against a Python program: QoS %d' % r['qos'], 3, r['ratio']['median'], True
    for what in ('seal', 'open'):
        yield '%s against a Python program' % what, 20, data['seal'][what]['ratio']['median'], True


def message_path_is_clean():
    """Whether the test of the message's way found neither allocation nor lock nor system call; None: not built."""
    test = os.path.join(HERE, '..', 'build', 'tests', 'unit', 'test_message_path')
    if not os.path.exists(test):
        return None
    return subprocess.run([test], capture_output=True, check=False).returncode == 0


def instructions_targets(data):
    c = data['counts']
    yield 'instructions for a seal and an open, EVP', 7500, c['seal_evp'] + c['open_evp'], False
    yield 'instructions for a seal and an open, provider functions', 5000, c['seal'] + c['open'], False
    clean = message_path_is_clean()
    if clean is not None:
        yield 'allocations, locks and system calls on the way of a message (tests/unit/test_message_path.c fails on one)', \
            0, 0 if clean else 1, False


TARGETS = {'seal': seal_targets, 'link': link_targets, 'group': group_targets, 'instructions': instructions_targets,
           'start': start_targets, 'memory': memory_targets, 'python': python_targets, 'record': SUITE.record_part.targets}


def target_lines(part, data):
    return aim_rows(TARGETS.get(part, lambda _: ())(data))


def aim_rows(aims):
    rows = [('aimed at', 'bound', 'measured', '')]
    for what, bound, value, at_least in aims:
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


def predecessor_lines(figures):
    yield from markdown(list(SUITE.predecessor_rows(figures)))
    yield ''


def read_figures():
    try:
        with open(FIGURES, encoding='utf-8') as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def figures_alone(data):
    """Of the benches beside the suite."""
    if data['bench'] == 'swarm' and data['runs'] and 'join_ms' in data['runs'][0]:
        return {'join_ms': data['runs'][0]['join_ms']['p50'], 'rekey_ms': data['runs'][0]['rekey_ms']['p50']}
    return {}


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
    yield 'are all that it published, its part of the handshake included; certificates are by reference here, by value they'
    yield 'are some hundred bytes more. Registered keys (PROTOCOL.md 7.8): static Diffie-Hellman on both sides, by kid.'
    yield ''
    rows = [('operation', 'us', 'a second and core', 'messages', 'bytes', 'epochs')]
    for r in data['rows']:
        rows.append((r['operation'], '%.0f' % r['us'], '%.0f' % r['per_s'], '%.1f' % r['messages'],
                     '%.0f' % r['bytes'], '%.0f' % r['epochs']))
    yield from markdown(rows)
    yield ''
    yield 'Memory: %.0f bytes for each member of a group.' % data['memory']
    yield ''


def swarm_aims(data):
    for r in data['runs']:
        if r['members'] == 1000:
            yield ('next epoch of %d real members, p99 from asking to be let go, ms' % r['members'],
                   200, r['rekey_ms']['p99'], False)
        if r['members'] >= 1000:
            yield ('rekeying %d real members, all in the next epoch, against as many plain messages' % r['members'],
                   1.3, r['all_ratio']['p50'], False)


def swarm_lines(data):
    yield 'Real members (`sealmq swarm`), over Mosquitto with TLS 1.3 and client certificates, their state in'
    yield 'memory; broker, key server and all members share the cores of this machine. Update mode, activation at once,'
    yield 'nothing taken together, but with more than %d members what comes within %d ms.' % (
        data['together_from'], data['together_ms'])
    yield '"Join" is from connecting to being granted, 32 at a time or a 32nd of all; "next epoch" from a member\'s asking'
    yield 'to be let go until another one uses the next epoch, leave by leave; "all" from the key server\'s answer to it, which'
    yield 'goes out together with the epoch, until the last one uses that. The first member publishes all the while, once to'
    yield 'twenty times a second, so that all together read about %d messages a second. "Plain" is the floor: after each' % (
        data['read_per_s'])
    yield 'leave as many messages as the epoch took (seven for three members), unsealed, 256 bytes, QoS 1, to each member by'
    yield 'itself over the same connections, until the last has come. The ratio is of "all" to that, leave by leave.'
    yield ''
    rows = [('members', 'leaves', 'all joined, s', 'join p50, ms', 'p99', 'next epoch p50, ms', 'p99', 'all, ms', 'plain, all, ms',
             'ratio', 'messages read', 'lost', 'connections lost', 'memory a member, KiB')]
    for r in data['runs']:
        rows.append((r['members'], r['leaves'], '%.1f' % r['joined_s'], '%.0f' % r['join_ms']['p50'], '%.0f' % r['join_ms']['p99'],
                     '%.0f' % r['rekey_ms']['p50'], '%.0f' % r['rekey_ms']['p99'], '%.0f' % r['follow_all_ms']['p50'],
                     '%.0f' % r['unicast_all_ms']['p50'], '%.2f' % r['all_ratio']['p50'], r['received'], r['lost'], r['cut_off'],
                     '%.0f' % (r['rss_kib'] / r['members'])))
    yield from markdown(rows)
    yield ''
    for r in data.get('left_out', []):
        yield '%d members were left out: they need %s.' % (r['members'], r['needs'])
        yield ''


ALONE = {'instructions': lambda d: list(instructions_lines(d)) + list(target_lines('instructions', d)),
         'pki': pki_lines, 'keyserver': keyserver_lines,
         'swarm': lambda d: list(swarm_lines(d)) + list(aim_rows(swarm_aims(d)))}


def block(name, lines, note):
    return '\n'.join(['<!-- bench %s -->' % name] + list(lines) + [note, '<!-- end -->'])


def replace(text, name, new):
    """The document with that block replaced, or added at the end."""
    old = re.compile(r'<!-- bench %s -->.*?<!-- end -->' % re.escape(name), re.S)
    if old.search(text):
        return old.sub(lambda _: new, text, count=1)
    return text.rstrip('\n') + '\n\n' + new + '\n'


AIM = re.compile(r'^\| (.*) \| (at (?:most|least) \S+) \| (\S+) \| (met|\*\*missed\*\*) \|$', re.M)


def summary_lines(text):
    """Every aim of the document, by section, with the command that measures it."""
    rows, met = [('aimed at', 'bound', 'measured', '', 'by')], 0
    for name, content in re.findall(r'<!-- bench (\w+) -->\n(.*?)<!-- end -->', text, re.S):
        command = re.search(r'^`(\./run bench [^`]*)`, commit (\w+)', content, re.M)
        for what, bound, value, verdict in AIM.findall(content) if name != 'summary' else ():
            met += verdict == 'met'
            rows.append((what, bound, value, verdict, '`%s`' % command.group(1).replace(' --write', '') if command else ''))
    yield '%d of %d aims met.' % (met, len(rows) - 1)
    yield ''
    yield from markdown(rows)
    yield ''


def blocks(data, note):
    name = data.get('bench')
    if name in ALONE:
        yield name, block(name, ALONE[name](data), note)
        return
    for part, measured in data['parts'].items():
        yield part, block(part, list(part_lines(part, measured)) + list(target_lines(part, measured)), note)


def self_test():
    ops = [{'operation': 'leave', 'messages': 5, 'wraps': 9, 'bytes': 900, 'server_us': 70, 'member_messages': 2,
            'member_bytes': 500, 'member_us': 160}]
    more = [dict(ops[0], bytes=1400), dict(ops[0], operation='batch of leaves', wraps=1201)]
    data = {'bench': 'all', 'parts': {'group': {'runs': [{'members': 100, 'operations': ops},
                                                          {'members': 10000, 'operations': more}]}}}
    (name, new), = blocks(data, 'n')
    good = name == 'group' and '| 100 | leave | 5.0 | 900 | 70 | 2.00 | 500 | 160 |' in new
    good = good and '| at most 150 | 160 | **missed** |' in new and '| at most 1000 | 70.00 | met |' in new
    good = good and '| at most 1200 | 1201 | **missed** |' in new and '| at least 0.95 | 1.00 | met |' in new
    summary = '\n'.join(summary_lines(new))
    good = good and summary.startswith('2 of 4 aims met.') and summary.count('missed') == 2
    once = replace('# T\n', 'group', new)
    good = good and replace(once, 'group', new) == once and once.startswith('# T\n\n<!--') and once.count('<!-- end') == 1
    counts = {'seal': 1, 'open': 2, 'seal_evp': 3, 'open_evp': 7498}
    (_, text), = blocks({'bench': 'instructions', 'where': 'w', 'counts': counts}, 'n')
    good = good and '| open evp | 7498 |' in text and '| at most 7500 | 7501 | **missed** |' in text
    good = good and '| at most 5000 | 3.00 | met |' in text
    spread = {'p50': 1.0, 'p99': 250.0, 'max': 300.0}
    run = dict.fromkeys(('rekey_ms', 'join_ms', 'unicast_all_ms', 'follow_all_ms', 'all_ratio'), spread)
    run.update(members=1000, leaves=25, joined_s=9, received=8, lost=0, cut_off=0, rss_kib=1000)
    (_, text), = blocks({'bench': 'swarm', 'read_per_s': 2000, 'together_from': 1000, 'together_ms': 250, 'runs': [run],
                         'left_out': [{'members': 8000, 'needs': '9 MiB of memory'}]}, 'n')
    good = good and '| at most 200 | 250 | **missed** |' in text and '| at most 1.3 | 1.00 | met |' in text
    good = good and '8000 members were left out: they need 9 MiB of memory.' in text
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
    figures = dict(read_figures(), **(SUITE.figures(data['parts']) if 'parts' in data else figures_alone(data)))
    text = replace(text, 'predecessors', block('predecessors', predecessor_lines(figures),
                                               'Ours are from the tables of this page, each with its command.'))
    text = replace(text, 'summary', block('summary', summary_lines(text), 'Written from the tables below.'))
    with open(FIGURES, 'w', encoding='utf-8') as file:
        json.dump(figures, file, indent=1, sort_keys=True)
        file.write('\n')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return 0


sys.exit(main())
