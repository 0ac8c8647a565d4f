"""What the viewer sees: a picture that is redrawn in a terminal, plain lines elsewhere, nothing with --json."""
import os
import re
import shutil
import sys
import time

REDRAW_S, ROW_S, LINE_S = 0.1, 0.33, 2.0
CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f]')
ESCAPE = re.compile(r'\x1b\[[0-9;]*m')
STYLES = {'bold': '1', 'dim': '2', 'red': '31', 'green': '32', 'yellow': '33', 'blue': '34', 'magenta': '35',
          'cyan': '36', 'good': '1;32', 'bad': '1;31', 'eye': '31', 'head': '1', 'plain': ''}


def clean(text):
    return CONTROL.sub('?', text)


class Paint:
    """Colours and characters that the terminal at hand can show."""

    def __init__(self, stream, live):
        self.colours = live and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'
        unicode = 'utf' in (stream.encoding or '').lower()
        self.good, self.bad, self.wait, self.bar, self.rule, self.dots, self.arrow, self.to, self.sep = (
            ('✓', '✗', '·', '│', '─', '…', '→', '→', ' · ') if unicode else
            ('ok', 'NO', '..', '|', '-', '~', '->', '>', ', '))

    def __call__(self, style, text):
        code = STYLES[style]
        return '\x1b[%sm%s\x1b[0m' % (code, text) if self.colours and code else text

    def fit(self, text, width):
        """Exactly this wide; text without colours."""
        text = clean(text)
        return text.ljust(width) if len(text) <= width else text[:max(width - len(self.dots), 0)] + self.dots

    def mark(self, true):
        return self('dim', self.wait) if true is None else self('good', self.good) if true else self('bad', self.bad)


class Silent:
    """For --json."""
    def __init__(self):
        self.paint = Paint(sys.stdout, False)

    def phase(self, text):
        pass

    def event(self, text):
        pass

    def update(self, force=False):
        pass

    def finish(self, lines):
        pass

    def close(self):
        pass

    def watch(self, show):
        pass


class Lines(Silent):
    """Not a terminal: a few plain lines, each true at its time."""

    def __init__(self, stream):
        super().__init__()
        self.stream, self.show, self.next, self.told, self.shown = stream, None, 0, set(), 0

    def watch(self, show):
        self.show = show

    def say(self, text):
        try:
            print(clean(text), file=self.stream, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())  # nobody reads: end as SIGPIPE would
            raise SystemExit(141)

    phase = event = say

    def update(self, force=False):
        show = self.show
        if not show:
            return
        if len(show.ledger.pairs) > self.shown and time.monotonic() >= self.next:
            self.next, self.shown = time.monotonic() + LINE_S, len(show.ledger.pairs)
            seen, read = show.ledger.pairs[-1]
            self.say('broker sees     %s  %s' % (seen.topic, group_hex(seen.payload, 24, self.paint.dots)))
            self.say('%s reads  %s  %s  (%s, +%d bytes)' % (
                show.reader, read.topic, read.text, 'session %d' % read.session,
                len(seen.payload) - len(read.text.encode())))
            self.say('                ' + self.paint.sep.join(show.numbers()))
        for claim in show.claims.rows:
            if claim.true is not None and claim.key not in self.told:
                self.told.add(claim.key)
                self.say('%-4s %s: %s' % ('ok' if claim.true else 'NOT', claim.title, claim.detail))

    def finish(self, lines):
        self.update()
        for line in lines:
            self.say(line)


def group_hex(payload, count, dots):
    digits = payload[:count].hex(' ', -2)
    return digits + (' ' + dots if len(payload) > count else '')


class Live(Silent):
    """A terminal: one picture, drawn over itself."""

    def __init__(self, stream):
        super().__init__()
        self.stream, self.paint, self.show = stream, Paint(stream, True), None
        self.rows, self.taken, self.next, self.next_row, self.height = [], 0, 0, 0, 0
        self.status = ''
        self.stream.write('\x1b[?25l')  # no cursor
        self.stream.flush()

    def watch(self, show):
        self.show = show

    def phase(self, text):
        self.status = text
        self.update(force=True)

    event = phase

    def size(self):
        size = shutil.get_terminal_size((100, 30))
        return max(min(size.columns, 160) - 1, 40), max(size.lines, 12)

    # ---- the picture ----

    def update(self, force=False):
        now = time.monotonic()
        if not force and now < self.next:
            return
        self.next = now + REDRAW_S
        self.take_row(now)
        width, height = self.size()
        lines = self.picture(width, height)[:height - 1]
        out = ('\x1b[%dA' % self.height if self.height else '') + '\r'
        out += ''.join('\x1b[2K%s\n' % line for line in lines)
        if len(lines) < self.height:
            out += '\x1b[J'
        self.height = len(lines)
        self.stream.write(out)
        self.stream.flush()

    def take_row(self, now):
        """The newest pair, a few times a second: more could not be read."""
        pairs = self.show.ledger.pairs if self.show else []
        if len(pairs) > self.taken and now >= self.next_row:
            self.next_row = now + ROW_S
            # One sender's every time would hide the others: prefer whom the last row did not show.
            fresh = pairs[self.taken:]
            last = self.rows[-1].read.sender if self.rows else None
            others = [pair for pair in fresh if pair.read.sender != last]
            self.rows.append((others or fresh)[-1])
            self.taken = len(pairs)
            del self.rows[:-40]

    def picture(self, width, height):
        paint, show = self.paint, self.show
        if not show:
            return [paint('bold', 'SealMQ') + '  ' + paint.fit(self.status, width - 8).rstrip()]
        lines = [self.title(width), ''] + self.table(width, max(min(height - 12 - len(show.claims.rows), 12), 3)) + ['']
        lines += self.figures(width)
        lines += [''] + [self.claim_line(claim, width) for claim in show.claims.rows[:4]]
        lines += [paint('dim', paint.fit('   ' + show.caption, width).rstrip())]
        lines += [self.claim_line(claim, width) for claim in show.claims.rows[4:]]
        return lines + ['']

    def title(self, width):
        left, right = 'SealMQ', self.show.clock()
        middle = '  %s %s broker %s %s' % (' and '.join(self.show.senders), self.paint.arrow, self.paint.arrow,
                                           self.show.reader)
        room = width - len(left) - len(right) - 1
        return self.paint('bold', left) + self.paint.fit(middle, room) + ' ' + self.paint('dim', right)

    def table(self, width, count):
        paint = self.paint
        left = (width - 3) * 45 // 100
        right = width - 3 - left
        bar = ' ' + paint('dim', paint.bar) + ' '
        sees, reads, unit = 'WHAT THE BROKER SEES', 'WHAT %s READS' % self.show.reader.upper(), 'plain+seal'
        unit = unit if left > len(sees) + len(unit) else ''
        lines = [paint('bad', sees) + paint('dim', unit.rjust(left - len(sees))) + bar +
                 paint('good', reads) + paint('dim', paint.fit('  ' + self.show.sources, right - len(reads)).rstrip()),
                 paint('dim', paint.rule * left) + bar + paint('dim', paint.rule * right)]
        rows = self.rows[-count:]
        for seen, read in rows:
            lines.append(self.seen_cell(seen, read, left) + bar + self.read_cell(read, right, self.is_new_key(read)))
        return lines + [paint.fit('', left) + bar] * (count - len(rows))

    def seen_cell(self, seen, read, width):
        name = read.sender[:10].ljust(10)
        plain = len(read.text.encode())
        over = '%4d+%d B' % (plain, len(seen.payload) - plain)
        room = width - len(name) - len(over) - 2
        shown = self.paint.fit(group_hex(seen.payload, max(room, 0), ''), room)
        return self.paint(self.show.colour(read.sender), name) + self.paint('eye', shown) + '  ' + \
            self.paint('dim', over)

    def is_new_key(self, read):
        """Whether this is the first row under its key, and not the sender's first row."""
        keys = [row.read.session for row in self.rows if row.read.sender == read.sender and
                row.read.counter < read.counter]
        return bool(keys) and keys[-1] != read.session

    def read_cell(self, read, width, new_key):
        head = 'key %-3d' % read.session
        return self.paint('good' if new_key else 'dim', head) + self.paint.fit(window(read.text, width - len(head), self.paint.dots),
                                                        width - len(head))

    def figures(self, width):
        lines, line = [], ''
        for part in self.show.numbers():
            if line and len(line) + len(self.paint.sep) + len(part) > width:
                lines.append(line)
                line = ''
            line += (self.paint.sep if line else '') + part
        return [self.paint('cyan', self.paint.fit(text, width).rstrip()) for text in lines + [line]]

    def claim_line(self, claim, width):
        pad = ' ' * (2 - len(self.paint.good))
        title = claim.title.ljust(21)
        detail = self.paint.fit(claim.detail, width - len(title) - 3).rstrip()
        style = 'bad' if claim.true is False else 'dim' if claim.true is None else 'plain'
        return '%s%s %s%s' % (self.paint.mark(claim.true), pad, self.paint('bold' if claim.true is not None else 'dim',
                                                                           title), self.paint(style, detail))

    def finish(self, lines):
        self.update(force=True)
        for line in lines:
            self.stream.write(clean(line) + '\n')
        self.stream.flush()

    def close(self):
        try:
            self.stream.write('\x1b[?25h')
            self.stream.flush()
        except (OSError, ValueError):
            pass


def window(text, width, dots):
    """The part of a record that says most: where it does not fit, dates and times at its beginning go first."""
    while len(text) > width:
        cut = re.match(re.escape(dots) + r'?\{?,?"(date|time|timestamp|patient_id)":("[^"]*"|[^,]*)', text)
        if not cut:
            break
        text = dots + text[cut.end():]
    return text
