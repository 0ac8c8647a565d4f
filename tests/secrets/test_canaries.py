#!/usr/bin/env python3
"""Canaries: secrets that are known to the test, searched for wherever they must not be: output and logs, the broker's
files, databases and state, core dumps, the memory of processes that are done with them. What finds nothing is shown to
find: the same search meets the same secret where it must be.

usage: test_canaries.py SEALMQ ROOT
"""
import base64
import os
import re
import resource
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'cli'))
from sealed_rig import SEALMQ, TAP, Process, find, ok, play, run, wait  # noqa: E402
from test_containment import DUTIES, parts  # noqa: E402
from test_keyserver import POLICY, Keys  # noqa: E402


def shapes(secret):
    """As it may be met: as it is, as a number in memory (the other way round), as text."""
    return {secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode(),
            base64.b64encode(secret)[:-4], base64.urlsafe_b64encode(secret)[:-4]}


def hits(data, secret):
    return sum(data.count(shape) for shape in shapes(secret))


def private_scalar(path):
    """The 32 bytes of a P-256 key."""
    out = subprocess.run(['openssl', 'pkey', '-in', path, '-noout', '-text'], capture_output=True, text=True, check=True).stdout
    digits = re.sub(r'[\s:]', '', re.search(r'priv:(.*?)pub:', out, re.S).group(1))
    return bytes.fromhex(digits[-64:].rjust(64, '0'))


def memory_of(pid):
    """All that can be read of a living process's memory."""
    found = b''
    with open('/proc/%d/maps' % pid, encoding='ascii', errors='replace') as maps, open('/proc/%d/mem' % pid, 'rb', 0) as mem:
        for line in maps:
            match = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
            if not match:
                continue
            start, end = (int(word, 16) for word in match.groups())
            try:
                mem.seek(start)
                found += mem.read(end - start)
            except (OSError, ValueError):
                pass
    return found


def core_of(stage, pid):
    """What a core dump made from outside holds."""
    path = stage.path('core')
    done = subprocess.run(['gcore', '-o', path, str(pid)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    name = '%s.%d' % (path, pid)
    if not os.path.exists(name):
        raise RuntimeError('gcore: ' + done.stdout[-300:] + done.stderr[-300:])
    with open(name, 'rb') as file:
        data = file.read()
    os.unlink(name)
    return data


def files_below(place, but=()):
    data = b''
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and name not in but:
                with open(path, 'rb') as file:
                    data += file.read()
    return data


def can_look():
    return find('gcore') and os.geteuid() == 0 and b'__asan_init' not in open(SEALMQ, 'rb').read()


def planted(stage):
    """The search finds: in a process that keeps a canary, in its core, in a file."""
    canary = os.urandom(32)
    child = subprocess.Popen([sys.executable, '-c', 'import sys, time\nkept = bytes.fromhex(sys.stdin.readline())\n'
                              'print("ready", flush=True)\ntime.sleep(600)'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(canary.hex().encode() + b'\n')
    child.stdin.flush()
    child.stdout.readline()
    ok(hits(memory_of(child.pid), canary) > 0, 'planted: a canary is found in memory')
    ok(hits(core_of(stage, child.pid), canary) > 0, 'planted: and in a core dump')
    with open(stage.path('leak.log'), 'wb') as file:
        file.write(b'key ' + base64.b64encode(canary) + b'\n')
    ok(hits(files_below(stage.dir), canary) > 0, 'planted: and in a log, as text')
    os.unlink(stage.path('leak.log'))
    child.kill()
    child.wait()


def traffic(stage):
    """Members of a group whose key is known, and whose identities are."""
    ok(run(SEALMQ, 'group', 'create', 'g', '--realm', stage.member('desk'), '--members', 'desk,fridge-07')[0] == 0, 'a group')
    key = stage.member('desk', 'groups/g.key')
    os.makedirs(stage.member('fridge-07', 'groups'), mode=0o700, exist_ok=True)
    with open(key, encoding='ascii') as file:
        text = file.read()
    with open(stage.member('fridge-07', 'groups/g.key'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(text)
    group = bytes.fromhex(re.search(r'^secret (\w+)$', text, re.M).group(1))
    identities = [private_scalar(stage.member(name, 'member.key')) for name in ('desk', 'fridge-07')]
    # the link's TLS has a key of another one's, so that an identity that is met is the end-to-end one
    sub = Process([SEALMQ, 'sub', '--realm', stage.member('desk'), *stage.tls('observer'), '-t', 'plant/#', '-d', '--stats', '1'])
    pub = Process([SEALMQ, 'pub', '--realm', stage.member('fridge-07'), *stage.tls('observer'), '--group', 'g', '-t', 'plant/a',
                   '-l', '-q', '1', '-r', '-d'])
    for n in range(200):
        pub.write('a reading %d' % n)
        if wait(lambda: len(sub.lines) > 20, 0.1):
            break
    ok(len(sub.lines) > 20, 'sealed traffic flows', sub.said[-3:])
    secrets = [group] + identities
    living = [memory_of(sub.child.pid), memory_of(pub.child.pid)]
    ok(hits(living[0], identities[0]) > 0 and hits(living[1], identities[1]) > 0,
       'planted: the running members hold their identities, and the search meets them')
    ok(hits(living[0], identities[1]) + hits(living[1], identities[0]) == 0, 'nobody holds the other one\'s')
    for who, process in (('sub', sub), ('pub', pub)):
        core = core_of(stage, process.child.pid)
        ok(len(core) > 100000 and sum(hits(core, s) for s in secrets) == 0, who + ': a core dump holds no key', len(core))
        with open('/proc/%d/status' % process.child.pid, encoding='ascii') as file:
            locked = int(re.search(r'VmLck:\s+(\d+)', file.read()).group(1))
        ok(locked > 0, who + ': its memory is locked', locked)
    said = '\n'.join(sub.lines + sub.said + pub.lines + pub.said).encode()
    ok(sum(hits(said, s) for s in secrets) == 0, 'output and debug lines hold no key', len(said))
    stage.kill(signal.SIGTERM)  # it saves what it retains
    data = files_below(stage.dir, but=('g.key', 'member.key', 'root.key', 'server.key'))
    ok(b'mosquitto' in data and sum(hits(data, s) for s in secrets) == 0,
       'the broker\'s files, its log and the members\' state hold no key', len(data))
    stage.start()
    # killed where it stands: no core
    sub.child.send_signal(signal.SIGABRT)
    pub.stop()
    _, status = os.waitpid(sub.child.pid, 0)
    ok(os.WIFSIGNALED(status) and not os.WCOREDUMP(status), 'a crash leaves no core', status)
    child = subprocess.Popen([sys.executable, '-c', 'import os; os.abort()'], cwd=stage.dir, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
    _, status = os.waitpid(child.pid, 0)
    if os.WCOREDUMP(status):
        ok(True, 'planted: where another program\'s does')
    else:
        TAP.skip('planted: where another program\'s does', 'this machine makes no cores at all')


def key_server(stage):
    keys = Keys(stage)
    keys.do('init')
    server = Process([SEALMQ, 'keyserver', 'run', *keys.own(), *stage.tls('observer')])
    wait(lambda: any('connected' in line for line in server.lines) or server.child.poll() is not None, 60)
    ok(keys.ask('create', 'telemetry', *POLICY)[0] == 0, 'a key server', server.said)
    wait(lambda: len(parts(server)) == 3)
    identity, found = private_scalar(stage.member('keys', 'member.key')), parts(server)
    with open(keys.passphrase, 'rb') as file:
        passphrase = file.read().strip()
    living = {duty: memory_of(found[duty]) for duty in DUTIES}
    ok(hits(living['signer'], identity) > 0, 'planted: the signer holds the identity, and the search meets it')
    for duty in ('listener', 'store'):
        ok(hits(living[duty], identity) == 0, 'the %s, which closed the realm, holds nothing of it' % duty, hits(living[duty], identity))
    for duty in DUTIES:
        ok(living[duty].count(passphrase) == 0, duty + ': the passphrase is gone once it was used')
        core = core_of(stage, found[duty])
        ok(len(core) > 100000 and hits(core, identity) + core.count(passphrase) == 0, duty + ': a core dump holds neither')
    ok(server.stop() == 0, 'it ends')
    data = files_below(stage.dir, but=('member.key', 'root.key', 'server.key', 'pass'))
    ok(b'SQLite format' in data and hits(data, identity) + data.count(passphrase) == 0, 'nor does the database')


if __name__ == '__main__':
    if not can_look():
        print('1..0 # SKIP needs gcore, root, and a build without sanitizers')
        sys.exit(0)
    sys.exit(play([planted, traffic, key_server]))
