"""Clips with known truth: what lags behind what, what one frame cannot tell, and which action units are present."""

import numpy as np
import pytest

from configs import synthetic_clips
from emotion_gcn_jax.labels import Expression
from emotion_gcn_jax.rendering import clips
from emotion_gcn_jax.rendering.actions import ACTION_UNITS, action_units
from emotion_gcn_jax.rendering.sampling import Face
from emotion_gcn_jax.sound import mel
from emotion_gcn_jax.tasks.values import Values

LENGTH = 12


@pytest.fixture(scope="module")
def drawn() -> list[dict[int, Face]]:
    return [clips.sample_clip(0, index, LENGTH) for index in range(150)]


def test_the_face_follows_what_is_felt() -> None:
    """By hand, of a lag of six frames: 1 - exp(-1/6), 1 - exp(-2/6), and that times exp(-1/6) and exp(-2/6)."""
    episode = clips._Episode(Expression.HAPPY, np.array([0.0, 1, 1, 0, 0]), {})
    assert clips.LAG == 6
    np.testing.assert_allclose(episode.shown(), [0, 0.153518, 0.283469, 0.239951, 0.203114], atol=1e-6)


def test_two_frames_tell_valence_and_arousal_and_one_does_not(drawn: list[dict[int, Face]]) -> None:
    """Even who sees exactly how every muscle moves: the best linear guess from one frame, and from two."""
    pairs = [(clip[frame - 1], clip[frame]) for clip in drawn for frame in clip if frame - 1 in clip]
    targets = sorted({target for _, face in pairs for target in face.actions})
    before_NxU, now_NxU = (
        np.array([[pair[place].actions.get(target, 0.0) for target in targets] for pair in pairs]) for place in (0, 1)
    )
    affect_Nx2 = np.array([(face.valence, face.arousal) for _, face in pairs])
    known_N = np.arange(len(pairs)) < len(pairs) * 2 // 3  # of other clips than those judged

    def ccc_of(features_NxF: np.ndarray) -> float:
        features_NxF = np.column_stack([features_NxF, np.ones(len(pairs))])
        weights = np.linalg.lstsq(features_NxF[known_N], affect_Nx2[known_N], rcond=None)[0]
        affect = Values(name="affect", dimensions=("valence", "arousal"))
        return affect.metrics(affect_Nx2[~known_N], features_NxF[~known_N] @ weights)["ccc_mean"]

    one, two = ccc_of(now_NxU), ccc_of(np.column_stack([now_NxU, before_NxU]))
    assert one < 0.75 and two > 0.95, (one, two)


def test_clips_have_all_that_makes_them_hard(drawn: list[dict[int, Face]]) -> None:
    faces = [face for clip in drawn for face in clip.values()]
    missing = 1 - len(faces) / (len(drawn) * LENGTH)
    assert 0.03 < missing < 0.09 and all(1 in clip and max(clip) <= LENGTH for clip in drawn)
    counts = np.bincount([face.expression for face in faces], minlength=7) / len(faces)
    assert counts.min() > 0.03 and counts.argmax() == Expression.NEUTRAL
    assert (np.array([face.intensity >= clips.SHOWN_FROM for face in faces]) == [f.expression > 0 for f in faces]).all()
    blinks = np.mean([face.actions.get("fu_eyeBlinkLeft", 0.0) > 0.5 for face in faces])
    assert 0.02 < blinks < 0.12
    assert len({clip[1].subject.number for clip in drawn}) == len(drawn)
    for clip in drawn:
        yaw = [face.yaw for face in clip.values()]
        assert np.ptp(yaw) > 0 and len({face.subject.number for face in clip.values()}) == 1
    again = clips.sample_clip(0, 7, LENGTH)
    assert [(face.valence, face.yaw, face.actions) for face in again.values()] == [
        (face.valence, face.yaw, face.actions) for face in drawn[7].values()
    ]


def test_the_tone_s_pitch_is_the_arousal_of_the_moment(drawn: list[dict[int, Face]]) -> None:
    """400 Hz, and one and a half octaves up or down, where the arousal stands still for three frames."""
    errors, fates = [], {"heard": 0, "silent": 0, "missing": 0}
    for index, clip in enumerate(drawn[:75]):
        samples = clips.sample_sound(0, index, LENGTH)
        fate = "missing" if samples is None else "heard" if samples.any() else "silent"
        fates[fate] += 1
        if fate != "heard":
            continue
        assert len(samples) == 1.2 * mel.RATE and 0.02 < np.abs(samples).max() < 1
        for frame in clip:
            about = np.arange(-400, 401) + (frame - 1) * mel.RATE // clips.RATE  # 50 ms
            arousals = [clip[near].arousal for near in clip if abs(near - frame) < 2]
            if about[0] < 0 or len(arousals) < 3 or np.ptp(arousals) > 0.01:
                continue
            spectrum = np.abs(np.fft.rfft(samples[about] * np.hanning(len(about)), 1 << 14))
            errors.append(spectrum.argmax() * mel.RATE / (1 << 14) / (400 * 2 ** (1.5 * clip[frame].arousal)) - 1)
    assert len(errors) > 150 and np.abs(errors).max() < 0.1
    assert fates["heard"] > 60 and fates["silent"] and fates["missing"]


@pytest.mark.parametrize(
    ("weights", "present"),
    [
        ({}, ()),
        ({"fu_mouthSmileLeft": 0.55, "fu_mouthSmileRight": 0.55}, ("AU12",)),  # of at most 1.6: from 0.533
        ({"fu_mouthSmileLeft": 0.51, "fu_mouthSmileRight": 0.51}, ()),
        ({"fu_mouthSmileLeft": 1.0}, ()),  # as its mean, 0.5
        ({"fu_jawOpen": 0.26, "fu_browInnerUp": 0.8}, ("AU1", "AU25", "AU26")),  # from 0.25 and 0.733
        ({"fu_mouthFunnel": 0.3}, ("AU25",)),  # from 0.233
    ],
)
def test_action_units_of_arkit_s(weights: dict[str, float], present: tuple[str, ...]) -> None:
    found = action_units(weights)
    assert tuple(name for name, value in zip(ACTION_UNITS, found, strict=True) if value) == present


def test_the_config_learns_all_action_units() -> None:
    config = synthetic_clips.get_config()
    assert config.tasks.action_units.names.split(",") == list(ACTION_UNITS)
    assert config.data.batch_size % config.clip.length == 0
    assert synthetic_clips.get_config("mt_res,resnet18").clip.length == 1
