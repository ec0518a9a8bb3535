"""A model of the paper, or another preset, with AffectNet's graph: what the timing scripts beside this file run."""

from typing import Any

import numpy as np

from emotion_gcn_jax import presets
from emotion_gcn_jax.graph import adjacency, word_vectors
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks


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
