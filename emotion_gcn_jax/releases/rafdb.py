"""RAF-DB's basic expressions as licensees have them on disk: the aligned images and the list of labels, or a mirror."""

import collections
import pathlib
import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import encode_jpeg
from emotion_gcn_jax.files import text_encoding
from emotion_gcn_jax.labels import CLASS_ORDERS
from emotion_gcn_jax.releases import search
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit, Skip, unlikely_counts
from emotion_gcn_jax.releases.images import read_image
from emotion_gcn_jax.releases.tables import number

EXPRESSION_UNKNOWN = "expression unknown"
ROW_MALFORMED = "row malformed"
LISTED_BEFORE = "listed before"

SPLITS = ("train", "test")

CLASSES = CLASS_ORDERS["raf_db"]
LABEL_NAMES = CLASSES.vocabulary
"""The seven classes in the order of the set's own codes, 1 to 7."""

_IDS = CLASSES.ids(LABEL_NAMES)
# The images by code (the sources are in tfds_builders/rafdb/README.md).
_COUNTS = MappingProxyType(
    {"train": (1290, 281, 717, 4772, 1982, 705, 2524), "test": (329, 74, 160, 1185, 478, 162, 680)}
)
_LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # the first is the release's own spelling
_NAME = re.compile(r"((train|test)_\d+)(_aligned)?(\.jpe?g|\.png)?", re.IGNORECASE)
_ROW = re.compile(rf"(.*[/\\\s,;])?(?P<name>{_NAME.pattern})([\s,;]+(?P<code>.*))?", re.IGNORECASE)
_ALIGNED = "aligned"
_SHOWN = 60  # characters of a row in the report


class Photograph(NamedTuple):
    """An aligned image, or why a row of the list stands for none.

    Attributes:
        id: such as "train_00001".
        where: the line or the file that names it.
        split: one of SPLITS.
        content: the file and the expression's place in LABEL_NAMES.
    """

    id: str
    where: str
    split: str
    content: tuple[pathlib.Path, int] | Skip


def find(root: pathlib.Path) -> list[Photograph]:
    """Finds the release in `root` or up to four folders down: the list and the folder "aligned", or a mirror's folders.

    Raises:
        UserError: there is neither, or the list cannot be read.
    """
    lists = [path for name in _LISTS if (path := search.nearest(root, name))]
    images = _folder_of_images(root)
    if lists and images:
        return list(_listed(lists[0], images))
    for folder, names in search.walk(root):
        if set(SPLITS).issubset(name.lower() for name in names) and not lists:
            if found := list(_mirrored(folder)):
                return found
            break
    missing = " and no ".join([*([] if lists else [_LISTS[0]]), *([] if images else [f"{_ALIGNED} images"])])
    raise UserError(
        f"Expected RAF-DB's {_LISTS[0]} and a folder {_ALIGNED} of images, or a mirror's folders train and test with "
        f"folders 1 to 7, in {root} or up to {search.DEPTH} folders down, and found no {missing}: unpack the release."
    )


def splits(photographs: Sequence[Photograph]) -> dict[str, ReleaseSplit]:
    """The splits train and test; an example's image is a JPEG of the release's pixels."""
    found = {}
    for split in SPLITS:
        chosen = [photograph for photograph in photographs if photograph.split == split]
        places = collections.Counter(p.content[1] for p in chosen if not isinstance(p.content, Skip))
        counts = {word: places[place] for place, word in enumerate(LABEL_NAMES)}
        warnings = unlikely_counts(dict(zip(LABEL_NAMES, _COUNTS[split], strict=True)), counts, slack=0)
        entries = (Entry(p.id, p.where, p.content) for p in chosen)
        found[split] = ReleaseSplit(entries, len(chosen), _example, warnings=warnings)
    return found


def _folder_of_images(root: pathlib.Path) -> pathlib.Path | None:
    """The nearest folder "aligned" with images in it: an archive may put it into one of the same name."""
    for folder, names in search.walk(root):
        if folder.name.lower() == _ALIGNED and any(map(_NAME.fullmatch, names)):
            return folder
    return None


def _listed(path: pathlib.Path, images: pathlib.Path) -> Iterator[Photograph]:
    """Reads "train_00001.jpg 5" a line; the image is train_00001_aligned.jpg, in any spelling and of any suffix.

    Copies have commas, semicolons or tabs between the two, quotes round them, folders before the name, and a header.
    """
    try:
        lines = path.read_text(encoding=text_encoding(path), errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"Expected a list in {path}, and it cannot be read ({error.strerror}): check it.") from None
    rows = [(line, text) for line, text in enumerate(lines, start=1) if text.strip()]
    if rows and _is_header(rows[0][1]):
        del rows[0]
    file_of = {match[1].lower(): file for file in sorted(images.iterdir()) if (match := _NAME.fullmatch(file.name))}
    line_of: dict[str, int] = {}
    for line, text in rows:
        row = _ROW.fullmatch(text.replace('"', "").strip())
        match = _NAME.fullmatch(row["name"]) if row else None
        code = ((row and row["code"]) or "").strip(" \t,;")
        stem = match[1].lower() if match else text.strip()[:_SHOWN]
        content: tuple[pathlib.Path, int] | Skip
        if match is None:
            content = Skip(ROW_MALFORMED, repr(text[:_SHOWN]))
        elif stem in line_of:
            content = Skip(LISTED_BEFORE, f"in line {line_of[stem]}", lost=False)
        elif number(code) not in CLASSES.names:
            content = Skip(EXPRESSION_UNKNOWN, f"code {code[:_SHOWN]!r}")
        else:
            file = file_of.get(stem, images / f"{stem}_aligned{match[4] or '.jpg'}")
            content = (file, _IDS[int(number(code))])
            line_of[stem] = line
        split = match[2].lower() if match else "train"
        yield Photograph(stem, f"{path.name} line {line}", split, content)


def _is_header(text: str) -> bool:
    """Whether a first line names columns: it has words, and neither an image's name nor a number."""
    words = [word for word in re.split(r"[\s,;\"]+", text) if word]
    return len(words) > 1 and not any(re.search(r"\d", word) for word in words)


def _mirrored(root: pathlib.Path) -> Iterator[Photograph]:
    """Reads {train,test}/{1..7}/train_00001_aligned.jpg."""
    for path in sorted(root.glob("*/*/*")):
        split, code, name = path.relative_to(root).parts
        match = _NAME.fullmatch(name)
        if match and split.lower() in SPLITS and code in map(str, CLASSES.names):
            where = path.relative_to(root).as_posix()
            yield Photograph(match[1].lower(), where, split.lower(), (path, _IDS[int(code)]))


def _example(content: tuple[pathlib.Path, int]) -> Example:
    path, expression = content
    return {"image": encode_jpeg(read_image(path)), "expression": expression}
