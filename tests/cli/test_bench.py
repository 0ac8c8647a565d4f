#!/usr/bin/env python3
"""sealmq bench: what it measures in seconds, its JSON, plots and report; not how fast anything is.

usage: test_bench.py SEALMQ ROOT
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

SEALMQ, ROOT = (os.path.abspath(path) for path in sys.argv[1:3])
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402
sys.path.insert(0, os.path.join(ROOT, 'bench'))
import bench_processes  # noqa: E402

TAP = Tap()
SEARCH = os.environ.get('PATH', os.defpath) + ':/usr/sbin:/usr/local/sbin'


def bench(*words):
    done = subprocess.run([SEALMQ, 'bench', *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=200, check=False)
    return done.returncode, done.stdout, done.stderr


def wrong_uses():
    for words in (['colour'], ['dataset'], ['--rounds', 'x'], ['--rounds', '9999'], ['--plot'], ['dataset', '/none']):
        status, out, err = bench(*words)
        TAP.row(status == 1 and not out and err.startswith('sealmq bench: ') and err.count('\n') == 1,
                'refused: ' + ' '.join(words), [out, err])
    status, out, err = bench('--help')
    TAP.row(status == 0 and out.startswith('usage: sealmq bench') and '--quick' in out and not err, '--help', [err])


def dataset(folder):
    rows = os.path.join(folder, 'rows.csv')
    with open(rows, 'w', encoding='utf-8') as file:
        file.write('time,name,temp\n' + ''.join('%d,"fridge, %d",%d.5\n' % (i, i % 3, i % 7) for i in range(300)))
    plots = os.path.join(folder, 'plots')
    drawn = bool(shutil.which('gnuplot'))
    status, out, err = bench('dataset', rows, '--quick', '--json', *(['--plot', plots] if drawn else []))
    TAP.row(status == 0, 'a file is measured', [err])
    result = json.loads(out) if status == 0 else {}
    part = result.get('parts', {}).get('dataset', {})
    TAP.row(part.get('rows') == 300 and 0 < part['overhead'] < 60 and len(part['seal_ns']) == 201 and
            part['seal_ns'] == sorted(part['seal_ns']) and part['seal_ns'][100] > 0, 'its numbers are there', [out[:500]])
    TAP.row(result.get('machine', {}).get('cores', 0) >= 1 and result.get('version'), 'the machine is described')
    if not drawn:
        return
    TAP.row(sorted(os.listdir(plots)) == ['dataset.png', 'dataset.svg', 'report.html', 'results.json'],
            'plots and report', [str(os.listdir(plots))])
    with open(os.path.join(plots, 'dataset.png'), 'rb') as file:
        TAP.row(file.read(8) == b'\x89PNG\r\n\x1a\n', 'the PNG is one')
    xml.etree.ElementTree.parse(os.path.join(plots, 'dataset.svg'))
    with open(os.path.join(plots, 'report.html'), encoding='utf-8') as file:
        report = file.read()
    TAP.row('<svg' in report and 'src=' not in report and '<link' not in report and '300' in report,
            'the report needs no other file')


def browser(folder):
    """The report in a real browser, where there is one: `./run test --full`."""
    report = os.path.join(folder, 'plots', 'report.html')
    chromium = shutil.which('chromium', path=SEARCH)
    if not os.environ.get('SEALMQ_LONG') or not chromium or not os.path.exists(report):
        TAP.row(True, 'the report in a browser # SKIP SEALMQ_LONG not set, or no chromium')
        return
    picture = os.path.join(folder, 'report.png')
    start = [chromium, '--headless', '--no-sandbox', '--disable-gpu', '--user-data-dir=' + os.path.join(folder, 'profile')]
    done = subprocess.run([*start, '--window-size=1200,2000', '--screenshot=' + picture, 'file://' + report],
                          capture_output=True, text=True, timeout=240, check=False)
    TAP.row(done.returncode == 0 and os.path.getsize(picture) > 20000, 'the report in a browser', [done.stderr])
    dom = subprocess.run([*start, '--dump-dom', 'file://' + report], capture_output=True, text=True, timeout=240,
                         check=False).stdout
    TAP.row(dom.count('<svg') == 1 and '<h2>dataset</h2>' in dom and '<h2>predecessors</h2>' in dom and
            dom.count('<table>') == dom.count('</table>') == 2, 'holds its picture and its tables', [dom[:500]])


def session():
    if not shutil.which('mosquitto', path=SEARCH):
        return
    status, out, err = bench('session', '--quick', '--json')
    rows = json.loads(out)['parts']['session']['rows'] if status == 0 else []
    TAP.row([(r['method'], r['suite']) for r in rows] == [(0, 2), (0, 0), (3, 2)] and all(r['bytes'] > 0 for r in rows),
            'key exchanges are measured', [err])


def record():
    if not shutil.which('mosquitto', path=SEARCH):
        return
    status, out, err = bench('record', '--quick', '--rounds', '1', '--json')
    part = json.loads(out)['parts']['record'] if status == 0 else {}
    TAP.row({'unsigned', 'control', 'checkpoint', 'checkpoint, evidence', 'every'} <= {r['kind'] for r in part.get('queue', [])} and
            all(r['rate'] > 0 for r in part['queue']) and part['stores'][0]['store'] == 'SQLite' and
            part['verify']['ratio']['median'] > 0, 'recording is measured', [err, str(part)[:1500]])


def starting():
    if not shutil.which('mosquitto', path=SEARCH):
        return
    status, out, err = bench('start', '--quick', '--json')
    part = json.loads(out)['parts']['start'] if status == 0 else {'rows': []}
    TAP.row(len(part['rows']) == 6 and all(0 < r['ms']['low'] <= r['ms']['median'] for r in part['rows']),
            'starts are measured', [err])
    status, out, err = bench('memory', '--json')
    part = json.loads(out)['parts']['memory'] if status == 0 else {'memory': [], 'sender': {'rows': []}}
    TAP.row(len(part['memory']) == 2 and all(500 < r['own_kib'] < r['rss_kib'] < 100000 for r in part['memory']) and
            [r['senders'] for r in part['sender']['rows']] == [1000, 10000], 'and memory', [str(part)])
    for r in part['sender']['rows']:
        TAP.row(r['table_bytes'] + r.get('multi_bytes', 0) <= 1200,
                'each of %d known senders takes at most 1,200 bytes where the multi-buffer library is' % r['senders'], [str(r)])


def python_peer():
    peer = os.path.join(ROOT, 'bench', 'python_peer.py')
    if not bench_processes.python_with_libraries():
        TAP.row(True, 'a Python program of the same job # SKIP no paho or cryptography')
        return
    done = subprocess.run([bench_processes.python_with_libraries(), '-B', peer, 'seal', '100', '64'],
                          capture_output=True, text=True, check=False)
    TAP.row(done.returncode == 0 and json.loads(done.stdout)['open_ns'] > 0, 'a Python program of the same job')


def main():
    folder = tempfile.mkdtemp(prefix='sealmq-bench-test-')
    try:
        wrong_uses()
        dataset(folder)
        browser(folder)
        session()
        record()
        starting()
        python_peer()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return TAP.end()


sys.exit(main())
