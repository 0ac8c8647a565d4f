#!/usr/bin/env python3
"""record and query with PostgreSQL: kills, a database that goes and comes back, recorders that share the work.

usage: test_record_postgres.py SEALMQ ROOT RECORDS_POSTGRES
"""
import json
import os
import random
import signal
import subprocess
import sys
import time

from postgres_rig import Postgres, programs
from record_rig import ENERGY, TAP, play, stamp, wait

if not programs():
    print('1..0 # SKIP postgresql is not installed')
    sys.exit(0)


def port(pg):
    """The store's port, in C: the same cases as with SQLite."""
    done = subprocess.run([sys.argv[3], pg.url], capture_output=True, text=True, check=False, timeout=120,
                          env={'CMOCKA_MESSAGE_OUTPUT': 'TAP', 'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '')})
    TAP.row(done.returncode == 0 and done.stdout.count('\nok ') == 2, 'the store behaves as every store',
            (done.stdout + done.stderr).splitlines()[-20:])
    pg.sql('DROP SCHEMA public CASCADE; CREATE SCHEMA public')


def declared(w, pg):
    recorder = w.recorder(pg.url, '--schema', w.write('energy.yaml', ENERGY), '-i', 'declared')
    wait(lambda: w.run('query', 'counts', '--store', pg.url).returncode == 0)
    time.sleep(0.5)
    good = {'auditor_id': 'aud-1', 'measured_timestamp': stamp(5), 'measure_type': 'gas_m3', 'measure': 1.5}
    w.pub('aud-1', [json.dumps(good), json.dumps(dict(good, measure=-3)), json.dumps(dict(good, auditor_id='aud-2'))])
    wait(lambda: len(w.rows(pg.url, 'quarantine')) == 2)
    latest = [json.loads(line) for line in w.must('query', 'latest', '--store', pg.url, '--json').splitlines()]
    TAP.row([(r['sender'], r['type'], r['value'], r['unit']) for r in latest] == [('aud-1', 'gas_m3', 1.5, 'm3')],
            'latest', [str(latest)])
    reasons = [','.join(row.split(',')[:3]) for row in w.rows(pg.url, 'reasons')]
    TAP.row(reasons == ['aud-1,out-of-range,1', 'aud-1,wrong-sender,1'], 'reasons', reasons)
    rows = w.rows(pg.url, 'range', '--from', '1h', '--limit', '5')
    TAP.row(len(rows) == 1 and ',gas_m3,1.5,' in rows[0], 'range', rows)
    raw = json.loads(w.must('query', 'quarantine', '--store', pg.url, '--json', '--limit', '1'))['raw']
    TAP.row(json.loads(raw)['measure'] == -3, 'the raw record is in quarantine', [raw])
    status, out = w.stop(recorder)
    TAP.row(status == 0 and 'stored 1, stored before 0, quarantined 2' in out, 'what was done is told', [out])


def fresh(pg):
    pg.sql('TRUNCATE readings, quarantine')


def flow(w, count, rate):
    return [w.start(*w.pub_words(name, 'audit/%s/n' % name, '--source', 'vitals', '--limit', str(count // 2), '--rate',
                                 str(rate))) for name in ('aud-1', 'aud-2')]


def all_there(w, pg, count, name, publishers, details=()):
    codes = [p.wait(60) for p in publishers]
    wait(lambda: w.stored(pg.url) >= count, 60)
    time.sleep(0.3)
    stored, rows = w.stored(pg.url), int(pg.sql('SELECT COUNT(*) FROM readings'))
    TAP.row(codes == [0, 0] and stored == count and rows == count, name, ['%s %d %d' % (codes, stored, rows), *details])


def killed(w, pg):
    fresh(pg)
    count = 4000
    w.recorder(pg.url, '-i', 'killed', '-W', '1').wait(30)
    publishers, kills = flow(w, count, 1000), 0
    while any(p.poll() is None for p in publishers) and kills < 60:
        recorder = w.recorder(pg.url, '-i', 'killed')
        time.sleep(random.uniform(0.1, 0.5))
        recorder.kill()
        recorder.wait()
        kills += 1
    last = w.recorder(pg.url, '-i', 'killed')
    all_there(w, pg, count, '%d messages through %d kills: each stored once' % (count, kills), publishers)
    w.stop(last)


def database_gone(w, pg):
    """Stopped as by a crash in the middle, away for a while, back again."""
    fresh(pg)
    count = 4000
    recorder = w.recorder(pg.url, '-i', 'gone')
    time.sleep(1)
    publishers = flow(w, count, 1000)
    time.sleep(0.7)
    pg.stop(signal.SIGQUIT)
    wait(lambda: 'nothing is acknowledged' in w.said(recorder))
    time.sleep(0.5)
    pg.start()
    time.sleep(0.3)
    pg.stop(signal.SIGINT)
    pg.start()
    all_there(w, pg, count, 'a database that crashes, goes and comes back costs nothing', publishers,
              w.said(recorder).splitlines()[-5:])
    TAP.row('nothing is acknowledged' in w.said(recorder), 'and it is told', w.said(recorder).splitlines()[-5:])
    w.stop(recorder)


def shared(w, pg):
    """Two recorders that share a subscription, and two that both hear everything; one of each is killed and comes back."""
    count = 3000
    for kind, more in (('share the work', ['--share', 'centre']), ('hear the same', [])):
        fresh(pg)
        recorders = [w.recorder(pg.url, '-i', 'both-%s-%d' % (kind[0], i), *more) for i in range(2)]
        time.sleep(1)
        publishers = flow(w, count, 1000)
        time.sleep(0.5)
        recorders[0].kill()
        recorders[0].wait()
        recorders[0] = w.recorder(pg.url, '-i', 'both-%s-0' % kind[0], *more)
        all_there(w, pg, count, 'two recorders %s without duplicates, one of them killed' % kind, publishers)
        outs = [w.stop(recorder) for recorder in recorders]
        TAP.row(all(status == 0 for status, _ in outs), 'and both end well', [str(outs)])


def evidence(w, pg):
    """Two recorders keep what evidence needs; what is exported verifies, once each."""
    fresh(pg)
    w.must('ca', 'crl', '--ca', 'plant')
    recorders = [w.recorder(pg.url, '--require-proof', '-i', 'evidence-%d' % n) for n in range(2)]
    time.sleep(2)
    lines = ['{"n":%d}' % n for n in range(40)]
    w.pub('aud-1', lines, None, '--sign', 'checkpoint')
    w.pub('aud-2', lines[:5], None, '--sign', 'every', '--stamp')
    wait(lambda: w.rows(pg.url, 'counts') and sum(int(r.split(',')[2]) for r in w.rows(pg.url, 'counts') if ',proven,' in r) == 45)
    out = w.must('evidence', 'export', 'pg.evidence', '--store', pg.url)
    done = w.run('evidence', 'verify', 'pg.evidence', '--ca', w.path('plant', 'root.crt'))
    TAP.row(done.returncode == 0 and '45 of 45 messages proven' in done.stdout and '1 revocation lists' in out,
            'evidence out of PostgreSQL is verified', [out, done.stdout, done.stderr] + w.rows(pg.url, 'counts'))
    for recorder in recorders:
        w.stop(recorder)


def left_behind(w, pg):
    """Evidence that proves what was left as provisional settles it at the next start."""
    pg.sql('UPDATE readings SET proof = 3 WHERE life_id IN (SELECT life_id FROM readings GROUP BY life_id HAVING COUNT(*) = 40)')
    pg.sql('UPDATE readings SET raw = \'other\' WHERE proof = 3 AND counter = 7')
    recorder = w.recorder(pg.url, '--require-proof', '-i', 'evidence-0', '--json')
    wait(lambda: any(',provisional,1,' in row for row in w.rows(pg.url, 'counts')))
    _, out = w.stop(recorder)
    rows = w.rows(pg.url, 'counts')
    TAP.row(json.loads(out)['settled'] == 39 and any(',provisional,1,' in row for row in rows),
            'left as provisional, settled at the next start, but for what no checkpoint names', rows + [out])


def main():
    pg = Postgres(['fsync=on', 'synchronous_commit=on'])
    try:
        port(pg)

        def with_pg(scene):
            def run(w):
                scene(w, pg)
            run.__name__ = scene.__name__
            return run
        return play([with_pg(scene) for scene in (declared, killed, database_gone, shared, evidence, left_behind)])
    finally:
        pg.close()


sys.exit(main())
