"""What a machine that takes itself back says before: SIGTERM, half a minute or so before it kills."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax

from emotion_gcn_jax import processes

STATUS = 75  # train.py's exit status then: EX_TEMPFAIL of sysexits.h, "try again later"


class Preempted(Exception):
    """The run was asked to end, and saved a checkpoint to go on from."""


class Request:
    """Whether the run has been asked to end."""

    def __init__(self) -> None:
        self.made = False
        self._steps = 0

    def ends_now(self) -> bool:
        """Whether the run is to end with the step that has been taken; in all of its processes it is the same one.

        To be asked after every step.
        """
        self._steps += 1
        return self.made or (jax.process_count() > 1 and processes.asked_to_end(self._steps))


@contextlib.contextmanager
def listening() -> Iterator[Request]:
    """While this lasts, the first SIGTERM is a request; a second one ends the process as ever.

    Outside the main thread, where Python takes no signals, nothing is listened to. Of several processes JAX takes the
    signals, and has them agree on a step.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
        yield request
        return
    before = signal.getsignal(signal.SIGTERM)

    def take(number: int, frame: FrameType | None) -> None:
        request.made = True
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, take)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
