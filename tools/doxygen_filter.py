#!/usr/bin/env python3
"""Shows our plain comments to doxygen in its own spelling; the headers themselves stay free of it.

usage: doxygen_filter.py HEADER     prints the header
"""
import re
import sys

COMMENT = re.compile(r'/\*(?![*<])(.*?)\*/', re.S)


def escape(text):
    """What doxygen would take for commands or markup. @ and \\ begin commands, < and # are HTML and links."""
    return re.sub(r'([\\@<>#&%])', r'\\\1', text)


def block(text):
    """A block of more than one line: tables and code, indented in our headers, stay as they are."""
    out, code = [], False
    for line in text.split('\n'):
        bare = re.sub(r'^[ \t]*\*[ ]?', '', line)
        indented = bare.startswith('    ') and bare.strip()
        if indented and not code:
            out.append('@verbatim')
        if not indented and code and bare.strip():
            out.append('@endverbatim')
        code = bool(indented) or (code and not bare.strip())
        out.append(bare if code else escape(bare))
    if code:
        out.append('@endverbatim')
    return '\n'.join(out)


def convert(text):
    def one(match):
        start = text.rfind('\n', 0, match.start()) + 1
        before = text[start:match.start()]
        body = match.group(1)
        if match.start() == 0:
            return '/** @file\n%s*/' % block(body)
        if re.match(r'\s*----', body):
            return match.group(0)
        if before.strip():
            return '/**< %s */' % escape(re.sub(r'\n[ \t]*\*', '\n', body)).strip()
        return '/** %s*/' % (block(body) if '\n' in body else escape(body))
    return COMMENT.sub(one, text)


if __name__ == '__main__':
    with open(sys.argv[1], encoding='utf-8') as file:
        sys.stdout.write(convert(file.read()))
