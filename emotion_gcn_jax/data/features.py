"""Stored features: what a trunk made of every example of a split, once, for whoever learns on that alone.

A folder of them has

- features.npy: float32 [N, D], what the model's readout makes of the trunk's last map, of unchanged images;
- examples.csv: a row for each of them with its id and, if the dataset has them, its video and frame;
- about.json: the dataset, and everything of the model that the features depend on.
"""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from emotion_gcn_jax.array_files import open_npy
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.files import PathLike, atomic_write, read_json, user_path
from emotion_gcn_jax.trees import Tree

ARRAY_FILE, EXAMPLES_FILE, ABOUT_FILE = "features.npy", "examples.csv", "about.json"
_SPLIT = ("dataset", "config", "split")
_CHECKED = 16  # images of a split whose checksums are kept, so that other ones under the same names are noticed
_COLUMNS = ("video", "frame")  # of a dataset, beside the id


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """The features of one split.

    Attributes:
        folder: where they are.
        values_NxD: float32, on disk: what is asked for is read.
        row_of: by an example's id, its row.
        about: "dataset", "config" and "split"; "images", checksums of some of them by their ids; and what `trunk_of`
            says of the model.
    """

    folder: pathlib.Path
    values_NxD: np.ndarray
    row_of: Mapping[str, int]
    about: Mapping[str, Any]

    def has(self, split: Split) -> bool:
        """Whether they are of all examples of a split, which may be a part of what was stored."""
        whole = split.name.partition(",")[0]  # of "train, held out by subject"
        is_same = [self.about[name] for name in _SPLIT] == [split.dataset, split.config, whole]
        return is_same and all(name in self.row_of for name in split.ids.tolist())


def read(folder: PathLike) -> Features:
    """Opens a folder that `emotion-gcn features` wrote.

    Raises:
        UserError: it is none, or it is damaged.
    """
    folder = user_path(folder)
    try:
        about = read_json(folder / ABOUT_FILE)
        values_NxD = open_npy(folder / ARRAY_FILE, np.float32, (None, None))
        with (folder / EXAMPLES_FILE).open(newline="", encoding="utf-8") as file:
            row_of = {row["id"]: number for number, row in enumerate(csv.DictReader(file))}
        if len(values_NxD) != len(row_of) or {*_SPLIT, "images"} - about.keys():
            raise ValueError("its parts do not belong together")
    except Exception as error:  # whatever JSON and a table without an id may raise
        raise UserError(
            f"Expected features that emotion-gcn features wrote in {folder}, and found none that are whole ({error}): "
            f"write them again."
        ) from None
    return Features(folder, values_NxD, row_of, about)


@contextlib.contextmanager
def written(folder: pathlib.Path, split: Split, width: int, about: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """Makes a folder of features, which counts as one when the block has ended without an error.

    Args:
        folder: absent or empty.
        split: whose.
        width: D.
        about: see `trunk_of`.

    Yields:
        float32 [N, D] on disk, to be filled.

    Raises:
        UserError: the folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something already: name another folder, or delete it.")
    shown = [name for name in _COLUMNS if name in split.columns]
    cells = zip(split.ids.tolist(), *(_texts(split.columns[name]) for name in shown), strict=True)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / EXAMPLES_FILE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["id", *shown], *cells])
        shape = len(split), width
        values_NxD = np.lib.format.open_memmap(folder / ARRAY_FILE, mode="w+", dtype=np.float32, shape=shape)
        yield values_NxD
        values_NxD.flush()
        of_split = dict(zip(_SPLIT, (split.dataset, split.config, split.name), strict=True))
        chosen = np.linspace(0, len(split) - 1, min(_CHECKED, len(split))).round().astype(int)
        of_images = {"images": {split.ids[row]: _checksum(split, row) for row in chosen.tolist()}}
        atomic_write(folder / ABOUT_FILE, json.dumps({**of_split, **of_images, **about}, indent=1).encode())
    except BaseException as error:
        for name in (ARRAY_FILE, EXAMPLES_FILE):
            (folder / name).unlink(missing_ok=True)
        if is_new and folder.exists():
            folder.rmdir()
        if isinstance(error, OSError):
            raise UserError(f"The features cannot be written into {folder} ({error.strerror}): name another.") from None
        raise


def trunk_of(config: Mapping[str, Any], inputs: Mapping[str, Any], variables: Tree) -> dict[str, Any]:
    """What features depend on: the "trunk", the "readout", the "input", and a "checksum" of the trunk's weights.

    Args:
        config: a model's, with the section "model".
        inputs: data.inputs.Input as a dictionary.
        variables: the model's "params" and "batch_stats".
    """
    digest = hashlib.sha256()
    for collection in ("params", "batch_stats"):
        flat = traverse_util.flatten_dict(dict(variables[collection].get("trunk", {})), sep="/")
        for name in sorted(flat):
            digest.update(f"{collection}/{name}".encode())
            digest.update(np.ascontiguousarray(jax.device_get(flat[name]), np.float32).tobytes())
    of_model = {name: config["model"][name] for name in ("trunk", "readout")}
    return {**of_model, "input": dict(inputs), "checksum": digest.hexdigest()}


def check(features: Sequence[Features], splits: Sequence[Split], trunk: Mapping[str, Any]) -> None:
    """Raises UserError unless every split has its features, all of them made by this trunk (`trunk_of`)."""
    for one in features:
        differing = [name for name, value in trunk.items() if _plain(one.about.get(name)) != _plain(value)]
        if differing == ["checksum"]:
            raise UserError(
                f"The features in {one.folder} were made by another {trunk['trunk']} than the one that training starts "
                f"from: set config.init.trunk to {one.about.get('checkpoint') or 'the run that made them'}."
            )
        if differing:
            theirs = ", ".join(f"{name} {one.about.get(name)}" for name in differing if name != "checksum")
            raise UserError(f"The features in {one.folder} were made with {theirs}: set the config to the same.")
    for split in splits:
        found = [one for one in features if one.has(split)]
        if found and (changed := _changed(found[0], split)):
            raise UserError(
                f"The image {changed} of {split!r} is another one than the features in {found[0].folder} were made of: "
                f"the dataset was built anew; write them again."
            )
        if not found:
            raise UserError(
                f"None of config.data.features ({listed([str(one.folder) for one in features])}) has all of {split!r}: "
                f"write them by emotion-gcn features, and name the folders with commas between them."
            )


def _changed(features: Features, split: Split) -> str:
    """The id of an example whose image is not the one that features were made of; "" if those looked at are."""
    row_of = {name: row for row, name in enumerate(split.ids.tolist())}
    for name, checksum in features.about["images"].items():
        if name in row_of and _checksum(split, row_of[name]) != checksum:
            return name
    return ""


def _checksum(split: Split, row: int) -> str:
    image_HxWx3 = split.image(row)
    return hashlib.sha256(f"{image_HxWx3.shape}".encode() + image_HxWx3.tobytes()).hexdigest()


def of_example(features: Sequence[Features], split: Split, row: int) -> np.ndarray:
    """The features of an example of a split, float32 D, which `check` has found."""
    values_NxD, rows_N = _of_split(tuple(features), split)
    return np.asarray(values_NxD[rows_N[row]])


@functools.lru_cache(maxsize=16)
def _of_split(features: tuple[Features, ...], split: Split) -> tuple[np.ndarray, np.ndarray]:
    one = next(one for one in features if one.has(split))
    return one.values_NxD, np.asarray([one.row_of[name] for name in split.ids.tolist()])


def _texts(column: np.ndarray) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in column.tolist()]


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
