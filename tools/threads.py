#!/usr/bin/env python3
"""Real scenes of tests/cli with the whole tool under clang's thread sanitizer, and two races that it must find first.

usage: threads.py ROOT BUILD_DIR FIRST [SCENE...]     BUILD_DIR: made with clang and -Db_sanitize=thread
       threads.py --count                             the number of its rows

FIRST is the number of rows before its own.

A race is planted by compiling one file of a copy into its place in BUILD_DIR and linking anew; afterwards that object is
removed and made again. Nothing in the source tree is touched. Every process that a scene starts writes what the
sanitizer says to a file of its own; a scene holds if its test does and none of them has said anything. Foreign libraries
are not built for the sanitizer, and none of what they do is suppressed: nothing needed to be. TAP on standard output, without its plan.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

# Recorder, publisher, subscriber, key server, watcher and their metrics, and what each of them does with threads.
SCENES = ('record', 'proof', 'group_flow', 'groups', 'delivery', 'keyserver', 'evidence', 'command', 'chat', 'watch', 'status')
PLANTED = (
    # file, what is there, what is put there, a scene that comes by, and the function that is named
    ('src/adapters/workers_posix/workers.c', '\tstruct pool *p = self;\n\tpthread_mutex_lock(&p->lock);\n\twhile (do_one(p))',
     '\tstruct pool *p = self;\n\tif (!p->first && p->at_work == 0)\n\t\treturn;\n\tpthread_mutex_lock(&p->lock);\n\twhile (do_one(p))',
     'record', 'wait_for_all'),
    ('src/adapters/store_behind/store_behind.c', '\tbool waited = false;\n\tpthread_mutex_lock(&b->lock);\n',
     '\tbool waited = false;\n\tif (b->count == 0)\n\t\treturn false;\n\tpthread_mutex_lock(&b->lock);\n', 'chat', 'op_catch_up'),
)
FRAME = re.compile(r'^\s+#\d+ .*\((\S+?)\+0x([0-9a-f]+)\)', re.M)


class Tool:
    def __init__(self, root, build, room):
        self.root, self.build, self.room = os.path.abspath(root), os.path.abspath(build), room
        self.path = os.path.join(self.build, 'src', 'cli', 'sealmq')
        with open(os.path.join(self.build, 'compile_commands.json'), encoding='utf-8') as file:
            self.commands = {os.path.realpath(os.path.join(c['directory'], c['file'])): c for c in json.load(file)}
        self.preload = os.path.join(room, 'reports.so')
        subprocess.run(['cc', '-shared', '-fPIC', '-o', self.preload, os.path.join(self.root, 'tools', 'reports.c')], check=True)

    def link(self):
        done = subprocess.run(['ninja', '-C', self.build, 'src/cli/sealmq'], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit('threads: ' + done.stdout[-2000:])

    def put(self, path, old, new):
        """A copy of that file, changed in one place, is what is linked; (its object, so that it may be removed)."""
        real = os.path.realpath(os.path.join(self.root, path))
        with open(real, encoding='utf-8') as file:
            text = file.read()
        if text.count(old) != 1:
            raise SystemExit('threads: the place for a race is there %d times in %s' % (text.count(old), path))
        copy = os.path.join(self.room, os.path.basename(path))
        with open(copy, 'w', encoding='utf-8') as file:
            file.write(text.replace(old, new))
        entry = self.commands[real]
        words = shlex.split(entry['command'])
        words[words.index('-c') + 1] = copy
        for flag in ('-MQ', '-MF'):
            del words[words.index(flag):words.index(flag) + 2]
        made = os.path.join(entry['directory'], words[words.index('-o') + 1])
        # As old as the one it replaces, or ninja makes that anew; without its archive, so that it is linked.
        old_one = os.stat(made)
        subprocess.run([word for word in words if word != '-MD'], cwd=entry['directory'], check=True)
        os.utime(made, ns=(old_one.st_atime_ns, old_one.st_mtime_ns))
        os.remove(os.path.dirname(made)[:-len('.p')])
        return made

    def play(self, scene):
        """(whether its test holds, its rows that do not, what the sanitizer said in any of its processes)."""
        reports = os.path.join(self.room, 'reports')
        shutil.rmtree(reports, ignore_errors=True)
        os.makedirs(reports)
        env = dict(os.environ, LD_PRELOAD=self.preload, TSAN_REPORTS=reports, PYTHONDONTWRITEBYTECODE='1',
                   TSAN_OPTIONS='symbolize=0:second_deadlock_stack=1')
        done = subprocess.run([sys.executable, os.path.join(self.root, 'tests', 'cli', 'test_%s.py' % scene), self.path, self.root],
                              env=env, capture_output=True, text=True, errors='replace', stdin=subprocess.DEVNULL, check=False)
        said = ''
        for name in sorted(os.listdir(reports)):
            with open(os.path.join(reports, name), encoding='utf-8', errors='replace') as file:
                said += file.read()
        bad = [line for line in done.stdout.splitlines() if line.startswith('not ok')]
        return done.returncode == 0 and not bad, bad or done.stderr.splitlines()[-3:], said, len(os.listdir(reports))

    def named(self, said):
        """Reports without symbols (a confined process starts no symbolizer), with the lines of the source that they mean."""
        def line(match):
            module = match.group(1) if os.path.isabs(match.group(1)) else os.path.join(self.build, 'src', 'lib' if '.so' in match.group(1) else 'cli', match.group(1))
            if not os.path.exists(module) or not os.path.realpath(module).startswith(self.build):
                return match.group(0)
            # a return address: what was called is before it
            done = subprocess.run(['addr2line', '-f', '-s', '-e', module, '0x%x' % (int(match.group(2), 16) - 1)], capture_output=True,
                                  text=True, check=False)
            return '    ' + ' '.join(done.stdout.split())
        return FRAME.sub(line, said)


def main():
    if sys.argv[1:] == ['--count']:
        print(len(PLANTED) + len(SCENES))
        return 0
    root, build, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    status = 0

    def row(good, text, more=()):
        nonlocal number, status
        number, status = number + 1, status | (not good)
        print('%sok %d - thread: %s' % ('' if good else 'not ', number, text), flush=True)
        for line in [] if good else more:
            print('# ' + line, flush=True)

    with tempfile.TemporaryDirectory(prefix='sealmq-threads-') as room:
        tool = Tool(root, build, room)
        for path, old, new, scene, function in PLANTED:
            made = tool.put(path, old, new)
            try:
                tool.link()
                said = tool.named(tool.play(scene)[2])
            finally:
                os.remove(made)
                tool.link()
            row('data race' in said and re.search(r'\b%s\b' % function, said), 'a race planted in %s is found in the scene %s' % (
                os.path.basename(path), scene), said.splitlines()[:20])
        for scene in sys.argv[4:] or SCENES:
            good, bad, said, processes = tool.play(scene)
            if not good and not said:  # ten times as slow as it is meant to be: once more, before it is believed
                good, bad, said, processes = tool.play(scene)
            row(good and processes > 0 and not said, 'the scene %s, %d processes, says nothing' % (scene, processes), bad[:5] + tool.named(said).splitlines()[:40])
    return int(status)


if __name__ == '__main__':
    sys.exit(main())
