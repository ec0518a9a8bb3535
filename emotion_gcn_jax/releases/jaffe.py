"""JAFFE as its licensees have it on disk: 213 files in one folder, whose names say everything: KA.AN1.39.tiff."""

import collections
import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.labels import CLASS_ORDERS
from emotion_gcn_jax.releases import search
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit, Skip, unlikely_counts
from emotion_gcn_jax.releases.dividing import divide
from emotion_gcn_jax.releases.images import read_image, small_grey

LISTED_BEFORE = "listed before"

SUBJECTS = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")
"""The ten women by the letters in file names: the splits of `by_subject`."""

CLASSES = CLASS_ORDERS["jaffe"]
LABEL_NAMES = CLASSES.vocabulary
"""The seven classes, by the alphabet."""

_IDS = CLASSES.ids(LABEL_NAMES)
# The images by class (the sources are in tfds_builders/jaffe/README.md).
_COUNTS = MappingProxyType({"AN": 30, "DI": 29, "FE": 32, "HA": 31, "NE": 30, "SA": 31, "SU": 30})
_TEST_OF_A_CLASS, _VALIDATION = 10, 23  # of the division 120/23/70

# Copies differ in case and suffix, and some names have a blank before the last dot.
_NAME = re.compile(
    rf"({'|'.join(SUBJECTS)})\.({'|'.join(map(str, CLASSES.names))})(\d)\.(\d+)\s*\.(tiff?|png|jpe?g|bmp)",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"[^.].*\.tiff?", re.IGNORECASE)


class Photograph(NamedTuple):
    """An image of the set.

    Attributes:
        id: such as "KA.AN1.39".
        path: the file.
        subject: one of SUBJECTS.
        expression: its place in LABEL_NAMES.
    """

    id: str
    path: pathlib.Path
    subject: str
    expression: int


class Release(NamedTuple):
    """The images that were found, by name, and the files beside them whose names say nothing."""

    photographs: tuple[Photograph, ...]
    repeated: tuple[Photograph, ...]
    strays: tuple[str, ...]


def find(root: pathlib.Path) -> Release:
    """Finds the images: the nearest folder with one of them, `root` or up to four folders down.

    Raises:
        UserError: there is none.
    """
    for folder, names in search.walk(root):
        matches = {name: _NAME.fullmatch(name.strip()) for name in names}
        if any(matches.values()):
            found: dict[str, Photograph] = {}
            repeated = []
            for name, match in matches.items():
                if match:
                    subject, code, repeat, number = (text.upper() for text in match.groups()[:4])
                    photograph = Photograph(f"{subject}.{code}{repeat}.{number}", folder / name, subject, _IDS[code])
                    if found.setdefault(photograph.id, photograph) is not photograph:
                        repeated.append(photograph)
            strays = [name for name, match in matches.items() if not match and _IMAGE.fullmatch(name)]
            return Release(tuple(found.values()), tuple(repeated), tuple(strays))
    raise UserError(
        f"Expected JAFFE's images, named as KA.AN1.39.tiff, in {root} or up to {search.DEPTH} folders down, and found "
        "none: name the folder that holds them by --manual_dir."
    )


def by_subject(release: Release, side: int) -> dict[str, ReleaseSplit]:
    """A split for each subject.

    An example's image is a PNG of one channel, reduced by averaging areas to `side` pixels; `subject` is one of
    SUBJECTS.
    """
    return _splits(release, {photograph.id: photograph.subject for photograph in release.photographs}, SUBJECTS, side)


def at_random(release: Release, side: int, seed: int) -> dict[str, ReleaseSplit]:
    """The splits train, validation and test: ten test images of each class, 23 validation images, and the rest (120).

    Raises:
        UserError: a class has too few images.
    """
    words = {photograph.id: LABEL_NAMES[photograph.expression] for photograph in release.photographs}
    test = dict.fromkeys(words.values(), _TEST_OF_A_CLASS)
    split_of = divide(words, test=test, validation=_VALIDATION, seed=seed)
    return _splits(release, split_of, ("train", "validation", "test"), side)


def _splits(release: Release, split_of: Mapping[str, str], names: Sequence[str], side: int) -> dict[str, ReleaseSplit]:
    make = functools.partial(_example, side=side)
    found: dict[str, ReleaseSplit] = {}
    for split in names:
        entries = [Entry(p.id, p.path.name, p) for p in release.photographs if split_of[p.id] == split]
        again = [p for p in release.repeated if split_of[p.id] == split]
        entries += [Entry(p.id, p.path.name, Skip(LISTED_BEFORE, p.path.name, lost=False)) for p in again]
        found[split] = ReleaseSplit(entries, len(entries), make, warnings=() if found else _warnings(release))
    return found


def _warnings(release: Release) -> tuple[str, ...]:
    counts = collections.Counter(LABEL_NAMES[photograph.expression] for photograph in release.photographs)
    expected = {LABEL_NAMES[_IDS[code]]: count for code, count in _COUNTS.items()}
    warnings = unlikely_counts(expected, counts, slack=0)
    if release.strays:
        warnings += (f"Warning: names that are not JAFFE's were left alone: {listed(release.strays)}.",)
    return warnings


def _example(photograph: Photograph, side: int) -> Example:
    return {
        "image": encode_png(small_grey(read_image(photograph.path), side)),
        "expression": photograph.expression,
        "subject": photograph.subject,
    }
