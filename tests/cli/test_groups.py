#!/usr/bin/env python3
"""Groups at a key server by the tool: joined, followed, chosen by topic, left, and who is expelled is out.

usage: test_groups.py SEALMQ ROOT
"""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import LONG, SEALMQ, Process, begun, joined, ok, play, run, wait  # noqa: E402

FAST = ('--batch-ms', '20', '--activation-ms', '50', '--grace-ms', '2000')


class Keys:
    """The key server and its admin on a stage."""

    def __init__(self, stage):
        self.stage, self.db, self.passphrase = stage, stage.path('keys.db'), stage.path('pass')
        if not os.path.exists(self.passphrase):
            stage.issue('keys', '--role', 'keyserver')
            stage.issue('ops', '--role', 'admin')
            with open(self.passphrase, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as file:
                file.write('a passphrase of several words\n')
            stage.must(SEALMQ, 'keyserver', 'init', *self.own())
        self.process = None

    def own(self):
        return ('--realm', self.stage.member('keys'), '--db', self.db, '--passphrase-file', self.passphrase)

    def start(self):
        self.process = Process([SEALMQ, 'keyserver', 'run', *self.own(), *self.stage.tls('keys')])
        wait(lambda: any('connected' in line for line in self.process.lines))
        return self

    def stop(self):
        self.process.stop()

    def ask(self, *words):
        status, out, err = run(SEALMQ, 'group', *words, '--wait', '20', '--realm', self.stage.member('ops'),
                               *self.stage.tls('ops'))
        if status:
            raise RuntimeError('group %s: %d: %s' % (' '.join(words), status, err))
        return out

    def make(self, name, mode, *more):
        slots = ('--slot-ms', '1000') if mode == 'slotted' else ()
        self.ask('create', name, '--mode', mode, *FAST, *slots, *more)

    def epoch(self, name):
        return json.loads(self.ask('show', name, '--json'))['epoch']


def in_use(process, keys, group, seconds=60):
    """What it seals from now on is for everybody who has joined before."""
    now = keys.epoch(group)
    return wait(lambda: now in begun(process.said, group), seconds)


def reader(stage, name, group, topic, *more):
    sub = stage.sub(name, '--group', group, '-q', '1', '-t', topic, '-F', '%s %p', '-d', *more)
    if not joined(sub):
        raise RuntimeError('%s has not joined: %s' % (name, sub.said[-5:]))
    return sub


def heard(sub, line, seconds=20):
    return wait(lambda: line in sub.lines, seconds)


def members_read_and_who_is_expelled_does_not(stage):
    keys = Keys(stage).start()
    for mode in ('static', 'update', 'slotted'):
        group = 'g-' + mode
        topic = 'plant/%s/a' % mode
        keys.make(group, mode, '--filter', 'plant/%s/#' % mode, '--publish', '*', '--subscribe', '*')
        subs = {name: reader(stage, name, group, topic) for name in ('desk', 'ward-3', 'pump-2')}
        pub = stage.pub('fridge-07', '--group', group, '-q', '1', '-t', topic, '-l', '-d')
        pub.write('one')
        for name, sub in subs.items():
            ok(heard(sub, 'fridge-07 one'), '%s: %s reads, and knows who sent it' % (mode, name), sub.said[-8:])
        before = keys.epoch(group)
        keys.ask('expel', group, 'pump-2')
        ok(wait(lambda: keys.epoch(group) > before), mode + ': the expulsion moves the epoch')
        ok('pump-2 is expelled already' in keys.ask('expel', group, 'pump-2'), mode + ': a second one does no harm')
        ok(wait(lambda: any('epoch %d' % keys.epoch(group) in line for line in pub.said[-3:])),
           mode + ': the publisher follows', pub.said[-5:])
        pub.write('two')
        ok(heard(subs['desk'], 'fridge-07 two') and heard(subs['ward-3'], 'fridge-07 two'),
           mode + ': the others read on', subs['desk'].said[-8:])
        ok(subs['pump-2'].says('no member any more', 60), mode + ': who is expelled is told so',
           subs['pump-2'].said[-5:])
        ok('fridge-07 two' not in subs['pump-2'].lines and subs['pump-2'].child.poll() is None,
           mode + ': and has read nothing of it, although still connected')
        late = stage.pub('pump-2', '--group', group, '-q', '1', '-t', topic, '-m', 'still here', '--wait', '600')
        ok(late.end(60) == 135, mode + ': it publishes nothing either, and does not wait for better days', late.said[-5:])
        pub.close()
        ok(pub.end() == 0, mode + ': the publisher ends well', pub.said[-5:])
        for sub in subs.values():
            sub.stop(signal.SIGINT)
    keys.stop()


def nothing_is_lost_over_epochs(stage):
    keys = Keys(stage).start()
    keys.make('busy', 'update', '--filter', 'busy/#', '--publish', '*', '--subscribe', '*')
    sub = reader(stage, 'desk', 'busy', 'busy/a')
    pub = stage.pub('fridge-07', '--group', 'busy', '-q', '1', '-t', 'busy/a', '-l', '-d')
    count = 0
    for _ in range(5):
        for _ in range(20):
            pub.write('m%d' % count)
            count += 1
        keys.ask('rotate', 'busy')
    pub.close()
    ok(pub.end(30) == 0, 'published over five epochs', pub.said[-5:])
    ok(sub.got(count, 60) and sub.lines == ['fridge-07 m%d' % i for i in range(count)],
       'all of it is read once, in order', (len(sub.lines), sub.said[-5:]))
    ok(not sub.refusals(), 'and nothing refused', sub.refusals())
    sub.stop(signal.SIGINT)
    keys.stop()


def the_topic_picks_the_group(stage):
    keys = Keys(stage).start()
    keys.make('wide', 'update', '--filter', 'house/#', '--publish', '*', '--subscribe', '*')
    keys.make('narrow', 'update', '--filter', 'house/cellar/+', '--publish', '*', '--subscribe', '*')
    both = stage.sub('desk', '--group', 'wide', '--group', 'narrow', '-q', '1', '-t', 'house/#', '-F', '%p %t', '-d')
    wide = reader(stage, 'ward-3', 'wide', 'house/#')
    joined(both, groups=2)
    status, _, err = stage.pub_now('fridge-07', '-q', '1', '-t', 'house/cellar/temp', '-m', 'cold')
    ok(status == 0, 'with nobody named it is published', err)
    ok(heard(both, 'cold house/cellar/temp'), 'and read in the group whose filter is narrower', both.said[-5:])
    status, _, err = stage.pub_now('fridge-07', '-q', '1', '-t', 'house/roof', '-m', 'hot')
    ok(status == 0 and heard(both, 'hot house/roof') and heard(wide, 'fridge-07 hot'),
       'one subscription reads several groups', (err, both.said[-5:]))
    ok('fridge-07 cold' not in wide.lines, 'who is not in the narrower one has not read it')
    status, _, err = stage.pub_now('fridge-07', '-q', '1', '-t', 'nowhere', '-m', 'x', '--wait', '15')
    ok(status != 0 and 'for whom?' in err, 'a topic of no group: says so', (status, err))
    both.stop(signal.SIGINT)
    wide.stop(signal.SIGINT)
    keys.stop()


def groups_are_found_by_topic(stage):
    """sub with nobody named joins what its filters need; pub goes by the policy that it kept."""
    keys = Keys(stage).start()
    make = ('update', '--publish', '*', '--subscribe')
    keys.make('east', *make, '*', '--filter', 'site/east/#')
    keys.make('west', *make, '*', '--filter', 'site/west/#')
    keys.make('closed', *make, 'ward-*', '--filter', 'site/vault/#')
    keys.make('apart', *make, '*', '--filter', 'elsewhere/#')
    keys.make('room-*', *make, '*', '--filter', 'site/room/{group}/#', '--template')
    sub = stage.sub('desk', '-q', '1', '-t', 'site/#', '-F', '%g %s %p', '-d')
    ok(joined(sub, groups=2),
       'a reader that names no group joins those that its filter needs', sub.said[-5:])
    for place in ('east', 'west'):
        stage.pub_now('fridge-07', '--group', place, '-q', '1', '-t', 'site/%s/a' % place, '-m', place)
    ok(heard(sub, 'east fridge-07 east', 60) and heard(sub, 'west fridge-07 west', 60), 'and reads them', sub.said[-5:])
    keys.make('south', *make, '*', '--filter', 'site/+/south')
    late = stage.pub('fridge-07', '--group', 'room-12', '-q', '1', '-t', 'site/room/room-12/a', '-l', '-d')
    ok(joined(late, 60), 'a group comes into being under a template', late.said[-5:])
    ok(joined(sub, groups=4),
       'groups that come later are found as well, and those of a template', sub.said[-5:])
    now = 'epoch %d' % keys.epoch('room-12')
    wait(lambda: any(now in line for line in late.said), 60)
    late.write('warm')
    ok(heard(sub, 'room-12 fridge-07 warm', 60), 'whose filters hold for each of them by its name', sub.said[-5:])
    stage.pub_now('fridge-07', '--group', 'south', '-q', '1', '-t', 'site/x/south', '-m', 'end')
    ok(heard(sub, 'south fridge-07 end', 60), 'and the new one is read', sub.said[-5:])
    ok(not any("'closed'" in line or "'apart'" in line for line in sub.said) and
       json.loads(keys.ask('show', 'closed', '--json'))['members'] == 0,
       'not those that it may not read, or has no use for', sub.said[-9:])
    hand = stage.hand()
    prefix = 'sealmq/plant/g/%s/p'
    hand.put(prefix % 'east', b'', retain=True)
    hand.settle()
    status, _, err = stage.pub_now('fridge-07', '-q', '1', '-t', 'site/east/b', '-m', 'kept')
    ok(status == 0 and heard(sub, 'east fridge-07 kept', 60),
       'a publisher goes by the policy that it kept, whatever the broker shows', (err, sub.said[-5:]))
    late.close()
    late.end()
    sub.stop(signal.SIGINT)
    keys.stop()


def only_groups_says_nothing_to_others(stage):
    """Who uses groups alone sends no greeting, and asks for none; who wants sessions too has them."""
    keys = Keys(stage).start()
    keys.make('quiet', 'update', '--filter', 'quiet/#', '--publish', '*', '--subscribe', '*')
    eye = stage.eye('-t', 'sealmq/plant/keyex/#')
    sub = reader(stage, 'desk', 'quiet', 'quiet/a')
    status, _, err = stage.pub_now('fridge-07', '--group', 'quiet', '-q', '1', '-t', 'quiet/a', '-m', 'one')
    ok(status == 0 and heard(sub, 'fridge-07 one', 60), 'groups alone', err)
    log = stage.log_text()
    ok(not eye.lines, 'publish nothing on the key-exchange topic', eye.lines)
    both = stage.sub('ward-3', '--group', 'quiet', '--from', 'pump-2', '-q', '1', '-t', 'quiet/#', '-F', '%s %p', '-d')
    ok(joined(both, 60), 'a reader of a group and of a peer joins', both.said[-5:])
    status, _, err = stage.pub_now('pump-2', '--to', 'ward-3', '-q', '1', '-t', 'quiet/p', '-m', 'two')
    stage.pub_now('fridge-07', '--group', 'quiet', '-q', '1', '-t', 'quiet/a', '-m', 'three')
    ok(status == 0 and heard(both, 'pump-2 two', 60) and heard(both, 'fridge-07 three', 60) and eye.lines,
       'and has a session beside its group', (err, both.said[-5:], len(log)))
    sub.stop(signal.SIGINT)
    both.stop(signal.SIGINT)
    keys.stop()


def retained_messages_are_sealed_anew(stage):
    keys = Keys(stage).start()
    keys.make('kept', 'update', '--filter', 'kept/#', '--publish', '*', '--subscribe', '*')
    pub = stage.pub('fridge-07', '--group', 'kept', '-q', '1', '-r', '-t', 'kept/a', '-l', '-d')
    pub.write('still 4 degrees')
    ok(joined(pub), 'a publisher of retained messages joins', pub.said[-5:])
    wait(lambda: 'kept/a' in stage.log_text())
    late = reader(stage, 'desk', 'kept', 'kept/a')  # its join moves the epoch: what was retained is older than it
    ok(heard(late, 'fridge-07 still 4 degrees'), 'a newcomer reads what was retained before', late.said[-5:])
    pub.close()
    ok(pub.end() == 0, 'and the publisher ends well', pub.said[-5:])
    late.stop(signal.SIGINT)
    keys.stop()


def leaving_and_refusals(stage):
    keys = Keys(stage).start()
    keys.make('club', 'update', '--filter', 'club/#', '--publish', 'fridge-*', '--subscribe', 'desk')
    sub = reader(stage, 'desk', 'club', 'club/a', '--leave')
    members = json.loads(keys.ask('members', 'club', '--json').splitlines()[0])
    ok('desk' in json.dumps(members), 'who has joined is listed', members)
    before = keys.epoch('club')
    # two processes of one member: the key server knows one membership, so that the last of them leaves
    other = reader(stage, 'desk', 'club', 'club/a', '--leave')
    pub = stage.pub('fridge-07', '--group', 'club', '-q', '1', '-t', 'club/a', '-l', '-d')
    ok(joined(other) and joined(pub), 'another process of the same member', (other.said[-4:], pub.said[-4:]))
    first, other = (other, sub)  # the one that joined last goes first
    before = keys.epoch('club')
    ok(first.stop(signal.SIGTERM) is not None and any('not left' in line for line in first.said),
       'while another process is in the group, none leaves it, and says so', first.said[-5:])
    for n in range(20):
        pub.write('after %d' % n)
    ok(wait(lambda: sum('after' in line for line in other.lines) == 20, 60) and keys.epoch('club') == before,
       'the other one loses no message, and no epoch is made', (other.lines[-3:], other.said[-5:], before))
    pub.close()
    pub.end()
    before, sub = keys.epoch('club'), other
    ok(sub.stop(signal.SIGTERM) is not None and any('left' in line for line in sub.said), 'leaves at the end when asked',
       sub.said[-5:])
    ok(wait(lambda: keys.epoch('club') > before), 'a leave moves the epoch of a group in update mode')
    status, _, err = stage.pub_now('ward-3', '--group', 'club', '-t', 'club/a', '-m', 'x', '--wait', '4')
    ok(status != 0 and 'the key server says no' in err, 'whom the policy does not admit is told so', (status, err))
    status, _, err = stage.pub_now('fridge-07', '--group', 'club', '-t', 'elsewhere', '-m', 'x')
    ok(status != 0, 'a topic outside the filters is refused', (status, err))
    keys.stop()


def without_a_key_server(stage):
    keys = Keys(stage).start()
    keys.make('alone', 'update', '--filter', 'alone/#', '--publish', '*', '--subscribe', '*')
    sub = reader(stage, 'desk', 'alone', 'alone/a')
    status, _, err = stage.pub_now('fridge-07', '--group', 'alone', '-q', '1', '-t', 'alone/a', '-m', 'first')
    ok(status == 0 and heard(sub, 'fridge-07 first'), 'while it is there', err)
    keys.stop()
    status, _, err = stage.pub_now('fridge-07', '--group', 'alone', '-q', '1', '-t', 'alone/a', '-m', 'second')
    ok(status == 0 and heard(sub, 'fridge-07 second'),
       'restarted while the key server is away: under the sender id it had', (err, sub.said[-5:]))
    status, _, err = stage.pub_now('ward-3', '--group', 'alone', '-q', '1', '-t', 'alone/a', '-m', 'x', '--wait', '3')
    ok(status != 0 and 'key server' in err, 'who was never in waits, and says for what', (status, err))
    keys.start()
    keys.make('brief', 'update', '--filter', 'brief/#', '--publish', '*', '--subscribe', '*', '--validity', '3')
    late = reader(stage, 'ward-3', 'brief', 'brief/a')
    pub = stage.pub('fridge-07', '--group', 'brief', '-q', '1', '-t', 'brief/a', '-l', '-d')
    ok(joined(pub, 60), 'a policy whose epochs hold for three seconds', pub.said[-5:])
    wait(lambda: any('epoch %d' % keys.epoch('brief') in line for line in pub.said), 60)
    keys.stop()
    pub.write('still')
    ok(heard(late, 'fridge-07 still', 60), 'without the key server they go on', (pub.said[-5:], late.said[-5:]))
    ok(pub.says('has expired, and nobody renewed it', 60) and late.says('has expired', 60),
       'until the epoch expires, and say so', pub.said[-5:])
    pub.write('too late')
    ok(pub.end(60) not in (0, None), 'nothing is sealed then', pub.said[-5:])
    keys.start()
    wait(lambda: keys.epoch('brief') > 0, 60)
    status, _, err = stage.pub_now('fridge-07', '--group', 'brief', '-q', '1', '-t', 'brief/a', '-m', 'again')
    ok(status == 0 and heard(late, 'fridge-07 again', 60) and 'fridge-07 too late' not in late.lines,
       'when it is back they go on', (err, late.said[-5:], late.lines))
    late.stop(signal.SIGINT)
    stage.restart(signal.SIGTERM)
    pub = stage.pub('fridge-07', '--group', 'alone', '-q', '1', '-t', 'alone/a', '-l', '-d')
    pub.write('third')
    ok(heard(sub, 'fridge-07 third', 60), 'and after a restart of the broker they go on', sub.said[-8:])
    pub.close()
    pub.end()
    sub.stop(signal.SIGINT)
    keys.stop()


def wills(stage):
    keys = Keys(stage).start()
    keys.make('last', 'update', '--filter', 'last/#', '--publish', '*', '--subscribe', '*')
    will = ('--will-topic', 'last/w', '--will-payload', 'gone', '--will-qos', '1')
    sub = reader(stage, 'desk', 'last', 'last/#')
    pub = stage.pub('fridge-07', '--group', 'last', '-q', '1', '-t', 'last/a', '-l', '-d', *will)
    ok(pub.says('the broker has our will', 60), 'a will before the first join is sealed as soon as there is a key',
       pub.said[-5:])
    pub.write('here')
    ok(heard(sub, 'fridge-07 here', 60), 'with a will', (pub.said[-5:], sub.said[-5:]))
    pub.stop(signal.SIGKILL)
    ok(heard(sub, 'fridge-07 gone', 60), 'and it is read', sub.said[-5:])
    pub = stage.pub('fridge-07', '--group', 'last', '-q', '1', '-t', 'last/a', '-l', '-d', '-k', '5', *will)
    ok(pub.says('the broker has our will', 60), 'where there is a key it goes with the first connection', pub.said[-5:])
    for i in range(3):
        keys.ask('rotate', 'last')
        now = 'will, sealed under epoch %d' % keys.epoch('last')
        pub.write('m%d' % i)
        ok(pub.says(now, 60), 'an epoch comes, and with it a will that it opens', pub.said[-5:])
    pub.write('end')
    ok(heard(sub, 'fridge-07 end', 60) and [line for line in sub.lines if ' m' in line] ==
       ['fridge-07 m%d' % i for i in range(3)] and not sub.refusals(), 'no message is lost by that', sub.lines)
    sub.lines.clear()
    if LONG:
        pub.child.send_signal(signal.SIGSTOP)
        ok(heard(sub, 'fridge-07 gone', 60), 'published while the connection is only taken for dead', sub.said[-5:])
        pub.child.send_signal(signal.SIGCONT)
        pub.write('back')
        ok(heard(sub, 'fridge-07 back', 60), 'it comes back', pub.said[-5:])
        sub.lines.clear()
    pub.stop(signal.SIGKILL)
    ok(heard(sub, 'fridge-07 gone', 60), 'it is read, epochs after the connection began', sub.said[-5:])
    ok(LONG or not any('lost' in line for line in pub.said), 'and the new connections are nobody\'s trouble',
       pub.said[-9:])
    keys.make('slots', 'slotted', '--filter', 'slots/#', '--publish', '*', '--subscribe', '*')
    pub = stage.pub('fridge-07', '--group', 'slots', '-q', '1', '-t', 'slots/a', '-l', '--will-topic', 'slots/w',
                    '--will-payload', 'x')
    ok(pub.says('its slot would have passed', 60), 'no will for a group with slots, and it is said', pub.said[-5:])
    pub.close()
    pub.stop()
    status, _, err = stage.pub_now('fridge-07', '--group', 'slots', '-t', 'slots/a', '-m', 'x', '--will-topic',
                                   'slots/w', '--will-payload', 'x')
    ok(status != 0 and 'slot' in err, 'at once where that is known', (status, err))
    sub.stop(signal.SIGINT)
    keys.stop()


def processes_of_one_member(stage):
    """A publisher that stays, another one, and two readers, all of them on one realm directory."""
    keys = Keys(stage).start()
    keys.make('both', 'update', '--filter', 'both/#', '--publish', '*', '--subscribe', '*')
    eye = stage.eye('-t', 'both/#')
    words = ('--group', 'both', '-q', '1', '-t', 'both/a')
    pubs = [stage.pub('desk', *words, '-l', '-d')]
    ok(joined(pubs[0]), 'a publisher comes first', pubs[0].said[-5:])
    form = ('-q', '1', '-t', 'both/a', '-F', '%s %B %n %p', '-d', '--group', 'both')
    subs = [stage.sub(name, *form) for name in ('desk', 'desk', 'ward-3')]
    ok(all(joined(sub) for sub in subs), 'then two readers of the same realm directory', [sub.said[-3:] for sub in subs])
    pubs.append(stage.pub('desk', *words, '-l', '-d'))
    ok(joined(pubs[1]), 'and a second publisher', pubs[1].said[-5:])
    ok(all(in_use(pub, keys, 'both') for pub in pubs), 'both publishers have come to the readers\' epoch',
       [pub.said[-3:] for pub in pubs])
    for i in range(3):
        for n, pub in enumerate(pubs):
            pub.write('p%d-%d' % (n, i))
        keys.ask('rotate', 'both')
    good = [wait(lambda sub=sub: len(sub.lines) == 6, 60) for sub in subs]
    ok(all(good), 'each of them reads both publishers, over three epochs', [(s.lines, s.said[-4:]) for s in subs])
    seen = [line.split() for line in subs[2].lines]
    ok(all(s[0] == 'desk' for s in seen) and len({s[1] for s in seen}) == 2 and len({(s[1], s[2]) for s in seen}) == 6,
       'each publisher is a life of its own: no key and nonce twice', seen)
    late = reader(stage, 'pump-2', 'both', 'both/a')
    ok(all(in_use(pub, keys, 'both') for pub in pubs), 'they come to its epoch', [pub.said[-3:] for pub in pubs])
    for n, pub in enumerate(pubs):
        pub.write('p%d-late' % n)
    ok(heard(late, 'desk p0-late') and heard(late, 'desk p1-late'),
       'who joins later knows both of them', (late.lines, late.said[-4:]))
    wait(lambda: all(len(sub.lines) == 8 for sub in subs), 60)
    subs[1].stop(signal.SIGKILL)
    for process in pubs + subs[:1] + subs[2:]:
        process.close()
        process.stop(signal.SIGINT)
    again = reader(stage, 'desk', 'both', 'both/a')
    hand = stage.hand()
    raw = [line.split()[1] for line in eye.lines]
    for payload in raw:
        hand.put('both/a', bytes.fromhex(payload))
    hand.settle()
    stage.pub_now('fridge-07', *words, '-m', 'new')
    ok(heard(again, 'fridge-07 new') and len(raw) == 8 and len(again.lines) == 1,
       'what readers before it delivered is not delivered again', (len(raw), again.lines, again.said[-5:]))
    again.stop(signal.SIGINT)
    keys.stop()


if __name__ == '__main__':
    play([members_read_and_who_is_expelled_does_not, nothing_is_lost_over_epochs, the_topic_picks_the_group,
          groups_are_found_by_topic, only_groups_says_nothing_to_others,
          retained_messages_are_sealed_anew, leaving_and_refusals, without_a_key_server, wills,
          processes_of_one_member])
