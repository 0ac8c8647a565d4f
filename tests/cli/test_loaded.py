#!/usr/bin/env python3
"""Libraries that are loaded when they are needed: the tool does not carry them, and says in one line which is missing.

usage: test_loaded.py SEALMQ ROOT
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools'))
from tap import Tap

SEALMQ = os.path.abspath(sys.argv[1])
TAP = Tap()
# what each brings along counts as well: GnuTLS comes with libmicrohttpd, Kerberos with libpq
HEAVY = ('libsqlite3', 'libmicrohttpd', 'libgnutls', 'libp11-kit', 'libpq', 'libIPSec_MB', 'libkrb5', 'libm.so')
UNSUPPORTED = 10


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
                          check=False, **more)
    return done.returncode, done.stdout, done.stderr


def not_linked():
    status, out, err = run('ldd', SEALMQ)
    if status != 0:
        TAP.skip('what the tool is linked with', 'no ldd here')
        return
    if 'asan' in out:
        TAP.skip('what the tool is linked with', 'sanitizers have needs of their own')
        return
    TAP.row('libcrypto' in out and not [name for name in HEAVY if name in out],
            'the tool is linked with nothing that pub and sub do not use', [out + err])


def missing(folder):
    """A file that is no library stands for each in turn."""
    ca, keyserver = os.path.join(folder, 'plant'), os.path.join(folder, 'plant/members/ks')
    run(SEALMQ, 'ca', 'init', ca)
    for name, role in (('ks', ('--role', 'keyserver')), ('enrol', ('--role', 'broker', '--dns', 'localhost'))):
        run(SEALMQ, 'ca', 'issue', name, '--ca', ca, *role)
    for path in ('log', 'ks.db', 'words'):
        with open(os.path.join(folder, path), 'w', encoding='utf-8') as file:
            file.write('enough of a passphrase\n')
        os.chmod(file.name, 0o600)
    rows = (('libsqlite3.so.0', ('pub', '--plain', '-q', '1', '--outbox', 'out.db', '-t', 'a', '-m', 'x', '-p', '1')),
            ('libsqlite3.so.0', ('query', 'latest', '--store', 'x.db')),
            ('libsqlite3.so.0', ('keyserver', 'check', '--realm', keyserver, '--db', 'ks.db', '--passphrase-file', 'words')),
            ('libsqlite3.so.0', ('keyserver', 'audit', '--realm', keyserver, '--db', 'ks.db')),
            ('libpq.so.5', ('query', 'latest', '--store', 'postgres://localhost/x')),
            ('libmicrohttpd.so.12', ('watch', '--file', 'log', '--metrics-port', '19641')),
            ('libmicrohttpd.so.12', ('ca', 'serve', '--ca', ca, '--port', '0')),
            ('libp11-kit.so.0', ('ca', 'init', 'new', '--pkcs11', 'pkcs11:token=plant?pin-source=/dev/null')))
    for number, (library, words) in enumerate(rows, 1):
        want = 1 if words[0] == 'pub' else UNSUPPORTED  # pub's statuses are those of mosquitto_pub
        junk = os.path.join(folder, 'junk-%d' % number)
        os.mkdir(junk)
        with open(os.path.join(junk, library), 'w', encoding='ascii'):
            pass
        path = ':'.join(p for p in (junk, os.environ.get('LD_LIBRARY_PATH')) if p)
        status, _, err = run(SEALMQ, *words, cwd=folder, env=dict(os.environ, LD_LIBRARY_PATH=path))
        TAP.row(status == want and len(err.splitlines()) == 1 and 'cannot load %s (Debian: ' % library in err,
                'row %d: %s without %s: one line says so' % (number, ' '.join(words[:2]), library), ['%d: %s' % (status, err)])


def main():
    not_linked()
    folder = tempfile.mkdtemp(prefix='sealmq-loaded-')
    try:
        missing(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
