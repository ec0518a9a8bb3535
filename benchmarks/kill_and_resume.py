"""Kills a training run again and again, resumes it, and compares its end with that of an unbroken one, bit by bit.

    python -m benchmarks.kill_and_resume --kills=20 --terms=5
    python -m benchmarks.kill_and_resume --kills=10 --terms=5 --processes=2

Every attempt is a process of its own, or several that train together, of which one is killed (SIGKILL): half of the
times at any moment, else just after it has begun to compile, to take steps, to save, to evaluate or to write the
report. Some are asked to end (SIGTERM) between two steps. The network is small, the faces are noise.
"""

import collections
import dataclasses
import json
import mmap
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import small_runs
from benchmarks.small_runs import wait
from emotion_gcn_jax import checkpoints, runtime
from emotion_gcn_jax.training import interruption, loop, run

_KILLS = flags.DEFINE_integer("kills", 20, "How often it is killed.")
_TERMS = flags.DEFINE_integer("terms", 0, "How often it is asked to end besides.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "That train together; any one of them gets the signal.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")

_STAGES = ("starting", "compiling", "training", "saving", "evaluating", "reporting")
_STAGE = mmap.mmap(-1, 1)  # the children's, which the parent reads


def main(argv: list[str]) -> None:
    """Prints a line for every signal, and at the end one of JSON; exits with 1 where anything differs."""
    del argv
    runtime.set_up()
    draw = random.Random(_SEED.value)
    stages: collections.Counter[str] = collections.Counter()
    others_took = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = small_runs.built(folder)

        def train(workdir: str) -> list[int]:
            _STAGE[0] = 0
            return small_runs.train(config, folder / workdir, processes_count=_PROCESSES.value, before=_announce_stages)

        start = time.perf_counter()
        assert not any(wait(child) for child in train("unbroken")), "the unbroken run failed"
        unbroken = time.perf_counter() - start
        attempts = draw.sample(["kill", "term"], counts=[_KILLS.value, _TERMS.value], k=_KILLS.value + _TERMS.value)
        while attempts:
            number, aim = signal.SIGKILL, draw.choice(_STAGES[1:]) if draw.random() < 0.5 else None
            if attempts[-1] == "term":
                number, aim = signal.SIGTERM, "training"
            children = train("broken")
            chosen, *others = draw.sample(children, len(children))
            stage = _send(number, chosen, aim, draw.uniform(0, unbroken), draw.uniform(0, 0.1))
            sent = time.perf_counter()
            ended = [wait(child) for child in (chosen, *others)]
            if not any(ended):  # it came to its end first
                (folder / "broken").rename(folder / f"finished_{len(attempts)}_{time.time_ns()}")
                continue
            expected = -number if number == signal.SIGKILL else interruption.STATUS
            assert ended[0] == expected, f"{number!r} while {stage} ended it with {ended[0]}"
            others_took = max(others_took, time.perf_counter() - sent)
            stages[stage] += 1
            print(f"{attempts.pop()} while {stage}{f'; the others ended with {ended[1:]}' * bool(others)}", flush=True)
        assert not any(wait(child) for child in train("broken")), "the last resumption failed"
        ends = [small_runs.end(config, folder / path) for path in ("unbroken", "broken")]
        finished = [small_runs.end(config, path) for path in folder.glob("finished_*")]
    same = all(_identical(ends[0], end) for end in (ends[1], *finished))
    result = {"kills": _KILLS.value, "terms": _TERMS.value, "stages": dict(stages), "runs": 1 + len(finished)}
    result |= {"bit_identical": same, "unbroken_seconds": round(unbroken, 1)}
    if _PROCESSES.value > 1:
        result |= {"processes": _PROCESSES.value, "others_ended_within_seconds": round(others_took, 1)}
    print(json.dumps(result))
    sys.exit(not same)


def _announce_stages() -> None:
    """Makes a process say what it is doing."""
    for owner, name, stage in (
        (checkpoints.Checkpoints, "save_last", "saving"),
        (checkpoints.Checkpoints, "save_best", "saving"),
        (loop, "_evaluate", "evaluating"),
        (loop, "_write_best_report", "reporting"),
    ):
        setattr(owner, name, _announced(getattr(owner, name), stage))
    prepare = loop.prepare

    def prepared(*arguments: Any, **options: Any) -> run.Run:
        made = prepare(*arguments, **options)
        return dataclasses.replace(made, train_step=_announced(made.train_step, "compiling"))

    loop.prepare = prepared


def _announced(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
    def announced(*arguments: Any, **options: Any) -> Any:
        before = _STAGE[0]
        _STAGE[0] = (
            max(before, _STAGES.index(stage)) if stage == "compiling" else _STAGES.index(stage)
        )  # the first step
        try:
            return function(*arguments, **options)
        finally:
            _STAGE[0] = max(before, _STAGES.index("training"))

    return announced


def _send(number: signal.Signals, child: int, aim: str | None, after: float, within: float) -> str:
    """Sends a signal after so many seconds, so long into a stage, or when all is over; returns the stage."""
    start = time.perf_counter()
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if _STAGES[_STAGE[0]] == aim or (aim is None and time.perf_counter() - start > after):
            time.sleep(within)
            break
        time.sleep(0.001)
    os.kill(child, number)
    return _STAGES[_STAGE[0]]


def _identical(one: Any, other: Any) -> bool:
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


if __name__ == "__main__":
    app.run(main)
