#!/usr/bin/env python3
"""SealMQ over the engines that Debian packages, and what each of them lacks: the table in doc/BROKERS.md, measured.

usage: test_engines.py SEALMQ ROOT
"""
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from sealed_rig import LONG, ROOT, SEALMQ, TAP, Process, find, free_port, measured, ok, run, wait

ROOM = tempfile.mkdtemp(prefix='sealmq-engines-')


class Engine:
    name, program, slow = '', '', 60

    def __init__(self, n=0, port=None):
        self.dir = os.path.join(ROOM, '%s%d' % (self.name, n))
        os.makedirs(self.dir)
        self.port, self.process = port or free_port(), None

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(text)
        return self.path(name)

    def spawn(self, *words, **env):
        with open(self.path('out'), 'ab') as out:
            self.process = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.dir,
                                            start_new_session=True, env={**os.environ, 'HOME': self.dir, **env})

    def answers(self):
        try:
            with socket.create_connection(('127.0.0.1', self.port), 2) as link:
                link.settimeout(5)
                link.sendall(b'\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05ready')
                return link.recv(4) == b'\x20\x02\0\0'
        except OSError:
            return False

    def ready(self):
        return wait(self.answers, self.slow)

    def kill(self, number=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, number)  # its own group, made by start_new_session
            except ProcessLookupError:
                pass
            self.process.wait(30)

    def done(self):
        self.kill()


class Mosquitto(Engine):
    name, program = 'Mosquitto', 'mosquitto'

    def start(self):
        self.spawn(find('mosquitto'), '-c', self.write('conf', 'listener %d 127.0.0.1\nallow_anonymous true\npersistence true\n'
                   'autosave_on_changes true\nautosave_interval 1\npersistence_location %s/\n%s' % (
                       self.port, self.dir, 'user root\n' if os.geteuid() == 0 else '')))

    def version(self):
        return re.search(r'version (\S+)', run('mosquitto', '-h')[1]).group(1)


class Nats(Engine):
    name, program = 'NATS', 'nats-server'

    def start(self):
        self.spawn(find('nats-server'), '-c', self.write('conf', 'server_name: one\nlisten: "127.0.0.1:-1"\njetstream { store_dir: '
                   '"%s/js" }\nmqtt { listen: "127.0.0.1:%d" }\n' % (self.dir, self.port)))

    def version(self):
        return re.search(r'v?(\d+\.\d+\.\d+)', run('nats-server', '-v')[1]).group(1)


class RabbitMq(Engine):
    name, program, slow = 'RabbitMQ', 'rabbitmq-server', 150

    def __init__(self, n=0, port=None):
        super().__init__(n, port)
        self.epmd, self.dist = free_port(), free_port()

    def start(self):
        self.write('plugins', '[rabbitmq_mqtt].\n')
        self.write('rabbit.conf', 'listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:%d\nmqtt.allow_anonymous = true\n'
                   'mqtt.default_user = guest\nmqtt.default_pass = guest\n' % self.port)
        self.spawn('/usr/lib/rabbitmq/bin/rabbitmq-server', RABBITMQ_NODENAME='sealmq%d@localhost' % self.port,
                   RABBITMQ_MNESIA_BASE=self.path('db'), RABBITMQ_LOG_BASE=self.path('log'), RABBITMQ_LOGS='-',
                   RABBITMQ_ENABLED_PLUGINS_FILE=self.path('plugins'), RABBITMQ_CONFIG_FILE=self.path('rabbit.conf'),
                   RABBITMQ_DIST_PORT=str(self.dist), ERL_EPMD_PORT=str(self.epmd), ERL_EPMD_ADDRESS='127.0.0.1',
                   RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none', RABBITMQ_PID_FILE=self.path('pid'))

    def done(self):
        self.kill()
        mine = {**os.environ, 'ERL_EPMD_PORT': str(self.epmd)}
        # It refuses while it believes that somebody is there; its port is ours alone.
        wait(lambda: b'Killed' in subprocess.run(['epmd', '-kill'], env=mine, capture_output=True).stdout, 20)

    def version(self):
        done = subprocess.run(['dpkg-query', '-W', '-f', '${Version}', 'rabbitmq-server'], capture_output=True, text=True)
        return done.stdout.split('-')[0]


# ---- what an engine can ----

def at(e):
    return ['-h', '127.0.0.1', '-p', str(e.port)]


def passes(e, topic, *more, filter=None, sub=(), seconds=4):
    """What a subscriber prints of one message: payload, QoS, retained; '' for nothing."""
    out = Process([find('mosquitto_sub'), *at(e), '-t', filter or topic, '-F', '%p %q %r', '-d', *sub])
    wait(lambda: any('Subscribed' in line for line in out.lines) or out.child.poll() is not None, 10)
    run('mosquitto_pub', *at(e), '-t', topic, '-m', 'x1', *more, seconds=20)
    good = wait(lambda: next((line for line in out.lines if line.startswith('x1 ')), ''), seconds)
    out.stop()
    return good


def retained(e):
    run('mosquitto_pub', *at(e), '-t', 'kept', '-m', 'old', '-r', '-q', '1')
    out = run('mosquitto_sub', *at(e), '-t', 'kept', '-C', '1', '-W', '5', '-F', '%p %r', seconds=20)[1]
    return out.strip() == 'old 1'


def kept_session(e):
    me = ['-i', 'sleeper', '-c', '-q', '1', '-t', 'queue/a']
    run('mosquitto_sub', *at(e), *me, '-E', seconds=20)
    run('mosquitto_pub', *at(e), '-t', 'queue/a', '-q', '1', '-m', 'while away')
    return run('mosquitto_sub', *at(e), *me, '-C', '1', '-W', '6', seconds=20)[1].strip() == 'while away'


def capabilities(e):
    five = run('mosquitto_pub', *at(e), '-V', '5', '-t', 'a', '-m', 'x', '-q', '1', seconds=20)[0] == 0
    two = passes(e, 'two', '-q', '2', sub=['-q', '2'])
    return {
        'MQTT 5': five,
        'QoS 1': passes(e, 'one', '-q', '1', sub=['-q', '1']).startswith('x1 1'),
        'QoS 2': 'yes' if two.startswith('x1 2') else 'as QoS %s' % two[3] if two else 'no',
        'retained messages': retained(e),
        'messages kept for who is away': kept_session(e),
        'shared subscriptions': bool(passes(e, 'jobs/a', filter='$share/g/jobs/a')),
        'topics with a dot': bool(passes(e, 'v1.2/a')),
        'topics with a space': bool(passes(e, 'room 4/a')),
    }


# ---- SealMQ on it ----

class Realm:
    def __init__(self):
        self.ca = os.path.join(ROOM, 'plant')
        for words in (['init', self.ca], ['issue', 'desk', '--ca', self.ca], ['issue', 'fridge', '--ca', self.ca]):
            done = run(SEALMQ, 'ca', *words)
            assert done[0] == 0, done

    def words(self, command, name, e, five):
        return [SEALMQ, command, '--realm', os.path.join(self.ca, 'members', name), *at(e), '-V', '5' if five else '311', '-q', '1']


def sealed(realm, e, five):
    """A session, its restart after the engine was killed, and how long the reader took to come back."""
    sub = Process(realm.words('sub', 'desk', e, five) + ['-t', 'plant/#', '-F', '%s %p', '-i', 'desk', '-v'])
    pub = Process(realm.words('pub', 'fridge', e, five) + ['--to', 'desk', '-t', 'plant/fridge/a', '-l', '-i', 'fridge'])
    pub.write('before')
    first = wait(lambda: 'fridge before' in sub.lines, 60)
    e.kill()
    e.start()
    back = e.ready()
    # What is published before the reader has subscribed again is gone: it keeps no session at the broker.
    for _ in range(30):
        pub.write('after')
        second = wait(lambda: 'fridge after' in sub.lines, 2)
        if second:
            break
    pub.close()
    ok(first and back and second and pub.end(30) == 0, '%s: sessions, before and after it was killed' % e.name,
       '%s %s %s' % (sub.lines, sub.said, pub.said))
    sub.stop()
    return first, second


def one_engine(realm, kind):
    if not find(kind.program):
        TAP.skip(kind.name, kind.program + ' is not installed')
        return None
    e = kind()
    try:
        e.start()
        if not e.ready():
            with open(e.path('out'), encoding='utf-8', errors='replace') as out:
                ok(False, kind.name + ' starts', out.read()[-1500:])
            return None
        can = capabilities(e)
        ok(can['QoS 1'], kind.name + ': QoS 1', can)
        first, second = sealed(realm, e, can['MQTT 5'])
        can['SealMQ: sessions'] = first
        can['SealMQ: sessions after the engine was killed'] = second
        return '%s %s' % (kind.name, e.version()), can
    finally:
        Process.stop_all()
        e.done()


def shown(value):
    return value if isinstance(value, str) else 'yes' if value else 'no'


def compare(tables):
    """The table as it was measured now, held against the one in the document."""
    rows = ['| | ' + ' | '.join(name for name, _ in tables) + ' |', '|---|' + '---|' * len(tables)]
    rows += ['| %s | %s |' % (key, ' | '.join(shown(can[key]) for _, can in tables)) for key in tables[0][1]]
    print('\n'.join('# ' + row for row in rows))
    measured('engines', engines=[[name, {key: shown(value) for key, value in can.items()}] for name, can in tables])
    with open(os.path.join(ROOT, 'doc', 'BROKERS.md'), encoding='utf-8') as file:
        lines = itertools.dropwhile(lambda line: not line.startswith('|'), file)
        table = itertools.takewhile(lambda line: line.startswith('|'), lines)  # the first one, of single engines
        said = [[cell.strip() for cell in line.strip('|\n').split('|')] for line in table]
    columns = said[0]
    for name, can in tables:
        column = next((n for n, cell in enumerate(columns) if cell == name), None)
        if column is None:
            TAP.skip('doc/BROKERS.md says what ' + name + ' can', 'it was measured with another version')
            continue
        documented = {row[0]: row[column] for row in said[2:] if len(row) == len(columns)}
        wrong = ['%s: %s here, %s there' % (key, shown(v), documented.get(key)) for key, v in can.items()
                 if documented.get(key) != shown(v)]
        ok(not wrong, 'doc/BROKERS.md says what %s can' % name, '\n'.join(wrong))


def main():
    for program in ('mosquitto_pub', 'mosquitto_sub'):
        if not find(program):
            print('1..0 # SKIP mosquitto-clients is not installed')
            return 0
    try:
        realm = Realm()
        kinds = [Mosquitto, Nats] + [RabbitMq] * LONG  # it takes a minute or two to start twice
        tables = [t for t in (one_engine(realm, kind) for kind in kinds) if t]
        if tables:
            compare(tables)
    finally:
        Process.stop_all()
        shutil.rmtree(ROOM, ignore_errors=True)
    return TAP.end()


sys.exit(main())
