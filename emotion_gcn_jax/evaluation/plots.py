"""The report's pictures. Every function returns a PNG file as bytes and touches no global state of matplotlib."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from emotion_gcn_jax.evaluation.metrics import AffectMetrics
from emotion_gcn_jax.labels import NO_EXPRESSION

_INK = "#2b2b33"
_FAINT = "#c9c9d1"
_CLASS_COLOURS = ("#7a7a85", "#e0a100", "#2f6fb5", "#35b3c7", "#8e4fb8", "#3f9a4a", "#d43d3d", "#7a4a21")
"""By expression id: grey for Neutral, then hues that stay apart in the common kinds of colour blindness."""
_MAX_LINKS = 150
_DOTS_PER_INCH = 150

_CURVES: Mapping[str, Mapping[str, str]] = {
    "Training loss": {"train_loss": "loss"},
    "Expressions": {"accuracy": "accuracy", "mean_class_accuracy": "mean class accuracy", "macro_f1": "macro F1"},
    "Concordance (CCC)": {"ccc_mean": "mean", "ccc_valence": "valence", "ccc_arousal": "arousal"},
    "Learning rate": {"learning_rate": "learning rate"},
}
"""Panels of curves.png: title -> key of a history row -> name in the legend, the leading curve first."""


def confusion(confusion_CxC: np.ndarray, label_names: Sequence[str], title: str) -> bytes:
    """Draws C x C counts (rows are the true classes) on colours that show each row's shares."""
    support_C = confusion_CxC.sum(axis=1)
    share_CxC = confusion_CxC / np.maximum(support_C, 1)[:, None]
    size = len(label_names)
    figure = _figure(2.6 + 0.78 * size, 1.9 + 0.72 * size)
    axes = figure.add_subplot()
    image = axes.imshow(share_CxC, cmap=_blues(), vmin=0, vmax=1)
    for i, j in np.ndindex(size, size):
        colour = "white" if share_CxC[i, j] > 0.55 else _INK if confusion_CxC[i, j] else _FAINT
        axes.text(j, i - 0.1, f"{confusion_CxC[i, j]:,}", ha="center", va="center", color=colour, fontsize=11)
        if confusion_CxC[i, j]:
            axes.text(j, i + 0.24, f"{share_CxC[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(size), label_names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), [f"{name} ({n:,})" for name, n in zip(label_names, support_C, strict=True)])
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0, colors=_INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Predicted", color=_INK)
    axes.set_ylabel("True (examples)", color=_INK)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=30, format=PercentFormatter(1))
    bar.set_label("share of the true class", color=_INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=_INK)
    figure.suptitle(title, fontsize=12, color=_INK)
    return _png(figure)


def affect_plane(
    true_Nx2: np.ndarray,
    predicted_Nx2: np.ndarray,
    true_expression_N: np.ndarray,
    label_names: Sequence[str],
    title: str,
) -> bytes:
    """Draws predicted against true valence and arousal: together on the affect plane, then each on its own.

    Args:
        true_Nx2: valence, arousal; NaN where there is no label.
        predicted_Nx2: valence, arousal.
        true_expression_N: ids that choose the colour, -1 for none.
        label_names: the class names in id order.
        title: above all panels.
    """
    figure = _figure(12.2, 7.2)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.9, 1))
    limit = _limit(true_Nx2, predicted_Nx2)
    plane = figure.add_subplot(grid[:, 0])
    known_N = ~np.isnan(true_Nx2).any(axis=1) & np.isfinite(predicted_Nx2).all(axis=1)
    _draw_plane(plane, true_Nx2[known_N], predicted_Nx2[known_N], true_expression_N[known_N], label_names, limit)
    for column, name in enumerate(("Valence", "Arousal")):
        _draw_dimension(
            figure.add_subplot(grid[column, 1]),
            true_Nx2[:, column],
            predicted_Nx2[:, column],
            _colours(true_expression_N),
            name,
            limit,
        )
    figure.suptitle(title, fontsize=13, color=_INK)
    return _png(figure)


def curves(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Draws how loss, accuracy, CCC and learning rate went, over epochs; what no row has is left out."""
    panels = {
        title: {key: name for key, name in names.items() if any(_has(row, key) for row in history)}
        for title, names in _CURVES.items()
    }
    panels = {title: names for title, names in panels.items() if names}
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / 2)
    figure = _figure(5.6 * columns, 3.3 * rows)
    for place, (title, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        _draw_curves(axes, history, names)
        axes.set_title(title, loc="left", fontsize=11, color=_INK)
    return _png(figure)


def _draw_plane(
    axes: Axes,
    true_Nx2: np.ndarray,
    predicted_Nx2: np.ndarray,
    expression_N: np.ndarray,
    label_names: Sequence[str],
    limit: float,
) -> None:
    """Some examples as lines from truth to prediction, and every class's mean as a ring and a disc."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color=_FAINT, linewidth=1.2))
    axes.axhline(0, color=_FAINT, linewidth=0.8, zorder=0)
    axes.axvline(0, color=_FAINT, linewidth=0.8, zorder=0)
    shown = range(0, len(true_Nx2), max(1, math.ceil(len(true_Nx2) / _MAX_LINKS)))
    for i in shown:
        colour = _colour(expression_N[i])
        axes.plot(*np.stack([true_Nx2[i], predicted_Nx2[i]]).T, color=colour, alpha=0.2, linewidth=0.8)
        axes.plot(*true_Nx2[i], "o", mfc="none", mec=colour, ms=3.5, mew=0.7, alpha=0.5)
        axes.plot(*predicted_Nx2[i], "o", color=colour, ms=3.5, mew=0, alpha=0.5)
    for expression in np.unique(expression_N[expression_N != NO_EXPRESSION]):
        of_class = expression_N == expression
        true_mean, predicted_mean = true_Nx2[of_class].mean(axis=0), predicted_Nx2[of_class].mean(axis=0)
        colour = _colour(expression)
        axes.plot(*np.stack([true_mean, predicted_mean]).T, color=colour, linewidth=2.5, zorder=4)
        axes.plot(*true_mean, "o", mfc="white", mec=colour, ms=11, mew=2.5, zorder=5)
        axes.plot(*predicted_mean, "o", color=colour, mec="white", ms=11, mew=1, zorder=6)
        outward = true_mean - true_Nx2.mean(axis=0)  # where the other classes' labels are not
        axes.annotate(
            label_names[expression],
            true_mean,
            xytext=13 * outward / (np.linalg.norm(outward) + 1e-9),
            textcoords="offset points",
            ha="left" if outward[0] > 0 else "right",
            va="center",
            color=colour,
            fontsize=11,
            fontweight="bold",
            path_effects=[withStroke(linewidth=4, foreground="white")],
            zorder=7,
        )
    axes.plot([], [], "o", mfc="white", mec=_INK, ms=8, mew=1.8, label="true")
    axes.plot([], [], "o", color=_INK, ms=8, label="predicted")
    axes.legend(loc="lower left", edgecolor="none", labelcolor=_INK, title="large: mean of a class")
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    _tidy(axes, "Valence (negative to positive)", "Arousal (calm to excited)")
    axes.set_title(f"{len(shown)} of {len(true_Nx2):,} examples", loc="left", fontsize=10, color=_INK)


def _draw_dimension(
    axes: Axes, true_N: np.ndarray, predicted_N: np.ndarray, colours: list[str], name: str, limit: float
) -> None:
    """Predicted over true; on the diagonal they agree."""
    metrics = AffectMetrics.from_values(true_N, predicted_N)
    axes.plot([-limit, limit], [-limit, limit], color=_FAINT, linewidth=1.2, zorder=0)
    area = float(np.clip(6000 / max(len(true_N), 1), 2, 16))
    axes.scatter(true_N, predicted_N, c=colours, s=area, alpha=0.45, linewidths=0)
    axes.set(xlim=(-1.1, 1.1), ylim=(-limit, limit))
    axes.set_title(f"{name}: CCC {metrics.ccc:.3f}, RMSE {metrics.rmse:.3f}", loc="left", fontsize=11, color=_INK)
    _tidy(axes, f"true {name.lower()}", "predicted")


def _draw_curves(axes: Axes, history: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    for place, (key, name) in enumerate(names.items()):
        points = np.asarray([(row["epoch"], row[key]) for row in history if _has(row, key)], float)
        colour = (_CLASS_COLOURS[2], _CLASS_COLOURS[1], _CLASS_COLOURS[5])[place]
        label = f"{name} (best {points[:, 1].max():.3f})"
        axes.plot(*points.T, "o-", color=colour, linewidth=2.2 if place == 0 else 1.3, ms=4, mew=0, label=label)
    if len(names) > 1:
        axes.legend(frameon=False, labelcolor=_INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.15)
    axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    _tidy(axes, "epoch", "")


def _has(row: Mapping[str, Any], key: str) -> bool:
    """Whether the row has a number there: metrics without labels are None or NaN."""
    return row.get(key) is not None and math.isfinite(row[key])


def _limit(*points_Nx2: np.ndarray) -> float:
    """Half the side of a square that holds the unit circle and nearly all points: predictions are unbounded."""
    sizes = np.abs(np.concatenate(points_Nx2))
    finite = sizes[np.isfinite(sizes)]
    return max(1.1, 1.05 * float(np.quantile(finite, 0.999))) if finite.size else 1.1


def _tidy(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    axes.tick_params(colors=_INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)


def _colours(expression_N: np.ndarray) -> list[str]:
    return [_colour(expression) for expression in expression_N.tolist()]


def _colour(expression: int) -> str:
    return _INK if expression == NO_EXPRESSION else _CLASS_COLOURS[expression]


def _blues() -> ListedColormap:
    """Nearly white to dark blue, a little faster at first, so that rare confusions show."""
    low, high = np.array([0.965, 0.97, 0.98]), np.array([0.09, 0.26, 0.5])
    return ListedColormap([low + (high - low) * t**0.8 for t in np.linspace(0, 1, 256)])


def _figure(width: float, height: float) -> Figure:
    """A figure without pyplot, so that none is kept open or shown; in inches."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    return file.getvalue()
