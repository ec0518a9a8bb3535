"""The colours of the synthetic faces: what every material looks like, and how it is lit.

Textures are functions of the mesh's rest position (chin at y = 6.17, mouth 6.6, eyes 7.28, crown 8.49 decimetres), so
that brows, lips and creases move with the skin. Colours are linear RGB.
"""

import math
from typing import NamedTuple

import numpy as np

from emotion_gcn_jax.rendering.curves import above_hairline, bell, compiled, inlined, normalise, ramp
from emotion_gcn_jax.rendering.head import EYES, HAIR, SKIN, TEETH, TONGUE

# The creases of a face, in the order of the columns of Paint.creases_2xK.
_FOREHEAD, _TEMPLE, _GLABELLA, _NOSE, _NASOLABIAL, _CROW, _LID, _CHIN, _CORNER = range(9)


class Mesh(NamedTuple):
    """What is drawn: T triangles of V vertices.

    Attributes:
        triangles_Tx3: vertex numbers.
        material_T: of `head`.
        uv_Tx3x2: texture coordinates.
        rest_Vx3: the mesh at rest, where textures are looked up.
        places_Vx3: the turned mesh in decimetres, in the camera's directions.
        normals_Vx3: its unit normals.
        cavity_V: from `vertex_normals`.
    """

    triangles_Tx3: np.ndarray
    material_T: np.ndarray
    uv_Tx3x2: np.ndarray
    rest_Vx3: np.ndarray
    places_Vx3: np.ndarray
    normals_Vx3: np.ndarray
    cavity_V: np.ndarray


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


@compiled
def shade(seen_SxS: np.ndarray, weights_SxSx2: np.ndarray, mesh: Mesh, p: Paint, supersampling: int) -> np.ndarray:
    """Colours every pixel of `rasterise`, lights it, and averages squares of supersampling x supersampling pixels.

    Args:
        seen_SxS: from `rasterise`.
        weights_SxSx2: from `rasterise`, barycentric.
        mesh: what was rasterised.
        p: what to paint with.
        supersampling: side of the averaged squares; it divides S.

    Returns:
        float32 [S / supersampling, S / supersampling, 3], sRGB in 0..1.
    """
    side = seen_SxS.shape[0]
    image = np.zeros((side // supersampling, side // supersampling, 3), np.float32)
    colour, rest, place, normal = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    between = p.light + np.array([0.0, 0.0, 1.0])
    normalise(between)
    for row in range(side):
        for column in range(side):
            t, weights_2 = seen_SxS[row, column], weights_SxSx2[row, column]
            if t < 0:
                _background(column / side, row / side, p, colour)
            else:
                _look_up(t, weights_2, mesh, rest, place, normal)
                shine, power, openness = _material(t, weights_2, mesh, rest, place, normal, p, colour)
                _light(shine, power, openness, normal, between, p, colour)
            for k in range(3):
                value = min(1.0, max(0.0, colour[k] * p.exposure))
                image[row // supersampling, column // supersampling, k] += value / supersampling**2
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for k in range(3):
                image[row, column, k] **= 1 / 2.2
    return image


@inlined
def _look_up(
    t: int, weights_2: np.ndarray, mesh: Mesh, rest: np.ndarray, place: np.ndarray, normal: np.ndarray
) -> None:
    """Writes where a place of a triangle is in the mesh at rest and before the camera, and its normal there."""
    a, b, c = mesh.triangles_Tx3[t]
    wa, wb = weights_2
    wc = 1 - wa - wb
    for k in range(3):
        rest[k] = wa * mesh.rest_Vx3[a, k] + wb * mesh.rest_Vx3[b, k] + wc * mesh.rest_Vx3[c, k]
        place[k] = wa * mesh.places_Vx3[a, k] + wb * mesh.places_Vx3[b, k] + wc * mesh.places_Vx3[c, k]
        normal[k] = wa * mesh.normals_Vx3[a, k] + wb * mesh.normals_Vx3[b, k] + wc * mesh.normals_Vx3[c, k]
    normalise(normal)


@inlined
def _light(
    shine: float, power: float, openness: float, normal: np.ndarray, between: np.ndarray, p: Paint, colour: np.ndarray
) -> None:
    """Lights a colour; `between` is the direction halfway between the light and the camera."""
    facing = normal[0] * p.light[0] + normal[1] * p.light[1] + normal[2] * p.light[2]
    mirrored = normal[0] * between[0] + normal[1] * between[1] + normal[2] * between[2]
    # Light wraps a little round the skin, and comes more from above than from below.
    diffuse = 0.95 * max(0.0, (facing + 0.2) / 1.2)
    glint = shine * max(0.0, mirrored) ** power
    sky = p.ambient * (0.75 + 0.25 * normal[1])
    for k in range(3):
        colour[k] *= sky + diffuse * p.light_colour[k]
        colour[k] = openness * (colour[k] + glint * p.light_colour[k])


@compiled
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
            cover = ramp(disc[2], 0.6 * disc[2], math.sqrt(square))
            for k in range(3):
                colour[k] += cover * (disc[3 + k] - colour[k])


# The functions below write a material's colour at a place of the rest mesh, and return how strongly it shines, the
# exponent of its highlight, and how much light reaches it.


@inlined
def _material(
    t: int,
    weights_2: np.ndarray,
    mesh: Mesh,
    rest: np.ndarray,
    place: np.ndarray,
    normal: np.ndarray,
    p: Paint,
    colour: np.ndarray,
) -> tuple[float, float, float]:
    """That of a triangle; an eye also replaces the normal."""
    material = mesh.material_T[t]
    if material == EYES:
        return _eye(rest, place, p, colour, normal)
    if material == HAIR:
        return _hair(rest, p, colour)
    if material != SKIN:
        return _mouth_or_lash(rest, material, p, colour)
    a, b, c = mesh.triangles_Tx3[t]
    wa, wb = weights_2
    wc = 1 - wa - wb
    uv_3x2 = mesh.uv_Tx3x2[t]
    cavity = wa * mesh.cavity_V[a] + wb * mesh.cavity_V[b] + wc * mesh.cavity_V[c]
    u = wa * uv_3x2[0, 0] + wb * uv_3x2[1, 0] + wc * uv_3x2[2, 0]
    v = wa * uv_3x2[0, 1] + wb * uv_3x2[1, 1] + wc * uv_3x2[2, 1]
    return _skin(rest, u, v, cavity, p, colour)


@compiled
def _eye(
    rest: np.ndarray, place: np.ndarray, p: Paint, colour: np.ndarray, normal: np.ndarray
) -> tuple[float, float, float]:
    """White, iris and pupil by the angle from the eye's axis; also replaces the normal by the eyeball's."""
    e = 0 if rest[0] > 0 else 1
    square = 0.0
    for k in range(3):
        square += (rest[k] - p.rest_eyes_2x3[e, k]) ** 2
        normal[k] = place[k] - p.eyes_2x3[e, k]
    normalise(normal)
    angle = math.acos(min(1.0, max(-1.0, (rest[2] - p.rest_eyes_2x3[e, 2]) / math.sqrt(square + 1e-12))))
    iris, pupil = ramp(0.56, 0.52, angle), ramp(0.26, 0.22, angle)
    ring = 0.45 + 0.55 * ramp(0.55, 0.42, angle)
    for k in range(3):
        white = (0.72 - 0.12 * ramp(0.7, 1.2, angle)) * (1.0 if k == 0 else 0.95)
        colour[k] = (white + iris * (p.iris[k] * ring - white)) * (1 - 0.97 * pupil)
    lid_shadow = 0.5 * ramp(0.02, 0.10, place[1] - p.eyes_2x3[e, 1])
    return 0.9, 90.0, 1 - lid_shadow


@compiled
def _hair(rest: np.ndarray, p: Paint, colour: np.ndarray) -> tuple[float, float, float]:
    """Strands from the crown, darker at the roots."""
    x, y, z = rest
    azimuth = math.atan2(x, z - 0.4)
    strands = math.sin(70 * azimuth + (4 + 6 * p.hair_curl) * math.sin(5 * y + 3 * x)) + 0.6 * math.sin(
        160 * azimuth + 9 * y
    )
    root = 0.55 + 0.45 * ramp(0.0, 0.3, above_hairline(x, y, z, p.hairline_Lx2, p.texture_6x4))
    for k in range(3):
        colour[k] = p.hair[k] * (1 + 0.16 * strands) * root
    return 0.06 * (1 + 0.5 * strands), 12.0, 1.0


@compiled
def _mouth_or_lash(rest: np.ndarray, material: int, p: Paint, colour: np.ndarray) -> tuple[float, float, float]:
    """Teeth and tongue, which get darker towards the throat, and lashes."""
    x, _, z = rest
    if material == TEETH:
        gap = 1 - 0.35 * bell(abs((abs(x) / 0.075) % 1.0 - 0.5) - 0.5, 0.12)
        fade = (0.25 + 0.75 * ramp(1.15, 1.45, z)) * gap
        colour[0], colour[1], colour[2] = 0.78 * fade, 0.74 * fade, 0.64 * fade
        return 0.1, 30.0, 1.0
    if material == TONGUE:
        fade = 0.08 + 0.92 * ramp(1.12, 1.40, z)
        colour[0], colour[1], colour[2] = 0.48 * fade, 0.14 * fade, 0.13 * fade
        return 0.08, 20.0, 1.0
    for k in range(3):
        colour[k] = 0.125 * p.skin[k] + 0.01
    return 0.0, 1.0, 1.0


@compiled
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
        fade = 0.25 + 0.75 * ramp(1.0, 1.42, z)
        colour[0], colour[1], colour[2] = 0.10 * fade, 0.018 * fade, 0.018 * fade
        return 0.0, 1.0, 1.0
    if z > 0.7 and 7.2 < y < 7.85:
        _brow(x, y, p, colour)
    ear = abs(x) > 0.71 and 6.8 < y < 7.4 and z > 0.1
    if p.stubbly_hair > 0 and not ear:
        cover = 0.8 * ramp(0.0, 0.06, above_hairline(x, y, z, p.hairline_Lx2, p.texture_6x4))
        for k in range(3):
            colour[k] += cover * (p.hair[k] - colour[k])
    if y < 6.02 - 0.15 * bell(x, 0.5) * (1.0 if z > 0.2 else 0.0):
        for k in range(3):
            colour[k] = p.cloth[k]
    dark = _crease_depth(x, y, z, p.creases_2xK[0 if x > 0 else 1])
    openness = (1 - min(0.85, dark)) * (1 - min(0.6, max(-0.15, 1.6 * cavity)))
    return 0.07 + 0.08 * lip, 14.0 + 20 * lip, openness


@compiled
def _complexion(x: float, y: float, z: float, p: Paint, colour: np.ndarray) -> None:
    """The skin's own colour: irregular, redder on cheeks and nose, perhaps freckled."""
    ax, uneven, spots, blush = abs(x), 0.0, 0.0, 0.12 * math.exp(-(x**2 + (y - 6.95) ** 2) / 0.02)
    for k in range(6):
        wave = p.texture_6x4[k]
        uneven += (0.03 if k < 2 else 0.02) * math.sin(wave[0] * x + wave[1] * y + wave[2] * z + wave[3])
    if p.freckles > 0 and z > 0.8 and ax < 0.6 and y > 6.7:
        pattern = math.sin(83 * x + 3) * math.sin(79 * y + 11 * x) + 0.6 * math.sin(131 * x - 57 * y)
        spots = 0.45 * p.freckles * ramp(0.75, 1.1, pattern) * bell(y - 7.05, 0.3)
    if z > 0.5:
        blush += 0.16 * math.exp(-((ax - 0.45) ** 2 + (y - 6.92) ** 2) / 0.045)
    colour[0] = p.skin[0] * (1 + uneven - 0.7 * spots)
    colour[1] = p.skin[1] * (1 + uneven - spots - blush)
    colour[2] = p.skin[2] * (1 + uneven - spots - blush)


@compiled
def _beard(x: float, y: float, p: Paint, colour: np.ndarray) -> None:
    ax = abs(x)
    jaw = 6.60 + 0.95 * max(0.0, ax - 0.36)
    moustache = ramp(6.66, 6.70, y) * ramp(6.84, 6.78, y) * ramp(0.36, 0.28, ax)
    strands = 0.95 + 0.05 * math.sin(91 * x + 17 * y) * math.sin(63 * y + 29 * x)
    cover = p.beard * max(ramp(jaw + 0.06, jaw - 0.04, y), moustache) * ramp(6.05, 6.25, y) * strands
    for k in range(3):
        colour[k] += cover * (p.hair[k] * 0.7 - colour[k])


@compiled
def _lips(u: float, v: float, p: Paint, colour: np.ndarray) -> float:
    """Paints the lips, an ellipse around the mouth's slit in texture space; returns how much of a lip this place is."""
    across, along = (u - 931 / 1024) / (16 / 1024), (v - 496 / 1024) / (27 / 1024)
    lip = ramp(1.02, 0.84, math.sqrt(across * across + along * along))
    colour[0] += lip * (p.skin[0] * (0.92 - 0.12 * p.lip_redness) - colour[0])
    colour[1] += lip * (p.skin[1] * (0.78 - 0.34 * p.lip_redness) - colour[1])
    colour[2] += lip * (p.skin[2] * (0.80 - 0.32 * p.lip_redness) - colour[2])
    return lip


@compiled
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
    cover = 0.95 * bell(y - line, width) ** 0.8 * ramp(-0.06, 0.06, along) * ramp(1.06, 0.86, along) * hairs
    for k in range(3):
        colour[k] += cover * (p.brow[k] - colour[k])


@compiled
def _crease_depth(x: float, y: float, z: float, c: np.ndarray) -> float:
    """How much the creases darken the skin at a place of the rest mesh; c is the row of creases of that side."""
    ax = abs(x)
    dark = 0.0
    if y > 7.56 and z > 0.9:
        lines = max(0.0, math.cos(2 * math.pi * (y + 0.03 * math.sin(5 * ax) - 7.62) / 0.085)) ** 2
        window = ramp(7.57, 7.63, y) * ramp(7.93, 7.85, y)
        reach = c[_FOREHEAD] * ramp(0.34, 0.22, ax) + c[_TEMPLE] * ramp(0.16, 0.26, ax) * ramp(0.58, 0.42, ax)
        dark += 0.45 * lines * window * min(1.0, reach)
    if y > 7.3 and y < 7.68:
        furrow = bell(ax - 0.05 - 0.15 * (y - 7.45), 0.02) * ramp(7.30, 7.40, y) * ramp(7.66, 7.54, y)
        dark += 0.75 * c[_GLABELLA] * furrow
    if y > 7.0 and y < 7.42 and ax < 0.2:
        lines = max(0.0, math.cos(2 * math.pi * (y + 0.5 * ax - 7.2) / 0.075)) ** 2
        dark += 0.6 * c[_NOSE] * lines * ramp(7.02, 7.1, y) * ramp(7.42, 7.34, y) * ramp(0.19, 0.1, ax)
    if y > 6.45 and y < 7.05 and ax < 0.55:
        t = (7.0 - y) / 0.5
        fold = 0.17 + 0.26 * t - 0.05 * t * t
        dark += 0.7 * c[_NASOLABIAL] * bell(ax - fold, 0.028) * ramp(7.04, 6.95, y) * ramp(6.48, 6.6, y)
        dark -= 0.18 * c[_NASOLABIAL] * bell(ax - fold - 0.08, 0.05) * ramp(7.04, 6.95, y) * ramp(6.48, 6.6, y)
    if ax > 0.45 and y > 7.0 and y < 7.5:
        dx, dy = ax - 0.46, y - 7.27
        radius = math.sqrt(dx * dx + dy * dy)
        rays = max(0.0, math.cos(9 * math.atan2(dy, dx))) ** 2
        dark += 0.5 * c[_CROW] * rays * ramp(0.04, 0.08, radius) * ramp(0.2, 0.12, radius)
    if y > 7.0 and y < 7.25 and ax > 0.12 and ax < 0.55:
        dx, dy = ax - 0.32, y - 7.29
        radius = math.sqrt(0.55 * dx * dx + dy * dy)
        dark += 0.4 * c[_LID] * bell(radius - 0.135, 0.018)
    if y < 6.48 and y > 6.15 and ax < 0.22:
        pebbles = math.sin(45 * x) * math.sin(45 * y + 1) + math.sin(71 * x + 2) * math.sin(66 * y)
        dark += 0.22 * c[_CHIN] * max(0.0, pebbles) * ramp(0.22, 0.12, ax)
        dark += 0.4 * c[_CHIN] * bell(y - 6.45, 0.025) * ramp(0.2, 0.1, ax)
    if y < 6.62 and y > 6.3 and ax > 0.2 and ax < 0.45:
        line = bell(ax - 0.30 - 0.12 * (6.6 - y), 0.025)
        dark += 0.6 * c[_CORNER] * line * ramp(6.62, 6.56, y) * ramp(6.32, 6.45, y)
    return dark
