"""The programs that the demo starts: their lines as they come, and their end, whatever happens to us."""
import ctypes
import os
import re
import selectors
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
LINE_MAX = 1 << 20
NOT_AN_ERROR = re.compile(rb'^stats |--help|^$')


class Failure(Exception):
    """The demo cannot go on; its text is the one line that says why."""


try:
    _prctl = ctypes.CDLL(None, use_errno=True).prctl
except (AttributeError, OSError):
    _prctl = None


def _die_with_us():
    # Runs in the child: if the demo is killed, the kernel ends what it started.
    if _prctl:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Program:
    def __init__(self, name, process, on_line, on_error):
        self.name, self.process = name, process
        self.on_line, self.on_error = on_line, on_error
        self.last_error = ''
        self.expected_to_end = False

    def write(self, text):
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended: Programs.turn says so


class Programs:
    """All of them, in one loop without threads."""

    def __init__(self, environment):
        self.environment = environment
        self.selector = selectors.DefaultSelector()
        self.running = []
        self.each_turn = lambda: None

    def start(self, name, argv, on_line=None, on_error=None, stdin=False, survives=False):
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if survives else subprocess.PIPE,
                stderr=subprocess.DEVNULL if survives else subprocess.PIPE,
                env=self.environment, start_new_session=True, preexec_fn=None if survives else _die_with_us)
        except OSError as error:
            raise Failure('cannot start %s: %s' % (argv[0], error.strerror))
        program = Program(name, process, on_line, on_error)
        self.running.append(program)
        for stream, is_error in ((process.stdout, False), (process.stderr, True)):
            if stream:
                os.set_blocking(stream.fileno(), False)
                self.selector.register(stream, selectors.EVENT_READ, [program, is_error, b''])
        return program

    def run(self, argv, data=None, seconds=20):
        """Runs to its end; its standard output. Failure if it fails."""
        try:
            done = subprocess.run(argv, input=data, capture_output=True, timeout=seconds, env=self.environment,
                                  start_new_session=True, preexec_fn=_die_with_us)
        except OSError as error:
            raise Failure('cannot start %s: %s' % (argv[0], error.strerror))
        except subprocess.TimeoutExpired:
            raise Failure('%s did not end within %d s' % (' '.join(argv[:3]), seconds))
        if done.returncode != 0:
            said = done.stderr.decode('utf-8', 'replace').strip().split('\n')[-1]
            raise Failure('%s failed with status %d: %s' % (' '.join(argv[:3]), done.returncode, said))
        return done.stdout

    def _read(self, key):
        program, is_error, rest = key.data
        try:
            data = key.fileobj.read(1 << 16)
        except BlockingIOError:
            return
        if not data:
            self.selector.unregister(key.fileobj)
            return
        lines = (rest + data).split(b'\n')
        key.data[2] = lines.pop()[-LINE_MAX:]
        for line in lines:
            if is_error and not NOT_AN_ERROR.search(line):
                program.last_error = line.decode('utf-8', 'replace')
            handler = program.on_error if is_error else program.on_line
            if handler:
                handler(line)

    def turn(self, seconds):
        """Hands out what has come, for at most so long; Failure if a program has ended that should not have."""
        for key, _ in self.selector.select(max(seconds, 0)):
            self._read(key)
        self.each_turn()
        for program in self.running:
            if not program.expected_to_end and program.process.poll() is not None:
                self._drain()
                said = ': ' + program.last_error if program.last_error else ''
                raise Failure('%s ended with status %d%s' % (program.name, program.process.returncode, said))

    def _drain(self):
        while True:
            ready = self.selector.select(0)
            if not ready:
                return
            for key, _ in ready:
                self._read(key)

    def stop(self, programs=None, seconds=3):
        """Asks them to end, waits, then makes them; their last lines are still handed out."""
        programs = list(self.running) if programs is None else [p for p in programs if p in self.running]
        for program in programs:
            program.expected_to_end = True
            if program.process.poll() is None:
                program.process.terminate()
        until = time.monotonic() + seconds
        while any(p.process.poll() is None for p in programs) and time.monotonic() < until:
            self.turn(0.02)
        self._drain()
        for program in programs:
            if program.process.poll() is None:
                program.process.kill()
            program.process.wait()
            self.running.remove(program)
            for stream in (program.process.stdin, program.process.stdout, program.process.stderr):
                if stream:
                    try:
                        self.selector.unregister(stream)
                    except (KeyError, ValueError):
                        pass
                    try:
                        stream.close()
                    except OSError:
                        pass

    def let_go(self, program):
        """It goes on after us."""
        self.running.remove(program)
