#!/usr/bin/env python3
"""Refuses what base, crypto, wire and core may not call: anything but memory functions, and libcbor in one place.
app may allocate and format as well; it does no I/O, reads no clock, draws no randomness and knows no foreign library.

usage: check_symbols.py LIBRARY...   the static libraries, lowest layer first; speaks TAP
       check_symbols.py --self-test  plants one violation of each kind and sees it caught

Each library may need only what it, those before it, and the allow-list define; and it may hold no data that can be
written: machines live in their callers' memory.
"""
import os
import re
import subprocess
import sys
import tempfile

from tap import Tap

ALLOWED = {
    'memchr', 'memcmp', 'memcpy', 'memmove', 'memset', 'explicit_bzero', 'bcmp',
    'strchr', 'strcmp', 'strlen', 'strncmp', 'strnlen', 'strcasecmp', 'strncasecmp',
    '__assert_fail', '__stack_chk_fail', '_GLOBAL_OFFSET_TABLE_', '__explicit_bzero_chk',
    '__memcpy_chk', '__memmove_chk', '__memset_chk',
}
ALLOWED_APP = ALLOWED | {
    'calloc', 'free', 'malloc', 'realloc', 'strdup', 'strndup', '__strdup', 'abort',
    'snprintf', 'vsnprintf', '__snprintf_chk', '__vsnprintf_chk', '__errno_location',
    'freelocale', 'newlocale', 'uselocale', 'localeconv', 'strtod', 'strtod_l', 'strtol', 'strtoll', 'strtoul', 'strtoull',
    '__isoc23_strtol', '__isoc23_strtoll', '__isoc23_strtoul', '__isoc23_strtoull', '__ctype_b_loc',
    '__tls_get_addr', 'strcat', '__strcat_chk', 'strcspn', 'strpbrk', 'strsep', 'strncat', 'strrchr', 'strspn', 'strstr', 'stpcpy', '__stpcpy_chk', 'strtok_r',
    'bsearch', 'qsort', 'gmtime_r', 'timegm', 'strftime', 'memmem',
    'ceil', 'exp', 'fabs', 'floor', 'fmod', 'llround', 'log', 'lround', 'pow', 'round', 'sin', 'sqrt', 'trunc',
}
SANITIZERS = re.compile(r'__(asan|ubsan|sanitizer|sancov|gcov|llvm)_|__odr_asan|__start___san|__stop___san')
# The streaming functions only: the others allocate.
CBOR = re.compile(r'cbor_encode_\w+|cbor_stream_decode|cbor_empty_callbacks|cbor_null_\w+_callback')
CBOR_OBJECT = re.compile(r'(^|_|/)cbor\.c\.o$')


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def symbols(library):
    """(object, name, type) of every symbol in an archive, thin ones too."""
    for line in run('nm', '-A', '-P', library).splitlines():
        match = re.match(r'(.*?)[\[:]([^\[\]:]+?)\]?: (\S+) (\w)', line)
        if match:
            yield os.path.basename(match.group(2)), match.group(3), match.group(4)


def check_library(library, known, allowed_cbor):
    """Complaints; adds what the library defines to known."""
    rows = list(symbols(library))
    if not rows:
        yield '%s: no symbols in it' % library
    upper = 'app' in os.path.basename(library)
    known |= {name for _, name, kind in rows if kind in 'TDRBVWGSu'}
    for unit, name, kind in rows:
        if kind not in 'Uw' or name in known or name in (ALLOWED_APP if upper else ALLOWED) or SANITIZERS.match(name):
            continue
        if CBOR.fullmatch(name) and allowed_cbor and CBOR_OBJECT.search(unit):
            continue
        yield '%s(%s) calls %s' % (os.path.basename(library), unit, name)


def sanitized(library):
    return any(SANITIZERS.match(name) for _, name, _ in symbols(library))


def check_data(library):
    """Sections that can be written and are not empty. Sanitizers add some of their own: not asked then."""
    if sanitized(library) or 'app' in os.path.basename(library):
        return
    unit = '?'
    for line in run('readelf', '-SW', library).splitlines():
        if line.startswith('File:'):
            unit = line.split('(')[-1].rstrip(')')
        match = re.match(r'\s*\[ *\d+\] (\.(?:data|bss|tdata|tbss)\S*)\s+\w+\s+\w+ \w+ (\w+)', line)
        if match and int(match.group(2), 16) and not match.group(1).startswith('.data.rel.ro'):
            yield '%s(%s) holds writable data in %s' % (os.path.basename(library), unit, match.group(1))


def check(libraries):
    known = set()
    for library in libraries:
        yield from check_library(library, known, 'wire' in os.path.basename(library))
        yield from check_data(library)


PLANTED = [
    # library, object, C text, part of the complaint (None: must pass)
    ('base', 'a', '#include <stdio.h>\nvoid f(void) { puts("x"); }', 'calls puts'),
    ('base', 'a', '#include <stdlib.h>\nvoid *f(void) { return malloc(3); }', 'calls malloc'),
    ('core', 'a', '#include <time.h>\nlong f(void) { return time(0); }', 'calls time'),
    ('core', 'a', '#include <stdlib.h>\nint f(void) { return rand(); }', 'calls rand'),
    ('core', 'a', 'int f(void) { static int n; return n++; }', 'writable data in .bss'),
    ('core', 'a', 'int n = 3;', 'writable data in .data'),
    ('core', 'a', 'static const char *const t[] = { "a" }; const char *f(int i) { return t[i]; }', None),
    ('core', 'a', '#include <string.h>\nvoid f(char *p, unsigned long n) { memset(p, 0, n); }', None),
    ('core', 'a', '#include <assert.h>\nvoid f(int x) { assert(x); }', None),
    ('core', 'a', 'void above(void); void f(void) { above(); }', 'calls above'),
    ('app', 'a', '#include <stdlib.h>\nvoid *f(void) { return malloc(3); }', None),
    ('app', 'a', '#include <time.h>\nlong f(void) { return time(0); }', 'calls time'),
    ('app', 'a', '#include <stdio.h>\nvoid f(void) { puts("x"); }', 'calls puts'),
    ('app', 'a', 'void sqlite3_open(void); void f(void) { sqlite3_open(); }', 'calls sqlite3_open'),
    ('wire', 'cbor', 'unsigned long cbor_encode_uint(); void f(void) { cbor_encode_uint(); }', None),
    ('wire', 'cbor', 'void *cbor_new_bytestring(void); void f(void) { cbor_new_bytestring(); }', 'calls cbor_new'),
    ('wire', 'other', 'unsigned long cbor_encode_uint(); void f(void) { cbor_encode_uint(); }', 'calls cbor_encode'),
    ('core', 'cbor', 'unsigned long cbor_encode_uint(); void f(void) { cbor_encode_uint(); }', 'calls cbor_encode'),
]


def self_test(tap):
    for layer, unit, text, want in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            source, thing = '%s/%s.c' % (folder, unit), '%s/%s.c.o' % (folder, unit)
            library = '%s/libsmq_%s.a' % (folder, layer)
            with open(source, 'w', encoding='utf-8') as file:
                file.write(text + '\n')
            subprocess.run(['cc', '-O1', '-fPIC', '-w', '-c', source, '-o', thing], check=True)
            subprocess.run(['ar', 'rcs', library, thing], check=True)
            got = list(check([library]))
            good = not got if want is None else len(got) == 1 and want in got[0]
            tap.row(good, 'planted in %s: %s' % (layer, text.splitlines()[-1]), got or ['nothing found'])


def main(argv):
    tap = Tap()
    if argv[1:] == ['--self-test']:
        self_test(tap)
        return tap.end()
    bad = list(check(argv[1:]))
    tap.row(not bad, 'core and below call memory functions only and hold no state; app does no I/O', bad)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main(sys.argv))
