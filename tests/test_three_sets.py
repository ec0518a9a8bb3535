"""Networks for Aff-Wild2 with AffectNet and RAF-DB beside it, and going on to RAF-DB: real steps on raw folders."""

import json

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import affwild2_mtl, rafdb
from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.data.batches import train_batches
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.parallel import prefetch, replicate, unreplicate
from emotion_gcn_jax.training import run
from tests import raw_affectnet, raw_affwild2, raw_faces, raw_posed
from tests.plain_trunk import Plain
from tfds_builders.affectnet import affectnet_dataset_builder
from tfds_builders.affwild2 import affwild2_dataset_builder
from tfds_builders.rafdb import rafdb_dataset_builder

RAF_DB = ("Surprise", "Fear", "Disgust", "Happy", "Sad", "Anger", "Neutral")  # the set's own order
STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def plain_trunk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(emotion_net.TRUNKS, "plain", Plain)
        yield


def shrunk(config, data_dir):
    """Of a small network."""
    config.model.trunk = "plain"
    config.model.embedding = 8
    config.dataset.data_dir = str(data_dir)
    config.dataset.held_out_share = 0.4
    config.input.update(side=40, crop=32)
    config.data.update(batch_size=12, eval_batch_size=12, threads=1)
    config.augmentation.update(flip_probability=0.0, brightness=0.0, contrast=0.0, saturation=0.0)  # for time
    config.training.update(epochs=1, devices=1)
    return config


def videos():
    """Eight to train on and one to validate, of six frames, each frame with all labels."""
    return [
        raw_affwild2.Video(
            f"video{number}",
            tuple(
                raw_affwild2.Row(f"video{number}", frame, (number + frame) % 7, (0.1 * number, 0.1 * frame), (1, 0) * 6)
                for frame in range(1, 7)
            ),
            *[place] * 3,
        )
        for number, place in enumerate(["train"] * 8 + ["validation"])
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A TFDS directory with the three sets, and what is in the raw folders of the two that come beside."""
    folder = tmp_path_factory.mktemp("three")
    raw_affwild2.write(folder / "affwild2", "3rd", videos())
    arrays = raw_affectnet.write_arrays(folder / "affectnet", raw_faces.raw_faces())
    faces = raw_posed.write_rafdb(folder / "rafdb")
    affectnet_config = affectnet_dataset_builder.AffectNetConfig(name="tolerant", recipe="npy", max_lost_share=0.9)
    for module, raw, config in (
        (affwild2_dataset_builder, "affwild2", "frames"),
        (affectnet_dataset_builder, "affectnet", affectnet_config),
        (rafdb_dataset_builder, "rafdb", "basic"),
    ):
        builder = module.Builder(data_dir=folder / "data", config=config)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder / raw))
    return folder / "data", arrays.examples["train"], faces["train"]


@pytest.fixture(scope="module")
def trained(built, tmp_path_factory):
    """A run on three streams, the losses of its first steps, and a checkpoint after them."""
    config = shrunk(affwild2_mtl.get_config("mt_arcres"), built[0])
    config.dataset.streams = "affectnet/tolerant=3,rafdb=3"
    prepared = run.prepare(config)
    state, losses = replicate(prepared.initial_state, prepared.devices), []
    batches = prefetch(train_batches(prepared.data.streams, prepared.train_loader, seed=0), prepared.devices)
    for _ in range(STEPS):
        state, scalars = prepared.train_step(state, next(batches))
        losses.append({name: float(value[0]) for name, value in scalars.items()})
    path = tmp_path_factory.mktemp("run") / "checkpoint"
    meta = json.loads(json.dumps(prepared.meta))
    checkpoints.write(path, unreplicate(state.evaluated_variables()), meta)
    return prepared, losses, path


def words(stream):
    """The class word that the task has for each example, by id."""
    labels = stream.labels["expression"].reshape(len(stream.split), -1)[:, 0].astype(int)
    return {n: EXPRESSIONS[label] if label >= 0 else None for n, label in zip(stream.split.ids, labels, strict=True)}


def test_classes_of_every_set_are_mapped_by_their_words(trained, built):
    _, arrays, faces = built
    _, affectnet, raf_db = trained[0].data.streams
    # Contempt is no label of seven expressions; its valence and arousal are learnt all the same.
    known = {n: EXPRESSIONS[t.expression] if t.expression < 7 else None for n, t in arrays.items()}
    assert words(affectnet) == known and None in known.values()
    assert words(raf_db) == {name: RAF_DB[place] for name, place in faces.items()}


def test_every_set_teaches_what_it_has(trained):
    prepared = trained[0]
    known = [
        [bool(task.known(stream.labels[task.name]).any()) for task in prepared.tasks]
        for stream in prepared.data.streams
    ]  # expression, affect, action units
    assert known == [[True, True, True], [True, True, False], [True, False, False]]
    assert [stream.count for stream in prepared.data.streams] == [6, 3, 3]


def test_the_steps_learn_all_tasks(trained):
    for scalars in trained[1]:
        assert all(np.isfinite(list(scalars.values())))
        counts = [scalars[f"{task.name}_labelled"] for task in trained[0].tasks]
        # Of 6 frames of Aff-Wild2 and 3 images of each other set, of which AffectNet's may show contempt.
        assert 9 <= counts[0] <= 12 and counts[1:] == [9, 6]


def test_the_network_goes_on_to_another_set(trained, built, capsys):
    config = shrunk(rafdb.get_config("mt_arcres"), built[0])
    config.data.batch_size = 4
    config.tasks.expression.class_weights = "none"  # of nine images a class is not in the part that is trained on
    config.init.trunk = str(trained[2])
    state = run.prepare(config).initial_state
    assert "gives trunk, neck/embedding, neck/norm; new are head/expression\n" in capsys.readouterr().out
    variables = checkpoints.read(trained[2]).variables
    for part in ("trunk", "neck"):
        jax.tree.map(np.testing.assert_array_equal, state.params[part], variables["params"][part])
        jax.tree.map(np.testing.assert_array_equal, state.batch_stats[part], variables["batch_stats"][part])
    assert state.params["head"].keys() == {"expression"}
