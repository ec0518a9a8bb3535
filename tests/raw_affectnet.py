"""Raw AffectNet folders of rendered faces, in every layout and with every kind of broken entry that real copies have.

No real face and no row of the real lists is in them; only the names of three broken files are AffectNet's own.
"""

import dataclasses
import functools
import hashlib
import io
import math
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tests.scenes import compose

SIZES = ((190, 190), (240, 170), (160, 230), (220, 220), (260, 200))
TILTS = (0.0, 0.35, -0.6, math.pi / 3, -math.pi / 3, 0.15)
HEADER = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks"),
    *("expression", "valence", "arousal"),
)
# The broken files that everybody meets (spec of the release, section "bad entries").
ROW_A = "2/9db2af5a1da8bd77355e8c6a655da519a899ecc42641bf254107bfc0.jpg"
ROW_B = "103/29a31ebf1567693f4644c8ba3476ca9a72ee07fe67a5860d98707a0a.jpg"
SUSPECT_C = "994/8fb7a123f36ae89be4bf72e9fa77d1434a29135f3342f62fb55c7aee.jpg"


@dataclasses.dataclass(frozen=True)
class RawFace:
    """A picture of one face and what annotators would say of it; places are (x, y) in pixels.

    The box is one around the face, upright: its centre is not the head's.
    """

    image_HxWx3: np.ndarray
    box: tuple[int, int, int, int]
    landmarks_68x2: np.ndarray
    left_eye: np.ndarray
    right_eye: np.ndarray
    head_center: np.ndarray


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
    """What `write_lists` or `write_arrays` has written: by split, the examples by id, the skipped ids and reasons."""

    root: pathlib.Path
    examples: dict[str, dict[str, Truth]] = dataclasses.field(default_factory=dict)
    skipped: dict[str, list[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    not_examples: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)


@functools.cache
def raw_faces(count: int = 15, seed: int = 0) -> tuple[RawFace, ...]:
    """Draws faces in pictures of several shapes, heads tilted up to 60 degrees and off the middle."""
    return tuple(raw_face(seed, index, SIZES[index % len(SIZES)], TILTS[index % len(TILTS)]) for index in range(count))


def raw_face(seed: int, index: int, size: tuple[int, int], tilt: float, face_share: float = 0.42) -> RawFace:
    """Draws one face into a picture of size (width, height); face_share is its height's, of the shorter side."""
    width, height = size
    rng = np.random.default_rng((seed, 19, index))
    face_height = face_share * min(size)
    middle_2 = np.array(size) * (0.5 + rng.uniform(-0.06, 0.06, 2))
    scene = compose(seed, [index], [middle_2], [face_height], [tilt], width=width, height=height)
    (face,) = scene.faces
    left_eye, right_eye, head_center = map(np.array, (face.left_eye, face.right_eye, face.head_center))
    along_2 = (right_eye - left_eye) / np.linalg.norm(right_eye - left_eye)
    down_2 = np.array([-along_2[1], along_2[0]])
    box_size_2 = np.round(face_height * np.array([1.2, 1.2 if index % 3 else 1.35]))
    corner_2 = np.round(head_center + 0.12 * face_height * down_2 - box_size_2 / 2)
    return RawFace(
        image_HxWx3=scene.image_HxWx3,
        box=tuple(int(number) for number in (*corner_2, *box_size_2)),
        landmarks_68x2=landmarks(left_eye, right_eye),
        left_eye=left_eye,
        right_eye=right_eye,
        head_center=head_center,
    )


def landmarks(left_eye: np.ndarray, right_eye: np.ndarray) -> np.ndarray:
    """The 68 points of a mean face with these eyes: jaw, brows, nose, eyes, mouth; float64 [68, 2]."""

    def arc(count: int, centre: tuple[float, float], radii: tuple[float, float], start: float, end: float):
        angles = np.radians(np.linspace(start, end, count))
        return np.column_stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)])

    eye_angles = np.arange(180, 540, 60)
    eye_6x2 = np.column_stack([0.22 * np.cos(np.radians(eye_angles)), -0.09 * np.sin(np.radians(eye_angles))])
    half = np.array([0.5, 0])
    # In eye distances from the eyes' midpoint, y down.
    face_68x2 = np.concatenate(
        [
            arc(17, (0, 0.1), (1.15, 1.75), 180, 0),
            arc(5, (-0.55, -0.2), (0.42, 0.2), 200, 340),
            arc(5, (0.55, -0.2), (0.42, 0.2), 200, 340),
            np.column_stack([np.zeros(4), np.linspace(0, 0.65, 4)]),
            arc(5, (0, 0.7), (0.25, 0.1), 180, 0),
            eye_6x2 - half,
            eye_6x2 + half,
            arc(12, (0, 1.2), (0.45, 0.2), 180, 510),
            arc(8, (0, 1.2), (0.3, 0.08), 180, 495),
        ]
    )
    along_2 = right_eye - left_eye
    down_2 = np.array([-along_2[1], along_2[0]])
    return (left_eye + right_eye) / 2 + face_68x2 @ np.stack([along_2, down_2])


def write_lists(
    root: pathlib.Path, faces: Sequence[RawFace], *, beside: bool = False, headers: Sequence[str] = ("training",)
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
    for split, name, entries in (
        ("train", "training", _training_entries(faces)),
        ("validation", "validation", _validation_entries(faces)),
    ):
        release.examples[split], release.skipped[split] = {}, []
        release.not_examples[split] = {"No-Face": 1, "Uncertain": 2} if split == "train" else {"Uncertain": 1}
        lines = [list(HEADER)] if name in headers else []
        for entry in entries:
            if entry.file is not None:
                (images / entry.path).parent.mkdir(parents=True, exist_ok=True)
                (images / entry.path).write_bytes(entry.file)
            lines.append(entry.cells)
            if entry.reason:
                release.skipped[split].append((entry.path, entry.reason))
            elif entry.truth:
                release.examples[split][entry.path] = entry.truth
        text = "".join(",".join(line) + "\n" for line in lines)
        (lists / f"{name}.csv").write_text(text, encoding="utf-8")
    return release


def write_arrays(root: pathlib.Path, faces: Sequence[RawFace]) -> RawRelease:
    """Writes the March-2021 release; arguments as for `write_lists`."""
    release = RawRelease(root)
    broken = {
        # what is wrong: (arrays to write otherwise, arrays and image to leave out, reason, or None where it is borne)
        50: ({}, {"val"}, "annotation unreadable"),
        51: ({}, {"jpg"}, "image missing"),
        52: ({"exp": np.array({"pickled": 1}, object)}, set(), "annotation unreadable"),
        53: ({"exp": np.array("no number")}, set(), "expression unknown"),
        54: ({"aro": np.array("1.5")}, set(), "valence or arousal unknown"),
        55: ({"jpg": b""}, set(), "image empty"),
        56: ({"jpg": b"GIF87a, or so it says"}, set(), "image unreadable"),
        57: ({"lnd": np.full(136, np.nan)}, set(), None),
        58: ({"lnd": np.arange(8.0)}, set(), None),
        59: ({"lnd": np.full(136, 5000.0)}, set(), None),
        60: ({"lnd": b"no array"}, set(), "annotation unreadable"),
    }
    # Numbers have gaps, and both splits use the same ones.
    for split, folder, numbers in (
        ("train", "train_set", (1, 3, 4, 9, 45, *broken)),
        ("validation", "val_set", (3, 4, 7)),
    ):
        images, annotations = root / folder / "images", root / folder / "annotations"
        images.mkdir(parents=True)
        annotations.mkdir()
        (images / "Thumbs.db").write_bytes(b"")
        release.examples[split], release.skipped[split], release.not_examples[split] = {}, [], {}
        for position, number in enumerate(numbers):
            face = _cut_to_box(faces[position % len(faces) if split == "train" else -1 - position])
            truth = Truth(face, position % 8, position / 20 - 0.5, 0.25, eyes_known=number not in (57, 58, 59))
            files = {
                "jpg": encoded(face.image_HxWx3, "jpg"),
                "exp": np.array(str(truth.expression)),
                "val": np.array(f"{truth.valence}"),
                "aro": np.array(f"{truth.arousal}"),
                "lnd": face.landmarks_68x2.reshape(-1),
            }
            changed, absent, reason = broken.get(number, ({}, set(), None))
            for kind, content in {**files, **changed}.items():
                path = images / f"{number}.jpg" if kind == "jpg" else annotations / f"{number}_{kind}.npy"
                if kind in absent:
                    continue
                if isinstance(content, bytes):
                    path.write_bytes(content)
                else:
                    np.save(path, content, allow_pickle=content.dtype == object)
            name = f"{folder}/images/{number}.jpg"
            if reason:
                release.skipped[split].append((name, reason))
            else:
                release.examples[split][name] = truth
    return release


def painted(face: RawFace) -> RawFace:
    """The face in dark grey, with red light on its left eye, green on the other, blue on the head's centre.

    `find_dots` finds them again, even where two overlap.
    """
    grey = np.asarray(Image.fromarray(face.image_HxWx3).convert("L")) / 2
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]] + 0.5
    lights = [
        np.exp(-((x - dot_x) ** 2 + (y - dot_y) ** 2) / (2 * 2.5**2))
        for dot_x, dot_y in (face.left_eye, face.right_eye, face.head_center)
    ]
    image = grey[..., None] + 127 * np.stack(lights, axis=-1)
    return dataclasses.replace(face, image_HxWx3=np.round(image).astype(np.uint8))


def find_dots(image_HxWx3: np.ndarray) -> np.ndarray:
    """The centres (x, y) of the red, the green and the blue dot that `painted` painted; float64 [3, 2]."""
    image = image_HxWx3.astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    centres = []
    for channel in range(3):
        light = np.clip(image[..., channel] - np.delete(image, channel, axis=2).min(-1) - 25, 0, None)
        centres.append([(light * x).sum() / light.sum(), (light * y).sum() / light.sum()])
    return np.array(centres)


def encoded(image_HxWx3: np.ndarray, extension: str, mode: str = "RGB") -> bytes:
    """An image file by its extension, in one of the modes that real copies have."""
    kind = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "bmp": "BMP", "tif": "TIFF"}[extension.lower()]
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image = Image.fromarray(image_HxWx3)
    if mode == "turned":  # lying on its side, with a note that it does
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    elif mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256)
    elif mode == "P":
        image = image.quantize(256)
    else:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A row of a list: its file (None: there is none), its cells, and what it should become."""

    path: str
    file: bytes | None
    cells: list[str]
    truth: Truth | None = None
    reason: str = ""


def _entry(
    path: str,
    face: RawFace,
    code: int | str = 0,
    *,
    file: bytes | None = b"as drawn",
    mode: str = "RGB",
    affect: tuple[str, str] = ("0.25", "-0.5"),
    reason: str = "",
    **cells: str,
) -> _Entry:
    if file == b"as drawn":
        file = encoded(face.image_HxWx3, path.rpartition(".")[2], mode)
    columns = dict(zip(HEADER, row(path, face, code, affect), strict=True)) | cells
    truth = None
    if not reason and code in range(9):
        valence, arousal = (math.nan if float(number) == -2 else float(number) for number in affect)
        truth = Truth(face, -1 if code == 8 else int(code), valence, arousal)
    return _Entry(path, file, list(columns.values()), truth, reason)


def row(path: str, face: RawFace, code: int | str, affect: tuple[str, str]) -> list[str]:
    """The nine cells of a list that describe a face."""
    points = ";".join(f"{number:.4f}" for number in face.landmarks_68x2.reshape(-1))
    return [path, *map(str, face.box), points, str(code), *affect]


def _name(folder: int, word: str, extension: str) -> str:
    return f"{folder}/{hashlib.sha224(word.encode()).hexdigest()}.{extension}"


def _training_entries(faces: Sequence[RawFace]) -> list[_Entry]:
    modes = {"jpg": "RGB", "JPG": "L", "jpeg": "turned", "JPEG": "CMYK", "Jpeg": "RGB", "png": "RGBA", "PNG": "P"}
    extensions = [*modes, "bmp", "BMP", "tif", "TIF"]
    modes["TIF"] = "I;16"
    entries = [
        _entry(
            _name(1 + number // 4, extension, extension), faces[number], number % 8, mode=modes.get(extension, "RGB")
        )
        for number, extension in enumerate(extensions)
    ]
    face = faces[0]
    cut_short = encoded(faces[3].image_HxWx3, "jpg")[:-2000]
    far = dataclasses.replace(face, box=(face.image_HxWx3.shape[1] + 5, 10, 60, 60))
    entries += [
        _entry(_name(7, "contempt", "jpg"), faces[4], 7, affect=("-0.75", "0.5")),
        _entry(_name(7, "none", "jpg"), faces[5], 8, affect=("0.5", "0.125")),
        _entry(_name(7, "without affect", "jpg"), faces[6], 2, affect=("-2", "-2")),
        _entry(_name(8, "jpg", "jpg"), faces[7], 3),  # the name of another image, in another folder
        _entry(_name(8, "jpg", "JPG"), faces[8], 4),  # and once more, but for the case of its extension
        _entry(_name(8, "negative corner", "jpg"), dataclasses.replace(faces[9], box=(-8, -5, 250, 200)), 5),
        _entry(_name(9, "uncertain", "jpg"), face, 9, affect=("-2", "-2")),
        _entry(_name(9, "uncertain, gone", "jpg"), face, 9, affect=("-2", "-2"), file=None),
        _entry(_name(9, "no face", "jpg"), face, 10, affect=("-2", "-2"), face_width="-1", face_height="-1"),
        _entry(ROW_A, face, 1, file=None, reason="box missing", face_x="NULL", face_y="NULL"),
        _entry(ROW_B, face, 8, file=b"", reason="image empty"),
        _entry(SUSPECT_C, face, 0, file=cut_short, reason="image unreadable"),
        _entry(_name(10, "gone", "jpg"), face, file=None, reason="image missing"),
        _entry(_name(10, "text", "jpg"), face, file=b"<html>404</html>", reason="image unreadable"),
        _entry(_name(10, "negative", "jpg"), face, reason="box without area", face_width="-20", face_height="-20"),
        _entry(_name(10, "flat", "jpg"), face, reason="box without area", face_height="0"),
        _entry(_name(10, "box nan", "jpg"), face, reason="box missing", face_width="nan"),
        _entry(_name(10, "far", "jpg"), far, reason="box outside the image"),
        _entry(_name(11, "nan", "jpg"), face, reason="landmarks unusable", facial_landmarks=";".join(["nan"] * 136)),
        _entry(_name(11, "few", "jpg"), face, reason="landmarks unusable", facial_landmarks="1.0;2.0;3.0;4.0"),
        _entry(_name(11, "null", "jpg"), face, reason="landmarks unusable", facial_landmarks="NULL"),
        _entry(_name(11, "code", "jpg"), face, 11, reason="expression unknown"),
        _entry(_name(11, "word", "jpg"), face, "happy", reason="expression unknown"),
        _entry(_name(11, "affect", "jpg"), face, affect=("NULL", "0.5"), reason="valence or arousal unknown"),
        _entry(_name(11, "much", "jpg"), face, affect=("0.5", "7"), reason="valence or arousal unknown"),
        dataclasses.replace(entries[0], truth=None, reason="listed before"),
    ]
    short = _entry(_name(11, "short", "jpg"), face, reason="row incomplete")
    return [*entries, dataclasses.replace(short, cells=short.cells[:4])]


def _validation_entries(faces: Sequence[RawFace]) -> list[_Entry]:
    entries = [
        _entry(_name(1500 + number, f"validation {number}", "jpg"), faces[-1 - number], code)
        for number, code in enumerate((0, 7, 8, 3))
    ]
    corrupt = encoded(faces[-1].image_HxWx3, "jpg")[:900]
    entries.append(_entry(_name(1565, "corrupt", "jpg"), faces[-1], 7, file=corrupt, reason="image unreadable"))
    return [*entries, _entry(_name(1565, "uncertain", "jpg"), faces[-1], 9, affect=("-2", "-2"))]


def _cut_to_box(face: RawFace) -> RawFace:
    """The face as the March-2021 release has it: cut to a square and resized to 224 pixels."""
    x, y, width, height = face.box
    side = max(width, height)
    image = Image.fromarray(face.image_HxWx3).crop((x, y, x + side, y + side)).resize((224, 224))
    corner_2, scale = np.array([x, y]), 224 / side
    moved = {
        name: (getattr(face, name) - corner_2) * scale
        for name in ("landmarks_68x2", "left_eye", "right_eye", "head_center")
    }
    return dataclasses.replace(face, image_HxWx3=np.asarray(image), box=(0, 0, 224, 224), **moved)
