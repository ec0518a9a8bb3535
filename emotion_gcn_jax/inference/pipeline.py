"""From frames to answers: reading and detection in threads, the model in batches, results in the frames' order.

What is under way is bounded, so that memory is too: so many frames wait to be judged, however many there will be.
"""

import concurrent.futures
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL = 0.1  # seconds between two looks whether work that waits for room is still wanted


class NotYetError(Exception):
    """The next result is not ready."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def in_order(
    function: Callable[[Item], Result], items: Iterator[Item], *, workers: int, ahead: int
) -> Iterator[Callable[[float | None], Result]]:
    """Around code that takes function(item) of one item after the other, which threads work out in advance.

    Args:
        function: called in several threads at once.
        items: drawn in a thread of its own, as there is room; closed there if it is a generator.
        workers: how many threads call the function.
        ahead: so many items, at most, are drawn and not taken yet.

    Yields:
        A function that returns the next result; it waits so many seconds for it, or as long as it takes (None), then
        raises NotYetError. After the last result it raises StopIteration. What `function` or `items` raise, it raises.
    """
    waiting: queue.Queue[concurrent.futures.Future[Result]] = queue.Queue(ahead)
    is_over = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(workers, "predict") as pool:
        feeder = threading.Thread(target=_feed, args=(pool, function, items, waiting, is_over), daemon=True)
        feeder.start()
        taken: list[concurrent.futures.Future[Result]] = []  # the next one, if it was waited for in vain

        def take(seconds: float | None) -> Result:
            until = None if seconds is None else time.monotonic() + seconds
            try:
                if not taken:
                    taken.append(waiting.get(timeout=seconds) if seconds else waiting.get(block=seconds is None))
                result = taken[0].result(None if until is None else max(0.0, until - time.monotonic()))
            except (queue.Empty, concurrent.futures.TimeoutError):
                raise NotYetError from None
            taken.clear()
            return result

        try:
            yield take
        finally:
            is_over.set()
            pool.shutdown(cancel_futures=True)


def _feed(
    pool: concurrent.futures.Executor,
    function: Callable[[Any], Any],
    items: Iterator[Any],
    waiting: "queue.Queue[concurrent.futures.Future[Any]]",
    is_over: threading.Event,
) -> None:
    end: concurrent.futures.Future[Any] = concurrent.futures.Future()
    end.set_exception(StopIteration())
    with contextlib.closing(items) if isinstance(items, Generator) else contextlib.nullcontext():
        try:
            for item in items:
                if not _put(waiting, pool.submit(function, item), is_over):
                    return
        except BaseException as error:  # raised where the results are taken, if anybody still takes them
            end = concurrent.futures.Future()
            end.set_exception(error)
    _put(waiting, end, is_over)


def _put(waiting: "queue.Queue[Any]", item: Any, is_over: threading.Event) -> bool:
    """Waits for room; False if nobody takes any more."""
    while not is_over.is_set():
        try:
            waiting.put(item, timeout=_POLL)
            return True
        except queue.Full:
            pass
    return False
