"""A split of a built TFDS dataset: its labels in memory, its images by random access.

The dataset is read from its files alone, without the builder's code and without TensorFlow. Labels are read once,
without decoding an image, and kept beside the build, because a dataset of millions of frames takes minutes to scan.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging

from emotion_gcn_jax import runtime
from emotion_gcn_jax.errors import UserError

_INDEX_FORMAT = 1
_SCAN_CHUNK = 1024
_DTYPES = {"expression": np.int32, "valence": np.float32, "arousal": np.float32}
_FEATURES = ("image", "id", *_DTYPES)
_METADATA = ("crop", "label_names")
_BUILDERS = pathlib.Path(__file__).resolve().parents[2] / "tfds_builders"


class _Records(Protocol):
    """A split as TFDS gives it: features by name."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Mapping[str, Any]]: ...


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Split:
    """The N examples of a split, or those that `select` chose of it.

    Choosing reads no image: `split.select(split.columns["video"] == b"12-24-1920x1080_left")`.

    Attributes:
        name: the dataset's name.
        config: the dataset's config, or None where it has none.
        split: the split's name.
        label_names: the class names in id order.
        crop: how faces were cut, as `faces.alignment.Crop.from_dict` reads it.
        columns: what is stored beside the image, by feature name: arrays whose first axis is N; text as UTF-8 bytes.
    """

    name: str
    config: str | None
    split: str
    label_names: tuple[str, ...]
    crop: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]
    _records: _Records
    _rows: np.ndarray

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """The examples' ids: str, N."""
        return np.char.decode(self.columns["id"], "utf-8")

    @property
    def expression(self) -> np.ndarray:
        """Expression ids: int32, N; -1 where there is none."""
        return self.columns["expression"]

    @property
    def valence(self) -> np.ndarray:
        """Valence in [-1, 1]: float32, N; NaN where there is none."""
        return self.columns["valence"]

    @property
    def arousal(self) -> np.ndarray:
        """Arousal in [-1, 1]: float32, N; NaN where there is none."""
        return self.columns["arousal"]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        dataset = self.name if self.config is None else f"{self.name}/{self.config}"
        return f"Split({dataset}, {self.split}, {len(self)} examples)"

    def image_bytes(self, index: int) -> bytes:
        """Returns the stored JPEG or PNG file of one example; safe to call from several threads."""
        return self._records[int(self._rows[index])]["image"]

    def class_counts(self, num_classes: int) -> np.ndarray:
        """Returns how many examples each expression id below num_classes has: int64, num_classes."""
        known = (self.expression >= 0) & (self.expression < num_classes)
        return np.bincount(self.expression[known], minlength=num_classes)

    def select(self, mask_or_indices: np.ndarray | Sequence[int] | Sequence[bool]) -> "Split":
        """Returns the examples where a mask of N booleans is true, or those at the given indices, in their order."""
        chosen = np.arange(len(self))[mask_or_indices]
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return dataclasses.replace(self, columns=columns, _rows=self._rows[chosen])


def open_split(name: str, split: str, *, config: str | None = None, data_dir: str | None = None) -> Split:
    """Opens a split of the newest version of a dataset that `tfds build` has made.

    Args:
        name: the dataset's name, which is its folder in tfds_builders and in data_dir.
        split: a split's name, such as "train".
        config: the dataset's config; may be None where no more than one is built.
        data_dir: where TFDS keeps its datasets; None is its default, $TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
        UserError: for a dataset, config or split that is not there or is empty, one that was not written for random
            access, and one that is not of this project's builders.
    """
    root = pathlib.Path(data_dir or tfds.core.constants.get_default_data_dir()).expanduser()
    config, build = _find_build(root, name, config)
    builder = tfds.builder_from_directory(build)
    metadata = _read_metadata(build)
    rebuild = _build_command(name, config, "--overwrite", "--file_format=array_record")
    _check(builder, split, metadata, f"the build in {build}", rebuild)
    records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    return Split(
        name=name,
        config=config,
        split=split,
        label_names=tuple(metadata["label_names"]),
        crop=metadata["crop"],
        columns=_indexed_columns(builder, split, build, records),
        _records=records,
        _rows=np.arange(len(records)),
    )


def _find_build(root: pathlib.Path, name: str, config: str | None) -> tuple[str | None, pathlib.Path]:
    """Returns the config, which goes without saying if it is the only one, and its newest version's folder."""
    if not (builds := _find_builds(root / name)):
        raise _not_built(name, config, root)
    if config is None and len(builds) == 1:
        (config,) = builds
    if config not in builds:
        built = ", ".join(found or "one without config" for found in builds)
        raise UserError(
            f"The dataset {name} is not built with config {config!r} in {root / name}, which holds {built}: name one "
            f"of these, or build it with {_build_command(name, config)}."
        )
    return config, builds[config]


def _find_builds(dataset: pathlib.Path) -> dict[str | None, pathlib.Path]:
    """Returns the newest version's folder for each config that is built; the key None stands for "no config"."""
    candidates = {None: dataset} | {folder.name: folder for folder in _folders(dataset)}
    newest = {config: _newest_version(folder) for config, folder in candidates.items()}
    return {config: build for config, build in newest.items() if build is not None}


def _newest_version(folder: pathlib.Path) -> pathlib.Path | None:
    versions = [
        path
        for path in _folders(folder)
        if tfds.core.Version.is_valid(path.name) and (path / tfds.core.constants.DATASET_INFO_FILENAME).exists()
    ]
    return max(versions, key=lambda path: tfds.core.Version(path.name), default=None)


def _folders(parent: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _not_built(name: str, config: str | None, root: pathlib.Path) -> UserError:
    known = [folder.name for folder in _folders(_BUILDERS)]
    if name in known:
        return UserError(
            f"The dataset {name} is not built in {root}: build it there with "
            f"{_build_command(name, config, f'--data_dir={root}')}, or name the directory that holds it."
        )
    built = [folder.name for folder in _folders(root) if _find_builds(folder)]
    return UserError(
        f"There is no dataset {name!r}: {root} holds {', '.join(built) or 'none'}, and tfds_builders can build "
        f"{', '.join(known) or 'none'}."
    )


def _build_command(name: str, config: str | None, *options: str) -> str:
    words = ["tfds build", f"tfds_builders/{name}", *([f"--config={config}"] if config else []), *options]
    has_more = (_BUILDERS / name / "README.md").is_file()
    return f"`{' '.join(words)}`{f' (more in tfds_builders/{name}/README.md)' if has_more else ''}"


def _read_metadata(build: pathlib.Path) -> dict[str, Any]:
    path = build / tfds.core.constants.METADATA_FILENAME
    return json.loads(path.read_text()) if path.exists() else {}


def _check(
    builder: tfds.core.DatasetBuilder, split: str, metadata: Mapping[str, Any], where: str, rebuild: str
) -> None:
    info = builder.info
    if info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
        raise UserError(
            f"Expected array_record, which has random access, and found {info.file_format.value} in {where}: build it "
            f"again with {rebuild}."
        )
    if split not in info.splits:
        raise UserError(f"Expected one of the splits {', '.join(info.splits)}, and found {split!r}, for {where}.")
    if not info.splits[split].num_examples:
        raise UserError(f"The split {split!r} of {where} is empty: choose another, or build again with {rebuild}.")
    missing = [key for key in _METADATA if key not in metadata]
    missing += [feature for feature in _FEATURES if feature not in info.features]
    if missing:
        raise UserError(f"Expected {', '.join(missing)} in {where}, and found none: build again with {rebuild}.")


def _indexed_columns(
    builder: tfds.core.DatasetBuilder, split: str, build: pathlib.Path, records: _Records
) -> dict[str, np.ndarray]:
    """Returns every column of the split, from an index of this very build where there is one.

    The index is kept beside the build, for everyone, or in the user's cache where the build may only be read.
    """
    fingerprint = _fingerprint(builder, split, build)
    places = (
        build / f"label_index_{split}.npz",
        runtime.user_cache() / "label_indices" / f"{builder.name}_{split}_{fingerprint[:16]}.npz",
    )
    for path in places:
        if (columns := _read_index(path, fingerprint)) is not None:
            return columns
    columns = _scan(builder.info.features, records)
    if not any(_write_index(path, fingerprint, columns) for path in places):
        logging.warning("No label index can be written to %s: the labels are read at every start.", places)
    return columns


def _fingerprint(builder: tfds.core.DatasetBuilder, split: str, build: pathlib.Path) -> str:
    """Returns what changes with the build: its features, and its record files' names, sizes and times."""
    files = [(path.name, path.stat()) for path in map(pathlib.Path, builder.info.splits[split].filepaths)]
    described = [
        _INDEX_FORMAT,
        (build / tfds.core.constants.FEATURES_FILENAME).read_text(),
        [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files],
    ]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _scan(features: Mapping[str, Any], records: _Records) -> dict[str, np.ndarray]:
    """Reads everything but the images, of every record."""
    names = [name for name, feature in features.items() if name != "image" and None not in feature.shape]
    chunks: dict[str, list[np.ndarray]] = {name: [] for name in names}
    starts = range(0, len(records), _SCAN_CHUNK)
    for start in tqdm.tqdm(starts, desc="Indexing labels", unit_scale=_SCAN_CHUNK, unit=" examples", delay=2.0):
        found = records.__getitems__(range(start, min(start + _SCAN_CHUNK, len(records))))
        for name in names:  # arrays at once: Python's objects would take ten times the memory
            chunks[name].append(np.asarray([record[name] for record in found], _dtype(name, features[name])))
    return {name: np.concatenate(arrays) for name, arrays in chunks.items()}


def _dtype(name: str, feature: Any) -> np.dtype | None:
    if name in _DTYPES:
        return np.dtype(_DTYPES[name])
    is_text = feature.np_dtype == np.object_
    return None if is_text else feature.np_dtype


def _read_index(path: pathlib.Path, fingerprint: str) -> dict[str, np.ndarray] | None:
    """Returns the columns in the index, or None where there is no sound index of this build."""
    try:
        with np.load(path) as index:
            if index["fingerprint"].item() != fingerprint:
                return None
            return {name.removeprefix("column_"): index[name] for name in index.files if name != "fingerprint"}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logging.warning("The label index %s cannot be read (%s): reading the labels again.", path, error)
        return None


def _write_index(path: pathlib.Path, fingerprint: str, columns: Mapping[str, np.ndarray]) -> bool:
    """Writes the index in one stroke, so that another process never sees a half of it; tells whether it could."""
    arrays: dict[str, Any] = {f"column_{name}": column for name, column in columns.items()}
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            np.savez(file, fingerprint=fingerprint, **arrays)
        unfinished.replace(path)
    except OSError as error:
        logging.info("The label index %s cannot be written (%s).", path, error)
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        return False
    return True
