#!/usr/bin/env python3
"""`sealmq watch`: all attacks of a known day, no alarm on a quiet one, rotation, restarts, rules.

usage: test_watch.py SEALMQ ROOT
"""
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time

from log_day import HOUR, Day
from sealed_rig import SEALMQ, TAP, Process, find, ok, run, wait

ROOM = tempfile.mkdtemp(prefix='sealmq-watch-')


def write(path, text, mode='w'):
    with open(path, mode, encoding='utf-8') as file:
        file.write(text)


def read(path):
    try:
        with open(path, encoding='utf-8') as file:
            return file.read()
    except OSError:
        return ''


def deployment(name, texts=None):
    top = os.path.join(ROOM, name)
    os.makedirs(os.path.join(top, 'log'))
    os.makedirs(os.path.join(top, 'run'))
    for log, text in (texts or {'mosquitto.log': ''}).items():
        write(os.path.join(top, 'log', log), text)
    return top


def once(top, *more):
    status, out, err = run(SEALMQ, 'watch', top, '--once', '--json', *more, seconds=120)
    return status, [json.loads(line) for line in out.splitlines()], err


def ours(top):
    return [word for name in ('sub.err', 'seen.json', 'sys.log') for word in ('--file', top + '/log/' + name)]


def days():
    quiet = deployment('quiet', Day().quiet().texts())
    status, alarms, err = once(quiet, *ours(quiet))
    ok(status == 0 and not alarms and not err, 'no alarm on the quiet day', '%s %s %s' % (status, alarms, err))
    day = Day().quiet(but=[('fridge-03', 15 * HOUR)])
    known = day.attacks()
    bad = deployment('bad', day.texts())
    metrics = os.path.join(ROOM, 'metrics')
    status, alarms, err = once(bad, *ours(bad), '--metrics', metrics)
    found = {(a['alarm'], a['subject']) for a in alarms}
    ok(known <= found, 'all attacks are found', 'missing: %s' % (known - found))
    rules = re.findall(r'^  ([\w-]+):', run(SEALMQ, 'watch', '--rules-list')[1], re.M)
    elsewhere = {'certificate-end', 'crl-end', 'join-denied'}  # in ending() and key_server()
    named = set(rules) - {a['alarm'] for a in alarms} - elsewhere
    ok(len(rules) > 25 and not named, 'each rule has an attack in that day', named)
    ok(found <= known, 'and nothing else', 'too many: %s' % [a for a in alarms if (a['alarm'], a['subject']) not in known])
    ok(status == 94, 'the status is that of the worst', status)
    guessing = [a for a in alarms if a['alarm'] == 'password-guessing']
    ok(len(guessing) == 2 and guessing[1]['since_last_alarm'] > 800 and len(guessing[0]['evidence']) == 3 and
       'not authorised' in guessing[0]['evidence'][0] and guessing[0]['first'].startswith('2026-11-20T03:00') and
       guessing[0]['last'] < guessing[1]['last'],
       'half an hour of guessing is two alarms, with evidence and times', json.dumps(guessing, indent=1))
    text = read(metrics)
    ok('sealmq_watch_alarms_total{rule="password-guessing"} 2\n' in text and
       'sealmq_watch_events_total{rule="password-guessing"} 1804\n' in text and '# TYPE sealmq_watch_lines_total counter' in text,
       'counters for Prometheus', text)
    status, out, _ = run(SEALMQ, 'watch', '--file', bad + '/log/sub.err', '--once')
    ok(status == 94 and 'messages that say they are from fridge-06 do not open (forged): 3' in out and
       "    sealmq sub: refused: open" in out, 'in words', out)
    status, alarms, err = once(bad, *ours(bad))
    ok(status == 0 and not alarms, 'the next run goes on where this one ended', alarms)


def speed():
    text = Day().quiet().texts()['mosquitto.log']
    path = os.path.join(ROOM, 'many.log')
    lines = 0
    with open(path, 'w', encoding='utf-8') as file:
        while lines < 1000000:
            file.write(text)
            lines += text.count('\n')
    started = time.monotonic()
    status, _, err = run(SEALMQ, 'watch', '--file', path, '--once', seconds=120)
    took = time.monotonic() - started
    print('# %d lines in %.2f s: %d a second' % (lines, took, lines / took))
    ok(status in (0, 91, 92, 93, 94) and not err, 'a million lines', err)
    os.unlink(path)


DENIED = "2026-11-20T05:00:%02d+0000: Denied PUBLISH from probe (d0, q1, r0, m1, 'a/b', ... (12 bytes))\n"


def events(metrics, rule='acl-probing'):
    found = re.search(r'events_total\{rule="%s"\} (\d+)' % rule, read(metrics))
    return int(found.group(1)) if found else -1


def lines(metrics):
    found = re.search(r'sealmq_watch_lines_total (\d+)', read(metrics))
    return int(found.group(1)) if found else -1


def following():
    top = deployment('live')
    log, metrics = top + '/log/mosquitto.log', os.path.join(ROOM, 'live.metrics')
    write(log, DENIED % 1)
    words = [SEALMQ, 'watch', top, '--json', '--metrics', metrics]
    watch = Process(words)
    ok(wait(lambda: events(metrics) == 0, 60), 'what was there before is not its business')
    for n in range(2, 5):
        write(log, DENIED % n, 'a')
    ok(wait(lambda: events(metrics) == 3, 60), 'lines are seen as they come', read(metrics))
    write(log, (DENIED % 5)[:40], 'a')
    time.sleep(0.5)  # so that it may be seen in two pieces; it is one line either way
    write(log, (DENIED % 5)[40:], 'a')
    ok(wait(lambda: events(metrics) == 4, 60), 'a line in two pieces is one', events(metrics))
    write(log, DENIED % 6, 'a')
    os.rename(log, log + '.1')
    write(log + '.1', DENIED % 7, 'a')
    write(log, DENIED % 8)
    ok(wait(lambda: events(metrics) == 7, 60), 'rotation loses nothing', events(metrics))
    ok(wait(lambda: len(watch.lines) == 1, 60) and json.loads(watch.lines[0])['alarm'] == 'acl-probing', 'and one alarm was raised',
       watch.lines)
    before = lines(metrics)
    write(log, 'x\n')  # shorter than what was read of it
    ok(wait(lambda: lines(metrics) > before, 60), 'a log that was cut is noticed')
    write(log, DENIED % 9, 'a')
    ok(wait(lambda: events(metrics) == 8, 60), 'a log that was cut is read from its start', events(metrics))
    second = run(*words)
    ok(second[0] == 86 and 'another' in second[2], 'one watcher a position', second)
    ok(watch.stop(signal.SIGTERM) == 0, 'it ends when it is asked to')
    write(log, DENIED % 10, 'a')
    os.rename(log, log + '.1')
    write(log, DENIED % 11)
    watch = Process(words)
    ok(wait(lambda: events(metrics) == 2, 60), 'a restart goes on, in the rotated file first', events(metrics))
    watch.stop(signal.SIGKILL)
    write(log, DENIED % 12, 'a')
    status, _, err = once(top, '--metrics', metrics)
    ok(1 <= events(metrics) <= 3 and status == 0, 'after a kill nothing is left out', '%s %s' % (events(metrics), err))


def rules():
    top = deployment('rules', {'mosquitto.log': DENIED % 1 + DENIED % 2})
    status, out, _ = run(SEALMQ, 'watch', '--rules-list')
    ok(status == 0 and 'acl-probing: { count: 5, within: 60s, severity: high, off: false }' in out, 'all rules are listed', out)
    write(top + '/watch.yaml', out)
    position = ['--position', ROOM + '/p']
    status, alarms, err = once(top, *position)
    ok(status == 0 and not alarms and not err, 'what is listed is what holds', err)
    os.unlink(ROOM + '/p')
    write(top + '/watch.yaml', 'rules:\n  acl-probing: { count: 2, severity: critical }\n')
    status, alarms, _ = once(top, *position)
    ok(status == 94 and alarms and alarms[0]['count'] == 2, 'DIR/watch.yaml sets thresholds', alarms)
    os.unlink(ROOM + '/p')
    write(ROOM + '/off.yaml', 'suppress: 1h\nrules:\n  acl-probing: { count: 1, off: true }\n')
    status, alarms, _ = once(top, '--rules', ROOM + '/off.yaml', *position)
    ok(status == 0 and not alarms, '--rules goes before it, and a rule can be off', alarms)
    for text, says in (('rules:\n  acl-probe: { count: 1 }\n', ':2:'), ('rules:\n  forged: { count: 0 }\n', '1 to 1000000'),
                       ('rules:\n  forged: { within: soon }\n', '15m'), ('rules:\n  forged: { severity: bad }\n', 'critical'),
                       ('suppress: -1s\n', '15m'), ('x: 1\n', 'suppress and rules'), ('rules: 3\n', 'rules')):
        write(ROOM + '/bad.yaml', text)
        status, out, err = run(SEALMQ, 'watch', top, '--once', '--rules', ROOM + '/bad.yaml')
        ok(status == 3 and says in err and not out, 'refused: ' + text.strip().replace('\n', ' '), err)


def hostile():
    """Lines are what strangers make them."""
    top = deployment('hostile')
    raw = b'\x00\xff' * 300 + b'\n' + b'a' * 200000 + b'\n' + b'2026-11-20T05:00:01+0000: ' * 9 + b'\n' + b'\n'
    raw += b"9999-99-99T99:99:99+9999: Received PUBLISH from (d\n2026-11-20T05:00:01+0000: Denied PUBLISH from \n"
    raw += b"2026-11-20T05:00:01+0000: Client \x1b[31mred already connected, closing old connection.\n" * 3
    raw += b"2026-11-20T05:00:01+0000: Received SUBSCRIBE from\n2026-11-20T05:00:01+0000: \t (QoS \n"
    raw += b"2026-11-20T05:00:01+00:00 client= tls= seconds=\n2026-11-20T05:00:01+00:00 client=:: tls=\n2026/11/20 05:00:01 [\n"
    raw += b"".join(b"2026-11-20T05:00:02+0000: New client connected from 1.2.3.4:1 as id%d (p5, c1, k60, u'%d').\n" % (n, n)
                    for n in range(30000))
    with open(top + '/log/mosquitto.log', 'wb') as file:
        file.write(raw)
    status, out, err = run(SEALMQ, 'watch', top, '--once')
    ok(status == 93 and '\x1b' not in out and '\\x1b[31mred' in out and not err, 'lines that strangers made do no harm',
       '%s %r %s' % (status, out[:300], err))


def refusals():
    for words, status, says in (([], 1, 'directory'), (['a', 'b'], 1, "'b'"), (['--x'], 1, '--x'), (['/nowhere'], 14, 'nowhere'),
                                (['--file', '/nowhere'], 14, 'nowhere')):
        done = run(SEALMQ, 'watch', *words)
        ok(done[0] == status and says in done[2], 'watch ' + ' '.join(words), done)
    ok(run(SEALMQ, 'watch', '--help')[0] == 0, 'watch --help')
    status, out, _ = run(SEALMQ, 'watch', '--file', '-', '--json', stdin=''.join(DENIED % n for n in range(1, 9)))
    ok(status == 0 and json.loads(out)['count'] == 5, 'standard input is a log too', out)


ASKED = '{"time":"2026-11-21T18:13:%02dZ","event":"asked","who":"%s","what":"%s","group":"g"%s}'
DROPPED = '{"time":"2026-11-21T18:13:%02dZ","event":"dropped","who":"%s"%s}'
LOGGED = '{"number":%d,"time":"2026-11-21T18:13:%02dZ","what":"join","who":"%s","group":"g","outcome":"%s"}'


def key_server():
    """What the key server says, as JSON, in words, and in its log; and what of it is no alarm."""
    lines, expected, names = [], set(), {}

    def case(text, alarm, make):
        who = 'member-%d' % len(names)
        names[who] = text
        lines.extend(make(n, who) for n in range(6))
        if alarm:
            expected.add((alarm, who))

    def asked(what, error, alarm):
        case('asked %s: %s' % (what, error), alarm,
             lambda n, who: ASKED % (n, who, what, ',"error":"%s"' % error if error else ''))

    for what, error in (('join', 'not-authorized'), ('join', 'cert-name'), ('join', 'credential'), ('join', 'not-proven'),
                        ('join', 'not-found'), ('fetch', 'not-authorized'), ('list', 'not-authorized')):
        asked(what, error, 'join-denied')
    for what, error in (('join', ''), ('join', 'store'), ('join', 'disk-full'), ('join', 'rate'), ('show', 'not-found'),
                        ('expel', 'not-found'), ('join', 'no-such-error')):
        asked(what, error, None)
    for error, alarm in (('credential', 'key-exchange'), ('signature', 'key-exchange'), ('cert-revoked', 'key-exchange'),
                         ('rate', None), ('malformed', None), ('no-session', None), ('replay', None)):
        case('dropped: ' + error, alarm, lambda n, who, e=error: DROPPED % (n, who, ',"error":"%s"' % e))
    for text, alarm in (('%s: join in g: not authorized', 'join-denied'), ('%s: list: not authorized', 'join-denied'),
                        ('%s: expel x in g: not authorized', 'join-denied'), ('%s: join in g: done', None),
                        ('%s: epoch 4 for 2 members, 1 messages, 99 bytes', None), ('%s', None), ('%s: ', None),
                        ('dropped a request in the name of %s: a signature that does not verify', 'key-exchange'),
                        ('dropped a request in the name of %s: too many at the moment', None)):
        case(text, alarm, lambda n, who, t=text: t % who)
    for outcome, alarm in (('not-authorized', 'join-denied'), ('ok', None)):
        case('log: ' + outcome, alarm, lambda n, who, o=outcome: LOGGED % (n, n, who, o))
    status, out, err = run(SEALMQ, 'watch', '--file', '-', '--json', stdin='\n'.join(lines) + '\n')
    found = {(a['alarm'], a['subject']) for a in map(json.loads, out.splitlines())}
    ok(status == 0 and found == expected, 'the key server: refusals are noticed, of %d kinds of lines' % len(names),
       '%s; missing %s; too many %s' % (err, [names[w] for _, w in expected - found],
                                       [(a, names.get(w, w)) for a, w in found - expected]))


def ending():
    if not find('openssl'):
        TAP.skip('a certificate near its end', 'openssl is not installed')
        return
    top = deployment('ending')
    os.makedirs(top + '/certs')
    run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', ROOM + '/k.pem',
        '-out', top + '/certs/server.crt', '-subj', '/CN=x', '-days', '9')
    status, alarms, err = once(top)
    ok(status == 93 and [a['alarm'] for a in alarms] == ['certificate-end'] and 'ends in 21' in alarms[0]['evidence'][0],
       'a certificate near its end', '%s %s' % (alarms, err))


def main():
    try:
        for part in (days, speed, following, rules, hostile, refusals, key_server, ending):
            started = time.monotonic()
            part()
            print('# %s: %.1f s' % (part.__name__, time.monotonic() - started), flush=True)
    finally:
        Process.stop_all()
        shutil.rmtree(ROOM, ignore_errors=True)
    return TAP.end()


sys.exit(main())
