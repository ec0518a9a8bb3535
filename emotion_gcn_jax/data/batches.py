"""Batches of a split on the host, where a training batch is a pure function of the seed and the step.

Nothing but the step has to be remembered to continue a run, and every process of a run computes its own share of the
same global batch. Grain's threads only run ahead of the training; they decide nothing about what is in a batch.
"""

import functools
import sys
from collections.abc import Callable, Iterator

import cv2
import grain
import numpy as np

from emotion_gcn_jax.data.resizing import RESIZE_FILTERS, fit
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import NO_EXPRESSION

Batch = dict[str, np.ndarray]
"""One process's share of a batch, B examples: 'image' uint8 BxSxSx3 RGB, 'expression' int32 B (-1 = none), 'valence'
and 'arousal' float32 B (NaN = none), 'mask' bool B (False = padding, in evaluation only), 'index' int32 B (the
example's row in the split, -1 = padding)."""

_PADDING = -1


def train_batches(
    split: Split,
    *,
    batch_size: int,
    image_size: int,
    resize: str = "bilinear_antialiased",
    seed: int,
    start_step: int = 0,
    num_threads: int = 2,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yields `train_batch` of start_step, start_step + 1 and so on without end, computed ahead in threads.

    Args:
        split: the examples.
        batch_size: examples in the global batch, which all processes share.
        image_size: side of the images in pixels.
        resize: one of RESIZE_FILTERS, by name.
        seed: decides the order of the examples.
        start_step: the step of the first batch.
        num_threads: batches decoded at once; 0 decodes each when it is asked for.
        process_index: which share of the global batch, from 0.
        process_count: number of equal shares.

    Raises:
        UserError: for an unknown filter, a batch larger than the split or not divisible by the processes, and while
            iterating for an image that cannot be read.
    """
    batch_at = functools.partial(
        train_batch,
        split,
        batch_size=batch_size,
        image_size=image_size,
        resize=resize,
        seed=seed,
        process_index=process_index,
        process_count=process_count,
    )
    _check(split, batch_size, resize, process_count)
    steps_per_epoch(len(split), batch_size)  # for its error, now rather than in a thread
    return _compute_ahead(batch_at, range(start_step, sys.maxsize), num_threads)


def train_batch(
    split: Split,
    step: int,
    *,
    batch_size: int,
    image_size: int,
    resize: str = "bilinear_antialiased",
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Batch:
    """Returns the process's contiguous share of one step's global batch: a pure function of its arguments.

    Every epoch is a fresh permutation of the split; what does not fill its last batch is left out of that epoch.
    Arguments and errors are those of `train_batches`.
    """
    _check(split, batch_size, resize, process_count)
    epoch, step_in_epoch = divmod(step, steps_per_epoch(len(split), batch_size))
    share = batch_size // process_count
    start = step_in_epoch * batch_size + process_index * share
    rows = _epoch_order(len(split), seed, epoch)[start : start + share]
    return _load(split, rows, image_size, resize)


def steps_per_epoch(split_length: int, batch_size: int) -> int:
    """Returns the number of full batches in an epoch.

    Raises:
        UserError: if there is none.
    """
    if split_length < batch_size:
        raise UserError(
            f"A batch of {batch_size} needs a training split of at least as many examples, and it has {split_length}: "
            "choose a smaller batch."
        )
    return split_length // batch_size


def eval_batches(
    split: Split,
    *,
    batch_size: int,
    image_size: int,
    resize: str = "bilinear_antialiased",
    num_threads: int = 2,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yields the process's contiguous share of every global batch; the batches hold every example once, in order.

    The last global batch is padded to full size with black images without labels, whose mask is False. Arguments and
    errors are those of `train_batches`; an empty split is an error too.
    """
    _check(split, batch_size, resize, process_count)
    num_batches = -(-len(split) // batch_size)
    rows = np.full(num_batches * batch_size, _PADDING)
    rows[: len(split)] = np.arange(len(split))
    rows_KxPxB = rows.reshape(num_batches, process_count, batch_size // process_count)

    def batch_at(step: int) -> Batch:
        return _load(split, rows_KxPxB[step, process_index], image_size, resize)

    return _compute_ahead(batch_at, range(num_batches), num_threads)


def _check(split: Split, batch_size: int, resize: str, process_count: int) -> None:
    if resize not in RESIZE_FILTERS:
        raise UserError(f"Unknown resize filter {resize!r}: expected one of {', '.join(RESIZE_FILTERS)}.")
    if not len(split):
        raise UserError(f"No example is left of {split!r}: choose another split, or choose less narrowly from it.")
    if batch_size < 1 or batch_size % process_count:
        below = batch_size - batch_size % process_count
        nearest = " and ".join(str(size) for size in (below, below + process_count) if size > 0)
        raise UserError(
            f"A batch of {batch_size} cannot be shared equally by {process_count} processes: the nearest sizes that "
            f"can are {nearest}."
        )


@functools.lru_cache(maxsize=2)
def _epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """Returns a permutation of the rows.

    Sorting the raw words of a counter-based generator gives the same order under every version of NumPy, which does not
    promise that of its `permutation`. The cache serves the steps of an epoch, and those who already read the next.
    """
    words = np.random.Philox(key=[seed, epoch]).random_raw(length)
    return np.argsort(words, kind="stable")


def _compute_ahead(batch_at: Callable[[int], Batch], steps: range, num_threads: int) -> Iterator[Batch]:
    cv2.setNumThreads(0)  # each of Grain's threads has an image of its own: more threads within would only contend
    batches = grain.MapDataset.range(steps.start, steps.stop).map(batch_at)
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=num_threads + 1 if num_threads else 0)
    return iter(batches.to_iter_dataset(options))


def _load(split: Split, rows: np.ndarray, image_size: int, resize: str) -> Batch:
    images = np.zeros((len(rows), image_size, image_size, 3), np.uint8)
    mask = rows != _PADDING
    for position in np.flatnonzero(mask):
        images[position] = fit(_decode(split, rows[position]), image_size, resize)
    return {
        "image": images,
        "expression": np.where(mask, split.expression[rows], np.int32(NO_EXPRESSION)),
        "valence": np.where(mask, split.valence[rows], np.float32(np.nan)),
        "arousal": np.where(mask, split.arousal[rows], np.float32(np.nan)),
        "mask": mask,
        "index": rows.astype(np.int32),
    }


def _decode(split: Split, row: int) -> np.ndarray:
    """Returns uint8 HxWx3 RGB. Orientation tags are ignored: builders store upright images."""
    encoded = np.frombuffer(split.image_bytes(row), np.uint8)
    image = None
    if encoded.size:  # OpenCV answers an unreadable file with None, and an empty one with an exception
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise UserError(
            f"The image {split.ids[row]!r} of {split!r} cannot be read as JPEG or PNG: build the dataset again."
        )
    return image
