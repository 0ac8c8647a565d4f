#!/usr/bin/env python3
"""/metrics and /healthz of `broker run` and `watch`, and the dashboard that is drawn from them.

usage: test_status.py SEALMQ ROOT
"""
import http.client
import json
import os
import re
import signal
import socket
import sys

from broker_rig import Deployment, needs
from sealed_rig import ROOT, SEALMQ, TAP, Process, free_port, ok, run, wait


def ask(port, path, method='GET', host=None):
    """(status, type, body); None: nobody answers."""
    try:
        link = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
        link.request(method, path, headers={'Host': host} if host else {})
        answer = link.getresponse()
        return answer.status, answer.getheader('Content-Type'), answer.read().decode()
    except OSError:
        return None


def numbers(text):
    """Every sample of the text format by its name with labels; a line of another form is an error."""
    found, kinds = {}, {}
    for line in text.splitlines():
        kind = re.fullmatch(r'# TYPE (\w+) (counter|gauge)', line)
        sample = re.fullmatch(r'(\w+(?:\{\w+="[^"\\]*"(?:,\w+="[^"\\]*")*\})?) (-?\d+(?:\.\d+)?)', line)
        if kind:
            kinds[kind.group(1)] = kind.group(2)
        elif sample:
            assert sample.group(1).split('{')[0] in kinds, line
            found[sample.group(1)] = float(sample.group(2))
        else:
            assert line.startswith('# HELP '), line
    return found


def runner(d):
    port = free_port()
    d.start('--metrics-port', str(port), '--health-every', '1')
    status, kind, body = ask(port, '/metrics')
    said = numbers(body)
    ok(status == 200 and kind.startswith('text/plain; version=0.0.4') and said['sealmq_broker_up{program="mosquitto"}'] == 1 and
       said['sealmq_broker_starts_total{program="nginx"}'] == 1 and said['sealmq_broker_answers'] == 1 and
       said['sealmq_broker_certificate_end_seconds'] > 1.7e9, '/metrics of run', body)
    ok(ask(port, '/healthz')[::2] == (200, 'ok\n'), '/healthz of run')
    os.kill(d.pid('mosquitto'), signal.SIGSTOP)
    ok(wait(lambda: ask(port, '/healthz')[0] == 503, 40), 'a broker that hangs is not well')
    ok(wait(lambda: ask(port, '/healthz')[0] == 200, 60) and
       numbers(ask(port, '/metrics')[2])['sealmq_broker_starts_total{program="mosquitto"}'] == 2, 'and well again')
    return port, set(said)


def strangers(port):
    rows = [('another path', ask(port, '/'), 404), ('a path outside', ask(port, '/../../etc/passwd'), 404),
            ('POST', ask(port, '/metrics', 'POST'), 405), ('DELETE', ask(port, '/healthz', 'DELETE'), 405),
            ('another site\'s name', ask(port, '/metrics', host='evil.example'), 403), ('HEAD', ask(port, '/metrics', 'HEAD'), 200)]
    for name, answer, status in rows:
        ok(answer and answer[0] == status, name, answer)
    held = [socket.create_connection(('127.0.0.1', port)) for _ in range(14)]
    held[0].sendall(b'GET /' + b'a' * 100000)
    held[1].sendall(os.urandom(2000) + b'\r\n\r\n')
    ok(ask(port, '/healthz')[0] == 200, 'connections that hang or talk nonsense do not matter')
    for s in held:
        s.close()
    with open('/proc/net/tcp', encoding='ascii') as file:
        listening = [line.split()[1] for line in file if line.split()[3] == '0A' and line.split()[1].endswith(':%04X' % port)]
    ok(listening == ['0100007F:%04X' % port], 'it listens on loopback alone', listening)


def watcher(d):
    port = free_port()
    watch = Process([SEALMQ, 'watch', d.dir, '--from-start', '--metrics-port', str(port)])
    answer = wait(lambda: ask(port, '/metrics'), 20)
    said = numbers(answer[2])
    ok(answer[0] == 200 and 'sealmq_watch_alarms_total{rule="forged"}' in said, '/metrics of watch', answer)
    ok(wait(lambda: numbers(ask(port, '/metrics')[2])['sealmq_watch_lines_total'] > 5, 20) and ask(port, '/healthz')[0] == 200,
       'it counts, and is well')
    status, _, err = run(SEALMQ, 'watch', d.dir, '--position', d.room + '/p', '--metrics-port', str(port))
    ok(status == 86 and '/metrics' in err, 'a port that is taken is told', err)
    ok(watch.stop() == 0, 'and it ends')
    return set(said)


def dashboard(known):
    names = {name.split('{')[0] for name in known}
    for file in sorted(os.listdir(os.path.join(ROOT, 'deploy', 'grafana'))):
        with open(os.path.join(ROOT, 'deploy', 'grafana', file), encoding='utf-8') as text:
            board = json.load(text)
        panels = board['panels']
        exprs = [t['expr'] for p in panels for t in p.get('targets', [])]
        used = {n for e in exprs for n in re.findall(r'sealmq_\w+', e)}
        ok(used and used <= names, file + ': every number that is drawn is there', used - names)
        ok(len({p['id'] for p in panels}) == len(panels) and board['uid'] and board['schemaVersion'] >= 30 and
           all(0 <= p['gridPos']['x'] and p['gridPos']['x'] + p['gridPos']['w'] <= 24 for p in panels),
           file + ': panels have ids and places')


def main():
    needs('mosquitto', 'nginx', 'openssl')
    d = Deployment()
    try:
        port, known = runner(d)
        strangers(port)
        known |= watcher(d)
        dashboard(known)
    finally:
        Process.stop_all()
        d.strike()
    return TAP.end()


sys.exit(main())
