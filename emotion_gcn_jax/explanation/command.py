"""The work of `emotion-gcn explain`: image files, or a split of labelled faces, to figures, arrays and their JSON."""

import dataclasses
import io
import itertools
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, counted
from emotion_gcn_jax.evaluation.predictions import Predictions, left_out
from emotion_gcn_jax.explanation import explain, figure
from emotion_gcn_jax.explanation.explain import Explainer, Explanation
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.faces.alignment import align_and_crop
from emotion_gcn_jax.files import atomic_write, name_in_text, read_json, user_path
from emotion_gcn_jax.inference import sources

_SHOWN_SIDE = 384  # pixels of a face in a figure, if the photograph has them

_WRITTEN_BY = "emotion-gcn explain"


def explain_files(explainer: Explainer, files: Sequence[str], output: str, *, asked: str = "", detect: bool) -> int:
    """Explains every face of image files; prints a line for each figure, and one to standard error for each failure.

    Args:
        explainer: the model's.
        files: the images' paths, folders of them, patterns and lists, see `sources.picture_files`.
        output: the folder for STEM_faceN_explained.png, .npz and .json; STEM_explained without detection.
        asked: from `explain.known_output`: this output rather than the model's own answer.
        detect: find faces; otherwise every picture is a face that was cut already.

    Returns:
        How many of the files have no answer.

    Raises:
        UserError: the folder cannot be written; a folder, a pattern or a list of images stands for none.
    """
    files = sources.picture_files(files)
    folder, failed = _Folder(output, files), 0
    for file in files:
        try:
            found = list(_faces(explainer, file, detect))
        except UserError as error:
            failed += 1
            print(error, file=sys.stderr, flush=True)
            continue
        stem = folder.free_stem(pathlib.Path(file).stem)
        for number, (cut, shown, place) in enumerate(found, start=1):
            explanation = explainer.explain(cut, asked=asked)
            if shown is not None:
                explanation = dataclasses.replace(explanation, face_SxSx3=explain.seen(shown, explainer.model.input))
            facts = {"image": name_in_text(file), **place, "said": explanation.said, "count": 1}
            of_several = f", face {number} of {len(found)}" if len(found) > 1 else ""
            title = f"{pathlib.Path(file).name}{of_several}"
            name = f"{stem}_face{number}_explained" if detect else f"{stem}_explained"
            folder.write(name, explainer, explanation, title, f"The model says: {explanation.said}", facts)
    return failed


def explain_split(explainer: Explainer, split: Split, predictions: Predictions, output: str, *, asked: str = "") -> int:
    """Takes the mean over the rightly judged faces of a class, or of every class; prints a line for each figure.

    Args:
        explainer: the model's.
        split: labelled examples.
        predictions: what the model says of them; images that could not be read may be left out.
        output: the folder for DATASET_SPLIT_CLASS_explained.png, .npz and .json.
        asked: from `explain.known_output`, a class or a flag; "" takes all classes.

    Returns:
        How many of the classes have no face that is judged right, each of which gets a line on standard error, and how
        many images are left out, together.

    Raises:
        UserError: as `explain.class_faces`; an image cannot be read, or the folder not written.
    """
    folder, failed = _Folder(output, ()), predictions.unreadable
    if predictions.readable is not None:
        split = split.select(predictions.readable)
    if predictions.unreadable:
        print(left_out(predictions.unreadable, len(split)))
    for faces in explain.class_faces(predictions, asked):
        if not len(faces.right):
            failed += 1
            labelled = counted(faces.labelled, "example")
            print(f"{faces.name}: none of {labelled} is judged right.", file=sys.stderr, flush=True)
            continue
        explanation = explain.explain_class(explainer, split, faces)
        facts = {
            "dataset": split.dataset,
            "config": split.config,
            "split": split.name,
            "of": faces.name,
            "count": explanation.count,
            "labelled": faces.labelled,
        }
        count = f"{explanation.count:,} of {faces.labelled:,} images" if faces.labelled > 1 else "1 image"
        subtitle = f"Mean over the {count} of {faces.name} that the model judges right"
        title = f"{split.dataset}, {split.name}: {faces.name}"
        name = re.sub(r"[^\w+-]+", "_", f"{split.dataset}_{split.name}_{faces.name}") + "_explained"
        folder.write(name, explainer, explanation, title, subtitle, facts)
    return failed


def _faces(
    explainer: Explainer, file: str, detect: bool
) -> Iterator[tuple[np.ndarray, np.ndarray | None, dict[str, Any]]]:
    """Yields a file's faces: what the model gets, the same from more of the photograph's pixels, and where it is."""
    model = explainer.model
    image_HxWx3 = pictures.read(file)
    if not detect:
        yield image_HxWx3, None, {}
        return
    places, cut = model.find_faces(image_HxWx3)
    if not places:
        raise UserError(f"{file}: No face was found.")
    sharp = dataclasses.replace(model.crop, size=max(_SHOWN_SIDE, model.crop.size), enlarge=False)
    for place, face in zip(places, cut, strict=True):
        where = {name: getattr(place, name) for name in ("box", "left_eye", "right_eye", "score")}
        yield face, align_and_crop(image_HxWx3, place.box, place.left_eye, place.right_eye, sharp), where


class _Folder:
    """Where explanations are written; none replaces one of the files that are explained, or anything but another."""

    def __init__(self, directory: str, files: Sequence[str]) -> None:
        self._directory = user_path(directory)
        self._stems: set[str] = set()
        self._inputs = {user_path(file).resolve() for file in files}
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self._directory, error) from None

    def free_stem(self, stem: str) -> str:
        """The stem, numbered if another file had it."""
        names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        found = next(name for name in names if name not in self._stems)
        self._stems.add(found)
        return found

    def write(
        self,
        name: str,
        explainer: Explainer,
        explanation: Explanation,
        title: str,
        subtitle: str,
        facts: Mapping[str, Any],
    ) -> None:
        """Writes NAME.png, NAME.npz and NAME.json, and prints a line."""
        paths = {suffix: self._directory / f"{name}{suffix}" for suffix in (".png", ".npz", ".json")}
        self._check(paths)
        arrays, named = io.BytesIO(), dict[str, Any](explanation.arrays())
        np.savez_compressed(arrays, **named)
        said = explanation.said or ", ".join(map(figure.answer_text, explanation.outputs))
        files = {
            ".png": figure.draw(explanation, title, subtitle, explainer.without_activation),
            ".npz": arrays.getvalue(),
            ".json": (json.dumps(_described(explainer, explanation, facts), indent=2, allow_nan=False) + "\n").encode(),
        }
        for suffix, content in files.items():
            try:
                atomic_write(paths[suffix], content)
            except OSError as error:
                raise _cannot_write(paths[suffix], error) from None
        print(f"{title}: {said}\n  -> {paths['.png']}", flush=True)

    def _check(self, paths: Mapping[str, pathlib.Path]) -> None:
        """Raises UserError for a file that is there and was not written by this command."""
        try:
            is_ours = read_json(paths[".json"])["written_by"] == _WRITTEN_BY
        except (OSError, ValueError, TypeError, KeyError):
            is_ours = False
        for path in paths.values():
            if path.resolve() in self._inputs or (path.exists() and not is_ours):
                raise UserError(f"{path} would be replaced, which is no explanation: choose another --output.")


def _described(explainer: Explainer, explanation: Explanation, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the arrays are, as JSON has it."""
    patch, model = explanation.patch, explainer.model
    return {
        "written_by": _WRITTEN_BY,
        **facts,
        "trunk": model.config.model.trunk,
        "head": model.config.model.head,
        "readout": model.config.model.readout,
        "network_side": patch.network_side,
        "patch": {"side": patch.side, "stride": patch.stride, "places": len(patch.starts_K) ** 2},
        "without_activation": explainer.without_activation or None,
        "outputs": [
            {
                "task": output.task,
                "output": output.name,
                "answer": output.answer,
                "is_probability": output.is_probability,
                "bias": output.bias,
                "arrays": list(output.arrays()),
            }
            for output in explanation.outputs
        ],
    }


def _cannot_write(path: pathlib.Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written ({error.strerror or error}): choose another place.")
