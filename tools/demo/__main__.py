"""
./run demo: sealed telemetry from two devices to one reader, over a broker that learns nothing, checked as it runs; then
a group whose key server expels one of its members.

Starts the real programs in a temporary directory and on a free loopback port, shows what the broker sees beside what
the reader reads, lets the broker turn hostile, and ends with status 0 only if every claim it showed was checked and
true. Needs python3 alone, runs as any user, leaves nothing behind (but what --keep asks for).
"""
import argparse
import json
import os
import shlex
import signal
import sys

import stage as st
from programs import Failure, Programs
from screen import Lines, Live, Silent
from stage import Stage
from story import Story

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CSV = os.path.join(ROOT, '..', 'shared', 'data', 'Train_Test_IoT_Fridge.csv')
SECONDS_MIN, SECONDS_MAX = 6, 300


class Stopped(Exception):
    pass


def whole(low, high):
    def parse(text):
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError("'%s' is not a whole number from %d to %d" % (text, low, high))
        return int(text)
    return parse


def arguments(argv):
    parser = argparse.ArgumentParser(prog='./run demo', description=__doc__.strip().split('\n\n')[0],
                                     allow_abbrev=False)
    parser.add_argument('--seconds', type=whole(SECONDS_MIN, SECONDS_MAX), default=20, metavar='N',
                        help='how long telemetry flows (%(default)s)')
    parser.add_argument('--rotate-every', type=whole(1, 300), metavar='SECONDS',
                        help='new keys this often (a quarter of --seconds, at most 5)')
    parser.add_argument('--mode', choices=('static', 'update', 'slotted', 'none'), default='update',
                        help='keys of the group in the second act (%(default)s); none: no second act')
    parser.add_argument('--csv', metavar='FILE', help='what %s publishes, instead of the fridge data at hand' % st.FRIDGE)
    parser.add_argument('--port', type=whole(1, 65535), metavar='N', help='the broker\'s port (a free one)')
    parser.add_argument('--json', action='store_true', help='print one JSON object at the end, and nothing else')
    parser.add_argument('--keep', action='store_true',
                        help='leave realm and broker up, and say how to use and how to stop them')
    options = parser.parse_args(argv)
    options.mode = None if options.mode == 'none' else options.mode
    options.rotate_every = options.rotate_every or max(2, min(5, options.seconds // 4))
    if options.rotate_every * 2 > options.seconds:
        parser.error('--rotate-every %d leaves no time for a rotation in %d s' % (options.rotate_every, options.seconds))
    if options.csv and not os.path.isfile(options.csv):
        parser.error('--csv: there is no file %s' % options.csv)
    if not options.csv and os.path.isfile(CSV):
        options.csv = os.path.relpath(CSV)
    return options


def screen_for(options):
    if options.json:
        return Silent()
    if sys.stdout.isatty() and os.environ.get('TERM', 'dumb') != 'dumb':
        return Live(sys.stdout)
    return Lines(sys.stdout)


def environment():
    """Ours, without what would change what the programs do."""
    return {name: value for name, value in os.environ.items() if not name.startswith('SEALMQ')}


def kept_lines(stage, pid):
    read = [stage.sealmq, 'sub', '-o', stage.options_file(st.READER), '-t', st.EVERYTHING, '-v']
    write = [stage.sealmq, 'pub', '-o', stage.options_file(st.FRIDGE), '--to', st.READER, '-t', st.topic_of(st.FRIDGE),
             '--source', 'fridge', '--rate', '1']
    return ['', 'The realm and the broker stay up. In one terminal, the reader:', '', '  ' + shlex.join(read), '',
            'and in another one, a device:', '', '  ' + shlex.join(write), '',
            'To stop the broker and remove everything:', '',
            '  kill %d && rm -r %s' % (pid, shlex.quote(stage.dir)), '']


def summary(story, good, kept):
    book = story.ledger
    over, stamped = book.overheads(False), book.overheads(True)
    latency, opened, rate = book.latency_ms(), book.open_us(), book.rate()
    result = {
        'ok': good,
        'claims': {claim.key: bool(claim.true) for claim in story.claims.rows},
        'details': {claim.key: claim.detail for claim in story.claims.rows},
        'figures': {
            'seconds': story.options.seconds, 'rotate_every_s': story.options.rotate_every,
            'source': 'csv' if story.csv_file else 'generated',
            'messages': len(book.pairs), 'rate_per_s': rate and round(rate, 1),
            'lost': sum(book.missing().values()), 'refused': len(book.refused),
            'payloads_seen_by_broker': len(book.seen), 'overhead_bytes_max': max(over, default=None),
            'overhead_with_stamp_bytes_max': max(stamped, default=None),
            'latency_ms_p50': latency, 'seal_us': book.seal_us, 'open_us_p50': opened,
            'sessions': {name: book.sessions[name] for name in story.senders}}}
    if kept:
        result['kept'] = kept
    return result


def main(argv):
    options = arguments(argv)
    sys.stdout.reconfigure(errors='replace')  # a terminal that lacks a character shows another

    def stopped(number, frame):
        raise Stopped(signal.Signals(number).name)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)
    programs, stage, kept, status = Programs(environment()), None, None, 1
    screen = screen_for(options)
    try:
        sealmq = st.find_program('sealmq', os.environ.get('SEALMQ_DEMO_TOOL'), os.path.join(ROOT, 'build/src/cli/sealmq'))
        stage = Stage(programs, sealmq, options.port, options.rotate_every)
        programs.environment['XDG_CONFIG_HOME'] = stage.dir  # nobody's defaults
        story = Story(options, programs, stage, screen)
        story.run()
        good = story.claims.all_true()
        status = 0 if good else 1
        true = sum(bool(claim.true) for claim in story.claims.rows)
        lines = ['%d of %d claims checked and true.' % (true, len(story.claims.rows))]
        if good and not options.keep:
            lines[0] += ' Try it yourself: ./run demo --keep'
        if options.keep:
            pid = stage.leave_broker()
            kept = {'dir': stage.dir, 'port': stage.port, 'pid': pid}
            lines += kept_lines(stage, pid)
            kept['commands'] = [line.strip() for line in lines if line.startswith('  ')]
        screen.finish(lines)
        if options.json:
            print(json.dumps(summary(story, good, kept)), flush=True)
    except Failure as failure:
        screen.close()
        print('demo: %s' % failure, file=sys.stderr)
    except Stopped as stop:
        status = 128 + getattr(signal, str(stop))
        screen.close()
        print('demo: stopped by %s; everything is cleaned up' % stop, file=sys.stderr)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing stops the cleaning up
        programs.each_turn = lambda: None
        for program in programs.running:
            program.expected_to_end = True
        programs.stop()
        if stage and not kept:
            stage.strike()
        screen.close()
    return status


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
