"""Tests of the builder on generated raw folders: TFDS's own checks, the round trip."""

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax.data.builds import open_split
from tests import raw_fer2013
from tests.built import OfRawFolder
from tests.raw_fer2013 import ROWS, SPLITS, pixels
from tfds_builders.fer2013.fer2013_dataset_builder import Builder, Fer2013Config

CLASSES = {
    "fer2013": ["Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral"],
    "ferplus": ["Neutral", "Happy", "Surprise", "Sad", "Anger", "Disgust", "Fear", "Contempt"],
}


class Fer2013Test(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["ferplus"]
    SPLITS = {split: sum(row.usage == usage for row in ROWS) for usage, split in SPLITS.items()}
    OVERLAPPING_SPLITS = ["validation", "test"]  # an image of the training split is in each

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        raw_fer2013.write(folder)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The TFDS directory in which both configs are built."""
    raw, directory = raw_fer2013.write(tmp_path_factory.mktemp("raw")), tmp_path_factory.mktemp("tfds")
    for config in CLASSES:
        builder = Builder(data_dir=directory, config=config)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    return directory


@pytest.mark.parametrize("config", CLASSES)
@pytest.mark.parametrize("usage", SPLITS)
def test_round_trip(config: str, usage: str, data_dir: pathlib.Path) -> None:
    split = open_split("fer2013", SPLITS[usage], config=config, data_dir=str(data_dir))
    assert split.metadata["label_names"] == CLASSES[config]
    rows = split.columns["row"].tolist()
    assert split.ids.tolist() == [f"{row:05d}" for row in rows]
    assert sorted(rows) == [place for place, row in enumerate(ROWS) if row.usage == usage]
    assert split.columns["copy_in_train"].dtype == np.bool_
    for place, row in enumerate(rows):
        truth = ROWS[row]
        assert split.columns["expression"][place] == (truth.majority if config == "ferplus" else truth.code)
        assert split.columns["copy_in_train"][place] == truth.is_copy
        np.testing.assert_array_equal(split.image(place), np.stack([pixels(truth.image)] * 3, axis=2))
        if config == "ferplus":
            assert split.columns["expression_votes"][place].tolist() == list(truth.votes)
    plus = {"expression_votes": [*CLASSES["ferplus"], "Unknown", "NF"]} if config == "ferplus" else {}
    assert split.metadata == {"label_names": CLASSES[config], **plus}
    assert ("expression_votes" in split.columns) == (config == "ferplus")


def test_a_build_of_another_file_says_what_it_found(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = raw_fer2013.write(tmp_path / "raw", "icml_face_data.csv")
    builder = Builder(data_dir=tmp_path, config="fer2013")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    said = capsys.readouterr().out
    assert "fer2013/fer2013 train: 10 examples; Warning: 1 of them doubtful" in said
    assert "fer2013/fer2013 test: 3 examples" in said


@pytest.mark.parametrize(
    ("fields", "said"), [({"labels": "fer"}, "one of fer2013, ferplus, found 'fer'"), ({}, "found 'mine'")]
)
def test_impossible_config(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        Fer2013Config(name="mine", **fields)


if __name__ == "__main__":
    tfds.testing.test_main()
