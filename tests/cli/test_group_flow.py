#!/usr/bin/env python3
"""Static groups through a real broker: restarts, replays, copies of a directory, an expelled member.

usage: test_group_flow.py SEALMQ ROOT
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, TAP, Process, find, free_port, needs_programs, run, wait  # noqa: E402


class World:
    def __init__(self, directory):
        self.dir, self.port = directory, free_port()
        self.log = os.path.join(directory, 'mosquitto.log')
        conf = os.path.join(directory, 'mosquitto.conf')
        with open(conf, 'w', encoding='utf-8') as file:
            file.write('listener %d 127.0.0.1\nallow_anonymous true\nlog_type all\nlog_dest file %s\n%s' % (
                self.port, self.log, 'user root\n' if os.geteuid() == 0 else ''))
        self.broker = subprocess.Popen([find('mosquitto'), '-c', conf], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        if not wait(lambda: ' running' in self.logged(), 60):
            raise SystemExit('the broker does not start')

    def logged(self):
        try:
            with open(self.log, encoding='utf-8', errors='replace') as file:
                return file.read()
        except OSError:
            return ''

    def stop(self):
        Process.stop_all()
        self.broker.terminate()
        self.broker.wait(10)

    def run(self, *args):
        done = run(SEALMQ, *args, cwd=self.dir)
        if done[0]:
            print('# %s: %s' % (' '.join(args[:2]), done[2].strip()))
        return done

    def at(self):
        return ['-h', '127.0.0.1', '-p', str(self.port)]

    def member(self, name):
        return os.path.join(self.dir, 'plant', 'members', name)

    def pub(self, realm, text, topic='plant/a'):
        return self.run('pub', '--realm', realm, *self.at(), '-q', '1', '--group', 'tele', '-t', topic, '-m', text)

    def subscriber(self, *command):
        """A subscriber that has its subscription."""
        before = self.logged().count('Sending SUBACK')
        process = Process(list(command))
        wait(lambda: self.logged().count('Sending SUBACK') > before or process.child.poll() is not None, 60)
        return process

    def sub(self, realm, form='%s %g %e %p'):
        return self.subscriber(SEALMQ, 'sub', '--realm', realm, *self.at(), '-q', '1', '-t', 'plant/#', '-F', form)

    def eye(self):
        """The broker's eye: raw payloads."""
        return self.subscriber(find('mosquitto_sub'), *self.at(), '-q', '1', '-t', 'plant/#', '-F', '%x')

    def replay(self, payload, topic='plant/a'):
        subprocess.run(['mosquitto_pub', *self.at(), '-q', '1', '-t', topic, '-s'], input=payload, check=True, timeout=10)


def heard(process, count, refused=0):
    """What it printed, and said, once it has all that is to come; a moment more shows what should not come."""
    wait(lambda: len(process.lines) >= count and len(process.refusals()) >= refused, 60)
    wait(lambda: len(process.lines) > count, 0.3)
    process.stop(signal.SIGTERM)
    return process.lines, '\n'.join(process.said)


def flow(w):
    fridge, archive = w.member('fridge-07'), w.member('archive')
    eye, sub, beside = w.eye(), w.sub(archive), w.sub(archive)
    w.pub(fridge, 'one')
    w.pub(fridge, 'two')
    raw = [bytes.fromhex(line) for line in heard(eye, 2)[0]]
    w.replay(raw[0])
    w.replay(raw[1], 'plant/b')
    lines, err = heard(sub, 2, 2)
    TAP.row(lines == ['fridge-07 tele 1 one', 'fridge-07 tele 1 two'], 'members of a group read each other', lines)
    TAP.row(heard(beside, 2)[0] == lines, 'in two processes of one realm directory, too', beside.lines + beside.said[-5:])
    TAP.row(err.count('refused') == 2 and 'fridge-07' in err, 'a replay is refused, under another topic too', [err])
    TAP.row(all(b'one' not in r and b'two' not in r for r in raw), 'the broker sees no plaintext')
    lives = [re.search(rb'^\x84\x01\x00(.{16})', r, re.S).group(1) for r in raw]
    TAP.row(lives[0] != lives[1], 'every start of a sender is a life of its own')

    sub = w.sub(archive)
    w.replay(raw[0])
    w.pub(fridge, 'three')
    lines, err = heard(sub, 1, 1)
    TAP.row(lines == ['fridge-07 tele 1 three'] and 'replay' in err, 'a replay is refused after a restart', lines + [err])

    sub = w.sub(archive)
    w.pub(fridge, 'four')
    sub.got(1)
    sub.stop(signal.SIGKILL)
    sub = w.sub(archive)
    w.replay(raw[1])
    lines, err = heard(sub, 0, 1)
    TAP.row(not lines and 'replay' in err, 'and after a kill', lines + [err])
    return raw


def copies(w):
    """A directory copied to a second machine, state and all: the two never share a key and nonce."""
    fridge = w.member('fridge-07')
    twin = os.path.join(w.dir, 'twin')
    shutil.copytree(fridge, twin, copy_function=shutil.copy2)
    eye = w.eye()
    both = [subprocess.Popen([SEALMQ, 'pub', '--realm', realm, *w.at(), '-q', '1', '--group', 'tele', '-t', 'plant/a',
                              '--repeat', '2', '-m', 'same'], cwd=w.dir) for realm in (fridge, twin)]
    codes = [p.wait(20) for p in both]
    found = []
    for line in heard(eye, 4)[0]:
        path = os.path.join(w.dir, 'raw.bin')
        with open(path, 'wb') as file:
            file.write(bytes.fromhex(line))
        shown = json.loads(w.run('inspect', '--cose', '--realm', w.member('archive'), '--topic', 'plant/a',
                                 '--insecure-reveal-key', path)[1])
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
    lines, err = heard(inside, 1, 1)
    TAP.row(lines == ['fridge-07 tele 2 among us'] and 'epoch' in err, 'an expelled sender is refused as stale', lines + [err])
    lines, err = heard(outside, 1, 1)
    TAP.row('fridge-07 tele 1 old news' in lines and len(lines) == 1 and 'refused' in err,
            'an expelled reader reads nothing of the new epoch', lines + [err])


def kept(w):
    """A boot id that is kept over starts and kills: no counter twice, and a clean start skips none."""
    fridge = w.member('fridge-07')
    words = ['pub', '--realm', fridge, *w.at(), '-q', '1', '--group', 'tele', '-t', 'plant/k', '--keep-boot-id']
    sub = w.sub(w.member('archive'), '%B %n %p')
    for text in ('one', 'two'):
        w.run(*words, '-m', text)
    killed = Process([SEALMQ, *words, '-l'])
    killed.write('three', 'four')
    sub.got(4)
    status, _, err = run(SEALMQ, *words, '-m', 'at the same time')
    TAP.row(status != 0 and 'another process' in err, 'two processes never share a kept boot id', [str(status), err])
    killed.stop(signal.SIGKILL)
    w.run(*words, '-m', 'five')
    lines, err = heard(sub, 5)
    seen = [line.split() for line in lines]
    TAP.row([s[2] for s in seen] == ['one', 'two', 'three', 'four', 'five'] and len({s[0] for s in seen}) == 1 and
            [int(s[1]) for s in seen][:4] == [0, 1, 2, 3] and int(seen[-1][1]) > 3,
            'a kept boot id goes on with counters that were not used before, after a kill too', lines + [err])
    status, _, err = run(SEALMQ, *words, '--to', 'archive', '-m', 'x')
    TAP.row(status == 1 and '--keep-boot-id is for --group' in err, 'which sessions do not have', [str(status), err])


def main():
    needs_programs()
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
            kept(w)
            copies(w)
            expelled(w)
        finally:
            w.stop()
    return TAP.end()


sys.exit(main())
