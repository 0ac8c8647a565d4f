#!/usr/bin/env python3
"""`sealmq inspect` held against another CBOR reader, another HKDF and another AEAD library.

usage: test_inspect.py SEALMQ SEAL_GROUP ROOT

Nothing here comes from SealMQ but the bytes: the content key is derived again from the group's key file by the text of
PROTOCOL.md 3.4 and 6.1, and the expanded COSE_Encrypt0 is opened with python3-cryptography by that of RFC 9052.
"""
import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile

SEALMQ, SEAL, ROOT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
except ImportError:
    print('1..0 # SKIP python3-cryptography is not installed')
    sys.exit(0)

TAP = Tap()
ALGORITHMS = {1: ('A128GCM', 16, AESGCM), 3: ('A256GCM', 32, AESGCM), 24: ('ChaCha20-Poly1305', 32, ChaCha20Poly1305)}


# ---- a small CBOR of our own ----

def head(major, n):
    for size, info in ((0, None), (1, 24), (2, 25), (4, 26), (8, 27)):
        if size == 0 and n < 24:
            return bytes([major << 5 | n])
        if size and n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, 'big')
    raise ValueError


def enc(item):
    if item is None:
        return b'\xf6'
    if isinstance(item, bool):
        return b'\xf5' if item else b'\xf4'
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    return head(4, len(item)) + b''.join(enc(i) for i in item)


def dec(data):
    """One item and what follows it. Tags become ('tag', n, item)."""
    major, info, data = data[0] >> 5, data[0] & 31, data[1:]
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    n, data = (int.from_bytes(data[:size], 'big'), data[size:]) if size else (info, data)
    if major == 0:
        return n, data
    if major == 1:
        return -1 - n, data
    if major == 2:
        return data[:n], data[n:]
    if major == 3:
        return data[:n].decode(), data[n:]
    if major == 4:
        items = []
        for _ in range(n):
            item, data = dec(data)
            items.append(item)
        return items, data
    if major == 5:
        pairs = {}
        for _ in range(n):
            key, data = dec(data)
            pairs[key], data = dec(data)
        return pairs, data
    item, data = dec(data)
    return ('tag', n, item), data


# ---- the specification, once more ----

def expand(prk, info, length):
    return hmac.new(prk, info + b'\x01', hashlib.sha256).digest()[:length]


def schedule(group, sender_id, boot_id):
    """Context digest, key and base IV of a sender, from the key file's fields."""
    alg, (name, key_len, _) = next((i, row) for i, row in ALGORITHMS.items() if row[0] == group['algorithm'][0])
    realm, label, epoch = group['realm'][0], group['group'][0], int(group['epoch'][0])
    prk = hmac.new(b'', bytes.fromhex(group['secret'][0]), hashlib.sha256).digest()
    traffic = expand(prk, enc(['sealmq1 traffic', realm, label, epoch, None, 32]), 32)
    context = [1, alg, realm, label, group['member'][sender_id], '', 2, epoch, None, sender_id, bytes(32), boot_id]
    digest = hashlib.sha256(enc(context)).digest()
    key = expand(traffic, enc(['sealmq1 key', digest, key_len]), key_len)
    return digest, key, expand(traffic, enc(['sealmq1 iv', digest, 12]), 12)


def read_key_file(path):
    fields = {}
    with open(path, encoding='utf-8') as file:
        for line in file:
            word, value = line.rstrip('\n').split(' ', 1)
            fields.setdefault(word, []).append(value)
    return fields


# ---- running the tool ----

def run(args, text=''):
    done = subprocess.run(args, input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def inspect(message, *args):
    return run([SEALMQ, 'inspect', '--hex', *args, '-'], message)


def check_open(directory, algorithm, topic, plain, counter, stamp, form):
    what = '%s, %s, counter %s, %s%s' % (algorithm, form, counter, 'topic of %d bytes' % len(topic),
                                        ', stamped' if stamp != '-' else '')
    path = os.path.join(directory, 'groups', 'g-%s.key' % algorithm)
    group = read_key_file(path)
    _, message, _ = run([SEAL, path, 'archive', topic, plain, counter, stamp, form])
    status, out, err = inspect(message, '--cose', '--realm', directory, '--topic', topic, '--insecure-reveal-key')
    if not TAP.row(status == 0, 'inspect opens it: ' + what, [err]):
        return
    shown = json.loads(out)

    digest, key, base_iv = schedule(group, 1, bytes.fromhex(shown['boot_id']))
    TAP.row(shown['insecure_key'] == key.hex() and shown['insecure_base_iv'] == base_iv.hex(),
            'the key schedule gives the same key and IV: ' + what)

    tag, rest = dec(bytes.fromhex(shown['cose_encrypt0']))
    protected, unprotected, ciphertext = tag[2]
    alg = dec(protected)[0][1]
    iv = (int.from_bytes(base_iv, 'big') ^ int.from_bytes(unprotected[6], 'big')).to_bytes(12, 'big')
    short = topic if len(topic.encode()) <= 512 else hashlib.sha256(topic.encode()).digest()
    external = enc([digest, short, unprotected.get(-65537), False])
    aad = enc(['Encrypt0', protected, external])
    good = (tag[:2] == ('tag', 16) and not rest and ALGORITHMS[alg][0] == algorithm and
            list(unprotected) == [4, 6] + ([-65537] if stamp != '-' else []))
    TAP.row(good, 'it is a COSE_Encrypt0: ' + what, [shown['cose_encrypt0']])
    TAP.row(shown['external_aad'] == external.hex() and shown['enc_structure'] == aad.hex() and
            shown['nonce'] == iv.hex(), 'AAD and nonce are those of the specification: ' + what)
    opened = ALGORITHMS[alg][2](key).decrypt(iv, ciphertext, aad)
    TAP.row(opened.decode() == plain and shown['plaintext_hex'] == opened.hex(),
            'another library opens it: ' + what)

    full = dec(bytes.fromhex(shown['cose_full_iv']))[0][2]
    again = ALGORITHMS[alg][2](key).decrypt(full[1][5], full[2], enc(['Encrypt0', full[0], external]))
    TAP.row(again == opened and 6 not in full[1], 'and the variant with the full IV: ' + what)


def check_refusals(directory):
    path = os.path.join(directory, 'groups', 'g-A128GCM.key')
    _, message, _ = run([SEAL, path, 'archive', 'plant/a', 'secret words', '5', '-', 'compact'])
    with open(path, encoding='utf-8') as file:
        secret = file.read().split('secret ')[1].strip()
    bad = message.strip()[:-1] + ('0' if message.strip()[-1] != '0' else '1')
    rows = [
        ('another topic', message, ['--realm', directory, '--topic', 'plant/b'], 80, 'does not open'),
        ('a flipped bit', bad, ['--realm', directory, '--topic', 'plant/a'], 80, 'does not open'),
        ('a session', '8011223344' + '00' * 20, ['--realm', directory, '--topic', 'a'], 81, 'session'),
        ('no such realm', message, ['--realm', directory + '/none', '--topic', 'a'], 81, 'no group'),
        ('plain text', '68656c6c6f', [], 84, 'plain payload'),
        ('nothing', '', [], 84, 'plain payload'),
        ('half a byte', '8', [], None, 'hexadecimal'),
        ('no topic', message, ['--realm', directory], None, '--topic'),
        ('a key without a realm', message, ['--insecure-reveal-key'], None, '--realm'),
    ]
    for what, text, args, want, word in rows:
        status, out, err = inspect(text, *args)
        good = (status == want if want else status != 0) and word in err and err.count('\n') == 1
        TAP.row(good and 'secret words' not in out + err and secret not in out + err, 'refused: ' + what,
                [str(status), out, err])
    os.chmod(path, 0o640)
    status, _, err = inspect(message, '--realm', directory, '--topic', 'plant/a')
    TAP.row(status == 88 and err.count('\n') == 1, 'refused: a key file that the group can read', [str(status), err])
    os.chmod(path, 0o600)
    os.rename(path, path + '.away')
    os.symlink(path + '.away', path)
    status, _, err = inspect(message, '--realm', directory, '--topic', 'plant/a')
    TAP.row(status == 88 and err.count('\n') == 1, 'refused: a key file that is a symlink', [str(status), err])


def check_group(directory):
    path = os.path.join(directory, 'groups', 'g-A128GCM.key')
    group = [SEALMQ, 'group']
    before = read_key_file(path)
    args = ['--realm', directory, '--members', 'archive,desk']
    TAP.row(run(group + ['create', 'g-A128GCM'] + args)[0] != 0 and read_key_file(path) == before,
            'create replaces nothing')
    status, out, err = run(group + ['next', 'g-A128GCM'] + args)
    after = read_key_file(path)
    TAP.row(status == 0 and after['epoch'] == ['2'] and after['secret'] != before['secret'] and
            after['member'] == ['archive', 'desk'] and os.stat(path).st_mode & 0o777 == 0o600,
            'next gives the next epoch and a new secret', [out, err])
    TAP.row(sorted(os.listdir(os.path.dirname(path))) == sorted('g-%s.key' % row[0] for row in ALGORITHMS.values()),
            'nothing else is left in the directory')
    for what, extra in (('name', ['create', 'a b'] + args), ('member twice', ['create', 'x'] + args[:2] + ['--members', 'a,a']),
                        ('filter', ['create', 'x', '--filter', 'a/#/b'] + args),
                        ('algorithm', ['create', 'x', '--algorithm', 'DES'] + args),
                        ('realm', ['create', 'x', '--realm', directory + '/none', '--members', 'a']),
                        ('next of none', ['next', 'x'] + args)):
        status, out, err = run(group + extra)
        TAP.row(status != 0 and not out and err.count('\n') == 1, 'group refuses: ' + what, [str(status), out, err])


def main():
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, 'realm.yaml'), 'w', encoding='utf-8') as file:
            file.write('realm: plant\n')
        for name, _, _ in ALGORITHMS.values():
            run([SEALMQ, 'group', 'create', 'g-' + name, '--realm', directory, '--members', 'fridge-07,archive',
                 '--algorithm', name])
        for name, _, _ in ALGORITHMS.values():
            check_open(directory, name, 'plant/a', '{"t": 13.1}', '0', '-', 'compact')
            check_open(directory, name, 'plant/ä', 'x' * 300, '65536', '1795259500123', 'cose')
        check_open(directory, 'A128GCM', 't' * 512, '', '4294967295', '-', 'compact')
        check_open(directory, 'A128GCM', 't' * 513, '1', '256', '-', 'compact')
        check_group(directory)
        check_refusals(directory)
    return TAP.end()


sys.exit(main())
