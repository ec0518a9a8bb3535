import concurrent.futures
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.data import source
from emotion_gcn_jax.data.source import open_split
from emotion_gcn_jax.errors import UserError


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
    scan = source._scan
    monkeypatch.setattr(source, "_scan", lambda *args: seen.append(1) or scan(*args))
    return seen


def change_info(build: pathlib.Path, **changes) -> None:
    path = build / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_labels_are_those_that_were_stored(train, numbers):
    number = numbers(train)
    assert sorted(number) == list(range(50)) and len(train) == 50
    assert train.expression.dtype == np.int32 and train.valence.dtype == train.arousal.dtype == np.float32
    np.testing.assert_array_equal(train.expression, number % 8 - 1)
    np.testing.assert_array_equal(train.valence, np.where(number % 5, number / 100, np.nan).astype(np.float32))
    np.testing.assert_array_equal(train.arousal, np.where(number % 7, -number / 100, np.nan).astype(np.float32))


def test_other_columns_are_kept(train, numbers):
    number = numbers(train)
    np.testing.assert_array_equal(train.columns["subject"], number // 2)
    np.testing.assert_array_equal(train.columns["left_eye"], np.stack([number, np.full(50, 2.5)], axis=1))
    assert "image" not in train.columns


def test_metadata(train):
    assert train.label_names == ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
    assert train.crop == {"size": 12, "margin": 0.25}
    assert (train.name, train.config, train.split) == ("tiny_faces", None, "train")


def test_images_by_random_access_from_many_threads(train, numbers):
    order = np.random.default_rng(0).integers(0, 50, 400)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        images = list(pool.map(train.image_bytes, order))
    for row, image in zip(order, images, strict=True):
        expected = np.random.default_rng(numbers(train)[row]).integers(0, 256, (12, 12, 3), np.uint8)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image))), expected)


def test_class_counts(train):
    # Numbers 0..49, expression number % 8 - 1: six of each but -1 and 0, which 48 and 49 have once more.
    assert train.class_counts(7).tolist() == [7, 6, 6, 6, 6, 6, 6]
    assert train.class_counts(8).tolist() == [7, 6, 6, 6, 6, 6, 6, 0]
    assert train.class_counts(2).tolist() == [7, 6]


def test_select_by_mask_and_by_indices_and_again(train):
    happy = train.select(train.expression == 1)
    assert len(happy) == 6 and set(happy.expression) == {1}
    last_first = happy.select([5, 0])
    assert last_first.ids.tolist() == [happy.ids[5], happy.ids[0]]
    row = train.ids.tolist().index(happy.ids[5])
    assert last_first.image_bytes(0) == train.image_bytes(row)
    assert len(train.select([])) == 0
    assert train.select(np.char.endswith(train.ids, "é49.png")).expression.tolist() == [0]
    with pytest.raises(IndexError):
        train.select(np.ones(3, bool))


def test_labels_are_scanned_once(own_copy, scans):
    first, again = (open_split("tiny_faces", "train", data_dir=str(own_copy)) for _ in range(2))
    assert len(scans) == 1
    assert first.columns.keys() == again.columns.keys()
    for name in first.columns:
        np.testing.assert_array_equal(first.columns[name], again.columns[name], strict=True)
    open_split("tiny_faces", "validation", data_dir=str(own_copy))
    assert len(scans) == 2
    assert not list((own_copy / "tiny_faces" / "1.0.0").glob(".label_index*"))


def test_a_changed_build_is_scanned_again(own_copy, scans):
    open_split("tiny_faces", "train", data_dir=str(own_copy))
    (records,) = (own_copy / "tiny_faces" / "1.0.0").glob("*train.array_record*")
    os.utime(records, ns=(0, records.stat().st_mtime_ns + 1))
    open_split("tiny_faces", "train", data_dir=str(own_copy))
    assert len(scans) == 2


@pytest.mark.parametrize("damage", ["text", "half", "flipped", "empty"])
def test_a_damaged_index_is_made_again(own_copy, scans, damage):
    expected = open_split("tiny_faces", "train", data_dir=str(own_copy)).ids
    index = own_copy / "tiny_faces" / "1.0.0" / "label_index_train.npz"
    content = index.read_bytes()
    middle = content.index(b"folder/")
    index.write_bytes(
        {
            "text": b"not an archive",
            "half": content[: len(content) // 2],
            "flipped": content[:middle] + b"F" + content[middle + 1 :],
            "empty": b"",
        }[damage]
    )
    for _ in range(2):
        np.testing.assert_array_equal(open_split("tiny_faces", "train", data_dir=str(own_copy)).ids, expected)
    assert len(scans) == 2


def test_an_index_that_cannot_be_written_beside_the_build_is_kept_in_the_users_cache(
    own_copy, scans, tmp_path, monkeypatch
):
    build = own_copy / "tiny_faces" / "1.0.0"
    (build / "label_index_train.npz").mkdir()  # root may write anywhere, but not a file over a folder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        assert len(open_split("tiny_faces", "train", data_dir=str(own_copy))) == 50
    assert len(scans) == 1
    (index,) = (tmp_path / "cache" / "emotion_gcn_jax" / "label_indices").iterdir()
    assert index.name.startswith("tiny_faces_train_")
    (records,) = build.glob("*train.array_record*")
    os.utime(records, ns=(0, records.stat().st_mtime_ns + 1))  # another build: not this index
    open_split("tiny_faces", "train", data_dir=str(own_copy))
    assert len(scans) == 2


def test_an_index_that_cannot_be_written_anywhere_is_done_without(own_copy, scans, tmp_path, monkeypatch):
    build = own_copy / "tiny_faces" / "1.0.0"
    (build / "label_index_train.npz").mkdir()
    (tmp_path / "cache").write_text("a file is no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        assert len(open_split("tiny_faces", "train", data_dir=str(own_copy))) == 50
    assert len(scans) == 2
    assert not list(build.glob(".label_index*"))


def test_newest_version_is_opened(own_copy):
    dataset = own_copy / "tiny_faces"
    for version in ("0.9.0", "10.0.0", "2.0.0", "incomplete.ABC_11.0.0"):
        shutil.copytree(dataset / "1.0.0", dataset / version)
        metadata = {"crop": {}, "label_names": [version]}
        (dataset / version / "metadata.json").write_text(json.dumps(metadata))
    assert open_split("tiny_faces", "train", data_dir=str(own_copy)).label_names == ("10.0.0",)


def test_configs(own_copy):
    dataset = own_copy / "tiny_faces"
    (dataset / "small").mkdir()
    (dataset / "1.0.0").rename(dataset / "small" / "1.0.0")
    only = open_split("tiny_faces", "train", data_dir=str(own_copy))
    assert only.config == "small" and len(only) == 50
    shutil.copytree(dataset / "small", dataset / "large")
    (dataset / "reports").mkdir()
    assert open_split("tiny_faces", "train", config="large", data_dir=str(own_copy)).config == "large"
    with pytest.raises(UserError, match=r"config None in .*tiny_faces, which holds large, small: .*tfds build"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))
    with pytest.raises(UserError, match=r"'huge' .*large, small.* `tfds build tfds_builders/tiny_faces --config=huge`"):
        open_split("tiny_faces", "train", config="huge", data_dir=str(own_copy))


def test_default_directory_is_that_of_tfds(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert len(open_split("tiny_faces", "validation")) == 7


def test_a_dataset_that_is_not_built_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_BUILDERS", tmp_path / "tfds_builders")
    (tmp_path / "tfds_builders" / "affectnet").mkdir(parents=True)
    data_dir = tmp_path / "nowhere"
    with pytest.raises(UserError) as raised:
        open_split("affectnet", "train", config="csv", data_dir=str(data_dir))
    assert f"`tfds build tfds_builders/affectnet --config=csv --data_dir={data_dir}`" in str(raised.value)


def test_an_unknown_dataset_lists_those_that_are_known(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_BUILDERS", tmp_path)
    (tmp_path / "affectnet").mkdir()
    with pytest.raises(UserError, match=r"no dataset 'affectnot': .* holds tiny_faces, .* can build affectnet\."):
        open_split("affectnot", "train", data_dir=str(data_dir))


def test_an_unknown_split_lists_those_that_are_known(data_dir):
    with pytest.raises(UserError, match=r"splits train, validation, odd, unreadable, and found 'test'"):
        open_split("tiny_faces", "test", data_dir=str(data_dir))


def test_a_build_without_random_access_says_how_to_rebuild(own_copy):
    change_info(own_copy / "tiny_faces" / "1.0.0", fileFormat="tfrecord")
    with pytest.raises(UserError, match=r"found tfrecord in .*--file_format=array_record"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))


def test_an_empty_split(own_copy):
    change_info(own_copy / "tiny_faces" / "1.0.0", splits=[{"name": "train", "numBytes": "0", "shardLengths": ["0"]}])
    with pytest.raises(UserError, match=r"split 'train' .* is empty.*tfds build"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))


def test_a_build_of_another_builder(own_copy):
    (own_copy / "tiny_faces" / "1.0.0" / "metadata.json").unlink()
    with pytest.raises(UserError, match=r"Expected crop, label_names in .*tfds build"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))


def test_reading_does_not_load_tensorflow(data_dir):
    script = (
        "import sys; from emotion_gcn_jax.data import batches, source;"
        f"split = source.open_split('tiny_faces', 'train', data_dir={str(data_dir)!r});"
        "next(batches.train_batches(split, batch_size=4, image_size=12, seed=0));"
        "assert 'tensorflow' not in sys.modules, 'TensorFlow was imported'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
