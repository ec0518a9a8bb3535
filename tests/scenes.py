"""Photograph-like scenes for tests: rendered faces, several in one picture, with the truth about each of them.

A scene is a pure function of its arguments. Its faces are those of the dataset synthetic_faces with the same seed and
index: the same head, expression, pose and light, put elsewhere, in another size, perhaps tilted otherwise.
"""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np

from emotion_gcn_jax.faces.alignment import Box, Point
from emotion_gcn_jax.rendering.sampling import sample_face
from emotion_gcn_jax.rendering.scene import render

_FACE_SHARE = 0.36  # of a face's height in the patch that it is drawn on, with its neck and shoulders
_FADE = 0.14  # share of the patch along its sides and bottom in which the bust fades out
GAMMA = 2.2  # the renderer's


@dataclasses.dataclass(frozen=True)
class SceneFace:
    """What is known of one face; places are (x, y) in the scene's pixels, continuous as in `faces.alignment`.

    Attributes:
        index: of the face in the dataset of the scene's seed.
        expression: its id.
        valence: -1 to 1.
        arousal: -1 to 1.
        box: the renderer's, which the dataset's crop is a multiple of.
        left_eye: centre of the eye on the image's left.
        right_eye: centre of the other.
        head_center: about which the head turns.
        tilt: in radians, positive counter-clockwise on screen.
    """

    index: int
    expression: int
    valence: float
    arousal: float
    box: Box
    left_eye: Point
    right_eye: Point
    head_center: Point
    tilt: float


@dataclasses.dataclass(frozen=True)
class Scene:
    """A picture, uint8 RGB [height, width, 3], and its faces, in the order of the given indices."""

    image_HxWx3: np.ndarray
    faces: tuple[SceneFace, ...]


def portrait(
    seed: int, index: int, *, width: int = 480, height: int = 640, face_height: float = 200, tilt: float | None = None
) -> Scene:
    """One face in the middle of a picture; arguments as for `compose`."""
    return compose(seed, [index], [(width / 2, height / 2)], [face_height], [tilt], width=width, height=height)


def group(
    seed: int, indices: Sequence[int], *, width: int = 1100, height: int = 700, tilts: Sequence[float] | None = None
) -> Scene:
    """Several faces, one in each cell of a grid, in different sizes and anywhere in their cells.

    Args:
        seed: of the faces and of their places.
        indices: of the faces.
        width: of the scene in pixels.
        height: of the scene in pixels.
        tilts: of the heads in radians; None leaves them as the dataset draws them.
    """
    rng = np.random.default_rng((seed, 17, *indices))
    columns = math.ceil(math.sqrt(len(indices) * width / height))
    rows = math.ceil(len(indices) / columns)
    cell_2 = np.array([width / columns, height / rows])
    places, face_heights = [], []
    for number in range(len(indices)):
        face_height = cell_2.min() * rng.uniform(0.25, 0.6)
        middle_2 = (np.array([number % columns, number // columns]) + 0.5) * cell_2
        slack_2 = cell_2 / 2 - 0.75 * face_height  # the whole head stays in its cell
        places.append(middle_2 + rng.uniform(-1, 1, 2) * slack_2)
        face_heights.append(face_height)
    return compose(seed, indices, places, face_heights, tilts, width=width, height=height)


def compose(
    seed: int,
    indices: Sequence[int],
    head_centers: Sequence[Sequence[float]],
    face_heights: Sequence[float],
    tilts: Sequence[float | None] | None = None,
    *,
    width: int,
    height: int,
) -> Scene:
    """Draws faces before a textured wall, the later before the earlier.

    Args:
        seed: of the faces and of the wall.
        indices: of the faces.
        head_centers: where their heads' centres are put, to the nearest pixel.
        face_heights: from forehead to chin, in pixels, roughly.
        tilts: of the heads in radians; None leaves one, or all, as the dataset draws them.
        width: of the scene in pixels.
        height: of the scene in pixels.
    """
    rng = np.random.default_rng((seed, 18, *indices))
    scene_HxWx3 = wall(rng, width, height)
    faces = []
    for index, center, face_height, tilt in zip(
        indices, head_centers, face_heights, tilts or [None] * len(indices), strict=True
    ):
        face, corner_2 = _paste(scene_HxWx3, seed, index, np.asarray(center, float), face_height, tilt, rng)
        faces.append(_moved(face, corner_2))
    image = 255 * np.clip(scene_HxWx3, 0, 1) ** (1 / GAMMA) + rng.normal(0, 1.5, scene_HxWx3.shape)
    return Scene((np.clip(image, 0, 255) + 0.5).astype(np.uint8), tuple(faces))


def _paste(
    scene_HxWx3: np.ndarray,
    seed: int,
    index: int,
    center_2: np.ndarray,
    face_height: float,
    tilt: float | None,
    rng: np.random.Generator,
) -> tuple[SceneFace, np.ndarray]:
    """Lays a face over the scene, which is linear light; returns it in its patch's pixels, and the patch's corner."""
    face, light_SxSx3, wall_SxS = draw_patch(seed, index, face_height, tilt)
    noise_SxSx3 = rng.normal(0, sample_face(seed, index).noise, light_SxSx3.shape)
    light_SxSx3 = np.clip(light_SxSx3 ** (1 / GAMMA) + noise_SxSx3 * (1 - wall_SxS[..., None]), 0, 1) ** GAMMA
    return face, lay_patch(scene_HxWx3, light_SxSx3, wall_SxS, center_2)


def draw_patch(
    seed: int, index: int, face_height: float, tilt: float | None
) -> tuple[SceneFace, np.ndarray, np.ndarray]:
    """Draws a face on a square patch; returns it in the patch's pixels, its linear light, and what is seen of the wall.

    What it covers is learnt from two drawings, before black and before white: they differ by what is seen of the wall.
    """
    drawn = sample_face(seed, index)
    drawn = dataclasses.replace(
        drawn, height=_FACE_SHARE, offset=(0.0, 0.0), noise=0.0, roll=drawn.roll if tilt is None else tilt
    )
    side = round(face_height / _FACE_SHARE / 2) * 2
    walls = (np.array([[0, 0, 0, level, level, level]], float) for level in (0.0, 1e3))
    black, white = (render(dataclasses.replace(drawn, background_Kx6=wall), side) for wall in walls)
    light_SxSx3, over_white_SxSx3 = ((r.image_SxSx3 / 255.0) ** GAMMA for r in (black, white))
    wall_SxS = np.clip((over_white_SxSx3 - light_SxSx3).mean(-1), 0, 1)
    face = SceneFace(
        index=index,
        expression=int(drawn.expression),
        valence=drawn.valence,
        arousal=drawn.arousal,
        box=black.box,
        left_eye=black.left_eye,
        right_eye=black.right_eye,
        head_center=black.head_center,
        tilt=drawn.roll,
    )
    return face, light_SxSx3, wall_SxS


def lay_patch(
    scene_HxWx3: np.ndarray, light_SxSx3: np.ndarray, wall_SxS: np.ndarray, center_2: np.ndarray
) -> np.ndarray:
    """Lays a patch over the scene, which is linear light; returns the place of the patch's corner."""
    side = len(wall_SxS)
    ramp_S = np.clip((np.arange(side) + 0.5) / (_FADE * side), 0, 1)
    fade_SxS = ramp_S[::-1, None] * ramp_S * ramp_S[::-1]
    corner_2 = np.round(center_2 - side / 2).astype(int)
    (left, top), (right, bottom) = np.maximum(corner_2, 0), np.minimum(corner_2 + side, scene_HxWx3.shape[1::-1])
    in_scene = np.s_[top:bottom, left:right]
    in_patch = np.s_[top - corner_2[1] : bottom - corner_2[1], left - corner_2[0] : right - corner_2[0]]
    fade, wall = fade_SxS[in_patch][..., None], wall_SxS[in_patch][..., None]
    scene_HxWx3[in_scene] = fade * light_SxSx3[in_patch] + (1 - fade * (1 - wall)) * scene_HxWx3[in_scene]
    return corner_2


def _moved(face: SceneFace, by_2: np.ndarray) -> SceneFace:
    x, y = map(float, by_2)
    x0, y0, x1, y1 = face.box
    return dataclasses.replace(
        face,
        box=(x0 + x, y0 + y, x1 + x, y1 + y),
        left_eye=(face.left_eye[0] + x, face.left_eye[1] + y),
        right_eye=(face.right_eye[0] + x, face.right_eye[1] + y),
        head_center=(face.head_center[0] + x, face.head_center[1] + y),
    )


def wall(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Patches of every size, and a few panels with sharp edges: linear light, float64 [height, width, 3]."""
    wall_HxWx3 = np.ones((height, width, 3)) * rng.uniform(0.1, 0.5, 3)
    for cells, strength in ((2, 0.12), (7, 0.06), (40, 0.03)):
        coarse = rng.normal(0, strength, (cells, cells * width // height + 1, 1)) + rng.normal(0, strength / 3, 3)
        wall_HxWx3 += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        x, y = rng.integers(0, (width, height))
        panel = np.s_[y : y + rng.integers(20, height // 2 + 21), x : x + rng.integers(20, width // 2 + 21)]
        wall_HxWx3[panel] = 0.4 * wall_HxWx3[panel] + 0.6 * rng.uniform(0.02, 0.7, 3)
    return np.clip(wall_HxWx3, 0.01, 0.95)
