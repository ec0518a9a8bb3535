"""Tests of the builder: TFDS's own checks on a small set, and the round trip through array_record."""

import io
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.rendering.actions import ACTION_UNITS
from emotion_gcn_jax.rendering.clips import sample_clip, sample_sound
from emotion_gcn_jax.rendering.synthetic import store, stored_face
from emotion_gcn_jax.sound import mel, stored
from tfds_builders.synthetic_faces.synthetic_faces_dataset_builder import Builder, SyntheticFacesConfig

TINY = {"name": "tiny", "size": 32, "train_faces": 12, "validation_faces": 4, "test_faces": 2}


class SyntheticFacesTest(tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    SPLITS = {"train": 12, "validation": 4, "test": 2}
    SKIP_CHECKSUMS = True
    EXAMPLE_DIR = str(pathlib.Path(__file__).parent)  # required to exist; nothing is read from it

    def _make_builder(self, config: Any = None) -> Builder:
        del config
        return Builder(data_dir=self.tmp_dir, config=SyntheticFacesConfig(**TINY), file_format="tfrecord")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    builder = Builder(data_dir=tmp_path_factory.mktemp("data"), config=SyntheticFacesConfig(**TINY))
    builder.download_and_prepare()
    return builder


def read(builder: Builder, split: str) -> list[dict[str, Any]]:
    """Reads as training does: by random access, without builder code, images as bytes."""
    reader = tfds.builder_from_directory(builder.data_dir)
    return list(reader.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()}))


def test_array_record_is_the_default(built: Builder) -> None:
    names = [path.name for path in pathlib.Path(built.data_dir).iterdir()]
    assert sum(".array_record" in name for name in names) == 3


def test_round_trip(built: Builder) -> None:
    examples = {example["id"].decode(): example for example in read(built, "train")}
    assert sorted(examples) == [f"train_{number:06d}" for number in range(12)]
    crop = Crop.from_dict(built.info.metadata["crop"])
    for number in (0, 7):
        # Training faces come after the 4 + 2 of the other splits.
        face, example = stored_face(0, 6 + number, crop=crop), examples[f"train_{number:06d}"]
        assert example["image"] == face.image_png
        assert (example["expression"], example["subject"]) == (face.expression, face.subject)
        assert example["valence"] == np.float32(face.valence) and example["arousal"] == np.float32(face.arousal)
        np.testing.assert_array_equal(example["left_eye"], face.left_eye)
        np.testing.assert_array_equal(example["action_units"], face.action_units)
        with Image.open(io.BytesIO(example["image"])) as image:
            assert image.size == (32, 32) and image.mode == "RGB"


def test_splits_share_no_subject(built: Builder) -> None:
    subjects = {split: [int(e["subject"]) for e in read(built, split)] for split in ("train", "validation", "test")}
    assert {split: len(set(numbers)) for split, numbers in subjects.items()} == {"train": 6, "validation": 2, "test": 1}
    assert len(set().union(*map(set, subjects.values()))) == 9


def test_metadata(built: Builder) -> None:
    metadata = tfds.builder_from_directory(built.data_dir).info.metadata
    assert metadata["label_names"] == ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger"]
    assert metadata["action_units"] == list(ACTION_UNITS)
    assert Crop.from_dict(metadata["crop"]).size == 32


def test_clips(tmp_path: pathlib.Path) -> None:
    """Frames of clips, of which some are missing; clip 0 is validation, 1 test, 2 and 3 are training."""
    frames = {"train_faces": 12, "validation_faces": 6, "test_faces": 6, "frames": 6}
    builder = Builder(data_dir=tmp_path, config=SyntheticFacesConfig(name="short", size=32, **frames))
    builder.download_and_prepare()
    examples = {example["id"].decode(): example for example in read(builder, "train")}
    clips = {f"train_{number:04d}": sample_clip(0, 2 + number, 6) for number in (0, 1)}
    assert set(examples) == {f"{video}/{frame:05d}" for video, clip in clips.items() for frame in clip}
    for name, example in examples.items():
        face = clips[example["video"].decode()][int(example["frame"])]
        assert name == f"{example['video'].decode()}/{example['frame']:05d}"
        assert (example["expression"], example["subject"]) == (face.expression, face.subject.number)
        assert (example["valence"], example["arousal"]) == (np.float32(face.valence), np.float32(face.arousal))
        samples = sample_sound(0, 2 + int(name[9]), 6)
        assert example["sound"] == (example["video"] if samples is not None and samples.any() else b"")
        assert example["seconds"] == np.float32((example["frame"] - 1) / 10)
        if example["sound"]:
            spectrogram = stored.read(pathlib.Path(builder.data_dir), example["sound"].decode())
            np.testing.assert_array_equal(spectrogram, mel.log_mel(samples).astype(np.float16))
    assert any(example["sound"] for example in examples.values())
    first = examples["train_0000/00001"]
    assert first["image"] == store(clips["train_0000"][1], crop=Crop.from_dict(builder.info.metadata["crop"])).image_png


@pytest.mark.parametrize("field,value", [("train_faces", 7), ("test_faces", 0), ("size", 8)])
def test_impossible_config(field: str, value: int) -> None:
    with pytest.raises(SystemExit, match=f"{field}.* {value}: choose"):
        SyntheticFacesConfig(**{**TINY, field: value})


if __name__ == "__main__":
    tfds.testing.test_main()
