"""The inner loops of the synthetic faces' renderer: normals, hair, rasteriser, shader.

Textures are functions of the mesh's rest position (chin at y = 6.17, mouth 6.6, eyes 7.28, crown 8.49 decimetres), so
that brows, lips and creases move with the skin. Colours are linear RGB. Compiled by numba without Python's lock, for
threads to run side by side. Compiled functions that call each other stay in one file: numba's cache looks no further.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from emotion_gcn_jax.rendering.head import EYES, SKIN, TEETH, TONGUE

HAIR = 5
"""Material of the triangles of `hair_shell`; the others are those of `head`."""

# The creases of a face, in the order of the columns of Paint.creases_2xK.
_FOREHEAD, _TEMPLE, _GLABELLA, _NOSE, _NASOLABIAL, _CROW, _LID, _CHIN, _CORNER = range(9)

_compiled = njit(nogil=True, cache=True, error_model="numpy")


class Paint(NamedTuple):
    """What the shader paints with, see `sampling.Subject` and `sampling.Face`; colours are linear RGB.

    Attributes beyond those: creases_2xK and brow_shift_2x2 for the head's left and right; eyes_2x3, the eyeballs'
    centres in the camera's directions, and rest_eyes_2x3 in the mesh at rest; stubbly_hair, 1 for hair painted on skin.
    """

    skin: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    cloth: np.ndarray
    texture_6x4: np.ndarray
    creases_2xK: np.ndarray
    brow_shift_2x2: np.ndarray
    hairline_Lx2: np.ndarray
    background_Kx6: np.ndarray
    light: np.ndarray
    light_colour: np.ndarray
    eyes_2x3: np.ndarray
    rest_eyes_2x3: np.ndarray
    ambient: float
    exposure: float
    brow_thickness: float
    brow_arch: float
    beard: float
    lip_redness: float
    freckles: float
    hair_curl: float
    stubbly_hair: float


@_compiled
def vertex_normals(vertices_Vx3: np.ndarray, triangles_Tx3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals [V, 3], and how concave the surface is at each vertex [V]: positive in folds, about -0.5 to 0.5."""
    count = vertices_Vx3.shape[0]
    normals_Vx3 = np.zeros((count, 3), np.float32)
    for t in range(triangles_Tx3.shape[0]):
        a, b, c = triangles_Tx3[t]
        for axis in range(3):
            p, q = (axis + 1) % 3, (axis + 2) % 3
            up, uq = vertices_Vx3[b, p] - vertices_Vx3[a, p], vertices_Vx3[b, q] - vertices_Vx3[a, q]
            vp, vq = vertices_Vx3[c, p] - vertices_Vx3[a, p], vertices_Vx3[c, q] - vertices_Vx3[a, q]
            for k in range(3):
                normals_Vx3[triangles_Tx3[t, k], axis] += up * vq - uq * vp
    for i in range(count):
        _normalise(normals_Vx3[i])
    cavity_V, edges_V = np.zeros(count, np.float32), np.zeros(count, np.float32)
    for t in range(triangles_Tx3.shape[0]):
        for k in range(3):
            i, j = triangles_Tx3[t, k], triangles_Tx3[t, (k + 1) % 3]
            rise, square = 0.0, 1e-12
            for axis in range(3):
                d = vertices_Vx3[j, axis] - vertices_Vx3[i, axis]
                rise += d * normals_Vx3[i, axis]
                square += d * d
            cavity_V[i] += rise / math.sqrt(square)
            edges_V[i] += 1
    return normals_Vx3, cavity_V / np.maximum(edges_V, 1)


@_compiled
def hair_shell(
    rest_Vx3: np.ndarray,
    vertices_Vx3: np.ndarray,
    normals_Vx3: np.ndarray,
    hairline_Lx2: np.ndarray,
    centre_3: np.ndarray,
    thickness: float,
    curtain: float,
    curl: float,
    texture_6x4: np.ndarray,
) -> np.ndarray:
    """Vertices [V, 3] of the hair's surface: the scalp's, pushed outwards by `thickness`; the others stay.

    Long hair hangs at least `curtain` off the neck's axis. Lengths are decimetres; see `sampling.Subject`.
    """
    shell_Vx3 = vertices_Vx3.copy()
    for i in range(rest_Vx3.shape[0]):
        x, y, z = rest_Vx3[i]
        above = _above_hairline(x, y, z, hairline_Lx2, texture_6x4)
        if above < -0.15:
            continue
        wave = 1 + 0.1 * curl * math.sin(9 * x + texture_6x4[2, 3]) * math.sin(8 * y + 7 * z)
        push = thickness * (0.1 + 0.9 * _ramp(-0.02, 0.3 + thickness, above)) * wave * (1 + 0.5 * _ramp(7.9, 8.4, y))
        if above < -0.05:
            push = -0.02
        for k in range(3):
            shell_Vx3[i, k] += push * normals_Vx3[i, k]
        if curtain > 0 and y < 7.5 and above > 0:
            dx, dz = shell_Vx3[i, 0] - centre_3[0], shell_Vx3[i, 2] - (centre_3[2] - 0.15)
            radius = math.sqrt(dx * dx + dz * dz) + 1e-6
            strength = _ramp(7.5, 7.2, y) * _ramp(0.0, 0.15, above) * _ramp(0.5, 0.3, z)
            if radius < curtain and strength > 0:
                grow = 1 + strength * (curtain / radius - 1)
                shell_Vx3[i, 0] = centre_3[0] + dx * grow
                shell_Vx3[i, 2] = centre_3[2] - 0.15 + dz * grow
    return shell_Vx3


@_compiled
def rasterise(
    points_Vx3: np.ndarray,
    triangles_Tx3: np.ndarray,
    material_T: np.ndarray,
    rest_Vx3: np.ndarray,
    side: int,
    hairline_Lx2: np.ndarray,
    texture_6x4: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds what is seen where; points are pixels (x, y) and a depth that is larger nearer to the camera.

    Returns:
        The triangle seen in each pixel, int32 [side, side], -1 for none, and the barycentric weights of its first two
        corners there, float32 [side, side, 2]. Hair below its hairline is not there.
    """
    depth = np.full((side, side), -1e9, np.float32)
    seen = np.full((side, side), -1, np.int32)
    weights = np.zeros((side, side, 2), np.float32)
    for t in range(triangles_Tx3.shape[0]):
        i, j, k = triangles_Tx3[t]
        ax, ay, bx, by, cx, cy = (
            points_Vx3[i, 0], points_Vx3[i, 1], points_Vx3[j, 0], points_Vx3[j, 1], points_Vx3[k, 0], points_Vx3[k, 1]
        )  # fmt: skip
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area > -1e-9 and (material_T[t] != HAIR or area < 1e-9):
            continue  # it faces away; hair is seen from both sides
        per_area = 1 / area
        first_x, last_x = max(0, int(math.floor(min(ax, bx, cx)))), min(side - 1, int(math.ceil(max(ax, bx, cx))))
        first_y, last_y = max(0, int(math.floor(min(ay, by, cy)))), min(side - 1, int(math.ceil(max(ay, by, cy))))
        for row in range(first_y, last_y + 1):
            for column in range(first_x, last_x + 1):
                px, py = column + 0.5, row + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * per_area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * per_area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * points_Vx3[i, 2] + v * points_Vx3[j, 2] + w * points_Vx3[k, 2]
                if z <= depth[row, column]:
                    continue
                if material_T[t] == HAIR:
                    rx = u * rest_Vx3[i, 0] + v * rest_Vx3[j, 0] + w * rest_Vx3[k, 0]
                    ry = u * rest_Vx3[i, 1] + v * rest_Vx3[j, 1] + w * rest_Vx3[k, 1]
                    rz = u * rest_Vx3[i, 2] + v * rest_Vx3[j, 2] + w * rest_Vx3[k, 2]
                    if _above_hairline(rx, ry, rz, hairline_Lx2, texture_6x4) < 0:
                        continue
                depth[row, column] = z
                seen[row, column] = t
                weights[row, column, 0] = u
                weights[row, column, 1] = v
    return seen, weights


@_compiled
def shade(
    seen_SxS: np.ndarray,
    weights_SxSx2: np.ndarray,
    triangles_Tx3: np.ndarray,
    material_T: np.ndarray,
    uv_Tx3x2: np.ndarray,
    rest_Vx3: np.ndarray,
    places_Vx3: np.ndarray,
    normals_Vx3: np.ndarray,
    cavity_V: np.ndarray,
    p: Paint,
    supersampling: int,
) -> np.ndarray:
    """Colours every pixel of `rasterise`, lights it, and averages squares of supersampling x supersampling pixels.

    Args:
        seen_SxS: from `rasterise`; so are weights_SxSx2.
        weights_SxSx2: barycentric weights.
        triangles_Tx3: vertex numbers.
        material_T: of `head`, or HAIR.
        uv_Tx3x2: texture coordinates.
        rest_Vx3: the mesh at rest, where textures are looked up.
        places_Vx3: the turned mesh in decimetres, in the camera's directions.
        normals_Vx3: its unit normals.
        cavity_V: from `vertex_normals`.
        p: what to paint with.
        supersampling: side of the averaged squares; it divides S.

    Returns:
        float32 [S / supersampling, S / supersampling, 3], sRGB in 0..1.
    """
    side = seen_SxS.shape[0]
    image = np.zeros((side // supersampling, side // supersampling, 3), np.float32)
    colour, rest, place, normal = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    between = p.light + np.array([0.0, 0.0, 1.0])
    _normalise(between)
    for row in range(side):
        for column in range(side):
            t = seen_SxS[row, column]
            if t < 0:
                _background(column / side, row / side, p, colour)
            else:
                a, b, c = triangles_Tx3[t]
                wa, wb = weights_SxSx2[row, column]
                wc = 1 - wa - wb
                for k in range(3):
                    rest[k] = wa * rest_Vx3[a, k] + wb * rest_Vx3[b, k] + wc * rest_Vx3[c, k]
                    place[k] = wa * places_Vx3[a, k] + wb * places_Vx3[b, k] + wc * places_Vx3[c, k]
                    normal[k] = wa * normals_Vx3[a, k] + wb * normals_Vx3[b, k] + wc * normals_Vx3[c, k]
                _normalise(normal)
                if material_T[t] == SKIN:
                    cavity = wa * cavity_V[a] + wb * cavity_V[b] + wc * cavity_V[c]
                    u = wa * uv_Tx3x2[t, 0, 0] + wb * uv_Tx3x2[t, 1, 0] + wc * uv_Tx3x2[t, 2, 0]
                    v = wa * uv_Tx3x2[t, 0, 1] + wb * uv_Tx3x2[t, 1, 1] + wc * uv_Tx3x2[t, 2, 1]
                    shine, power, openness = _skin(rest, u, v, cavity, p, colour)
                elif material_T[t] == EYES:
                    shine, power, openness = _eye(rest, place, p, colour, normal)
                elif material_T[t] == HAIR:
                    shine, power, openness = _hair(rest, p, colour)
                else:
                    shine, power, openness = _mouth_or_lash(rest, material_T[t], p, colour)
                facing = normal[0] * p.light[0] + normal[1] * p.light[1] + normal[2] * p.light[2]
                mirrored = normal[0] * between[0] + normal[1] * between[1] + normal[2] * between[2]
                # Light wraps a little round the skin, and comes more from above than from below.
                diffuse = 0.95 * max(0.0, (facing + 0.2) / 1.2)
                glint = shine * max(0.0, mirrored) ** power
                sky = p.ambient * (0.75 + 0.25 * normal[1])
                for k in range(3):
                    colour[k] *= sky + diffuse * p.light_colour[k]
                    colour[k] = openness * (colour[k] + glint * p.light_colour[k])
            for k in range(3):
                value = min(1.0, max(0.0, colour[k] * p.exposure))
                image[row // supersampling, column // supersampling, k] += value / supersampling**2
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for k in range(3):
                image[row, column, k] **= 1 / 2.2
    return image


@_compiled
def _background(x: float, y: float, p: Paint, colour: np.ndarray) -> None:
    """A sloping wall with soft discs on it."""
    wall = p.background_Kx6[0]
    slope = 1 + 0.7 * (wall[0] * (x - 0.5) + wall[1] * (y - 0.5))
    for k in range(3):
        colour[k] = wall[3 + k] * slope
    for n in range(1, p.background_Kx6.shape[0]):
        disc = p.background_Kx6[n]
        square = (x - disc[0]) ** 2 + (y - disc[1]) ** 2
        if square < disc[2] ** 2:
            cover = _ramp(disc[2], 0.6 * disc[2], math.sqrt(square))
            for k in range(3):
                colour[k] += cover * (disc[3 + k] - colour[k])


# The functions below write a material's colour at a place of the rest mesh, and return how strongly it shines, the
# exponent of its highlight, and how much light reaches it.


@_compiled
def _eye(
    rest: np.ndarray, place: np.ndarray, p: Paint, colour: np.ndarray, normal: np.ndarray
) -> tuple[float, float, float]:
    """White, iris and pupil by the angle from the eye's axis; also replaces the normal by the eyeball's."""
    e = 0 if rest[0] > 0 else 1
    square = 0.0
    for k in range(3):
        square += (rest[k] - p.rest_eyes_2x3[e, k]) ** 2
        normal[k] = place[k] - p.eyes_2x3[e, k]
    _normalise(normal)
    angle = math.acos(min(1.0, max(-1.0, (rest[2] - p.rest_eyes_2x3[e, 2]) / math.sqrt(square + 1e-12))))
    iris, pupil = _ramp(0.56, 0.52, angle), _ramp(0.26, 0.22, angle)
    ring = 0.45 + 0.55 * _ramp(0.55, 0.42, angle)
    for k in range(3):
        white = (0.72 - 0.12 * _ramp(0.7, 1.2, angle)) * (1.0 if k == 0 else 0.95)
        colour[k] = (white + iris * (p.iris[k] * ring - white)) * (1 - 0.97 * pupil)
    lid_shadow = 0.5 * _ramp(0.02, 0.10, place[1] - p.eyes_2x3[e, 1])
    return 0.9, 90.0, 1 - lid_shadow


@_compiled
def _hair(rest: np.ndarray, p: Paint, colour: np.ndarray) -> tuple[float, float, float]:
    """Strands from the crown, darker at the roots."""
    x, y, z = rest
    azimuth = math.atan2(x, z - 0.4)
    strands = math.sin(70 * azimuth + (4 + 6 * p.hair_curl) * math.sin(5 * y + 3 * x)) + 0.6 * math.sin(
        160 * azimuth + 9 * y
    )
    root = 0.55 + 0.45 * _ramp(0.0, 0.3, _above_hairline(x, y, z, p.hairline_Lx2, p.texture_6x4))
    for k in range(3):
        colour[k] = p.hair[k] * (1 + 0.16 * strands) * root
    return 0.06 * (1 + 0.5 * strands), 12.0, 1.0


@_compiled
def _mouth_or_lash(rest: np.ndarray, material: int, p: Paint, colour: np.ndarray) -> tuple[float, float, float]:
    """Teeth and tongue, which get darker towards the throat, and lashes."""
    x, _, z = rest
    if material == TEETH:
        gap = 1 - 0.35 * _bell(abs((abs(x) / 0.075) % 1.0 - 0.5) - 0.5, 0.12)
        fade = (0.25 + 0.75 * _ramp(1.15, 1.45, z)) * gap
        colour[0], colour[1], colour[2] = 0.78 * fade, 0.74 * fade, 0.64 * fade
        return 0.1, 30.0, 1.0
    if material == TONGUE:
        fade = 0.08 + 0.92 * _ramp(1.12, 1.40, z)
        colour[0], colour[1], colour[2] = 0.48 * fade, 0.14 * fade, 0.13 * fade
        return 0.08, 20.0, 1.0
    for k in range(3):
        colour[k] = 0.125 * p.skin[k] + 0.01
    return 0.0, 1.0, 1.0


@_compiled
def _skin(
    rest: np.ndarray, u: float, v: float, cavity: float, p: Paint, colour: np.ndarray
) -> tuple[float, float, float]:
    """Skin with all that is painted on it: complexion, beard, lips, brows, cropped hair, creases; and clothes."""
    x, y, z = rest
    _complexion(x, y, z, p, colour)
    if p.beard > 0 and 6.0 < y < 7.15 and z > 0.25:
        _beard(x, y, p, colour)
    lip = _lips(u, v, p, colour)
    if lip > 0.99 and z < 1.38 and abs(x) < 0.3 and 6.2 < y < 6.9:
        # Behind the lips: the mouth's cavity.
        fade = 0.25 + 0.75 * _ramp(1.0, 1.42, z)
        colour[0], colour[1], colour[2] = 0.10 * fade, 0.018 * fade, 0.018 * fade
        return 0.0, 1.0, 1.0
    if z > 0.7 and 7.2 < y < 7.85:
        _brow(x, y, p, colour)
    ear = abs(x) > 0.71 and 6.8 < y < 7.4 and z > 0.1
    if p.stubbly_hair > 0 and not ear:
        cover = 0.8 * _ramp(0.0, 0.06, _above_hairline(x, y, z, p.hairline_Lx2, p.texture_6x4))
        for k in range(3):
            colour[k] += cover * (p.hair[k] - colour[k])
    if y < 6.02 - 0.15 * _bell(x, 0.5) * (1.0 if z > 0.2 else 0.0):
        for k in range(3):
            colour[k] = p.cloth[k]
    dark = _crease_depth(x, y, z, p.creases_2xK[0 if x > 0 else 1])
    openness = (1 - min(0.85, dark)) * (1 - min(0.6, max(-0.15, 1.6 * cavity)))
    return 0.07 + 0.08 * lip, 14.0 + 20 * lip, openness


@_compiled
def _complexion(x: float, y: float, z: float, p: Paint, colour: np.ndarray) -> None:
    """The skin's own colour: irregular, redder on cheeks and nose, perhaps freckled."""
    ax, uneven, spots, blush = abs(x), 0.0, 0.0, 0.12 * math.exp(-(x**2 + (y - 6.95) ** 2) / 0.02)
    for k in range(6):
        wave = p.texture_6x4[k]
        uneven += (0.03 if k < 2 else 0.02) * math.sin(wave[0] * x + wave[1] * y + wave[2] * z + wave[3])
    if p.freckles > 0 and z > 0.8 and ax < 0.6 and y > 6.7:
        pattern = math.sin(83 * x + 3) * math.sin(79 * y + 11 * x) + 0.6 * math.sin(131 * x - 57 * y)
        spots = 0.45 * p.freckles * _ramp(0.75, 1.1, pattern) * _bell(y - 7.05, 0.3)
    if z > 0.5:
        blush += 0.16 * math.exp(-((ax - 0.45) ** 2 + (y - 6.92) ** 2) / 0.045)
    colour[0] = p.skin[0] * (1 + uneven - 0.7 * spots)
    colour[1] = p.skin[1] * (1 + uneven - spots - blush)
    colour[2] = p.skin[2] * (1 + uneven - spots - blush)


@_compiled
def _beard(x: float, y: float, p: Paint, colour: np.ndarray) -> None:
    ax = abs(x)
    jaw = 6.60 + 0.95 * max(0.0, ax - 0.36)
    moustache = _ramp(6.66, 6.70, y) * _ramp(6.84, 6.78, y) * _ramp(0.36, 0.28, ax)
    strands = 0.95 + 0.05 * math.sin(91 * x + 17 * y) * math.sin(63 * y + 29 * x)
    cover = p.beard * max(_ramp(jaw + 0.06, jaw - 0.04, y), moustache) * _ramp(6.05, 6.25, y) * strands
    for k in range(3):
        colour[k] += cover * (p.hair[k] * 0.7 - colour[k])


@_compiled
def _lips(u: float, v: float, p: Paint, colour: np.ndarray) -> float:
    """Paints the lips, an ellipse around the mouth's slit in texture space; returns how much of a lip this place is."""
    across, along = (u - 931 / 1024) / (16 / 1024), (v - 496 / 1024) / (27 / 1024)
    lip = _ramp(1.02, 0.84, math.sqrt(across * across + along * along))
    colour[0] += lip * (p.skin[0] * (0.92 - 0.12 * p.lip_redness) - colour[0])
    colour[1] += lip * (p.skin[1] * (0.78 - 0.34 * p.lip_redness) - colour[1])
    colour[2] += lip * (p.skin[2] * (0.80 - 0.32 * p.lip_redness) - colour[2])
    return lip


@_compiled
def _brow(x: float, y: float, p: Paint, colour: np.ndarray) -> None:
    """A brow along a line that runs outwards (along = 0 to 1), arches, and follows Paint.brow_shift_2x2."""
    along = (abs(x) - 0.09) / 0.50
    if along < -0.1 or along > 1.1:
        return
    inner, outer = p.brow_shift_2x2[0 if x > 0 else 1]
    clamped = min(1.0, max(0.0, along))
    line = 7.485 + p.brow_arch * math.sin(clamped * math.pi * 0.85) - 0.04 * max(0.0, along - 0.65)
    line += inner + (outer - inner) * clamped
    width = p.brow_thickness * (1.15 - 0.65 * clamped)
    hairs = 0.95 + 0.05 * math.sin(160 * (abs(x) + 0.6 * y))
    cover = 0.95 * _bell(y - line, width) ** 0.8 * _ramp(-0.06, 0.06, along) * _ramp(1.06, 0.86, along) * hairs
    for k in range(3):
        colour[k] += cover * (p.brow[k] - colour[k])


@_compiled
def _crease_depth(x: float, y: float, z: float, c: np.ndarray) -> float:
    """How much the creases darken the skin at a place of the rest mesh; c is the row of creases of that side."""
    ax = abs(x)
    dark = 0.0
    if y > 7.56 and z > 0.9:
        lines = max(0.0, math.cos(2 * math.pi * (y + 0.03 * math.sin(5 * ax) - 7.62) / 0.085)) ** 2
        window = _ramp(7.57, 7.63, y) * _ramp(7.93, 7.85, y)
        reach = c[_FOREHEAD] * _ramp(0.34, 0.22, ax) + c[_TEMPLE] * _ramp(0.16, 0.26, ax) * _ramp(0.58, 0.42, ax)
        dark += 0.45 * lines * window * min(1.0, reach)
    if y > 7.3 and y < 7.68:
        furrow = _bell(ax - 0.05 - 0.15 * (y - 7.45), 0.02) * _ramp(7.30, 7.40, y) * _ramp(7.66, 7.54, y)
        dark += 0.75 * c[_GLABELLA] * furrow
    if y > 7.0 and y < 7.42 and ax < 0.2:
        lines = max(0.0, math.cos(2 * math.pi * (y + 0.5 * ax - 7.2) / 0.075)) ** 2
        dark += 0.6 * c[_NOSE] * lines * _ramp(7.02, 7.1, y) * _ramp(7.42, 7.34, y) * _ramp(0.19, 0.1, ax)
    if y > 6.45 and y < 7.05 and ax < 0.55:
        t = (7.0 - y) / 0.5
        fold = 0.17 + 0.26 * t - 0.05 * t * t
        dark += 0.7 * c[_NASOLABIAL] * _bell(ax - fold, 0.028) * _ramp(7.04, 6.95, y) * _ramp(6.48, 6.6, y)
        dark -= 0.18 * c[_NASOLABIAL] * _bell(ax - fold - 0.08, 0.05) * _ramp(7.04, 6.95, y) * _ramp(6.48, 6.6, y)
    if ax > 0.45 and y > 7.0 and y < 7.5:
        dx, dy = ax - 0.46, y - 7.27
        radius = math.sqrt(dx * dx + dy * dy)
        rays = max(0.0, math.cos(9 * math.atan2(dy, dx))) ** 2
        dark += 0.5 * c[_CROW] * rays * _ramp(0.04, 0.08, radius) * _ramp(0.2, 0.12, radius)
    if y > 7.0 and y < 7.25 and ax > 0.12 and ax < 0.55:
        dx, dy = ax - 0.32, y - 7.29
        radius = math.sqrt(0.55 * dx * dx + dy * dy)
        dark += 0.4 * c[_LID] * _bell(radius - 0.135, 0.018)
    if y < 6.48 and y > 6.15 and ax < 0.22:
        pebbles = math.sin(45 * x) * math.sin(45 * y + 1) + math.sin(71 * x + 2) * math.sin(66 * y)
        dark += 0.22 * c[_CHIN] * max(0.0, pebbles) * _ramp(0.22, 0.12, ax)
        dark += 0.4 * c[_CHIN] * _bell(y - 6.45, 0.025) * _ramp(0.2, 0.1, ax)
    if y < 6.62 and y > 6.3 and ax > 0.2 and ax < 0.45:
        line = _bell(ax - 0.30 - 0.12 * (6.6 - y), 0.025)
        dark += 0.6 * c[_CORNER] * line * _ramp(6.62, 6.56, y) * _ramp(6.32, 6.45, y)
    return dark


@_compiled
def _above_hairline(x: float, y: float, z: float, hairline_Lx2: np.ndarray, texture_6x4: np.ndarray) -> float:
    """Height above the ragged lower border of the hair."""
    line = np.interp(z, hairline_Lx2[:, 0], hairline_Lx2[:, 1])
    ragged = 0.02 * math.sin(13 * x + texture_6x4[0, 3]) + 0.006 * math.sin(163 * x + 91 * z + texture_6x4[1, 3])
    return y - line + ragged


@_compiled
def _ramp(low: float, high: float, x: float) -> float:
    """0 at `low`, 1 at `high`, smooth between; `low` may be the larger."""
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3 - 2 * t)


@_compiled
def _bell(x: float, width: float) -> float:
    return math.exp(-((x / width) ** 2))


@_compiled
def _normalise(vector_3: np.ndarray) -> None:
    length = math.sqrt(vector_3[0] * vector_3[0] + vector_3[1] * vector_3[1] + vector_3[2] * vector_3[2]) + 1e-12
    for axis in range(3):
        vector_3[axis] /= length
