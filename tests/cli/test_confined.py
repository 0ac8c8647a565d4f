#!/usr/bin/env python3
"""Every process that runs for long, as it runs: what each may not do is tried in it, by a debugger that calls for it; what
it may do is tried as well, and the same calls go through in one that was told to keep its rights.

usage: test_confined.py SEALMQ ROOT
"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from record_rig import SEALMQ, TAP, free_port, play, wait  # noqa: E402
from broker_rig import Deployment  # noqa: E402
from sealed_rig import find  # noqa: E402
from test_containment import EACCES, EPERM, SANITIZED, call_in, debugger_works, status_of  # noqa: E402

LONG = bool(os.environ.get('SEALMQ_LONG'))
# what, the call, by Landlock alone; what sanitizers need is theirs
NEVER = [
    ('starts a program', 'execve("/bin/true", 0, 0)', False),
    ('signals its parent', 'kill(%d, 0)' % os.getpid(), False),
    ('mounts', 'mount("none", "/mnt", "tmpfs", 0, 0)', False),
    ('makes a raw socket', 'socket(17, 3, 0)', False),
    ('reads /etc/passwd', 'open("/etc/passwd", 0)', True),
    ('makes a file in /tmp', 'open("/tmp/sealmq-forbidden", 0101, 0600)', True),
] + ([] if SANITIZED else [
    ('forks', 'fork()', False),
    ('traces its parent', 'ptrace(16, %d, 0, 0)' % os.getpid(), False),
    ('makes executable memory', 'mmap(0, 4096, 7, 34, -1, 0)', False),
])
if SANITIZED:
    NEVER = [row for row in NEVER if not row[0].startswith('signals')]


def says(w, process, text):
    return wait(lambda: text in w.said(process))


class Case:
    """A process, and beside what none may: its own forbidden and allowed calls (what, call, by Landlock alone)."""

    def __init__(self, name, process, pid=None, refused=(), allowed=()):
        self.name, self.process, self.pid = name, process, pid or process.pid
        self.refused, self.allowed = list(refused), list(allowed)


def opens(path, how=0):
    return 'open("%s", %d)' % (path, how)


def check(case, never, landlock):
    tries = [(row, False) for row in never + case.refused] + [(row, True) for row in case.allowed]
    answers = call_in(case.pid, *[call for (_, call, _), _ in tries])
    for ((what, _, by_landlock), may), (result, number) in zip(tries, answers):
        name = '%s: %s' % (case.name, what)
        if may:
            TAP.row(result >= 0, name + ', as it may', [str((result, number))])
        elif by_landlock and not landlock:
            TAP.skip(name, 'no Landlock in this kernel')
        else:
            TAP.row(result == -1 and number in (EPERM, EACCES), name + ': refused', [str((result, number))])


def members(w):
    """pub with an outbox, sub, record, and with SEALMQ_LONG chat, command and enrolment over MQTT."""
    other, mine = w.member('aud-2') + '/member.key', w.member('aud-1')
    tcp, unix, listens = ('makes a listening socket', 'listen((int)socket(2, 1, 0), 1)', False), \
        ('makes a unix socket', 'socket(1, 1, 0)', False), ('makes an internet socket', 'socket(2, 1, 0)', False)
    reads_other = ('reads another member\'s key', opens(other), True)
    outbox, port = w.path('out', 'box.db'), free_port()
    os.mkdir(w.path('out'))
    os.mkdir(w.path('store'))
    pub = w.start(*w.pub_words('aud-1', 'audit/aud-1/x', '--source', 'vitals', '--rate', '1', '--outbox', outbox, '-d'))
    sub = w.start('sub', '--realm', mine, *w.at(), '-t', 'audit/#', '-d')
    record = w.recorder(w.path('store', 'a.db'), '--metrics-port', str(port), '-d')
    cases = [
        Case('pub', pub, None, [reads_other, unix, tcp, ('makes a file beside the outbox', 'open("%s/x", 0101, 0600)' % w.path('out'), True)],
             [('reads its realm', opens(mine + '/root.crt'), True), ('writes the outbox', opens(outbox, 2), True), listens]),
        Case('sub', sub, None, [reads_other, unix, tcp, ('writes the outbox of pub', opens(outbox, 2), True)],
             [('writes its state', 'open("%s/state/x", 0101, 0600)' % mine, True), listens]),
        Case('record', record, None, [reads_other, unix, ('reads the outbox of pub', opens(outbox), True),
                                      ('makes a file beside the store', 'open("%s/x", 0101, 0600)' % w.path('store'), True)],
             [('writes the store', opens(w.path('store', 'a.db'), 2), True), listens]),
    ]
    if LONG:
        chat = w.start('chat', '--group', 'audit', '-t', 'audit/chat', '--realm', w.member('aud-2'), *w.at(), '-W', '600', '-d')
        command = w.start('command', 'send', 'aud-2', '--set', 'X=1', '--wait', '--expires', '10m', '--realm', w.member('centre'), *w.at())
        enrol = w.start('ca', 'serve', '--mqtt', w.path('plant'), *w.at())
        cases += [Case('chat', chat, None, [unix, tcp, ('reads another\'s key', opens(mine + '/member.key'), True)], [listens]),
                  Case('command', command, None, [reads_other, unix, tcp], [listens]),
                  Case('ca serve --mqtt', enrol, None, [unix, tcp, ('reads the outbox of pub', opens(outbox), True)],
                       [('reads the authority', opens(w.path('plant', 'root.crt')), True), listens])]
    else:
        print('# SEALMQ_LONG has chat, command and enrolment over MQTT as well')
    # they run, and do what they are for
    TAP.row(wait(lambda: w.stored(w.path('store', 'a.db')) > 0), 'pub publishes and record stores, confined', w.said(pub).splitlines()[-5:])
    if 'not confined' in w.said(sub):
        TAP.skip('what each may not do', 'this kernel confines nothing')
        return
    for case in cases:
        TAP.row(wait(lambda: status_of(case.pid, 'Seccomp') == '2'), case.name + ': calls filtered', [w.said(case.process)])
    if not debugger_works(sub.pid):
        TAP.skip('the forbidden, tried in each process', 'needs gdb and root')
        return
    landlock = 'no Landlock' not in w.said(sub)
    for case in cases:
        check(case, NEVER, landlock)
    before = w.stored(w.path('store', 'a.db'))
    TAP.row(wait(lambda: w.stored(w.path('store', 'a.db')) > before), 'and all go on as if nothing had been tried', [w.said(record)])
    for case in cases:
        w.stop(case.process)


def rights_are_kept(w):
    """The planted one: whoever was told to give nothing up is let through by the same calls."""
    sub = w.start('sub', '--realm', w.member('aud-1'), *w.at(), '-t', 'audit/#', '--unconfined', '-d')
    says(w, sub, 'subscribed')
    TAP.row(status_of(sub.pid, 'Seccomp') == '0' and 'confined' not in w.said(sub), '--unconfined gives nothing up, and is silent')
    if debugger_works(sub.pid):
        answers = call_in(sub.pid, opens('/etc/passwd'), 'socket(1, 1, 0)', opens(w.member('aud-2') + '/member.key'))
        TAP.row(all(result >= 0 for result, _ in answers), 'the same calls go through there', [str(answers)])
    w.stop(sub)


def lesser_kernels(w):
    """Kernels without one or both of it, as strace plays them: one clear line each, and everything works."""
    if not find('strace'):
        TAP.skip('kernels without it', 'no strace')
        return
    rows = [('landlock_create_ruleset:error=ENOSYS', 'files and ports are not confined: no Landlock in this kernel'),
            ('seccomp:error=EINVAL', 'system calls are not confined: no seccomp in this kernel'),
            ('landlock_create_ruleset,seccomp,prctl:error=EINVAL', 'not confined: this kernel has neither seccomp nor Landlock')]
    for what, words in rows:
        env = dict(os.environ, ASAN_OPTIONS='detect_leaks=0')
        done = subprocess.run(['strace', '-f', '-qqq', '-o', '/dev/null', '-e', 'inject=' + what, SEALMQ, 'sub', '--realm', w.member('aud-1'),
                               *w.at(), '-t', 'audit/#', '-E'], capture_output=True, text=True, check=False, env=env)
        TAP.row(done.returncode == 0 and done.stderr.count('\n') == 1 and words in done.stderr, '%s: "%s"' % (what, words),
                [str(done.returncode), done.stderr])


def watch(w):
    top = w.path('deployment')
    for name in ('log', 'run'):
        os.makedirs(os.path.join(top, name))
    log = os.path.join(top, 'log', 'mosquitto.log')
    with open(log, 'w', encoding='ascii') as file:
        file.write('')
    process = w.start('watch', top, '--json')
    if not wait(lambda: status_of(process.pid, 'Seccomp') == '2', 20) or not debugger_works(process.pid):
        TAP.skip('watch', 'not confined here, or no gdb and root')
    else:
        check(Case('watch', process, None, [('makes an internet socket', 'socket(2, 1, 0)', False),
                                            ('makes a unix socket', 'socket(1, 1, 0)', False), ('writes a log', opens(log, 1), True)],
                   [('reads the log', opens(log), True)]), NEVER, 'no Landlock' not in w.said(process))
    status, _ = w.stop(process)
    TAP.row(status == 0 and os.path.exists(os.path.join(top, 'run', 'watch.position')), 'watch: writes where it was, and ends',
            [w.said(process)])


def broker(w):
    """It and what it started: the same fence around all of it."""
    if not find('nginx'):
        TAP.skip('broker run', 'no nginx')
        return
    d = Deployment()
    try:
        d.start()
        runner = d.runner.child
        if any('not confined' in line for line in d.runner.said) or not debugger_works(runner.pid):
            TAP.skip('broker run', 'not confined here, or no gdb and root')
        landlock = not any('Landlock' in line for line in d.runner.said)
        home = w.path('home')
        with open(home, 'w', encoding='ascii') as file:
            file.write('x')
        rows = [('reads what is nobody\'s of the system\'s', opens(home), True), ('starts another program', 'execve("/bin/true", 0, 0)', True),
                ('mounts', 'mount("none", "/mnt", "tmpfs", 0, 0)', False), ('signals whom it did not start', 'kill(%d, 0)' % os.getpid(), True)]
        rows += [] if SANITIZED else [('traces', 'ptrace(16, %d, 0, 0)' % os.getpid(), False)]
        for name, pid in (('broker run', runner.pid), ('mosquitto', d.pid('mosquitto'))):
            # a broker that is root gives that up, and may not write everywhere of itself
            check(Case(name, d.runner, pid, rows, [('reads /etc/hosts', opens('/etc/hosts'), True)]), [], landlock)
        TAP.row(d.answers('desk'), 'broker run: a member is answered all the while', d.runner.lines)
    finally:
        d.strike()


def the_table(w):
    done = subprocess.run([SEALMQ, 'rights', '--json'], capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    names = [row['process'] for row in rows]
    for name in ('pub', 'sub', 'chat', 'record', 'watch', 'broker run', 'ca serve', 'keyserver: signer'):
        TAP.row(name in names, '`sealmq rights` has ' + name, names)
    TAP.row(all(len(row['rights']) > 5 for row in rows), 'with what it may')
    TAP.row(w.run('rights', 'x').returncode == 1, 'and takes nothing else')
    text = w.run('rights').stdout
    TAP.row(re.search(r'^record +as sub; writes the store', text, re.M), 'in words as well', [text])


if __name__ == '__main__':
    sys.exit(play([the_table, members, rights_are_kept, lesser_kernels, watch, broker]))
