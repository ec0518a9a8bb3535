"""Aff-Wild2 as its licensees have it: where the editions keep things, and which frames are examples of which task.

Annotations and frames are joined video by video, by the frame's number, in one pass over each. A video here is a person
of a video: `12-24-1920x1080_left` and `..._right` are two.
"""

import collections
import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from typing import Literal, NamedTuple, get_args

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.labels import EXPRESSIONS, NO_CLASS
from emotion_gcn_jax.releases import affwild2_annotations as annotations
from emotion_gcn_jax.releases import affwild2_counts
from emotion_gcn_jax.releases.affwild2_annotations import Table
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit, Skip
from emotion_gcn_jax.releases.images import read_image

Task = Literal["expr_va", "expr", "va", "au", "mtl"]
TASKS: tuple[Task, ...] = get_args(Task)
SPLITS = ("train", "validation")

_AFFECT = ("valence", "arousal")
COLUMNS: Mapping[Task, tuple[str, ...]] = {
    "expr_va": ("expression", *_AFFECT),
    "expr": ("expression",),
    "va": _AFFECT,
    "au": ("action_units",),
    "mtl": ("expression", *_AFFECT, "action_units"),
}
"""The label columns of a task's examples."""

LABEL_NAMES: Mapping[Task, tuple[str, ...]] = {
    "expr_va": EXPRESSIONS,
    "expr": annotations.LABEL_NAMES,
    "va": (),
    "au": (),
    "mtl": annotations.LABEL_NAMES,
}
"""The words of a task's expression ids."""

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
_IMAGE_ROOT = "cropped_aligned"  # and cropped_aligned_new_50_vids, from the 5th edition on
_NEEDED_SETS = {"expr_va": ("expr", "va"), "expr": ("expr",), "va": ("va",), "au": ("au",), "mtl": ("mtl",)}

# How deep below the folder that is named annotations and images may lie, and what cannot hold them.
_DEPTH = 4
_ELSEWHERE = re.compile(r"cropped(?!_aligned).*|batch\d+|new_vids|\..*")

_FRAME = re.compile(r"(\d+)\.(jpe?g|png)", re.IGNORECASE)
_USUAL_NAME = "{:05d}.jpg"
_PERSON = re.compile(r"_(left|right)$")


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


class Frame(NamedTuple):
    """An annotated frame that has an image, one row of a video's table."""

    image: pathlib.Path
    video: str
    table: Table
    row: int


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
    needed = [(name, split) for name in _NEEDED_SETS[task] for split in SPLITS]
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
            f"Expected a folder {_IMAGE_ROOT} with a folder of frames for every video in {root}, and found none: "
            "unpack the cropped and aligned images there."
        )
    return Release(
        root=root,
        sets={key: places[key][0] for key in needed},
        images={video: tuple(sorted(folders)) for video, folders in images.items()},
    )


def read_split(release: Release, task: Task, split: str, *, merge_va: bool = False) -> ReleaseSplit:
    """Joins a split's annotations with the frames.

    Which frames are examples: for expr_va those with both labels, where Other is none (the paper's frames); for expr
    with an expression, Other included; for va with valence and arousal; for au with an action unit; for mtl with any of
    these. Where row n of a file is frame n, a video with a frame 0 gives no examples: its rows would be one frame off.

    Args:
        release: what `find` found for this task.
        task: one of TASKS.
        split: one of SPLITS; for expr_va that of the expressions.
        merge_va: for expr_va, look valence and arousal up in the sets of both splits, as the official implementation
            does: frames of the valence/arousal validation set are then trained on.

    Raises:
        UserError: if an annotation file cannot be read or is of an unknown kind.
    """
    kinds = collections.Counter[str]()
    videos = []
    for name, table in _tables(release, task, split, merge_va=merge_va):
        images = _list_frames(release.images.get(name, ()))
        chosen_N = _choose(table, task, kinds) | table.malformed_N
        # A frame past the last row; the multi-task set has but some of the frames.
        beyond = [] if task == "mtl" else [number for number in images.numbers.tolist() if number > len(table)]
        shifted = task != "mtl" and 0 in images.numbers
        videos.append(_Video(name, table.rows(chosen_N), images, tuple(beyond), len(table), shifted))
    return ReleaseSplit(
        entries=_entries(release, videos),
        total=sum(len(video.table) + len(video.beyond) + len(video.images.strays) for video in videos),
        make=functools.partial(_make, columns=COLUMNS[task]),
        not_examples=dict(kinds),
        warnings=_unlikely(release, task, split, videos),
    )


@dataclasses.dataclass(frozen=True)
class _Images:
    """The frames of a video: their numbers, sorted, the files whose name is not the usual one, and what is no frame."""

    folder: pathlib.Path | None
    numbers: np.ndarray
    unusual: Mapping[int, pathlib.Path]
    strays: tuple[pathlib.Path, ...]

    def path(self, number: int) -> pathlib.Path:
        """Returns the file of a frame that there is."""
        assert self.folder is not None
        return self.unusual.get(number) or self.folder / _USUAL_NAME.format(number)


class _Video(NamedTuple):
    """What is known of a video.

    Attributes:
        name: its name.
        table: the rows that should be examples or are malformed.
        images: its frames.
        beyond: the numbers of the frames that have no row at all.
        length: how many rows its list has.
        shifted: whether its frames are numbered from 0, so that the rows are one frame off.
    """

    name: str
    table: Table
    images: _Images
    beyond: tuple[int, ...]
    length: int
    shifted: bool


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
        if folder.name.lower().startswith(_IMAGE_ROOT):
            yield None, folder  # whose folders are videos, but for a root in the root, which some tools unpack
            folders[:] = [below for below in folders if below.lower().startswith(_IMAGE_ROOT)]
        elif kind or len(folder.relative_to(root).parts) >= _DEPTH:
            folders[:] = []
        else:
            folders[:] = [below for below in folders if not _ELSEWHERE.fullmatch(below.lower())]


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _tables(release: Release, task: Task, split: str, *, merge_va: bool) -> Iterator[tuple[str, Table]]:
    """Yields every video's name and its labels of this task, in the order of the names."""
    if task == "mtl":
        yield from annotations.read_multi_task(release.sets["mtl", split]).items()
        return
    readers: dict[str, Callable[[pathlib.Path], Table]] = {
        "expr": annotations.read_expressions,
        "va": annotations.read_affect,
        "au": annotations.read_action_units,
    }
    kind = _NEEDED_SETS[task][0]
    affect_files: dict[str, pathlib.Path] = {}
    if task == "expr_va":
        splits = [split, *(other for other in SPLITS if merge_va and other != split)]
        for name in reversed(splits):  # the split's own come last and win
            affect_files |= _annotation_files(release.sets["va", name])
    for video, file in _annotation_files(release.sets[kind, split]).items():
        table = readers[kind](file)
        if task == "expr_va":
            affect_file = affect_files.get(video)
            table = table.with_affect_of(annotations.read_affect(affect_file) if affect_file else None)
        yield video, table


def _annotation_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    return {file.stem: file for file in sorted(folder.glob("*.txt")) if not file.name.startswith(".")}


def _list_frames(folders: tuple[pathlib.Path, ...]) -> _Images:
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
    return _Images(folders[0] if folders else None, np.asarray(sorted(numbers), np.int32), unusual, tuple(strays))


def _choose(table: Table, task: Task, kinds: collections.Counter[str]) -> np.ndarray:
    """Returns which rows are examples of the task, bool N, and counts the others by what they are."""
    expressive_N = table.expression_N != NO_CLASS
    affective_N = ~np.isnan(table.affect_Nx2[:, 0])
    active_N = (table.action_units_NxA != annotations.NO_ACTION_UNIT).any(axis=1)
    sound_N = ~table.malformed_N
    if task == "expr_va":
        other_N = table.expression_N >= len(EXPRESSIONS)
        kinds["of the class Other"] += int((other_N & sound_N).sum())
        kinds["without valence and arousal"] += int((expressive_N & ~other_N & ~affective_N & sound_N).sum())
        chosen_N = expressive_N & ~other_N & affective_N & sound_N
        unlabelled_N = ~expressive_N & sound_N
    else:
        labelled_N = {
            "expr": expressive_N,
            "va": affective_N,
            "au": active_N,
            "mtl": expressive_N | affective_N | active_N,
        }[task]
        chosen_N, unlabelled_N = labelled_N & sound_N, ~labelled_N & sound_N
    kinds["not annotated"] += int(unlabelled_N.sum())
    return chosen_N


def _entries(release: Release, videos: list[_Video]) -> Iterator[Entry]:
    for video in videos:
        where = _relative(video.table.file, release.root)
        present = set(video.images.numbers.tolist())
        seen: set[int] = set()
        for row, (number, line) in enumerate(
            zip(video.table.frames_N.tolist(), video.table.lines_N.tolist(), strict=True)
        ):
            content: Frame | Skip
            try:
                content = _frame(video, row, number, line, present, seen)
                seen.add(number)
            except Skip as skip:
                content = skip
            yield Entry(f"{video.name}/{number:05d}", f"{where} line {line}", content)
        for number in video.beyond:
            path = _relative(video.images.path(number), release.root)
            found = f"the list has {video.length:,} rows"
            yield Entry(f"{video.name}/{number:05d}", path, Skip("no annotation row", found, lost=False))
        for stray in video.images.strays:
            name = f"{video.name}/{stray.name}"
            yield Entry(name, _relative(stray, release.root), Skip("not a frame", f"named {stray.name}", lost=False))


def _frame(video: _Video, row: int, number: int, line: int, present: Set[int], seen: Set[int]) -> Frame:
    """The frame of a row; raises Skip where it cannot be an example."""
    if line in video.table.malformed:
        raise Skip("row malformed", video.table.malformed[line])
    if number in seen:
        raise Skip("row repeated", f"frame {number} again", lost=False)
    if video.images.folder is None:
        raise Skip("video folder missing", f"no {video.name} in any {_IMAGE_ROOT}*")
    if video.shifted:
        raise Skip(
            "frames numbered from 0",
            f"found {video.images.path(0).name}: row 1 is frame 1 in every edition, so number the frames from 1",
        )
    if number not in present:
        raise Skip("image missing", f"no frame {number} in {video.images.folder}")
    return Frame(video.images.path(number), video.name, video.table, row)


def _make(frame: Frame, columns: Collection[str]) -> Example:
    """The features of a frame; its image is decoded and encoded again, so that all are plain 8-bit RGB."""
    table, row = frame.table, frame.row
    valence, arousal = table.affect_Nx2[row]
    labels = {
        "expression": int(table.expression_N[row]),
        "valence": valence,
        "arousal": arousal,
        "action_units": table.action_units_NxA[row],
    }
    return {
        "image": pictures.encode_jpeg(read_image(frame.image)),
        "video": frame.video,
        "recording": _PERSON.sub("", frame.video),
        **{name: labels[name] for name in columns},
    }


def _unlikely(release: Release, task: Task, split: str, videos: list[_Video]) -> tuple[str, ...]:
    """Compares the numbers of annotated frames that have an image with those of the known editions."""
    counts = collections.Counter[str]()
    for video in videos:
        table = video.table
        present_N = np.isin(table.frames_N, video.images.numbers) & ~table.malformed_N
        class_N = table.expression_N[present_N]
        counts["frames"] += int(present_N.sum())
        of_class = np.bincount(class_N[class_N >= 0], minlength=len(annotations.LABEL_NAMES))
        counts.update(dict(zip(annotations.LABEL_NAMES, of_class.tolist(), strict=True)))
    return affwild2_counts.unlikely(task, split, release.sets[_NEEDED_SETS[task][0], split], counts)


def _relative(path: pathlib.Path, root: pathlib.Path) -> str:
    return path.relative_to(root).as_posix()
