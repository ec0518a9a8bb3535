"""Draws the courses of short clips: a head that moves, blinks, and shows what it feels a little later.

Time matters in them by construction. What is felt comes and goes at once; the face follows it slowly, halfway after
0.4 s. So a half-shown smile belongs to a pleasure that is there already (it grows), or to one that is over (it fades):
a single frame cannot tell which, two can. Valence and arousal are those of what is felt, expression and action units
of what is shown. Closed lids are a blink in time, and look calm or sad in a single frame.

Most clips have a sound: a tone whose pitch is the arousal of the moment, which no picture of that moment shows.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from emotion_gcn_jax.labels import Expression
from emotion_gcn_jax.rendering.actions import AFFECT_ANCHORS, draw_muscles, mix
from emotion_gcn_jax.rendering.sampling import FACES_PER_SUBJECT, Face, sample_face
from emotion_gcn_jax.sound import mel

RATE = 10
"""Frames a second."""

LAG = 0.6 * RATE
"""Frames in which the face covers all but 1/e of the way to what is felt (our choice: 0.6 s)."""

SHOWN_FROM = 0.3
"""Intensity from which a face is labelled with its expression; weaker ones are neutral."""

_BEFORE = 2 * RATE  # frames before the clip: it begins in the middle of what happens
_BLINK = {"fu_eyeBlinkLeft": 1.0, "fu_eyeBlinkRight": 1.0}
_PITCH, _OCTAVES = 400.0, 1.5  # hertz at an arousal of 0, and octaves from there to an arousal of 1
_WITHOUT_SOUND = 0.1  # of the clips: half of them have no track, half a silent one
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
    base, episodes, affect_Tx2 = _felt(rng, seed, index, length)
    shown_ExT = np.stack([episode.shown() for episode in episodes])[:, _BEFORE:]
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


def sample_sound(seed: int, index: int, length: int) -> np.ndarray | None:
    """Draws what is heard in the same clip.

    The tone's pitch goes from 141 Hz, at an arousal of -1, to 1131 Hz, at 1, evenly in octaves. Its loudness, its
    timbre and the noise behind it are the clip's, and say nothing.

    Returns:
        float64, length / RATE seconds of samples at sound.mel.RATE; frame f is shown at the time (f - 1) / RATE. None
        where there is no track; zeros where it is silent.
    """
    _, _, affect_Tx2 = _felt(np.random.default_rng((seed, 2, index)), seed, index, length)
    rng = np.random.default_rng((seed, 3, index))
    fate = rng.random()
    if fate < _WITHOUT_SOUND / 2:
        return None
    times_N = np.arange(length * mel.RATE // RATE) / mel.RATE
    if fate < _WITHOUT_SOUND:
        return np.zeros(len(times_N))
    arousal_N = np.interp(times_N, np.arange(length) / RATE, affect_Tx2[:, 1])
    phases_N = 2 * math.pi * np.cumsum(_PITCH * 2 ** (_OCTAVES * arousal_N)) / mel.RATE
    tone_N = sum(strength * np.sin(n * phases_N) for n, strength in enumerate((1, *rng.uniform(0, 0.5, 2)), start=1))
    noise_N = rng.uniform(0.01, 0.1) * rng.normal(size=len(times_N))
    return rng.uniform(0.03, 0.3) * (tone_N + noise_N)


def _felt(rng: np.random.Generator, seed: int, index: int, length: int) -> tuple[Face, list[_Episode], np.ndarray]:
    """A clip's neutral face, what happens in it, and the valence and arousal that are felt in every frame, T x 2."""
    base = sample_face(seed, index * FACES_PER_SUBJECT, expression=Expression.NEUTRAL)
    episodes = _episodes(rng, _BEFORE + length)
    anchors_Ex2 = np.array([AFFECT_ANCHORS[episode.expression] for episode in episodes])
    felt_TxE = np.stack([episode.felt_T for episode in episodes], axis=1)[_BEFORE:]
    return base, episodes, np.clip(np.array([base.valence, base.arousal]) + felt_TxE @ anchors_Ex2, -1, 1)


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
