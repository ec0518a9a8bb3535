"""Builds of TFDS as splits: what was stored comes back, and every mistake gets a sentence."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from emotion_gcn_jax.data import builds
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.data.splits import pixels


def change_info(build: pathlib.Path, **changes) -> None:
    path = build / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def only(data_dir, numbers, split_name, number):
    """Opens a split and leaves one example of it."""
    split = open_split("tiny_faces", split_name, data_dir=str(data_dir))
    return split.select(numbers(split) == number)


def test_columns_are_those_that_were_stored(train, numbers):
    number = numbers(train)
    assert sorted(number) == list(range(50)) and len(train) == 50
    assert {name: (column.dtype.kind, column.dtype.itemsize) for name, column in train.columns.items()} == {
        "id": ("S", len("folder/é49.png".encode())),
        "expression": ("i", 8),
        "valence": ("f", 4),
        "arousal": ("f", 4),
        "subject": ("i", 8),
        "left_eye": ("f", 4),
    }
    np.testing.assert_array_equal(train.columns["expression"], number % 8 - 1)
    valence, arousal = (np.where(number % n, number / 100, np.nan).astype(np.float32) for n in (5, 7))
    np.testing.assert_array_equal(train.columns["valence"], valence)
    np.testing.assert_array_equal(train.columns["arousal"], -arousal)
    np.testing.assert_array_equal(train.columns["subject"], number // 2)
    np.testing.assert_array_equal(train.columns["left_eye"], np.stack([number, np.full(50, 2.5)], axis=1))


def test_metadata(train):
    assert train.metadata["label_names"] == list(EXPRESSIONS)
    assert train.metadata["crop"] == {"size": 12, "margin": 0.25}
    assert (train.dataset, train.config, train.name) == ("tiny_faces", None, "train")


def test_a_build_has_only_what_its_builder_stored(bare, numbers):
    assert bare.columns.keys() == {"id", "arousal"} and bare.metadata == {}
    np.testing.assert_array_equal(bare.columns["arousal"], numbers(bare) / 2)
    np.testing.assert_array_equal(bare.image(0), pixels(numbers(bare)[0]))


def test_images_by_random_access_from_many_threads(train, numbers):
    order = np.random.default_rng(0).integers(0, 50, 400)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        images = list(pool.map(train.image, order))
    expected = [pixels(number) for number in numbers(train)[order]]
    np.testing.assert_array_equal(images, expected)


def test_grey_becomes_rgb(data_dir, numbers):
    image = only(data_dir, numbers, "odd", 0).image(0)
    np.testing.assert_array_equal(image, np.repeat(pixels(0, (12, 12, 1)), 3, axis=2))


def test_jpeg_is_decoded_in_rgb_order(data_dir, numbers):
    image = only(data_dir, numbers, "odd", 3).image(0)
    assert np.abs(image.astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("number", [0, 1], ids=["text", "empty"])
def test_an_unreadable_image_is_named(data_dir, numbers, number):
    split = only(data_dir, numbers, "unreadable", number)
    with pytest.raises(
        UserError,
        match=f"folder/é{number}.png.*tiny_faces, unreadable, in the file .*array_record.*it is no JPEG or PNG",
    ):
        split.image(0)


@pytest.fixture
def flipped(own_copy):
    """A function that turns the bits of a byte in the middle of the training split's last record of images."""

    def flip():
        (shard,) = (own_copy / "tiny_faces" / "1.0.0").glob("*train.array_record*")
        stat, data = shard.stat(), bytearray(shard.read_bytes())
        at = data.rindex(b"IDAT") + 8
        data[at] ^= 255
        shard.write_bytes(data)
        os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a disk that forgets does not change the time
        return own_copy

    return flip


def test_a_damaged_record_is_named_with_its_shard(flipped):
    folder = flipped()
    for path in folder.rglob("label_index_train.npz"):
        path.unlink()
    message = (
        r"The record \d+ of tiny_faces, train, in the file tiny_faces-train.array_record-00000-of-00001 of .*1\.0\.0"
    )
    with pytest.raises(UserError, match=rf"{message} is damaged \(.*\): copy the build again"):
        open_split("tiny_faces", "train", data_dir=str(folder))


def test_a_record_that_is_damaged_after_its_labels_were_read_is_named_by_its_id(flipped, own_copy):
    open_split("tiny_faces", "train", data_dir=str(own_copy))
    split = open_split("tiny_faces", "train", data_dir=str(flipped()))
    wrong = []
    for row in range(len(split)):
        try:
            split.image(row)
        except UserError as error:
            wrong.append((row, str(error)))
    ((row, message),) = wrong
    assert message.startswith(
        f"The image {str(split.ids[row])!r} of tiny_faces, train, in the file tiny_faces-train.array_rec"
    )


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dataset_info.json", "no JSON"),
        ("features.json", "{}"),
        ("features.json", '{"pythonClassName": 3}'),
        ("metadata.json", "[" * 5),
        ("metadata.json", '{"label_names": 3}'),
        ("metadata.json", '{"label_names": ["Happy", "Happy"]}'),
        ("metadata.json", '{"label_names": []}'),
        ("metadata.json", '{"expression_votes": [["Happy"]]}'),
    ],
)
def test_a_build_whose_description_is_damaged_is_named(own_copy, file, content):
    (build,) = (own_copy / "tiny_faces").iterdir()
    (build / file).write_text(content)
    with pytest.raises(UserError, match=rf"The build in {build} is damaged \(.*\): copy it again, or build it again"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))


def test_newest_version_is_opened(own_copy):
    dataset = own_copy / "tiny_faces"
    for version in ("0.9.0", "10.0.0", "2.0.0", "incomplete.ABC_11.0.0"):
        shutil.copytree(dataset / "1.0.0", dataset / version)
        (dataset / version / "metadata.json").write_text(json.dumps({"label_names": [version]}))
    assert open_split("tiny_faces", "train", data_dir=str(own_copy)).metadata["label_names"] == ["10.0.0"]


@pytest.fixture
def two_configs(own_copy):
    """The build as the configs small and large, beside a folder that is neither."""
    dataset = own_copy / "tiny_faces"
    (dataset / "small").mkdir()
    (dataset / "1.0.0").rename(dataset / "small" / "1.0.0")
    shutil.copytree(dataset / "small", dataset / "large")
    (dataset / "reports").mkdir()
    return own_copy


def test_a_config_by_its_name(two_configs):
    assert open_split("tiny_faces", "train", config="large", data_dir=str(two_configs)).config == "large"


def test_the_only_config_needs_no_name(two_configs):
    shutil.rmtree(two_configs / "tiny_faces" / "large")
    only_one = open_split("tiny_faces", "train", data_dir=str(two_configs))
    assert only_one.config == "small" and len(only_one) == 50
    assert repr(only_one) == "Split(tiny_faces/small, train, 50 examples)"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, r"several configs in .*tiny_faces, large, small: name one, such as --config large \(in train.py"),
        ("huge", r"'huge' .*large, small.* `tfds build tfds_builders/tiny_faces --config=huge`"),
    ],
)
def test_a_config_that_is_not_built(two_configs, config, message):
    with pytest.raises(UserError, match=message):
        open_split("tiny_faces", "train", config=config, data_dir=str(two_configs))


def test_default_directory_is_that_of_tfds(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert len(open_split("tiny_faces", "validation")) == 7


def test_a_dataset_that_is_not_built_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(builds, "_BUILDERS", tmp_path / "tfds_builders")
    (tmp_path / "tfds_builders" / "affectnet").mkdir(parents=True)
    data_dir = tmp_path / "nowhere"
    with pytest.raises(UserError) as raised:
        open_split("affectnet", "train", config="csv", data_dir=str(data_dir))
    assert f"`tfds build tfds_builders/affectnet --config=csv --data_dir={data_dir}`" in str(raised.value)


def test_an_unknown_dataset_lists_those_that_are_known(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(builds, "_BUILDERS", tmp_path)
    (tmp_path / "affectnet").mkdir()
    with pytest.raises(UserError, match=r"no dataset 'affectnot': .* holds tiny_faces, .* can build affectnet\."):
        open_split("affectnot", "train", data_dir=str(data_dir))


def test_the_only_split_needs_no_name(bare, data_dir):
    assert bare.name == "train"
    with pytest.raises(
        UserError, match="has the splits train, validation, odd, unreadable: name one of them by --split"
    ):
        open_split("tiny_faces", None, data_dir=str(data_dir))


def test_an_unknown_split_lists_those_that_are_known(data_dir):
    with pytest.raises(UserError, match=r"splits train, validation, odd, unreadable, and found 'test'"):
        open_split("tiny_faces", "test", data_dir=str(data_dir))


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("train+validation", [50, 7]),
        ("odd+train+odd", [4, 50]),  # none twice
        ("all", [50, 7, 4, 2]),
        ("all-odd-unreadable", [50, 7]),
    ],
)
def test_several_splits_are_one(data_dir, split, counts):
    whole = open_split("tiny_faces", split, data_dir=str(data_dir))
    assert len(whole) == sum(counts) and repr(whole).startswith(f"Split(tiny_faces, {split}, ")
    parts = [open_split("tiny_faces", name, data_dir=str(data_dir)) for name in ("train", "validation")]
    if split == "train+validation":
        assert whole.ids.tolist() == [*parts[0].ids, *parts[1].ids]
        np.testing.assert_array_equal(whole.image(53), parts[1].image(3))


@pytest.mark.parametrize("split", ["all-tests", "train+tests", "train-tests", "all-train-validation-odd-unreadable"])
def test_several_splits_of_which_one_is_unknown(data_dir, split):
    with pytest.raises(UserError, match=r"splits train, validation, odd, unreadable, and found '.*(tests|unreadable)'"):
        open_split("tiny_faces", split, data_dir=str(data_dir))


def test_a_build_without_random_access_says_how_to_rebuild(own_copy):
    change_info(own_copy / "tiny_faces" / "1.0.0", fileFormat="tfrecord")
    with pytest.raises(UserError, match=r"found tfrecord in .*--file_format=array_record"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))


def test_an_empty_split(own_copy):
    change_info(own_copy / "tiny_faces" / "1.0.0", splits=[{"name": "train", "numBytes": "0", "shardLengths": ["0"]}])
    with pytest.raises(UserError, match=r"split 'train' .* is empty.*tfds build"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))


@pytest.mark.parametrize("feature", ["image", "id"])
def test_a_build_without_images_or_ids(own_copy, feature):
    features = own_copy / "tiny_faces" / "1.0.0" / "features.json"
    stored = json.loads(features.read_text())
    del stored["featuresDict"]["features"][feature]
    features.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=rf"Expected {feature} in .*, and found none: .*tfds build"):
        open_split("tiny_faces", "train", data_dir=str(own_copy))


def test_reading_does_not_load_tensorflow(data_dir):
    script = (
        "import sys; from emotion_gcn_jax.data import batches, builds, inputs;"
        f"split = builds.open_split('tiny_faces', 'train', data_dir={str(data_dir)!r});"
        "loader = batches.Loader(inputs.Input(12), batch_size=4);"
        "next(batches.train_batches([batches.Stream(split, 4, ())], loader, seed=0));"
        "assert 'tensorflow' not in sys.modules, 'TensorFlow was imported'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
