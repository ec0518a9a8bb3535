"""What training starts from besides random parameters: a trunk's weights, or a whole checkpoint (config.init)."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from emotion_gcn_jax import checkpoints, labels
from emotion_gcn_jax.checkpoints import Checkpoint
from emotion_gcn_jax.errors import UserError

Variables = dict[str, Any]


def read(config: ml_collections.ConfigDict) -> Variables:
    """Reads the variables that config.init names.

    Returns:
        A part of a model's variables: nothing, the trunk's "params" and "batch_stats", or everything with "graph".

    Raises:
        UserError: there is no such checkpoint, or it does not fit config.model.
    """
    trunk, checkpoint = config.init.trunk, config.init.checkpoint
    if trunk and checkpoint:
        raise UserError(
            "config.init.trunk and config.init.checkpoint are both given: a checkpoint has a trunk already, keep one."
        )
    if trunk:
        return _trunk(config, checkpoints.read(trunk))
    return _whole(config, checkpoints.read(checkpoint)) if checkpoint else {}


def graph(start: Variables) -> dict[str, np.ndarray]:
    """The graph's constants of a whole checkpoint, as models.emotion_net.init_variables takes them; else nothing."""
    constants = start.get("graph", {}).get("head", {})
    return {"adjacency_9x9": constants["adjacency"], "word_vectors_9xF": constants["word_vectors"]} if constants else {}


def replace(variables: Variables, start: Variables) -> Variables:
    """Puts what was read in the place of fresh variables.

    Args:
        variables: from models.emotion_net.init_variables.
        start: from `read`.

    Raises:
        UserError: an array is missing or has another shape.
    """
    for collection, parts in start.items():
        for part, tree in parts.items():
            fresh = variables[collection][part]
            if jax.tree.map(np.shape, fresh) != jax.tree.map(np.shape, tree):
                raise UserError(
                    f"The {part} that config.init names has other {collection} than config.model's: it was made by "
                    f"another version, or its folder is damaged."
                )
            variables[collection][part] = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), fresh, tree)
    return variables


def _trunk(config: ml_collections.ConfigDict, found: Checkpoint) -> Variables:
    trunk = found.meta["config"]["model"]["trunk"]
    if trunk != config.model.trunk:
        raise UserError(
            f"config.init.trunk={config.init.trunk} holds a {trunk}, and config.model.trunk is {config.model.trunk}: "
            f"choose another, or train a {trunk}."
        )
    return {collection: {"trunk": found.variables[collection]["trunk"]} for collection in ("params", "batch_stats")}


def _whole(config: ml_collections.ConfigDict, found: Checkpoint) -> Variables:
    where, wanted = f"config.init.checkpoint={config.init.checkpoint}", config.model
    if "head" not in found.variables["params"]:
        raise UserError(f"{where} holds the weights of a trunk alone: name it by config.init.trunk instead.")
    model = found.meta["config"]["model"]
    differing = [
        f"{field} {model[field]}" for field in ("trunk", "name", "num_classes") if model[field] != wanted[field]
    ]
    if differing:
        raise UserError(f"{where} has config.model.{' and '.join(differing)}: set config.model to the same.")
    if tuple(found.meta["label_names"]) != labels.expression_names(wanted.num_classes):
        raise UserError(f"{where} has the classes {', '.join(found.meta['label_names'])}, which are not the config's.")
    propagation = found.meta["config"]["graph"]["propagation"]
    if found.variables["graph"] and propagation != config.graph.propagation:
        raise UserError(f"{where} has config.graph.propagation {propagation}: set it to the same.")
    return found.variables
