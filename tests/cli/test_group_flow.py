#!/usr/bin/env python3
"""Static groups through a real broker: restarts, replays, copies of a directory, an expelled member.

usage: test_group_flow.py SEALMQ ROOT
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SEALMQ, ROOT = os.path.abspath(sys.argv[1]), sys.argv[2]
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402

TAP = Tap()
if not shutil.which('mosquitto') or not shutil.which('mosquitto_sub'):
    print('1..0 # SKIP mosquitto and mosquitto-clients are not installed')
    sys.exit(0)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class World:
    def __init__(self, directory):
        self.dir, self.port = directory, free_port()
        conf = os.path.join(directory, 'mosquitto.conf')
        with open(conf, 'w', encoding='utf-8') as file:
            file.write('listener %d 127.0.0.1\nallow_anonymous true\n' % self.port)
        self.broker = subprocess.Popen(['mosquitto', '-c', conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit('the broker does not start')

    def stop(self):
        self.broker.terminate()
        self.broker.wait(10)

    def run(self, *args):
        done = subprocess.run([SEALMQ, *args], capture_output=True, text=True, check=False, cwd=self.dir, timeout=30)
        if done.returncode:
            print('# %s: %s' % (' '.join(args[:2]), done.stderr.strip()))
        return done

    def at(self):
        return ['-h', '127.0.0.1', '-p', str(self.port)]

    def member(self, name):
        return os.path.join(self.dir, 'plant', 'members', name)

    def pub(self, realm, text, topic='plant/a'):
        return self.run('pub', '--realm', realm, *self.at(), '-q', '1', '--group', 'tele', '-t', topic, '-m', text)

    def subscriber(self, command):
        """A subscriber that has its subscription."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir)
        time.sleep(0.7)
        return process

    def sub(self, realm):
        return self.subscriber([SEALMQ, 'sub', '--realm', realm, *self.at(), '-q', '1', '-t', 'plant/#', '-W', '2',
                                '-F', '%s %g %e %p'])

    def eye(self, count):
        """The broker's eye: raw payloads."""
        return self.subscriber(['mosquitto_sub', *self.at(), '-t', 'plant/#', '-C', str(count), '-W', '5', '-F', '%x'])

    def replay(self, payload, topic='plant/a'):
        subprocess.run(['mosquitto_pub', *self.at(), '-q', '1', '-t', topic, '-s'], input=payload, check=True, timeout=10)


def heard(process):
    out, err = process.communicate(timeout=20)
    return out.decode().splitlines(), err.decode()


def flow(w):
    fridge, archive = w.member('fridge-07'), w.member('archive')
    eye, sub = w.eye(2), w.sub(archive)
    w.pub(fridge, 'one')
    w.pub(fridge, 'two')
    raw = [bytes.fromhex(line) for line in heard(eye)[0]]
    w.replay(raw[0])
    w.replay(raw[1], 'plant/b')
    lines, err = heard(sub)
    TAP.row(lines == ['fridge-07 tele 1 one', 'fridge-07 tele 1 two'], 'members of a group read each other', lines)
    TAP.row(err.count('refused') == 2 and 'fridge-07' in err, 'a replay is refused, under another topic too', [err])
    TAP.row(all(b'one' not in r and b'two' not in r for r in raw), 'the broker sees no plaintext')
    lives = [re.search(rb'^\x84\x01\x00(.{16})', r, re.S).group(1) for r in raw]
    TAP.row(lives[0] != lives[1], 'every start of a sender is a life of its own')

    sub = w.sub(archive)
    w.replay(raw[0])
    w.pub(fridge, 'three')
    lines, err = heard(sub)
    TAP.row(lines == ['fridge-07 tele 1 three'] and 'replay' in err, 'a replay is refused after a restart', lines + [err])

    sub = w.sub(archive)
    w.pub(fridge, 'four')
    time.sleep(0.5)
    sub.kill()
    sub.communicate()
    sub, eye = w.sub(archive), w.eye(1)
    w.replay(raw[1])
    lines, err = heard(sub)
    heard(eye)
    TAP.row(not lines and 'replay' in err, 'and after a kill', lines + [err])
    return raw


def copies(w):
    """A directory copied to a second machine, state and all: the two never share a key and nonce."""
    fridge = w.member('fridge-07')
    twin = os.path.join(w.dir, 'twin')
    shutil.copytree(fridge, twin, copy_function=shutil.copy2)
    eye = w.eye(4)
    both = [subprocess.Popen([SEALMQ, 'pub', '--realm', realm, *w.at(), '-q', '1', '--group', 'tele', '-t', 'plant/a',
                              '--repeat', '2', '-m', 'same'], cwd=w.dir) for realm in (fridge, twin)]
    codes = [p.wait(20) for p in both]
    found = []
    for line in heard(eye)[0]:
        path = os.path.join(w.dir, 'raw.bin')
        with open(path, 'wb') as file:
            file.write(bytes.fromhex(line))
        shown = json.loads(w.run('inspect', '--cose', '--realm', w.member('archive'), '--topic', 'plant/a',
                                 '--insecure-reveal-key', path).stdout)
        found.append((shown['insecure_key'], shown['nonce']))
    TAP.row(codes == [0, 0] and len(found) == 4 and len(set(found)) == 4 and len({key for key, _ in found}) == 2,
            'two processes from a copied directory never share a key and nonce', [str(codes), str(found)])


def expelled(w):
    """The next epoch, without the twin: it reads nothing any more, and what it says is stale."""
    fridge, archive, twin = w.member('fridge-07'), w.member('archive'), os.path.join(w.dir, 'twin')
    w.run('group', 'next', 'tele', '--realm', archive, '--members', 'fridge-07,archive', '--filter', 'plant/#')
    shutil.copy2(os.path.join(archive, 'groups', 'tele.key'), os.path.join(fridge, 'groups', 'tele.key'))
    inside, outside = w.sub(archive), w.sub(twin)
    w.pub(fridge, 'among us')
    w.pub(twin, 'old news')
    lines, err = heard(inside)
    TAP.row(lines == ['fridge-07 tele 2 among us'] and 'epoch' in err, 'an expelled sender is refused as stale', lines + [err])
    lines, err = heard(outside)
    TAP.row('fridge-07 tele 1 old news' in lines and len(lines) == 1 and 'refused' in err,
            'an expelled reader reads nothing of the new epoch', lines + [err])


def main():
    with tempfile.TemporaryDirectory() as directory:
        w = World(directory)
        try:
            w.run('ca', 'init', 'plant')
            for name in ('fridge-07', 'archive'):
                w.run('ca', 'issue', name, '--ca', 'plant')
            w.run('group', 'create', 'tele', '--realm', w.member('archive'), '--members', 'fridge-07,archive',
                  '--filter', 'plant/#')
            os.mkdir(os.path.join(w.member('fridge-07'), 'groups'), 0o700)
            shutil.copy2(os.path.join(w.member('archive'), 'groups', 'tele.key'),
                         os.path.join(w.member('fridge-07'), 'groups', 'tele.key'))
            flow(w)
            copies(w)
            expelled(w)
        finally:
            w.stop()
    return TAP.end()


sys.exit(main())
