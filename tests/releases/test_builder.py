"""What all builders share: ~ for the home folder, the description of an example, sentences for mistakes."""

import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.releases.builder import FacesBuilder


class OneFace(FacesBuilder):
    """A dataset of one grey picture."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="grey")]

    def _info(self):
        return self.describe(
            ("valence", "action_units"),
            action_units=("AU1", "AU4"),
            crop=Crop(),
            metadata={"seed": 3},
            homepage="a.org",
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        image = np.zeros((8, 8, 3), np.uint8)
        yield "a", {"id": "a", "image": image, "valence": 0.5, "action_units": np.int8([1, -1])}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_tilde_is_the_home_folder(home):
    OneFace(data_dir="~/td").download_and_prepare()
    assert [path.name for path in home.parent.iterdir()] == ["home"]
    (example,) = tfds.builder_from_directory(home / "td" / "one_face" / "grey" / "1.0.0").as_data_source("train")
    assert example["valence"] == 0.5 and example["action_units"].tolist() == [1, -1]


def test_a_tilde_in_tfds_own_setting_is_the_home_folder(home, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", "~/td")
    assert pathlib.Path(OneFace().data_dir) == home / "td" / "one_face" / "grey" / "1.0.0"


def test_an_example_is_described_by_its_columns(tmp_path):
    info = OneFace(data_dir=tmp_path).info
    assert set(info.features) == {"image", "id", "valence", "action_units"}
    assert info.features["action_units"].shape == (2,) and info.features["action_units"].np_dtype == np.int8
    assert dict(info.metadata) == {"action_units": ["AU1", "AU4"], "crop": Crop().to_dict(), "seed": 3}
    assert info.supervised_keys is None and info.homepage == "a.org"


def test_a_config_that_is_not_known_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(SystemExit, match=r"one_face has no config 'red': choose one of grey\."):
        OneFace(data_dir=tmp_path, config="red")
