#!/usr/bin/env python3
"""What `meson install` leaves: a library that others can build against, shared and static, and nothing undeclared.

usage: test_install.py SOURCE_ROOT BUILD_ROOT SANITIZERS
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE, BUILD, SANITIZERS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
sys.path.insert(0, os.path.join(SOURCE, 'tools'))
import make_map  # noqa: E402
from tap import Tap  # noqa: E402

USER = """#include <sealmq/version.h>
#include <sealmq/err.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
	puts(smq_version());
	return strcmp(smq_version(), SMQ_VERSION) != 0 || strcmp(smq_err_name(SMQ_ERR_REPLAY), "replay") != 0;
}
"""
FIRMWARE = """#include <sealmq/crypto.h>
int main(void) { return smq_aead_alg_by_id(SMQ_A128GCM)->key_len != 16; }
"""


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


class Installed:
    def __init__(self, where):
        self.where = where
        done = run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet'], env=dict(os.environ, DESTDIR=where))
        self.complaint = None if done.returncode == 0 else (done.stdout + done.stderr).splitlines()
        found = glob.glob(where + '/**/pkgconfig/sealmq.pc', recursive=True)
        self.libdir = os.path.dirname(os.path.dirname(found[0])) if found else where
        self.prefix = os.path.dirname(glob.glob(where + '/**/include/sealmq', recursive=True)[0] + '/')[:-len('/include/sealmq')]
        self.env = dict(os.environ, PKG_CONFIG_PATH=self.libdir + '/pkgconfig', PKG_CONFIG_SYSROOT_DIR=where,
                        LD_LIBRARY_PATH=self.libdir)

    def pkg_config(self, *args):
        return run(['pkg-config', *args], env=self.env).stdout.split()

    def build_and_run(self, text, flags):
        source, program = self.where + '/user.c', self.where + '/user'
        with open(source, 'w', encoding='utf-8') as file:
            file.write(text)
        done = run(['cc', '-Wall', '-Wextra', '-Werror', source, '-o', program] + flags)
        if done.returncode:
            return done.stderr.splitlines()[:20]
        done = run([program], env=self.env)
        return [] if done.returncode == 0 else ['status %d' % done.returncode, done.stdout, done.stderr]


def declared(place):
    names = set()
    for header in glob.glob(place.prefix + '/include/sealmq/*.h'):
        with open(header, encoding='utf-8') as file:
            names |= make_map.declared(file.read())
    return names


def seen_by_compiler(place, headers):
    """Function names as gcc itself reads them: a second opinion on make_map.py."""
    source, listing = place.where + '/all.c', place.where + '/all.aux'
    with open(source, 'w', encoding='utf-8') as file:
        file.write(''.join('#include <sealmq/%s>\n' % header for header in headers))
    run(['gcc', '-I', place.prefix + '/include', '-fsyntax-only', '-aux-info', listing, source])
    with open(listing, encoding='utf-8') as file:
        rows = [row for row in file if '/sealmq/' in row.split('*/')[0] and ' static ' not in row]
    return {name for row in rows for name in re.findall(r'\b(smq_\w+) \(', row.split('*/', 1)[1])[:1]}


def static_flags(place, package):
    flags = place.pkg_config('--static', '--cflags', '--libs', package)
    return ['-l:libsealmq.a' if flag == '-lsealmq' else flag for flag in flags]


def mention_all(names, headers):
    """A program that takes the address of everything declared: it links only if all of it is there."""
    includes = ''.join('#include <sealmq/%s>\n' % header for header in headers)
    rows = ',\n'.join('\t(const void *)&%s' % name for name in sorted(names))
    return includes + ('static const void *const all[] = {\n%s\n};\n'
                       'int main(void)\n{\n\tfor (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {\n'
                       '\t\tif (!all[i])\n\t\t\treturn 1;\n\t}\n\treturn 0;\n}\n' % rows)


def check_library(tap, place):
    names = declared(place)
    headers = sorted(os.path.basename(path) for path in glob.glob(place.prefix + '/include/sealmq/*.h'))
    missed = seen_by_compiler(place, headers) ^ names
    tap.row(not missed, 'make_map.py reads the headers as the compiler does', sorted(missed))
    source = sorted(os.path.basename(path) for path in glob.glob(SOURCE + '/include/sealmq/*.h'))
    tap.row(headers == source, 'all %d public headers are installed' % len(source), [str(headers)])
    shared = os.path.realpath(place.libdir + '/libsealmq.so')
    dynamic = run(['readelf', '-d', shared]).stdout
    tap.row('[libsealmq.so.0]' in dynamic, 'the soname is libsealmq.so.0', dynamic.splitlines())
    exported = {row.split()[2] for row in run(['nm', '-D', '--defined-only', shared]).stdout.splitlines()}
    plain = {name for name in exported if not name.startswith('SEALMQ_')}
    tap.row(all('@@SEALMQ_0' in name for name in plain), 'every exported symbol has a version', sorted(plain))
    plain = {name.split('@')[0] for name in plain}
    tap.row(plain <= names, 'nothing is exported that no header declares', sorted(plain - names))
    tap.row(names <= plain, 'all %d declared symbols are exported' % len(names), sorted(names - plain))
    shared_flags = place.pkg_config('--cflags', '--libs', 'sealmq')
    for label, flags in (('shared', shared_flags), ('static', static_flags(place, 'sealmq'))):
        bad = place.build_and_run(USER, flags)
        tap.row(not bad, 'a program builds and runs against pkg-config, %s' % label, bad)
        bad = place.build_and_run(mention_all(names, headers), flags)
        tap.row(not bad, 'all that is declared links, %s' % label, bad)
    bad = place.build_and_run(FIRMWARE, static_flags(place, 'sealmq-core'))
    tap.row(not bad, 'a program builds on the core alone', bad)


def check_tool(tap, place):
    if not os.path.exists(place.prefix + '/bin/sealmq'):
        tap.row(False, 'the tool is installed')
        return
    for name in ('sealmq', 'sealmq_pub', 'sealmq_sub'):
        done = run([place.prefix + '/bin/' + name, '--version'], env=place.env)
        tap.row(done.returncode == 0 and '0.' in done.stdout, '%s --version' % name, [done.stdout, done.stderr])
    needed = run(['readelf', '-d', place.prefix + '/bin/sealmq']).stdout
    tap.row('libsealmq.so.0' in needed, 'the tool stands on the shared library', needed.splitlines())
    done = run([place.prefix + '/bin/sealmq', '--version'], env=dict(os.environ, LD_LIBRARY_PATH=''))
    tap.row(done.returncode == 0, 'it finds its library without help', [done.stderr])
    pages = glob.glob(place.prefix + '/share/man/man1/sealmq*')
    tap.row(bool(pages), 'manual pages are installed')


def check_completions(tap, place):
    for shell, where in (('bash', 'bash-completion/completions/sealmq'), ('zsh', 'zsh/site-functions/_sealmq'),
                         ('fish', 'fish/vendor_completions.d/sealmq.fish')):
        file = os.path.join(place.prefix, 'share', where)
        if not os.path.exists(file):
            tap.row(False, 'completions for %s are installed' % shell, [file])
        elif not shutil.which(shell):
            tap.skip('completions for %s' % shell, '%s is not installed' % shell)
        else:
            done = run([shell, '-n', file])
            tap.row(done.returncode == 0 and not done.stderr, '%s can read its completions' % shell,
                    done.stderr.splitlines())
    complete = '. %s/share/bash-completion/completions/sealmq; COMP_WORDS=(%s); COMP_CWORD=%d; _sealmq; echo ${COMPREPLY[@]}'
    path = dict(os.environ, PATH=place.prefix + '/bin:' + os.environ['PATH'])
    for words, at, expected in (("sealmq ca re", 2, 'revoke'), ("sealmq ca issue --ro", 3, '--role'),
                                ("sealmq group ex", 2, 'expel'), ("sealmq record --st", 2, '--store'),
                                ("sealmq pub --gro", 2, '--group'), ("sealmq que", 1, 'query'),
                                ("sealmq bench da", 2, 'dataset'), ("sealmq bench --pl", 2, '--plot')):
        done = run(['bash', '-c', complete % (place.prefix, words, at)], env=path)
        tap.row(expected in done.stdout.split(), 'bash completes "%s" to %s' % (words, expected),
                [done.stdout, done.stderr])


def main():
    tap = Tap()
    if SANITIZERS != 'none':
        print('1..0 # SKIP a build with sanitizers is not for installing')
        return 0
    with tempfile.TemporaryDirectory() as where:
        place = Installed(where)
        if tap.row(not place.complaint, 'meson install', place.complaint or []):
            check_library(tap, place)
            check_tool(tap, place)
            check_completions(tap, place)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
