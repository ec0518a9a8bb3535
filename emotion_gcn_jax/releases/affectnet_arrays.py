"""A split of AffectNet's March-2021 release: images cut to the face, each with small array files beside it."""

import collections
import functools
import pathlib

import numpy as np
import tqdm

from emotion_gcn_jax.array_files import decode_npy
from emotion_gcn_jax.releases.affectnet_annotation import (
    LABEL_NAMES,
    Annotation,
    Cut,
    affect,
    count_warnings,
    example,
    expression,
)
from emotion_gcn_jax.releases.building import Entry, ReleaseSplit, Skip, in_order
from emotion_gcn_jax.releases.landmarks import Eyes, eyes
from emotion_gcn_jax.releases.tables import number

ANNOTATION_UNREADABLE = "annotation unreadable"


def array_split(split: str, name: str, images: pathlib.Path, annotations: pathlib.Path, cut: Cut) -> ReleaseSplit:
    """The split that a pair of folders holds; its annotations are read at once.

    An example's id is its image's path in the release, such as "val_set/images/7.jpg".

    Args:
        split: train or validation.
        name: the release's own name of the split, train_set or val_set.
        images: the folder of N.jpg.
        annotations: the folder of N_exp.npy, N_val.npy, N_aro.npy and, in most copies, N_lnd.npy.
        cut: makes the stored images.
    """
    files = {path.name.split(".")[0]: path for path in images.iterdir()}
    annotated = {path.name.split("_")[0] for path in annotations.iterdir()}
    numbers = sorted((stem for stem in files.keys() | annotated if stem.isdigit()), key=int)
    paths = [files.get(stem, images / f"{stem}.jpg") for stem in numbers]
    read = in_order(functools.partial(_annotation, annotations), paths)
    bar = tqdm.tqdm(read, total=len(paths), desc=f"Reading {name}/annotations", mininterval=1.0, leave=False)
    contents = dict(bar)
    found = [content for content in contents.values() if isinstance(content, Annotation)]
    counts = collections.Counter(annotation.expression for annotation in found)
    return ReleaseSplit(
        entries=(
            Entry(f"{name}/images/{path.name}", f"{name}/annotations/{_stem(path)}_*.npy", content)
            for path, content in contents.items()
        ),
        total=len(contents),
        make=functools.partial(example, cut=cut),
        warnings=(*count_warnings(split, counts, len(LABEL_NAMES)), *_landmark_warnings(found)),
    )


def _stem(path: pathlib.Path) -> str:
    return path.name.split(".")[0]


def _annotation(folder: pathlib.Path, image: pathlib.Path) -> Annotation | Skip:
    try:
        code, valence, arousal = (
            str(_read_array(folder / f"{_stem(image)}_{kind}.npy")[0]) for kind in ("exp", "val", "aro")
        )
        return Annotation(image, expression(code), *affect(valence, arousal), _eyes(folder, image), None)
    except Skip as skip:
        return skip


def _eyes(folder: pathlib.Path, image: pathlib.Path) -> Eyes | None:
    """The eyes by the landmarks, or None: an image that is cut already can do without them."""
    try:
        landmarks = _read_array(folder / f"{_stem(image)}_lnd.npy")
    except Skip:
        return None
    return eyes(np.array([number(str(value)) for value in landmarks]))


def _landmark_warnings(found: list[Annotation]) -> tuple[str, ...]:
    without = sum(annotation.eyes is None for annotation in found)
    if not without:
        return ()
    return (f"Warning: {without:,} of {len(found):,} images have no usable landmarks: they stay as they are.",)


def _read_array(path: pathlib.Path) -> np.ndarray:
    """Reads an array, flat; what would need pickle is not read.

    The release's scalars are arrays of one text, in some copies of its bytes.
    """
    try:
        array = decode_npy(path.read_bytes()).reshape(-1)
    except (OSError, ValueError) as error:
        raise Skip(ANNOTATION_UNREADABLE, f"{path.name}: {error}") from None
    if not array.size:
        raise Skip(ANNOTATION_UNREADABLE, f"{path.name}: no number in it")
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
