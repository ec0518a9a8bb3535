"""An explanation as a picture that needs no other words: the face, and beside it what each output hangs on."""

import io
import re
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
from emotion_gcn_jax.files import name_in_text

_INK, _FAINT, _QUIET = "#2b2b33", "#c9c9d1", "#6a6a75"
_AGAINST, _FOR = "#1f5fa8", "#c8500a"  # blue and orange: apart in the common kinds of colour blindness
_SIGNS = LinearSegmentedColormap.from_list("signs", ["#123c73", _AGAINST, "#f4f4f6", _FOR, "#7a2c00"])
_SHARES = LinearSegmentedColormap.from_list("shares", ["#f4f4f6", "#e6b450", _FOR, "#7a2c00", "#3a1200"])
_MARGIN, _PANEL, _GAP, _BAR, _LINE = 0.3, 2.3, 0.22, 0.68, 0.17  # inches; a map's side, its bar, a line of small print
_DOTS_PER_INCH = 150
_FACE_SHARE = 0.42  # how much of a map is the face below it
_FACE_BLACK = -140  # the grey level that would be black there: a dark part of the face must not darken the colours
# By the kind of map its heading, and what its numbers are.
_COLUMNS = {
    "hard": ("Covered here, the answer changes", "of the squares over a spot, the share that changes it"),
    "soft": ("Covered here, the answer weakens", "how far it falls, in the mean of the squares over a spot"),
    "activation": (
        "Evidence found here",
        "what each spot of the network's last map adds to the output before the mean",
    ),
}
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
    kinds = [kind for kind in _COLUMNS if any(_panel(kind, output, patch.network_side) for output in outputs)]
    width = _MARGIN + _PANEL + len(kinds) * (_GAP + _PANEL + _BAR) + 0.1
    subtitles = textwrap.wrap(subtitle, round(12.5 * width))
    notes = textwrap.wrap(f"{_how(explanation)} {note}", round(15.5 * width))
    top = 1.3 + _LINE * len(subtitles)
    height = top + len(outputs) * (_PANEL + _GAP) + 0.25 + _LINE * len(notes)
    figure = Figure(figsize=(width, height))

    def axes_at(x: float, row: int, of_width: float = _PANEL) -> Axes:
        y = height - top - row * (_PANEL + _GAP) - _PANEL
        return figure.add_axes((x / width, y / height, of_width / width, _PANEL / height))

    def write(x: float, y: float, text: str, size: float, colour: str = _INK, weight: str = "normal") -> None:
        """Inches from the left and from the top."""
        where, words = (x / width, 1 - y / height), name_in_text(_typed(text))
        figure.text(*where, words, fontsize=size, color=colour, fontweight=weight, parse_math=False)

    write(_MARGIN, 0.4, _shortened(title, round(8 * width)), 14, weight="bold")
    for line, words in enumerate(subtitles):
        write(_MARGIN, 0.64 + _LINE * line, words, 10, _QUIET)
    lefts = [_MARGIN + _PANEL + _GAP + place * (_GAP + _PANEL + _BAR) for place in range(len(kinds))]
    for x, kind in zip(lefts, kinds, strict=True):
        heading, meaning = _COLUMNS[kind]
        write(x, top - 0.45, heading, 10, weight="bold")
        for line, words in enumerate(textwrap.wrap(meaning, 46)):
            write(x, top - 0.27 + 0.15 * line, words, 8, _QUIET)
    for row, output in enumerate(outputs):
        _draw_face(axes_at(_MARGIN, row), explanation, output)
        for x, kind in zip(lefts, kinds, strict=True):
            panel = _panel(kind, output, patch.network_side)
            if panel is None:
                axes = axes_at(x, row)
                axes.set_axis_off()
                axes.text(0.5, 0.5, "a value is never\nright or wrong", ha="center", color=_QUIET, fontsize=8)
            else:
                _draw_map(axes_at(x, row), axes_at(x + _PANEL + 0.08, row, 0.1), panel, explanation.face_SxSx3)
    for line, words in enumerate(notes):
        write(_MARGIN, height - _LINE * (len(notes) - line), words, 8, _QUIET)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    return file.getvalue()


def _how(explanation: Explanation) -> str:
    """What was done, and what the colours mean."""
    patch = explanation.patch
    return (
        f"A black square of {patch.side} x {patch.side} pixels (dashed) was laid over "
        f"{'the face' if explanation.count == 1 else 'every face'} at {len(patch.starts_K) ** 2} spots, {patch.stride} "
        f"pixels apart; the network sees {patch.network_side} x {patch.network_side}. Orange: what is there speaks for "
        f"the answer, or raises the value. Blue: it speaks against it, or lowers the value."
    )


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
    text = _typed(answer_text(output))
    drawn = axes.text(0.03 * side, 0.04 * side, text, color="white", fontsize=10, va="top", fontweight="bold", bbox=box)
    drawn.set_parse_math(False)
    _bare(axes)


def _draw_map(axes: Axes, bar: Axes, panel: _Panel, face_SxSx3: np.ndarray) -> None:
    """The map over the face's shapes in grey, so that both are seen; and its scale, in the very same colours."""
    side = len(panel.map_VxV)
    extent = (0, side, side, 0)
    axes.imshow(
        panel.map_VxV, cmap=panel.colours, vmin=panel.low, vmax=panel.high, extent=extent, interpolation="bilinear"
    )
    axes.imshow(
        face_SxSx3.mean(-1),
        cmap="gray",
        vmin=_FACE_BLACK,
        vmax=255,
        extent=extent,
        interpolation="bicubic",
        alpha=_FACE_SHARE,
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
    text = _typed(f"{number:.{digits}%}" if panel.is_share else f"{number:.2g}")
    return text if panel.low == 0 or number <= 0 else f"+{text}"


def _shortened(text: str, most: int) -> str:
    """A text of no more than so many characters: a file's name may be long, and its end says more."""
    return text if len(text) <= most else f"...{text[3 - most :]}"


def _typed(text: str) -> str:
    """A text whose negative numbers have the sign that they have in print."""
    return re.sub(r"(?<!\S)-(?=\d)", "\N{MINUS SIGN}", text)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(_FAINT)
