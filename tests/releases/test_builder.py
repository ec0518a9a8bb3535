"""What all builders share: ~ for the home folder, the description of an example, sentences for mistakes."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.faces.pictures import encode_jpeg
from emotion_gcn_jax.releases.builder import FacesBuilder, ReleaseBuilder, ReleaseConfig
from emotion_gcn_jax.releases.building import Entry, ReleaseSplit, Skip


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


class GreyLevels(ReleaseBuilder):
    """A release of grey levels, a line each: all that a builder of one's own needs."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir holds levels.txt."

    def _info(self):
        return self.describe(("expression",), label_names=("Happy", "Sad"))

    def _open_release(self, root):
        if not (root / "levels.txt").exists():
            raise UserError(f"Expected levels.txt in {root}: name its folder.")
        levels = (root / "levels.txt").read_text().split()
        entries = [Entry(f"level {level}", f"line {line}", level) for line, level in enumerate(levels, start=1)]
        return {"train": ReleaseSplit(entries, len(entries), self._example)}

    @staticmethod
    def _example(level):
        if not level.isdigit():
            raise Skip("no number", level)
        return {"image": encode_jpeg(np.full((4, 4, 3), int(level), np.uint8)), "expression": int(level) % 2}


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


def built(raw, data_dir, **config):
    """A build of GreyLevels, by id."""
    builder = GreyLevels(data_dir=data_dir, **config)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    reader = tfds.builder_from_directory(data_dir / "grey_levels" / "all" / "1.0.0")
    return {example["id"].decode(): example["expression"] for example in reader.as_data_source("train")}


@pytest.mark.parametrize("manual_dir", ["raw", "~/raw", "~nosuchuser/raw"])
def test_a_release_of_ones_own(manual_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    raw = tmp_path / manual_dir.removeprefix("~/")
    raw.mkdir(parents=True)
    (raw / "levels.txt").write_text("\n".join(map(str, range(200))))
    assert built(manual_dir, tmp_path / "data") == {f"level {level}": level % 2 for level in range(200)}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("levels.txt", "1 x 3", r"grey_levels/all train: .* 1 lost \(1 no number\): expected to lose at most 1\.00%"),
        ("other.txt", "1", r"Expected levels\.txt in .*: name its folder\."),
    ],
)
def test_a_mistake_stops_the_build_with_a_sentence(name, text, sentence, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_text(text)
    with pytest.raises(SystemExit, match=sentence):
        built(tmp_path / "raw", tmp_path / "data")


def test_a_build_of_another_folder_is_not_taken_for_this_one_s(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "levels.txt").write_text("1\n2")
    first = built(tmp_path / "one", tmp_path / "data")
    assert built(tmp_path / "other" / ".." / "one", tmp_path / "data") == first  # the same one by another name
    with pytest.raises(
        SystemExit, match=r"was built from .*one, and --manual_dir names .*other: build it anew by --over"
    ):
        built(tmp_path / "other", tmp_path / "data")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "mine", "max_lost_shares": 0.1}, "grey_levels has no field 'max_lost_shares': choose from"),
        ({"name": "mine", "max_lost_share": "0.1"}, "'max_lost_share' .* is a float such as 0.01, found '0.1'"),
        ({"name": "mine", "max_lost_share": True}, "found True"),
        ({"max_lost_share": 0.1}, "needs a name of letters, .* found ''"),
        ({"name": 3}, "'name' of a config of grey_levels is a str such as 'mine', found 3"),
        ({"name": "../up"}, "needs a name of letters, digits, _, - and ., by which it is found, found '../up'"),
        ({"name": ".."}, "needs a name of letters"),
        ({"name": "mine", "description": None}, "'description' .* is a str such as 'My faces.', found None"),
        ({"name": "mine", "version": "1.0.0"}, "no field 'version': choose from name, description, max_lost_share"),
        ({"name": "mine", "x" * 6000: 1}, r"no field 'x{79}\.\.\.: choose"),
        ({"name": "all", "max_lost_share": 0.1}, "grey_levels has a config 'all' of its own: choose another name"),
    ],
)
def test_wrong_fields_of_a_config_in_json_are_answered_with_a_sentence(fields, sentence):
    with pytest.raises(SystemExit, match=sentence):
        GreyLevels.builder_config_cls(**fields)


@dataclasses.dataclass(eq=False, kw_only=True)
class ChoosyConfig(ReleaseConfig):
    sites: tuple[str, ...] = ()


class Choosy(GreyLevels):
    BUILDER_CONFIGS = [ChoosyConfig(name="all")]


def test_a_field_of_ones_own_config_may_be_of_any_kind():
    assert Choosy.builder_config_cls(name="mine", sites=["north"]).sites == ["north"]


def test_a_config_in_json_may_have_a_whole_number_for_a_share():
    assert GreyLevels.builder_config_cls(name="mine", max_lost_share=1).max_lost_share == 1


def test_an_error_of_ones_own_code_names_the_example(tmp_path):
    (tmp_path / "levels.txt").write_text("1\n999")  # no number of 8 bits
    with pytest.raises(OverflowError) as caught:
        built(tmp_path, tmp_path / "data")
    assert any("while the example 'level 999' was made (" in note for note in caught.value.__notes__)


def test_a_second_process_that_builds_the_same_is_told(tmp_path):
    builder = OneFace(data_dir=tmp_path)
    folder = tmp_path / "one_face" / "grey"
    program = (
        f"import fcntl, time; f = open({str(tmp_path / '.one_face_grey.lock')!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX); "
        f"print(flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(
            SystemExit, match=r"Another process builds one_face in .*grey: wait for it, or name another"
        ):
            builder.download_and_prepare()
        other.kill()
    builder.download_and_prepare()
    assert builder.is_prepared() and not list(folder.glob("incomplete*"))
