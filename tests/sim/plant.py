"""Puts bugs into copies of the product, one at a time, and demands that the simulation fails for each.

usage: plant.py SOURCE_ROOT BUILD_DIR [--count N] [NAME...]      the bugs are in planted.txt beside this program

The build has to be made already: of each copy one file is compiled with its own command from compile_commands.json,
and the simulation is linked anew with it. Nothing in the source tree is touched. TAP on standard output.
"""
import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor


class Plant:
    def __init__(self, block):
        lines = block.split('\n')
        self.name, self.path = lines[0].strip(), lines[1].strip()
        self.changes, old, new = [], [], []
        for line in lines[2:] + ['-']:
            if line.startswith('-'):
                if new:
                    self.changes.append(('\n'.join(old), '\n'.join(new)))
                    old, new = [], []
                old.append(line[1:])
            elif line.startswith('+'):
                new.append(line[1:])

    def apply(self, text):
        """The text with the bug in it. Every place must be found, and only once."""
        for old, new in self.changes:
            if text.count(old) != 1:
                raise ValueError('found %d times, wanted once: %s' % (text.count(old), old.split('\n')[0].strip()))
            text = text.replace(old, new)
        return text


def plants(path):
    with open(path, encoding='utf-8') as f:
        return [Plant(block) for block in re.split(r'^== ', f.read(), flags=re.M)[1:]]


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, errors='replace', check=False, **more)


class Bench:
    def __init__(self, root, build):
        self.root, self.build = root, build
        with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
            self.commands = {os.path.realpath(os.path.join(c['directory'], c['file'])): c for c in json.load(f)}

    def compile(self, plant, directory):
        path = os.path.realpath(os.path.join(self.root, plant.path))
        with open(path, encoding='utf-8') as f:
            text = plant.apply(f.read())
        copy, made = os.path.join(directory, os.path.basename(path)), os.path.join(directory, 'planted.o')
        with open(copy, 'w', encoding='utf-8') as f:
            f.write(text)
        entry = self.commands[path]
        words = shlex.split(entry['command'])
        words[words.index('-o') + 1] = made
        words[words.index('-c') + 1] = copy
        words = [w for w in words if w not in ('-Werror', '-MD')] + ['-w']
        for flag in ('-MQ', '-MF'):
            del words[words.index(flag):words.index(flag) + 2]
        done = run(words, cwd=entry['directory'])
        if done.returncode:
            raise ValueError('does not compile: ' + done.stderr.splitlines()[0])
        return made

    def link(self, planted, program):
        """The planted object comes first, so its archive's own is never asked for."""
        objects = os.path.join(self.build, 'tests/sim/sim.p')
        layers = ['app', 'core', 'wire', 'adapters/crypto_openssl', 'adapters/common_openssl', 'crypto', 'base']
        archives = []
        for layer in layers:
            directory = os.path.join(self.build, 'src', layer)
            archives += [os.path.join(directory, f) for f in os.listdir(directory) if f.endswith('.a')]
        own = [os.path.join(objects, f) for f in sorted(os.listdir(objects)) if f.endswith('.o')]
        flags = run(['pkg-config', '--libs', 'libcrypto', 'libcbor']).stdout.split()
        done = run([os.environ.get('CC', 'cc'), '-o', program, planted] + own + ['-Wl,--start-group'] + archives +
                   ['-Wl,--end-group'] + flags + ['-lpthread', '-lm'])
        if done.returncode:
            raise ValueError('does not link: ' + (done.stderr.splitlines() or ['?'])[0])

    def verdict(self, plant, count):
        """What the simulation said of it; None if it said nothing."""
        with tempfile.TemporaryDirectory() as directory:
            program = os.path.join(directory, 'sim')
            self.link(self.compile(plant, directory), program)
            try:
                done = run([program, '--count', str(count)], timeout=400)
            except subprocess.TimeoutExpired:
                return 'does not come to an end'
            if done.returncode < 0:
                return 'ends by signal %d' % -done.returncode
            said = [line for line in done.stdout.splitlines() if line.startswith('seed ')]
            return said[0] if said and done.returncode else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('root')
    parser.add_argument('build')
    parser.add_argument('--count', type=int, default=6000)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('names', nargs='*')
    wanted = parser.parse_intermixed_args()
    bench = Bench(os.path.abspath(wanted.root), os.path.abspath(wanted.build))
    all_of_them = plants(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'planted.txt'))
    chosen = [p for p in all_of_them if not wanted.names or p.name in wanted.names]

    def judge(plant):
        try:
            return bench.verdict(plant, wanted.count), None
        except ValueError as error:
            return None, str(error)

    print('1..%d' % (len(chosen) + 1))
    failed = 0
    with ThreadPoolExecutor(wanted.jobs) as pool:
        for number, (plant, (said, error)) in enumerate(zip(chosen, pool.map(judge, chosen)), 1):
            failed += said is None
            print('%s %d - %s: %s' % ('ok' if said else 'not ok', number, plant.name.replace('#', ''),
                                      (said or error or 'was not noticed').replace('#', '')), flush=True)
    enough = len(all_of_them) >= 25
    print('%s %d - %d bugs are planted' % ('ok' if enough else 'not ok', len(chosen) + 1, len(all_of_them)))
    sys.exit(1 if failed or not enough else 0)


if __name__ == '__main__':
    main()
