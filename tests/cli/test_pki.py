#!/usr/bin/env python3
"""An authority's daily work by the tool, as OpenSSL and running members see it.

usage: test_pki.py SEALMQ ROOT
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, Process, ok, play, run, wait  # noqa: E402

HERE = {}


def ca(*words, **options):
    return run(SEALMQ, 'ca', *words, cwd=HERE['dir'], **options)


def good(name, *words):
    status, out, err = ca(*words)
    ok(status == 0, name, err)
    return out


def path(*names):
    return os.path.join(HERE['dir'], *names)


def verify(cert, *more):
    status, out, err = run('openssl', 'verify', '-x509_strict', '-CAfile', path('mill/root.crt'), '-untrusted', cert,
                           *more, cert)
    return status, out + err


def text_of(file, kind='x509'):
    return run('openssl', kind, '-in', file, '-noout', '-text')[1]


def an_authority_with_an_offline_root(stage):
    HERE['dir'] = stage.path('offline')
    os.mkdir(HERE['dir'])
    with open(path('pass'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write('a passphrase of several words\n')
    secret = ('--passphrase-file', path('pass'))
    good('init with an issuing authority, P-384, under a passphrase', 'init', 'mill', '--issuing', '--key', 'p384',
         *secret)
    os.rename(path('mill/root.key'), path('root.key'))
    for name in ('desk', 'fridge'):
        good('issue %s, the root being elsewhere' % name, 'issue', name, *secret)
    good('a broker', 'issue', 'broker', '--role', 'broker', '--dns', 'localhost', '--ip', '::1', *secret)
    status, _, err = ca('issue', 'late')
    ok(status != 0 and '--passphrase-file' in err, 'without the passphrase nothing is issued', err)
    cert = path('mill/members/desk/member.crt')
    ok(verify(cert)[0] == 0, 'openssl verifies the chain', verify(cert)[1])
    server = path('mill/members/broker/server.crt')
    said = verify(server, '-purpose', 'sslserver', '-verify_hostname', 'localhost', '-verify_ip', '::1')
    ok(said[0] == 0, 'openssl verifies the broker as localhost and ::1', said[1])
    ok('pathlen:0' in text_of(path('mill/issuers', os.listdir(path('mill/issuers'))[0], 'issuing.crt')),
       'the issuing authority has path length 0')
    HERE['secret'] = secret


def a_fleet_at_once(_):
    names = ['pump-%03d' % i for i in range(40)]
    status, out, err = ca('issue', '--names', '-', '--json', *HERE['secret'], stdin='\n'.join(names) + '\n')
    ok(status == 0 and [i['name'] for i in json.loads(out)] == names, 'forty at once', err)
    said = verify(path('mill/members/pump-039/member.crt'))
    ok(said[0] == 0, 'openssl verifies the last', said[1])
    status, _, err = ca('issue', '--names', '-', *HERE['secret'], stdin='new\npump-007\n')
    ok(status != 0 and 'pump-007' in err and not os.path.exists(path('mill/members/new')), 'one is there: none', err)


def revocation(_):
    secret = HERE['secret']
    done = json.loads(good('revoke --json', 'revoke', 'fridge', '--reason', 'key-compromise', '--json', *secret))
    ok(done['revoked'] == 1 and done['crl']['number'] == 1 and done['crl']['entries'] == 1, 'it says what it did', done)
    more = ('-crl_check_all', '-CRLfile', path('mill/crl.pem'))
    ok('revoked' in verify(path('mill/members/fridge/member.crt'), *more)[1], 'openssl: revoked')
    said = verify(path('mill/members/desk/member.crt'), *more)
    ok(said[0] == 0, 'openssl: the other is not', said[1])
    with open(path('mill/crl.pem'), encoding='ascii') as file:
        lists = file.read().split('-----END X509 CRL-----\n')
    with open(path('one.pem'), 'w', encoding='ascii') as file:
        file.write(lists[1] + '-----END X509 CRL-----\n')
    text = text_of(path('one.pem'), 'crl')
    ok('Key Compromise' in text and 'CRL Number' in text and 'Next Update' in text, 'reason, number, next update', text)
    ok(os.path.exists(path('mill/members/desk/crl.pem')), 'members that are here have the list')
    os.rename(path('mill/members/desk'), path('desk'))
    done = json.loads(good('crl --json --to', 'crl', '--hours', '24', '--to', path('desk'), '--json', *secret))
    with open(path('desk/crl.pem'), encoding='ascii') as one, open(path('mill/crl.pem'), encoding='ascii') as other:
        ok(done['number'] == 2 and one.read() == other.read(), 'the next list has the next number, and goes where told')
    listed = {i['name']: i for i in json.loads(good('list --json', 'list', '--json'))}
    ok(listed['fridge']['status'] == 'revoked' and listed['fridge']['reason'] == 'key-compromise' and
       listed['desk']['status'] == 'valid', 'list --json has the states', listed)
    out = good('show', 'show', 'fridge')
    ok('revoked' in out and 'key-compromise' in out and listed['fridge']['serial'] in out, 'show has all of it', out)
    ok(json.loads(good('show --json', 'show', listed['desk']['serial'], '--json'))[0]['name'] == 'desk',
       'show finds a serial number')
    for words, says in ((('revoke', 'fridge'), 'already'), (('revoke', 'nobody'), 'no certificate'),
                        (('revoke', 'desk', '--reason', 'mood'), 'mood'), (('show', 'nobody'), 'no certificate'),
                        (('crl', '--hours', '0'), '--hours'), (('crl', '--to', '/'), 'neither'),
                        (('rollover',), 'root.key'), (('renew', 'nobody'), 'is not here'),
                        (('accept', 'desk'), '--from'), (('sign', 'nowhere.csr'), 'read'),
                        (('csr', 'x'), '--name')):
        status, out, err = ca(*words, *(secret if words[0] not in ('accept', 'csr', 'show') else ()))
        ok(status != 0 and says in err and not out, ' '.join(words), err)


def a_key_made_on_the_device(_):
    secret = HERE['secret']
    request = json.loads(good('csr', 'csr', 'meter', '--name', 'meter', '--key', 'ed25519', '--json'))['request']
    ok('Signature ok' in run('openssl', 'req', '-in', path(request), '-noout', '-verify')[2] or
       run('openssl', 'req', '-in', path(request), '-noout', '-verify')[0] == 0, 'openssl: the request proves its key')
    good('sign', 'sign', request, '--role', 'member,admin', *secret)
    ok('member.key' not in os.listdir(path('mill/members/meter')), 'the authority has no key of it')
    good('accept', 'accept', 'meter', '--from', 'mill/members/meter')
    ok(verify(path('meter/member.crt'))[0] == 0, 'openssl verifies it')
    good('csr for a renewal', 'csr', 'meter')
    good('sign it', 'sign', 'meter/next.csr', '--reissue', *secret)
    good('accept it', 'accept', 'meter', '--from', 'mill/members/meter')
    ok(os.stat(path('meter/member.pem')).st_mode & 0o777 == 0o600 and not os.path.exists(path('meter/next.key')),
       'the renewed identity is one closed file')
    # a request by somebody else's tool
    run('openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
        path('o.key'), '-out', path('o.csr'), '-subj', '/O=Somebody/CN=other')
    good('a request by openssl', 'sign', 'o.csr', *secret)
    run('openssl', 'req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', path('r.key'), '-out', path('r.csr'),
        '-subj', '/CN=rsa')
    status, _, err = ca('sign', 'r.csr', *secret)
    ok(status != 0 and 'kind' in err, 'an RSA key is not taken', err)


def renewal_and_rollover(_):
    secret = HERE['secret']
    before = text_of(path('mill/members/broker/server.crt'))
    good('renew a broker', 'renew', 'broker', *secret)
    after = text_of(path('mill/members/broker/server.crt'))
    san = [line for line in before.splitlines() if 'DNS:' in line]
    ok(before != after and san and san == [line for line in after.splitlines() if 'DNS:' in line],
       'another certificate with the same hosts', after)
    ok(any(name.startswith('broker.before-') for name in os.listdir(path('mill/members'))), 'the one before is kept')
    os.rename(path('root.key'), path('mill/root.key'))
    good('rollover, with the root here', 'rollover', '--key', 'ed25519', *secret)
    os.rename(path('mill/root.key'), path('root.key'))
    good('the new one issues', 'issue', 'young', *secret)
    good('and lists go on', 'crl', *secret)
    more = ('-crl_check_all', '-CRLfile', path('mill/crl.pem'))
    for name in ('mill/members/young/member.crt', 'meter/member.crt'):
        said = verify(path(name), *more)
        ok(said[0] == 0, 'openssl verifies %s with all lists' % name, said[1])


def a_revoked_peer_is_cut_off_at_once(stage):
    """Both talk; one is revoked; the session ends, and nothing more of it opens. A third one talks on."""
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/r/#', '-F', '%s %p', '--from', 'fridge-07,ward-3')
    bad = stage.pub('fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/r/fridge', '-l')
    still = stage.pub('ward-3', '--to', 'desk', '-q', '1', '-t', 'plant/r/ward', '-l')
    bad.write('before')
    still.write('before')
    ok(sub.got(2), 'both arrive before', '\n'.join(sub.said))
    status, _, err = run(SEALMQ, 'ca', 'revoke', 'fridge-07', '--reason', 'key-compromise', '--ca', stage.ca)
    ok(status == 0, 'revoked while they talk', err)
    ok(sub.says("session with 'fridge-07' ended: a revoked certificate", 60), 'the session ends', '\n'.join(sub.said))
    bad.write('after')
    still.write('after')
    ok(wait(lambda: 'ward-3 after' in sub.lines, 60), 'the third one talks on', '\n'.join(sub.said))
    ok('fridge-07 after' not in sub.lines, 'the revoked one is not heard any more')
    sub.stop()
    # a subscriber that starts now does not let it in either
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/r/#', '-F', '%s %p', '--from', 'fridge-07,ward-3')
    again = Process(stage.words('pub', 'fridge-07', '--to', 'desk', '-q', '1', '-t', 'plant/r/fridge', '-m', 'new'))
    ok(again.end(40) not in (0, None), 'its own tool says that it is revoked', '\n'.join(again.said))
    ok(any('revoked' in line for line in again.said), 'in so many words', '\n'.join(again.said))
    for _ in range(60):  # what was sealed for its former life is lost; then there are new keys
        still.write('last')
        if wait(lambda: 'ward-3 last' in sub.lines, 0.5):
            break
    ok('ward-3 last' in sub.lines and not any('new' in line for line in sub.lines),
       'and a newcomer does not hear it', '\n'.join(sub.said + sub.lines))


def a_renewed_member_talks_on(stage):
    status, _, err = run(SEALMQ, 'ca', 'renew', 'pump-2', '--ca', stage.ca)
    ok(status == 0, 'renewed', err)
    sub = stage.sub('desk', '-q', '1', '-t', 'plant/n', '-F', '%s %p', '--from', 'pump-2')
    words = [SEALMQ, 'pub', '--realm', stage.member('pump-2'), '-h', 'localhost', '-p', str(stage.port), '--tls', '--to',
             'desk', '-q', '1', '-t', 'plant/n', '-m', 'renewed']
    status, _, err = run(*words)
    ok(status == 0 and sub.got(1) and sub.lines == ['pump-2 renewed'], 'with its new certificate, in TLS and in EDHOC',
       err + '\n'.join(sub.said))


if __name__ == '__main__':
    sys.exit(play([an_authority_with_an_offline_root, a_fleet_at_once, revocation, a_key_made_on_the_device, renewal_and_rollover,
                   a_renewed_member_talks_on, a_revoked_peer_is_cut_off_at_once]))
