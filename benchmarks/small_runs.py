"""Runs of seconds in processes of their own, for the benchmarks that break them off or spread them over devices.

Processes are forked from one that has imported everything, and has not computed anything yet.
"""

import os
import pathlib
import pickle
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from configs import folders as folders_config
from emotion_gcn_jax import checkpoints, processes
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.training import interruption, loop, run
from tfds_builders.folders import folders_dataset_builder

SIDE = 48
ENDED_WITH_A_SENTENCE = 2


def built(folder: pathlib.Path, clip_length: int = 1) -> ml_collections.ConfigDict:
    """Builds 120 faces of noise in three classes, and returns the config of three epochs on them.

    They are frames of twelve videos, in each of which two frames are not there; with clips there is a recurrent layer.
    """
    rng = np.random.default_rng(0)
    rows = ["path,expression,video,frame"]
    (folder / "faces").mkdir()
    for number in range(120):
        image, video, place = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), number // 10, number % 10
        (folder / "faces" / f"{number}.png").write_bytes(encode_png(image))
        frame = 1 + place + (place >= 3) + (place >= 7)
        rows.append(f"{number}.png,{('Neutral', 'Happy', 'Sad')[number % 3]},video{video},{frame}")
    (folder / "faces" / "labels.csv").write_text("\n".join(rows))

    def build() -> None:
        builder = folders_dataset_builder.Builder(data_dir=folder / "built", file_format="array_record")
        settings = folders_dataset_builder.tfds.download.DownloadConfig(manual_dir=folder / "faces")
        builder.download_and_prepare(download_config=settings)

    assert wait(fork(build)) == 0, "the dataset could not be built"
    config = folders_config.get_config("deep_emotion_none,single_task")
    config.dataset.data_dir = str(folder / "built")
    config.tasks.expression.vocabulary = "Neutral,Happy,Sad"
    config.input.update(side=SIDE, channels=1, mean=(0.5,), deviation=(0.25,))
    config.data.update(batch_size=8 * clip_length, eval_batch_size=32)
    config.training.update(epochs=3 * clip_length, ema_decay=0.9, checkpoint_every_steps=5)
    config.clip.length = clip_length
    config.model.recurrent = (8,) if clip_length > 1 else ()
    return config


def fork(work: Callable[[], object], variables: Mapping[str, str] | None = None) -> int:
    """Does something in a process of its own; returns its number."""
    child = os.fork()
    if child:
        return child
    status = 0
    try:
        os.environ.update(variables or {})
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        work()
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        status = ENDED_WITH_A_SENTENCE
    except interruption.Preempted as saved:
        print(saved, file=sys.stderr, flush=True)
        if jax.process_count() > 1:
            jax.distributed.shutdown()
        status = interruption.STATUS
    except BaseException:
        traceback.print_exc()
        status = 1
    processes.dismiss_watcher()
    os._exit(status)


def wait(child: int) -> int:
    """A process's exit status, or less its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    *,
    processes_count: int = 1,
    devices: int = 1,
    before: Callable[[], None] = lambda: None,
) -> list[int]:
    """Starts a run, or goes on with it, in processes that have `devices` simulated devices each; returns their numbers.

    `before` is called in each of them.
    """
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]

    def work(index: int) -> None:
        before()
        if processes_count > 1:
            processes.join(f"localhost:{port}", processes_count, index)
        with processes.noticing_deaths():
            loop.train_and_evaluate(config, workdir, resume=(workdir / "config.json").exists())
        if processes_count > 1:
            jax.distributed.shutdown()

    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"}
    return [fork(lambda index=index: work(index), flags) for index in range(processes_count)]


def end(config: ml_collections.ConfigDict, workdir: pathlib.Path, *, before: Callable[[], None] = lambda: None) -> Any:
    """Everything of a run's last and best checkpoints but their configs, and its report, as NumPy arrays."""

    def read() -> None:
        before()
        fresh = run.prepare(config).initial_state
        saved = checkpoints.Checkpoints(workdir)
        variables, training, meta = saved.restore_last(fresh.evaluated_variables(), fresh.remainder())
        best = checkpoints.read(workdir)
        report = (workdir / "report" / "metrics.json").read_text()
        found = variables, training, meta["progress"], best.variables, best.meta["progress"], report
        (workdir / "end.pickle").write_bytes(pickle.dumps(jax.tree.map(np.asarray, found)))

    assert wait(fork(read)) == 0, f"{workdir} cannot be read"
    return pickle.loads((workdir / "end.pickle").read_bytes())
