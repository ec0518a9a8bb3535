"""Weights in several files, as Hugging Face's libraries write large ones: an index, and parts that are numbered."""

import re
from pathlib import Path
from typing import Any

from emotion_gcn_jax.errors import UserError, listed, shown
from emotion_gcn_jax.files import PathLike, read_json, user_path
from emotion_gcn_jax.torch_files import reading

_INDEX = ".index.json"
_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})(?P<suffix>\.\w+)")


def files(path: PathLike) -> list[Path]:
    """The files that a weight file consists of: the path itself, or all parts where it is an index or one of them.

    Raises:
        UserError: an index cannot be read, or a part is not beside it.
    """
    path = user_path(path)
    if path.name.endswith(_INDEX):
        names = _named(path)
    elif part := _PART.fullmatch(path.name):
        stem, count, suffix = part["stem"], part["count"], part["suffix"]
        names = [f"{stem}-{number:05d}-of-{count}{suffix}" for number in range(1, int(count) + 1)]
    else:
        return [path]
    if missing := [name for name in names if not _exists(path.with_name(name))]:
        raise UserError(
            f"{path} needs all {len(names)} parts beside it, and there is no {listed(missing)}: get it, too."
        )
    return [path.with_name(name) for name in names]


def load(path: PathLike) -> Any:
    """What `reading.load` gives of a file; of one in parts the state dicts of all, as one.

    Raises:
        UserError: as `files` and `reading.load`, or the parts are no dicts of different names.
    """
    if len(parts := files(path)) == 1:
        return reading.load(parts[0])
    joined: dict[Any, Any] = {}
    for part in parts:
        loaded = reading.load(part)
        if not isinstance(loaded, dict) or (repeated := joined.keys() & loaded.keys()):
            found = f"{listed(map(str, repeated))} again" if isinstance(loaded, dict) else "none"
            raise UserError(f"Expected a part of a state dict in {part}, and found {found}: save it in one file.")
        joined |= loaded
    return joined


def _exists(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name longer than the system takes
        return False


def _named(index: Path) -> list[str]:
    """The names of the files in an index's weight_map; they stand beside it."""
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
        if not names or any(Path(name).name != name for name in names):
            raise ValueError("its weight_map names no files beside it")
    except FileNotFoundError:
        raise UserError(f"There is no file {index}: check the path.") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"Expected an index of weights, a JSON file with a weight_map of tensors to files, in {index}, and it "
            f"cannot be read so ({shown(str(error))}): name one of the parts instead."
        ) from None
    return names
