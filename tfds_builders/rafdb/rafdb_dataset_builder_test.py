"""Tests of the builder on generated raw folders: the release, a mirror, and rows that are broken."""

import pathlib
import re
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax.releases import rafdb
from emotion_gcn_jax.releases.builder import ReleaseConfig
from emotion_gcn_jax.releases.building import Skip
from tests import raw_posed
from tests.built import OfRawFolder, examples, picture, prepared, reported
from tfds_builders.rafdb.rafdb_dataset_builder import Builder

CLASSES = ["Surprise", "Fear", "Disgust", "Happy", "Sad", "Anger", "Neutral"]
LIST = pathlib.Path("basic", "EmoLabel", "list_patition_label.txt")


class RafDbTest(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    SPLITS = {"train": 9, "test": 7}

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        raw_posed.write_rafdb(folder)


def build(raw: pathlib.Path, data_dir: pathlib.Path, max_lost_share: float = 0.01) -> tfds.core.DatasetBuilder:
    config = ReleaseConfig(name="mine", max_lost_share=max_lost_share)
    return prepared(Builder(data_dir=data_dir, config=config), raw)


@pytest.mark.parametrize("form", ["release", "nested", "mirror"])
def test_both_splits(form: str, tmp_path: pathlib.Path) -> None:
    raw = tmp_path / "raw"
    nested = form == "nested"
    truths = raw_posed.write_rafdb_mirror(raw) if form == "mirror" else raw_posed.write_rafdb(raw, nested=nested)
    built = build(raw, tmp_path)
    assert built.info.metadata["label_names"] == CLASSES and built.info.metadata["crop"]["size"] == 100
    for split, expected in truths.items():
        found = examples(built, split)
        assert {name: example["expression"] for name, example in found.items()} == expected
        (raw_file,) = raw.rglob(f"{next(iter(expected))}_aligned.jpg")
        stored = picture(next(iter(found[name] for name in expected)))
        assert np.abs(stored.astype(int) - picture({"image": raw_file.read_bytes()})).mean() < 6  # noise twice in JPEG


LISTS = {
    "commas": lambda text: text.replace(" ", ","),
    "commas at the ends, too": lambda text: text.replace(" ", ", ").replace("\n", ",\n"),
    "semicolons": lambda text: text.replace(" ", ";"),
    "tabs": lambda text: text.replace(" ", "\t"),
    "spaces": lambda text: text.replace(" ", "   ").replace("\n", "  \r\n"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "folders": lambda text: re.sub("(?m)^t", "Image/aligned/t", text),
    "Windows folders with spaces": lambda text: re.sub("(?m)^t", r"D:\\RAF DB\\aligned\\t", text),
    "header": lambda text: "name,label\n" + text.replace(" ", ","),
    "quotes": lambda text: '"image";"label"\n' + re.sub("(.*) (.*)", r'"\1";"\2"', text),
    "index of pandas": lambda text: ",image,label\n" + re.sub("(?m)^(.*) ", r"7,\1,", text),
    "names of the aligned images": lambda text: text.replace(".jpg", "_aligned.jpg"),
    "numbers with a point": lambda text: re.sub(r"(?m)$(?<=\d)", ".0", text),
}


def found_in(raw: pathlib.Path) -> dict[str, dict[str, tuple[bool, int] | str]]:
    """By split and id: whether the image is there and the class's place, or why there is none."""
    found: dict[str, dict[str, tuple[bool, int] | str]] = {split: {} for split in rafdb.SPLITS}
    for photograph in rafdb.find(raw):
        content = photograph.content
        told = content.reason if isinstance(content, Skip) else (content[0].is_file(), content[1])
        found[photograph.split][photograph.id] = told
    return found


@pytest.mark.parametrize("form", LISTS.values(), ids=LISTS.keys())
def test_every_form_of_the_list_has_the_same_rows(form: Callable[[str], str | bytes], tmp_path: pathlib.Path) -> None:
    truths = raw_posed.write_rafdb(tmp_path)
    text = form((tmp_path / LIST).read_text())
    (tmp_path / LIST).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert found_in(tmp_path) == {
        split: {name: (True, place) for name, place in places.items()} for split, places in truths.items()
    }


@pytest.mark.parametrize(
    "renamed",
    [
        lambda name: name.replace(".jpg", ".JPG"),
        lambda name: name.replace(".jpg", ".png"),
        lambda name: name.replace("_aligned", ""),
        str.capitalize,
        str.upper,
    ],
    ids=["JPG", "png", "no aligned", "capitalized", "capitals"],
)
def test_images_are_found_however_their_names_are_written(
    renamed: Callable[[str], str], tmp_path: pathlib.Path
) -> None:
    raw_posed.write_rafdb(tmp_path)
    for path in list(tmp_path.rglob("*_aligned.jpg")):
        path.rename(path.with_name(renamed(path.name)))
    assert all(told[0] is True for rows in found_in(tmp_path).values() for told in rows.values())


def test_broken_rows_are_lost(tmp_path: pathlib.Path) -> None:
    raw_posed.write_rafdb(tmp_path / "raw")
    path = tmp_path / "raw" / LIST
    text = path.read_text().replace("train_00002.jpg 3", "train_00002.jpg 8").replace("test_0001.jpg 2", "test_0001 2")
    path.write_text("\ufeff" + text + "\nnonsense\ntrain_00003.jpg 4\ntrain_00010.jpg\t5\n", encoding="utf-8")
    built = build(tmp_path / "raw", tmp_path, max_lost_share=0.5)
    assert reported(built) == {
        "train_00002": "expression unknown",
        "nonsense": "row malformed",
        "train_00003": "listed before",
        "train_00010": "image missing",
    }
    assert "test_0001" in examples(built, "test")


@pytest.mark.parametrize(
    ("gone", "said"), [("basic/EmoLabel", "no list_patition_label.txt"), ("basic/Image", "no aligned images")]
)
def test_a_part_that_is_missing_is_named(gone: str, said: str, tmp_path: pathlib.Path) -> None:
    raw_posed.write_rafdb(tmp_path / "raw")
    (tmp_path / "raw" / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match=f"Expected RAF-DB's .*, and found {said}: unpack"):
        build(tmp_path / "raw", tmp_path)


if __name__ == "__main__":
    tfds.testing.test_main()
