"""One small model for all, and its faces."""

import numpy as np
import pytest

import emotion_gcn_jax as eg
from tests.untrained import write_checkpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Seven expressions, valence and arousal, the graph as head; 32 pixels."""
    return eg.load(write_checkpoint(tmp_path_factory.mktemp("emotion_gcn"), "emotion_gcn"))


@pytest.fixture(scope="session")
def faces(model):
    """uint8 [24, 32, 32, 3]."""
    side, channels = model.input.side, model.input.channels
    return np.random.default_rng(0).integers(0, 256, (24, side, side, channels), np.uint8)


@pytest.fixture
def folder_of_faces(faces, tmp_path):
    from emotion_gcn_jax.faces import pictures

    folder = tmp_path / "faces"
    folder.mkdir()
    for number, face in enumerate(faces):
        (folder / f"{number:02}.png").write_bytes(pictures.encode_png(face))
    return folder
