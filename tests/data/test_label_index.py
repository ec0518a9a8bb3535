"""The index of a build's columns: made once, of this very build, and never in the way."""

import os

import numpy as np
import pytest

from emotion_gcn_jax.data.builds import open_split


def opened(data_dir, split="train"):
    return open_split("tiny_faces", split, data_dir=str(data_dir))


def touch_records(build):
    (records,) = build.glob("*train.array_record*")
    os.utime(records, ns=(0, records.stat().st_mtime_ns + 1))


@pytest.fixture
def blocked_copy(own_copy, tmp_path, monkeypatch):
    """A copy beside which no index can be written; the user's cache is tmp_path / "cache"."""
    # Root may write anywhere, but not a file over a folder.
    (own_copy / "tiny_faces" / "1.0.0" / "label_index_train.npz").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return own_copy


def test_labels_are_scanned_once(own_copy, scans):
    first, again = opened(own_copy), opened(own_copy)
    assert len(scans) == 1
    assert first.columns.keys() == again.columns.keys()
    for name in first.columns:
        np.testing.assert_array_equal(first.columns[name], again.columns[name], strict=True)
    opened(own_copy, "validation")
    assert len(scans) == 2
    assert not list((own_copy / "tiny_faces" / "1.0.0").glob(".label_index*"))


def test_a_changed_build_is_scanned_again(own_copy, scans):
    opened(own_copy)
    touch_records(own_copy / "tiny_faces" / "1.0.0")
    opened(own_copy)
    assert len(scans) == 2


@pytest.mark.parametrize("damage", ["text", "half", "flipped", "empty"])
def test_a_damaged_index_is_made_again(own_copy, scans, damage):
    expected = opened(own_copy).ids
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
        np.testing.assert_array_equal(opened(own_copy).ids, expected)
    assert len(scans) == 2


def test_an_index_that_cannot_be_written_beside_the_build_is_kept_in_the_users_cache(blocked_copy, scans, tmp_path):
    for _ in range(2):
        assert len(opened(blocked_copy)) == 50
    assert len(scans) == 1
    (index,) = (tmp_path / "cache" / "emotion_gcn_jax" / "label_indices").iterdir()
    assert index.name.startswith("tiny_faces_train_")
    touch_records(blocked_copy / "tiny_faces" / "1.0.0")  # another build: not this index
    opened(blocked_copy)
    assert len(scans) == 2


def test_an_index_that_cannot_be_written_anywhere_is_done_without(blocked_copy, scans, tmp_path):
    (tmp_path / "cache").write_text("a file is no folder")
    for _ in range(2):
        assert len(opened(blocked_copy)) == 50
    assert len(scans) == 2
    assert not list((blocked_copy / "tiny_faces" / "1.0.0").glob(".label_index*"))
