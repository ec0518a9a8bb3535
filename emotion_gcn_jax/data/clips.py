"""Clips: so many successive frame *numbers* of one track, so that a step of a network in time is a step of real time.

A track is what the column `video` names, one person in one video; the column `frame` has the numbers. Those without an
example are holes: a frame that could not be cut out, or that has no label. A hole repeats the nearest earlier frame of
its clip, else the first later one, and its labels are missing.

In a batch a clip is `length` rows, one after the other.
"""

import dataclasses
import functools

import numpy as np

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError

_OFFSETS = 1 << 62  # in an offset's key, beside the epoch: the keys of permutations (batches.py) are without it

Windows = tuple[np.ndarray, np.ndarray]
"""The rows of clips, int64 K x T, and which of them are frames of their own and no repetitions, bool K x T."""


@dataclasses.dataclass(frozen=True)
class Clips:
    """How tracks are cut.

    Attributes:
        length: T, frames; 1 is single images, which need neither tracks nor numbers.
        min_present: the share of a clip's numbers, as far as they lie within the track, that must be examples for
            training to take it (Aff-Wild2 spec, section 8; our choice).
    """

    length: int = 1
    min_present: float = 0.75

    def of_epoch(self, split: Split, seed: int, epoch: int) -> Windows:
        """All clips of a training epoch, track after track.

        Each track is cut at an offset of its own, drawn from (seed, epoch, track): so every frame comes once an epoch,
        and what goes before it changes. A track that is no longer than a clip is cut at its beginning.

        Args:
            split: the examples.
            seed: of the offsets, below 2^31.
            epoch: from 0, below 2^31; of a batch's further streams, one that no other stream has.

        Raises:
            UserError: no clip has enough frames, or the examples have no tracks or numbers.
        """
        found = [
            _fill(frames_F, rows_F, self._starts(frames_F, self._offset(frames_F, seed, epoch, number)), self.length)
            for number, (frames_F, rows_F) in enumerate(tracks(split))
        ]
        rows_KxT, fresh_KxT = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if not len(rows_KxT):  # by chance, or always
            found = [
                _fill(frames_F, rows_F, self._starts(frames_F, 0), self.length) for frames_F, rows_F in tracks(split)
            ]
            rows_KxT, fresh_KxT = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if not len(rows_KxT):
            raise UserError(
                f"No clip of {self.length} frames of {split!r} has {self.min_present:.0%} of them: choose a smaller "
                f"config.clip.length or config.clip.min_present."
            )
        return rows_KxT, fresh_KxT

    def count(self, split: Split) -> int:
        """How many clips an epoch has in the mean over all offsets, rounded down; those of an epoch vary a little."""
        total = 0.0
        for frames_F, _ in tracks(split):
            offsets = range(self.length) if self._is_longer(frames_F) else (0,)
            total += sum(len(self._starts(frames_F, offset)) for offset in offsets) / len(offsets)
        return int(total + 1e-6)

    def of_evaluation(self, split: Split) -> Windows:
        """Clips that have every example exactly once among the rows that are not repetitions.

        They start at frame 1 and go on without overlap; the last one of a track ends with it, and what it shares with
        the one before counts as repetition here, since it is judged there.

        Raises:
            UserError: the examples have no tracks or numbers.
        """
        parts = []
        for frames_F, rows_F in tracks(split):
            first, last = min(1, int(frames_F[0])), int(frames_F[-1])
            starts = np.arange(first, last + 1, self.length)
            judged = starts[-1]
            starts[-1] = max(last - self.length + 1, first)
            rows_KxT, fresh_KxT = _fill(frames_F, rows_F, starts, self.length)
            fresh_KxT[-1] &= starts[-1] + np.arange(self.length) >= judged
            some_K = fresh_KxT.any(axis=1)
            parts.append((rows_KxT[some_K], fresh_KxT[some_K]))
        rows_KxT, fresh_KxT = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return rows_KxT, fresh_KxT

    def _offset(self, frames_F: np.ndarray, seed: int, epoch: int, track: int) -> int:
        if not self._is_longer(frames_F):
            return 0
        # Raw words of a counter-based generator are the same under every version of NumPy.
        return int(np.random.Philox(key=[seed + (track << 32), epoch + _OFFSETS]).random_raw() % self.length)

    def _is_longer(self, frames_F: np.ndarray) -> bool:
        """Whether a track is longer than a clip."""
        return bool(frames_F[-1] - frames_F[0] >= self.length)

    def _starts(self, frames_F: np.ndarray, offset: int) -> np.ndarray:
        """The first numbers of the clips of a track that have enough frames."""
        first, last = int(frames_F[0]), int(frames_F[-1])
        starts = np.arange(first + offset - (self.length if offset else 0), last + 1, self.length)
        within_K = np.minimum(starts + self.length - 1, last) - np.maximum(starts, first) + 1
        present_K = np.searchsorted(frames_F, starts + self.length) - np.searchsorted(frames_F, starts)
        kept_K = (present_K >= self.min_present * within_K) & (present_K > 0)
        return starts[kept_K]


SINGLE_IMAGES = Clips()


@functools.lru_cache(maxsize=8)
def tracks(split: Split) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Every track's frame numbers, ascending, and their rows of the split; in the order of the tracks' names.

    Raises:
        UserError: the examples have no tracks or numbers, or a track has a number twice.
    """
    if not {"video", "frame"} <= split.columns.keys():
        raise UserError(
            f"Clips are cut by the columns video and frame, and {split!r} has {', '.join(sorted(split.columns))}: "
            f"choose another dataset, or set config.clip.length to 1."
        )
    names_N, numbers_N = split.columns["video"], split.whole_numbers("frame")
    names, track_of_N = np.unique(names_N, return_inverse=True)
    order_N = np.lexsort((numbers_N, track_of_N))
    same_N = (np.diff(track_of_N[order_N]) == 0) & (np.diff(numbers_N[order_N]) == 0)
    if same_N.any():
        row = order_N[np.flatnonzero(same_N)[0]]
        raise UserError(f"Frame {numbers_N[row]} of {names_N[row].decode()} in {split!r} is there twice: keep one.")
    of_tracks = np.split(order_N, np.searchsorted(track_of_N[order_N], np.arange(1, len(names))))
    return tuple((numbers_N[rows_F], rows_F) for rows_F in of_tracks)


def _fill(frames_F: np.ndarray, rows_F: np.ndarray, starts_K: np.ndarray, length: int) -> Windows:
    """The rows of clips of a track; one without any frame has those of another, all of them repetitions."""
    numbers_KxT = starts_K[:, None] + np.arange(length)
    place_KxT = np.searchsorted(frames_F, numbers_KxT, side="right") - 1  # of the nearest frame that is not later
    first_K = np.searchsorted(frames_F, starts_K)
    place_KxT = np.clip(np.maximum(place_KxT, first_K[:, None]), 0, len(frames_F) - 1)
    return rows_F[place_KxT], frames_F[place_KxT] == numbers_KxT
