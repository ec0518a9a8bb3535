"""What training starts from besides random parameters: a trunk's weights, or a whole checkpoint (config.init)."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.checkpoints import Checkpoint
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks

_PARTS = ("trunk", "readout", "hidden", "embedding", "head")  # of config.model: what a checkpoint's weights are for


def read(config: ml_collections.ConfigDict, tasks: Tasks) -> dict[str, Any]:
    """Reads the variables that config.init names.

    Returns:
        A part of a model's variables: nothing, the trunk's "params" and "batch_stats", or everything.

    Raises:
        UserError: there is no such checkpoint, or it does not fit config.model or the tasks.
    """
    trunk, checkpoint = config.init.trunk, config.init.checkpoint
    if trunk and checkpoint:
        raise UserError(
            "config.init.trunk and config.init.checkpoint are both given: a checkpoint has a trunk already, keep one."
        )
    if trunk:
        return _trunk(config, checkpoints.read(trunk))
    return _whole(config, tasks, checkpoints.read(checkpoint)) if checkpoint else {}


def constants(start: dict[str, Any]) -> dict[str, np.ndarray]:
    """The graph's "adjacency" and "word_vectors" of a whole checkpoint; else nothing."""
    return dict(start.get("constants", {}).get("head", {}))


def replace(variables: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    """Puts what was read in the place of fresh variables.

    Args:
        variables: from models.emotion_net.init_variables.
        start: from `read`.

    Raises:
        UserError: an array is missing or has another shape.
    """
    for collection, parts in start.items():
        for part, tree in parts.items():
            fresh = variables[collection].get(part)
            if jax.tree.map(np.shape, fresh) != jax.tree.map(np.shape, tree):
                raise UserError(
                    f"The {part} that config.init names has other {collection} than config.model's: it was made for "
                    f"other input.channels or by another version, or its folder is damaged."
                )
            variables[collection][part] = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), fresh, tree)
    return variables


def _trunk(config: ml_collections.ConfigDict, found: Checkpoint) -> dict[str, Any]:
    trunk = found.meta["config"]["model"]["trunk"]
    if trunk != config.model.trunk:
        raise UserError(
            f"config.init.trunk={config.init.trunk} holds a {trunk}, and config.model.trunk is {config.model.trunk}: "
            f"choose another, or train a {trunk}."
        )
    parts = {collection: found.variables[collection].get("trunk") for collection in ("params", "batch_stats")}
    return {collection: {"trunk": tree} for collection, tree in parts.items() if tree}


def _whole(config: ml_collections.ConfigDict, tasks: Tasks, found: Checkpoint) -> dict[str, Any]:
    where = f"config.init.checkpoint={config.init.checkpoint}"
    if "head" not in found.variables["params"]:
        raise UserError(f"{where} holds the weights of a trunk alone: name it by config.init.trunk instead.")
    model = {**found.meta["config"]["model"], "hidden": tuple(found.meta["config"]["model"]["hidden"])}
    differing = [f"{f} {model[f]}" for f in _PARTS if model[f] != config.model[f]]
    if differing:
        raise UserError(f"{where} has config.model.{' and '.join(differing)}: set config.model to the same.")
    theirs, ours = ([(task.name, task.outputs) for task in ts] for ts in (_tasks(found), tasks))
    if theirs != ours:
        has, wants = (" and ".join(f"{n} ({', '.join(outputs)})" for n, outputs in ts) for ts in (theirs, ours))
        raise UserError(f"{where} predicts {has}, and the config's tasks are {wants}: set config.tasks to the same.")
    of_cosines = [sorted(task.name for task in ts if task.takes_cosines) for ts in (_tasks(found), tasks)]
    if of_cosines[0] != of_cosines[1]:
        has, wants = (", ".join(names) or "no task" for names in of_cosines)
        raise UserError(f"{where} has cosines for {has}, and the config for {wants}: set the same losses (arcface).")
    propagation = found.meta["config"]["graph"]["propagation"]
    if found.variables["constants"] and propagation != config.graph.propagation:
        raise UserError(f"{where} has config.graph.propagation {propagation}: set it to the same.")
    return found.variables


def _tasks(found: Checkpoint) -> Tasks:
    return registry.from_dicts(found.meta["tasks"])
