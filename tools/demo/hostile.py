"""
The broker turns hostile. It holds back one message of pump-2, then lets the reader have it altered, on another
topic, as it was, and once more. Only one of the four may be read.
"""
import stage as st

FIRST, HELD = '{"pump":2,"rate_ml_h":25}', '{"pump":2,"rate_ml_h":250}'


def flip_bit(payload):
    """One bit in the middle, where the ciphertext is: behind any header, before the tag."""
    at = len(payload) // 2
    return payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1:]


class Hostile:
    def __init__(self, stage, ledger, claims, wait, pump, say, lies):
        self.stage, self.ledger, self.claims, self.wait = stage, ledger, claims, wait
        self.pump, self.say, self.lies = pump, say, lies
        self.topic = st.topic_of(st.PUMP)
        self.captured = None

    def seen(self):
        return [seen.payload for seen in self.ledger.seen if seen.topic == self.topic]

    def read(self):
        return [read.text for read in self.ledger.read if read.topic in (self.topic, st.ELSEWHERE)]

    def rehearse(self):
        """An ordinary message first: the reader then knows the topic, and we know that the way is free."""
        self.pump.write(FIRST + '\n')
        return self.wait(lambda: self.read() == [FIRST], 10)

    def capture(self):
        before = len(self.seen())
        self.stage.withhold(st.PUMP)
        self.pump.write(HELD + '\n')
        got = self.wait(lambda: len(self.seen()) > before, 5)
        self.wait(lambda: False, 0.15)
        held = got and self.read() == [FIRST]
        self.stage.withhold(None)
        self.captured = self.seen()[before] if got else None
        self.say('the broker turns hostile: it held back a message of %s and sends it on' % st.PUMP)
        return held

    def attack(self, key, topic, payload, reason):
        """The claim is true if the tool refused it, for this reason, and nothing was read."""
        claim, before, read = self.claims[key], len(self.ledger.refused), len(self.read())
        self.stage.inject(topic, payload)
        self.wait(lambda: len(self.ledger.refused) > before or len(self.read()) > read, 5)
        self.wait(lambda: False, 0.1)
        refused = self.ledger.refused[before:]
        if len(self.read()) > read:
            claim.decide(False, 'it was read as if it were genuine')
        elif not refused:
            claim.decide(False, 'nothing was said about it')
        elif [(r.reason, r.topic) for r in refused] != [(reason, topic)]:
            claim.decide(False, 'refused for something else: ' + refused[-1].text)
        else:
            claim.decide(True, 'refused: ' + refused[0].text)

    def deliver(self):
        """What was held back, unaltered and where it belongs: late, but good."""
        before = len(self.read())
        self.stage.inject(self.topic, self.captured)
        return self.wait(lambda: self.read()[before:] == [HELD], 5)

    def run(self, pause):
        held = self.capture()
        if not self.captured:
            for key in ('altered_refused', 'moved_refused', 'replayed_refused'):
                self.claims[key].decide(False, 'no message of %s could be captured' % st.PUMP)
            return
        altered = self.captured if 'flip' in self.lies else flip_bit(self.captured)
        elsewhere = self.topic if 'move' in self.lies else st.ELSEWHERE
        self.wait(lambda: False, pause)
        self.attack('altered_refused', self.topic, altered, 'open')
        self.wait(lambda: False, pause)
        self.attack('moved_refused', elsewhere, self.captured, 'moved')
        self.wait(lambda: False, pause)
        delivered = self.deliver()
        again = altered if 'replay' in self.lies else self.captured
        self.attack('replayed_refused', self.topic, again, 'replay')
        if not held:
            self.claims['altered_refused'].decide(False, 'the message was read before it could be altered')
        if not delivered:
            self.claims['replayed_refused'].decide(False, 'the first, untouched copy was not read')
        if self.read() != [FIRST, HELD]:
            self.claims['replayed_refused'].decide(False, 'read from %s: %s' % (st.PUMP, ' '.join(self.read())))
