"""What is written is read back bit for bit, by our reader and by torch."""

import io
import pickletools
import sys
import zipfile

import numpy as np
import pytest
import safetensors

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.torch_files import reading, writing
from tests.torch_files import handmade


def tensors():
    rng = np.random.default_rng(0)
    return {
        **handmade.weights(),
        "transposed": rng.normal(size=(3, 4)).astype(np.float32).T,
        "big-endian": np.arange(3, dtype=">f8"),
        "half": np.arange(3, dtype=np.float16),
        "bool": np.array([True, False]),
        "bytes": np.arange(3, dtype=np.uint8),
        "empty": np.zeros((0, 2), np.float32),
        "not a number": np.array([np.nan, -0.0, np.inf, 1e-45], np.float32),
    }


def identical(read, expected):
    assert list(read) == list(expected)
    for name, array in expected.items():
        array = array.astype(array.dtype.newbyteorder("="))
        assert read[name].dtype == array.dtype and read[name].shape == array.shape, name
        assert np.ascontiguousarray(read[name]).tobytes() == np.ascontiguousarray(array).tobytes(), name


def test_our_reader_reads_it(tmp_path):
    writing.save(tmp_path / "new" / "w.pth", tensors())
    identical(reading.load(tmp_path / "new" / "w.pth"), tensors())
    writing.save(tmp_path / "emb.pkl", tensors()["transposed"])
    np.testing.assert_array_equal(reading.load(tmp_path / "emb.pkl"), tensors()["transposed"])


def test_the_same_tensors_make_the_same_file_and_its_pickle_is_sound(tmp_path):
    for name in ("a.pth", "b.pth"):
        writing.save(tmp_path / name, tensors())
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        pickletools.dis(archive.read("archive/data.pkl"), io.StringIO())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "b.pth"]


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(.*\): choose another"):
        writing.save(tmp_path / "file" / "w.pth", tensors())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_home_is_written_and_read_by_its_short_name(suffix, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    writing.save(f"~/w{suffix}", handmade.weights())
    assert [path.name for path in tmp_path.iterdir()] == [f"w{suffix}"]
    assert reading.load(f"~/w{suffix}").keys() == handmade.weights().keys()


def test_safetensors_keep_every_bit_and_are_the_same_each_time(tmp_path):
    for name in ("a.safetensors", "b.SafeTensors"):
        writing.save(tmp_path / name, tensors())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.SafeTensors").read_bytes()
    identical(reading.load(tmp_path / "a.safetensors"), dict(sorted(tensors().items())))
    with safetensors.safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_single_array_needs_a_name_in_safetensors(tmp_path):
    with pytest.raises(UserError, match="cannot hold a single array"):
        writing.save(tmp_path / "w.safetensors", np.zeros(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="torch is a test dependency on Python 3.11 only")
def test_torch_reads_it(tmp_path):
    import torch

    writing.save(tmp_path / "w.pth", tensors())
    read = torch.load(tmp_path / "w.pth", weights_only=True)
    assert type(read).__name__ == "OrderedDict" and all(type(tensor) is torch.Tensor for tensor in read.values())
    identical({name: tensor.numpy() for name, tensor in read.items()}, tensors())
    writing.save(tmp_path / "emb.pkl", tensors()["transposed"])
    np.testing.assert_array_equal(torch.load(tmp_path / "emb.pkl", weights_only=True).numpy(), tensors()["transposed"])
