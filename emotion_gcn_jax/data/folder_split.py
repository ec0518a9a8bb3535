"""A user's own labelled images as a split: straight from a folder or a table, without a build."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, shown
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.releases import folders


def open_folder(path: PathLike, split: str | None = None) -> Split:
    """Opens the images of a folder with a folder for each class, or of a table; see releases.folders.

    Args:
        path: the folder, or the table.
        split: one of its splits; may be None where there is no more than one.

    Raises:
        UserError: there is no such set or split, or it has several and none is named. An image that cannot be read
            raises when it is asked for.
    """
    found = folders.read(user_path(path))
    split = next(iter(found.splits)) if split is None and len(found.splits) == 1 else split
    if split is None or split not in found.splits:
        raise UserError(
            f"--split must name one of {', '.join(found.splits)}, which {path} has, found {shown(split or 'none')}."
        )
    chosen = found.splits[split]
    columns = {name: _stored(column) for name, column in {**chosen.others, **chosen.columns}.items()}
    return Split(
        dataset=user_path(path).resolve().name,
        config=None,
        name=split,
        metadata={"label_names": found.label_names, "action_units": found.action_units},
        columns={"id": _stored(np.asarray(chosen.ids)), **columns},
        read_image=functools.partial(_read, chosen.paths),
        rows=np.arange(len(chosen)),
    )


def _stored(column: np.ndarray) -> np.ndarray:
    """Text as a build has it: UTF-8 bytes."""
    return np.char.encode(column, "utf-8") if column.dtype.kind == "U" else column


def _read(paths: Sequence[Path], row: int) -> np.ndarray:
    return pictures.read(paths[row])
