"""Commands on labelled images and on builds, given what is damaged: one sentence, and nothing whole but in looks."""

import contextlib
import json
import shutil

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import strategies as st

import emotion_gcn_jax as eg
from emotion_gcn_jax import cli
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.inference import model as inference_model
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.fuzzing.damage import cases, changed, changes, damaged, steps
from tests.fuzzing.limits import bounds, captured, command
from tests.labelled_folders import write_table
from tests.untrained import write_checkpoint
from tfds_builders.folders.folders_dataset_builder import Builder, FoldersConfig

pytestmark = pytest.mark.once

PICTURE = pictures.encode_jpeg(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
VALUES = (
    "",
    "0",
    "-1",
    "3",
    "1e400",
    "nan",
    "9" * 30,
    "x",
    "Happy",
    "Valence",
    "Happy,Sad",
    "Happy,Happy",
    "a\nb",
    "../x",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working directory: a labelled table with its pictures, a build of it, and a run's model, loaded once."""
    root = tmp_path_factory.mktemp("datasets")
    words = list(EXPRESSIONS) * 2
    rows = [
        {
            "expression": word,
            "valence": number / 14,
            "arousal": -((number % 5) / 5),
            "split": ("train", "test")[number % 2],
        }
        for number, word in enumerate(words)
    ]
    write_table(root / "set", rows)
    shutil.copytree(root / "set", root / "whole")
    write_checkpoint(root / "run", "emotion_gcn")
    loaded = eg.load(root / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(inference_model, "load", lambda checkpoint, **_: loaded)
        assert tf.__version__  # loaded here, since TFDS does so when it meets an unknown type, which takes seconds
        with captured():
            build(root / "set", root / "built")
        for name in ("evaluate", "explain"):  # whatever is loaded or compiled but once, outside of the bounds
            with captured():
                cli.main(
                    [
                        name,
                        *["--checkpoint", "run", "--images", "set/labels.csv", "--split", "train", "--output", "out"],
                    ]
                )
            shutil.rmtree(root / "out")
        yield root


def build(raw, data_dir):
    settings = tfds.download.DownloadConfig(manual_dir=raw)
    config = FoldersConfig(name="mine", max_lost_share=0.9)
    builder = Builder(data_dir=data_dir, file_format="array_record", config=config)
    builder.download_and_prepare(download_config=settings)


@contextlib.contextmanager
def damaged_set(folder, some_steps, kind):
    """The set with a damaged table, or with every fourth picture damaged."""
    names = ["labels.csv"] if kind == "table" else [f"{number}.png" for number in range(0, 14, 4)]
    for name in names:
        (folder / "set" / name).write_bytes(damaged((folder / "whole" / name).read_bytes(), some_steps))
    try:
        yield
    finally:
        for name in names:
            shutil.copy(folder / "whole" / name, folder / "set" / name)


SIGNS = {"features": "about.json", "evaluate": "metrics.json", "explain": "*.json"}
"""What each command writes last."""

KINDS = st.sampled_from(["table", "pictures", "pictures"])


@cases(15)
@hypothesis.given(some_steps=steps(), kind=KINDS, name=st.sampled_from(["features", "evaluate", "explain"]))
def test_a_damaged_set_of_images(folder, some_steps, kind, name):
    words = [name, "--checkpoint", "run", "--images", "set/labels.csv", "--split", "train", "--output", "out"]
    with damaged_set(folder, some_steps, kind):
        status, _, _ = command(*words, several=True)
    assert bool(list((folder / "out").glob(SIGNS[name]))) == (status != 2)
    shutil.rmtree(folder / "out", ignore_errors=True)


@cases(40)
@hypothesis.given(some_changes=changes())
def test_a_config_in_json(some_changes):
    fields = changed({"name": "mine", "max_lost_share": 0.5, "longest_side": 64, "description": "Mine."}, some_changes)
    try:
        made = Builder.builder_config_cls(**fields)
    except SystemExit as left:
        assert len(str(left.code).splitlines()) == 1 and len(str(left.code)) < 2000
    else:
        assert {name: getattr(made, name) for name in fields} == fields


@cases(20)
@hypothesis.given(some_steps=steps(), kind=KINDS)
def test_a_build_of_a_damaged_set(folder, some_steps, kind):
    """What cannot be used is skipped and counted; too much of it stops the build, and leaves none."""
    whole = True
    with damaged_set(folder, some_steps, kind), bounds(), captured() as (_, err):
        try:
            build(folder / "set", folder / "new")
        except SystemExit as left:
            whole = False
            assert len(str(left.code).splitlines()) == 1 and len(str(left.code)) < 5000
    assert "Traceback" not in err.getvalue()
    assert len(list(folder.glob("new/folders/mine/*/dataset_info.json"))) == whole
    assert not list(folder.glob("new/folders/mine/*incomplete*"))
    shutil.rmtree(folder / "new", ignore_errors=True)


@cases(20)
@hypothesis.given(
    some_steps=steps(),
    place=st.integers(0, 2**31),
    some_changes=changes(),
    is_json=st.booleans(),
    name=st.sampled_from(["graph", "features", "evaluate"]),
)
def test_damaged_builds(folder, some_steps, place, some_changes, is_json, name):
    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "built", folder / "copy")
    files = [path for path in sorted((folder / "copy" / "folders" / "mine").rglob("*")) if path.is_file()]
    chosen = files[place % len(files)]
    if is_json and chosen.suffix == ".json":
        chosen.write_text(json.dumps(changed(json.loads(chosen.read_bytes()), some_changes)))
    else:
        chosen.write_bytes(damaged(chosen.read_bytes(), some_steps))
    words = ["--dataset", "folders", "--split", "train", "--data-dir", "copy", "--output", "out"]
    status, _, _ = command(name, *words, *([] if name == "graph" else ["--checkpoint", "run"]))
    written = (folder / "out").is_file() if name == "graph" else bool(list((folder / "out").glob(SIGNS[name])))
    assert written == (status != 2)
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").unlink(missing_ok=True)


@cases(30)
@hypothesis.given(
    option=st.sampled_from(["--threshold", "--vocabulary", "--model", "--split", "--config"]),
    value=st.sampled_from(VALUES),
)
def test_values_of_the_graph_s_options(folder, option, value):
    status, _, _ = command(
        "graph", "--dataset", "folders", "--data-dir", "built", "--output", "edges.csv", f"{option}={value}"
    )
    assert (folder / "edges.csv").exists() == (status == 0)
    (folder / "edges.csv").unlink(missing_ok=True)


OPTIONS = [f"{option}={value}" for option in ("--patch", "--stride", "--expression") for value in VALUES]


@cases(20)
@hypothesis.given(some_steps=steps(), option=st.sampled_from(OPTIONS), kind=st.integers(0, 2))
def test_an_explained_picture(folder, some_steps, option, kind):
    (folder / "face.jpg").write_bytes(damaged(PICTURE, some_steps) if kind else PICTURE)
    words = ["explain", "--checkpoint", "run", "--no-detect", "face.jpg", "--output", "why"]
    status, _, lines = command(*words, *([] if kind == 2 else [option]))
    assert bool(lines) == (status != 0) == (not list(folder.glob("why/*.json")))
    shutil.rmtree(folder / "why", ignore_errors=True)


@cases(15)
@hypothesis.given(some_steps=steps(), options=st.lists(st.sampled_from(["--batch=2", "--uint8-input"]), unique=True))
def test_exports_calibrated_on_damaged_pictures(folder, some_steps, options):
    (folder / "face.jpg").write_bytes(damaged(PICTURE, some_steps))
    words = ["export", "--checkpoint", "run", "--format", "onnx", "--output", "model.onnx", "--quantize=int8", *options]
    status, _, _ = command(*words, "--calibrate", "face.jpg")
    assert (folder / "model.onnx").exists() == (status == 0)
    (folder / "model.onnx").unlink(missing_ok=True)
