#!/usr/bin/env python3
"""Refuses an #include against the direction of the layers, and foreign headers outside their one place.

usage: check_layers.py ROOT        checks ROOT/src, ROOT/include, ROOT/examples; speaks TAP
       check_layers.py --self-test plants one violation of each kind and sees it caught

The rules are the tables below; doc/ARCHITECTURE.md says why.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

LAYERS = ['base', 'crypto', 'wire', 'core', 'app', 'adapters', 'lib', 'cli']
PURE = {'base', 'crypto', 'wire', 'core'}

# The lowest layer that may see each public header; those not named here describe the whole (app and above).
PUBLIC = {'span.h': 'base', 'text.h': 'base', 'err.h': 'base', 'version.h': 'base', 'crypto.h': 'crypto', 'credential.h': 'crypto',
          'member.h': 'core'}

# No I/O, no clock, no allocation, no randomness: types and memory functions only.
LIBC_PURE = {'assert.h', 'limits.h', 'stdalign.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'string.h', 'strings.h'}
# Use cases may allocate, format and reckon with dates; that they do no I/O is for check_symbols.py to see.
LIBC_APP = LIBC_PURE | {'ctype.h', 'errno.h', 'inttypes.h', 'locale.h', 'math.h', 'stdarg.h', 'stdio.h', 'stdlib.h', 'time.h'}
LIBC = LIBC_APP | {
    'dirent.h', 'dlfcn.h', 'endian.h', 'fcntl.h', 'fnmatch.h', 'getopt.h', 'langinfo.h', 'libgen.h', 'link.h', 'netdb.h', 'poll.h',
    'pthread.h', 'pwd.h', 'regex.h', 'sched.h', 'setjmp.h', 'signal.h', 'spawn.h', 'stdatomic.h', 'syslog.h', 'termios.h',
    'unistd.h', 'wchar.h', 'wctype.h', 'arpa/inet.h', 'net/if.h', 'netinet/in.h', 'netinet/tcp.h', 'sys/epoll.h',
    'sys/eventfd.h', 'sys/file.h', 'sys/ioctl.h', 'sys/mman.h', 'sys/pidfd.h', 'sys/prctl.h', 'sys/random.h', 'sys/resource.h', 'sys/select.h',
    'sys/socket.h', 'sys/stat.h', 'sys/time.h', 'sys/timerfd.h', 'sys/types.h', 'sys/un.h', 'sys/utsname.h', 'sys/wait.h',
}
LIBC_PUBLIC = {'stdbool.h', 'stddef.h', 'stdint.h', 'string.h'}

# An adapter's name ends with its one foreign library.
FOREIGN = {
    'ipsecmb': re.compile(r'intel-ipsec-mb\.h'),
    'openssl': re.compile(r'openssl/\w+\.h|malloc\.h'),
    'mosquitto': re.compile(r'mosquitto\w*\.h|mqtt_protocol\.h'),
    'sqlite': re.compile(r'sqlite3\.h'),
    'yaml': re.compile(r'yaml\.h|cyaml/\w+\.h'),
    'postgres': re.compile(r'postgresql/libpq-fe\.h'),
    'microhttpd': re.compile(r'microhttpd\.h'),
    'pkcs11': re.compile(r'p11-kit/[\w-]+\.h'),
    'seccomp': re.compile(r'seccomp\.h|linux/landlock\.h|sys/syscall\.h|sys/auxv\.h|malloc\.h'),
    'csv': None,
    'files': None,
    'loader': None,
    'memory': None,
    'posix': None,
}
CBOR = re.compile(r'cbor\.h|cbor/\w+\.h')
CBOR_PLACE = 'src/wire/cbor.c'
EXAMPLES = re.compile(r'MQTTClient\.h|MQTTAsync\.h|MQTTProperties\.h')

INCLUDE = re.compile(r'^[ \t]*#[ \t]*(?:include|include_next|import)\b[ \t]*(.*)$', re.M)
COMMENT = re.compile(r'/\*.*?\*/', re.S)


def includes(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        text = COMMENT.sub(lambda m: re.sub(r'[^\n]', ' ', m.group(0)), file.read())
    for match in INCLUDE.finditer(text):
        yield text.count('\n', 0, match.start()) + 1, match.group(1).split('//')[0].strip()


def sources(root, top):
    for folder, _, names in os.walk(os.path.join(root, top)):
        for name in sorted(names):
            if name.endswith(('.c', '.h', '.inc', '.def')):
                yield os.path.relpath(os.path.join(folder, name), root)


def unit_of(path):
    """The layer of a file under src, and the adapter where it is one."""
    parts = path.split('/')
    return parts[1], parts[2] if parts[1] == 'adapters' and len(parts) > 3 else None


def refuse_quoted(root, path, layer, adapter, name):
    if '..' in name.split('/') or name.startswith('/'):
        return 'a relative or absolute path'
    here = os.path.dirname(path)
    if os.path.exists(os.path.join(root, here, name)):
        name = os.path.join(here, name)[len('src/'):]
    elif not os.path.exists(os.path.join(root, 'src', name)):
        return 'is not a header of ours (foreign ones take <>)'
    target, target_adapter = unit_of('src/' + name)
    if target not in LAYERS:
        return 'lies in no layer'
    if LAYERS.index(target) > LAYERS.index(layer):
        return '%s may not see %s' % (layer, target)
    if layer == 'cli' and target != 'cli':
        return 'the tool sees <sealmq/...> and its own headers only'
    # what adapters of one library share; how libraries are loaded is for all of them
    shared = 'common_' + adapter.split('_')[-1] if adapter else None
    if target == 'adapters' and layer == 'adapters' and target_adapter not in (adapter, shared, 'common_loader'):
        return 'adapters do not see each other'
    return None


def refuse_angled(root, path, layer, adapter, name):
    if name.startswith('sealmq/'):
        header = name[len('sealmq/'):]
        if not os.path.exists(os.path.join(root, 'include', name)):
            return 'no such public header'
        lowest = PUBLIC.get(header, 'app')
        return None if LAYERS.index(lowest) <= LAYERS.index(layer) else '%s may not see <%s>' % (layer, name)
    allowed = LIBC_PURE if layer in PURE else LIBC_APP if layer == 'app' else LIBC
    if name in allowed:
        return None
    if CBOR.fullmatch(name):
        return None if path == CBOR_PLACE else 'libcbor is for %s alone' % CBOR_PLACE
    if layer == 'adapters' and adapter:
        kind = adapter.split('_')[-1]
        if kind not in FOREIGN:
            return 'adapter %s names no known library (see FOREIGN)' % adapter
        if FOREIGN[kind] and FOREIGN[kind].fullmatch(name):
            return None
        return 'not the library of adapter %s' % adapter
    return 'not allowed in %s' % layer


def check_src(root):
    for path in sources(root, 'src'):
        layer, adapter = unit_of(path)
        if layer not in LAYERS:
            yield '%s: lies in no layer' % path
            continue
        for line, what in includes(os.path.join(root, path)):
            match = re.fullmatch(r'"([^"]+)"|<([^>]+)>', what)
            if not match:
                why = 'an include that cannot be read'
            elif match.group(1):
                why = refuse_quoted(root, path, layer, adapter, match.group(1))
            else:
                why = refuse_angled(root, path, layer, adapter, match.group(2))
            if why:
                yield '%s:%d: %s: %s' % (path, line, what, why)


def check_outside(root, top, allowed, own, extra=None):
    """Public headers and examples: <sealmq/...>, a few of libc, nothing of src."""
    for path in sources(root, top):
        for line, what in includes(os.path.join(root, path)):
            match = re.fullmatch(r'<([^>]+)>', what)
            name = match.group(1) if match else ''
            if name in allowed or (extra and extra.fullmatch(name)):
                continue
            if name.startswith('sealmq/') and os.path.exists(os.path.join(root, 'include', name)):
                continue
            if own and os.path.exists(os.path.join(root, os.path.dirname(path), what.strip('"'))):
                continue
            yield '%s:%d: %s: not for %s' % (path, line, what, top)


def compiles_alone(root, compiler, language, header):
    """None, or the compiler's complaint about a file with nothing but this include, twice."""
    text = '#include "%s"\n#include "%s"\n' % (header, header)
    done = subprocess.run(compiler + ['-isystem', '/usr/include/p11-kit-1', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-Wno-unused-function', '-x', language,
                                      '-D_GNU_SOURCE', '-I', root + '/include', '-I', root + '/src', '-'],
                          input=text, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.splitlines() or ['?'])[0]


def check_alone(tap, root):
    public = list(sources(root, 'include/sealmq'))
    private = [path for path in sources(root, 'src') if path.endswith('.h')]
    cc = os.environ.get('CC', 'cc').split()
    found = [(p, compiles_alone(root, cc, 'c', os.path.join(root, p))) for p in public + private]
    bad = ['%s: %s' % row for row in found if row[1]]
    tap.row(not bad, 'all %d headers compile alone in C' % len(found), bad)
    cxx = shutil.which('g++') or shutil.which('clang++')
    if not cxx:
        tap.skip('public headers compile alone in C++', 'no C++ compiler')
        return
    found = [(p, compiles_alone(root, [cxx], 'c++', os.path.join(root, p))) for p in public]
    bad = ['%s: %s' % row for row in found if row[1]]
    tap.row(not bad, 'all %d public headers compile alone in C++' % len(found), bad)


def findings(root):
    yield from check_src(root)
    yield from check_outside(root, 'include', LIBC_PUBLIC, False)
    yield from check_outside(root, 'examples', LIBC, True, EXAMPLES)


PLANTED = [
    # file, line in it, part of the complaint (None: must pass)
    ('src/base/a.c', '#include "core/c.h"', 'base may not see core'),
    ('src/base/a.c', '#include "../core/c.h"', 'relative'),
    ('src/base/a.c', '# include <stdio.h>', 'not allowed in base'),
    ('src/base/a.c', '#include <sealmq/client.h>', 'base may not see'),
    ('src/base/a.c', '#include HEADER', 'cannot be read'),
    ('src/crypto/a.c', '#include <openssl/evp.h>', 'not allowed in crypto'),
    ('src/core/a.c', '#include <time.h>', 'not allowed in core'),
    ('src/core/a.c', '#include <stdlib.h>', 'not allowed in core'),
    ('src/core/a.c', '#include "openssl/evp.h"', 'not a header of ours'),
    ('src/wire/other.c', '#include <cbor.h>', 'libcbor is for'),
    ('src/wire/cbor.c', '#include <cbor.h>', None),
    ('src/app/a.c', '#include <mosquitto.h>', 'not allowed in app'),
    ('src/app/a.c', '#include "adapters/x_sqlite/x.h"', 'app may not see adapters'),
    ('src/adapters/y_openssl/y.c', '#include "adapters/x_sqlite/x.h"', 'do not see each other'),
    ('src/adapters/y_openssl/y.c', '#include "adapters/common_sqlite/x.h"', 'do not see each other'),
    ('src/adapters/y_sqlite/y.c', '#include "adapters/common_sqlite/x.h"', None),
    ('src/adapters/y_openssl/y.c', '#include "adapters/common_loader/x.h"', None),
    ('src/adapters/y_openssl/y.c', '#include <sqlite3.h>', 'not the library of'),
    ('src/adapters/y_openssl/y.c', '#include <openssl/evp.h>', None),
    ('src/adapters/y_magic/y.c', '#include <magic.h>', 'names no known library'),
    ('src/adapters/x_sqlite/x.c', '#include "x.h"', None),
    ('src/lib/a.c', '#include <openssl/evp.h>', 'not allowed in lib'),
    ('src/lib/a.c', '#include "adapters/x_sqlite/x.h"', None),
    ('src/cli/a.c', '#include "core/c.h"', 'its own headers only'),
    ('src/cli/a.c', '#include <mosquitto.h>', 'not allowed in cli'),
    ('src/cli/a.c', '#include <sealmq/client.h>', None),
    ('src/cli/a.c', '#include <sealmq/secret.h>', 'no such public header'),
    ('src/misc/a.c', 'int x;', 'lies in no layer'),
    ('src/base/a.c', '/* #include <stdio.h> */', None),
    ('include/sealmq/z.h', '#include "base/b.h"', 'not for include'),
    ('include/sealmq/z.h', '#include <stdio.h>', 'not for include'),
    ('examples/e.c', '#include "core/c.h"', 'not for examples'),
    ('examples/e.c', '#include <sealmq/client.h>', None),
]


def plant(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text + '\n')


def self_test(tap):
    for path, line, want in PLANTED:
        with tempfile.TemporaryDirectory() as root:
            for empty in ('src/base/b.h', 'src/core/c.h', 'src/adapters/x_sqlite/x.h', 'src/adapters/common_sqlite/x.h',
                          'src/adapters/common_loader/x.h', 'include/sealmq/client.h'):
                plant(root, empty, '')
            plant(root, path, line)
            got = list(findings(root))
            good = not got if want is None else len(got) == 1 and want in got[0]
            tap.row(good, 'planted %s: %s' % (path, line.lstrip('#')), got or ['nothing found'])
    with tempfile.TemporaryDirectory() as root:
        plant(root, 'include/sealmq/z.h', 'smq_span lonely(void);')
        complaint = compiles_alone(root, ['cc'], 'c', root + '/include/sealmq/z.h')
        tap.row(complaint is not None, 'planted header that does not compile alone')


def main(argv):
    tap = Tap()
    if argv[1:] == ['--self-test']:
        self_test(tap)
        return tap.end()
    root = os.path.abspath(argv[1])
    bad = list(findings(root))
    tap.row(not bad, 'includes follow the layers', bad)
    check_alone(tap, root)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main(sys.argv))
