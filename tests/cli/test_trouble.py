#!/usr/bin/env python3
"""Bad certificates, bad files, a broker that says no, full disks: one clear line, a fitting status, nothing lost.

usage: test_trouble.py SEALMQ ROOT
"""
import datetime
import json
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import ROOT, SEALMQ, TAP, Process, find, free_port, ok, play, run, wait  # noqa: E402


def said(*processes):
    return '\n'.join('%s: %s' % (p.words[1], line[:300]) for p in processes for line in p.said)


def row(stage, what, status, says, words, seconds=60, **env):
    """The command ends with the status and says so in one line, or two with advice."""
    got, out, err = run(*words, seconds=seconds, **env)
    lines = err.strip().split('\n')
    statuses = status if isinstance(status, tuple) else (status,)
    ok(got in statuses and re.search(says, err) and len(lines) <= 3 and not out,
       '%s: status %s, %s' % (what, '/'.join(map(str, statuses)), says), '%d\n%s%s' % (got, err, out))


def copy_of(stage, member, name):
    path = stage.path(name)
    shutil.copytree(stage.member(member), path)
    return path


# ---- certificates ----

def reissue(stage, member, seconds):
    """The member's realm directory with a certificate of our own making that ends so many seconds from now."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    path = copy_of(stage, member, '%s-%+d' % (member, seconds))
    file = os.path.join(path, 'member.crt')
    with open(file, 'rb') as old, open(os.path.join(stage.ca, 'root.key'), 'rb') as key:
        cert = x509.load_pem_x509_certificate(old.read())
        root = serialization.load_pem_private_key(key.read(), None)
    now = datetime.datetime.utcnow().replace(microsecond=0)
    builder = x509.CertificateBuilder(cert.issuer, cert.subject, cert.public_key(), x509.random_serial_number(),
                                      now - datetime.timedelta(days=2), now + datetime.timedelta(seconds=seconds))
    for extension in cert.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    with open(file, 'wb') as new:
        new.write(builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def certificates(stage):
    foreign = stage.path('elsewhere', 'plant')
    os.mkdir(stage.path('elsewhere'))
    stage.must(SEALMQ, 'ca', 'init', foreign)
    stage.must(SEALMQ, 'ca', 'issue', 'fridge-07', '--ca', foreign)
    sub = stage.sub('desk', '-t', 'plant/c', '--stats', '60')
    pub = Process([SEALMQ, 'pub', '--realm', os.path.join(foreign, 'members', 'fridge-07')] + stage.tls('observer') +
                  ['--to', 'desk', '-t', 'plant/c', '-m', 'x', '--wait', '3'])
    status = pub.end(30)
    # it is the initiator that sees the other's certificate first
    ok(status == 83 and pub.says("failed: a certificate that was not issued under this realm's root"),
       'a member of a foreign realm of the same name: both refuse, status 83', '%s\n%s' % (status, said(pub)))
    sub.stop()
    ok(not sub.lines and len(sub.said) <= 7, 'and nothing was opened', said(sub))
    try:
        import cryptography  # noqa: F401
    except ImportError:
        TAP.skip('an expired certificate', 'python3-cryptography is not installed')
        return
    row(stage, 'our own certificate has expired', 83, 'expired', [
        SEALMQ, 'pub', '--realm', reissue(stage, 'fridge-07', -3600)] + stage.tls('observer') + [
            '--to', 'desk', '-t', 'plant/c', '-m', 'x'])
    sub = stage.sub('desk', '-t', 'plant/c', '--stats', '60')
    short = reissue(stage, 'pump-2', 6)
    pub = Process([SEALMQ, 'pub', '--realm', short] + stage.tls('observer') +
                  ['--to', 'desk', '-q', '1', '-t', 'plant/c', '-l', '--rotate-every', '1'])
    pub.write('while it was good')
    sub.got(1)
    time.sleep(6.2)
    pub.write('too late')
    sub.says('cert-expired', 4) or sub.says('expired', 1)
    pub.stop()
    sub.stop()
    ok(sub.lines == ['while it was good'], 'a peer whose certificate expires is not read any longer', said(sub, pub))
    ok(any('expired certificate' in line for line in sub.said), 'and the reader says why', said(sub, pub))


def files(stage):
    words = lambda realm: [SEALMQ, 'pub', '--realm', realm] + stage.tls('observer') + [  # noqa: E731
        '--to', 'desk', '-t', 'plant/f', '-m', 'x']
    realm = copy_of(stage, 'fridge-07', 'readable')
    os.chmod(os.path.join(realm, 'member.key'), 0o644)
    row(stage, 'a key that others can read', 88, 'mode 0644.*chmod 600', words(realm))
    realm = copy_of(stage, 'fridge-07', 'linked')
    os.unlink(os.path.join(realm, 'member.key'))
    os.symlink(stage.member('fridge-07', 'member.key'), os.path.join(realm, 'member.key'))
    row(stage, 'a key that is a symlink', 88, 'member.key: a symlink', words(realm))
    for name in ('member.key', 'member.crt', 'root.crt', 'realm.yaml'):
        realm = copy_of(stage, 'fridge-07', 'without-' + name)
        os.unlink(os.path.join(realm, name))
        row(stage, 'no ' + name, (14, 89), name, words(realm))
    realm = copy_of(stage, 'fridge-07', 'wrong-usage')
    shutil.copy(stage.member('broker', 'server.crt'), os.path.join(realm, 'member.crt'))
    shutil.copy(stage.member('broker', 'server.key'), os.path.join(realm, 'member.key'))
    row(stage, "the broker's certificate as a member's", 83, 'not for this use', words(realm))
    realm = copy_of(stage, 'fridge-07', 'mixed')
    shutil.copy(stage.member('desk', 'member.key'), os.path.join(realm, 'member.key'))
    row(stage, "another member's key", (83, 88, 89), 'member.key', words(realm))
    row(stage, 'no such realm', 14, 'no such directory', words(stage.path('nowhere')))
    row(stage, 'no such file to publish', 1, 'No such file', stage.words('pub', 'fridge-07', '--to', 'desk', '-t', 'a',
                                                                        '-f', stage.path('nothing')))


# ---- the broker says no ----

def refusals(stage):
    fixed = ['--to', 'desk', '-q', '1', '-t', 'plant/r', '-m', 'x']
    row(stage, 'nobody listens there', 1, 'cannot connect to localhost port', [
        SEALMQ, 'pub', '--realm', stage.member('fridge-07'), '-h', 'localhost', '-p', str(free_port())] + fixed)
    row(stage, 'no such host', (1, 15), 'host', [
        SEALMQ, 'pub', '--realm', stage.member('fridge-07'), '-h', 'no-such-host.invalid'] + fixed)
    words = stage.words('pub', 'fridge-07', *fixed)
    words[words.index('localhost')] = '127.0.0.1'
    got, _, err = run(*stage.words('pub', 'fridge-07', '--to', 'pump-2', '-t', 'plant/r', '-m', 'x', '--wait', '2'))
    ok(got == 81 and "no session with 'pump-2' after 2 s" in err, 'a name that nobody answers to: status 81, said so',
       '%d\n%s' % (got, err))
    foreign = stage.path('other')
    stage.must(SEALMQ, 'ca', 'init', foreign)
    row(stage, "a broker that the CA file does not vouch for", 8, 'TLS', [
        SEALMQ, 'pub', '--realm', stage.member('fridge-07'), '-h', 'localhost', '-p', str(stage.port), '--cafile',
        os.path.join(foreign, 'root.crt'), '--cert', stage.member('fridge-07', 'member.crt'), '--key',
        stage.member('fridge-07', 'member.key')] + fixed)
    row(stage, 'no certificate for the broker', (5, 7, 8), '.', [
        SEALMQ, 'pub', '--realm', stage.member('fridge-07'), '-h', 'localhost', '-p', str(stage.port), '--cafile',
        stage.member('fridge-07', 'root.crt')] + fixed)
    stage.issue('misnamed', '--role', 'broker', '--dns', 'broker.elsewhere')
    stage.server = 'misnamed'
    stage.restart(15)
    row(stage, "a broker with another host's certificate", 8, 'TLS', stage.words('pub', 'fridge-07', *fixed))
    stage.server = 'broker'
    stage.restart(15)


def passwords(stage):
    with open(stage.path('words'), 'w', encoding='ascii') as file:
        file.write('')
    stage.must(find('mosquitto_passwd'), '-b', stage.path('words'), 'fridge', 'right')
    stage.extra = ['password_file ' + stage.path('words')]
    stage.configure_was = stage.configure
    config = stage.path('mosquitto.conf')

    def configure():
        stage.configure_was()
        with open(config, encoding='utf-8') as file:
            text = file.read().replace('use_identity_as_username true\n', '')
        with open(config, 'w', encoding='utf-8') as file:
            file.write(text)
    stage.configure = configure
    stage.restart(15)
    wrong = stage.path('wrong')
    with open(wrong, 'w', encoding='ascii') as file:
        file.write('guess-9431\n')
    os.chmod(wrong, 0o600)
    for version, status in (('5', (5, 134, 135)), ('311', (4, 5))):
        row(stage, 'a wrong password, MQTT ' + version, status, 'refused the connection: (not authorized|bad user)',
            stage.words('sub', 'desk', '-V', version, '-u', 'fridge', '--password-file', wrong, '-t', 'a'))
    _, _, err = run(*stage.words('sub', 'desk', '-u', 'fridge', '--password-file', wrong, '-t', 'a'))
    ok('guess-9431' not in err, 'the password is not shown', err)
    del stage.configure
    stage.extra = []
    stage.restart(15)


def access_lists(stage):
    anything = ['topic readwrite #']
    stage.acl = ['user desk', 'topic deny plant/secret', 'topic readwrite #', 'user fridge-07', 'topic deny plant/no',
                 'topic readwrite #', 'user pump-2', 'topic deny sealmq/#', 'topic readwrite #', 'user observer'] + anything
    stage.restart(15)
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/+')
    row(stage, 'an ACL that denies publishing', 135, 'not published to plant/no: not authorized',
        stage.words('pub', 'fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/no', '-m', 'x'))
    denied = stage.sub('desk', '-t', 'plant/secret', '-W', '3')
    print('# an ACL that denies reading, %s: %s' % (denied.end(6), denied.said))
    got, _, err = run(*stage.words('pub', 'pump-2', '--to', 'desk', '-q', '1', '-t', 'plant/yes', '-m', 'x', '--wait', '3'),
                      seconds=20)
    ok(got in (81, 135, 5) and err.count('\n') <= 3 and re.search('not authori[sz]|authorize', err),
       'an ACL that denies the key exchange: told, and not waited for in silence', '%d\n%s' % (got, err))
    sub.stop()
    stage.acl = None
    stage.restart(15)


# ---- state ----

# No file can be written to: EFBIG instead of ENOSPC, which takes no mount and no root.
NO_ROOM = ['sh', '-c', "trap '' XFSZ; ulimit -f 0; exec \"$@\"", 'sh']


def full_disk(stage):
    realm = copy_of(stage, 'desk', 'no-room')
    stage.must(SEALMQ, 'group', 'create', 'cold', '--realm', stage.member('fridge-07'), '--members', 'fridge-07,desk')
    os.makedirs(os.path.join(realm, 'groups'), 0o700, exist_ok=True)
    shutil.copy(stage.member('fridge-07', 'groups/cold.key'), os.path.join(realm, 'groups', 'cold.key'))
    words = stage.words('sub', 'desk', '-i', 'no-room', '-q', '1', '-t', 'plant/g', '--stats', '60')
    words[words.index('--realm') + 1] = realm
    sub = Process(NO_ROOM + words)
    wait(lambda: stage.subscribed('no-room', 'plant/g') or sub.child.poll() is not None)
    words = ('--group', 'cold', '-q', '1', '-t', 'plant/g', '-m', 'must be kept')
    got, _, err = stage.pub_now('fridge-07', *words)
    wait(lambda: sub.lines or sub.refusals() or sub.child.poll() is not None)
    status = sub.stop()
    ok(got == 0 and not sub.lines and re.search('disk', said(sub)),
       'a full disk under the replay floors: the message is refused as disk-full, not read without a floor',
       '%s %s\n%s\n%s' % (got, err, status, said(sub)))
    got, _, err = run(*NO_ROOM, *stage.words('pub', 'fridge-07', *words, '--keep-boot-id'))
    ok(got == 14 and err.count('\n') == 1 and 'disk' in err,
       'a full disk under a kept boot id: nothing is sealed, one line, status 14', '%s\n%s' % (got, err))
    got, _, err = run(*NO_ROOM, *stage.words('pub', 'fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/g', '-m', 'x',
                                             '--outbox', stage.path('no-room.db')))
    ok(got in (14, 1) and err.count('\n') <= 2 and re.search('disk|space|outbox', err),
       'a full disk under the outbox: one line, status 14', '%s\n%s' % (got, err))


def no_state(stage):
    """A session needs nothing kept, so a realm whose state directory cannot be serves."""
    realm = copy_of(stage, 'fridge-07', 'frozen')
    shutil.rmtree(os.path.join(realm, 'state'), ignore_errors=True)
    with open(os.path.join(realm, 'state'), 'w', encoding='ascii'):
        pass
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/ro')
    words = stage.words('pub', 'fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/ro', '-m', 'x')
    words[words.index('--realm') + 1] = realm
    got, _, err = run(*words)
    ok(got == 0 and not err and sub.got(1), 'a realm without room for state: sessions work',
       '%d %s%s' % (got, err, said(sub)))


def copies(stage):
    """Two processes of one copied directory never share a (boot id, counter)."""
    twin = copy_of(stage, 'fridge-07', 'twin')
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/twin', '-F', '%B %n')
    pubs = []
    for realm in (stage.member('fridge-07'), twin):
        words = stage.words('pub', 'fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/twin', '-l')
        words[words.index('--realm') + 1] = realm
        pubs.append(Process(words))
    for n in range(20):
        for pub in pubs:
            pub.write('m %d' % n)
    for pub in pubs:
        pub.close()
        pub.end()
    sub.got(40)
    sub.stop()
    ok(len(sub.lines) == 40 and len(set(sub.lines)) == 40 and len({line.split()[0] for line in sub.lines}) == 2,
       'two processes of one copied directory: all 40 read, no (boot id, counter) twice', said(sub, *pubs))


# ---- sealmq.yaml ----

def configuration(stage):
    settings = stage.path('sealmq.yaml')
    name = 'fridge-07'
    with open(settings, 'w', encoding='utf-8') as file:
        file.write('realm: "%s"\nbroker:\n  host: "localhost"\n  port: %d\n  tls:\n    ca_file: "%s"\n'
                   '    cert_file: "%s"\n    key_file: "%s"\ntopics:\n  publish: "plant/conf"\nqos: 2\n'
                   'peers:\n  to: "desk"\nalgorithm: "ChaCha20-Poly1305"\nkeyex:\n  topic: "ton_iot/keyex"\n'
                   '  rotate_every: 1s\nsource:\n  spec: "fridge"\n  interval: 100ms\n  limit: 25\n' %
                   (stage.member(name), stage.port, stage.member(name, 'root.crt'), stage.member(name, 'member.crt'),
                    stage.member(name, 'member.key')))
    sub = stage.sub('desk', '-q', '2', '-t', 'plant/conf', '--keyex-topic', 'ton_iot/keyex', '-F', '%j')
    started = time.monotonic()
    got, out, err = run(SEALMQ, 'pub', '--config', settings)
    took = time.monotonic() - started
    sub.got(25)
    sub.stop()
    ok(got == 0 and len(sub.lines) == 25, 'sealmq.yaml: host, port, TLS, topic, count and source take effect',
       '%d %s%s' % (got, out, err) + said(sub))
    read = [json.loads(line) for line in sub.lines]
    ok({(m['qos'], m['e2e']['algorithm']) for m in read} == {(2, 'ChaCha20-Poly1305')},
       'sealmq.yaml: qos and algorithm take effect', sub.lines[:3])
    ok(len({m['e2e']['epoch'] for m in read}) >= 2, 'sealmq.yaml: keyex.topic and keyex.rotate_every take effect',
       sub.lines[:3])
    ok(took > 2.2, 'sealmq.yaml: source.interval takes effect', took)
    sub = stage.sub('desk', '-q', '2', '-t', 'plant/over', '-F', '%j', '--keyex-topic', 'ton_iot/keyex')
    got, _, err = run(SEALMQ, 'pub', '--config', settings, '-q', '1', '-t', 'plant/over', '--limit', '2', '--algorithm',
                      'A256GCM')
    sub.got(2)
    read = [json.loads(line) for line in sub.lines]
    ok(got == 0 and [(m['qos'], m['e2e']['algorithm']) for m in read] == [(1, 'A256GCM')] * 2, 'the command line wins over sealmq.yaml', err + said(sub))


def group_by_file(stage):
    """A device that seals for a group, as a file says it."""
    settings = stage.path('group.yaml')
    if not os.path.exists(stage.member('fridge-07', 'groups/cold.key')):
        stage.must(SEALMQ, 'group', 'create', 'cold', '--realm', stage.member('fridge-07'), '--members', 'fridge-07,desk')
    os.makedirs(stage.member('desk', 'groups'), 0o700, exist_ok=True)
    shutil.copy(stage.member('fridge-07', 'groups/cold.key'), stage.member('desk', 'groups'))
    with open(settings, 'w', encoding='utf-8') as file:
        file.write('realm: "%s"\nbroker:\n  host: localhost\n  port: %d\n  tls: {by_realm: true}\n'
                   'topics: {publish: plant/group}\nqos: 1\npeers: {to_groups: cold}\nkeep_boot_id: true\n' %
                   (stage.member('fridge-07'), stage.port))
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/group', '-F', '%B %n %g %p')
    for text in ('one', 'two'):
        got, _, err = run(SEALMQ, 'pub', '--config', settings, '-m', text)
        ok(got == 0 and not err, 'sealmq.yaml: pub seals for the group it names', '%s %s' % (got, err))
    sub.got(2)
    sub.stop()
    seen = [line.split() for line in sub.lines]
    ok([s[1:] for s in seen] == [['0', 'cold', 'one'], ['1', 'cold', 'two']] and len({s[0] for s in seen}) == 1,
       'sealmq.yaml: peers.to_groups and keep_boot_id take effect', said(sub))


# ---- leaks and size ----

def leaks(stage):
    def story(wrap, env):
        sub = Process(wrap + stage.words('sub', 'desk', '-q', '1', '-t', 'plant/v', '-C', '20', '-W', '120', '--unconfined'), **env)
        pub = Process(wrap + stage.words('pub', 'fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/v', '-m', 'x',
                                         '--repeat', '20', '--wait', '120', '--unconfined'), **env)
        return pub.end(150), sub.end(150), said(pub, sub)[-4000:]
    if find('valgrind') and 'build-asan' not in SEALMQ:
        wrap = ['valgrind', '-q', '--leak-check=full', '--errors-for-leak-kinds=definite', '--error-exitcode=99']
        pub, sub, told = story(wrap, {})
        ok((pub, sub) == (0, 0), 'pub and sub under valgrind: no error, no leak', '%s %s\n%s' % (pub, sub, told))
    else:
        TAP.skip('pub and sub under valgrind', 'no valgrind here')


def memory(stage):
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/mem')
    pub = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/mem', '--source', 'fridge', '--rate', '500')
    sub.got(500)
    print('# resident with TLS: pub %.1f MiB, sub %.1f MiB' % (pub.rss_mib(), sub.rss_mib()))
    ok(pub.rss_mib() < 40 and sub.rss_mib() < 40 or 'asan' in SEALMQ, 'pub and sub stay small')
    pub.stop()
    sub.stop()


SCENES = (certificates, files, refusals, passwords, access_lists, full_disk, no_state, copies, configuration, group_by_file,
          leaks, memory)

if __name__ == '__main__':
    assert ROOT
    sys.exit(play(SCENES))
