"""The little of the Test Anything Protocol that our checks speak."""


class Tap:
    def __init__(self):
        self.count, self.bad = 0, 0

    def row(self, good, name, details=()):
        """One test; details (lines) are shown when it failed."""
        self.count += 1
        self.bad += not good
        print('%sok %d - %s' % ('' if good else 'not ', self.count, name.replace('#', 'no.')), flush=True)
        if not good:
            for line in details:
                print('# %s' % line, flush=True)
        return good

    def skip(self, name, reason):
        self.count += 1
        print('ok %d - %s # SKIP %s' % (self.count, name, reason), flush=True)

    def end(self):
        """Prints the plan; the exit status of the program."""
        print('1..%d' % self.count, flush=True)
        return 1 if self.bad else 0
