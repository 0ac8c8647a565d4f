"""What the demo claims, in the order in which it shows it; each is checked, and only then true."""


class Claim:
    def __init__(self, key, title, hope):
        self.key, self.title = key, title
        self.true = None  # not decided yet
        self.detail = hope

    def progress(self, detail):
        if self.true is None:
            self.detail = detail

    def decide(self, true, detail):
        # What was found false once stays false.
        if self.true is not False:
            self.true, self.detail = bool(true), detail


class Claims:
    def __init__(self, reader, elsewhere, group=None):
        self.rows = [
            Claim('broker_reads_nothing', 'Broker reads nothing', 'searching all it sees for plaintext'),
            Claim('reader_reads_everything', '%s reads all' % reader.capitalize(), 'in order, once, nothing lost'),
            Claim('small', 'Stays small', 'at most 24 bytes over the plaintext'),
            Claim('keys_rotate', 'Keys rotate', 'waiting for the first rotation'),
            Claim('altered_refused', 'One bit flipped', ''),
            Claim('moved_refused', 'Moved to %s' % elsewhere, ''),
            Claim('replayed_refused', 'Sent a second time', ''),
        ]
        if group:
            expelled, other = group
            self.rows += [
                Claim('group_reads', 'A group reads', 'after the first act'),
                Claim('expelled_reads_nothing', 'Expelled: %s' % expelled, ''),
                Claim('others_read_on', '%s reads on' % other.capitalize(), ''),
            ]

    def __getitem__(self, key):
        return next(claim for claim in self.rows if claim.key == key)

    def all_true(self):
        return all(claim.true for claim in self.rows)
