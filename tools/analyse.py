#!/usr/bin/env python3
"""Every file of src/ under a compiler's analyzer: analyse.py BUILD_DIR gcc|clang|tidy

A finding is answered in tools/analyse_answers.txt, or it fails the run; so does an answer to which there is no finding
any more. Before anything else the tool must find a bug that is planted for it.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

TOOLS = {
    'gcc': ['gcc', '-O1', '-fanalyzer', '-c', '-o', '/dev/null'],
    'clang': ['clang', '--analyze', '-Xclang', '-analyzer-output=text', '-Xclang',
              '-analyzer-checker=core,deadcode,unix,security.insecureAPI.UncheckedReturn,nullability', '-o', '/dev/null'],
    'tidy': ['clang-tidy', '--quiet', '--config-file=' + os.path.abspath('.clang-tidy')],
}
PLANTED = '''#include <stdlib.h>
char *planted(int n);
char *planted(int n)
{
\tchar *p = malloc(4);
\tif (!p)
\t\treturn p;
\tif (n)
\t\tfree(p);
\tp[0] = 2;
\treturn p;
}
'''
# Clang's analyzer, which would see that one, is left to the tool of its name.
PLANTED_FOR_TIDY = '''int planted(int n);
int planted(int n)
{
\tint i = 0;
\twhile (i < n)
\t\t;
\treturn i;
}
'''
FINDING = re.compile(r'^(\S+?\.[ch]):(\d+):\d+: (?:warning|error): (.*) \[(-Wanalyzer-)?([\w.,-]+)\]$', re.M)


def run(tool, path, flags, cwd):
    words = TOOLS[tool]
    command = words + [path, '--'] + flags if tool == 'tidy' else words + flags + [path]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    text = done.stdout + done.stderr
    return [(os.path.normpath(os.path.join(cwd, m[1])), int(m[2]), m[3], m[5]) for m in FINDING.finditer(text)], text


def sources(build):
    for entry in json.load(open(os.path.join(build, 'compile_commands.json'))):
        path = os.path.normpath(os.path.join(entry['directory'], entry['file']))
        if os.path.relpath(path, os.getcwd()).startswith('src' + os.sep) and path.endswith('.c'):
            words = shlex.split(entry['command'])[1:]
            yield path, [w for w in words if w.startswith(('-I', '-D', '-std'))], entry['directory']


def finds_the_planted(tool):
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, 'planted.c')
        with open(path, 'w') as f:
            f.write(PLANTED_FOR_TIDY if tool == 'tidy' else PLANTED)
        found, text = run(tool, path, ['-std=gnu11'], place)
        if not found:
            print(f'analyse: {tool} does not find what is planted for it:\n{text}', file=sys.stderr)
        return bool(found)


def answers(tool):
    """{(path, check, line of source)}: each with its reason."""
    ret = {}
    for number, row in enumerate(open('tools/analyse_answers.txt'), 1):
        if not row.strip() or row.startswith('#'):
            continue
        parts = [p.strip() for p in row.rstrip('\n').split(' || ')]
        if len(parts) < 5:
            sys.exit(f'tools/analyse_answers.txt:{number}: TOOL || FILE || CHECK || LINE OF SOURCE || REASON')
        if parts[0] == tool:
            ret[(parts[1], parts[2], ' || '.join(parts[3:-1]))] = parts[-1]
    return ret


def main():
    build, tool = sys.argv[1], sys.argv[2]
    if not finds_the_planted(tool):
        return 1
    seen, jobs = {}, {path: (flags, cwd) for path, flags, cwd in sources(build)}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for found, _ in pool.map(lambda item: run(tool, item[0], *item[1]), jobs.items()):
            for path, line, text, check in found:
                path = os.path.relpath(path, os.getcwd())
                if not path.startswith(('src', 'include')):
                    continue
                source = open(path, encoding='utf-8').read().split('\n')[line - 1].strip()
                seen[(path, check, source)] = f'{path}:{line}: {text} [{check}]'
    known = answers(tool)
    bad = 0
    for key, text in sorted(seen.items()):
        if key not in known:
            print(f'{text}\n    {key[2]}')
            bad = 1
    for key in sorted(known):
        if key not in seen:
            print('answered, but not found any more: ' + ' || '.join((tool,) + key))
            bad = 1
    print(f'# {tool}: {len(jobs)} files, {len(seen)} findings, {sum(k in known for k in seen)} of them answered')
    return bad


if __name__ == '__main__':
    sys.exit(main())
