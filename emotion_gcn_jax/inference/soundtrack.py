"""What models that hear hear in videos.

The spectrogram of one video at a time is in the memory: 12.8 kB a second, 46 MB an hour.
"""

import numpy as np

from emotion_gcn_jax.errors import UserError, counted
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.inference.sources import Frame
from emotion_gcn_jax.sound import reading
from emotion_gcn_jax.sound.mel import SILENCE, patch


class Soundtracks:
    """The sounds of videos that come one after the other."""

    def __init__(self) -> None:
        self._source = -1
        self._log_mel_TxM: np.ndarray | None = None

    def at(self, frame: Frame) -> tuple[np.ndarray | None, str | None]:
        """Hears a frame.

        Args:
            frame: of a video's file, after those of other videos or of its own.

        Returns:
            What is heard around its time, from `sound.mel.patch`, or None where the video has no sound; and what is to
            be said of the sound, once a video, or None.
        """
        remark = None
        if frame.source != self._source:
            self._source, self._log_mel_TxM = frame.source, None  # the former one makes room first
            self._log_mel_TxM, remark = _read(frame.name)
        if self._log_mel_TxM is None or frame.time is None:
            return None, remark
        return patch(self._log_mel_TxM, frame.time), remark


def _read(name: str) -> tuple[np.ndarray | None, str | None]:
    """A video's spectrogram, or None as in a dataset (sound/stored.py), and what is wrong with it."""
    unheard = "its faces are judged as if nothing were heard."
    try:
        track = reading.read(user_path(name))
    except UserError as error:
        return None, f"{str(error).removesuffix('.')}; until then {unheard}"
    if not len(track.log_mel_TxM):
        return None, f"{name}: It has no sound track: {unheard}"
    if not (track.log_mel_TxM > SILENCE).any():
        return None, f"{name}: Its sound track is silent: {unheard}"
    damaged = f"{name}: Left out, since damaged: {counted(track.damaged, 'piece')} of its sound."
    return track.log_mel_TxM, damaged if track.damaged else None
