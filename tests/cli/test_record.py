#!/usr/bin/env python3
"""record and query with SQLite: what is stored, what goes to quarantine, and that nothing acknowledged is ever lost.

usage: test_record.py SEALMQ ROOT
"""
import contextlib
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import time

from record_rig import ENERGY, SEALMQ, TAP, play, stamp, wait


def record(name='aud-1', kind='electricity_kwh', value='5.5', ago=0, **more):
    fields = {'auditor_id': name, 'measured_timestamp': stamp(ago), 'measure_type': kind, 'measure': float(value)}
    fields.update(more)
    return json.dumps({k: v for k, v in fields.items() if v is not None})


def declared(w):
    """Good records become readings; each bad one goes to quarantine with its own reason."""
    store, schema = w.path('declared.db'), w.write('energy.yaml', ENERGY)
    recorder = w.recorder(store, '--schema', schema, '-i', 'declared')
    TAP.row(wait(lambda: os.path.exists(store)), 'the store is made')
    time.sleep(0.5)
    w.pub('aud-1', [record(value='5.5', ago=20), record(value='6.5', ago=10), record(kind='gas_m3', value='1.25')])
    w.pub('aud-2', [record('aud-2', value='77')])
    bad = [('wrong-sender', record('aud-2')), ('out-of-range', record(value='-1')),
           ('unknown-reading', record(kind='steam_t')), ('missing-field', record(measure=None)),
           ('unknown-field', record(colour='red')), ('wrong-type', record(measure='many')),
           ('too-old', record(ago=40 * 86400)), ('in-the-future', record(ago=-3600)),
           ('bad-time', record(measured_timestamp='yesterday')), ('not-a-json-object', '{"auditor_id": '),
           ('double-field', record()[:-1] + ', "measure": 7}'), ('wrong-type', record(measure={'a': 1}))]
    w.pub('aud-1', [line for _, line in bad])
    w.pub('aud-1', [record()], 'audit/aud-2/energy')
    wanted = sorted([reason for reason, _ in bad] + ['wrong-topic'])
    wait(lambda: len(w.rows(store, 'quarantine')) >= len(wanted))
    found = sorted(line.split(',')[3] for line in w.rows(store, 'quarantine'))
    TAP.row(found == wanted, 'each bad record is in quarantine with its reason', [str(found)])
    TAP.row(w.stored(store) == 4, 'and the good ones are stored', w.rows(store, 'counts'))
    latest = [json.loads(line) for line in w.must('query', 'latest', '--store', store, '--json').splitlines()]
    got = [(r['sender'], r['type'], r['value'], r['unit']) for r in latest]
    TAP.row(got == [('aud-1', 'electricity_kwh', 6.5, 'kWh'), ('aud-1', 'gas_m3', 1.25, 'm3'),
                    ('aud-2', 'electricity_kwh', 77, 'kWh')], 'latest per sender and type', [str(got)])
    rows = w.rows(store, 'range', '--sender', 'aud-1', '--type', 'electricity_kwh', '--from', '1h')
    TAP.row([row.split(',')[5] for row in rows] == ['5.5', '6.5'], 'a range as CSV, in order of measured time', rows)
    rows = w.rows(store, 'range', '--to', stamp(5), '--limit', '1')
    TAP.row(len(rows) == 1 and ',5.5,' in rows[0], 'a range with an end and a limit', rows)
    rows = w.rows(store, 'reasons', '--type', 'wrong-type')
    TAP.row(len(rows) == 1 and rows[0].split(',')[:3] == ['aud-1', 'wrong-type', '2'], 'counts by sender and reason', rows)
    status, out = w.stop(recorder)
    TAP.row(status == 0 and 'stored 4, stored before 0, quarantined 13' in out, 'what was done is told at the end', [out])
    for name, magic in (('plot.svg', b'<?xml'), ('plot.png', b'\x89PNG')):
        done = w.run('query', 'range', '--store', store, '--type', 'electricity_kwh', '--plot', w.path(name))
        good = done.returncode == 0 and open(w.path(name), 'rb').read(5).startswith(magic)
        TAP.row(good or 'not installed' in done.stderr, 'a plot as ' + name[-3:], [done.stderr])


def wrong_use(w):
    cases = [(('record', '-t', 'a'), 3, '--store'), (('query',), 3, 'latest'), (('query', 'latest'), 3, '--store'),
             (('query', 'latest', '--store', 'none.db'), None, 'none.db'),
             (('query', 'range', '--store', 'x.db', '--from', 'soon'), 3, '--from'),
             (('query', 'range', '--store', 'x.db', '--plot', 'x.gif', '--type', 'a'), 3, '.png')]
    for words, _, said in cases:
        done = w.run(*words)
        TAP.row(done.returncode != 0 and said in done.stderr and done.stderr.count('\n') == 1,
                'wrong use in one line: ' + ' '.join(words), [done.stderr])
    schemas = [('fields:\n  a: { type: numbr }\n', "2:14: key 'fields.a.type'"), ('fields: {}\n', 'no fields'),
               ('colour: red\n', "1:1: key 'colour'"), ('fields:\n  a: { type: text, min: 1 }\n', 'for numbers'),
               ('time: { field: t }\nfields:\n  a: { type: text }\n', 'time.field')]
    for text, said in schemas:
        done = w.run('record', '--realm', w.member('centre'), '--store', 's.db', '-t', 'a', '--schema', w.write('bad.yaml', text))
        TAP.row(done.returncode != 0 and said in done.stderr, 'a wrong schema is refused with its place: ' + said, [done.stderr])


def killed(w):
    """SIGKILL at random moments while messages flow: every message that the broker took from its publisher is stored
    once, in the end. One of them signs each message, which other threads verify; the other signs checkpoints."""
    store, count = w.path('killed.db'), 6000
    first = w.recorder(store, '-i', 'killed', '-W', '1')
    first.wait(30)
    publishers = [w.start(*w.pub_words(name, 'audit/%s/n' % name, '--source', 'vitals', '--limit', str(count // 2), '--rate',
                                       '1500', '--sign', sign)) for name, sign in (('aud-1', 'every'), ('aud-2', 'checkpoint'))]
    kills = 0
    while any(p.poll() is None for p in publishers) and kills < 60:
        recorder = w.recorder(store, '-i', 'killed')
        time.sleep(random.uniform(0.05, 0.4))
        recorder.kill()
        recorder.communicate()
        kills += 1
    codes = [p.wait(60) for p in publishers]
    last = w.recorder(store, '-i', 'killed')
    wait(lambda: w.stored(store) >= count)
    time.sleep(0.3)
    w.stop(last)
    rows = w.rows(store, 'range')
    stored = w.stored(store)
    TAP.row(codes == [0, 0] and stored == count and len(rows) == count,
            '%d messages through %d kills: each stored once' % (count, kills), ['%s %d %d' % (codes, stored, len(rows))])


def disk_full(w):
    """A store that cannot grow: nothing is acknowledged, and when there is room again nothing is missing."""
    store, count = w.path('full.db'), 1500
    recorder = w.recorder(store, '-i', 'full', limit=200000)
    wait(lambda: os.path.exists(store))
    time.sleep(0.5)
    w.pub('aud-1', ['{"n": %d, "pad": "%s"}' % (n, 'x' * 300) for n in range(count)], 'audit/aud-1/n')
    TAP.row(wait(lambda: 'nothing is acknowledged' in w.said(recorder)), 'a full disk is told', [w.said(recorder)])
    before = w.stored(store)
    resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait(lambda: w.stored(store) >= count)
    status, out = w.stop(recorder)
    stored = w.stored(store)
    TAP.row(before < count and stored == count and status == 0, 'and with room again nothing is missing',
            ['%d before, %d after: %s' % (before, stored, out)])


def locked(w):
    """A database that somebody else holds, an SQLite's way of being gone: it is waited for, nothing is acknowledged
    meanwhile, and what was signed and checked by other threads is stored too once it is back."""
    store, count = w.path('locked.db'), 600
    recorder = w.recorder(store, '-i', 'locked', '--verify-threads', '2')
    wait(lambda: os.path.exists(store))
    time.sleep(0.5)
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute('BEGIN IMMEDIATE')
    w.pub('aud-1', ['n%d' % n for n in range(count)], 'audit/aud-1/n', '--sign', 'every')
    w.pub('aud-2', ['n%d' % n for n in range(count)], 'audit/aud-2/n', '--sign', 'checkpoint')
    TAP.row(wait(lambda: 'nothing is acknowledged' in w.said(recorder), 60), 'a database that is held is told',
            [w.said(recorder)])
    before = w.stored(store)
    holder.execute('ROLLBACK')
    holder.close()
    wait(lambda: w.stored(store) >= 2 * count, 60)
    status, out = w.stop(recorder)
    counts = [','.join(row.split(',')[:3]) for row in w.rows(store, 'counts')]
    TAP.row(before == 0 and status == 0 and counts == ['aud-1,proven,%d' % count, 'aud-2,proven,%d' % count],
            'and when it is let go of nothing is missing', ['%d before: %s' % (before, counts), out])


def proven(w):
    """What is signed is proven; what a checkpoint is to prove is provisional until it does, or goes to quarantine."""
    store = w.path('proven.db')
    recorder = w.recorder(store, '-i', 'proven', '--require-proof')
    wait(lambda: os.path.exists(store))
    time.sleep(0.7)
    w.pub('aud-1', ['unsigned'], 'audit/aud-1/n')
    w.pub('aud-1', ['one', 'two'], 'audit/aud-1/n', '--sign', 'every')
    w.pub('aud-2', ['n%d' % n for n in range(40)], 'audit/aud-2/n', '--sign', 'checkpoint')

    def counts():
        return [','.join(row.split(',')[:3]) for row in w.rows(store, 'counts')]
    wait(lambda: counts() == ['aud-1,proven,2', 'aud-2,proven,40'])
    TAP.row(counts() == ['aud-1,proven,2', 'aud-2,proven,40'], 'signed or covered by a checkpoint: proven', counts())
    reasons = [','.join(row.split(',')[:3]) for row in w.rows(store, 'reasons')]
    TAP.row(reasons == ['aud-1,not-proven,1'], 'not signed: quarantine', reasons)
    publisher = w.start(*w.pub_words('aud-2', 'audit/aud-2/n', '--source', 'vitals', '--limit', '200', '--sign', 'checkpoint',
                                     '--checkpoint-every', '60', '--checkpoint-messages', '256', '--rate', '10'))
    wait(lambda: any('provisional' in row for row in counts()))
    publisher.kill()
    publisher.wait()
    TAP.row(any('provisional' in row for row in counts()), 'a tail without its checkpoint is provisional', counts())
    wait(lambda: not any('provisional' in row for row in counts()), 60)
    reasons = [','.join(row.split(',')[:2]) for row in w.rows(store, 'reasons')]
    TAP.row('aud-2,not-proven' in reasons and not any('provisional' in row for row in counts()),
            'and goes to quarantine when none comes', reasons + counts())
    w.stop(recorder)


def left_behind(w):
    """Killed between a message and its checkpoint: what was stored as provisional is proven when the checkpoint comes, or
    at once where it is in the store already; what came meanwhile is proven too."""
    store, words = w.path('left.db'), ('-i', 'left', '--require-proof', '--json')
    recorder = w.recorder(store, *words)
    wait(lambda: w.run('query', 'counts', '--store', store).returncode == 0)
    time.sleep(0.7)

    def of(proof):
        return sum(int(row.split(',')[2]) for row in w.rows(store, 'counts') if ',%s,' % proof in row)
    publisher = w.start(*w.pub_words('aud-2', 'audit/aud-2/n', '--source', 'vitals', '--limit', '2000', '--sign', 'checkpoint',
                                     '--checkpoint-every', '60', '--checkpoint-messages', '256', '--rate', '20'))
    wait(lambda: of('provisional') >= 5)
    recorder.kill()
    recorder.wait()
    before = of('provisional')
    time.sleep(1)
    w.stop(publisher)
    again = w.recorder(store, *words)
    good = wait(lambda: of('proven') > before and of('provisional') == 0)
    status, out = w.stop(again)
    TAP.row(before >= 5 and good and status == 0 and json.loads(out)['settled'] == before,
            'killed before the checkpoint came: proven with it', w.rows(store, 'counts') + w.rows(store, 'reasons') + [out])
    TAP.row(not any('aud-2' in row for row in w.rows(store, 'reasons')), 'and nothing of it in quarantine', w.rows(store, 'reasons'))
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute('UPDATE readings SET proof = 3 WHERE counter >= 2')
        db.execute('UPDATE readings SET proof = 3, raw = ? WHERE counter = 1', (b'altered', ))
        db.commit()
    again = w.recorder(store, *words)
    good = wait(lambda: of('provisional') == 1)
    status, out = w.stop(again)
    TAP.row(good and json.loads(out)['settled'] > before, 'settled at the next start, but for what no checkpoint names',
            w.rows(store, 'counts') + [out])


def refused(w):
    """What does not open is counted in quarantine, without content; a flood of it in few rows."""
    store = w.path('refused.db')
    recorder = w.recorder(store, '-i', 'refused')
    wait(lambda: os.path.exists(store))
    time.sleep(0.5)
    for _ in range(3):
        w.must('pub', '--plain', *w.at(), '-q', '1', '-t', 'audit/aud-1/n', '--repeat', '200', '-m', 'not sealed at all')
    w.pub('aud-1', ['good'], 'audit/aud-1/n')
    wait(lambda: w.stored(store) == 1)
    rows = w.rows(store, 'quarantine')
    times = sum(int(row.split(',')[6]) for row in rows)
    TAP.row(times == 600 and len(rows) < 200 and w.stored(store) == 1, 'junk is counted, and stored in few rows',
            ['%d in %d rows' % (times, len(rows))])
    w.stop(recorder)


def captured(w, topic, act):
    """The very bytes that the broker hands on while something is published."""
    tap = w.start('sub', '--plain', *w.at(), '-q', '1', '-t', topic, '-C', '1', '-W', '60', '-F', '%x', '-d')
    wait(lambda: 'ubscribed' in w.said(tap))
    act()
    return bytes.fromhex(tap.communicate(timeout=90)[0].strip())


def replayed(w):
    """Lessons: a replay was stored five times, one auditor stored data as another, one bad signature was the end, and
    each row was a commit of its own."""
    store = w.path('replayed.db')
    recorder = w.recorder(store, '-i', 'replayed', '--require-proof', '--json')
    wait(lambda: w.run('query', 'counts', '--store', store).returncode == 0)
    time.sleep(0.7)
    sealed = captured(w, 'audit/aud-1/n', lambda: w.pub('aud-1', ['once'], 'audit/aud-1/n', '--sign', 'every'))
    wait(lambda: w.stored(store) == 1)
    bad = bytearray(sealed)
    bad[-1] ^= 1
    for topic, payload in [('audit/aud-1/n', sealed)] * 5 + [('audit/aud-2/n', sealed), ('audit/aud-1/n', bytes(bad))] * 2:
        subprocess.run([SEALMQ, 'pub', '--plain', *w.at(), '-q', '1', '-t', topic, '-s'], input=payload, check=True, timeout=60)
    w.pub('aud-2', ['n%d' % n for n in range(1000)], 'audit/aud-2/n', '--sign', 'checkpoint')
    good = wait(lambda: w.stored(store) == 1001 and not any('provisional' in row for row in w.rows(store, 'counts')))
    TAP.row(good, 'replayed five times, on another topic, with a bad signature: stored once, and the recorder goes on',
            w.rows(store, 'counts') + w.rows(store, 'reasons'))
    reasons = {row.split(',')[1]: row.split(',')[2] for row in w.rows(store, 'reasons')}
    TAP.row(reasons.get('signature') == '2' and reasons.get('open') == '2', 'each refusal with its reason', [str(reasons)])
    _, out = w.stop(recorder)
    counts = json.loads(out)
    TAP.row(counts['stored'] == 1001 and counts['repeated'] == 5 and counts['commits'] < 500, 'many messages to one commit', [out])


sys.exit(play([declared, wrong_use, killed, disk_full, locked, proven, left_behind, refused, replayed]))
