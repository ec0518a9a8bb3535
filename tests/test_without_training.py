"""What needs no training does without the packages of the extra `train`; what needs them names the extra."""

import json
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
CLI = """
import contextlib
import io
import json
from emotion_gcn_jax import cli

def run(words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(words)
    return status, out.getvalue(), err.getvalue()

print(json.dumps({name: run(words) for name, words in json.loads(sys.argv[1]).items()}))
"""
TRAIN = "import runpy\nsys.argv[0] = 'train.py'\nrunpy.run_path('train.py', run_name='__main__')\n"
MISSING = "which is not installed: run pip install 'emotion-gcn-jax[train]'."


def run(program, *words):
    command = [sys.executable, "-c", WITHOUT + program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("without")


@pytest.fixture(scope="module")
def done(folder):
    """By command its status and what it wrote to standard output and standard error: all ran in one process."""
    images, of_run = write_class_folders(folder / "mine", ["Happy", "Sad"]), f"--checkpoint={run_of('format_2')}"
    explain = "--no-detect --patch=16 --stride=16"
    commands = {
        "predict": f"predict {of_run} --no-detect {images}/Happy",
        "evaluate images": f"evaluate {of_run} --images {images} --output {folder}/report",
        "explain": f"explain {of_run} {explain} --output {folder}/why {images}/Happy/0.png",
        "convert": f"convert {of_run} --to-torch {folder}/weights.safetensors",
        "evaluate a build": f"evaluate {of_run} --dataset=any --split=test --output={folder}/never",
        "graph": f"graph --dataset=any --output={folder}/never",
    }
    process = run(CLI, json.dumps({name: words.split() for name, words in commands.items()}))
    assert (process.returncode, process.stderr) == (0, "")
    return json.loads(process.stdout)


def test_predict(done):
    status, out, err = done["predict"]
    assert (status, err) == (0, "") and len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("evaluate images", "report/metrics.json"),
        ("explain", "why/0_explained.png"),
        ("convert", "weights.safetensors"),
    ],
)
def test_other_commands(done, folder, name, written):
    status, _, err = done[name]
    assert (status, err) == (0, "") and (folder / written).exists()


@pytest.mark.parametrize("name", ["evaluate a build", "graph"])
def test_what_needs_the_extra_names_it_in_one_sentence(done, folder, name):
    status, _, err = done[name]
    assert status == 2 and err.count("\n") == 1 and MISSING in err
    assert not (folder / "never").exists()


def test_training_names_the_extra_in_one_sentence():
    process = run(TRAIN, "--config=configs/synthetic_faces.py", "--workdir=never")
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1 and MISSING in process.stderr
    assert not (REPOSITORY / "never").exists()
