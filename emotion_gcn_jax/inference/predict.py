"""Predicts image files: each through the detector, their faces together through the network, and out to the reader.

A file that fails costs one line, not the others.
"""

import dataclasses
import itertools
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from emotion_gcn_jax import runtime
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import detection, pictures
from emotion_gcn_jax.files import atomic_write, user_path
from emotion_gcn_jax.inference.model import EmotionModel, load, placed
from emotion_gcn_jax.inference.overlay import draw_faces
from emotion_gcn_jax.inference.results import FacePrediction, ImagePrediction
from emotion_gcn_jax.tasks.registry import Tasks

# Judged together once there are so many faces, or so many files.
_FACES, _FILES = 32, 16

_LONGEST_NAME = 40

_NUMBER = re.compile(r"[+-]?[\d.]+")


def run(
    checkpoint: str | None, files: Sequence[str], *, json_file: str | None, overlay_directory: str | None, detect: bool
) -> int:
    """Predicts files; prints a table, and a line to standard error for each that has no answer.

    Args:
        checkpoint: a training run's directory, one checkpoint or a model's file; None is the shipped model.
        files: the images' paths; a folder stands for the pictures in it.
        json_file: where all is written, in the files' order.
        overlay_directory: where each picture is written with its faces marked.
        detect: find faces; otherwise every picture is a face that was cut already.

    Returns:
        How many of the files have no answer.

    Raises:
        UserError: the checkpoint cannot be read, or the results cannot be written.
    """
    files = pictures.expand(files)
    model = load(checkpoint)
    overlays = None if overlay_directory is None else _Overlays(overlay_directory, files, model.tasks)
    if json_file is not None:
        _check_json(json_file)
    done: list[ImagePrediction] = []
    try:
        table = _Table(files, model.tasks, has_other_output=json_file is not None or overlays is not None)
        for prediction in predict_files(model, files, detect=detect):
            done.append(prediction)
            table.print(prediction)
            if overlays is not None and prediction.faces:
                table.say(f"  -> {overlays.write(prediction)}")
    finally:
        if json_file is not None:
            _write_json(json_file, done)
    return sum(prediction.error is not None for prediction in done)


def predict_files(model: EmotionModel, files: Sequence[str], *, detect: bool = True) -> Iterator[ImagePrediction]:
    """Yields what the model says of every image file, in their order.

    Args:
        model: from `inference.model.load`.
        files: the images' paths.
        detect: find faces; otherwise every picture is a face that was cut already.

    What is wrong with a file stands in its prediction.
    """
    waiting: list[_Found] = []
    for file in files:
        waiting.append(_find(model, file, detect))
        if len(waiting) == _FILES or sum(len(found.cut) for found in waiting) >= _FACES:
            yield from _judge(model, waiting)
            waiting.clear()
    yield from _judge(model, waiting)


@dataclasses.dataclass(frozen=True)
class _Found:
    """The faces of one file before the network has seen them; `places` is empty if the file is a cut face."""

    file: str
    cut: Sequence[np.ndarray] = ()
    places: Sequence[detection.Detection] = ()
    error: str | None = None


def _find(model: EmotionModel, file: str, detect: bool) -> _Found:
    try:
        image_HxWx3 = pictures.read(file)
    except UserError as error:
        return _Found(file, error=str(error))
    if not detect:
        return _Found(file, [image_HxWx3])
    places, cut = model.find_faces(image_HxWx3)
    return _Found(file, cut, places, None if places else f"{file}: No face was found.")


def _judge(model: EmotionModel, waiting: Sequence[_Found]) -> Iterator[ImagePrediction]:
    judged = iter(model.predict_faces([face for found in waiting for face in found.cut]))
    for found in waiting:
        faces = tuple(itertools.islice(judged, len(found.cut)))
        if found.places:
            faces = tuple(map(placed, faces, found.places))
        yield ImagePrediction(found.file, faces, found.error)


class _Table:
    """One line a face, printed as soon as it is known, while somebody reads it."""

    def __init__(self, files: Sequence[str], tasks: Tasks, *, has_other_output: bool) -> None:
        self._width = min(_LONGEST_NAME, max(len(file) for file in files))
        self._tasks = tasks
        self._has_other_output = has_other_output
        self._columns = [(h, max(len(h), w)) for task in tasks for h, w in task.table_columns.items()]
        headings = [f"{heading:{width}}" for heading, width in self._columns]
        self.say("  ".join([f"{'image':{self._width}}", "face", *headings, "box"]))

    def say(self, line: str) -> None:
        """Prints a line; if its reader has gone, as `head` does, only what there is besides goes on."""
        try:
            print(line, flush=True)
        except BrokenPipeError:
            if not self._has_other_output:
                raise
            runtime.drop_output()

    def print(self, prediction: ImagePrediction) -> None:
        """Writes what was said of a file; its error to standard error."""
        if prediction.error is not None:
            print(prediction.error, file=sys.stderr, flush=True)
        name = prediction.image
        if len(name) > self._width:
            name = f"...{name[3 - self._width :]}"
        for number, face in enumerate(prediction.faces, start=1):
            self.say("  ".join([f"{name:{self._width}}", f"{number:4}", *self._cells(face), _edges(face)]))

    def _cells(self, face: FacePrediction) -> list[str]:
        cells = [cell for task in self._tasks for cell in task.table_cells(face.answers[task.name])]
        return [
            f"{cell:>{width}}" if _NUMBER.fullmatch(cell) else f"{cell:{width}}"
            for cell, (_, width) in zip(cells, self._columns, strict=True)
        ]


def _edges(face: FacePrediction) -> str:
    return " ".join(f"{edge:.0f}" for edge in face.box)


class _Overlays:
    """A folder of pictures with their faces marked; none of them replaces one of the files that are judged."""

    def __init__(self, directory: str, files: Sequence[str], tasks: Tasks) -> None:
        self._directory, self._tasks = user_path(directory), tasks
        self._taken = {user_path(file).resolve() for file in files}
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self._directory, error) from None

    def write(self, prediction: ImagePrediction) -> pathlib.Path:
        """Writes the picture of a file, and returns its path: the file's name, numbered if that is taken."""
        stem = pathlib.Path(prediction.image).stem
        names = itertools.chain([f"{stem}_faces.png"], (f"{stem}_{number}_faces.png" for number in itertools.count(2)))
        path = next(path for path in (self._directory / name for name in names) if path.resolve() not in self._taken)
        self._taken.add(path.resolve())
        picture = draw_faces(pictures.read(prediction.image), prediction.faces, self._tasks)
        try:
            atomic_write(path, pictures.encode_png(picture))
        except OSError as error:
            raise _cannot_write(path, error) from None
        return path


def _check_json(file: str) -> None:
    """Before the work rather than after it: it must be writable, and may replace nothing but predictions."""
    path = user_path(file)
    try:
        before = path.read_bytes() if path.is_file() else b""
        path.open("a").close()
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        is_ours = not before or all({"image", "faces"} <= entry.keys() for entry in json.loads(before))
    except (ValueError, AttributeError, TypeError):
        is_ours = False
    if not is_ours:
        raise UserError(f"--json would replace {file}, which holds no predictions: name another file.")


def _write_json(file: str, predictions: Sequence[ImagePrediction]) -> None:
    try:
        text = json.dumps([prediction.to_dict() for prediction in predictions], indent=2, allow_nan=False)
        atomic_write(file, (text + "\n").encode())
    except OSError as error:
        raise _cannot_write(user_path(file), error) from None


def _cannot_write(path: pathlib.Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written ({error.strerror or error}): choose another place.")
