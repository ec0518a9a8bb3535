"""How the nodes are linked: rank correlations between the labels, thresholded and normalised.

The correlations are AffectNet's published ones (embedded), come from a CSV file, or are computed from the annotations
of any dataset whose faces have labels of several tasks.
"""

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.graph.nodes import Nodes
from emotion_gcn_jax.graph.tables import PICKLE_SUFFIXES, Table, read_table

PROPAGATION_MODES = ("transposed", "row")

_AFFECTNET_FILE = Path(__file__).with_name("affectnet_spearman.csv")
_ROUNDING = 1e-6
"""How far two mirrored correlations may differ, or one exceed 1: files are often written with 6 or 7 digits."""


def affectnet_correlations(nodes: Nodes) -> np.ndarray:
    """Returns the published Spearman correlations of AffectNet's training annotations: float64 N x N.

    Raises:
        UserError: a node is none of AffectNet's nine (seven expressions, valence, arousal).
    """
    names = _read(_AFFECTNET_FILE).row_names or ()
    if unknown := [name for name in nodes.names if name not in names]:
        raise UserError(
            f"The embedded correlations are between {', '.join(names)}, and the graph has {', '.join(unknown)} as "
            f"well: set config.graph.correlations to annotations, or to a CSV file."
        )
    return read_correlations(_AFFECTNET_FILE, nodes)


def spearman_correlations(targets_ExN: np.ndarray, nodes: Nodes) -> np.ndarray:
    """Returns the rank correlations between the nodes' labels over E examples: float64 N x N.

    Only examples with every label count, so that every entry speaks of the same faces. These are the examples of the
    official matrices too: Contempt and what has no expression is left out of AffectNet's, and Aff-Wild2's frames are
    those valid in both label sets. Where no two examples have every label, as with action units from other videos, the
    nodes of two tasks are correlated over the examples that have all labels of both, and those of one task over the
    examples that have all of its own. The correlation of a label that never changes is undefined and counts as 0,
    except with itself; so does that of tasks that no two examples share.

    Args:
        targets_ExN: from `nodes.targets`; NaN where there is no label.
        nodes: the N nodes.

    Raises:
        UserError: no two examples have the labels of two tasks, or of the only one.
    """
    correlations_NxN = np.eye(len(nodes))
    tasks_N = np.asarray(nodes.tasks)
    known_ExN = np.isfinite(targets_ExN)
    numbers = sorted(set(nodes.tasks))
    groups: list[tuple[int, ...]] = [tuple(numbers)]
    if known_ExN.all(1).sum() < 2:  # each task by itself comes last: it replaces what its pairs had of it
        groups = [*itertools.combinations(numbers, 2), *((number,) for number in numbers)]
    most_tasks = 0
    for group in groups:
        columns = np.flatnonzero(np.isin(tasks_N, group))
        complete_E = known_ExN[:, columns].all(1)
        if complete_E.sum() >= 2:
            most_tasks = max(most_tasks, len(group))
            correlations_NxN[np.ix_(columns, columns)] = _spearman(targets_ExN[np.ix_(complete_E, columns)])
    if most_tasks < min(2, len(numbers)):
        raise UserError(
            f"Correlations need two examples or more with all labels of two tasks, found fewer among "
            f"{len(targets_ExN)}: choose another dataset, or a correlation file."
        )
    return correlations_NxN


def read_correlations(path: PathLike, nodes: Nodes) -> np.ndarray:
    """Reads a correlation matrix of the nodes from a CSV file: float64 N x N.

    The file holds either N lines of N numbers in node order, or a header and a first column with the node names, in any
    order and any case; then it may have more nodes than are needed.

    Raises:
        UserError: the file is missing, a pickle or not square, lacks a node or names one twice, or holds text, NaN, a
            correlation outside [-1, 1] or two mirrored entries that differ.
    """
    table = _read(path)
    size = len(nodes)
    rows, columns = table.numbers_RxC.shape
    if rows != columns or (table.row_names is None and rows != size):
        raise UserError(
            f"{path} should hold {size} x {size} correlations (a row and a column for each of "
            f"{', '.join(nodes.names)}), and holds {rows} x {columns}."
        )
    correlations_NxN = _in_node_order(table, nodes, path)
    beyond = np.argwhere(np.abs(correlations_NxN) > 1 + _ROUNDING)
    if len(beyond):
        i, j = beyond[0]
        raise UserError(
            f"Correlations lie within [-1, 1], and {path} has {correlations_NxN[i, j]:g} in row {nodes.names[i]}, "
            f"column {nodes.names[j]}."
        )
    differing = np.argwhere(np.abs(correlations_NxN - correlations_NxN.T) > _ROUNDING)
    if len(differing):
        i, j = differing[0]
        raise UserError(
            f"A correlation matrix is symmetric, and {path} has {correlations_NxN[i, j]:g} in row {nodes.names[i]}, "
            f"column {nodes.names[j]} and {correlations_NxN[j, i]:g} the other way round."
        )
    return correlations_NxN


def write_correlations(path: PathLike, correlations_NxN: np.ndarray, nodes: Nodes) -> None:
    """Writes a matrix as CSV with the nodes' names and all digits, for `read_correlations`; may raise OSError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *nodes.names])
    for name, row in zip(nodes.names, np.asarray(correlations_NxN, np.float64).tolist(), strict=True):
        writer.writerow([name, *row])
    atomic_write(path, text.getvalue().encode())


def adjacency_from_correlations(
    correlations_NxN: np.ndarray, nodes: Nodes, *, threshold: float = 0.1, neighbour_share: float = 0.5
) -> np.ndarray:
    """Returns the row-normalised adjacency, float32 N x N; every row sums to 1.

    Two nodes are linked where their correlation's absolute value reaches the threshold; two that exclude each other
    never are. The neighbours of a node share `neighbour_share` equally and the node itself keeps the rest. A node
    without neighbours keeps everything, which a logged warning says.

    Args:
        correlations_NxN: in node order; NaN (a label that never changes) counts as 0.
        nodes: the N nodes.
        threshold: in (0, 1]; 0.1 is the official implementation's value.
        neighbour_share: in [0, 1]; 0.5 is the official implementation's value.

    Raises:
        UserError: the threshold or the share is out of range.
    """
    if not 0 < threshold <= 1:
        raise UserError(f"config.graph.threshold must be above 0 and at most 1, found {threshold}.")
    if not 0 <= neighbour_share <= 1:
        raise UserError(f"config.graph.neighbour_share must be at least 0 and at most 1, found {neighbour_share}.")
    strength_NxN = np.abs(np.nan_to_num(correlations_NxN, nan=0.0))
    linked_NxN = (strength_NxN >= threshold) & ~nodes.excluding_NxN
    np.fill_diagonal(linked_NxN, False)
    neighbours_N = linked_NxN.sum(axis=1)
    for name, neighbours in zip(nodes.names, neighbours_N, strict=True):
        if neighbours == 0:
            logging.warning(
                "The node %s is linked to no other: none of its correlations reaches the threshold %g.", name, threshold
            )
    adjacency_NxN = linked_NxN * (neighbour_share / np.maximum(neighbours_N, 1))[:, None]
    np.fill_diagonal(adjacency_NxN, np.where(neighbours_N > 0, 1 - neighbour_share, 1.0))
    return adjacency_NxN.astype(np.float32)


def propagation_matrix(adjacency_NxN: Any, mode: str = "transposed") -> Any:
    """Returns the matrix that a graph layer multiplies its N x F features with from the left, N x N.

    Args:
        adjacency_NxN: row-normalised; an array of NumPy or JAX.
        mode: 'transposed' as in the official implementation, whose weights were trained so: a node hands
            `neighbour_share` of itself out to its neighbours. 'row': it takes in their mean instead (for ablation).

    Raises:
        UserError: another mode.
    """
    if mode not in PROPAGATION_MODES:
        raise UserError(f"config.graph.propagation must be one of {', '.join(PROPAGATION_MODES)}, found {mode!r}.")
    return adjacency_NxN.T if mode == "transposed" else adjacency_NxN


def _spearman(labels_ExK: np.ndarray) -> np.ndarray:
    """Rank correlations of K labels that all E examples have; those of a constant are 0.

    Spearman's coefficient is the correlation of the ranks. scipy's own spearmanr would answer NaN for the whole matrix
    if one of its first two columns were constant.
    """
    from scipy import stats  # takes most of a second to import, and prediction needs none of it

    varies_K = np.ptp(labels_ExK, axis=0) > 0
    correlations_KxK = np.eye(labels_ExK.shape[1])
    if varies_K.sum() > 1:
        ranks = stats.rankdata(labels_ExK[:, varies_K], axis=0)
        correlations_KxK[np.ix_(varies_K, varies_K)] = np.corrcoef(ranks, rowvar=False)
    return correlations_KxK


def _read(path: PathLike) -> Table:
    if user_path(path).suffix.lower() in PICKLE_SUFFIXES:
        raise UserError(
            f"{path} is a pickle, which could run any code and is not opened: leave the correlations at their default "
            f"(the official AffectNet numbers are embedded) or give a CSV file of numbers."
        )
    return read_table(user_path(path))


def _in_node_order(table: Table, nodes: Nodes, path: PathLike) -> np.ndarray:
    if table.row_names is None or table.column_names is None:
        return table.numbers_RxC
    rows = _node_positions(table.row_names, nodes, "rows", path)
    columns = _node_positions(table.column_names, nodes, "columns", path)
    return table.numbers_RxC[np.ix_(rows, columns)]


def _node_positions(names: tuple[str, ...], nodes: Nodes, what: str, path: PathLike) -> list[int]:
    """Finds every node among the names, whatever their case."""
    lower = [name.lower() for name in names]
    if twice := sorted({name for name in lower if lower.count(name) > 1}):
        raise UserError(f"The {what} of {path} should have different names, and {', '.join(twice)} stands there twice.")
    missing = [node for node in nodes.names if node.lower() not in lower]
    if missing:
        raise UserError(
            f"The {what} of {path} should be named {', '.join(nodes.names)} in any order, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing (found: {listed(names)})."
        )
    return [lower.index(node.lower()) for node in nodes.names]
