"""docs/extending.md does what it says: its blocks, put into a copy of the project, build, train and predict."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from emotion_gcn_jax.faces.pictures import encode_png

pytestmark = pytest.mark.once

REPOSITORY = pathlib.Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```python\n# ([^\n,]+)(?:, ([^\n]+))?\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_a_new_file_or_a_line_in_every_block():
    assert len(BLOCKS) == PAGE.count("```python") == 12
    assert [text.count("\n") for _, place, text in BLOCKS if place] == [1] * 6


def test_a_builder_of_ones_own_has_thirty_lines_of_code():
    (builder,) = [text for path, _, text in BLOCKS if path.endswith("_builder.py")]
    assert len([line for line in builder.splitlines() if line.strip()]) <= 30


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with the page's blocks in their places, and raw data for its dataset."""
    root = tmp_path_factory.mktemp("extended")
    for folder in ("emotion_gcn_jax", "configs", "tfds_builders"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "train.py", root)
    for name, place, text in BLOCKS:
        path = root / name
        if not place:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            continue
        before = path.read_text()
        if place == "among its imports":
            at = re.search(r"^from emotion_gcn_jax", before, re.MULTILINE).start()
        else:
            at = re.search(rf"^{place.removeprefix('first in ')}: .*= {{", before, re.MULTILINE).end()
            text = f"\n{text}"
        path.write_text(before[:at] + text + before[at:])
    rng = np.random.default_rng(0)
    (root / "raw").mkdir()
    lines = []
    for number in range(40):
        happy = number % 2 == 0
        image = rng.integers(0, 60, (40, 40, 3)) + (160 if happy else 20)
        (root / "raw" / f"{number}.png").write_bytes(encode_png(image.astype(np.uint8)))
        lines.append(f"{number}.png {'Happy' if happy else 'Sad'} {0.5 if happy else -0.5}\n")
    (root / "raw" / "ratings.txt").write_text("".join(lines))
    return root


def run(root, *words):
    """Runs a command of the project's copy; what it printed."""
    one_device = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
    environment = {**os.environ, "PYTHONPATH": str(root), "TFDS_DATA_DIR": str(root / "data"), "XLA_FLAGS": one_device}
    done = subprocess.run([sys.executable, *words], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_was_added_builds_trains_is_evaluated_and_predicts(extended):
    run(extended, "-m", "emotion_gcn_jax.tfds", "build", "tfds_builders/moods", "--manual_dir=raw", "--data_dir=data")
    run(extended, "train.py", "--config=configs/moods.py:plain", "--workdir=run")
    cli = ("-m", "emotion_gcn_jax.cli")
    report = run(extended, *cli, "evaluate", "--checkpoint=run", "--dataset=moods", "--split=train", "--output=report")
    assert re.search(r"ccc_mean \d\.\d+ .* accuracy \d\.\d+", report)
    table = run(extended, *cli, "predict", "--checkpoint=run", "--no-detect", "raw/0.png", "raw/1.png")
    heading, *rows = table.splitlines()
    assert heading.split() == ["file", "face", "valence", "expression", "probability", "box"]
    assert len(rows) == 2 and all(abs(float(row.split()[2])) <= 1 for row in rows)
