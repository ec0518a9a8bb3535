"""The graph for a reader: its correlations as a table, its edges as sentences and as a picture."""

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, BboxBase

from emotion_gcn_jax.graph.nodes import Nodes
from emotion_gcn_jax.labels import NODES

Edge = tuple[int, int, float]
"""Two nodes by their numbers, the first the smaller, and their correlation."""

_INK, _GREY = "#2b2b33", "#e6e6ec"
_POSITIVE, _NEGATIVE = "#2f6fb5", "#c8442f"  # apart in the common kinds of colour blindness, and in grey
_SIGNS = LinearSegmentedColormap.from_list("signs", [_NEGATIVE, "white", _POSITIVE])  # from -1 to 1
_DPI = 150
_NODE_SIZE, _PADDING = 12, 0.5  # points of a node's name, and what is left free about it, as a multiple
_RADIUS = 1.1  # of the ring, in the axes' units
# Two values stand here: on no line with two nodes of the ring, or an edge would pass behind the other value.
_TWO_VALUES = ((-0.4, 0.18), (0.4, -0.18))
_MOST_LINES = 24  # edges: more of them are a thicket, and the picture is a table
_NUMBER_SIZE = (40.0, 14.0)  # points: what an edge's number takes, with a little air
_NUMBER_SHARES = sorted(np.linspace(0.2, 0.8, 25), key=lambda share: abs(share - 0.5))  # of an edge, the middle first
_AIR = 6  # pixels: a line that passes a node as near as that touches it
_CELL = 0.42  # inches: the side of a table's cell


def edges(correlations_NxN: np.ndarray, adjacency_NxN: np.ndarray) -> list[Edge]:
    """Returns the graph's edges in node order, each once, with the correlation that made it.

    Args:
        correlations_NxN: in node order.
        adjacency_NxN: what `adjacency.adjacency_from_correlations` made of them.
    """
    linked = np.argwhere(np.triu(adjacency_NxN, k=1) > 0)
    return [(int(i), int(j), float(correlations_NxN[i, j])) for i, j in linked]


def table(correlations_NxN: np.ndarray, nodes: Nodes) -> str:
    """Returns the correlations as text, two decimals, in node order, a line each with its name."""
    width = max(max(map(len, nodes.names)) + 1, 6)
    lines = ["".join(name.rjust(width) for name in ("", *nodes.names))]
    for name, row in zip(nodes.names, correlations_NxN, strict=True):
        lines.append(name.rjust(width) + "".join(f"{value:+.2f}".rjust(width) for value in row))
    return "\n".join(lines)


def listing(found: Sequence[Edge], nodes: Nodes) -> str:
    """Returns a line for each of the nodes that has edges: `Happy: Valence +0.86`; others are named at the end."""
    lines = []
    for node, name in enumerate(nodes.names):
        others = [(b if a == node else a, weight) for a, b, weight in found if node in (a, b)]
        if others:
            lines.append(f"{name}: " + ", ".join(f"{nodes.names[other]} {weight:+.2f}" for other, weight in others))
    linked = {node for a, b, _ in found for node in (a, b)}
    alone = [name for node, name in enumerate(nodes.names) if node not in linked]
    return "\n".join(lines + ([f"without an edge: {', '.join(alone)}"] if alone else []))


def draw(correlations_NxN: np.ndarray, found: Sequence[Edge], nodes: Nodes, title: str) -> bytes:
    """Draws the graph as `figure` does and returns a PNG file."""
    file = io.BytesIO()
    drawn = figure(correlations_NxN, found, nodes, title)
    drawn.savefig(file, format="png", dpi="figure", facecolor="white", bbox_inches="tight", pad_inches=0.25)
    return file.getvalue()


def figure(correlations_NxN: np.ndarray, found: Sequence[Edge], nodes: Nodes, title: str) -> Figure:
    """Draws the graph as nodes and lines, or as a table where lines would hide nodes or each other's numbers.

    Lines are as wide as their correlation is strong, blue and solid where that is positive, red and dashed where
    negative. One or two values stand in the middle, and classes in a ring about them, on the side of the value that
    they depend on more; without such values all nodes stand in one ring. A node without edges has a dotted outline.

    Args:
        correlations_NxN: in node order.
        found: what `edges` returned.
        nodes: the N nodes.
        title: above the picture.
    """
    drawn = None
    if len(found) <= _MOST_LINES:
        layouts = _layouts(correlations_NxN, nodes)
        drawn = next((net for places_Nx2 in layouts if (net := _net(places_Nx2, found, nodes))), None)
    drawn = drawn or _matrix(found, nodes)
    drawn.axes[0].set_title(title, fontsize=12, color=_INK, pad=18)
    return drawn


def _layouts(correlations_NxN: np.ndarray, nodes: Nodes) -> Iterator[np.ndarray]:
    """Where the nodes may stand, N x 2: with values in the middle if there are one or two, then all in one ring."""
    tasks_N = np.asarray(nodes.tasks)
    small = [
        task for task in dict.fromkeys(nodes.tasks) if task not in nodes.exclusive and (tasks_N == task).sum() <= 2
    ]
    if small and len(set(nodes.tasks)) > 1:
        middle, ring = np.flatnonzero(tasks_N == small[0]), np.flatnonzero(tasks_N != small[0])
        places_Nx2 = np.zeros((len(nodes), 2))
        if len(middle) == 2:
            places_Nx2[middle] = _TWO_VALUES
            places_Nx2[_left_to_right(correlations_NxN[np.ix_(ring, middle)], ring)] = _from_left_to_right(len(ring))
        else:
            places_Nx2[ring] = _ring(len(ring))
        yield places_Nx2
    yield _ring(len(nodes))


def _left_to_right(correlations_Rx2: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """The nodes of a ring, from those that depend on the first value to those that depend on the second."""
    strength_Rx2 = np.abs(np.nan_to_num(correlations_Rx2))
    return ring[np.argsort(strength_Rx2[:, 1] - strength_Rx2[:, 0], kind="stable")]


def _from_left_to_right(count: int) -> np.ndarray:
    """Places of a ring, count x 2: the left end, then by turns above and below, the right end."""
    above, below = math.ceil((count - 2) / 2), (count - 2) // 2
    angles = np.zeros(count)
    angles[0] = math.pi
    angles[1:-1:2] = math.pi * (1 - np.arange(1, above + 1) / (above + 1))
    angles[2:-1:2] = -math.pi * (1 - np.arange(1, below + 1) / (below + 1))
    return np.stack([_RADIUS * np.cos(angles), np.sin(angles)], axis=1)


def _ring(count: int) -> np.ndarray:
    """Places of a ring, count x 2, clockwise from the top."""
    angles = math.pi / 2 - 2 * math.pi * (np.arange(count) + 0.5) / count
    return _RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _net(places_Nx2: np.ndarray, found: Sequence[Edge], nodes: Nodes) -> Figure | None:
    """Nodes and lines; None if something would be hidden: a node by a line or another node, or a number."""
    scale = float(np.clip(len(nodes) / len(NODES), 1, 1.5))  # more nodes than the paper's need more room
    drawn = Figure(figsize=(8 * scale, 7 * scale), dpi=_DPI)
    axes = drawn.add_axes((0.02, 0.02, 0.96, 0.9))
    axes.set(xlim=(-_RADIUS - 0.25, _RADIUS + 0.25), ylim=(-_RADIUS - 0.1, _RADIUS + 0.1), aspect="equal")
    axes.axis("off")
    linked = {node for a, b, _ in found for node in (a, b)}
    drawn_nodes = [
        _draw_node(axes, name, places_Nx2[node], filled=_is_filled(node, nodes), linked=node in linked)
        for node, name in enumerate(nodes.names)
    ]
    drawn.draw_without_rendering()  # now the boxes have their sizes
    boxes = [node.get_window_extent().padded(_PADDING * _NODE_SIZE * _DPI / 72) for node in drawn_nodes]
    lines = [Path(axes.transData.transform(places_Nx2[[a, b]])) for a, b, _ in found]
    numbers = _number_places(lines, boxes)
    if numbers is None or _hides_a_node(boxes, lines, found):
        return None
    for (a, b, weight), number_2 in zip(found, axes.transData.inverted().transform(numbers), strict=True):
        _draw_edge(axes, places_Nx2[[a, b]], weight, number_2)
    return drawn


def _is_filled(node: int, nodes: Nodes) -> bool:
    """Whether a node is dark: what is no class, where there are classes."""
    return bool(nodes.exclusive) and nodes.tasks[node] not in nodes.exclusive


def _hides_a_node(boxes: Sequence[BboxBase], lines: Sequence[Path], found: Sequence[Edge]) -> bool:
    overlapping = any(box.count_overlaps(boxes) > 1 for box in boxes)  # each overlaps itself
    return overlapping or any(
        line.intersects_bbox(box.padded(_AIR), filled=False)
        for (a, b, _), line in zip(found, lines, strict=True)
        for node, box in enumerate(boxes)
        if node not in (a, b)
    )


def _number_places(lines: Sequence[Path], boxes: Sequence[BboxBase]) -> np.ndarray | None:
    """Where the lines' numbers stand, L x 2 in pixels: on no node and no other number; None if there is no room."""
    taken = list(boxes)
    places_Lx2 = np.zeros((len(lines), 2))
    for number in np.argsort([np.linalg.norm(np.diff(line.vertices, axis=0)) for line in lines]):  # short ones first
        place_2 = _number_place(lines[number], lines, taken)
        if place_2 is None:
            return None
        places_Lx2[number] = place_2
        taken.append(_number_box(place_2))
    return places_Lx2


def _number_place(line: Path, lines: Sequence[Path], taken: Sequence[BboxBase]) -> np.ndarray | None:
    """The free place on a line that the fewest of the lines cross, the nearest to the middle of several."""
    start_2, end_2 = np.asarray(line.vertices)
    places = [start_2 + share * (end_2 - start_2) for share in _NUMBER_SHARES]
    free = [place_2 for place_2 in places if not _number_box(place_2).count_overlaps(taken)]
    return min(free, key=lambda place_2: _crossings(_number_box(place_2), lines), default=None)


def _crossings(box: Bbox, lines: Sequence[Path]) -> int:
    return sum(line.intersects_bbox(box, filled=False) for line in lines)


def _number_box(place_2: np.ndarray) -> Bbox:
    half_2 = np.asarray(_NUMBER_SIZE) / 2 * _DPI / 72
    return Bbox([place_2 - half_2, place_2 + half_2])


def _draw_edge(axes: Axes, ends_2x2: np.ndarray, weight: float, number_2: np.ndarray) -> None:
    colour, style = (_POSITIVE, "-") if weight > 0 else (_NEGATIVE, (0, (4, 1.5)))
    axes.plot(*ends_2x2.T, color=colour, linestyle=style, linewidth=1 + 7 * abs(weight), alpha=0.75, zorder=1)
    axes.annotate(
        f"{weight:+.2f}",
        tuple(number_2),
        ha="center",
        va="center",
        fontsize=10,
        fontweight="bold",
        color=colour,
        path_effects=[withStroke(linewidth=4, foreground="white")],
        zorder=2,
    )


def _draw_node(axes: Axes, name: str, place_2: np.ndarray, *, filled: bool, linked: bool) -> Annotation:
    return axes.annotate(
        name,
        tuple(place_2),
        ha="center",
        va="center",
        fontsize=_NODE_SIZE,
        color="white" if filled else _INK,
        bbox={
            "boxstyle": f"round,pad={_PADDING}",
            "facecolor": _INK if filled else "white",
            "edgecolor": _INK,
            "linewidth": 1.4,
            "linestyle": "-" if linked else ":",
        },
        zorder=3,
    )


def _matrix(found: Sequence[Edge], nodes: Nodes) -> Figure:
    """A table of the edges: a row and a column for every node, and a number where there is an edge."""
    count = len(nodes)
    drawn = Figure(figsize=(count * _CELL, count * _CELL), dpi=_DPI)
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, count), ylim=(count, 0), frame_on=False)
    axes.set_xticks(np.arange(count) + 0.5, nodes.names, rotation=90)
    axes.set_yticks(np.arange(count) + 0.5, nodes.names)
    axes.tick_params(length=0, labelsize=10, labelcolor=_INK, labeltop=True, labelbottom=False)
    axes.set_xlabel("Blank: no edge. Grey: a node itself, or two classes that exclude each other.", color=_INK)
    for row, column in np.argwhere(nodes.excluding_NxN | np.eye(count, dtype=bool)):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=_GREY))
    for a, b, weight in found:
        _draw_cell(axes, a, b, weight)
        _draw_cell(axes, b, a, weight)
    for line in range(count + 1):
        between_tasks = line in (0, count) or nodes.tasks[line - 1] != nodes.tasks[line]
        colour, width = (_INK, 1.2) if between_tasks else (_GREY, 0.6)
        axes.axhline(line, color=colour, linewidth=width, clip_on=False)
        axes.axvline(line, color=colour, linewidth=width, clip_on=False)
    return drawn


def _draw_cell(axes: Axes, row: int, column: int, weight: float) -> None:
    axes.add_patch(Rectangle((column, row), 1, 1, facecolor=_SIGNS((1 + weight) / 2)))
    axes.text(
        column + 0.5,
        row + 0.52,
        f"{weight:+.2f}",
        ha="center",
        va="center",
        fontsize=8,
        color="white" if abs(weight) > 0.7 else _INK,
    )
