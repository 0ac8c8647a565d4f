"""Files under crashes: one command of the tool, killed at every system call that alters a file, refused each of them by
a full or broken disk, and its files put back as a power cut may leave them, by the record that strace keeps.

The model of the disk is POSIX's word and nothing more: what a file holds is there after fsync of the file; what a
directory lists, after fsync of the directory. Changes to directories are kept in their order; contents that were not
synced are the old ones, the new ones, or a part of the new ones.
"""
import filecmp
import json
import os
import random
import re
import shutil
import subprocess

ALTERING = ('openat write pwrite64 ftruncate fsync fdatasync rename renameat renameat2 link linkat unlink unlinkat mkdir '
            'mkdirat rmdir').split()
ERRORS = (('ENOSPC', ('openat', 'write', 'pwrite64', 'mkdir', 'mkdirat', 'link', 'linkat', 'rename', 'renameat', 'renameat2')),
          ('EIO', tuple(ALTERING)))
LINE = re.compile(r'^(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?')


def unhex(text):
    return bytes.fromhex(text.replace('\\x', ''))


def strings(text):
    return [unhex(found) for found in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', text)]


def trace(words, env, cwd=None):
    """Runs it; (status, [(call, arguments, result)]) of all that alters files."""
    log = os.path.join(env['TMPDIR'], 'strace.log')
    done = subprocess.run(['strace', '-f', '-qqq', '-y', '-xx', '-s', '1000000', '-e', 'trace=' + ','.join(ALTERING), '-e',
                           'signal=none', '-o', log, *words], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    calls = []
    with open(log, encoding='ascii', errors='replace') as file:
        for line in file:
            match = LINE.match(line)
            if match:
                calls.append((match.group(1), match.group(2), int(match.group(3))))
    return done.returncode, calls


def writes(call, arguments):
    """Whether it may alter what is on the disk: an openat only if it makes or truncates."""
    return call != 'openat' or 'O_CREAT' in arguments or 'O_TRUNC' in arguments


def points(calls, which=None):
    """[(call, n)]: the n-th of its kind, for each that alters something."""
    seen, found = {}, []
    for call, arguments, _ in calls:
        seen[call] = seen.get(call, 0) + 1
        if writes(call, arguments) and (which is None or call in which):
            found.append((call, seen[call]))
    return found


def inject(words, env, call, number, what):
    return subprocess.run(['strace', '-f', '-qqq', '-o', '/dev/null', '-e', 'trace=' + call, '-e',
                           'inject=%s:%s:when=%d' % (call, what, number), *words], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=120)


class Node:
    def __init__(self, now=b'', disk=b''):
        self.now, self.disk = bytearray(now), bytes(disk)


class Disk:
    """A directory's files, now and as they are known to be on the disk."""

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self.names, self.sure, self.pending, self.fds = {}, {}, [], {}
        for folder, folders, files in os.walk(self.root):
            for name in folders:
                self.names[os.path.join(folder, name)] = None
            for name in files:
                path = os.path.join(folder, name)
                with open(path, 'rb') as file:
                    content = file.read()
                self.names[path] = Node(content, content)
        self.sure = dict(self.names)

    def ours(self, path):
        return path.startswith(self.root + os.sep)

    def change(self, folder, apply):
        """A change to a directory: seen now, on the disk when that is synced."""
        apply(self.names)
        self.pending.append((folder, apply))

    def sync_folder(self, folder):
        rest = []
        for where, apply in self.pending:
            if where == folder:
                apply(self.sure)
            else:
                rest.append((where, apply))
        self.pending = rest

    @staticmethod
    def moving(old, new):
        def apply(names):
            for path in [p for p in names if p == old or p.startswith(old + os.sep)]:
                names[new + path[len(old):]] = names.pop(path)
        return apply

    def path_of(self, base, name):
        name = name.decode()
        return os.path.normpath(name if os.path.isabs(name) else os.path.join(base, name))

    def paths(self, arguments):
        """The paths of a call, each below its directory's descriptor or the current one."""
        base = re.findall(r'(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>', arguments)
        base = unhex(base[0]).decode() if base else os.getcwd()
        return [self.path_of(base, name) for name in strings(re.sub(r'<[^>]*>', '', arguments))]

    def do(self, call, arguments, result, heed=True):
        if result < 0:
            return
        if call == 'openat':
            path = self.paths(arguments)[0]
            self.fds[result] = (path, [0])
            if not self.ours(path):
                return
            if 'O_CREAT' in arguments and path not in self.names:
                node = Node()
                self.change(os.path.dirname(path), lambda names: names.__setitem__(path, node))
            if 'O_TRUNC' in arguments:
                self.names[path].now = bytearray()
            if 'O_APPEND' in arguments:
                self.fds[result][1][0] = -1
        elif call in ('write', 'pwrite64', 'ftruncate', 'fsync', 'fdatasync'):
            self.to_file(call, arguments, heed)
        elif call in ('mkdir', 'mkdirat'):
            path = self.paths(arguments)[0]
            self.change(os.path.dirname(path), lambda names: names.__setitem__(path, None))
        elif call in ('unlink', 'unlinkat', 'rmdir'):
            path = self.paths(arguments)[0]
            self.change(os.path.dirname(path), lambda names: names.pop(path, None))
        elif call.startswith('rename'):
            old, new = self.paths(arguments)[:2]
            self.change(os.path.dirname(new), self.moving(old, new))
        elif call.startswith('link'):
            old, new = self.paths(arguments)[:2]
            node = self.names.get(old)
            self.change(os.path.dirname(new), lambda names: names.__setitem__(new, node))

    def to_file(self, call, arguments, heed):
        found = re.match(r'(\d+)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?', arguments)
        if found and found.group(3):  # another file has its name by now
            return
        path = unhex(found.group(2)).decode() if found else ''
        if not self.ours(path) and path != self.root:
            return
        fd, node = int(found.group(1)), self.names.get(path)
        if call in ('fsync', 'fdatasync'):
            if not heed:
                return
            if node is None:
                self.sync_folder(path)
            else:
                node.disk = bytes(node.now)
        elif node is not None and call == 'ftruncate':
            del node.now[int(arguments.rsplit(',', 1)[1]):]
        elif node is not None:
            data = strings(re.sub(r'^\d+<[^>]*>', '', arguments))[0]
            place = self.fds.get(fd, (path, [0]))[1]
            at = int(arguments.rsplit(',', 1)[1]) if call == 'pwrite64' else len(node.now) if place[0] < 0 else place[0]
            node.now[at:at + len(data)] = data
            if call == 'write' and place[0] >= 0:
                place[0] = at + len(data)

    def cut(self, draw, to):
        """What a power cut now may leave, written below `to`."""
        names = dict(self.sure)
        for _, apply in self.pending[:draw.randint(0, len(self.pending))]:
            apply(names)
        for path, node in sorted(names.items()):
            target = to + path[len(self.root):]
            if node is None:
                os.makedirs(target, mode=0o700, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            content = bytes(node.now)
            if content != node.disk:  # what was synced of a file that only grew stays
                sure = len(node.disk) if content.startswith(node.disk) else 0
                content = draw.choice((node.disk, content, content[:draw.randint(sure, len(content))]))
            with open(target, 'wb') as file:
                file.write(content)
            os.chmod(target, 0o600)


def copy(source, to):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(source, to, symlinks=True)


def differs(place, other):
    """Whether anything below the two is not alike."""
    found = filecmp.dircmp(place, other)
    return bool(found.left_only or found.right_only or found.diff_files or
                any(differs(os.path.join(place, name), os.path.join(other, name)) for name in found.common_dirs))


class Deed:
    """One command over a directory, and what must hold there whatever became of it."""

    def __init__(self, name, world, command, sound, finished, more=()):
        self.more = more          # words for whoever is told that half of it is there
        self.name, self.world = name, world  # world: a directory, as it is before
        self.command = command    # directory -> words
        self.sound = sound        # directory -> complaint or None: whatever happened
        self.finished = finished  # directory -> complaint or None: after status 0

    def again(self, place, env):
        """The command once more, undisturbed: it gets there."""
        done = subprocess.run(self.command(place), env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        complaint = self.finished(place)
        if complaint and self.more:
            done = subprocess.run(self.command(place) + list(self.more), env=env, stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, check=False)
            complaint = self.finished(place)
        if complaint:
            return 'once more: %s (status %d: %s)' % (complaint, done.returncode, done.stderr.strip()[-200:])
        return self.sound(place)


def killed(deed, place, env, step=1):
    """(kills, complaints) of a kill at every step-th call that alters a file."""
    copy(deed.world, place)
    _, calls = trace(deed.command(place), env)
    count, bad = 0, []
    for call, number in points(calls)[::step]:
        copy(deed.world, place)
        done = inject(deed.command(place), env, call, number, 'signal=KILL')
        count += done.returncode in (-9, 137)
        complaint = deed.sound(place) or deed.again(place, env)
        if complaint:
            bad.append('killed at %s %d: %s' % (call, number, complaint))
    return count, bad


def refused(deed, place, env, step=1):
    """(errors met, complaints) of each error at every step-th call."""
    copy(deed.world, place)
    _, calls = trace(deed.command(place), env)
    count, bad = 0, []
    for error, which in ERRORS:
        for call, number in points(calls, which)[::step]:
            copy(deed.world, place)
            done = inject(deed.command(place), env, call, number, 'error=' + error)
            count += 1
            complaint = deed.finished(place) if done.returncode == 0 else None
            complaint = complaint or deed.sound(place) or deed.again(place, env)
            if complaint:
                bad.append('%s at %s %d, status %d: %s' % (error, call, number, done.returncode, complaint))
    return count, bad


def cut(deed, place, env, times, seed, heed=True, step=1):
    """(cuts, complaints) of a power cut after each call, and `times` after it had said that it was done."""
    copy(deed.world, place)
    disk, draw, bad, count = Disk(place), random.Random(seed), [], 0
    status, calls = trace(deed.command(place), env)
    image = place + '.cut'

    def look(done):
        shutil.rmtree(image, ignore_errors=True)
        disk.cut(draw, image)
        # the command's words name the place
        shutil.rmtree(place, ignore_errors=True)
        os.rename(image, place)
        return (deed.finished(place) if done else None) or deed.sound(place) or deed.again(place, env)

    for at, (call, arguments, result) in enumerate(calls):
        disk.do(call, arguments, result, heed)
        if writes(call, arguments) and heed and at % step == 0:
            count += 1
            complaint = look(False)
            if complaint:
                bad.append('cut after %s: %s' % (call, complaint))
    for _ in range(times):
        count += 1
        complaint = look(status == 0)
        if complaint:
            bad.append('cut after the end: ' + complaint)
    return count, bad


def write_figures(figures):
    """Beside those of other runs, into the file that SEALMQ_FIGURES names, if any."""
    place, before = os.environ.get('SEALMQ_FIGURES'), {}
    if not place:
        return
    if os.path.exists(place):
        with open(place, encoding='ascii') as file:
            before = json.load(file)
    with open(place, 'w', encoding='ascii') as file:
        file.write(json.dumps({**before, **figures}, indent=1) + '\n')
