"""Checksums of a folder's files: whether what is read is what was written.

A disk that fails, a copy that breaks off and a file that somebody touched leave a folder that may still be readable,
with other numbers in it.
"""

import hashlib
import json
import pathlib

from emotion_gcn_jax.files import atomic_write, read_json

FILE = "checksums.json"


def write(folder: pathlib.Path) -> None:
    """Writes FILE into a folder: SHA-256 of every file in it and below it, by its path in the folder.

    Raises:
        OSError: a file cannot be read, or FILE not be written.
    """
    atomic_write(folder / FILE, json.dumps(_of_files(folder), indent=1).encode())


def damage(folder: pathlib.Path) -> str:
    """Compares a folder with its checksums.

    Returns:
        What is wrong, such as "params/d/0 has changed"; "" if nothing is, or if the folder has no checksums.
    """
    path = folder / FILE
    if not path.exists():
        return ""
    try:
        expected, found = read_json(path), _of_files(folder)
        for name, checksum in expected.items():
            if name not in found:
                return f"{name} is missing"
            if found[name] != checksum:
                return f"{name} has changed"
    except OSError as error:
        return f"{pathlib.Path(error.filename or folder).name} cannot be read: {error.strerror}"
    except (ValueError, AttributeError):
        return f"{FILE} is damaged"
    return ""


def _of_files(folder: pathlib.Path) -> dict[str, str]:
    checksums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != FILE:
            with path.open("rb") as file:
                checksums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return checksums
