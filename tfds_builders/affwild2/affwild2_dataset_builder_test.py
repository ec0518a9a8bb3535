"""Tests of the builder on generated raw folders: TFDS's own checks, the round trip, and the command line."""

import collections
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax import cli
from emotion_gcn_jax.data.source import open_split
from emotion_gcn_jax.graph import adjacency
from tests import raw_affwild2
from tfds_builders.affwild2.affwild2_dataset_builder import Affwild2Config, Builder

REPOSITORY = pathlib.Path(__file__).parents[2]


def tolerant(task: str, **options: Any) -> Affwild2Config:
    """A config that bears the losses of the generated folders, which hold one of every oddity."""
    return Affwild2Config(name=f"{task}_tolerant", task=task, max_lost_share=0.9, **options)


def expected_counts(edition: str, task: str) -> dict[str, int]:
    return {split: len(raw_affwild2.expected(edition, task, split).examples) for split in ("train", "validation")}


class Affwild2Test(tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    SPLITS = expected_counts("3rd", "mtl")
    SKIP_CHECKSUMS = True

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls.folder.name
        raw_affwild2.write(pathlib.Path(cls.folder.name), "3rd")

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls.folder.cleanup()

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
    """The TFDS directory in which expr_va and expr are built."""
    directory = tmp_path_factory.mktemp("tfds")
    for task in ("expr_va", "expr"):
        builder = Builder(data_dir=directory, config=tolerant(task))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    return directory


@pytest.mark.parametrize("split", ["train", "validation"])
def test_round_trip_through_the_loading_path(data_dir: pathlib.Path, split: str) -> None:
    built = open_split("affwild2", split, config="expr_va_tolerant", data_dir=str(data_dir))
    truth = raw_affwild2.expected("6th", "expr_va", split).examples
    assert set(built.ids) == set(truth) and len(built) == len(truth)
    for row, name in enumerate(built.ids.tolist()):
        found = (built.expression[row], built.valence[row], built.arousal[row], built.columns["video"][row].decode())
        expected = (truth[name][key] for key in ("expression", "valence", "arousal", "video"))
        assert found == tuple(np.float32(x) if isinstance(x, float) else x for x in expected)
    assert built.label_names == ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
    left = built.select(np.isin(built.columns["recording"], [b"12-24-1920x1080"]))
    assert set(left.columns["video"]) == (
        {b"12-24-1920x1080_left", b"12-24-1920x1080_right"} if split == "train" else set()
    )


def test_other_is_kept_apart(data_dir: pathlib.Path) -> None:
    built = open_split("affwild2", "train", config="expr_tolerant", data_dir=str(data_dir))
    truth = raw_affwild2.expected("6th", "expr", "train").examples
    assert built.columns["other"].sum() == sum(example["other"] for example in truth.values()) > 0
    assert set(built.expression[built.columns["other"]]) == {-1}
    assert np.isnan(built.valence).all()


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


def test_graph_of_the_annotations(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "adjacency.csv"
    arguments = ["graph", "--dataset=affwild2", "--config=expr_va_tolerant", f"--data-dir={data_dir}"]
    assert cli.main([*arguments, f"--output={output}"]) == 0
    truth = raw_affwild2.expected("6th", "expr_va", "train").examples.values()
    expected = adjacency.spearman_correlations(
        *(np.asarray([example[key] for example in truth]) for key in ("expression", "valence", "arousal"))
    )
    np.testing.assert_allclose(adjacency.read_correlations(output), expected, atol=1e-6)


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
        ({"task": "faces"}, "tasks expr_va, expr, va, au, mtl, found 'faces': choose one"),
        ({"task": "va", "merge_va": True}, "merge_va is for the task expr_va only, found va"),
        ({"max_lost_share": 5.0}, "0 to 1, found 5.0"),
    ],
)
def test_impossible_config(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SystemExit, match=sentence):
        Affwild2Config(name="impossible", **fields)


if __name__ == "__main__":
    tfds.testing.test_main()
