#!/usr/bin/env python3
"""`sealmq config` on good and wrong files, and FORMATS.md 4 against the table of keys.

usage: test_config.py SEALMQ ROOT
"""
import json
import os
import subprocess
import sys
import tempfile

SEALMQ, ROOT = sys.argv[1:3]
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from tap import Tap  # noqa: E402

TAP = Tap()


def run(*args, **variables):
    env = {'PATH': os.environ['PATH'], 'XDG_CONFIG_HOME': '/nonexistent', **variables}
    if 'LD_LIBRARY_PATH' in os.environ:
        env['LD_LIBRARY_PATH'] = os.environ['LD_LIBRARY_PATH']
    done = subprocess.run([SEALMQ, 'config', *args], env=env, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode('utf-8', 'strict'), done.stderr.decode('utf-8', 'strict')


def write(where, name, text, mode=0o600):
    path = os.path.join(where, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    os.chmod(path, mode)
    return path


CHECKED = [
    ('broker:\n  port: 99999\n', 3, ":2:9: key 'broker.port': '99999' is not a whole number from 1 to 65535"),
    ('brokr:\n  port: 1\n', 3, ":1:1: key 'brokr': unknown key; did you mean 'broker'?"),
    ('qos: 1\nqos: 2\n', 3, ":2:1: key 'qos': given twice, first on line 1; keep one"),
    ('keyex: {rotate_every: 300}\n', 3, "give a number and a unit"),
    ('broker:\n\tport: 1\n', 3, ':2:1: '),
    ('broker: {tls: {cert_file: a}}\n', 3, "sealmq.yaml:1: key 'broker.tls.cert_file': needs its private key"),
    ('topics: {publish: "a\\e[2J"}\n', 3, 'control character'),
    ('broker: {tls: {psk_file: a}}\n', 3, "key 'broker.tls.psk_file': needs its name; give broker.tls.psk_identity too"),
    ('broker: {tls: {psk_identity: a}}\n', 3, "key 'broker.tls.psk_identity': needs the key"),
    ('broker: {tls: {psk_file: a, psk_identity: b, by_realm: true}}\n', 3, 'stands beside certificates'),
    ('will: {payload: gone}\n', 3, "key 'will.payload': needs a topic"),
    ('will: {topic: "a/#"}\n', 3, "key 'will.topic'"),
    ('proof: {sign: all}\n', 3, "key 'proof.sign'"),
    ('proof: {sign: every, checkpoint_messages: 9}\n', 3, 'give proof.sign: checkpoint too'),
    ('\x00', 3, ':1:1: '),
]


def checks(where):
    for number, (text, want, part) in enumerate(CHECKED):
        path = write(where, 'sealmq.yaml', text)
        status, out, err = run('check', path)
        TAP.row(status == want and part in err and out == '' and err.count('\n') == 1,
                'mistake %d: %s' % (number, part), ['status %d' % status, out, err])
    status, out, err = run('check', where + '/none.yaml')
    TAP.row(status == 14 and 'none.yaml: No such file' in err, 'a missing file', [err])
    path = write(where, 'sealmq.yaml', 'broker: {username: u, password: hush}\n', 0o644)
    status, out, err = run('check', path)
    TAP.row(status == 88 and 'chmod 600' in err and 'hush' not in out + err, 'a password that others can read', [err])
    path = write(where, 'sealmq.yaml', 'qos: 2\n')
    status, out, err = run('check', path, SEALMQ_PORT='x')
    TAP.row(status == 3 and "SEALMQ_PORT: key 'broker.port': 'x'" in err, 'a wrong variable', [err])
    status, out, err = run('check', path, SEALMQ_PROT='1')
    TAP.row(status == 0 and 'warning: SEALMQ_PROT ' in err and '1 key set' in out, 'a misspelt variable', [out, err])
    path = write(where, 'sealmq.yaml', 'realm: nowhere\n')
    status, out, err = run('check', path)
    TAP.row(status == 0 and 'warning: realm: %s/nowhere is not there' % where in err, 'a missing realm', [err])


def shows(where):
    path = write(where, 'sealmq.yaml', 'broker:\n  host: file.example\n  username: u\n  password: hush\n'
                 '  port: 1000\n  socks5: socks5h://u:hush@p:1\npeers: {from: [a, b]}\nsource: {rate: 2.5}\n')
    status, out, err = run('show', path, SEALMQ_PORT='2000')
    rows = {line.split()[0]: line.split()[1:] for line in out.split('\n') if line}
    TAP.row(status == 0 and rows['broker.host'] == ['file.example', path + ':2'], 'from the file, with its line')
    TAP.row(rows['broker.port'] == ['2000', 'SEALMQ_PORT'], 'the environment wins, and is named')
    TAP.row(rows['qos'] == ['0', 'default'] and rows['broker.client_id'] == ['(random)', 'not', 'set'],
            'defaults and what is not set')
    status, text, _ = run('show', path, '--json', SEALMQ_PORT='2000')
    values = json.loads(text)['values']
    TAP.row(values['broker.port'] == {'value': 2000, 'origin': 'environment', 'from': 'SEALMQ_PORT'} and
            values['peers.from']['value'] == ['a', 'b'] and values['source.rate']['value'] == 2.5 and
            values['broker.clean_start']['value'] is True and values['topics.publish']['value'] is None,
            'JSON has types', [text])
    TAP.row('hush' not in out + text and values['broker.password']['value'] == '********', 'secrets are masked')
    status, out, err = run('show', SEALMQ_CONFIG=path)
    TAP.row(status == 0 and 'file.example' in out, '$SEALMQ_CONFIG names the file')


def made(where):
    status, text, err = run('example')
    path = write(where, 'sealmq.yaml', text)
    status, out, err = run('check', path)
    TAP.row(status == 0 and err == '', 'the example passes its own check', [err])
    status, table, err = run('reference')
    with open(ROOT + '/doc/FORMATS.md', encoding='utf-8') as file:
        TAP.row(table in file.read(), 'FORMATS.md 4 has the present table of keys',
                ['put the output of `sealmq config reference` there'])


def usage():
    for args in ([], ['chek'], ['check', '--json'], ['example', 'x'], ['check', 'a', 'b'], ['check', '-x']):
        status, out, err = run(*args)
        TAP.row(status == 1 and out == '' and err, 'wrong usage: %s' % ' '.join(args), [out, err])
    status, out, err = run('--help')
    TAP.row(status == 0 and out.startswith('usage: '), 'help')


def main():
    with tempfile.TemporaryDirectory() as where:
        checks(where)
        shows(where)
        made(where)
    usage()
    return TAP.end()


if __name__ == '__main__':
    sys.exit(main())
