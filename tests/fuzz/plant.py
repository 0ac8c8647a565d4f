#!/usr/bin/env python3
"""Puts bugs into copies of the product, one at a time, and demands that a fuzz target's replay fails for each.

usage: plant.py SOURCE_ROOT BUILD_DIR [NAME...]      the bugs are in planted.txt beside this program

As tests/sim/plant.py, whose machinery this is: a planted file is compiled by itself and linked before the target's own
libraries. Each bug's name begins with the target that must see it. TAP on standard output.
"""
import os
import shlex
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'sim'))
sys.dont_write_bytecode = True
import plant as sim  # noqa: E402

WORLDS = ('sessions', 'static', 'keyed', 'kept', 'served', 'desk')
MUTATIONS = 3000


class Bench(sim.Bench):
    def link_replay(self, target, planted, program):
        """What is planted comes first, so its archive's own is never asked for."""
        done = sim.run(['ninja', '-C', self.build, '-t', 'commands', 'tests/fuzz/replay_' + target])
        words = shlex.split(done.stdout.strip().split('\n')[-1])
        at = words.index('-o') + 1
        words[at:at + 1] = [program, planted]
        done = sim.run(words, cwd=self.build)
        if done.returncode:
            raise ValueError('does not link: ' + (done.stderr.splitlines() or ['?'])[0])

    def verdict(self, plant):
        target = plant.name.split(':')[0]
        with tempfile.TemporaryDirectory() as directory:
            program = os.path.join(directory, 'replay')
            self.link_replay(target, self.compile(plant, directory), program)
            done = sim.run([program, str(MUTATIONS), os.path.join(HERE, 'corpus', target)] +
                           (['0'] if target in WORLDS else []), timeout=300)
        said = [line for line in done.stderr.splitlines() if 'does not hold' in line or ', operation ' in line]
        return said[-1] if done.returncode and said else None


def main():
    root, build, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    bench = Bench(os.path.abspath(root), os.path.abspath(build))
    chosen = [p for p in sim.plants(os.path.join(HERE, 'planted.txt')) if not names or p.name in names]

    def judge(plant):
        try:
            return bench.verdict(plant), None
        except ValueError as error:
            return None, str(error)

    print('1..%d' % len(chosen))
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for number, (plant, (said, error)) in enumerate(zip(chosen, pool.map(judge, chosen)), 1):
            failed += said is None
            print('%s %d - %s: %s' % ('ok' if said else 'not ok', number, plant.name,
                                      (said or error or 'was not noticed').replace('#', '')), flush=True)
    sys.exit(1 if failed else 0)


main()
