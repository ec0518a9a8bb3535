"""Looks for a release's files below a folder: archives unpack into folders of their own name, and one in another."""

import pathlib
from collections.abc import Callable, Iterator

DEPTH = 4
"""How many folders down from --manual_dir a release may lie."""


def walk(
    root: pathlib.Path, may_hold: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """Yields a folder and those up to DEPTH folders below it, the nearest first, each with the sorted names in it.

    Args:
        root: the folder to begin with.
        may_hold: tells by a folder's name whether to look into it; hidden ones and macOS's are never looked into.
    """
    level = [root]
    for _ in range(DEPTH + 1):
        below = []
        for folder in level:
            names = sorted(path.name for path in folder.iterdir())
            yield folder, names
            below += [folder / name for name in names if _is_open(name) and may_hold(name) and (folder / name).is_dir()]
        level = below


def nearest(
    root: pathlib.Path, wanted: str, may_hold: Callable[[str], bool] = lambda name: True
) -> pathlib.Path | None:
    """The nearest folder or file of a name, in any case; arguments as for `walk`. None where there is none."""
    found = (folder / n for folder, names in walk(root, may_hold) for n in names if n.lower() == wanted.lower())
    return next(found, None)


def _is_open(name: str) -> bool:
    return not name.lower().startswith((".", "__macosx"))
