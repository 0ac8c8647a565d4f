#!/usr/bin/env python3
"""Keys in a PKCS#11 token (SoftHSM with a directory of its own): an authority's, and a key server's master key.

usage: test_pkcs11.py SEALMQ ROOT
"""
import glob
import json
import os
import shutil
import socket
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, TAP, Process, free_port, ok, run  # noqa: E402

MODULE = next(iter(glob.glob('/usr/lib/softhsm/libsofthsm2.so') + glob.glob('/usr/lib/*/softhsm/libsofthsm2.so')), None)
PIN, OTHER = '271828', '314159'


class Token:
    """Two tokens, 'plant' and 'other', which nobody else sees."""

    def __init__(self):
        self.room = tempfile.mkdtemp(prefix='sealmq-token-')
        os.mkdir(self.path('tokens'))
        conf = self.write('softhsm.conf', 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n'
                          % self.path('tokens'))
        os.environ['SOFTHSM2_CONF'] = conf
        for label in ('plant', 'other'):
            status, _, err = run('softhsm2-util', '--init-token', '--free', '--label', label, '--pin', PIN, '--so-pin',
                                 OTHER)
            if status:
                raise RuntimeError(err)
        self.pin = self.write('pin', PIN + '\n', 0o600)
        self.wrong = self.write('wrong', OTHER + '\n', 0o600)
        self.uri = 'pkcs11:token=plant?module-path=' + MODULE

    def path(self, *names):
        return os.path.join(self.room, *names)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, mode)) as file:
            file.write(text)
        return path

    def ca(self, *words, pin=None, **env):
        return run(SEALMQ, 'ca', *words, *(('--passphrase-file', pin) if pin else ()), cwd=self.room, **env)

    def foreign(self):
        """A key that somebody else has made."""
        path = self.path('foreign.pem')
        run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', path)
        return path

    def keys(self):
        """What the tokens hold, as often as there are files of it: a pair is two."""
        return len(glob.glob(self.path('tokens', '*', '*.object'))) - 2  # each token has one of its own

    def verified(self, cert, ca='plant'):
        bundle = self.path('bundle')
        with open(bundle, 'wb') as out:
            for name in [self.path(ca, 'root.crt')] + glob.glob(self.path(ca, 'issuers', '*', 'issuing.crt')):
                with open(name, 'rb') as file:
                    out.write(file.read())
        return run('openssl', 'verify', '-x509_strict', '-CAfile', bundle, cert)[0] == 0


def one_line(err):
    return err.count('\n') == 1 and err.startswith('sealmq ')


def an_authority(t):
    status, _, err = t.ca('init', 'plant', '--issuing', '--pkcs11', t.uri, pin=t.pin)
    ok(status == 0 and t.keys() == 4, 'root and issuing authority are made in the token', err)
    with open(t.path('plant/root.key'), encoding='ascii') as file:
        text = file.read()
    ok(text.startswith('pkcs11:') and 'token=plant' in text and 'PRIVATE' not in text and PIN not in text,
       'the file of the root key holds where it is, and nothing else', text)
    ok(os.stat(t.path('plant/root.key')).st_mode & 0o777 == 0o600, 'and is closed to others')
    status, _, err = t.ca('issue', 'fridge-07', '--ca', 'plant', pin=t.pin)
    ok(status == 0 and t.verified(t.path('plant/members/fridge-07/member.crt')), 'issue: OpenSSL verifies it', err)
    t.ca('csr', 'device', '--name', 'ward-3')
    status, _, err = t.ca('sign', 'device/member.csr', '--ca', 'plant', pin=t.pin)
    ok(status == 0 and t.verified(t.path('plant/members/ward-3/member.crt')), 'sign', err)
    status, _, err = t.ca('renew', 'fridge-07', '--ca', 'plant', pin=t.pin)
    ok(status == 0 and t.verified(t.path('plant/members/fridge-07/member.pem')), 'renew', err)
    status, out, err = t.ca('revoke', 'ward-3', '--reason', 'key-compromise', '--ca', 'plant', '--json', pin=t.pin)
    ok(status == 0 and json.loads(out)['crl']['entries'] == 1, 'revoke: the lists are signed in the token', err)
    status, _, err = t.ca('crl', 'plant', pin=t.pin)
    ok(status == 0, 'crl', err)
    _, _, err = run('openssl', 'crl', '-in', t.path('plant/crl.pem'), '-CAfile', t.path('plant/root.crt'), '-noout')
    ok('verify OK' in err, 'OpenSSL verifies a list', err)


def rollover(t):
    before = t.keys()
    status, _, err = t.ca('rollover', 'plant', pin=t.pin)
    ok(status == 0 and t.keys() == before + 2, 'rollover: what was in a token stays in one', err)
    status, _, err = t.ca('issue', 'fridge-08', '--ca', 'plant', pin=t.pin)
    ok(status == 0 and t.verified(t.path('plant/members/fridge-08/member.crt')), 'the new authority issues', err)
    status, _, err = t.ca('rollover', 'plant', '--pkcs11', t.uri.replace('plant', 'other', 1), pin=t.pin)
    ok(status == 0, 'rollover into another token', err)
    status, _, err = t.ca('issue', 'fridge-09', '--ca', 'plant', pin=t.pin)
    ok(status == 0 and t.verified(t.path('plant/members/fridge-09/member.crt')), 'which issues', err)


def kinds_and_pins(t):
    with_source = 'pkcs11:token=plant?pin-source=file:%s&module-path=%s' % (t.pin, MODULE)
    for kind in ('p384', 'ed25519'):
        # SoftHSM 2.6.1 itself loses 37 bytes when it makes an Ed25519 key
        leaky = {'ASAN_OPTIONS': 'detect_leaks=0:exitcode=99'} if kind == 'ed25519' else {}
        status, _, err = t.ca('init', kind, '--key', kind, '--pkcs11', with_source, **leaky)
        done = (status == 0 and t.ca('issue', 'a', '--ca', kind, **leaky)[0] == 0 and
                t.ca('crl', kind, **leaky)[0] == 0)
        ok(done and t.verified(t.path(kind, 'members/a/member.crt'), kind), '%s, the PIN by pin-source' % kind, err)
    os.mkdir(t.path('credentials'))
    t.write('credentials/sealmq-pkcs11-pin', PIN + '\n', 0o600)
    status, _, err = t.ca('issue', 'by-systemd', '--ca', 'plant', CREDENTIALS_DIRECTORY=t.path('credentials'))
    ok(status == 0, 'the PIN as a systemd credential', err)
    run('softhsm2-util', '--import', t.foreign(), '--token', 'other', '--label', 'ceremony', '--id', 'aa01', '--pin', PIN)
    status, _, err = t.ca('init', 'given', '--pkcs11', 'pkcs11:token=other;object=ceremony?module-path=' + MODULE, pin=t.pin)
    ok(status == 0 and t.ca('issue', 'a', '--ca', 'given', pin=t.pin)[0] == 0 and
       t.verified(t.path('given/members/a/member.crt'), 'given'), 'a key that is there already becomes the root\'s', err)


def refusals(t):
    before = t.keys()
    rows = [
        ('a wrong PIN', t.uri, t.wrong, 'the PIN is wrong'),
        ('no PIN', t.uri, None, 'no PIN for the token'),
        ('a missing token', t.uri.replace('plant', 'gone', 1), t.pin, 'no token here'),
        ('a missing key', t.uri.replace('plant', 'plant;object=gone', 1), t.pin, 'no private key of this name'),
        ('a missing module', 'pkcs11:token=plant?module-path=/nowhere.so', t.pin, 'no PKCS#11 module'),
        ('what is no module', 'pkcs11:token=plant?module-path=/etc/passwd', t.pin, 'no PKCS#11 module'),
        ('two tokens', 'pkcs11:manufacturer=SoftHSM%20project?module-path=' + MODULE, t.pin, 'say which'),
        ('a PIN in the URI', t.uri + '&pin-value=' + PIN, t.pin, 'can be read by others'),
        ('what is no URI', 'token=plant', t.pin, 'not a PKCS#11 URI'),
        ('an escape that is none', 'pkcs11:token=%zz', t.pin, 'not a PKCS#11 URI'),
    ]
    for name, uri, pin, text in rows:
        status, _, err = t.ca('init', 'nothing', '--pkcs11', uri, pin=pin)
        ok(status != 0 and text in err and one_line(err) and PIN not in err and not os.path.exists(t.path('nothing')),
           name + ': one clear line, and nothing is made', err)
    ok(t.keys() == before, 'no key is left in the token by what failed', '%d, %d' % (before, t.keys()))
    status, _, err = t.ca('issue', 'late', '--ca', 'plant', pin=t.wrong)
    ok(status != 0 and 'the PIN is wrong' in err and one_line(err), 'a wrong PIN for an authority that is there', err)
    os.rename(t.path('tokens'), t.path('away'))
    os.mkdir(t.path('tokens'))
    status, _, err = t.ca('issue', 'late', '--ca', 'plant', pin=t.pin)
    ok(status != 0 and 'no token here' in err and one_line(err), 'its token was taken out', err)
    os.rmdir(t.path('tokens'))
    os.rename(t.path('away'), t.path('tokens'))
    run('softhsm2-util', '--delete-token', '--token', 'other')
    run('softhsm2-util', '--init-token', '--free', '--label', 'other', '--pin', PIN, '--so-pin', OTHER)
    status, _, err = t.ca('issue', 'late', '--ca', 'plant', pin=t.pin)
    ok(status != 0 and 'no private key' in err and one_line(err), 'its key is gone from the token', err)
    # A key of the right name that is another: what it signs is looked at before it is handed out.
    t.ca('init', 'swapped', '--pkcs11', t.uri, pin=t.pin)
    with open(t.path('swapped/root.key'), encoding='ascii') as mine, open(t.path('plant/root.key'), encoding='ascii') as other:
        text = other.read()
        assert mine.read() != text
    t.write('swapped/root.key', text, 0o600)
    status, _, err = t.ca('issue', 'late', '--ca', 'swapped', pin=t.pin)
    ok(status != 0 and one_line(err) and not os.path.exists(t.path('swapped/members/late')),
       'another key than the certificate\'s issues nothing', err)


def a_key_server(t):
    t.ca('init', 'realm')
    t.ca('issue', 'keys', '--role', 'keyserver', '--ca', 'realm')

    def do(what, *more, db='keys.db', pin=t.pin):
        return run(SEALMQ, 'keyserver', what, *more, '--realm', 'realm/members/keys', '--db', db,
                   *(('--passphrase-file', pin) if pin else ()), cwd=t.room)

    status, _, err = do('init', '--master-pkcs11', t.uri, pin=t.wrong)
    ok(status != 0 and 'the PIN is wrong' in err and one_line(err) and not os.path.exists(t.path('keys.db')),
       'keyserver init with a wrong PIN makes nothing', err)
    status, _, err = do('init', '--master-pkcs11', t.uri)
    ok(status == 0, 'keyserver init: the master key comes from the token', err)
    with open(t.path('keys.db'), 'rb') as file:
        bytes_ = file.read()
    ok(b'pkcs11:token=plant' in bytes_ and b'module-path' not in bytes_,
       'the database says which token, and not whose library to load')
    status, _, err = do('check', '--master-pkcs11', t.uri)
    ok(status == 0, 'check opens it', err)
    status, _, err = do('check', '--master-pkcs11', t.uri, pin=t.wrong)
    ok(status != 0 and 'the PIN is wrong' in err and one_line(err), 'not with a wrong PIN', err)
    status, _, err = do('check', '--master-pkcs11', t.uri.replace('plant', 'other', 1))
    ok(status != 0 and 'no secret key' in err and one_line(err), 'not with another token', err)
    status, _, err = do('check', '--master-pkcs11', t.uri.replace('plant', 'gone', 1))
    ok(status != 0 and 'no token here' in err and one_line(err), 'not without its token', err)
    broker = free_port()
    with socket.socket() as nobody:  # a broker that says nothing: what counts is that the database opens
        nobody.bind(('127.0.0.1', broker))
        nobody.listen()
        words = (SEALMQ, 'keyserver', 'run', '--realm', t.path('realm/members/keys'), '--db', t.path('keys.db'),
                 '--passphrase-file', t.pin, '--master-pkcs11', t.uri, '-h', '127.0.0.1', '-p', str(broker))
        for more in ((), ('--undivided',)):
            server = Process([*words, *more])
            nobody.settimeout(60)
            try:
                nobody.accept()[0].close()
                came = True
            except OSError:
                came = False
            ok(came and server.child.poll() is None, 'keyserver run %s opens it and goes to the broker' % ' '.join(more),
               '\n'.join(server.said + server.lines))
            server.stop()
    status, _, err = do('backup', t.path('copy'), pin=None)
    ok(status == 0, 'a backup needs no token', err)
    status, _, err = do('restore', t.path('copy'), '--master-pkcs11', t.uri, db='again.db')
    ok(status == 0, 'a restore does', err)
    status, _, err = do('check', '--master-pkcs11', t.uri, db='again.db')
    ok(status == 0, 'and opens with the same key', err)
    status, _, err = do('init', '--master-pkcs11', t.uri.replace('plant', 'plant;object=sealmq%20keyserver', 1), db='second.db')
    ok(status == 0 and do('check', '--master-pkcs11', t.uri, db='second.db')[0] == 0, 'a key that is there already', err)


def main():
    if not MODULE or not shutil.which('softhsm2-util'):
        print('1..0 # SKIP no SoftHSM (softhsm2)')
        return 0
    t = Token()
    try:
        for scene in (an_authority, rollover, kinds_and_pins, refusals, a_key_server):
            scene(t)
    finally:
        shutil.rmtree(t.room, ignore_errors=True)
    return TAP.end()



if __name__ == '__main__':
    sys.exit(main())
