"""A small dataset that a small network learns in seconds: each expression has a brightness of its own.

Its action units follow from the expression; every second example has some, and none has AU4.
"""

import contextlib

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import synthetic_faces
from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.checkpoints import Checkpoints
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.training import loop
from tests.plain_trunk import Plain


class Shades(tfds.core.GeneratorBasedBuilder):
    """Noise about a class's brightness; some labels are missing."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "id": tfds.features.Text(),
            "expression": np.int64,
            "valence": np.float32,
            "arousal": np.float32,
            "action_units": tfds.features.Tensor(shape=(3,), dtype=np.int8),
            "subject": np.int64,
        }
        names = ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger"]
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(
                {"crop": {"side": 1.3, "size": 32}, "label_names": names, "action_units": ["AU12", "AU4", "AU1"]}
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 70), "validation": self._generate_examples(1, 37)}

    def _generate_examples(self, seed, count):
        rng = np.random.default_rng(seed)
        for number in range(count):
            expression = number % 7
            noise = rng.integers(-12, 13, (32, 32, 3))
            yield (
                number,
                {
                    "image": (noise + 15 + 36 * expression).astype(np.uint8),
                    "id": f"{seed}/{number}",
                    "expression": -1 if number % 11 == 0 else expression,
                    "valence": np.nan if number % 13 == 6 else expression / 3 - 1,
                    "arousal": np.nan if number % 13 == 6 else 1 - expression / 3,
                    "action_units": (expression < 3, -1, expression > 4) if number % 2 else (-1, -1, -1),
                    "subject": number // 2,
                },
            )


@pytest.fixture(scope="session")
def shades(tmp_path_factory):
    """The TFDS directory that holds it."""
    directory = tmp_path_factory.mktemp("tfds")
    Shades(data_dir=directory, file_format="array_record").download_and_prepare()
    return directory


@pytest.fixture(autouse=True)
def plain_trunk(monkeypatch):
    """The trunk "plain", for every test here."""
    monkeypatch.setitem(emotion_net.TRUNKS, "plain", Plain)


@pytest.fixture
def config(shades):
    """Two epochs of seven steps of a small emotion_gcn."""
    return small_config(shades)


def small_config(shades, arg="plain,emotion_gcn"):
    """The same of another trunk or model."""
    config = synthetic_faces.get_config(arg)
    config.dataset.name = "shades"
    config.dataset.config = ""
    config.dataset.data_dir = str(shades)
    config.input.side = 32
    config.data.batch_size = 10
    config.data.eval_batch_size = 8
    config.data.threads = 1
    config.augmentation.rotation_degrees = 5.0
    config.optimizer.warmup_epochs = 0.5  # of a single epoch too
    config.training.epochs = 2
    config.training.devices = 2
    config.training.log_every_steps = 1
    if "action_units" in config.tasks:
        config.tasks.action_units.names = "AU1,AU4,AU12"
    return config


@pytest.fixture
def config_of(shades):
    """`small_config` as a function of "trunk,model"."""
    return lambda arg: small_config(shades, arg)


@pytest.fixture(scope="session")
def finished(shades, tmp_path_factory):
    """A finished run of one epoch: its config, its working directory and what training returned."""
    workdir = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(emotion_net.TRUNKS, "plain", Plain)
        config = small_config(shades)
        config.training.epochs = 1
        return config, workdir, loop.train_and_evaluate(config, workdir)


def trained_and_killed(config, folder, last_step):
    """Trains into folder/straight, and into folder/broken, where the run is killed as it saves a step, and resumed.

    Returns the report's metrics, after a check that both end with the same variables.
    """
    metrics = loop.train_and_evaluate(config, folder / "straight")
    with killed_after("save_last", last_step):
        loop.train_and_evaluate(config, folder / "broken")
    loop.train_and_evaluate(config, folder / "broken", resume=True)
    straight, broken = (checkpoints.read(folder / name).variables for name in ("straight", "broken"))
    jax.tree.map(np.testing.assert_array_equal, straight, broken)
    return metrics


class Killed(BaseException):
    """As a process that is gone: nothing in the loop may catch it."""


@contextlib.contextmanager
def killed_after(save, last_step):
    """Within, training is killed as soon as a method of Checkpoints, save_best or save_last, has saved that step."""
    saved = getattr(Checkpoints, save)

    def save_and_die(self, step, *rest):
        saved(self, step, *rest)
        if step == last_step:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, save, save_and_die)
        yield
