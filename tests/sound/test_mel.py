"""The spectrogram: the numbers of the Aff-Wild2 spec, section 14, and NumPy's own sum for one band."""

import numpy as np
import pytest

from emotion_gcn_jax.sound import mel


def tone(hertz, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * mel.RATE)) / mel.RATE)


def test_the_scale_is_htks():
    np.testing.assert_allclose(mel.hertz_to_mel(1000.0), 999.9855, atol=1e-4 / 2)
    np.testing.assert_allclose(mel.mel_to_hertz(mel.hertz_to_mel([0.0, 440.0, 8000.0])), [0, 440, 8000], atol=1e-9)


def test_a_tone_of_1000_hertz():
    found = mel.log_mel(tone(1000.0))
    assert found.shape == (101, 64) and found.dtype == np.float32
    assert found[50].argmax() == 22
    np.testing.assert_allclose(found[50, 22], 41.3067, atol=1e-4)


def test_silence():
    np.testing.assert_array_equal(mel.log_mel(np.zeros(mel.RATE)), np.full((101, 64), -100))
    assert mel.log_mel(np.zeros(0)).shape == (0, 64)
    np.testing.assert_array_equal(mel.log_mel(np.zeros(1)), np.full((1, 64), -100))


def test_filters_are_triangles_that_reach_one_between_their_neighbours():
    filters_KxM = mel.mel_filters()
    corners = mel.mel_to_hertz(np.linspace(0, mel.hertz_to_mel(8000.0), 66))
    frequencies = np.arange(257) * 16_000 / 512
    for band in range(64):
        expected = np.interp(frequencies, corners[band : band + 3], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(filters_KxM[:, band], expected, atol=1e-12)


def test_a_step_is_the_power_of_a_hann_window_of_25_milliseconds():
    samples = np.random.default_rng(0).normal(size=3_000)
    window = np.sin(np.pi * np.arange(400) / 400) ** 2  # Hann's, periodic
    spectrum = np.fft.rfft(samples[1600 - 200 : 1600 + 200] * window, 512)  # around step 10
    expected = 10 * np.log10(np.abs(spectrum) ** 2 @ mel.mel_filters())
    np.testing.assert_allclose(mel.log_mel(samples)[10], expected, rtol=1e-5)


def test_a_long_sound_is_the_same_in_blocks(monkeypatch):
    samples = np.random.default_rng(0).normal(size=16_000)
    whole = mel.log_mel(samples)
    monkeypatch.setattr(mel, "_BLOCK", 7)
    np.testing.assert_array_equal(mel.log_mel(samples), whole)


@pytest.mark.parametrize("block", [7, 4_096])
@pytest.mark.parametrize("length", [0, 1, 200, 600, 5_000, 16_123])
def test_a_sound_in_pieces_is_the_same_as_in_one(block, length, monkeypatch):
    monkeypatch.setattr(mel, "_BLOCK", block)
    samples = np.random.default_rng(0).normal(size=length)
    pieces = np.split(samples, [place for place in (1, 2, 300, 311, 2_000, 12_000) if place < length])
    found = list(mel.log_mel_blocks(pieces))
    assert len(found) > 3 or length < 3_000 or block > 7
    expected = mel.log_mel(samples)
    assert len(expected) == (1 + length // 160 if length else 0)
    np.testing.assert_allclose(np.concatenate([expected[:0], *found]), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("seconds", "silent", "first"),
    # Of 3 seconds, 301 steps: the patch begins 48 steps before the moment.
    [(1.0, [], 52), (0.2, range(28), 0), (2.9, range(59, 96), 242), (9.0, range(96), None)],
)
def test_a_patch_is_centred_on_its_moment(seconds, silent, first):
    steps_TxM = np.repeat(np.arange(301, dtype=np.float16)[:, None] / 10, 64, axis=1)
    found = mel.patch(steps_TxM, seconds)
    assert found.shape == (96, 64) and found.dtype == np.float32
    assert np.flatnonzero((found == -3).all(1)).tolist() == list(silent)  # (-100 + 40) / 20
    if first is not None:
        np.testing.assert_allclose(found[len(silent) if seconds < 1 else 0], (first / 10 + 40) / 20, atol=0.01)
