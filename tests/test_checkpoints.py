"""Which checkpoint a path means, and what is said of paths that mean none."""

import pathlib

import numpy as np
import pytest

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.checkpoints import Checkpoints
from emotion_gcn_jax.errors import UserError

META = {
    "config": {
        "model": {
            "trunk": "densenet_tiny",
            "hidden": [],
            "dropout": 0.0,
            "embedding": 0,
            "recurrent": [],
            "reset": "after",
            "bidirectional": False,
            "hearing": "",
            "hearing_width": 512,
            "fusion": "concat",
            "mask_bn": False,
            "frozen_trunk": False,
        },
        "clip": {"length": 1, "min_present": 0.75},
    }
}


def variables(number):
    return {"params": {"trunk": {"kernel": np.full((2, 3), number, np.float32)}}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with runs/x: best at steps 4 and, written after the last one, 9; last at step 7."""
    folder = tmp_path_factory.mktemp("home")
    saved = Checkpoints(folder / "runs" / "x")
    saved.save_best(4, variables(4), META)
    saved.save_last(7, variables(7), {"step": np.asarray(7)}, META)
    saved.save_best(9, variables(9), META)
    saved.close()
    return folder


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("runs/x", 9),
        ("runs/x/checkpoints", 9),
        ("runs/x/checkpoints/best", 9),
        ("runs/x/checkpoints/last", 7),
        ("runs/x/checkpoints/best/4", 4),
        ("runs/x/checkpoints/last/7", 7),
        ("runs/x/checkpoints/../checkpoints/best/", 9),
    ],
)
@pytest.mark.parametrize("place", ["absolute", "relative", "home"])
def test_a_run_its_folders_and_its_steps_can_be_named(home, monkeypatch, path, step, place):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    found = checkpoints.read({"absolute": f"{home}/{path}", "relative": path, "home": f"~/{path}"}[place])
    assert found.meta["step"] == step and found.path.name == str(step) and found.path.is_absolute()
    assert found.variables["params"]["trunk"]["kernel"].tolist() == [[step] * 3] * 2
    assert found.variables["constants"] == found.variables["batch_stats"] == {}


@pytest.mark.parametrize("path", ["nowhere", "runs", "runs/x/checkpoints/best/4/meta"])
def test_a_path_without_checkpoints_gets_a_sentence(home, path):
    with pytest.raises(UserError, match=r"No checkpoint was found in /.*: name a training run's working directory"):
        checkpoints.read(home / path)


def test_a_file_that_holds_no_model_gets_a_sentence(home):
    (home / "file").touch()
    with pytest.raises(UserError, match="file is no safetensors file: a model's file is made by emotion-gcn pack"):
        checkpoints.read(home / "file")


def test_the_numerically_newest_step_is_taken(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save_best(9, variables(9), META)
    saved.save_best(10, variables(10), META)
    saved.close()
    assert checkpoints.read(tmp_path).meta["step"] == 10


def test_a_later_best_checkpoint_is_discarded_and_the_earlier_one_was_kept_until_then(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save_best(4, variables(4), META)
    saved.save_best(9, variables(9), META)
    saved.discard_best_after(7)
    saved.close()
    assert checkpoints.read(tmp_path).meta["step"] == 4


def test_a_checkpoint_of_ones_own_is_written_once_and_read_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    extras = {"criterion.weight": np.arange(3.0)}
    checkpoints.write("~/new/weights", variables(1), META, extras)
    found = checkpoints.read(tmp_path / "new" / "weights")
    assert found.meta == {"format_version": checkpoints.FORMAT_VERSION, "step": 0, **META}
    assert {name: array.tolist() for name, array in found.extras.items()} == {"criterion.weight": [0, 1, 2]}
    with pytest.raises(UserError, match=r"There is something at ~/new/weights already: choose a new name"):
        checkpoints.check_new("~/new/weights")
    with pytest.raises(UserError, match="already: choose a new name"):
        checkpoints.write("~/new/weights", variables(1), META)


def test_a_folder_below_a_file_gets_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/weights cannot be written \(.*\): choose another"):
        checkpoints.write(tmp_path / "file" / "weights", variables(1), META)


def test_the_last_checkpoints_meta_and_folder(home):
    run = home / "runs" / "x"
    assert checkpoints.read_last_meta(run)["step"] == 7
    assert checkpoints.last_folder(run) == pathlib.Path(run) / "checkpoints" / "last" / "7"
    assert checkpoints.last_folder(home) is None
    with pytest.raises(UserError, match="No checkpoint was found"):
        checkpoints.read_last_meta(home)
