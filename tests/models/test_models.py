"""The models in doc/models, searched exhaustively with spin: each must hold, and each of its broken twins must fail.

usage: test_models.py DIRECTORY      TAP; skipped where spin or a C compiler is missing
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

MODELS = [
    ('counter_reservation', None, 'no counter is used twice, wherever the device falls'),
    ('counter_reservation', 'BROKEN', 'a block that is used before it is on the disk is found'),
    ('epoch_activation', None, 'no message is lost at an activation, and the old epoch ends'),
    ('epoch_activation', 'BROKEN', 'an activation without a grace is found'),
    ('epoch_activation', 'NO_NOTICE', 'an activation without notice is found'),
    ('keyserver_takeover', None, 'no epoch is issued twice, whoever takes over'),
    ('keyserver_takeover', 'BROKEN', 'a takeover without a jump is found'),
    ('keyserver_takeover', 'PUBLISH_FIRST', 'publishing before storing is found'),
]


def search(path, define):
    """(errors, states), or None and what went wrong."""
    with tempfile.TemporaryDirectory() as directory:
        command = ['spin', '-a'] + (['-D' + define] if define else []) + [path]
        made = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        built = made.returncode == 0 and subprocess.run(
            ['cc', '-O1', '-w', '-DSAFETY', '-o', 'pan', 'pan.c'], cwd=directory, capture_output=True, text=True,
            check=False)
        if not built or built.returncode:
            return None, (made.stdout + made.stderr + (built.stderr if built else '')).strip().splitlines()[-1]
        said = subprocess.run(['./pan', '-m1000000'], cwd=directory, capture_output=True, text=True, check=False).stdout
        errors, states = re.search(r'errors: (\d+)', said), re.search(r'(\d+) states, stored', said)
        complete = 'Search not completed' not in said and 'max search depth too small' not in said
        if not errors or not states:
            return None, 'no result'
        return int(errors.group(1)), (int(states.group(1)), complete)


def main():
    where = os.path.abspath(sys.argv[1])
    for tool in ('spin', 'cc'):
        if not shutil.which(tool):
            print('1..0 # SKIP no %s' % tool)
            return 0
    failed = 0
    print('1..%d' % len(MODELS))
    for number, (model, define, claim) in enumerate(MODELS, 1):
        errors, more = search(os.path.join(where, model + '.pml'), define)
        if errors is None:
            good, note = False, more
        else:
            states, complete = more
            good = errors > 0 if define else errors == 0 and complete and states > 20
            note = '%d states' % states
        failed += not good
        print('%s %d - %s: %s' % ('ok' if good else 'not ok', number, claim, note.replace('#', '')))
    return 1 if failed else 0


sys.exit(main())
