#!/usr/bin/env python3
"""
`./run demo` keeps its word: its claims are checked, planted lies are caught, and nothing is left behind.

usage: test_demo.py SEALMQ-TOOL
"""
import json
import os
import pty
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402

CLAIMS = ['broker_reads_nothing', 'reader_reads_everything', 'small', 'keys_rotate', 'altered_refused', 'moved_refused',
          'replayed_refused', 'group_reads', 'expelled_reads_nothing', 'others_read_on']
CSV = '''date,time,fridge_temperature,temp_condition,label,type
25-Apr-19, 19:19:40 ,9,high,1,ddos
25-Apr-19, 19:19:45 ,12.65,high,0,normal
"25-Apr-19", 19:19:50 ,"4.65","low, really",1,ddos
'''


class Demo:
    def __init__(self, tool, home):
        self.home = home
        self.environment = dict(os.environ, SEALMQ_DEMO_TOOL=tool, TMPDIR=home, PYTHONDONTWRITEBYTECODE='1')

    def start(self, *options, **environment):
        return subprocess.Popen([sys.executable, os.path.join(ROOT, 'tools', 'demo')] + list(options),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=dict(self.environment, **environment))

    def run(self, *options, **environment):
        process = self.start(*options, **environment)
        try:
            out, err = process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate()
        return process.returncode, out, err

    def left_behind(self):
        """Files, and processes that name our directory, a moment after the end."""
        until = time.monotonic() + 5
        while True:
            left = os.listdir(self.home) + self.processes()
            if not left or time.monotonic() > until:
                return left
            time.sleep(0.05)

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/cmdline' % pid, 'rb') as file:
                    if os.fsencode(self.home + '/') in file.read():
                        found.append('process ' + pid)
            except OSError:
                pass
        return found

    def wait_for_publishers(self, process):
        """Until all programs run; the demo is then in the middle of it."""
        until = time.monotonic() + 20
        while len(self.processes()) < 6 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        return len(self.processes()) >= 6

    def sweep(self):
        for name in os.listdir(self.home):
            shutil.rmtree(os.path.join(self.home, name), ignore_errors=True)


def summary_of(out):
    try:
        lines = out.strip().split('\n')
        return json.loads(lines[0]) if len(lines) == 1 else {}
    except ValueError:
        return {}


def test_claims(t, demo, csv_file):
    status, out, err = demo.run('--seconds', '6', '--json', '--csv', csv_file)
    summary = summary_of(out)
    claims, figures = summary.get('claims', {}), summary.get('figures', {})
    shown = [json.dumps(summary.get('details')), json.dumps(figures), err]
    t.row(status == 0 and summary.get('ok') is True, 'ends with status 0 and ok', ['status %d' % status] + shown)
    t.row(list(claims) == CLAIMS, 'makes these claims and no others', [str(list(claims))])
    for name in CLAIMS:
        t.row(claims.get(name) is True, 'claim: ' + name, shown)
    t.row(figures.get('messages', 0) >= 60 and figures.get('lost') == 0 and figures.get('refused') == 3,
          'figures: messages came, none was lost, three were refused', shown)
    t.row(0 < (figures.get('overhead_bytes_max') or 99) <= 24, 'figures: at most 24 bytes over the plaintext', shown)
    sessions = figures.get('sessions') or {'none': []}
    t.row(all(len(numbers) >= 2 and numbers == sorted(set(numbers)) for numbers in sessions.values()),
          'figures: session numbers grow', shown)
    t.row(all(figures.get(key) is not None for key in ('seal_us', 'open_us_p50', 'latency_ms_p50', 'rate_per_s')),
          'figures: times and rate are there', shown)
    t.row(not demo.left_behind(), 'leaves nothing behind', demo.left_behind())


LIES = {'plain': ['broker_reads_nothing'], 'big': ['small'], 'lose': ['reader_reads_everything'],
        'flip,replay': ['altered_refused', 'replayed_refused'], 'move': ['moved_refused'], 'still': ['keys_rotate'],
        'keep': ['expelled_reads_nothing']}


def test_lies(t, demo):
    """Each lie makes one claim false, so that each claim is known to be able to fail."""
    with ThreadPoolExecutor(3) as pool:  # they mostly wait
        runs = {lie: pool.submit(demo.run, '--seconds', '6', '--json', '--mode', 'update' if lie == 'keep' else 'none',
                                 DEMO_BREAK=lie) for lie in LIES}
    for lie, run in runs.items():
        status, out, err = run.result()
        claims = summary_of(out).get('claims', {})
        t.row(status == 1 and all(claims.get(name) is False for name in LIES[lie]),
              'a planted lie is caught: %s' % lie.replace(',', ' and '),
              ['status %d' % status, json.dumps(summary_of(out).get('details')), err])
    t.row(not demo.left_behind(), 'and leaves nothing behind', demo.left_behind())


def test_modes(t, demo):
    """The second act with the other two kinds of keys."""
    with ThreadPoolExecutor(2) as pool:
        runs = {mode: pool.submit(demo.run, '--seconds', '6', '--json', '--mode', mode) for mode in ('static', 'slotted')}
    for mode, run in runs.items():
        status, out, err = run.result()
        claims = summary_of(out).get('claims', {})
        t.row(status == 0 and claims.get('expelled_reads_nothing') is True, 'the second act, %s' % mode,
              ['status %d' % status, json.dumps(summary_of(out).get('details')), err])


def test_ends(t, demo):
    for number in (signal.SIGINT, signal.SIGTERM):
        process = demo.start('--seconds', '60', '--json')
        running = demo.wait_for_publishers(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        t.row(running and process.returncode == 128 + number and out == '' and len(err.splitlines()) == 1,
              '%s in the middle: one line, status %d' % (signal.Signals(number).name, 128 + number),
              ['status %d' % process.returncode, out, err])
        t.row(not demo.left_behind(), 'and nothing is left behind', demo.left_behind())
    process = demo.start('--seconds', '60', '--json')
    running = demo.wait_for_publishers(process)
    process.kill()
    process.communicate()
    until = time.monotonic() + 5
    while demo.processes() and time.monotonic() < until:
        time.sleep(0.05)
    t.row(running and not demo.processes(), 'killed: what it started ends with it', demo.processes())
    demo.sweep()


def test_mishaps(t, demo):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, out, err = demo.run('--seconds', '6', '--port', port)
    t.row(status == 1 and 'port %s is taken' % port in err and len(err.splitlines()) == 1, 'a taken port: one line',
          ['status %d' % status, err])
    status, out, err = demo.run('--seconds', '6', SEALMQ_DEMO_TOOL='/bin/false')
    t.row(status == 1 and 'ca init' in err and len(err.splitlines()) == 1, 'a tool that fails: one line',
          ['status %d' % status, err])
    status, out, err = demo.run('--seconds', '1')
    t.row(status == 2 and "'1' is not a whole number from 6" in err, 'a wrong option is refused', [err])
    t.row(not demo.left_behind(), 'and nothing is left behind', demo.left_behind())


def on_terminal(demo, awaited, **environment):
    """Everything that it writes to a terminal until it has shown what is awaited and is stopped in the middle."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, os.path.join(ROOT, 'tools', 'demo'), '--seconds', '60'],
                  dict(demo.environment, TERM='xterm', PYTHONIOENCODING='utf-8', **environment))
    written, until, stopped = b'', time.monotonic() + 20, False
    os.set_blocking(fd, False)
    while time.monotonic() < until:
        try:
            written += os.read(fd, 65536)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:
            break
        if not stopped and (all(word in written for word in awaited) or until < time.monotonic() + 2):
            os.kill(pid, signal.SIGTERM)
            until, stopped = time.monotonic() + 2, True
    os.waitpid(pid, 0)
    os.close(fd)
    return written.decode('utf-8', 'replace')


def test_terminal(t, demo):
    shown = ['key 1', 'WHAT THE BROKER SEES', 'fridge_temperature', '\x1b[1;31m']
    written = on_terminal(demo, [word.encode() for word in shown])
    t.row(all(word in written for word in shown),
          'a terminal: both sides, in colours', [repr(written[-300:])])
    t.row(written.rfind('\x1b[?25h') > written.rfind('\x1b[?25l') >= 0, 'and the cursor comes back',
          [repr(written[-300:])])
    written = on_terminal(demo, [b'key 1'], NO_COLOR='1')
    t.row('WHAT THE BROKER SEES' in written and '\x1b[1;31m' not in written, 'NO_COLOR is respected',
          [repr(written[-300:])])
    t.row(not demo.left_behind(), 'and nothing is left behind', demo.left_behind())


def test_keep(t, demo):
    status, out, err = demo.run('--seconds', '6', '--keep', '--mode', 'none')
    commands = [line.strip() for line in out.split('\n') if line.startswith('  ') and not line.startswith('     ')]
    t.row(status == 0 and len(commands) == 3, '--keep ends with status 0 and three commands', [out[-600:], err])
    if len(commands) != 3:
        demo.sweep()
        return
    read, write, stop = commands
    with subprocess.Popen(shlex.split(read) + ['-C', '3', '-W', '20'], stdout=subprocess.PIPE, text=True) as reader:
        writer = subprocess.Popen(shlex.split(write), stdout=subprocess.DEVNULL)
        got = reader.communicate(timeout=40)[0]
    writer.terminate()
    writer.wait()
    t.row(reader.returncode == 0 and got.count('fridge_temperature') == 3, 'its two commands work', [read, write, got])
    subprocess.run(['sh', '-c', stop], timeout=10)
    t.row(not demo.left_behind(), 'its third one removes everything', demo.left_behind())


def main(tool):
    t = Tap()
    with tempfile.TemporaryDirectory(prefix='sealmq-test-demo-') as home, \
            tempfile.NamedTemporaryFile('w', suffix='.csv') as csv_file:
        csv_file.write(CSV + CSV.split('\n', 1)[1] * 40)
        csv_file.flush()
        demo = Demo(os.path.abspath(tool), home)
        test_claims(t, demo, csv_file.name)
        test_lies(t, demo)
        test_modes(t, demo)
        test_ends(t, demo)
        test_mishaps(t, demo)
        test_terminal(t, demo)
        test_keep(t, demo)
    return t.end()


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
