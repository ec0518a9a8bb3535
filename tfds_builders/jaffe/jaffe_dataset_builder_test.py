"""Tests of the builder on generated raw folders: both protocols, and names as copies have them."""

import collections
import pathlib
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests import raw_posed
from tests.built import OfRawFolder, examples, picture, prepared, reported
from tests.raw_posed import JAFFE_SUBJECTS, noise
from tfds_builders.jaffe.jaffe_dataset_builder import Builder, JaffeConfig

CLASSES = ["Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]


class JaffeTest(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["loso"]
    SPLITS = dict.fromkeys(JAFFE_SUBJECTS, 7)

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        raw_posed.write_jaffe(folder)


def build(raw: pathlib.Path, data_dir: pathlib.Path, protocol: str, **fields: Any) -> tfds.core.DatasetBuilder:
    return prepared(Builder(data_dir=data_dir, config=JaffeConfig(name="mine", protocol=protocol, **fields)), raw)


def test_a_split_for_each_subject(tmp_path: pathlib.Path) -> None:
    expected = raw_posed.write_jaffe(tmp_path / "raw")
    built = build(tmp_path / "raw", tmp_path, "loso")
    assert dict(built.info.metadata) == {"label_names": CLASSES}
    for subject in JAFFE_SUBJECTS:
        found = {
            name: (example["subject"].decode(), example["expression"])
            for name, example in examples(built, subject).items()
        }
        assert found == {name: truth for name, truth in expected.items() if truth[0] == subject}
    name, example = next(iter(examples(built, "KM").items()))
    area = cv2.resize(noise(name, 256, 256), (48, 48), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(picture(example), area)


def test_ten_of_each_class_are_tested_on(tmp_path: pathlib.Path) -> None:
    expected = raw_posed.write_jaffe(tmp_path / "raw", repeats=2)
    built = build(tmp_path / "raw", tmp_path, "random_120_23_70", seed=5, size=32)
    found = {split: examples(built, split) for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in found.items()} == {"train": 47, "validation": 23, "test": 70}
    assert set().union(*found.values()) == expected.keys() and built.info.metadata["seed"] == 5
    assert collections.Counter(expected[name][1] for name in found["test"]) == dict.fromkeys(range(7), 10)
    assert {picture(example).shape for example in found["test"].values()} == {(32, 32)}


def test_odd_files_are_reported(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    raw_posed.write_jaffe(tmp_path / "raw")
    folder = tmp_path / "raw" / "jaffedbase"
    (folder / "KA.AN1.1.tif").write_bytes((folder / "KA.AN1.1.tiff").read_bytes())
    (folder / "KA.AN.39.tiff").touch()
    (folder / "YM.SU1.70.tiff").write_bytes(b"II*")
    built = build(tmp_path / "raw", tmp_path, "loso", max_lost_share=0.5)
    assert reported(built) == {"KA.AN1.1": "listed before", "YM.SU1.70": "image unreadable"}
    said = capfd.readouterr().out
    assert "names that are not JAFFE's were left alone: KA.AN.39.tiff" in said
    assert "expected Anger 30, found 10; Disgust 29, found 10; Fear 32, found 10" in said


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        ("loso", r"Expected JAFFE's images, named as KA\.AN1\.39\.tiff, in .*, and found none: name the folder"),
        ("random_120_23_70", "Expected more than 10 entries of Anger, so many to test by, and found 10"),
    ],
)
def test_too_little_is_said(protocol: str, sentence: str, tmp_path: pathlib.Path) -> None:
    raw_posed.write_jaffe(tmp_path / "raw") if protocol != "loso" else (tmp_path / "raw" / "empty").mkdir(parents=True)
    with pytest.raises(SystemExit, match=sentence):
        build(tmp_path / "raw", tmp_path, protocol)


if __name__ == "__main__":
    tfds.testing.test_main()
