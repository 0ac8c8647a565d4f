#!/usr/bin/env python3
"""The key server's processes as they run: what each may not do is tried in it, by a debugger that calls for it; each is
killed, and sends the others what it never would; the service goes on.

usage: test_containment.py SEALMQ ROOT
"""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sealed_rig  # noqa: E402
from sealed_rig import LONG, SEALMQ, TAP, Process, find, ok, play, run, wait  # noqa: E402
from test_keyserver import POLICY, Keys  # noqa: E402

with open(SEALMQ, 'rb') as binary:
    SANITIZED = b'__asan_init' in binary.read()
if SANITIZED:  # words that a debugger leaves behind are no leak of ours
    sealed_rig.ASAN_ENV['ASAN_OPTIONS'] = os.environ['ASAN_OPTIONS'] = 'detect_leaks=0:exitcode=99'
# what a build with sanitizers keeps for these
THEIRS = ('forks', 'traces its parent', 'signals its parent', 'makes executable memory', 'lifts its limits')
DUTIES = ('listener', 'signer', 'store')
EPERM, EACCES = 1, 13


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as file:
        return [int(word) for word in file.read().split()]


def parts(server):
    """The pids of the running parts, by duty."""
    found = {}
    for pid in children(server.child.pid):
        try:
            with open('/proc/%d/cmdline' % pid, encoding='utf-8') as file:
                words = file.read().split('\0')
            found[words[words.index('--duty') + 1]] = pid
        except (OSError, ValueError):
            pass
    return found


def status_of(pid, word):
    with open('/proc/%d/status' % pid, encoding='ascii') as file:
        return re.search(r'%s:\s+(\S+)' % word, file.read()).group(1)


def call_in(pid, *calls):
    """Has a process call these; [(result, errno)]."""
    words = ['gdb', '-nx', '-batch', '-p', str(pid), '-ex', 'set confirm off', '-ex', 'set auto-solib-add on']
    for call in calls:
        words += ['-ex', 'printf "=%%ld\\n", (long)%s' % call, '-ex', 'printf "!%d\\n", *(int *)(long)__errno_location()']
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    results = [int(n) for n in re.findall(r'^=(-?\d+)', done.stdout, re.M)]
    errors = [int(n) for n in re.findall(r'^!(-?\d+)', done.stdout, re.M)]
    if len(results) != len(calls) or len(errors) != len(calls):
        raise RuntimeError('gdb: ' + done.stdout[-800:] + done.stderr[-800:])
    return list(zip(results, errors))


def begin(stage):
    """A key server with a group."""
    keys = Keys(stage)
    if not os.path.exists(keys.db):
        keys.do('init')
    server = keys.start()
    keys.ask('create', 'telemetry', *POLICY)
    wait(lambda: len(parts(server)) == 3)
    return keys, server


def works(keys, group):
    return keys.ask('rotate', group)[0] == 0


def confined(server):
    found = parts(server)
    return all(status_of(found[duty], 'Seccomp') == '2' for duty in DUTIES)


def debugger_works(pid):
    if not find('gdb') or os.geteuid() != 0:
        return False
    try:
        return call_in(pid, 'getpid()')[0][0] == pid
    except RuntimeError:
        return False


def the_forbidden(stage):
    keys, server = begin(stage)
    ok(works(keys, 'telemetry'), 'three processes serve', server.said)
    found = parts(server)
    ok(sorted(found) == sorted(DUTIES), 'listener, signer and store run, and nothing else', found)
    status, out, _ = run(SEALMQ, 'keyserver', 'rights')
    ok(status == 0 and [line.split()[0] for line in out.splitlines()] == list(DUTIES), 'rights names them', out)
    if any('not confined' in line for line in server.said):
        TAP.skip('what each may not do', 'this kernel or build confines nothing: ' + '; '.join(server.said))
        server.stop()
        return
    landlock = not any('Landlock' in line for line in server.said)
    for duty in DUTIES:
        pid = found[duty]
        ok(status_of(pid, 'NoNewPrivs') == '1' and status_of(pid, 'Seccomp') == '2', duty + ': no new rights, calls filtered')
        if SANITIZED:
            continue
        with open('/proc/%d/limits' % pid, encoding='ascii') as file:
            ok(re.search(r'Max core file size\s+0\s+0', file.read()), duty + ': leaves no core')
    if not debugger_works(server.child.pid):
        TAP.skip('the forbidden, tried in each process', 'needs gdb and root')
        server.stop()
        return
    secret = stage.member('keys', 'member.key')
    stranger = os.path.join(stage.dir, 'stranger')
    with open(stranger, 'w', encoding='ascii') as file:
        file.write('x')
    tries = [  # what, the call, by Landlock alone, who may nevertheless
        ('reads /etc/passwd', 'open("/etc/passwd", 0)', True, ()),
        ('reads the identity key', 'open("%s", 0)' % secret, True, ('signer', 'listener')),  # --key names it here
        ('reads the database', 'open("%s", 0)' % keys.db, True, ('store',)),
        ('writes the database', 'open("%s", 2)' % keys.db, True, ('store',)),
        ('makes a file in /tmp', 'open("/tmp/sealmq-forbidden", 0101, 0600)', True, ()),
        ('makes an internet socket', 'socket(2, 1, 0)', False, ('listener',)),
        ('makes a unix socket', 'socket(1, 1, 0)', False, ()),
        ('starts a program', 'execve("/bin/true", 0, 0)', False, ()),
        ('forks', 'fork()', False, ()),
        ('traces its parent', 'ptrace(16, %d, 0, 0)' % server.child.pid, False, ()),
        ('signals its parent', 'kill(%d, 0)' % server.child.pid, False, ()),
        ('makes executable memory', 'mmap(0, 4096, 7, 34, -1, 0)', False, ()),
        ('lifts its limits', 'prctl(4, 1, 0, 0, 0)', False, ()),
        ('mounts', 'mount("none", "/mnt", "tmpfs", 0, 0)', False, ()),
    ]
    tries = [row for row in tries if not SANITIZED or row[0] not in THEIRS]
    for duty in DUTIES:
        answers = call_in(found[duty], *[call for _, call, _, _ in tries])
        for (what, _, by_landlock, may), (result, number) in zip(tries, answers):
            if by_landlock and not landlock:
                TAP.skip('%s %s' % (duty, what), 'no Landlock in this kernel')
            elif duty in may:
                ok(result >= 0, '%s: %s, as it may' % (duty, what), (result, number))
            else:
                ok(result == -1 and number in (EPERM, EACCES), '%s: %s: refused' % (duty, what), (result, number))
    # the planted one: the guard, which is not confined, is let through by the same calls
    free = call_in(server.child.pid, 'open("/etc/passwd", 0)', 'socket(2, 1, 0)', 'kill(%d, 0)' % found['signer'])
    ok(all(result >= 0 for result, _ in free), 'the same calls go through where nothing was given up', free)
    ok(works(keys, 'telemetry'), 'the service has not noticed')
    ok(server.stop() == 0, 'SIGTERM ends all of it')
    ok(all(not os.path.exists('/proc/%d' % pid) for pid in found.values()), 'and no part is left')


def parts_are_killed(stage):
    keys, server = begin(stage)
    epoch = 0
    for duty in DUTIES:
        wait(lambda: len(parts(server)) == 3)
        before = parts(server)
        os.kill(before[duty], signal.SIGKILL)
        wait(lambda: len(parts(server)) == 3 and parts(server).get(duty) != before[duty], 60)
        good = wait(lambda: works(keys, 'telemetry'), 60)
        now = parts(server)
        ok(good and now.get(duty) != before[duty], 'the %s is killed: another one goes on' % duty, (server.said, server.lines))
        if duty == 'listener':
            ok(now.get('signer') == before['signer'], 'and the signer has not even noticed')
        _, out, _ = keys.ask('show', 'telemetry', '--json')
        number = int(re.search(r'"epoch":\s*(\d+)', out).group(1))
        ok(number > epoch, 'epochs go on after the ' + duty)
        epoch = number
    server.child.kill()
    server.child.wait()
    ok(wait(lambda: not any(os.path.exists('/proc/%d' % pid) for pid in now.values()), 60),
       'the guard is killed: its parts end with it')
    ok(keys.do('check')[0] == 0, 'and the database is whole')


def they_lie_to_each_other(stage):
    keys, server = begin(stage)
    if not debugger_works(server.child.pid):
        TAP.skip('malformed messages between the processes', 'needs gdb and root')
        server.stop()
        return
    # who sends what to whom by which descriptor; who has to go for it
    rows = [
        ('listener', 'junk to the signer', 'write(3, "\\377\\377\\377junk", 7)', {'listener'}),
        ('listener', 'an empty message to the signer', 'write(3, "", 1)', {'listener'}),
        ('listener', 'what only a signer sends', 'write(3, "\\002", 1)', {'listener'}),
        ('signer', 'junk to the listener', 'write(3, "\\377junk", 5)', {'listener'}),
        ('signer', 'junk to the store', 'write(4, "\\377junk", 5)', {'signer', 'store'}),
        ('signer', 'a commit out of turn to the store', 'write(4, "\\002", 1)', {'signer', 'store'}),
        ('store', 'junk to the signer', 'write(4, "\\377junk", 5)', {'signer', 'store'}),
    ]
    if not LONG:
        rows = rows[0:1] + rows[3:4] + rows[5:]
        print('# SEALMQ_LONG has all seven lies')
    for duty, what, call, gone in rows:
        before = parts(server)
        try:
            call_in(before[duty], call)
        except RuntimeError:  # it was ended for it while the debugger still looked
            pass
        works(keys, 'telemetry')  # the signer hears its store when it asks
        wait(lambda: len(parts(server)) == 3 and all(parts(server).get(d) != before[d] for d in gone), 60)
        good = wait(lambda: works(keys, 'telemetry'), 60)
        now = parts(server)
        changed = {d for d in DUTIES if now.get(d) != before[d]}
        ok(good and server.child.poll() is None and changed == gone, 'the %s sends %s: %s begin anew, the service goes on' %
           (duty, what, ' and '.join(sorted(gone))), (changed, server.said[-5:]))
    ok(server.stop() == 0, 'it ends as it should')
    ok(keys.do('check')[0] == 0, 'and the database is whole')


def enrolment(stage):
    """The enrolment server, which holds the authority's key and takes connections from anybody."""
    stage.issue('enrol', '--role', 'broker', '--dns', 'localhost', '--ip', '127.0.0.1')
    server = Process([SEALMQ, 'ca', 'serve', stage.ca, '--port', '0', '--json'])
    wait(lambda: server.lines or server.child.poll() is not None, 60)
    port = re.search(r'"port":(\d+)', ''.join(server.lines))
    ok(port, 'the enrolment server listens', server.said)
    if any('not confined' in line for line in server.said) or not debugger_works(server.child.pid):
        TAP.skip('what it may not do', 'not confined here, or no gdb and root')
    else:
        landlock = not any('Landlock' in line for line in server.said)
        tries = [('reads /etc/passwd', 'open("/etc/passwd", 0)', True), ('reads another database', 'open("%s", 0)' % stage.log, True),
                 ('mounts', 'mount("none", "/mnt", "tmpfs", 0, 0)', False), ('makes a unix socket', 'socket(1, 1, 0)', False),
                 ('starts a program', 'execve("/bin/true", 0, 0)', False), ('forks', 'fork()', False),
                 ('makes executable memory', 'mmap(0, 4096, 7, 34, -1, 0)', False)]
        tries = [row for row in tries if not SANITIZED or row[0] not in THEIRS]
        answers = call_in(server.child.pid, *[call for _, call, _ in tries])
        for (what, _, by_landlock), (result, number) in zip(tries, answers):
            if by_landlock and not landlock:
                TAP.skip('enrolment: ' + what, 'no Landlock in this kernel')
            else:
                ok(result == -1 and number in (EPERM, EACCES), 'enrolment: %s: refused' % what, (result, number))
    token, place = stage.path('token'), stage.path('tap')
    with open(token, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(run(SEALMQ, 'ca', 'token', 'tap', '--ca', stage.ca)[1])
    status, _, err = run(SEALMQ, 'ca', 'enrol', place, '--server', 'localhost', '--port', port.group(1), '--root',
                         stage.ca + '/root.crt', '--name', 'tap', '--token-file', token)
    ok(status == 0, 'and it issues', (err, server.said))
    ok(server.stop() == 0, 'and ends')


if __name__ == '__main__':
    sys.exit(play([the_forbidden, parts_are_killed, they_lie_to_each_other, enrolment]))
