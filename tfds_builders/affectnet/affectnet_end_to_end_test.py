"""What the other rooms make of a build of AffectNet: batches, and a report on converted weights."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from emotion_gcn_jax import cli
from emotion_gcn_jax.conversion import convert, names
from emotion_gcn_jax.data.batches import Loader, eval_batches
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.torch_files import writing
from tests.raw_affectnet import write_arrays, write_lists
from tests.raw_faces import raw_faces
from tfds_builders.affectnet.affectnet_dataset_builder import RECIPES, AffectNetConfig, Builder


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A TFDS directory with every config, built of raw folders of which most is broken."""
    raw, directory = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")
    write_lists(raw / "lists", raw_faces())
    write_arrays(raw / "arrays", raw_faces())
    for recipe in RECIPES:
        config = AffectNetConfig(name=f"{recipe}_tolerant", recipe=recipe, max_lost_share=0.9)
        folder = raw / ("arrays" if recipe == "npy" else "lists")
        builder = Builder(config=config, data_dir=directory)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    return directory


def opened(recipe: str, split: str, data_dir: pathlib.Path) -> Split:
    return open_split("affectnet", split, config=f"{recipe}_tolerant", data_dir=str(data_dir))


@pytest.mark.parametrize("recipe,size", [("csv", 64), ("csv_official", 227), ("csv_official_112", 112), ("npy", 64)])
def test_every_config_becomes_batches_and_official_faces_are_not_resized_again(
    recipe: str, size: int, data_dir: pathlib.Path
) -> None:
    split = opened(recipe, "train", data_dir)
    (batch,) = eval_batches(split, Loader(Input(size), batch_size=len(split), threads=0))
    images = batch["image"]
    assert images.shape == (len(split), size, size, 3)
    if recipe.startswith("csv_official"):
        shapes = set()
        for row, image in enumerate(images):
            stored = split.image(row)
            top, left = (round((side - size) / 2) for side in stored.shape[:2])
            np.testing.assert_array_equal(image, stored[top : top + size, left : left + size])
            shapes.add(stored.shape[:2])
        assert (size, size) in shapes and len(shapes) > 1


def test_converted_weights_are_evaluated_on_official_faces(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    official = names.official_tensors("densenet_tiny", "emotion_gcn", word_vector_width=100)
    rng = np.random.default_rng(0)
    writing.save(tmp_path / "w.pth", {t.name: rng.uniform(0, 0.1, t.shape).astype(t.dtype) for t in official})
    convert.from_official(tmp_path / "w.pth", tmp_path / "ours", trunk="densenet_tiny", model="emotion_gcn")
    arguments = ["evaluate", "--checkpoint", tmp_path / "ours", "--dataset", "affectnet", "--data-dir", data_dir]
    arguments += ["--config", "csv_official_tolerant", "--split", "train", "--output", tmp_path / "report"]
    assert cli.main([str(argument) for argument in arguments]) == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    expression_N = opened("csv_official", "train", data_dir).columns["expression"]
    assert metrics["examples"] == ((expression_N >= 0) & (expression_N < 7)).sum()
    assert 0 <= metrics["accuracy"] <= 1
