"""Tests of the builder on generated raw folders: both protocols, RGBA, an empty file."""

import collections
import pathlib
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests import raw_posed
from tests.built import OfRawFolder, examples, picture, prepared, reported
from tests.raw_posed import CHARACTERS, noise
from tfds_builders.ferg.ferg_dataset_builder import Builder, FergConfig

CLASSES = ["Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]


class FergTest(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["character"]
    SPLITS = dict.fromkeys(CHARACTERS, 7)

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        raw_posed.write_ferg(folder, count=1)


def build(raw: pathlib.Path, data_dir: pathlib.Path, protocol: str, **fields: Any) -> tfds.core.DatasetBuilder:
    return prepared(Builder(data_dir=data_dir, config=FergConfig(name="mine", protocol=protocol, **fields)), raw)


def test_a_split_for_each_character(tmp_path: pathlib.Path) -> None:
    expected = raw_posed.write_ferg(tmp_path / "raw")
    (tmp_path / "raw" / "FERG_DB_256" / "ray" / "ray_fear" / "ray_fear_2.png").write_bytes(b"")
    built = build(tmp_path / "raw", tmp_path, "character", max_lost_share=0.1)
    assert reported(built) == {"ray_fear_2": "image empty"}
    assert dict(built.info.metadata) == {"label_names": CLASSES}
    for character in CHARACTERS:
        found = examples(built, character)
        assert {name: (e["subject"].decode(), e["expression"]) for name, e in found.items()} == {
            name: truth for name, truth in expected.items() if truth[0] == character and name != "ray_fear_2"
        }
        stored = picture(found[f"{character}_joy_1"])  # of mery, an image with alpha
        grey = cv2.cvtColor(noise(f"{character}_joy_1", 256, 256, colour=True), cv2.COLOR_RGB2GRAY)
        np.testing.assert_array_equal(stored, cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA))


def test_at_random(tmp_path: pathlib.Path) -> None:
    expected = raw_posed.write_ferg(tmp_path / "raw", count=1)
    built = build(tmp_path / "raw", tmp_path, "random", test_of_a_class=2, validation=8)
    found = {split: examples(built, split) for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in found.items()} == {"train": 20, "validation": 8, "test": 14}
    assert set().union(*found.values()) == expected.keys() and built.info.metadata["seed"] == 0
    assert collections.Counter(expected[name][1] for name in found["test"]) == dict.fromkeys(range(7), 2)


def test_fewer_images_than_the_protocol_needs(tmp_path: pathlib.Path) -> None:
    raw_posed.write_ferg(tmp_path / "raw", count=1)
    with pytest.raises(SystemExit, match=r"Expected more than 1000 entries of Anger, .*, and found 6"):
        build(tmp_path / "raw", tmp_path, "random", validation=0)


def test_another_folder_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "raw" / "aia" / "aia_bored").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"Expected FERG-DB's folders aia, .*, and found none: unpack"):
        build(tmp_path / "raw", tmp_path, "character")


if __name__ == "__main__":
    tfds.testing.test_main()
