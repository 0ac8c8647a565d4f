#!/usr/bin/env python3
"""Text files as C: one array of bytes each, zero-terminated, named PREFIX and the file's name without .in.

usage: embed.py OUTPUT.c PREFIX FILE...
"""
import os
import re
import sys


def main():
    out, prefix, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(out, 'w', encoding='utf-8') as file:
        for name in names:
            with open(name, 'rb') as text:
                data = text.read() + b'\0'
            word = prefix + re.sub(r'\W', '_', os.path.basename(name).removesuffix('.in').lower())
            file.write('extern const char %s[];\nconst char %s[] = {\n' % (word, word))
            for at in range(0, len(data), 20):
                file.write(','.join('%d' % (byte if byte < 128 else byte - 256) for byte in data[at:at + 20]) + ',\n')
            file.write('};\n')


main()
