"""The story: what happens when, and what each moment proves."""
import os
import time

import stage as st
from claims import Claims
from group import LAB, TABLET, Group
from hostile import Hostile
from ledger import BUDGET, STAMP, Ledger
from programs import Failure

COLOURS = ('cyan', 'yellow', 'magenta')
ATTACKS = 3
FIRST_S = 30  # until the first message; a fraction of a second where nothing is wrong
KNOWN_WORDS = ('fridge_temperature', 'temp_condition', 'patient_id', 'heart_rate', 'rate_ml_h')
FRIDGE_RATE, WARD_RATE = 12, 6  # records a second


def span(numbers):
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else '%d to %d' % (low, high)


class Story:
    """Also what the screen shows."""

    def __init__(self, options, programs, stage, screen):
        self.options, self.programs, self.stage, self.screen = options, programs, stage, screen
        self.reader, self.pump, self.senders = st.READER, st.PUMP, (st.FRIDGE, st.WARD)
        self.ledger = Ledger([st.topic_of(name) for name in self.senders], KNOWN_WORDS)
        self.claims = Claims(st.READER, st.ELSEWHERE.split('/')[-1], options.mode and (LAB, TABLET))
        self.started, self.next_progress = None, 0
        self.lies = set(os.environ.get('DEMO_BREAK', '').split(','))  # planted by the tests: we have to notice
        self.caption = 'at half time the broker turns hostile'
        self.publishers = []
        self.csv_file = options.csv
        self.sources = ''
        if 'still' in self.lies:
            stage.rotate_every = 300
        programs.each_turn = self.each_turn

    # ---- for the screen ----

    def clock(self):
        if not self.started:
            return ''
        gone = min(time.monotonic() - self.started, self.options.seconds)
        return '%2d of %d s' % (gone, self.options.seconds)

    def colour(self, sender):
        return COLOURS[self.senders.index(sender)] if sender in self.senders else 'plain'

    def numbers(self):
        book = self.ledger
        rate, latency, opened = book.rate(), book.latency_ms(), book.open_us()
        parts = ['%d messages' % len(book.pairs)]
        parts += ['%.0f/s' % rate] if rate is not None else []
        parts += ['%d lost' % sum(book.missing().values())]
        parts += ['latency p50 %s ms' % ('%d' % latency if latency >= 1 else '<1')] if latency is not None else []
        parts += ['seal %.1f us' % book.seal_us] if book.seal_us is not None else []
        parts += ['open %.1f us' % opened] if opened is not None else []
        return parts

    def tell(self, text):
        self.caption = text
        self.screen.event(text)

    # ---- time passes ----

    def each_turn(self):
        if self.started and time.monotonic() >= self.next_progress:
            self.next_progress = time.monotonic() + 0.2
            self.progress()
        self.screen.update()

    def wait(self, condition, seconds):
        """Until the condition holds; False if it does not in time."""
        until = time.monotonic() + seconds
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                return bool(condition())
            self.programs.turn(min(left, 0.05))
        return True

    def wait_until(self, fraction):
        self.wait(lambda: False, self.started + fraction * self.options.seconds - time.monotonic())

    def progress(self):
        book, claims = self.ledger, self.claims
        if book.found_plain:
            needle, _ = book.found_plain[0]
            claims['broker_reads_nothing'].decide(False, 'it saw "%s"' % needle.decode('utf-8', 'replace'))
        claims['broker_reads_nothing'].progress(
            '%d payloads searched for %d words: none' % (len(book.seen), len(book.needles)))
        claims['reader_reads_everything'].progress('%d read, %d lost' % (len(book.pairs), sum(book.missing().values())))
        over, stamped = book.overheads(False), book.overheads(True)
        if over and stamped:
            claims['small'].progress('+%s bytes so far (+%s with a time stamp)' % (span(over), span(stamped)))
        rotations = [book.rotations().get(name, 0) for name in self.senders]
        if max(rotations) > 0:
            claims['keys_rotate'].progress(self.rotation_text())

    def rotation_text(self):
        arrow = self.screen.paint.to
        chains = []
        for name in self.senders:
            numbers = [str(number) for number in self.ledger.sessions[name]]
            if len(numbers) > 4:
                numbers[2:-1] = [self.screen.paint.dots]
            chains.append('%s %s' % (name, arrow.join(numbers)))
        return ', '.join(chains)

    # ---- scenes ----

    def run(self):
        self.set_up()
        self.started = time.monotonic()
        self.screen.watch(self)
        book = self.ledger
        self.wait(lambda: book.found_plain or all(book.sessions[name] for name in self.senders), FIRST_S)
        if not book.read and not book.found_plain:
            raise Failure(self.nothing_came())
        if not book.found_plain:
            self.play()
        self.close()
        self.judge()
        if self.options.mode:
            Group(self, self.options.mode).run()

    def play(self):
        hostile = Hostile(self.stage, self.ledger, self.claims, self.wait, self.pump_program, self.tell, self.lies)
        if not hostile.rehearse():
            raise Failure('%s got nothing from %s' % (st.READER, st.PUMP))
        self.wait_until(0.4)
        if 'lose' in self.lies:
            self.lose_some(3)
        # What was held back is refused for the right reason only while its session is in grace (PROTOCOL.md 5.3).
        hostile.run(min(self.options.seconds * 0.06, self.options.rotate_every * 0.3))
        self.wait_until(1)

    def lose_some(self, count):
        """The broker swallows a few messages, and then some arrive, so that the gap shows."""
        topic = st.topic_of(st.FRIDGE)
        self.stage.withhold(st.FRIDGE)
        seen = sum(seen.topic == topic for seen in self.ledger.seen) + count
        self.wait(lambda: sum(seen.topic == topic for seen in self.ledger.seen) >= seen, 10)
        self.stage.withhold(None)
        read = sum(read.topic == topic for read in self.ledger.read)
        self.wait(lambda: sum(read.topic == topic for read in self.ledger.read) > read, 10)

    def set_up(self):
        stage, screen = self.stage, self.screen
        screen.phase('making a realm: %s, each with a key and a certificate' %
                     ', '.join((st.READER,) + st.PUBLISHERS))
        stage.make_realm()
        screen.phase('starting a private Mosquitto: TLS 1.3, nobody without a certificate')
        stage.start_broker()
        screen.phase('the broker\'s eye subscribes to everything; %s to %s' % (st.READER, st.EVERYTHING))
        self.eye = self.programs.start('mosquitto_sub', stage.eye(), self.ledger.eye)
        self.sub = self.programs.start('sealmq sub', stage.sub(), self.ledger.member, self.ledger.member_says)
        stage.wait_subscribed('eye')
        stage.wait_subscribed(st.READER)
        fridge, told = self.fridge_source()
        self.sources = '%s, generated vitals' % told
        screen.phase('%s publishes %s, %s generated vitals' % (st.FRIDGE, told, st.WARD))
        self.publish(st.FRIDGE, '--source', fridge, '--rate', str(FRIDGE_RATE), '--stamp', '--stats', '1')
        self.publish(st.WARD, '--source', 'vitals', '--rate', str(WARD_RATE), '--stats', '1')
        self.pump_program = self.publish(st.PUMP, '-l', stdin=True)

    def publish(self, name, *what, stdin=False):
        lies = self.lies if name == st.FRIDGE else ()
        what += ('--cose',) if 'big' in lies else ()
        argv = self.stage.pub(name, *what, plain='plain' in lies)
        program = self.programs.start('sealmq pub (%s)' % name, argv, None, self.ledger.publisher_says, stdin=stdin)
        self.publishers.append(program)
        return program

    def fridge_source(self):
        """What fridge-07 publishes, and what the viewer is told about it."""
        if not self.csv_file:
            return 'fridge', 'generated fridge data'
        return 'csv:' + self.csv_file, os.path.basename(self.csv_file)

    def nothing_came(self):
        said = [program.last_error for program in self.publishers + [self.sub] if program.last_error]
        return '%s read nothing within %d s: %s' % (st.READER, FIRST_S, (said or ['no program said why'])[-1])

    def close(self):
        """Publishers first; what is under way still arrives; then the reader."""
        self.programs.stop(self.publishers)
        self.wait(lambda: self.ledger.in_flight() == 0, 2)
        self.wait(lambda: False, 0.2)
        self.programs.stop([self.sub, self.eye])

    # ---- the verdict ----

    def judge(self):
        self.judge_secrecy()
        self.judge_delivery()
        self.judge_size()
        self.judge_rotation()

    def judge_secrecy(self):
        book, claim = self.ledger, self.claims['broker_reads_nothing']
        records = book.search_everything()
        if book.found_plain:
            claim.decide(False, '%d pieces of plaintext in what it saw' % len(book.found_plain))
        elif not records or len(book.seen) < records:
            claim.decide(False, 'its eye saw %d payloads for %d records' % (len(book.seen), records))
        else:
            claim.decide(True, '%d records, %d words: none in the %d payloads it saw' % (
                records, len(book.needles), len(book.seen)))

    def judge_delivery(self):
        book, claim = self.ledger, self.claims['reader_reads_everything']
        lost, late = sum(book.missing().values()), book.in_flight()
        unexpected = [read for read in book.read if read.sender not in st.PUBLISHERS or
                      read.topic != st.topic_of(read.sender) or read.proof != 'peer']
        differ, compared = (book.rows_that_differ(self.csv_file, st.topic_of(st.FRIDGE)) if self.csv_file else (0, 0))
        if book.garbled:
            claim.decide(False, 'a line that makes no sense: %s' % book.garbled[0].decode('utf-8', 'replace'))
        elif lost or late or unexpected or not all(book.sessions[name] for name in self.senders):
            claim.decide(False, '%d lost, %d seen by the broker but not read, %d from nowhere' % (
                lost, late, len(unexpected)))
        elif not book.in_order():
            claim.decide(False, 'messages came out of order')
        elif differ:
            claim.decide(False, '%d of %d records differ from the file' % (differ, compared))
        else:
            claim.decide(True, '%d messages in order, 0 lost%s' % (
                len(book.pairs), ', %d as in the CSV' % compared if compared else ''))

    def judge_size(self):
        claim, over, stamped = self.claims['small'], self.ledger.overheads(False), self.ledger.overheads(True)
        if not over or not stamped:
            claim.decide(False, 'nothing to measure')
            return
        claim.decide(0 < min(over) and max(over) <= BUDGET and max(stamped) <= BUDGET + STAMP,
                     '+%s bytes (+%s with the time stamp for latency)' % (span(over), span(stamped)))

    def judge_rotation(self):
        book, claim = self.ledger, self.claims['keys_rotate']
        rotations = [book.rotations().get(name, 0) for name in self.senders]
        if min(rotations) < 1:
            claim.decide(False, 'no new session with %s' % self.senders[rotations.index(min(rotations))])
        elif not book.sessions_grow():
            claim.decide(False, 'the session numbers went back: %s' % self.rotation_text())
        elif len(book.refused) > ATTACKS:
            claim.decide(False, 'refused without an attack: %s' % book.refused[0].line)
        elif sum(book.missing().values()):
            claim.decide(False, 'messages were lost')
        else:
            claim.decide(True, '%s; 0 lost' % self.rotation_text())
