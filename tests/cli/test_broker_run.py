#!/usr/bin/env python3
"""`sealmq broker run`: children that come up, come back, follow what was exchanged, and go.

usage: test_broker_run.py SEALMQ ROOT
"""
import os
import signal
import socket
import sys

from sealed_rig import SEALMQ, TAP, Process, ok, run, wait
from broker_rig import Deployment, alive, needs, revoke

LOCKED, UNSUPPORTED, NOT_FOUND = 86, 10, 14


def comes_up(d):
    ok(d.answers('desk'), 'a member is answered through NGINX')
    ok(d.answers('desk') and not d.answers(None), 'somebody without a certificate is not')
    ok(d.port not in (8883, 18883) and d.password_port and d.password_port != d.port, 'on free ports', d.runner.lines)
    ok('listener 18883' in d.read('conf/mosquitto.conf') and 'listener 18883' not in d.read('run/mosquitto.conf'),
       'the configuration that was made is left as it is')
    status, _, err = run(SEALMQ, 'broker', 'run', d.dir, '--free-ports')
    ok(status == LOCKED and 'runs already' in err, 'it runs once', err)


def comes_back(d):
    for program in ('mosquitto', 'nginx'):
        before = d.pid(program)
        os.kill(before, signal.SIGKILL)
        good = wait(lambda: d.pid(program) != before and d.answers('desk'), 60)
        ended = d.events('ended', program)
        ok(good and ended and ended[-1]['again_ms'] >= 250, program + ' is started again after its end', d.runner.lines)
    before = d.pid('mosquitto')
    os.kill(before, signal.SIGKILL)
    wait(lambda: d.pid('mosquitto') != before, 60)
    ok(d.events('ended', 'mosquitto')[-1]['again_ms'] == 500, 'and the pause grows', d.runner.lines)


def comes_to_itself(d):
    wait(lambda: d.answers('desk'), 60)
    before = d.pid('mosquitto')
    os.kill(before, signal.SIGSTOP)
    good = wait(lambda: d.pid('mosquitto') != before and d.answers('desk'), 60)
    ok(good and d.events('unwell', 'mosquitto'), 'a Mosquitto that hangs is found out and started anew', d.runner.lines)


def follows(d):
    d.must(SEALMQ, 'ca', 'issue', 'pump-2', '--ca', d.ca)
    d.init()
    ok(wait(lambda: d.events('reloaded'), 60), 'what init exchanged is reloaded', d.runner.lines)
    pid = d.pid('mosquitto')
    reloads = len(d.events('reloaded'))
    revoke(d.ca, 'ward-3')
    ok(wait(lambda: d.events('revoked') and d.pid('mosquitto') != pid and len(d.events('reloaded')) > reloads, 60),
       'a revocation by the authority ends all connections', d.runner.lines)
    ok(wait(lambda: d.answers('desk'), 60) and not d.answers('ward-3'), 'and the revoked does not come back')
    with open(os.path.join(d.ca, 'crl.pem'), 'w', encoding='utf-8') as file:
        file.write('not a list')
    ok(wait(lambda: d.events('trouble'), 60) and d.answers('desk') and not d.answers('ward-3'),
       'a list that is none changes nothing', d.runner.lines)


def goes(d):
    pids = [d.pid(p) for p in ('mosquitto', 'nginx')]
    status = d.runner.stop(signal.SIGTERM, 60)
    ok(status == 0 and not any(alive(p) for p in pids) and len(d.events('stopped')) == 2, 'both end with it, by pid',
       d.runner.lines)
    ok(os.path.exists(d.path('data/mosquitto.db')), 'and what Mosquitto keeps was written')
    d.start()
    pids = [d.pid(p) for p in ('mosquitto', 'nginx')]
    d.runner.stop(signal.SIGKILL)
    ok(wait(lambda: not any(alive(p) for p in pids), 60), 'killed, it takes them along')


def refuses(d):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = run(SEALMQ, 'broker', 'run', d.dir, '--free-ports', '--port', str(port))
        ok(status == UNSUPPORTED and 'nginx did not start' in err and 'in use' in err, 'a port that is taken is told', err)
    d.write('mosquitto.local/own.conf', 'frobnicate true\n')
    status, _, err = run(SEALMQ, 'broker', 'run', d.dir, '--free-ports')
    ok(status == UNSUPPORTED and 'mosquitto did not start' in err and 'frobnicate' in err,
       'so is a configuration that Mosquitto does not take', err)
    for words, status, says in ((['nowhere'], NOT_FOUND, 'nowhere'), ([d.ca], NOT_FOUND, 'broker init'), ([], 1, 'directory'),
                                ([d.dir, '--port', '0'], 1, '65535'), ([d.dir, '--x'], 1, '--x'), ([d.dir, 'y'], 1, "'y'")):
        done = run(SEALMQ, 'broker', 'run', *words)
        ok(done[0] == status and says in done[2], 'run ' + ' '.join(os.path.basename(w) for w in words), done)
    ok(run(SEALMQ, 'broker', 'run', '--help')[0] == 0, 'run --help')


def main():
    needs('mosquitto', 'nginx', 'openssl')
    d = Deployment(crl=True, options=['--password-port', '8894'])
    try:
        d.start('--realm', d.ca, '--health-every', '1')
        for part in (comes_up, comes_back, comes_to_itself, follows, goes, refuses):
            part(d)
    finally:
        Process.stop_all()
        d.strike()
    return TAP.end()


sys.exit(main())
