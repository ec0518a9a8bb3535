"""Checkpoints and configs of older versions, turned into today's form.

Format 1 (version 0.1) had the paper's three models written out: `config.model.name` and `num_classes`, `config.loss`,
the side in `config.data`, and a collection "graph". Since format 2 a checkpoint lists its tasks and its input.
"""

import functools
from collections.abc import Mapping
from typing import Any

from emotion_gcn_jax import labels, presets
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.trees import Tree

MOVED: dict[str, str] = {
    "data.image_size": "input.side",
    "data.resize": "input.resize",
    "loss.class_weights": "tasks.expression.class_weights",
    "loss.affect_weight": "tasks.affect.weight",
    "loss.ccc_variance": "tasks.affect.ccc_variance",
}
"""Fields of format 1's config -> the field that has the same value today."""

_REPLACED = {
    "model.name": "the config file's argument, --config=configs/NAME.py:TRUNK,MODEL",
    "model.num_classes": "config.tasks.expression.vocabulary, the names of the classes with commas between them",
    "optimizer.head_rate": "config.optimizer.rates, which takes head=0.1 for a head_rate of 0.1",
}

# What format 1 always did: the fields that it did not have, and what they say today.
_INPUT = {"channels": 3, "mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}
_DATASET = {"streams": "", "folds": 0, "fold": 0, "group": ""}

# Fields that format 2 has got since, by their group, and what they say of a run from before: nothing is done.
_LATER: dict[str, dict[str, Any]] = {
    "dataset": {"balance": ""},
    "input": {"crop": 0},
    "model": {
        "hidden": [],
        "dropout": 0.0,
        "embedding": 0,
        "recurrent": [],
        "reset": "after",
        "bidirectional": False,
        "hearing": "",
        "hearing_width": 512,
        "fusion": "concat",
        "mask_bn": False,
        "frozen_trunk": False,
    },
    "init": {"hearing": ""},
    "augmentation": {
        "grey_probability": 0.0,
        "low_resolution": 0.0,
        "zoom": 0.0,
        "shift": 0.0,
        "erase_area": [0.02, 0.33],
        "mixup": 0.0,
        "sound_masks": 0,
        "sound_mask_steps": 19,
        "sound_mask_bands": 15,
    },
    "optimizer": {"nesterov": False, "decay_only_kernels": False, "l2": "", "rates": ""},
    "training": {"skip_non_finite": False},
    "data": {"mask_damaged": False, "features": ""},
}
_LATER_GROUPS: dict[str, dict[str, Any]] = {"clip": {"length": 1, "min_present": 0.75}}
_LATER_OF_TASKS: dict[str, dict[str, Any]] = {  # by the kind
    "classes": {
        "label_smoothing": 0.0,
        "scale": 10.0,
        "margin": 0.3,
        "margin_variant": "fallback",
        "margin_warmup_epochs": 1.0,
    }
}

_REQUIREMENTS = {"both": "all"}  # the one word of config.dataset.require that has changed


def todays_field(field: str) -> str | None:
    """What stands today in the place of a field of an older config, such as "data.image_size"; None for others."""
    return f"config.{MOVED[field]}" if field in MOVED else _REPLACED.get(field)


def meta(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint's meta object in today's format, whatever its own."""
    if found["format_version"] >= 2 or "label_names" not in found:
        # Of format 1, a trunk without a head has no more than format 2's fields.
        return {**found, **({"config": config(found["config"])} if "config" in found else {})}
    upgraded = {name: value for name, value in found.items() if name not in ("label_names", "nodes")}
    upgraded["config"] = config(found["config"])
    upgraded["tasks"] = registry.to_dicts(registry.from_config(upgraded["config"]["tasks"]))
    upgraded["input"] = upgraded["config"]["input"]
    return upgraded


def config(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's config in today's form; of converted weights, whose config has fewer fields, those."""
    if "optimizer" in found:
        found = {**found, "optimizer": _optimizer(found["optimizer"])}
    if "name" not in found.get("model", {}):
        return _with_later_fields(found)
    old = {group: dict(fields) for group, fields in found.items()}
    name, classes = old["model"].pop("name"), old["model"].pop("num_classes")
    preset = presets.preset(name)
    today: dict[str, Any] = {
        **old,
        "dataset": _DATASET | old["dataset"],
        "input": dict(_INPUT),
        "model": {"readout": presets.readout(old["model"]["trunk"], name), "head": preset.head, **old["model"]},
        "tasks": {task: dict(presets.TASKS[task]) for task in preset.tasks},
    }
    for before, now in MOVED.items():
        group, field = before.split(".")
        *place, moved = now.split(".")
        if field in old.get(group, {}):
            value = old[group].pop(field)
            # A model without valence and arousal had the fields of their loss, too: they have no place today.
            functools.reduce(lambda fields, part: fields.get(part, {}), place, today)[moved] = value
    today.pop("loss", None)
    today["tasks"]["expression"]["vocabulary"] = ",".join((*labels.EXPRESSIONS, "Contempt")[:classes])
    require = today["dataset"].get("require", "none")
    today["dataset"]["require"] = _REQUIREMENTS.get(require, require)
    return _with_later_fields(today)


def _with_later_fields(found: Mapping[str, Any]) -> dict[str, Any]:
    """Adds what a config of format 2 and its groups lack; converted weights have fewer groups."""
    groups = _LATER_GROUPS | dict(found)
    today = {group: _LATER.get(group, {}) | dict(fields) for group, fields in groups.items()}
    for task, fields in today.get("tasks", {}).items():
        today["tasks"][task] = _LATER_OF_TASKS.get(fields.get("kind"), {}) | fields
    return today


def _optimizer(found: Mapping[str, Any]) -> dict[str, Any]:
    """The config's optimiser, which knew of one part of the model only, the head."""
    others = {name: value for name, value in found.items() if name != "head_rate"}
    rate = found.get("head_rate", 1)
    return {**({"rates": f"head={rate:g}"} if rate != 1 else {}), **others}


def variables(found: Tree, version: int) -> dict[str, Tree]:
    """Returns variables as they were stored under today's names of the collections."""
    return {"constants" if version < 2 and name == "graph" else name: tree for name, tree in found.items()}


def stored_variables(today: Tree, version: int) -> dict[str, Tree]:
    """The inverse of `variables`: today's as the older version stored them."""
    return {"graph" if version < 2 and name == "constants" else name: tree for name, tree in today.items()}
