"""AffectNet as its licensees have it on disk: the original release's lists, or the March-2021 release's arrays.

Both are read into the splits "train" and "validation". Copies differ: lists have a header or none, lie beside the
images or in a folder of their own, and every copy has broken rows and missing files.
"""

import collections
import csv
import functools
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm
from etils import epath

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Box
from emotion_gcn_jax.labels import CLASS_ORDERS
from emotion_gcn_jax.releases.affectnet_faces import Eyes
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit, Skip, in_order, unlikely_counts
from emotion_gcn_jax.releases.images import read_image

ROW_INCOMPLETE = "row incomplete"
BOX_MISSING = "box missing"
BOX_WITHOUT_AREA = "box without area"
BOX_OUTSIDE = "box outside the image"
LANDMARKS_UNUSABLE = "landmarks unusable"
FACE_UNUSABLE = "face unusable"
EXPRESSION_UNKNOWN = "expression unknown"
AFFECT_UNKNOWN = "valence or arousal unknown"
ANNOTATION_UNREADABLE = "annotation unreadable"
LISTED_BEFORE = "listed before"

_CLASSES = CLASS_ORDERS["affectnet_with_contempt"]
_NOT_EXAMPLES = (9, 10)  # Uncertain and No-Face have neither an expression nor valence and arousal
# The original lists' rows by class. Some copies lack two broken rows, one of Happy in training.csv and one in
# validation.csv; so does the March-2021 release, which ends with the eighth class.
_COUNTS: Mapping[str, Sequence[int]] = {
    "train": (74874, 134416, 25459, 14090, 6378, 3803, 24882, 3750, 33088, 11645, 82415),
    "validation": (500,) * 11,
}
_COUNTS_SLACK = 1
_CLASSES_OF_ARRAYS = 8

_IMAGES = "Manually_Annotated_Images"
_LISTS = {"train": "training.csv", "validation": "validation.csv"}
_COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks"),
    *("expression", "valence", "arousal"),
)
_ARRAYS = {"train": "train_set", "validation": "val_set"}
_SEARCH_DEPTH = 3

_NO_AFFECT = -2.0
_LANDMARKS = 68
_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)


class Annotation(NamedTuple):
    """What AffectNet says of one image.

    Attributes:
        image: the file.
        expression: our id, or NO_EXPRESSION for AffectNet's class None.
        valence: -1 to 1, or NaN.
        arousal: -1 to 1, or NaN.
        eyes: in the image's pixels; None where the March-2021 release has no numbers for them.
        box: x, y, width and height in the image's pixels; None in the March-2021 release, which is cut to it.
    """

    image: epath.Path
    expression: int
    valence: float
    arousal: float
    eyes: Eyes | None
    box: Box | None


Cut = Callable[[np.ndarray, Annotation], bytes]
"""Makes the stored image file of a uint8 RGB image and its annotation; may raise UserError."""


def read_lists(root: epath.Path, cut: Cut) -> dict[str, ReleaseSplit]:
    """Finds the original release: training.csv, validation.csv, and numbered folders of images.

    Args:
        root: a folder that holds them, itself or up to three folders down.
        cut: makes the stored images.

    Returns:
        The splits by name. An example's id is its image's path in Manually_Annotated_Images, as the lists give it.

    Raises:
        UserError: the folder does not hold the release.
    """
    lists: dict[str, epath.Path] = {}
    numbered: list[epath.Path] = []
    for folder, names in _folders(root):
        for split, list_name in _LISTS.items():
            found = [name for name in names if name.lower() == list_name]
            if found and split not in lists:
                lists[split] = folder / found[0]
        if any(name.isdigit() and (folder / name).is_dir() for name in names):
            numbered.append(folder)
    missing = [name for split, name in _LISTS.items() if split not in lists]
    if not numbered:
        missing.append(f"{_IMAGES} with its numbered folders")
    if missing:
        raise _not_found(root, "original release", missing, "npy", _find_arrays(root))
    images = next((folder for folder in numbered if folder.name.lower() == _IMAGES.lower()), numbered[0])
    return {split: _list_split(split, lists[split], images, cut) for split in _LISTS}


def read_arrays(root: epath.Path, cut: Cut) -> dict[str, ReleaseSplit]:
    """Finds the March-2021 release: train_set and val_set, each with N.jpg and N_{exp,val,aro,lnd}.npy.

    The annotations are read at once. Arguments, result and errors are those of `read_lists`; an example's id is its
    image's path in the release, such as "val_set/images/7.jpg".
    """
    folder = _find_arrays(root)
    if folder is None:
        has_lists = next((folder for folder, names in _folders(root) if _LISTS["train"] in names), None)
        raise _not_found(root, "March-2021 release", list(_ARRAYS.values()), "csv", has_lists)
    return {split: _array_split(split, folder / name, cut) for split, name in _ARRAYS.items()}


def _folders(root: epath.Path) -> Iterator[tuple[epath.Path, list[str]]]:
    """The folders in which lists and images may be, the nearest first, and the names in each."""
    level = [root]
    for _ in range(_SEARCH_DEPTH + 1):
        below = []
        for folder in level:
            names = sorted(path.name for path in folder.iterdir())
            yield folder, names
            below += [folder / name for name in names if _may_hold_a_release(name) and (folder / name).is_dir()]
        level = below


def _may_hold_a_release(name: str) -> bool:
    """Whether a folder of this name may; those that hold hundreds of thousands of images need not be looked into."""
    lower = name.lower()
    return not (name.isdigit() or lower in ("images", "annotations") or "automatically" in lower)


def _find_arrays(root: epath.Path) -> epath.Path | None:
    return next((folder for folder, names in _folders(root) if set(_ARRAYS.values()) <= set(names)), None)


def _not_found(
    root: epath.Path, release: str, missing: Sequence[str], other_config: str, other: epath.Path | None
) -> UserError:
    hint = f"{other} looks like the other release, which the config {other_config} builds" if other else ""
    return UserError(
        f"Expected AffectNet's {release} in {root}, and did not find {' or '.join(missing)} there or up to "
        f"{_SEARCH_DEPTH} folders down: {hint or 'name the folder that holds it by --manual_dir'}."
    )


def _list_split(split: str, list_path: epath.Path, images: epath.Path, cut: Cut) -> ReleaseSplit:
    counts = collections.Counter(_class_code(cells) for _, cells in _rows(list_path))
    return ReleaseSplit(
        entries=_list_entries(list_path, images),
        total=counts.total() - sum(counts[code] for code in _NOT_EXAMPLES),
        make=functools.partial(_example, cut=cut),
        not_examples={str(_CLASSES.names[code]): counts[code] for code in _NOT_EXAMPLES if counts[code]},
        warnings=_count_warnings(split, counts, len(_CLASSES.names)),
    )


def _rows(list_path: epath.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields a list's rows, with the number of their line, as the nine columns in our order, or as the first alone."""
    with list_path.open("rb") as file:
        reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline=""))
        order: Sequence[int] = range(len(_COLUMNS))
        for cells in reader:
            if reader.line_num == 1 and cells and cells[0].strip().lower() == _COLUMNS[0].lower():
                order = _header_order(list_path, [cell.strip().lower() for cell in cells])
            elif cells:
                present = order if max(order) < len(cells) else order[:1]
                yield reader.line_num, [cells[index].strip() for index in present if index < len(cells)] or [""]


def _header_order(list_path: epath.Path, header: list[str]) -> list[int]:
    missing = [column for column in _COLUMNS if column.lower() not in header]
    if missing:
        raise UserError(
            f"Expected the columns {', '.join(_COLUMNS)} in {list_path}, and its header has no {', '.join(missing)}: "
            "use the release's own list."
        )
    return [header.index(column.lower()) for column in _COLUMNS]


def _list_entries(list_path: epath.Path, images: epath.Path) -> Iterator[Entry]:
    seen = set()
    for line, cells in _rows(list_path):
        if _class_code(cells) in _NOT_EXAMPLES:
            continue
        name = cells[0].replace("\\", "/").lstrip("/")
        content: Annotation | Skip
        try:
            if name in seen:
                raise Skip(LISTED_BEFORE, lost=False)
            content = _row_annotation(cells, images / name)
            seen.add(name)
        except Skip as skip:
            content = skip
        yield Entry(name, f"{list_path.name} line {line}", content)


def _row_annotation(cells: list[str], image: epath.Path) -> Annotation:
    if len(cells) < len(_COLUMNS):
        raise Skip(ROW_INCOMPLETE, f"fewer than {len(_COLUMNS)} columns")
    box_cells, landmarks, _, valence, arousal = cells[1:5], *cells[5:]
    expression = _expression(_class_code(cells), cells[6])
    x, y, width, height = map(_number, box_cells)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise Skip(BOX_MISSING, ", ".join(box_cells))
    if width < 1 or height < 1:
        raise Skip(BOX_WITHOUT_AREA, ", ".join(box_cells))
    points = np.array([_number(cell) for cell in landmarks.split(";")])
    eyes = _eyes(points)
    if eyes is None:
        raise Skip(LANDMARKS_UNUSABLE, f"{np.isfinite(points).sum()} numbers")
    return Annotation(image, expression, _affect(valence), _affect(arousal), eyes, (x, y, width, height))


def _array_split(split: str, folder: epath.Path, cut: Cut) -> ReleaseSplit:
    images = {path.name.split(".")[0]: path.name for path in (folder / "images").iterdir()}
    annotated = {path.name.split("_")[0] for path in (folder / "annotations").iterdir()}
    numbers = sorted((number for number in images.keys() | annotated if number.isdigit()), key=int)
    names = [images.get(number, f"{number}.jpg") for number in numbers]
    read = tqdm.tqdm(
        in_order(functools.partial(_array_annotation, folder), names),
        total=len(names),
        desc=f"Reading {folder.name}/annotations",
        mininterval=1.0,
        leave=False,
    )
    contents = dict(read)
    counts = collections.Counter(content.expression for content in contents.values() if isinstance(content, Annotation))
    return ReleaseSplit(
        entries=(
            Entry(f"{folder.name}/images/{name}", f"{folder.name}/annotations/{name.split('.')[0]}_*.npy", content)
            for name, content in contents.items()
        ),
        total=len(contents),
        make=functools.partial(_example, cut=cut),
        warnings=_count_warnings(split, counts, _CLASSES_OF_ARRAYS),
    )


def _array_annotation(folder: epath.Path, name: str) -> Annotation | Skip:
    number = name.split(".")[0]
    try:
        values = {}
        for kind in ("exp", "val", "aro", "lnd"):
            values[kind] = _read_array(folder / "annotations" / f"{number}_{kind}.npy")
        code, valence, arousal = (str(values[kind][0]) for kind in ("exp", "val", "aro"))
        expression = _expression(_code(code), code)
        eyes = _eyes(np.array([_number(str(value)) for value in values["lnd"]]))
        return Annotation(folder / "images" / name, expression, _affect(valence), _affect(arousal), eyes, None)
    except Skip as skip:
        return skip


def _read_array(path: epath.Path) -> np.ndarray:
    """Reads an array, flat; what would need pickle is not read. The release's scalars are arrays of one text."""
    try:
        array = np.lib.format.read_array(io.BytesIO(path.read_bytes()), allow_pickle=False).reshape(-1)
    except (OSError, ValueError, EOFError) as error:
        raise Skip(ANNOTATION_UNREADABLE, f"{path.name}: {error}") from None
    if not array.size:
        raise Skip(ANNOTATION_UNREADABLE, f"{path.name}: no number in it")
    return array


def _count_warnings(split: str, counts: Mapping[Any, int], classes: int) -> tuple[str, ...]:
    codes = range(classes)
    expected, found = ({str(_CLASSES.names[code]): c[code] for code in codes} for c in (_COUNTS[split], counts))
    return unlikely_counts(expected, found, slack=_COUNTS_SLACK)


def _class_code(cells: Sequence[str]) -> int | None:
    return _code(cells[6]) if len(cells) > 6 else None


def _code(text: str) -> int | None:
    """AffectNet's own class code, or None where there is none."""
    number = _number(text)
    return int(number) if number in _CLASSES.names else None


def _expression(code: int | None, found: str) -> int:
    if code is None or code in _NOT_EXAMPLES:
        raise Skip(EXPRESSION_UNKNOWN, found)
    return _CLASSES.to_expression[code]


def _affect(text: str) -> float:
    number = _number(text)
    if number == _NO_AFFECT:
        return math.nan
    if not -1 <= number <= 1:
        raise Skip(AFFECT_UNKNOWN, text)
    return number


def _eyes(landmarks: np.ndarray) -> Eyes | None:
    if landmarks.shape != (2 * _LANDMARKS,) or not np.isfinite(landmarks).all():
        return None
    points_68x2 = landmarks.reshape(_LANDMARKS, 2)
    (left_x, left_y), (right_x, right_y) = (points_68x2[eye].mean(0).tolist() for eye in (_LEFT_EYE, _RIGHT_EYE))
    return (left_x, left_y), (right_x, right_y)


def _number(text: str) -> float:
    """The number in a text, or NaN: lists say NULL, or nothing, where they have none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _example(annotation: Annotation, cut: Cut) -> Example:
    image_HxWx3 = read_image(annotation.image)
    if annotation.box is not None:
        x, y, width, height = annotation.box
        if x >= image_HxWx3.shape[1] or y >= image_HxWx3.shape[0] or x + width <= 0 or y + height <= 0:
            raise Skip(BOX_OUTSIDE, f"box {annotation.box}, image {image_HxWx3.shape[1]} x {image_HxWx3.shape[0]}")
    try:
        encoded = cut(image_HxWx3, annotation)
    except UserError as error:
        raise Skip(FACE_UNUSABLE, str(error)) from None
    return {
        "image": encoded,
        "expression": annotation.expression,
        "valence": annotation.valence,
        "arousal": annotation.arousal,
    }
