#!/usr/bin/env python3
"""The systemd units of deploy/systemd: an exposure of at most 2.0, and nothing that systemd would complain about.

usage: test_units.py ROOT
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(sys.argv[1], 'tools'))
from tap import Tap  # noqa: E402

TAP = Tap()


def exposure(path):
    done = subprocess.run(['systemd-analyze', 'security', '--offline=yes', path], capture_output=True, text=True, check=False)
    match = re.search(r'exposure level for \S+: ([0-9.]+)', done.stdout)
    return float(match.group(1)) if match else 99.0


def complaints(path):
    done = subprocess.run(['systemd-analyze', 'verify', path], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if os.path.basename(path) in line and 'not executable' not in line and
            "Command 'man" not in line]


def main():
    folder = os.path.join(sys.argv[1], 'deploy', 'systemd')
    if not shutil.which('systemd-analyze'):
        TAP.skip('units', 'no systemd here')
        return TAP.end()
    units = sorted(os.listdir(folder))
    TAP.row(len(units) >= 3, 'key server, recorder and enrolment have units', units)
    for unit in units:
        level = exposure(os.path.join(folder, unit))
        TAP.row(level <= 2.0, '%s: exposure %.1f, at most 2.0' % (unit, level), [])
        bad = complaints(os.path.join(folder, unit))
        TAP.row(not bad, unit + ': systemd has nothing to complain about', bad)
    with tempfile.TemporaryDirectory() as place, open(os.path.join(folder, units[0]), encoding='utf-8') as file:
        planted = os.path.join(place, 'planted.service')
        with open(planted, 'w', encoding='utf-8') as out:
            out.write(''.join(line for line in file if not re.match('Protect|Restrict|SystemCall|Private|Capability', line)))
        TAP.row(exposure(planted) > 2.0, 'planted: one without its fences is told from these', [exposure(planted)])
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
