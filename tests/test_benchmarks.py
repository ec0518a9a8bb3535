import json
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

REPOSITORY = pathlib.Path(__file__).parents[1]


def test_the_training_step_benchmark_prints_one_line_of_json():
    options = "--trunk densenet_tiny --size 32 --batch 4 --devices 2 --steps 2 --augment --remat --dtype bfloat16"
    command = [sys.executable, "benchmarks/train_step.py", *options.split()]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    (line,) = result.stdout.splitlines()
    measured = json.loads(line)
    assert measured.keys() == {
        "images_per_second",
        "step_seconds",
        "compile_seconds",
        "peak_memory_gb",
        "versions",
    }
    assert measured["images_per_second"] > 0
    assert measured["versions"]["device"] == "2 x cpu"


def test_the_scenes_benchmark_measures_boxes_and_crops():
    command = [sys.executable, "-m", "benchmarks.predict_scenes", "--faces=5"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    measured = json.loads(result.stdout)
    assert (measured["faces"], measured["missed"], measured["false"]) == (5, 0, 0)
    assert 0.8 < measured["suggested"]["scale"] < 1.2
    assert max(map(abs, measured["crops"]["mean_centre"])) < 0.1


def test_the_folding_benchmark_prints_one_line_of_json():
    options = "--trunk bregnext_tiny --model single_task --size 16 --batch 2 --runs 3"
    command = [sys.executable, "benchmarks/folding.py", *options.split()]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    (line,) = result.stdout.splitlines()
    measured = json.loads(line)
    assert measured.keys() == {"plain_seconds", "folded_seconds", "speedup", "folded_images_per_second", "versions"}
    assert measured["speedup"] > 0
