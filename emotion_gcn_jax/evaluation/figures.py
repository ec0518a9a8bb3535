"""The report's pictures, by the kind of task. Every function returns PNG files and touches no global state."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from emotion_gcn_jax import presets
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.labels import CLASS_WORDS, DIMENSION_ENDS, NO_CLASS
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.metrics import ValueMetrics
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.tasks.task import Task
from emotion_gcn_jax.tasks.values import Values

_INK = "#2b2b33"
_FAINT = "#c9c9d1"
_COLOURS = ("#7a7a85", "#e0a100", "#2f6fb5", "#35b3c7", "#8e4fb8", "#3f9a4a", "#d43d3d", "#7a4a21", "#b0b03a")
"""In the order of labels.CLASS_WORDS: grey for Neutral, then hues that stay apart in the common kinds of colour
blindness. Other classes take what is left."""
_MAX_LINKS = 150
_DOTS_PER_INCH = 150


class Grouping(NamedTuple):
    """What colours the points of a plot: each example's class, if the model has classes.

    Attributes:
        words: the classes.
        place_N: each example's place among them, -1 for none.
    """

    words: tuple[str, ...]
    place_N: np.ndarray

    def colour(self, place: int) -> str:
        """The colour of a class by its place."""
        return _INK if place == NO_CLASS else _colour_of(self.words, place)

    def colours(self) -> list[str]:
        """Every example's colour."""
        return [self.colour(place) for place in self.place_N.tolist()]


def of_predictions(predictions: Predictions, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes | None]:
    """Draws every task's picture.

    Args:
        predictions: of a whole split.
        metrics: of every task, as in metrics.json.

    Returns:
        PNG files by their names, None for a task of which the split has no label. Names go by the kind: confusion.png
        of classes, the dimensions of values (valence_arousal.png), the task of flags (action_units.png). Where two
        tasks would have one name, the second's has the task's name before it.
    """
    files: dict[str, bytes | None] = {}
    for task in predictions.tasks:
        name = _name(task)
        has_labels = bool(task.known(predictions.labels[task.name]).any())
        picture = _draw(task, predictions, metrics[task.name]) if has_labels else None
        files[name if name not in files else f"{task.name}_{name}"] = picture
    return files


def usual_names() -> list[str]:
    """The names of the pictures that the tasks in presets.TASKS have."""
    return [_name(task) for task in registry.from_config(presets.TASKS)]


def _name(task: Task) -> str:
    match task:
        case Classes():
            return "confusion.png"
        case Values():
            return f"{'_'.join(task.dimensions)}.png"
        case _:
            return f"{task.name}.png"


def _draw(task: Task, predictions: Predictions, metrics: Mapping[str, Any]) -> bytes:
    """A task's picture; some example has a label of it."""
    subject = f"{predictions.dataset}, {predictions.split}"
    match task:
        case Classes():
            title = f"accuracy {metrics['accuracy']:.1%}, mean {metrics['mean_class_accuracy']:.1%}"
            return confusion(np.asarray(metrics["confusion"]["matrix"]), task.vocabulary, f"{subject}: {title}")
        case Values():
            labels, answers = predictions.labels[task.name], predictions.answers[task.name]
            mean = metrics["ccc_mean"]  # there is none if a dimension has no label
            title = subject if mean is None else f"{subject}: mean CCC {mean:.3f}"
            return values(labels, answers, task.dimensions, _grouping(predictions), title)
        case Flags():
            title = f"mean F1 {metrics['f1_mean']:.3f}, of always true {metrics['always_true_f1_mean']:.3f}"
            return flags(metrics["per_flag"], f"{subject}: {title}")
        case _:
            raise ValueError(f"No picture is known for the task {task.name} of kind {task.kind}.")


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


def values(
    true_NxD: np.ndarray, predicted_NxD: np.ndarray, dimensions: Sequence[str], grouping: Grouping, title: str
) -> bytes:
    """Draws predicted against true values: the first two dimensions together on a plane, and each on its own.

    Args:
        true_NxD: labels; NaN where there is none.
        predicted_NxD: predictions.
        dimensions: the D names.
        grouping: what colours the points.
        title: above all panels.
    """
    count = len(dimensions)
    has_plane = count > 1
    figure = _figure(12.2 if has_plane else 5.4, max(3.6 * count, 4.2))
    grid = figure.add_gridspec(count, 2 if has_plane else 1, width_ratios=(1.9, 1) if has_plane else (1,))
    limit = _limit(true_NxD, predicted_NxD)
    if has_plane:
        true_Nx2, predicted_Nx2 = true_NxD[:, :2], predicted_NxD[:, :2]
        known_N = ~np.isnan(true_Nx2).any(axis=1) & np.isfinite(predicted_Nx2).all(axis=1)
        known = Grouping(grouping.words, grouping.place_N[known_N])
        plane = figure.add_subplot(grid[:, 0])
        _draw_plane(plane, true_Nx2[known_N], predicted_Nx2[known_N], known, limit)
        _tidy(plane, *(_scale(name) for name in dimensions[:2]))
    for place, name in enumerate(dimensions):
        axes = figure.add_subplot(grid[place, -1])
        _draw_dimension(axes, true_NxD[:, place], predicted_NxD[:, place], grouping.colours(), name, limit)
    figure.suptitle(title, fontsize=13, color=_INK)
    return _png(figure)


def flags(per_flag: Mapping[str, Mapping[str, Any]], title: str) -> bytes:
    """Draws every flag's F1 beside that of taking it always for true, which it must beat."""
    names, found = list(per_flag), list(per_flag.values())
    figure = _figure(7.4, 1.9 + 0.34 * len(names))
    axes = figure.add_subplot()
    places = [place for place, flag in enumerate(found) if flag["f1"] is not None]
    f1, always = ([found[place][key] for place in places] for key in ("f1", "always_true_f1"))
    axes.barh(places, f1, height=0.7, color=_COLOURS[2], label="F1")
    mark = [withStroke(linewidth=4.5, foreground="white")]
    axes.plot(always, places, "|", color=_INK, ms=15, mew=2.5, path_effects=mark, label="F1 of always true")
    for place, value, other in zip(places, f1, always, strict=True):
        axes.text(max(value, other) + 0.015, place, f"{value:.2f}", ha="left", va="center", fontsize=9, color=_INK)
    axes.set_yticks(range(len(names)), [f"{name} ({_share_true(per_flag[name])})" for name in names])
    axes.set(xlim=(0, 1.08), ylim=(len(names) - 0.4, -0.6))
    _tidy(axes, "F1", "")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", frameon=False, labelcolor=_INK, ncols=2)
    figure.suptitle(title, fontsize=12, color=_INK)
    return _png(figure)


def _share_true(flag: Mapping[str, Any]) -> str:
    """How often a flag is true, where it is annotated."""
    return f"{flag['true'] / flag['examples']:.0%} true" if flag["examples"] else "not annotated"


def curves(tasks: Tasks, history: Sequence[Mapping[str, Any]]) -> bytes:
    """Draws how the loss, every task's metrics and the learning rate went, over epochs; what no row has is left out.

    Args:
        tasks: those of the run.
        history: a row an epoch: epoch, train_loss, learning_rate, and metrics by their short names.
    """
    wanted = {"training loss": ["train_loss"]}
    for task in tasks:
        names = [*dict.fromkeys((*task.selectable, *task.chief))][:3]
        # A name that two tasks have stands in the history with the task's before it.
        wanted[task.name.replace("_", " ")] = [key for name in names for key in (name, f"{task.name}/{name}")]
    wanted |= {"learning rate": ["learning_rate"]}
    panels = {title: [key for key in keys if any(_has(row, key) for row in history)] for title, keys in wanted.items()}
    panels = {title: keys for title, keys in panels.items() if keys}
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / 2)
    figure = _figure(5.6 * columns, 3.3 * rows)
    for place, (title, keys) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        _draw_curves(axes, history, keys)
        axes.set_title(title.capitalize(), loc="left", fontsize=11, color=_INK)
    return _png(figure)


def _draw_plane(axes: Axes, true_Nx2: np.ndarray, predicted_Nx2: np.ndarray, grouping: Grouping, limit: float) -> None:
    """Some examples as lines from truth to prediction, and every class's mean as a ring and a disc."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color=_FAINT, linewidth=1.2))
    axes.axhline(0, color=_FAINT, linewidth=0.8, zorder=0)
    axes.axvline(0, color=_FAINT, linewidth=0.8, zorder=0)
    shown = range(0, len(true_Nx2), max(1, math.ceil(len(true_Nx2) / _MAX_LINKS)))
    for i in shown:
        colour = grouping.colour(grouping.place_N[i])
        axes.plot(*np.stack([true_Nx2[i], predicted_Nx2[i]]).T, color=colour, alpha=0.2, linewidth=0.8)
        axes.plot(*true_Nx2[i], "o", mfc="none", mec=colour, ms=3.5, mew=0.7, alpha=0.5)
        axes.plot(*predicted_Nx2[i], "o", color=colour, ms=3.5, mew=0, alpha=0.5)
    for place in np.unique(grouping.place_N[grouping.place_N != NO_CLASS]):
        of_class = grouping.place_N == place
        true_mean, predicted_mean = true_Nx2[of_class].mean(axis=0), predicted_Nx2[of_class].mean(axis=0)
        colour = grouping.colour(place)
        axes.plot(*np.stack([true_mean, predicted_mean]).T, color=colour, linewidth=2.5, zorder=4)
        axes.plot(*true_mean, "o", mfc="white", mec=colour, ms=11, mew=2.5, zorder=5)
        axes.plot(*predicted_mean, "o", color=colour, mec="white", ms=11, mew=1, zorder=6)
        outward = true_mean - true_Nx2.mean(axis=0)  # where the other classes' labels are not
        axes.annotate(
            grouping.words[place],
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
    axes.set_title(f"{len(shown)} of {len(true_Nx2):,} examples", loc="left", fontsize=10, color=_INK)


def _draw_dimension(
    axes: Axes, true_N: np.ndarray, predicted_N: np.ndarray, colours: list[str], name: str, limit: float
) -> None:
    """Predicted over true; on the diagonal they agree."""
    metrics = ValueMetrics.of(true_N, predicted_N)
    axes.plot([-limit, limit], [-limit, limit], color=_FAINT, linewidth=1.2, zorder=0)
    area = float(np.clip(6000 / max(len(true_N), 1), 2, 16))
    axes.scatter(true_N, predicted_N, c=colours, s=area, alpha=0.45, linewidths=0)
    axes.set(xlim=(-1.1, 1.1), ylim=(-limit, limit))
    axes.set_title(
        f"{name.capitalize()}: CCC {metrics.ccc:.3f}, RMSE {metrics.rmse:.3f}", loc="left", fontsize=11, color=_INK
    )
    _tidy(axes, f"true {name}", "predicted")


def _draw_curves(axes: Axes, history: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    for place, key in enumerate(keys):
        points = np.asarray([(row["epoch"], row[key]) for row in history if _has(row, key)], float)
        colour = _COLOURS[(2, 1, 5)[place]]
        label = f"{_readable(key)} (best {points[:, 1].max():.3f})"
        axes.plot(*points.T, "o-", color=colour, linewidth=2.2 if place == 0 else 1.3, ms=4, mew=0, label=label)
    if len(keys) > 1:
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


def _scale(name: str) -> str:
    """A dimension's axis: `Valence (negative to positive)`."""
    ends = DIMENSION_ENDS.get(name)
    return name.capitalize() + (f" ({ends[0]} to {ends[1]})" if ends else "")


def _readable(key: str) -> str:
    """A metric's name as a reader has it."""
    return key.rpartition("/")[2].replace("_", " ").replace("ccc", "CCC").replace("f1", "F1")


def _grouping(predictions: Predictions) -> Grouping:
    """The classes of the first task that has some; none colour the points otherwise."""
    for task in predictions.tasks:
        if isinstance(task, Classes):
            return Grouping(task.vocabulary, predictions.labels[task.name])
    return Grouping((), np.full(len(predictions.ids), NO_CLASS))


def _colour_of(words: Sequence[str], place: int) -> str:
    if words[place] in CLASS_WORDS:
        return _COLOURS[CLASS_WORDS.index(words[place])]
    others = [word for word in words if word not in CLASS_WORDS]
    pairs = list(zip(CLASS_WORDS, _COLOURS, strict=True))
    left = [colour for word, colour in (*pairs[1:], pairs[0]) if word not in words] or _COLOURS  # grey comes last
    return left[others.index(words[place]) % len(left)]


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
