#!/usr/bin/env python3
"""`sealmq broker init`: what it writes, held against the programs that will read it, and what it leaves alone.

usage: test_broker_init.py SEALMQ ROOT
"""
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SEALMQ, ROOT = (os.path.abspath(path) for path in sys.argv[1:3])
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402
from findings import of_files  # noqa: E402

TAP = Tap()
USAGE, EXISTS, REALM, UNSAFE = 1, 86, 89, 88
PATH = os.environ.get('PATH', os.defpath) + ':/usr/sbin:/sbin:/usr/local/sbin'


def ok(good, name, details=''):
    TAP.row(bool(good), name, details.splitlines())


def run(*words, **env):
    environ = {k: v for k, v in os.environ.items() if not k.startswith('SEALMQ_')}
    environ.update(env, PATH=PATH)
    return subprocess.run(words, capture_output=True, text=True, env=environ, timeout=60)


def sealmq(*words, **env):
    return run(SEALMQ, *words, **env)


def have(program, name):
    if shutil.which(program, path=PATH):
        return True
    TAP.skip(name, program + ' is not installed')
    return False


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def tree(top):
    """Every file below with its content and mode."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, 'rb') as file:
                found[os.path.relpath(path, top)] = (file.read(), os.stat(path).st_mode)
    return found


def made():
    done = sealmq('broker', 'init', 'b', '--realm', 'plant', '--dns', 'localhost', '--dns', 'mqtt.example')
    ok(done.returncode == 0 and '2 members' in done.stdout, 'a deployment from the realm', done.stderr)
    ok(os.path.exists('plant/members/broker/server.key'), 'the broker\'s certificate was issued')
    modes = [oct(os.stat('b/' + name).st_mode & 0o777) for name in ('certs', 'certs/server.key', 'conf/acl', 'data')]
    ok(modes == ['0o700', '0o600', '0o600', '0o700'], 'what is secret is closed', str(modes))
    texts = ''.join(read('b/conf/' + n) for n in os.listdir('b/conf') if os.path.isfile('b/conf/' + n))
    ok(not re.search(r'@\w+@', texts), 'no hole is left unfilled', str(re.findall(r'@\w+@', texts)))
    ok('PRIVATE' not in texts, 'no key in the configuration')
    done = run('openssl', 'verify', '-verify_hostname', 'mqtt.example', '-CAfile', 'plant/root.crt', 'b/certs/server.crt')
    ok(done.returncode == 0, 'its certificate has the names asked for', done.stderr)


def mosquitto_conf():
    lines = read('b/conf/mosquitto.conf').splitlines()
    for line in ('allow_anonymous false', 'listener 18883 127.0.0.1', 'tls_version tlsv1.3', 'require_certificate true',
                 'use_identity_as_username true', 'set_tcp_nodelay true', 'acl_file conf/acl', 'persistence true',
                 'connection_messages true', 'max_connections 10000', 'log_timestamp_format %Y-%m-%dT%H:%M:%S%z'):
        ok(line in lines, 'mosquitto.conf: ' + line)
    ok(not any('crlfile' in line or 'password_file' in line for line in lines), 'no CRL and no passwords unasked')
    acl = read('b/conf/acl')
    ok('user desk\ntopic write sealmq/plant/keyex/+\ntopic read sealmq/plant/keyex/all\n'
       'topic read sealmq/plant/g/#\n' in acl and 'topic write sealmq/plant/ks/q/desk\n' in acl and
       'topic write sealmq/plant/cert/desk\ntopic read sealmq/plant/command/+/to/desk\n' in acl and
       '\ntopic write plant/desk/#\ntopic read plant/#\n' in acl and 'pattern read sealmq/plant/keyex/%u\n' in acl and acl.count('user ') == 2,
       'acl: a section for each member', acl)
    rights = [line.split()[2] for line in acl.split('user desk\n')[1].split('\nuser ')[0].splitlines() if line.startswith('topic write')]
    ok('#' not in rights and all(r.startswith(('sealmq/plant/', 'plant/desk/')) for r in rights),
       'lesson: a certificate publishes under its own name, not anywhere', str(rights))


def no_key_of_the_authority():
    """The authority's key is never where the broker is."""
    keys = [read(os.path.join('plant', name)) for name in ('root.key', 'issuing.key') if os.path.exists('plant/' + name)]
    held = []
    for top, _, names in os.walk('b'):
        for name in names:
            with open(os.path.join(top, name), encoding='utf-8', errors='replace') as file:
                text = file.read()
            held += [os.path.join(top, name) for key in keys if key.splitlines()[1] in text]
    ok(keys and not held, "lesson: the authority's key is not in the broker's deployment", str(held))


def units():
    if not have('systemd-analyze', 'systemd units'):
        return
    for unit in ('sealmq-mosquitto.service', 'sealmq-nginx.service'):
        done = run('systemd-analyze', 'security', '--offline=yes', os.path.abspath('b/conf/' + unit))
        match = re.search(r'exposure level for \S+: ([0-9.]+)', done.stdout)
        ok(match and float(match.group(1)) <= 2.0, unit + ': exposure at most 2.0', done.stdout[-300:] + done.stderr)
        done = run('systemd-analyze', 'verify', os.path.abspath('b/conf/' + unit))
        bad = [line for line in done.stderr.splitlines() if unit in line and 'not executable' not in line]
        ok(not bad, unit + ': systemd has nothing to complain about', '\n'.join(bad))


def others():
    if have('nginx', 'nginx.conf'):
        done = run('nginx', '-t', '-p', os.path.abspath('b'), '-e', 'log/nginx-error.log', '-c', 'conf/nginx.conf')
        ok(done.returncode == 0, 'lesson: the proxy configuration starts on the packaged NGINX', done.stderr)
    if have('nft', 'nftables.conf'):
        done = run('nft', '-c', '-f', 'b/conf/nftables.conf')
        if 'Operation not permitted' in done.stderr:
            TAP.skip('nft takes the rules', 'nft may not look at the kernel here')
        else:
            ok(done.returncode == 0, 'nft takes the rules', done.stderr)
    if have('logrotate', 'logrotate.conf'):
        done = run('logrotate', '-d', 'b/conf/logrotate.conf')
        beside = ('stat of', 'unknown user', 'switching euid')  # of this machine and of who runs it here
        bad = [line for line in done.stderr.splitlines() if 'error:' in line and not any(b in line for b in beside)]
        ok(not bad, 'logrotate reads its part', '\n'.join(bad))
    compose()


def compose():
    try:
        import yaml
    except ImportError:
        TAP.skip('docker-compose.yml', 'python3-yaml is not installed')
        return
    said = yaml.safe_load(read('b/conf/docker-compose.yml'))
    services = said['services']
    ok(set(services) == {'mosquitto', 'nginx'}, 'docker-compose.yml: two services')
    for name, s in services.items():
        ok(s['read_only'] and s['cap_drop'] == ['ALL'] and s['security_opt'] == ['no-new-privileges:true'] and
           s['healthcheck']['test'] and not s['user'].startswith('0'), 'docker-compose.yml: %s is closed in' % name, str(s))
        docker = read(os.path.join('b/conf/docker', s['build']['dockerfile']))
        ok(re.search(r'^FROM debian:12\.\d+-slim$', docker, re.M) and 'USER 1883' in docker, name + ': a pinned base')
    ok('ports' not in services['mosquitto'], 'docker-compose.yml: only NGINX is seen from outside')
    client = shutil.which('docker-compose', path=PATH)
    command = ['docker-compose'] if client else ['docker', 'compose']
    if not client and run('sh', '-c', 'docker compose version').returncode != 0:
        TAP.skip('docker compose config', 'no client here')
        return
    done = run(*command, '-f', 'b/conf/docker-compose.yml', 'config')
    ok(done.returncode == 0 and 'sealmq' in done.stdout, 'docker compose config', done.stderr)


def again():
    write('b/acl.local/50-desk.acl', 'user desk\ntopic write plant/fridge-07/set\n')
    write('b/mosquitto.local/own.conf', 'sys_interval 30\n')
    write('b/nginx.local/own.conf', '# mine\n')
    write('b/data/mosquitto.db', 'kept')
    key = read('b/certs/server.key')
    sealmq('ca', 'issue', 'pump-2', '--ca', 'plant')
    sealmq('ca', 'issue', 'keys', '--ca', 'plant', '--role', 'keyserver')
    done = sealmq('broker', 'init', 'b', '--realm', 'plant', '--port', '8893', '--password-port', '8894', '--json')
    said = json.loads(done.stdout)
    ok(said['replaced'] and not said['issued'] and said['members'] == 4, 'again: replaced, nothing issued', done.stdout)
    acl = read('b/conf/acl')
    ok('user keys\n' in acl and acl.count('topic readwrite sealmq/plant/g/#\ntopic readwrite sealmq/plant/ks/claim\n') == 1,
       'again: groups are for the key server alone to write', acl)
    ok('user pump-2\n' in acl and acl.endswith('user desk\ntopic write plant/fridge-07/set\n\n'),
       'again: the new member is in, and lines of one\'s own come last', acl)
    ok(read('b/mosquitto.local/own.conf') == 'sys_interval 30\n' and read('b/nginx.local/own.conf') == '# mine\n' and
       read('b/data/mosquitto.db') == 'kept' and read('b/certs/server.key') == key, 'again: what is not ours is kept')
    conf = read('b/conf/mosquitto.conf')
    ok('listener 18893 127.0.0.1' in conf and 'listener 18894 127.0.0.1' in conf and 'password_file passwords' in conf and
       os.stat('b/passwords').st_mode & 0o777 == 0o600, 'again: another port, and passwords')
    write('b/passwords', 'meter:$7$101$x\n')
    ok(sealmq('broker', 'init', 'b', '--realm', 'plant', '--password-port', '8894').returncode == 0 and
       'meter' in read('b/passwords'), 'again: passwords are kept')
    ok(not [n for n in os.listdir('b') if '.new-' in n], 'again: nothing is left lying about')


def without_nginx():
    done = sealmq('broker', 'init', 'alone', '--realm', 'plant', '--no-nginx', '--address', '127.0.0.1', '--log-denials',
                  '--place', '/srv/mqtt')
    conf = read('alone/conf/mosquitto.conf')
    ok(done.returncode == 0 and 'listener 8883 127.0.0.1' in conf and 'log_type debug' in conf and
       not os.path.exists('alone/conf/nginx.conf'), 'without NGINX Mosquitto listens itself', conf)
    ok('WorkingDirectory=/srv/mqtt\n' in read('alone/conf/sealmq-mosquitto.service'), 'the place it will lie at')


def revocation():
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
    except ImportError:
        TAP.skip('a revocation list', 'python3-cryptography is not installed')
        return
    root = x509.load_pem_x509_certificate(read('plant/root.crt').encode())
    key = serialization.load_pem_private_key(read('plant/root.key').encode(), None)
    now = datetime.datetime.utcnow()
    crl = x509.CertificateRevocationListBuilder().issuer_name(root.subject).last_update(now).next_update(
        now + datetime.timedelta(days=7)).sign(key, hashes.SHA256())
    write('plant/crl.pem', crl.public_bytes(serialization.Encoding.PEM).decode())
    done = sealmq('broker', 'init', 'b', '--realm', 'plant')
    ok(done.returncode == 0 and 'crlfile certs/crl.pem\n' in read('b/conf/mosquitto.conf') and
       'BEGIN X509 CRL' in read('b/certs/crl.pem'), 'a realm with a revocation list has it at the broker', done.stderr)


def dockerfile(path):
    """What a linter of Dockerfiles would say: pinned base and packages, one layer without leftovers, no root, a form of
    entrypoint that passes signals on."""
    text = re.sub(r'\\\n', ' ', read(path))
    lines = [line for line in text.splitlines() if line and not line.startswith('#')]
    words = [line.split()[0] for line in lines]
    installed = re.search(r'apt-get install -y --no-install-recommends (.*?) *&& rm -rf /var/lib/apt/lists/\*', text)
    return (words[0] == 'FROM' and ':latest' not in lines[0] and installed and
            all(re.fullmatch(r'"[a-z0-9.+-]+=[0-9][^"]*"', word) for word in installed.group(1).split()) and
            'ADD' not in words and 'sudo' not in text and 'curl' not in text and
            re.search(r'^USER [1-9]', text, re.M) and words.index('USER') > words.index('RUN') and
            re.search(r'^ENTRYPOINT \[".*"\]$', text, re.M) and 'STOPSIGNAL' in words)


PROFILES = {  # profile: (more options, files that must be there, services of compose, units)
    'single': ([], ['mosquitto.conf'], ['mosquitto'], ['sealmq-mosquitto.service']),
    'nginx': (['--end-tls', '--wss-port', '8443', '--password-port', '8884'], ['identity.js'], ['mosquitto', 'nginx'],
              ['sealmq-mosquitto.service', 'sealmq-nginx.service']),
    'mosquittos': (['--balance', 'hash', '--sni', 'www.example=127.0.0.1:8443', '--alpn-http', '127.0.0.1:8443', '--password-port', '8884'],
                   ['mosquitto-1.conf', 'mosquitto-3.conf', 'mesh.so', 'acl'],
                   ['mosquitto-1', 'mosquitto-2', 'mosquitto-3', 'nginx'], ['sealmq-mosquitto@.service', 'sealmq-nginx.service']),
    'nats': ([], ['nats-2.conf', 'nats-users.conf'], ['nats-1', 'nats-2', 'nats-3', 'nginx'],
             ['sealmq-nats@.service', 'sealmq-nginx.service']),
    'rabbitmq': ([], ['rabbitmq-2.conf', 'rabbitmq-2.env', 'rabbitmq-users.json'],
                 ['nginx', 'rabbitmq-1', 'rabbitmq-2', 'rabbitmq-3'],
                 ['sealmq-rabbitmq@.service', 'sealmq-epmd.service', 'sealmq-nginx.service']),
}


def one_profile(name, more, files, services, units_):
    top = 'p-' + name
    done = sealmq('broker', 'init', top, '--realm', 'plant', '--profile', name, *more)
    if 'mosquitto-dev' in done.stderr:
        TAP.skip('profile ' + name, 'the plugin was not built: mosquitto-dev is not installed')
        return
    have_all = all(os.path.exists(os.path.join(top, 'conf', f)) for f in files)
    texts = {f: read(os.path.join(folder, f)) for folder, _, names in os.walk(top + '/conf') for f in names if f != 'mesh.so'}
    ok(done.returncode == 0 and have_all, 'profile %s: its files' % name, done.stderr)
    ok(not [f for f, text in texts.items() if re.search(r'@\w+@(?!localhost)', text)], 'profile %s: no hole is left' % name)
    if name != 'single' and have('nginx', 'nginx.conf of ' + name):
        done = run('nginx', '-t', '-p', os.path.abspath(top), '-e', 'log/nginx-error.log', '-c', 'conf/nginx.conf')
        ok(done.returncode == 0, 'profile %s: NGINX takes its configuration' % name, done.stderr)
    secret = [f for f in ('certs/server.key', 'certs/link.key', 'data/link.secret', 'data/.erlang.cookie', 'conf/nats-1.conf', 'conf/rabbitmq-users.json')
              if os.path.exists(os.path.join(top, f)) and os.stat(os.path.join(top, f)).st_mode & 0o077]
    ok(not secret, 'profile %s: what is secret is closed' % name, str(secret))
    done = sealmq('broker', 'check', top, '--json')
    found = of_files(json.loads(done.stdout)['findings'])
    ok(all(f['severity'] == 'low' for f in found), 'profile %s: check has nothing to complain about' % name, done.stdout)
    if have('systemd-analyze', 'units of ' + name):
        for unit in units_:
            done = run('systemd-analyze', 'security', '--offline=yes', os.path.abspath(top + '/conf/' + unit))
            match = re.search(r'exposure level for \S+: ([0-9.]+)', done.stdout)
            ok(match and float(match.group(1)) <= 2.0, 'profile %s: exposure of %s at most 2.0' % (name, unit), done.stdout[-300:] + done.stderr)
    for path in os.listdir(top + '/conf/docker'):
        ok(dockerfile(os.path.join(top, 'conf/docker', path)), 'profile %s: %s' % (name, path), read(os.path.join(top, 'conf/docker', path)))
    try:
        import yaml
    except ImportError:
        TAP.skip('compose of ' + name, 'python3-yaml is not installed')
        return
    said = yaml.safe_load(texts['docker-compose.yml'])['services']
    ok(sorted(said) == sorted(services) and all(s['read_only'] and s['cap_drop'] == ['ALL'] and s['healthcheck'] and
                                                s['security_opt'] == ['no-new-privileges:true'] for s in said.values()),
       'profile %s: its services are closed in' % name, str(said))
    ok(all('ports' not in s for n, s in said.items() if n != 'nginx' and name != 'single'), 'profile %s: one is seen from outside' % name)


def profiles():
    for name, row in PROFILES.items():
        one_profile(name, *row)
    secret = read('p-nats/data/link.secret')
    sealmq('broker', 'init', 'p-nats', '--realm', 'plant', '--profile', 'nats')
    ok(read('p-nats/data/link.secret') == secret and secret in read('p-nats/conf/nats-1.conf'), 'again: what the nodes know each other by stays')
    if not shutil.which('nats-server', path=PATH):
        TAP.skip('nats-server takes its configuration', 'it is not installed')
    else:
        done = subprocess.run(['nats-server', '-t', '-c', 'conf/nats-1.conf'], cwd='p-nats', capture_output=True, text=True, env={'PATH': PATH})
        ok(done.returncode == 0, 'nats-server takes its configuration', done.stderr)


def heeds_revocations():
    """conf/revoked.sh beside a systemctl that only writes down what it was told."""
    os.mkdir('bin')
    write('bin/systemctl', '#!/bin/sh\necho "$@" >>told\n')
    os.chmod('bin/systemctl', 0o755)

    def heed():
        done = subprocess.run(['sh', 'conf/revoked.sh', 'run/count', 'a.service', 'b.service'], cwd='b', capture_output=True, text=True,
                              env={'PATH': os.path.abspath('bin') + ':' + PATH})
        return done.returncode == 0 and read('b/told').splitlines()[-1]
    sealmq('ca', 'init', 'other')
    sealmq('ca', 'issue', 'gone', '--ca', 'other')
    sealmq('ca', 'crl', '--ca', 'other')
    shutil.copy('other/crl.pem', 'b/certs/crl.pem')
    ok(heed() == 'try-reload-or-restart a.service b.service', 'systemd: a list that revokes nobody is reloaded')
    sealmq('ca', 'revoke', 'gone', '--ca', 'other')
    shutil.copy('other/crl.pem', 'b/certs/crl.pem')
    ok(heed() == 'try-restart a.service b.service', 'systemd: one that revokes more makes everybody connect again')
    sealmq('ca', 'crl', '--ca', 'other')
    shutil.copy('other/crl.pem', 'b/certs/crl.pem')
    ok(heed() == 'try-reload-or-restart a.service b.service', 'systemd: the same one, renewed, is reloaded')
    text = read('b/conf/sealmq-revoked.path')
    ok('PathChanged=%s/certs/crl.pem\n' % os.path.realpath('b') in text and 'sealmq-mosquitto.service' in read('b/conf/sealmq-revoked.service'),
       'systemd: a unit looks for it', text)
    os.unlink('b/told')


def refusals():
    os.mkdir('full')
    write('full/x', 'mine')
    sealmq('ca', 'init', 'odd', '--control-prefix', 'odd/control')
    sealmq('ca', 'init', 'inner', '--keyex-topic', 'a/x{to}/b')
    sealmq('ca', 'init', 'shared', '--keyex-topic', 'ton_iot/keyex')
    rows = [
        (EXISTS, ['full', '--realm', 'plant'], 'has not made it'),
        (USAGE, ['n'], '--realm'),
        (REALM, ['n', '--realm', 'full'], 'authority'),
        (USAGE, ['n', '--realm', 'odd'], '--topics'),
        (USAGE, ['n', '--realm', 'inner'], '{to}'),
        (USAGE, ['n', '--realm', 'plant', '--topics', 'sealmq'], '--topics'),
        (USAGE, ['n', '--realm', 'plant', '--topics', 'a/#'], '--topics'),
        (USAGE, ['n', '--realm', 'plant', '--password-port', '8883'], '8883'),
        (USAGE, ['n', '--realm', 'plant', '--port', '0'], '65535'),
        (USAGE, ['n', '--realm', 'plant', '--port', '1x'], '1x'),
        (USAGE, ['n', '--realm', 'plant', '--address', 'all of them'], 'address'),
        (USAGE, ['n', '--realm', 'plant', '--place', '/srv/a b'], '--place'),
        (USAGE, ['n', '--realm', 'plant', '--place', 'srv'], '--place'),
        (USAGE, ['n', '--realm', 'plant', '--frobnicate'], '--frobnicate'),
        (USAGE, ['n', 'm', '--realm', 'plant'], "'m'"),
        (USAGE, ['n', '--realm', 'plant', '--profile', 'emqx'], 'emqx'),
        (USAGE, ['n', '--realm', 'plant', '--profile', 'nats', '--password-port', '8884'], 'passwords'),
        (USAGE, ['n', '--realm', 'plant', '--profile', 'nats', '--topics', 'a.b'], 'a.b'),
        (USAGE, ['n', '--realm', 'plant', '--profile', 'mosquittos', '--end-tls'], '--profile nginx'),
        (USAGE, ['n', '--realm', 'plant', '--profile', 'single', '--wss-port', '8443'], '--profile nginx'),
        (USAGE, ['n', '--realm', 'plant', '--balance', 'luck'], 'luck'),
        (USAGE, ['n', '--realm', 'plant', '--sni', 'www.example'], 'www.example'),
        (USAGE, ['n', '--realm', 'plant', '--sni', 'a;b=127.0.0.1:1'], 'route'),
        (USAGE, ['n', '--realm', 'plant', '--no-nginx', '--alpn-http', '127.0.0.1:1'], 'NGINX'),
        (USAGE, [], 'directory'),
    ]
    for status, words, says in rows:
        done = sealmq('broker', 'init', *words)
        ok(done.returncode == status and says in done.stderr and not done.stdout and not os.path.exists('n'),
           'init ' + ' '.join(words), '%d: %s' % (done.returncode, done.stderr))
    ok(sealmq('broker', 'init', 'n', '--realm', 'odd', '--topics', 'factory').returncode == 0, 'topics of another name')
    done = sealmq('broker', 'init', 's', '--realm', 'shared')
    sealmq('ca', 'issue', 'x', '--ca', 'shared')
    done = sealmq('broker', 'init', 's', '--realm', 'shared')
    ok(done.returncode == 0 and 'topic readwrite ton_iot/keyex\n' in read('s/conf/acl'), 'one key-exchange topic for all')
    ok(sealmq('broker').returncode == USAGE and sealmq('broker', 'x').returncode == USAGE, 'broker wants a part')
    for words in (['broker'], ['broker', 'init']):
        done = sealmq(*words, '--help')
        ok(done.returncode == 0 and '--realm' in done.stdout, ' '.join(words) + ' --help')


def failing():
    before = tree('b')
    os.chmod('plant/members/broker/server.key', 0o644)
    done = sealmq('broker', 'init', 'b', '--realm', 'plant', '--port', '9999')
    os.chmod('plant/members/broker/server.key', 0o600)
    ok(done.returncode == UNSAFE and tree('b') == before,
       'lesson: a run that fails has replaced nothing, certificates least of all', done.stderr)


def killed():
    for n in range(14):
        child = subprocess.Popen([SEALMQ, 'broker', 'init', 'k%d' % (n % 2), '--realm', 'plant', '--port', str(20000 + n)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.002 * n)
        child.send_signal(signal.SIGTERM if n % 3 == 0 else signal.SIGKILL)
        child.wait()
    whole = True
    for top in ('k0', 'k1'):
        if os.path.exists(top):
            names = sorted(n for n in os.listdir(top) if '.new-' not in n)
            conf, nginx = read(top + '/conf/mosquitto.conf'), read(top + '/conf/nginx.conf')
            port = int(re.search(r'^listener (\d+)', conf, re.M).group(1)) - 10000
            whole = whole and 'certs' in names and len(os.listdir(top + '/conf')) == 14 and 'listen %d ' % port in nginx
    ok(whole, 'killed at any moment: the old one or the new one, never half of each')
    done = sealmq('broker', 'init', 'k0', '--realm', 'plant')
    ok(done.returncode == 0 and not [n for n in os.listdir('k0') if '.new-' in n], 'the next run sweeps up', done.stderr)


def main():
    room = tempfile.mkdtemp(prefix='sealmq-broker-')
    os.chdir(room)
    try:
        sealmq('ca', 'init', 'plant')
        for name in ('fridge-07', 'desk'):
            sealmq('ca', 'issue', name, '--ca', 'plant')
        for part in (made, mosquitto_conf, no_key_of_the_authority, units, others, again, without_nginx, revocation, profiles,
                     heeds_revocations, refusals, failing, killed):
            part()
    finally:
        os.chdir('/')
        shutil.rmtree(room)
    return TAP.end()


sys.exit(main())
