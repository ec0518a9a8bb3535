"""How the nine nodes are linked: rank correlations between the labels, thresholded and normalised.

The correlations are AffectNet's published ones (embedded), come from a CSV file, or are computed from the annotations
of any dataset that has expressions, valence and arousal for the same faces.
"""

import csv
import io
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
from absl import logging
from scipy import stats

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph.tables import PICKLE_SUFFIXES, Table, read_table
from emotion_gcn_jax.labels import EXPRESSIONS, NODES

PROPAGATION_MODES = ("transposed", "row")

_AFFECTNET_FILE = Path(__file__).with_name("affectnet_spearman.csv")
_ROUNDING = 1e-6
"""How far two mirrored correlations may differ, or one exceed 1: files are often written with 6 or 7 digits."""


class _Matrix(Protocol):
    @property
    def T(self) -> Self: ...


MatrixT = TypeVar("MatrixT", bound=_Matrix)


def affectnet_correlations() -> np.ndarray:
    """Returns the published Spearman correlations of AffectNet's training annotations, float64 9 x 9 in node order."""
    return read_correlations(_AFFECTNET_FILE)


def spearman_correlations(expression_N: np.ndarray, valence_N: np.ndarray, arousal_N: np.ndarray) -> np.ndarray:
    """Returns the rank correlations between the one-hot expressions, valence and arousal, float64 9 x 9 in node order.

    Only examples with all three labels count, so that every entry speaks of the same faces. These are the examples of
    the official matrices too: Contempt and what has no expression is left out of AffectNet's, and Aff-Wild2's frames
    are those valid in both label sets. The correlation of a label that never changes (an expression that no face shows)
    is undefined and counts as 0, except with itself.

    Args:
        expression_N: our expression ids; one without a node (-1, 7) counts as missing.
        valence_N: NaN where missing.
        arousal_N: NaN where missing.

    Raises:
        UserError: if no example has all three labels.
    """
    expression_N, valence_N, arousal_N = (np.asarray(a) for a in (expression_N, valence_N, arousal_N))
    ids = np.arange(len(EXPRESSIONS))
    complete_N = np.isin(expression_N, ids) & np.isfinite(valence_N) & np.isfinite(arousal_N)
    if not complete_N.any():
        raise UserError(
            "correlations need examples with an expression, a valence and an arousal, but none of the "
            f"{len(expression_N)} given has all three: choose a dataset that has, or a correlation file"
        )
    labels_Nx9 = np.column_stack(
        [expression_N[complete_N, None] == ids, valence_N[complete_N], arousal_N[complete_N]]
    ).astype(np.float64)
    # Spearman's coefficient is the correlation of the ranks. scipy's own spearmanr would answer NaN for the whole
    # matrix if one of its first two columns were constant.
    varies_9 = np.ptp(labels_Nx9, axis=0) > 0
    correlations_9x9 = np.eye(len(NODES))
    if varies_9.sum() > 1:
        ranks = stats.rankdata(labels_Nx9[:, varies_9], axis=0)
        correlations_9x9[np.ix_(varies_9, varies_9)] = np.corrcoef(ranks, rowvar=False)
    return correlations_9x9


def read_correlations(path: str | Path) -> np.ndarray:
    """Reads a 9 x 9 correlation matrix from a CSV file and returns it as float64 in node order.

    The file holds either nine lines of nine numbers in node order, or a header and a first column with the node names,
    in any order and any case.

    Raises:
        UserError: if the file is missing, a pickle, not 9 x 9, or holds other names, text, NaN, a correlation outside
            [-1, 1] or two mirrored entries that differ.
    """
    if Path(path).suffix.lower() in PICKLE_SUFFIXES:
        raise UserError(
            f"{path} is a pickle, which could run any code and is not opened: leave the correlations at their default "
            "(the official AffectNet numbers are embedded) or give a CSV file of 9 x 9 numbers"
        )
    table = read_table(path)
    size = len(NODES)
    if table.numbers_RxC.shape != (size, size):
        rows, columns = table.numbers_RxC.shape
        raise UserError(
            f"{path} should hold {size} x {size} correlations (a row and a column for each of {', '.join(NODES)}) but "
            f"holds {rows} x {columns}"
        )
    correlations_9x9 = _in_node_order(table, path)
    beyond = np.argwhere(np.abs(correlations_9x9) > 1 + _ROUNDING)
    if len(beyond):
        i, j = beyond[0]
        raise UserError(
            f"correlations lie within [-1, 1], but {path} has {correlations_9x9[i, j]:g} in row {NODES[i]}, column "
            f"{NODES[j]}"
        )
    differing = np.argwhere(np.abs(correlations_9x9 - correlations_9x9.T) > _ROUNDING)
    if len(differing):
        i, j = differing[0]
        raise UserError(
            f"a correlation matrix is symmetric, but {path} has {correlations_9x9[i, j]:g} in row {NODES[i]}, column "
            f"{NODES[j]} and {correlations_9x9[j, i]:g} the other way round"
        )
    return correlations_9x9


def write_correlations(path: str | Path, correlations_9x9: np.ndarray) -> None:
    """Writes a 9 x 9 matrix in node order as CSV with names and all digits, for `read_correlations`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *NODES])
    for name, row in zip(NODES, np.asarray(correlations_9x9, np.float64).tolist(), strict=True):
        writer.writerow([name, *row])
    Path(path).write_text(text.getvalue(), encoding="utf-8")


def adjacency_from_correlations(
    correlations_9x9: np.ndarray, *, threshold: float = 0.1, neighbour_share: float = 0.5
) -> np.ndarray:
    """Returns the row-normalised adjacency, float32 9 x 9 in node order; every row sums to 1.

    Two nodes are linked where their correlation's absolute value reaches the threshold; two expressions never are. The
    neighbours of a node share `neighbour_share` equally and the node itself keeps the rest. A node without neighbours
    keeps everything, which a logged warning says.

    Args:
        correlations_9x9: in node order; NaN (a label that never changes) counts as 0.
        threshold: in (0, 1]; 0.1 is the official implementation's value.
        neighbour_share: in [0, 1]; 0.5 is the official implementation's value.

    Raises:
        UserError: if the threshold or the share is out of range.
    """
    if not 0 < threshold <= 1:
        raise UserError(f"the graph's threshold must be above 0 and at most 1, not {threshold}")
    if not 0 <= neighbour_share <= 1:
        raise UserError(f"the graph's neighbour_share must be at least 0 and at most 1, not {neighbour_share}")
    strength_9x9 = np.abs(np.nan_to_num(correlations_9x9, nan=0.0))
    linked_9x9 = strength_9x9 >= threshold
    linked_9x9[: len(EXPRESSIONS), : len(EXPRESSIONS)] = False
    np.fill_diagonal(linked_9x9, False)
    neighbours_9 = linked_9x9.sum(axis=1)
    for name, neighbours in zip(NODES, neighbours_9, strict=True):
        if neighbours == 0:
            logging.warning(
                "The node %s is linked to no other: none of its correlations reaches the threshold %g.", name, threshold
            )
    adjacency_9x9 = linked_9x9 * (neighbour_share / np.maximum(neighbours_9, 1))[:, None]
    np.fill_diagonal(adjacency_9x9, np.where(neighbours_9 > 0, 1 - neighbour_share, 1.0))
    return adjacency_9x9.astype(np.float32)


def propagation_matrix(adjacency_9x9: MatrixT, mode: str = "transposed") -> MatrixT:
    """Returns the matrix that a graph layer multiplies its 9 x F features with from the left, 9 x 9.

    Args:
        adjacency_9x9: row-normalised; of numpy or JAX, traced or not.
        mode: 'transposed' as in the official implementation, whose weights were trained so: a node hands
            `neighbour_share` of itself out to its neighbours. 'row': it takes in their mean instead (for ablation).

    Raises:
        UserError: for another mode.
    """
    if mode not in PROPAGATION_MODES:
        raise UserError(f"the graph's propagation must be one of {', '.join(PROPAGATION_MODES)}, not {mode!r}")
    return adjacency_9x9.T if mode == "transposed" else adjacency_9x9


def _in_node_order(table: Table, path: str | Path) -> np.ndarray:
    if table.row_names is None or table.column_names is None:
        return table.numbers_RxC
    rows = _node_positions(table.row_names, "rows", path)
    columns = _node_positions(table.column_names, "columns", path)
    return table.numbers_RxC[np.ix_(rows, columns)]


def _node_positions(names: tuple[str, ...], what: str, path: str | Path) -> list[int]:
    """Finds every node among the names, whatever their case."""
    lower = [name.lower() for name in names]
    missing = [node for node in NODES if node.lower() not in lower]
    if missing:
        raise UserError(
            f"the {what} of {path} should be named {', '.join(NODES)} in any order, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing (found: {', '.join(names)})"
        )
    return [lower.index(node.lower()) for node in NODES]
