"""FERG-DB as its licensees have it on disk: FERG_DB_256/aia/aia_anger/aia_anger_1.png, for six animated characters."""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.labels import CLASS_ORDERS
from emotion_gcn_jax.releases import search
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit
from emotion_gcn_jax.releases.dividing import divide
from emotion_gcn_jax.releases.images import read_image, small_grey

CHARACTERS = ("aia", "bonnie", "jules", "malcolm", "mery", "ray")
"""The splits of `by_character`."""

CLASSES = CLASS_ORDERS["ferg"]
LABEL_NAMES = CLASSES.vocabulary
"""The seven classes, by the alphabet."""

_IDS = CLASSES.ids(LABEL_NAMES)


class Drawing(NamedTuple):
    """An image of the set.

    Attributes:
        path: the file; its stem, such as "aia_anger_1", is the example's id.
        character: one of CHARACTERS.
        expression: its place in LABEL_NAMES.
    """

    path: pathlib.Path
    character: str
    expression: int


def find(root: pathlib.Path) -> list[Drawing]:
    """Lists the images of the nearest folder with characters in it, `root` or up to four folders down.

    Raises:
        UserError: there is none, or no image in it.
    """
    for folder, names in search.walk(root):
        if any(name.lower() in CHARACTERS for name in names):
            if found := list(_drawings(folder)):
                return found
            break
    raise UserError(
        f"Expected FERG-DB's folders {', '.join(CHARACTERS)}, each with folders such as aia_anger of PNG files, in "
        f"{root} or up to {search.DEPTH} folders down, and found none: unpack the archive there."
    )


def by_character(drawings: Sequence[Drawing], side: int) -> dict[str, ReleaseSplit]:
    """A split for each character.

    An example's image is a PNG of one channel, reduced by averaging areas to `side` pixels; `subject` is one of
    CHARACTERS.
    """
    return _splits(drawings, {d.path.stem: d.character for d in drawings}, CHARACTERS, side)


def at_random(
    drawings: Sequence[Drawing], side: int, seed: int, *, test_of_a_class: int, validation: int
) -> dict[str, ReleaseSplit]:
    """The splits train, validation and test at random, class by class.

    Args:
        drawings: of `find`.
        side: as for `by_character`.
        seed: another one gives another division.
        test_of_a_class: how many test images each class has.
        validation: how many validation images there are; the rest is trained on.

    Raises:
        UserError: a class has too few images.
    """
    words = {drawing.path.stem: LABEL_NAMES[drawing.expression] for drawing in drawings}
    test = dict.fromkeys(words.values(), test_of_a_class)
    split_of = divide(words, test=test, validation=validation, seed=seed)
    return _splits(drawings, split_of, ("train", "validation", "test"), side)


def _drawings(root: pathlib.Path) -> Iterator[Drawing]:
    for character in _folders(root):
        for folder in _folders(character):
            name, _, emotion = folder.name.lower().partition("_")
            if name in CHARACTERS and emotion in _IDS:
                for path in sorted(folder.iterdir()):
                    if path.suffix.lower() == ".png" and not path.name.startswith("."):
                        yield Drawing(path, name, _IDS[emotion])


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _splits(
    drawings: Sequence[Drawing], split_of: Mapping[str, str], names: Sequence[str], side: int
) -> dict[str, ReleaseSplit]:
    make = functools.partial(_example, side=side)
    found = {}
    for split in names:
        chosen = [drawing for drawing in drawings if split_of[drawing.path.stem] == split]
        entries = (Entry(d.path.stem, "/".join(d.path.parts[-3:]), d) for d in chosen)
        found[split] = ReleaseSplit(entries, len(chosen), make)
    return found


def _example(drawing: Drawing, side: int) -> Example:
    return {
        "image": encode_png(small_grey(read_image(drawing.path), side)),
        "expression": drawing.expression,
        "subject": drawing.character,
    }
