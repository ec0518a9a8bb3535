"""What a model says of faces at other sides than it was trained with, and how long it takes.

python benchmarks/model_side.py --dataset=fer2013 --config=ferplus --split=test --sides=22,33,44,55,66

Every side judges the same faces, one at a time and in turns. Prints a row for each.
"""

import time

import numpy as np
from absl import app, flags

from emotion_gcn_jax.data import selection
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.inference.model import load

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A run, or a model's file; by default the model that is shipped.")
_DATASET = flags.DEFINE_string("dataset", "fer2013", "Whose faces are judged.")
_CONFIG = flags.DEFINE_string("config", None, "The dataset's config.")
_SPLIT = flags.DEFINE_string("split", "test", "The split.")
_COUNT = flags.DEFINE_integer("count", 1000, "So many of its faces, the first ones.")
_SIDES = flags.DEFINE_list("sides", ["22", "33", "44", "55", "66"], "Pixels that the network sees.")


def main(argv: list[str]) -> None:
    """Judges, and prints."""
    del argv
    models = {side: load(_CHECKPOINT.value, side=int(side)) for side in _SIDES.value}
    task = next(task for task in next(iter(models.values())).tasks if task.exclusive)
    split = selection.for_tasks(open_split(_DATASET.value, _SPLIT.value, config=_CONFIG.value), [task])
    labels_N = task.read(split.columns, split.metadata)
    rows = np.flatnonzero(task.known(labels_N).all(axis=1))[: _COUNT.value]
    seconds: dict[str, list[float]] = {side: [] for side in models}
    answers: dict[str, list[int]] = {side: [] for side in models}
    for row in rows.tolist():
        image = split.image(row)
        for side, model in models.items():
            face = model.input.fit(image)[None]
            start = time.perf_counter()
            found = model.answers(face)
            seconds[side].append(time.perf_counter() - start)
            answers[side].append(int(found[task.name].argmax()))
    for side in models:
        accuracy = np.mean(np.asarray(answers[side]) == labels_N[rows])
        print(f"{side:>4} pixels: accuracy {accuracy:.3f}, {1000 * np.median(seconds[side]):5.1f} ms a face")


if __name__ == "__main__":
    app.run(main)
