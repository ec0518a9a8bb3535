"""A small dataset that a small network learns in seconds: each expression has a brightness of its own."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import synthetic_faces
from emotion_gcn_jax.training import loop


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
        }
        names = ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger"]
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict({"crop": {"side": 1.3, "size": 32}, "label_names": names}),
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
                },
            )


@pytest.fixture(scope="session")
def shades(tmp_path_factory):
    """The TFDS directory that holds it."""
    directory = tmp_path_factory.mktemp("tfds")
    Shades(data_dir=directory, file_format="array_record").download_and_prepare()
    return directory


@pytest.fixture
def config(shades):
    """Two epochs of seven steps of a small emotion_gcn."""
    return small_config(shades)


def small_config(shades):
    config = synthetic_faces.get_config("densenet_tiny,emotion_gcn")
    config.dataset.name = "shades"
    config.dataset.config = ""
    config.dataset.data_dir = str(shades)
    config.data.image_size = 32
    config.data.batch_size = 10
    config.data.eval_batch_size = 8
    config.data.threads = 1
    config.augmentation.rotation_degrees = 5.0
    config.optimizer.warmup_epochs = 0.5  # of a single epoch too
    config.training.epochs = 2
    config.training.devices = 2
    config.training.log_every_steps = 1
    return config


@pytest.fixture(scope="session")
def finished(shades, tmp_path_factory):
    """A finished run of one epoch: its config, its working directory and what training returned."""
    config = small_config(shades)
    config.training.epochs = 1
    workdir = tmp_path_factory.mktemp("finished")
    return config, workdir, loop.train_and_evaluate(config, str(workdir))
