#!/usr/bin/env python3
"""Members without certificates by the tool: a key made, registered, admitted, heard, refused, taken back.

usage: test_registered.py SEALMQ ROOT
"""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import LONG, SEALMQ, Process, find, free_port, joined, ok, play, run, wait  # noqa: E402
from test_groups import Keys  # noqa: E402


def with_static_dh(stage):
    """A key server whose certificate may also agree keys."""
    stage.issue('keys', '--role', 'keyserver', '--static-dh')
    stage.issue('ops', '--role', 'admin')
    with open(stage.path('pass'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write('a passphrase of several words\n')
    keys = Keys(stage)
    stage.must(SEALMQ, 'keyserver', 'init', *keys.own())
    return keys.start()


def door(stage):
    """A second listener, for those who have no certificate to show: TLS, with name and password."""
    stage.door, passwords = free_port(), stage.path('passwords')
    for name in ('sensor-03', 'sensor-04', 'desk'):
        stage.must(find('mosquitto_passwd'), *(() if os.path.exists(passwords) else ('-c',)), '-b', passwords, name,
                   'secret')
    stage.extra += ['listener %d 127.0.0.1' % stage.door, 'certfile ' + stage.member(stage.server, 'server.crt'),
                    'keyfile ' + stage.member(stage.server, 'server.key'), 'tls_version tlsv1.3',
                    'password_file ' + passwords]
    stage.restart()


def words(stage, command, name, *more):
    return [SEALMQ, command, '--realm', stage.member(name), '-h', 'localhost', '-p', str(stage.door), '--tls',
            '-u', name, '-P', 'secret', *more]


def refused(stage, text, *more):
    status, out, err = run(SEALMQ, 'group', *more, '--wait', '20', '--realm', stage.member('ops'), *stage.tls('ops'))
    return ok(status and text in err, 'refused: ' + text, (status, out, err))


def many_are_registered(stage, keys):
    """A file of keys: all or none, each wrong row with its line; more of them than one request takes."""
    def ask(text, *more):
        with open(stage.path('keys.csv'), 'w', encoding='utf-8') as file:
            file.write(text)
        return run(SEALMQ, 'group', 'register', '--file', stage.path('keys.csv'), *more, '--wait', '60', '--realm',
                   stage.member('ops'), *stage.tls('ops'))

    def count():
        return len(keys.ask('registered').splitlines()) - 1
    before, new = count(), []
    for n in range(120):
        secret = stage.path('key-%d' % n)
        stage.must('openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', secret)
        stage.must('openssl', 'pkey', '-in', secret, '-pubout', '-out', secret + '.pub')
        with open(secret + '.pub', encoding='ascii') as file:
            inside = ''.join(file.read().splitlines()[1:-1])
        new.append('meter-%03d,%s' % (n, inside if n % 2 else 'key-%d.pub' % n))
    bad = ['member,key', new[0], 'a/b,key-1.pub', 'meter-x,nothing.pub', 'meter-y,key-1', 'one', new[0], 'meter-z,root.crt']
    status, out, err = ask('\n'.join(bad) + '\n')
    lines = [line.split(' ')[2].rsplit(':', 2)[1] for line in err.splitlines() if 'keys.csv:' in line and ' rows ' not in line]
    ok(status and sorted(set(lines)) == ['3', '4', '5', '6', '7', '8'] and '7 of its rows' in err and count() == before,
       'each wrong row is told with its line, and nothing is registered', (status, err))
    status, out, err = ask('\n'.join(['member,key', new[0], 'sensor-03,key-1.pub', 'desk,key-3.pub']) + '\n', '--json')
    told = [json.loads(line) for line in out.splitlines()]
    ok(status and [t['line'] for t in told] == [3, 4] and 'another key' in told[0]['wrong'] and count() == before,
       'what the key server refuses is told likewise', (status, out, err))
    status, out, err = ask('\n'.join(['member,key', *new[:-1], 'sensor-03,key-119.pub']) + '\n')
    ok(status and ':121: the name is registered' in err and count() == before, 'none, where the last of many is wrong', (status, err))
    status, out, err = ask('\n'.join(['member,key', *new]) + '\n')
    ok(status == 0 and '120 keys registered' in out and count() == before + 120, 'all of them', (status, out, err))
    status, out, err = ask('\n'.join(['member,key', *new]) + '\n', '--json')
    ok(status == 0 and json.loads(out)['registered'] == 120 and count() == before + 120, 'once more is no mistake', (status, out, err))
    for text, said in (('', 'first line'), ('name;key\n', 'first line'), ('member,key\n', 'no key in it')):
        status, out, err = ask(text)
        ok(status and said in err and err.count('\n') == 1, 'refused in one line: ' + said, err)


def keys_are_registered_and_belong(stage):
    door(stage)
    keys = with_static_dh(stage)
    for name in ('sensor-03', 'sensor-04'):
        said = stage.must(SEALMQ, 'ca', 'raw', name, '--ca', stage.ca)
        ok('no certificate' in said and not os.path.exists(stage.member(name, 'member.crt')), 'made: ' + name, said)
    keys.make('g', 'update', '--filter', 'plant/#', '--publish', 'sensor-*', '--publish', 'fridge-*',
              '--subscribe', '*')
    early = Process(words(stage, 'pub', 'sensor-03', '--group', 'g', '-q', '1', '-t', 'plant/a', '-m', 'early',
                          '--wait', '120'))
    ok(wait(lambda: any('in the name of sensor-03: a credential that is not known here' in line
                        for line in keys.process.lines), 60),
       'a key that nobody registered is not let in, and the key server says so', keys.process.lines[-4:])
    if not LONG:
        early.stop()
        print('# skipped: that it waits until it is registered (SEALMQ_LONG)')
    else:
        ok(early.says('silent to keys that are not registered', 90), 'the member says what that may mean',
           early.said[-4:])
    keys.ask('register', 'sensor-03', stage.member('sensor-03', 'member.pub'))
    keys.ask('register', 'sensor-03', stage.member('sensor-03', 'member.pub'))
    listed = keys.ask('registered')
    ok(re.search(r'^sensor-03 +[0-9a-f]{8} +\d{4}-', listed, re.M), 'registered, once', listed)
    one = json.loads(keys.ask('registered', '--json'))
    ok(one['name'] == 'sensor-03' and len(one['kid']) == 8, 'and as JSON', one)

    desk = stage.sub('desk', '--group', 'g', '-q', '1', '-t', 'plant/#', '-F', '%s %p', '-d')
    ok(joined(desk), 'a member with a certificate reads')
    pub = Process(words(stage, 'pub', 'sensor-03', '--group', 'g', '-q', '1', '-t', 'plant/a', '-l', '-d'))
    pub.write('13.1')
    ok(wait(lambda: 'sensor-03 13.1' in desk.lines, 60), 'it publishes, and is heard by its name',
       (desk.lines, desk.said[-5:], pub.said[-5:]))
    sub = Process(words(stage, 'sub', 'sensor-03', '--group', 'g', '-q', '1', '-t', 'plant/#', '-F', '%s %p', '-d'))
    ok(joined(sub), 'and reads, as another process',
       sub.said[-5:])
    status, _, err = stage.pub_now('fridge-07', '--group', 'g', '-q', '1', '-t', 'plant/b', '-m', '4.0')
    ok(status == 0 and wait(lambda: 'fridge-07 4.0' in sub.lines, 60), 'what those with certificates publish',
       (err, sub.said[-5:]))
    members = keys.ask('members', 'g')
    ok(re.search(r'^sensor-03 .* key ', members, re.M) and re.search(r'^desk .* certificate ', members, re.M),
       'the list of members says who is which', members)
    # nobody has to say which group
    status, _, err = run(*words(stage, 'pub', 'sensor-03', '-q', '1', '-t', 'plant/c', '-m', 'chosen'))
    ok(status == 0 and wait(lambda: 'sensor-03 chosen' in desk.lines, 60), 'the topic picks its group too', err)

    refused(stage, 'with another key', 'register', 'sensor-03', stage.member('sensor-04', 'member.pub'))
    refused(stage, 'under another name', 'register', 'sensor-05', stage.member('sensor-03', 'member.pub'))
    refused(stage, 'a member with a certificate has this name', 'register', 'desk',
            stage.member('sensor-04', 'member.pub'))
    refused(stage, 'a private key', 'register', 'sensor-04', stage.member('sensor-04', 'member.key'))
    refused(stage, 'not a public key of P-256', 'register', 'sensor-04', stage.member('sensor-04', 'root.crt'))
    refused(stage, 'no key is registered', 'unregister', 'sensor-09')

    # what a registered key cannot do is said at once
    for more, text in ((('--to', 'desk'), 'has no sessions'), (('--group', 'g', '--sign', 'every'), 'signs nothing')):
        status, _, err = run(*words(stage, 'pub', 'sensor-03', '-t', 'plant/x', '-m', 'x', *more))
        ok(status and text in err, 'says so: ' + text, (status, err))

    # a certificate of a registered name
    stage.issue('sensor-06')
    stage.must(SEALMQ, 'ca', 'raw', 'spare', '--ca', stage.ca)
    keys.ask('register', 'sensor-06', stage.member('spare', 'member.pub'))
    late = stage.pub('sensor-06', '--group', 'g', '-q', '1', '-t', 'plant/a', '-m', 'x', '--wait', '20')
    ok(late.says('belongs to a registered key', 60), 'a certificate does not speak for a registered name',
       late.said[-4:])
    late.stop()

    if LONG:
        ok(early.end(120) == 0 and 'sensor-03 early' in desk.lines, 'what waited for the registration is published',
           (early.said[-4:], desk.lines))
    many_are_registered(stage, keys)
    before = keys.epoch('g')
    keys.ask('unregister', 'sensor-03')
    ok(keys.epoch('g') == before + 1, 'unregistering moves the epoch')
    stage.pub_now('fridge-07', '--group', 'g', '-q', '1', '-t', 'plant/b', '-m', 'after')
    ok(wait(lambda: 'fridge-07 after' in desk.lines, 60) and 'fridge-07 after' not in sub.lines,
       'and what follows is not read by it', sub.lines[-3:])
    ok(pub.says('not registered any more', 60), 'it is told so', pub.said[-5:])
    pub.write('still here')
    ok(not wait(lambda: 'sensor-03 still here' in desk.lines, 1), 'and heard no more', desk.lines[-3:])
    log = stage.must(SEALMQ, 'keyserver', 'audit', '--realm', stage.member('keys'), '--db', keys.db, '--json')
    acts = [(line.get('what'), line.get('whom')) for line in map(json.loads, log.splitlines())]
    ok(('register', 'sensor-03') in acts and ('unregister', 'sensor-03') in acts, 'the log has both acts', acts[-6:])
    for process in (pub, sub, desk):
        process.stop()

    # the key server kept it over a restart; the member asks by kid, and needs its certificate no more
    keys.ask('register', 'sensor-04', stage.member('sensor-04', 'member.pub'))
    keys.stop()
    keys.start()
    status, _, err = run(*words(stage, 'pub', 'sensor-04', '--group', 'g', '-q', '1', '-t', 'plant/a', '-m', 'one'))
    ok(status == 0, 'registered over a restart', err)
    sizes = []
    for _ in range(2):
        seen = len(stage.log_text())
        status, _, err = run(*words(stage, 'pub', 'sensor-04', '--group', 'g', '-q', '1', '-t', 'plant/a', '-m', 'x'))
        sizes = [int(n) for n in re.findall(r"Sending PUBLISH to \S+ \([^)]*'sealmq/plant/ks/a/sensor-04', ... \((\d+) "
                                            r"bytes\)\)", stage.log_text()[seen:])]
    ok(sizes and sizes[0] < 100, 'the second time message_2 in its envelope is below 100 bytes', sizes)
    keys.stop()

    status, out, err = run(SEALMQ, 'keyserver', 'check', *keys.own())
    ok(status == 0 and '3 registered keys' in out, 'check counts them, with the one that was taken back', out + err)

    # a key server whose certificate, and with it its key, was renewed
    stage.must(SEALMQ, 'ca', 'renew', 'keys', '--ca', stage.ca)
    keys.start()
    for text in ('shown the new one', 'and knows it then'):
        status, _, err = run(*words(stage, 'pub', 'sensor-04', '--group', 'g', '-q', '1', '-t', 'plant/a', '-m', 'x'))
        ok(status == 0, 'the key server has another certificate: ' + text, err)
    keys.ask('rotate', 'g')
    status, _, err = run(*words(stage, 'pub', 'sensor-04', '--group', 'g', '-q', '1', '-t', 'plant/a', '-m', 'x'))
    ok(status == 0, 'and what it signs by it is believed', err)
    keys.stop()


if __name__ == '__main__':
    sys.exit(play([keys_are_registered_and_belong]))
