"""An explanation as a picture that needs no other words: the face, and beside it what each output hangs on."""

import io
import textwrap
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from emotion_gcn_jax.explanation import activation
from emotion_gcn_jax.explanation.explain import Explanation, OutputMaps

_INK, _FAINT, _QUIET = "#2b2b33", "#c9c9d1", "#6a6a75"
_AGAINST, _FOR = "#1f5fa8", "#c8500a"  # blue and orange: apart in the common kinds of colour blindness
_SIGNS = LinearSegmentedColormap.from_list("signs", ["#123c73", _AGAINST, "#f4f4f6", _FOR, "#7a2c00"])
_SHARES = LinearSegmentedColormap.from_list("shares", ["#f4f4f6", "#e6b450", _FOR, "#7a2c00", "#3a1200"])
_PANEL, _BAR = 2.3, 0.62  # inches: a map's side, and what its colour bar takes
_DOTS_PER_INCH = 150
_FACE_SHARE = 0.45  # how much of a map is the face below it
# No scale ends nearer to 0, or the noise of a map of nothing would look like a finding.
_LEAST_PROBABILITY, _LEAST_VALUE = 0.02, 0.02


class _Panel(NamedTuple):
    """A map as it is drawn.

    Attributes:
        map_VxV: at the network's side.
        colours: from the scale's low end to its high one.
        low: the scale's end.
        high: the other.
        is_share: whether numbers are written as percentages.
    """

    map_VxV: np.ndarray
    colours: Colormap
    low: float
    high: float
    is_share: bool


def draw(explanation: Explanation, title: str, subtitle: str = "", note: str = "") -> bytes:
    """Draws an explanation.

    Args:
        explanation: of a face, or of a class.
        title: above all.
        subtitle: a smaller line below it.
        note: a sentence at the end, such as why there are no activation maps.

    Returns:
        A PNG file: a row for every output, a column for every kind of map.
    """
    outputs, patch = explanation.outputs, explanation.patch
    columns = [("hard", "The answer turns", "of the squares over a place: the share that changes the decision")]
    columns = columns if any(output.hard_VxV is not None for output in outputs) else []
    columns += [("soft", "The answer falls", "by how much, when a square covers the place")]
    if any(output.activation_HxW is not None for output in outputs):
        columns += [("activation", "The evidence", "on the network's last map: what each place adds to the output")]
    width = 0.5 + _PANEL + len(columns) * (_PANEL + _BAR + 0.35)
    top, bottom, row_height = 1.42, 0.95, _PANEL + 0.22
    height = top + len(outputs) * row_height + bottom
    figure = Figure(figsize=(width, height))

    def axes_at(x: float, row: int, of_width: float = _PANEL) -> Axes:
        y = height - top - row * row_height - _PANEL
        return figure.add_axes((x / width, y / height, of_width / width, _PANEL / height))

    def write(x: float, y: float, text: str, size: float, colour: str = _INK, weight: str = "normal") -> None:
        figure.text(x / width, 1 - y / height, text, fontsize=size, color=colour, fontweight=weight)

    write(0.3, 0.36, title, 14, weight="bold")
    write(0.3, 0.62, subtitle, 10, _QUIET)
    lefts = [0.5 + _PANEL + place * (_PANEL + _BAR + 0.35) for place in range(len(columns))]
    for x, (_, heading, meaning) in zip(lefts, columns, strict=True):
        write(x, top - 0.47, heading, 11, weight="bold")
        for line, words in enumerate(textwrap.wrap(meaning, 40)):
            write(x, top - 0.29 + 0.16 * line, words, 8, _QUIET)
    for row, output in enumerate(outputs):
        _draw_face(axes_at(0.3, row), explanation, output)
        for x, (kind, _, _) in zip(lefts, columns, strict=True):
            panel = _panel(kind, output, patch.network_side)
            axes = axes_at(x, row)
            if panel is None:
                axes.set_axis_off()
                axes.text(0.5, 0.5, "a value is never\nright or wrong", ha="center", color=_QUIET, fontsize=9)
            else:
                _draw_map(axes, axes_at(x + _PANEL + 0.08, row, 0.1), panel, explanation.face_SxSx3)
    places = len(patch.starts_K) ** 2
    words = (
        f"A black square of {patch.side} x {patch.side} pixels (dashed) was laid over the face at {places} places, "
        f"{patch.stride} pixels apart; the network sees {patch.network_side} x {patch.network_side}. Orange: what is "
        f"there speaks for the answer, or raises the value. Blue: it speaks against it. {note}"
    )
    for line, part in enumerate(textwrap.wrap(words, round(width * 15.5))):
        write(0.3, height - bottom + 0.3 + 0.17 * line, part, 8, _QUIET)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    return file.getvalue()


def answer_text(output: OutputMaps) -> str:
    """An output and its answer as a reader has them: `Happy 92 %`, `Valence +0.43`."""
    return f"{output.name} {output.answer:.0%}" if output.is_probability else f"{output.name} {output.answer:+.2f}"


def _panel(kind: str, output: OutputMaps, side: int) -> _Panel | None:
    """One of the maps with its scale; None where the output has no such map."""
    if kind == "hard":
        if output.hard_VxV is None:
            return None
        return _Panel(output.hard_VxV, _SHARES, 0.0, 1.0, True)
    if kind == "soft":
        least = _LEAST_PROBABILITY if output.is_probability else _LEAST_VALUE
        return _signed(output.soft_VxV, least, output.is_probability)
    if output.activation_HxW is None:
        return None
    return _signed(activation.enlarged(output.activation_HxW, side), _LEAST_VALUE, False)


def _signed(map_VxV: np.ndarray, least: float, is_share: bool) -> _Panel:
    end = max(least, float(np.abs(map_VxV).max()))
    return _Panel(map_VxV, _SIGNS, -end, end, is_share)


def _draw_face(axes: Axes, explanation: Explanation, output: OutputMaps) -> None:
    side, patch = explanation.patch.network_side, explanation.patch
    axes.imshow(explanation.face_SxSx3, extent=(0, side, side, 0), interpolation="bicubic")
    for colour, style in (("black", "solid"), ("white", (0, (3, 3)))):
        corner = (side - patch.side - 0.02 * side, side - patch.side - 0.02 * side)
        axes.add_patch(Rectangle(corner, patch.side, patch.side, fill=False, ec=colour, ls=style, lw=1.2))
    box = {"facecolor": "#101016", "alpha": 0.75, "edgecolor": "none", "pad": 3}
    text = answer_text(output)
    axes.text(0.03 * side, 0.04 * side, text, color="white", fontsize=10, va="top", fontweight="bold", bbox=box)
    _bare(axes)


def _draw_map(axes: Axes, bar: Axes, panel: _Panel, face_SxSx3: np.ndarray) -> None:
    """The map over the face's shapes in grey, so that both are seen; and its scale, in the very same colours."""
    side = len(panel.map_VxV)
    extent = (0, side, side, 0)
    axes.imshow(
        panel.map_VxV, cmap=panel.colours, vmin=panel.low, vmax=panel.high, extent=extent, interpolation="bilinear"
    )
    axes.imshow(
        face_SxSx3.mean(-1), cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="bicubic", alpha=_FACE_SHARE
    )
    _bare(axes)
    ramp_256x1 = np.linspace(panel.high, panel.low, 256)[:, None]
    bar.imshow(ramp_256x1, cmap=panel.colours, extent=(0, 1, panel.low, panel.high), aspect="auto")
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    bar.yaxis.set_major_formatter(FuncFormatter(lambda number, _: _number(number, panel)))
    bar.tick_params(length=2, labelsize=8, colors=_INK)
    bar.spines[:].set_visible(False)


def _number(number: float, panel: _Panel) -> str:
    digits = 1 if panel.is_share and panel.high < 0.05 else 0
    text = f"{number:.{digits}%}" if panel.is_share else f"{number:.2g}"
    return text if panel.low == 0 or number <= 0 else f"+{text}"


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(_FAINT)
