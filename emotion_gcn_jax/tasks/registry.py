"""The kinds of tasks by name: from a config, to and from a checkpoint; and what is true of several tasks together."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotion_gcn_jax import labels
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.task import Columns, Metadata, Task
from emotion_gcn_jax.tasks.values import Values

Tasks = tuple[Task, ...]

KINDS: dict[str, type[Task]] = {"classes": Classes, "values": Values, "flags": Flags}

# What a config calls a field that the task has under another name; and the fields that are lists between commas there.
_OF_BATCHES = ("image", "features", "sound", "heard", "readable")  # other arrays by name than the tasks' labels
_RENAMED = {"loss": "loss_name"}
_LISTS = ("vocabulary", "dimensions", "names")


def from_config(config: Mapping[str, Any]) -> Tasks:
    """Reads `config.tasks`: by a task's name its kind, weight, loss and whatever else its kind has.

    Returns:
        The tasks: classes first, then values, then flags, each in the alphabet's order, since a ConfigDict keeps none.
        So the paper's nodes are the seven expressions, valence and arousal.

    Raises:
        UserError: there is none, or a kind, field, list or choice is unknown.
    """
    if not config:
        raise UserError("config.tasks is empty: a run needs at least one task, such as expression.")
    tasks = [_from_fields(name, dict(fields)) for name, fields in config.items()]
    return tuple(sorted(tasks, key=lambda task: (list(KINDS).index(task.kind), task.name)))


def to_dicts(tasks: Tasks) -> list[dict[str, Any]]:
    """Returns the tasks as a checkpoint's JSON holds them, in their order."""
    return json.loads(json.dumps([task.to_dict() for task in tasks]))


def from_dicts(dicts: Sequence[Mapping[str, Any]]) -> Tasks:
    """Reads what `to_dicts` wrote."""
    tasks = []
    for stored in dicts:
        fields: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items() if name != "kind"}
        tasks.append(KINDS[stored["kind"]](**fields))
    return tuple(tasks)


def read_labels(tasks: Tasks, columns: Columns, metadata: Metadata) -> dict[str, np.ndarray]:
    """The labels of N examples by the task's name; see each task."""
    return {task.name: task.read(columns, metadata) for task in tasks}


def any_label(tasks: Tasks, columns: Columns, metadata: Metadata) -> bool:
    """Whether any of N examples has a label of any task."""
    labels = read_labels(tasks, columns, metadata)
    return any(bool(task.known(labels[task.name]).any()) for task in tasks)


def short_names(tasks: Tasks) -> dict[str, str]:
    """The full name of every task's selectable and shown metrics, `expression/accuracy`, by its short one, `accuracy`.

    A short name that two tasks have stands for neither.
    """
    found: dict[str, list[str]] = {}
    for task in tasks:
        for metric in dict.fromkeys((*task.selectable, *task.chief)):
            found.setdefault(metric, []).append(f"{task.name}/{metric}")
    return {short: full[0] for short, full in found.items() if len(full) == 1}


def selectable(tasks: Tasks) -> list[str]:
    """The full names of the metrics that a run may select by."""
    return [f"{task.name}/{metric}" for task in tasks for metric in task.selectable]


def _from_fields(name: str, fields: dict[str, Any]) -> Task:
    if not name.isidentifier() or name in _OF_BATCHES:
        raise UserError(
            f"A task's name is one word, such as expression, and none of {', '.join(_OF_BATCHES)}, which a batch has "
            f"besides; found {name!r}."
        )
    kind = fields.pop("kind", "")
    if kind not in KINDS:
        raise UserError(f"Unknown config.tasks.{name}.kind {kind!r}: choose one of {', '.join(KINDS)}.")
    _check_fields(name, kind, fields)
    for field in _LISTS:
        if field in fields:
            fields[field] = _read_list(f"config.tasks.{name}.{field}", fields[field])
    return KINDS[kind](name=name, **{_RENAMED.get(field, field): value for field, value in fields.items()})


def _check_fields(name: str, kind: str, fields: Mapping[str, Any]) -> None:
    """Raises UserError, which names them, for fields that are missing and for those that the kind does not have."""
    in_config = {task: config for config, task in _RENAMED.items()}
    wanted = [field for field in dataclasses.fields(KINDS[kind]) if field.name != "name"]
    known = [in_config.get(field.name, field.name) for field in wanted]
    missing = [field.name for field in wanted if field.default is dataclasses.MISSING and field.name not in fields]
    surplus = [field for field in fields if field not in known]
    if missing or surplus:
        wrong = [*(f"no {field}" for field in missing), *surplus]
        raise UserError(
            f"config.tasks.{name} is of kind {kind}, whose fields are {', '.join(known)}; found {', '.join(wrong)}."
        )


def _read_list(field: str, text: str) -> tuple[str, ...]:
    """Reads different names with commas between them; the classes' by any of their usual names."""
    if field.endswith(".vocabulary"):
        return labels.vocabulary(text)
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names or len(set(names)) != len(names):
        raise UserError(f"{field} has one or more different names, with commas between them, found {text!r}.")
    return names
