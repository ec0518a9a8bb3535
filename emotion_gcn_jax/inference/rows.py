"""The table of predictions: a row a face, in columns that depend on the model's tasks alone."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from emotion_gcn_jax.files import name_in_text
from emotion_gcn_jax.inference.own_boxes import BOX, LEFT_EYE, RIGHT_EYE
from emotion_gcn_jax.inference.results import FacePrediction, ImagePrediction
from emotion_gcn_jax.tasks.registry import Tasks

Row = dict[str, Any]
"""Texts and numbers by their columns; None where nothing is known."""

_PLACES = {
    "file": str,
    "frame": int,
    "time": float,
    "track": int,
    "face": int,
    **dict.fromkeys((*BOX, *LEFT_EYE, *RIGHT_EYE, "score"), float),
}
_MICROSECONDS = 6  # digits of a time


def columns(tasks: Tasks) -> Mapping[str, type]:
    """The columns in their order, each with the type of what stands in it: str, int or float."""
    said = _said(tasks, {task.name: task.describe(np.zeros(len(task.outputs), np.float32)) for task in tasks})
    return _PLACES | {column: type(value) for column, value in said.items()}


def rows(prediction: ImagePrediction, tasks: Tasks) -> Iterator[Row]:
    """Yields a row for every face of a picture or a frame, from the left to the right; places keep every bit."""
    for place, face in enumerate(prediction.faces):
        yield {
            "file": name_in_text(prediction.image),
            "frame": prediction.frame,
            "time": None if prediction.time is None else round(prediction.time, _MICROSECONDS),
            "track": prediction.tracks[place] if prediction.tracks else None,
            "face": place + 1,
            **_places(face),
            **_said(tasks, face.answers),
        }


def _places(face: FacePrediction) -> Row:
    pairs = zip((LEFT_EYE, RIGHT_EYE), (face.left_eye, face.right_eye), strict=True)
    eyes = {column: place for names, eye in pairs for column, place in zip(names, eye or (None, None), strict=True)}
    return {**dict(zip(BOX, face.box, strict=True)), **eyes, "score": face.score}


def _said(tasks: Tasks, answers: Mapping[str, Mapping[str, Any]]) -> Row:
    """What every task says, with six digits, which are a float32's worth.

    A column that an earlier one has gets its task's name before it, as in FacePrediction.
    """
    row: Row = {}
    for task in tasks:
        for column, value in task.row(answers[task.name]).items():
            name = f"{task.name}_{column}" if column in row or column in _PLACES else column
            row[name] = value if isinstance(value, str) else float(f"{value:.6g}")
    return row
