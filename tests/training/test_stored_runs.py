"""Stored runs of every checkpoint format are resumed, and end as the version that began them would have ended them."""

import json
import shutil

import pytest

from configs import synthetic_faces
from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.training import loop
from tests.stored_runs import FORMATS, expected_of, run_of


@pytest.fixture
def config(shades):
    """The config of the stored runs, in today's words."""
    config = synthetic_faces.get_config("densenet_tiny,emotion_gcn")
    config.dataset.update(name="shades", config="", data_dir=str(shades))
    config.input.side = 32
    config.data.update(batch_size=10, eval_batch_size=8, threads=1)
    config.graph.word_vectors = "vectors.npy"  # no longer there: a resumed run has its checkpoint's
    config.optimizer.update(name="sgd", learning_rate=0.02, warmup_epochs=0.5)
    config.training.update(epochs=2, devices=1)
    return config


@pytest.mark.parametrize("name", FORMATS)
def test_a_stored_run_is_resumed(name, config, tmp_path):
    shutil.copytree(run_of(name), tmp_path / "run")
    loop.train_and_evaluate(config, tmp_path / "run", resume=True)
    meta = checkpoints.read_last_meta(tmp_path / "run")
    assert (meta["format_version"], meta["step"]) == (checkpoints.FORMAT_VERSION, 14)
    first, second = meta["progress"]["history"]
    expected = expected_of(name)["history"]
    assert first.items() >= expected[0].items()
    # Rounding differs between processors, and seven steps of training make more of it.
    for key in ("train_loss", "learning_rate", "ccc_valence", "ccc_arousal", "rmse_valence"):
        assert second[key] == pytest.approx(expected[1][key], rel=1e-3)
    assert second["accuracy"] == pytest.approx(expected[1]["accuracy"], abs=1.5 / 33)  # one of the labelled at most
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["tasks"].keys() == {"expression", "affect"} and "loss" not in written


@pytest.mark.parametrize("name", FORMATS)
def test_a_stored_run_is_not_resumed_with_another_config(name, config, tmp_path):
    shutil.copytree(run_of(name), tmp_path / "run")
    config.tasks.affect.weight = 2.0
    with pytest.raises(UserError, match=r"another config: tasks.affect.weight was 5.0 and is 2.0: set"):
        loop.train_and_evaluate(config, tmp_path / "run", resume=True)
