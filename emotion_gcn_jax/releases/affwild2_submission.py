"""What a model says of videos, in the forms in which the ABAW competition takes it; its codes are Aff-Wild2's.

The first editions took files as their annotations are: one for each track (a person of a video), a line of names, then
a line a frame. Later ones take one table of all frames, and the multi-task set's is of single images.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import ABAW_UNITS, CLASS_ORDERS

_ORDER = CLASS_ORDERS["affwild2"]
_WORDS = _ORDER.vocabulary  # in the order of the codes, which are 0, 1, ...
_NAMES = tuple(_ORDER.names[code] for code in range(len(_WORDS)))

FrameAnswers = Mapping[str, np.ndarray]
"""By a model's outputs, N each: classes' probabilities, "Valence" and "Arousal", whether AU1, AU2, ... are there."""


@dataclasses.dataclass(frozen=True)
class Track:
    """All T frames of a person of a video, in their order.

    Attributes:
        name: of its folder of frames.
        numbers: int T, the frames' numbers.
        rows: int T, which of the N answers each has; a frame without an answer of its own has another one's.
        answered: bool T, which frames have their own.
    """

    name: str
    numbers: np.ndarray
    rows: np.ndarray
    answered: np.ndarray

    def lines(self, line_of_N: Sequence[str], chosen_T: np.ndarray) -> list[str]:
        """The names of some frames' images with the lines of their answers."""
        numbers, rows = self.numbers[chosen_T].tolist(), self.rows[chosen_T].tolist()
        return [f"{self.name}/{n:05d}.jpg,{line_of_N[row]}" for n, row in zip(numbers, rows, strict=True)]


def file_names(form: str, tracks: Sequence[Track]) -> tuple[str, ...]:
    """Returns what a submission's files are called."""
    return tuple(f"{track.name}.txt" for track in tracks) if form in _KINDS else ("predictions.txt",)


def files(form: str, answers: FrameAnswers, tracks: Sequence[Track]) -> dict[str, str]:
    """Returns the files of a submission by their names.

    Args:
        form: one of FORMS.
        answers: the model's.
        tracks: of all videos.

    Raises:
        UserError: the model does not say what the form asks for.
    """
    if form == "mtl":
        parts = [_affect(answers)[1], _expressions(answers)[1], _action_units(answers, (12,))[1]]
        lines = [",".join(cells) for cells in zip(*parts, strict=True)]
        rows = [row for track in tracks for row in track.lines(lines, track.answered)]
        texts = [_text("image,valence,arousal,expression,aus", rows)]  # five names for 16 cells, as the official file
        return dict(zip(file_names(form, tracks), texts, strict=True))
    kind, _, is_table = form.partition("_")
    names, lines = _KINDS[kind](answers)
    if is_table:
        rows = [row for track in tracks for row in track.lines(lines, np.ones_like(track.answered))]
        texts = [_text(",".join(("image_location", *names)), rows)]
    else:
        rows_of = [track.rows[track.numbers > 0].tolist() for track in tracks]  # row n is frame n, from 1
        texts = [_text(",".join(names), [lines[row] for row in rows]) for rows in rows_of]
    return dict(zip(file_names(form, tracks), texts, strict=True))


def _expressions(answers: FrameAnswers) -> tuple[Sequence[str], list[str]]:
    """The names of the first seven classes or of all eight, and the code of every row."""
    words = tuple(word for word in _WORDS if word in answers)
    if words not in (_WORDS[:-1], _WORDS):
        raise _lacking(f"the expressions {', '.join(_WORDS[:-1])}, with or without {_WORDS[-1]}", answers)
    codes_N = np.stack([answers[word] for word in words], axis=1).argmax(axis=1)
    return _NAMES[: len(words)], [str(code) for code in codes_N.tolist()]


def _affect(answers: FrameAnswers) -> tuple[Sequence[str], list[str]]:
    """Valence and arousal of every row, within their scale."""
    if not {"Valence", "Arousal"} <= answers.keys():
        raise _lacking("valence and arousal", answers)
    values_Nx2 = np.clip(np.stack([answers["Valence"], answers["Arousal"]], axis=1), -1, 1)
    return ("valence", "arousal"), [f"{valence:.6g},{arousal:.6g}" for valence, arousal in values_Nx2.tolist()]


def _action_units(answers: FrameAnswers, counts: Sequence[int] = (12, 8)) -> tuple[Sequence[str], list[str]]:
    """The names of the first edition's units that the model has all of; and 0 or 1 for each of a row."""
    units = next((ABAW_UNITS[count] for count in counts if set(ABAW_UNITS[count]) <= answers.keys()), None)
    if units is None:
        raise _lacking(f"the action units {' or '.join(', '.join(ABAW_UNITS[count]) for count in counts)}", answers)
    flags_NxA = np.stack([answers[unit] for unit in units], axis=1).astype(int)
    return units, [",".join(map(str, flags)) for flags in flags_NxA.tolist()]


def _lacking(wanted: str, answers: FrameAnswers) -> UserError:
    return UserError(
        f"This form needs a model that says {wanted}, and this one says {', '.join(answers)}: choose another form, one "
        f"of {', '.join(FORMS)}, or another model."
    )


def _text(names: str, lines: Sequence[str]) -> str:
    return "\n".join([names, *lines]) + "\n"


_KINDS: Mapping[str, Callable[[FrameAnswers], tuple[Sequence[str], list[str]]]] = {
    "expr": _expressions,
    "va": _affect,
    "au": _action_units,
}

FORMS = (*_KINDS, *(f"{kind}_table" for kind in _KINDS), "mtl")
"""A file for each track; one table of all frames, which has them by image_location (the sixth edition); the multi-task
set's table, of those images that there are."""
