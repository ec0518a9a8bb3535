"""CK+'s examples: which frames of a sequence papers use, and how they divide subjects or sequences."""

import collections
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from emotion_gcn_jax.errors import UserError, counted
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit, Skip, unlikely_counts
from emotion_gcn_jax.releases.ck_plus_layout import CLASSES, FrameSequence
from emotion_gcn_jax.releases.dividing import apportion, divide
from emotion_gcn_jax.releases.images import read_image
from emotion_gcn_jax.releases.landmarks import COUNT
from emotion_gcn_jax.releases.tables import number

FRAME_MISSING = "frame missing"
LANDMARKS_MISSING = "landmarks missing"
LANDMARKS_UNUSABLE = "landmarks unusable"

FOLDS = tuple(f"fold_{number}" for number in range(1, 11))
"""The ten splits by subject."""

Cut = Callable[[np.ndarray, np.ndarray | None], bytes]
"""Makes the stored image file of a uint8 RGB image and its landmarks, float64 [68, 2] of x and y in pixels; None for an
image that is cut to the face. May raise UserError."""

_NEUTRAL, _CONTEMPT = 0, 2  # CK+'s codes
_SHARES = (0.2, 0.1)  # of the sequences to test and to validate by, where they are divided at random

# The labelled sequences by code and by fold, and their subjects (the sources are in tfds_builders/ck_plus/README.md).
_OF_CODES = MappingProxyType({1: 45, 2: 18, 3: 59, 4: 25, 5: 69, 6: 28, 7: 83})
_OF_FOLDS = dict(zip(FOLDS, (33, 39, 40, 35, 30, 37, 29, 29, 33, 22), strict=True))
_SUBJECTS = 118


class Protocol(NamedTuple):
    """Which frames are examples, and how they are divided.

    Attributes:
        description: in a sentence.
        last: how many frames at a sequence's end have its label.
        neutral: whether the first frame is an example of Neutral.
        contempt: whether sequences of Contempt count.
        by_subject: the ten FOLDS, which share no subject; else train, validation and test at random.
    """

    description: str
    last: int = 3
    neutral: bool = False
    contempt: bool = True
    by_subject: bool = True

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes, in the order of CK+'s codes."""
        left_out = {_NEUTRAL: not self.neutral, _CONTEMPT: not self.contempt}
        return tuple(str(word) for code, word in CLASSES.words.items() if not left_out.get(int(code)))


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "last3_subject10": Protocol("The last three frames, seven classes, ten folds that share no subject."),
        "with_neutral": Protocol("The same and the first frame as Neutral, eight classes.", neutral=True),
        "with_neutral_7": Protocol(
            "The same without the sequences of Contempt, seven classes.", neutral=True, contempt=False
        ),
        "peak_random": Protocol(
            "The last frame, seven classes, 70/10/20 at random: subjects are on both sides, as in published numbers "
            "near 98 %.",
            last=1,
            by_subject=False,
        ),
    }
)


class Frame(NamedTuple):
    """A frame that should be an example."""

    image: pathlib.Path
    sequence: FrameSequence
    expression: int


def splits(sequences: Sequence[FrameSequence], protocol: Protocol, cut: Cut, seed: int) -> dict[str, ReleaseSplit]:
    """What a build makes of the sequences.

    Args:
        sequences: of `read_sequences`.
        protocol: one of PROTOCOLS.
        cut: makes the stored images.
        seed: of a division at random.

    Returns:
        The splits by name. An example has its `subject` (S005) and its sequence in `video` (S005_001), and its
        `expression` is a place in the protocol's label_names.

    Raises:
        UserError: the protocol needs first frames, which CK+48 does not have, or there are too few sequences.
    """
    if protocol.neutral and any(sequence.landmarks is None for sequence in sequences):
        raise UserError(
            "Expected whole sequences, whose first frames are neutral, and found CK+48, which has their last three "
            "frames: build last3_subject10 or peak_random, or take the original release."
        )
    chosen = [sequence for sequence in sequences if protocol.contempt or sequence.code != _CONTEMPT]
    split_of = _by_subject(sequences) if protocol.by_subject else _at_random(chosen, seed)
    warnings = _unlikely(sequences, split_of if protocol.by_subject else {})
    make = functools.partial(_example, cut=cut)
    found: dict[str, ReleaseSplit] = {}
    for split in FOLDS if protocol.by_subject else ("train", "validation", "test"):
        entries = [e for sequence in chosen if split_of[sequence.name] == split for e in _entries(sequence, protocol)]
        found[split] = ReleaseSplit(entries, len(entries), make, warnings=() if found else warnings)
    return found


def _by_subject(sequences: Sequence[FrameSequence]) -> dict[str, str]:
    """Deals the subjects to the folds in the order of their names, as the fold list published by Emotion-FAN does."""
    subjects = sorted({sequence.subject for sequence in sequences})
    return {sequence.name: FOLDS[subjects.index(sequence.subject) % len(FOLDS)] for sequence in sequences}


def _at_random(sequences: Sequence[FrameSequence], seed: int) -> dict[str, str]:
    words = {sequence.name: _word(sequence) for sequence in sequences if _word(sequence)}
    counts = collections.Counter(words.values())
    test, validation = (round(share * len(words)) for share in _SHARES)
    divided = divide(words, test=apportion(counts, test), validation=validation, seed=seed)
    return {sequence.name: "train" for sequence in sequences} | divided


def _word(sequence: FrameSequence) -> str:
    """The class, "" where it is not known."""
    return "" if isinstance(sequence.code, Skip) else str(CLASSES.words[sequence.code])


def _unlikely(sequences: Sequence[FrameSequence], fold_of: Mapping[str, str]) -> tuple[str, ...]:
    """Compares the numbers of labelled sequences with the release's."""
    expected = {str(CLASSES.words[code]): count for code, count in _OF_CODES.items()} | {"subjects": _SUBJECTS}
    found = collections.Counter(map(_word, sequences))
    found["subjects"] = len({sequence.subject for sequence in sequences})
    if fold_of:
        expected |= _OF_FOLDS
        found.update(fold_of.values())
    return unlikely_counts(expected, found, slack=0)


def _entries(sequence: FrameSequence, protocol: Protocol) -> Iterator[Entry]:
    if isinstance(sequence.code, Skip):
        yield Entry(sequence.name, sequence.name, sequence.code)
        return
    needed = protocol.last + protocol.neutral
    if len(sequence.frames) < needed:
        found = f"{counted(len(sequence.frames), 'frame')}, {needed} were expected"
        yield Entry(sequence.name, sequence.name, Skip(FRAME_MISSING, found))
        return
    place = protocol.label_names.index(_word(sequence))
    frames = [(image, place) for image in sequence.frames[-protocol.last :]]
    if protocol.neutral:
        frames.insert(0, (sequence.frames[0], protocol.label_names.index("Neutral")))
    for image, expression in frames:
        yield Entry(image.stem, f"{sequence.name}/{image.name}", Frame(image, sequence, expression))


def _example(frame: Frame, cut: Cut) -> Example:
    image_HxWx3 = read_image(frame.image)
    folder = frame.sequence.landmarks
    try:
        encoded = cut(image_HxWx3, None if folder is None else _landmarks(folder / f"{frame.image.stem}_landmarks.txt"))
    except UserError as error:
        raise Skip(LANDMARKS_UNUSABLE, str(error)) from None
    return {
        "image": encoded,
        "expression": frame.expression,
        "subject": frame.sequence.subject,
        "video": frame.sequence.name,
    }


def _landmarks(file: pathlib.Path) -> np.ndarray:
    """68 lines of x and y: float64 [68, 2]."""
    try:
        text = file.read_text(errors="replace")
    except OSError as error:
        raise Skip(LANDMARKS_MISSING, f"{file.name}: {error.strerror}") from None
    numbers = np.asarray([number(word) for word in text.split()])
    if numbers.shape != (2 * COUNT,) or not np.isfinite(numbers).all():
        raise Skip(
            LANDMARKS_UNUSABLE, f"{np.isfinite(numbers).sum()} numbers in {file.name}, {2 * COUNT} were expected"
        )
    return numbers.reshape(COUNT, 2)
