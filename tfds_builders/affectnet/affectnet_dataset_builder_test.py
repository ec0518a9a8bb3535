"""Tests of the builder: TFDS's own checks, every config's round trip, the command line and a build that is killed."""

import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.releases.affectnet_faces import official_face
from tests.built import OfRawFolder
from tests.raw_affectnet import RawRelease, write_arrays, write_lists
from tests.raw_faces import eyes, raw_faces
from tfds_builders.affectnet.affectnet_dataset_builder import RECIPES, AffectNetConfig, Builder

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class AffectNetTest(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    SPLITS = {"train": 17, "validation": 4}

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        write_lists(folder, raw_faces())

    def _make_builder(self, config: Any = None) -> Builder:
        del config
        return Builder(data_dir=self.tmp_dir, config=tolerant("csv"), file_format="tfrecord")


def tolerant(recipe: str) -> AffectNetConfig:
    """A config that bears a raw folder of which most is broken."""
    return AffectNetConfig(name=f"{recipe}_tolerant", recipe=recipe, max_lost_share=0.9)


def prepare(config: AffectNetConfig | str, raw: pathlib.Path, data_dir: pathlib.Path) -> None:
    builder = Builder(config=config, data_dir=data_dir)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))


def opened(recipe: str, split: str, data_dir: pathlib.Path) -> Split:
    return open_split("affectnet", split, config=f"{recipe}_tolerant", data_dir=str(data_dir))


def decoded(split: Split, name: str) -> np.ndarray:
    return split.image(split.ids.tolist().index(name))


def stored_files(recipe: str, split: str, data_dir: pathlib.Path) -> list[bytes]:
    built = tfds.builder_from_directory(data_dir / "affectnet" / f"{recipe}_tolerant" / str(Builder.VERSION))
    return [example["image"] for example in built.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})]


def reported(data_dir: pathlib.Path, config: str) -> dict[str, list[tuple[str, str]]]:
    """The report's ids and reasons, by split."""
    by_split: dict[str, list[tuple[str, str]]] = {}
    with (data_dir / "affectnet" / "reports" / f"{config}_skipped.csv").open(newline="") as rows:
        for row in csv.DictReader(rows):
            if not row["reason"].startswith("kept: "):
                by_split.setdefault(row["split"], []).append((row["id"], row["reason"]))
    return by_split


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> RawRelease:
    return write_lists(tmp_path_factory.mktemp("lists"), raw_faces())


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> RawRelease:
    return write_arrays(tmp_path_factory.mktemp("arrays"), raw_faces())


@pytest.fixture(scope="module")
def data_dir(lists: RawRelease, arrays: RawRelease, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A TFDS directory with every config."""
    directory = tmp_path_factory.mktemp("data")
    for recipe in RECIPES:
        prepare(tolerant(recipe), (arrays if recipe == "npy" else lists).root, directory)
    return directory


@pytest.mark.parametrize("recipe", RECIPES)
def test_round_trip(recipe: str, data_dir: pathlib.Path, lists: RawRelease, arrays: RawRelease) -> None:
    release = arrays if recipe == "npy" else lists
    assert reported(data_dir, f"{recipe}_tolerant") == {name: rows for name, rows in release.skipped.items() if rows}
    for name, truths in release.examples.items():
        split = opened(recipe, name, data_dir)
        assert sorted(split.ids) == sorted(truths)
        ordered = [truths[key] for key in split.ids]
        np.testing.assert_array_equal(split.columns["expression"], [truth.expression for truth in ordered])
        np.testing.assert_array_equal(split.columns["valence"], np.float32([truth.valence for truth in ordered]))
        np.testing.assert_array_equal(split.columns["arousal"], np.float32([truth.arousal for truth in ordered]))
        for file in stored_files(recipe, name, data_dir):
            with Image.open(io.BytesIO(file)) as image:
                assert image.mode == "RGB"
                assert image.format == ("PNG" if "official" in recipe else "JPEG")


@pytest.mark.parametrize("recipe,size", [("csv_official", 227), ("csv_official_112", 112)])
def test_official_faces_are_stored_without_loss(
    recipe: str, size: int, data_dir: pathlib.Path, lists: RawRelease
) -> None:
    split = opened(recipe, "validation", data_dir)
    for name in split.ids:
        face = lists.examples["validation"][name].face
        with Image.open(lists.root / "Manually_Annotated" / "Manually_Annotated_Images" / name) as raw:
            image = np.asarray(raw)
        expected = official_face(image, face.box, eyes(face), size)
        assert np.abs(decoded(split, name).astype(int) - expected).max() <= 1  # lists round landmarks
    assert Crop.from_dict(split.metadata["crop"]) == Crop(side=1.0, size=size, enlarge=True)


def test_seven_and_eight_classes_are_read_from_one_build(data_dir: pathlib.Path) -> None:
    split = opened("csv", "train", data_dir)
    words = ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt"]
    assert split.metadata["label_names"] == words
    # Of eleven formats with the codes 0 to 7 in turns one is Contempt, and another row is; one row is None.
    expression_N = split.columns["expression"]
    assert ((expression_N == 7).sum(), (expression_N == -1).sum()) == (2, 1)
    assert Crop.from_dict(split.metadata["crop"]) == Crop(side=1.0, size=256)


def test_too_many_losses_stop_the_build_with_a_sentence(tmp_path: pathlib.Path, lists: RawRelease) -> None:
    with pytest.raises(SystemExit, match=r"affectnet/csv train: .* lost .* at most 1.00% of 35 entries") as stopped:
        prepare("csv", lists.root, tmp_path)
    assert "\n" not in str(stopped.value)
    assert [path.name for path in (tmp_path / "affectnet" / "csv").iterdir()] == []
    assert reported(tmp_path, "csv") == {"train": lists.skipped["train"][:1]}


def test_the_wrong_folder_is_said_with_a_sentence(tmp_path: pathlib.Path, lists: RawRelease) -> None:
    with pytest.raises(SystemExit, match=r"Expected AffectNet's March-2021 release in .* the config csv builds"):
        prepare("npy", lists.root, tmp_path)
    with pytest.raises(SystemExit, match=r"Manual directory .*nowhere does not exist or is empty: name the folder"):
        prepare("csv", tmp_path / "nowhere", tmp_path)
    with pytest.raises(SystemExit, match=r"affectnet has no config 'nope': choose one of csv, csv_official, .*npy\."):
        prepare("nope", lists.root, tmp_path)


@pytest.mark.parametrize(
    "fields,said", [({"name": "mine"}, "one of csv"), ({"name": "csv", "max_lost_share": 5}, "0 to 1")]
)
def test_impossible_config(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        AffectNetConfig(**fields)


@pytest.mark.once
def test_a_killed_build_never_looks_whole_and_the_next_one_clears_it(tmp_path: pathlib.Path) -> None:
    """By the real command line. The first build waits for ever for an image that is a pipe, until it is killed."""
    raw, data_dir = tmp_path / "raw", tmp_path / "data"
    release = write_lists(raw, raw_faces(), beside=True)
    config = {"name": "csv_tolerant", "recipe": "csv", "max_lost_share": 0.9}
    command = [sys.executable, "-m", "emotion_gcn_jax.tfds", "build", "tfds_builders/affectnet"]
    command += [f"--config={json.dumps(config)}", f"--manual_dir={raw}", f"--data_dir={data_dir}"]
    last = raw / "Manually_Annotated" / "Manually_Annotated_Images" / list(release.examples["validation"])[-1]
    image = last.read_bytes()
    last.unlink()
    os.mkfifo(last)
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as first:
        while first.poll() is None and reported_rows(data_dir) != len(release.skipped["train"]):
            time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL, first.stdout.read().decode()
    with pytest.raises(UserError, match="not built"):
        opened("csv", "train", data_dir)
    (left,) = (data_dir / "affectnet" / "csv_tolerant").iterdir()
    last.unlink()
    last.write_bytes(image)

    second = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert f"affectnet/csv_tolerant: found and deleted {left}, " in second.stdout
    assert (
        "affectnet/csv_tolerant train: 17 examples; 17 lost (2 box missing, 1 box outside the image, " in second.stdout
    )
    assert "1 left aside (1 listed before); 3 no examples by their nature (1 No-Face, 2 Uncertain)" in second.stdout
    assert "validation: 4 examples; 1 lost (1 image unreadable); 1 no examples by their nature" in second.stdout
    assert "Warning: the counts cannot be the known release's: expected Neutral 74,874, found" in second.stdout
    assert reported(data_dir, "csv_tolerant") == release.skipped
    assert len(opened("csv", "train", data_dir)) == 17


def reported_rows(data_dir: pathlib.Path) -> int:
    report = data_dir / "affectnet" / "reports" / "csv_tolerant_skipped.csv"
    return max(0, len(report.read_text().splitlines()) - 1) if report.exists() else 0


if __name__ == "__main__":
    tfds.testing.test_main()
