"""A frozen trunk, and training on what it makes of every image, stored once."""

import csv
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.cli import main
from emotion_gcn_jax.data import features as stored
from emotion_gcn_jax.data import folder_split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.evaluator import evaluate_model
from emotion_gcn_jax.evaluation.features import store
from emotion_gcn_jax.inference.model import load
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.training import datasets, loop, run
from tests.plain_trunk import Plain
from tests.training.conftest import small_config
from tests.training.test_clips import tracks


@pytest.fixture(scope="module")
def splits():
    return {"train": tracks(8, 0), "validation": dataclasses.replace(tracks(3, 1), name="validation")}


@pytest.fixture(autouse=True)
def opened(splits, monkeypatch):
    monkeypatch.setattr(datasets, "open_split", lambda name, split, **where: splits[split])


@pytest.fixture(scope="module")
def trunk(shades, splits, tmp_path_factory):
    """A run of single images and, beside it, the features of both splits."""
    folder = tmp_path_factory.mktemp("trunk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(emotion_net.TRUNKS, "plain", Plain)
        patch.setattr(datasets, "open_split", lambda name, split, **where: splits[split])
        config = small_config(shades, "plain,multi_task")
        config.training.epochs = 1
        loop.train_and_evaluate(config, folder / "run")
        model = load(folder / "run")
        for name, split in splits.items():
            store(model, split, folder / name, checkpoint=str(folder / "run"))
    return folder


def config_of(shades, trunk):
    """Clips through a recurrent layer on the stored features."""
    config = small_config(shades, "plain,multi_task")
    config.init.trunk = str(trunk / "run")
    config.data.features = f"{trunk / 'train'}, {trunk / 'validation'}"
    config.model.recurrent, config.clip.length = (4,), 4
    config.data.batch_size = config.data.eval_batch_size = 16
    config.augmentation.update({name: 0 * value for name, value in config.augmentation.items() if name != "erase_area"})
    config.optimizer.schedule = "step"
    config.training.ema_decay = 0.5
    return config


@pytest.fixture
def config(shades, trunk):
    return config_of(shades, trunk)


@pytest.fixture(scope="module")
def trained(shades, trunk, splits, tmp_path_factory):
    """Two epochs of it: the working directory and the metrics."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(emotion_net.TRUNKS, "plain", Plain)
        patch.setattr(datasets, "open_split", lambda name, split, **where: splits[split])
        return folder, loop.train_and_evaluate(config_of(shades, trunk), folder)


def trunk_of(variables):
    return {name: variables[name]["trunk"] for name in ("params", "batch_stats")}


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_what_is_stored_is_what_the_network_sees(trunk, splits):
    model, split = load(trunk / "run"), splits["train"]
    found = stored.read(trunk / "train")
    images = np.stack([model.input.fit(split.image(row)) for row in (0, 17)])
    view = model.input.view(images, np.float32)
    expected = model.module.apply(model.variables, view, method=model.module.features)
    assert found.values_NxD.shape == (len(split), 16) and found.values_NxD.dtype == np.float32
    np.testing.assert_allclose(found.values_NxD[[0, 17]], expected, rtol=1e-5, atol=1e-6)
    with (trunk / "train" / "examples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == split.ids.tolist()
    assert [(row["video"], int(row["frame"])) for row in rows[:2]] == [("0", 1), ("0", 2)]
    about = json.loads((trunk / "train" / "about.json").read_text())
    assert (about["dataset"], about["split"], about["trunk"], about["readout"]) == (
        "faces",
        "train",
        "plain",
        "average",
    )


def test_training_on_features_makes_a_whole_model(trained, trunk, splits):
    folder, metrics = trained
    assert_same(trunk_of(checkpoints.read(folder).variables), trunk_of(checkpoints.read(trunk / "run").variables))
    # Its report is of features, and images are judged alike.
    judged = evaluate_model(load(folder), splits["validation"])
    with (folder / "report" / "predictions.csv").open(newline="") as file:
        valence = [float(row["valence_predicted"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(judged.answers["affect"][:, 0], valence, atol=1e-5)
    assert metrics["examples"] == len(splits["validation"])


def test_a_frozen_trunk_learns_as_on_stored_features(config, trained, tmp_path):
    config.data.features, config.model.frozen_trunk = "", True
    loop.train_and_evaluate(config, tmp_path)
    one, other = (checkpoints.read(folder).variables for folder in (trained[0], tmp_path))
    assert_same(trunk_of(one), trunk_of(other))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), one["params"], other["params"])


def test_a_frozen_trunk_has_no_gradient_and_no_optimiser_state(config):
    prepared = run.prepare(config)
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in prepared.initial_state.params.values()]
    moments = sum(leaf.size for leaf in jax.tree.leaves(prepared.initial_state.opt_state) if leaf.ndim)
    trunk_size = sum(leaf.size for leaf in jax.tree.leaves(prepared.initial_state.params["trunk"]))
    assert moments == 2 * (sum(sizes) - trunk_size)  # AdamW has two of each parameter


def test_a_resumed_run_ends_as_an_unbroken_one(config, trained, tmp_path):
    config.training.epochs = 1
    loop.train_and_evaluate(config, tmp_path)
    config.training.epochs = 2
    loop.train_and_evaluate(config, tmp_path, resume=True)
    assert_same(*(checkpoints.read_last_meta(folder)["progress"]["history"] for folder in (trained[0], tmp_path)))
    assert_same(*(checkpoints.read(folder).variables for folder in (trained[0], tmp_path)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"init.trunk": ""}, r"were made by another plain than .*: set config.init.trunk to .*/run\.$"),
        ({"input.resize": "area"}, r"were made with input .*'resize': 'bilinear_antialiased'.*: set the config to the"),
        ({"model.readout": "max"}, r"were made with readout average: set the config to the same"),
        ({"data.features": "TRUNK/train"}, r"None of config.data.features \(.*train\) has all of Split\(faces, valid"),
        ({"data.features": "TRUNK/run"}, r"Expected features that emotion-gcn features wrote in .*run, and found none"),
        (
            {"data.features": "", "model.frozen_trunk": True, "init.trunk": ""},
            r"^config.model.frozen_trunk keeps the trunk as config.init.trunk or .* gives it, and both are empty",
        ),
        ({"optimizer.rates": "trunk=0.1"}, r"config.optimizer.rates names trunk, where the model has no parameters"),
    ],
)
def test_features_that_do_not_fit_are_refused(config, trunk, change, message):
    for field, value in change.items():
        group, name = field.split(".")
        config[group][name] = value.replace("TRUNK", str(trunk)) if isinstance(value, str) else value
    with pytest.raises(UserError, match=message):
        run.prepare(config)


def test_the_command_writes_them_once(trunk, splits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folder_split, "open_folder", lambda path, split: splits["validation"])
    words = f"features --checkpoint {trunk}/run --images faces --output {tmp_path}/found"
    assert main(words.split()) == 0
    assert capsys.readouterr().out == f"features: {len(splits['validation'])} of 16 numbers each, in {tmp_path}/found\n"
    np.testing.assert_array_equal(
        stored.read(tmp_path / "found").values_NxD, stored.read(trunk / "validation").values_NxD
    )
    assert main(words.split()) == 2
    assert "holds something already: name another folder, or delete it" in capsys.readouterr().err


def test_a_part_held_out_and_a_further_stream_need_no_folders_of_their_own(config, trunk):
    config.data.features = str(trunk / "train")
    config.dataset.held_out_share = 0.3
    config.dataset.streams = "shades:train=4"
    assert run.prepare(config).steps_per_epoch > 0
    config.dataset.streams = "shades:validation=4"
    with pytest.raises(UserError, match=r"None of config.data.features .* has all of Split\(faces, validation"):
        run.prepare(config)


def test_features_of_other_images_are_noticed(config, splits, monkeypatch):
    darker = dataclasses.replace(splits["train"], read_image=lambda row: splits["train"].read_image(row) // 2)
    monkeypatch.setattr(datasets, "open_split", lambda name, split, **where: {**splits, "train": darker}[split])
    with pytest.raises(UserError, match=r"^The image 0\.png of Split\(faces, train, .* is another one than"):
        run.prepare(config)


def test_what_breaks_off_leaves_nothing(trunk, splits, tmp_path):
    def read_image(row):
        if row == 20:
            raise UserError("The image 20.png is damaged.")
        return splits["train"].read_image(row)

    broken = dataclasses.replace(splits["train"], read_image=read_image)
    with pytest.raises(UserError, match=r"^The image 20\.png is damaged\."):
        store(load(trunk / "run"), broken, tmp_path / "found", checkpoint="run")
    assert not (tmp_path / "found").exists()


def test_flipped_bytes_of_a_header_are_said_or_change_nothing(trunk, tmp_path):
    shutil.copytree(trunk / "train", tmp_path / "train")
    whole, rng = (trunk / "train" / stored.ARRAY_FILE).read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, 128, 3):
            data[place] = rng.integers(256)
        (tmp_path / "train" / stored.ARRAY_FILE).write_bytes(data)
        try:
            assert stored.read(tmp_path / "train").values_NxD.shape == (len(stored.read(trunk / "train").row_of), 16)
        except UserError as error:
            assert len(str(error)) < 2000
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("name", [stored.ABOUT_FILE, stored.ARRAY_FILE, stored.EXAMPLES_FILE])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x93NUMPY"])
def test_what_is_damaged_is_said(trunk, tmp_path, name, content):
    shutil.copytree(trunk / "train", tmp_path / "train")
    (tmp_path / "train" / name).write_bytes(content)
    with pytest.raises(UserError, match=r"found none that are whole .*: write them again"):
        stored.read(tmp_path / "train")
