"""From a raw folder of the 2nd and the 7th edition's form to training's batches and to files for the challenge.

What comes of every row is tests/releases' business, what a step learns that of test_three_sets.py, which has the third
edition; here each part takes what the one before it made, and networks that are not trained answer.
"""

import csv
import functools
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import affwild2_mtl
from emotion_gcn_jax import cli
from emotion_gcn_jax.data.batches import FRESH, Loader, train_batch
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.labels import ABAW_UNITS, CLASS_ORDERS
from emotion_gcn_jax.releases import affwild2_annotations as annotations
from emotion_gcn_jax.releases.affwild2_submission import FORMS
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import checks, datasets
from tests import raw_affwild2
from tests.untrained import write_checkpoint
from tfds_builders.affwild2.affwild2_dataset_builder import Builder

FRAMES = 6
ROADS = {"2nd": ("frames", "second"), "7th": ("mtl", "third")}
"""By the edition the builder's config and the word of configs/affwild2_mtl.py."""


def videos():
    """Eight to train on and two to validate, every frame with all labels; in one of the last no face was found."""

    def row(name, number, frame):
        if (number, frame) == (9, 2):
            return raw_affwild2.Row(name, frame, image=None)
        affect = (0.1 * number - 0.5, 0.1 * frame)
        return raw_affwild2.Row(name, frame, (number + frame) % 7, affect, (1, 0) * 6)

    names = [f"video{number}" for number in range(10)]
    return [
        raw_affwild2.Video(name, tuple(row(name, number, frame) for frame in range(1, FRAMES + 1)), *[place] * 3)
        for number, (name, place) in enumerate(zip(names, ["train"] * 8 + ["validation"] * 2, strict=True))
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def road(home):
    """By the edition its config, with what was built of its raw folder, and an untrained checkpoint of its tasks."""

    @functools.cache
    def made(edition):
        build, word = ROADS[edition]
        raw_affwild2.write(home / edition, edition, videos())
        builder = Builder(data_dir=home / "tfds", config=build)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=home / edition))
        config = affwild2_mtl.get_config(f"mt_res_rnn,{word}")
        config.dataset.update(config=build, data_dir=str(home / "tfds"), held_out_share=0.4)
        config.data.batch_size = 8
        config.clip.update(length=4, min_present=0.5)
        run = write_checkpoint(home / f"run_{edition}", "mt_res", tasks=config.tasks.to_dict(), trunk="vgg_tiny")
        return config, run

    return made


@pytest.mark.parametrize(("edition", "frames"), [("2nd", [1, 2, 3, 4, 5, 6]), ("7th", [1, 3, 5])])
def test_what_is_built_is_what_clips_of_all_labels_are_cut_of(road, edition, frames):
    """The seventh edition's table has every other frame of these videos: the rest are holes."""
    config, _ = road(edition)
    tasks = registry.from_config(config.tasks)
    data = datasets.open_data(config, tasks)
    checks.check_labelled(tasks, {task.name: data.labels(task.name) for task in tasks})
    checks.check_selectable(config, tasks, data.validation)
    kept, held_out = ({name.decode() for name in split.columns["video"]} for split in (data.train, data.validation))
    assert kept | held_out == {f"video{number}" for number in range(8)} and not kept & held_out
    assert sorted(data.train.columns["frame"]) == sorted(frames * len(kept))
    batch = train_batch(data.streams, Loader(Input(40), 8, threads=0), 0, seed=0)
    known = np.stack([task.known(batch[task.name]).all(axis=1) for task in tasks])
    np.testing.assert_array_equal(known, [batch[FRESH]] * len(tasks))  # all labels of a frame, and none of a hole


def read_report(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return json.loads((folder / "metrics.json").read_text()), {row["id"]: row for row in csv.DictReader(file)}


def evaluated(home, road, edition, form):
    """The report's numbers and rows, and the submission's folder, of the edition's validation set."""
    config, run = road(edition)
    words = ["--checkpoint", run, "--dataset", "affwild2", "--config", config.dataset.config, "--split", "validation"]
    words += ["--data-dir", home / "tfds", "--output", home / f"report_{edition}", "--submission", form]
    assert cli.main(["evaluate", *map(str, words)]) == 0
    return *read_report(home / f"report_{edition}"), home / f"report_{edition}" / f"submission_{form}"


def code(row):
    return CLASS_ORDERS["affwild2"].vocabulary.index(row["expression_predicted"])


def test_a_report_and_files_of_the_second_edition(home, road):
    metrics, rows, folder = evaluated(home, road, "2nd", "expr")
    assert metrics["examples"] == len(rows) == 2 * FRAMES - 1
    assert {"abaw1_expression", "abaw1_action_units", "abaw_affect"} <= metrics["protocol"].keys()
    for video, frames in (("video8", [1, 2, 3, 4, 5, 6]), ("video9", [1, 1, 3, 4, 5, 6])):  # a hole is as before
        table = annotations.read_expressions(folder / f"{video}.txt")
        assert table.expression_N.tolist() == [code(rows[f"{video}/{number:05d}"]) for number in frames]


def test_a_report_and_the_table_of_the_seventh_edition(home, road):
    metrics, rows, folder = evaluated(home, road, "7th", "mtl")
    assert metrics["examples"] == len(rows) == 6
    assert {"abaw3_expression", "abaw3_action_units", "abaw3_multi_task"} <= metrics["protocol"].keys()
    found = annotations.read_multi_task(folder / "predictions.txt")
    assert {video: table.frames_N.tolist() for video, table in found.items()} == {v: [1, 3, 5] for v in found}
    places = [annotations.UNITS.index(unit) for unit in ABAW_UNITS[12]]
    for video, table in found.items():
        of_video = [rows[f"{video}/{number:05d}"] for number in (1, 3, 5)]
        assert table.expression_N.tolist() == [code(row) for row in of_video] and not table.malformed
        valence = np.clip([float(row["valence_predicted"]) for row in of_video], -1, 1)
        np.testing.assert_allclose(table.affect_Nx2[:, 0], valence, rtol=1e-4, atol=1e-6)
        assert np.isin(table.action_units_NxA[:, places], (0, 1)).all()


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("expr", "mtl")])
def test_every_other_form_of_a_test_set(home, road, form):
    """Frames in a table without labels, as docs/affwild2_mtl.md has it for a set whose labels are not public."""
    _, run = road("2nd")
    table = home / "2nd" / "test.csv"
    lines = [f"cropped_aligned/video9/{n:05d}.jpg,video9,{n},{FRAMES + 1}," for n in (1, 3, 4, 5, 6)]
    table.write_text("\n".join(["path,video,frame,video_frames,valence", *lines]) + "\n")
    words = ["--checkpoint", run, "--images", table, "--output", home / "test_set", "--submission", form]
    assert cli.main(["evaluate", *map(str, words)]) == 0
    (file,) = (home / "test_set" / f"submission_{form}").iterdir()
    kind, _, is_table = form.partition("_")
    assert file.name == ("predictions.txt" if is_table else "video9.txt")
    header, *rows = csv.reader(file.read_text().splitlines())
    names, cells = {"expr": (7, 1), "va": (2, 2), "au": (12, 12)}[kind]
    assert len(header) == names + bool(is_table) and len(rows) == FRAMES + 1
    if is_table:
        assert [row.pop(0) for row in rows] == [f"video9/{n:05d}.jpg" for n in range(1, FRAMES + 2)]
    assert {len(row) for row in rows} == {cells}
    assert rows[1] == rows[0] and rows[-1] == rows[-2]  # frames without an image
