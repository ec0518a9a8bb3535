"""Any trunk goes the whole way: it trains, is evaluated and predicts, without a word about it elsewhere."""

import contextlib
import functools
import io
import json

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from emotion_gcn_jax import checkpoints, cli
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.training import loop, run
from tests.training.conftest import small_config

GREY_48 = {"side": 48, "channels": 1, "mean": (0.5,), "deviation": (0.5,)}
ARGS = ("resnet_tiny,multi_task", "plain,emotion_gcn_au", "deep_emotion,emotion_gcn")


@pytest.fixture(scope="module")
def trained(shades, tmp_path_factory):
    """A function of "trunk,model" that trains it once: the config, the run, its report's metrics, what was printed."""

    @functools.cache
    def train(arg):
        config, workdir, printed = small_config(shades, arg), tmp_path_factory.mktemp("trained"), io.StringIO()
        if arg.startswith("deep_emotion"):
            config.input.update(GREY_48)
            config.optimizer.rates = "trunk/localisation=0"  # so that it stays the identity for every image
        else:
            config.training.epochs = 1
        with contextlib.redirect_stdout(printed):
            metrics = loop.train_and_evaluate(config, workdir / "run")
        return config, workdir / "run", metrics, printed.getvalue()

    return train


@pytest.mark.parametrize("arg", ARGS)
def test_a_trunk_trains_is_evaluated_and_predicts(arg, trained, shades, tmp_path, capsys):
    config, workdir, metrics, _ = trained(arg)
    words = f"evaluate --checkpoint {workdir} --dataset shades --data-dir {shades} --split validation"
    assert cli.main([*words.split(), "--output", str(tmp_path / "again")]) == 0
    evaluated = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert evaluated["tasks"].keys() == metrics["tasks"].keys() == set(config.tasks)
    assert evaluated["accuracy"] == metrics["accuracy"]
    assert evaluated["ccc_mean"] == pytest.approx(metrics["ccc_mean"], abs=1e-4)  # folding rounds otherwise

    face = tmp_path / "face.png"
    face.write_bytes(encode_png(open_split("shades", "validation", data_dir=str(shades)).image(3)))
    words = f"predict --checkpoint {workdir} --no-detect --json {tmp_path}/faces.json {face}"
    capsys.readouterr()
    assert cli.main(words.split()) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert {"expression", "valence", "arousal", *config.tasks} - {"affect"} <= set(heading.split())
    ((said,),) = [picture["faces"] for picture in json.loads((tmp_path / "faces.json").read_text())]
    assert said["expression"] in row
    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert ("action_units" in said) == ("action_units" in config.tasks)


def test_the_attention_is_watched_every_epoch(trained):
    config, workdir, _, printed = trained("deep_emotion,emotion_gcn")
    history = checkpoints.read_last_meta(workdir)["progress"]["history"]
    assert [row["theta_std"] for row in history] == [0, 0]
    assert all(0 < row[f"localisation_{layer}_live"] <= 1 for row in history for layer in ("conv1", "conv2", "fc1"))
    assert printed.count("warning: the attention does not depend on the image: theta's standard") == 2
    events = EventAccumulator(workdir / "tensorboard", size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("validation/theta_std")] == [7, 14]
    start = run.prepare(config).initial_state.params["trunk"]["localisation"]
    trained = checkpoints.read(workdir).variables["params"]["trunk"]["localisation"]
    jax.tree.map(np.testing.assert_array_equal, trained, jax.device_get(start))


def test_a_part_that_the_model_does_not_have_is_refused_before_anything_is_written(config_of, tmp_path):
    for field in ("l2", "rates"):
        config = config_of("plain,single_task")
        config.optimizer[field] = "trunk/localisation=0.1"
        with pytest.raises(UserError, match=rf"config.optimizer.{field} names trunk/localisation, where the model has"):
            loop.train_and_evaluate(config, tmp_path)
    assert not list(tmp_path.iterdir())
