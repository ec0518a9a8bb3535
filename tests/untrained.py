"""Checkpoints of small, untrained models, written as training writes them."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np

from configs import synthetic_faces
from emotion_gcn_jax.checkpoints import Checkpoints
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.hearing import Sound
from emotion_gcn_jax.sound import mel
from emotion_gcn_jax.tasks import registry

CROP = Crop(side=1.05, size=48, enlarge=True)
OWN_TASKS = {
    "mood": {"kind": "classes", "vocabulary": "Bored,Engaged,Happy"},
    "seen": {"kind": "flags", "names": "glasses,hat"},
    "energy": {"kind": "values", "dimensions": "energy"},
}
"""What a user's own model may say."""


def write_checkpoint(
    workdir, model, *, tasks=None, channels=3, side=32, crop=0, clip_length=None, dataset=None, **parts
):
    """A run's working directory with one best checkpoint, at step 3.

    Args:
        workdir: where.
        model: the preset.
        tasks: in place of the preset's, as a config has them.
        channels: of the input.
        side: of the input, pixels.
        crop: what the network sees of it; 0 is all.
        clip_length: in place of the preset's.
        dataset: of config.dataset, what it is said to be trained on.
        **parts: of config.model.
    """
    config = synthetic_faces.get_config(f"densenet_tiny,{model}")
    config.model.update(parts)
    config.dataset.update(dataset or {})
    config.input.update(side=side, crop=crop, channels=channels, mean=(0.485, 0.456, 0.406)[:channels])
    config.clip.length = clip_length or config.clip.length
    config.input.deviation = (0.229, 0.224, 0.225)[:channels]
    if tasks:
        with config.unlocked():
            config.tasks = tasks
    tasks = registry.from_config(config.tasks)
    net = emotion_net.from_config(config, tasks, {"word_vectors": np.zeros((1, 100))})
    variables = random_variables(net, channels, crop or side)
    if config.model.head == "graph":
        nodes = nodes_of(tasks)
        correlations = np.random.default_rng(1).uniform(-1, 1, (len(nodes), len(nodes)))
        correlations = np.where(nodes.excluding_NxN, 0, (correlations + correlations.T) / 2)
        np.fill_diagonal(correlations, 1)
        edges = adjacency.adjacency_from_correlations(correlations, nodes)
        variables["constants"]["head"]["adjacency"] = edges.astype(np.float32)
    meta = {
        "config": json.loads(config.to_json()),
        "tasks": registry.to_dicts(tasks),
        "input": Input.from_dict(config.input).to_dict(),
        "crop": CROP.to_dict(),
        "dataset": "synthetic_faces",
    }
    saved = Checkpoints(workdir)
    saved.save_best(3, variables, meta)
    saved.close()
    return workdir


def random_variables(net, channels=3, side=32):
    """Small numbers around 0, and around 1 for what scales: nothing is compiled for them."""
    side, channels = getattr(net.trunk, "INPUT", (side, channels))
    images = jnp.zeros((1, side, side, channels))
    sound = Sound(jnp.zeros((1, mel.STEPS, mel.BANDS)), jnp.ones(1, bool)) if net.hearing else None
    shapes = jax.eval_shape(functools.partial(net.init, train=False, sound=sound), jax.random.key(0), images)
    rng = np.random.default_rng(0)

    def draw(path, shape):
        about = 1.0 if path[-1].key in ("var", "scale") else 0.0
        return (about + rng.uniform(-0.3, 0.3, shape.shape)).astype(np.float32)

    return {"constants": {}, **jax.tree_util.tree_map_with_path(draw, shapes)}
