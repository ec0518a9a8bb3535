"""Submissions, read back by the reader of the releases' own annotations."""

import csv

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.evaluation.submission import Submission
from emotion_gcn_jax.labels import ABAW_UNITS, EXPRESSIONS
from emotion_gcn_jax.releases import affwild2_annotations as annotations
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values
from tests.data.splits import split_of

# Two persons; of the first, frame 2 is a hole and the video ends at 5; the second's first frames are holes.
VIDEOS = ["12_left", "12_left", "7", "12_left", "7"]
FRAMES = [3, 1, 4, 4, 3]
LENGTHS = [5, 5, 4, 5, 4]
ROWS = {"12_left": [1, 1, 0, 3, 3], "7": [4, 4, 4, 2]}  # which answer each frame of a track has
NAMES = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"]  # Aff-Wild2's
WORDS = [0, 6, 1, 7, 4]  # what the answers say, as places in the eight words
VALENCE = [0.125, -0.5, 1.5, 0.0, -1.25]  # beyond the scale, too


def tasks(words: int = 8, units: tuple[str, ...] = ABAW_UNITS[12]):
    """In an order of their own: names decide, not places."""
    vocabulary = (*EXPRESSIONS, "Other")[:words][::-1]
    return (
        Classes(name="expression", vocabulary=vocabulary),
        Values(name="affect", dimensions=("arousal", "valence")),
        Flags(name="action_units", names=units[::-1]),
    )


def flags(count: int) -> np.ndarray:
    """By the edition's order, which units each of the five answers says."""
    return np.random.default_rng(3).integers(0, 2, (5, count))


@pytest.fixture
def split():
    columns = {"frame": FRAMES, "video_frames": LENGTHS, "valence": np.full(5, np.nan)}
    return split_of({"video": np.asarray(VIDEOS, "S"), **columns})


def predictions(split, tasks):
    """What a model of these tasks says."""
    classes, affect, units = tasks
    places = [min(place, len(classes.vocabulary) - 1) for place in WORDS]
    return Predictions(
        dataset=split.dataset,
        split=split.name,
        ids=split.ids.tolist(),
        tasks=tasks,
        labels=registry.read_labels(tasks, split.columns, split.metadata),
        answers={
            classes.name: 0.1 + 0.2 * np.eye(len(classes.vocabulary))[places][:, ::-1],
            affect.name: np.stack([np.asarray(VALENCE) / 2, VALENCE], axis=1),
            units.name: np.where(flags(len(units.names))[:, ::-1], 0.5, 0.49),
        },
    )


def written(tmp_path, split, form, tasks):
    Submission.prepared(form, split, tasks, tmp_path).write(predictions(split, tasks))
    return tmp_path


@pytest.mark.parametrize("words", [7, 8])
def test_expressions_of_every_frame(tmp_path, split, words):
    folder = written(tmp_path, split, "expr", tasks(words))
    for video, rows in ROWS.items():
        table = annotations.read_expressions(folder / f"{video}.txt")
        assert table.expression_N.tolist() == [min(WORDS[row], words - 1) for row in rows]
        assert (folder / f"{video}.txt").read_text().splitlines()[0] == ",".join(NAMES[:words])
    assert {path.name for path in folder.iterdir()} == {"12_left.txt", "7.txt"}


def test_valence_and_arousal_of_every_frame(tmp_path, split):
    """Within the scale: others would count as not annotated."""
    folder = written(tmp_path, split, "va", tasks())
    for video, rows in ROWS.items():
        valence = np.asarray(VALENCE)[rows]
        table = annotations.read_affect(folder / f"{video}.txt")
        np.testing.assert_allclose(table.affect_Nx2, np.stack([np.clip(valence, -1, 1), valence / 2], axis=1))


@pytest.mark.parametrize("count", [8, 12])
def test_action_units_of_every_frame(tmp_path, split, count):
    """A probability of one half is a yes; the header names the edition's units in its order."""
    folder = written(tmp_path, split, "au", tasks(units=ABAW_UNITS[count]))
    places = [annotations.UNITS.index(unit) for unit in ABAW_UNITS[count]]
    for video, rows in ROWS.items():
        table = annotations.read_action_units(folder / f"{video}.txt")
        np.testing.assert_array_equal(table.action_units_NxA[:, places], flags(count)[rows])
        assert (folder / f"{video}.txt").read_text().startswith(",".join(ABAW_UNITS[count]) + "\n")


def test_the_multi_task_table_has_the_images_that_there_are(tmp_path, split):
    found = annotations.read_multi_task(written(tmp_path, split, "mtl", tasks()) / "predictions.txt")
    assert {video: table.frames_N.tolist() for video, table in found.items()} == {"12_left": [1, 3, 4], "7": [3, 4]}
    table = found["12_left"]  # the answers 1, 0 and 3
    assert table.expression_N.tolist() == [WORDS[row] for row in (1, 0, 3)] and not table.malformed
    np.testing.assert_allclose(table.affect_Nx2, [[-0.5, -0.25], [0.125, 0.0625], [0, 0]])
    places = [annotations.UNITS.index(unit) for unit in ABAW_UNITS[12]]
    np.testing.assert_array_equal(table.action_units_NxA[:, places], flags(12)[[1, 0, 3]])


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("expr_table", NAMES),
        ("va_table", ["valence", "arousal"]),
        ("au_table", list(ABAW_UNITS[12])),
    ],
)
def test_a_table_of_all_frames(tmp_path, split, form, names):
    """Its rows are those of the tracks' files, one after the other, after the image's name."""
    (tmp_path / "each").mkdir()
    table = written(tmp_path / "table", split, form, tasks()) / "predictions.txt"
    each = written(tmp_path / "each", split, form.removesuffix("_table"), tasks())
    header, *rows = csv.reader(table.read_text().splitlines())
    assert header == ["image_location", *names]
    images = [f"{video}/{number:05d}.jpg" for video, answers in ROWS.items() for number in range(1, len(answers) + 1)]
    assert [row[0] for row in rows] == images
    lines = [line for video in ROWS for line in (each / f"{video}.txt").read_text().splitlines()[1:]]
    assert [",".join(row[1:]) for row in rows] == lines


def test_without_lengths_a_track_ends_with_its_last_example(tmp_path, split):
    split = split_of({name: column for name, column in split.columns.items() if name not in ("id", "video_frames")})
    folder = written(tmp_path, split, "expr", tasks())
    assert [len(annotations.read_expressions(folder / f"{video}.txt")) for video in ROWS] == [4, 4]


def contempt():
    return (Classes(name="expression", vocabulary=("Happy", "Contempt")),)


@pytest.mark.parametrize(
    ("form", "chosen", "columns", "message"),
    [
        ("expr", contempt, {}, "says the expressions Neutral, Anger, .*, and this one says Happy, Contempt: choose"),
        ("va", contempt, {}, "says valence and arousal, and this one says"),
        ("mtl", lambda: tasks(units=ABAW_UNITS[8]), {}, "says the action units AU1, .*AU26, and this one"),
        ("va", tasks, {"frame": [b"1", b"x", b"2", b"3", b"4"]}, "whole numbers in the column frame of .*'x'"),
        ("va", tasks, {"frame": [3, 3, 4, 4, 3]}, "Frame 3 of 12_left in .* is there twice"),
        ("va", tasks, {"video": [b"../up"] * 5, "frame": [1, 2, 3, 4, 5]}, r"'\.\./up' of .* is no name"),
    ],
)
def test_mistakes_are_found_before_the_model_runs(tmp_path, split, form, chosen, columns, message):
    split = split_of({name: columns.get(name, column) for name, column in split.columns.items() if name != "id"})
    with pytest.raises(UserError, match=message):
        Submission.prepared(form, split, chosen(), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_files_of_another_submission_are_not_mixed_with_this_one(tmp_path, split):
    folder = written(tmp_path, split, "va", tasks())
    Submission.prepared("va", split, tasks(), folder)  # the same again
    fewer = split.select(np.asarray(VIDEOS) == "7")
    with pytest.raises(UserError, match=r"files of another submission in .*, and found 12_left\.txt: delete them"):
        Submission.prepared("va", fewer, tasks(), folder)
