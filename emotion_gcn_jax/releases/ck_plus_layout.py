"""The labelled sequences of CK+: of the original release, however its archives are unpacked, or of the copy CK+48.

A sequence runs from a neutral face to the peak of one expression, and its label is that of its last frame. 266 of the
593 sequences have no label: their folder of labels is empty or not there.
"""

import collections
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import CLASS_ORDERS, class_word
from emotion_gcn_jax.releases import search
from emotion_gcn_jax.releases.building import Skip
from emotion_gcn_jax.releases.tables import number

LABEL_UNKNOWN = "label unknown"

CLASSES = CLASS_ORDERS["ck_plus"]

_IMAGES, _LANDMARKS, _LABELS = "cohn-kanade-images", "Landmarks", "Emotion"
_SUBJECT = re.compile(r"S\d{3}", re.IGNORECASE)
_SEQUENCE = re.compile(r"\d{3}")
_FRAME = re.compile(r"(?P<sequence>S\d{3}_\d{3})_\d{8}", re.IGNORECASE)
_CODE_OF = {word: code for code, word in CLASSES.words.items()}
_CUT_FOLDERS = {"anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"}  # of CK+48


class FrameSequence(NamedTuple):
    """A labelled sequence.

    Attributes:
        name: its subject and its number, such as "S005_001".
        code: CK+'s own, 1 to 7; or why the label cannot be used.
        frames: the images in their order; CK+48 has the last three.
        landmarks: the folder of the frames' landmarks; None in CK+48, whose images are cut to the face.
    """

    name: str
    code: int | Skip
    frames: tuple[pathlib.Path, ...]
    landmarks: pathlib.Path | None

    @property
    def subject(self) -> str:
        """Such as "S005"."""
        return self.name.partition("_")[0]


def read_sequences(root: pathlib.Path) -> list[FrameSequence]:
    """Finds the labelled sequences, sorted by name, in `root` or up to four folders down.

    Raises:
        UserError: there is neither the original release with its images, landmarks and labels, nor CK+48.
    """
    parts = {name: _part(root, name) for name in (_IMAGES, _LANDMARKS, _LABELS)}
    images, landmarks, labels = parts.values()
    if images and landmarks and labels:
        return list(_original(images, landmarks, labels))
    for folder, names in search.walk(root, _may_hold_a_release):
        if _CUT_FOLDERS.issubset(name.lower() for name in names):
            return _cut(folder)
    missing = ", ".join(name for name, folder in parts.items() if folder is None)
    raise UserError(
        f"Expected CK+'s folders {', '.join(parts)} with a folder for each subject (S005, ...), or CK+48's folders "
        f"{', '.join(sorted(_CUT_FOLDERS))}, in {root} or up to {search.DEPTH} folders down, and found no {missing}: "
        "unpack the release's archives there (the table ckextended.csv has no subjects and is not read)."
    )


def _may_hold_a_release(name: str) -> bool:
    return not _SUBJECT.fullmatch(name)


def _part(root: pathlib.Path, wanted: str) -> pathlib.Path | None:
    """The nearest folder of this name, in any case, with subjects in it: some archives put one into another."""
    for folder, names in search.walk(root, _may_hold_a_release):
        if folder.name.lower() == wanted.lower() and any(map(_SUBJECT.fullmatch, names)):
            return folder
    return None


def _original(images: pathlib.Path, landmarks: pathlib.Path, labels: pathlib.Path) -> Iterator[FrameSequence]:
    for subject in _folders(labels, _SUBJECT):
        for folder in _folders(subject, _SEQUENCE):
            files = [file for file in sorted(folder.iterdir()) if file.name.lower().endswith("_emotion.txt")]
            if files:
                place = pathlib.Path(subject.name, folder.name)
                frames = tuple(file for file in _files(images / place) if _FRAME.fullmatch(file.stem))
                name = f"{subject.name}_{folder.name}".upper()
                yield FrameSequence(name, _code(files[-1]), frames, landmarks / place)


def _code(file: pathlib.Path) -> int | Skip:
    """A label: one number, written as "   3.0000000e+00"."""
    text = file.read_text(errors="replace").strip()
    code = number(text)
    if code not in CLASSES.words or code == _CODE_OF["Neutral"]:  # no sequence ends neutral
        return Skip(LABEL_UNKNOWN, f"{text[:60]!r} in {file.name}")
    return int(code)


def _cut(root: pathlib.Path) -> list[FrameSequence]:
    frames: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    codes: dict[str, int] = {}
    for folder in sorted(root.iterdir()):
        if folder.name.lower() in _CUT_FOLDERS:
            for file in _files(folder):
                if match := _FRAME.fullmatch(file.stem):
                    name = match["sequence"].upper()
                    frames[name].append(file)
                    codes[name] = int(_CODE_OF[class_word(folder.name)])
    return [FrameSequence(name, codes[name], tuple(frames[name]), None) for name in sorted(frames)]


def _folders(folder: pathlib.Path, name: re.Pattern[str]) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name) and path.is_dir())


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The image files of a folder, in the order of the frames' numbers; none where there is no folder."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in paths if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"))
