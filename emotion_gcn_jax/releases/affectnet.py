"""AffectNet as its licensees have it on disk: where the original release, or that of March 2021, keeps its parts.

Both are read into the splits "train" and "validation". Copies differ: lists lie beside the images or in a folder of
their own, some archives unpack into a folder of their own name, and every copy has broken rows and missing files.
"""

import pathlib
from collections.abc import Sequence

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases import search
from emotion_gcn_jax.releases.affectnet_annotation import Cut
from emotion_gcn_jax.releases.affectnet_arrays import array_split
from emotion_gcn_jax.releases.affectnet_lists import list_split
from emotion_gcn_jax.releases.building import ReleaseSplit

_IMAGES = "Manually_Annotated_Images"
_LISTS = {"train": "training.csv", "validation": "validation.csv"}
_ARRAYS = {"train": "train_set", "validation": "val_set"}
_PARTS = ("images", "annotations")  # of a split of the March-2021 release


def read_lists(root: pathlib.Path, cut: Cut) -> dict[str, ReleaseSplit]:
    """Finds the original release: training.csv, validation.csv, and numbered folders of images.

    Args:
        root: a folder that holds them, itself or up to four folders down.
        cut: makes the stored images.

    Returns:
        The splits by name. An example's id is its image's path in Manually_Annotated_Images.

    Raises:
        UserError: the folder does not hold the release, or a list is none of it.
    """
    lists: dict[str, pathlib.Path] = {}
    numbered: list[pathlib.Path] = []
    for folder, names in search.walk(root, _may_hold_a_release):
        for split, list_name in _LISTS.items():
            if found := [name for name in names if name.lower() == list_name]:
                lists.setdefault(split, folder / found[0])
        if any(name.isdigit() and (folder / name).is_dir() for name in names):
            numbered.append(folder)
    missing = [name for split, name in _LISTS.items() if split not in lists]
    if not numbered:
        missing.append(f"{_IMAGES} with its numbered folders")
    if missing:
        arrays = _find(root, _ARRAYS["train"])
        raise _not_found(root, "original release", missing, "npy", arrays and arrays.parent)
    images = next((folder for folder in numbered if folder.name.lower() == _IMAGES.lower()), numbered[0])
    return {split: list_split(split, lists[split], images, cut) for split in _LISTS}


def read_arrays(root: pathlib.Path, cut: Cut) -> dict[str, ReleaseSplit]:
    """Finds the March-2021 release: train_set and val_set, each with images and annotations.

    Arguments, result and errors are those of `read_lists`; an example's id is its image's path in the release, such as
    "val_set/images/7.jpg".
    """
    folders = {split: _find(root, name) for split, name in _ARRAYS.items()}
    if missing := [_ARRAYS[split] for split, folder in folders.items() if folder is None]:
        lists = _find(root, _LISTS["train"])
        raise _not_found(root, "March-2021 release", missing, "csv", lists and lists.parent)
    return {
        split: array_split(split, _ARRAYS[split], _part(folder, "images"), _part(folder, "annotations"), cut)
        for split, folder in folders.items()
        if folder is not None
    }


def _may_hold_a_release(name: str) -> bool:
    """Whether a folder of this name may; those that hold hundreds of thousands of images need not be looked into."""
    lower = name.lower()
    return not (name.isdigit() or lower in _PARTS or "automatically" in lower)


def _find(root: pathlib.Path, wanted: str) -> pathlib.Path | None:
    return search.nearest(root, wanted, _may_hold_a_release)


def _part(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The folder of images or of annotations of a split, under the folders that an archive may have put around it."""
    inner = _find(folder, name)
    if inner is None or not inner.is_dir():
        raise UserError(
            f"Expected the folders {' and '.join(_PARTS)} in {folder} or up to {search.DEPTH} folders down, and found "
            f"no {name} there: unpack the release's archives whole."
        )
    spellings = (name, name.capitalize(), name.upper())  # a folder of so many images is not listed to find one in it
    while deeper := next((inner / spelling for spelling in spellings if (inner / spelling).is_dir()), None):
        inner = deeper
    return inner


def _not_found(
    root: pathlib.Path, release: str, missing: Sequence[str], other_config: str, other: pathlib.Path | None
) -> UserError:
    hint = f"{other} looks like the other release, which the config {other_config} builds" if other else ""
    return UserError(
        f"Expected AffectNet's {release} in {root}, and did not find {' or '.join(missing)} there or up to "
        f"{search.DEPTH} folders down: {hint or 'name the folder that holds it by --manual_dir'}."
    )
