#!/usr/bin/env python3
"""Real members of one group over a real broker and key server, all on this machine; one JSON object at the end.

usage: swarm.py SEALMQ [MEMBERS ...]        default: 100, 1000 and 8000, as far as memory and open files go

State goes to memory (/dev/shm) where there is some: a thousand members that sync one disk would measure the disk.
Mosquitto with TLS and client certificates, a policy in update mode that takes nothing together and activates at once.
After each leave the floor: as many plain messages as an epoch takes, to each member by itself, over the same
connections.
"""
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tools'))
from ports import free_port  # noqa: E402

READ_PER_S = 2000  # messages a second at all members together, once a second at least
TOGETHER_FROM, TOGETHER_MS = 1000, 250
KIB_EACH = 1300  # of memory, the broker's share included


def leaves(members):
    """Each is a round beside its floor; those of many thousands take some seconds."""
    return 25 if members <= 1000 else 9


def rate(members):
    return max(1, min(20, READ_PER_S // members))


def room_for(members):
    """Raises the limit of open files for the broker; says what is missing, or None. The swarm looks after itself."""
    want = members + 512
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(want, hard), max(want, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return '%d open files in the broker, of which %d are allowed' % (want, hard)
    with open('/proc/meminfo', encoding='ascii') as file:
        free = next(int(line.split()[1]) for line in file if line.startswith('MemAvailable'))
    return None if free > members * KIB_EACH * 1.3 else '%d MiB of memory' % (members * KIB_EACH * 1.3 / 1024)


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
        # a swarm that lost messages says so by its status as well; how many is part of its figures
        if done.returncode != 0 and not (words[0] == 'swarm' and done.stdout):
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
                 'allow_anonymous false', 'set_tcp_nodelay true', 'max_queued_messages 0', 'max_connections -1', 'persistence false']
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

    def group(self, name, batch_ms):
        self.must('group', 'create', name, '--realm', self.member('ops'), *self.tls(), '--mode', 'update',
                  '--filter', 'swarm/%s' % name, '--publish', 'swarm-*', '--subscribe', '*', '--batch-ms', str(batch_ms),
                  '--activation-ms', '1', '--wait', '30')

    def run(self, members):
        name = 'g%d' % members
        # of thousands that join each would make all others follow, one by one
        self.group(name, 1 if members <= TOGETHER_FROM else TOGETHER_MS)
        out = self.must('swarm', '--ca', self.path('swarm'), '--group', name, '-t', 'swarm/%s' % name, '--members',
                        str(members), '--leaves', str(leaves(members)), '--rate', str(rate(members)), '--floor', '--json', *self.tls())
        return json.loads(out)

    def strike(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def main(sealmq, *counts):
    runs, left_out = [], []
    # the broker inherits the limit
    for count in map(int, counts or ('8000', )):
        room_for(count)
    rig = Rig(sealmq)
    try:
        rig.set_up()
        for count in map(int, counts or ('100', '1000', '8000')):
            missing = room_for(count)
            if missing:
                sys.stderr.write('swarm.py: %d members need %s: left out\n' % (count, missing))
                left_out.append({'members': count, 'needs': missing})
            else:
                runs.append(rig.run(count))
    finally:
        rig.strike()
    print(json.dumps({'bench': 'swarm', 'read_per_s': READ_PER_S, 'together_from': TOGETHER_FROM, 'together_ms': TOGETHER_MS, 'runs': runs, 'left_out': left_out}))


if __name__ == '__main__':
    main(*sys.argv[1:])
