"""What no input may cause: a traceback, a hang, memory without a bound, noise in the place of a sentence."""

import contextlib
import io
import os
import pathlib
import signal

from emotion_gcn_jax import cli
from emotion_gcn_jax.errors import UserError

SECONDS = 20  # of a case; the usual one takes some milliseconds
MEGABYTES = 400  # that a case may add at its peak
_PEAK = pathlib.Path("/proc/self/clear_refs")  # there on Linux alone, like the peak of the memory


class Hang(BaseException):
    """A case that takes too long; no `except Exception` swallows it."""


@contextlib.contextmanager
def bounds():
    """Around a case: raises Hang or AssertionError if it takes too long or too much memory."""

    def give_up(*_):
        raise Hang(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    start = _memory(reset=True)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    taken = _memory() - start
    assert taken < MEGABYTES, f"a case took {taken:.0f} MB"


def answered(function, *arguments, **options):
    """Calls a function within the bounds; returns what it returns, or None for a UserError, which is one line."""
    with bounds():
        try:
            return function(*arguments, **options)
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 5000, str(error)
            return None


def command(*words, several=False):
    """Runs `emotion-gcn` in this process: returns its status, and what it wrote to standard output.

    With 0 it may say nothing on standard error, with 1 a sentence for each input that failed, with 2 one sentence;
    before it, where it judges several pictures, those may come that cannot be read.
    """
    with bounds(), captured() as (out, err):
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as left:  # argparse's
            status = left.code
    lines = [line for line in err.getvalue().splitlines() if not line.startswith("usage:")]
    assert "Traceback" not in err.getvalue() and all(len(line) < 5000 for line in lines), lines
    assert status in (0, 1, 2), status
    before = [line for line in lines[:-1] if not (several and ".png: " in line)]
    assert status != 2 or (lines and not before), lines
    return status, out.getvalue(), lines


@contextlib.contextmanager
def captured():
    """What Python writes to the standard streams meanwhile; what libraries in C write to standard error is dropped.

    Those inside Pillow, OpenCV and FFmpeg describe damage there in words of their own.
    """
    out, err = io.StringIO(), io.StringIO()
    kept = os.dup(2)
    with pathlib.Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield out, err
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _memory(*, reset=False):
    """The most memory that this process has had since the last reset, in megabytes."""
    if not _PEAK.exists():
        return 0.0
    if reset:
        _PEAK.write_text("5")
    fields = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in fields if line.startswith("VmHWM"))
