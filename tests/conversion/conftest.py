"""State dicts in the official layout, with random parameters; DenseNet-121's are made once."""

import csv
import pathlib

import numpy as np
import pytest

LISTS = pathlib.Path(__file__).parents[1] / "reference" / "state_dicts"
OFFICIAL = {"densenet121": "densenet", "bregnext50": "bregnext"}
SIX = [(trunk, model) for trunk in OFFICIAL for model in ("single_task", "multi_task", "emotion_gcn")]


def listed(trunk, model):
    """Name, shape and dtype of every tensor of an official state dict, in its order."""
    with (LISTS / f"state_dict_{OFFICIAL[trunk]}_{model}.csv").open() as file:
        return [
            (row["name"], tuple(int(side) for side in row["shape"].split("x") if side), row["dtype"])
            for row in csv.DictReader(file)
        ]


def random_tensors(described, seed=0):
    """Random numbers for (name, shape, dtype)s."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(0, 2**40, shape) if dtype == "int64" else rng.standard_normal(shape, np.float32)
        for name, shape, dtype in described
    }


def identical(found, expected):
    """Whether two dicts of arrays agree in every name, type, shape and bit."""
    return list(found) == list(expected) and all(
        (found[name].dtype, found[name].shape, found[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        for name, array in expected.items()
    )


@pytest.fixture(scope="session")
def official():
    """A random official state dict by trunk and model."""
    made = {}

    def state_dict(trunk, model):
        if (trunk, model) not in made:
            tensors = random_tensors(listed(trunk, model))
            made[trunk, model] = {name: np.asarray(tensor) for name, tensor in tensors.items()}
        return dict(made[trunk, model])

    return state_dict
