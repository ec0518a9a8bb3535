"""Kills a training run again and again, resumes it, and compares its end with that of an unbroken one, bit by bit.

    python benchmarks/kill_and_resume.py --kills=20

Every attempt is a process of its own, which SIGKILL ends: half of them at any moment, the others just after they have
begun to save, to evaluate or to write the report. The network is small, the faces are noise.
"""

import collections
import json
import mmap
import os
import pathlib
import pickle
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import app, flags

from configs import folders as folders_config
from emotion_gcn_jax import checkpoints, runtime
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.training import loop, run
from tfds_builders.folders import folders_dataset_builder

_KILLS = flags.DEFINE_integer("kills", 20, "How many.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")

_STAGES = ("starting", "training", "saving", "evaluating", "reporting")
_STAGE = mmap.mmap(-1, 1)  # the child's, which the parent reads


def main(argv: list[str]) -> None:
    """Prints a line for every kill, and at the end one of JSON; exits with 1 where anything differs."""
    del argv
    runtime.set_up()
    draw = random.Random(_SEED.value)
    kills: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = _config(folder)
        start = time.perf_counter()
        assert _wait(_train(config, folder / "unbroken")) == 0, "the unbroken run failed"
        unbroken = time.perf_counter() - start
        while kills.total() < _KILLS.value:
            aim = draw.choice(_STAGES[2:]) if draw.random() < 0.5 else None
            child = _train(config, folder / "broken")
            stage = _kill(child, aim, draw.uniform(0, unbroken), draw.uniform(0, 0.1))
            if stage is None:  # it came to its end first
                (folder / "broken").rename(folder / f"finished_{kills.total()}_{time.time_ns()}")
                continue
            kills[stage] += 1
            print(f"kill {kills.total()}: {stage}", flush=True)
        assert _wait(_train(config, folder / "broken")) == 0, "the last resumption failed"
        ends = [_end(config, path) for path in (folder / "unbroken", folder / "broken")]
        finished = [_end(config, path) for path in folder.glob("finished_*")]
    same = all(_identical(ends[0], end) for end in (ends[1], *finished))
    result = {"kills": kills.total(), "stages": dict(kills), "runs": 1 + len(finished), "bit_identical": same}
    print(json.dumps({**result, "unbroken_seconds": round(unbroken, 1)}))
    sys.exit(not same)


def _config(folder: pathlib.Path) -> ml_collections.ConfigDict:
    rng = np.random.default_rng(0)
    for word in ("Neutral", "Happy", "Sad"):
        (folder / "faces" / word).mkdir(parents=True)
        for number in range(40):
            image = rng.integers(0, 256, (48, 48, 3), np.uint8)
            (folder / "faces" / word / f"{number}.png").write_bytes(encode_png(image))

    def build() -> None:
        builder = folders_dataset_builder.Builder(data_dir=folder / "built", file_format="array_record")
        settings = folders_dataset_builder.tfds.download.DownloadConfig(manual_dir=folder / "faces")
        builder.download_and_prepare(download_config=settings)

    assert _wait(_fork(build)) == 0, "the dataset could not be built"
    config = folders_config.get_config("deep_emotion_none,single_task")
    config.dataset.data_dir = str(folder / "built")
    config.tasks.expression.vocabulary = "Neutral,Happy,Sad"
    config.input.update(side=48, channels=1, mean=(0.5,), deviation=(0.25,))
    config.data.batch_size = 8
    config.training.update(epochs=3, ema_decay=0.9, checkpoint_every_steps=5)
    return config


def _train(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> int:
    """Starts a process that trains, or goes on training; returns its number."""

    def train() -> None:
        for owner, name, stage in (
            (checkpoints.Checkpoints, "save_last", "saving"),
            (checkpoints.Checkpoints, "save_best", "saving"),
            (loop, "_evaluate", "evaluating"),
            (loop, "_write_best_report", "reporting"),
        ):
            setattr(owner, name, _announced(getattr(owner, name), stage))
        loop.train_and_evaluate(config, workdir, resume=(workdir / "config.json").exists())

    return _fork(train)


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
            return stage if _wait(child) == -signal.SIGKILL else None
        time.sleep(0.001)
    return None


def _fork(work: Callable[[], object]) -> int:
    """Does something in a process of its own, which has everything imported already."""
    _STAGE[0] = 0
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Any:
    """Everything of a run's last and best checkpoints but their configs, read by a process of its own."""

    def read() -> None:
        fresh = run.prepare(config).initial_state
        saved = checkpoints.Checkpoints(workdir)
        variables, training, meta = saved.restore_last(fresh.evaluated_variables(), fresh.remainder())
        best = checkpoints.read(workdir)
        report = (workdir / "report" / "metrics.json").read_text()
        found = variables, training, meta["progress"], best.variables, best.meta["progress"], report
        (workdir / "end.pickle").write_bytes(pickle.dumps(jax.tree.map(np.asarray, found)))

    assert _wait(_fork(read)) == 0, f"{workdir} cannot be read"
    return pickle.loads((workdir / "end.pickle").read_bytes())


def _identical(one: Any, other: Any) -> bool:
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


if __name__ == "__main__":
    app.run(main)
