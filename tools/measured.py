#!/usr/bin/env python3
"""Writes what the long tests of the broker side measured into doc/BROKERS.md and doc/PERFORMANCE.md, each table between
its two marks; no number there is typed.

usage: measured.py ROOT COMMAND FILE   FILE: lines of JSON, which tests append to $SEALMQ_MEASURED;
                                       COMMAND is what a reader types to measure again
       measured.py --self-test

What was measured last is kept in bench/brokers.json, each table with its note: a run of one engine leaves the others be.
"""
import datetime
import importlib.util
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = importlib.util.spec_from_file_location('sealmq_bench', os.path.join(HERE, '..', 'bench', 'sealmq_bench.py'))
SUITE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SUITE)
NAMES = {'mosquittos': 'three Mosquittos', 'nats': 'NATS, three nodes', 'rabbitmq': 'RabbitMQ, three nodes'}


def markdown(rows):
    yield '| %s |' % ' | '.join(map(str, rows[0]))
    yield '|' + '---|' * len(rows[0])
    for row in rows[1:]:
        yield '| %s |' % ' | '.join(map(str, row))


def replaced(text, name, lines):
    """The document with what stands between the marks of that name replaced; both must be there."""
    head, mark, rest = text.partition('<!-- measured %s -->\n' % name)
    _, end, tail = rest.partition('<!-- end -->')
    if not mark or not end:
        raise ValueError('no marks for ' + name)
    return head + mark + '\n'.join(lines) + '\n' + end + tail


def seconds(values):
    return ', '.join('not within a minute' if v is None else '%.1f s' % v for v in values)


def engines(runs):
    latest = runs[-1]['engines']
    keys = list(latest[0][1])
    return list(markdown([[''] + [name for name, _ in latest]] + [[key] + [can[key] for _, can in latest] for key in keys]))


def cluster(runs):
    """Of each profile its runs, most of them once; a worst case is shown, with how many runs there were."""
    by = {name: [r for r in runs if r['profile'] == name] for name in NAMES}
    by = {name: of for name, of in by.items() if of}

    def row(title, cell):
        return [title] + [cell(of) for of in by.values()]
    worst = lambda of, key, n: None if any(r[key][n] is None for r in of) else max(r[key][n] for r in of)
    return list(markdown([
        [''] + [NAMES[name] for name in by],
        row('runs', len),
        row('from the kill of one to messages again, both senders and a reader: worst of the runs, node by node',
            lambda of: seconds(worst(of, 'back_s', n) for n in range(len(of[0]['back_s'])))),
        row('the key server moves the group on, one broker dead: worst, node by node',
            lambda of: seconds(worst(of, 'epoch_s', n) for n in range(len(of[0]['epoch_s'])))),
        row('messages of QoS 1 sent', lambda of: sum(r['sent'] for r in of)),
        row('... that arrived', lambda of: sum(r['arrived'] for r in of)),
        row('... more than once', lambda of: sum(r['twice'] for r in of)),
        row('... all stored by a recorder', lambda of: 'yes' if all(r['stored'] for r in of) else 'no'),
        row('from nothing to ready, worst', lambda of: seconds([max(r['up_s'] for r in of)]))]))


def arrivals(runs):
    rows = [('members of one address', 'junk connections of another one meanwhile', 'refused', 'all connected after')]
    rows += [(r['members'], r['junk'], r['refused'], '%.1f s' % r['took_s']) for run in runs for r in run['rows']]
    return list(markdown(rows))


def revoked(runs):
    return list(markdown([['', 'a revoked member is cut off, its live session included, after']] +
                         [[NAMES[r['profile']], '%.1f s' % r['took_s']] for r in runs]))


TABLES = {'revoked': ('doc/BROKERS.md', revoked), 'engines': ('doc/BROKERS.md', engines), 'cluster': ('doc/BROKERS.md', cluster),
          'arrivals': ('doc/PERFORMANCE.md', arrivals)}


def key_of(run):
    return run['bench'] + ('/' + run['profile'] if 'profile' in run else '')


def merged(kept, runs, note):
    """Runs of a kind take the place of all earlier ones of that kind."""
    new = dict(kept)
    for run in runs:
        new[key_of(run)] = {'note': note, 'runs': [r for r in runs if key_of(r) == key_of(run)]}
    return new


def tables(kept):
    for name, (path, lines) in TABLES.items():
        parts = [kept[k] for k in sorted(kept) if k.split('/')[0] == name]
        if parts:
            notes = list(dict.fromkeys(part['note'] for part in parts))
            if len(notes) > 1:
                notes = ['%s: %s' % (', '.join(k.split('/')[1] for k in sorted(kept) if k.split('/')[0] == name and
                                               kept[k]['note'] == note), note) for note in notes]
            yield name, path, lines([run for part in parts for run in part['runs']]) + [''] + notes


def self_test():
    run = {'bench': 'cluster', 'profile': 'nats', 'up_s': 9, 'back_s': [1.25, None], 'epoch_s': [2, 3], 'sent': 5, 'arrived': 4,
           'twice': 0, 'stored': False}
    kept = merged({}, [run, dict(run, up_s=10), {'bench': 'arrivals', 'rows': []}], 'n1')
    kept = merged(kept, [dict(run, profile='mosquittos')], 'n2')
    (_, path, lines), *_ = [t for t in tables(kept) if t[0] == 'cluster']
    text = replaced('a\n<!-- measured cluster -->\nold\n<!-- end -->\nb', 'cluster', lines)
    good = path == 'doc/BROKERS.md' and '| runs | 1 | 2 |' in text and '| 1.2 s, not within a minute |' in text and '| 5 | 10 |' in text
    good = good and '| no | no |' in text and '| 9.0 s | 10.0 s |' in text and 'old' not in text and text.endswith('<!-- end -->\nb')
    good = good and 'mosquittos: n2\nnats: n1\n' in text
    try:
        replaced('none', 'cluster', lines)
        good = False
    except ValueError:
        pass
    print('%sok 1 - tables are written and replaced\n1..1' % ('' if good else 'not '))
    return 0 if good else 1


def main():
    if sys.argv[1:] == ['--self-test']:
        return self_test()
    root, command, measured = sys.argv[1:]
    with open(measured, encoding='utf-8') as file:
        runs = [json.loads(line) for line in file]
    commit = subprocess.run(['git', '-C', root, 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True,
                            check=False).stdout.strip() or 'unknown'
    m = SUITE.machine()
    note = '`%s`, commit %s, %s, on %s, %d cores, %s.' % (
        command, commit, datetime.date.today().isoformat(), m['processor'], m['cores'],
        m['system'])
    store = os.path.join(root, 'bench', 'brokers.json')
    kept = {}
    if os.path.exists(store):
        with open(store, encoding='utf-8') as file:
            kept = json.load(file)
    kept = merged(kept, runs, note)
    for name, path, lines in tables(kept):
        path = os.path.join(root, path)
        with open(path, encoding='utf-8') as file:
            text = replaced(file.read(), name, lines)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
    with open(store, 'w', encoding='utf-8') as file:
        json.dump(kept, file, indent=1, sort_keys=True)
        file.write('\n')
    return 0


sys.exit(main())
