"""State dicts in the official layout, with random parameters, and the command that converts them."""

import csv
import pathlib

import numpy as np
import pytest

from emotion_gcn_jax import cli
from emotion_gcn_jax.conversion import names

LISTS = pathlib.Path(__file__).parents[1] / "reference" / "state_dicts"
OFFICIAL = {"densenet121": "densenet", "bregnext50": "bregnext"}
SIX = [(trunk, model) for trunk in OFFICIAL for model in names.OFFICIAL_MODELS]
TINY = ("--trunk", "densenet_tiny", "--model")


def listed(trunk, model):
    """Name, shape and dtype of every tensor of an official state dict, in its order."""
    with (LISTS / f"state_dict_{OFFICIAL[trunk]}_{model}.csv").open() as file:
        return [
            (row["name"], tuple(int(side) for side in row["shape"].split("x") if side), row["dtype"])
            for row in csv.DictReader(file)
        ]


def described(tensors):
    """The same of the tensors of names.official_tensors."""
    return [(tensor.name, tensor.shape, tensor.dtype) for tensor in tensors]


def random_tensors(described, seed=0):
    """Random arrays for (name, shape, dtype)s."""
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(rng.integers(0, 2**40, shape) if dtype == "int64" else rng.standard_normal(shape, np.float32))
        for name, shape, dtype in described
    }


def tiny(model, width=20, seed=0, trunk="densenet_tiny", **options):
    """A random state dict of a small model, laid out as the official ones."""
    return random_tensors(
        described(names.official_tensors(trunk, model, word_vector_width=width, **options)), seed=seed
    )


def identical(found, expected):
    """Whether two dicts of arrays agree in every name, type, shape and bit."""
    return list(found) == list(expected) and all(
        (found[name].dtype, found[name].shape, found[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        for name, array in expected.items()
    )


@pytest.fixture(scope="session")
def official():
    """A random official state dict by trunk and model; each is made once."""
    made = {}

    def state_dict(trunk, model):
        if (trunk, model) not in made:
            made[trunk, model] = random_tensors(listed(trunk, model))
        return dict(made[trunk, model])

    return state_dict


@pytest.fixture
def run(capsys):
    """Runs the command, and returns its exit status and what it printed."""

    def convert(*arguments):
        status = cli.main(["convert", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return convert
