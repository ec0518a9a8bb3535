"""Checkpoints of small, untrained models, written as training writes them."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import synthetic_faces
from emotion_gcn_jax import labels
from emotion_gcn_jax.checkpoints import Checkpoints
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.models.emotion_net import create_model
from tests.photographs import ASTRONAUT


def write_checkpoint(workdir, model):
    """A run's working directory with one checkpoint, at step 3."""
    config = synthetic_faces.get_config(f"densenet_tiny,{model}")
    config.data.image_size = 32
    variables = random_variables(create_model("densenet_tiny", model, word_vector_width=100))
    if model == "emotion_gcn":
        correlations = adjacency.affectnet_correlations()
        constants = variables["graph"]["head"]
        constants["adjacency"] = adjacency.adjacency_from_correlations(correlations).astype(np.float32)
    meta = {
        "config": json.loads(config.to_json()),
        "label_names": list(labels.EXPRESSIONS),
        "nodes": list(labels.NODES),
        "crop": Crop(side=1.05, size=48, enlarge=True).to_dict(),
        "dataset": "synthetic_faces",
    }
    saved = Checkpoints(workdir)
    saved.save_best(3, variables, meta)
    saved.close()
    return workdir


def random_variables(net):
    """Small numbers around 0, and around 1 for what scales: nothing is compiled for them."""
    shapes = jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    rng = np.random.default_rng(0)

    def draw(path, shape):
        about = 1.0 if path[-1].key in ("var", "scale") else 0.0
        return (about + rng.uniform(-0.3, 0.3, shape.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("emotion_gcn"), "emotion_gcn")


@pytest.fixture(scope="session")
def single_task_workdir(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("single_task"), "single_task")


@pytest.fixture(scope="session")
def astronaut():
    """uint8 [512, 512, 3]."""
    return pictures.decode(ASTRONAUT.read_bytes())
