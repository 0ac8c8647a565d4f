#!/usr/bin/env python3
"""sealmq pub and sub, sealed, through a broker that learns nothing."""
import atexit
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time

import rig

BROKER = HOME = None
MEMBERS = ('fridge', 'desk', 'other')


def setup():
    global BROKER, HOME
    if BROKER:
        return
    BROKER, HOME = rig.Broker(), tempfile.mkdtemp(prefix='sealmq-cli-')
    atexit.register(shutil.rmtree, HOME, True)
    atexit.register(BROKER.close)
    for realm in 'plant', 'foreign':
        directory = os.path.join(HOME, realm)
        assert rig.run([rig.SEALMQ, 'ca', 'init', directory]).code == 0
        for name in MEMBERS:
            got = rig.run([rig.SEALMQ, 'ca', 'issue', name, '--ca', directory])
            assert got.code == 0, got


def of(member, realm='plant'):
    setup()
    return ['-p', str(BROKER.port), '--realm', os.path.join(HOME, realm, 'members', member)]


def sub(member, args, realm='plant'):
    command = [rig.SEALMQ, 'sub'] + of(member, realm) + args
    return BROKER.subscriber(lambda: rig.Run(command), rig.topics_of(args))


def eye_on(args):
    """The broker's eye."""
    setup()
    return BROKER.subscriber(lambda: rig.Run(['mosquitto_sub', '-p', str(BROKER.port)] + args), rig.topics_of(args))


def pub(member, args, stdin=None, realm='plant'):
    return rig.run([rig.SEALMQ, 'pub'] + of(member, realm) + args, stdin)


def test_one_message_to_one_member():
    setup()
    eye = eye_on(['-t', 'plant/#', '-C', '1', '-N'])
    reader = sub('desk', ['-t', 'plant/#', '-C', '1', '-F', '%s|%t|%p|%e|%n|%v|%b'])
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/a', '-m', 'the secret words', '-q', '1'])
    assert (got.code, got.err) == (0, ''), got
    got = reader.end()
    fields = got.out.decode().strip().split('|')
    assert fields[:3] == ['fridge', 'plant/a', 'the secret words'], got
    assert fields[5] == 'peer' and int(fields[6]) <= 24, got
    seen = eye.end()
    assert b'secret' not in seen.out and len(seen.out) == 16 + int(fields[6]), seen


def test_json_says_who():
    reader = sub('desk', ['-t', 'plant/#', '-C', '1', '-F', '%j'])
    assert pub('fridge', ['--to', 'desk', '-t', 'plant/a', '-m', 'x', '--stamp']).code == 0
    value = json.loads(reader.end().out)
    assert value['payload'] == 'x' and value['e2e']['sender'] == 'fridge', value
    assert 0 <= value['e2e']['age_ms'] < 5000 and re.fullmatch('[0-9a-f]{32}', value['e2e']['boot_id']), value


def test_publisher_first():
    writer = rig.Run([rig.SEALMQ, 'pub'] + of('fridge') + ['--to', 'desk', '-t', 'plant/a', '-m', 'early', '-q', '1'])
    time.sleep(1)
    reader = sub('desk', ['-t', 'plant/#', '-C', '1', '-W', '30'])
    assert writer.end().code == 0
    got = reader.end()
    assert (got.code, got.out) == (0, b'early\n'), got


def test_lines_in_order_and_complete():
    lines = b''.join(b'%d\n' % n for n in range(5000))
    for qos in '12':
        reader = sub('desk', ['-t', 'plant/#', '-C', '5000', '-q', qos])
        got = pub('fridge', ['--to', 'desk', '-t', 'plant/l', '-l', '-q', qos], lines)
        assert got.code == 0, got
        assert reader.end().out == lines


def test_two_recipients_each_with_its_own():
    readers = [sub(m, ['-t', 'plant/#', '-C', '1', '-F', m + ' %p', '--quiet']) for m in ('desk', 'other')]
    assert pub('fridge', ['--to', 'desk,other', '-t', 'plant/a', '-m', 'x']).code == 0
    assert [r.end().out for r in readers] == [b'desk x\n', b'other x\n']


def test_who_is_not_meant_cannot_read():
    reader = sub('other', ['-t', 'plant/#', '-C', '1', '-W', '5'])
    desk = sub('desk', ['-t', 'plant/#', '-C', '1'])
    assert pub('fridge', ['--to', 'desk', '-t', 'plant/a', '-m', 'not for all']).code == 0
    assert desk.end().out == b'not for all\n'
    got = reader.end()
    # asked for a message within a time, got nothing but what could not be opened: that is the status
    assert got.code == 81 and got.out == b'', got
    assert "refused: no-key" in got.err and "'plant/a'" in got.err and 'not for all' not in got.err, got


def test_from_narrows():
    reader = sub('desk', ['-t', 'plant/#', '--from', 'other', '-C', '1', '-W', '40'])
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/a', '-m', 'x', '--wait', '2'])
    assert got.code in (81, 83) and got.err, got
    assert pub('other', ['--to', 'desk', '-t', 'plant/a', '-m', 'y']).code == 0
    assert reader.end().out == b'y\n'


def test_plain_payloads_are_refused():
    reader = sub('desk', ['-t', 'plant/#', '--strict'])
    assert rig.run(['mosquitto_pub', '-p', str(BROKER.port), '-t', 'plant/a', '-m', 'sealed? \x1b[2J']).code == 0
    got = reader.end()
    assert got.code == 84 and got.out == b'' and 'not-sealed' in got.err and 'sealed?' not in got.err, got


def test_moved_and_replayed_and_altered():
    eye = eye_on(['-t', 'plant/a', '-C', '1', '-N', '-W', '30'])
    reader = sub('desk', ['-t', '#', '-T', 'sealmq/#', '-F', '%p'])
    writer = rig.Run([rig.SEALMQ, 'pub'] + of('fridge') + ['--to', 'desk', '-t', 'plant/a', '-m', 'once', '-q', '1', '--repeat', '2',
                                                          '--repeat-delay', '3'])
    sealed = eye.end().out
    assert sealed and b'once' not in sealed

    def inject(topic, payload):
        assert rig.run(['mosquitto_pub', '-p', str(BROKER.port), '-t', topic, '-s'], payload).code == 0
    inject('plant/b', sealed)
    inject('plant/a', sealed)
    inject('plant/a', sealed[:-1] + bytes([sealed[-1] ^ 1]))
    inject('plant/a', sealed[:5])
    for _ in range(20):
        inject('plant/a', sealed)
    assert writer.end().code == 0
    time.sleep(1)
    got = reader.end(signal.SIGTERM)
    assert (got.code, got.out) == (0, b'once\nonce\n'), got
    assert 'replay' in got.err and 'more like this' in got.err and 'once' not in got.err, got
    assert got.err.count('refused: replay') <= 5, got


def test_nobody_answers():
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/a', '-m', 'x', '-q', '1', '--wait', '1.5'])
    assert got.code == 81 and "no session with 'desk'" in got.err, got


def test_another_realm_is_not_believed():
    reader = sub('desk', ['-t', 'plant/#', '--keyex-topic', 'shared/keyex'], realm='foreign')
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/a', '-m', 'x', '--wait', '3', '--keyex-topic', 'shared/keyex'])
    assert got.code in (81, 83), got
    assert reader.end(signal.SIGTERM).out == b''


def test_no_realm():
    got = rig.run([rig.SEALMQ, 'pub', '--realm', '/no/such', '--to', 'desk', '-t', 'a', '-m', 'x'])
    assert got.code not in (0, 1) and '/no/such' in got.err, got
    got = rig.run([rig.SEALMQ, 'sub', '-t', 'a'])
    assert got.code not in (0, 1) and '--realm' in got.err, got
    got = rig.run([rig.SEALMQ, 'pub', '-t', 'a', '-m', 'x'])
    assert got.code == 1 and '--to' in got.err, got


def test_a_key_that_others_can_read():
    setup()
    key = os.path.join(HOME, 'plant', 'members', 'other', 'member.key')
    os.chmod(key, 0o644)
    try:
        got = pub('other', ['--to', 'desk', '-t', 'a', '-m', 'x'])
        assert got.code == 88 and 'member.key' in got.err, got
    finally:
        os.chmod(key, 0o600)


def test_rotation_loses_nothing():
    reader = sub('desk', ['-t', 'plant/#', '-C', '300', '-W', '50', '-F', '%e %p', '--rotate-every', '1'])
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/r', '--source', 'fridge', '--rate', '100', '--limit', '300', '-q', '1',
                         '--rotate-every', '1', '--stats', '10'])
    assert got.code == 0, got
    got = reader.end()
    epochs = [int(line.split(b' ')[0]) for line in got.out.splitlines()]
    assert len(epochs) == 300 and epochs == sorted(epochs) and epochs[-1] - epochs[0] >= 2, (epochs[:1], epochs[-1:], got.err)
    assert got.err == '', got


def test_telemetry_is_json():
    reader = sub('desk', ['-t', 'plant/#', '-C', '5', '-F', '%J'])
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/v', '--source', 'vitals', '--limit', '5', '--seed', '1', '-q', '1'])
    assert got.code == 0, got
    for line in reader.end().out.splitlines():
        assert 'heart_rate' in json.loads(line)['payload']


def test_an_outbox_outlives_the_broker_and_the_tool():
    setup()
    box = os.path.join(HOME, 'outbox.db')
    BROKER.stop()
    try:
        writer = rig.Run([rig.SEALMQ, 'pub'] + of('fridge') + ['--to', 'desk', '-t', 'plant/o', '-l', '-q', '1', '--outbox', box],
                         b'one\ntwo\n')
        rig.wait(lambda: os.path.exists(box))
        writer.process.stdin.write(b'one\ntwo\nthree\n')
        writer.process.stdin.flush()
        time.sleep(1)
        writer.stdin = None
        got = writer.end(signal.SIGTERM)
        assert got.code == 0 and 'in the outbox' in got.err, got
    finally:
        BROKER.start()
    reader = sub('desk', ['-t', 'plant/#', '-C', '3', '-W', '30', '-q', '1'])
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/o', '--outbox', box, '-q', '1'])
    assert got.code == 0, got
    assert reader.end().out == b'one\ntwo\nthree\n'


def test_stats_on_both_sides():
    reader = sub('desk', ['-t', 'plant/#', '-C', '50', '--stats', '0.5'])
    got = pub('fridge', ['--to', 'desk', '-t', 'plant/s', '--source', 'fridge', '--limit', '50', '--rate', '200', '--stamp',
                         '--stats', '0.5', '-q', '1'])
    assert 'over plaintext' in got.err and 'seal' in got.err, got
    got = reader.end()
    assert '50 messages' in got.err and 'end to end p50' in got.err and 'missing 0, refused 0' in got.err, got


if __name__ == '__main__':
    rig.main(sys.modules[__name__])
