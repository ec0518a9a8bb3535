"""Any trunk goes the whole way: it trains, is evaluated and predicts, without a word about it elsewhere."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from emotion_gcn_jax import cli
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.training import loop


class Strangers(nn.Module):
    """What somebody writes who knows Flax: natural names, Flax's own norm, and nothing of folding or PyTorch."""

    remat: bool = False
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        x, types = images_BxHxWxC, {"dtype": self.dtype, "param_dtype": self.param_dtype}
        for number, width in enumerate((8, 16), start=1):
            x = nn.Conv(width, (3, 3), 2, **types, name=f"conv{number}")(x)
            x = nn.BatchNorm(not train, axis_name=self.axis_name, **types, name=f"norm{number}")(x)
            x = nn.relu(x)
        return x


@pytest.fixture
def strangers(monkeypatch):
    monkeypatch.setitem(emotion_net.TRUNKS, "strangers", Strangers)


@pytest.mark.parametrize("arg", ["resnet_tiny,multi_task", "strangers,emotion_gcn_au"])
def test_a_trunk_trains_is_evaluated_and_predicts(arg, config_of, strangers, shades, tmp_path, capsys):
    config = config_of(arg)
    config.training.epochs = 1
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
