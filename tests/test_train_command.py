"""The command line of train.py: paths in the home folder, and mistakes that get one sentence."""

import os
import subprocess
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

import train
from configs import synthetic_faces
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import run
from tests.test_runtime import REPOSITORY

SYNTHETIC = "--config=configs/synthetic_faces.py"


def run_train(home, *words):
    environment = os.environ | {"HOME": str(home), "TFDS_DATA_DIR": str(home)}
    return subprocess.run(
        [sys.executable, "train.py", *words], capture_output=True, text=True, cwd=REPOSITORY, env=environment
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A function that does in this process, which has loaded everything, what the program does with its flags."""

    def run_train(*words):
        monkeypatch.setattr(sys, "argv", ["train.py", *words])  # where ml_collections reads the overrides
        with flagsaver.flagsaver():  # or the next flags could not set the same fields
            train.main(train.parse_flags(sys.argv))

    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return run_train


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [SYNTHETIC, "--config.data.image_size=64"],
            "config.data.image_size of earlier versions is now config.input.side",
        ),
        ([SYNTHETIC, "--config.data.resize=area"], "is now config.input.resize"),
        ([SYNTHETIC, "--config.loss.affect_weight=2"], "is now config.tasks.affect.weight"),
        ([SYNTHETIC, "--config.loss.class_weights=none"], "is now config.tasks.expression.class_weights"),
        ([SYNTHETIC, "--config.loss.ccc_variance=unbiased"], "is now config.tasks.affect.ccc_variance"),
        ([SYNTHETIC, "--config.model.num_classes=8"], "is now config.tasks.expression.vocabulary"),
        ([SYNTHETIC, "--config.model.name=multi_task"], "is now the config file's argument, --config=configs/NAME.py:"),
        ([SYNTHETIC, "--config.loss.other=1"], "Unknown field 'loss' of config: choose one of "),
        (
            [SYNTHETIC, "--config.optimizer.learning_rat=1"],
            "Unknown field 'learning_rat' of config.optimizer: choose one of clip_norm, ",
        ),
        (
            [SYNTHETIC, "--config.optimizer.name.first=1"],
            "Unknown field 'first' of config.optimizer.name: it is a value",
        ),
        (
            [f"{SYNTHETIC}:densenet_tiny,single_task", "--config.tasks.affect.weight=2"],
            "Unknown field 'affect' of config.tasks",
        ),
        (
            ["--config", "configs/synthetic_faces.py", "--config.optimizer.rate=1"],
            "Unknown field 'rate' of config.optimizer",
        ),
        (["--config=configs/common.py"], "configs/common.py names no dataset: choose one of configs/aff"),
        (["--config=emotion_gcn_jax/files.py"], "emotion_gcn_jax/files.py has no function get_config"),
        (["--config=configs/none.py"], "There is no config file configs/none.py: choose one of configs/aff"),
        (["--config=~/none.py"], "There is no config file {home}/none.py"),
        ([SYNTHETIC, "--resume=maybe"], "flag --resume=maybe: ("),
        ([SYNTHETIC, f"--{'x' * 5000}=1"], "The flags cannot be read"),
        ([f"{SYNTHETIC}:densenet_tiny,gcn"], "Unknown model 'gcn': choose one of single_task"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError) as caught:
        train.parse_flags(["train.py", *words, f"--workdir={tmp_path}/run"])
    assert message.format(home=tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_sentence_is_all_that_is_printed(tmp_path):
    done = run_train(tmp_path, SYNTHETIC, "--config.loss.other=1", f"--workdir={tmp_path}/run")
    assert done.returncode == 2
    assert done.stderr.startswith("train.py: Unknown field 'loss' of config: ") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.data.batch_size=many"], "The flags cannot be read .*batch_size=many"),
        (["surplus"], "Unexpected argument 'surplus'"),
        (["--coordinator=node1:8476"], "--coordinator, --processes and --process belong together: give all three"),
    ],
)
def test_a_mistake_in_a_value_or_beside_the_fields(here, tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        here(SYNTHETIC, f"--workdir={tmp_path}/run", *words)


def test_fields_of_the_chosen_models_tasks_are_known(here, tmp_path):
    words = ["--config=configs/synthetic_faces.py:densenet_tiny,emotion_gcn_au", "--config.tasks.action_units.weight=2"]
    with pytest.raises(UserError, match="There is no dataset 'nothing'"):  # and nothing before it was amiss
        here(*words, f"--workdir={tmp_path}/run", "--config.dataset.name=nothing")


def test_a_tilde_is_the_home_folder(here, tmp_path):
    text = (REPOSITORY / "configs" / "synthetic_faces.py").read_text()
    (tmp_path / "mine.py").write_text(text)
    words = ["--config=~/mine.py:densenet_tiny,single_task", "--workdir=~/run", "--config.dataset.data_dir=~/built"]
    with pytest.raises(UserError, match=f"is not built in {tmp_path}/built"):
        here(*words)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=f"{tmp_path}/run already holds a run: pass --resume"):
        here(*words)
    assert not (REPOSITORY / "~").exists()


def test_the_graphs_files_are_found_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = synthetic_faces.get_config("densenet_tiny,emotion_gcn")
    config.graph.update(correlations="~/edges.csv", word_vectors="~/vectors.npy")
    tasks = registry.from_config(config.tasks)
    nodes = nodes_of(tasks)
    adjacency.write_correlations("~/edges.csv", adjacency.affectnet_correlations(nodes), nodes)
    np.save(tmp_path / "vectors.npy", np.full((9, 4), 0.25, np.float32))
    assert run.graph_constants(config, tasks, None)["word_vectors"].tolist() == [[0.25] * 4] * 9
