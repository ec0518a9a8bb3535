"""Checkpoints and configs of older versions, turned into today's form.

Format 1 (version 0.1) had the paper's three models written out: `config.model.name` and `num_classes`, `config.loss`,
the side in `config.data`, and a collection "graph". Since format 2 a checkpoint lists its tasks and its input.
"""

from collections.abc import Mapping
from typing import Any

from emotion_gcn_jax import labels, presets
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.trees import Tree

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}  # what format 1 always normalised by
_REQUIREMENTS = {"both": "all"}  # the one word of config.dataset.require that has changed


def meta(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint's meta object in today's format, whatever its own."""
    if found["format_version"] >= 2 or "label_names" not in found:
        return dict(found)  # of format 1, a trunk without a head has no more than today's fields
    upgraded = {name: value for name, value in found.items() if name not in ("label_names", "nodes")}
    upgraded["config"] = config(found["config"])
    upgraded["tasks"] = registry.to_dicts(registry.from_config(upgraded["config"]["tasks"]))
    upgraded["input"] = upgraded["config"]["input"]
    return upgraded


def config(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's config in today's form; of a config with a part of the fields that part."""
    if "name" not in found.get("model", {}):
        return dict(found)
    old = {group: dict(fields) for group, fields in found.items()}
    name, trunk = old["model"].pop("name"), old["model"]["trunk"]
    loss, data = old.pop("loss", {}), old.get("data", {})
    vocabulary = (*labels.EXPRESSIONS, "Contempt")[: old["model"].pop("num_classes")]
    tasks = {task: dict(presets.TASKS[task]) for task in presets.preset(name).tasks}
    tasks["expression"] |= {"vocabulary": ",".join(vocabulary), "class_weights": loss.get("class_weights", "none")}
    if "affect" in tasks:
        variance = loss.get("ccc_variance", "population")
        tasks["affect"] |= {"weight": loss.get("affect_weight", 1.0), "ccc_variance": variance}
    require = old["dataset"].get("require", "none")
    dataset = {"streams": "", "folds": 0, "fold": 0, "group": "", **old["dataset"]}
    dataset["require"] = _REQUIREMENTS.get(require, require)
    model = {"readout": presets.readout(trunk, name), "head": presets.preset(name).head, **old["model"]}
    inputs = {"side": data.pop("image_size"), "channels": 3, "resize": data.pop("resize"), **_IMAGENET}
    return {**old, "dataset": dataset, "input": inputs, "model": model, "tasks": tasks}


def variables(found: Tree, version: int) -> dict[str, Tree]:
    """Returns variables as they were stored under today's names of the collections."""
    return {"constants" if version < 2 and name == "graph" else name: tree for name, tree in found.items()}


def stored_variables(today: Tree, version: int) -> dict[str, Tree]:
    """The inverse of `variables`: today's as the older version stored them."""
    return {"graph" if version < 2 and name == "constants" else name: tree for name, tree in today.items()}
