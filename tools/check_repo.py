#!/usr/bin/env python3
"""Refuses what must not be in the repository, and documents that have stopped being true.

usage: check_repo.py ROOT           one TAP row per rule
       check_repo.py --self-test    plants one violation of each kind and sees it caught
"""
import os
import re
import subprocess
import sys
import tempfile

import make_map
import rooms
from tap import Tap

# In pieces, so that this file does not find itself.
PRIVATE_KEY = re.compile('-----BEGIN [A-Z ]*' + 'PRIVATE KEY-----')
MACHINE_PATH = re.compile(r'(?<![\w.])/(?:wo' + r'rk|ho' + r'me/[a-z]\w*|Us' + r'ers/\w+|ro' + r'ot)/[\w.]')
RAW = re.compile(r'\.(png|gif|gz|bin|cbor|sealed|ico)$|^tests/fuzz/corpus/|^tests/.*data/')
TEXT_WITH_TABS_AT_END = re.compile(r'\.(csv|tsv)$')
TEST_FILE = re.compile(r'^tests/.*(\.c|\.sh|\.py)$')
SECTION = re.compile(r'\b(PROTOCOL|FORMATS)(?:\.md)?,? (\d+(?:\.\d+)*)')
LINK = re.compile(r'\[[^\]\n]*\]\(([^)\s]+)\)')

# Numbers are stable, so codes may stand in the list before the feature that gives them.
RESERVED_ERRORS = {
}


def tracked(root):
    """The repository's files: as git lists them, or all of them where there is no git (a tarball)."""
    try:
        done = subprocess.run(['git', '-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
                              capture_output=True, check=True)
        names = [name for name in done.stdout.decode().split('\0') if name]
    except (OSError, subprocess.CalledProcessError):
        names = [os.path.relpath(os.path.join(folder, name), root) for folder, _, found in os.walk(root)
                 for name in found if '/build' not in folder and '/.git' not in folder]
    return sorted(name for name in set(names) if os.path.isfile(os.path.join(root, name)))


class Repo:
    def __init__(self, root):
        self.root, self.files = root, tracked(root)
        self.text, self.binary = {}, []
        for name in self.files:
            with open(os.path.join(root, name), 'rb') as file:
                data = file.read()
            try:
                self.text[name] = data.decode('utf-8')
            except UnicodeDecodeError:
                self.binary.append(name)

    def lines(self, wanted=lambda name: True):
        for name, text in self.text.items():
            if wanted(name):
                for number, line in enumerate(text.split('\n'), 1):
                    yield name, number, line

    def under(self, *tops):
        return {name: text for name, text in self.text.items() if name.startswith(tops)}


def private_keys(repo):
    for name, number, line in repo.lines():
        if PRIVATE_KEY.search(line):
            yield '%s:%d: a private key' % (name, number)
    for name in repo.files:
        if re.search(r'\.(key|p12|pfx)$', name):
            yield '%s: looks like a private key' % name


def machine_paths(repo):
    for name, number, line in repo.lines(lambda name: not RAW.search(name)):
        if MACHINE_PATH.search(line):
            yield '%s:%d: a path of one machine: %s' % (name, number, line.strip()[:80])


def clean_text(repo):
    for name in repo.binary:
        if not RAW.search(name):
            yield '%s: is not UTF-8' % name
    for name, text in repo.text.items():
        if RAW.search(name) or TEXT_WITH_TABS_AT_END.search(name):
            continue
        if text and not text.endswith('\n'):
            yield '%s: no newline at its end' % name
        if text.endswith('\n\n'):
            yield '%s: blank lines at its end' % name
        for number, line in enumerate(text.split('\n'), 1):
            if line != line.rstrip():
                yield '%s:%d: white space at the end of the line' % (name, number)


def registered_tests(repo):
    """A file in tests/ is named in a meson.build there, used by another file there, or what ./run runs for long."""
    corpus = repo.under('tests/')
    for name in corpus:
        if not TEST_FILE.match(name) or name.startswith('tests/fuzz/corpus/') or name in repo.text.get('run', ''):
            continue
        stem = os.path.splitext(os.path.basename(name))[0]
        words = {stem, stem[5:] if stem.startswith(('test_', 'fuzz_')) else stem}
        pattern = re.compile(r'(?<![\w])(%s)(?![\w])' % '|'.join(map(re.escape, words)))
        if not any(other != name and (other.endswith('meson.build') or not stem.startswith(('test_', 'fuzz_'))) and
                   pattern.search(text) for other, text in corpus.items()):
            yield '%s: no meson.build runs it' % name


def error_codes(repo):
    listed = re.findall(r'^\s*(SMQ_ERR_\w+) = \d+', repo.text.get('include/sealmq/err.h', ''), re.M)
    sources = ''.join(text for name, text in repo.under('src/').items() if name != 'src/base/err.c')
    for code in listed:
        used = re.search(r'\b%s\b' % code, sources)
        if not used and code not in RESERVED_ERRORS:
            yield '%s is never given' % code
        if used and code in RESERVED_ERRORS:
            yield '%s is given and still listed as reserved' % code


def slug(heading):
    """The anchor that GitHub makes of a heading."""
    heading = re.sub(r'`|\*|\[([^\]]*)\]\([^)]*\)', r'\1', heading.strip().lower())
    return re.sub(r'\s', '-', re.sub(r'[^\w\s-]', '', heading))


def without_code(text):
    return re.sub(r'^```.*?^```', '', text, flags=re.S | re.M)


def headings(text):
    return [match.group(1) for match in re.finditer(r'^#{1,6} (.*)$', without_code(text), re.M)]


def links(repo):
    for name, text in repo.text.items():
        if not name.endswith('.md'):
            continue
        for target in LINK.findall(re.sub(r'`[^`\n]*`', '', without_code(text))):
            if re.match(r'[a-z]+:', target):
                continue
            path, _, anchor = target.partition('#')
            full = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if not os.path.exists(os.path.join(repo.root, full)):
                yield '%s: link to %s, which is not there' % (name, target)
            elif anchor and anchor not in map(slug, headings(repo.text.get(full, ''))):
                yield '%s: link to %s: no such heading' % (name, target)


def sections(repo):
    known = {}
    for document in ('PROTOCOL', 'FORMATS'):
        found = headings(repo.text.get('doc/%s.md' % document, ''))
        known[document] = {match.group(1).rstrip('.') for match in (re.match(r'(\d+(?:\.\d+)*\.?)(?= )', h) for h in found)
                           if match}
    for name, number, line in repo.lines(lambda n: n.startswith(('src/', 'include/', 'tests/', 'doc/', 'examples/', 'man/'))):
        for document, section in SECTION.findall(line):
            if section not in known[document]:
                yield '%s:%d: cites %s.md %s, which is not there' % (name, number, document, section)


def decisions(repo):
    seen = {}
    for name in repo.files:
        if not name.startswith('doc/decisions/'):
            continue
        match = re.fullmatch(r'(\d{4})-[a-z0-9-]+\.md', os.path.basename(name))
        if not match:
            yield '%s: is not named NNNN-title.md' % name
        elif match.group(1) in seen:
            yield '%s: has the number of %s' % (name, seen[match.group(1)])
        else:
            seen[match.group(1)] = name


def lessons(repo):
    """doc/LESSONS.md names tests as `file: function`; each of them is there, and is run."""
    for path, name in re.findall(r'`([\w./-]+): (\w+)`', repo.text.get('doc/LESSONS.md', '')):
        found = len(re.findall(r'\b%s\b' % name, repo.text.get(path, '')))
        if found < 2:
            yield 'doc/LESSONS.md: %s: %s' % (path, 'there is no %s' % name if found == 0 else '%s is not run' % name)


def list_of_rooms(repo):
    yield from rooms.complaints(repo.root)


def documented(repo):
    """Every public function has a comment above it (or above the group it stands in), or on its line."""
    for name, text in repo.under('include/sealmq/').items():
        if not name.endswith('.h'):
            continue
        for function in sorted(make_map.declared(text)):
            match = re.search(r'\b%s\s*[(;]' % function, re.sub(
                r'/\*.*?\*/', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text, flags=re.S))
            lines = text[:match.start()].split('\n')
            paragraph = []
            for line in reversed(lines[:-1]):
                if not line.strip():
                    break
                paragraph.append(line)
            rest = text[match.start():]
            statement = rest[:rest.index(';') + 1]
            tail = rest[len(statement):].split('\n')[0]
            if not any(re.match(r'\s*(/\*|\*)', line) for line in paragraph) and '/*' not in tail:
                yield '%s: %s has no comment' % (name, function)


def public_headers_listed(repo):
    listed = re.findall(r"'(\w+\.h)'", repo.text.get('include/sealmq/meson.build', ''))
    for name in repo.files:
        if name.startswith('include/sealmq/') and name.endswith('.h') and os.path.basename(name) not in listed:
            yield '%s: is not in include/sealmq/meson.build, so it is not installed' % name


RULES = [
    ('no private key is in the repository', private_keys),
    ('no path of one machine is in the repository', machine_paths),
    ('text files are UTF-8 and end their lines cleanly', clean_text),
    ('every file in tests/ is run', registered_tests),
    ('every error code is given somewhere', error_codes),
    ('links between documents lead somewhere', links),
    ('every cited section of PROTOCOL.md and FORMATS.md exists', sections),
    ('decisions are numbered once', decisions),
    ('every test that doc/LESSONS.md names is run', lessons),
    ('doc/ROOMS.md lists every file of src', list_of_rooms),
    ('every public function is documented in its header', documented),
    ('every public header is installed', public_headers_listed),
]

CLEAN = {
    'include/sealmq/err.h': '/* x */\n\tSMQ_ERR_A = 1,\n',
    'include/sealmq/meson.build': "files('err.h')\n",
    'src/base/a.c': '/* A duty. */\nint x = SMQ_ERR_A;\n',
    'doc/PROTOCOL.md': '# P\n\n## 1. Words\n\n### 1.2 More\n',
    'doc/ROOMS.md': None,
    'tests/meson.build': "test('a')\n",
    'tests/test_a.c': '/* PROTOCOL.md 1.2 */\n',
    'README.md': 'see [words](doc/PROTOCOL.md#1-words)\n',
}
PLANTED = [
    # rule, file, text
    (private_keys, 'a.pem', '-----BEGIN EC ' + 'PRIVATE KEY-----\n'),
    (private_keys, 'a.key', 'x\n'),
    (machine_paths, 'a.txt', 'see /ho' + 'me/user/x\n'),
    (clean_text, 'a.txt', 'x \n'),
    (clean_text, 'a.txt', 'x'),
    (clean_text, 'a.txt', 'x\r\n'),
    (registered_tests, 'tests/test_b.c', 'int x;\n'),
    (registered_tests, 'tests/e2e/b.sh', 'true\n'),
    (error_codes, 'include/sealmq/err.h', '\tSMQ_ERR_A = 1,\n\tSMQ_ERR_B = 2,\n'),
    (links, 'README.md', '[x](doc/NOWHERE.md)\n'),
    (links, 'README.md', '[x](doc/PROTOCOL.md#9-words)\n'),
    (sections, 'src/base/a.c', '/* A duty (PROTOCOL.md 1.3). */\nint x = SMQ_ERR_A;\n'),
    (sections, 'include/sealmq/err.h', '/* FORMATS.md 7 */\n\tSMQ_ERR_A = 1,\n'),
    (decisions, 'doc/decisions/1-x.md', 'x\n'),
    (lessons, 'doc/LESSONS.md', 'see `tests/test_a.c: gone`\n'),
    (list_of_rooms, 'src/base/new.c', '/* A new duty. */\n'),
    (list_of_rooms, 'src/base/dumb.c', 'int y;\n'),
    (documented, 'include/sealmq/err.h', '/* x */\n\tSMQ_ERR_A = 1,\n\nint smq_lonely(void);\n'),
    (public_headers_listed, 'include/sealmq/more.h', '/* x */\n'),
]


def plant(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8', newline='') as file:
        file.write(text)


def plant_clean(root):
    for path, text in CLEAN.items():
        if text is not None:
            plant(root, path, text)
    rooms.write(root)


def self_test(tap):
    with tempfile.TemporaryDirectory() as root:
        plant_clean(root)
        bad = [line for _, rule in RULES for line in rule(Repo(root))]
        tap.row(not bad, 'a clean repository passes', bad)
    for rule, path, text in PLANTED:
        with tempfile.TemporaryDirectory() as root:
            plant_clean(root)
            plant(root, path, text)
            found = list(rule(Repo(root)))
            tap.row(len(found) == 1, 'planted for %s: %s' % (rule.__name__, path), found or ['nothing found'])


def main(argv):
    tap = Tap()
    if argv[1:] == ['--self-test']:
        self_test(tap)
        return tap.end()
    repo = Repo(os.path.abspath(argv[1]))
    for what, rule in RULES:
        bad = list(rule(repo))
        tap.row(not bad, what, bad)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main(sys.argv))
