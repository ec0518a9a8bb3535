"""A run in two processes, and the same one in one, whose data are damaged and which their patience ends.

python -m tests.training.two_runs FOLDER
"""

import dataclasses
import json
import pathlib
import signal
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import small_runs
from emotion_gcn_jax import processes
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.training import datasets, loop
from tests.data.splits import pixels, split_of
from tests.training.conftest import small_config

DAMAGED = {"train": {3, 10}, "validation": {0, 6}}
"""Rows; of every four of validation the first process judges two and the second the others."""

SCORES = [[0.5, 0.4, 0.6, 0.7], [0.1, 0.2, 0.3, 0.4]]
"""What each process finds after every epoch; the second would go on for four if it went by its own."""

_LONGEST = 300  # seconds: processes that do not agree wait for each other


class Linear(nn.Module):
    """A trunk that is compiled at once."""

    remat: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Returns B x 1 x 1 x 4."""
        return nn.Conv(4, (16, 16), 16, dtype=self.dtype, param_dtype=self.param_dtype)(images_BxHxWxC)


def main(folder: pathlib.Path) -> None:
    """Trains into folder/two and folder/one; prints the exit statuses."""
    config = small_config(folder, "densenet_tiny,single_task")
    config.model.trunk, config.input.side = "linear", 16
    config.augmentation.update(flip_probability=0.0, rotation_degrees=0.0)
    config.data.update(batch_size=8, eval_batch_size=4, mask_damaged=True)
    config.training.update(epochs=4, patience=1, select_by="accuracy", devices=0)
    statuses = []
    for name, count in (("two", 2), ("one", 1)):
        options = {"processes_count": count, "devices": 2 // count, "before": _prepare}
        children = small_runs.train(config, folder / name, **options)
        statuses += [small_runs.wait(child) for child in children]
    print(json.dumps(statuses))


def _prepare() -> None:
    """Puts what the test needs into a process."""
    signal.alarm(_LONGEST)
    jax.config.update("jax_disable_most_optimizations", True)
    processes._PIECE_BYTES = 10_000  # a state is handed over in several pieces
    splits = {"train": _faces("train", 16), "validation": _faces("validation", 11)}
    datasets.open_split = lambda name, split, **where: splits[split]
    emotion_net.TRUNKS = {"linear": Linear}
    metrics_by_task, found = loop.metrics_by_task, []

    def with_score(predictions):
        metrics = metrics_by_task(predictions)
        found.append(SCORES[jax.process_index()][len(found)])
        metrics["expression"]["accuracy"] = found[-1]
        return metrics

    loop.metrics_by_task = with_score


def _faces(name, count):
    def read_image(row):
        if row in DAMAGED[name]:
            raise UserError(f"The image {row} of {name} is damaged.")
        return pixels(row, (16, 16, 3))

    split = split_of({"expression": np.arange(count) % 7}, label_names=EXPRESSIONS)
    return dataclasses.replace(split, name=name, read_image=read_image)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
