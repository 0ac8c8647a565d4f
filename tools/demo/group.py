"""The second act: a group with several members and a key server; one of them is expelled live, and reads no more."""
import json

import stage as st
from programs import Failure

GROUP, MONITOR, TABLET, LAB = 'ward', 'monitor-1', 'tablet', 'lab'
KEYS, OPS = 'keys', 'ops'
MEMBERS = (MONITOR, TABLET, LAB)
TOPIC = '%s/ward/%s' % (st.REALM, MONITOR)
FILTER = '%s/ward/#' % st.REALM
RATE = 8      # records a second
ENOUGH = 8    # records that somebody must read before we believe it
PATIENCE_S = 30


class Group:
    def __init__(self, story, mode):
        self.story, self.stage, self.programs, self.claims = story, story.stage, story.programs, story.claims
        self.mode = mode
        self.read = {TABLET: [], LAB: []}   # (epoch, slot, text), in order
        self.seen = []                      # payloads on the group's topic, as the broker's eye sees them
        self.lies = story.lies
        self.expelled_after = None          # epoch in use when the lab was expelled

    # ---- what the programs say ----

    def reader(self, name):
        def take(line):
            try:
                e2e = json.loads(line)
                self.read[name].append((int(e2e['e2e']['epoch']), e2e['e2e'].get('slot'), e2e['payload'],
                                        int(e2e['e2e']['counter'])))
            except (ValueError, KeyError, TypeError):
                pass
        return take

    def eye(self, line):
        topic, _, digits = line.decode('utf-8', 'replace').rpartition(' ')
        if topic == TOPIC:
            self.seen.append(bytes.fromhex(digits))

    # ---- the act ----

    def run(self):
        self.set_up()
        self.story.tell('second act: %s, %s and %s in one group, %s keys' % (MONITOR, TABLET, LAB, self.mode))
        if not self.wait(lambda: all(len(read) >= ENOUGH for read in self.read.values())):
            raise Failure('the group\'s readers got %s records' % [len(read) for read in self.read.values()])
        self.expel()
        self.wait(lambda: sum(epoch > self.expelled_after for epoch, *_ in self.read[TABLET]) >= 2 * ENOUGH)
        self.close()
        self.judge()

    def wait(self, condition):
        return self.story.wait(condition, PATIENCE_S)

    def set_up(self):
        stage = self.stage
        self.story.screen.phase('a key server, an admin, and a group of three: %s' % ', '.join(MEMBERS))
        stage.issue(KEYS, '--role', 'keyserver')
        stage.issue(OPS, '--role', 'admin')
        for name in MEMBERS:
            stage.issue(name)
        stage.admit({name: ([TOPIC] if name == MONITOR else [], [FILTER]) for name in (KEYS, OPS) + MEMBERS})
        with open(stage.path('passphrase'), 'w', encoding='ascii', opener=st.private) as file:
            file.write('only for this demo\n')
        store = ['--db', stage.path('keys.db'), '--passphrase-file', stage.path('passphrase')]
        self.programs.run([stage.sealmq, 'keyserver', 'init', '--realm', stage.member(KEYS)] + store)
        self.server = self.programs.start('sealmq keyserver', [stage.sealmq, 'keyserver', 'run', '--realm',
                                                               stage.member(KEYS)] + store + stage.tls(KEYS))
        self.admin('create', GROUP, '--mode', self.mode, '--filter', FILTER, '--publish', 'monitor-*',
                   '--subscribe', '*', '--slot-ms', '1000')
        self.observer = self.programs.start('mosquitto_sub', stage.eye('eye-2', TOPIC), self.eye)
        self.subs = [self.programs.start('sealmq sub (%s)' % name, self.words('sub', name, '-q', '1', '-F', '%j', '-t',
                                                                             FILTER), self.reader(name))
                     for name in (TABLET, LAB)]
        for sub in self.subs:
            sub.expected_to_end = True  # the one who is expelled may say so and go
        self.pub = self.programs.start('sealmq pub (%s)' % MONITOR,
                                       self.words('pub', MONITOR, '-q', '1', '-t', TOPIC, '--source', 'vitals',
                                                  '--rate', str(RATE)))

    def words(self, command, name, *more):
        return [self.stage.sealmq, command, '--realm', self.stage.member(name)] + self.stage.tls(name) + [
            '-i', name, '--group', GROUP] + list(more)

    def admin(self, *words):
        return self.programs.run([self.stage.sealmq, 'group'] + list(words) + ['--realm', self.stage.member(OPS)] +
                                 self.stage.tls(OPS))

    def epoch(self):
        return json.loads(self.admin('show', GROUP, '--json'))['epoch']

    def expel(self):
        self.expelled_after = self.epoch()
        self.story.tell('%s is expelled, and stays connected' % LAB)
        if 'keep' not in self.lies:
            self.admin('expel', GROUP, LAB)
        else:
            self.admin('rotate', GROUP)

    def close(self):
        self.programs.stop([self.pub])
        last = self.seen[-1] if self.seen else b''
        self.story.wait(lambda: self.read[TABLET] and len(self.read[TABLET]) >= len(self.seen) and last, 2)
        self.programs.stop([p for p in self.subs if p in self.programs.running] + [self.observer, self.server])

    # ---- the verdict ----

    def judge(self):
        before = {name: [r for r in read if r[0] <= self.expelled_after] for name, read in self.read.items()}
        after = {name: [r for r in read if r[0] > self.expelled_after] for name, read in self.read.items()}
        self.claims['group_reads'].decide(
            all(len(read) >= ENOUGH for read in before.values()) and not self.plain(),
            '%s read %d, %s %d; the broker saw %d payloads and none of them' % (
                TABLET, len(before[TABLET]), LAB, len(before[LAB]), len(self.seen)))
        self.claims['expelled_reads_nothing'].decide(
            len(after[TABLET]) >= ENOUGH and not after[LAB],
            '%s opened %d of the %d messages since' % (LAB, len(after[LAB]), len(after[TABLET])))
        lost = self.lost()
        self.claims['others_read_on'].decide(
            lost == 0 and len(after[TABLET]) >= ENOUGH,
            'epoch %d %s %d, %d messages lost' % (self.expelled_after, self.story.screen.paint.to,
                                                  max([r[0] for r in self.read[TABLET]], default=0), lost))

    def plain(self):
        carried = b'\n\n'.join(self.seen)
        return any(text.encode() in carried for _, _, text, _ in self.read[TABLET])

    def lost(self):
        """Counters between the first and the last that the tablet read, which it did not."""
        counters = [counter for *_, counter in self.read[TABLET]]
        return max(counters) + 1 - min(counters) - len(set(counters)) if counters else 1
