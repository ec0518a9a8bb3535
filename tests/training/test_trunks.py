"""Any trunk goes the whole way: it trains, is evaluated and predicts, without a word about it elsewhere."""

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

GREY_48 = {"side": 48, "channels": 1, "mean": (0.5,), "deviation": (0.5,)}


@pytest.mark.parametrize("arg", ["resnet_tiny,multi_task", "plain,emotion_gcn_au", "deep_emotion,emotion_gcn"])
def test_a_trunk_trains_is_evaluated_and_predicts(arg, config_of, shades, tmp_path, capsys):
    config = config_of(arg)
    config.training.epochs = 1
    if arg.startswith("deep_emotion"):
        config.input.update(GREY_48)
    trained = loop.train_and_evaluate(config, tmp_path / "run")

    words = f"evaluate --checkpoint {tmp_path}/run --dataset shades --data-dir {shades} --split validation"
    assert cli.main([*words.split(), "--output", str(tmp_path / "again")]) == 0
    evaluated = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert evaluated["tasks"].keys() == trained["tasks"].keys() == set(config.tasks)
    assert evaluated["accuracy"] == trained["accuracy"]
    assert evaluated["ccc_mean"] == pytest.approx(trained["ccc_mean"], abs=1e-4)  # folding rounds otherwise

    face = tmp_path / "face.png"
    face.write_bytes(encode_png(open_split("shades", "validation", data_dir=str(shades)).image(3)))
    words = f"predict --checkpoint {tmp_path}/run --no-detect --json {tmp_path}/faces.json {face}"
    capsys.readouterr()
    assert cli.main(words.split()) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert {"expression", "valence", "arousal", *config.tasks} - {"affect"} <= set(heading.split())
    ((said,),) = [picture["faces"] for picture in json.loads((tmp_path / "faces.json").read_text())]
    assert said["expression"] in row
    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert ("action_units" in said) == ("action_units" in config.tasks)


def test_the_attention_is_watched_every_epoch(config_of, tmp_path, capsys):
    config = config_of("deep_emotion,single_task")
    config.input.update(GREY_48)
    config.optimizer.rates = "trunk/localisation=0"  # so that it stays the identity for every image
    loop.train_and_evaluate(config, tmp_path)
    history = checkpoints.read_last_meta(tmp_path)["progress"]["history"]
    assert [row["theta_std"] for row in history] == [0, 0]
    assert all(0 < row[f"localisation_{layer}_live"] <= 1 for row in history for layer in ("conv1", "conv2", "fc1"))
    assert capsys.readouterr().out.count("warning: the attention does not depend on the image: theta's standard") == 2
    events = EventAccumulator(tmp_path / "tensorboard", size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("validation/theta_std")] == [6, 12]
    start = run.prepare(config).initial_state.params["trunk"]["localisation"]
    trained = checkpoints.read(tmp_path).variables["params"]["trunk"]["localisation"]
    jax.tree.map(np.testing.assert_array_equal, trained, jax.device_get(start))


def test_a_part_that_the_model_does_not_have_is_refused_before_anything_is_written(config_of, tmp_path):
    for field in ("l2", "rates"):
        config = config_of("plain,single_task")
        config.optimizer[field] = "trunk/localisation=0.1"
        with pytest.raises(UserError, match=rf"config.optimizer.{field} names trunk/localisation, where the model has"):
            loop.train_and_evaluate(config, tmp_path)
    assert not list(tmp_path.iterdir())
