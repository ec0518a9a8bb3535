"""Which examples of a build a run uses, told by their labels alone: no image is read for it.

`open_for_training` is what the training loop asks; `for_model` is the same choice for a split that is at hand already,
so that whoever evaluates a model does it on the kind of examples that it was trained and selected on.
"""

import dataclasses
import hashlib
from typing import Literal, get_args

import ml_collections
import numpy as np

from emotion_gcn_jax import labels
from emotion_gcn_jax.data.source import Split, open_split
from emotion_gcn_jax.errors import UserError

Labels = Literal["none", "expression", "affect", "both"]
REQUIREMENTS: tuple[str, ...] = get_args(Labels)

# What examples are of the same kind by: no subject and no video may be on both sides of a division.
_GROUPS = ("subject", "recording", "video", "id")


def open_for_training(config: ml_collections.ConfigDict) -> tuple[Split, Split]:
    """Opens what a run trains on and what it is validated on, as `config.dataset` and `config.model` say.

    With `config.dataset.held_out_share` above 0 both are parts of the training split, and the validation split, which
    papers report on, is not touched.

    Raises:
        UserError: the dataset, a split, a class or a label that is asked for is not there.
    """
    dataset, model = config.dataset, config.model

    def opened(name: str) -> Split:
        split = open_split(dataset.name, name, config=dataset.config or None, data_dir=dataset.data_dir or None)
        chosen = for_model(split, model.name, num_classes=model.num_classes, require=dataset.require)
        if len(chosen) < len(split):
            print(f"{split!r}: {len(split) - len(chosen)} examples without a label of this model are left out")
        return chosen

    if not dataset.held_out_share:
        return opened(dataset.train_split), opened(dataset.validation_split)
    train, held_out = hold_out(opened(dataset.train_split), dataset.held_out_share)
    print(f"{held_out!r} by {_group_name(train)}, for validation; {len(train)} are left to train on")
    return train, held_out


def for_model(split: Split, model: str, *, num_classes: int, require: str = "none") -> Split:
    """Returns the examples that a model can learn from or be judged by.

    An expression beyond the model's classes (Contempt, for seven) rules an example out, however it is labelled
    otherwise; a missing one does not, unless it is required or there is neither valence nor arousal.

    Args:
        split: the examples.
        model: the model's name; single_task always requires the expression, its one label.
        num_classes: 7, or 8 with Contempt.
        require: the labels that an example must have, one of REQUIREMENTS; affect is valence and arousal.

    Raises:
        UserError: the split does not know the classes in this order, or holds no such example.
    """
    expected = labels.expression_names(num_classes)
    if split.label_names[:num_classes] != expected:
        raise UserError(
            f"{split!r} has the classes {', '.join(split.label_names)}, and a model of {num_classes} needs "
            f"{', '.join(expected)}: set config.model.num_classes, or build the dataset with the present builder."
        )
    usable_N = split.expression < num_classes
    if require in ("expression", "both") or model == "single_task":
        usable_N &= split.expression >= 0
    else:
        usable_N &= (split.expression >= 0) | ~(np.isnan(split.valence) & np.isnan(split.arousal))
    if require in ("affect", "both"):
        usable_N &= ~(np.isnan(split.valence) | np.isnan(split.arousal))
    if not usable_N.any():
        needed = {"none": "", "expression": " with an expression", "affect": " with valence and arousal"}
        what = needed.get(require, " with an expression, valence and arousal")
        raise UserError(
            f"No example of {split!r}{what} has one of the {num_classes} classes: choose another split, or another "
            "config.dataset.require."
        )
    return split if usable_N.all() else split.select(usable_N)


def hold_out(split: Split, share: float) -> tuple[Split, Split]:
    """Divides a split into what remains and what is held out, with no subject or video in both.

    Whether a group (a subject, a video, or else an image) is held out is decided by a hash of its name alone: it is so
    in every run, on every machine, whatever else the split holds. Groups are taken whole, so that a few large ones make
    the share only roughly what was asked for. An image's name is without its folder, since releases that list a picture
    in two folders keep its name.

    Args:
        split: at least two groups.
        share: of the groups to hold out, between 0 and 1, both excluded.

    Raises:
        UserError: if nothing would be left on one side.
    """
    by = _group_name(split)
    names_N = split.columns[by]
    if by == "id":
        names_N = np.asarray([name.rpartition(b"/")[2] for name in names_N.tolist()])
    groups, group_of_N = np.unique(names_N, return_inverse=True)
    held_out_N = np.asarray([_hash_fraction(group) < share for group in groups.tolist()])[group_of_N]
    if held_out_N.all() or not held_out_N.any():
        raise UserError(
            f"A share of {share:g} of {split!r} ({len(groups)} by {by}) leaves nothing on one side: "
            "choose another config.dataset.held_out_share."
        )
    held_out = dataclasses.replace(split.select(held_out_N), split=f"{split.split}, held out")
    return split.select(~held_out_N), held_out


def _group_name(split: Split) -> str:
    return next(name for name in _GROUPS if name in split.columns)


def _hash_fraction(group: bytes | int) -> float:
    """Returns a number in [0, 1) that depends on nothing but the group's name."""
    name = group if isinstance(group, bytes) else str(group).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") / 2**64
