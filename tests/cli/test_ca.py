#!/usr/bin/env python3
"""`sealmq ca` as its user meets it, and its certificates as the openssl tool sees them.

usage: test_ca.py SEALMQ ROOT
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SEALMQ, ROOT = (os.path.abspath(path) for path in sys.argv[1:3])
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402

TAP = Tap()
USAGE, EXISTS = 1, 86


def ok(good, name, details=''):
    TAP.row(bool(good), name, details.splitlines())


def run(*words, **env):
    environ = {k: v for k, v in os.environ.items() if not k.startswith('SEALMQ_')}
    environ.update(env)
    return subprocess.run([SEALMQ, *words], capture_output=True, text=True, env=environ, timeout=20)


def openssl(*words):
    return subprocess.run(['openssl', *words], capture_output=True, text=True, timeout=20)


def first_minute():
    made = run('ca', 'init', 'plant')
    ok(made.returncode == 0 and 'plant' in made.stdout, 'init makes a realm')
    made = run('ca', 'issue', 'fridge-07')
    ok(made.returncode == 0 and 'plant/members/fridge-07' in made.stdout, 'the only authority here needs no --ca')
    made = run('ca', 'issue', '--ca', 'plant', 'desk', '--days', '7', '--json')
    issued = json.loads(made.stdout)
    ok(issued['name'] == 'desk' and issued['roles'] == ['member'] and issued['dir'] == 'plant/members/desk',
           'issue --json says what was made')
    made = run('ca', 'issue', 'broker', '--role=broker', '--dns', 'localhost', '--ip', '127.0.0.1', SEALMQ_CA='plant')
    ok(made.returncode == 0 and os.path.exists('plant/members/broker/server.key'), 'a broker, by SEALMQ_CA')
    listed = json.loads(run('ca', 'list', '--json').stdout)
    ok([i['name'] for i in listed] == ['fridge-07', 'desk', 'broker'], 'list --json has all of them')
    ok(run('ca', 'list', 'plant').stdout.count('\n') == 3, 'list has a line each')
    run('ca', 'init', 'second')
    ok(run('ca', 'issue', 'x').returncode == USAGE, 'with two authorities here, one must be named')


def openssl_agrees():
    for path in ('fridge-07/member.crt', 'desk/member.crt', 'broker/server.crt'):
        purpose = 'sslserver' if 'server' in path else 'sslclient'
        said = openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'plant/root.crt',
                       'plant/members/' + path)
        ok(said.returncode == 0, f'openssl verifies {path} as {purpose}', said.stderr)
    said = openssl('verify', '-verify_hostname', 'localhost', '-verify_ip', '127.0.0.1', '-CAfile', 'plant/root.crt',
                   'plant/members/broker/server.crt')
    ok(said.returncode == 0, 'the broker is localhost and 127.0.0.1', said.stderr)
    text = openssl('x509', '-in', 'plant/members/desk/member.crt', '-noout', '-text').stdout
    ok('CA:FALSE' in text and 'URI:sealmq:plant/desk' in text and 'Digital Signature' in text,
           'a member is no authority, and has its name')
    text = openssl('x509', '-in', 'plant/root.crt', '-noout', '-text').stdout
    ok('CA:TRUE, pathlen:1' in text and 'Certificate Sign, CRL Sign' in text, 'the root may issue, one level down')


def refusals():
    key = open('plant/members/desk/member.key', 'rb').read()
    rows = [
        (EXISTS, ['ca', 'init', 'plant'], 'exists'),
        (EXISTS, ['ca', 'issue', 'desk', '--ca', 'plant'], 'exists'),
        (USAGE, ['ca'], 'init'),
        (USAGE, ['ca', 'revoke'], 'revoke'),
        (USAGE, ['ca', 'init'], 'DIR'),
        (USAGE, ['ca', 'frobnicate'], 'frobnicate'),
        (USAGE, ['ca', 'init', 'a', 'b'], "'b'"),
        (USAGE, ['ca', 'issue', '--ca', 'plant'], 'NAME'),
        (USAGE, ['ca', 'issue', 'a', '--days', '0', '--ca', 'plant'], '--days'),
        (USAGE, ['ca', 'issue', 'a', '--days', '7x', '--ca', 'plant'], '7x'),
        (USAGE, ['ca', 'issue', 'a', '--role', 'king', '--ca', 'plant'], 'king'),
        (USAGE, ['ca', 'issue', 'a', '--key', 'rsa', '--ca', 'plant'], 'rsa'),
        (USAGE, ['ca', 'issue', 'a', '--frobnicate'], '--frobnicate'),
        (USAGE, ['ca', 'issue', 'a', '--role', 'broker', '--ca', 'plant'], '--dns'),
    ]
    for status, words, says in rows:
        done = run(*words)
        ok(done.returncode == status and says in done.stderr and done.stderr.count('\n') <= 20 and not
               done.stdout, ' '.join(words), f'{done.returncode}: {done.stderr}')
    done = run('ca', 'issue', 'a\x1b[31mb', '--ca', 'plant')
    ok(done.returncode != 0 and '\x1b' not in done.stderr, 'a name with control characters is shown escaped')
    ok(open('plant/members/desk/member.key', 'rb').read() == key, 'the key is the one it was')
    for words in (['ca'], ['ca', 'init'], ['ca', 'issue'], ['ca', 'list']):
        done = run(*words, '--help')
        ok(done.returncode == 0 and 'sealmq ca' in done.stdout, ' '.join(words) + ' --help')
    with open('/dev/full', 'w') as full:
        done = subprocess.run([SEALMQ, 'ca', 'list', 'plant'], stdout=full, stderr=subprocess.PIPE, timeout=20)
    ok(done.returncode != 0, 'output that does not arrive is a failure')


def killed_and_crowded():
    """Killed at any moment, an authority is whole or not there; many at once get their own lines in the log."""
    for n in range(12):
        child = subprocess.Popen([SEALMQ, 'ca', 'init', f'k{n}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.001 * n)
        child.send_signal(signal.SIGTERM if n % 2 else signal.SIGKILL)
        child.wait()
    whole = all(sorted(os.listdir(f'k{n}')) == ['issued.log', 'members', 'realm.yaml', 'root.crt', 'root.key']
                for n in range(12) if os.path.exists(f'k{n}'))
    ok(whole, 'killed while it is made: whole, or not there')
    many = [subprocess.Popen([SEALMQ, 'ca', 'issue', f'm{n % 8}', '--ca', 'second'], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for n in range(16)]
    good = sum(child.wait() == 0 for child in many)
    names = [i['name'] for i in json.loads(run('ca', 'list', 'second', '--json').stdout)]
    ok(good == 8 and sorted(names) == [f'm{n}' for n in range(8)], 'sixteen at once for eight names: eight issued')


def main():
    room = tempfile.mkdtemp(prefix='sealmq-ca-')
    os.chdir(room)
    try:
        first_minute()
        openssl_agrees()
        refusals()
        killed_and_crowded()
    finally:
        os.chdir('/')
        shutil.rmtree(room)
    return TAP.end()


sys.exit(main())
