"""Weights in several files: an index, and parts with numbers in their names."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from emotion_gcn_jax.conversion import convert, state_dicts
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.torch_files import parts, writing
from tests.torch_files.handmade import weights

KINDS = {"model": ".safetensors", "pytorch_model": ".bin"}


def part(stem, number):
    return f"{stem}-{number:05d}-of-00002{KINDS[stem]}"


@pytest.fixture
def write(tmp_path):
    """A function that writes the tensors of `weights` in two parts and an index; it returns the folder."""

    def write_parts(stem):
        named = {name: part(stem, 1 + number % 2) for number, name in enumerate(weights())}
        for file in set(named.values()):
            writing.save(tmp_path / file, {name: weights()[name] for name in named if named[name] == file})
        index = {"metadata": {"total_size": 1}, "weight_map": named}
        (tmp_path / f"{stem}{KINDS[stem]}.index.json").write_text(json.dumps(index))
        return tmp_path

    return write_parts


@pytest.mark.parametrize("stem", KINDS)
@pytest.mark.parametrize("which", ["index", 1, 2])
def test_all_parts_are_one_state_dict(stem, which, write):
    folder = write(stem)
    path = folder / (f"{stem}{KINDS[stem]}.index.json" if which == "index" else part(stem, which))
    read = state_dicts.read(path)
    assert read.keys() == weights().keys()
    for name, array in weights().items():
        np.testing.assert_array_equal(read[name], array)
    both = (folder / part(stem, 1)).read_bytes() + (folder / part(stem, 2)).read_bytes()
    assert convert._origin(path, "")["sha256"] == hashlib.sha256(both).hexdigest()


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "model-00001-of-00002.safetensors"])
def test_a_part_that_is_missing_is_named(name, write):
    folder = write("model")
    (folder / part("model", 2)).unlink()
    with pytest.raises(UserError, match=r"needs all 2 parts .*, and there is no model-00002-of-00002.safetensors: get"):
        parts.load(folder / name)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "cannot be read so"),
        ("[]", "cannot be read so"),
        ('{"weight_map": {}}', "names no files beside it"),
        ('{"weight_map": {"a": "../b.safetensors"}}', "names no files beside it"),
        ('{"weight_map": {"a": 3}}', "cannot be read so"),
        (json.dumps({"weight_map": {"a": "n" * 5000}}), "there is no nnn"),
        (None, "There is no file .*index.json: check the path"),
    ],
)
def test_an_index_that_is_none(index, message, tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    if index is not None:
        path.write_text(index)
    with pytest.raises(UserError, match=message) as error:
        parts.load(path)
    assert len(str(error.value)) < 600


def test_parts_that_do_not_fit_together(write):
    folder = write("model")
    shutil.copy(folder / part("model", 1), folder / part("model", 2))
    with pytest.raises(
        UserError, match=r"00002-of-00002.safetensors, and found (conv.weight|norm.*), .* again: save it"
    ):
        parts.load(folder / part("model", 1))
    writing.save(folder / part("pytorch_model", 1), weights()["conv.bias"])
    shutil.copy(folder / part("pytorch_model", 1), folder / part("pytorch_model", 2))
    with pytest.raises(UserError, match=r"00001-of-00002.bin, and found none: save it in one file"):
        parts.load(folder / part("pytorch_model", 2))
