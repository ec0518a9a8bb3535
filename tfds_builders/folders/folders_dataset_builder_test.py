"""Tests of the builder: TFDS's own checks, the round trip of a folder and of a table, the command line."""

import io
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests.built import OfRawFolder
from tests.raw_faces import encoded
from tfds_builders.folders.folders_dataset_builder import Builder, FoldersConfig

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
WORDS = ("Happy", "Sad", "Bored")


def picture(number: int, width: int = 40, height: int = 30) -> np.ndarray:
    """A picture of one colour with a white upper left corner, which tells what is up."""
    image = np.full((height, width, 3), (40 * number, 90, 60), np.uint8)
    image[: height // 2, : width // 2] = 255
    return image


def write(root: pathlib.Path) -> None:
    """Two images of each class for training and one for testing, in different formats."""
    for number, word in enumerate(WORDS):
        for name, extension in (("train/{}/1", "png"), ("train/{}/2", "bmp"), ("test/{}/1", "jpg")):
            path = root / f"{name.format(word)}.{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(picture(number, 40 + len(extension) + len(name)), extension))


class FoldersTest(OfRawFolder, tfds.testing.DatasetBuilderTestCase):
    """What TFDS checks of every builder."""

    DATASET_CLASS = Builder
    SPLITS = {"train": 3, "test": 3}

    @staticmethod
    def write_raw(folder: pathlib.Path) -> None:
        for number, word in enumerate(WORDS):
            for split, width in (("train", 40), ("test", 50)):
                path = folder / split / word / f"{number}.png"
                path.parent.mkdir(parents=True)
                path.write_bytes(encoded(picture(number, width), "png"))


def prepared(raw: pathlib.Path, data_dir: pathlib.Path, **fields: Any) -> tfds.core.DatasetBuilder:
    """A build, opened without its builder."""
    builder = Builder(data_dir=data_dir, config=FoldersConfig(**{"name": "mine", **fields}))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    return tfds.builder_from_directory(builder.data_dir)


def examples(built: tfds.core.DatasetBuilder, split: str) -> dict[str, dict[str, Any]]:
    source = built.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    return {example["id"].decode(): example for example in source}


def opened(example: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(example["image"]))


def test_round_trip_of_folders(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "raw")
    built = prepared(tmp_path / "raw", tmp_path / "data")
    assert set(built.info.features) == {"image", "id", "expression"}
    assert dict(built.info.metadata) == {"label_names": list(WORDS)}
    train = examples(built, "train")
    assert {name: WORDS[example["expression"]] for name, example in train.items()} == {
        f"train/{word}/{file}": word for word in WORDS for file in ("1.png", "2.bmp")
    }
    assert len(examples(built, "test")) == 3
    assert {opened(example).format for example in train.values()} == {"JPEG"}


@pytest.mark.parametrize(
    ("size", "stored"), [((40, 30), (40, 30)), ((400, 100), (64, 16)), ((50, 200), (16, 64)), ((900, 2), (64, 1))]
)
def test_large_images_are_reduced_and_small_ones_stay(
    size: tuple[int, int], stored: tuple[int, int], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "raw" / "Sad" / "1.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(encoded(picture(1, *size), "png"))
    (example,) = examples(prepared(tmp_path / "raw", tmp_path / "data", longest_side=64), "train").values()
    assert opened(example).size == stored


def test_images_are_stored_upright(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "raw" / "Sad" / "1.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(encoded(picture(1), "jpg", "turned"))
    (example,) = examples(prepared(tmp_path / "raw", tmp_path / "data"), "train").values()
    assert np.abs(np.asarray(opened(example)).astype(int) - picture(1)).mean() < 2


def test_round_trip_of_a_table_with_a_lost_image(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture(number), "png"))
    (tmp_path / "1.png").write_bytes(b"no image")
    lines = ["path,valence,AU4,AU12,subject,video,frame", "0.png,-0.5,1,,anna,a,5", "1.png,0,0,0,ben,a,6"]
    lines += ["2.png,,0,1,,a,5"]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    built = prepared(tmp_path, tmp_path / "data", max_lost_share=0.5)
    assert "mine.csv has several images of frame 5 of a (lines 2, 4)" in capsys.readouterr().out
    assert set(built.info.features) == {"image", "id", "valence", "action_units", "subject", "video", "frame"}
    assert dict(built.info.metadata) == {"action_units": ["AU4", "AU12"]}
    found = examples(built, "train")
    assert found.keys() == {"0.png", "2.png"}
    first, second = found["0.png"], found["2.png"]
    assert (first["valence"], first["subject"], first["action_units"].tolist()) == (-0.5, b"anna", [1, -1])
    assert (np.isnan(second["valence"]), second["subject"], second["action_units"].tolist()) == (True, b"", [0, 1])
    report = (tmp_path / "data" / "folders" / "reports" / "mine_skipped.csv").read_text()
    assert f"train,{tmp_path}/1.png,1.png,image unreadable," in report


def test_the_classes_are_counted(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(25):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture(1), "png"))
    words = ["Happy", "", *(f"own {number:02}" for number in range(22)), "joy"]
    rows = [f"{number}.png,{word}" for number, word in enumerate(words)]
    (tmp_path / "mine.csv").write_text("\n".join(["path,expression", *rows]))
    prepared(tmp_path, tmp_path / "data")
    said = capsys.readouterr().out
    assert "folders/mine train: Happy 2, own 00 1, own 01 1, " in said and ", own 18 1 and 4 more\n" in said


def test_a_build_is_opened_again_by_its_builder(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "raw")
    prepared(tmp_path / "raw", tmp_path / "data")
    again = Builder(data_dir=tmp_path / "data", config=FoldersConfig(name="mine"))
    assert again.info.metadata["label_names"] == list(WORDS) and "expression" in again.info.features


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.csv").write_text("path,expression\n")
    with pytest.raises(SystemExit, match=r"Expected a folder by --manual_dir, and found the file .*mine\.csv: name"):
        prepared(tmp_path / "mine.csv", tmp_path / "data")


def test_a_mistake_in_the_set_is_one_sentence(tmp_path: pathlib.Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "notes.txt").touch()
    with pytest.raises(SystemExit, match=r"^Expected a folder for each class with images in it, .*found notes\.txt: "):
        prepared(tmp_path / "raw", tmp_path / "data")


@pytest.mark.once
def test_command_line(tmp_path: pathlib.Path) -> None:
    """With ~, which bash leaves as it is after an equals sign."""
    write(tmp_path / "raw")
    command = [sys.executable, "-m", "emotion_gcn_jax.tfds", "build", str(REPOSITORY / "tfds_builders" / "folders")]
    command += ["--data_dir=~/td", "--manual_dir=~/raw", '--config={"name": "mine", "longest_side": 64}']
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    assert "folders/mine train: 6 examples" in result.stdout
    assert "folders/mine test: Happy 1, Sad 1, Bored 1\n" in result.stdout
    assert (tmp_path / "td" / "folders" / "mine" / "1.1.0" / "dataset_info.json").exists()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    ("fields", "said"), [({"longest_side": 8}, "32 to 8192 pixels, found 8"), ({"max_lost_share": 2}, "0 to 1")]
)
def test_impossible_config(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        FoldersConfig(name="mine", **fields)


if __name__ == "__main__":
    tfds.testing.test_main()
