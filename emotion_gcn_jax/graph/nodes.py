"""The graph's nodes: one for every output of every task, in the tasks' order."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from emotion_gcn_jax import labels
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks.registry import Tasks


@dataclasses.dataclass(frozen=True)
class Nodes:
    """N nodes.

    Attributes:
        names: such as Neutral, Valence, AU12; each once.
        tasks: for each node the number of its task.
        exclusive: the numbers of the tasks whose outputs exclude each other: no edge joins two of their nodes.
    """

    names: tuple[str, ...]
    tasks: tuple[int, ...]
    exclusive: frozenset[int]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def excluding_NxN(self) -> np.ndarray:
        """Which pairs of nodes exclude each other (and each node itself, if its task is exclusive): bool N x N."""
        tasks_N = np.asarray(self.tasks)
        is_exclusive_N = np.isin(tasks_N, list(self.exclusive))
        return (tasks_N[:, None] == tasks_N) & is_exclusive_N[:, None]

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The words whose mean vector stands for each node, by its name."""
        return {name: labels.node_words(name) for name in self.names}


def nodes_of(tasks: Tasks) -> Nodes:
    """The nodes of some tasks.

    Raises:
        UserError: two outputs have the same name.
    """
    names = tuple(name for task in tasks for name in task.outputs)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UserError(f"The graph needs different names for its nodes, and the tasks have {', '.join(twice)} twice.")
    numbers = tuple(number for number, task in enumerate(tasks) for _ in task.outputs)
    return Nodes(names, numbers, frozenset(number for number, task in enumerate(tasks) if task.exclusive))


def targets(tasks: Tasks, labels_by_task: Mapping[str, Any]) -> np.ndarray:
    """The labels of E examples as one number a node: float64 E x N, NaN where there is none."""
    return np.concatenate([task.targets(labels_by_task[task.name]) for task in tasks], axis=1)
