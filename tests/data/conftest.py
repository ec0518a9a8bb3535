"""A small TFDS build with everything that real ones contain, and some that they should not."""

import io
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax.data import label_index
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.data.splits import encoded, pixels

CROP = {"size": 12, "margin": 0.25}


def example(number: int, image: bytes) -> dict:
    return {
        "image": io.BytesIO(image),
        "id": f"folder/é{number}.png",
        "expression": number % 8 - 1,
        "valence": np.nan if number % 5 == 0 else number / 100,
        "arousal": np.nan if number % 7 == 0 else -number / 100,
        "subject": number // 2,
        "left_eye": (number, 2.5),
    }


class TinyFaces(tfds.core.GeneratorBasedBuilder):
    """50 training and 7 validation images, some odd ones, and two unreadable ones."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "id": tfds.features.Text(),
            "expression": np.int64,
            "valence": np.float32,
            "arousal": np.float32,
            "subject": np.int64,
            "left_eye": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict({"crop": CROP, "label_names": list(EXPRESSIONS)}),
        )

    def _split_generators(self, dl_manager):
        odd = {
            "grey": encoded(pixels(0, (12, 12))),
            "wide": encoded(pixels(1, (12, 30, 3))),
            "tall": encoded(pixels(2, (31, 12, 3))),
            "jpeg": encoded(np.full((12, 12, 3), (200, 100, 50), np.uint8), "JPEG", quality=95),
        }
        return {
            "train": self._generate_examples({f"{i}": encoded(pixels(i)) for i in range(50)}),
            "validation": self._generate_examples({f"{i}": encoded(pixels(i)) for i in range(7)}),
            "odd": self._generate_examples(odd),
            "unreadable": self._generate_examples({"text": b"not an image", "nothing": b""}),
        }

    def _generate_examples(self, images):
        for number, (key, image) in enumerate(images.items()):
            yield key, example(number, image)


class BareFaces(tfds.core.GeneratorBasedBuilder):
    """Three images with an id and an arousal: no class, no valence, no word about the crop."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "id": tfds.features.Text(),
            "arousal": np.float32,
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(3):
            yield number, {"image": io.BytesIO(encoded(pixels(number))), "id": f"é{number}.png", "arousal": number / 2}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> pathlib.Path:
    """A TFDS directory with the build of tiny_faces; not to be changed by tests."""
    directory = tmp_path_factory.mktemp("tfds")
    TinyFaces(data_dir=directory, file_format="array_record").download_and_prepare()
    return directory


@pytest.fixture(scope="session")
def train(data_dir) -> Split:
    return open_split("tiny_faces", "train", data_dir=str(data_dir))


@pytest.fixture(scope="session")
def bare(tmp_path_factory) -> Split:
    directory = tmp_path_factory.mktemp("bare")
    BareFaces(data_dir=directory, file_format="array_record").download_and_prepare()
    return open_split("bare_faces", None, data_dir=str(directory))  # its only split


@pytest.fixture
def own_copy(data_dir, tmp_path) -> pathlib.Path:
    """A copy of the TFDS directory, without label indices, for a test to change."""
    copy = tmp_path / "tfds"
    shutil.copytree(data_dir, copy, ignore=shutil.ignore_patterns("label_index*"))
    return copy


@pytest.fixture
def scans(monkeypatch) -> list[int]:
    """Grows by one whenever labels are read from the records."""
    seen = []
    scan = label_index._scan
    monkeypatch.setattr(label_index, "_scan", lambda *args: seen.append(1) or scan(*args))
    return seen


@pytest.fixture
def numbers():
    """A function of a split that tells which example each row is."""
    return lambda split: np.asarray([int(name.split("é")[1].removesuffix(".png")) for name in split.ids])
