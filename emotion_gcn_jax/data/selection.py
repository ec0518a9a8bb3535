"""Which examples of a dataset a run uses, decided by their labels alone: no image is read for it."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.tasks.registry import Tasks, read_labels

# What examples are of one kind by: no subject and no video may be on both sides of a division.
GROUPS = ("subject", "recording", "video", "id")


def for_tasks(split: Split, tasks: Tasks, require: str = "none") -> Split:
    """Returns the examples that a model can learn from or be judged by.

    A label that a task cannot express (Contempt, for seven expressions) is no label of it. An example without any
    label, or without one that is required, is left out.

    Args:
        split: the examples.
        tasks: the model's.
        require: the tasks whose labels an example must have, all of a task's: names with commas between them, "all",
            or "none".

    Raises:
        UserError: an unknown task is required, or no example is left.
    """
    required = required_tasks(tasks, require)
    labels = read_labels(tasks, split.columns, split.metadata)
    usable_N = np.zeros(len(split), bool)
    for task in tasks:
        usable_N |= task.known(labels[task.name]).any(axis=1)
        usable_N |= task.known(task.training_labels(split.columns, split.metadata)).any(axis=1)
    for task in tasks:
        if task.name in required:
            usable_N &= task.known(labels[task.name]).all(axis=1)
    if not usable_N.any():
        needed = " and ".join(required) or " or ".join(task.name for task in tasks)
        remark = f" ({unknown})" if (unknown := unknown_labels(split, tasks)) else ""
        raise UserError(
            f"No example of {split!r} has a label of {needed} that the model can express{remark}: choose another "
            f"split, other tasks{', or another config.dataset.require' if required else ''}."
        )
    return split if usable_N.all() else split.select(usable_N)


def unknown_labels(split: Split, tasks: Tasks) -> str:
    """Says which labels of a split the tasks cannot express, and how many; "" if there are none."""
    found = []
    for task in tasks:
        if words := task.unknown_words(split.columns, split.metadata):
            counts = (f"{word} ({count:,})" for word, count in words.items())
            found.append(f"found the {task.name} {listed(counts)}, expected {listed(task.outputs)}")
    return "; ".join(found)


def check_known(splits: Sequence[Split], tasks: Tasks) -> None:
    """Raises UserError for a class or a flag of a task that none of the splits knows, as after a slip of the pen."""
    for task in tasks:
        mistakes = []
        for split in splits:
            try:
                task.check(split.metadata, repr(split))
            except UserError as error:
                mistakes.append(error)
        if len(mistakes) == len(splits):
            raise mistakes[0]


def required_tasks(tasks: Tasks, require: str) -> tuple[str, ...]:
    """Reads config.dataset.require; raises UserError for a task that there is not."""
    names = tuple(task.name for task in tasks)
    if require == "none":
        return ()
    required = names if require == "all" else tuple(name.strip() for name in require.split(","))
    if unknown := [name for name in required if name not in names]:
        raise UserError(
            f"Unknown tasks in config.dataset.require: expected {', '.join(names)}, all or none, found "
            f"{', '.join(map(repr, unknown))}."
        )
    return required


def hold_out(split: Split, share: float, *, group: str = "") -> tuple[Split, Split]:
    """Divides a split into what remains and what is held out, with no subject or video in both.

    Whether a group (a subject, a video, or else an image) is held out is decided by a hash of its name alone: it is so
    in every run, on every machine, whatever else the split holds. Groups are taken whole, so that a few large ones make
    the share only roughly what was asked for. An image's name is without its folder, since releases that list a picture
    in two folders keep its name.

    Args:
        split: at least two groups.
        share: of the groups to hold out, between 0 and 1, both excluded.
        group: the column that holds the groups' names; "" takes the first of GROUPS that the split has.

    Raises:
        UserError: there is no such column, or nothing would be left on one side.
    """
    by, groups, group_of_N = _groups(split, group)
    held_out_N = np.asarray([_hash_fraction(name) < share for name in groups])[group_of_N]
    if held_out_N.all() or not held_out_N.any():
        raise UserError(
            f"A share of {share:g} of {split!r} ({len(groups)} by {by}) leaves nothing on one side: "
            "choose another config.dataset.held_out_share."
        )
    held_out = dataclasses.replace(split.select(held_out_N), name=f"{split.name}, held out by {by}")
    return split.select(~held_out_N), held_out


def fold(split: Split, number: int, count: int, *, group: str = "") -> tuple[Split, Split]:
    """Divides a split for cross-validation into what one fold trains on and what it is judged by.

    The groups are dealt to the folds in the order of their names' hashes: the folds are the same in every run of the
    same groups, and differ in size by one group at most.

    Args:
        split: at least `count` groups.
        number: of the fold that is held out, from 0.
        count: of the folds.
        group: as for `hold_out`.

    Raises:
        UserError: there is no such column or fold, or there are fewer groups than folds, or fewer than two folds.
    """
    by, groups, group_of_N = _groups(split, group)
    if not 2 <= count <= len(groups):
        raise UserError(
            f"config.dataset.folds must lie in 2..{len(groups)}, since {split!r} has {len(groups)} groups by {by}, "
            f"found {count}."
        )
    if not 0 <= number < count:
        raise UserError(f"config.dataset.fold must lie in 0..{count - 1} for {count} folds, found {number}.")
    rank_of = np.argsort(np.argsort([_hash_fraction(name) for name in groups], kind="stable"), kind="stable")
    held_out_N = (rank_of % count == number)[group_of_N]
    held_out = dataclasses.replace(split.select(held_out_N), name=f"{split.name}, fold {number} of {count} by {by}")
    return split.select(~held_out_N), held_out


def without(split: Split, held_out: Split, *, group: str = "") -> Split:
    """Returns what a split of the same dataset has besides the groups of one that is held out.

    Where images are their own groups, those of other splits of the same build are other images, though their files
    have the same names. A build without the column by which others are held out is compared by its images' names.

    Args:
        split: a further one of the dataset.
        held_out: from `hold_out` or `fold`.
        group: as it was for that.

    Raises:
        UserError: the split has no such column though `group` names it, or another kind of it, or nothing is left.
    """
    by = group or next(name for name in GROUPS if name in held_out.columns)
    if by not in split.columns and not group:
        by = "id"
    if by not in split.columns or split.columns[by].dtype.kind != held_out.columns[by].dtype.kind:
        raise UserError(
            f"What is held out is so by {by}, which {split!r} does not have as {held_out!r} does: leave it out of the "
            f"streams, or choose another config.dataset.group."
        )
    if by == "id" and split.config == held_out.config and set(split.parts).isdisjoint(held_out.parts):
        return split
    _, held_out_groups, _ = _groups(held_out, by)
    _, groups, group_of_N = _groups(split, by)
    kept_N = ~np.isin(np.asarray(groups), np.asarray(held_out_groups))[group_of_N]
    if not kept_N.any():
        raise UserError(f"Nothing is left of {split!r} besides what is held out by {by}: leave it out of the streams.")
    return split.select(kept_N)


def _groups(split: Split, group: str) -> tuple[str, list[bytes | int], np.ndarray]:
    """The grouping column, its different names, and for every example the place of its own among them.

    An example whose name is empty is a group of its own: nobody says that all of them are one person.
    """
    by = group or next(name for name in GROUPS if name in split.columns)
    known = [name for name, column in split.columns.items() if column.ndim == 1 and column.dtype.kind in "Siu"]
    if by not in known:
        raise UserError(
            f"config.dataset.group must be a column of text or whole numbers of {split!r}, found {by}: choose one of "
            f"{', '.join(known)}."
        )
    names_N = split.columns[by]
    if by == "id" or (names_N.dtype.kind == "S" and (names_N == b"").any()):
        images_N = np.asarray([name.rpartition(b"/")[2] for name in split.columns["id"].tolist()])
        names_N = images_N if by == "id" else np.where(names_N == b"", images_N, names_N)
    groups, group_of_N = np.unique(names_N, return_inverse=True)
    return by, groups.tolist(), group_of_N


def _hash_fraction(group: bytes | int) -> float:
    """Returns a number in [0, 1) that depends on nothing but the group's name."""
    name = group if isinstance(group, bytes) else str(group).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") / 2**64
