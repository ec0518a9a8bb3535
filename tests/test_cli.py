import shlex
import shutil
import subprocess

import numpy as np
import pytest

from emotion_gcn_jax import cli
from emotion_gcn_jax.data import builds
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.labelled_folders import write_class_folders
from tests.stored_runs import run_of

SUBCOMMANDS = [[], ["predict"], ["evaluate"], ["explain"], ["features"], ["graph"], ["convert"], ["pack"], ["serve"]]


@pytest.mark.parametrize("words", SUBCOMMANDS)
def test_help_fits_one_screen_and_shows_an_example(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as left:
        cli.main([*words, "--help"])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= (30 if words == ["predict"] else 24) and max(map(len, lines)) <= 100
    example = " ".join(["  emotion-gcn", *(words or ["predict"])])
    assert any(line.startswith(f"{example} ") for line in lines)


@pytest.mark.parametrize(
    "words", [[], ["guess"], ["pack", "--checkpoint", "runs/demo"], ["predict", "--checkpoint", "runs/demo"]]
)
def test_mistakes_in_the_command_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 2
    assert "usage: emotion-gcn" in capsys.readouterr().err


def test_a_name_that_is_too_long_gets_a_sentence(capsys):
    assert cli.main(["predict", "--checkpoint", "x" * 1000, "a.png"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("emotion-gcn: xxx") and "File name too long" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["predict", ""],
        ["explain", "--output", "out", ""],
        ["evaluate", "--output", "out", "--images", ""],
        ["evaluate", "--output", "out", "--dataset", ""],
    ],
)
def test_a_name_of_a_variable_that_is_not_set_gets_a_sentence(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "is a variable not set?" in said and said.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.fixture
def completion(capsys):
    """A function that gives a shell's completion."""

    def script(shell):
        with pytest.raises(SystemExit) as left:
            cli.main(["--completion", shell])
        assert left.value.code == 0
        return capsys.readouterr().out

    return script


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["pre"], ["predict"]),
        (["predict", "--o"], ["--output", "--overlay"]),
        (["predict", "photo.jpg", "fol"], ["folder"]),
        (["export", "--format", ""], ["onnx", "stablehlo", "tflite", "web"]),
        (["evaluate", "--checkpoint", "fo"], ["folder"]),
    ],
)
def test_bash_completes_the_command(completion, tmp_path, words, found):
    (tmp_path / "folder").mkdir()
    typed = shlex.join(["emotion-gcn", *words])
    asked = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _shtab_emotion_gcn; echo ${{COMPREPLY[*]}}"
    command = ["bash", "-c", f"{completion('bash')}\n{asked}"]
    assert subprocess.check_output(command, text=True, cwd=tmp_path, stderr=subprocess.DEVNULL).split() == found


def test_zsh_gets_every_subcommand(completion):
    script = completion("zsh")
    assert script.startswith("#compdef emotion-gcn\n")
    assert all(f"\n    {words[0]}:" in script for words in SUBCOMMANDS if words)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a run, a face and a set of images, seen from another folder where nothing may be written."""
    shutil.copytree(run_of("format_2"), tmp_path / "home" / "run")
    write_class_folders(tmp_path / "home" / "set", ["Happy", "Sad"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (
            "predict --checkpoint=~/run --no-detect --json=~/faces.json --overlay=~/marked ~/set/Sad/0.png",
            ["faces.json", "marked/0_faces.png"],
        ),
        ("predict --checkpoint=~/run/checkpoints/last --no-detect --json=~/faces.json ~/set/Happy", ["faces.json"]),
        ("evaluate --checkpoint=~/run --images=~/set --output=~/report", ["report/metrics.json"]),
        (
            "explain --checkpoint=~/run --no-detect --patch=16 --stride=16 --output=~/why ~/set/Sad/0.png",
            ["why/0_explained.png", "why/0_explained.npz", "why/0_explained.json"],
        ),
        ("convert --checkpoint=~/run --to-torch=~/weights.safetensors", ["weights.safetensors"]),
    ],
)
def test_a_tilde_is_the_home_folder(home, words, written):
    assert cli.main(words.split()) == 0
    assert all((home / name).exists() for name in written)


@pytest.mark.parametrize(
    "words",
    [
        "evaluate --checkpoint=~/run --dataset=synthetic_faces --split=test --data-dir=~/built --output=~/report",
        "graph --dataset=synthetic_faces --data-dir=~/built --output=~/edges.csv",
        "convert --weights=~/built --output=~/new",
    ],
)
def test_a_tilde_is_the_home_folder_where_something_is_missing(home, words, capsys):
    assert cli.main(words.split()) == 2
    assert f"{home}/built" in capsys.readouterr().err


def test_the_graphs_files_are_written_to_the_home_folder(home, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    columns = {"id": np.arange(50).astype("S"), "expression": rng.integers(0, 7, 50)}
    columns |= {name: rng.uniform(-1, 1, 50).astype(np.float32) for name in ("valence", "arousal")}
    metadata = {"label_names": EXPRESSIONS}
    split = Split("any", None, "train", metadata, columns, lambda row: None, np.arange(50))
    monkeypatch.setattr(builds, "open_split", lambda *names, **options: split)
    assert cli.main(["graph", "--dataset=any", "--output=~/edges.csv", "--plot=~/edges.png"]) == 0
    assert (home / "edges.csv").exists() and (home / "edges.png").exists()
