#!/usr/bin/env python3
"""Writes the figures of long runs into doc/EVIDENCE.md, between its marks, from what those runs left in doc/evidence.

usage: evidence.py ROOT [--write]    without: says whether the document is what the figures say; status 1 if not

The files come from the runs themselves: ./run soak --json doc/evidence/soak.json, ./run crash --json
doc/evidence/crash.json, ./run sim >doc/evidence/sim.txt 2>&1, ./run fuzz --runs 10000000 --json doc/evidence/fuzz.json.
"""
import json
import os
import re
import sys

BEGIN, END = '<!-- figures: written by tools/evidence.py -->\n', '<!-- figures end -->\n'


def read(root, name):
    path = os.path.join(root, 'doc', 'evidence', name)
    if not os.path.exists(path):
        return None
    with open(path, encoding='utf-8') as file:
        return json.load(file) if name.endswith('.json') else file.read()


def sim(text):
    count, seed = re.search(r'(\d+) schedules from seed (\d+): all hold', text).groups()
    opened = sum(int(n) for n in re.findall(r': (\d+) messages opened', text))
    yield '| simulation | %s schedules from seed %s hold, %s messages opened%s |' % (
        '{:,}'.format(int(count)), seed, '{:,}'.format(opened), took(text))


def took(text):
    found = {word: float(m) * 60 + float(s) for word, m, s in re.findall(r'(real|user)\s+(\d+)m([\d.]+)s', text)}
    if not found:
        return ''
    # what it did not have of two cores, others had
    return '; %.1f minutes, in which %d %% of two cores were its own: %.1f minutes of processor time' % (
        found['real'] / 60, round(100 * found['user'] / (2 * found['real'])), found['user'] / 60)


def crash(figures):
    for name, said in figures.items():
        yield '| %s | %s |' % (name, said if isinstance(said, str) else '%d' % said)


def grown(row):
    return '%s %.1f to %.1f MiB, %d to %d descriptors' % (row['process'], row['kib_early'] / 1024, row['kib_late'] / 1024,
                                                         row['files_early'], row['files_late'])


def soak(figures):
    crowd, junk = figures['crowd'], figures['junk']
    yield '| soak | %d members for %d s: %d left and %d came back at random; %s messages to those in the group, %d lost; ' \
        'opened by those who had left: %d |' % (crowd['members'], figures['seconds'], crowd['left'], crowd['came_back'],
                                                '{:,}'.format(crowd['expected']), crowd['lost'], crowd['opened_after_leaving'])
    yield '| soak: early, and at the end | %s |' % '; '.join(grown(row) for row in crowd['processes'])
    yield '| junk at ten times the honest rate | honest p99 %.2f ms without, %.2f ms with it: a factor of %.2f; %d of %d lost |' % (
        junk['quiet_ms']['p99'], junk['junk_ms']['p99'], junk['p99_factor'], junk['lost'], junk['messages'])


def fuzzed(figures):
    """A table of its own: every target, by what it has executed; of whole machines what they carried out in that."""
    yield '| fuzz target | executions | operations | hours | edges | features | findings |\n|---|---|---|---|---|---|---|'
    for name, f in sorted(figures.items(), key=lambda item: (-item[1]['executions'], item[0])):
        yield '| %s | %s | %s | %.2f | %d | %d | %d |' % (
            name, '{:,}'.format(f['executions']), '{:,}'.format(f['operations']) if f.get('operations') else '',
            f['seconds'] / 3600, f['edges'], f['features'], f['findings'])


def table(root):
    rows = ['| what | figure |\n|---|---|']
    for name, of in (('sim.txt', sim), ('crash.json', crash), ('soak.json', soak)):
        figures = read(root, name)
        rows += list(of(figures)) if figures else []
    figures = read(root, 'fuzz.json')
    if figures:
        rows += [''] + list(fuzzed(figures))
    return '\n'.join(rows) + '\n'


def main(root, write):
    path = os.path.join(root, 'doc', 'EVIDENCE.md')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    new = before + BEGIN + '\n' + table(root) + '\n' + END + after
    if write:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(new)
        return 0
    if new != text:
        print('doc/EVIDENCE.md is not what doc/evidence says: tools/evidence.py . --write')
    return 0 if new == text else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], '--write' in sys.argv[2:]))
