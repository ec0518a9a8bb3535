"""Builds of TFDS: where `tfds build` put a dataset, and a split of it opened for random access.

A build is read from its files alone, without the builder's code and without TensorFlow. Labels are read once, without
decoding an image, and kept beside the build (label_index.py).
"""

import contextlib
import functools
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from emotion_gcn_jax.data.label_index import indexed_columns
from emotion_gcn_jax.data.source import Split, join
from emotion_gcn_jax.errors import UserError, extra, shown
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.sound import stored

with extra("train", "a built dataset"):
    import tensorflow_datasets as tfds

_FEATURES = ("image", "id")
_BUILDERS = pathlib.Path(__file__).resolve().parents[2] / "tfds_builders"


def open_split(name: str, split: str | None, *, config: str | None = None, data_dir: str | None = None) -> Split:
    """Opens a split of the newest version of a dataset that `tfds build` has made.

    Args:
        name: the dataset's name, which is its folder in tfds_builders and in data_dir.
        split: a split's name, such as "train"; names of several with + between them; or all of them but some, such as
            "all-fold_1-fold_2". May be None where there is no more than one.
        config: the dataset's config; may be None where no more than one is built.
        data_dir: where TFDS keeps its datasets; None is its default, $TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
        UserError: for a dataset, config or split that is not there or is empty, a build that was not written for random
            access, one without images or ids, and one whose files are damaged.
    """
    root = user_path(data_dir or tfds.core.constants.get_default_data_dir())
    config, build = _find_build(root, name, config)
    rebuild = _build_command(name, config, "--overwrite", "--file_format=array_record")
    with _naming(build, rebuild):
        builder = tfds.builder_from_directory(build)
        parts, known = [], list(builder.info.splits)
        metadata = _read_metadata(build)
    if not split:
        if len(known) > 1:
            raise UserError(f"The dataset {name} has the splits {', '.join(known)}: name one of them by --split.")
        split = known[0]
    for part in _split_names(split, known):
        _check(builder, part, f"the build in {build}", rebuild)
        with _naming(build, rebuild):
            records = builder.as_data_source(part, decoders={"image": tfds.decode.SkipDecoding()})
        broken = functools.partial(_broken, builder, part, build)
        columns = indexed_columns(builder, part, build, records, broken)
        parts.append(
            Split(
                dataset=name,
                config=config,
                name=part,
                metadata=metadata,
                columns=columns,
                read_image=functools.partial(_read_image, records, columns["id"], broken),
                rows=np.arange(len(records)),
                parts=(part,),
                read_sound=functools.partial(stored.read, build) if {"sound", "seconds"} <= columns.keys() else None,
            )
        )
    return join(parts, split)


@contextlib.contextmanager
def _naming(build: pathlib.Path, rebuild: str) -> Iterator[None]:
    """Around TFDS's reading of a build's own description: damage to it is said in a sentence."""
    try:
        yield
    except (OSError, MemoryError):  # these say nothing of the build
        raise
    except Exception as error:  # at damaged bytes the parsers of JSON and of protocol buffers raise almost anything
        raise UserError(
            f"The build in {build} is damaged ({shown(str(error))}): copy it again, or build it again with {rebuild}."
        ) from error


def _split_names(text: str, known: Sequence[str]) -> list[str]:
    """Which splits are meant; a name that is not known is returned as it stands."""
    first, *others = text.split("-")
    if first != "all" or "all" in known:
        return list(dict.fromkeys(text.split("+")))
    if unknown := [name for name in others if name not in known]:
        return unknown
    return [name for name in known if name not in others] or [text]


def _read_image(records: Any, ids: np.ndarray, broken: Callable[..., UserError], row: int) -> np.ndarray:
    """A stored image as uint8 RGB [H, W, 3]. Orientation tags are ignored: builders store upright images."""
    try:
        encoded = np.frombuffer(records[row]["image"], np.uint8)
    except (OSError, MemoryError):  # these say nothing of the record
        raise
    except Exception as error:  # of ArrayRecord, which has checksums, or of the parser of what is in a record
        raise broken(row, str(error), ids[row]) from error
    image = None
    if encoded.size:  # OpenCV answers an unreadable file with None, and an empty one with an exception
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise broken(row, "it is no JPEG or PNG", ids[row])
    return image


def _broken(
    builder: tfds.core.DatasetBuilder, split: str, build: pathlib.Path, row: int, reason: str, name: bytes = b""
) -> UserError:
    """What to say of a record that cannot be read."""
    info = builder.info.splits[split]
    ends = itertools.accumulate(info.shard_lengths)
    shard = next((path for end, path in zip(ends, info.filepaths, strict=True) if row < end), info.filepaths[-1])
    which = f"The image {name.decode(errors='replace')!r}" if name else f"The record {row}"
    return UserError(
        f"{which} of {builder.name}, {split}, in the file {pathlib.Path(shard).name} of {build} is damaged "
        f"({shown(reason)}): copy the build again, or build it again with --overwrite."
    )


def _find_build(root: pathlib.Path, name: str, config: str | None) -> tuple[str | None, pathlib.Path]:
    """Returns the config, which goes without saying if it is the only one, and its newest version's folder."""
    if not (builds := _find_builds(root / name)):
        raise _not_built(name, config, root)
    if config is None and len(builds) == 1:
        (config,) = builds
    if config not in builds:
        built = ", ".join(found or "one without config" for found in builds)
        if config is None:
            first = next(found for found in builds if found)
            raise UserError(
                f"The dataset {name} is built with several configs in {root / name}, {built}: name one, such as "
                f"--config {first} (in train.py --config.dataset.config={first})."
            )
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
    words = ["tfds build", f"tfds_builders/{name}", *([f"--config={shown(config)}"] if config else []), *options]
    has_more = (_BUILDERS / name / "README.md").is_file()
    return f"`{' '.join(words)}`{f' (more in tfds_builders/{name}/README.md)' if has_more else ''}"


def _read_metadata(build: pathlib.Path) -> Mapping[str, Any]:
    path = build / tfds.core.constants.METADATA_FILENAME
    metadata = json.loads(path.read_text()) if path.exists() else {}
    for name, value in metadata.items():
        if name.endswith(("_names", "_votes")):
            is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
            if not is_list or not 0 < len(value) == len(set(value)):
                raise ValueError(f"{path.name} has {name} that are no different words")
    return metadata


def _check(builder: tfds.core.DatasetBuilder, split: str, where: str, rebuild: str) -> None:
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
    if missing := [feature for feature in _FEATURES if feature not in info.features]:
        raise UserError(f"Expected {', '.join(missing)} in {where}, and found none: build again with {rebuild}.")
