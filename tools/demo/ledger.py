"""The books: every byte the broker's eye saw, everything the member read or refused, and what follows from both."""
import collections
import csv
import json
import re
import statistics
import time

BUDGET, STAMP = 24, 4  # bytes over the plaintext, and for a time stamp where one is asked for (PROTOCOL.md 3)
REFUSAL = re.compile(r"refused: (?P<reason>[a-z-]+): (?P<text>.*?); topic '(?P<topic>[^']*)'"
                     r"(?:, sealed for topic '(?P<from>[^']*)')?")
SEAL_TIME = re.compile(r'seal (\d+(?:\.\d+)?) us')

Seen = collections.namedtuple('Seen', 'topic payload')
Read = collections.namedtuple('Read', 'topic text sender proof session counter age_ms open_ns')
Refused = collections.namedtuple('Refused', 'reason text topic moved_from line')
Pair = collections.namedtuple('Pair', 'seen read')


def number(value, default=None):
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default


class Ledger:
    def __init__(self, telemetry_topics, known_words):
        self.topics = telemetry_topics
        self.seen, self.read, self.refused, self.pairs = [], [], [], []
        self._waiting_seen = collections.defaultdict(collections.deque)
        self._waiting_read = collections.defaultdict(collections.deque)
        self.garbled = []        # lines of the programs that we could not understand
        self.needles = {word.encode() for word in known_words}  # pieces of plaintext that must not be anywhere in what the broker saw
        self.found_plain = []
        self.sessions = collections.defaultdict(list)  # sender -> session numbers, in the order of their first use
        self.first_at = self.last_at = None
        self.seal_us = None

    # ---- what comes in ----

    def eye(self, line):
        """`topic hex` from mosquitto_sub."""
        topic, _, digits = line.decode('utf-8', 'replace').rpartition(' ')
        try:
            payload = bytes.fromhex(digits)
        except ValueError:
            self.garbled.append(line)
            return
        seen = Seen(topic, payload)
        self.seen.append(seen)
        self._look_for(self.needles, [seen])
        if topic in self.topics:
            self._waiting_seen[topic].append(seen)
            self._match(topic)

    def member(self, line):
        """One JSON object from sealmq sub -F %j."""
        try:
            message = json.loads(line)
            e2e = message['e2e']
            read = Read(message['topic'], message['payload'], e2e['sender'], e2e['proof'], int(e2e['epoch']),
                        int(e2e['counter']), number(e2e.get('age_ms')), number(e2e.get('open_ns')))
        except (ValueError, KeyError, TypeError):
            self.garbled.append(line)
            return
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        self.read.append(read)
        if read.session not in self.sessions[read.sender]:
            self.sessions[read.sender].append(read.session)
        self._learn(read.text)
        if read.topic in self.topics:
            self._waiting_read[read.topic].append(read)
            self._match(read.topic)

    def member_says(self, line):
        """A line of its standard error; refusals are booked."""
        text = line.decode('utf-8', 'replace')
        found = REFUSAL.search(text)
        if found:
            self.refused.append(Refused(found['reason'], found['text'], found['topic'], found['from'], text))

    def publisher_says(self, line):
        found = SEAL_TIME.search(line.decode('utf-8', 'replace'))
        if found:
            self.seal_us = float(found[1])

    def _match(self, topic):
        # QoS 1 from one publisher on one topic keeps its order: the n-th seen is the n-th read.
        while self._waiting_seen[topic] and self._waiting_read[topic]:
            self.pairs.append(Pair(self._waiting_seen[topic].popleft(), self._waiting_read[topic].popleft()))

    # ---- the search for plaintext ----

    def _learn(self, text):
        """Field names and words of a record; each new one is looked for in all that was seen before."""
        try:
            record = json.loads(text)
        except ValueError:
            record = {}
        words = set(record) | {v for v in record.values() if isinstance(v, str)} if isinstance(record, dict) else set()
        fresh = {w.encode() for w in words if len(w) >= 5} - self.needles
        self.needles |= fresh
        self._look_for(fresh, self.seen)

    def _look_for(self, needles, where):
        for needle in needles:
            for seen in where:
                if needle in seen.payload:
                    self.found_plain.append((needle, seen))

    def search_everything(self):
        """Every whole record, in every byte the broker carried; the number of records."""
        carried = b'\n\n'.join(seen.payload for seen in self.seen)
        records = {read.text.encode() for read in self.read}
        self.found_plain += [(record, None) for record in records if record in carried]
        return len(self.read)

    # ---- figures ----

    def overheads(self, stamped):
        """Bytes over the plaintext, of the messages that carry a time stamp or of those that do not."""
        return [len(pair.seen.payload) - len(pair.read.text.encode()) for pair in self.pairs
                if (pair.read.age_ms is not None) == stamped]

    def missing(self):
        """Counters that never came, per sender: all from 0 to the highest one must be there, once each."""
        lost = {}
        for sender in {read.sender for read in self.read}:
            counters = [read.counter for read in self.read if read.sender == sender and read.topic in self.topics]
            if counters:
                lost[sender] = max(counters) + 1 - len(set(counters)) + len(counters) - len(set(counters))
        return lost

    def in_order(self):
        """Whether each sender's messages came in the order of its counters."""
        return all(counters == sorted(counters) for counters in (
            [read.counter for read in self.read if read.topic == topic] for topic in self.topics))

    def in_flight(self):
        return sum(len(queue) for queue in self._waiting_seen.values())

    def latency_ms(self):
        ages = [read.age_ms for read in self.read if read.age_ms is not None and read.topic in self.topics]
        return statistics.median(ages) if ages else None

    def open_us(self):
        times = [read.open_ns for read in self.read if read.open_ns is not None]
        return round(statistics.median(times) / 1000, 1) if times else None

    def rate(self):
        gone = self.last_at - self.first_at if self.pairs else 0
        return len(self.pairs) / gone if gone > 0.5 else None

    def rotations(self):
        return {sender: len(numbers) - 1 for sender, numbers in self.sessions.items()}

    def sessions_grow(self):
        return all(numbers == sorted(numbers) for numbers in self.sessions.values())

    def rows_that_differ(self, file, topic):
        """How many of the records read differ from their rows in the CSV file that was published."""
        texts = [read.text for read in self.read if read.topic == topic]
        differ = 0
        with open(file, newline='', encoding='utf-8-sig') as lines:
            for text, row in zip(texts, csv.DictReader(lines)):
                differ += not same_record(text, row)
        return differ, len(texts)


def same_record(text, row):
    try:
        record = json.loads(text)
    except ValueError:
        return False
    return set(record) == {name.strip() for name in row} and all(
        same_value(record[name.strip()], value.strip()) for name, value in row.items())


def same_value(sent, written):
    if isinstance(sent, str):
        return sent == written
    if isinstance(sent, bool):
        return str(sent).lower() == written.lower()
    if sent is None:
        return written == ''
    try:
        return float(sent) == float(written)
    except ValueError:
        return False
