"""Our vectors (doc/vectors) opened by somebody else's COSE library, from npm. Skipped by name where that cannot be had.

usage: cose_library.py VECTORS DIRECTORY      the library is installed into DIRECTORY, once
"""
import os
import shutil
import subprocess
import sys

LIBRARY = '@auth0/cose@1.0.2'


def skip(why):
    print('1..0 # SKIP no %s: %s' % (LIBRARY, why))
    sys.exit(0)


def install(directory):
    if os.path.isdir(os.path.join(directory, 'node_modules', '@auth0', 'cose')):
        return
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, 'package.json'), 'w', encoding='utf-8') as f:
        f.write('{"private": true}\n')
    try:
        done = subprocess.run(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--silent', LIBRARY],
                              cwd=directory, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        skip('npm did not answer in time')
    if done.returncode:
        skip('npm could not install it')


def main():
    vectors, directory = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    if not shutil.which('node') or not shutil.which('npm'):
        skip('node or npm is missing')
    install(directory)
    # Modules are looked for beside the program.
    program = os.path.join(directory, 'open_with_cose.mjs')
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'open_with_cose.mjs'), program)
    sys.exit(subprocess.run(['node', program, vectors], timeout=120).returncode)


main()
