"""Builds a raw folder by a TFDS builder, and reads what was stored."""

import csv
import io
import pathlib
import tempfile
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class OfRawFolder:
    """To be put before the test case that TFDS has for builders: the class writes a raw folder, and what is built of it
    is stored in the one form that TFDS checks.
    """

    SKIP_CHECKSUMS = True

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        """Writes the raw folder that is built."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls.folder.name
        cls.write_raw(pathlib.Path(cls.EXAMPLE_DIR))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls.folder.cleanup()

    def _make_builder(self, config: Any = None) -> tfds.core.DatasetBuilder:
        return self.DATASET_CLASS(data_dir=self.tmp_dir, config=config, file_format="tfrecord")


def prepared(builder: tfds.core.DatasetBuilder, raw: pathlib.Path) -> tfds.core.DatasetBuilder:
    """The build, opened without its builder."""
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    return tfds.builder_from_directory(builder.data_dir)


def examples(built: tfds.core.DatasetBuilder, split: str) -> dict[str, dict[str, Any]]:
    """A split's examples by their ids, images encoded."""
    source = built.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    return {example["id"].decode(): example for example in source}


def words(built: tfds.core.DatasetBuilder, split: str) -> dict[str, str]:
    """The class words of a split's examples by their ids."""
    names = built.info.metadata["label_names"]
    return {name: names[example["expression"]] for name, example in examples(built, split).items()}


def picture(example: dict[str, Any]) -> np.ndarray:
    """An example's image as it is stored: [H, W] for one channel."""
    return np.asarray(Image.open(io.BytesIO(example["image"])))


def reported(built: tfds.core.DatasetBuilder) -> dict[str, str]:
    """The reasons of what was skipped, by id."""
    config_dir = pathlib.Path(built.data_dir).parent
    with (config_dir.parent / "reports" / f"{config_dir.name}_skipped.csv").open(newline="") as report:
        return {row["id"]: row["reason"] for row in csv.DictReader(report)}
