"""What muscles do: how an expression moves the face's units, and which action units that is.

Units are ARKit's, by their names without the side; the head's targets for them are "fu_<unit>" or, of two sides,
"fu_<unit>Left" and "fu_<unit>Right".
"""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from emotion_gcn_jax.labels import Expression
from emotion_gcn_jax.rendering.head import load_head

AFFECT_ANCHORS: Mapping[Expression, tuple[float, float]] = {
    Expression.NEUTRAL: (0.0, 0.0),
    Expression.HAPPY: (0.80, 0.40),
    Expression.SAD: (-0.70, -0.45),
    Expression.SURPRISE: (0.20, 0.80),
    Expression.FEAR: (-0.60, 0.75),
    Expression.DISGUST: (-0.75, 0.30),
    Expression.ANGER: (-0.45, 0.65),
}
"""(valence, arousal) of every expression at full intensity: by construction, in the quadrants of Russell's circumplex
of affect (1980), roughly where AffectNet's annotators place the expressions."""

# Muscle actions of every expression at full intensity, as weights of ARKit units, in the spirit of EMFACS; a face takes
# most of one variant and a little of another. The mesh's brow and mouth-corner units are weak: hence weights above 1.
EXPRESSION_ACTIONS: Mapping[Expression, tuple[Mapping[str, float], ...]] = {
    Expression.NEUTRAL: ({},),
    Expression.HAPPY: (
        dict(mouthSmile=1.6, cheekSquint=1.0, eyeSquint=0.4, mouthUpperUp=0.35, jawOpen=0.10),
        dict(mouthSmile=1.5, cheekSquint=0.8, eyeSquint=0.3, mouthDimple=0.5),
        dict(mouthSmile=1.5, cheekSquint=1.2, eyeSquint=0.5, mouthUpperUp=0.5, jawOpen=0.32),
    ),
    Expression.SAD: (
        dict(browInnerUp=2.0, browDown=0.3, mouthFrown=1.7, mouthShrugLower=0.5, eyeBlink=0.12, eyeLookDown=0.25),
        dict(browInnerUp=2.2, browDown=0.2, mouthFrown=1.5, mouthRollLower=0.4, eyeBlink=0.18, eyeLookDown=0.4),
    ),
    Expression.SURPRISE: (
        dict(browInnerUp=1.6, browOuterUp=1.9, eyeWide=1.0, jawOpen=0.75, mouthFunnel=0.3),
        dict(browInnerUp=1.7, browOuterUp=2.0, eyeWide=0.9, jawOpen=0.5, mouthFunnel=0.7),
    ),
    Expression.FEAR: (
        dict(browInnerUp=2.0, browDown=0.5, eyeWide=1.1, mouthStretch=2.2, mouthLowerDown=1.2, jawOpen=0.10),
        dict(browInnerUp=1.8, browDown=0.6, eyeWide=1.1, mouthStretch=2.4, mouthLowerDown=1.0, jawOpen=0.22),
    ),
    Expression.DISGUST: (
        dict(noseSneer=1.9, mouthUpperUp=1.3, browDown=0.6, eyeSquint=1.0, cheekSquint=1.3, mouthFrown=0.7),
        dict(noseSneer=1.8, mouthUpperUp=1.1, browDown=0.6, eyeSquint=0.9, cheekSquint=1.2, tongueOut=1.0)
        | dict(jawOpen=0.30, mouthLowerDown=0.4),
    ),
    Expression.ANGER: (
        dict(browDown=2.4, eyeWide=0.45, mouthRollLower=0.7, mouthRollUpper=0.6, mouthFrown=0.7, noseSneer=0.2)
        | dict(mouthShrugLower=0.3),
        dict(browDown=2.3, eyeWide=0.55, mouthUpperUp=0.6, mouthLowerDown=1.1, mouthFunnel=0.45, noseSneer=0.3)
        | dict(jawOpen=0.10),
    ),
}

# How a face shows that it is a little more aroused or pleasant than its expression's anchor: weights per unit.
_AROUSAL_ACTIONS = {"eyeWide": 1.4, "browOuterUp": 0.5}
_CALM_ACTIONS = {"eyeBlink": 0.9}
_PLEASANT_ACTIONS = {"mouthSmile": 1.4}
_UNPLEASANT_ACTIONS = {"mouthFrown": 1.6}

ACTION_UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AU1": ("browInnerUp",),
        "AU2": ("browOuterUp",),
        "AU4": ("browDown",),
        "AU6": ("cheekSquint",),
        "AU7": ("eyeSquint",),
        "AU10": ("mouthUpperUp",),
        "AU12": ("mouthSmile",),
        "AU15": ("mouthFrown",),
        "AU20": ("mouthStretch",),
        "AU25": ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel"),
        "AU26": ("jawOpen",),
    }
)
"""The action units (FACS) that these faces show, and the units of ARKit of which each is one. Of Aff-Wild2's, AU23 and
AU24 are not among them: ARKit has no unit for the first, and no expression here moves that of the second."""

PRESENT_SHARE = 1 / 3
"""An action unit is present where one of its units moves by this share of the most that an expression moves it (our
choice: about where a reader of the faces begins to see it)."""


def draw_muscles(
    rng: np.random.Generator, mixture: Sequence[tuple[Expression, float]], shift_2: np.ndarray
) -> dict[str, float]:
    """Weights of the head's targets: the mixed expressions, what shows the shift in affect, a little asymmetry."""
    units: dict[str, float] = {}

    def add(actions: Mapping[str, float], weight: float) -> None:
        for unit, value in actions.items():
            units[unit] = units.get(unit, 0.0) + weight * value

    for expression, intensity in mixture:
        variants = EXPRESSION_ACTIONS[expression]
        first, second = rng.integers(len(variants), size=2)
        share = rng.uniform(0.0, 0.3)
        add(variants[first], intensity * (1 - share))
        add(variants[second], intensity * share)
    add(_PLEASANT_ACTIONS if shift_2[0] > 0 else _UNPLEASANT_ACTIONS, abs(shift_2[0]))
    add(_AROUSAL_ACTIONS if shift_2[1] > 0 else _CALM_ACTIONS, abs(shift_2[1]))
    weights: dict[str, float] = {}
    for unit, value in units.items():
        value *= rng.uniform(0.85, 1.15)
        for target in _targets(unit):
            weights[target] = float(value * (rng.uniform(0.9, 1.1) if target != f"fu_{unit}" else 1.0))
    return weights


def draw_gaze(rng: np.random.Generator) -> dict[str, float]:
    """Weights of the head's targets: where the eyes look, mostly ahead."""
    sideways, upwards = rng.normal(0, 0.25), rng.normal(0, 0.15)
    left, right = ("Out", "In") if sideways > 0 else ("In", "Out")
    gaze = {f"fu_eyeLook{left}Left": abs(sideways), f"fu_eyeLook{right}Right": abs(sideways)}
    for side in ("Left", "Right"):
        gaze[f"fu_eyeLook{'Up' if upwards > 0 else 'Down'}{side}"] = abs(upwards)
    return gaze


def mix(*parts: tuple[float, Mapping[str, float]]) -> dict[str, float]:
    """The sum of several targets' weights, each times its factor."""
    total: dict[str, float] = {}
    for factor, weights in parts:
        for target, weight in weights.items():
            total[target] = total.get(target, 0.0) + factor * weight
    return total


def action_units(weights: Mapping[str, float]) -> np.ndarray:
    """Which of ACTION_UNITS are present in a face, int8 of 0 and 1.

    Args:
        weights: of the head's targets; a unit of two sides moves as their mean.
    """

    def moves(unit: str) -> bool:
        targets = _targets(unit)
        return sum(weights.get(target, 0.0) for target in targets) / len(targets) >= PRESENT_SHARE * _most(unit)

    return np.array([any(map(moves, units)) for units in ACTION_UNITS.values()], np.int8)


@functools.cache
def _most(unit: str) -> float:
    return max(actions.get(unit, 0.0) for variants in EXPRESSION_ACTIONS.values() for actions in variants)


@functools.cache
def _targets(unit: str) -> tuple[str, ...]:
    """The head's targets of a unit."""
    return (f"fu_{unit}",) if f"fu_{unit}" in load_head().targets else (f"fu_{unit}Left", f"fu_{unit}Right")
