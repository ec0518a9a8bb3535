"""Whether a split that a command names is what the run was trained on, by the splits' names."""

import argparse
import types

import ml_collections
import numpy as np
import pytest

from emotion_gcn_jax.cli import arguments
from emotion_gcn_jax.data import selection
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks.values import Values


def model(train_split):
    dataset = ml_collections.ConfigDict(
        {"name": "faces", "config": "", "train_split": train_split, "held_out_share": 0.4}
    )
    return types.SimpleNamespace(
        config=ml_collections.ConfigDict({"dataset": dataset}), tasks=(Values(name="affect", dimensions=("valence",)),)
    )


def split(name):
    columns = {"id": np.arange(20).astype("S2"), "valence": np.zeros(20, np.float32)}
    return Split("faces", None, name, {}, columns, None, np.arange(20))


@pytest.mark.parametrize(
    ("given", "trained", "expected"),
    [
        ("train", "train", True),
        ("test", "train", False),
        ("test+train", "train", True),
        ("test", "train+test", True),
        ("all-test", "train", True),
        ("all-train", "train", False),
        ("all-train-test", "train+test", False),
        ("all-train", "train+test", True),
        ("train", "all-validation", True),
        ("validation", "all-validation", False),
        ("test+validation", "all-validation", True),
        ("test+validation", "all-test-validation", False),
        ("all-test", "all-validation", True),
        ("all", "all", True),
    ],
)
def test_what_the_run_was_trained_on(given, trained, expected):
    assert arguments.is_trained_on(split(given), model(trained)) == expected


@pytest.mark.parametrize(
    ("named", "opened", "trained"),
    [
        ("train", "train", "train"),
        (None, "train", "train"),
        ("train+test", "train+test", "train+test"),
        ("test+train", "test+train", "train+test"),
        ("all-validation", "all-validation", "all-validation"),
        ("all-validation", "train", "all-validation"),  # all that is left
    ],
)
def test_what_was_held_out_of_the_training_split(named, opened, trained):
    asked = argparse.Namespace(dataset="faces", split=named, held_out=True)
    chosen = arguments.usable(asked, split(opened), model(trained))
    assert chosen.ids.tolist() == selection.hold_out(split(trained), 0.4)[1].ids.tolist()


@pytest.mark.parametrize(
    ("named", "trained"), [("test", "train"), ("train+test", "train"), ("train", "train+test"), ("all-test", "train")]
)
def test_another_split_than_the_run_s_has_nothing_held_out(named, trained):
    asked = argparse.Namespace(dataset="faces", split=named, held_out=True)
    with pytest.raises(UserError, match=f"give --dataset faces --split {trained.replace('+', '.')} with it"):
        arguments.usable(asked, split(named), model(trained))
