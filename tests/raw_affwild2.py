"""Writes small raw folders as every edition of Aff-Wild2 has them, with what is odd or broken in the real ones.

The frames are rendered faces, never real ones; two grey squares in a corner tell which video and frame each is.
`expected` says what a builder should make of them, row by row from the same story, without the package's code.
"""

import collections
import dataclasses
import functools
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.rendering.synthetic import stored_face

NAMES = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
OUR_ID = {0: 0, 1: 6, 2: 5, 3: 4, 4: 1, 5: 2, 6: 3, 7: 7}  # by the names: Neutral 0, Happy 1, Sad 2, ..., Anger 6
OTHER = 7
UNITS_8 = (1, 2, 4, 6, 12, 15, 20, 25)
UNITS_12 = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)

MARK = 16  # side of the squares in pixels
SIZE = 112


@dataclasses.dataclass(frozen=True)
class Edition:
    """How an edition calls its folders; without `sets` it has the multi-task files alone."""

    root: str
    sets: dict[str, str]
    train: str = "Train_Set"
    classes: int = 8
    units: tuple[int, ...] = UNITS_12
    multi_task: dict[str, str] = dataclasses.field(default_factory=dict)
    second_image_root: bool = False


_CHALLENGES = {"expr": "EXPR_Classification_Challenge", "va": "VA_Estimation_Challenge", "au": "AU_Detection_Challenge"}
_TABLES = {"train": "training_set_annotations.txt", "validation": "validation_set_annotations.txt"}
_FIRST = {"expr": "EXPR_Set", "va": "VA_Set", "au": "AU_Set"}
EDITIONS = {
    "1st": Edition("annotations", _FIRST, train="Training_Set", classes=7, units=UNITS_8),
    "2nd": Edition("annotations", _FIRST, classes=7),
    "3rd": Edition(
        "Third ABAW Annotations",
        _CHALLENGES,
        multi_task={"train": "MTL_Challenge/train_set.txt", "validation": "MTL_Challenge/validation_set.txt"},
    ),
    "4th": Edition("", {}, multi_task=_TABLES),
    "5th": Edition("5th_ABAW_Annotations", _CHALLENGES, second_image_root=True),
    "6th": Edition(
        "6th ABAW Annotations", _CHALLENGES | {"expr": "EXPR_Recognition_Challenge"}, second_image_root=True
    ),
    "7th": Edition("", {}, multi_task=_TABLES, second_image_root=True),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A frame: what is annotated of it in each set, and what its image is; None is no row or no file."""

    video: str
    frame: int
    code: int | str | None = -1
    affect: tuple[float, float] | None = (-5.0, -5.0)
    units: tuple[int, ...] = (-1,) * 12
    image: str | bytes | None = "face"  # or grey, empty, torn; or a JPEG file's content

    @property
    def id(self) -> str:
        return f"{self.video}/{self.frame:05d}"


@dataclasses.dataclass(frozen=True)
class Video:
    """A person of a video, the sets that annotate it, and the files among its frames that are none."""

    name: str
    rows: tuple[Row, ...]
    expr: str = "train"
    va: str | None = "train"
    au: str | None = "train"
    folder: bool = True
    new: bool = False  # of the 50 videos that the fifth edition added
    strays: tuple[str, ...] = ()


def videos() -> list[Video]:
    """The story: one video for every oddity."""

    def row(video: str, frame: int, **labels: Any) -> Row:
        seed = sum(map(ord, video)) + frame
        usual = {
            "code": (frame - 1) % 8,
            "affect": (round((seed * 37 % 200) / 100 - 1, 2), round((seed * 53 % 200) / 100 - 1, 2)),
            "units": tuple((seed >> bit) % 2 for bit in range(12)),
        }
        return Row(video, frame, **(usual | labels))

    def video(name: str, frames: int, odd: Mapping[int, Mapping[str, Any]] | None = None, **places: Any) -> Video:
        return Video(name, tuple(row(name, n, **(odd or {}).get(n, {})) for n in range(1, frames + 1)), **places)

    no_affect, no_row = {"affect": (-5.0, -5.0)}, {"code": None, "affect": None, "units": ()}
    gone = {"image": None}
    return [
        video("11-24-1920x1080", 8, new=True),
        video("12-24-1920x1080_left", 7),
        video("12-24-1920x1080_right", 7),
        video("gaps", 8, {2: gone, 3: gone, 4: {"code": -1}, 5: no_affect, 6: {"units": (-1,) * 12}}),
        # The list is one row shorter than the frames, and there are two more.
        video("past", 6, {5: no_row, 6: no_row}, strays=("Thumbs.db", "notes.txt")),
        # Valence and arousal end a frame earlier than the expressions do.
        video("short", 4, {4: {"affect": None}}),
        video("broken", 5, {1: {"image": "empty"}, 2: {"image": "torn"}, 3: {"image": "grey"}, 4: {"code": "x"}}),
        video("nowhere", 2, folder=False),
        video("across", 4, va="validation"),
        video("faceless", 3, dict.fromkeys((1, 2, 3), no_affect), va=None, au=None),
        video("val1", 8, expr="validation", va="validation", au="validation"),
        video("val2", 4, expr="validation", va="train", au="validation"),
    ]


def write(root: pathlib.Path, edition_name: str, release: Sequence[Video] | None = None) -> None:
    """Writes the annotations of an edition and all images below `root`: of the story, or of other videos."""
    edition, release = EDITIONS[edition_name], videos() if release is None else release
    for number, video in enumerate(release):
        if video.folder:
            second = edition.second_image_root and video.new
            image_root = root / ("cropped_aligned_new_50_vids" if second else "cropped_aligned")
            _write_images(image_root / video.name, video, number)
        for kind, folder in edition.sets.items():
            if split := getattr(video, kind):
                name = edition.train if split == "train" else "Validation_Set"
                file = root / edition.root / folder / name / f"{video.name}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                newline = "\r\n" if video.name == "gaps" else "\n"
                file.write_text(newline.join(_lines(edition, kind, video)) + newline, newline="")
    for split, name in edition.multi_task.items():
        file = root / edition.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(_multi_task_lines(split, release)) + "\n")


def expected(
    edition_name: str, task: str, split: str, *, merge_va: bool = False, split_by: str = "recording"
) -> "Expected":
    """What should become of a split of a task: see `Expected`."""
    edition = EDITIONS[edition_name]
    found = Expected()
    for number, video in enumerate(videos()):
        if task == "mtl":
            rows = [row for row in video.rows if _in_multi_task(row)] if video.expr == split else []
        elif task == "frames":
            _judge_joined(found, edition, video, number, split, split_by)
            continue
        else:
            rows = list(video.rows) if getattr(video, "expr" if task == "expr_va" else task) == split else []
        with_affect = video.va is not None and (merge_va or video.va == split or task != "expr_va")
        for row in rows:
            _judge(found, edition, task, video, number, row, with_affect)
        if rows:
            found.skipped["not a frame"] |= {f"{video.name}/{name}" for name in video.strays}
    if task == "mtl" and split == "train":
        found.skipped["row repeated"] |= {"11-24-1920x1080/00001"}
        found.skipped["row malformed"] |= {"gaps/00001"}
        del found.examples["gaps/00001"]
    found.others = +found.others
    return found


@dataclasses.dataclass
class Expected:
    """What should become of a split.

    Attributes:
        examples: by id; the labels that the task has (None for NaN, units by number), the video, marks of the image.
        skipped: ids by reason.
        others: how many rows are no examples by their nature, by kind.
    """

    examples: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    skipped: dict[str, set[str]] = dataclasses.field(default_factory=lambda: collections.defaultdict(set))
    others: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def _judge(
    found: Expected,
    edition: Edition,
    task: str,
    video: Video,
    number: int,
    row: Row,
    with_affect: bool,
    uses: str = "",
) -> None:
    columns = {"expr_va": "ea", "expr": "e", "va": "a", "au": "u", "mtl": "eau", "frames": "eau"}[task]
    uses = uses or columns  # of frames, the sets that have the video in this split
    code = row.code if isinstance(row.code, int) and "e" in uses else -1
    expression = -1 if code == OTHER and edition.classes == 7 else OUR_ID.get(code, -1)
    has_affect = "a" in uses and with_affect and row.affect not in (None, (-5.0, -5.0))
    units = _units(edition, row) if "u" in uses else {}
    labelled = expression >= 0 or has_affect or any(value >= 0 for value in units.values())
    other = None
    if task == "expr_va" and not (0 <= expression < OTHER and has_affect):
        other = "of the class Other" if expression == OTHER else "without valence and arousal"
    if not labelled or (other and expression < 0):
        other = "not annotated"
    missing = {None: "image missing", "empty": "image empty", "torn": "image unreadable"}.get(row.image)
    if task != "mtl" and (row.code is None or (task == "va" and row.affect is None)):
        found.skipped["no annotation row"].add(row.id)
    elif row.code == "x" and "e" in uses and task != "mtl":
        found.skipped["row malformed"].add(row.id)
    elif other:
        found.others[other] += 1
    elif missing or not video.folder:
        found.skipped[missing if video.folder else "video folder missing"].add(row.id)
    else:
        affect = row.affect if has_affect else (None, None)
        labels = {"e": {"expression": expression}, "a": dict(zip(("valence", "arousal"), affect, strict=True))}
        found.examples[row.id] = {
            **{name: label for use in columns for name, label in labels.get(use, {}).items()},
            **({"units": units} if "u" in columns else {}),
            "video_frames": len(video.rows),
            "marks": (20 * number, 20 * row.frame),
            "video": video.name,
            "recording": "12-24-1920x1080" if video.name.startswith("12-24") else video.name,
        }


def _judge_joined(found: Expected, edition: Edition, video: Video, number: int, split: str, split_by: str) -> None:
    """The same of frames, which have the labels of those sets whose own split it is."""
    places = (video.expr, video.va, video.au)
    uses = "".join(use for use, place in zip("eau", places, strict=True) if place == split)
    if not uses:
        return
    if split == "train" and split_by == "recording" and "validation" in places:
        labelled = sum(_is_labelled(row, uses) for row in video.rows)
        found.others["of a recording that is in a validation set"] += labelled
        found.others["not annotated"] += len(video.rows) - labelled
        return
    for row in video.rows:
        # The files of a video may differ in length: past the end of the longest there is no row.
        has_row = {"e": row.code is not None, "a": row.affect is not None, "u": bool(row.units)}
        if not any(has_row[use] for use in uses):
            found.skipped["no annotation row"].add(row.id)
        else:
            _judge(found, edition, "frames", video, number, row, True, uses)
    found.skipped["not a frame"] |= {f"{video.name}/{name}" for name in video.strays}


def _is_labelled(row: Row, uses: str) -> bool:
    return (
        ("e" in uses and row.code not in (None, -1))
        or ("a" in uses and row.affect not in (None, (-5.0, -5.0)))
        or ("u" in uses and any(unit >= 0 for unit in row.units))
    )


def _units(edition: Edition, row: Row) -> dict[int, int]:
    """The action units by number; AU20, which the story lacks, is 0, or -1 where the others are."""
    units = dict(zip(UNITS_12, row.units, strict=False))
    if edition.units == UNITS_8 and units:
        return {unit: units.get(unit, min(*units.values(), 0)) for unit in UNITS_8}
    return units


def _lines(edition: Edition, kind: str, video: Video) -> list[str]:
    """A video's file of a set."""
    if kind == "expr":
        names = NAMES[: edition.classes]
        codes = [row.code for row in video.rows if row.code is not None]
        return [",".join(names), *(str(-1 if code == 7 and edition.classes == 7 else code) for code in codes)]
    if kind == "va":
        pairs = [row.affect for row in video.rows if row.affect is not None]
        return ["valence,arousal", *(f"{v:g},{a:g}" for v, a in pairs)]
    rows = [_units(edition, row) for row in video.rows if row.units]
    return [",".join(f"AU{unit}" for unit in edition.units), *(",".join(map(str, units.values())) for units in rows)]


def _in_multi_task(row: Row) -> bool:
    return isinstance(row.code, int) and row.frame % 2 == 1


def _multi_task_lines(split: str, release: Sequence[Video]) -> list[str]:
    """The multi-task table: five names above sixteen fields, a row twice, and one that is cut short."""
    lines = ["image,valence,arousal,expression,aus"]
    for video in release:
        for row in video.rows:
            if video.expr == split and _in_multi_task(row):
                valence, arousal = row.affect if row.affect and video.va else (-5, -5)
                lines.append(
                    f"{row.video}/{row.frame:05d}.jpg,{valence:g},{arousal:g},{row.code},"
                    + ",".join(map(str, row.units))
                )
    if split == "train":
        lines = [
            line.removesuffix(line[line.rindex(",") :]) if line.startswith("gaps/00001") else line for line in lines
        ]
        lines.append(lines[1])
    return lines


def _write_images(folder: pathlib.Path, video: Video, number: int) -> None:
    folder.mkdir(parents=True)
    for row in video.rows:
        if row.image:
            (folder / f"{row.frame:05d}.jpg").write_bytes(_image(row, number))
    for name in video.strays:
        (folder / name).write_bytes(b"not a frame")


def _image(row: Row, number: int) -> bytes:
    if isinstance(row.image, bytes):
        return row.image
    if row.image == "empty":
        return b""
    picture = _faces()[row.frame % 2].copy()
    picture[:MARK, :MARK], picture[:MARK, MARK : 2 * MARK] = 20 * number, 20 * row.frame
    buffer = io.BytesIO()
    Image.fromarray(picture).convert("L" if row.image == "grey" else "RGB").save(buffer, "JPEG", quality=92)
    data = buffer.getvalue()
    return data[: len(data) // 2] if row.image == "torn" else data


@functools.cache
def _faces() -> list[np.ndarray]:
    """Two faces as Aff-Wild2 cuts them, uint8 112 x 112 x 3."""
    crop = Crop(side=1.05, size=SIZE, enlarge=True)
    return [
        np.asarray(Image.open(io.BytesIO(stored_face(seed=4, index=index, crop=crop).image_png))) for index in (0, 2)
    ]
