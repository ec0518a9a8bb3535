"""The graph for a reader: its correlations as a table, its edges as sentences and as a picture."""

import io
import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from emotion_gcn_jax.labels import EXPRESSIONS, NODES

Edge = tuple[str, str, float]
"""An expression or affect dimension, an affect dimension, and their correlation."""

_INK = "#2b2b33"
_POSITIVE, _NEGATIVE = "#2f6fb5", "#c8442f"  # apart in the common kinds of colour blindness, and in grey
# Not on a line with two expressions of the ring: an edge would pass behind the other affect dimension.
_AFFECT_PLACES = {"Valence": (-0.4, 0.18), "Arousal": (0.4, -0.18)}


def edges(correlations_9x9: np.ndarray, adjacency_9x9: np.ndarray) -> list[Edge]:
    """Returns the graph's edges in node order, each once, with the correlation that made it.

    Args:
        correlations_9x9: in node order.
        adjacency_9x9: what `adjacency.adjacency_from_correlations` made of them.
    """
    linked = np.argwhere(np.triu(adjacency_9x9, k=1) > 0)
    return [(NODES[i], NODES[j], float(correlations_9x9[i, j])) for i, j in linked]


def table(correlations_9x9: np.ndarray) -> str:
    """Returns the correlations as text, two decimals, in node order, a line each with its name."""
    width = max(map(len, NODES)) + 1
    lines = ["".join(name.rjust(width) for name in ("", *NODES))]
    for name, row in zip(NODES, correlations_9x9, strict=True):
        lines.append(name.rjust(width) + "".join(f"{value:+.2f}".rjust(width) for value in row))
    return "\n".join(lines)


def listing(found: list[Edge]) -> str:
    """Returns a line for each of the nodes that has edges: `Happy: Valence +0.86`; others are named at the end."""
    lines = []
    for name in NODES:
        others = [(b if a == name else a, weight) for a, b, weight in found if name in (a, b)]
        if others:
            lines.append(f"{name}: " + ", ".join(f"{other} {weight:+.2f}" for other, weight in others))
    alone = [name for name in NODES if not any(name in (a, b) for a, b, _ in found)]
    return "\n".join(lines + ([f"without an edge: {', '.join(alone)}"] if alone else []))


def draw(correlations_9x9: np.ndarray, found: list[Edge], title: str) -> bytes:
    """Draws expressions in a ring about valence and arousal, and returns a PNG file.

    An expression stands on the side of the affect dimension that it depends on more. An edge is as wide as its
    correlation is strong, blue and solid where that is positive, red and dashed where negative.

    Args:
        correlations_9x9: in node order.
        found: what `edges` returned.
        title: above the picture.
    """
    places = _places(correlations_9x9)
    figure = Figure(figsize=(8, 7))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.9))
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.2, 1.2), aspect="equal")
    axes.axis("off")
    figure.suptitle(title, fontsize=12, color=_INK, y=0.97)
    for a, b, weight in found:
        start, end = np.asarray(places[a]), np.asarray(places[b])
        colour, style = (_POSITIVE, "-") if weight > 0 else (_NEGATIVE, (0, (4, 1.5)))
        line = np.stack([start, end])
        axes.plot(*line.T, color=colour, linestyle=style, linewidth=1 + 7 * abs(weight), alpha=0.75, zorder=1)
        x, y = 0.56 * start + 0.44 * end if a in EXPRESSIONS else (start + end) / 2 + (0, 0.06)
        axes.annotate(
            f"{weight:+.2f}",
            (x, y),
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=colour,
            path_effects=[withStroke(linewidth=4, foreground="white")],
            zorder=2,
        )
    linked = {name for a, b, _ in found for name in (a, b)}
    for name, place in places.items():
        affect = name not in EXPRESSIONS
        axes.annotate(
            name,
            place,
            ha="center",
            va="center",
            fontsize=12,
            color="white" if affect else _INK,
            bbox={
                "boxstyle": "round,pad=0.5",
                "facecolor": _INK if affect else "white",
                "edgecolor": _INK,
                "linewidth": 1.4,
                "linestyle": "-" if name in linked else ":",
            },
            zorder=3,
        )
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, facecolor="white")
    return file.getvalue()


def _places(correlations_9x9: np.ndarray) -> dict[str, tuple[float, float]]:
    """Orders the expressions from valence's side to arousal's, on a ring: by turns above and below."""
    strength_7x2 = np.abs(np.nan_to_num(correlations_9x9[: len(EXPRESSIONS), -2:]))
    order = np.argsort(strength_7x2[:, 1] - strength_7x2[:, 0], kind="stable")
    first, *between, last = (EXPRESSIONS[i] for i in order)
    places = dict(_AFFECT_PLACES) | {first: (-1.1, 0.0), last: (1.1, 0.0)}
    for row, sign in ((between[::2], 1), (between[1::2], -1)):
        for place, name in enumerate(row, start=1):
            angle = math.pi * (1 - place / (len(row) + 1))
            places[name] = (1.1 * math.cos(angle), sign * math.sin(angle))
    return places
