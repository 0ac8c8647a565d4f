#!/usr/bin/env python3
"""People in a group (sealmq chat), and many members of one (sealmq swarm), with a real broker and key server.

usage: test_chat.py SEALMQ ROOT
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sealed_rig import SEALMQ, Process, ok, play, run, wait  # noqa: E402
from test_keyserver import Keys  # noqa: E402


def chat(stage, name, *more):
    words = [SEALMQ, 'chat', '--realm', stage.member(name), *stage.tls(name), '--group', 'ops', '--json', *more]
    process = Process(words)
    wait(lambda: process.says('joined') or process.child.poll() is not None)
    return process


def heard(process, text):
    return wait(lambda: [json.loads(line) for line in process.lines if text in line])


def two_people_talk(stage):
    keys = Keys(stage)
    keys.do('init')
    server = keys.start()
    keys.ask('create', 'ops', '--mode', 'update', '--filter', 'chat/#', '--publish', '*', '--subscribe', '*')
    eye = stage.eye('-t', 'chat/#')
    desk, ward = chat(stage, 'desk'), chat(stage, 'ward-3')
    ward.write('is anybody there?')
    got = heard(desk, 'anybody')
    ok(got and got[0]['sender'] == 'ward-3' and got[0]['text'] == 'is anybody there?', 'what one types the other reads',
       (desk.lines, desk.said, ward.said))
    desk.write('yes \x1b[31mred')
    got = heard(ward, 'yes')
    ok(got and got[0]['sender'] == 'desk' and '\x1b' not in ''.join(ward.lines), 'and back, its control characters tamed',
       ward.lines)
    ok(not any('anybody' in line for line in ward.lines), 'nobody hears himself', ward.lines)
    ok(eye.lines and not any(b'anybody'.hex() in line for line in eye.lines), 'the broker reads none of it', eye.lines)
    keys.ask('expel', 'ops', 'ward-3')
    ok(ward.end(15) not in (0, None), 'who is expelled is told, and leaves', ward.said)
    desk.write('now we are alone')
    desk.close()
    ok(desk.end(15) == 0, 'the end of its input ends it, with everything sent', desk.said)
    eye.stop()
    server.stop()


def wrong_use(stage):
    status, _, err = run(SEALMQ, 'chat', '--realm', stage.member('desk'))
    ok(status != 0 and '--group' in err, 'chat without a group', err)
    status, _, err = run(SEALMQ, 'chat', '--realm', stage.member('desk'), '--group', 'ops', '-t', 'chat/#')
    ok(status != 0 and 'without wildcards' in err, 'chat on a filter', err)
    status, _, err = run(SEALMQ, 'swarm', '--group', 'ops', '-t', 'chat/swarm')
    ok(status != 0 and '--ca' in err, 'a swarm without an authority', err)
    status, _, err = run(SEALMQ, 'swarm', '--ca', stage.ca, '--group', 'ops', '-t', 'chat/swarm', '--members', '2',
                         '--leaves', '2')
    ok(status != 0 and 'fewer that leave' in err, 'a swarm of which nobody stays', err)


def a_swarm_loses_nothing(stage):
    keys = Keys(stage)
    server = keys.start()
    status, out, err = run(SEALMQ, 'swarm', '--ca', stage.ca, '--group', 'ops', '-t', 'chat/swarm', '--members', '8',
                           '--leaves', '2', '-h', 'localhost', '-p', str(stage.port), '--tls', '--json', seconds=120)
    result = json.loads(out) if status == 0 else {}
    ok(status == 0 and result.get('members') == 8, 'a swarm of eight', (status, out, err))
    ok(result.get('lost') == 0 and result.get('expected', 0) > 0 and result.get('received') == result.get('expected'),
       'no message is lost while two of them leave', result)
    ok(result.get('refused') == 0, 'and none is refused', result)
    server.stop()


if __name__ == '__main__':
    play([two_people_talk, wrong_use, a_swarm_loses_nothing])
