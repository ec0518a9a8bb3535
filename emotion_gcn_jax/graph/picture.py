"""The graph for a reader: its correlations as a table, its edges as sentences and as a picture."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from emotion_gcn_jax.graph.nodes import Nodes

Edge = tuple[int, int, float]
"""Two nodes by their numbers, the first the smaller, and their correlation."""

_INK = "#2b2b33"
_POSITIVE, _NEGATIVE = "#2f6fb5", "#c8442f"  # apart in the common kinds of colour blindness, and in grey
# Two values stand here: on no line with two nodes of the ring, or an edge would pass behind the other value.
_TWO_VALUES = ((-0.4, 0.18), (0.4, -0.18))
_RING, _OUTER_RING = 1.1, 1.75
_MOST_LABELLED = 24  # edges: with more of them the numbers would hide each other


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
    """Draws the graph and returns a PNG file.

    Values stand in the middle and classes in a ring about them, on the side of the value that they depend on more; what
    else there is stands in a ring outside. An edge is as wide as its correlation is strong, blue and solid where that
    is positive, red and dashed where negative.

    Args:
        correlations_NxN: in node order.
        found: what `edges` returned.
        nodes: the N nodes.
        title: above the picture.
    """
    centre, ring, outer = _circles(nodes)
    places = _places(correlations_NxN, centre, ring, outer)
    reach = _OUTER_RING if outer else _RING
    figure = Figure(figsize=(12, 11) if outer else (8, 7))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.9))
    axes.set(xlim=(-reach - 0.25, reach + 0.25), ylim=(-reach - 0.1, reach + 0.1), aspect="equal")
    axes.axis("off")
    figure.suptitle(title, fontsize=12, color=_INK, y=0.97)
    for a, b, weight in found:
        _draw_edge(axes, places[a], places[b], weight, labelled=len(found) <= _MOST_LABELLED, inner=a in centre)
    linked = {node for a, b, _ in found for node in (a, b)}
    for node, name in enumerate(nodes.names):
        _draw_node(axes, name, places[node], filled=node in centre, linked=node in linked)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, facecolor="white")
    return file.getvalue()


def _draw_edge(axes: Axes, start: np.ndarray, end: np.ndarray, weight: float, *, labelled: bool, inner: bool) -> None:
    """A line; its number stands nearer to the outer end, or above an edge between two values."""
    colour, style = (_POSITIVE, "-") if weight > 0 else (_NEGATIVE, (0, (4, 1.5)))
    axes.plot(
        *np.stack([start, end]).T, color=colour, linestyle=style, linewidth=1 + 7 * abs(weight), alpha=0.75, zorder=1
    )
    if not labelled:
        return
    place = (start + end) / 2 + (0, 0.06) if inner else 0.56 * start + 0.44 * end
    axes.annotate(
        f"{weight:+.2f}",
        tuple(place),
        ha="center",
        va="center",
        fontsize=10,
        fontweight="bold",
        color=colour,
        path_effects=[withStroke(linewidth=4, foreground="white")],
        zorder=2,
    )


def _draw_node(axes: Axes, name: str, place: np.ndarray, *, filled: bool, linked: bool) -> None:
    axes.annotate(
        name,
        tuple(place),
        ha="center",
        va="center",
        fontsize=12,
        color="white" if filled else _INK,
        bbox={
            "boxstyle": "round,pad=0.5",
            "facecolor": _INK if filled else "white",
            "edgecolor": _INK,
            "linewidth": 1.4,
            "linestyle": "-" if linked else ":",
        },
        zorder=3,
    )


def _circles(nodes: Nodes) -> tuple[list[int], list[int], list[int]]:
    """The nodes in the middle, in the ring and outside.

    Of the tasks whose outputs exclude each other the first is the ring (of others, where none does, the largest); the
    smallest of the rest is the middle, if it has no more than four nodes.
    """
    by_task = [[n for n, task in enumerate(nodes.tasks) if task == number] for number in sorted(set(nodes.tasks))]
    exclusive = [number for number in range(len(by_task)) if number in nodes.exclusive]
    ring = exclusive[0] if exclusive else max(range(len(by_task)), key=lambda number: len(by_task[number]))
    rest = sorted((number for number in range(len(by_task)) if number != ring), key=lambda n: len(by_task[n]))
    centre = by_task[rest[0]] if rest and len(by_task[rest[0]]) <= 4 else []
    outer = [node for number in sorted(rest) if by_task[number] != centre for node in by_task[number]]
    return centre, by_task[ring], outer


def _places(
    correlations_NxN: np.ndarray, centre: list[int], ring: list[int], outer: list[int]
) -> dict[int, np.ndarray]:
    places: dict[int, np.ndarray] = {}
    if len(centre) == 2:
        places |= dict(zip(centre, map(np.asarray, _TWO_VALUES), strict=True))
        places |= _between(correlations_NxN, centre, ring)
    else:
        places |= _circle(centre, 0.45 if len(centre) > 1 else 0.0) | _circle(ring, _RING)
    return places | _circle(outer, _OUTER_RING)


def _between(correlations_NxN: np.ndarray, centre: list[int], ring: list[int]) -> dict[int, np.ndarray]:
    """Orders a ring from the first value's side to the second's: by turns above and below."""
    strength_Rx2 = np.abs(np.nan_to_num(correlations_NxN[np.ix_(ring, centre)]))
    order = [ring[i] for i in np.argsort(strength_Rx2[:, 1] - strength_Rx2[:, 0], kind="stable")]
    first, *between, last = order
    places = {first: np.array([-_RING, 0.0]), last: np.array([_RING, 0.0])}
    for row, sign in ((between[::2], 1), (between[1::2], -1)):
        for place, node in enumerate(row, start=1):
            angle = math.pi * (1 - place / (len(row) + 1))
            places[node] = np.array([_RING * math.cos(angle), sign * math.sin(angle)])
    return places


def _circle(nodes: list[int], radius: float) -> dict[int, np.ndarray]:
    angles = [math.pi / 2 - 2 * math.pi * (place + 0.5) / len(nodes) for place in range(len(nodes))]
    return {n: radius * np.array([math.cos(a), math.sin(a)]) for n, a in zip(nodes, angles, strict=True)}
