#!/usr/bin/env python3
"""Real members of one group over a real broker and key server, all on this machine; one JSON object at the end.

usage: swarm.py SEALMQ [MEMBERS ...]        default: 100 and 1000

State goes to memory (/dev/shm) where there is some: a thousand members that sync one disk would measure the disk.
Mosquitto with TLS and client certificates, a policy in update mode that takes nothing together and activates at once.
After each leave the floor: as many plain messages as an epoch takes, to each member by itself, over the same
connections.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

LEAVES, RATE = 5, 20


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Rig:
    def __init__(self, sealmq):
        self.sealmq = os.path.abspath(sealmq)
        self.dir = tempfile.mkdtemp(prefix='sealmq-swarm-', dir='/dev/shm' if os.path.isdir('/dev/shm') else None)
        self.port = free_port()
        self.children = []

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def member(self, name, file=''):
        return self.path('swarm', 'members', name, file).rstrip('/')

    def must(self, *words):
        done = subprocess.run([self.sealmq, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit('swarm.py: %s: %s' % (' '.join(words[:3]), done.stderr.strip()))
        return done.stdout

    def start(self, *words):
        self.children.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def wait(self, what, condition, seconds=20):
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise SystemExit('swarm.py: %s' % what)
            time.sleep(0.05)

    def broker(self):
        lines = ['listener %d 127.0.0.1' % self.port, 'cafile ' + self.member('broker', 'root.crt'),
                 'certfile ' + self.member('broker', 'server.crt'), 'keyfile ' + self.member('broker', 'server.key'),
                 'tls_version tlsv1.3', 'require_certificate true', 'use_identity_as_username true',
                 'allow_anonymous false', 'set_tcp_nodelay true', 'max_queued_messages 0', 'persistence false']
        if os.geteuid() == 0:
            lines.append('user root')
        with open(self.path('mosquitto.conf'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')
        self.start(shutil.which('mosquitto', path=os.environ.get('PATH', '') + ':/usr/sbin'), '-c',
                   self.path('mosquitto.conf'))
        self.wait('mosquitto does not start', self.answers)

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def tls(self):
        return ['-h', 'localhost', '-p', str(self.port), '--tls']

    def set_up(self):
        self.must('ca', 'init', self.path('swarm'))
        for name, *more in (('keys', '--role', 'keyserver'), ('ops', '--role', 'admin'),
                            ('broker', '--role', 'broker', '--dns', 'localhost', '--ip', '127.0.0.1')):
            self.must('ca', 'issue', name, '--ca', self.path('swarm'), *more)
        self.broker()
        with open(self.path('pass'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write('only for this run\n')
        keys = ['--realm', self.member('keys'), '--db', self.path('keys.db'), '--passphrase-file', self.path('pass')]
        self.must('keyserver', 'init', *keys)
        self.start(self.sealmq, 'keyserver', 'run', *keys, *self.tls())

    def group(self, name):
        self.must('group', 'create', name, '--realm', self.member('ops'), *self.tls(), '--mode', 'update',
                  '--filter', 'swarm/%s' % name, '--publish', 'swarm-*', '--subscribe', '*', '--batch-ms', '1',
                  '--activation-ms', '1', '--wait', '30')

    def run(self, members):
        name = 'g%d' % members
        self.group(name)
        out = self.must('swarm', '--ca', self.path('swarm'), '--group', name, '-t', 'swarm/%s' % name, '--members',
                        str(members), '--leaves', str(LEAVES), '--rate', str(RATE), '--floor', '--json', *self.tls())
        return json.loads(out)

    def strike(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def main(sealmq, *counts):
    rig = Rig(sealmq)
    try:
        rig.set_up()
        runs = [rig.run(int(count)) for count in counts or ('100', '1000')]
    finally:
        rig.strike()
    print(json.dumps({'bench': 'swarm', 'leaves': LEAVES, 'rate': RATE, 'runs': runs}))


if __name__ == '__main__':
    main(*sys.argv[1:])
