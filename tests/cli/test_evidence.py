#!/usr/bin/env python3
"""evidence: what was stored is verified by a third party, with our tool and with openssl alone; and whatever is changed
in the file is found, each with its own reason.

usage: test_evidence.py SEALMQ ROOT
"""
import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time

from record_rig import ROOT, TAP, play, wait

LINES = ['{"n":%d,"kwh":%.2f}' % (n, 5 + n / 100) for n in range(40)]


# ---- just enough CBOR to change a file ----

def item(data, at):
    """The item at a place and where it ends."""
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        return {20: False, 21: True, 22: None}[info], at
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    value = int.from_bytes(data[at:at + size], 'big') if size else info
    at += size
    if major == 0:
        return value, at
    if major == 1:
        return -1 - value, at
    if major in (2, 3):
        raw = data[at:at + value]
        return (bytes(raw) if major == 2 else raw.decode()), at + value
    if major == 4:
        out = []
        for _ in range(value):
            one, at = item(data, at)
            out.append(one)
        return out, at
    raise ValueError('major %d' % major)


def head(major, value):
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, 'big')
    raise ValueError(value)


def encode(value):
    if value is None:
        return b'\xf6'
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return head(0, value)
    return head(4, len(value)) + b''.join(encode(v) for v in value)


def read(path):
    with open(path, 'rb') as file:
        data = file.read()
    items, at = [], 0
    while at < len(data):
        one, at = item(data, at)
        items.append(one)
    return items


def write(path, items):
    """With an end that fits: whoever changes a file can do that."""
    body = b''.join(encode(i) for i in items[:-1])
    with open(path, 'wb') as file:
        file.write(body + encode([6, sum(i[0] == 5 for i in items), hashlib.sha256(body).digest()]))
    return path


def kind(items, number):
    return [n for n, i in enumerate(items) if i[0] == number]


def flip(raw, at=-1):
    out = bytearray(raw)
    out[at] ^= 1
    return bytes(out)


# ---- scenes ----

def record_some(w, store, *more):
    """Messages under checkpoints of aud-1, signed ones of aud-2, both with and without stamps, one by nobody."""
    recorder = w.recorder(store, '--evidence', '-i', 'rec', '-d', *more)
    TAP.row(wait(lambda: w.run('query', 'counts', '--store', store).returncode == 0), 'the recorder is there')
    wait(lambda: 'received SUBACK' in w.said(recorder))
    w.pub('aud-1', LINES[:30], None, '--sign', 'checkpoint')
    w.pub('aud-2', LINES[:5], None, '--sign', 'every')
    w.pub('aud-1', LINES[30:35], None, '--sign', 'checkpoint', '--stamp')
    w.pub('aud-2', LINES[5:7], 'audit/aud-2/"odd", name', '--sign', 'every', '--stamp')
    w.pub('aud-2', LINES[7:8])
    good = wait(lambda: w.stored(store) == 43 and sum(
        int(r.split(',')[2]) for r in w.rows(store, 'counts') if ',proven,' in r) == 42)
    TAP.row(good, 'all are stored, and proven but for one', w.rows(store, 'counts') + [w.said(recorder)])
    w.stop(recorder)


def verify(w, file, *more, ca=None):
    done = w.run('evidence', 'verify', file, '--ca', ca or w.path('plant', 'root.crt'), '--json', *more)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done, [line for line in lines if 'verdict' in line]


def older(w, store):
    """A store as it was before it kept evidence."""
    recorder = w.recorder(store, '-i', 'old')
    wait(lambda: w.run('query', 'counts', '--store', store).returncode == 0)
    time.sleep(0.5)
    w.stop(recorder)
    with contextlib.closing(sqlite3.connect(store)) as db:
        for table in ('certificates', 'crls', 'streams', 'seals', 'checkpoints'):
            db.execute('DROP TABLE ' + table)
        db.execute('DROP INDEX readings_provisional')
        db.execute('PRAGMA user_version = 1')


def export(w):
    """Exported and verified: everything that was proven, nothing else, with the very records."""
    w.must('ca', 'crl', '--ca', 'plant')
    store = w.path('a.db')
    older(w, store)
    record_some(w, store)
    out = w.must('evidence', 'export', 'all.evidence', '--store', store)
    TAP.row('42 messages' in out and 'nobody proves them: 1' in out, 'what is proven is exported, the rest counted', [out])
    TAP.row(os.stat(w.path('all.evidence')).st_mode & 0o777 == 0o600, 'closed to others: it holds keys')
    done, rows = verify(w, 'all.evidence')
    TAP.row(done.returncode == 0 and len(rows) == 42 and {r['verdict'] for r in rows} == {'proven'},
            'and verified under the root', [done.stderr, str(rows[:1])])
    got = sorted((r['sender'], r['record']) for r in rows)
    wanted = sorted([('aud-1', t) for t in LINES[:35]] + [('aud-2', t) for t in LINES[:7]])
    TAP.row(got == wanted, 'the records are the very ones that were sent', [str(got[:3])])
    crl = hashlib.sha256(open(w.path('plant', 'crl.pem'), 'rb').read()).hexdigest()
    TAP.row({r['crl'] for r in rows} == {crl} and all(r['crl_number'] for r in rows),
            'each with the revocation list of its time', [str(rows[0])])
    TAP.row(sorted({(r['sender'], r['proof']) for r in rows}) == [('aud-1', 'checkpoint'), ('aud-2', 'signature')],
            'and with what proves it')
    out = w.must('evidence', 'verify', 'all.evidence', '--ca', w.path('plant', 'root.crt'), '--records')
    TAP.row('42 of 42 messages proven' in out and LINES[3] in out, 'in words too', [out[:300]])
    for words, count in ((('--sender', 'aud-2'), 7), (('--topic', 'audit/aud-1/energy'), 35), (('--limit', '3'), 3),
                         (('--from', '1h'), 42), (('--sender', 'aud-1', '--to', '1h'), None), (('--sender', 'no'), None)):
        done = w.run('evidence', 'export', 'some.evidence', '--store', store, *words, '--json')
        if count is None:
            TAP.row(done.returncode and 'no proven message' in done.stderr, 'nothing selected: ' + ' '.join(words), [done.stderr])
        else:
            good = done.returncode == 0 and json.loads(done.stdout)['messages'] == count and verify(w, 'some.evidence')[0].returncode == 0
            TAP.row(good, 'selected: ' + ' '.join(words), [done.stdout, done.stderr])


def changed(w):
    """Whatever is changed is found, by whoever can make the file's end fit again."""
    base = read(w.path('all.evidence'))
    messages = kind(base, 5)
    covered = next(n for n in messages if not isinstance(base[n][7][0], bytes))
    signed = next(n for n in messages if isinstance(base[n][7][0], bytes))
    check_at = kind(base, 4)[base[covered][7][0]]
    certificates = kind(base, 1)

    def edit(name, at, change, reason, **more):
        items = json_copy(base)
        change(items)
        write(w.path('changed.evidence'), items)
        done, rows = verify(w, 'changed.evidence', **more)
        number = messages.index(at) if at in messages else 0
        found = rows[number]['verdict'] if len(rows) > number else done.stderr
        TAP.row(done.returncode != 0 and found == reason, '%s: %s' % (name, reason), [found, done.stderr, str(done.returncode)])

    def set_at(n, field, value):
        return lambda items: items[n].__setitem__(field, value)

    def set_proof(n, field, value):
        return lambda items: items[n][7].__setitem__(field, value)
    edit('a covered record changed', covered, set_at(covered, 6, flip(base[covered][6], 0)), 'altered')
    edit('a signed record changed', signed, set_at(signed, 6, flip(base[signed][6], 0)), 'altered')
    edit('another topic', signed, set_at(signed, 3, 'audit/aud-1/energy'), 'altered')
    edit('another counter', covered, set_at(covered, 2, base[covered][2] + 1), 'altered')
    edit('a stamp added', signed, set_at(signed, 4, 5), 'altered')
    edit('another sender in the context', signed, lambda items: items[kind(items, 3)[base[signed][1]]].__setitem__(
        1, base[kind(base, 3)[base[signed][1]]][1].replace(b'aud-2', b'aud-1')), 'altered')
    edit('the signature changed', signed, set_proof(signed, 0, flip(base[signed][7][0])), 'signature')
    edit('the certificate of another', signed, set_proof(signed, 1, 1 - base[signed][7][1]), 'swapped-certificate')
    edit('the checkpoint said to be of another', covered, set_at(check_at, 2, 1 - base[check_at][2]), 'swapped-certificate')
    edit('a checkpoint with another digest', covered, set_at(check_at, 4, base[check_at][4].replace(
        first_digest(base[check_at][4]), flip(first_digest(base[check_at][4])))), 'altered')
    edit('the checkpoint signature changed', covered, set_at(check_at, 4, flip(base[check_at][4])), 'signature')
    edit('the checkpoint taken away', covered, set_at(covered, 7, []), 'no-checkpoint')
    edit('another checkpoint named', covered, set_at(covered, 7, [len(kind(base, 4)) - 1 - base[covered][7][0]]), 'no-checkpoint')
    year = 365 * 86400 * 1000
    for name, by, reason in (('after', year, 'expired'), ('before', -year, 'not-yet-valid')):
        def change(items, moved=base[signed][5] + by):
            items[signed][5], items[signed][7][2] = moved, None
        edit('received long ' + name, signed, change, reason)
    edit('received when the list had ended', signed, set_at(signed, 5, base[signed][5] + 10 * 86400 * 1000), 'no-current-list')
    w.must('ca', 'init', 'rogue', '--realm', 'plant')
    edit('the root of another authority', signed, lambda items: None, 'wrong-ca', ca=w.path('rogue', 'root.crt'))
    w.must('ca', 'issue', 'aud-2', '--ca', 'rogue')
    with open(w.path('rogue', 'members', 'aud-2', 'member.crt'), encoding='utf-8') as file:
        pem = file.read().split('-----BEGIN CERTIFICATE-----')[1].split('-----END')[0]
    import base64
    der = base64.b64decode(pem)
    edit('a certificate of another authority', signed, lambda items: items[certificates[base[signed][7][1]]].__setitem__(
        1, b'\xa1\x18\x21' + encode(der)), 'wrong-ca')
    w.must('ca', 'renew', 'aud-2', '--ca', 'plant')
    with open(w.path('plant', 'members', 'aud-2', 'member.pem'), encoding='utf-8') as file:
        der = base64.b64decode(file.read().split('-----BEGIN CERTIFICATE-----')[1].split('-----END')[0])
    edit('another certificate of the same name', signed, lambda items: items[certificates[base[signed][7][1]]].__setitem__(
        1, b'\xa1\x18\x21' + encode(der)), 'signature')


def first_digest(document):
    """In a COSE_Sign1 of a checkpoint, the first of its digests: behind the stream, the counter and a length."""
    found = re.search(rb'\x83\x58\x20.{32}(?:[\x00-\x17]|\x18.|\x19..)(?:\x58.|\x59..)(.{32})', document, re.S)
    return found.group(1)


def json_copy(items):
    return [json_copy(i) if isinstance(i, list) else i for i in items]


def spoilt(w):
    """Files that are not what was written, as a whole."""
    with open(w.path('all.evidence'), 'rb') as file:
        data = file.read()
    items = read(w.path('all.evidence'))
    made = bytearray(data)
    made[len(encode(items[0])) - 1] ^= 1
    root = w.path('plant', 'root.crt')
    end = len(data) - len(encode(items[-1]))
    for name, content, said in (('cut off within its end', data[:-10], 'cut off'), ('cut off before its end', data[:end], 'cut off'),
                                ('cut off within a message', data[:end - 30], 'cut off'), ('empty', b'', 'no evidence'),
                                ('something else', b'SQLite format 3', 'no evidence'),
                                ('more behind its end', data + b'\x00', 'after'), ('its time changed', bytes(made), 'something else in it')):
        with open(w.path('spoilt.evidence'), 'wb') as file:
            file.write(content)
        done = w.run('evidence', 'verify', 'spoilt.evidence', '--ca', root)
        TAP.row(done.returncode not in (0, 139) and said in done.stderr and done.stderr.count('\n') == 1,
                'a file %s is refused' % name, [done.stderr])
    done = w.run('evidence', 'verify', 'all.evidence', '--ca', root, '--realm-name', 'other')
    TAP.row(done.returncode and 'another realm' in done.stderr, 'another realm is refused', [done.stderr])
    for words, said in ((('verify', 'all.evidence'), '--ca'), (('export', 'x'), '--store'), (('unpack', 'x'), 'directory'), ((), 'export'),
                        (('verify', 'none', '--ca', root), 'none'), (('verify', 'all.evidence', '--ca', 'all.evidence'), 'authority'),
                        (('export', 'x', '--store', 'none.db'), 'none.db'), (('verify', 'a', 'b'), 'one file')):
        done = w.run('evidence', *words)
        TAP.row(done.returncode and said in done.stderr and done.stderr.count('\n') == 1, 'wrong use in one line: ' + ' '.join(words),
                [done.stderr])


def revoked(w):
    """By the lists in the file, who was revoked then is refused; by later ones, who was revoked before a message came."""
    items = read(w.path('all.evidence'))
    w.must('ca', 'revoke', 'aud-1', '--ca', 'plant', '--reason', 'key-compromise')
    later = w.path('plant', 'crl.pem')
    done, rows = verify(w, 'all.evidence', '--crl', later)
    TAP.row(done.returncode == 0 and len(rows) == 42, 'revoked later: what came before is proven still', [done.stderr])
    late = json_copy(items)
    for n in kind(late, 4):
        late[n][1] += 7200000
    done, rows = verify(w, write(w.path('late.evidence'), late), '--crl', later)
    bad = {r['sender'] for r in rows if r['verdict'] == 'revoked'}
    TAP.row(done.returncode and bad == {'aud-1'} and len({r['verdict'] for r in rows}) == 2,
            'received after it was revoked, by a later list: revoked', [str({r['verdict'] for r in rows}), done.stderr])
    swapped = json_copy(items)
    with open(later, 'rb') as file:
        pem = file.read()
    for n in kind(swapped, 2):
        swapped[n][1] = pem
    for n in kind(swapped, 4):
        swapped[n][1] += 7200000
    done, rows = verify(w, write(w.path('late.evidence'), swapped))
    bad = {r['sender'] for r in rows if r['verdict'] == 'revoked'}
    TAP.row(done.returncode and bad == {'aud-1'}, 'on the list that was in force: revoked', [done.stderr, str(rows[:1])])
    none = json_copy(items)
    for n in kind(none, 4):
        none[n][3] = None
    for n in kind(none, 5):
        if len(none[n][7]) == 3:
            none[n][7][2] = None
    write(w.path('none.evidence'), none)
    out = w.must('evidence', 'verify', 'none.evidence', '--ca', w.path('plant', 'root.crt'))
    TAP.row('is not known: no list was in use' in out, 'without a list, that is said', [out])


def documented():
    """The commands of doc/FORMATS.md 9.3, in their order."""
    with open(os.path.join(ROOT, 'doc', 'FORMATS.md'), encoding='utf-8') as file:
        section = file.read().split('### 9.3')[1]
    return [block.split('```')[0] for block in section.split('```sh\n')[1:]]


def with_openssl(w, directory, row):
    certificate, signed, ed25519, covered, bound, opened = documented()
    if not row['lists']:
        certificate = certificate.replace('-crl_check_all -CRLfile lists/$lists.pem', '')
    by_key = signed if row['key'] == 'ecdsa' else ed25519
    if row['proof'] == 'checkpoint' and row['key'] == 'ed25519':
        covered = ed25519.replace('messages/$M', 'checkpoints/$checkpoint') + covered.split('\n', 1)[1]
    script = 'set -e -o pipefail\n' + certificate + (by_key if row['proof'] == 'signature' else covered) + bound + opened
    names = dict(row, M=row['message'], ROOT=w.path('plant', 'root.crt'), PATH=os.environ.get('PATH', os.defpath))
    done = subprocess.run(['bash', '-c', script], cwd=directory, env=names, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def unpacked(w):
    """The documented commands, with no tool of ours: they succeed on what was unpacked, and fail on what was changed."""
    directory = w.path('unpacked')
    w.must('evidence', 'unpack', 'all.evidence', directory)
    with open(os.path.join(directory, 'index.csv'), encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    TAP.row(len(rows) == 42, 'a line for each message')
    picked = [next(r for r in rows if r['proof'] == p and ('odd' in r['topic']) == odd)
              for p, odd in (('checkpoint', False), ('signature', False), ('signature', True))]
    for row in picked:
        good, said = with_openssl(w, directory, row)
        TAP.row(good, 'openssl alone: %s of %s on %s' % (row['proof'], row['sender'], row['topic']), [said])
    for row, name in ((picked[1], 'messages/%s.sig'), (picked[1], 'messages/%s.tbs'), (picked[1], 'messages/%s.sealed'),
                      (picked[1], 'messages/%s.record'), (picked[0], 'messages/%s.tbs'), (picked[0], 'checkpoints/%s.tbs')):
        path = os.path.join(directory, name % (row['checkpoint'] if 'checkpoints' in name else row['message']))
        with open(path, 'rb') as file:
            kept = file.read()
        with open(path, 'wb') as file:
            file.write(flip(kept, -20 if 'tbs' in name else 3))
        good, said = with_openssl(w, directory, row)
        TAP.row(not good, 'and not with a changed ' + name % 'N', [said])
        with open(path, 'wb') as file:
            file.write(kept)
    for change in ({'sender': 'aud-1'}, {'topic': 'audit/aud-2/other'}, {'judged': str(int(picked[1]['judged']) + 10 ** 8)}):
        good, said = with_openssl(w, directory, dict(picked[1], **change))
        TAP.row(not good, 'nor with another ' + list(change)[0], [said])
    done = w.run('evidence', 'unpack', 'all.evidence', directory)
    TAP.row(done.returncode and 'there already' in done.stderr, 'a directory that is there is left alone', [done.stderr])
    done = w.run('evidence', 'unpack', 'spoilt.evidence', w.path('half'))
    TAP.row(done.returncode and not os.path.exists(w.path('half')), 'of a spoilt file nothing is left behind', [done.stderr])
    shutil.rmtree(directory)


sys.exit(play([export, changed, spoilt, revoked, unpacked]))
