#!/usr/bin/env python3
"""The API reference builds without a warning and holds every public function; a planted flaw is refused.

usage: test_docs.py SOURCE_ROOT
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.join(SOURCE, 'tools'))
import make_map  # noqa: E402
from tap import Tap  # noqa: E402


def build(root, out):
    return subprocess.run([root + '/tools/make_docs.sh', out], capture_output=True, text=True, check=False)


def pages(out):
    text = ''
    for page in glob.glob(out + '/html/*_8h.html'):
        with open(page, encoding='utf-8') as file:
            text += file.read()
    return text


def declared():
    names = set()
    for header in glob.glob(SOURCE + '/include/sealmq/*.h'):
        with open(header, encoding='utf-8') as file:
            names |= make_map.declared(file.read())
    return names


def main():
    tap = Tap()
    if not shutil.which('doxygen'):
        print('1..0 # SKIP doxygen is not installed')
        return 0
    with tempfile.TemporaryDirectory() as out:
        done = build(SOURCE, out)
        tap.row(done.returncode == 0, 'doxygen has nothing to complain about', (done.stdout + done.stderr).splitlines()[:40])
        text = pages(out)
        absent = [name for name in sorted(declared()) if not re.search(r'class="memname">[^<]*(<[^>]*>[^<]*)*\b%s\b' % name, text)]
        tap.row(not absent, 'every public function is in the reference', absent)
    with tempfile.TemporaryDirectory() as root:
        for part in ('include', 'doc', 'tools'):
            shutil.copytree(os.path.join(SOURCE, part), os.path.join(root, part))
        shutil.copy(os.path.join(SOURCE, 'meson.build'), root)
        with open(root + '/include/sealmq/version.h', 'a', encoding='utf-8') as file:
            file.write('/** Planted. @param nobody is not there */\nvoid smq_planted(int x);\n')
        done = build(root, root + '/out')
        tap.row(done.returncode != 0 and 'nobody' in done.stderr, 'a planted flaw is refused', done.stderr.splitlines())
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
