"""What needs no training does without the packages of the extra `train`; what needs them names the extra."""

import subprocess
import sys

import pytest

from tests.labelled_folders import write_class_folders
from tests.stored_runs import run_of
from tests.test_runtime import REPOSITORY

BLOCKED = ("tensorflow", "tensorflow_datasets", "apache_beam", "clu", "numba", "tensorboard", "mlcroissant")
WITHOUT = f"""
import importlib.machinery
import sys

class Installed(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {BLOCKED} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Installed
"""
CLI = "from emotion_gcn_jax import cli\nsys.exit(cli.main(sys.argv[1:]))\n"
TRAIN = "import runpy\nsys.argv[0] = 'train.py'\nrunpy.run_path('train.py', run_name='__main__')\n"


def run(program, *words):
    command = [sys.executable, "-c", WITHOUT + program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("images") / "mine", ["Happy", "Sad"])


def test_predict(images):
    done = run(CLI, "predict", "--checkpoint", run_of("format_2"), "--no-detect", images / "Happy")
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 3


def test_evaluate_images(images, tmp_path):
    words = ("--checkpoint", run_of("format_2"), "--images", images, "--output", tmp_path / "report")
    done = run(CLI, "evaluate", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "report" / "metrics.json").exists()


def test_explain(images, tmp_path):
    words = (
        "--checkpoint",
        run_of("format_2"),
        "--no-detect",
        "--patch=16",
        "--stride=16",
        "--output",
        tmp_path / "why",
    )
    done = run(CLI, "explain", *words, images / "Happy" / "0.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "why" / "0_explained.png").exists()


def test_convert(tmp_path):
    run_folder = run_of("format_2")
    done = run(CLI, "convert", "--checkpoint", run_folder, "--to-torch", tmp_path / "weights.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (CLI, ["evaluate", "--checkpoint", run_of("format_2"), "--dataset=any", "--split=test", "--output=never"]),
        (CLI, ["graph", "--dataset=any", "--output=never.csv"]),
        (TRAIN, ["--config=configs/synthetic_faces.py", "--workdir=never"]),
    ],
)
def test_what_needs_the_extra_names_it_in_one_sentence(program, words):
    done = run(program, *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "which is not installed: run pip install 'emotion-gcn-jax[train]'." in done.stderr
    assert not (REPOSITORY / "never").exists() and not (REPOSITORY / "never.csv").exists()
