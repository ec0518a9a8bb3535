"""Finds faces and their eyes in photographs with CenterFace, run by onnxruntime.

CenterFace (Xu et al. 2019, arXiv 1911.03599) says for every cell of 4 x 4 pixels how likely it holds a face's centre,
and if so the face's size, its exact centre and five landmarks. Here it looks twice: at the whole picture, then at an
upright window round each face, in which all faces have about the same size. So a tilted head, of which the network is
less sure at first, is found, and its box and eyes are as exact as a straight one's.

The network is centerface.onnx beside this file; SOURCES.md says where it comes from.

A detector's box is not a dataset's box: DATASET_BOXES says how they compare.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime

from emotion_gcn_jax.faces.alignment import Box, Crop, Point, align_and_crop, crop_transform, transform_points
from emotion_gcn_jax.onnx_session import cpu_session

_NETWORK = pathlib.Path(__file__).with_name("centerface.onnx")

# Facts about the network: pixels a cell, what its input's sides must be multiples of, the names of its outputs.
_CELL = 4
_MULTIPLE = 32
_OUTPUTS = ("537", "538", "539", "540")

# Longest side of a whole picture for the network, which misses large faces, and finds false ones, in a larger one.
LONGEST_SIDE = 640
_SMALLEST_FACE = 8  # pixels of the shrunk picture: smaller ones are not seen (docs/predict.md)
MOST_TILES = 16  # 257 looks at a picture; faces of 8 pixels are then found in one of 10,000
_TILE_OVERLAP = 0.25  # share of a tile that its neighbour sees as well: a face on the edge is whole in one of them
_SAME_FACE = 0.3  # two boxes that share more of their union than this are of one face

# A face needs the first of these scores in either look. The first look must give the second one for a second look to
# follow, and the second look the third one to correct the place. With them every tilted head of
# benchmarks/predict_scenes.py is found, and nothing else.
_SCORE = 0.5
_FIRST_SCORE = 0.25
_WINDOW_SCORE = 0.2

# The second look's windows, which a face fills by half.
_ROUNDING = 1e-9  # of a count of tiles
_WINDOW = Crop(side=2.0, size=160, enlarge=True)


@dataclasses.dataclass(frozen=True)
class Detection:
    """One face; places are (x, y) in pixels of the picture, continuous as in `alignment`, and may lie outside it.

    Attributes:
        box: round the face as it would stand with its eyes level, before it is tilted about its centre.
        left_eye: the eye on the image's left when the face is upright.
        right_eye: the other one.
        score: 0.5 to 1, how sure the network is that it is a face, at its surer look.
    """

    box: Box
    left_eye: Point
    right_eye: Point
    score: float


@dataclasses.dataclass(frozen=True)
class DatasetBox:
    """How a dataset's box of a face follows from the detector's, which is upright like the face.

    A box along the picture's axes fits a tilted face otherwise: it grows, and its centre moves, as chins are narrower
    than foreheads. So a part goes with the sine of the angle of the eyes' line. All are shares of the larger side of
    the detector's box.

    Attributes:
        scale: the dataset's larger side.
        down: how far the dataset's centre is towards the chin.
        scale_per_sine: added to scale, times the sine's absolute value.
        down_per_sine: added to down, likewise.
        aside_per_sine: how far the centre is along the eyes' line, from the left eye to the right, times the sine
            (positive if the right eye is lower).
    """

    scale: float = 1.0
    down: float = 0.0
    scale_per_sine: float = 0.0
    down_per_sine: float = 0.0
    aside_per_sine: float = 0.0


DATASET_BOXES: Mapping[str, DatasetBox] = MappingProxyType(
    {
        # Measured on rendered faces by benchmarks/predict_scenes.py, with --tilt=0.7 for what goes with the sine.
        "synthetic_faces": DatasetBox(0.99, 0.07, scale_per_sine=0.1, down_per_sine=-0.19, aside_per_sine=0.09),
        # Measured by benchmarks/dataset_boxes.py: an image is 1.04 times as large as the detector's box. It is the crop
        # itself, and a crop that nothing is known of is 1.3 times as large as a box.
        "fer2013": DatasetBox(1.04 / 1.3, -0.018),
        # NOT MEASURED, because their images are licensed: the detector's box stands for theirs.
        "affectnet": DatasetBox(),
        "affwild2": DatasetBox(),
    }
)
"""By the dataset's name. A dataset that is missing here is treated as one that was not measured."""


def in_dataset(found: Detection, dataset: str) -> Detection:
    """Returns the detection with the box that the dataset would have: a square, which is all that a crop goes by."""
    convention = DATASET_BOXES.get(dataset, DatasetBox())
    x0, y0, x1, y1 = found.box
    side = max(x1 - x0, y1 - y0)
    angle = math.atan2(found.right_eye[1] - found.left_eye[1], found.right_eye[0] - found.left_eye[0])
    sine, cosine = math.sin(angle), math.cos(angle)
    aside = side * convention.aside_per_sine * sine
    down = side * (convention.down + convention.down_per_sine * abs(sine))
    x = (x0 + x1) / 2 + aside * cosine - down * sine
    y = (y0 + y1) / 2 + aside * sine + down * cosine
    half = side * (convention.scale + convention.scale_per_sine * abs(sine)) / 2
    return dataclasses.replace(found, box=(x - half, y - half, x + half, y + half))


def detect(
    image_HxWx3: np.ndarray, *, tiles: int = 1, threads: int = 0, longest_side: int = LONGEST_SIDE
) -> list[Detection]:
    """Finds the faces of a picture, from the left to the right.

    Args:
        image_HxWx3: uint8 RGB, of any size.
        tiles: looks at overlapping squares of the picture, too, so many along its longer side, each at the resolution
            that the whole is looked at: finds smaller faces (`smallest_face`), and takes tiles ** 2 + 1 times as long
            at most.
        threads: that work on this picture; 0 takes one a core. 1 is for who detects in several threads at once.
        longest_side: of the picture for the network, in pixels. Half of it takes a quarter of the time, and misses
            faces up to twice as large.

    Returns:
        A detection for every face with a score of 0.5 or more; none where there is no face.
    """
    session = load_detector(threads)
    parts = [(0, 0, *image_HxWx3.shape[1::-1])] + (_tiles(image_HxWx3, tiles) if tiles > 1 else [])
    seen = _distinct([face for part in parts for face in _look_at(session, image_HxWx3, part, longest_side)])
    suspects = [_look_again(session, image_HxWx3, face) for face in seen]
    faces = _distinct([face for face in suspects if face.score >= _SCORE])
    return sorted((_detection(face) for face in faces), key=lambda face: face.box[0])


def find_eyes(image_HxWx3: np.ndarray, box: Box, *, threads: int = 0) -> tuple[Point, Point] | None:
    """Finds the eyes of a face that somebody else has found.

    Args:
        image_HxWx3: uint8 RGB.
        box: of the face.
        threads: as for `detect`.

    Returns:
        The eye on the image's left and the other one; None if no face is seen there.
    """
    low_2, high_2 = np.array(box[:2]), np.array(box[2:])
    centre_2 = (low_2 + high_2) / 2
    face = _Sight(0.0, centre_2, high_2 - low_2, np.tile(centre_2, (5, 1)))
    seen = _look_again(load_detector(threads), image_HxWx3, face)
    return None if seen is face else (_detection(seen).left_eye, _detection(seen).right_eye)


def smallest_face(height: int, width: int, tiles: int = 1) -> float:
    """The side in pixels below which no face is found in a picture of this size, roughly."""
    share = 1.0 if tiles == 1 else _tile_share(tiles)
    return _SMALLEST_FACE * max(height, width) * share / LONGEST_SIDE


@functools.cache
def load_detector(threads: int = 0) -> onnxruntime.InferenceSession:
    """Returns the network as an onnxruntime session on the CPU, made once a process and number of threads.

    It takes float32 [N, 3, H, W], RGB from 0 to 255, with H and W multiples of 32.
    """
    return cpu_session(_NETWORK, threads)


class _Sight(NamedTuple):
    """A face as the network sees it.

    Attributes:
        score: 0 to 1.
        centre_2: of its box.
        side_2: the box's width and height.
        landmarks_5x2: left eye, right eye, nose, left and right corner of the mouth.
    """

    score: float
    centre_2: np.ndarray
    side_2: np.ndarray
    landmarks_5x2: np.ndarray


def _tile_share(tiles: int) -> float:
    """A tile's side, as a share of the picture's."""
    return 1 / (tiles - (tiles - 1) * _TILE_OVERLAP)


def _tiles(image_HxWx3: np.ndarray, tiles: int) -> list[tuple[int, int, int, int]]:
    """The parts x0, y0, x1, y1 of a picture that are looked at one by one."""
    height, width = image_HxWx3.shape[:2]
    side = _tile_share(tiles) * max(height, width)
    return [(x0, y0, x1, y1) for y0, y1 in _spans(height, side) for x0, x1 in _spans(width, side)]


def _spans(length: int, side: float) -> list[tuple[int, int]]:
    """Where the tiles of a side begin and end along an edge of the picture, which they cover with their overlap."""
    count = max(1, math.ceil((length / side - _TILE_OVERLAP) / (1 - _TILE_OVERLAP) - _ROUNDING))
    return [
        (int(start), math.ceil(min(start + side, length))) for start in np.linspace(0, max(0, length - side), count)
    ]


def _look_at(
    session: onnxruntime.InferenceSession, image_HxWx3: np.ndarray, part: tuple[int, int, int, int], longest_side: int
) -> list[_Sight]:
    """Looks at a part of a picture, brought to the network's size; the faces are in the picture's pixels."""
    x0, y0, x1, y1 = part
    part_hxwx3 = image_HxWx3[y0:y1, x0:x1]
    height, width = part_hxwx3.shape[:2]
    scale = longest_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk = cv2.resize(part_hxwx3, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    to_picture_2x3 = np.array([[width / size[0], 0, x0], [0, height / size[1], y0]])
    return [_mapped(face, to_picture_2x3) for face in _look(session, shrunk, _FIRST_SCORE)]


def _look(session: onnxruntime.InferenceSession, image_HxWx3: np.ndarray, least_score: float) -> list[_Sight]:
    """Runs the network on a picture as it is; returns its distinct faces, the surest first."""
    height, width = image_HxWx3.shape[:2]
    padded = np.zeros((1, 3, -(-height // _MULTIPLE) * _MULTIPLE, -(-width // _MULTIPLE) * _MULTIPLE), np.float32)
    padded[0, :, :height, :width] = image_HxWx3.transpose(2, 0, 1)
    maps = session.run(_OUTPUTS, {session.get_inputs()[0].name: padded})
    score_hxw, log_side_2xhxw, offset_2xhxw, landmarks_10xhxw = maps[0][0, 0], *(part[0] for part in maps[1:])
    rows, columns = np.nonzero(score_hxw >= least_score)
    faces = []
    for cell_2 in np.column_stack([rows, columns]):
        # The network gives (y, x); landmarks are shares of the box, from its corner.
        side_2 = _CELL * np.exp(log_side_2xhxw[:, *cell_2].astype(np.float64))
        centre_2 = _CELL * (cell_2 + 0.5 + offset_2xhxw[:, *cell_2])
        landmarks_5x2 = landmarks_10xhxw[:, *cell_2].reshape(5, 2) * side_2 + centre_2 - side_2 / 2
        faces.append(_Sight(float(score_hxw[*cell_2]), centre_2[::-1], side_2[::-1], landmarks_5x2[:, ::-1]))
    return _distinct(faces)


def _distinct(faces: Sequence[_Sight]) -> list[_Sight]:
    """Leaves one sight of every face, the surest; the surest face comes first."""
    kept: list[_Sight] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face, other) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _look_again(session: onnxruntime.InferenceSession, image_HxWx3: np.ndarray, face: _Sight) -> _Sight:
    """Finds a face again in an upright window round it; returns it unchanged if it is not seen there."""
    place = _box(face), tuple(face.landmarks_5x2[0]), tuple(face.landmarks_5x2[1])
    to_window_2x3 = crop_transform(*place, _WINDOW)
    before = _mapped(face, to_window_2x3)
    for again in _look(session, align_and_crop(image_HxWx3, *place, _WINDOW), _WINDOW_SCORE):
        if _overlap(again, before) >= _SAME_FACE:  # and not its neighbour
            score = max(face.score, again.score)
            return _mapped(again, cv2.invertAffineTransform(to_window_2x3))._replace(score=score)
    return face


def _mapped(face: _Sight, transform_2x3: np.ndarray) -> _Sight:
    """Moves a face by a scaling and a turn; the sides of its box are scaled only."""
    return face._replace(
        centre_2=transform_points(transform_2x3, face.centre_2[None])[0],
        side_2=face.side_2 * np.linalg.norm(transform_2x3[:, :2], axis=0),
        landmarks_5x2=transform_points(transform_2x3, face.landmarks_5x2),
    )


def _detection(face: _Sight) -> Detection:
    left_eye, right_eye = ((float(x), float(y)) for x, y in face.landmarks_5x2[:2])
    return Detection(_box(face), left_eye, right_eye, face.score)


def _box(face: _Sight) -> Box:
    (x0, y0), (x1, y1) = face.centre_2 - face.side_2 / 2, face.centre_2 + face.side_2 / 2
    return float(x0), float(y0), float(x1), float(y1)


def _overlap(a: _Sight, b: _Sight) -> float:
    """The share of two boxes' union that they have in common."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = _box(a), _box(b)  # floats: NumPy is slow at two numbers
    shared = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
    return shared / ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared)
