#!/usr/bin/env python3
"""A realm's key server by the tool: made, run, asked, backed up, restored, killed and checked.

usage: test_keyserver.py SEALMQ ROOT
"""
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, Process, find, free_port, ok, play, run, wait  # noqa: E402

POLICY = ('--mode', 'update', '--filter', 'plant/#', '--publish', 'fridge-*', '--subscribe', '*')


class Keys:
    """A key server's identity and database on a stage, and what is done with them."""

    def __init__(self, stage, db='keys.db'):
        self.stage, self.db = stage, stage.path(db)
        self.passphrase = stage.path('pass')
        if not os.path.exists(stage.member('keys')):
            stage.issue('keys', '--role', 'keyserver')
            stage.issue('ops', '--role', 'admin')
        with open(self.passphrase, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write('a passphrase of several words\n')

    def own(self, realm='keys'):
        return ('--realm', self.stage.member(realm), '--db', self.db, '--passphrase-file', self.passphrase)

    def do(self, what, *more, realm='keys'):
        return run(SEALMQ, 'keyserver', what, *more, *self.own(realm))

    def start(self, *more):
        process = Process([SEALMQ, 'keyserver', 'run', *self.own(), *self.stage.tls('keys'), *more])
        wait(lambda: any('connected' in line for line in process.lines) or process.child.poll() is not None)
        return process

    def ask(self, *words, realm='ops'):
        return run(SEALMQ, 'group', *words, '--realm', self.stage.member(realm), *self.stage.tls(realm))


def wrong_use(stage):
    keys = Keys(stage)
    status, _, err = run(SEALMQ, 'keyserver', 'serve')
    ok(status != 0 and 'init, run' in err, 'an unknown command names the known ones', err)
    status, _, err = run(SEALMQ, 'keyserver', 'init', '--realm', stage.member('keys'))
    ok(status != 0 and '--db' in err, 'without a database it says what is missing', err)
    status, _, err = keys.do('check')
    ok(status != 0 and 'keyserver init' in err, 'a database that is not there: how to make it', err)
    status, _, err = keys.do('init', realm='desk')
    ok(status != 0 and '--role keyserver' in err, 'a member is no key server', err)
    status, _, err = run(SEALMQ, 'keyserver', 'init', '--realm', stage.member('keys'), '--db', keys.db)
    ok(status != 0 and '--passphrase-file' in err, 'no passphrase: where it may come from', err)
    os.chmod(keys.passphrase, 0o644)
    status, _, err = keys.do('init')
    ok(status != 0 and 'pass' in err and not os.path.exists(keys.db), 'a passphrase that others can read is refused', err)
    os.chmod(keys.passphrase, 0o600)
    status, out, err = keys.do('init')
    ok(status == 0, 'init', err)
    ok(os.stat(keys.db).st_mode & 0o077 == 0, 'the database is for its owner alone')
    status, _, err = keys.do('init')
    ok(status != 0 and 'not replaced' in err, 'a second init replaces nothing', err)
    os.unlink(keys.db)


def the_passphrase_by_systemd(stage):
    """A unit's LoadCredential= is a directory in $CREDENTIALS_DIRECTORY that only the service can read."""
    keys = Keys(stage, 'credential.db')
    given = stage.path('credentials')
    os.mkdir(given, 0o700)
    words = ('--realm', stage.member('keys'), '--db', keys.db)

    def credential(text, mode=0o400):
        path = os.path.join(given, 'sealmq-keyserver')
        if os.path.exists(path):
            os.unlink(path)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        os.chmod(path, mode)

    status, _, err = run(SEALMQ, 'keyserver', 'init', *words, CREDENTIALS_DIRECTORY=given)
    ok(status != 0 and 'sealmq-keyserver' in err, 'a credential that is not there is named', err)
    credential('a passphrase of several words\n', 0o444)
    status, _, err = run(SEALMQ, 'keyserver', 'init', *words, CREDENTIALS_DIRECTORY=given)
    ok(status != 0 and 'others can read it' in err, 'one that others can read is refused', err)
    credential('a passphrase of several words\n')
    status, _, err = run(SEALMQ, 'keyserver', 'init', *words, CREDENTIALS_DIRECTORY=given)
    ok(status == 0, 'init by a credential', err)
    status, _, err = keys.do('check')
    ok(status == 0, 'a file with the same passphrase opens it', err)
    credential('another one\n')
    status, _, err = run(SEALMQ, 'keyserver', 'check', *words, CREDENTIALS_DIRECTORY=given)
    ok(status != 0 and 'another passphrase' in err, 'another passphrase does not', err)
    status, _, err = run(SEALMQ, 'keyserver', 'check', *words, '--passphrase-file', keys.passphrase,
                         CREDENTIALS_DIRECTORY=given)
    ok(status == 0, 'a file that is named goes before the credential', err)
    credential('a passphrase of several words\n')
    server = Process([SEALMQ, 'keyserver', 'run', *words, *stage.tls('keys')], CREDENTIALS_DIRECTORY=given)
    ok(wait(lambda: any('connected' in line for line in server.lines), 60), 'and it runs', server.said[-4:])
    with open('/proc/%d/cmdline' % server.child.pid, 'rb') as file:
        ok(b'several words' not in file.read(), 'with nothing of it in its arguments')
    server.stop()


def groups_by_an_admin(stage):
    keys = Keys(stage)
    keys.do('init')
    status, _, err = keys.ask('list', '--wait', '2')
    ok(status == 27 or 'does not answer' in err, 'no key server: it says that nobody answers', (status, err))
    server = keys.start()
    status, out, err = keys.ask('create', 'telemetry', *POLICY)
    ok(status == 0 and 'policy 1' in out, 'create', err)
    status, _, err = keys.ask('create', 'telemetry', *POLICY)
    ok(status != 0 and 'group policy' in err, 'create again: it is there', err)
    status, out, _ = keys.ask('show', 'telemetry', '--json')
    shown = json.loads(out)
    ok(shown['mode'] == 'update' and shown['policy']['publishers'] == ['fridge-*'] and shown['policy']['number'] == 1,
       'show gives the policy back', shown)
    epoch = shown['epoch']
    status, _, err = keys.ask('rotate', 'telemetry')
    status, out, _ = keys.ask('show', 'telemetry', '--json')
    ok(json.loads(out)['epoch'] > epoch, 'rotate moves the epoch')
    status, out, err = keys.ask('policy', 'telemetry', *POLICY, '--rotate', '3600')
    ok(status == 0 and 'policy 2' in out, 'another policy takes the next number', err)
    status, _, err = keys.ask('policy', 'telemetry', *POLICY, '--number', '1')
    ok(status != 0, 'an older number is refused', err)
    for history in ('65', '0', '-1', 'all', '64x'):
        status, _, err = keys.ask('policy', 'telemetry', *POLICY, '--history', history)
        ok(status == 1 and 'up to 64' in err, 'history %s: what there may be' % history, (status, err))
    status, out, err = keys.ask('policy', 'telemetry', *POLICY, '--history', '64')
    ok(status == 0, 'history of 64 epochs', err)
    status, _, err = keys.ask('expel', 'telemetry', 'nobody')
    ok(status != 0 and 'no such member' in err, 'expel of somebody who is not in it', err)
    status, _, err = keys.ask('show', 'other')
    ok(status != 0 and 'no such group' in err, 'show of a group that is not there', err)
    status, _, err = keys.ask('list', realm='desk')
    ok(status != 0 and 'admins only' in err, 'a member is not served as an admin', err)
    status, _, err = keys.ask('create', 'mine', *POLICY, realm='desk')
    ok(status != 0, 'a member makes no group', err)
    status, _, err = keys.ask('create', 'bad', '--filter', 'plant/#', '--publish', '*', '--subscribe', '*', '--mode', 'live')
    ok(status != 0 and 'static, update or slotted' in err, 'an unknown mode is named', err)
    status, out, _ = keys.ask('list')
    ok('telemetry' in out and 'mine' not in out and 'bad' not in out, 'list', out)
    status, _, err = keys.do('check')
    ok(status == 0, 'check, beside the running server', err)
    ok(server.stop() == 0, 'SIGTERM ends it with status 0')


def what_it_says_is_watched(stage):
    """`sealmq watch` over the real lines of both kinds, and over the log: who is refused again and again is noticed."""
    keys = Keys(stage, 'watched.db')
    keys.do('init')
    said = {'json': [], 'words': []}
    for kind, more in (('json', ('--json',)), ('words', ())):
        server = keys.start(*more)
        keys.ask('create', 'watched', *POLICY)
        for _ in range(5):
            status, _, err = stage.pub_now('pump-2', '--group', 'watched', '-t', 'plant/a', '-m', 'x')
            ok(status == 135 and 'does not admit' in err, kind + ': a member is refused', (status, err))
        status, _, err = stage.pub_now('fridge-07', '--group', 'watched', '-t', 'plant/a', '-m', 'x')
        ok(status == 0, kind + ': another is served', err)
        server.stop()
        said[kind] = server.lines
    said['log'] = [line for line in keys.do('audit', '--json')[1].splitlines() if '"who"' in line]
    for kind, lines in said.items():
        path = stage.path('watched-' + kind)
        with open(path, 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')
        status, out, err = run(SEALMQ, 'watch', '--file', path, '--once', '--json')
        alarms = [(a['alarm'], a['subject']) for a in map(json.loads, out.splitlines())]
        ok(status == 92 and alarms == [('join-denied', 'pump-2')], kind + ': one alarm, about the one who was refused',
           (status, alarms, err, lines[-8:]))


def a_second_one_stops(stage):
    keys = Keys(stage)
    first = keys.start()
    status, _, err = run(SEALMQ, 'keyserver', 'run', *keys.own(), *stage.tls('keys'))
    ok(status != 0 and 'is running on it' in err, 'a second one on the same database', err)
    copy = Keys(stage, 'copy.db')
    ok(run(SEALMQ, 'keyserver', 'backup', copy.db, '--db', keys.db)[0] == 0, 'backup of a running one')
    second = copy.start()
    status = second.end(20)
    ok(status not in (0, None), 'a second one on a copy stops', (status, second.lines, second.said))
    ok(any('another key server' in line for line in second.lines), 'and says why', second.lines)
    ok(first.child.poll() is None, 'the first one goes on')
    ok(keys.ask('list')[0] == 0, 'and answers')
    first.stop()


def nobody_takes_its_place_at_the_broker(stage):
    """A client that takes the key server's client id, and a broker that is killed: neither ends it."""
    keys = Keys(stage)
    server = keys.start()
    ids = wait(lambda: re.findall(r"New client connected from \S+ as (\S+) \(.*u'keys'", stage.log_text()), 60)
    before = len(ids)
    thief = Process([find('mosquitto_sub'), *stage.tls('observer'), '-i', ids[-1], '-t', 'x'])
    ok(wait(lambda: len(re.findall(r"as %s \(.*u'observer'" % re.escape(ids[-1]), stage.log_text())) > 0, 60),
       'somebody comes with its client id', ids)
    thief.stop()
    ok(keys.ask('list')[0] == 0 and server.child.poll() is None, 'it comes back and answers', server.lines[-5:])
    stage.restart(signal.SIGKILL)
    ok(keys.ask('rotate', 'telemetry')[0] == 0, 'and goes on with a broker that was killed', server.lines[-5:])
    ok(before > 0 and server.child.poll() is None, 'in the same process')
    server.stop()


def killed_and_restored(stage):
    keys = Keys(stage)
    server = keys.start()
    epochs = [json.loads(keys.ask('show', 'telemetry', '--json')[1])['epoch']]
    backup = stage.path('backup.db')
    ok(run(SEALMQ, 'keyserver', 'backup', backup, '--db', keys.db)[0] == 0, 'backup')
    for _ in range(5):
        keys.ask('rotate', 'telemetry')
        server.stop(signal.SIGKILL)
        server = keys.start()
        epochs.append(json.loads(keys.ask('show', 'telemetry', '--json')[1])['epoch'])
    ok(all(a < b for a, b in zip(epochs, epochs[1:])), 'killed after each rotation, no epoch is lost or repeated', epochs)
    server.stop(signal.SIGKILL)
    status, _, err = keys.do('restore', backup)
    ok(status != 0 and 'not replaced' in err, 'restore does not replace a database', err)
    other, words = stage.path('other'), stage.path('words')
    with open(words, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write('another\n')
    with open(other, 'wb') as file, open(backup, 'rb') as whole:
        file.write(whole.read(5000))
    realm = ('--realm', stage.member('keys'), '--db', stage.path('new.db'))
    for name, words_of, args, says in (
            ('a backup that is not there', keys.passphrase, ('restore', stage.path('none'), *realm), 'none: not there'),
            ('another passphrase', words, ('restore', backup, *realm), 'backup.db: another passphrase'),
            ('a backup that was cut off', keys.passphrase, ('restore', other, *realm), 'other: no key server'),
            ('a backup into nowhere', keys.passphrase, ('backup', '/nowhere/b', '--db', backup), '/nowhere/b: its directory')):
        more = () if args[0] == 'backup' else ('--passphrase-file', words_of)
        status, _, err = run(SEALMQ, 'keyserver', *args, *more)
        ok(status != 0 and says in err and not [f for f in os.listdir(stage.dir) if f.startswith('new.db')],
           name + ': says so, of the file that is meant, and leaves nothing', (status, err, os.listdir(stage.dir)))
    os.unlink(keys.db)
    for end in ('-wal', '-shm'):
        if os.path.exists(keys.db + end):
            os.unlink(keys.db + end)
    status, _, err = keys.do('restore', backup)
    ok(status == 0, 'restore', err)
    server = keys.start()
    wait(lambda: any('restored' in line for line in server.lines))
    now = json.loads(keys.ask('show', 'telemetry', '--json')[1])['epoch']
    ok(now > epochs[-1], 'what was restored begins beyond every epoch that was', (now, epochs))
    server.stop()


def the_log(stage):
    keys = Keys(stage)
    status, out, err = keys.do('audit', '--json')
    lines = [json.loads(line) for line in out.splitlines()]
    ok(status == 0, 'audit', err)
    acts = {(line['who'], line['what'], line['outcome']) for line in lines[:-1]}
    ok(('ops', 'policy', 'ok') in acts and ('desk', 'list', 'not-authorized') in acts and
       ('keys', 'restore', 'ok') in acts, 'it tells of admins, of refusals and of restores', sorted(acts))
    status, out, _ = run(SEALMQ, 'keyserver', 'audit', 'verify', '--realm', stage.member('desk'), '--db', keys.db)
    ok(status == 0 and 'signed by keys' in out, 'a member verifies it without the passphrase', out)
    copy = stage.path('altered.db')
    run(SEALMQ, 'keyserver', 'backup', copy, '--db', keys.db)
    for change, name in (("UPDATE audit SET outcome = 0 WHERE who = 'desk'", 'an altered line'),
                         ('DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)', 'a line cut off')):
        with sqlite3.connect(copy) as db:
            db.execute(change)
        db.close()
        status, _, err = run(SEALMQ, 'keyserver', 'audit', 'verify', '--realm', stage.member('desk'), '--db', copy)
        ok(status != 0 and ('altered' in err or 'cut off' in err), name + ' is noticed', err)
        os.unlink(copy)
        run(SEALMQ, 'keyserver', 'backup', copy, '--db', keys.db)


def no_secret_is_shown(stage):
    keys = Keys(stage)
    with open(keys.passphrase, 'rb') as file:
        word = file.read().strip()
    seen = b''
    for name in os.listdir(stage.dir):
        path = stage.path(name)
        if os.path.isfile(path) and name != 'pass':
            with open(path, 'rb') as file:
                seen += file.read()
    ok(word not in seen and b'PRIVATE KEY' not in seen, 'the passphrase is in no file')
    status, _, err = run(SEALMQ, 'keyserver', 'check', '--realm', stage.member('keys'), '--db', keys.db,
                         '--passphrase-file', stage.member('keys', 'member.key'))
    ok(status != 0 and 'another passphrase' in err, 'another passphrase opens nothing', err)


class Refusing:
    """Between a client and a broker: the first subscription to each filter is refused, as by a cluster that has lost a node."""

    def __init__(self, port):
        self.broker, self.refused, self.taken = port, [], []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                broker = socket.create_connection(('127.0.0.1', self.broker))
            except OSError:
                return
            threading.Thread(target=self.forth, args=(client, broker), daemon=True).start()
            threading.Thread(target=self.back, args=(broker, client), daemon=True).start()

    @staticmethod
    def packet(file):
        """The next one, whole; b'' at the end."""
        whole = file.read(1)
        length = shift = 0
        while whole:
            byte = file.read(1)
            if not byte:
                return b''
            whole += byte
            length |= (byte[0] & 127) << shift
            shift += 7
            if byte[0] < 128:
                return whole + file.read(length)
        return b''

    def forth(self, client, broker):
        with client.makefile('rb') as file:
            for packet in iter(lambda: self.packet(file), b''):
                if packet[0] == 0x82:
                    body = packet[2:]  # they are short
                    topic = body[4:4 + int.from_bytes(body[2:4], 'big')].decode()
                    if topic not in self.refused:
                        self.refused.append(topic)
                        client.sendall(b'\x90\x03' + body[:2] + b'\x80')
                        continue
                    self.taken.append(topic)
                broker.sendall(packet)
        broker.close()

    @staticmethod
    def back(broker, client):
        try:
            for data in iter(lambda: broker.recv(65536), b''):
                client.sendall(data)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def a_cluster_that_refuses_and_forgets(stage):
    """Refused subscriptions are asked for again, divided or not; epochs are told again where that is wanted."""
    port = free_port()
    with open(stage.path('open.conf'), 'w', encoding='ascii') as file:
        file.write('listener %d 127.0.0.1\nallow_anonymous true\n%s' % (port, 'user root\n' if os.geteuid() == 0 else ''))
    broker = subprocess.Popen([find('mosquitto'), '-c', stage.path('open.conf')], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    keys = Keys(stage, 'refused.db')
    keys.do('init')
    try:
        ok(wait(lambda: run('mosquitto_pub', '-h', 'localhost', '-p', str(port), '-t', 'x', '-m', 'x')[0] == 0, 60), 'an open broker')
        eye = Process([find('mosquitto_sub'), '-h', 'localhost', '-p', str(port), '-R', '-q', '1', '-t', 'sealmq/plant/g/again/m', '-F', '%l'])
        for how in ((), ('--undivided',)):
            between = Refusing(port)
            server = Process([SEALMQ, 'keyserver', 'run', *keys.own(), '-V', '311', '-h', 'localhost', '-p', str(between.port),
                              '--announce-again', *how])
            good = wait(lambda: between.refused and set(between.taken) == set(between.refused), 60)
            ok(good, 'what was refused is asked for again' + ', undivided' * bool(how), '%s %s %s' % (between.refused, between.taken, server.lines))
            told = len(eye.lines)
            status, _, err = run(SEALMQ, 'group', *(['rotate', 'again'] if how else ['create', 'again', *POLICY]), '--realm',
                                 stage.member('ops'), '-h', 'localhost', '-p', str(port), seconds=60)
            ok(status == 0, 'and answered then', err)
            if not how:
                ok(eye.got(told + 3, 60), 'an epoch is told again, and again', str(eye.lines))
            server.stop()
            between.close()
    finally:
        broker.terminate()
        broker.wait(30)


if __name__ == '__main__':
    play([wrong_use, the_passphrase_by_systemd, groups_by_an_admin, what_it_says_is_watched, a_second_one_stops,
          nobody_takes_its_place_at_the_broker,
          killed_and_restored, the_log, no_secret_is_shown, a_cluster_that_refuses_and_forgets])
