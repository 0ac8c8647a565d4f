#!/usr/bin/env python3
"""`sealmq data preview` on good, broken and hostile files.

usage: test_data.py SEALMQ ROOT
"""
import json
import os
import pty
import random
import statistics
import subprocess
import sys
import tempfile

SEALMQ, ROOT = sys.argv[1:3]
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402

TAP = Tap()


def run(*args, data=None):
    done = subprocess.run([SEALMQ, 'data', *args], input=data, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode('utf-8', 'strict'), done.stderr.decode('utf-8', 'strict')


def write(where, name, data):
    path = os.path.join(where, name)
    with open(path, 'wb') as file:
        file.write(data)
    return path


def good_file(where):
    random.seed(1)
    rows = [(i, round(random.uniform(-5, 30), 2), random.choice(['low', 'high'])) for i in range(1, 10001)]
    text = '\ufeffid, t ,state\r\n' + ''.join('%d, %s ,%s \r\n' % row for row in rows)
    path = write(where, 'good.csv', text.encode())
    status, out, err = run('preview', path, '--json', '--rows', '3')
    seen = json.loads(out)
    t = seen['columns'][1]
    TAP.row(status == 0 and err == '' and seen['rows'] == 10000 and seen['broken_rows'] == 0, 'rows are counted')
    TAP.row([c['type'] for c in seen['columns']] == ['integer', 'float', 'text'], 'types are told')
    TAP.row(t['min'] == min(r[1] for r in rows) and t['max'] == max(r[1] for r in rows), 'the range is right')
    TAP.row(abs(t['mean'] - statistics.fmean(r[1] for r in rows)) < 1e-9, 'the mean is right')
    counts = {v['value']: v['count'] for v in seen['columns'][2]['top']}
    TAP.row(counts == {s: sum(r[2] == s for r in rows) for s in ('low', 'high')}, 'labels are counted')
    TAP.row(seen['first'][2] == [str(v) for v in rows[2]], 'the first rows are shown, trimmed')
    status, out, err = run('preview', path)
    lines = out.split('\n')
    heads = [line for line in lines if line.startswith(('column', 'id', 't ', 'state'))]
    TAP.row(status == 0 and len(heads) == 4 and len({line.find('  ', 8) > 0 for line in heads}) == 1 and
            '10000 rows, 3 columns' in lines[0], 'the table is there')


def broken_file(where):
    path = write(where, 'broken.csv', b'a,b\n1,2\n3\n"x,4\n5,6\n\xff,7\n8,9,10\n')
    status, out, err = run('preview', path, '--json')
    seen = json.loads(out)
    TAP.row(status == 0 and seen['rows'] == 2 and seen['broken_rows'] == 4, 'broken rows do not end the preview', [err])
    TAP.row([b['line'] for b in seen['broken']] == [3, 4, 6, 7], 'each is told with its line', [out])
    status, out, err = run('preview', path)
    TAP.row('line 3: 1 value where the header names 2 columns\n' in err and
            'line 4: a quote that is never closed\n' in err and 'line 6: not UTF-8' in err, 'and its reason', [err])
    path = write(where, 'many.csv', b'a\n' + b'"x"y\n' * 1000)
    status, out, err = run('preview', path)
    TAP.row(err.count('\n') == 21 and 'and 980 more broken rows' in err, 'a thousand broken rows do not flood', [err])


def hostile_file(where):
    evil = b'a\x1b]0;x\x07,b\n\x1b[2J\xe2\x80\xaekcab,y\n\x9b31m,w\n\xc2\x9b31m,z\n'
    path = write(where, 'evil.csv', evil)
    status, out, err = run('preview', path)
    raw = [c for c in out + err if (ord(c) < 32 and c != '\n') or 0x7f <= ord(c) < 0xa0 or c == '\u202e']
    TAP.row(status == 0 and not raw and '\\x1b[2J' in out, 'nothing raw reaches the terminal', [repr(raw)])
    status, out, err = run('preview', path, '--json')
    TAP.row(json.loads(out)['first'][0][0] == '\x1b[2J\u202ekcab', 'JSON holds the value, escaped', [out])
    long = write(where, 'long.csv', b'a\n' + b'x' * 300000 + b'\n1\n')
    status, out, err = run('preview', long, '--json')
    TAP.row(status == 0 and json.loads(out)['rows'] == 1 and 'longer' in json.loads(out)['broken'][0]['reason'],
            'an endless line is one broken row')


REFUSED = [
    (['preview'], None, 1, 'usage: sealmq data preview FILE'),
    ([], None, 1, 'usage: sealmq data preview FILE'),
    (['previw', 'x'], None, 1, "no 'previw'"),
    (['preview', 'a', 'b'], None, 1, "'b'"),
    (['preview', '--rows', '1001', 'a'], None, 1, "'1001'"),
    (['preview', '--rows=-1', 'a'], None, 1, "'-1'"),
    (['preview', '--rows', '', 'a'], None, 1, 'takes a number'),
    (['preview', '--nope\x1b[2J', 'a'], None, 1, "'--nope\\x1b[2J'"),
    (['preview', '/nonexistent'], None, 14, '/nonexistent: No such file or directory'),
    (['preview', '/'], None, 14, '/: Is a directory'),
    (['preview', '-'], b'', 85, 'the file is empty; its first line must name the columns'),
    (['preview', '-'], b'a,a\n', 85, "names column 'a' twice"),
]


def refusals():
    for number, (args, data, want, part) in enumerate(REFUSED):
        status, out, err = run(*args, data=data)
        TAP.row(status == want and part in err and out == '', 'refusal %d: %s' % (number, part),
                ['status %d' % status, out, err])


def full_disk(where):
    path = write(where, 'one.csv', b'a\n1\n')
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([SEALMQ, 'data', 'preview', path], stdout=full, stderr=subprocess.PIPE, check=False)
    TAP.row(done.returncode == 14 and done.stderr.count(b'\n') == 1, 'a full disk is told', [done.stderr])


def progress(where):
    path = write(where, 'big.csv', b'a\n' + b'1\n' * 50000)
    leader, follower = pty.openpty()
    done = subprocess.run([SEALMQ, 'data', 'preview', path], stdout=subprocess.PIPE, stderr=follower, check=False)
    os.close(follower)
    seen = os.read(leader, 65536).decode()
    os.close(leader)
    TAP.row(done.returncode == 0 and '%' in seen and seen.endswith('\r'), 'progress on a terminal, and gone after it')
    done = subprocess.run([SEALMQ, 'data', 'preview', path], capture_output=True, check=False)
    TAP.row(done.stderr == b'', 'no progress elsewhere')


def real_data():
    for where in (os.environ.get('SEALMQ_DATA'), ROOT + '/../shared/data', ROOT + '/../../shared/data'):
        path = os.path.join(where or '', 'Train_Test_IoT_Fridge.csv')
        if where and os.path.exists(path):
            status, out, _ = run('preview', path, '--json')
            seen = json.loads(out)
            top = {v['value']: v['count'] for v in seen['columns'][5]['top']}
            TAP.row(status == 0 and seen['rows'] == 39944 and seen['broken_rows'] == 0 and top['normal'] == 15000 and
                    seen['columns'][2]['type'] == 'float', 'the fridge data set as it is')
            return
    TAP.skip('the fridge data set as it is', 'not in $SEALMQ_DATA or ../shared/data')


def main():
    with tempfile.TemporaryDirectory() as where:
        good_file(where)
        broken_file(where)
        hostile_file(where)
        refusals()
        full_disk(where)
        progress(where)
    real_data()
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
