"""What training starts from besides random parameters (config.init): a whole checkpoint, or the parts of one or two.

`config.init.trunk` takes the trunk, and of the neck the layers up to the first that is not alike here, so that a model
of other tasks can start from it. `config.init.hearing` takes the trunk of the sound, and the layer after it if it is
alike; the two may be of different checkpoints. What they take and what starts anew is printed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import traverse_util

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.checkpoints import Checkpoint
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.presets import NO_TRUNK
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.trees import Tree

# Of config.model: what a checkpoint's weights are for.
_PARTS = (
    *("trunk", "readout", "hidden", "embedding", "recurrent", "reset", "bidirectional", "hearing", "hearing_width"),
    *("fusion", "head"),
)


def read(config: ml_collections.ConfigDict, tasks: Tasks) -> dict[str, Any]:
    """Reads the variables that config.init names.

    Returns:
        A part of a model's variables: nothing, "params" and "batch_stats" of trunk, neck and hearing, or everything.

    Raises:
        UserError: there is no such checkpoint, or it does not fit config.model or the tasks.
    """
    checkpoint, parts = config.init.checkpoint, {"trunk": _trunk, "hearing": _hearing}
    named = {part: config.init[part] for part in parts if config.init[part]}
    if named and checkpoint:
        raise UserError(
            f"config.init.{next(iter(named))} and config.init.checkpoint are both given: a checkpoint has all parts "
            f"already, keep one."
        )
    if checkpoint:
        return _whole(config, tasks, checkpoints.read(checkpoint))
    start: dict[str, Any] = {}
    for part, path in named.items():
        for collection, trees in parts[part](config, checkpoints.read(path)).items():
            start[collection] = start.get(collection, {}) | trees
    return start


def constants(start: dict[str, Any]) -> dict[str, np.ndarray]:
    """The graph's "adjacency" and "word_vectors" of a whole checkpoint; else nothing."""
    return dict(start.get("constants", {}).get("head", {}))


def replace(variables: dict[str, Any], start: dict[str, Any], model: EmotionNet) -> dict[str, Any]:
    """Puts what was read in the place of fresh variables; where it is no whole checkpoint, says what.

    Args:
        variables: from models.emotion_net.init_variables.
        start: from `read`.
        model: whose variables they are.

    Raises:
        UserError: an array of a trunk, or of a whole checkpoint, is missing or has another shape.
    """
    is_whole = "head" in start.get("params", {})
    for collection, parts in start.items():
        for part, tree in parts.items():
            if part in ("neck", "hearing") and not is_whole:
                continue
            variables[collection][part] = _alike(variables[collection].get(part), tree, part, collection)
    if start and not is_whole:
        _replace_parts(variables, start, model)
    return variables


def _alike(fresh: Tree | None, tree: Tree, part: str, collection: str) -> Tree:
    """What was read of a part in the types of the fresh one; raises UserError where their shapes differ."""
    if jax.tree.map(np.shape, fresh) != jax.tree.map(np.shape, tree):
        raise UserError(
            f"The {part} that config.init names has other {collection} than config.model's: it was made for "
            f"other input.channels or by another version, or its folder is damaged."
        )
    return _as(fresh, tree)


def _replace_parts(variables: dict[str, Any], start: dict[str, Any], model: EmotionNet) -> None:
    """Replaces what is alike of neck and hearing, and says what was given and what is new."""
    given = {}
    if "trunk" in start["params"]:
        given["trunk"] = ["trunk", *_replace_neck(variables, start, model.neck.layers if model.neck else ())]
    if "hearing" in start["params"]:
        given["hearing"] = _replace_hearing(variables, start)
    taken = [part for parts in given.values() for part in parts]
    params = traverse_util.flatten_dict(variables["params"], sep="/")
    layers = dict.fromkeys("/".join(path.split("/")[: 1 if path.startswith("trunk/") else 2]) for path in params)
    said = [f"config.init.{name} gives {', '.join(parts)}" for name, parts in given.items()]
    print(f"{'; '.join(said)}; new are {', '.join(layer for layer in layers if layer not in taken)}")


def _replace_hearing(variables: dict[str, Any], start: dict[str, Any]) -> list[str]:
    """Replaces the trunk of the sound, and the layer after it unless its width differs; returns the paths of both."""
    taken = set()
    for collection, trees in start.items():
        ours = variables[collection].get("hearing", {})
        for layer, tree in trees.get("hearing", {}).items():
            if layer == "trunk":
                ours[layer] = _alike(ours.get(layer), tree, "hearing/trunk", collection)
            elif jax.tree.map(np.shape, ours.get(layer)) == jax.tree.map(np.shape, tree):
                ours[layer] = _as(ours[layer], tree)
            else:
                continue
            taken.add(layer)
    if not taken:
        raise UserError(
            "config.init.hearing has no layer like config.model's: set config.model.hearing_width to the same, or "
            "leave config.init.hearing empty."
        )
    return [f"hearing/{layer}" for layer in ("trunk", "fc") if layer in taken]


def _replace_neck(variables: dict[str, Any], start: dict[str, Any], layers: Sequence[str]) -> list[str]:
    """Replaces the neck's layers up to the first that differs, which is named; returns the paths of those replaced."""
    taken: list[str] = []
    theirs = {name: start[name].get("neck", {}) for name in ("params", "batch_stats")}
    hidden = {name for name in theirs["params"] if name.startswith("hidden")}
    for layer in layers if theirs["params"] else ():
        ours = {name: variables[name].get("neck", {}).get(layer) for name in theirs}
        found = {name: tree.get(layer) for name, tree in theirs.items()}
        has_gap = layer == "embedding" and len(hidden) != len(taken)  # it took what another layer made
        if has_gap or jax.tree.map(np.shape, ours) != jax.tree.map(np.shape, found):
            shapes = [_kernel_shape(trees["params"]) for trees in (found, ours)]
            after = f", after {len(hidden)} hidden layers," if has_gap else ""
            print(
                f"config.init.trunk: neck/{layer} is {shapes[0]}{after} there and {shapes[1]} here, so it and what "
                f"follows it start anew"
            )
            break
        for name, tree in found.items():
            if tree is not None:
                variables[name]["neck"][layer] = _as(ours[name], tree)
        taken.append(layer)
    return [f"neck/{layer}" for layer in taken]


def _kernel_shape(layer: Tree | None) -> str:
    """Such as "4608 x 4096"."""
    return " x ".join(map(str, np.shape(layer["kernel"]))) if layer and "kernel" in layer else "absent"


def _as(fresh: Tree, tree: Tree) -> Tree:
    """Arrays in the types of fresh ones."""
    return jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), fresh, tree)


def _trunk(config: ml_collections.ConfigDict, found: Checkpoint) -> dict[str, Any]:
    where, model = f"config.init.trunk={config.init.trunk}", found.meta["config"]["model"]
    if model["trunk"] != config.model.trunk:
        raise UserError(
            f"{where} holds a {model['trunk']}, and config.model.trunk is {config.model.trunk}: "
            f"choose another, or train a {model['trunk']}."
        )
    if model["trunk"] == NO_TRUNK:
        raise UserError(f"{where} hears and does not see: name it by config.init.hearing.")
    _check_input(config, found.meta.get("input") or {}, where)
    # A neck learnt from features that were read out in another way.
    parts = ("trunk", "neck") if model.get("readout") == config.model.readout else ("trunk",)
    return {
        collection: {part: found.variables[collection][part] for part in parts if part in found.variables[collection]}
        for collection in ("params", "batch_stats")
    }


def _hearing(config: ml_collections.ConfigDict, found: Checkpoint) -> dict[str, Any]:
    theirs, ours = found.meta["config"]["model"].get("hearing", ""), config.model.hearing
    if not theirs or theirs != ours:
        raise UserError(
            f"config.init.hearing={config.init.hearing} hears {f'by {theirs}' if theirs else 'nothing'}, and "
            f"config.model.hearing is {ours or 'empty'}: choose another, or set config.model.hearing to the same."
        )
    return {name: {"hearing": found.variables[name].get("hearing", {})} for name in ("params", "batch_stats")}


def _check_input(config: ml_collections.ConfigDict, theirs: Mapping[str, Any], where: str) -> None:
    """Raises UserError for images that are normalised otherwise than those which the weights learnt from."""
    numbers = {field: tuple(theirs[field]) for field in ("mean", "deviation") if field in theirs}
    if any(value != tuple(config.input[field]) for field, value in numbers.items()):
        flags = " ".join(f"--config.input.{field}='{value}'" for field, value in numbers.items())
        raise UserError(
            f"{where} learnt from images that were normalised otherwise (config.input.mean is "
            f"{tuple(config.input.mean)}, config.input.deviation {tuple(config.input.deviation)}): give {flags}."
        )


def _whole(config: ml_collections.ConfigDict, tasks: Tasks, found: Checkpoint) -> dict[str, Any]:
    where = f"config.init.checkpoint={config.init.checkpoint}"
    if "head" not in found.variables["params"]:
        raise UserError(f"{where} holds the weights of a trunk alone: name it by config.init.trunk instead.")
    _check_input(config, found.meta.get("input") or {}, where)
    theirs_model = found.meta["config"]["model"]
    model = {**theirs_model, **{name: tuple(theirs_model[name]) for name in ("hidden", "recurrent")}}
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
