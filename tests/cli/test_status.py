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
from sealed_rig import ROOT, SEALMQ, TAP, Process, free_port, joined, ok, run, wait


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
       said['sealmq_broker_starts_total{program="nginx"}'] >= 1 and said['sealmq_broker_answers'] == 1 and
       said['sealmq_broker_certificate_end_seconds'] > 1.7e9, '/metrics of run', body)
    ok(ask(port, '/healthz')[::2] == (200, 'ok\n'), '/healthz of run')
    before = said['sealmq_broker_starts_total{program="mosquitto"}']
    os.kill(d.pid('mosquitto'), signal.SIGSTOP)
    ok(wait(lambda: ask(port, '/healthz')[0] == 503, 60), 'a broker that hangs is not well')
    ok(wait(lambda: ask(port, '/healthz')[0] == 200, 60) and
       numbers(ask(port, '/metrics')[2])['sealmq_broker_starts_total{program="mosquitto"}'] == before + 1, 'and well again')
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
    answer = wait(lambda: ask(port, '/metrics'), 60)
    said = numbers(answer[2])
    ok(answer[0] == 200 and 'sealmq_watch_alarms_total{rule="forged"}' in said, '/metrics of watch', answer)
    ok(wait(lambda: numbers(ask(port, '/metrics')[2])['sealmq_watch_lines_total'] > 5, 60) and ask(port, '/healthz')[0] == 200,
       'it counts, and is well')
    status, _, err = run(SEALMQ, 'watch', d.dir, '--position', d.room + '/p', '--metrics-port', str(port))
    ok(status == 86 and '/metrics' in err, 'a port that is taken is told', err)
    ok(watch.stop() == 0, 'and it ends')
    return set(said)


def keyserver_and_recorder(known):
    """The key server, in three processes and in one, and a recorder: on a stage of their own."""
    from sealed_rig import Stage
    from test_groups import Keys
    stage = Stage()
    try:
        stage.start()
        keys = Keys(stage)
        for undivided in ((), ('--undivided',)):
            port = free_port()
            keys.process = Process([SEALMQ, 'keyserver', 'run', *keys.own(), *stage.tls('keys'), *undivided, '--json',
                                    '--metrics-port', str(port)])
            ok(wait(lambda: (ask(port, '/healthz') or (0,))[0] == 200, 60), 'a key server is well: %s' % (undivided,),
               (ask(port, '/healthz'), keys.process.said[-5:]))
            if not undivided:
                keys.make('tele', 'update', '--filter', 't/#', '--publish', '*', '--subscribe', '*')
                status, _, err = stage.pub_now('fridge-07', '--group', 'tele', '-t', 't/a', '-m', 'x', '-q', '1')
                ok(status == 0, 'a member joins', err)
                ok(wait(lambda: 'requests_total{what="join",outcome="done"} 1' in ask(port, '/metrics')[2], 60),
                   'and is counted', ask(port, '/metrics'))
            said = numbers(ask(port, '/metrics')[2])
            ok(said['sealmq_keyserver_groups'] == said['sealmq_keyserver_members'] == said['sealmq_keyserver_online'] == 1 and
               said['sealmq_keyserver_group_epoch{group="tele"}'] >= 2 and
               said['sealmq_keyserver_soonest_expiry_seconds'] > 1.7e9 and
               said['sealmq_keyserver_certificate_end_seconds'] > 1.7e9, 'groups, members, ends', said)
            known |= set(said)
            ok(all(json.loads(line)['event'] for line in keys.process.lines), 'its lines are JSON', keys.process.lines[-3:])
            store = stage.path('audit.db')
            if not undivided:
                stage.kill()
                ok(wait(lambda: ask(port, '/healthz')[::2] == (503, 'no connection to the broker\n'), 60),
                   'without a broker it is not well, and says why', ask(port, '/healthz'))
                stage.start()
            else:
                recorder(stage, store, known)
            keys.stop()
            ok(wait(lambda: ask(port, '/healthz') is None, 60), 'and it ends')
    finally:
        Process.stop_all()
        stage.strike()


def recorder(stage, store, known):
    port = free_port()
    record = Process(stage.words('record', 'desk', '--store', store, '-t', 't/#', '--group', 'tele', '--json', '-d',
                                 '--metrics-port', str(port)))
    ok(joined(record), 'a recorder joins', record.said[-5:])
    stage.pub_now('fridge-07', '--group', 'tele', '-t', 't/a', '-m', '{"x":1}', '-q', '1')
    ok(wait(lambda: 'sealmq_record_stored_total 1\n' in (ask(port, '/metrics') or ('',) * 3)[2], 60) and ask(port, '/healthz')[0] == 200,
       'a recorder counts, and is well', (ask(port, '/metrics'), record.said[-5:]))
    said = numbers(ask(port, '/metrics')[2])
    ok(said['sealmq_record_durable_seconds'] > 1.7e9 and said['sealmq_record_online'] == 1, 'it says since when', said)
    known |= set(said)
    status, _, err = run(*stage.words('record', 'ward-3', '--store', store + '2', '-t', 't/#', '--metrics-port', str(port)))
    ok(status == 86 and '/metrics' in err, 'a port that is taken is told', (status, err))
    ok(record.stop() == 0 and record.said and all(json.loads(line)['text'] for line in record.said),
       'its lines are JSON when asked for', record.said[-4:])


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
        keyserver_and_recorder(known)
        dashboard(known)
    finally:
        Process.stop_all()
        d.strike()
    return TAP.end()


sys.exit(main())
