"""Kills a training run again and again, resumes it, and compares its end with that of an unbroken one, bit by bit.

    python -m benchmarks.kill_and_resume --kills=20
    python -m benchmarks.kill_and_resume --kills=10 --processes=2

Every attempt is a process of its own, or several that train together, of which SIGKILL ends one: half of the times at
any moment, else just after it has begun to save, to evaluate or to write the report. The network is small, the faces
are noise.
"""

import collections
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
from emotion_gcn_jax.training import loop

_KILLS = flags.DEFINE_integer("kills", 20, "How many.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "That train together; any one of them is killed.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")

_STAGES = ("starting", "training", "saving", "evaluating", "reporting")
_STAGE = mmap.mmap(-1, 1)  # the children's, which the parent reads


def main(argv: list[str]) -> None:
    """Prints a line for every kill, and at the end one of JSON; exits with 1 where anything differs."""
    del argv
    runtime.set_up()
    draw = random.Random(_SEED.value)
    kills: collections.Counter[str] = collections.Counter()
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
        while kills.total() < _KILLS.value:
            aim = draw.choice(_STAGES[2:]) if draw.random() < 0.5 else None
            children = train("broken")
            victim, *others = draw.sample(children, len(children))
            stage = _kill(victim, aim, draw.uniform(0, unbroken), draw.uniform(0, 0.1))
            killed = time.perf_counter()
            ended = [wait(child) for child in others]
            if stage is None:  # it came to its end first
                assert not any(ended), f"processes ended with {ended}"
                (folder / "broken").rename(folder / f"finished_{kills.total()}_{time.time_ns()}")
                continue
            others_took = max(others_took, time.perf_counter() - killed)
            kills[stage] += 1
            print(f"kill {kills.total()}: {stage}{f'; the others ended with {ended}' if others else ''}", flush=True)
        assert not any(wait(child) for child in train("broken")), "the last resumption failed"
        ends = [small_runs.end(config, folder / path) for path in ("unbroken", "broken")]
        finished = [small_runs.end(config, path) for path in folder.glob("finished_*")]
    same = all(_identical(ends[0], end) for end in (ends[1], *finished))
    result = {"kills": kills.total(), "stages": dict(kills), "runs": 1 + len(finished), "bit_identical": same}
    result["unbroken_seconds"] = round(unbroken, 1)
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


def _announced(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
    def announced(*arguments: Any, **options: Any) -> Any:
        before, _STAGE[0] = _STAGE[0], _STAGES.index(stage)
        try:
            return function(*arguments, **options)
        finally:
            _STAGE[0] = max(before, _STAGES.index("training"))

    return announced


def _kill(child: int, aim: str | None, after: float, within: float) -> str | None:
    """Kills a process after so many seconds, or so long into a stage; returns the stage, None if it was over."""
    start = time.perf_counter()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if _STAGES[_STAGE[0]] == aim or (aim is None and time.perf_counter() - start > after):
            time.sleep(within)
            stage = _STAGES[_STAGE[0]]
            os.kill(child, signal.SIGKILL)
            return stage if wait(child) == -signal.SIGKILL else None
        time.sleep(0.001)
    return None


def _identical(one: Any, other: Any) -> bool:
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


if __name__ == "__main__":
    app.run(main)
