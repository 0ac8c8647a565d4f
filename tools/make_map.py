#!/usr/bin/env python3
"""Writes the linker version script of libsealmq from its public headers: what they declare is exported, no more.

usage: make_map.py OUT NODE HEADER...     NODE is the version node, e.g. SEALMQ_0
       make_map.py - - HEADER...          prints the declared names, one a line
"""
import re
import sys

DECLARATION = re.compile(r'\b(smq_[a-z0-9_]+)\s*\(')
DATA = re.compile(r'\bextern\b[^;(]*?\b(smq_[a-z0-9_]+)\s*(?:\[[^]]*\])?\s*;')


def declared(text):
    """Names of the functions and objects that a header declares and does not define itself."""
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    text = re.sub(r'//[^\n]*', ' ', text)
    text = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', '', text, flags=re.M)
    text = re.sub(r'extern\s+"C"\s*\{', ' ', text)
    flat, depth = [], 0
    for char in text:
        if char == '{':
            depth += 1
        elif char == '}':
            depth -= 1
            flat.append(';' if depth == 0 else '')
        elif depth == 0:
            flat.append(char)
    names = set()
    for statement in ''.join(flat).split(';'):
        if re.search(r'\b(static|typedef)\b', statement):
            continue
        match = DECLARATION.search(statement) or DATA.search(statement + ';')
        if match:
            names.add(match.group(1))
    return names


def main(argv):
    out, node, headers = argv[1], argv[2], argv[3:]
    names = set()
    for header in headers:
        with open(header, encoding='utf-8') as file:
            names |= declared(file.read())
    if out == '-':
        print('\n'.join(sorted(names)))
        return 0
    with open(out, 'w', encoding='utf-8') as file:
        file.write('%s {\nglobal:\n%s\nlocal:\n\t*;\n};\n' % (node, '\n'.join('\t%s;' % n for n in sorted(names))))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
