"""A PostgreSQL server of our own, from Debian's package: a fresh directory, a Unix socket, no network.

It refuses to run as root; then it runs as `postgres` or `nobody`.
"""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time


def programs():
    """The newest directory of server programs, or None."""
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/initdb'), key=lambda path: int(path.split('/')[4]))
    return os.path.dirname(found[-1]) if found else None


def other_user():
    if os.geteuid() != 0:
        return None
    for name in ('postgres', 'nobody'):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise RuntimeError('no user to run PostgreSQL as')


class Postgres:
    def __init__(self, settings=()):
        self.bin, self.user, self.server = programs(), other_user(), None
        self.dir = tempfile.mkdtemp(prefix='sealmq-pg-')
        if self.user:
            os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
        self.data, self.settings = os.path.join(self.dir, 'data'), list(settings)
        done = self.run('initdb', '-D', self.data, '-U', 'sealmq', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync')
        if done.returncode:
            raise RuntimeError('initdb: ' + done.stderr)
        self.start()
        self.url = 'postgresql:///audit?host=%s&user=sealmq' % self.dir
        self.sql('CREATE DATABASE audit', 'postgres')

    def identity(self):
        return {'user': self.user.pw_uid, 'group': self.user.pw_gid, 'extra_groups': []} if self.user else {}

    def run(self, program, *args, seconds=120):
        return subprocess.run([os.path.join(self.bin, program), *args], capture_output=True, text=True, check=False,
                              timeout=seconds, cwd=self.dir, env={'PATH': os.environ.get('PATH', ''), 'LC_ALL': 'C'},
                              **self.identity())

    def start(self):
        words = [os.path.join(self.bin, 'postgres'), '-D', self.data, '-k', self.dir, '-c', 'listen_addresses=']
        for setting in self.settings:
            words += ['-c', setting]
        with open(os.path.join(self.dir, 'log'), 'ab') as log:
            self.server = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir,
                                           **self.identity())
        deadline = time.monotonic() + 60
        while self.run('pg_isready', '-h', self.dir, '-U', 'sealmq', '-d', 'postgres').returncode:
            if self.server.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(self.dir, 'log'), encoding='utf-8', errors='replace') as log:
                    raise RuntimeError('postgres does not start: ' + log.read()[-500:])
            time.sleep(0.05)

    def sql(self, text, database='audit'):
        done = self.run('psql', '-h', self.dir, '-U', 'sealmq', '-d', database, '-v', 'ON_ERROR_STOP=1', '-Atc', text)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def stop(self, number=signal.SIGINT):
        """SIGINT: connections are cut; SIGQUIT: as a crash, with recovery at the next start."""
        if self.server and self.server.poll() is None:
            self.server.send_signal(number)
            self.server.wait(60)

    def close(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.dir, ignore_errors=True)
