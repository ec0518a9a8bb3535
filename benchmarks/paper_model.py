"""A model of the paper, or another preset, with AffectNet's graph, and its step: what the scripts beside this run."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from emotion_gcn_jax import parallel, presets
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.graph import adjacency, word_vectors
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.training import optimizer
from emotion_gcn_jax.training.step import StepOptions, TrainState, create_state, train_step


def paper_model(trunk: str, name: str, **options: Any) -> tuple[EmotionNet, Tasks, dict[str, np.ndarray]]:
    """Builds a preset on a trunk, by create_model with its options; returns its tasks and the graph's constants too."""
    preset = presets.preset(name)
    tasks = registry.from_config({task: presets.TASKS[task] for task in preset.tasks})
    constants = {}
    if preset.head == "graph":
        nodes = nodes_of(tasks)
        correlations = adjacency.affectnet_correlations(nodes)
        constants = {
            "adjacency": adjacency.adjacency_from_correlations(correlations, nodes),
            "word_vectors": word_vectors.node_vectors(None, nodes.words),
        }
    model = emotion_net.create_model(
        trunk,
        tasks,
        head=preset.head,
        readout=presets.readout(trunk, name),
        word_vector_width=constants["word_vectors"].shape[1] if constants else 0,
        **options,
    )
    return model, tasks, constants


def paper_step(
    devices: Sequence[jax.Device], trunk: str, name: str, *, side: int, augment: bool, **options: Any
) -> tuple[Callable[..., Any], Callable[[], TrainState]]:
    """The mapped training step of a preset with the paper's SGD, and a function that makes the state before it.

    Args:
        devices: to map over.
        trunk: of the model.
        name: the preset's.
        side: of the images in pixels.
        augment: whether images are flipped and turned as in the paper.
        **options: of create_model.
    """
    model, tasks, constants = paper_model(trunk, name, axis_name=parallel.AXIS, **options)
    paper = {"weight_decay": 1e-3, "momentum": 0.9, "nesterov": False, "decay_only_kernels": False}
    tx = optimizer.sgd(1e-3, ml_collections.ConfigDict(paper))
    off = Augmentation(flip_probability=0.0, rotation_degrees=0.0)
    inputs = Input(side) if channels_of(trunk) == 3 else Input(side, channels=1, mean=(0.5,), deviation=(0.5,))
    step_options = StepOptions(tasks, inputs, Augmentation() if augment else off)
    step = parallel.pmap_step(train_step, devices, donate=True, model=model, tx=tx, options=step_options)

    def create() -> TrainState:
        variables = emotion_net.init_variables(model, 0, side, channels=inputs.channels, constants=constants)
        return create_state(variables, tx)

    return step, create


def channels_of(trunk: str) -> int:
    """Of the images: those that the trunk insists on, else 3."""
    return getattr(emotion_net.TRUNKS[trunk](), "INPUT", (None, 3))[1]


def random_batch(size: int, side: int, channels: int = 3) -> dict[str, np.ndarray]:
    """Images and labels for a step."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (size, side, side, channels), np.uint8),
        "expression": rng.integers(0, 7, size, np.int32),
        "affect": rng.uniform(-1, 1, (size, 2)).astype(np.float32),
    }
