#!/usr/bin/env python3
"""Sealed telemetry from one member to another, over a real broker with TLS, that comes and goes as do both sides.

usage: test_delivery.py SEALMQ ROOT
"""
import csv
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import LONG, ROOT, TAP, Process, ok, play, wait  # noqa: E402


def numbered(prefix, first, count):
    return ['%s %d' % (prefix, i) for i in range(first, first + count)]


def said(*processes):
    return '\n'.join('%s: %s' % (p.words[1], line) for p in processes for line in p.said + p.lines[-5:])


# ---- the main road ----

def every_protocol_and_qos(stage):
    for version in ('5', '311'):
        sub = stage.sub('desk', '-V', version, '-q', '2', '-t', 'plant/a/#', '-F', '%q %p')
        pubs = []
        for qos in ('0', '1', '2'):
            pub = stage.pub('fridge-07', '--to', 'desk', '-V', version, '-q', qos, '-t', 'plant/a/' + qos, '-l')
            pub.write(*numbered('m', 0, 50))
            pub.close()
            pubs.append((qos, pub))
            status = pub.end()
            ok(status == 0, 'pub of QoS %s over MQTT %s ends well' % (qos, version), said(pub))
        sub.got(150)
        want = ['%s %s' % (qos, line) for qos, _ in pubs for line in numbered('m', 0, 50)]
        ok(sorted(sub.lines) == sorted(want), 'MQTT %s: 50 messages of each QoS arrive once' % version, said(sub))
        for qos, _ in pubs:
            mine = [line for line in sub.lines if line.startswith(qos)]
            ok(mine == [line for line in want if line.startswith(qos)],
               'MQTT %s, QoS %s: in order' % (version, qos), '\n'.join(mine))
        ok(sub.stop() == 0 and not sub.refusals(), 'MQTT %s: nothing refused, SIGTERM ends sub with 0' % version,
           said(sub))


def publisher_first(stage):
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/first', '-l')
    pub.write(*numbered('m', 0, 10))
    time.sleep(1.5)
    started = time.monotonic()
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/first')
    ok(sub.got(10), 'publisher first: the subscriber gets what was published before it came', said(pub, sub))
    print('# publisher first: %.2f s from the start of sub to its 10th message' % (time.monotonic() - started))
    pub.close()
    ok(pub.end() == 0, 'publisher first: the publisher ends well', said(pub))
    ok(sub.lines == numbered('m', 0, 10), 'publisher first: all, once, in order', said(sub))


def restarts(stage):
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/restart', '-c', '-x', '60', '--stats', '60')
    sub.stop()
    client = sub.words[sub.words.index('-i') + 1]
    again = [w for w in sub.words]
    sub = Process(again)
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/restart', '-l')
    pub.write(*numbered('one', 0, 10))
    sub.got(10)
    pub.stop(signal.SIGKILL)
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/restart', '-l', '-d')
    pub.write(*numbered('two', 0, 10))
    ok(sub.got(20), 'a publisher killed and started again goes on at once', said(pub, sub))
    ok(sub.lines == numbered('one', 0, 10) + numbered('two', 0, 10), 'both lives of the publisher in order',
       said(sub))
    sub.stop(signal.SIGKILL)

    def keys():
        return sum('session with desk' in line or 'new keys with desk' in line for line in pub.said)
    before = keys()
    sub = Process(again)
    wait(lambda: stage.log_text().count('Sending SUBACK to ' + client) >= 3)
    started = time.monotonic()
    pub.write(*numbered('three', 0, 10))
    time.sleep(0.5)
    wait(lambda: 'three 9' in sub.lines or len(sub.refusals()) > 0)
    wait(lambda: keys() > before, 60)
    print('# restarted subscriber: keys and messages again after at most %.2f s' % (time.monotonic() - started))
    pub.write(*numbered('four', 0, 5))
    pub.close()
    ok(pub.end() == 0, 'the publisher ends well after its subscriber was killed and came back', said(pub, sub))
    wait(lambda: 'four 4' in sub.lines)
    ok(sub.lines[-5:] == numbered('four', 0, 5), 'a subscriber killed and started again reads on', said(pub, sub))
    sub.stop()
    lost = 15 - len([line for line in sub.lines if line.split()[0] in ('three', 'four')])
    ok(lost <= 10 and lost <= sub.total('refused'), 'what was sealed for its former life is counted as refused',
       '%d lost\n%s' % (lost, said(sub)))


def many_to_one(stage):
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/many/#', '-F', '%s %p', '--from', 'fridge-07,ward-3,pump-2')
    senders = ('fridge-07', 'ward-3', 'pump-2')
    pubs = [stage.pub(name, '--to', 'desk', '-q', '1', '-t', 'plant/many/' + name, '-l') for name in senders]
    for pub in pubs:
        pub.write(*numbered('m', 0, 30))
        pub.close()
    ok(all(pub.end() == 0 for pub in pubs), 'three publishers to one subscriber end well', said(*pubs))
    sub.got(90)
    for name in senders:
        mine = [line for line in sub.lines if line.startswith(name + ' ')]
        ok(mine == ['%s %s' % (name, line) for line in numbered('m', 0, 30)],
           'the subscriber reads all of %s in order, under its certified name' % name, said(sub))


def one_to_many(stage):
    readers = ('desk', 'ward-3', 'pump-2')
    subs = [stage.sub(name, '-q', '1', '-t', 'plant/fan', '--stats', '60') for name in readers]
    pub = stage.pub('fridge-07', '--to', 'desk', '--to', 'ward-3,pump-2', '-q', '1', '-t', 'plant/fan', '-l')
    pub.write(*numbered('m', 0, 20))
    pub.close()
    ok(pub.end() == 0, 'one publisher to three members ends well', said(pub))
    for name, sub in zip(readers, subs):
        ok(sub.got(20) and sub.lines == numbered('m', 0, 20), '%s reads all in order' % name, said(sub))
    refused = [line for sub in subs for line in sub.said if 'refused:' in line]
    for sub in subs:
        sub.stop()
    print('# one topic for three recipients: each refuses what is for the others: %s' % refused[:1])


def other_keyex_topic(stage):
    for topic in ('ton_iot/keyex', 'ton_iot/keyex/{to}'):
        sub = stage.sub('desk', '-t', 'plant/keyex', '--keyex-topic', topic)
        eye = stage.eye('-t', topic.replace('{to}', '#'))
        status, _, err = stage.pub_now('fridge-07', '--to', 'desk', '-t', 'plant/keyex', '-m', 'hello', '--keyex-topic',
                                       topic)
        ok(status == 0 and sub.got(1) and sub.lines == ['hello'], 'key exchange over ' + topic, err + said(sub))
        ok(len(eye.lines) >= 4, 'the broker sees the four messages of EDHOC on ' + topic, said(eye))
        sub.stop()


# ---- outages ----

def broker_killed(stage):
    sub = stage.sub('desk', '-q', '2', '-t', 'plant/away/#', '-c', '-x', '300', '--stats', '60')
    pubs = [stage.pub('fridge-07', '--to', 'desk', '-q', qos, '-t', 'plant/away/' + qos, '-l') for qos in ('1', '2')]
    for qos, pub in zip('12', pubs):
        pub.write(*numbered(qos, 0, 20))
    sub.got(40)
    stage.kill()
    ok(all(pub.says('connection lost') for pub in pubs + [sub]), 'a killed broker: one line on each side',
       said(sub, *pubs))
    for qos, pub in zip('12', pubs):
        pub.write(*numbered(qos, 20, 200))
    time.sleep(0.7)
    stage.start()
    for pub in pubs:
        pub.close()
    ok(all(pub.end(30) == 0 for pub in pubs), 'the publishers deliver and end well', said(*pubs))
    sub.got(440, 60)
    for qos in '12':
        mine = [line for line in sub.lines if line.startswith(qos)]
        ok(mine == numbered(qos, 0, 220),
           'QoS %s: published while the broker was away: each once, in order' % qos,
           '%d lines\n%s' % (len(mine), said(sub)))
    sub.stop()


def broker_killed_in_the_stream(stage):
    """Killed while messages fly, again and again: what was acknowledged arrives, nothing arrives twice."""
    sub = stage.sub('desk', '-q', '2', '-t', 'plant/storm', '-c', '-x', '300')
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '2', '-t', 'plant/storm', '-l')
    pub.write('ready')
    sub.got(1)
    for life in range(3):
        pub.write(*numbered('m', life * 300, 300))
        time.sleep(0.15)
        stage.restart()
        wait(lambda: len([line for line in pub.said if 'connected again' in line]) > life)
    pub.close()
    ok(pub.end(30) == 0, 'a broker killed three times in a stream: the publisher ends well', said(pub))
    wait(lambda: 'm 899' in sub.lines)
    lines = sub.lines[1:]
    ok(len(lines) == len(set(lines)), 'nothing was read twice', said(sub))
    late = [pair for pair in zip(lines, lines[1:]) if int(pair[0].split()[1]) > int(pair[1].split()[1])]
    # Mosquitto forgets what it acknowledged since it last saved, and may repeat what it had saved before.
    print('# a broker that forgets its last second when killed: %d of 900 arrived, %d out of order' %
          (len(lines), len(late)))


def in_outbox(path):
    """How many messages it holds, by a copy: who writes it keeps others out."""
    with tempfile.TemporaryDirectory() as room:
        for part in ('', '-wal'):
            if os.path.exists(path + part):
                shutil.copy(path + part, os.path.join(room, 'copy' + part))
        db = sqlite3.connect(os.path.join(room, 'copy'))
        try:
            return db.execute('SELECT count(*) FROM message').fetchone()[0]
        except sqlite3.DatabaseError:  # it was being written
            return None
        finally:
            db.close()


def outbox(stage):
    box = stage.path('outbox.db')
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/box', '-c', '-x', '300')
    words = ('--to', 'desk', '-q', '1', '-t', 'plant/box', '-l', '--outbox', box)
    pub = stage.pub('fridge-07', *words)
    pub.write(*numbered('m', 0, 20))
    sub.got(20)
    time.sleep(0.3)
    stage.kill()
    pub.says('connection lost')
    pub.write(*numbered('m', 20, 100))
    wait(lambda: in_outbox(box) == 100, 60)
    pub.stop(signal.SIGKILL)
    pub = stage.pub('fridge-07', *words)
    pub.write(*numbered('m', 120, 30))
    wait(lambda: in_outbox(box) == 130, 60)
    status = pub.stop(signal.SIGTERM)
    ok(status == 0 and any('130 messages wait in the outbox' in line for line in pub.said),
       'SIGTERM with messages in the outbox: says so, ends with 0', '%s\n%s' % (status, said(pub)))
    stage.start()
    status, _, err = stage.pub_now('fridge-07', '--to', 'desk', '--outbox', box, '-q', '1')
    ok(status == 0, 'a run with the outbox alone delivers what waits', err)
    ok(sub.got(150) and sub.lines == numbered('m', 0, 150),
       'publisher killed while the broker was away: all from the outbox, once, in order', said(sub))


def signals(stage):
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/sig')
    for number in (signal.SIGTERM, signal.SIGINT):
        for after in (0, 0.002, 0.005, 0.01, 0.03, 0.1):
            pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/sig', '-l')
            pub.write(*numbered('m', 0, 100))
            time.sleep(after)
            status = pub.stop(number)
            # before it has its handlers, the signal itself ends it
            ok(status in (0, 7, -number), '%s after %d ms: ends at once with a status of ours' % (number.name, after * 1000),
               '%s\n%s' % (status, said(pub)))
            if status == 7:
                ok(any('undelivered' in line for line in pub.said), 'and says how much was not delivered', said(pub))
    sub.stop(signal.SIGINT)
    before = len(sub.lines)
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/sig')
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/sig', '-l', '--stats', '60')
    pub.write('first')
    sub.got(1)
    pub.write(*numbered('m', 0, 300))
    sub.got(2)
    status = pub.stop()
    acknowledged = pub.total('acknowledged')
    sub.got(acknowledged)
    ok(status in (0, 7) and len(sub.lines) >= acknowledged > 0, 'nothing acknowledged is lost at SIGTERM in a stream',
       '%s: %d read, %d acknowledged\n%s' % (status, len(sub.lines), acknowledged, said(pub)))
    alone = stage.pub('fridge-07', '--to', 'pump-2', '-q', '1', '-t', 'plant/sig', '-m', 'x', '-i', 'alone')
    wait(lambda: 'Received PUBLISH from alone ' in stage.log_text())  # its key exchange, which nobody answers
    ok(alone.stop() == 7 and alone.says('ended with 1 message undelivered'),
       'SIGTERM while nobody answers: 7, and says that a message was not delivered', said(alone))
    ok(before >= 0 and sub.stop() == 0, 'SIGTERM ends sub with 0', said(sub))


# ---- rotation ----

def two_way(stage, seconds, rate):
    """Two members, each publishing to the other and subscribing, keys rotating every second."""
    more = ('--rotate-every', '1', '--stats', '60')
    names = ('desk', 'ward-3')
    subs = [stage.sub(name, '-q', '1', '-t', 'plant/way/' + name, '-F', '%j', *more) for name in names]
    pubs = [stage.pub(name, '--to', peer, '-q', '1', '-t', 'plant/way/' + peer, '--source', 'fridge', '--rate',
                      str(rate), '--limit', str(seconds * rate), *more) for name, peer in zip(reversed(names), names)]
    for pub in pubs:
        pub.end(seconds + 60)
    for sub in subs:
        sub.got(seconds * rate)
        sub.stop()
    return subs, pubs


def rotation(stage, seconds=8, rate=50):
    sent = seconds * rate
    subs, pubs = two_way(stage, seconds, rate)
    for sub, pub in zip(subs, pubs):
        told = [json.loads(line)['e2e'] for line in sub.lines]
        epochs = [t['epoch'] for t in told]
        lost = sent - len(told)
        refused, missing = sub.total('refused'), sub.total('missing')
        ok(lost == 0 and refused == 0 and missing == 0 and sub.opened() == sent,
           'rotation each second for %d s at %d/s: 0 lost, 0 refused' % (seconds, rate),
           'lost %d refused %d missing %d\n%s' % (lost, refused, missing, said(sub, pub)))
        ok(epochs == sorted(epochs) and max(epochs) >= seconds * 0.6, 'the keys did rotate: epoch %d' % max(epochs))
        numbers = [(t.get('boot_id'), t['counter']) for t in told]
        ok(len(set(numbers)) == sent, 'no (boot id, counter) twice over all keys')
        print('# %s' % [line for line in sub.said if line.startswith('stats in all')])


def rotation_long(stage):
    if not LONG:
        TAP.skip('two-way traffic for 300 s at a rotation a second', 'SEALMQ_LONG is not set')
        return
    rotation(stage, 300, 20)


# ---- telemetry ----

def fridge_csv():
    for folder in (os.environ.get('SEALMQ_DATA'), os.path.join(ROOT, '..', 'shared', 'data')):
        path = folder and os.path.join(folder, 'Train_Test_IoT_Fridge.csv')
        if path and os.path.exists(path):
            return path
    return None


def same(text, value):
    """A field of the CSV and what became of it."""
    if isinstance(value, bool):
        return text.strip().lower() == ('true' if value else 'false')
    if isinstance(value, (int, float)):
        return float(text) == float(value)
    return text.strip() == value


def csv_rows(stage):
    path = fridge_csv()
    if not path:
        TAP.skip('500 rows of the fridge CSV', 'the CSV is not here (SEALMQ_DATA)')
        return
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/csv', '--stats', '60')
    started = time.monotonic()
    status, _, err = stage.pub_now('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/csv', '--source', 'csv:' + path,
                                   '--limit', '500', '--rate', '1000000', '--stats', '60')
    took = time.monotonic() - started
    sub.got(500)
    with open(path, encoding='utf-8-sig', newline='') as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(500))]
    got = [json.loads(line) for line in sub.lines]
    wrong = [(row, record) for row, record in zip(rows, got)
             if list(row) != list(record) or not all(same(row[key], record[key]) for key in row)]
    ok(status == 0 and len(got) == 500 and not wrong, '500 rows of the fridge CSV arrive, equal row by row',
       '%d arrived, %d differ, first %s\n%s' % (len(got), len(wrong), wrong[:1], err))
    print('# 500 rows in %.2f s: %s' % (took, err.strip().splitlines()[-1:]))
    sub.stop()


SCENES = (every_protocol_and_qos, publisher_first, restarts, many_to_one, one_to_many, other_keyex_topic, broker_killed,
          broker_killed_in_the_stream, outbox, signals, rotation, csv_rows, rotation_long)

if __name__ == '__main__':
    sys.exit(play(SCENES))
