#!/usr/bin/env python3
"""command and alert: declared parameters are set while a device runs; whatever else comes is refused, each with its own
reason, on the device's standard error and in the acknowledgement.

usage: test_command.py SEALMQ ROOT
"""
import json
import os
import signal
import subprocess
import sys
import time

from record_rig import SEALMQ, TAP, play, wait

DECLARED = '''
parameters:
  SAMPLE_RATE: { type: number, min: 0.01, max: 50, unit: 1/s }
  LEVEL: { type: integer, min: 0, max: 3 }
  MODE: { type: text, one_of: [day, night] }
  LED: { type: boolean }
from: [ centre, 'ops-*' ]
'''


# ---- just enough CBOR to make a command ----

def head(major, value):
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, 'big')
    raise ValueError(value)


def encode(value):
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return head(0, value)
    return head(4, len(value)) + b''.join(encode(v) for v in value)


def document(to='aud-1', issued=0.0, life=60.0, body=None, magic='sealmq command', number=7):
    now = int((time.time() + issued) * 1000)
    return encode([magic, 1, number.to_bytes(16, 'big'), to, now, now + int(life * 1000), body or [1, [['LED', 'true']]]])


# ---- scenes ----

def device(w, name='aud-1', *more):
    words = ['pub', '--realm', w.member(name), *w.at(), '-q', '1', '--group', 'audit', '-t', 'audit/%s/n' % name, '--source',
             'vitals', '--commands', w.write('commands.yaml', DECLARED), '-d', *more]
    process = w.start(*words)
    wait(lambda: w.said(process).count('listening for commands') == 2, 60)
    return process


def send(w, *words, sender='centre', to='aud-1', waits=True):
    done = w.run('command', 'send', to, *words, '--realm', w.member(sender), *w.at(), *(['--wait'] if waits else []))
    return done


def says(w, process, text, seconds=30):
    return wait(lambda: text in w.said(process), seconds)


def obeyed(w):
    """A rate changes while the device runs; values hold after a kill; a command is obeyed once."""
    tap = w.start('sub', '--realm', w.member('aud-2'), *w.at(), '-t', 'audit/aud-1/n', '-F', '%U')
    d = device(w, 'aud-1', '--rate', '0.02', '--sign', 'checkpoint')
    done = send(w, '--set', 'SAMPLE_RATE=20', '--set', 'MODE=night')
    TAP.row(done.returncode == 0 and 'aud-1: applied' in done.stdout, 'a command is applied and acknowledged',
            [done.stdout, done.stderr, w.said(d)])
    TAP.row(says(w, d, 'command from centre: SAMPLE_RATE=20') and 'MODE=night' in w.said(d), 'and the device says so', [w.said(d)])
    lines = [tap.stdout.readline() for _ in range(15)]
    times = [float(line) for line in lines[5:]]
    TAP.row((times[-1] - times[0]) / (len(times) - 1) < 1, 'the source runs at the new rate at once', lines)
    done = send(w, '--set', 'LEVEL=3', '--set', 'LED=true', '--json')
    answer = [json.loads(line) for line in done.stdout.splitlines()]
    TAP.row(done.returncode == 0 and answer[-1]['result'] == 'applied' and answer[-1]['from'] == 'aud-1', 'as JSON',
            [done.stdout, done.stderr])
    number = answer[-1]['id']
    done = send(w, '--set', 'LEVEL=1', '--id', number)
    TAP.row(done.returncode != 0 and 'aud-1: replayed' in done.stdout, 'the same id again: replayed', [done.stdout, done.stderr])
    os.kill(d.pid, signal.SIGKILL)
    d.wait()
    d = device(w, 'aud-1', '--rate', '0.02')
    TAP.row(says(w, d, 'still commanded: SAMPLE_RATE=20') and 'LEVEL=3' in w.said(d) and 'LEVEL=1' not in w.said(d),
            'killed and started again: what was commanded holds', [w.said(d)])
    done = send(w, '--set', 'LEVEL=1', '--id', number)
    TAP.row(done.returncode != 0 and 'aud-1: replayed' in done.stdout, 'and is known still: replayed', [done.stdout, done.stderr])
    TAP.row(says(w, d, 'refused a command from centre: replayed'), 'which the device says', [w.said(d)])
    second = w.run('pub', '--realm', w.member('aud-1'), *w.at(), '--group', 'audit', '-t', 'audit/aud-1/n', '--source', 'vitals',
                   '--commands', w.path('commands.yaml'), '--limit', '1')
    TAP.row(second.returncode and 'another process obeys' in second.stderr, 'two processes of one device do not both obey',
            [second.stderr])
    w.stop(tap)
    return d


def refused(w, d):
    """Each with its own reason, said and acknowledged."""
    for words, word, detail in ((['--set', 'SAMPLE_RATE=51'], 'out-of-bounds', 'SAMPLE_RATE'),
                                (['--set', 'SAMPLE_RATE=0'], 'out-of-bounds', 'SAMPLE_RATE'),
                                (['--set', 'MODE=dusk'], 'out-of-bounds', 'MODE'),
                                (['--set', 'SAMPLE_RATE=fast'], 'wrong-type', 'SAMPLE_RATE'),
                                (['--set', 'SAMPLE_RATE=nan'], 'wrong-type', 'SAMPLE_RATE'),
                                (['--set', 'LEVEL=1.5'], 'wrong-type', 'LEVEL'), (['--set', 'LED=1'], 'wrong-type', 'LED'),
                                (['--set', 'LEVEL=2', '--set', 'COLOUR=red'], 'unknown-parameter', 'COLOUR')):
        done = send(w, *words)
        TAP.row(done.returncode != 0 and 'aud-1: %s: %s' % (word, detail) in done.stdout and
                says(w, d, 'refused a command from centre: %s: %s' % (word, detail)), ' '.join(words) + ': ' + word,
                [done.stdout, done.stderr, w.said(d)[-300:]])
    TAP.row('LEVEL=2' not in w.said(d), 'of a command that is refused in part nothing is applied')
    done = send(w, '--set', 'LEVEL=2', sender='aud-2')
    TAP.row(done.returncode != 0 and 'aud-1: not-authorized' in done.stdout and 'from aud-2: not-authorized' in w.said(d),
            'whoever is not listed: not-authorized', [done.stdout, done.stderr])
    raw = (('expired', document(issued=-100, number=1)), ('in-the-future', document(issued=1000, number=2)),
           ('in-the-future', document(life=8 * 86400, number=3)), ('malformed', document(magic='sealmq commando')),
           ('malformed', document(to='aud-2')), ('malformed', b'LED=true'))
    signed(w, raw)
    for number, (word, _) in enumerate(raw):
        TAP.row(says(w, d, 'refused a command from centre: ' + word, 20), 'by hand, %d: %s' % (number, word), [w.said(d)[-400:]])
    before = w.said(d).count('unsigned')
    unsigned(w, document(number=9))
    TAP.row(wait(lambda: w.said(d).count('from centre: unsigned') > before, 60), 'without a signature: unsigned', [w.said(d)[-300:]])
    TAP.row('LED=true' not in w.said(d).split('still commanded')[-1].split('\n', 4)[-1], 'none of these was applied')
    kept = sent_bytes(w, lambda: send(w, '--set', 'LEVEL=0'))
    subprocess.run([SEALMQ, 'pub', '--plain', *w.at(), '-q', '1', '-t', 'sealmq/plant/command/audit/to/aud-1', '-s'],
                   input=kept, check=True, timeout=60)
    TAP.row(says(w, d, 'refused a command from centre: replay', 20), 'the very bytes again: replay', [w.said(d)[-300:]])


def sent_bytes(w, act):
    """What the broker sees on the topic of commands."""
    tap = w.start('sub', '--plain', *w.at(), '-t', 'sealmq/plant/command/audit/to/aud-1', '-C', '1', '-F', '%x', '-W', '60', '-d')
    wait(lambda: 'ubscribed' in w.said(tap), 60)
    act()
    return bytes.fromhex(tap.communicate(timeout=60)[0].strip())


def signed(w, raw):
    for _, payload in raw:
        subprocess.run([SEALMQ, 'pub', '--realm', w.member('centre'), *w.at(), '-q', '1', '--group', 'audit', '-t',
                        'sealmq/plant/command/audit/to/aud-1', '--sign', 'every', '-s'], input=payload, check=True, timeout=60)


def unsigned(w, payload):
    subprocess.run([SEALMQ, 'pub', '--realm', w.member('centre'), *w.at(), '-q', '1', '--group', 'audit', '-t',
                    'sealmq/plant/command/audit/to/aud-1', '-s'], input=payload, check=True, timeout=60)


def static_group(w):
    d = obeyed(w)
    refused(w, d)
    w.stop(d)
    done = send(w, '--set', 'LEVEL=1', '--expires', '2s')
    TAP.row(done.returncode == 27 and 'no acknowledgement from aud-1' in done.stderr, 'nobody there: status 27', [done.stderr])


def alerts(w):
    devices = [device(w, name, '--rate', '0.02') for name in ('aud-1', 'aud-2')]
    done = w.run('alert', 'send', 'audit', 'meters are read\ntonight', '--severity', 'critical', '--wait-for', '2', '--realm',
                 w.member('centre'), *w.at())
    TAP.row(done.returncode == 0 and 'aud-1: applied' in done.stdout and 'aud-2: applied' in done.stdout,
            'an alert to all is acknowledged by all', [done.stdout, done.stderr])
    for d in devices:
        TAP.row(says(w, d, r'alert from centre (critical): meters are read\ntonight'), 'and told, fit for a terminal', [w.said(d)])
    done = w.run('alert', 'send', 'audit', 'more', '--wait-for', '3', '--expires', '2s', '--realm', w.member('centre'), *w.at())
    TAP.row(done.returncode == 27, 'fewer than asked for: status 27', [done.stdout, done.stderr])
    done = w.run('alert', 'send', 'audit', 'more', '--json', '--realm', w.member('centre'), *w.at())
    TAP.row(done.returncode == 0 and json.loads(done.stdout)['result'] == 'sent', 'without waiting: sent', [done.stdout, done.stderr])
    for d in devices:
        w.stop(d)


def policy(w):
    """In a group of the key server the policy that an admin has signed says who may command whom, now and later."""
    for name, *role in (('keys', '--role', 'keyserver'), ('boss', '--role', 'admin,member'), ('ops-1',), ('m-1',), ('m-2',)):
        w.must('ca', 'issue', name, '--ca', 'plant', *role)
    with open(w.path('pass'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write('a passphrase of several words\n')
    own = ('--realm', w.member('keys'), '--db', w.path('keys.db'), '--passphrase-file', w.path('pass'))
    w.must('keyserver', 'init', *own)
    server = w.start('keyserver', 'run', *own, *w.at())
    rules = ('--filter', 'm/#', '--publish', 'm-*', '--publish', 'any:ops-1', '--publish', 'any:boss', '--subscribe', 'any:*')

    def group(what, *more):
        done = w.run('group', what, 'meters', *rules, *more, '--realm', w.member('boss'), *w.at(), seconds=60)
        TAP.row(done.returncode == 0, 'the policy %s is signed' % (' '.join(more) or 'of nobody'), [done.stderr, w.said(server)])
    group('create', '--command', 'ops-*=m-1', '--command', 'admin:*=*')
    shown = json.loads(w.must('group', 'show', 'meters', '--json', '--realm', w.member('boss'), *w.at()))
    TAP.row(shown['policy']['commanders'] == ['ops-*=m-1', 'admin:*=*'], 'and read back', [str(shown)])
    file = w.write('free.yaml', DECLARED.split('from:')[0])
    devices = []
    for name in ('m-1', 'm-2'):
        devices.append(w.start('pub', '--realm', w.member(name), *w.at(), '-q', '1', '--group', 'meters', '-t', 'm/' + name, '--source',
                               'vitals', '--rate', '1', '--commands', file, '-d'))
    for d in devices:
        wait(lambda d=d: w.said(d).count('listening for commands') == 2 and 'meters' in w.said(d), 60)

    def told(sender, to, result):
        done = w.run('command', 'send', to, '--group', 'meters', '--set', 'LEVEL=1', '--wait', '--realm', w.member(sender), *w.at(), seconds=90)
        TAP.row('%s: %s' % (to, result) in done.stdout and (done.returncode == 0) == (result == 'applied'),
                '%s commands %s: %s' % (sender, to, result), [done.stdout, done.stderr])
    told('ops-1', 'm-1', 'applied')
    told('ops-1', 'm-2', 'not-authorized')
    told('boss', 'm-2', 'applied')
    told('m-1', 'm-2', 'not-authorized')
    group('policy')
    told('boss', 'm-2', 'not-authorized')
    for process in devices + [server]:
        w.stop(process)


def wrong_use(w):
    for words, said in ((['command'], 'send NAME'), (['command', 'send', 'a'], '--set'), (['command', 'send', 'a', '--set', 'x'], '--set takes'),
                        (['command', 'send', 'a', '--set', 'x=1', '--expires', 'soon'], '--expires'),
                        (['command', 'send', 'a', '--set', 'x=1', '--expires', '8d'], '--expires'),
                        (['command', 'send', 'a', '--set', 'x=1', '--id', '12'], '--id'), (['alert', 'send', 'a'], 'name a group')):
        done = w.run(*words)
        TAP.row(done.returncode and said in done.stderr and done.stderr.count('\n') == 1, 'wrong use in one line: ' + ' '.join(words),
                [done.stderr])
    for text, said in (('parameters:\n  a: { type: number }\n', 'needs min and max'), ('parameters:\n  a: { min: 1 }\n', 'no type'),
                       ('parameters:\n  a: { type: text }\n', 'one_of'), ('colour: red\n', "key 'colour'"),
                       ('parameters:\n  a: { type: boolean, max: 1 }\n', 'no number'), ('parameters:\n  a: { type: numbr }\n', 'takes number')):
        done = w.run('pub', '--realm', w.member('aud-1'), *w.at(), '--group', 'audit', '-t', 'audit/x', '-m', 'x', '--commands',
                     w.write('bad.yaml', text))
        TAP.row(done.returncode and said in done.stderr, 'a wrong declaration is refused with its place: ' + said, [done.stderr])


sys.exit(play([static_group, alerts, policy, wrong_use]))
