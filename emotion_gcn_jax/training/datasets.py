"""The data of a run: what it trains on, in one or several streams, and what it is validated on."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from emotion_gcn_jax.data import selection
from emotion_gcn_jax.data.batches import Stream
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.data.clips import Clips
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, counted
from emotion_gcn_jax.tasks.registry import Tasks, read_labels

_STREAM = re.compile(r"(?P<name>\w+)(/(?P<config>[^=:]+))?(:(?P<split>[^=]+))?=(?P<count>\d+)")


@dataclasses.dataclass(frozen=True)
class RunData:
    """The datasets of one run.

    Attributes:
        streams: what is trained on; the first is the run's own dataset, whose passes are the epochs.
        validation: what the best checkpoint is chosen by.
    """

    streams: tuple[Stream, ...]
    validation: Split

    @property
    def train(self) -> Split:
        """The first stream's examples."""
        return self.streams[0].split

    @functools.cached_property
    def digest(self) -> str:
        """Of the examples' names and labels in their order: what changes with a build, but not with where it lies."""
        digest = hashlib.sha256()
        for stream in self.streams:
            _add(digest, stream.split, stream.training_labels)
        tasks = self.streams[0].tasks
        _add(digest, self.validation, read_labels(tasks, self.validation.columns, self.validation.metadata))
        return digest.hexdigest()

    def labels(self, task_name: str) -> np.ndarray:
        """A task's labels of all streams' examples."""
        return np.concatenate([stream.labels[task_name] for stream in self.streams])


def open_data(config: ml_collections.ConfigDict, tasks: Tasks) -> RunData:
    """Opens what a config names, and leaves out what its tasks cannot learn from.

    With `config.dataset.held_out_share` or `folds` above 0 both sides are parts of the training split, and the
    validation split, which papers report on, is not touched.

    Raises:
        UserError: a dataset, a split, a class or a label that is asked for is not there, or the streams ask for more
            places than a batch has, or the task to balance has no classes.
    """
    dataset = config.dataset
    if dataset.held_out_share and dataset.folds:
        raise UserError("config.dataset.held_out_share and config.dataset.folds are both set: keep one of them.")
    possible = [task.name for task in tasks if task.exclusive]
    if dataset.balance and dataset.balance not in possible:
        raise UserError(
            f"config.dataset.balance must be empty or name a task of classes ({', '.join(possible) or 'there is none'})"
            f", found {dataset.balance!r}."
        )
    train = _opened(config, tasks, dataset.name, dataset.config, dataset.train_split)
    if dataset.folds:
        train, validation = selection.fold(train, dataset.fold, dataset.folds, group=dataset.group)
    elif dataset.held_out_share:
        train, validation = selection.hold_out(train, dataset.held_out_share, group=dataset.group)
    else:
        validation = _opened(config, tasks, dataset.name, dataset.config, dataset.validation_split)
    if validation.name != dataset.validation_split:
        print(f"{validation!r} validates; left to train on: {counted(len(train), 'example')}")
    held_out = validation if dataset.folds or dataset.held_out_share else None
    further = [_stream(config, tasks, text.strip(), held_out) for text in dataset.streams.split(",") if text.strip()]
    selection.check_known([train, *(stream.split for stream in further)], tasks)
    own_count = config.data.batch_size - sum(stream.count for stream in further)
    if own_count < 1:
        raise UserError(
            f"config.dataset.streams={dataset.streams} asks for all {config.data.batch_size} places of a batch: "
            f"leave some for {dataset.name}, or enlarge config.data.batch_size."
        )
    return RunData((_as_stream(config, tasks, train, own_count), *further), validation)


def _add(digest: Any, split: Split, labels: Mapping[str, np.ndarray]) -> None:
    """Adds a split's examples to one of hashlib's digests."""
    digest.update(b"\n".join(split.columns["id"].tolist()))
    for name, array in sorted(labels.items()):
        digest.update(f"\n{name}{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())


def _stream(config: ml_collections.ConfigDict, tasks: Tasks, text: str, held_out: Split | None) -> Stream:
    """A further stream; of the run's own dataset it has nobody who is held out."""
    match = _STREAM.fullmatch(text)
    if match is None or match["count"] == "0":
        raise UserError(
            f"config.dataset.streams is written NAME/CONFIG:SPLIT=COUNT, with commas between several (CONFIG and SPLIT "
            f"may be left out), such as affwild2/expr_va=12; found {text!r}."
        )
    split = _opened(config, tasks, match["name"], match["config"] or "", match["split"] or config.dataset.train_split)
    if held_out is not None and match["name"] == config.dataset.name:
        kept = selection.without(split, held_out, group=config.dataset.group)
        if len(kept) < len(split):
            print(f"{split!r}: left out, since held out: {counted(len(split) - len(kept), 'example')}")
        split = kept
    return _as_stream(config, tasks, split, int(match["count"]))


def _as_stream(config: ml_collections.ConfigDict, tasks: Tasks, split: Split, count: int) -> Stream:
    if count % config.clip.length:
        raise UserError(
            f"A batch has {count} frames of {split!r}, which are no whole clips of {config.clip.length}: choose "
            f"multiples of it for config.data.batch_size and in config.dataset.streams."
        )
    return Stream(split, count, tasks, config.dataset.balance, Clips(**config.clip))


def _opened(config: ml_collections.ConfigDict, tasks: Tasks, name: str, builder_config: str, split_name: str) -> Split:
    split = open_split(name, split_name, config=builder_config or None, data_dir=config.dataset.data_dir or None)
    require = config.dataset.require if name == config.dataset.name else "none"
    chosen = selection.for_tasks(split, tasks, require)
    if len(chosen) < len(split):
        lost = counted(len(split) - len(chosen), "example")
        print(f"{split!r}: left out, without a label that the tasks can use: {lost}")
    if unknown := selection.unknown_labels(split, tasks):
        print(f"{split!r}: labels that the tasks cannot express count as none: {unknown}")
    return chosen
