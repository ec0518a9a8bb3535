"""Several processes as one run: how they find each other, who writes, and what all of them must agree on.

Every process takes the same steps, each with its share of the batch and with its own devices. The first one alone
writes; what it finds out is handed to all others, so that they go on, or stop, together. In a single process all of
this is nothing.
"""

import atexit
import contextlib
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

from emotion_gcn_jax.errors import UserError

T = TypeVar("T")

# A process that has died is noticed at once by those that exchange numbers with it, and by the others after so long.
_HEARTBEAT_SECONDS = 30
_JOINING_SECONDS = 300
_MESSAGE_BYTES = 4096
_PIECE_BYTES = 1 << 28  # of what is handed over at once: JAX counts in 32 bits

# What JAX says when an exchange fails, of whatever library does it; what else goes wrong is a process's own.
_OF_EXCHANGES = re.compile("gloo|nccl|unavailable|deadline_exceeded|heartbeat|coordination|connection", re.IGNORECASE)

# JAX ends a process by abort() when it hears that another has died, and Python has no last word then. So a second
# process reads from a pipe that breaks with the first: without a byte in it, the end was not the first one's own.
_WATCH = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not sys.stdin.buffer.read(1):
    print(sys.argv[1], file=sys.stderr)
"""
_watchers: list[subprocess.Popen[bytes]] = []


def join(coordinator: str, count: int, index: int) -> None:
    """Makes this process one of a run's. To be called before the first computation.

    Args:
        coordinator: "HOST:PORT" of the first process, a port that is free there.
        count: the processes of the run.
        index: this one's number, from 0.

    Raises:
        UserError: one of these does not do, or nobody answers at that address.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--coordinator is HOST:PORT of the first process, such as node1:8476; found {coordinator!r}.")
    if not 0 <= index < count:
        raise UserError(
            f"--process counts from 0 to --processes less one: expected 0..{count - 1}, found {index} of {count}."
        )
    print(f"process {index} of {count}: waiting for the others at {coordinator}", file=sys.stderr)
    if index:
        _wait_for(host.strip("[]"), int(port), index)
    else:
        _check_free(int(port))
    _watch(f"Process {index} of {count}")
    _initialize(coordinator_address=coordinator, num_processes=count, process_id=index)


def join_launched() -> None:
    """The same where a launcher that JAX knows has started the processes: Slurm, a TPU pod, Open MPI and others.

    Raises:
        UserError: no such launcher is found.
    """
    _watch("A process")
    try:
        _initialize()
    except ValueError as error:
        dismiss_watcher()
        raise UserError(
            f"--distributed is for processes that Slurm, a TPU pod or Open MPI has started, and none of these is found "
            f"({str(error).splitlines()[0]:.200}): name --coordinator, --processes and --process, or leave it out."
        ) from error


def on_first(act: Callable[[], T]) -> T:
    """Does something in the first process, while the others wait.

    Returns:
        What `act` returned, in the first process; None in the others, where it is of use only to `act`s to come.

    Raises:
        UserError: `act` raised it; then in all processes.
    """
    kept: list[T] = []
    from_first(lambda: kept.append(act()))
    return kept[0] if kept else cast(T, None)


def from_first(make: Callable[[], T]) -> T:
    """Makes something in the first process, and hands it to all others.

    Args:
        make: what it returns can be pickled.

    Raises:
        UserError: `make` raised it; then in all processes.
    """
    if jax.process_count() == 1:
        return make()
    made: tuple[Any, UserError | None] = None, None
    if jax.process_index() == 0:
        try:
            made = make(), None
        except UserError as error:
            made = None, error
    data = np.frombuffer(pickle.dumps(made), np.uint8)
    pieces, rest = multihost_utils.broadcast_one_to_all(np.asarray(divmod(len(data), _PIECE_BYTES), np.int32))
    length = int(pieces) * _PIECE_BYTES + int(rest)
    if jax.process_index() > 0:
        data = np.zeros(length, np.uint8)
    received = [
        np.asarray(multihost_utils.broadcast_one_to_all(data[start : start + _PIECE_BYTES]))
        for start in range(0, length, _PIECE_BYTES)
    ]
    value, wrong = made if jax.process_index() == 0 else pickle.loads(np.concatenate(received).tobytes())
    if wrong is not None:
        raise wrong
    return cast(T, value)


def everywhere(make: Callable[[], T]) -> T:
    """Makes something in every process by itself; where that fails in any, it fails in all.

    Args:
        make: exchanges nothing with other processes.

    Raises:
        UserError: `make` raised it in some process.
    """
    if jax.process_count() == 1:
        return make()
    wrong = b""
    try:
        made = make()
    except UserError as error:
        wrong = str(error).encode()[:_MESSAGE_BYTES]
    padded = np.frombuffer(wrong.ljust(_MESSAGE_BYTES, b"\0"), np.uint8)
    gathered = np.asarray(multihost_utils.process_allgather(padded)).reshape(-1, _MESSAGE_BYTES)
    said = [row.tobytes().rstrip(b"\0").decode(errors="replace") for row in gathered]
    if not any(said):
        return made
    number, first = next((number, message) for number, message in enumerate(said) if message)
    raise UserError(first if all(said) else f"Process {number}: {first}")


def asked_to_end(count: int) -> bool:
    """Whether a process was sent SIGTERM and this is the step at which all of them agreed to end.

    Args:
        count: of the steps that this process has taken since it began, 1, 2, 3 and so on; every process asks at each of
            them. They agree on the first that none has come to: 1, where none has taken a step yet. So it is not the
            run's own number of the step, which begins later where a run goes on: such a run would never end.
    """
    return multihost_utils.reached_preemption_sync_point(count)


@contextlib.contextmanager
def noticing_deaths() -> Iterator[None]:
    """Turns the failure of an exchange, which is what a dead process looks like to the others, into a sentence.

    Raises:
        UserError: an exchange with other processes failed.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not _OF_EXCHANGES.search(str(error)):
            raise
        raise UserError(
            f"Another process of this run has ended or cannot be reached, and says itself why "
            f"({str(error).splitlines()[0]:.160}): start all of them again with --resume."
        ) from error


def leave(status: int) -> NoReturn:
    """Ends this process. One of several does not wait for the others as Python's exit would: that tells them."""
    sys.stdout.flush()
    sys.stderr.flush()
    dismiss_watcher()
    if jax.distributed.is_initialized():
        if jax.process_index() == 0:
            time.sleep(1)  # it serves the others, who would end with a core dump instead of their own sentence
        os._exit(status)
    sys.exit(status)


def dismiss_watcher() -> None:
    """To be called before os._exit, since what a process that has joined others says of its own end is enough then."""
    while _watchers:
        watcher = _watchers.pop()
        watcher.communicate(b".")


def _watch(who: str) -> None:
    """Sees to it that there is a sentence where this process is ended by something that says none."""
    sentence = (
        f"{who} was ended from outside: it was killed (for want of memory?), or JAX ended it, as it says above, since "
        f"another one has died or cannot be reached. Start all of them again with --resume."
    )
    command = [sys.executable, "-I", "-S", "-c", _WATCH, sentence]
    _watchers.append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))
    atexit.register(dismiss_watcher)


def _initialize(**known: Any) -> None:
    jax.distributed.initialize(
        **known, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS, initialization_timeout=_JOINING_SECONDS
    )


def _check_free(port: int) -> None:
    """Raises UserError where the first process cannot listen; JAX itself would end in a segmentation fault."""
    try:
        socket.create_server(("", port)).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"The first process cannot listen at port {port} ({getattr(error, 'strerror', None) or error}): end what "
            f"uses it, or name another port by --coordinator."
        ) from error


def _wait_for(host: str, port: int, index: int) -> None:
    """Until the first process listens; JAX itself would end this one with a core dump where it never does."""
    last = time.monotonic() + _JOINING_SECONDS
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > last or isinstance(error, socket.gaierror):
                raise UserError(
                    f"Process {index} finds no first process at {host}:{port} ({error.strerror or error}): start it "
                    f"there with --process=0 and the same --coordinator and --processes."
                ) from error
            time.sleep(0.5)
