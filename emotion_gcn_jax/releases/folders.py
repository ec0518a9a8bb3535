"""Labelled images of your own: one folder for each class, or a table of paths and labels.

    set/Happy/1.jpg                     path,expression,valence,split
    set/Sad/a/2.png                     pictures/1.jpg,Happy,0.7,train
    set/train/Happy/1.jpg               pictures/2.jpg,,-0.1,test

README of tfds_builders/folders has the rules. Images are not opened here.
"""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.labels import NO_CLASS, class_word, in_usual_order
from emotion_gcn_jax.releases.folder_table import Labels, read_table

SPLITS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "validation": "validation",
        "val": "validation",
        "valid": "validation",
        "test": "test",
    }
)
"""The names of a split's folder, or in a table's column, in lower case -> the split."""

_TABLE_SUFFIXES = (".csv", ".tsv")
_USUAL_TABLE = "labels.csv"
_LISTED = 8  # names of files in a message
_IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif"),
    *(".gif", ".ppm", ".pgm", ".pbm", ".tga", ".jp2"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSplit:
    """The N images of a split.

    Attributes:
        ids: different names without anything of the machine in them.
        paths: the image files.
        columns: by name, arrays whose first axis is N: `expression` (int64, places in label_names, -1 for none),
            `valence` and `arousal` (float32, -1 to 1, NaN for none), `action_units` (int8 [N, A], 0 or 1, -1 for
            none), `subject`, `video` and `recording` (str), `frame` and `video_frames` (int64). Only those that the set
            has.
        others: a table's further columns by name, str N: nothing is learnt from them.
        warnings: sentences on what is doubtful.
    """

    ids: tuple[str, ...]
    paths: tuple[pathlib.Path, ...]
    columns: Mapping[str, np.ndarray]
    others: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSet:
    """A set of labelled images.

    Attributes:
        label_names: the words of the classes, in the usual order; empty where the set has no expressions.
        action_units: the names in the order of the column action_units.
        splits: by name, in the order train, validation, test.
    """

    label_names: tuple[str, ...]
    action_units: tuple[str, ...]
    splits: Mapping[str, FolderSplit]


def read(path: str | pathlib.Path) -> FolderSet:
    """Reads a set of labelled images.

    Args:
        path: a table (CSV), or a folder: with the only table in it, or the one named labels.csv, or, without a table,
            with a folder for each class, perhaps under the folders of the splits.

    Raises:
        UserError: there is no such set, or a name or a number in it is none.
    """
    path = user_path(path).resolve()
    if not path.exists():
        raise UserError(f"Expected a folder of labelled images or a table of them, and {path} does not exist.")
    table = path if path.is_file() else _find_table(path)
    labels = read_table(table, SPLITS) if table else _read_folders(path)
    _check_words(labels.words, table or path)
    return _as_set(labels, table or path)


def _find_table(folder: pathlib.Path) -> pathlib.Path | None:
    """The folder's table; None where there is none, or several of which none is labels.csv."""
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() in _TABLE_SUFFIXES and file.is_file())
    usual = [file for file in tables if file.name.lower() == _USUAL_TABLE]
    return usual[0] if usual else tables[0] if len(tables) == 1 else None


def _read_folders(root: pathlib.Path) -> Labels:
    paths: list[pathlib.Path] = []
    words: list[str] = []
    splits: list[str] = []
    for split, folder in _split_folders(root).items():
        named: dict[str, pathlib.Path] = {}
        for class_folder in _subfolders(folder):
            word = class_word(class_folder.name)
            if word in named:
                raise UserError(
                    f"Expected one folder for each class in {folder}, and found {named[word].name} and "
                    f"{class_folder.name}, which mean the same: put their images together."
                )
            named[word] = class_folder
            found = _images(class_folder)
            paths += found
            words += [word] * len(found)
            splits += [split] * len(found)
    if not paths:
        raise UserError(
            f"Expected a folder for each class with images in it, or a table {_USUAL_TABLE}, in {root}, and found "
            f"{_contents(root)}: see tfds_builders/folders/README.md."
        )
    return Labels(paths=paths, splits=splits, words=words)


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders that hold the class folders, by split: the root alone where there are no splits."""
    folders = _subfolders(root)
    known = [folder for folder in folders if folder.name.lower() in SPLITS]
    if not known:
        return {"train": root}
    if other := [folder.name for folder in folders if folder not in known]:
        raise UserError(
            f"Expected only folders of splits ({', '.join(SPLITS)}) in {root}, which has {known[0].name}, and found "
            f"{', '.join(other)[:200]}: rename or move what is no split."
        )
    by_split: dict[str, pathlib.Path] = {}
    for folder in known:
        split = SPLITS[folder.name.lower()]
        if split in by_split:
            raise UserError(
                f"Expected one folder for the split {split} in {root}, and found {by_split[split].name} and "
                f"{folder.name}: put them together."
            )
        by_split[split] = folder
    return by_split


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
    """The image files in a folder and below it, by their suffix."""
    files = (pathlib.Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sorted(file for file in files if file.suffix.lower() in _IMAGE_SUFFIXES and not file.name.startswith("."))


def _contents(root: pathlib.Path) -> str:
    names = sorted(entry.name for entry in root.iterdir())
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED])[:200] + more if names else "nothing"


def _check_words(words: Iterable[str], where: pathlib.Path) -> None:
    spellings: dict[str, str] = {}
    for word in sorted(set(words) - {""}):
        first = spellings.setdefault(word.casefold(), word)
        if first != word:
            raise UserError(
                f"Expected one spelling of each class in {where}, and found {first} and {word}: choose one."
            )


def _as_set(labels: Labels, where: pathlib.Path) -> FolderSet:
    label_names = in_usual_order(set(labels.words) - {""})
    place = {word: number for number, word in enumerate(label_names)}
    columns = dict(labels.columns)
    if labels.words:
        columns["expression"] = np.asarray([place.get(word, NO_CLASS) for word in labels.words], np.int64)
    ids = _ids(labels.paths, where if where.is_dir() else where.parent)
    splits = {}
    for split in dict.fromkeys(SPLITS.values()):
        rows = [row for row, name in enumerate(labels.splits) if name == split]
        if rows:
            splits[split] = FolderSplit(
                ids=tuple(ids[row] for row in rows),
                paths=tuple(labels.paths[row] for row in rows),
                columns={name: column[rows] for name, column in columns.items()},
                others={name: column[rows] for name, column in labels.others.items()},
                warnings=labels.warnings.get(split, ()),
            )
    return FolderSet(label_names, labels.action_units, splits)


def _ids(paths: Sequence[pathlib.Path], root: pathlib.Path) -> list[str]:
    """The paths in the set's folder; where some are elsewhere, the shortest ends of all paths that tell them apart."""
    if all(path.is_relative_to(root) for path in paths):
        return [path.relative_to(root).as_posix() for path in paths]
    for length in itertools.count(2):
        ids = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(ids)) == len(ids):
            break
    return ids
