#!/usr/bin/env python3
"""Revocation at clusters: Mosquitto reads lists, NATS none, RabbitMQ in a way of its own. A revoked member is cut off within
5 s, its live session included.

usage: test_broker_lists.py SEALMQ ROOT
"""
import os
import shutil
import signal
import sys
import time

from sealed_rig import LONG, SEALMQ, TAP, Process, find, measured, ok, run, wait
from broker_rig import Deployment, needs, revoke, sanitized, testssl

CUT_S = 5


def one(profile, seconds):
    d = Deployment(crl=True, options=['--profile', profile])
    try:
        d.start('--realm', d.ca, seconds=seconds)
        ok(wait(lambda: d.answers('desk') and d.answers('fridge-07'), seconds), profile + ': members come in', d.runner.lines)

        if LONG and profile != 'mosquittos':
            testssl(d, 'the port for members, before ' + profile, d.port)

        def listens(name):
            until = time.monotonic() + seconds
            while True:  # a cluster that is still gathering says "unavailable", on which mosquitto_sub ends
                p = Process(['stdbuf', '-oL', find('mosquitto_sub'), *d.tls(name), '-V', '311', '-i', 'live-' + name, '-d', '-t',
                             'plant/#', '-q', '1', '-F', 'got %p'])
                wait(lambda: any('Subscribed' in line for line in p.lines) or p.child.poll() is not None, 60)
                if p.child.poll() is None or time.monotonic() > until:
                    return p
                time.sleep(1)

        def connects(p):
            return sum('sending CONNECT' in line for line in p.lines + p.said)

        def arrives(word, p):
            run(find('mosquitto_pub'), *d.tls('ward-3'), '-V', '311', '-q', '1', '-t', 'plant/ward-3/x', '-m', word)
            return wait(lambda: 'got ' + word in p.lines, 2)
        live, other = listens('fridge-07'), listens('desk')
        ok(wait(lambda: arrives('before', live), 60) and wait(lambda: arrives('before', other), 60),
           profile + ': and hear', '%s %s' % (live.lines, other.lines))
        first, started = connects(live), time.monotonic()
        revoke(d.ca, 'fridge-07')
        cut = wait(lambda: connects(live) > first and not d.answers('fridge-07'), 60)
        took = time.monotonic() - started
        print('# %s: the revoked member was cut off after %.1f s' % (profile, took))
        ok(cut and took < CUT_S, '%s: a revoked member is cut off within %d s, its live session included' % (profile, CUT_S),
           '%.1f s %s %s' % (took, live.lines[-5:], d.runner.lines[-5:]))
        ok(wait(lambda: d.answers('desk'), 60) and wait(lambda: arrives('after', other), 60), profile + ': the others go on',
           '%s %s' % (other.lines[-5:], d.runner.lines[-5:]))
        ok('got after' not in live.lines, profile + ': and it hears nothing more')
        ok(profile == 'mosquittos' or not d.events('ended'), profile + ': no broker was restarted for it', d.runner.lines)
        measured('revoked', profile=profile, took_s=took)
    finally:
        Process.stop_all()
        d.strike()


def by_mqtt():
    """The broker is elsewhere, and its authority comes to it as a client: lists come retained, as to any member."""
    d = Deployment(members=('desk', 'fridge-07', 'ward-3', 'lists'), crl=True)
    try:
        d.must(SEALMQ, 'ca', 'issue', 'ops', '--role', 'admin', '--ca', d.ca)
        d.init()
        own = os.path.join(d.room, 'lists')
        os.rename(d.member('lists'), own)  # where the authority cannot copy its list to
        shutil.copy(os.path.join(d.ca, 'crl.pem'), own)
        d.start('--member', own)
        with open(os.path.join(own, 'crl.pem'), 'rb') as file:
            before = file.read()
        live = Process([find('mosquitto_sub'), *d.tls('fridge-07'), '-i', 'live', '-t', 'plant/#', '-q', '1', '-F', '%p'])
        ok(wait(lambda: 'Sending SUBACK to live' in d.read('log/mosquitto.log') or ' as live ' in d.read('log/mosquitto.log'), 60),
           'a member listens', live.said)
        forged = run(find('mosquitto_pub'), *d.tls('ops'), '-q', '1', '-t', 'sealmq/plant/crl', '-m', 'no list at all')
        revoke(d.ca, 'fridge-07')
        pid, started = d.pid('mosquitto'), time.monotonic()
        put = run(find('mosquitto_pub'), *d.tls('ops'), '-q', '1', '-r', '-t', 'sealmq/plant/crl', '-f', os.path.join(d.ca, 'crl.pem'))
        good = wait(lambda: d.pid('mosquitto') != pid and not d.answers('fridge-07') and d.answers('desk'), 60)
        took = time.monotonic() - started
        print('# over MQTT: cut off after %.1f s' % took)
        with open(os.path.join(own, 'crl.pem'), 'rb') as file:
            taken = file.read() != before
        ok(good and taken and forged[0] == put[0] == 0 and took < CUT_S,
           'a list that came over MQTT cuts the revoked off within %d s; what is none does nothing' % CUT_S,
           '%.1f s %s %s %s' % (took, forged, put, d.runner.lines))
        ok(d.runner.stop(signal.SIGTERM, 20) == 0, 'SIGTERM ends it well', d.runner.said)
        status, _, err = run(SEALMQ, 'broker', 'run', d.dir, '--free-ports', '--member', os.path.join(d.room, 'nowhere'), seconds=60)
        ok(status != 0 and 'nowhere' in err, 'a directory that is none is named', err)
    finally:
        Process.stop_all()
        d.strike()


def main():
    needs('mosquitto_sub', 'mosquitto_pub', 'nginx')
    for profile, program, seconds in (('mosquittos', 'mosquitto', 60), ('nats', 'nats-server', 240), ('rabbitmq', 'rabbitmq-server', 600)):
        if os.environ.get('SEALMQ_ONLY') not in (None, '', profile):
            continue
        if profile == 'mosquittos' and sanitized():
            TAP.skip(profile, 'Mosquitto cannot load a plugin that was built with a sanitizer')
        elif not find(program) or not (LONG or profile == 'mosquittos'):
            TAP.skip(profile, 'SEALMQ_LONG=1, and ' + program)
        else:
            one(profile, seconds)
    if find('mosquitto') and not os.environ.get('SEALMQ_ONLY'):
        by_mqtt()
    return TAP.end()


sys.exit(main())
