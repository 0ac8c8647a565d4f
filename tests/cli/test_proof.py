#!/usr/bin/env python3
"""Proven senders through a real broker: signatures on each message and by checkpoints, required or only checked.

usage: test_proof.py SEALMQ ROOT
"""
import json
import os
import sys
import time

from record_rig import TAP, play, wait


def subscribe(w, *more, member='centre'):
    process = w.start('sub', '--realm', w.member(member), *w.at(), '-q', '1', '-t', 'audit/#', '-F', '%j', '-d', *more)
    wait(lambda: 'subscribed to audit/#' in w.said(process))
    time.sleep(0.3)
    return process


def heard(w, process):
    _, out = w.stop(process)
    return [(row['payload'], row['e2e']['sender'], row['e2e']['proof']) for row in map(json.loads, out.splitlines())]


def lines(count, word):
    return ['%s-%d' % (word, n) for n in range(count)]


def proven(w):
    """Whatever the way of signing, with a group or a session, all of it arrives as proven, once, in order."""
    for mode, count in (('every', 5), ('checkpoint', 70)):
        process = subscribe(w, '--require-proof', '-C', str(count), '-W', '30')
        w.pub('aud-1', lines(count, mode), None, '--sign', mode)
        process.wait(40)
        TAP.row(heard(w, process) == [(text, 'aud-1', 'proven') for text in lines(count, mode)],
                'a group, --sign %s: all is proven' % mode)
        process = subscribe(w, '--require-proof', '-C', '3', '-W', '30', '--from', 'aud-1')
        w.must('pub', '--realm', w.member('aud-1'), *w.at(), '-q', '1', '--to', 'centre', '-t', 'audit/x', '-l', '--sign',
               mode, stdin='a\nb\nc\n')
        process.wait(40)
        got = heard(w, process)
        TAP.row(got == [(text, 'aud-1', 'proven') for text in 'abc'], 'a session, --sign %s: all is proven' % mode, [str(got)])


def flood(w):
    """As fast as it goes, with more checkpoints than a client keeps back: they go out among their messages."""
    count = 3000
    process = subscribe(w, '--require-proof', '-C', str(count), '-W', '60')
    w.pub('aud-1', lines(count, 'n'), None, '--sign', 'checkpoint', '--checkpoint-messages', '4')
    rows = [json.loads(line) for line in process.communicate(timeout=90)[0].splitlines()]
    got = [(row['payload'], row['e2e']['proof']) for row in rows]
    TAP.row(got == [(text, 'proven') for text in lines(count, 'n')], 'a flood: all is proven',
            ['%d came' % len(got), w.said(process)[-300:]])


def retained(w):
    """A retained message is signed on its own: whoever comes later has its proof at once."""
    w.must(*w.pub_words('aud-1', 'audit/kept', '-r', '-m', 'kept', '--sign', 'checkpoint'))
    process = subscribe(w, '--require-proof', '-C', '1', '-W', '30')
    process.wait(40)
    got = heard(w, process)
    TAP.row(got == [('kept', 'aud-1', 'proven')], 'a retained message brings its own proof', [str(got)])
    w.must('pub', '--plain', *w.at(), '-r', '-n', '-t', 'audit/kept', '-q', '1')


def unsigned(w):
    process = subscribe(w, '--require-proof')
    w.pub('aud-1', ['unsigned'])
    w.pub('aud-2', ['signed'], None, '--sign', 'every')
    wait(lambda: 'not-proven' in w.said(process))
    time.sleep(0.5)
    got = heard(w, process)
    TAP.row(got == [('signed', 'aud-2', 'proven')] and 'not-proven' in w.said(process),
            'what is not signed is refused where proof is required', [str(got), w.said(process)])
    process = subscribe(w, '--check-proof')
    w.pub('aud-1', ['unsigned'])
    w.pub('aud-2', ['covered'], None, '--sign', 'checkpoint')
    w.pub('aud-2', ['signed'], None, '--sign', 'every')
    time.sleep(1)
    got = heard(w, process)
    TAP.row(got == [('unsigned', 'aud-1', 'member'), ('covered', 'aud-2', 'provisional'), ('signed', 'aud-2', 'proven')],
            'and marked where it is only checked', [str(got)])
    process = subscribe(w)
    w.pub('aud-2', ['signed'], None, '--sign', 'every')
    time.sleep(1)
    got = heard(w, process)
    TAP.row(got == [('signed', 'aud-2', 'member')] and 'proof' not in w.said(process), 'readers that do not ask see no difference',
            [str(got)])


def late_checkpoint(w):
    """Nothing is delivered before its proof; a sender that is killed leaves its tail unproven."""
    process = subscribe(w, '--require-proof')
    publisher = w.start(*w.pub_words('aud-1', 'audit/aud-1/n', '--source', 'vitals', '--rate', '20', '--sign', 'checkpoint',
                                     '--checkpoint-every', '60', '--checkpoint-messages', '10'))
    time.sleep(1.3)
    publisher.kill()
    publisher.wait()
    time.sleep(0.5)
    got = heard(w, process)
    TAP.row(len(got) in (10, 20, 30, 40) and all(proof == 'proven' for _, _, proof in got),
            'only what a checkpoint covered is delivered', [str(len(got))])


def strangers(w):
    """Somebody with a certificate of another authority, or none: what he puts on the topics of proof changes nothing."""
    w.must('ca', 'init', 'other')
    w.must('ca', 'issue', 'aud-1', '--ca', 'other')
    theirs = w.path('other', 'members', 'aud-1')
    os.makedirs(os.path.join(theirs, 'groups'), 0o700, exist_ok=True)
    process = subscribe(w, '--require-proof')
    for topic in ('cert/aud-1', 'proof/group/audit/aud-1', 'proof/to/centre/aud-1', 'cert/', 'proof/x'):
        for text in ('junk', '\x01' * 5000):
            w.must('pub', '--plain', *w.at(), '-q', '1', '-t', 'sealmq/plant/' + topic, '-m', text)
    w.must('pub', '--plain', *w.at(), '-q', '1', '-t', 'sealmq/plant/cert/aud-1', '-f', os.path.join(theirs, 'member.crt'))
    w.pub('aud-1', ['still here'], None, '--sign', 'every')
    w.pub('aud-1', ['and here'], None, '--sign', 'checkpoint')
    wait(lambda: False, 1)
    got = heard(w, process)
    TAP.row(got == [('still here', 'aud-1', 'proven'), ('and here', 'aud-1', 'proven')], 'junk on the topics of proof does no harm',
            [str(got), w.said(process)])


def names(w):
    """Names come from certificates; a topic that names a sender agrees with it, or the message is refused."""
    pattern = ('--sender-topic', 'audit/{sender}/#')
    process = subscribe(w, *pattern)
    w.pub('aud-1', ['own'], 'audit/aud-1/n')
    w.pub('aud-1', ['as another'], 'audit/aud-2/n', '--sign', 'every')
    w.pub('aud-1', ['as a stranger'], 'audit/nobody/n')
    w.pub('aud-1', ['names nobody'], 'audit')
    w.must('pub', '--realm', w.member('aud-1'), *w.at(), '-q', '1', '--to', 'centre', '-t', 'audit/aud-2/s', '-m', 'in a session')
    w.pub('aud-2', ['own too'], 'audit/aud-2/n')
    wait(lambda: w.said(process).count('aud-1') >= 3)
    time.sleep(0.5)
    said = w.said(process)
    got = heard(w, process)
    TAP.row([(text, sender) for text, sender, _ in got] == [('own', 'aud-1'), ('names nobody', 'aud-1'), ('own too', 'aud-2')],
            "topics in another's name are refused", [str(got), said])
    TAP.row('audit/aud-2/n' in said and 'audit/nobody/n' in said and 'audit/aud-2/s' in said, 'each is told', [said])
    done = w.run(*w.pub_words('aud-1', 'audit/aud-2/n', '-m', 'x', *pattern))
    TAP.row(done.returncode != 0 and 'topic' in done.stderr, 'and pub does not publish so', [done.stderr])
    for wrong in ('audit/#', 'audit/x{sender}/#', '{sender}/{sender}', 'a/#/{sender}'):
        done = w.run('sub', '--realm', w.member('centre'), *w.at(), '-t', 'audit/#', '--sender-topic', wrong, '-W', '1')
        TAP.row(done.returncode not in (0, 27) and '{sender}' in done.stderr, 'no such pattern: ' + wrong, [done.stderr])
    done = w.run(*w.pub_words('aud-1', 'audit/aud-1/n', '-m', 'x', '--sender-topic', 'audit/+'))
    TAP.row(done.returncode != 0 and '{sender}' in done.stderr, 'for pub neither', [done.stderr])


def wrong_use(w):
    for words, said in (((('--sign', 'sometimes')), 'every'), (('--sign', 'checkpoint', '--checkpoint-messages', '257'), '256')):
        done = w.run(*w.pub_words('aud-1', 'audit/x', '-m', 'x', *words))
        TAP.row(done.returncode != 0 and said in done.stderr, 'wrong use: ' + ' '.join(words), [done.stderr])


sys.exit(play([proven, flood, retained, unsigned, late_checkpoint, strangers, names, wrong_use]))
