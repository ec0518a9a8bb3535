"""Tests of the builder on generated raw folders: TFDS's own checks, the round trip, and the command line."""

import collections
import csv
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.releases.affwild2_layout import TASKS
from tests import raw_affwild2
from tests.built import OfRawFolder
from tests.sound import films
from tfds_builders.affwild2.affwild2_dataset_builder import Affwild2Config, Builder

REPOSITORY = pathlib.Path(__file__).parents[2]


def tolerant(task: str, **options: Any) -> Affwild2Config:
    """A config that bears the losses of the generated folders, which hold one of every oddity."""
    return Affwild2Config(name=f"{task}_tolerant", task=task, max_lost_share=0.9, **options)


def expected_counts(edition: str, task: str) -> dict[str, int]:
    return {split: len(raw_affwild2.expected(edition, task, split).examples) for split in ("train", "validation")}


class Affwild2Test(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    SPLITS = expected_counts("3rd", "mtl")

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        raw_affwild2.write(folder, "3rd")

    def _make_builder(self, config: Any = None) -> Builder:
        del config
        return Builder(data_dir=self.tmp_dir, config=tolerant("mtl"), file_format="tfrecord")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The raw folder of the sixth edition, which has both image roots and eight classes."""
    folder = tmp_path_factory.mktemp("raw")
    raw_affwild2.write(folder, "6th")
    return folder


@pytest.fixture(scope="module")
def data_dir(raw: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The TFDS directory in which every task of the sixth edition, and mtl of the seventh, is built."""
    directory, multi_task = tmp_path_factory.mktemp("tfds"), tmp_path_factory.mktemp("7th")
    raw_affwild2.write(multi_task, "7th")
    for task in TASKS:
        builder = Builder(data_dir=directory, config=tolerant(task, sound=True))  # of which there is none
        manual_dir = multi_task if task == "mtl" else raw
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return directory


SEVEN = ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger"]
UNITS = [f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 20, 23, 24, 25, 26)]


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(
    ("task", "columns", "metadata"),
    [
        ("expr_va", ("expression", "valence", "arousal"), {"label_names": SEVEN}),
        ("expr", ("expression",), {"label_names": [*SEVEN, "Other"]}),
        ("va", ("valence", "arousal"), {}),
        ("au", ("action_units",), {"action_units": UNITS}),
        (
            "mtl",
            ("expression", "valence", "arousal", "action_units"),
            {"label_names": [*SEVEN, "Other"], "action_units": UNITS},
        ),
        (
            "frames",
            ("expression", "valence", "arousal", "action_units"),
            {"label_names": [*SEVEN, "Other"], "action_units": UNITS},
        ),
    ],
)
def test_round_trip(
    task: str, columns: tuple[str, ...], metadata: dict[str, list[str]], split: str, data_dir: pathlib.Path
) -> None:
    """A config has the columns that its task reads, and their words."""
    built = tfds.builder_from_directory(data_dir / "affwild2" / f"{task}_tolerant" / "2.3.0")
    assert set(built.info.features) == {"image", "id", "video", "frame", "recording", "video_frames", *columns}
    assert {key: value for key, value in built.info.metadata.items() if key != "crop"} == metadata
    source = built.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    found = {example["id"].decode(): example for example in source}
    truths = raw_affwild2.expected("7th" if task == "mtl" else "6th", task, split).examples
    assert found.keys() == truths.keys()
    for name, truth in truths.items():
        example = found[name]
        assert (example["video"].decode(), example["recording"].decode()) == (truth["video"], truth["recording"])
        for key in {"expression", "valence", "arousal"} & truth.keys():
            kind = np.int64 if key == "expression" else np.float32
            np.testing.assert_array_equal(example[key], np.asarray(truth[key], kind))  # None is NaN


def test_videos_beside_the_frames_are_heard(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Both persons of a video hear it, each frame at its time; the other recordings have no sound."""
    release = tmp_path / "release"
    (release / "batch1").mkdir(parents=True)
    (release / "6th").symlink_to(raw)
    shown = [0.0, 0.1, 0.15, 0.4, 0.5, 0.6, 0.7]
    film = release / "batch1" / "12-24-1920x1080.mkv"
    films.write(film, films.tone(1, rate=16_000), rate=16_000, codec="flac", frames=shown)
    builder = Builder(data_dir=tmp_path / "tfds", config=tolerant("frames", sound=True))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=release))
    split = open_split("affwild2", "train", data_dir=str(tmp_path / "tfds"))
    heard = split.columns["sound"] != b""
    assert set(split.columns["video"][heard]) == {b"12-24-1920x1080_left", b"12-24-1920x1080_right"}
    np.testing.assert_array_equal(heard, split.columns["recording"] == b"12-24-1920x1080")
    times = np.array(shown)[split.columns["frame"][heard] - 1]
    np.testing.assert_allclose(split.columns["seconds"][heard], times, atol=2e-3)
    patch = split.sound(int(np.flatnonzero(heard)[0]))
    assert patch is not None and patch.shape == (96, 64) and patch[60].argmax() == 22  # 1000 Hz
    assert split.sound(int(np.flatnonzero(~heard)[0])) is None
    assert not list((tmp_path / "tfds" / "affwild2" / "frames_tolerant").glob("incomplete*"))


def test_expr_va_is_opened_by_the_loader(data_dir: pathlib.Path) -> None:
    built = open_split("affwild2", "train", config="expr_va_tolerant", data_dir=str(data_dir))
    assert built.metadata["label_names"] == list(SEVEN)
    left = built.select(np.isin(built.columns["recording"], [b"12-24-1920x1080"]))
    assert set(left.columns["video"]) == {b"12-24-1920x1080_left", b"12-24-1920x1080_right"}


def test_report_names_every_entry_that_became_no_example(data_dir: pathlib.Path) -> None:
    reports = data_dir / "affwild2" / "reports"
    with (reports / "expr_va_tolerant_skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    for row in rows:
        found[row["split"], row["reason"]].add(row["id"])
    expected = {
        (split, reason): ids
        for split in ("train", "validation")
        for reason, ids in raw_affwild2.expected("6th", "expr_va", split).skipped.items()
        if ids
    }
    assert found == expected and len(rows) == sum(map(len, expected.values()))
    torn = next(row for row in rows if row["reason"] == "image unreadable")
    assert torn["where"] == "6th ABAW Annotations/EXPR_Recognition_Challenge/Train_Set/broken.txt line 3"


@pytest.mark.once
def test_command_line(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Too many losses stop the build with one sentence; what was found is in the report, and no half build is left."""
    command = [sys.executable, "-m", "emotion_gcn_jax.tfds", "build", "tfds_builders/affwild2", "--config=expr_va"]
    options = [f"--manual_dir={raw}", f"--data_dir={tmp_path}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    result = subprocess.run([*command, *options], capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    (sentence,) = (line for line in result.stderr.splitlines() if "expected to lose at most 5.00% of" in line)
    assert "3 lost (1 image empty, 1 image unreadable, 1 row malformed)" in sentence
    assert (tmp_path / "affwild2" / "reports" / "expr_va_skipped.csv").stat().st_size > 100
    assert not list((tmp_path / "affwild2" / "expr_va").iterdir())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"task": "faces"}, "tasks expr_va, expr, va, au, mtl, frames, found 'faces': choose one"),
        ({"task": "va", "merge_va": True}, "merge_va is for the task expr_va only, found va"),
        ({"task": "mtl", "split_by": "task"}, "recording, task, for the task frames only, found 'task' for mtl"),
        ({"task": "frames", "split_by": "video"}, "recording, task, for the task frames only, found 'video'"),
        ({"max_lost_share": 5.0}, "0 to 1, found 5.0"),
    ],
)
def test_impossible_config(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SystemExit, match=sentence):
        Affwild2Config(name="impossible", **fields)


if __name__ == "__main__":
    tfds.testing.test_main()
