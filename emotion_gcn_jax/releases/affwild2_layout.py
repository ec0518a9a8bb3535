"""Where the editions of Aff-Wild2 keep their annotations and their frames, however a copy is unpacked."""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import numpy as np

from emotion_gcn_jax.errors import UserError

Task = Literal["expr_va", "expr", "va", "au", "mtl", "frames"]
TASKS: tuple[Task, ...] = get_args(Task)
SPLITS = ("train", "validation")

NEEDED_SETS: Mapping[Task, tuple[str, ...]] = {
    "expr_va": ("expr", "va"),
    "expr": ("expr",),
    "va": ("va",),
    "au": ("au",),
    "mtl": ("mtl",),
    "frames": ("expr", "va", "au"),
}
"""The sets of annotations that a task needs; but for frames the first one decides which video is in which split."""

IMAGE_ROOT = "cropped_aligned"
"""The folder of the videos' folders of frames; from the 5th edition on there is cropped_aligned_new_50_vids, too."""

# What the editions call the same folder, in lower case (1st and 2nd; 3rd to 5th; 6th and later).
_SETS = {
    "expr_set": "expr",
    "expr_classification_challenge": "expr",
    "expr_recognition_challenge": "expr",
    "va_set": "va",
    "va_estimation_challenge": "va",
    "au_set": "au",
    "au_detection_challenge": "au",
}
_SPLIT_FOLDERS = {"train_set": "train", "training_set": "train", "validation_set": "validation"}
_MULTI_TASK_FILES = {
    "train_set.txt": "train",
    "training_set_annotations.txt": "train",
    "validation_set.txt": "validation",
    "validation_set_annotations.txt": "validation",
}

# How deep below the folder that is named annotations and images may lie, and what cannot hold them.
_DEPTH = 4
_ELSEWHERE = re.compile(r"cropped(?!_aligned).*|batch\d+|new_vids|__macosx|\..*")

_FRAME = re.compile(r"(\d+)\.(jpe?g|png)", re.IGNORECASE)
_USUAL_NAME = "{:05d}.jpg"


@dataclasses.dataclass(frozen=True)
class Release:
    """Where a copy of Aff-Wild2 has what a task needs.

    Attributes:
        root: the folder that was searched, which the report names files from.
        sets: a folder of annotation files (a file for mtl) by set and split.
        images: every video's folders of frames, by its name; most have one.
    """

    root: pathlib.Path
    sets: Mapping[tuple[str, str], pathlib.Path]
    images: Mapping[str, tuple[pathlib.Path, ...]]


@dataclasses.dataclass(frozen=True)
class Images:
    """The frames of a video: their numbers, sorted, the files whose name is not the usual one, and what is no frame."""

    folder: pathlib.Path | None
    numbers: np.ndarray
    unusual: Mapping[int, pathlib.Path]
    strays: tuple[pathlib.Path, ...]

    def path(self, number: int) -> pathlib.Path:
        """Returns the file of a frame that there is."""
        assert self.folder is not None
        return self.unusual.get(number) or self.folder / _USUAL_NAME.format(number)


def find(root: pathlib.Path, task: Task, edition: str = "") -> Release:
    """Finds the annotations that a task needs and all folders of frames, at most four folders below `root`.

    Args:
        root: the folder that holds the release, unpacked in any of the ways that its editions unpack.
        task: one of TASKS.
        edition: a folder's name; only annotations below it count. For copies with annotations of several editions.

    Raises:
        UserError: if annotations or images are missing, or annotations of the same kind lie in several places.
    """
    places: dict[tuple[str, str], list[pathlib.Path]] = collections.defaultdict(list)
    images: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    for key, path in _walk(root):
        if key is None:
            for folder in _subfolders(path):
                images[folder.name].append(folder)
        elif not edition or edition in path.relative_to(root).parts:
            places[key].append(path)
    needed = [(name, split) for name in NEEDED_SETS[task] for split in SPLITS]
    if missing := [f"{name} {split}" for name, split in needed if not places[name, split]]:
        found = ", ".join(sorted(f"{name} {split}" for (name, split), paths in places.items() if paths))
        raise UserError(
            f"Expected annotations of {', '.join(missing)} in {root}{f' below a folder {edition}' if edition else ''}, "
            f"and found {found or 'none'}: --manual_dir must hold the annotations' folders as the edition unpacks them "
            "(tfds_builders/affwild2/README.md lists them)."
        )
    for name, split in needed:
        if len(places[name, split]) > 1:
            found = ", ".join(str(path.relative_to(root)) for path in sorted(places[name, split]))
            raise UserError(
                f"Expected the {name} {split} annotations of one edition in {root}, and found {found}: name the folder "
                f'to use by --config=\'{{"name": "{task}_edition", "task": "{task}", "edition": "FOLDER"}}\'.'
            )
    if not images:
        raise UserError(
            f"Expected a folder {IMAGE_ROOT} with a folder of frames for every video in {root}, and found none: "
            "unpack the cropped and aligned images there."
        )
    return Release(
        root=root,
        sets={key: places[key][0] for key in needed},
        images={video: tuple(sorted(folders)) for video, folders in images.items()},
    )


def list_frames(folders: tuple[pathlib.Path, ...]) -> Images:
    """Lists a video's folders, in no order but once; the first file of a number is the frame."""
    numbers: set[int] = set()
    unusual: dict[int, pathlib.Path] = {}
    strays = []
    for folder in folders:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            match = _FRAME.fullmatch(name)
            number = int(match[1]) if match else 0
            if match is None or number in numbers:
                strays.append(folder / name)
                continue
            numbers.add(number)
            if folder != folders[0] or name != _USUAL_NAME.format(number):
                unusual[number] = folder / name
    return Images(folders[0] if folders else None, np.asarray(sorted(numbers), np.int32), unusual, tuple(strays))


def _walk(root: pathlib.Path) -> Iterator[tuple[tuple[str, str] | None, pathlib.Path]]:
    """Yields annotation folders and files by set and split, and image roots by None."""
    for name, folders, files in os.walk(root, followlinks=True):  # links to other disks; the depth ends any circle
        folder = pathlib.Path(name)
        kind = _SETS.get(folder.name.lower())
        if kind:
            for below in folders:
                if below.lower() in _SPLIT_FOLDERS:
                    yield (kind, _SPLIT_FOLDERS[below.lower()]), folder / below
        for file in files:
            if file.lower() in _MULTI_TASK_FILES:
                yield ("mtl", _MULTI_TASK_FILES[file.lower()]), folder / file
        if folder.name.lower().startswith(IMAGE_ROOT):
            yield None, folder  # whose folders are videos, but for a root in the root, which some tools unpack
            folders[:] = [below for below in folders if below.lower().startswith(IMAGE_ROOT)]
        elif kind or len(folder.relative_to(root).parts) >= _DEPTH:
            folders[:] = []
        else:
            folders[:] = [below for below in folders if not _ELSEWHERE.fullmatch(below.lower())]


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
