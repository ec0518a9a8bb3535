"""Raw AffectNet folders of rendered faces, in both releases' layouts and with what is broken in real copies.

No real face and no row of the real lists is in them; only the names of three broken files are AffectNet's own.
"""

import dataclasses
import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tests.raw_faces import RawFace, cut_to_box, encoded, raw_face, raw_faces

__all__ = ["HEADER", "RawRelease", "raw_face", "raw_faces", "row", "write_arrays", "write_lists"]

HEADER = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks"),
    *("expression", "valence", "arousal"),
)
# The broken files that everybody meets (spec of the release, section "bad entries").
ROW_A = "2/9db2af5a1da8bd77355e8c6a655da519a899ecc42641bf254107bfc0.jpg"
ROW_B = "103/29a31ebf1567693f4644c8ba3476ca9a72ee07fe67a5860d98707a0a.jpg"
SUSPECT_C = "994/8fb7a123f36ae89be4bf72e9fa77d1434a29135f3342f62fb55c7aee.jpg"

# The formats of real copies: a file's extension -> how its pixels are stored.
FORMATS = {"jpg": "RGB", "JPG": "L", "jpeg": "turned", "JPEG": "CMYK", "Jpeg": "RGB", "png": "RGBA", "PNG": "P"}
FORMATS |= {"bmp": "RGB", "BMP": "RGB", "tif": "RGB", "TIF": "I;16"}


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a builder should make of an entry."""

    face: RawFace
    expression: int
    valence: float
    arousal: float
    eyes_known: bool = True


@dataclasses.dataclass
class RawRelease:
    """What was written: by split, the examples by id, the skipped ids and reasons, and the rows that are neither."""

    root: pathlib.Path
    examples: dict[str, dict[str, Truth]] = dataclasses.field(default_factory=dict)
    skipped: dict[str, list[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    not_examples: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)


class Entry(NamedTuple):
    """A row of a list: the cells that differ from a sound Neutral one, its file's bytes (None: no file), its fate."""

    path: str
    face: RawFace
    cells: Mapping[str, Any] = {}
    file: bytes | None = b"as drawn"
    reason: str = ""


def row(path: str, face: RawFace, code: int | str, affect: tuple[str, str]) -> list[str]:
    """The nine cells of a list that describe a face."""
    points = ";".join(f"{number:.4f}" for number in face.landmarks_68x2.reshape(-1))
    return [path, *map(str, face.box), points, str(code), *affect]


def write_lists(
    root: pathlib.Path,
    faces: Sequence[RawFace],
    *,
    beside: bool = False,
    headers: Collection[str] = ("training",),
) -> RawRelease:
    """Writes the original release.

    Args:
        root: an empty folder.
        faces: at least 15.
        beside: whether the lists lie beside the images' folder; else in a folder of their own.
        headers: which lists have one; the original release's validation.csv has none.
    """
    images = root / "Manually_Annotated" / "Manually_Annotated_Images"
    lists = images.parent if beside else root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    release = RawRelease(root)
    entries = {"train": list(_training(faces)), "validation": list(_validation(faces))}
    release.not_examples = {"train": {"No-Face": 1, "Uncertain": 2}, "validation": {"Uncertain": 1}}
    for split, name in (("train", "training"), ("validation", "validation")):
        release.examples[split], release.skipped[split] = {}, []
        lines = [",".join(HEADER)] if name in headers else []
        for entry in entries[split]:
            cells = dict(zip(HEADER, row(entry.path, entry.face, 0, ("0.25", "-0.5")), strict=True)) | entry.cells
            lines.append(",".join(str(cell) for cell in cells.values() if cell is not None))
            if entry.file is not None:
                _write_image(images / entry.path, entry)
            if entry.reason:
                release.skipped[split].append((entry.path, entry.reason))
            elif cells["expression"] not in (9, 10):
                release.examples[split][entry.path] = _truth(entry.face, cells)
        (lists / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return release


def write_arrays(root: pathlib.Path, faces: Sequence[RawFace]) -> RawRelease:
    """Writes the March-2021 release; arguments as for `write_lists`."""
    release = RawRelease(root, not_examples={"train": {}, "validation": {}})
    # Numbers have gaps, and both splits use the same ones.
    for split, folder, numbers in (
        ("train", "train_set", (1, 3, 4, 9, 45, *BROKEN_ARRAYS)),
        ("validation", "val_set", (3, 4, 7)),
    ):
        images, annotations = root / folder / "images", root / folder / "annotations"
        images.mkdir(parents=True)
        annotations.mkdir()
        (images / "Thumbs.db").write_bytes(b"")
        release.examples[split], release.skipped[split] = {}, []
        for position, number in enumerate(numbers):
            face = cut_to_box(faces[position % len(faces) if split == "train" else -1 - position])
            changed, reason = BROKEN_ARRAYS.get(number, ({}, ""))
            truth = Truth(face, position % 8, position / 20 - 0.5, 0.25, eyes_known="lnd" not in changed)
            files = {
                "jpg": encoded(face.image_HxWx3, "jpg"),
                "exp": np.array(str(truth.expression)),
                "val": np.array(f"{truth.valence}"),
                "aro": np.array(f"{truth.arousal}"),
                "lnd": face.landmarks_68x2.reshape(-1),
            }
            for kind, content in {**files, **changed}.items():
                path = images / f"{number}.jpg" if kind == "jpg" else annotations / f"{number}_{kind}.npy"
                if isinstance(content, bytes):
                    path.write_bytes(content)
                elif content is not None:
                    np.save(path, content, allow_pickle=content.dtype == object)
            name = f"{folder}/images/{number}.jpg"
            if reason:
                release.skipped[split].append((name, reason))
            else:
                release.examples[split][name] = truth
    return release


# What is otherwise in an image's files (None: not there), and the reason for which it is skipped; "": it is not.
BROKEN_ARRAYS: dict[int, tuple[dict[str, Any], str]] = {
    50: ({"val": None}, "annotation unreadable"),
    51: ({"jpg": None}, "image missing"),
    52: ({"exp": np.array({"pickled": 1}, object)}, "annotation unreadable"),
    53: ({"exp": np.array("no number")}, "expression unknown"),
    54: ({"aro": np.array("1.5")}, "valence or arousal unknown"),
    55: ({"jpg": b""}, "image empty"),
    56: ({"jpg": b"GIF87a, or so it says"}, "image unreadable"),
    57: ({"lnd": np.full(136, np.nan)}, ""),
    58: ({"lnd": np.arange(8.0)}, ""),
    59: ({"lnd": np.full(136, 5000.0)}, ""),
    60: ({"lnd": b"no array"}, ""),
    61: ({"lnd": None}, ""),
}


def _write_image(path: pathlib.Path, entry: Entry) -> None:
    extension = path.suffix[1:]
    mode = FORMATS[extension] if path.stem == "format" else "RGB"
    drawn = entry.file == b"as drawn"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(entry.face.image_HxWx3, extension, mode) if drawn else entry.file or b"")


def _truth(face: RawFace, cells: Mapping[str, Any]) -> Truth:
    code = int(cells["expression"])
    valence, arousal = (np.nan if float(cells[name]) == -2 else float(cells[name]) for name in ("valence", "arousal"))
    return Truth(face, -1 if code == 8 else code, valence, arousal)


def _training(faces: Sequence[RawFace]) -> Iterator[Entry]:
    for number, extension in enumerate(FORMATS):
        yield Entry(f"{1 + number // 4}/format.{extension}", faces[number], {"expression": number % 8})
    face, no_affect = faces[0], {"valence": "-2", "arousal": "-2"}
    cut_short = encoded(faces[3].image_HxWx3, "jpg")[:-2000]
    beyond = dataclasses.replace(face, box=(face.image_HxWx3.shape[1] + 5, 10, 60, 60))
    yield Entry("7/contempt.jpg", faces[4], {"expression": 7, "valence": "-0.75"})
    yield Entry("7/none.jpg", faces[5], {"expression": 8})
    yield Entry("7/without affect.jpg", faces[6], {"expression": 2, **no_affect})
    yield Entry("8/contempt.jpg", faces[7], {"expression": 3})  # another folder
    yield Entry("8/contempt.JPG", faces[8], {"expression": 4})  # another extension
    yield Entry("8/negative corner.jpg", dataclasses.replace(faces[9], box=(-8, -5, 250, 200)), {"expression": 5})
    yield Entry("9/uncertain.jpg", face, {"expression": 9, **no_affect})
    yield Entry("9/uncertain and gone.jpg", face, {"expression": 9, **no_affect}, None)
    yield Entry("9/no face.jpg", face, {"expression": 10, **no_affect, "face_width": -1, "face_height": -1})
    yield Entry(ROW_A, face, {"expression": 1, "face_x": "NULL", "face_y": "NULL"}, None, "box missing")
    yield Entry(ROW_B, face, {"expression": 8}, b"", "image empty")
    yield Entry(SUSPECT_C, face, {}, cut_short, "image unreadable")
    yield Entry("10/gone.jpg", face, {}, None, "image missing")
    yield Entry("10/text.jpg", face, {}, b"<html>404</html>", "image unreadable")
    yield Entry("10/beyond.jpg", beyond, reason="box outside the image")
    for name, cells, reason in (
        ("negative", {"face_width": -20, "face_height": -20}, "box without area"),
        ("flat", {"face_height": 0}, "box without area"),
        ("box nan", {"face_width": "nan"}, "box missing"),
        ("landmarks nan", {"facial_landmarks": ";".join(["nan"] * 136)}, "landmarks unusable"),
        ("landmarks few", {"facial_landmarks": "1.0;2.0;3.0;4.0"}, "landmarks unusable"),
        ("landmarks null", {"facial_landmarks": "NULL"}, "landmarks unusable"),
        ("code", {"expression": 11}, "expression unknown"),
        ("word", {"expression": "happy"}, "expression unknown"),
        ("affect", {"valence": "NULL"}, "valence or arousal unknown"),
        ("much", {"arousal": "7"}, "valence or arousal unknown"),
        ("short", dict.fromkeys(HEADER[4:]), "row incomplete"),
    ):
        yield Entry(f"11/{name}.jpg", face, cells, reason=reason)
    yield Entry("1/format.jpg", face, reason="listed before", file=None)


def _validation(faces: Sequence[RawFace]) -> Iterator[Entry]:
    for number, code in enumerate((0, 7, 8, 3)):
        yield Entry(f"{1500 + number}/sound.jpg", faces[-1 - number], {"expression": code})
    corrupt = encoded(faces[-1].image_HxWx3, "jpg")[:900]
    yield Entry("1565/corrupt.jpg", faces[-1], {"expression": 7}, corrupt, "image unreadable")
    yield Entry("1565/uncertain.jpg", faces[-1], {"expression": 9, "valence": "-2", "arousal": "-2"})
