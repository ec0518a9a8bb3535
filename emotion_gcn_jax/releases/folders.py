"""Labelled images of your own: one folder for each class, or a table of paths and labels.

    set/Happy/1.jpg                     path,expression,valence,split
    set/Sad/a/2.png                     pictures/1.jpg,Happy,0.7,train
    set/train/Happy/1.jpg               pictures/2.jpg,,-0.1,test

README of tfds_builders/folders has the rules. Images are not opened here.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from emotion_gcn_jax.errors import UserError, counted, listed
from emotion_gcn_jax.faces.decoding import SUFFIXES
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.labels import CLASS_WORDS, NO_CLASS, class_word, in_usual_order
from emotion_gcn_jax.releases.folder_table import Labels, read_table
from emotion_gcn_jax.releases.search import DEPTH

SPLITS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "validation": "validation",
        "val": "validation",
        "valid": "validation",
        "test": "test",
        "testing": "test",
    }
)
"""The names of a split's folder, or in a table's column, in lower case and without "set" -> the split."""

_SET = re.compile(r"[ _-]?set$")
_TABLE_SUFFIXES = (".csv", ".tsv")
_USUAL_TABLE = "labels.csv"
_LISTED = 8  # names of files in a message
_IMAGE_SUFFIXES = frozenset(itertools.chain([".heic", ".heif"], *SUFFIXES.values()))
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")  # JPEG, PNG, GIF and TIFF
# Files beside images that need no mention.
_NO_IMAGE_SUFFIXES = frozenset(
    {".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".db", ".ini", ".npy"}
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

    def class_counts(self, split: str) -> str:
        """The classes with the number of a split's images of each, for a person; "" for a set without expressions."""
        if "expression" not in self.splits[split].columns:
            return ""
        words = [*self.label_names, "no class"]
        counts = collections.Counter(words[place] for place in self.splits[split].columns["expression"].tolist())
        return listed((f"{word} {counts[word]:,}" for word in words if counts[word]), most=20)


def read(path: str | pathlib.Path) -> FolderSet:
    """Reads a set of labelled images.

    Args:
        path: a table (CSV), or a folder: with the only table in it, or the one named labels.csv, or, without a table,
            with a folder for each class, perhaps under the folders of the splits; or with one folder that holds these.

    Raises:
        UserError: there is no such set, or a name or a number in it is none.
    """
    path = user_path(path).resolve()
    if not path.exists():
        raise UserError(f"Expected a folder of labelled images or a table of them, and {path} does not exist.")
    try:
        table = path if path.is_file() else _find_table(path) or _find_table_below(path)
        labels = read_table(table, split_of) if table else _read_folders(path)
    except OSError as error:
        raise UserError(
            f"Expected folders that can be read in {path}, and found {error.filename} ({error.strerror}): check it."
        ) from None
    _check_words(labels.words, table or path)
    return _as_set(labels, table or path)


def split_of(name: str) -> str | None:
    """The split that a name stands for, such as Training_set; None where it is no split's."""
    return SPLITS.get(_SET.sub("", name.lower()))


def _find_table(folder: pathlib.Path) -> pathlib.Path | None:
    """The folder's table; None where there is none, or several of which none is labels.csv."""
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() in _TABLE_SUFFIXES and file.is_file())
    usual = [file for file in tables if file.name.lower() == _USUAL_TABLE]
    return usual[0] if usual else tables[0] if len(tables) == 1 else None


def _find_table_below(root: pathlib.Path) -> pathlib.Path | None:
    tables = map(_find_table, _only_folders(root))
    return next((table for table in tables if table and table.name.lower() == _USUAL_TABLE), None)


def _read_folders(root: pathlib.Path) -> Labels:
    paths: list[pathlib.Path] = []
    words: list[str] = []
    splits: list[str] = []
    warnings: dict[str, tuple[str, ...]] = {}
    for split, folder in _split_folders(_set_folder(root)).items():
        named: dict[str, pathlib.Path] = {}
        others: list[pathlib.Path] = []
        for class_folder in _subfolders(folder):
            word = class_word(class_folder.name)
            if word in named:
                raise UserError(
                    f"Expected one folder for each class in {folder}, and found {named[word].name} and "
                    f"{class_folder.name}, which mean the same: put their images together."
                )
            named[word] = class_folder
            _check_below(class_folder, root)
            found, unknown = _images(class_folder)
            others += unknown
            paths += found
            words += [word] * len(found)
            splits += [split] * len(found)
        if others:
            warnings[split] = (
                f"Warning: {counted(len(others), 'file')} beside the images of {folder} "
                f"({listed((file.relative_to(folder).as_posix() for file in others), most=3)}) cannot be told to be "
                "images by their names and are left out: rename those that are.",
            )
    if not paths:
        raise UserError(
            f"Expected a folder for each class with images in it, or a table {_USUAL_TABLE}, in {root}, and found "
            f"{_contents(root)}: see tfds_builders/folders/README.md."
        )
    return Labels(paths=paths, splits=splits, words=words, warnings=warnings)


def _set_folder(root: pathlib.Path) -> pathlib.Path:
    """The folder that holds those of splits or classes: the root, or below it the nearest of which that is certain."""
    return next((folder for folder in _only_folders(root) if any(map(_tells_set, _subfolders(folder)))), root)


def _only_folders(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the only folder in the root, the only one in that: archives unpack into a folder of their own name."""
    for _ in range(DEPTH):
        below = _subfolders(root)
        if len(below) != 1 or _is_class(below[0]) or split_of(below[0].name):
            return
        (root,) = below
        yield root


def _tells_set(folder: pathlib.Path) -> bool:
    """Whether a folder is certainly a known class's, or a split's with folders of classes."""
    return _is_class(folder) or (split_of(folder.name) is not None and bool(_subfolders(folder)))


def _is_class(folder: pathlib.Path) -> bool:
    return class_word(folder.name) in CLASS_WORDS


def _check_below(class_folder: pathlib.Path, root: pathlib.Path) -> None:
    for folder in (class_folder, *_subfolders(class_folder)):
        if split_of(folder.name):
            raise UserError(
                f"Expected the folders of the classes in those of the splits, such as {folder.name}/Happy, and found "
                f"{folder.relative_to(root)} in {root}: move the images, or rename the folder if it is no split's."
            )


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders that hold the class folders, by split: the root alone where there are no splits."""
    folders = _subfolders(root)
    known = [(folder, split) for folder in folders if (split := split_of(folder.name))]
    if not known:
        return {"train": root}
    if other := [folder.name for folder in folders if not split_of(folder.name)]:
        raise UserError(
            f"Expected only folders of splits (train, validation, test) in {root}, which has {known[0][0].name}, and "
            f"found {', '.join(other)[:200]}: rename or move what is no split."
        )
    by_split: dict[str, pathlib.Path] = {}
    for folder, split in known:
        if split in by_split:
            raise UserError(
                f"Expected one folder for the split {split} in {root}, and found {by_split[split].name} and "
                f"{folder.name}: put them together."
            )
        by_split[split] = _set_folder(folder)
    return by_split


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _images(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """The image files in a folder and below it, and the files that may be some, by their suffix, if they have one."""
    images, others = [], []
    for file in sorted(_files(folder)):
        suffix = file.suffix.lower()
        if file.name.startswith("."):
            continue
        if suffix in _IMAGE_SUFFIXES or (not suffix and _begins_as_image(file)):
            images.append(file)
        elif suffix not in _NO_IMAGE_SUFFIXES and not file.name.lower().startswith("readme"):
            others.append(file)
    return images, others


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the files in a folder and below it; links are followed, but no folder is looked into twice."""
    seen = {os.path.realpath(above) for above in (*folder.parents, *folder.resolve().parents)}
    waiting = [folder]
    for start in waiting:  # grows by the links
        for place, below, names in os.walk(start, onerror=_raise):
            if (real := os.path.realpath(place)) in seen:
                below.clear()
                continue
            seen.add(real)
            waiting += sorted(path for name in below if (path := pathlib.Path(place, name)).is_symlink())
            yield from (pathlib.Path(place, name) for name in names)


def _raise(error: OSError) -> None:
    raise error


def _begins_as_image(file: pathlib.Path) -> bool:
    if not file.is_file():  # a pipe would make it wait
        return False
    try:
        with file.open("rb") as stream:
            beginning = stream.read(12)
    except OSError:
        return False
    return beginning.startswith(_BEGINNINGS) or (beginning[:4] == b"RIFF" and beginning[8:] == b"WEBP")


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
