#!/usr/bin/env python3
"""The protocol core builds for a Cortex-M4, and holds no state of its own: no data, no bss.

    check_cortex_m.py ROOT

It compiles; nothing is run. Skipped where arm-none-eabi-gcc is not installed (Debian: gcc-arm-none-eabi and
libnewlib-arm-none-eabi, half a gigabyte, so not among the packages that ./run installs).
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

LAYERS = ['base', 'crypto', 'wire', 'core']
FLAGS = ['-std=gnu11', '-mcpu=cortex-m4', '-mthumb', '-Os', '-Wall', '-Wextra', '-Werror']


def headers_of_libcbor(into):
    """libcbor's headers alone: with all of /usr/include in the path, the host's libc would shadow newlib."""
    for name in ('cbor.h', 'cbor'):
        (into / name).symlink_to(pathlib.Path('/usr/include') / name)


def compile_all(root, work):
    """The compiler's complaints, and the object files."""
    complaints, objects = [], []
    for source in sorted(s for layer in LAYERS for s in (root / 'src' / layer).glob('*.c')):
        target = work / ('%s_%s.o' % (source.parent.name, source.stem))
        run = subprocess.run(['arm-none-eabi-gcc', *FLAGS, '-I', root / 'include', '-I', root / 'src', '-I',
                              work / 'include', '-c', source, '-o', target], capture_output=True, text=True)
        complaints += run.stderr.splitlines()[:5]
        objects.append(target)
    return complaints, objects


def sizes(objects):
    """Bytes of code and constants, of data, and of bss, in all."""
    out = subprocess.run(['arm-none-eabi-size', *objects], capture_output=True, text=True, check=True).stdout
    rows = [line.split()[:3] for line in out.splitlines()[1:]]
    return [sum(int(row[i]) for row in rows) for i in range(3)]


def main():
    tap = Tap()
    root = pathlib.Path(sys.argv[1]).resolve()
    if not shutil.which('arm-none-eabi-gcc'):
        tap.skip('the core builds for a Cortex-M4', 'arm-none-eabi-gcc is not installed')
        return tap.end()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / 'include').mkdir()
        headers_of_libcbor(work / 'include')
        complaints, objects = compile_all(root, work)
        if tap.row(not complaints, 'the core builds for a Cortex-M4', complaints):
            text, data, bss = sizes(objects)
            print('# %d bytes of code and constants for the whole protocol, %d of data, %d of bss' % (text, data, bss))
            tap.row(data == 0 and bss == 0, 'the core holds no state of its own')
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
