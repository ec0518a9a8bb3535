"""Paths as users write them."""

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with a leading `~` or `~user` as that user's home; as it stands where there is no such home."""
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:  # pathlib's, where the system knows no home of that name
        return path
