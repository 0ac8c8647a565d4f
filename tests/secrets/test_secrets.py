"""Secrets must steer no branch and no index, and are gone when they were wiped: each case of constant_time under valgrind.

usage: test_secrets.py PROGRAM      TAP; a case named "planted ..." must be reported, the others must not
"""
import os
import shutil
import subprocess
import sys

BAD = 99


def main():
    program = os.path.abspath(sys.argv[1])
    if not shutil.which('valgrind'):
        print('1..0 # SKIP no valgrind')
        return 0
    names = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split('\n')[:-1]
    print('1..%d' % len(names))
    failed = 0
    for number, name in enumerate(names, 1):
        watched = [] if 'wipe' in name else ['valgrind', '-q', '--error-exitcode=%d' % BAD, '--leak-check=no']
        done = subprocess.run(watched + [program, name], capture_output=True, text=True, errors='replace', check=False)
        good = done.returncode != 0 if name.startswith('planted') else done.returncode == 0
        failed += not good
        print('%s %d - %s%s' % ('ok' if good else 'not ok', number, name,
                                ' is noticed' if name.startswith('planted') else ''))
        if not good:
            for line in done.stderr.splitlines()[:8]:
                print('# ' + line)
    return 1 if failed else 0


sys.exit(main())
