#!/usr/bin/env python3
"""Enrolment and revocation lists over a real broker that is not believed: sealmq ca serve --mqtt, enrol --mqtt.

usage: test_enrol_mqtt.py SEALMQ ROOT
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import ROOT, SEALMQ, TAP, Process, find, free_port, ok, run, wait  # noqa: E402

PREFIX = 'sealmq/plant'


class Realm:
    """An authority with a server of its own, on a broker that lets everybody in."""

    def __init__(self):
        self.room = tempfile.mkdtemp(prefix='sealmq-enrolq-')
        self.port, self.broker, self.server = free_port(), None, None
        self.start_broker()
        self.must('init', 'plant', '--issuing')
        self.must('issue', '--names', self.write('names', 'desk\nfridge-07\n'), '--ca', 'plant')
        self.must('issue', 'keys', '--role', 'keyserver', '--ca', 'plant')
        self.must('issue', 'ops', '--role', 'admin', '--ca', 'plant')
        self.must('crl', 'plant')

    def path(self, *names):
        return os.path.join(self.room, *names)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, mode)) as file:
            file.write(text)
        return self.path(name)

    def ca(self, *words, **more):
        return run(SEALMQ, 'ca', *words, cwd=self.room, **more)

    def must(self, *words):
        status, out, err = self.ca(*words)
        if status:
            raise RuntimeError('%s: %s' % (' '.join(words), err))
        return out

    def start_broker(self):
        conf = self.write('m.conf', 'listener %d 127.0.0.1\nallow_anonymous true\nlog_dest file %s\nlog_type all\n%s' %
                          (self.port, self.path('m.log'), 'user root\n' if os.geteuid() == 0 else ''))
        self.broker = subprocess.Popen([find('mosquitto'), '-c', conf], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        wait(lambda: os.path.exists(self.path('m.log')) and ' running' in self.log(), 60)

    def log(self):
        with open(self.path('m.log'), encoding='utf-8', errors='replace') as file:
            return file.read()

    def serve(self):
        self.server = Process([SEALMQ, 'ca', 'serve', '--mqtt', self.path('plant'), '-h', '127.0.0.1', '-p',
                               str(self.port), '--json'])
        wait(lambda: any('"connected"' in line for line in self.server.lines), 60)

    def events(self, what):
        return [json.loads(line) for line in self.server.lines if '"%s"' % what in line]

    def token(self, name, *more):
        token = self.must('token', name, '--ca', 'plant', *more).strip()
        self.write(name + '.token', token + '\n')
        return token

    def enrol(self, name, *more, first=True):
        words = ['--name', name, '--token-file', self.path(name + '.token'), '--root', self.path('plant/root.crt'),
                 '--control-prefix', PREFIX] if first else []
        return run(SEALMQ, 'ca', 'enrol', '--mqtt', self.path(name), '-h', '127.0.0.1', '-p', str(self.port), '--json',
                   *words, *more, seconds=90)

    def put(self, topic, file, *more):
        return run('mosquitto_pub', '-p', str(self.port), '-t', topic, '-f', file, '-q', '1', *more)[0] == 0

    def eye(self, topic, *more):
        """The broker's eye: `topic hex` by line."""
        before = self.log().count('Sending SUBACK')
        process = Process([find('mosquitto_sub'), '-p', str(self.port), '-V', '5', '-q', '1', '-F', '%t %x', '-t', topic,
                           *more])
        wait(lambda: self.log().count('Sending SUBACK') > before, 60)
        return process

    def issued(self):
        return len(json.loads(self.must('list', 'plant', '--json')))

    def member(self, name):
        return self.path('plant/members', name)

    def strike(self):
        Process.stop_all()
        self.broker.kill()
        self.broker.wait()
        shutil.rmtree(self.room, ignore_errors=True)


def serial(path):
    return run('openssl', 'x509', '-in', path, '-noout', '-serial')[1].strip()


def a_device_enrols(r):
    token = r.token('tap')
    eye = r.eye(PREFIX + '/enrol/#')
    status, out, err = r.enrol('tap')
    ok(status == 0 and json.loads(out)['issued'], 'a first certificate by a token', out + err)
    ok(json.loads(out or '{}').get('crl') and os.path.exists(r.path('tap/crl.pem')), 'and the lists', out)
    ok(run('openssl', 'verify', '-CAfile', r.path('plant/root.crt'), '-untrusted', r.path('tap/member.crt'),
           r.path('tap/member.crt'))[0] == 0, 'OpenSSL verifies it')
    with open(r.path('tap/realm.yaml'), 'rb') as one, open(r.path('plant/realm.yaml'), 'rb') as other:
        ok(one.read() == other.read(), 'the settings are the realm\'s own')
    wait(lambda: len(eye.lines) >= 2, 60)
    heard = ''.join(eye.lines)
    ok(len(eye.lines) == 2 and token.encode().hex() not in heard and token not in heard,
       'the broker has not heard the token', heard[:200])
    keep = {line.split()[0]: bytes.fromhex(line.split()[1]) for line in eye.lines}
    for topic, payload in keep.items():
        with open(r.path('heard-' + ('q' if topic.endswith('/q') else 'a')), 'wb') as file:
            file.write(payload)
    r.answer_topic = next(topic for topic in keep if '/enrol/a/' in topic)
    eye.stop()
    ok(not os.listdir(r.path('plant/tokens')), 'the token is used up')
    status, out, err = r.enrol('tap', first=False)
    ok(status == 0 and not json.loads(out)['issued'], 'a second run: not due', out + err)
    first = serial(r.path('tap/member.crt'))
    status, out, err = r.enrol('tap', '--force', first=False)
    ok(status == 0 and json.loads(out)['issued'] and serial(r.path('tap/member.pem')) != first,
       'renewed by the certificate that it has, with a new key', out + err)
    ok(len(r.events('renew')) == 1 and r.events('renew')[0]['issued']['name'] == 'tap', 'the operator sees both',
       '\n'.join(r.server.lines))


def played_back(r):
    """The broker plays requests and answers again."""
    count = r.issued()
    eye = r.eye(PREFIX + '/enrol/a/#')
    r.put(PREFIX + '/enrol/q', r.path('heard-q'))
    ok(wait(lambda: eye.lines, 60), 'a request that is played back is answered')
    with open(r.path('heard-a'), 'rb') as file:
        ok(eye.lines and bytes.fromhex(eye.lines[0].split()[1]) == file.read(), 'with the same bytes again')
    ok(r.issued() == count, 'and nothing is issued')
    # after a restart too: what was answered lies on the disk
    r.server.stop()
    r.serve()
    r.put(PREFIX + '/enrol/q', r.path('heard-q'))
    ok(wait(lambda: len(eye.lines) > 1, 60) and r.issued() == count, 'nor after a restart of the server')
    # the same token once more, from a fresh directory: another key, another request
    shutil.copy(r.path('tap.token'), r.path('tap2.token'))
    status, _, err = run(SEALMQ, 'ca', 'enrol', '--mqtt', r.path('again'), '-h', '127.0.0.1', '-p', str(r.port), '--name', 'tap',
                         '--token-file', r.path('tap.token'), '--root', r.path('plant/root.crt'), '--control-prefix', PREFIX,
                         seconds=90)
    ok(status != 0 and 'refused' in err and r.issued() == count, 'a used token gets nothing more', err)
    eye.stop()


def refused(r):
    count = r.issued()
    r.token('valve')
    r.write('valve.token', '0' * 32 + '\n')
    status, _, err = r.enrol('valve')
    ok(status != 0 and 'refused' in err, 'a wrong token', err)
    shutil.rmtree(r.path('valve'), ignore_errors=True)
    r.token('valve', '--hours', '1')
    files = glob.glob(r.path('plant/tokens/valve'))
    with open(files[0], encoding='ascii') as file:
        words = file.read().split()
    words[2] = '1000000000'
    r.write('plant/tokens/valve', ' '.join(words) + '\n')
    status, _, err = r.enrol('valve')
    ok(status != 0 and 'refused' in err, 'a token past its time', err)
    shutil.rmtree(r.path('valve'), ignore_errors=True)
    # the token of one name for another
    r.token('valve')
    shutil.copy(r.path('valve.token'), r.path('pump.token'))
    status, _, err = r.enrol('pump')
    ok(status != 0 and 'refused' in err, 'somebody else\'s token', err)
    # revoked certificates renew nothing, whatever lists the device has
    r.token('gone')
    status, _, err = r.enrol('gone')
    ok(status == 0, 'enrolled', err)
    count += 1
    os.remove(r.path('gone/crl.pem'))
    r.must('revoke', 'gone', '--ca', 'plant')
    status, _, err = r.enrol('gone', '--force', first=False)
    ok(status != 0, 'a revoked certificate renews nothing', err)
    ok(r.issued() == count, 'none of them was given a certificate')
    for line in ('', '\0' * 40, 'junk'):
        r.write('junk', line)
        r.put(PREFIX + '/enrol/q', r.path('junk'))
    with open(r.path('heard-q'), 'rb') as file:
        good = file.read()
    for at in range(0, len(good), 37):
        with open(r.path('bent'), 'wb') as file:
            file.write(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        r.put(PREFIX + '/enrol/q', r.path('bent'))
    r.token('after')
    status, _, err = r.enrol('after')
    ok(status == 0 and r.issued() == count + 1, 'junk and bent requests get nothing, and others go on', err)


class Between(threading.Thread):
    """A broker's hand: answers a request itself, before the authority does, with what `forge` makes."""

    def __init__(self, r, forge):
        super().__init__(daemon=True)
        self.r, self.forge = r, forge
        self.eye = r.eye(PREFIX + '/enrol/q')

    def run(self):
        import hashlib
        if not wait(lambda: self.eye.lines, 60):
            return
        request = bytes.fromhex(self.eye.lines[0].split()[1])
        with open(self.r.path('forged'), 'wb') as file:
            file.write(self.forge(request))
        self.r.put('%s/enrol/a/%s' % (PREFIX, hashlib.sha256(request).hexdigest()[:32]), self.r.path('forged'))


def a_broker_that_lies(r):
    """Answers made or altered at the broker: with the authority silent, so that they are the only ones."""
    with open(r.path('heard-a'), 'rb') as file:
        other = file.read()
    r.server.stop()
    names = [('liar-1', 'another device\'s answer', lambda _: other),
             ('liar-2', 'an answer without a MAC', lambda _: other[:-34] + b'\x40'),
             ('liar-3', 'another device\'s answer, bent', lambda _: other[:200] + b'x' + other[201:])]
    for name, what, forge in names:
        r.token(name)
        hand = Between(r, forge)
        hand.start()
        status, _, err = r.enrol(name, '--timeout', '3')
        hand.join(60)
        hand.eye.stop()
        ok(status != 0 and not os.path.exists(r.path(name, 'member.crt')) and not os.path.exists(r.path(name, 'realm.yaml')),
           what + ' is not taken', err)
    # a renewal: the answer has no MAC, and must fit the key that asks
    hand = Between(r, lambda _: other)
    hand.start()
    before = serial(r.path('tap/member.pem'))
    status, _, err = r.enrol('tap', '--force', '--timeout', '4', first=False)
    hand.join(60)
    hand.eye.stop()
    ok(status != 0 and serial(r.path('tap/member.pem')) == before, 'a renewal: an old certificate is not taken', err)
    r.serve()
    status, _, err = r.enrol('liar-1')
    ok(status == 0 and os.path.exists(r.path('liar-1/member.crt')), 'when the authority is back, the same request is answered', err)


def lists(r):
    """Members and the key server take newer lists over the broker, and no older ones."""
    broker = ('-h', '127.0.0.1', '-p', str(r.port))
    passphrase = r.write('pass', 'several words\n')
    own = ('--realm', r.member('keys'), '--db', r.path('keys.db'), '--passphrase-file', passphrase)
    ok(run(SEALMQ, 'keyserver', 'init', *own)[0] == 0, 'a key server')
    keys = Process([SEALMQ, 'keyserver', 'run', *own, *broker])
    wait(lambda: any('connected' in line for line in keys.lines), 60)
    status, _, err = run(SEALMQ, 'group', 'create', 'halls', '--mode', 'update', '--filter', 'h/#', '--publish', '*', '--subscribe',
                         '*', '--realm', r.member('ops'), *broker)
    ok(status == 0, 'a group', err)
    # devices that are elsewhere: no copy of crl.pem reaches their directories but over the broker
    for name in ('desk', 'fridge-07', 'keys'):
        os.rename(r.member(name), r.path(name))
        os.symlink(r.path(name), r.member(name))
    os.remove(r.member('desk'))
    os.remove(r.member('fridge-07'))
    os.remove(r.member('keys'))
    eye = r.eye(PREFIX + '/crl')
    wait(lambda: eye.lines, 60)
    old = bytes.fromhex(eye.lines[-1].split()[1])
    sub = Process([SEALMQ, 'sub', '--realm', r.path('desk'), *broker, '--group', 'halls', '-t', 'h/#', '-F', '%s %p', '-d'])
    pub = Process([SEALMQ, 'pub', '--realm', r.path('fridge-07'), *broker, '--group', 'halls', '-t', 'h/a', '-q', '1', '-l'])

    def heard(word):
        pub.write(word)
        return any(word in line for line in sub.lines)
    ok(wait(lambda: heard("before"), 60), 'both are in the group', '\n'.join(sub.said[-8:] + pub.said + ['pub: %s, keys: %s' % (pub.child.poll(), keys.child.poll())] + keys.lines + keys.said))
    # `keys` runs with the directory it opened by its former name: its crl.pem is where that was
    os.symlink(r.path('keys'), r.member('keys'))
    count = len(eye.lines)
    r.must('revoke', 'fridge-07', '--ca', 'plant')
    ok(wait(lambda: len(eye.lines) > count, 60), 'a revocation is published, retained')
    new = bytes.fromhex(eye.lines[-1].split()[1])
    with open(r.path('new'), 'wb') as file:
        file.write(new)
    with open(r.path('old'), 'wb') as file:
        file.write(old)

    def entries(name):
        text = run('openssl', 'crl', '-in', r.path(name, 'crl.pem'), '-noout', '-text')
        with open(r.path(name, 'crl.pem'), encoding='ascii') as file:
            return text[0] == 0, file.read()
    ok(wait(lambda: any('new revocation list is in force' in line for line in sub.said), 60), 'a member takes it',
       '\n'.join(sub.said))
    ok(wait(lambda: any('revocation list: new' in line for line in keys.lines), 60), 'the key server takes it',
       '\n'.join(keys.lines))
    ok(wait(lambda: any('for 1 members' in line for line in keys.lines), 60),
       'and expels the revoked one from its groups', '\n'.join(keys.lines))
    held = entries('desk')[1]
    # played back, by whoever may publish there
    r.put(PREFIX + '/crl', r.path('old'), '-r')
    ok(sub.says('a new revocation list is not taken', 60), 'an older one that is played back is refused and told of',
       '\n'.join(sub.said))
    ok(entries('desk')[1] == held, 'and the newer one stays')
    # somebody else's list, and one that is altered
    r.must('init', 'other')
    r.must('crl', 'other', '--hours', '900')
    status, _, err = r.enrol('tap', first=False)
    ok(status == 0, 'a device that asks meanwhile', err)
    tap = entries('tap')[1]
    r.put(PREFIX + '/crl', r.path('other/crl.pem'), '-r')
    status, out, err = r.enrol('tap', first=False)
    ok(status == 0 and not json.loads(out)['crl'] and entries('tap')[1] == tap, 'a list of another realm is not taken', out + err)
    bent = new.replace(b'-----BEGIN X509 CRL-----\nMII', b'-----BEGIN X509 CRL-----\nMIJ', 1)
    with open(r.path('bent'), 'wb') as file:
        file.write(bent)
    r.put(PREFIX + '/crl', r.path('bent'), '-r')
    status, out, err = r.enrol('tap', first=False)
    ok(status == 0 and bent != new and entries('tap')[1] == tap, 'nor one that does not parse', out + err)
    r.put(PREFIX + '/crl', r.path('new'), '-r')
    for process in (sub, pub):
        process.stop()
    ok(keys.stop() == 0, 'the key server ends well', '\n'.join(keys.said))
    eye.stop()


def main():
    for name in ('mosquitto', 'mosquitto_pub', 'mosquitto_sub', 'openssl'):
        if not find(name):
            print('1..0 # SKIP %s is not installed' % name)
            return 0
    assert ROOT
    r = Realm()
    try:
        r.serve()
        for scene in (a_device_enrols, played_back, refused, a_broker_that_lies, lists):
            since = time.monotonic()
            scene(r)
            print('# %s: %.1f s' % (scene.__name__, time.monotonic() - since))
        ok(r.server.stop() == 0, 'SIGTERM ends the server well', '\n'.join(r.server.said))
    finally:
        r.strike()
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
