"""The protocols in doc/models against an attacker who owns the broker, searched with Maude: where the model is sound
nothing bad may be reachable, honest runs must get to their end, and each broken twin must be caught, with its attack.

usage: test_symbolic.py DIRECTORY      TAP; skipped where maude is missing; SEALMQ_LONG searches more runs at once
"""
import os
import re
import shutil
import subprocess
import sys

ALL = 'secrecy, agreement, forward secrecy, key compromise, once, origin'

# model, runs, keys that may come out, method, twin, deliveries; claim; what the row says
SESSION_SOUND = [
    ('i2(1, a, b) r1(2, b)', '(a, b)', 0, 2, 'any', 'two members, keys that come out at any time, method 0: ' + ALL),
    ('i2(1, a, b) r1(2, b)', '(a, b)', 1, 2, 'any', 'the same by method 1'),
    ('i2(1, a, b) r1(2, b)', '(a, b)', 2, 2, 'any', 'the same by method 2'),
    ('i2(1, a, b) r1(2, b)', '(a, b)', 3, 2, 'any', 'the same by method 3'),
    ('i2(1, a, b) i2(31, a, b) r1(2, b) r1(32, b)', 'nobody', 9, 0, 'any', 'methods 0 and 3 beside each other'),
    ('i2(1, a, b) i2(2, a, c) r1(3, b) r1(4, b)', 'nobody', 0, 0, 'any',
     'two sessions at a time, one of them with the attacker, method 0'),
    ('i2(1, a, b) r1(2, a) i2(3, b, a) r1(4, b)', 'nobody', 0, 1, 'any', 'both begin and both answer, method 0'),
    ('i2(1, a, b) r1(2, a) i2(3, b, a) r1(4, b)', 'nobody', 3, 1, 'any', 'the same by method 3'),
]
SESSION_LONG = [
    ('i2(21, a, b) i2(11, a, c) r1(12, b) r1(22, b)', 'nobody', 9, 0, 'any',
     'methods 1 and 2 beside each other, one session with the attacker'),
    ('i2(1, a, b) i2(31, a, c) r1(2, b) r1(32, b)', 'nobody', 9, 0, 'any',
     'methods 0 and 3 beside each other, one session with the attacker'),
    ('i2(1, a, b) i2(2, a, c) r1(3, b) r1(4, b)', 'nobody', 3, 0, 'any',
     'two sessions at a time, one of them with the attacker, method 3'),
    ('i2(1, a, b) i2(2, a, b) r1(3, b)', '(a, b)', 0, 0, 'any', 'three runs, keys that come out at any time, method 0'),
    ('i2(1, a, b) i2(2, a, b) r1(3, b) r1(4, b)', 'a', 0, 0, 'any', 'four runs, one key that comes out, method 0'),
]
SESSION_TWINS = [
    ('i2(1, a, b) r1(2, b)', 'nobody', 0, 'unsigned', 0, 'secrecy', 'messages 2 and 3 without a signature'),
    ('i2(1, a, b) r1(2, b)', 'nobody', 0, 'stale', 0, 'agreement', 'a signature that does not cover the transcript'),
    ('i2(1, a, c) r1(2, b)', 'nobody', 0, 'misbinding', 0, 'agreement',
     'credentials neither signed nor in the transcript'),
    ('i2(1, a, c) r1(2, b)', 'nobody', 3, 'misbinding', 0, 'agreement', 'the same by method 3'),
    ('i2(1, a, b) r1(2, b)', 'nobody', 0, 'noname', 0, 'agreement', 'a proven name that is not the expected one'),
    ('i2(1, a, b) r1(2, b)', 'nobody', 0, 'nofourth', 0, 'agreement', 'an initiator that does not wait for message_4'),
    ('i2(1, a, b) r1(2, b)', '(a, b)', 0, 'static', 0, 'forward', 'long-term keys in place of ephemeral ones'),
    ('i2(1, a, b) r1(2, b)', '(a, b)', 3, 'static', 0, 'forward', 'the same by method 3'),
    ('i2(1, a, b) i2(2, a, b) r1(3, b) r1(4, b)', 'nobody', 0, 'static', 0, 'injective',
     'long-term keys in place of ephemeral ones: two runs, one key'),
    ('i2(1, a, b) r1(2, b)', 'a', 3, 'kci', 0, 'kci', 'a proof by both long-term keys alone'),
    ('i2(1, a, b) r1(2, b)', 'nobody', 0, 'nowindow', 2, 'once', 'no replay window'),
    ('i2(1, a, b) r1(2, b)', 'nobody', 0, 'oneway', 1, 'origin', 'one key for both directions'),
]
# model, runs, keys that may come out, method, whom the policy admits; what the row says
JOIN_SOUND = [
    ('a2(1, a) k1(2) k1(3)', 'nobody', 0, '(a, b, c)',
     'a and the attacker join, and he is expelled: secrecy, grants, injective, who asked, policy'),
    ('a2(1, a) k1(2) k1(3)', 'nobody', 3, '(a, b, c)', 'the same by method 3'),
    ('a2(1, a) k1(2) k1(3)', 'nobody', 0, '(a, b)', 'the policy has no place for the attacker'),
    ('a2(1, a) k1(2)', '(a, s)', 0, '(a, b)', 'keys that come out at any time, the key server\'s too, method 0'),
    ('a2(1, a) k1(2)', '(a, s)', 3, '(a, b)', 'the same by method 3'),
    ('a2(31, a) a2(21, a) k1(32) k1(22)', 'nobody', 9, '(a, b)', 'methods 2 and 3 beside each other (7.8)'),
]
JOIN_LONG = [
    ('a2(1, a) k1(2)', '(a, s)', 0, '(a, b, c)', 'the attacker may join, keys come out at any time, method 0'),
    ('a2(1, a) k1(2)', '(a, s)', 3, '(a, b, c)', 'the same by method 3'),
    ('a2(1, a) a2(2, b) k1(3) k1(4)', 'nobody', 0, '(a, b, c)', 'two members and the attacker, two at a time'),
    ('a2(1, a) a2(2, a) k1(3) k1(4)', 'nobody', 3, '(a, b, c)', 'one member that joins twice, method 3'),
]
JOIN_TWINS = [
    ('a2(1, a) k1(2)', 'nobody', 0, 'unsigned', '(a, b)', 'secret', 'messages 2 and 3 without a signature'),
    ('a2(1, a) k1(2)', 'nobody', 0, 'unsigned', '(a, b)', 'asked', 'the same: a is admitted and did not ask'),
    ('a2(1, a) k1(2)', 'nobody', 0, 'norole', '(a, b)', 'granted', 'any certificate passes for the key server\'s'),
    ('a2(1, a) k1(2)', 'nobody', 0, 'nopolicy', '(a, b)', 'policy', 'the policy is not asked'),
    ('a2(1, a) a2(2, a) k1(3) k1(4)', 'nobody', 0, 'unbound', '(a, b)', 'injective',
     'an answer that is not bound to the run: an old grant is taken again'),
    ('a2(1, a) k1(2)', '(a, s)', 0, 'static', '(a, b)', 'secret',
     'long-term keys in place of ephemeral ones, which come out later'),
    ('a2(1, a) k1(2)', 'a', 3, 'kci', '(a, b)', 'granted', 'a proof by both long-term keys alone'),
    ('k1(2)', 'nobody', 0, 'oldroot', '(a, b, c)', 'secret', 'a new epoch under the key of the old one'),
    ('k1(2)', 'nobody', 0, 'keeps', '(a, b, c)', 'secret', 'a new epoch for the leaf of the expelled, too'),
    ('a2(1, a) k1(2) k1(3)', 'nobody', 0, 'unbarred', '(a, b, c)', 'policy', 'the expelled may join again'),
]


def rows():
    """(file, begin, claim, expected, text)"""
    begin = 'begin(%s, %s, %d, \'%s, %d)'
    yield ('session', begin % ('i2(1, a, b) r1(2, b)', 'nobody', 0, 'sound', 2), 'never', True,
           'honest runs get to their end, method 0')
    yield ('session', begin % ('i2(1, a, b) r1(2, b)', 'nobody', 3, 'sound', 2), 'never', True, 'and by method 3')
    yield ('session', begin % ('i2(1, a, c) r1(2, b)', 'nobody', 0, 'sound', 0), 'insider', True,
           'the attacker can have sessions in his own name, at both ends')
    for runs, out, method, deliveries, claim, text in SESSION_SOUND + (SESSION_LONG if LONG else []):
        yield 'session', begin % (runs, out, method, 'sound', deliveries), claim, False, text
    for runs, out, method, twin, deliveries, claim, text in SESSION_TWINS:
        yield 'session', begin % (runs, out, method, twin, deliveries), claim, True, 'caught (%s): %s' % (claim, text)
    yield from join_rows()


def join_rows():
    begin = 'begin(%s, %s, %d, \'%s, %s)'
    yield ('join', begin % ('a2(1, a) k1(2) k1(3)', 'nobody', 0, 'sound', '(a, b, c)'), 'never', True,
           'a joins and follows, the attacker was a member and is not')
    for runs, out, method, policy, text in JOIN_SOUND + (JOIN_LONG if LONG else []):
        yield 'join', begin % (runs, out, method, 'sound', policy), 'anyjoin', False, text
    for runs, out, method, twin, policy, claim, text in JOIN_TWINS:
        yield 'join', begin % (runs, out, method, twin, policy), claim, True, 'caught (%s): %s' % (claim, text)


def maude(directory, file, commands):
    script = '\n'.join(commands + ['q', ''])
    return subprocess.run(['maude', '-no-banner', '-no-wrap', '-no-advise', '-batch', os.path.join(directory, file + '.maude')],
                          input=script, capture_output=True, text=True, check=False, timeout=1500)


def search(directory, file, begin, claim):
    """(number of the state found or None, states), or None and what went wrong"""
    command = "search [1] %s =>* S:State such that bad('%s, S:State) ." % (begin, claim)
    done = maude(directory, file, [command])
    states = re.search(r'^states: (\d+)', done.stdout, re.M)
    found = re.search(r'^Solution 1 \(state (\d+)\)', done.stdout, re.M)
    if done.stderr.strip() or not states or not (found or 'No solution.' in done.stdout):
        return None, (done.stderr.strip() or 'no result').splitlines()[0]
    if not found:
        return (None, int(states.group(1))), ''
    path = maude(directory, file, [command, 'show path %s .' % found.group(1)]).stdout
    return (int(found.group(1)), int(states.group(1))), path


def split(text, separators):
    """What stands between separators outside of parentheses."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == '(') - (char == ')')
        if depth == 0 and char in separators:
            parts.append(text[start:at].strip())
            start = at + 1
    return [part for part in parts + [text[start:].strip()] if part]


def told(strand):
    """One sentence for what somebody has come to."""
    name, arguments = strand.split('(', 1)
    field = split(arguments[:-1], ',')
    point = '' if len(field) < 2 else 'g^(%s)' % field[-1 if name in ('r3', 'k3') else 3]
    point += ', the attacker\'s' if point == 'g^(e)' else ''
    if name == 'r3':
        return 'run %s: %s answers a message_1 with G_X = %s' % (field[0], field[1], point)
    if name == 'i4':
        return 'run %s: %s takes a message_2 as %s\'s, G_Y = %s, and sends message_3' % (
            field[0], field[1], field[2], point)
    if name == 'done':
        opened = ', '.join(re.findall(r'pay\(\d+\)', field[7]))
        return 'run %s: %s, %s, has a session with %s%s' % (
            field[0], field[2], field[1].strip("'"), field[3], ', and opened ' + opened if opened else '')
    return told_of_join(name, field, point)


def told_of_join(name, field, point):
    if name == 'k3':
        return 'run %s: the key server answers a message_1 with G_X = %s' % (field[0], point)
    if name == 'a4':
        return 'run %s: %s takes a message_2 as from the key server (%s), G_Y = %s, and asks to join' % (
            field[0], field[1], field[2], point)
    if name == 'admitted':
        return 'run %s: the key server admits %s to epoch %s' % (field[0], field[1], field[3])
    return 'run %s: %s takes a grant: sender id %s, epoch %s, secret %s' % (
        field[0], field[1], field[4], field[5], field[6])


def trace(path):
    """The attack, step by step: what changed between one state and the next."""
    states = [re.split(r'\s\|\s', line.split(': ', 1)[1].strip()[1:-1]) for line in path.splitlines()
              if re.match(r'state \d+, State: ', line)]
    for before, after in zip(states, states[1:]):
        if len(after) == 8 and (before[6], after[6]) == ('1', '2'):
            yield 'the key server expels c and begins epoch 2'
        for strand in [new for new in split(after[0], ' ') if new not in split(before[0], ' ')]:
            yield told(strand)
        had = split(before[1], ' ')
        for new in [new for new in split(after[1], ' ') if new not in had]:
            if re.match(r'(secret|pay|root)\(', new):
                yield 'the attacker has %s' % new


def main():
    directory = os.path.abspath(sys.argv[1])
    if not shutil.which('maude'):
        print('1..0 # SKIP no maude: apt-get install maude')
        return 0
    table, failed = list(rows()), 0
    print('1..%d' % len(table))
    for number, (file, begin, claim, expected, text) in enumerate(table, 1):
        result, more = search(directory, file, begin, claim)
        good = result is not None and (result[0] is not None) == expected
        failed += not good
        note = more if result is None else '%d states' % result[1]
        print('%s %d - %s, %s: %s' % ('ok' if good else 'not ok', number, file, text, note.replace('#', '')))
        if result and result[0] is not None and claim not in ('never', 'insider'):
            for step in trace(more):
                print('#     ' + step)
        sys.stdout.flush()
    if not LONG:
        print('# more runs at a time: SEALMQ_LONG')
    return 1 if failed else 0


LONG = bool(os.environ.get('SEALMQ_LONG'))
if __name__ == '__main__':
    sys.exit(main())
