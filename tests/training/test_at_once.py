"""Two commands run at once, in processes of their own: the second stops with a sentence, the first ends whole.

The first is paused while it holds its lock, so that the second always finds it locked. It may open no connection.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from emotion_gcn_jax import checkpoints
from tests.labelled_folders import write_class_folders
from tests.test_no_network import FORBIDDEN
from tests.training.test_command_line import REPOSITORY

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not pathlib.Path("/proc").exists(), reason="looks for locks in /proc"),
]
LONGEST = 120  # seconds


@pytest.fixture(scope="module")
def no_network(tmp_path_factory):
    """The environment of a process that may open no connection."""
    folder = tmp_path_factory.mktemp("no_network")
    (folder / "sitecustomize.py").write_text(FORBIDDEN)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@contextlib.contextmanager
def stopped_at(sign, environment, *words):
    """A command that is stopped once it has a lock and a file is there, and goes on afterwards."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": REPOSITORY}
    process = subprocess.Popen([sys.executable, *words], env=environment, **options)
    try:
        until = time.monotonic() + LONGEST
        while not (sign.exists() and has_a_lock(process.pid)):
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        yield process
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, errors
    finally:
        process.kill()


def has_a_lock(process):
    for file in pathlib.Path(f"/proc/{process}/fdinfo").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # it has just been closed
            if "FLOCK" in file.read_text():
                return True
    return False


def told(*words):
    """What a command says that ends without success: its last line."""
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=LONGEST)
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()[-1]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(no_network, tmp_path_factory):
    """Where a dataset was built by one of two processes; beside it what the other said."""
    folder = tmp_path_factory.mktemp("at_once")
    write_class_folders(folder / "faces", ["Happy", "Sad"], count=8)
    words = ["-m", "emotion_gcn_jax.tfds", "build", "tfds_builders/folders", f"--manual_dir={folder / 'faces'}"]
    words.append(f"--data_dir={folder / 'data'}")
    with stopped_at(folder / "data" / ".folders_images.lock", no_network, *words):
        said = told(*words)
    return folder / "data", said


def test_of_two_builds_the_second_is_told_and_the_first_is_whole(built):
    data_dir, said = built
    assert said.startswith("Another process builds folders in")
    (build,) = (data_dir / "folders" / "images").iterdir()  # and no unfinished one
    assert (build / "dataset_info.json").exists() and len(list(build.glob("*.array_record*"))) == 1


def test_of_two_trainings_the_second_is_told_and_the_first_ends(built, no_network, tmp_path):
    words = ["train.py", "--config=configs/folders.py:resnet_tiny,single_task", f"--workdir={tmp_path}"]
    words += [f"--config.dataset.data_dir={built[0]}", "--config.tasks.expression.vocabulary=Happy,Sad"]
    words += [
        "--config.dataset.held_out_share=0.5",
        "--config.input.side=32",
        "--config.data.batch_size=4",
        "--config.training.epochs=2",
        "--config.training.devices=1",
    ]
    with stopped_at(tmp_path / "config.json", no_network, *words):
        before = contents(tmp_path)
        assert "Another process trains in the working directory" in told(*words, "--resume")
        assert contents(tmp_path) == before
    assert [row["epoch"] for row in checkpoints.read_last_meta(tmp_path)["progress"]["history"]] == [1, 2]
    assert (tmp_path / "report" / "metrics.json").exists()
