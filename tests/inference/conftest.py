"""Checkpoints that are written once."""

import pytest

from emotion_gcn_jax import presets
from emotion_gcn_jax.faces import pictures
from tests.photographs import ASTRONAUT
from tests.untrained import OWN_TASKS, write_checkpoint

ARCFACE_TASKS = {"expression": presets.TASKS["expression"] | {"loss": "arcface"}, "affect": presets.TASKS["affect"]}


@pytest.fixture(scope="session")
def workdirs(tmp_path_factory):
    """Working directories by the model's name: a preset's, "own" (see OWN_TASKS), "arcface", "neck" (a flattened map,
    hidden layers, an embedding and arcface), "grey" (with one channel) or "crop" (which sees 32 of 37 pixels)."""
    made = {}
    options = {
        "own": ("single_task", {"tasks": OWN_TASKS}),
        "arcface": ("multi_task", {"tasks": ARCFACE_TASKS}),
        "neck": ("mt_arcvgg", {"side": 64, "hidden": (12, 10), "embedding": 16}),
        "grey": ("multi_task", {"channels": 1}),
        "crop": ("multi_task", {"side": 37, "crop": 32}),
    }

    def workdir(name):
        if name not in made:
            model, changes = options.get(name, (name, {}))
            made[name] = write_checkpoint(tmp_path_factory.mktemp(name), model, **changes)
        return made[name]

    return workdir


@pytest.fixture(scope="session")
def workdir(workdirs):
    return workdirs("emotion_gcn")


@pytest.fixture(scope="session")
def astronaut():
    """uint8 [512, 512, 3]."""
    return pictures.decode(ASTRONAUT.read_bytes())
