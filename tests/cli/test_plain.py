#!/usr/bin/env python3
"""sealmq pub and sub with --plain beside mosquitto_pub and mosquitto_sub: same output, same statuses."""
import atexit
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import rig

OPEN = CLOSED = None
OURS_PUB, OURS_SUB = [rig.SEALMQ, 'pub', '--plain'], [rig.SEALMQ, 'sub', '--plain']
THEIR_PUB, THEIR_SUB = ['mosquitto_pub'], ['mosquitto_sub']
TOOLS = ((THEIR_PUB, THEIR_SUB), (OURS_PUB, OURS_SUB))


def brokers():
    global OPEN, CLOSED
    if not OPEN:
        OPEN, CLOSED = rig.Broker(), rig.Broker(users={'u': 'secret'})
        atexit.register(CLOSED.close)
        atexit.register(OPEN.close)


def port(broker=None):
    brokers()
    return ['-p', str((broker or OPEN).port)]


def subscribe(tool, args):
    """A subscriber that is subscribed."""
    brokers()
    return OPEN.subscriber(lambda: rig.Run(tool + port() + args), rig.topics_of(args))


def exchange(pub_tool, sub_tool, sub_args, messages):
    """messages: (args, stdin). Returns what the subscriber printed and its status."""
    sub = subscribe(sub_tool, sub_args)
    for args, stdin in messages:
        got = rig.run(pub_tool + port() + args, stdin)
        assert got.code == 0, got
    return sub.end()


def same_output(sub_args, messages):
    results = [exchange(THEIR_PUB, sub, sub_args, messages) for sub in (THEIR_SUB, OURS_SUB)]
    results.append(exchange(OURS_PUB, THEIR_SUB, sub_args, messages))
    for got in results[1:]:
        assert (got.code, got.out) == (results[0].code, results[0].out), (results[0], got)
    return results[0]


def same_status(args_of, wanted=None, ours=None):
    """args_of(pub, sub) gives a command line; ours: where our status differs on purpose."""
    theirs, our = [rig.run(args_of(pub, sub)) for pub, sub in TOOLS]
    assert wanted is None or theirs.code == wanted, theirs
    assert our.code == (theirs.code if ours is None else ours), (theirs, our)
    assert our.code == 0 or our.err, our
    return our


# ---- output ----

def test_payload_and_verbose():
    one = [(['-t', 'a/b', '-m', 'hello world'], None)]
    assert same_output(['-t', 'a/#', '-C', '1'], one).out == b'hello world\n'
    assert same_output(['-t', 'a/#', '-C', '1', '-v'], one).out == b'a/b hello world\n'
    assert same_output(['-t', 'a/#', '-C', '1', '-N'], one).out == b'hello world'
    assert same_output(['-t', 'a/#', '-C', '1', '-v'], [(['-t', 'a/b', '-n'], None)]).out == b'a/b (null)\n'
    assert same_output(['-t', '+/b', '-C', '1'], [(['-t', 'a/b', '-m', ''], None)]).out == b''


def test_any_bytes():
    payload = bytes(range(256)) * 3
    assert same_output(['-t', 'a', '-C', '1', '-N'], [(['-t', 'a', '-s'], payload)]).out == payload


def test_formats():
    fields = '%t|%10t|%-10t|%.2t|%05l|%-5l|%5l|%q|%r|%P|%C|%5E|%05E|%F|%D|%R|%9.3R|%A|%3A|%S|%x|%X|%3x|%10p|%-10p|%3p|%%'
    properties = ['-V', '5']
    for words in (['user-property', 'k', 'v'], ['user-property', 'k', 'w'], ['content-type', 'text/x'],
                  ['message-expiry-interval', '30'], ['payload-format-indicator', '1'], ['response-topic', 'r/t'],
                  ['correlation-data', 'cd']):
        properties += ['-D', 'publish'] + words
    one = [(['-t', 'a/b', '-m', 'hello', '-q', '1'] + properties, None)]
    got = same_output(['-V', '5', '-t', 'a/#', '-q', '1', '-C', '1', '-F', fields], one)
    assert b'k:v k:w' in got.out and b'68656c6c6f' in got.out, got
    same_output(['-V', '5', '-t', 'a/#', '-C', '1', '-F', '@@ \\\\\\t\\0\\a\\e\\r\\v|%q%r%l'], one)


def test_json():
    def parsed(tool, args, payload):
        got = exchange(THEIR_PUB, tool, ['-V', '5', '-t', 'a', '-C', '1', '-F'] + args,
                       [(['-V', '5', '-t', 'a', '-q', '1', '-D', 'publish', 'content-type', 'x', '-m', payload], None)])
        value = json.loads(got.out)
        assert re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}', value.pop('tst')), got
        return value, got.out
    for args in (['%j'], ['%j', '--pretty'], ['%J'], ['%J', '--pretty']):
        for payload in ('{"a": [1, 2.5, {"b": null}], "c": "\\u00e9\\n"}', '"text"'):
            (theirs, their_text), (ours, our_text) = parsed(THEIR_SUB, args, payload), parsed(OURS_SUB, args, payload)
            assert theirs == ours, (theirs, ours)
            strip = lambda text: re.sub(rb'"tst":\s*"[^"]*"', b'', text)
            if args[0] == '%j':
                assert strip(their_text) == strip(our_text), (their_text, our_text)
    value, _ = parsed(OURS_SUB, ['%j'], 'quote " and \\ and \x01')
    assert value['payload'] == 'quote " and \\ and \x01'


def test_times_are_rfc_3339():
    got = exchange(OURS_PUB, OURS_SUB, ['-t', 'a', '-C', '1', '-F', '%I %j'], [(['-t', 'a', '-m', 'x'], None)])
    assert re.match(rb'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 \{"tst":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"', got.out), got


def test_payload_that_is_no_json():
    sub = exchange(OURS_PUB, OURS_SUB, ['-t', 'a', '-C', '1', '-F', '%J'], [(['-t', 'a', '-m', '{"a":'], None)])
    assert sub.code == 0 and sub.out == b'\n' and 'not valid JSON' in sub.err, sub


def test_a_terminal_is_not_steered():
    brokers()
    command = ' '.join(OURS_SUB + port() + ['-t', 'a', '-C', '1', '-W', '20', '-v'])
    sub = OPEN.subscriber(lambda: rig.Run(['script', '-qec', command, '/dev/null']), ['a'])
    rig.run(OURS_PUB + port() + ['-t', 'a', '-m', 'x\x1b[2Jy'])
    got = sub.end()
    assert b'x\\x1b[2Jy' in got.out and b'\x1b' not in got.out, got


# ---- messages ----

def test_ways_to_give_a_message():
    with tempfile.NamedTemporaryFile() as f:
        f.write(b'from\na file')
        f.flush()
        got = same_output(['-t', 'a', '-C', '8', '-v'],
                          [(['-t', 'a', '-m', 'text'], None), (['-t', 'a', '-f', f.name], None),
                           (['-t', 'a', '-s'], b'whole\ninput\n'), (['-t', 'a', '-l'], b'one\n\nlast'),
                           (['-t', 'a', '-n'], None), (['-t', 'a', '-f', '/dev/null'], None)])
    assert got.out.count(b'\n') > 8


def test_repeat():
    got = same_output(['-t', 'a', '-C', '3'], [(['-t', 'a', '-m', 'x', '--repeat', '3', '--repeat-delay', '0.05'], None)])
    assert got.out == b'x\nx\nx\n'


def test_every_qos():
    for qos in '012':
        same_output(['-t', 'a', '-q', '2', '-C', '1', '-F', '%q %p'], [(['-t', 'a', '-m', 'x', '-q', qos], None)])


def test_many_lines_in_order():
    lines = b''.join(b'%d\n' % n for n in range(20000))
    for qos in '012':
        got = exchange(OURS_PUB, OURS_SUB, ['-t', 'a', '-q', qos, '-C', '20000'], [(['-t', 'a', '-l', '-q', qos], lines)])
        assert got.out == lines, got


def test_retained_messages():
    def keep(*topics):
        for topic in topics:
            assert rig.run(THEIR_PUB + port() + ['-t', topic, '-m', 'kept ' + topic, '-r', '-q', '1']).code == 0
    for pub, sub in TOOLS:
        keep('r/1', 'r/2', 'r/3')
        got = rig.run(sub + port() + ['-t', 'r/#', '-R', '-W', '1', '-v'])
        assert (got.code, got.out) == (27, b''), got
        got = rig.run(sub + port() + ['-t', 'r/#', '-T', 'r/2', '-C', '2', '-F', '%r %p'])
        assert got.out == b'1 kept r/1\n1 kept r/3\n', got
        only = subscribe(sub, ['-t', 'r/#', '--retained-only', '-v'])
        rig.run(pub + port() + ['-t', 'r/9', '-m', 'fresh'])
        got = only.end()
        assert (got.code, got.out) == (0, b'r/1 kept r/1\nr/2 kept r/2\nr/3 kept r/3\n'), got
        # mosquitto_sub hangs with -C here
        got = rig.run(sub + port() + ['-t', 'r/#', '-T', 'r/3', '--remove-retained', '-v'] +
                      (['-W', '1'] if sub is THEIR_SUB else ['-C', '2']))
        assert got.code == (27 if sub is THEIR_SUB else 0), got
        got = rig.run(sub + port() + ['-t', 'r/#', '-W', '1', '-v'])
        assert (got.code, got.out) == (27, b'r/3 kept r/3\n'), got
        assert rig.run(pub + port() + ['-t', 'r/3', '-r', '-n']).code == 0
        assert rig.run(sub + port() + ['-t', 'r/#', '-W', '1', '-v']).out == b''


def test_retain_as_published():
    for more in [], ['--retain-as-published']:
        got = [exchange(THEIR_PUB, sub, ['-V', '5', '-t', 'kept', '-C', '1', '-F', '%r'] + more,
                        [(['-t', 'kept', '-m', 'x', '-r'], None), (['-t', 'kept', '-n', '-r'], None)])
               for sub in (THEIR_SUB, OURS_SUB)]
        assert got[0].out == got[1].out == (b'1\n' if more else b'0\n'), got


def test_a_will():
    for pub, sub in TOOLS:
        reader = subscribe(sub, ['-t', 'w', '-C', '1', '-F', '%p %q', '-q', '1', '-W', '5'])
        # 4 says goodbye with the will, as an interrupted mosquitto_sub does
        dying = subscribe(sub, ['-t', 'x', '--will-topic', 'w', '--will-payload', 'gone', '--will-qos', '1'])
        assert dying.end(signal.SIGKILL).code == -9
        got = reader.end()
        assert (got.code, got.out) == (0, b'gone 1\n'), got


def test_a_lasting_session():
    for n, (pub, sub) in enumerate(TOOLS):
        args = ['-i', 'lasting%d' % n, '-c', '-q', '1', '-t', 's/1', '-t', 's/2']
        assert rig.run(sub + port() + args + ['-E']).code == 0
        for topic in 's/1', 's/2':
            assert rig.run(pub + port() + ['-t', topic, '-m', 'away ' + topic, '-q', '1']).code == 0
        got = rig.run(sub + port() + args + ['-C', '2', '-W', '3'])
        assert sorted(got.out.splitlines()) == [b'away s/1', b'away s/2'], got
        # -U takes one of them away again
        assert rig.run(sub + port() + args[:-4] + ['-t', 's/1', '-U', 's/2', '-E']).code == 0
        time.sleep(0.2)
        for topic in 's/2', 's/1':
            rig.run(pub + port() + ['-t', topic, '-m', 'again ' + topic, '-q', '1'])
        got = rig.run(sub + port() + args[:-4] + ['-t', 's/1', '-C', '1', '-W', '3'])
        assert (got.code, got.out) == (0, b'again s/1\n'), got
        rig.run(sub + port() + ['-i', 'lasting%d' % n, '-t', 's/1', '-E'])


# ---- statuses ----

def test_nobody_listens():
    nowhere = str(rig.free_port())
    same_status(lambda pub, sub: pub + ['-p', nowhere, '-t', 'a', '-m', 'x'], 1)
    same_status(lambda pub, sub: sub + ['-p', nowhere, '-t', 'a'], 1)
    same_status(lambda pub, sub: pub + ['-h', 'no.such.host.invalid', '-t', 'a', '-m', 'x'], 1)


def test_refused_by_the_broker():
    at = port(CLOSED)
    for version, status in (('311', 5), ('5', 135)):
        same_status(lambda pub, sub: pub + at + ['-V', version, '-t', 'open/a', '-m', 'x'], status)
        same_status(lambda pub, sub: pub + at + ['-V', version, '-t', 'open/a', '-m', 'x', '-u', 'u', '-P', 'wrong'], status)
        same_status(lambda pub, sub: sub + at + ['-V', version, '-t', 'open/a', '-C', '1'], status)
    same_status(lambda pub, sub: pub + at + ['-t', 'open/a', '-m', 'x', '-u', 'u', '-P', 'secret'], 0)


def test_passwords_in_files():
    at = port(CLOSED)
    with tempfile.NamedTemporaryFile('w') as f:
        f.write('secret\nnot this\n')
        f.flush()
        got = rig.run(OURS_PUB + at + ['-t', 'open/a', '-m', 'x', '-u', 'u', '--password-file', f.name])
        assert (got.code, got.err) == (0, ''), got
        os.chmod(f.name, 0o644)
        got = rig.run(OURS_PUB + at + ['-t', 'open/a', '-m', 'x', '-u', 'u', '--password-file', f.name])
        assert got.code == 0 and 'can be read by others' in got.err, got
    got = rig.run(OURS_PUB + at + ['-t', 'open/a', '-m', 'x', '-u', 'u', '--password-file', '/no/such'])
    assert got.code == 1 and '/no/such' in got.err, got


def test_topics_that_are_not_allowed():
    at = port(CLOSED) + ['-V', '5', '-u', 'u', '-P', 'secret']
    # mosquitto_pub says it and ends with 0; whoever scripts wants to know
    got = same_status(lambda pub, sub: pub + at + ['-t', 'shut/a', '-m', 'x', '-q', '1'], 0, ours=135)
    assert 'not authorized (135)' in got.err, got
    got = same_status(lambda pub, sub: pub + at + ['-t', 'shut/a', '-m', 'x', '-q', '2'], 0, ours=135)


def test_times_out():
    at = port()
    same_status(lambda pub, sub: sub + at + ['-t', 'nothing', '-W', '1'], 27)
    same_status(lambda pub, sub: sub + at + ['-t', 'nothing', '-C', '1', '-W', '1'], 27)


def test_exit_after_subscribe():
    at = port()
    same_status(lambda pub, sub: sub + at + ['-t', 'a', '-t', 'b/#', '-E'], 0)


def test_wrong_usage():
    at = port()
    for args in (['-t', 'a', '--bogus'], ['-t', 'a', '-m', 'x', '-q', '3'], ['-t', 'a', '-m', 'x', '-p', '99999'],
                 ['-t', 'a', '-m', 'x', '-k', '1'], ['-t', 'a/+', '-m', 'x'], ['-t', 'a/#', '-m', 'x'], ['-t', 'a'],
                 ['-m', 'x'], ['-t', 'a', '-m', 'x', '-n'], ['-t', 'a', '-m', 'x', '-V', '9'], ['-t', 'a', '-f', '/no/such'],
                 ['-t', 'a', '-m', 'x', '-i', 'a', '-I', 'b'], ['-t', 'a', '-m', 'x', '-c'],
                 ['-t', 'a', '-m', 'x', '-D', 'publish', 'bogus', '3'], ['-t', 'a', '-m', 'x', '-D', 'publish', 'content-type'],
                 ['-t', 'a', '-m', 'x', '--will-payload', 'x'], ['-t', 'a', '-m', 'x', '--will-topic', '#'],
                 ['-t', 'a', '-m', 'x', '-x', 'soon'], ['-t', 'a', '-m', 'x', '--cert', '/c'], ['-t', 'a', '-m', 'x', 'stray'],
                 ['-t', 'a', '-m', 'x', '--psk', '00'], ['-t']):
        same_status(lambda pub, sub: pub + at + args, 1)
    for args in (['-t', 'a/#/b'], [], ['-t', 'a', '-F', '%z'], ['-t', 'a', '-F', 'x%'], ['-t', 'a', '-F', '\\q'],
                 ['-t', 'a', '-R', '--retained-only'], ['-t', 'a', '-C', '0'], ['-t', 'a', '-W', '0'], ['-t', 'a', '-C', 'x'],
                 ['-t', 'a', '-T', '#x'], ['-t', 'a', '-U', '+x'], ['-t', 'a', '-m', 'x']):
        same_status(lambda pub, sub: sub + at + args, 1)
    same_status(lambda pub, sub: pub + at + ['-t', 'a', '-s'], 1)


def test_certificates_that_are_not_there():
    at = port()
    got = rig.run(OURS_PUB + at + ['-t', 'a', '-m', 'x', '--cafile', '/no/such'])
    assert got.code == 1 and "--cafile '/no/such': No such file" in got.err, got


def test_url():
    brokers()
    url = 'mqtt://127.0.0.1:%d/a/b' % OPEN.port
    for pub, sub in TOOLS:
        args = sub + ['-L', url, '-C', '1', '-v']
        reader = OPEN.subscriber(lambda args=args: rig.Run(args), ['a/b'])
        assert rig.run(pub + ['-L', url, '-m', 'x']).code == 0
        assert reader.end().out == b'a/b x\n'


def test_ended_by_a_signal():
    for pub, sub in TOOLS:
        for sig in signal.SIGTERM, signal.SIGINT:
            got = subscribe(sub, ['-t', 'a']).end(sig)
            assert got.code == 0, got


def test_the_reader_goes_away():
    brokers()
    sub = OPEN.subscriber(lambda: subprocess.Popen(OURS_SUB + port() + ['-t', 'a'], stdout=subprocess.PIPE,
                                                   stderr=subprocess.PIPE, env=rig.clean_environment()), ['a'])
    sub.stdout.close()
    rig.run(OURS_PUB + port() + ['-t', 'a', '-m', 'x'])
    assert sub.wait(rig.LIMIT) == 141
    assert sub.stderr.read() == b''
    sub.stderr.close()


def test_a_full_disk():
    brokers()
    with open('/dev/full', 'wb') as full:
        sub = OPEN.subscriber(lambda: subprocess.Popen(OURS_SUB + port() + ['-t', 'a'], stdout=full,
                                                       stderr=subprocess.PIPE, env=rig.clean_environment()), ['a'])
        rig.run(OURS_PUB + port() + ['-t', 'a', '-m', 'x'])
        assert sub.wait(rig.LIMIT) == 14
        assert b'No space left' in sub.stderr.read()
        sub.stderr.close()


# ---- losing the broker ----

def test_the_broker_goes_away():
    broker = rig.Broker()
    try:
        at = ['-p', str(broker.port)]
        sub = broker.subscriber(lambda: rig.Run(OURS_SUB + at + ['-t', 'a']), ['a'])
        lines = subprocess.Popen(OURS_PUB + at + ['-t', 'a', '-l', '-q', '1'], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=rig.clean_environment())
        lines.stdin.write(b'before\n')
        lines.stdin.flush()
        rig.wait(lambda: broker.count('Sending PUBLISH to'))
        rig.wait(lambda: broker.count('Sending PUBACK'))
        time.sleep(0.3)  # and it reads it
        broker.stop()
        lines.stdin.write(b'meanwhile\n')
        lines.stdin.flush()
        time.sleep(0.3)
        broker.start()
        rig.wait(lambda: broker.granted('a') > 1 and broker.count('Sending CONNACK') >= 4)  # both are back
        sent = broker.count('Sending PUBLISH to')
        lines.stdin.write(b'after\n')
        lines.stdin.close()
        assert lines.wait(10) == 0
        err = lines.stderr.read().decode()
        lines.stderr.close()
        assert 'connection lost' in err and 'connected again' in err, err
        rig.wait(lambda: broker.count('Sending PUBLISH to') > sent)
        time.sleep(0.3)
        got = sub.end(signal.SIGTERM)
        # what went out before the subscriber was back is its loss, but nothing comes twice or out of order
        assert got.code == 0 and got.out in (b'before\nafter\n', b'before\nmeanwhile\nafter\n'), got
    finally:
        broker.close()


def test_one_message_and_the_broker_goes_away():
    for pub in THEIR_PUB, OURS_PUB:
        broker = rig.Broker()
        try:
            run = rig.Run(pub + ['-p', str(broker.port), '-t', 'a', '-m', 'x', '--repeat', '1', '-q', '1'])
            assert run.end().code == 0
            # a broker that takes the message and then neither answers nor lives
            run = rig.Run(pub + ['-p', str(broker.port), '-t', 'a', '-m', 'x' * 200, '-q', '1', '--repeat', '2',
                                 '--repeat-delay', '2'])
            rig.wait(lambda: broker.count('Sending PUBACK') >= 2)  # noqa: B023
            time.sleep(0.3)
            broker.stop(signal.SIGKILL)
            if pub is THEIR_PUB:
                assert run.end().code == 7
            else:
                # with messages still to come ours waits for the broker
                time.sleep(0.3)
                assert run.process.poll() is None
                got = run.end(signal.SIGTERM)
                assert 'connection lost' in got.err, got
        finally:
            broker.close()


# ---- what is not mosquitto's ----

def test_help_and_version():
    for args in (['--help'], ['help'], ['help', 'pub'], ['help', 'sub'], ['pub', '--help'], ['sub', '--help'], ['--version'],
                 ['pub', '--version']):
        got = rig.run([rig.SEALMQ] + args)
        assert got.code == 0 and got.out and not got.err, (args, got)
    got = rig.run([rig.SEALMQ])
    assert got.code == 1 and b'First minute' in got.out, got
    got = rig.run([rig.SEALMQ, 'pbu'])
    assert got.code == 1 and "did you mean 'pub'" in got.err, got
    got = rig.run([rig.SEALMQ, '\x1b[2J'])
    assert got.code == 1 and '\x1b' not in got.err, got


def test_the_manual_names_every_letter():
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'man', 'sealmq-sub.1.in')
    with open(page, encoding='utf-8') as f:
        text = f.read()
    nowhere = str(rig.free_port())
    for letter in 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz':
        got = rig.run(OURS_SUB + ['-p', nowhere, '-t', 'a', '-F', '%' + letter])
        taken = 'cannot connect' in got.err
        assert taken != ("-F: no such letter after '%'" in got.err), (letter, got)
        assert taken == (re.search(r'(^|\s)%' + letter + r'\b', text, re.M) is not None), letter


def test_names_of_the_tool():
    with tempfile.TemporaryDirectory() as d:
        for name in 'sealmq_pub', 'sealmq_sub':
            os.symlink(os.path.abspath(rig.SEALMQ), os.path.join(d, name))
            got = rig.run([os.path.join(d, name), '--help'])
            assert got.code == 0 and name.replace('_', ' ').encode() in got.out, got


def test_options_in_files():
    brokers()
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, 'sealmq_pub'), 'w', encoding='utf-8') as f:
            f.write('# mine\n-p %d\n--plain\n-t a\n' % OPEN.port)
        sub = subscribe(OURS_SUB, ['-t', 'a', '-C', '2'])
        assert rig.run([rig.SEALMQ, 'pub', '-m', 'one'], XDG_CONFIG_HOME=d).code == 0
        assert rig.run([rig.SEALMQ, 'pub', '-m', 'two', '-o', os.path.join(d, 'sealmq_pub')]).code == 0
        assert sub.end().out == b'one\ntwo\n'


def test_environment_and_file_and_command_line():
    brokers()
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'sealmq.yaml')
        with open(path, 'w', encoding='utf-8') as f:
            f.write('broker:\n  port: 1\ntopics:\n  publish: from/file\n')
        # the file's port is wrong, the environment's is right, and the command line's topic wins
        sub = subscribe(OURS_SUB, ['-t', '#', '-C', '2', '-F', '%t %p', '-T', '$SYS/#'])
        env = {'SEALMQ_PORT': str(OPEN.port)}
        got = rig.run(OURS_PUB + ['--config', path, '-m', 'x'], **env)
        assert got.code == 0, got
        got = rig.run(OURS_PUB + ['-t', 'from/line', '-m', 'y'], SEALMQ_CONFIG=path, **env)
        assert got.code == 0, got
        assert sub.end().out == b'from/file x\nfrom/line y\n'
        with open(path, 'w', encoding='utf-8') as f:
            f.write('broker:\n  prot: 1\n')
        got = rig.run(OURS_PUB + ['--config', path, '-t', 'a', '-m', 'x'])
        assert got.code == 3 and 'sealmq.yaml:2' in got.err, got


def test_a_will_in_the_file():
    brokers()
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'sealmq.yaml')
        with open(path, 'w', encoding='utf-8') as f:
            f.write('broker:\n  port: %d\nwill: {topic: w/file, payload: gone, qos: 1}\nstrict: true\n' % OPEN.port)
        reader = subscribe(OURS_SUB, ['-t', 'w/file', '-C', '1', '-F', '%p %q', '-q', '1', '-W', '60'])
        dying = OPEN.subscriber(lambda: rig.Run(OURS_SUB + ['--config', path, '-t', 'x/file']), ['x/file'])
        assert dying.end(signal.SIGKILL).code == -9
        got = reader.end()
        assert (got.code, got.out) == (0, b'gone 1\n'), got


def test_a_pre_shared_key_in_a_file():
    secret = 'a1b2c3d4e5f60718293a4b5c6d7e8f90'
    broker = rig.Broker(psk='me:' + secret)
    try:
        with tempfile.TemporaryDirectory() as d:
            path, key = os.path.join(d, 'sealmq.yaml'), os.path.join(d, 'broker.psk')
            with open(path, 'w', encoding='utf-8') as f:
                f.write('broker:\n  port: %d\n  tls: {psk_file: broker.psk, psk_identity: me, version: tlsv1.2}\n' % broker.port)
            for content, status in ((secret, 0), (secret[:-2] + '00', 8)):
                with open(key, 'w', encoding='ascii', opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
                    f.write(content + '\n')
                got = rig.run(OURS_PUB + ['--config', path, '-t', 'a', '-m', 'x', '-q', '1'])
                assert (got.code == 0) == (status == 0) and secret[:8] not in got.err, got
            at = ['-p', str(broker.port), '--psk-identity', 'me', '-t', 'a', '-m', 'x', '-q', '1', '--tls-version', 'tlsv1.2']
            with open(key, 'w', encoding='ascii') as f:
                f.write(secret + '\n')
            got = rig.run(OURS_PUB + at + ['--psk-file', key])
            assert got.code == 0, got
            got = rig.run(OURS_PUB + at + ['--psk-file', os.path.join(d, 'none')])
            assert got.code == 1 and "--psk-file '" in got.err and 'No such file' in got.err, got
            got = rig.run(OURS_PUB + at + ['--psk-file', key, '--psk', 'aa'])
            assert got.code == 1 and 'one of them' in got.err, got
    finally:
        broker.close()


def test_secrets_are_not_in_the_process_list():
    sub = subscribe(OURS_SUB, ['-t', 'a', '-u', 'me', '-P', 'hidden-word'])
    with open('/proc/%d/cmdline' % sub.process.pid, 'rb') as f:
        assert b'hidden-word' not in f.read()
    sub.end(signal.SIGTERM)


def hosts_of_its_own(lines):
    """The words before a command that let it see an /etc/hosts of these lines alone, as it is on many machines."""
    hosts = OPEN.path('hosts')
    with open(hosts, 'w', encoding='ascii') as f:
        f.write(lines)
    words = ['unshare'] + ([] if os.getuid() == 0 else ['-r']) + ['-m', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', hosts]
    seen = subprocess.run(words + ['getent', 'ahosts', 'localhost'], capture_output=True, text=True, check=False)
    if not seen.stdout.startswith('::1'):
        raise rig.Skip('no name can be given an IPv6 address first here: %s' % (seen.stderr.strip() or seen.stdout[:40]))
    return words


def test_localhost_is_ipv6_first_and_the_broker_is_not_there():
    brokers()
    words = hosts_of_its_own('127.0.0.1 localhost\n::1 localhost\n')
    got = rig.run(words + OURS_PUB + ['-h', 'localhost', '-t', 'a', '-m', 'x', '-q', '1'] + port())
    assert got.code == 0, got
    sub = OPEN.subscriber(lambda: rig.Run(words + OURS_SUB + ['-h', 'localhost', '-t', 'six', '-C', '1'] + port()), ['six'])
    assert rig.run(words + OURS_PUB + ['-h', 'localhost', '-t', 'six', '-m', 'x'] + port()).code == 0
    got = sub.end()
    assert got.code == 0 and got.out == b'x\n', got


def test_a_local_address_of_its_own_choice():
    brokers()
    got = rig.run(OURS_PUB + ['-A', '127.0.0.2', '-t', 'a', '-m', 'x', '-q', '1'] + port())
    assert got.code == 0 and OPEN.count('New connection from 127.0.0.2:') == 1, got


def test_stats():
    got = exchange(OURS_PUB, OURS_SUB, ['-t', 'a', '-C', '3', '--stats', '0.1'], [(['-t', 'a', '-l', '--stats', '1'], b'1\n2\n3\n')])
    assert 'stats in all' in got.err and '3 messages' in got.err, got


if __name__ == '__main__':
    rig.main(sys.modules[__name__])
