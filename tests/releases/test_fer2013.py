"""FER2013 in every form that copies have, FERPlus's majorities by hand, and what is said of files that do not fit."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases import fer2013, ferplus
from emotion_gcn_jax.releases.building import Building
from tests import raw_fer2013
from tests.raw_fer2013 import FORMS, ROWS, SPLITS, pixels, write


def build(faces, votes, folder, lost=0.5):
    """The examples by split and id, and the report's rows."""
    with Building.start(folder / "fer2013" / "config", "", max_lost_share=lost) as building:
        made = {name: dict(building.examples(name, split)) for name, split in fer2013.splits(faces, votes).items()}
    with (folder / "fer2013" / "reports" / "config_skipped.csv").open(newline="") as report:
        return made, list(csv.DictReader(report))


def grey(example):
    image = Image.open(io.BytesIO(example["image"]))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (48, 48))
    return np.asarray(image)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_examples(form, tmp_path):
    made, report = build(fer2013.read_faces(write(tmp_path / "raw", form)), None, tmp_path)
    assert [row["reason"] for row in report] == ["kept: one constant colour"]
    for split in SPLITS.values():
        truths = {place: row for place, row in enumerate(ROWS) if SPLITS[row.usage] == split}
        found = {}
        for name, example in made[split].items():
            place = 9000 - int(name.split("_")[1].removesuffix(".jpg")) if form == "kaggle" else int(name)
            assert example["row"] == (-1 if form == "kaggle" else place)
            found[place] = example
        assert found.keys() == truths.keys()
        for place, row in truths.items():
            assert (found[place]["expression"], found[place]["copy_in_train"]) == (row.code, row.is_copy)
            if form != "kaggle":  # which is JPEG
                np.testing.assert_array_equal(grey(found[place]), pixels(row.image))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "kaggle"])
def test_votes_are_joined_by_the_rows(form, tmp_path):
    faces = fer2013.read_faces(write(tmp_path / "raw", form))
    made, _ = build(faces, fer2013.read_votes(tmp_path, faces), tmp_path)
    examples = {int(name): example for split in made.values() for name, example in split.items()}
    assert examples.keys() == set(range(len(ROWS)))
    for place, row in enumerate(ROWS):
        assert examples[place]["expression"] == row.majority
        assert examples[place]["expression_votes"].dtype == np.float32 and examples[place][
            "expression_votes"
        ].tolist() == list(row.votes)
        assert examples[place]["copy_in_train"] == row.is_copy


def test_majority_of_nothing():
    assert ferplus.majority(np.zeros((0, 10), np.float32)).tolist() == []
    assert ferplus.majority(np.zeros((1, 10), np.float32)).tolist() == [-1]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("\n3,", "\n7,", "expression unknown: code '7'"),
        ("\n3,", "\n,", "expression unknown: code ''"),
        (" ", "  ", ""),  # blanks are blanks
        (" ", " 256 ", "pixels unusable: 2305 numbers, 2304 of 0 to 255 were expected"),
        (" ", " x", "pixels unusable: not whole numbers: "),
    ],
)
def test_a_broken_row_is_lost_and_keeps_its_place(old, new, reason, tmp_path):
    path = write(tmp_path / "raw") / "fer2013.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    made, report = build(fer2013.read_faces(tmp_path), None, tmp_path)
    lost = [f"{row['id']} {row['where']} {row['reason']}: {row['detail']}" for row in report if row["id"] != "00006"]
    assert len(lost) == bool(reason)
    assert all(line.startswith(f"00000 fer2013.csv line 2 {reason}") for line in lost)
    assert ("00000" in made["train"]) == (not reason) and made["train"]["00001"]["row"] == 1


def test_the_case_of_a_usage_does_not_matter(tmp_path):
    path = write(tmp_path) / "fer2013.csv"
    expected = fer2013.read_faces(tmp_path)
    path.write_text(path.read_text().replace("Training", "training").replace("PublicTest", "PUBLICTEST"))
    assert [face.split for face in fer2013.read_faces(tmp_path)] == [face.split for face in expected]


def test_an_unknown_usage_is_said(tmp_path):
    path = write(tmp_path) / "fer2013.csv"
    path.write_text(path.read_text().replace("Training", "Train", 1))
    with pytest.raises(UserError, match=r"for Usage, and found 'Train' in line 2 of .*fer2013\.csv: correct"):
        fer2013.read_faces(tmp_path)


def test_counts_that_are_not_the_sets_are_warned_of(tmp_path):
    faces = fer2013.read_faces(write(tmp_path))
    (warning,) = fer2013.splits(faces)["train"].warnings
    assert "Anger 3,995, found 2; Disgust 436, found 1; " in warning
    (warning,) = fer2013.splits(faces, fer2013.read_votes(tmp_path, faces))["validation"].warnings
    assert "Neutral 1,182, found 1; Happy 865, found 1; Surprise 415, found 0; " in warning


def test_a_list_in_another_order_is_warned_of(tmp_path):
    """Within a split Usage cannot tell: the labels do."""
    votes = [row.votes for row in ROWS[:10]]
    rows = tuple(row._replace(votes=votes[(place + 1) % 10]) for place, row in enumerate(ROWS[:10])) + ROWS[10:]
    faces = fer2013.read_faces(write(tmp_path, rows=rows))
    warnings = fer2013.splits(faces, fer2013.read_votes(tmp_path, faces))["train"].warnings
    assert "agree on 0% of the images, and 67 % are expected" in warnings[1]


def drop_last_line(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def first_to_last(path):
    header, first, *others = path.read_text().splitlines()
    path.write_text("\n".join([header, *others, first]))


@pytest.mark.parametrize(
    ("form", "change", "message"),
    [
        (
            "fer2013.csv",
            lambda path: path.unlink(),
            "Expected FERPlus's fer2013new.csv in .*, and found none: download",
        ),
        ("fer2013.csv", drop_last_line, r"an image for each of the 15 rows of .*, and found 16 in rows 0 to 15: use"),
        (
            "fer2013.csv",
            first_to_last,
            r"and found PublicTest in row 9, where fer2013.csv line 11 is of the split train",
        ),
        ("kaggle", lambda path: None, r"found files such as .*PrivateTest_\d+\.jpg, whose names do not tell them"),
        (
            "numbered",
            lambda path: path.write_text(path.read_text().replace("10,0", "ten,0", 1)),
            "Expected 10 numbers of votes in line 2 of .*fer2013new.csv, and found 'Training,fer.png,0,ten",
        ),
    ],
)
def test_votes_that_do_not_belong_to_the_images(form, change, message, tmp_path):
    faces = fer2013.read_faces(write(tmp_path, form))
    change(tmp_path / "fer2013new.csv")
    with pytest.raises(UserError, match=message):
        fer2013.read_votes(tmp_path, faces)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["train.csv"],
            r"Expected fer2013.csv or icml_face_data.csv, or images in the folders .*, and found train.csv: name the",
        ),
        ([], "and found nothing: name the folder"),
        (["train/x.png", "test/angry/notes.txt"], "and found test, train: name the folder"),
        (["train/angry/im0.png", "test/angry/im0.png"], "found test/angry/im0.png: it does not tell PublicTest from"),
        (
            ["Training/9/1.png", "PrivateTest/0/2.png"],
            "a folder for each of Anger, .*, and found 9 in .*Training: rename",
        ),
    ],
)
def test_what_is_not_the_set(files, message, tmp_path):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(1)).save(tmp_path / file, "PNG")
    with pytest.raises(UserError, match=message):
        fer2013.read_faces(tmp_path)


def test_an_image_of_another_size_or_none_is_lost(tmp_path):
    root = write(tmp_path / "raw", "numbered") / "deep"
    Image.fromarray(pixels(1)).resize((28, 28)).save(root / "Training" / "3" / "0.png")
    (root / "Training" / "0" / "1.png").write_bytes(b"")
    _, report = build(fer2013.read_faces(tmp_path), None, tmp_path)
    assert [(row["id"], row["reason"]) for row in report] == [
        ("00000", "pixels unusable"),
        ("00001", "image empty"),
        ("00006", "kept: one constant colour"),
    ]


def test_the_generated_rows_cover_every_class():
    assert {row.code for row in ROWS} == set(range(7)) and {row.majority for row in ROWS} == set(range(-1, 8))
    assert all(sum(row.votes) in (9, 10, 7, 6) for row in raw_fer2013.ROWS)
