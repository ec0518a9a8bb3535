"""A model in one file: what it keeps of a checkpoint, and what is said of files that are none."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

import emotion_gcn_jax as eg
from emotion_gcn_jax import checkpoints, cli, model_file
from emotion_gcn_jax.errors import UserError
from tests.labelled_folders import damaged_table, without_damaged
from tests.photographs import ASTRONAUT
from tests.untrained import write_checkpoint

META = {"config": {}, "tasks": [], "input": {}, "crop": None, "dataset": "faces"}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("run"), "emotion_gcn")


@pytest.fixture(scope="module")
def packed(workdir):
    path = workdir / "model.safetensors"
    assert cli.main(["pack", "--checkpoint", str(workdir), "--output", str(path)]) == 0
    return path


def write(path, arrays=None, meta=None, **changed):
    """A file as `model_file.write` makes it, with entries of its header changed."""
    text = json.dumps({**META, "format_version": 2, **(meta or {})})
    path.write_bytes(safetensors.numpy.save(arrays or {}, {"emotion_gcn_jax": text, **changed}))
    return path


def test_a_file_keeps_the_weights_to_float16_and_all_that_is_said_of_them(workdir, packed):
    checkpoint, (variables, meta) = checkpoints.read(workdir), model_file.read(packed)
    assert meta == checkpoint.meta | {"format_version": 2}

    def compare(path, stored, own):
        assert stored.dtype == np.float32
        is_rounded = path[0].key == "params" and own.ndim > 1
        np.testing.assert_array_equal(stored, own.astype(np.float16) if is_rounded else own)

    jax.tree_util.tree_map_with_path(compare, variables, checkpoint.variables)


def test_a_file_answers_as_its_checkpoint_does_but_for_rounding(workdir, packed):
    faces = list(np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8))
    for one, other in zip(eg.load(packed).predict_faces(faces), eg.load(workdir).predict_faces(faces), strict=True):
        assert one.valence == pytest.approx(other.valence, abs=0.02)
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=0.02)


def test_a_checkpoint_may_be_a_file_wherever_one_is_named(packed, tmp_path):
    assert cli.main(["predict", "--checkpoint", str(packed), "--no-detect", str(ASTRONAUT)]) == 0
    assert checkpoints.read(packed).path == packed
    assert cli.main(["pack", "--checkpoint", str(packed), "--output", str(tmp_path / "again.safetensors")]) == 0
    assert (tmp_path / "again.safetensors").read_bytes() == packed.read_bytes()


def test_what_calibrates_a_file_is_every_picture_that_can_be_read(workdir, tmp_path, capsys):
    table = damaged_table(tmp_path / "mine")
    words = ["pack", "--checkpoint", str(workdir), "--images", str(table), "--output"]
    assert cli.main([*words, str(tmp_path / "left_out.safetensors")]) == 1
    printed = capsys.readouterr()
    assert [line.partition(":")[0].rpartition("/")[2] for line in printed.err.splitlines()] == [
        "1.png",
        "4.png",
        "5.png",
    ]
    assert "left out, since they cannot be read: 3 of 6 images" in printed.out
    without_damaged(table)
    assert cli.main([*words, str(tmp_path / "whole.safetensors")]) == 0
    left_out, whole = (tmp_path / f"{name}.safetensors" for name in ("left_out", "whole"))
    assert left_out.read_bytes() == whole.read_bytes()


def test_what_is_there_is_not_replaced_and_what_is_too_large_is_not_rounded(tmp_path, packed):
    with pytest.raises(UserError, match=r"There is something at .* already: choose a new name"):
        model_file.write(packed, {}, META)
    with pytest.raises(UserError, match=r"ends in \.safetensors, found .*model\.pth: name it so"):
        model_file.write(tmp_path / "model.pth", {}, META)
    kernel = np.full((2, 2), 7e4, np.float32)  # float16 reaches 65,504
    with pytest.raises(UserError, match="weights params/kernel reach 70000, too much for float16"):
        model_file.write(tmp_path / "large.safetensors", {"params": {"kernel": kernel}}, META)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, r"cannot be read \(No such file or directory\): name a model's file"),
        (lambda path: path.write_bytes(b""), "is no safetensors file: a model's file is made by emotion-gcn pack"),
        (lambda path: path.write_bytes(b"PK\3\4" * 9), "is no safetensors file"),
        (lambda path: path.write_bytes(write(path).read_bytes()[:-40]), "is (no|a damaged or truncated) safetensors"),
        (lambda path: path.write_bytes(safetensors.numpy.save({"w": np.ones(2)})), "weights without a word on the mod"),
        (lambda path: write(path, emotion_gcn_jax="{"), "has a damaged description of its model: copy it again"),
        (lambda path: write(path, emotion_gcn_jax="[" * 100_000), "has a damaged description of its model"),
        (lambda path: write(path, emotion_gcn_jax="[2]"), "has a damaged description of its model"),
        (lambda path: write(path, emotion_gcn_jax="{}"), "has a damaged description of its model"),
        (lambda path: write(path, meta={"format_version": "x"}), "has a damaged description of its model"),
        (lambda path: write(path, meta={"format_version": 3}), "has format 3, this version reads up to 2: update"),
    ],
)
def test_other_files_get_a_sentence(tmp_path, make, sentence):
    path = tmp_path / "model.safetensors"
    make(path)
    with pytest.raises(UserError, match=sentence):
        model_file.read(path)


DESCRIPTIONS = {
    "no config": {"config": {}},
    "a config of the wrong kind": {"config": 3},
    "tasks of an unknown kind": {"tasks": [{"kind": "x", "name": "expression"}]},
    "another model": {"tasks": [{"kind": "values", "name": "affect", "dimensions": ["valence"]}]},
    "words that are none": {"tasks": [{"kind": "values", "name": "affect", "dimensions": [None, 2]}]},
    "an input of nothing": {"input": {"side": 0}},
    "an input without a side": {"input": {"side": [1]}},
    "a dataset without a name": {"dataset": []},
    "a crop of the wrong kind": {"crop": {"side": "x"}},
}


@pytest.mark.parametrize("engine", ["onnx", "jax"])
@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_description_that_fits_no_model_gets_a_sentence(packed, kind, engine, tmp_path):
    data = packed.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    meta = json.loads(header["__metadata__"]["emotion_gcn_jax"]) | DESCRIPTIONS[kind]
    header["__metadata__"]["emotion_gcn_jax"] = json.dumps(meta)
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(UserError, match=r"model\.safetensors") as caught:
        eg.load(tmp_path / "model.safetensors", engine).predict_faces([np.zeros((9, 9, 3), np.uint8)])
    assert "\n" not in str(caught.value)


def test_such_a_model_is_not_written_for_pytorch_either(tmp_path, capsys):
    write(tmp_path / "model.safetensors", {"params/head/x": np.zeros(1, np.float32)}, {"tasks": [{}]})
    words = ["convert", "--checkpoint", str(tmp_path / "model.safetensors"), "--to-torch", str(tmp_path / "x.pth")]
    assert cli.main(words) == 2
    assert "describes no model" in capsys.readouterr().err and not (tmp_path / "x.pth").exists()


def test_names_of_tensors_that_cannot_be_a_tree_get_a_sentence(tmp_path):
    arrays = {"params/a": np.zeros(1, np.float32), "params/a/b": np.zeros(1, np.float32)}
    with pytest.raises(UserError, match="damaged description"):
        model_file.read(write(tmp_path / "model.safetensors", arrays))
