"""Draws synthetic faces: deforms the head's mesh, grows hair on it, turns it, and has it rasterised and shaded.

What is drawn is chosen by `sampling`; this module only draws, and knows where in the picture it put what. The heavy
work is in `surface` and `shading`, which do not hold Python's lock: render in threads.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from emotion_gcn_jax.faces.alignment import Box, Point
from emotion_gcn_jax.rendering.head import HAIR, LASHES, LEFT_EYEBALL, RIGHT_EYEBALL, SKIN, load_head
from emotion_gcn_jax.rendering.sampling import Face, Subject
from emotion_gcn_jax.rendering.shading import Mesh, Paint, shade
from emotion_gcn_jax.rendering.surface import hair_shell, rasterise, vertex_normals

# Pixels are averages of squares of this side.
_SUPERSAMPLING = 2
# From the camera to the head's centre, in decimetres: near enough for some perspective.
_CAMERA_DISTANCE = 12.0
# Share of the head's height, from chin to crown, that the face's box takes.
_FACE_SHARE = 0.70
# Hair thinner than this (decimetres) is painted on the skin.
_THINNEST_SHELL = 0.03


@dataclasses.dataclass(frozen=True)
class RenderedFace:
    """A picture of one face and what is known about it; places are (x, y) in continuous pixels, as in `alignment`.

    Attributes:
        image_SxSx3: uint8 RGB.
        left_eye: centre of the eyeball on the image's left, projected.
        right_eye: centre of the other eyeball.
        head_center: centre of the skull, about which the head turns, projected.
        box: tight around the projected face, from the middle of the forehead to the chin and from temple to temple.
    """

    image_SxSx3: np.ndarray
    left_eye: Point
    right_eye: Point
    head_center: Point
    box: Box


def render(face: Face, size: int) -> RenderedFace:
    """Draws a face into a square scene of `size` pixels; the same face gives the same picture."""
    parts, subject = _head_parts(), face.subject
    skin_Vx3 = load_head().deform({**subject.shape, **face.actions})
    skin_Vx3[parts.hem, 1] -= 4.0  # the bust ends in mid-air: its hem is pulled down, out of the picture
    # Without its expression, so that an opened jaw does not move or shrink the head.
    skull_Nx3 = load_head().deform(subject.shape)[parts.skull]
    low_3, high_3 = skull_Nx3.min(0), skull_Nx3.max(0)
    centre_3 = (low_3 + high_3) / 2
    rotation_3x3 = _rotation(face.yaw, face.pitch, face.roll)

    hairline_Lx2 = _hairline(subject)
    normals_Vx3, cavity_V = vertex_normals(skin_Vx3, load_head().triangles_Tx3)
    hair_Vx3 = hair_shell(
        load_head().rest_Vx3, skin_Vx3, normals_Vx3, hairline_Lx2, centre_3,
        subject.hair_thickness, subject.hair_curtain, subject.hair_curl, subject.texture_6x4,
    )  # fmt: skip
    hair_normals_Vx3, _ = vertex_normals(hair_Vx3, load_head().triangles_Tx3)
    turned_2Vx3 = ((np.concatenate([skin_Vx3, hair_Vx3]) - centre_3) @ rotation_3x3.T).astype(np.float32)
    normals_2Vx3 = (np.concatenate([normals_Vx3, hair_normals_Vx3]) @ rotation_3x3.T).astype(np.float32)
    cavity_2V = np.concatenate([cavity_V, np.zeros_like(cavity_V)])

    head_center = size * (0.5 + np.array(face.offset))
    scale = face.height * size / (_FACE_SHARE * (high_3[1] - low_3[1]))
    projected_2Vx3 = _project(turned_2Vx3, head_center, scale)
    shown = parts.hairy_triangles if subject.hair_thickness >= _THINNEST_SHELL else parts.bald_triangles
    mesh = Mesh(
        parts.triangles_Tx3[:shown], parts.material_T[:shown], parts.uv_Tx3x2, parts.rest_2Vx3,
        turned_2Vx3, normals_2Vx3, cavity_2V,
    )  # fmt: skip
    seen_SxS, weights_SxSx2 = rasterise(
        projected_2Vx3 * np.array([_SUPERSAMPLING, _SUPERSAMPLING, 1], np.float32), mesh.triangles_Tx3,
        mesh.material_T, mesh.rest_Vx3, size * _SUPERSAMPLING, hairline_Lx2, subject.texture_6x4,
    )  # fmt: skip
    eyes_2x3 = np.stack([turned_2Vx3[LEFT_EYEBALL].mean(0), turned_2Vx3[RIGHT_EYEBALL].mean(0)])
    image_SxSx3 = shade(seen_SxS, weights_SxSx2, mesh, _paint(face, hairline_Lx2, eyes_2x3), _SUPERSAMPLING)
    noise_SxSx3 = np.random.default_rng(face.noise_seed).standard_normal(image_SxSx3.shape, np.float32)
    image_SxSx3 = np.clip(image_SxSx3 + np.float32(face.noise) * noise_SxSx3, 0, 1)

    places_Vx2 = projected_2Vx3[: len(skin_Vx3), :2].astype(np.float64)
    eyes = sorted(_point(places_Vx2[eyeball].mean(0)) for eyeball in (LEFT_EYEBALL, RIGHT_EYEBALL))
    face_Nx2 = places_Vx2[parts.face]
    return RenderedFace(
        image_SxSx3=(image_SxSx3 * 255 + 0.5).astype(np.uint8),
        left_eye=eyes[0],
        right_eye=eyes[1],
        head_center=_point(head_center),
        box=(*_point(face_Nx2.min(0)), *_point(face_Nx2.max(0))),
    )


class _HeadParts(NamedTuple):
    """Parts of the mesh, and the mesh with its hair: a second set of vertices, and triangles after the head's own."""

    skull: np.ndarray
    face: np.ndarray
    hem: np.ndarray
    triangles_Tx3: np.ndarray
    material_T: np.ndarray
    uv_Tx3x2: np.ndarray
    rest_2Vx3: np.ndarray
    bald_triangles: int
    hairy_triangles: int


@functools.cache
def _head_parts() -> _HeadParts:
    """Finds the parts by their place in the rest mesh, whose chin is at y = 6.17, eyes at 7.28, crown at 8.49."""
    head = load_head()
    count = len(head.rest_Vx3)
    x_V, y_V, z_V = head.rest_Vx3.T
    x_T, y_T, z_T = head.rest_Vx3[head.triangles_Tx3].mean(1).T
    skin_T = head.material_T == SKIN
    skin_V = np.zeros(count, bool)
    skin_V[head.triangles_Tx3[skin_T]] = True
    # The lashes are solid strips: below the eyes they look like make-up.
    kept_T = (head.material_T != LASHES) | (y_T > 7.275)
    ear_T = (np.abs(x_T) > 0.71) & (y_T > 6.8) & (y_T < 7.4)
    scalp_T = skin_T & ~ear_T & ((y_T > 7.0) | (z_T < 0.72)) & (np.abs(x_T) < 1.0)
    return _HeadParts(
        skull=skin_V & (y_V > 6.17),
        face=skin_V & (y_V < 7.75) & (np.abs(x_V) < 0.74) & (z_V > np.where(y_V > 6.6, 0.75, 1.0)),
        hem=_border(head.triangles_Tx3[skin_T], count) & (y_V < 6.0),
        triangles_Tx3=np.concatenate([head.triangles_Tx3[kept_T], head.triangles_Tx3[scalp_T] + count]),
        material_T=np.concatenate([head.material_T[kept_T], np.full(scalp_T.sum(), HAIR, np.int8)]),
        uv_Tx3x2=np.concatenate([head.uv_Tx3x2[kept_T], head.uv_Tx3x2[scalp_T]]),
        rest_2Vx3=np.concatenate([head.rest_Vx3, head.rest_Vx3]),
        bald_triangles=int(kept_T.sum()),
        hairy_triangles=int(kept_T.sum() + scalp_T.sum()),
    )


def _border(triangles_Tx3: np.ndarray, count: int) -> np.ndarray:
    """Which vertices [count] are on the surface's open border, that is on an edge of one triangle only."""
    edges_Ex2 = np.concatenate([triangles_Tx3[:, [0, 1]], triangles_Tx3[:, [1, 2]], triangles_Tx3[:, [2, 0]]])
    edges_Ex2, uses_E = np.unique(np.sort(edges_Ex2, axis=1), axis=0, return_counts=True)
    border_V = np.zeros(count, bool)
    border_V[edges_Ex2[uses_E == 1]] = True
    return border_V


def _hairline(subject: Subject) -> np.ndarray:
    """The height y of the hair's lower border over the depth z of the rest mesh, from nape to front; float32 [L, 2]."""
    if not subject.hair_thickness:
        return np.array([[-1.0, 9.0], [2.0, 9.0]], np.float32)
    sides = [[0.24, subject.hair_lowest], [0.34, 7.45], [0.60, 7.45], [0.64, 7.12], [0.70, 7.15]]
    if subject.hair_curtain:
        sides = [[0.36, subject.hair_lowest], [0.46, 7.48], [0.66, 7.48]]
    temples = [[0.76, 7.42 + subject.hairline_recession / 2], [1.0, 7.72 + subject.hairline_recession]]
    front = [[1.25, subject.hairline - 0.08 + subject.hairline_recession], [1.5, subject.hairline]]
    return np.array([[-0.6, subject.hair_lowest], *sides, *temples, *front], np.float32)


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turns about the vertical, then nods, then tilts in the picture; float64 [3, 3]."""
    about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _project(turned_Nx3: np.ndarray, head_center: np.ndarray, scale: float) -> np.ndarray:
    """Pixels x and y of a pinhole camera, and the depth, larger towards the camera; float32 [N, 3]."""
    zoom_N = scale * _CAMERA_DISTANCE / (_CAMERA_DISTANCE - turned_Nx3[:, 2])
    x_N, y_N = head_center[0] + turned_Nx3[:, 0] * zoom_N, head_center[1] - turned_Nx3[:, 1] * zoom_N
    return np.column_stack([x_N, y_N, turned_Nx3[:, 2]]).astype(np.float32)


def _point(xy_2: np.ndarray) -> Point:
    return float(xy_2[0]), float(xy_2[1])


def _paint(face: Face, hairline_Lx2: np.ndarray, eyes_2x3: np.ndarray) -> Paint:
    subject, rest_Vx3 = face.subject, load_head().rest_Vx3
    return Paint(
        skin=subject.skin,
        hair=subject.hair_colour,
        brow=subject.brow_colour,
        iris=subject.iris,
        cloth=face.cloth,
        texture_6x4=subject.texture_6x4,
        creases_2xK=subject.creasing * _creases(face.actions, subject.age),
        brow_shift_2x2=_brow_shift(face.actions),
        hairline_Lx2=hairline_Lx2,
        background_Kx6=face.background_Kx6,
        light=face.light,
        light_colour=face.light_colour,
        eyes_2x3=eyes_2x3.astype(np.float64),
        rest_eyes_2x3=np.stack([rest_Vx3[LEFT_EYEBALL].mean(0), rest_Vx3[RIGHT_EYEBALL].mean(0)]).astype(np.float64),
        ambient=face.ambient,
        exposure=face.exposure,
        brow_thickness=subject.brow_thickness,
        brow_arch=subject.brow_arch,
        beard=subject.beard,
        lip_redness=subject.lip_redness,
        freckles=subject.freckles,
        hair_curl=subject.hair_curl,
        stubbly_hair=1.0 if 0 < subject.hair_thickness < _THINNEST_SHELL else 0.0,
    )


def _creases(actions: Mapping[str, float], age: float) -> np.ndarray:
    """How deep every crease of `shading` is, left and right, by muscles and by age; float64 [2, 9] in 0..1.2."""
    rows = []
    for side in ("Left", "Right"):
        unit = _unit_reader(actions, side)
        rows.append(
            (
                unit("browInnerUp") / 1.7,
                unit("browOuterUp") / 1.7,
                unit("browDown") / 2.0,
                unit("noseSneer") / 1.6,
                0.5 * unit("mouthSmile") / 1.5 + 0.8 * unit("noseSneer") / 1.8,
                0.8 * unit("cheekSquint"),
                0.8 * unit("eyeSquint") + 0.3 * unit("cheekSquint"),
                1.2 * unit("mouthShrugLower"),
                0.7 * unit("mouthFrown") / 1.5,
            )
        )
    aged = max(0.0, (age - 0.6) / 0.4)
    return np.clip(np.array(rows) + aged * np.array([0.2, 0.15, 0.1, 0, 0.3, 0.25, 0.3, 0, 0.15]), 0, 1.2)


def _brow_shift(actions: Mapping[str, float]) -> np.ndarray:
    """How far inner and outer brow hairs rise beyond the skin, left and right, in decimetres; float64 [2, 2].

    The mesh's units move the brows less than people do.
    """
    rows = []
    for side in ("Left", "Right"):
        unit = _unit_reader(actions, side)
        inner_up, outer_up, down = unit("browInnerUp"), unit("browOuterUp"), unit("browDown")
        inner = 0.030 * inner_up - 0.028 * down
        outer = 0.025 * outer_up - 0.025 * max(0.0, inner_up - outer_up) + 0.012 * down
        rows.append((inner, outer))
    return np.array(rows)


def _unit_reader(actions: Mapping[str, float], side: str) -> Callable[[str], float]:
    return lambda name: actions.get(f"fu_{name}{side}", actions.get(f"fu_{name}", 0.0))
