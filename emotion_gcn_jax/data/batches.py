"""Batches on the host, where a training batch is a pure function of the seed and the step.

A batch of clips has the frames of each one after the other, so that everything but time sees images (clips.py).
Nothing but the step has to be remembered to continue a run, and every process of a run computes its own share of the
same global batch. Grain's threads only run ahead of the training; they decide nothing about what is in a batch.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import cv2
import grain
import numpy as np

from emotion_gcn_jax.data.clips import SINGLE_IMAGES, Clips, Windows
from emotion_gcn_jax.data.features import Features, of_example
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.sound import mel
from emotion_gcn_jax.tasks.registry import Tasks, read_labels
from emotion_gcn_jax.trees import Batch

T = TypeVar("T")

FEATURES = "features"
"""What a batch has in the place of "image" if features are stored."""

FRESH = "fresh"
"""In training's batches of clips, which frames are no repetitions of others."""

READABLE = "readable"
"""Whether there is an image at all, in evaluation's batches where others are masked."""


@dataclasses.dataclass(frozen=True)
class Loader:
    """How batches are made.

    Attributes:
        input: what the images become.
        batch_size: examples in the global batch, which all processes share.
        threads: batches decoded at once; 0 decodes each when it is asked for.
        process_index: which share of the global batch, from 0.
        process_count: number of equal shares.
        hears: whether the batches have the sounds around the examples, too.
        clips: how tracks are cut where the loader evaluates; training's streams have their own.
        features: where they are given, the batches have them in the place of images; `features.check` has found them
            to be of every split.
        masked: what is said of examples that cannot be read is put into it, and they stand in their batches as black
            images: in training without labels, in evaluation with READABLE false. None raises instead.
    """

    input: Input
    batch_size: int
    threads: int = 2
    process_index: int = 0
    process_count: int = 1
    hears: bool = False
    clips: Clips = SINGLE_IMAGES
    features: tuple[Features, ...] = ()
    masked: set[str] | None = None

    def __post_init__(self) -> None:
        """Raises UserError for a batch that the processes cannot share equally."""
        if self.batch_size < 1 or self.batch_size % self.process_count:
            below = max(self.batch_size, 0) // self.process_count * self.process_count
            nearest = " or ".join(str(size) for size in (below, below + self.process_count) if size > 0)
            raise UserError(
                f"A batch of {self.batch_size} cannot be shared equally by {self.process_count} processes: choose "
                f"{nearest}."
            )

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's contiguous part of what the global batch has, along the first axis."""
        part = self.batch_size // self.process_count
        return rows[self.process_index * part : (self.process_index + 1) * part]

    def example(self, split: Split, row: int) -> Batch:
        """What the network looks at, and listens to: an example's "image", and "sound" and "heard" if it `hears`.

        With stored features there are these, float32 D, instead of the image.

        Raises:
            UserError: they cannot be read.
        """
        seen: Batch
        if self.features:
            seen = {FEATURES: of_example(self.features, split, row)}
        else:
            seen = {"image": self.input.fit(split.image(row))}
        return {**seen, **(_sound(split.sound(row)) if self.hears else {})}

    @property
    def nothing(self) -> Batch:
        """What stands in the place of an example that is not there: a black image without sound."""
        seen: Batch
        if self.features:
            seen = {FEATURES: np.zeros(self.features[0].values_NxD.shape[1], np.float32)}
        else:
            seen = {"image": np.zeros((self.input.side, self.input.side, self.input.channels), np.uint8)}
        return {**seen, **(_sound(None) if self.hears else {})}


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """A dataset's part of every training batch.

    Attributes:
        split: its examples; a label that it does not have is missing in the batch.
        count: how many examples of the global batch are its own.
        tasks: whose labels are read.
        balance: the name of a task of classes, which then are equally frequent in the batches, as often as those
            without such a label leave room for them; "" takes every example once an epoch.
        clips: how tracks are cut. `count` is a multiple of their length; with clips of more than 1, none is balanced.
    """

    split: Split
    count: int
    tasks: Tasks
    balance: str = ""
    clips: Clips = SINGLE_IMAGES

    @functools.cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """The labels of all examples, by the task's name."""
        return read_labels(self.tasks, self.split.columns, self.split.metadata)

    @functools.cached_property
    def training_labels(self) -> dict[str, np.ndarray]:
        """The labels of all examples as the losses take them, by the task's name."""
        columns, metadata = self.split.columns, self.split.metadata
        return {task.name: task.training_labels(columns, metadata) for task in self.tasks}

    @functools.cached_property
    def no_labels(self) -> dict[str, np.ndarray]:
        """What `training_labels` has of an example without any, by the task's name."""
        columns = {"id": np.asarray([b""])}
        return {task.name: task.training_labels(columns, self.split.metadata)[0] for task in self.tasks}

    @functools.cached_property
    def groups(self) -> tuple[np.ndarray, ...]:
        """The rows without a class in the balanced task, then those of every class that occurs."""
        (task,) = (task for task in self.tasks if task.name == self.balance)
        labels = self.labels[task.name]
        known_N, class_N = task.known(labels).all(axis=1), task.targets(labels).argmax(axis=1)
        classes = [np.flatnonzero(known_N & (class_N == number)) for number in range(len(task.outputs))]
        return np.flatnonzero(~known_N), *(rows for rows in classes if len(rows))

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """The number of batches that go once through the split; what does not fill the last is left out of the epoch.

        The clips of an epoch vary in number with its offsets, and this is for their mean: of an epoch with more some
        are left out, and of one with fewer some come twice.

        Raises:
            UserError: if there is none.
        """
        if self.clips.length > 1:
            found, needed, what = self.clips.count(self.split), self.count // self.clips.length, "clips"
        else:
            found, needed, what = len(self.split), self.count, "examples"
        if found < needed:
            raise UserError(
                f"A batch with {needed} {what} of {self.split!r} needs at least as many, found {found}: choose a "
                f"smaller config.data.batch_size, or count in config.dataset.streams."
            )
        return found // needed


def train_batches(streams: Sequence[Stream], loader: Loader, *, seed: int, start_step: int = 0) -> Iterator[Batch]:
    """Yields `train_batch` of start_step, start_step + 1 and so on without end, computed ahead in threads.

    Arguments and errors are those of `train_batch`; an image that cannot be read raises while iterating.
    """
    for stream in streams:
        stream.steps_per_epoch  # noqa: B018 - for its error, now rather than in a thread
    batch_at = functools.partial(train_batch, streams, loader, seed=seed)
    return _compute_ahead(batch_at, range(start_step, sys.maxsize), loader.threads)


def train_batch(streams: Sequence[Stream], loader: Loader, step: int, *, seed: int) -> Batch:
    """Returns the process's share of one step's global batch: a pure function of its arguments.

    Every stream has a fixed number of places in the batch, in the order of the streams, and an order of its own: each
    of its epochs is a fresh permutation. In a balanced stream the classes take turns, and each class goes through its
    examples in one fresh permutation after another. A frame that a clip repeats, in the place of one that is not there,
    has no labels.

    Args:
        streams: their counts add up to the global batch.
        loader: how batches are made.
        step: from 0.
        seed: decides the order of the examples.

    Returns:
        "image", uint8 B x side x side x channels, and every task's labels by its name. If the loader `hears`, also
        "sound", float32 B x STEPS x BANDS (sound.mel), and "heard", bool B: whether there is any. A frame that a clip
        repeats has the sound of where it was taken. With clips also FRESH, bool B.

    Raises:
        UserError: a stream has fewer examples than its count, or an image cannot be read.
    """
    places = _places(streams, step, seed)
    mine = [places[place] for place in loader.share(np.arange(loader.batch_size))]
    examples = [_example(loader, *place) for place in mine]
    return _stacked(examples)


def examples_at(streams: Sequence[Stream], step: int, *, seed: int) -> list[str]:
    """Names the examples of one step's global batch, in its order: "DATASET SPLIT ID" each.

    Arguments are those of `train_batch`.
    """
    places = _places(streams, step, seed)
    return [f"{stream.split.dataset} {stream.split.name} {stream.split.ids[row]}" for stream, row, _ in places]


def eval_batches(split: Split, loader: Loader) -> Iterator[Batch]:
    """Yields the process's share of every global batch of what is to be judged: the examples of `eval_rows`.

    The last global batch is filled up with black images.

    Args:
        split: the examples.
        loader: how batches are made.

    Returns:
        "image" and, if the loader `hears`, "sound" and "heard", as `train_batch` has them; READABLE, bool B, if the
        loader masks what cannot be read.

    Raises:
        UserError: the split is empty; while iterating, an image cannot be read.
    """
    if not len(split):
        raise UserError(f"No example is left of {split!r}: choose another split, or choose less narrowly from it.")
    rows_M, _ = eval_rows(split, loader)

    def batch_at(step: int) -> Batch:
        places = loader.share(np.arange(step * loader.batch_size, (step + 1) * loader.batch_size))
        examples = [_judged(loader, split, row) for row in rows_M[places[places < len(rows_M)]]]
        return _stacked([*examples, *[_judged(loader, split, None)] * (len(places) - len(examples))])

    return _compute_ahead(batch_at, range(-(-len(rows_M) // loader.batch_size)), loader.threads)


def eval_rows(split: Split, loader: Loader) -> Windows:
    """The rows of the examples in the order in which `eval_batches` has them.

    Returns:
        int64 M, and bool M: which of them count. Those hold every example once; the others are a clip's repetitions.
        Of single images, M is N, in order, and all count.
    """
    if loader.clips.length == 1:
        return np.arange(len(split)), np.ones(len(split), bool)
    rows_KxT, fresh_KxT = loader.clips.of_evaluation(split)
    return rows_KxT.ravel(), fresh_KxT.ravel()


def _judged(loader: Loader, split: Split, row: int | None) -> Batch:
    """An example of evaluation; None is what fills a batch up."""
    is_readable = row is not None
    try:
        example = loader.nothing if row is None else loader.example(split, row)
    except UserError as error:
        if loader.masked is None:
            raise
        loader.masked.add(str(error))
        example, is_readable = loader.nothing, False
    return example if loader.masked is None else {**example, READABLE: np.bool_(is_readable)}


def _example(loader: Loader, stream: Stream, row: int, is_fresh: bool) -> Batch:
    try:
        example = loader.example(stream.split, row)
    except UserError as error:
        if loader.masked is None:
            raise
        loader.masked.add(str(error))
        example, is_fresh = loader.nothing, False
    own_labels = {name: labels[row] for name, labels in stream.training_labels.items()}
    of_clip = {FRESH: np.bool_(is_fresh)} if stream.clips.length > 1 else {}
    return {**example, **(own_labels if is_fresh else stream.no_labels), **of_clip}


def _sound(patch_SxM: np.ndarray | None) -> Batch:
    silence_0xM = np.zeros((0, mel.BANDS), np.float16)
    heard = patch_SxM is not None
    return {"sound": patch_SxM if heard else mel.patch(silence_0xM, 0.0), "heard": np.bool_(heard)}


def _stacked(examples: Sequence[Batch]) -> Batch:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def _places(streams: Sequence[Stream], step: int, seed: int) -> list[tuple[Stream, int, bool]]:
    """Whose row stands in each place of a step's global batch, and whether it is no repetition."""
    return [
        (stream, row, is_fresh)
        for number, stream in enumerate(streams)
        for row, is_fresh in zip(*_rows(stream, number, step, seed), strict=True)
    ]


def _rows(stream: Stream, number: int, step: int, seed: int) -> Windows:
    """The rows that a stream, by its number, gives to a step's batch, and which of them are no repetitions."""
    if stream.clips.length > 1:
        return _clip_rows(stream, number, step, seed)
    rows = _image_rows(stream, number, step, seed)
    return rows, np.ones(len(rows), bool)


def _clip_rows(stream: Stream, number: int, step: int, seed: int) -> Windows:
    """The same of clips, whose number varies with the epoch's offsets: too few, and the first come again."""
    epoch, step_in_epoch = divmod(step, stream.steps_per_epoch)
    rows_KxT, fresh_KxT = _epoch_clips(stream, number, seed, epoch)
    count = stream.count // stream.clips.length
    chosen = np.arange(step_in_epoch * count, (step_in_epoch + 1) * count) % len(rows_KxT)
    chosen = _epoch_order(len(rows_KxT), seed, number, epoch)[chosen]
    return rows_KxT[chosen].ravel(), fresh_KxT[chosen].ravel()


@functools.lru_cache(maxsize=8)
def _epoch_clips(stream: Stream, number: int, seed: int, epoch: int) -> Windows:
    return stream.clips.of_epoch(stream.split, seed, epoch + (number << 32))


def _image_rows(stream: Stream, number: int, step: int, seed: int) -> np.ndarray:
    if stream.balance:
        return _balanced_rows(stream, number, step, seed)
    epoch, step_in_epoch = divmod(step, stream.steps_per_epoch)
    start = step_in_epoch * stream.count
    return _epoch_order(len(stream.split), seed, number, epoch)[start : start + stream.count]


def _balanced_rows(stream: Stream, number: int, step: int, seed: int) -> np.ndarray:
    """The same of a balanced stream, whose draws are counted from the run's start: epochs mean nothing to it."""
    groups, total = stream.groups, len(stream.split)
    rows = np.empty(stream.count, np.int64)
    for place, draw in enumerate(range(step * stream.count, (step + 1) * stream.count)):
        # Of every `total` draws as many are without a class as there are such examples, evenly spread.
        without = draw * len(groups[0]) // total
        if (draw + 1) * len(groups[0]) // total > without:
            turn, group = without, 0
        else:
            turn, group = divmod(draw - without, len(groups) - 1)
            group += 1
        members = groups[group]
        lap, index = divmod(turn, len(members))
        rows[place] = members[_class_order(len(members), seed, number + (group + 1 << 16), lap)[index]]
    return rows


def _permutation(length: int, seed: int, number: int, epoch: int) -> np.ndarray:
    """Returns a permutation of the rows.

    Sorting the raw words of a counter-based generator gives the same order under every version of NumPy, which does not
    promise that of its `permutation`.
    """
    words = np.random.Philox(key=[seed + (number << 32), epoch]).random_raw(length)
    return np.argsort(words, kind="stable")


# The caches serve the steps of an epoch, and those who already read the next; of a balanced stream, of every class.
_epoch_order = functools.lru_cache(maxsize=8)(_permutation)
_class_order = functools.lru_cache(maxsize=64)(_permutation)


def _compute_ahead(batch_at: Callable[[int], T], steps: range, threads: int) -> Iterator[T]:
    cv2.setNumThreads(0)  # each of Grain's threads has an image of its own: more threads within would only contend
    batches = grain.MapDataset.range(steps.start, steps.stop).map(batch_at)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1 if threads else 0)
    return iter(batches.to_iter_dataset(options))
