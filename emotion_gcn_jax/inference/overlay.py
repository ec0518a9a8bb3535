"""Draws what was said of the faces over their picture: box, eyes, answers, and a small plane of two values."""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emotion_gcn_jax.faces.alignment import Box
from emotion_gcn_jax.inference.results import FacePrediction
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.tasks.values import Values

# Long side of what is drawn on: smaller pictures are enlarged to the first, so that writing fits, larger ones shrunk to
# the second.
_SMALLEST, _LARGEST = 960, 2400

# Height of the writing, as a share of the face's side, and its limits as shares of the picture's longer side.
_WRITING_PER_FACE, _SMALL_WRITING, _LARGE_WRITING = 0.14, 1 / 80, 1 / 45

_LONGEST_LINE = 24  # characters; a longer one, as of many action units, is broken between words

_MARK, _INK, _PAPER, _GRID = (255, 214, 64), (255, 255, 255), (16, 16, 22, 190), (150, 150, 160)


def draw_faces(image_HxWx3: np.ndarray, faces: Sequence[FacePrediction], tasks: Tasks) -> np.ndarray:
    """Returns a uint8 RGB copy, of 960 to 2400 pixels on its longer side, with the faces marked.

    Args:
        image_HxWx3: uint8 RGB, the picture that the faces' places refer to.
        faces: what was predicted for it.
        tasks: the model's, which know how their answers are written.
    """
    height, width = image_HxWx3.shape[:2]
    scale = min(max(_SMALLEST / max(height, width), 1.0), _LARGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(image_HxWx3).resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX)
    draw = ImageDraw.Draw(picture, "RGBA")
    outlines = [_corners(face) * scale for face in faces]
    for face, outline_4x2 in zip(faces, outlines, strict=True):
        _mark(draw, face, outline_4x2, scale, line=round(max(size) / 300))
    taken: list[Box] = [(*outline_4x2.min(0), *outline_4x2.max(0)) for outline_4x2 in outlines]
    # After all the boxes, so that none crosses the writing.
    for face, outline_4x2 in zip(faces, outlines, strict=True):
        side = float(np.linalg.norm(outline_4x2[1] - outline_4x2[0]))
        writing = min(max(_SMALL_WRITING * max(size), _WRITING_PER_FACE * side), _LARGE_WRITING * max(size))
        taken.append(_write(draw, size, _panel(face, tasks, writing), outline_4x2, writing, taken))
    return np.asarray(picture)


def _mark(draw: ImageDraw.ImageDraw, face: FacePrediction, outline_4x2: np.ndarray, scale: float, line: int) -> None:
    """The box, tilted as the face is, and the eyes."""
    outline = [tuple(corner) for corner in (*outline_4x2, *outline_4x2[:2])]
    draw.line(outline, fill=(0, 0, 0), width=line + 2, joint="curve")
    draw.line(outline, fill=_MARK, width=line, joint="curve")
    for eye in (face.left_eye, face.right_eye):
        if eye is not None:
            (x, y), radius = np.array(eye) * scale, 1.2 * line
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_MARK, outline=(0, 0, 0))


def _corners(face: FacePrediction) -> np.ndarray:
    """The corners of the face's box, turned about its centre as the eyes' line is: float64 [4, 2]."""
    x0, y0, x1, y1 = face.box
    corners_4x2 = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if face.left_eye is None or face.right_eye is None:
        return corners_4x2
    angle = math.atan2(face.right_eye[1] - face.left_eye[1], face.right_eye[0] - face.left_eye[0])
    turn_2x2 = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    centre_2 = corners_4x2.mean(0)
    return (corners_4x2 - centre_2) @ turn_2x2 + centre_2


class _Panel(NamedTuple):
    """What is written beside a face: lines with their heights in pixels, and a point on the plane, if there is one."""

    lines: list[tuple[str, float]]
    point: tuple[float, float] | None


def _panel(face: FacePrediction, tasks: Tasks, writing: float) -> _Panel:
    lines, point = [], None
    for task in tasks:
        answer = face.answers[task.name]
        for words, size in task.overlay_lines(answer):
            broken = textwrap.wrap(words, _LONGEST_LINE, break_long_words=False, break_on_hyphens=False)
            lines += [(line, size * writing) for line in broken]
        if isinstance(task, Values) and len(task.dimensions) > 1 and point is None:
            point = answer[task.dimensions[0]], answer[task.dimensions[1]]
    return _Panel(lines, point)


def _write(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    panel: _Panel,
    outline_4x2: np.ndarray,
    writing: float,
    taken: Sequence[Box],
) -> Box:
    """Draws a panel near the face, where there is room; returns its place."""
    side = 4.2 * writing if panel.point else 0.0
    fonts = [ImageFont.load_default(em) for _, em in panel.lines]
    widths = [draw.textlength(words, font) for (words, _), font in zip(panel.lines, fonts, strict=True)]
    width, height = max(side, max(widths) + 0.8 * writing), sum(1.35 * em for _, em in panel.lines) + side
    x, y = _free_place(outline_4x2, (width, height), size, taken)
    covered = (x, y, x + width, y + height)
    draw.rectangle(covered, fill=_PAPER)
    for (words, em), font in zip(panel.lines, fonts, strict=True):
        draw.text((x + 0.4 * writing, y + 0.675 * em), words, fill=_INK, font=font, anchor="lm")
        y += 1.35 * em
    if panel.point:
        _plane(draw, (x + width / 2, y + side / 2), 0.42 * side, panel.point)
    return covered


def _plane(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, point: tuple[float, float]) -> None:
    """The first value to the right, the second upwards, in a circle of radius 1; each is limited to [-1, 1]."""
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_GRID)
    draw.line((x - radius, y, x + radius, y), fill=_GRID)
    draw.line((x, y - radius, x, y + radius), fill=_GRID)
    x, y = x + radius * float(np.clip(point[0], -1, 1)), y - radius * float(np.clip(point[1], -1, 1))
    dot = max(2.5, 0.14 * radius)
    draw.line((*centre, x, y), fill=_MARK, width=max(1, round(dot / 2)))
    draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=_MARK, outline=(0, 0, 0))


def _free_place(
    outline_4x2: np.ndarray, needed: tuple[float, float], size: tuple[int, int], taken: Sequence[Box]
) -> tuple[float, float]:
    """The upper left corner for a panel: right of the face, left, above or below, where it covers the least."""
    (width, height), (x0, y0), (x1, y1) = needed, outline_4x2.min(0), outline_4x2.max(0)
    gap = 4.0
    beside = [(x, y) for x in (x1 + gap, x0 - gap - width) for y in (y0, y1 - height, (y0 + y1 - height) / 2)]
    above_or_below = [(x, y) for y in (y0 - gap - height, y1 + gap) for x in (x0, x1 - width, (x0 + x1 - width) / 2)]
    inside = [
        (min(max(x, 0), size[0] - width), min(max(y, 0), size[1] - height)) for x, y in (*beside, *above_or_below)
    ]
    return min(inside, key=lambda p: sum(_intersection((*p, p[0] + width, p[1] + height), box) for box in taken))


def _intersection(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
