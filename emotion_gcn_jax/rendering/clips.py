"""Draws the courses of short clips: a head that moves, blinks, and shows what it feels a little later.

Time matters in them by construction. What is felt comes and goes at once; the face follows it slowly, halfway after
0.4 s. So a half-shown smile belongs to a pleasure that is there already (it grows), or to one that is over (it fades):
a single frame cannot tell which, two can. Valence and arousal are those of what is felt, expression and action units
of what is shown. Closed lids are a blink in time, and look calm or sad in a single frame.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from emotion_gcn_jax.labels import Expression
from emotion_gcn_jax.rendering.actions import AFFECT_ANCHORS, draw_muscles, mix
from emotion_gcn_jax.rendering.sampling import FACES_PER_SUBJECT, Face, sample_face

RATE = 10
"""Frames a second."""

LAG = 0.6 * RATE
"""Frames in which the face covers all but 1/e of the way to what is felt (our choice: 0.6 s)."""

SHOWN_FROM = 0.3
"""Intensity from which a face is labelled with its expression; weaker ones are neutral."""

_BEFORE = 2 * RATE  # frames before the clip: it begins in the middle of what happens
_BLINK = {"fu_eyeBlinkLeft": 1.0, "fu_eyeBlinkRight": 1.0}
_MISSING_SHARE = 0.06  # of the frames, in runs of one to three: no face was found in them


class _Episode(NamedTuple):
    """An expression, felt in every frame, and the weights of the head's targets when it is shown in full."""

    expression: Expression
    felt_T: np.ndarray
    weights: dict[str, float]

    def shown(self) -> np.ndarray:
        """The intensity shown in every frame: felt, smoothed by a first-order lag from 0."""
        shown, shown_T = 0.0, np.empty_like(self.felt_T)
        for frame, felt in enumerate(self.felt_T):
            shown += (felt - shown) * (1 - math.exp(-1 / LAG))
            shown_T[frame] = shown
        return shown_T


def sample_clip(seed: int, index: int, length: int) -> dict[int, Face]:
    """Draws clip `index` of the set `seed`: its faces by the number of their frame, from 1; some frames are missing.

    Each clip shows a head of its own, in one light and before one background. An `intensity` is what is shown of the
    strongest expression.

    Args:
        seed: of the whole set.
        index: of the clip.
        length: T, frames.
    """
    rng = np.random.default_rng((seed, 2, index))
    base = sample_face(seed, index * FACES_PER_SUBJECT, expression=Expression.NEUTRAL)
    episodes = _episodes(rng, _BEFORE + length)
    shown_ExT = np.stack([episode.shown() for episode in episodes])[:, _BEFORE:]
    anchors_Ex2 = np.array([AFFECT_ANCHORS[episode.expression] for episode in episodes])
    felt_TxE = np.stack([episode.felt_T for episode in episodes], axis=1)[_BEFORE:]
    affect_Tx2 = np.clip(np.array([base.valence, base.arousal]) + felt_TxE @ anchors_Ex2, -1, 1)
    lids_T, turns_Tx3, present_T = _blinks(rng, length), _turns(rng, length), _present(rng, length)
    noise_seeds_T = rng.integers(1 << 31, size=length)
    faces = {}
    for frame in np.flatnonzero(present_T).tolist():
        strongest = int(shown_ExT[:, frame].argmax())
        intensity = float(shown_ExT[strongest, frame])
        parts = [(shown, episode.weights) for shown, episode in zip(shown_ExT[:, frame], episodes, strict=True)]
        yaw, pitch, roll = turns_Tx3[frame]
        faces[frame + 1] = dataclasses.replace(
            base,
            expression=episodes[strongest].expression if intensity >= SHOWN_FROM else Expression.NEUTRAL,
            intensity=intensity,
            valence=float(affect_Tx2[frame, 0]),
            arousal=float(affect_Tx2[frame, 1]),
            actions=mix((1, base.actions), (lids_T[frame], _BLINK), *parts),
            yaw=base.yaw / 2 + yaw,
            pitch=base.pitch / 2 + pitch,
            roll=base.roll / 2 + roll,
            noise_seed=int(noise_seeds_T[frame]),
        )
    return faces


def _episodes(rng: np.random.Generator, length: int) -> list[_Episode]:
    """One after the other until the end, 0.5 to 1.1 s long and 0.3 to 0.9 s apart."""
    episodes: list[_Episode] = []
    start = int(rng.integers(0, RATE))
    while start < length:
        end = start + int(rng.integers(RATE // 2, RATE * 6 // 5))
        felt_T = np.zeros(length)
        felt_T[start:end] = rng.uniform(0.6, 1.0)
        expression = Expression(int(rng.integers(1, len(AFFECT_ANCHORS))))
        episodes.append(_Episode(expression, felt_T, draw_muscles(rng, ((expression, 1.0),), np.zeros(2))))
        start = end + int(rng.integers(RATE // 3, RATE))
    return episodes


def _blinks(rng: np.random.Generator, length: int) -> np.ndarray:
    """How far the lids are closed: two frames every three seconds or so."""
    lids_T = np.zeros(length)
    for frame in np.flatnonzero(rng.random(length) < 1 / (3 * RATE)):
        lids_T[frame : frame + 2] = (1.0, 0.6)[: length - frame]
    return lids_T


def _turns(rng: np.random.Generator, length: int) -> np.ndarray:
    """Turn, nod and tilt in radians, T x 3, about a middle pose: two slow waves each."""
    times_T = np.arange(length) / RATE
    frequencies_2x3, phases_2x3 = rng.uniform(0.1, 0.5, (2, 3)), rng.uniform(0, 2 * math.pi, (2, 3))
    waves_2xTx3 = np.sin(2 * math.pi * frequencies_2x3[:, None] * times_T[:, None] + phases_2x3[:, None])
    return waves_2xTx3.sum(0) * rng.uniform(0, (0.12, 0.06, 0.05))


def _present(rng: np.random.Generator, length: int) -> np.ndarray:
    """In which frames the face was found; the first is always there."""
    present_T = np.ones(length, bool)
    for frame in np.flatnonzero(rng.random(length) < _MISSING_SHARE / 2):
        present_T[frame : frame + int(rng.integers(1, 4))] = False
    present_T[0] = True
    return present_T
