"""Draws the parameters of synthetic faces: who, which expression, how strongly, from where, in which light.

A face is a pure function of (seed, index). Its valence and arousal are known by construction: no person rated it.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np

from emotion_gcn_jax.labels import Expression
from emotion_gcn_jax.rendering.actions import AFFECT_ANCHORS, EXPRESSION_ACTIONS, draw_gaze, draw_muscles, mix
from emotion_gcn_jax.rendering.head import load_head

FACES_PER_SUBJECT = 2
"""Faces 2k and 2k + 1 show the same head."""

BLEND_SHARE = 0.25
"""Share of the faces with an expression other than neutral that show a second one, weakly."""

_ETHNICITIES = ("african", "asian", "caucasian")
_AGES = ("child", "young", "old")

# Shape targets that change which expression a resting face seems to have: used at a third of their weight.
_EXPRESSIVE_SHAPES = (
    *("mouth-angles", "mouth-lowerlip", "mouth-upperlip", "mouth-trans", "mouth-scale-vert"),
    *("eyebrows-angle", "eyebrows-trans", "eye-height", "eye-corner", "eye-eyefold"),
)
# Shape targets that move the whole head or tear it.
_UNUSED_SHAPES = ("head-trans", "eye-push", "ear-shape")

# Linear RGB albedo from the lightest to the darkest skin.
_SKIN_TONES = np.array([[86, 66, 56], [78, 54, 42], [60, 38, 26], [38, 22, 14], [20, 11.5, 8]]) / 100
# Black, dark brown, brown, fair, red, grey; and how often each is drawn, for heads mostly caucasian and for others.
_HAIR_COLOURS = np.array([[2, 1.7, 1.5], [5, 3, 2], [12, 6.5, 3], [42, 28, 13], [30, 9, 3], [50, 49, 47]]) / 100
_HAIR_CHANCES = {True: (0.15, 0.25, 0.25, 0.22, 0.13, 0.0), False: (0.60, 0.28, 0.08, 0.02, 0.02, 0.0)}
_GREY = 5
# Dark brown, brown, blue, green.
_IRIS_COLOURS = np.array([[10, 5, 2], [18, 10, 4], [18, 28, 42], [16, 24, 12]]) / 100
_IRIS_CHANCES = {True: (0.35, 0.25, 0.25, 0.15), False: (0.75, 0.20, 0.02, 0.03)}

# Hair styles and how often men and women wear them; men lose hair with age, and afros go with african heads.
_STYLES = ("bald", "buzz", "short", "medium", "long", "afro")
_MAN_STYLES = np.array([0.14, 0.22, 0.50, 0.08, 0.03, 0.03])
_WOMAN_STYLES = np.array([0.01, 0.03, 0.16, 0.30, 0.45, 0.05])


@dataclasses.dataclass(frozen=True)
class Subject:
    """A head that does not change between its faces. Colours are linear RGB in 0..1, lengths decimetres.

    Attributes:
        number: of the subject in its set.
        shape: weights of the head's shape targets.
        age: 0 (child) to 1 (old).
        skin: albedo; so are hair_colour, brow_colour and iris.
        hair_colour: of head and beard.
        hair_thickness: 0 for bald heads.
        hair_curtain: how far off the neck's axis long hair hangs; 0 for short hair.
        hair_lowest: height in the rest mesh down to which hair reaches at the back.
        hairline: height in the rest mesh where it begins at the forehead.
        hairline_recession: how much higher it begins at the temples.
        hair_curl: 0 (straight) to 3 (curled).
        brow_colour: of the brows.
        brow_thickness: half of it, at the inner end.
        brow_arch: its height.
        beard: 0 (none) over stubble to 1.
        creasing: how deeply expressions crease this skin, 0 to 1.
        lip_redness: 0 to 1.2.
        iris: its colour.
        freckles: 0 to 1.
        texture_6x4: wave vectors and phases of the skin's and the hair's irregularities.
    """

    number: int
    shape: Mapping[str, float]
    age: float
    skin: np.ndarray
    hair_colour: np.ndarray
    hair_thickness: float
    hair_curtain: float
    hair_lowest: float
    hairline: float
    hairline_recession: float
    hair_curl: float
    brow_colour: np.ndarray
    brow_thickness: float
    brow_arch: float
    beard: float
    creasing: float
    lip_redness: float
    iris: np.ndarray
    freckles: float
    texture_6x4: np.ndarray


@dataclasses.dataclass(frozen=True)
class Face:
    """One face: a subject with an expression, in a pose, in a light, and the errors of the detector that finds it.

    Attributes:
        subject: whose face it is.
        expression: what it shows, or mostly shows.
        intensity: of the expression, 0.5 to 1; 0 for neutral faces.
        second_expression: what it shows a little of; NEUTRAL for none.
        second_intensity: at most 0.4 of the intensity.
        valence: -1 to 1.
        arousal: -1 to 1.
        actions: weights of the head's face units.
        yaw: turn about the vertical in radians.
        pitch: nod in radians, positive downwards.
        roll: tilt in the picture in radians.
        height: of the face, as a share of the scene.
        offset: of the head's centre from the scene's, as shares of the scene.
        light: unit vector towards the light, in the camera's coordinates (x right, y up, z towards the camera).
        light_colour: linear RGB around 1.
        ambient: strength of the light from everywhere.
        cloth: linear RGB of the clothes.
        background_Kx6: see `_background`.
        exposure: factor of the camera.
        noise: deviation of the sensor's noise, of a range of 0..1.
        noise_seed: of its generator.
        box_shift: how far off the box a detector finds the face, in shares of the box's larger side.
        box_scale: how much larger than the box.
        eye_shift_2x2: how far off it finds the eyes, in shares of the box's larger side.
    """

    subject: Subject
    expression: Expression
    intensity: float
    second_expression: Expression
    second_intensity: float
    valence: float
    arousal: float
    actions: Mapping[str, float]
    yaw: float
    pitch: float
    roll: float
    height: float
    offset: tuple[float, float]
    light: np.ndarray
    light_colour: np.ndarray
    ambient: float
    cloth: np.ndarray
    background_Kx6: np.ndarray
    exposure: float
    noise: float
    noise_seed: int
    box_shift: np.ndarray
    box_scale: float
    eye_shift_2x2: np.ndarray


def sample_face(seed: int, index: int, *, expression: Expression | None = None) -> Face:
    """Draws face number `index` of the set `seed`.

    Args:
        seed: of the whole set.
        index: of the face; FACES_PER_SUBJECT consecutive faces share a subject.
        expression: what to show; drawn with equal chances if None.
    """
    rng = np.random.default_rng((seed, 1, index))
    drawn = Expression(int(rng.integers(len(EXPRESSION_ACTIONS))))
    expression = drawn if expression is None else expression
    second_expression, intensity, second_intensity = Expression.NEUTRAL, 0.0, 0.0
    if expression != Expression.NEUTRAL:
        intensity = float(rng.uniform(0.5, 1.0))
        if rng.random() < BLEND_SHARE:
            others = [other for other in EXPRESSION_ACTIONS if other not in (expression, Expression.NEUTRAL)]
            second_expression = others[rng.integers(len(others))]
            second_intensity = intensity * float(rng.uniform(0.2, 0.4))
    mixture = ((expression, intensity), (second_expression, second_intensity))
    shift_2 = np.clip(rng.normal(0, (0.06, 0.08)), -0.2, 0.2)
    affect_2 = sum((share * np.array(AFFECT_ANCHORS[which]) for which, share in mixture), start=shift_2)
    valence, arousal = np.clip(affect_2, -1, 1)
    warmth = rng.normal(0, 0.10)
    return Face(
        subject=sample_subject(seed, index // FACES_PER_SUBJECT),
        expression=expression,
        intensity=intensity,
        second_expression=second_expression,
        second_intensity=second_intensity,
        valence=float(valence),
        arousal=float(arousal),
        actions=mix((1, draw_muscles(rng, mixture, shift_2)), (1, draw_gaze(rng))),
        yaw=float(np.clip(rng.normal(0, 0.27), -0.65, 0.65)),
        pitch=float(np.clip(rng.normal(0.02, 0.14), -0.35, 0.35)),
        roll=float(np.clip(rng.normal(0, 0.15), -0.43, 0.43)),
        height=float(rng.uniform(0.42, 0.50)),
        offset=(float(rng.uniform(-0.04, 0.04)), float(rng.uniform(-0.04, 0.04))),
        light=_light(rng),
        light_colour=np.array([1 + warmth, 1.0, 1 - warmth]) * rng.uniform(0.85, 1.15),
        ambient=float(rng.uniform(0.25, 0.55)),
        cloth=rng.uniform(0.02, 0.7, 3) * rng.uniform(0.3, 1),
        background_Kx6=_background(rng),
        exposure=float(np.exp(rng.normal(0, 0.13))),
        noise=float(rng.uniform(0.0, 0.02)),
        noise_seed=int(rng.integers(1 << 31)),
        box_shift=np.clip(rng.normal(0, 0.04, 2), -0.1, 0.1),
        box_scale=float(np.exp(np.clip(rng.normal(0.02, 0.08), -0.15, 0.18))),
        eye_shift_2x2=np.clip(rng.normal(0, 0.015, (2, 2)), -0.04, 0.04),
    )


def sample_subject(seed: int, number: int) -> Subject:
    """Draws subject `number` of the set `seed`."""
    rng = np.random.default_rng((seed, 0, number))
    ethnicity_3 = rng.dirichlet((0.5, 0.5, 0.5))
    femininity = float(rng.beta(0.4, 0.4))
    low, high = ((0.15, 0.45), (0.5, 0.75), (0.75, 1.0))[rng.choice(3, p=(0.12, 0.58, 0.30))]
    age = float(rng.uniform(low, high))
    darkness = np.clip(ethnicity_3 @ (0.75, 0.32, 0.12) + rng.normal(0, 0.10), 0.0, 1.0) * (len(_SKIN_TONES) - 1)
    skin = np.array([np.interp(darkness, range(len(_SKIN_TONES)), channel) for channel in _SKIN_TONES.T])
    fair = bool(ethnicity_3[2] > 0.5)
    grey = rng.random() < 0.9 * max(0.0, age - 0.72) / 0.28
    hair_colour = _HAIR_COLOURS[_GREY if grey else rng.choice(len(_HAIR_COLOURS), p=_HAIR_CHANCES[fair])]
    hair_colour = np.clip(hair_colour * rng.uniform(0.75, 1.35), 0.01, 0.75)
    style = _STYLES[rng.choice(len(_STYLES), p=_style_chances(femininity, age, ethnicity_3[0]))]
    thickness, curtain, lowest = _hair_measures(rng)[style]
    beard = rng.choice((0.0, rng.uniform(0.15, 0.5), rng.uniform(0.6, 0.95)), p=(0.50, 0.35, 0.15))
    made_up = femininity > 0.6 and rng.random() < 0.4
    return Subject(
        number=number,
        shape=_shape(rng, ethnicity_3, femininity, age),
        age=age,
        skin=skin * (1 + rng.normal(0, 0.03, 3)),
        hair_colour=hair_colour,
        hair_thickness=thickness,
        hair_curtain=curtain,
        hair_lowest=lowest,
        hairline=float(rng.normal(7.98, 0.05)),
        hairline_recession=float(rng.normal(0, 0.07)),
        hair_curl=3.0 if style == "afro" else float(rng.uniform(0, 1)),
        brow_colour=skin * 0.4 if grey else np.minimum(hair_colour * 0.8, skin * 0.45),
        brow_thickness=float(rng.uniform(0.030, 0.050) * (1.1 - 0.3 * femininity)),
        brow_arch=float(rng.uniform(0.02, 0.08)),
        beard=float(beard) if femininity < 0.4 and age > 0.5 else 0.0,
        creasing=float(rng.uniform(0.25, 1.0)),
        lip_redness=float(rng.uniform(0.3, 0.7) + 0.5 * made_up),
        iris=_IRIS_COLOURS[rng.choice(len(_IRIS_COLOURS), p=_IRIS_CHANCES[fair])] * rng.uniform(0.8, 1.3),
        freckles=float(rng.uniform(0.3, 1)) if fair and rng.random() < 0.2 else 0.0,
        texture_6x4=np.column_stack(
            [rng.normal(0, 1, (6, 3)) * np.array([[3], [6], [12], [22], [38], [60]]), rng.uniform(0, 2 * np.pi, 6)]
        ),
    )


def _style_chances(femininity: float, age: float, african: float) -> np.ndarray:
    chances = (1 - femininity) * _MAN_STYLES + femininity * _WOMAN_STYLES
    chances = chances + 0.25 * african * (np.array(_STYLES) == "afro")
    chances = chances + 0.25 * (1 - femininity) * (age > 0.75) * (np.array(_STYLES) == "bald")
    return chances / chances.sum()


def _hair_measures(rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    """Thickness, curtain and lowest point of every hair style, see Subject."""
    return {
        "bald": (0.0, 0.0, 9.0),
        "buzz": (0.012, 0.0, 6.75),
        "short": (rng.uniform(0.05, 0.16), 0.0, 6.7),
        "medium": (rng.uniform(0.10, 0.20), rng.uniform(0.75, 0.85), 6.35),
        "long": (rng.uniform(0.08, 0.18), rng.uniform(0.78, 0.95), 5.5),
        "afro": (rng.uniform(0.25, 0.50), 0.0, 6.6),
    }


def _light(rng: np.random.Generator) -> np.ndarray:
    """Direction towards the light: mostly from above and in front, sometimes from the side or below."""
    azimuth = np.clip(rng.normal(0, 0.8), -1.4, 1.4)
    elevation = np.clip(rng.normal(0.4, 0.4), -0.6, 1.2)
    light = np.array([math.sin(azimuth), math.tan(elevation), math.cos(azimuth)])
    return light / np.linalg.norm(light)


def _shape(rng: np.random.Generator, ethnicity_3: np.ndarray, femininity: float, age: float) -> dict[str, float]:
    """Weights of the shape targets: macros by sex, age and ethnicity; local ones small, nearly alike on both sides."""
    ages = dict(zip(_AGES, np.maximum(0, 1 - np.abs(age - np.array([0.0, 0.5, 1.0])) / 0.5), strict=True))
    sexes = {"male": 1 - femininity, "female": femininity}
    weight = rng.choice(("average", "average", "min", "max"))
    weights: dict[str, float] = {}
    for sex, sex_share in sexes.items():
        for age_name, age_share in ages.items():
            weights[f"uni_{sex}_{age_name}_{weight}"] = sex_share * age_share * 0.8
            for ethnicity, share in zip(_ETHNICITIES, ethnicity_3, strict=True):
                weights[f"mac_{ethnicity}_{sex}_{age_name}"] = sex_share * age_share * share
    local: dict[str, float] = {}
    for name, pair, strength in _local_shapes():
        if pair not in local:
            local[pair] = strength * abs(rng.normal()) if rng.random() < 0.35 else 0.0
        if local[pair]:
            weights[name] = local[pair] * rng.uniform(0.85, 1.15)
    return {name: float(value) for name, value in weights.items() if value}


@functools.cache
def _local_shapes() -> tuple[tuple[str, str, float], ...]:
    """Names of the local shape targets, a name that left and right share, and how strongly they are used."""
    return tuple(
        (name, name.replace("loc_r-", "loc_l-"), 0.08 if any(part in name for part in _EXPRESSIVE_SHAPES) else 0.24)
        for name in load_head().targets
        if name.startswith("loc_") and not any(part in name for part in _UNUSED_SHAPES)
    )


def _background(rng: np.random.Generator) -> np.ndarray:
    """Rows (x, y, radius, red, green, blue): a wide gradient first, then soft blobs; places in shares of the scene."""
    base = rng.uniform(0.05, 0.8) * rng.uniform(0.6, 1.0, 3)
    blobs = rng.integers(2, 9)
    places = np.column_stack([rng.uniform(-0.1, 1.1, (blobs, 2)), rng.uniform(0.05, 0.35, blobs)])
    colours = np.clip(base + rng.normal(0, 0.22, (blobs, 3)), 0.01, 0.95)
    first = np.concatenate([rng.uniform(-1, 1, 2), [0.0], base])
    return np.concatenate([first[None], np.column_stack([places, colours])])
