"""A day of logs as Mosquitto 2.0.11, NGINX with our log format and `sealmq sub` write them: a quiet one, and the same
with attacks in it whose places are known. Made from a seed; every line's form was taken from the programs."""
import datetime
import random

MIDNIGHT = datetime.datetime(2026, 11, 20)
HOUR, MINUTE = 3600, 60
DEVICES = ['fridge-%02d' % n for n in range(1, 13)] + ['ward-%d' % n for n in range(1, 5)] + ['pump-1', 'pump-2', 'desk']


class Day:
    def __init__(self, seed=7):
        self.dice = random.Random(seed)
        self.mosquitto, self.access, self.error, self.ours, self.seen, self.sys = [], [], [], [], [], []
        self.port = 40000

    # ---- one line ----

    def broker(self, at, *texts):
        stamp = (MIDNIGHT + datetime.timedelta(seconds=at)).strftime('%Y-%m-%dT%H:%M:%S+0000: ')
        self.mosquitto += [(at, n, stamp + text) for n, text in enumerate(texts)]

    def proxy(self, at, address, seconds, sent=2800, tls='TLSv1.3', status=200):
        stamp = (MIDNIGHT + datetime.timedelta(seconds=at)).strftime('%Y-%m-%dT%H:%M:%S+00:00')
        self.access.append((at, 0, '%s client=%s:%d port=8883 tls=%s sni="" alpn="" status=%d in=%d out=%d seconds=%.3f '
                            'to=127.0.0.1:18883' % (stamp, address, self.dice.randrange(1024, 65000), tls, status, sent // 2,
                                                    sent, seconds)))

    def proxy_error(self, at, text):
        stamp = (MIDNIGHT + datetime.timedelta(seconds=at)).strftime('%Y/%m/%d %H:%M:%S')
        self.error.append((at, 0, '%s [error] 812#812: *33 %s' % (stamp, text)))

    # ---- what happens ----

    def arrive(self, at, client, user, version=5):
        self.port += 1
        where = '127.0.0.1:%d' % (40000 + self.port % 20000)
        self.broker(at, 'New connection from %s on port 18883.' % where,
                    "New client connected from %s as %s (p%d, c1, k60, u'%s')." % (where, client, version, user),
                    'No will message specified.', 'Sending CONNACK to %s (0, 0)' % client)

    def leave(self, at, client, address, seconds):
        self.broker(at, 'Received DISCONNECT from ' + client, 'Client %s disconnected.' % client)
        self.proxy(at, address, seconds)

    def publish(self, at, client, topic, size):
        self.broker(at, "Received PUBLISH from %s (d0, q1, r0, m%d, '%s', ... (%d bytes))" % (
            client, self.dice.randrange(1, 60000), topic, size), 'Sending PUBACK to %s (m1, rc0)' % client)

    def subscribe(self, at, client, *filters):
        self.broker(at, 'Received SUBSCRIBE from ' + client, *['\t%s (QoS 1)' % f for f in filters],
                    'Sending SUBACK to ' + client)

    def denied(self, at, client, topic):
        self.broker(at, "Denied PUBLISH from %s (d0, q1, r0, m1, '%s', ... (12 bytes))" % (client, topic),
                    'Sending PUBACK to %s (m1, rc135)' % client)

    def refused_tls(self, at, reason='peer did not return a certificate', address='127.0.0.1'):
        self.broker(at, 'New connection from 127.0.0.1:5 on port 18883.',
                    'OpenSSL Error[0]: error:0A0000C7:SSL routines::' + reason,
                    'Client <unknown> disconnected: Protocol error.')
        self.proxy(at, address, 0.004, 1311)

    def refused_login(self, at, address='10.0.0.9'):
        self.broker(at, 'New connection from 127.0.0.1:5 on port 18884.', 'Sending CONNACK to 127.0.0.1 (0, 5)',
                    'Client <unknown> disconnected, not authorised.')
        self.proxy(at, address, 0.3)

    def refusal(self, code, sender, times=1):
        self.ours += [(0, n, "sealmq sub: refused: %s: words about it; topic 'plant/x', says it is from '%s' (epoch 3, number "
                       "%d), 120 bytes" % (code, sender, n)) for n in range(times)]

    def opened(self, at, sender, counter, missing=0):
        """What `sealmq sub -F %j` prints of a message."""
        stamp = (MIDNIGHT + datetime.timedelta(seconds=at)).strftime('%Y-%m-%dT%H:%M:%S.000312+0000')
        self.seen.append((at, 0, '{"tst":"%s","topic":"plant/%s/temp","qos":1,"e2e":{"sender":"%s","group":"telemetry","epoch":3,'
                          '"slot":null,"counter":%d,"missing":%d},"payload":"say \\"e2e\\":{\\"sender\\":\\"x\\""}' % (
                              stamp, sender, sender, counter, missing)))

    def tells(self, at, topic, value):
        """What `mosquitto_sub -t '$SYS/broker/#' -F '%I: %t %p'` prints."""
        stamp = (MIDNIGHT + datetime.timedelta(seconds=at)).strftime('%Y-%m-%dT%H:%M:%S+0000')
        self.sys.append((at, 0, '%s: $SYS/broker/%s %d' % (stamp, topic, value)))

    # ---- days ----

    def quiet(self, but=()):
        """Devices that publish every half minute, reconnect at times, and err at times. `but`: who falls silent when."""
        for n in range(0, 24 * HOUR, 600):
            self.tells(n, 'publish/messages/dropped', 40 + n // 600)
            self.tells(n, 'heap/current', 30000000 + n * 100)
        for n, name in enumerate(DEVICES):
            address = '10.0.1.%d' % (n + 1)
            for k in range(0, 24 * HOUR, 120):
                self.opened(k, name, k // 120, 2 if self.dice.random() < 0.02 else 0)
            ends = sorted(self.dice.sample(range(HOUR, 23 * HOUR), 3)) + [24 * HOUR - 1]
            at = self.dice.randrange(0, 30)
            begun = at
            self.arrive(at, name + '-c', name)
            if name == 'desk':
                self.subscribe(at, 'desk-c', 'plant/#', 'sealmq/plant/keyex/desk', 'sealmq/plant/keyex/all')
            while at < 24 * HOUR - 60 and at < dict(but).get(name, 24 * HOUR):
                at += 30 + self.dice.randrange(-4, 5)
                if at >= ends[0]:
                    self.leave(at, name + '-c', address, at - begun)
                    begun, at = at + 3, at + 3
                    ends.pop(0)
                    self.arrive(at, name + '-c', name)
                self.publish(at, name + '-c', 'plant/%s/temp' % name, self.dice.randrange(150, 190))
        for at in range(10, 24 * HOUR, 30):
            self.refused_tls(at)  # what a health check leaves behind
        for at in (2 * HOUR, 9 * HOUR, 9 * HOUR + 20, 18 * HOUR):
            self.refused_login(at)
        self.denied(7 * HOUR + 100, 'pump-1-c', 'plant/pump-2/temp')
        self.broker(12 * HOUR, 'Client ward-2-c disconnected due to oversize packet.')
        for at in (5 * HOUR, 14 * HOUR):
            self.broker(at, 'Client ward-3-c has exceeded timeout, disconnecting.')
        self.broker(0, 'mosquitto version 2.0.11 starting', 'mosquitto version 2.0.11 running')
        self.proxy(15 * HOUR, '192.0.2.77', 0.0, 0, tls='-', status=500)
        self.refusal('replay', 'fridge-01', 2)
        return self

    def attacks(self):
        """What must be found: (rule, subject)."""
        known = set()

        def hit(rule, subject=''):
            known.add((rule, subject))
        for n in range(1800):
            self.refused_login(3 * HOUR + n, '10.9.9.%d' % (n % 250))
        hit('password-guessing')
        for n in range(30):
            self.refused_tls(4 * HOUR + n, 'certificate verify failed', '10.9.8.%d' % n)
        hit('certificate-guessing')
        self.arrive(5 * HOUR, 'w3-x', 'ward-3')
        for n in range(8):
            self.denied(5 * HOUR + 1 + n, 'w3-x', 'plant/fridge-01/set')
        hit('acl-probing', 'ward-3')
        for n in range(30):
            self.subscribe(6 * HOUR + n, 'pump-2-c', 'plant/room%d/+' % n)
        hit('topic-scan', 'pump-2')
        self.subscribe(6 * HOUR + 1800, 'desk-c', '#')
        hit('wildcard-subscription', 'desk')
        for n in range(500):
            self.broker(7 * HOUR + n // 100, 'New connection from 127.0.0.1:%d on port 18883.' % (1024 + n))
            self.proxy(7 * HOUR + n // 100, '203.0.113.9', 30)
        hit('connection-storm')
        hit('address-storm', '203.0.113.9')
        for n in range(45):
            self.proxy(7 * HOUR + 1800 + n, '198.51.100.7', 0.02, 1800)
        hit('short-connections', '198.51.100.7')
        for n in range(15):
            self.arrive(8 * HOUR + 2 * n, 'cam-1', 'fridge-02')
        hit('reconnect-loop', 'cam-1')
        for n in range(4):
            self.broker(9 * HOUR + 9 * n, 'Client fridge-07-c already connected, closing old connection.')
        hit('takeover', 'fridge-07-c')
        self.arrive(10 * HOUR - 1, 'valve-9', 'pump-1')
        for n in range(3):
            self.broker(10 * HOUR + n, 'Client valve-9 disconnected due to malformed packet.')
        hit('malformed', 'pump-1')
        for n in range(3):
            self.broker(10 * HOUR + 600 + n, 'Client <unknown> disconnected due to oversize packet.')
        hit('oversize', 'strangers')
        for n in range(6):
            self.broker(11 * HOUR + 90 * n, 'Client lte-4 has exceeded timeout, disconnecting.')
        hit('timeouts', 'lte-4')
        for n in range(15):
            self.proxy(12 * HOUR + n, '192.0.2.55', 0.0, 0, tls='TLSv1.2', status=500)
        hit('not-tls13', '192.0.2.55')
        self.proxy_error(12 * HOUR + 60, 'limiting connections by zone "per_address", client: 192.0.2.56, server: 0.0.0.0:8883')
        hit('address-limit', '192.0.2.56')
        self.proxy_error(13 * HOUR, 'connect() failed (111: Connection refused) while connecting to upstream, client: 10.0.1.1, '
                         'server: 0.0.0.0:8883, upstream: "127.0.0.1:18883", bytes from/to client:0/0')
        hit('broker-unreachable', '127.0.0.1:18883')
        for n in range(4):
            self.broker(13 * HOUR + 20 * n, 'mosquitto version 2.0.11 starting')
        hit('broker-restarts')
        for rule, code, sender, times in (('forged', 'open', 'fridge-06', 4), ('replayed', 'replay', 'fridge-07', 5),
                                          ('moved', 'moved', 'ward-1', 1), ('stale', 'stale-epoch', 'ward-2', 6),
                                          ('refused', 'no-key', 'ward-4', 25)):
            self.refusal(code, sender, times)
            hit(rule, sender)
        self.ours += [(1, n, "sealmq sub: key exchange with 'pump-2' failed: expired") for n in range(6)]
        hit('key-exchange', 'pump-2')
        hit('sender-silent', 'fridge-03')  # see quiet(but)
        for n in range(200):
            self.publish(16 * HOUR + n // 5, 'fridge-04-c', 'plant/fridge-04/temp', 170)
        hit('sender-rate', 'fridge-04')
        self.publish(17 * HOUR, 'fridge-05-c', 'plant/fridge-05/temp', 5000)
        hit('sender-size', 'fridge-05')
        for n in range(20):
            self.opened(18 * HOUR + n, 'fridge-08', 9000 + 8 * n, 7)
        hit('sender-gaps', 'fridge-08')
        self.tells(19 * HOUR + 1, 'publish/messages/dropped', 5000)
        hit('messages-dropped')
        self.tells(19 * HOUR + 60, 'heap/current', 500 << 20)
        hit('broker-memory')
        return known

    def texts(self):
        """The logs, each in the order of its times."""
        def text(rows):
            return ''.join(row[-1] + '\n' for row in sorted(rows, key=lambda row: row[0]))
        return {'mosquitto.log': text(self.mosquitto), 'nginx-access.log': text(self.access),
                'nginx-error.log': text(self.error), 'sub.err': text(self.ours), 'seen.json': text(self.seen), 'sys.log': text(self.sys)}
