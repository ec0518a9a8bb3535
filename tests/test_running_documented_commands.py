"""The pages' commands, run: with a small untrained model and a few pictures under the names that the pages use.

Of commands that differ in names and numbers alone, one is run. Those that are not run here are in NOT_RUN, each kind
with where it is run, or why it is not; test_documented_commands.py holds that their words fit all the same.
"""

import itertools
import re
import shlex
import shutil

import numpy as np
import pytest

from emotion_gcn_jax import cli
from emotion_gcn_jax.data import builds
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.inference import video
from emotion_gcn_jax.labels import ABAW_UNITS, EXPRESSIONS
from tests.labelled_folders import write_class_folders, write_table
from tests.photographs import GRACE_HOPPER
from tests.test_documented_commands import FOUND, REPOSITORY
from tests.untrained import write_checkpoint

pytestmark = pytest.mark.once

WORDS = (*EXPRESSIONS, "Other")
TASKS = {
    "expression": {"kind": "classes", "vocabulary": ",".join(WORDS)},
    "affect": {"kind": "values", "dimensions": "valence,arousal"},
    "action_units": {"kind": "flags", "names": ",".join(ABAW_UNITS[12])},
}
NOT_RUN = {
    "emotion-gcn predict .*camera:": "needs a camera: tests/inference/test_sources.py has one that is made up",
    "emotion-gcn predict -$": "takes frames from standard input: tests/inference/test_sources.py",
    "emotion-gcn explain": "compiles each time: tests/explanation/test_explain_command.py",
    "emotion-gcn features": "compiles each time: tests/training/test_features.py",
    "emotion-gcn export --format tflite": "needs TensorFlow, and a minute: tests/export/test_exporting.py",
    "emotion-gcn export --format web": "needs ONNX Runtime Web from npm: tests/serving/test_page.py, where it is there",
    "emotion-gcn serve": "serves until it is stopped: tests/serving",
    "emotion-gcn convert": "takes published weights: tests/conversion, with random ones",
    "emotion-gcn --completion": "ends the process: tests/test_cli.py",
    "tfds build tfds_builders/(synthetic_faces|folders)": "renders or reads thousands of pictures: the builders' tests",
    "tfds build": "takes a licensed release: the builders' tests, with a generated one",
    "python train.py": "trains for minutes to days, mostly on licensed data: tests/training, tests/test_configs.py",
    "python .*benchmarks": "measures for minutes: by hand, for what the pages report; tests/test_benchmarks.py",
    "make (PYTHON=.* )?(test|lint)": "runs or checks these tests themselves",
    "make": "installs from the network: tests/test_makefile.py has make say what it would do",
    "pip install": "installs from the network",
    "pytest": "runs these tests themselves",
}


def shape(line):
    """What a command says but for names and numbers."""
    words = shlex.split(line)
    given = sorted(f"file{re.sub('.*[.]', '.', word)}" for word in words[2:] if re.search(r"[.](jpg|png|mp4)|/$", word))
    return (words[1], *sorted(word for word in words if word.startswith("--")), *given, "--submission" in words)


def reason(line):
    """Why a command is not run here; None if it is."""
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, line)), None)


RUN = {shape(line): line for line, whole in FOUND if whole and not reason(line)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with all that the pages' commands name, but for the runs."""
    root = tmp_path_factory.mktemp("world")
    photograph = pictures.read(GRACE_HOPPER)
    for name in ("photo.jpg", "more/a.png", "holiday/a.png", "archive/b/a.jpg"):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(GRACE_HOPPER, root / name)
    (root / "face.png").write_bytes(pictures.encode_png(photograph[50:250, 150:350]))
    (root / "more.txt").write_text("photo.jpg\n")
    film = video.Writer(root / "film.mp4")
    for number in range(6):
        film.write(np.ascontiguousarray(photograph[:480, :480]), number / 25)
    film.close()
    (root / "raw" / "batch1").mkdir(parents=True)
    shutil.copy(root / "film.mp4", root / "raw" / "batch1" / "rendered_000.mp4")
    for name in ("my_faces", "more_faces"):
        write_class_folders(root / name, ["Happy", "Sad"], count=1)
    write_table(root / "table", [{"expression": word, "site": site} for word, site in (("Happy", "a"), ("Sad", "b"))])
    shutil.copytree(root / "table", root / "my_faces", dirs_exist_ok=True)
    write_table(root / "frames", [{"expression": "", "video": "a", "frame": number} for number in (1, 2)])
    shutil.copytree(root / "frames", root, dirs_exist_ok=True)
    (root / "labels.csv").rename(root / "test.csv")
    trained_on = {"name": "affwild2", "config": "frames", "held_out_share": 0.6}
    write_checkpoint(root / "run", "multi_task", tasks=TASKS, dataset=trained_on)
    assert cli.main(["pack", "--checkpoint", str(root / "run"), "--output", str(root / "model.safetensors")]) == 0
    report = ["--images", str(root / "more_faces"), "--output", str(root / "report")]
    assert cli.main(["evaluate", "--checkpoint", str(root / "run"), *report]) == 0
    return root


def built(dataset, split, *, config=None, data_dir=None):
    """A split of two videos in place of any that is built."""
    count, rng = 12, np.random.default_rng(0)
    frames = np.arange(count) // 2 + 1
    columns = {
        "id": np.asarray([f"{place % 2}/{frame:05d}" for place, frame in enumerate(frames)], "S"),
        "video": np.asarray([str(place % 2) for place in range(count)], "S"),
        "frame": frames,
        "expression": np.arange(count) % 7,
        "valence": rng.uniform(-1, 1, count).astype(np.float32),
        "arousal": rng.uniform(-1, 1, count).astype(np.float32),
        "action_units": rng.integers(0, 2, (count, 12)),
    }
    metadata = {"label_names": EXPRESSIONS, "action_units": ABAW_UNITS[12]}
    images = rng.integers(0, 256, (count, 40, 40, 3), np.uint8)
    return Split(dataset, config, split, metadata, columns, images.__getitem__, np.arange(count))


@pytest.mark.parametrize("line", RUN.values())
def test_a_command_does_what_its_page_says(line, world, tmp_path, monkeypatch):
    words = shlex.split(line)[1:]
    for path in world.iterdir():
        (tmp_path / path.name).symlink_to(path)
    named = dict(itertools.pairwise(words))
    if checkpoint := named.get("--checkpoint"):
        (tmp_path / checkpoint).parent.mkdir(exist_ok=True)
        (tmp_path / checkpoint).symlink_to(world / ("model.safetensors" if checkpoint.endswith("tensors") else "run"))
    if words[0] == "summarise":
        for number in "12":
            target = tmp_path / words[1].replace("*", number)
            target.parent.mkdir(exist_ok=True)
            shutil.copytree(world / "report", target)
        words[1:] = sorted(map(str, tmp_path.glob(words[1])))  # as the shell does
    for option in ("--output", "--overlay"):
        if (tmp_path / named.get(option, "new")).is_symlink():
            (tmp_path / named[option]).unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builds, "open_split", built)
    assert cli.main(words) == 0
    for option in ("--output", "--overlay", "--json", "--plot", "--to-torch"):
        assert option not in named or (tmp_path / named[option]).exists()


def test_what_is_not_run_has_a_reason_and_no_reason_is_left_over():
    lines = [line for line, whole in FOUND if whole]
    assert all(line.startswith("emotion-gcn") or reason(line) for line in lines)
    used = {next(pattern for pattern in NOT_RUN if re.match(pattern, line)) for line in lines if reason(line)}
    assert used == set(NOT_RUN)
    named = [place for why in NOT_RUN.values() for place in re.findall(r"tests/[\w/.]+\w", why)]
    assert all((REPOSITORY / place).exists() for place in named), named
