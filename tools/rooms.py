#!/usr/bin/env python3
"""The list of rooms: one line per file (or pair of .c and .h) of src, taken from the duty that opens each file, kept in doc/ROOMS.md.

usage: rooms.py ROOT [--write]     without --write: says what is wrong
"""
import os
import re
import sys

LAYERS = ['base', 'crypto', 'wire', 'core', 'app', 'adapters', 'lib', 'cli']
HEAD = """# Rooms: every file of src and its one duty

Written by `tools/rooms.py . --write` from the comment that opens each file; the tests refuse a list that has gone stale.
"""


def duty(path):
    """The first sentence of the comment that opens a file; None if there is none."""
    with open(path, encoding='utf-8') as file:
        match = re.match(r'\s*/\*+(.*?)\*/', file.read(), re.S)
    if not match:
        return None
    first = match.group(1).strip().split('\n\n')[0].splitlines()
    first = ' '.join(re.sub(r'^\s*\*\s?', '', line).strip() for line in first).split('  ')[0]
    return re.split(r'(?<=[a-z)])\.(?:\s|$)', first)[0].rstrip('.:').strip() or None


def files(root):
    for folder, _, names in os.walk(os.path.join(root, 'src')):
        for name in names:
            if name.endswith(('.c', '.h')):
                yield os.path.relpath(os.path.join(folder, name), os.path.join(root, 'src'))


def order(path):
    layer = path.split('/')[0]
    return (LAYERS.index(layer) if layer in LAYERS else len(LAYERS), path)


def text(root):
    out, folder, bad, rooms = [HEAD], None, [], {}
    for path in sorted(files(root), key=order):
        said = duty(os.path.join(root, 'src', path))
        if not said:
            bad.append('src/%s: does not open with its duty' % path)
            continue
        rooms.setdefault(os.path.splitext(path)[0], []).append((os.path.basename(path), said))
    for stem, members in rooms.items():
        if os.path.dirname(stem) != folder:
            folder = os.path.dirname(stem)
            out.append('\n## src/%s\n\n| file | duty |\n|---|---|\n' % folder)
        # Of a pair, the header speaks: it is what others see.
        out.append('| %s | %s |\n' % (', '.join('`%s`' % name for name, _ in members),
                                      members[-1][1].replace('|', '\\|')))
    return ''.join(out), bad


def complaints(root):
    want, bad = text(root)
    yield from bad
    try:
        with open(os.path.join(root, 'doc', 'ROOMS.md'), encoding='utf-8') as file:
            have = file.read()
    except FileNotFoundError:
        have = ''
    if have != want and not bad:
        new = sorted(set(want.splitlines()) - set(have.splitlines())) or ['a file that is gone']
        yield 'doc/ROOMS.md is stale (tools/rooms.py . --write mends it), e.g. %s' % new[0]


def write(root):
    want, bad = text(root)
    os.makedirs(os.path.join(root, 'doc'), exist_ok=True)
    with open(os.path.join(root, 'doc', 'ROOMS.md'), 'w', encoding='utf-8') as file:
        file.write(want)
    return bad


def main(argv):
    bad = write(argv[1]) if '--write' in argv else list(complaints(argv[1]))
    print('\n'.join(bad), end='\n' if bad else '')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
