#!/usr/bin/env python3
"""Three brokers behind NGINX: any one of them is killed and held down, and the members, their messages and their groups'
keys go on. The table "Three behind NGINX" of doc/BROKERS.md, measured.

usage: test_broker_cluster.py SEALMQ ROOT
"""
import json
import os
import re
import signal
import socket
import sys
import threading
import time

from sealed_rig import LONG, SEALMQ, TAP, Process, find, measured, ok, run, wait
from broker_rig import Deployment, sanitized

GROUP = 'telemetry'
BACK_S = 10  # within so long members are back


class Cluster(Deployment):
    """A deployment of three with a key server, an admin, a reader and two senders of one group."""
    program, five, slow = '', False, 60

    def __init__(self, profile):
        self.profile = profile
        super().__init__(members=('desk', 'centre', 'fridge-07', 'ward-3'), options=['--profile', profile])
        for words in (['keys', '--role', 'keyserver'], ['ops', '--role', 'admin']):
            self.must(SEALMQ, 'ca', 'issue', *words, '--ca', self.ca)
        self.init()
        self.passphrase = os.path.join(self.room, 'pass')
        with open(self.passphrase, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write('a passphrase of several words\n')
        self.sent = {'fridge-07': [], 'ward-3': []}

    def words(self, command, name, *more):
        how = {'mosquittos': ['5'], 'nats': ['311', '--control-qos', '0'], 'rabbitmq': ['311']}[self.profile]
        return [SEALMQ, *command, '--realm', self.member(name), *self.tls(name), '-V', *how, *more]

    def port_at(self, node):
        """A broker's own port, without NGINX."""
        text = self.read('run/%s-%d.conf' % (self.program, node))
        return int(re.search({'mosquitto': r'^listener (\d+)', 'nats': r'^\s*listen: "127.0.0.1:(\d+)"',
                              'rabbitmq': r'^mqtt.listeners.ssl.1 = 127.0.0.1:(\d+)'}[self.program], text, re.M).group(1))

    def knock(self, node):
        """A session of QoS 1 at that broker itself, with a subscription. Returns its socket, and what publishes there."""
        text = lambda t: len(t).to_bytes(2, 'big') + t  # noqa: E731
        topic = text(b'sealmq/plant/keyex/ward-3')
        plain = socket.create_connection(('127.0.0.1', self.port_at(node)), 2)
        plain.settimeout(2)
        link = self.context('ward-3').wrap_socket(plain, server_hostname='localhost')
        for kind, body in ((0x10, b'\0\x04MQTT\x04\x02\0\x3c' + text(b'probe%d' % node)), (0x82, b'\0\x01' + topic + b'\x01')):
            link.sendall(bytes([kind, len(body)]) + body)
            if not link.recv(256):
                raise ConnectionError
        return link, lambda word: link.sendall(bytes([0x32, len(topic) + 2 + len(word)]) + topic + b'\0\x02' + word)

    def tell(self, nodes):
        """Whether each of these brokers gives back, within two seconds, what each of them is told."""
        doors, until = [], time.monotonic() + 2
        try:
            doors = [self.knock(node) for node in nodes]
            for node, (_, publish) in zip(nodes, doors):
                publish(b'probe-%d' % node)
            for link, _ in doors:
                got = b''
                while not all(b'probe-%d' % node in got for node in nodes):
                    more = link.recv(4096)
                    if not more or time.monotonic() > until:
                        return False
                    got += more
            return True
        except OSError:
            return False
        finally:
            for link, _ in doors:
                link.close()

    def settle(self):
        """All three are up; where bridges make them one, these are, too."""
        one = [(1, 2, 3)] if self.profile == 'mosquittos' else [(1,), (2,), (3,)]
        return wait(lambda: all(self.tell(nodes) for nodes in one), self.slow * 2)

    def join(self):
        keys = ('--db', os.path.join(self.room, 'keys.db'), '--passphrase-file', self.passphrase)
        self.must(SEALMQ, 'keyserver', 'init', '--realm', self.member('keys'), *keys)
        self.keyserver = Process(self.words(['keyserver', 'run'], 'keys', *keys, *(['--announce-again'] if self.profile != 'mosquittos' else [])))
        wait(lambda: any('connected' in line for line in self.keyserver.lines), 60)
        made = wait(self.made, 60)
        self.reader = Process(self.words(['sub'], 'desk', '-c', '-i', 'desk-reads', '-q', '1', '--group', GROUP, '-t', 'plant/#',
                                         '-F', '%s %p', '-v', '-x', '600'))
        self.store = os.path.join(self.room, 'audit.db')
        self.recorder = Process(self.words(['record'], 'centre', '--store', self.store, '-t', 'plant/+/t', '--group', GROUP, '--json'))
        self.senders = {name: Process(self.words(['pub'], name, '-i', name, '-q', '1', '--group', GROUP, '-t',
                                                 'plant/%s/t' % name, '-l')) for name in self.sent}
        for _ in range(120):
            if len({line.split()[0] for line in list(self.reader.lines)}) == len(self.sent):
                break
            for name in self.sent:
                self.send(name, warm=True)
            time.sleep(0.5)
        wait(lambda: set(self.stored()) == set(self.sent), 60)
        return made and {line.split()[0] for line in self.reader.lines} == set(self.sent)

    def made(self):
        status, _, err = self.admin('create', GROUP, '--mode', 'update', '--filter', 'plant/#', '--publish', '*', '--subscribe', '*')
        return status == 0 or 'group policy' in err

    def admin(self, *words):
        """What the admin asks of the key server; each time by a new connection."""
        return run(*self.words(['group', *words], 'ops', '--wait', '5'), seconds=60)

    def send(self, name, warm=False):
        word = '%s%d' % ('w' if warm else 'm', len(self.sent[name]))
        if not warm:
            self.sent[name].append(word)
        self.senders[name].write(word)
        return word

    def stored(self):
        """How many messages of each sender the recorder has."""
        status, out, _ = run(SEALMQ, 'query', 'counts', '--store', self.store, '--json')
        rows = [json.loads(line) for line in out.splitlines()] if status == 0 else []
        return {row['sender']: sum(r.get('messages', r.get('count', 0)) for r in rows if r['sender'] == row['sender']) for row in rows}

    def heard(self, name, word):
        return '%s %s' % (name, word) in self.reader.lines


class Held:
    """A broker that is killed, and killed again as often as it is started, until it is let go."""

    def __init__(self, d, node):
        self.d, self.name, self.on = d, '%s-%d' % (d.program, node), True
        self.killed = set()
        self.strike()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def strike(self):
        pid = self.d.pid(self.name)
        if pid not in self.killed:
            self.killed.add(pid)
            try:
                os.killpg(pid, signal.SIGKILL)  # a group of its own, made by `broker run`
            except ProcessLookupError:
                pass

    def watch(self):
        while self.on:
            self.strike()
            time.sleep(0.02)

    def let_go(self):
        self.on = False
        self.thread.join()


def killed(d, node):
    """Seconds until messages of both senders arrive again, and until the admin moves the epoch."""
    held = Held(d, node)
    started = time.monotonic()
    first = {name: len(d.sent[name]) for name in d.sent}
    back = {}
    while time.monotonic() - started < 60 and (len(back) < len(d.sent) or time.monotonic() - started < 3):
        for name in d.sent:
            d.send(name)
        time.sleep(0.05)
        heard = set(d.reader.lines)
        for name in d.sent:
            if name not in back and any('%s %s' % (name, word) in heard for word in d.sent[name][first[name]:]):
                back[name] = time.monotonic() - started
    began = time.monotonic()
    rotated = wait(lambda: d.admin('rotate', GROUP)[0] == 0, 60) and time.monotonic() - began
    held.let_go()
    again = d.settle()
    return max(back.values()) if len(back) == len(d.sent) else None, rotated, again


def one(profile, kind):
    d = kind(profile)
    try:
        began = time.monotonic()
        d.start(seconds=d.slow * 4)
        ok(d.settle(), profile + ': all three answer behind NGINX', d.runner.lines)
        up = time.monotonic() - began
        print('# %s: up after %.1f s' % (profile, up))
        ok(d.join(), profile + ': a key server, a reader and two senders of a group', '%s %s %s' % (
            d.keyserver.lines, d.reader.said, [s.said for s in d.senders.values()]))
        backs, epochs = [], []
        for node in map(int, os.environ.get("SEALMQ_NODES", "123")):
            back, rotated, again = killed(d, node)
            ok(back is not None and back < BACK_S, '%s: without broker %d messages go on within %d s' % (profile, node, BACK_S),
               '%s %s %s' % (back, d.reader.said[-12:], [s.said[-12:] for s in d.senders.values()]))
            ok(rotated, '%s: without broker %d the group moves to a new epoch' % (profile, node), d.keyserver.lines[-5:])
            ok(again, '%s: broker %d is back' % (profile, node), d.runner.lines[-5:])
            backs.append(back)
            epochs.append(rotated or None)
            print('# %s: broker %d: messages after %.1f s, a new epoch after %.1f s' % (profile, node, back or -1, rotated or -1))
        whole = wait(lambda: all(d.heard(n, w) for n in d.sent for w in d.sent[n]), 60)
        lines = [line for line in d.reader.lines if line.split()[1].startswith('m')]
        lost = [(n, w) for n in d.sent for w in d.sent[n] if not d.heard(n, w)]
        ok(whole, '%s: each of %d messages of QoS 1 arrived' % (profile, sum(map(len, d.sent.values()))), '%s\n%s\n%s' % (lost[:5], d.reader.said[-10:], [s.said[-12:] for s in d.senders.values()]))
        ok(len(lines) == len(set(lines)), profile + ': and each once', '')
        heard = {n: sum(line.startswith(n + ' ') for line in d.reader.lines) for n in d.sent}
        good = wait(lambda: all(d.stored().get(n, 0) >= len(d.sent[n]) for n in d.sent), 60)
        ok(good and all(d.stored()[n] <= heard[n] + 20 for n in d.sent), profile + ': and the recorder has stored them',
           '%s %s %s' % (d.stored(), heard, d.recorder.said[-5:]))
        sent = sum(map(len, d.sent.values()))
        measured('cluster', profile=profile, up_s=up, back_s=backs, epoch_s=epochs, sent=sent, arrived=sent - len(lost),
                 twice=len(lines) - len(set(lines)), stored=good)
    finally:
        Process.stop_all()
        d.strike()


class Mosquittos(Cluster):
    program = 'mosquitto'


class Nats(Cluster):
    program = 'nats'


class RabbitMq(Cluster):
    program, slow = 'rabbitmq', 150


def main():
    for profile, kind, program in (('mosquittos', Mosquittos, 'mosquitto'), ('nats', Nats, 'nats-server'),
                                   ('rabbitmq', RabbitMq, 'rabbitmq-server')):
        if os.environ.get('SEALMQ_ONLY', profile) != profile:
            continue
        if profile == 'mosquittos' and sanitized():
            TAP.skip(profile, 'Mosquitto cannot load a plugin that was built with a sanitizer')
        elif not find(program) or not find('nginx'):
            TAP.skip(profile, program + ' or nginx is not installed')
        elif profile != 'mosquittos' and not LONG:
            TAP.skip(profile, 'its elections take minutes in all; SEALMQ_LONG=1')
        else:
            one(profile, kind)
    return TAP.end()


sys.exit(main())
