#!/usr/bin/env python3
"""A certificate is renewed while its member talks, and the one before is revoked: what runs goes on by the new one.

usage: test_renewal.py SEALMQ ROOT
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, Process, ok, play, run, wait  # noqa: E402

LIMIT = float(os.environ.get('SEALMQ_PATIENCE', '90'))


def serials(stage, name):
    return [c['serial'] for c in json.loads(stage.must(SEALMQ, 'ca', 'show', name, '--ca', stage.ca, '--json'))]


def words(stage, command, name, *more):
    """TLS by the realm's own files, whichever they are."""
    return [SEALMQ, command, '--realm', stage.member(name), '-h', 'localhost', '-p', str(stage.port), '--tls', *more]


def first_list(stage):
    stage.must(SEALMQ, 'ca', 'crl', '--ca', stage.ca)


def renew(stage, *names):
    """Renews them; the serial numbers of before."""
    old = [serials(stage, name)[-1] for name in names]
    for name in names:
        stage.must(SEALMQ, 'ca', 'renew', name, '--ca', stage.ca)
    return old


def revoke(stage, old):
    for serial in old:
        stage.must(SEALMQ, 'ca', 'revoke', serial, '--reason', 'superseded', '--ca', stage.ca)


def says(process, text):
    return wait(lambda: any(text in line for line in process.said), LIMIT)


def flows(pub, sub, word):
    """Written again and again until it is heard: what was sealed under keys of before may be lost."""
    def heard():
        pub.write(word)
        return wait(lambda: any(word in line for line in sub.lines), 0.5)
    return wait(heard, LIMIT)


def sessions(stage):
    first_list(stage)
    sub = Process(words(stage, 'sub', 'desk', '-q', '1', '-t', 'plant/s', '-F', '%s %p', '--from', 'fridge-07', '--rotate-every',
                        '2', '--require-proof'))
    pub = Process(words(stage, 'pub', 'fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/s', '-l', '--rotate-every', '2', '--sign',
                        'every'))
    ok(flows(pub, sub, 'before'), 'both talk', '\n'.join(sub.said + pub.said))
    old = renew(stage, 'desk', 'fridge-07')
    ok(says(sub, 'our certificate was renewed, and is in use') and says(pub, 'our certificate was renewed, and is in use'),
       'both take their renewed certificates while they run', '\n'.join(sub.said + pub.said))
    ok(flows(pub, sub, 'renewed'), 'and talk on', '\n'.join(sub.said + pub.said))
    revoke(stage, old)
    ok(flows(pub, sub, 'revoked'), 'when those of before are revoked, too', '\n'.join(sub.said + pub.said))
    # the broker asks anew, and knows the list: only the new ones get in
    stage.extra = ['crlfile ' + os.path.join(stage.ca, 'crl.pem')]
    stage.restart()
    ok(flows(pub, sub, 'again'), 'the broker sees the new ones with the next connection', '\n'.join(sub.said + pub.said))
    status, _, err = run(*words(stage, 'pub', 'fridge-07', '--to', 'desk', '-t', 'plant/s', '-m', 'x', '--cert',
                                stage.member('fridge-07', 'member.crt'), '--key', stage.member('fridge-07', 'member.key')))
    ok(status != 0, 'and no old one', err)
    ok(pub.child.poll() is None and sub.child.poll() is None, 'none of them was started anew')
    # one that is of no use changes nothing
    with open(stage.member('desk', 'member.pem'), encoding='ascii') as file:
        good = file.read()
    with open(stage.member('desk', 'member.pem'), 'w', encoding='ascii') as file:
        file.write(good[:200])
    ok(says(sub, 'our renewed certificate is not taken'), 'a spoilt file is told of', '\n'.join(sub.said))
    ok(flows(pub, sub, 'on and on'), 'and changes nothing', '\n'.join(sub.said + pub.said))
    with open(stage.member('desk', 'member.pem'), 'w', encoding='ascii') as file:
        file.write(good)
    sub.stop()
    pub.stop()


def groups(stage, *more):
    passphrase = stage.path('pass')
    if not os.path.exists(passphrase):
        with open(passphrase, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write('several words\n')
        stage.issue('keys', '--role', 'keyserver')
        stage.issue('ops', '--role', 'admin')
        first_list(stage)
        own = ['--db', stage.path('keys.db'), '--passphrase-file', passphrase]
        stage.must(SEALMQ, 'keyserver', 'init', '--realm', stage.member('keys'), *own)
    own = ['--db', stage.path('keys.db'), '--passphrase-file', passphrase]
    group = 'g%d' % len(more)
    keys = Process(words(stage, 'keyserver', 'keys')[:2] + ['run'] + words(stage, 'keyserver', 'keys')[2:] + own + list(more))
    ok(wait(lambda: any('connected' in line for line in keys.lines), LIMIT), 'a key server %s' % ' '.join(more),
       '\n'.join(keys.said + keys.lines))
    status, _, err = run(SEALMQ, 'group', 'create', group, '--mode', 'update', '--filter', 'plant/%s/#' % group, '--publish', '*',
                         '--subscribe', '*', *words(stage, '', 'ops')[2:], seconds=60)
    ok(status == 0, 'a group', err)
    sub = Process(words(stage, 'sub', 'ward-3', '--group', group, '-q', '1', '-t', 'plant/%s/#' % group, '-F', '%s %p'))
    pub = Process(words(stage, 'pub', 'pump-2', '--group', group, '-q', '1', '-t', 'plant/%s/a' % group, '-l'))
    ok(flows(pub, sub, 'before'), 'members talk', '\n'.join(sub.said + pub.said + keys.lines))
    old = renew(stage, 'keys', 'ward-3', 'pump-2')
    ok(says(sub, 'our certificate was renewed') and says(pub, 'our certificate was renewed') and
       wait(lambda: any('our renewed certificate is in use' in line for line in keys.lines), LIMIT),
       'members and key server take their renewed certificates', '\n'.join(keys.lines))
    ok(flows(pub, sub, 'renewed'), 'and talk on', '\n'.join(sub.said + pub.said + keys.lines))
    status, _, err = run(SEALMQ, 'group', 'rotate', group, *words(stage, '', 'ops')[2:], seconds=60)
    ok(status == 0, 'an epoch that the new certificate has signed', err)
    ok(wait(lambda: any('epoch 3' in line and group in line for line in keys.lines), LIMIT) and flows(pub, sub, 'rotated'),
       'is followed', '\n'.join(sub.said + pub.said + keys.lines))
    ok(old and pub.child.poll() is None and sub.child.poll() is None and keys.child.poll() is None,
       'none of them was started anew')
    for process in (pub, sub, keys):
        process.stop()


def groups_undivided(stage):
    groups(stage, '--undivided')


if __name__ == '__main__':
    sys.exit(play([sessions, groups, groups_undivided]))
