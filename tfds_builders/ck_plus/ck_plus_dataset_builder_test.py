"""Tests of the builder on generated raw folders: every protocol, both releases, what is odd and what is broken."""

import collections
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax.data.builds import open_split
from tests import raw_posed
from tests.built import OfRawFolder, examples, picture, prepared, reported, words
from tests.raw_posed import CODE_WORDS, FRAMES, SUBJECTS, noise
from tfds_builders.ck_plus.ck_plus_dataset_builder import Builder, CKPlusConfig

SEQUENCES = raw_posed.sequence_names()
# The n-th subject by name is in fold n mod 10 (+ 1): S501, S502 and S999 come last, and are in folds 1 to 3 again.
FOLD_OF = {subject: f"fold_{place % 10 + 1}" for place, subject in enumerate(SUBJECTS)}
FOLDS = [f"fold_{number}" for number in range(1, 11)]
RANDOM = ["train", "validation", "test"]


def names(fold: str) -> list[str]:
    """The sequences of a fold."""
    return [name for name in SEQUENCES if FOLD_OF[name[:4]] == fold]


class CKPlusTest(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["last3_subject10"]
    SPLITS = {fold: 3 * len(names(fold)) for fold in FOLDS}

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        raw_posed.write_ck_plus(folder)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("raw")
    raw_posed.write_ck_plus(folder, nested=True)
    return folder


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("cut")
    raw_posed.write_cut(folder)
    return folder


def build(raw: pathlib.Path, data_dir: pathlib.Path, protocol: str, **fields: Any) -> tfds.core.DatasetBuilder:
    return prepared(Builder(data_dir=data_dir, config=CKPlusConfig(name="mine", protocol=protocol, **fields)), raw)


@pytest.mark.parametrize("copy", ["raw", "cut"])
def test_ten_folds_that_share_no_subject(copy: str, request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> None:
    built = build(request.getfixturevalue(copy), tmp_path, "last3_subject10")
    assert built.info.metadata["label_names"] == list(CODE_WORDS[1:])
    assert ("crop" in built.info.metadata) == (copy == "raw")  # how CK+48 was cut is not known
    assert list(built.info.splits) == FOLDS
    for fold in FOLDS:
        expected = {f"{name}_{frame:08d}": CODE_WORDS[SEQUENCES[name]] for name in names(fold) for frame in (3, 4, 5)}
        assert words(built, fold) == expected
        for name, example in examples(built, fold).items():
            assert (example["subject"].decode(), example["video"].decode()) == (name[:4], name[:8])


def test_the_first_frame_is_neutral(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    built = build(raw, tmp_path, "with_neutral")
    assert built.info.metadata["label_names"] == list(CODE_WORDS)
    found = words(built, "fold_2")
    for name in names("fold_2"):
        assert found[f"{name}_00000001"] == "Neutral" and found[f"{name}_00000005"] == CODE_WORDS[SEQUENCES[name]]
    assert sum(built.info.splits[fold].num_examples for fold in FOLDS) == 4 * len(SEQUENCES)


def test_without_contempt_its_neutral_frames_go_too(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    built = build(raw, tmp_path, "with_neutral_7")
    assert "Contempt" not in built.info.metadata["label_names"]
    kept = sum(code != 2 for code in SEQUENCES.values())
    assert sum(built.info.splits[fold].num_examples for fold in FOLDS) == 4 * kept < 4 * len(SEQUENCES)


def test_last_frames_at_random(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    built = build(raw, tmp_path, "peak_random", seed=3)
    assert built.info.metadata["seed"] == 3
    found = {split: words(built, split) for split in RANDOM}
    together = collections.Counter(name for split in found.values() for name in split)
    assert together == collections.Counter(f"{name}_{FRAMES:08d}" for name in SEQUENCES)
    assert len(SEQUENCES) == 20 and [len(found[split]) for split in RANDOM] == [14, 2, 4]


def test_faces_are_cut_by_their_landmarks(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The landmarks' box is 40 x 36 round (30, 26): the square of 1.2 * 40 pixels begins at (6, 2)."""
    built = build(raw, tmp_path, "last3_subject10")
    found = examples(built, "fold_1")["S005_002_00000003"]
    np.testing.assert_array_equal(picture(found), noise("S005_002_00000003")[2:50, 6:54])
    colour = picture(examples(built, FOLD_OF["S999"])["S999_002_00000003"])
    expected = noise("S999_002_00000003", colour=True)[2:50, 6:54] @ [0.299, 0.587, 0.114]  # ITU-R 601
    assert colour.shape == (48, 48) and np.abs(colour - expected).max() < 1
    crop = built.info.metadata["crop"]
    assert (crop["side"], crop["size"], crop["level_eyes"]) == (1.2, 48, True)


def test_cut_images_stay_as_they_are(cut: pathlib.Path, tmp_path: pathlib.Path) -> None:
    found = examples(build(cut, tmp_path, "last3_subject10", size=64), "fold_1")["S005_002_00000003"]
    np.testing.assert_array_equal(picture(found), noise("S005_002_00000003", 48, 48))


def test_all_but_two_folds_are_one_split_to_train_on(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    build(raw, tmp_path, "last3_subject10")
    train = open_split("ck_plus", "all-fold_1-fold_2", data_dir=str(tmp_path))
    assert set(train.columns["subject"]) == {s.encode() for s in SUBJECTS if FOLD_OF[s] not in ("fold_1", "fold_2")}


def test_what_is_broken_is_lost(tmp_path: pathlib.Path) -> None:
    raw = tmp_path / "raw"
    raw_posed.write_ck_plus(raw)
    image, marks = "cohn-kanade-images/{0}/{1}/{0}_{1}_{2:08d}.png", "Landmarks/{0}/{1}/{0}_{1}_{2:08d}_landmarks.txt"
    (raw / "Emotion/S005/002/S005_002_00000005_emotion.txt").write_text("happy")
    (raw / image.format("S010", "001", 4)).write_bytes(b"")
    (raw / marks.format("S010", "001", 5)).unlink()
    (raw / marks.format("S011", "002", 5)).write_text("1.0 2.0\n" * 67)
    (raw / marks.format("S011", "002", 4)).write_text("1.0 2.0\n" * 68)  # a box without area
    for frame in range(1, 4):
        (raw / image.format("S014", "001", frame)).unlink()
    built = build(raw, tmp_path, "last3_subject10", max_lost_share=1)
    assert reported(built) == {
        "S005_002": "label unknown",
        "S010_001_00000004": "image empty",
        "S010_001_00000005": "landmarks missing",
        "S011_002_00000004": "landmarks unusable",
        "S011_002_00000005": "landmarks unusable",
        "S014_001": "frame missing",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"protocol": "last3"}, "protocol is one of last3_subject10, .*peak_random, found 'last3'"),
        ({"protocol": "peak_random", "size": 8}, "size is 32 to 1024 pixels, found 8"),
    ],
)
def test_impossible_config(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        CKPlusConfig(name="mine", **fields)


def test_the_cut_copy_has_no_first_frames(cut: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SystemExit, match=r"Expected whole sequences, .* and found CK\+48, .*: build last3_subject10"):
        build(cut, tmp_path, "with_neutral")


def test_a_release_without_labels_is_said(tmp_path: pathlib.Path) -> None:
    raw = tmp_path / "raw"
    raw_posed.write_ck_plus(raw)
    (raw / "Emotion").rename(raw / "Labels")
    with pytest.raises(SystemExit, match=r"Expected CK\+'s folders .* and found no Emotion: unpack"):
        build(raw, tmp_path, "last3_subject10")


if __name__ == "__main__":
    tfds.testing.test_main()
