"""Sound as a picture: the energy of 64 bands of pitch, a hundred times a second (Aff-Wild2 spec, section 9; ours).

The bands are HTK's: triangles that are evenly spaced in mel and reach 1, as librosa's filters.mel(htk=True, norm=None).
(librosa's own default and torchaudio's have other scales and areas.)
"""

from collections.abc import Iterable, Iterator

import numpy as np

RATE = 16_000  # samples a second
HOP = 160  # samples from a step to the next: 10 ms
BANDS = 64
STEPS = 96  # of a patch: 0.96 s
SILENCE = -100.0  # dB: the least energy that counts is 1e-10

_WINDOW, _FFT = 400, 512  # samples: 25 ms, with zeros on both sides
_HIGHEST = 8_000.0  # Hz
_BLOCK = 4_096  # steps that are computed at a time, which bounds the memory


def log_mel(samples_N: np.ndarray) -> np.ndarray:
    """The energy of every band at every step, in dB.

    Args:
        samples_N: one channel at RATE, floating point, 1 being the loudest.

    Returns:
        float32 [1 + N // HOP, BANDS], at least SILENCE. Step k is of the time k * HOP / RATE; the sound is mirrored
        at both ends. Nothing of nothing.
    """
    return np.concatenate([np.zeros((0, BANDS), np.float32), *log_mel_blocks([samples_N])])


def log_mel_blocks(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the same block by block, of a sound that comes in pieces of any lengths: it never is there as a whole."""
    parts, count, has_begun = list[np.ndarray](), 0, False
    for piece_N in pieces:
        parts.append(piece_N.astype(np.float64))
        count += len(piece_N)
        if count < _BLOCK * HOP + _FFT:
            continue
        held_N = np.concatenate(parts)
        if not has_begun:
            held_N, has_begun = np.pad(held_N, (_FFT // 2, 0), mode="reflect"), True
        yield from _blocks(held_N)
        parts = [held_N[_step_count(held_N) * HOP :]]  # 352 samples or more: enough for the mirror at the end
        count = len(parts[0])
    if not count:
        return
    held_N = np.concatenate(parts)
    margins = (0 if has_begun else _FFT // 2, _FFT // 2)
    yield from _blocks(np.pad(held_N, margins, mode="reflect" if len(held_N) > 1 else "edge"))


def mel_filters() -> np.ndarray:
    """How much of every frequency of the spectrum belongs to every band: float64 [257, BANDS] in 0..1."""
    corners_M2 = mel_to_hertz(np.linspace(0, hertz_to_mel(_HIGHEST), BANDS + 2))
    frequencies_Kx1 = np.fft.rfftfreq(_FFT, 1 / RATE)[:, None]
    low_M, middle_M, high_M = corners_M2[:-2], corners_M2[1:-1], corners_M2[2:]
    rising_KxM = (frequencies_Kx1 - low_M) / (middle_M - low_M)
    falling_KxM = (high_M - frequencies_Kx1) / (high_M - middle_M)
    return np.maximum(np.minimum(rising_KxM, falling_KxM), 0)


def hertz_to_mel(hertz: np.ndarray | float) -> np.ndarray:
    """HTK's scale of pitch."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def mel_to_hertz(mel: np.ndarray | float) -> np.ndarray:
    """The inverse of `hertz_to_mel`."""
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


def patch(log_mel_TxM: np.ndarray, seconds: float) -> np.ndarray:
    """What a network hears around a moment, about 1 second long.

    Args:
        log_mel_TxM: from `log_mel`; float16 will do.
        seconds: the moment, that of a video's frame; it is at step STEPS / 2 of the patch.

    Returns:
        float32 [STEPS, BANDS], (dB + 40) / 20; silence where there is no sound.
    """
    first = round(seconds * RATE / HOP) - STEPS // 2
    places_S = first + np.arange(STEPS)
    is_sound_S = (places_S >= 0) & (places_S < len(log_mel_TxM))
    patch_SxM = np.full((STEPS, BANDS), SILENCE, np.float32)
    patch_SxM[is_sound_S] = log_mel_TxM[places_S[is_sound_S]]
    return (patch_SxM + 40) / 20


def _blocks(padded_N: np.ndarray) -> Iterator[np.ndarray]:
    frames_TxF = np.lib.stride_tricks.sliding_window_view(padded_N, _FFT)[::HOP]
    window_F = np.pad(np.hanning(_WINDOW + 1)[:-1], (_FFT - _WINDOW) // 2)  # periodic: without its last zero
    filters_KxM = mel_filters()
    for first in range(0, len(frames_TxF), _BLOCK):
        spectrum_TxK = np.fft.rfft(frames_TxF[first : first + _BLOCK] * window_F)
        power_TxM = np.abs(spectrum_TxK) ** 2 @ filters_KxM
        yield (10 * np.log10(np.maximum(power_TxM, 10 ** (SILENCE / 10)))).astype(np.float32)


def _step_count(padded_N: np.ndarray) -> int:
    return (len(padded_N) - _FFT) // HOP + 1
