#!/usr/bin/env python3
"""A broker, and whoever can publish there, against members that go on talking.

usage: test_hostile.py SEALMQ ROOT
"""
import json
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import Process, find, ok, play, wait  # noqa: E402

DICE = random.Random(20261121)
SECRET = 'the-secret-words'


def said(*processes):
    return '\n'.join('%s: %s' % (p.words[1], line[:300]) for p in processes for line in p.said)


def raw_control(process):
    """Lines of standard error with a control character in them."""
    return [line for line in process.said if re.search('[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\ufffd]', line)]


class Honest:
    """fridge-07 writes to desk ten times a second all the while; what is not read is noticed."""

    def __init__(self, stage, *more):
        self.sub = stage.sub('desk', '-q', '1', '-t', 'plant/h/#', '-F', '%j', '--stats', '60', *more)
        self.pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/h/honest', '--source', 'fridge',
                             '--rate', '25', '--stats', '60', *more)
        self.sub.got(3)

    def end(self, what):
        """True words were read to the last one, nothing else was, and both still run."""
        alive = self.sub.child.poll() is None and self.pub.child.poll() is None
        before = len(self.sub.lines)
        flows = self.sub.got(before + 5, 5)
        status = self.pub.stop()
        wait(lambda: False, 0.3)
        self.sub.stop()
        sent = self.pub.total('acknowledged')
        topics = {json.loads(line)['topic'] for line in self.sub.lines}
        ok(alive and flows and status == 0, what + ': both sides live and talk on', said(self.sub, self.pub)[-3000:])
        ok(len(self.sub.lines) == sent and topics == {'plant/h/honest'} and self.sub.total('missing') == 0,
           what + ': all honest messages are read, and only those',
           '%d sent, %d read, %s\n%s' % (sent, len(self.sub.lines), topics, said(self.sub)[-2000:]))
        ok(not raw_control(self.sub) and not raw_control(self.pub), what + ': no raw control character on stderr',
           raw_control(self.sub) + raw_control(self.pub))


# ---- data topics ----

def data_topics(stage):
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/d/in', '-F', '%j', '--stats', '60')
    eye = stage.eye('-t', 'plant/d/#')
    hand = stage.hand()
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/d/in', '-l', '--stats', '60')
    out = stage.pub('ward-3', '--to', 'desk', '-q', '1', '-t', 'plant/d/out', '-l', '--stats', '60')
    pub.write('{"n":0}')
    out.write('{"word":"%s"}' % SECRET)
    sub.got(1)
    eye.got(2)
    seen = {line.split()[0]: bytes.fromhex(line.split()[1]) for line in eye.lines}
    delivered, elsewhere = seen['plant/d/in'], seen['plant/d/out']

    def put(payload):
        hand.put('plant/d/in', payload)

    sent = 0
    for bit in range(8 * len(elsewhere)):
        altered = bytearray(elsewhere)
        altered[bit // 8] ^= 1 << bit % 8
        put(bytes(altered))
    sent += 8 * len(elsewhere)
    for length in range(len(elsewhere)):
        put(elsewhere[:length])
    sent += len(elsewhere)
    put(elsewhere + b'\0')
    put(delivered)
    put(elsewhere)
    put(b'\x1b[31m{"plain": "text\x07"}\x9b')
    put(b'')
    put(os.urandom(1 << 20))
    put(delivered + bytes(1 << 20))
    sent += 7
    for _ in range(200):
        put(DICE.randbytes(DICE.randrange(1, 200)))
    sent += 200
    hand.settle()
    time.sleep(0.2)
    pub.write('{"n":1}')
    ok(sub.got(2, 5), 'after %d hostile payloads an honest one is read' % sent, said(sub, pub))
    ok([json.loads(line)['payload'] for line in sub.lines] == ['{"n":0}', '{"n":1}'], 'and nothing else was',
       '\n'.join(sub.lines))
    status = sub.stop()
    ok(status == 0 and sub.total('refused') == sent, 'each of them is counted in --stats', '%s of %d\n%s' %
       (status, sent, said(sub)))
    reasons = set(sub.refusals())
    for reason in ('open', 'replay', 'not-sealed', 'malformed', 'no-key', 'truncated'):
        ok(reason in reasons, 'one clear line says: ' + reason, reasons)
    per_kind = [sub.total(kind) for kind in ('(replay', 'replay', 'open', 'no key', 'malformed', 'not sealed')]
    print('# kinds: %s' % sub.said[-1], per_kind)
    everything = '\n'.join(sub.said + pub.said + out.said)
    ok(SECRET not in everything and 'plain": "text' not in everything, 'no payload on standard error', everything)
    ok(not raw_control(sub), 'no raw control character on standard error', raw_control(sub))
    ok(len(sub.said) < 80, '%d refusals are told in %d lines' % (sent, len(sub.said)))
    hand.close()


def moved(stage):
    """Held back, then sent to another topic; held back by an ACL as a broker would."""
    stage.acl = ['topic readwrite #', 'pattern readwrite #', 'user desk', 'topic readwrite #']
    stage.restart(15)
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/m/#', '--stats', '60')
    eye = stage.eye('-t', 'plant/m/#')
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/m/valve', '-l')
    pub.write('shut')
    sub.got(1)
    stage.acl = ['topic readwrite #', 'pattern readwrite #', 'user desk', 'topic deny plant/m/valve',
                 'topic readwrite #']
    reload_acl(stage)
    pub.write('open')
    eye.got(2)
    time.sleep(0.2)
    stage.acl = ['topic readwrite #', 'pattern readwrite #']
    reload_acl(stage)
    held = bytes.fromhex(eye.lines[1].split()[1])
    hand = stage.hand()
    hand.put('plant/m/gate', held)
    ok(sub.says("moved: sealed for another topic and moved here; topic 'plant/m/gate', sealed for topic 'plant/m/valve'"),
       'a message moved to another topic: refused, with both topics', said(sub))
    hand.put('plant/m/valve', held)
    ok(sub.got(2), 'where it belongs it is read', said(sub))
    hand.put('plant/m/valve', held)
    ok(sub.says('replay'), 'once more: refused as a replay', said(sub))
    hand.settle()
    sub.stop()
    ok(sub.lines == ['shut', 'open'] and sub.total('(moved') + sub.total('moved') == 1, 'counted under moved', said(sub))
    yesterday = stage.sub('desk', '-q', '1', '-t', 'plant/m/#', '--stats', '60')
    hand.put('plant/m/valve', held)
    ok(yesterday.says('no-key: no key for this message'), 'yesterday\'s message: no key for it', said(yesterday))
    yesterday.stop()
    stage.acl = None
    stage.restart(15)


def reload_acl(stage):
    stage.configure()
    before = stage.log_text().count('Reloading config')
    stage.broker.send_signal(1)
    wait(lambda: stage.log_text().count('Reloading config') > before)
    time.sleep(0.1)


# ---- statuses ----

def statuses(stage):
    """The status of sub tells why nothing came: under --strict at once, with -C and -W at the end."""
    eye = stage.eye('-t', 'plant/s/live')
    hand = stage.hand()

    def genuine(sub):
        """One message, read by sub, and its bytes."""
        before = len(eye.lines)
        stage.pub_now('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/s/live', '-m', 'x')
        eye.got(before + 1)
        sub.got(1)
        return bytearray.fromhex(eye.lines[before].split()[1])

    def row(more, reason, payload, status):
        sub = stage.sub('desk', '-q', '1', '-t', 'plant/s/in', *more)
        hand.put('plant/s/in', bytes(payload))
        hand.settle()
        got = sub.end(5)
        ok(got == status and reason in sub.refusals(), '%s, %s: status %d' % (' '.join(more), reason, status),
           '%s\n%s' % (got, said(sub)))

    live = stage.sub('desk', '-q', '1', '-t', 'plant/s/live', '--strict')
    old = genuine(live)
    hand.put('plant/s/live', bytes(old))
    ok(live.end(5) == 82, '--strict, replay: status 82', said(live))
    live = stage.sub('desk', '-q', '1', '-t', 'plant/s/in', '--strict')
    elsewhere = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/s/live', '-m', 'x')
    eye.got(3)
    flipped = bytearray.fromhex(eye.lines[-1].split()[1])
    flipped[-1] ^= 1
    hand.put('plant/s/in', bytes(flipped))
    ok(elsewhere.end() == 0 and live.end(5) == 80, '--strict, altered: status 80', said(live))
    for more in (['--strict'], ['-C', '1', '-W', '1']):
        row(more, 'no-key', old, 81)
        row(more, 'not-sealed', b'{"a":1}', 84)
        row(more, 'malformed', old[:1] + b'\xff' * 20, 84)
        row(more, 'truncated', old[:3], 84)
    silent = stage.sub('desk', '-t', 'plant/s/live', '-C', '1', '-W', '1')
    ok(silent.end(5) == 27, '-W with nothing at all: 27', said(silent))
    hand.close()


# ---- key-exchange topics ----

def text(word):
    return bytes([0x60 | len(word)]) + word.encode() if len(word) < 24 else b'\x78' + bytes([len(word)]) + word.encode()


def byte_string(b):
    return (bytes([0x40 | len(b)]) if len(b) < 24 else b'\x58' + bytes([len(b)]) if len(b) < 256 else
            b'\x59' + len(b).to_bytes(2, 'big')) + b


def envelope(kind, to, sender, ident, body):
    return b'\x86\x01' + bytes([kind]) + text(to) + text(sender) + byte_string(ident) + byte_string(body)


def keyex_topics(stage):
    eye = stage.eye('-t', 'sealmq/plant/keyex/#')
    honest = Honest(stage, '--rotate-every', '1')
    hand = stage.hand()
    wait(lambda: len(eye.lines) >= 6)
    genuine = [(line.split()[0], bytes.fromhex(line.split()[1])) for line in eye.lines[:8]]
    topics = sorted({topic for topic, _ in genuine} | {'sealmq/plant/keyex/all'})
    sent = 0
    for topic, payload in genuine:
        for bit in range(8 * len(payload)):
            altered = bytearray(payload)
            altered[bit // 8] ^= 1 << bit % 8
            hand.put(topic, bytes(altered))
        for length in range(len(payload)):
            hand.put(topic, payload[:length])
        hand.put(topic, payload, retain=True)
        hand.put(topic, payload)
        hand.put(topic, payload + b'\0')
        sent += 9 * len(payload) + 3
        hand.settle()
    for topic in topics:
        for _ in range(300):
            hand.put(topic, DICE.randbytes(DICE.randrange(0, 400)))
        hand.put(topic, os.urandom(1 << 20))
        hand.put(topic, b'')
        sent += 302
    for retained in topics:
        hand.put(retained, b'', retain=True)
    hand.settle()
    ok(True, '%d hostile key-exchange messages: every bit, every cut, repeated, random, retained, 1 MB' % sent)
    honest.end('under hostile key-exchange messages')
    lines = [line for line in honest.sub.said + honest.pub.said if 'failed' in line]
    ok(len(lines) < 60, 'failed exchanges are told in few lines: %d' % len(lines), '\n'.join(lines[-10:]))
    hand.close()


def keyex_errors(stage):
    """Errors that anybody may claim: an answer to each of our tries is refused a thousand times."""
    eye = Process([find('mosquitto_sub')] + stage.tls('observer') + ['-q', '1', '-t', 'sealmq/plant/keyex/pump-2', '-F',
                                                                    '%t %x'])
    time.sleep(0.3)
    pub = stage.pub('fridge-07', '--to', 'pump-2', '-q', '1', '-t', 'plant/e', '-m', SECRET, '--wait', '4')
    hand = stage.hand()
    eye.got(1)
    for seen in range(3):
        if not eye.got(seen + 1, 3):
            break
        first = bytes.fromhex(eye.lines[seen].split()[1])
        ident = first[2 + 1 + 7 + 10 + 1:][:4]
        for _ in range(300):
            hand.put('sealmq/plant/keyex/fridge-07', envelope(5, 'fridge-07', 'pump-2', ident, b'\x01\x65\x1b[31m'))
        hand.settle()
    status = pub.end(10)
    failed = [line for line in pub.said if 'failed' in line]
    ok(status == 83 or status == 81, 'errors from anybody do not end the exchange before its time: %s' % status,
       said(pub)[-2000:])
    ok(0 < len(failed) < 30, '900 forged errors are told in %d lines' % len(failed), said(pub)[-2000:])
    ok(not raw_control(pub) and SECRET not in '\n'.join(pub.said), 'nothing raw and nothing secret in them', said(pub))
    hand.close()


def ugly_topics(stage):
    sub = stage.sub('desk', '-t', 'plant/u/#', '--stats', '60')
    hand = stage.hand()
    # Mosquitto itself lets no C0 and C1 control character through in a topic.
    hand.put('plant/u/\u202e\u2028\u200bred', b'plain')
    hand.put(b'plant/u/' + b'x' * 3000, b'plain')
    hand.settle()
    sub.says('red')
    time.sleep(0.2)
    ok(sub.stop() == 0 and sub.total('refused') == 2, 'topics with control characters: refused and told', said(sub))
    ok(not raw_control(sub) and not any('\x1b' in line or '\u202e' in line or '\u2028' in line for line in sub.said),
       'control characters of a topic never reach the terminal raw', [repr(line) for line in sub.said])
    ok(max(map(len, sub.said)) < 600, 'and a long topic is cut')
    hand.close()


SCENES = (data_topics, moved, statuses, keyex_topics, keyex_errors, ugly_topics)

if __name__ == '__main__':
    sys.exit(play(SCENES))
