"""Raw folders of CK+, JAFFE, FERG-DB and RAF-DB with what is odd in real copies; images are noise, never a face.

Every writer returns what a builder should make of it, from the same story and without the package's code.
"""

import pathlib
import zlib

import numpy as np
from PIL import Image

# CK+: subjects in the order of their names, which is also that of their numbers.
SUBJECTS = ("S005", "S010", "S011", "S014", "S026", "S032", "S037", "S042", "S100", "S138", "S501", "S502", "S999")
# Sequences by subject: the number and CK+'s code (1 anger, 2 contempt, ..., 7 surprise); no fold is of contempt alone.
SEQUENCES = {
    subject: ((1, 1 + place % 7), (4, 1 + (place + 3) % 7)) if place % 2 or place == 8 else ((2, 1 + place % 7),)
    for place, subject in enumerate(SUBJECTS)
}
FRAMES = 5
CODE_WORDS = ("Neutral", "Anger", "Contempt", "Disgust", "Fear", "Happy", "Sad", "Surprise")
CUT_FOLDERS = ("", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


def noise(name: str, width: int = 64, height: int = 52, *, colour: bool = False) -> np.ndarray:
    """An image that no other name has: uint8 [height, width], or RGB."""
    shape = (height, width, 3) if colour else (height, width)
    return np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, shape).astype(np.uint8)


def landmarks() -> np.ndarray:
    """68 points whose box is 10, 8 to 50, 44, with level eyes: float64 [68, 2]."""
    points_68x2 = np.full((68, 2), (30.0, 20.0))
    points_68x2[0], points_68x2[1] = (10, 8), (50, 44)
    points_68x2[36:42], points_68x2[42:48] = (20, 18), (40, 18)
    return points_68x2


def sequence_names() -> dict[str, int]:
    """The code of every labelled sequence, by its name, sorted."""
    return {f"{subject}_{number:03d}": code for subject in SUBJECTS for number, code in SEQUENCES[subject]}


def write_ck_plus(root: pathlib.Path, *, nested: bool = False) -> None:
    """The original release; nested as its archives put one folder into another."""
    images, marks, labels = (root / name for name in ("cohn-kanade-images", "Landmarks", "Emotion"))
    if nested:
        images = root / "extended-cohn-kanade-images" / "cohn-kanade-images"
        marks, labels = root / "Landmarks" / "Landmarks", root / "Emotion_labels" / "Emotion"
    for name, code in sequence_names().items():
        subject, number = name.split("_")
        for frame in range(1, FRAMES + 1):
            stem = f"{name}_{frame:08d}"
            save(images / subject / number / f"{stem}.png", noise(stem, colour=subject == "S999"))
            lines = "\n".join(f"   {x:.7e}   {y:.7e}" for x, y in landmarks())
            write(marks / subject / number / f"{stem}_landmarks.txt", lines)
        write(labels / subject / number / f"{name}_{FRAMES:08d}_emotion.txt", f"   {code:.7e}\n")
    for place in (images, marks, labels, images / "S005", labels / "S005", images / "S005" / "002"):
        write(place / ".DS_Store", "")
    # Without a label: the folder of labels is empty, or not there.
    for number in ("006", "007"):
        save(images / "S005" / number / f"S005_{number}_00000001.png", noise(number))
    (labels / "S005" / "006").mkdir()


def write_cut(root: pathlib.Path) -> None:
    """CK+48: a folder for each class, the last three frames of every sequence, cut to 48 pixels."""
    for name, code in sequence_names().items():
        for frame in range(FRAMES - 2, FRAMES + 1):
            stem = f"{name}_{frame:08d}"
            save(root / "CK+48" / CUT_FOLDERS[code] / f"{stem}.png", noise(stem, 48, 48))


JAFFE_SUBJECTS = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")
JAFFE_CODES = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")  # as our words Anger, Disgust, Fear, Happy, Neutral, Sad, ...


def write_jaffe(root: pathlib.Path, repeats: int = 1) -> dict[str, tuple[str, int]]:
    """Returns the subject and the class's place by id; 70 images for each repeat."""
    expected: dict[str, tuple[str, int]] = {}
    for subject in JAFFE_SUBJECTS:
        for place, code in enumerate(JAFFE_CODES):
            for repeat in range(1, repeats + 1):
                name = f"{subject}.{code}{repeat}.{len(expected) + 1}"
                suffix = {"KM": ".TIF", "KR": " .tiff", "MK": ".tif"}.get(subject, ".tiff")
                file = name.lower() if subject == "NA" else name
                save(root / "jaffedbase" / f"{file}{suffix}", noise(name, 256, 256))
                expected[name] = (subject, place)
    write(root / "jaffedbase" / ".DS_Store", "")
    write(root / "jaffedbase" / "README_FIRST.txt", "semantic ratings")
    return expected


CHARACTERS = ("aia", "bonnie", "jules", "malcolm", "mery", "ray")
EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


def write_ferg(root: pathlib.Path, count: int = 2) -> dict[str, tuple[str, int]]:
    """Returns the character and the class's place by id: `count` images of each character and emotion."""
    expected = {}
    for character in CHARACTERS:
        for place, emotion in enumerate(EMOTIONS):
            for number in range(1, count + 1):
                name = f"{character}_{emotion}_{number}"
                image = Image.fromarray(noise(name, 256, 256, colour=True))
                if character == "mery":
                    image.putalpha(200)
                folder = root / "FERG_DB_256" / character / f"{character}_{emotion}"
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / f"{name}.png")
                expected[name] = (character, place)
    write(root / "FERG_DB_256" / "aia" / "aia_joy" / "Thumbs.db", "")
    write(root / "FERG_DB_256" / ".DS_Store", "")
    return expected


def write_rafdb(root: pathlib.Path, *, nested: bool = False) -> dict[str, dict[str, int]]:
    """Returns, by split and id, the class's place: Surprise, Fear, Disgust, Happy, Sad, Anger, Neutral."""
    images = root / "basic" / "Image" / "aligned" / ("aligned" if nested else "")
    expected: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    lines = []
    for split, digits, count in (("train", 5, 9), ("test", 4, 7)):
        for number in range(1, count + 1):
            name = f"{split}_{number:0{digits}d}"
            save(images / f"{name}_aligned.jpg", noise(name, 100, 100, colour=True))
            lines.append(f"{name}.jpg {1 + number % 7}")
            expected[split][name] = number % 7
    write(root / "basic" / "EmoLabel" / "list_patition_label.txt", "\n".join(lines) + "\n")
    write(root / "basic" / "Annotation" / "manual" / "train_00001_manu_attri.txt", "1 2\n")
    return expected


def write_rafdb_mirror(root: pathlib.Path) -> dict[str, dict[str, int]]:
    """The same as one of the mirrors has it: folders by split and code."""
    expected: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for split, digits in (("train", 5), ("test", 4)):
        for number in range(1, 8):
            name = f"{split}_{number:0{digits}d}"
            path = root / "DATASET" / split / str(1 + number % 7) / f"{name}_aligned.jpg"
            save(path, noise(name, 100, 100, colour=True))
            expected[split][name] = number % 7
        write(root / f"{split}_labels.csv", "image,label\n")
    return expected


def save(path: pathlib.Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
