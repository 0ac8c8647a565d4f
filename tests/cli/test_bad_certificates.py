#!/usr/bin/env python3
"""Certificates that must not pass, each refused by the tool with a reason of its own, for what is its own and for a peer's.

usage: test_bad_certificates.py SEALMQ ROOT
"""
import datetime
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, TAP, Process, ok, play, run, wait  # noqa: E402

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    x509 = None

DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.utcnow()


class Maker:
    """What an authority that has the realm's root key, and bad habits, could issue."""

    def __init__(self, stage):
        self.stage = stage
        with open(os.path.join(stage.ca, 'root.key'), 'rb') as key, open(os.path.join(stage.ca, 'root.crt'), 'rb') as cert:
            self.root_key = serialization.load_pem_private_key(key.read(), None)
            self.root = x509.load_pem_x509_certificate(cert.read())
        with open(stage.member('ward-3', 'member.crt'), 'rb') as file:
            good = x509.load_pem_x509_certificate(file.read())
        self.usage = list(good.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)

    @staticmethod
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def sign(self, subject, key, issuer, issuer_key, extensions, since=-DAY, until=30 * DAY):
        ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now() + since)
                   .not_valid_after(now() + until).add_extension(ski, False).add_extension(aki, False))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    def authority(self, text, issuer, issuer_key, *more, path=0):
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        cert = self.sign(self.name(text), key, issuer, issuer_key,
                         [(x509.BasicConstraints(True, path), True), (usage, True)] + list(more))
        return cert, key

    def leaf(self, key, issuer, issuer_key, cn='ward-3', uri='sealmq:plant/ward-3', usage=None, **times):
        sign = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        return self.sign(self.name(cn), key, issuer, issuer_key,
                         [(x509.BasicConstraints(False, None), True), (sign, True), (names, False),
                          (x509.ExtendedKeyUsage(usage or self.usage), False)], **times)

    def directory(self, what, make):
        """A realm directory like ward-3's with another identity."""
        path = self.stage.path(what.replace(' ', '-'))
        shutil.copytree(self.stage.member('ward-3'), path)
        key = ec.generate_private_key(ec.SECP256R1())
        with open(os.path.join(path, 'member.crt'), 'wb') as file:
            for cert in make(key):
                file.write(cert.public_bytes(serialization.Encoding.PEM))
        with open(os.path.join(path, 'member.key'), 'wb') as file:
            file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
        return path


def rows(m):
    name, key = m.root.subject, m.root_key

    def below(*limits, path=0):
        """A leaf of an issuing authority; with two levels the root's path length is broken."""
        cert, issuing_key = m.authority('plant issuing x', name, key, *limits, path=path)
        return lambda leaf: [m.leaf(leaf, cert.subject, issuing_key), cert]

    def too_deep(leaf):
        first, first_key = m.authority('plant issuing one', name, key, path=None)
        second, second_key = m.authority('plant issuing two', first.subject, first_key, path=None)
        return [m.leaf(leaf, second.subject, second_key), second, first]
    limits = (x509.NameConstraints([x509.DirectoryName(m.name('mill'))], None), True)
    other_cert, other_key = m.authority('plant root', m.name('plant root'), ec.generate_private_key(ec.SECP256R1()), path=1)
    return [
        ('good', below(), None),
        ('expired', lambda k: [m.leaf(k, name, key, since=-3 * DAY, until=-DAY)], 'expired'),
        ('not yet valid', lambda k: [m.leaf(k, name, key, since=DAY, until=3 * DAY)], 'not valid yet'),
        ('same name from another authority', lambda k: [m.leaf(k, other_cert.subject, other_key)],
         'not issued under'),
        ('wrong usage', lambda k: [m.leaf(k, name, key, usage=[ExtendedKeyUsageOID.SERVER_AUTH])], 'usage'),
        ('path length', too_deep, 'more authorities'),
        ('name constraint', below(limits), 'its authority may not give'),
        ('SAN unlike the common name', lambda k: [m.leaf(k, name, key, uri='sealmq:plant/desk')], 'names no member'),
        ('another realm', lambda k: [m.leaf(k, name, key, uri='sealmq:mill/ward-3')], 'names no member'),
        ('malformed', None, 'not a certificate'),
    ]


def each_has_its_reason(stage):
    if not x509:
        TAP.skip('bad certificates', 'python3-cryptography is not installed')
        return
    m = Maker(stage)
    said = {}
    for what, make, want in rows(m):
        path = m.directory(what, make or (lambda k: []))
        if not make:
            with open(os.path.join(stage.member('ward-3'), 'member.crt'), encoding='ascii') as file:
                text = file.read()
            with open(os.path.join(path, 'member.crt'), 'w', encoding='ascii') as file:
                file.write(text[:100] + 'AAAA' + text[104:])
        words = [SEALMQ, 'pub', '--realm', path, *stage.tls('observer'), '--to', 'desk', '-t', 'plant/x', '-m', 'x']
        if want:
            status, _, err = run(*words)
            ok(status != 0 and want in err, '%s is refused, and why' % what, err)
            said[what] = err.split(': ', 2)[-1]
        else:
            heard = stage.sub('desk', '-t', 'plant/x', '-F', '%s %p', '--from', 'ward-3')
            pub = Process(words)
            ok(heard.got(1, 60), 'one that is good is not', '\n'.join(pub.said))
            heard.stop()
    reasons = {text for what, text in said.items() if what != 'another realm'}
    ok(len(reasons) == len(said) - 1, 'each with a reason of its own', '\n'.join(said.values()))
    # revoked: the ninth, from the authority's own hand
    stage.issue('doomed')
    stage.must(SEALMQ, 'ca', 'revoke', 'doomed', '--ca', stage.ca)
    status, _, err = run(SEALMQ, 'pub', '--realm', stage.member('doomed'), *stage.tls('observer'), '--to', 'desk', '-t', 'plant/x',
                         '-m', 'x')
    ok(status != 0 and 'revoked' in err and err.split(': ', 2)[-1] not in reasons, 'revoked is refused, and why', err)


def by_a_peer(stage):
    """The same by who is spoken to, who alone counts."""
    if not x509:
        return
    m = Maker(stage)
    sub = stage.sub('desk', '-t', 'plant/p', '-F', '%s %p', '--from', 'ward-3')
    # a root that the impostor believes, and desk does not
    key = ec.generate_private_key(ec.SECP256R1())
    own_root = x509.CertificateBuilder().subject_name(m.name('plant root')).issuer_name(m.name('plant root')) \
        .public_key(key.public_key()).serial_number(x509.random_serial_number()).not_valid_before(now() - DAY) \
        .not_valid_after(now() + 30 * DAY).add_extension(x509.BasicConstraints(True, 1), True) \
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True) \
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False).sign(key, hashes.SHA256())
    path = m.directory('impostor', lambda k: [m.leaf(k, own_root.subject, key)])
    with open(os.path.join(path, 'root.crt'), 'wb') as file:
        file.write(own_root.public_bytes(serialization.Encoding.PEM))
    with open(os.path.join(stage.ca, 'root.crt'), 'rb') as file:
        real = file.read()
    with open(os.path.join(path, 'root.crt'), 'ab') as file:
        file.write(real)
    if os.path.exists(os.path.join(path, 'crl.pem')):
        os.remove(os.path.join(path, 'crl.pem'))
    pub = Process([SEALMQ, 'pub', '--realm', path, *stage.tls('observer'), '--to', 'desk', '-t', 'plant/p', '-m', 'forged'])
    ok(wait(lambda: any('not issued under' in line for line in sub.said), 60), 'the same name from another authority: a peer says why',
       '\n'.join(sub.said + pub.said))
    pub.stop()
    ok(not sub.lines, 'and hears nothing of it', '\n'.join(sub.lines))
    sub.stop()


if __name__ == '__main__':
    sys.exit(play([each_has_its_reason, by_a_peer]))
