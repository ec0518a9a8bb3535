"""Trains one run on several layouts of devices and processes in float64, and compares what comes out.

    python -m benchmarks.same_steps --layouts=1x1,1x2,1x4,1x8,2x2,4x1
    python -m benchmarks.same_steps --layouts=1x1,1x4,2x2,4x1 --clip=2

A layout is PROCESSESxDEVICES, with so many simulated devices each. Batches have two streams, faces are turned and
mirrored, and an average is kept. Colours are left as they are: that is float32 in every run, and each layout's program
may round it in its own way.
"""

import json
import pathlib
import tempfile
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import small_runs
from benchmarks.small_runs import wait
from emotion_gcn_jax import runtime

_LAYOUTS = flags.DEFINE_list("layouts", ["1x1", "1x2", "1x4", "1x8", "2x2", "4x1"], "The first is compared with.")
_CLIP = flags.DEFINE_integer("clip", 1, "Frames of a clip, which a recurrent layer goes through; 1 is single images.")


def main(argv: list[str]) -> None:
    """Prints one line of JSON: the largest differences from the first layout, relative to an array's largest value."""
    del argv
    runtime.set_up()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = small_runs.built(folder, _CLIP.value)
        config.dataset.streams = f"folders:train={2 * _CLIP.value}"
        config.model.dtype = "float64"
        config.augmentation.update(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
        config.training.update(epochs=2 * _CLIP.value, checkpoint_every_steps=0)
        ends = {}
        for layout in _LAYOUTS.value:
            processes, devices = map(int, layout.split("x"))
            children = small_runs.train(
                config, folder / layout, processes_count=processes, devices=devices, before=_use_float64
            )
            assert not any([wait(child) for child in children]), f"{layout} failed"
            ends[layout] = small_runs.end(config, folder / layout, before=_use_float64)
    first, *others = ends.values()
    steps = int(first[1]["step"])
    assert all(end[1]["step"] == steps for end in others)
    differences = {layout: _largest_difference(end, first) for layout, end in ends.items()}
    print(json.dumps({"steps": steps, "differences": {name: float(f"{x:.2g}") for name, x in differences.items()}}))


def _use_float64() -> None:
    config: Any = jax.config
    config.update("jax_enable_x64", True)


def _largest_difference(one: Any, other: Any) -> float:
    """Of variables, optimiser state, average, and the losses and scores of every epoch."""

    def relative(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.abs(np.subtract(a, b)).max() / (np.abs(b).max() or 1)) if np.size(a) else 0.0

    trees = [(*end[:2], [list(row.values()) for row in end[2]["history"]], end[3]) for end in (one, other)]
    return max(jax.tree.leaves(jax.tree.map(relative, *trees)))


if __name__ == "__main__":
    app.run(main)
