"""A model's answers as files that a challenge takes: every frame of every video, also where no face was found."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from emotion_gcn_jax.data import clips
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.releases import affwild2_submission
from emotion_gcn_jax.releases.affwild2_submission import FrameAnswers, Track
from emotion_gcn_jax.tasks.registry import Tasks

_LENGTH = "video_frames"


@dataclasses.dataclass(frozen=True)
class Submission:
    """Files to be written; everything that may be wrong with them is found before the model runs.

    Attributes:
        form: one of affwild2_submission.FORMS.
        tracks: of the split.
        directory: where they go.
    """

    form: str
    tracks: Sequence[Track]
    directory: pathlib.Path

    @classmethod
    def prepared(cls, form: str, split: Split, tasks: Tasks, directory: PathLike) -> "Submission":
        """Checks what there is before a model runs.

        Args:
            form: one of affwild2_submission.FORMS.
            split: all examples that will be judged, labelled or not, with the columns video and frame.
            tasks: the model's.
            directory: where the files will go.

        Raises:
            UserError: the split has no tracks, the model does not say what the form asks for, or the directory has
                files of another submission.
        """
        nothing = {output: np.zeros(0) for task in tasks for output in task.outputs}
        affwild2_submission.files(form, nothing, ())
        found, directory = _tracks(split), user_path(directory)
        names = affwild2_submission.file_names(form, found)
        if others := sorted(path.name for path in directory.glob("*.txt") if path.name not in names):
            raise UserError(
                f"Expected no files of another submission in {directory}, and found {listed(others)}: delete them, or "
                "choose another --output."
            )
        return cls(form, found, directory)

    def write(self, predictions: Predictions) -> None:
        """Writes the files, each whole or not at all.

        Args:
            predictions: of the whole split.

        Raises:
            UserError: one cannot be written.
        """
        written = affwild2_submission.files(self.form, _answers(predictions), self.tracks)
        try:
            for name, text in written.items():
                atomic_write(self.directory / name, text.encode())
        except OSError as error:
            raise UserError(
                f"The submission cannot be written into {self.directory} ({error.strerror}): choose another --output."
            ) from None


def _answers(predictions: Predictions) -> FrameAnswers:
    """By output; what is true or false of a face for itself is so here, too."""
    found: dict[str, np.ndarray] = {}
    for task in predictions.tasks:
        answers_NxW = predictions.answers[task.name]
        decided_NxW = None if task.exclusive else task.decided(answers_NxW)
        shown_NxW = answers_NxW if decided_NxW is None else decided_NxW
        found |= dict(zip(task.outputs, shown_NxW.T, strict=True))
    return found


def _tracks(split: Split) -> list[Track]:
    """Every track with all its numbers, from 1 to its video's last; a hole has the answer of the frame before it.

    The last is said by the column video_frames; where there is none, it is the last example's.
    """
    if missing := [name for name in ("video", "frame") if name not in split.columns]:
        raise UserError(
            f"A submission needs the columns video and frame (a track's name, and a frame's number in it), and "
            f"{split!r} has no {' and no '.join(missing)}: choose another dataset or table."
        )
    frame_N = split.whole_numbers("frame")
    length_N = split.whole_numbers(_LENGTH) if _LENGTH in split.columns else frame_N
    found = []
    for frames_F, rows_F in clips.tracks(split):
        name = split.columns["video"][rows_F[0]].decode()
        if pathlib.PurePath(name).name != name:
            raise UserError(f"A submission's files are called as the videos are, and {name!r} of {split!r} is no name.")
        numbers_T = np.arange(min(1, frames_F[0]), max(frames_F[-1], length_N[rows_F].max()) + 1)
        place_T = np.maximum(np.searchsorted(frames_F, numbers_T, side="right") - 1, 0)
        found.append(Track(name, numbers_T, rows_F[place_T], np.isin(numbers_T, frames_F)))
    return found
