"""Every column of a build but the images, scanned once and kept.

A dataset of millions of frames takes minutes to scan, so the columns are kept beside the build, for everyone, or in the
user's cache where the build may only be read.
"""

import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tqdm
from absl import logging

from emotion_gcn_jax import runtime
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import atomic_write

_FORMAT = 2
_SCAN_CHUNK = 1024
_FEATURES_FILE = "features.json"  # TFDS's own name


def indexed_columns(
    builder: Any, split: str, build: pathlib.Path, records: Any, broken: Callable[[int, str], UserError]
) -> dict[str, np.ndarray]:
    """Returns every column of a split, from an index of this very build where there is one.

    Args:
        builder: TFDS's.
        split: the split's name.
        build: the build's folder.
        records: the split's records by index, images encoded.
        broken: makes what to raise of a record that cannot be read, of its number and the reason.

    Raises:
        UserError: a record cannot be read.
    """
    fingerprint = _fingerprint(builder, split, build)
    places = (
        build / f"label_index_{split}.npz",
        runtime.user_cache() / "label_indices" / f"{builder.name}_{split}_{fingerprint[:16]}.npz",
    )
    for path in places:
        if (columns := _read_index(path, fingerprint)) is not None:
            return columns
    columns = _scan(builder.info.features, records, broken)
    if not any(_write_index(path, fingerprint, columns) for path in places):
        logging.warning("No label index can be written to %s: the labels are read at every start.", places)
    return columns


def _fingerprint(builder: Any, split: str, build: pathlib.Path) -> str:
    """Returns what changes with the build: its features, and its record files' names, sizes and times."""
    files = [(path.name, path.stat()) for path in map(pathlib.Path, builder.info.splits[split].filepaths)]
    described = [
        _FORMAT,
        (build / _FEATURES_FILE).read_text(),
        [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files],
    ]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _scan(features: Mapping[str, Any], records: Any, broken: Callable[[int, str], UserError]) -> dict[str, np.ndarray]:
    """Reads everything but the images, of every record."""
    names = [name for name, feature in features.items() if name != "image" and None not in feature.shape]
    chunks: dict[str, list[np.ndarray]] = {name: [] for name in names}
    starts = range(0, len(records), _SCAN_CHUNK)
    for start in tqdm.tqdm(starts, desc="Indexing labels", unit_scale=_SCAN_CHUNK, unit=" examples", delay=2.0):
        rows = range(start, min(start + _SCAN_CHUNK, len(records)))
        try:
            found = records.__getitems__(rows)
        except Exception:
            found = [_record(records, row, broken) for row in rows]
        for name in names:  # arrays at once: Python's objects would take ten times the memory
            chunks[name].append(np.asarray([record[name] for record in found], _dtype(features[name])))
    return {name: np.concatenate(arrays) for name, arrays in chunks.items()}


def _record(records: Any, row: int, broken: Callable[[int, str], UserError]) -> Any:
    try:
        return records[row]
    except (OSError, MemoryError):  # these say nothing of the record
        raise
    except Exception as error:  # of ArrayRecord, which has checksums, or of the parser of what is in a record
        raise broken(row, str(error)) from error


def _dtype(feature: Any) -> np.dtype | None:
    """None for text, which becomes bytes of its own length."""
    return None if feature.np_dtype == np.object_ else np.dtype(feature.np_dtype)


def _read_index(path: pathlib.Path, fingerprint: str) -> dict[str, np.ndarray] | None:
    """Returns the columns in the index, or None where there is no sound index of this build."""
    try:
        with np.load(path) as index:
            if index["fingerprint"].item() != fingerprint:
                return None
            return {name.removeprefix("column_"): index[name] for name in index.files if name != "fingerprint"}
    except FileNotFoundError:
        return None
    except Exception as error:  # at damaged bytes NumPy's and zipfile's readers raise almost anything
        logging.warning("The label index %s cannot be read (%s): reading the labels again.", path, error)
        return None


def _write_index(path: pathlib.Path, fingerprint: str, columns: Mapping[str, np.ndarray]) -> bool:
    """Writes the index; tells whether it could."""
    arrays: dict[str, Any] = {f"column_{name}": column for name, column in columns.items()}
    content = io.BytesIO()
    np.savez(content, fingerprint=fingerprint, **arrays)
    try:
        atomic_write(path, content.getvalue())
    except OSError as error:
        logging.info("The label index %s cannot be written (%s).", path, error)
        return False
    return True
