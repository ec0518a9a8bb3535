"""Files that are written whole or not at all, and paths as a user writes them."""

import os
import pathlib
import uuid

PathLike = str | os.PathLike[str]


def user_path(path: PathLike) -> pathlib.Path:
    """A path as it was meant: `~` is the home folder, which no shell expands in `--name=~/x`."""
    path = pathlib.Path(path)
    try:
        return path.expanduser()
    except RuntimeError:  # pathlib's, where the system knows no home of that name
        return path


def atomic_write(path: PathLike, data: bytes) -> None:
    """Writes a file under another name first, then renames it: a reader or a kill meets the old file or the new one.

    Args:
        path: the file; one that is there is replaced. Its folder is made if it is absent.
        data: what it will hold.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    path = user_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
