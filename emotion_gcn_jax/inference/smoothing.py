"""Smooths the answers of every track over time: an exponential mean, whose memory is a time and not a number of frames.

Nothing here knows of videos or models; `smooth` is a pure function.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

Answers = Mapping[str, np.ndarray]
"""What is said of one face: every task's answers, float32 [W], by the task's name."""

Smoothed = Mapping[int, tuple[float, Answers]]
"""By the track's number: when it was last seen, in seconds, and its answers then, smoothed."""


def smooth(
    before: Smoothed, tracks: Sequence[int], answers: Sequence[Answers], time: float, memory: float
) -> tuple[Smoothed, list[Answers]]:
    """Mixes the answers to a frame's faces with those to the same tracks before.

    An old answer's share falls to 1/e in the memory's time. Means of probabilities are probabilities again.

    Args:
        before: from the frame before; {} at first.
        tracks: the number of every face's track.
        answers: every face's.
        time: of the frame in seconds.
        memory: in seconds; 0 leaves the answers as they are.

    Returns:
        What the next frame needs, without tracks that have not been seen for ten memories; and every face's answers.
    """
    if memory <= 0:
        return {}, list(answers)
    smoothed = []
    for track, new in zip(tracks, answers, strict=True):
        if track in before:
            last, old = before[track]
            kept = math.exp(-max(0.0, time - last) / memory)
            new = {name: (kept * old[name] + (1 - kept) * new[name]).astype(np.float32) for name in new}
        smoothed.append(new)
    remembered = {track: known for track, known in before.items() if time - known[0] <= 10 * memory}
    return remembered | {track: (time, said) for track, said in zip(tracks, smoothed, strict=True)}, smoothed
