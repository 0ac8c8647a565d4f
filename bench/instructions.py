#!/usr/bin/env python3
"""Counts the instructions of bench/instructions*.c under callgrind and holds them against the table kept beside it.

usage: instructions.py PROGRAM ... TABLE             TAP; fails where a count has grown by more than 5 %
       instructions.py PROGRAM ... TABLE --write     keeps what is counted now as the table
       instructions.py PROGRAM ... TABLE --json      what is counted, and nothing is compared
       instructions.py --self-test

The counts repeat exactly on one processor and one libcrypto; both choose the code that runs. The table names the
libcrypto and the features of the processor it is for; where those differ the comparison is skipped, by name. What is
promised (LIMITS) is checked all the same.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

GROWTH = 1.05
# What PERFORMANCE.md promises, with every piece of a message's way counted.
LIMITS = {'seal_evp + open_evp': 7500, 'seal + open': 5000}
# Features that decide which assembly libcrypto takes, as far as callgrind knows them.
FEATURES = ('aes', 'pclmulqdq', 'ssse3', 'avx', 'avx2', 'bmi2', 'adx')


def surroundings(program):
    """libcrypto's version and the features, in one line."""
    linked = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    library = re.search(r'libcrypto\S* => (\S+)', linked)
    version = 'unknown'
    if library:
        with open(library.group(1), 'rb') as file:
            found = re.search(rb'OpenSSL (\d+\.\d+\.\d+[a-z]*) ', file.read())
        version = found.group(1).decode() if found else version
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        flags = re.search(r'^flags\s*:(.*)$', file.read(), re.M)
    have = set(flags.group(1).split()) if flags else set()
    return 'libcrypto %s, multi-buffer %s, %s' % (version, multibuffer(),
                                                  ' '.join(f for f in FEATURES if f in have) or 'no features known')


def multibuffer():
    """The version of the library behind the multi-buffer lane, by the name of its file."""
    found = subprocess.run(['ldconfig', '-p'], capture_output=True, text=True, check=False,
                           env=dict(os.environ, PATH=os.environ.get('PATH', '') + ':/sbin:/usr/sbin')).stdout
    path = re.search(r'libIPSec_MB\.so\.1 .*=> (\S+)', found)
    return os.path.realpath(path.group(1)).split('.so.')[-1] if path else 'none'


def parse(text):
    """Mean inclusive instructions of each op_* over its calls, from callgrind's output."""
    names, totals, calls = {}, {}, {}
    called = pending = None
    for line in text.splitlines():
        named = re.match(r'c?fn=\((\d+)\)(?: (.*))?$', line)
        if named:
            if named.group(2):
                names[named.group(1)] = named.group(2)
            if line.startswith('c'):
                called = names[named.group(1)]
            continue
        if line.startswith('calls='):
            pending = int(line[6:].split()[0])
            continue
        if pending is not None:
            if called.startswith('op_'):
                name = called[3:].split("'")[0]
                totals[name] = totals.get(name, 0) + int(line.split()[1])
                calls[name] = calls.get(name, 0) + pending
            pending = None
    return {name: totals[name] / calls[name] for name in totals}


def count(program):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'out')
        subprocess.run(['valgrind', '-q', '--tool=callgrind', '--callgrind-out-file=' + out, program], check=True,
                       stdin=subprocess.DEVNULL, timeout=600)
        with open(out, encoding='utf-8', errors='replace') as file:
            counts = parse(file.read())
    if not counts:
        raise ValueError('callgrind saw no op_* function')
    return counts


def read_table(text):
    lines = [line for line in text.splitlines() if line and not line.startswith('#')]
    return lines[0], {line.split()[0]: int(line.split()[1]) for line in lines[1:]}


def table(counts, where):
    lines = ['# Instructions each; written by bench/instructions.py --write, which the tests hold against new counts.', where]
    lines += ['%-14s %7.0f' % (name, counts[name]) for name in sorted(counts)]
    return '\n'.join(lines) + '\n'


def grown(counts, kept):
    """What grew, or is missing on either side, in words."""
    for name in sorted(set(counts) | set(kept)):
        if name not in counts or name not in kept:
            yield '%s is %s' % (name, 'not in the table' if name in counts else 'not counted any more')
        elif counts[name] > GROWTH * kept[name]:
            yield '%s: %.0f instructions, %d in the table' % (name, counts[name], kept[name])


def beyond(counts):
    for names, limit in LIMITS.items():
        total = sum(counts[name] for name in names.split(' + '))
        if total > limit:
            yield '%s: %.0f instructions, more than %d' % (names, total, limit)


def say(number, problems, what, skipped=None):
    for problem in problems:
        print('# ' + problem)
    print('%sok %d - %s%s' % ('not ' if problems else '', number, what, ' # SKIP ' + skipped if skipped else ''))
    return not problems


def self_test():
    text = ('fn=(1) main\n5 10\ncfn=(2) op_seal\ncalls=4 1\n9 4000\ncfn=(3) memcpy\ncalls=1 1\n9 7\n'
            'fn=(2)\n1 5\nfn=(4) run\ncfn=(2)\ncalls=1 1\n3 1500\n')
    counts = parse(text)
    where, kept = read_table(table(counts, 'libcrypto 3, aes'))
    good = counts == {'seal': 1100.0} and where == 'libcrypto 3, aes' and kept == {'seal': 1100}
    good = good and not list(grown({'seal': 1155}, kept)) and len(list(grown({'seal': 1156}, kept))) == 1
    good = good and len(list(grown({'seal': 1, 'open': 1}, kept))) == 1 and len(list(grown({}, kept))) == 1
    even = {'seal': 2500, 'open': 2500, 'seal_evp': 3750, 'open_evp': 3750}
    good = good and not list(beyond(even)) and len(list(beyond(dict(even, open=2501)))) == 1
    say(1, [] if good else ['the parser or the comparison is wrong'], 'counts are read, kept and compared')
    print('1..1')
    return 0 if good else 1


def main():
    if sys.argv[1:] == ['--self-test']:
        return self_test()
    options = [word for word in sys.argv[1:] if word.startswith('--')]
    *programs, kept_at = [word for word in sys.argv[1:] if not word.startswith('--')]
    if not shutil.which('valgrind'):
        print('1..0 # SKIP valgrind is not installed')
        return 0
    counts, where = {}, surroundings(programs[0])
    for program in programs:
        counts.update(count(program))
    if options == ['--write']:
        with open(kept_at, 'w', encoding='utf-8') as file:
            file.write(table(counts, where))
        return 0
    if options == ['--json']:
        print(json.dumps({'bench': 'instructions', 'where': where, 'counts': counts}))
        return 0
    with open(kept_at, encoding='utf-8') as file:
        kept_where, kept = read_table(file.read())
    differs = 'the table is for %s, this is %s' % (kept_where, where) if kept_where != where else None
    good = say(1, [] if differs else list(grown(counts, kept)), 'no count has grown by more than 5 %', differs)
    good = say(2, list(beyond(counts)), 'a message costs no more instructions than promised') and good
    print('1..2')
    return 0 if good else 1


sys.exit(main())
