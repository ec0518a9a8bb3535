"""From raw folders in every layout to faces: what is found, what is reported, and where the faces are."""

import contextlib
import csv
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import encode_jpeg, encode_png
from emotion_gcn_jax.releases.affectnet import read_arrays, read_lists
from emotion_gcn_jax.releases.affectnet_faces import aligned_face, levelled_image
from emotion_gcn_jax.releases.building import Building
from tests.raw_affectnet import RawRelease, write_arrays, write_lists
from tests.raw_faces import find_dots, painted, raw_faces
from tests.releases.test_affectnet_faces import check_level_and_in_place


def aligned(image, annotation):
    return encode_jpeg(aligned_face(image, annotation.box, annotation.eyes))


def levelled(image, annotation):
    return encode_png(levelled_image(image, annotation.eyes))


def build(splits, folder: pathlib.Path) -> tuple[dict, list]:
    """The examples by split and id, and the report's rows."""
    config_dir = folder / "affectnet" / "config"
    with Building.start(config_dir, "", max_lost_share=0.99) as building:
        examples = {name: dict(building.examples(name, split)) for name, split in splits.items()}
    with (config_dir.parent / "reports" / "config_skipped.csv").open(newline="") as report:
        return examples, list(csv.DictReader(report))


def check(release: RawRelease, examples: dict, report: list) -> None:
    """Every example, every label and every reason is what was written."""
    for split, truths in release.examples.items():
        assert list(examples[split]) == list(truths)
        for name, truth in truths.items():
            example = examples[split][name]
            assert example["id"] == name
            assert example["expression"] == truth.expression
            np.testing.assert_equal((example["valence"], example["arousal"]), (truth.valence, truth.arousal))
        skipped = [row for row in report if row["split"] == split and not row["reason"].startswith("kept: ")]
        assert [(row["id"], row["reason"]) for row in skipped] == release.skipped[split]
        assert all(row["detail"] for row in skipped)


def decoded(example: dict) -> np.ndarray:
    image = Image.open(io.BytesIO(example["image"]))
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("headers", [("training",), ("training", "validation"), ()])
def test_lists_in_every_layout(tmp_path, beside, headers):
    release = write_lists(tmp_path / "raw", raw_faces(), beside=beside, headers=headers)
    splits = read_lists(release.root, lambda image, annotation: b"")
    assert {name: split.not_examples for name, split in splits.items()} == release.not_examples
    totals = {name: split.total for name, split in splits.items()}
    assert totals == {name: len(release.examples[name]) + len(release.skipped[name]) for name in totals}
    check(release, *build(splits, tmp_path))


def test_lists_to_faces(tmp_path):
    """Painted faces, so that the pictures themselves tell where eyes and head have gone."""
    release = write_lists(tmp_path / "raw", [painted(face) for face in raw_faces()])
    examples, report = build(read_lists(release.root, aligned), tmp_path)
    check(release, examples, report)
    grey = ("1/format.JPG", "3/format.TIF")
    assert all(np.ptp(decoded(examples["train"][name]).astype(int), axis=-1).max() < 12 for name in grey)
    coloured = release.examples["train"].keys() - {*grey, "2/format.PNG"}  # a palette has too few colours for dots
    assert len(coloured) == 14  # of 11 formats and 6 other sound rows
    for name in coloured:
        check_level_and_in_place(release.examples["train"][name].face, decoded(examples["train"][name]))


def test_the_report_says_where_and_what(tmp_path):
    release = write_lists(tmp_path / "raw", raw_faces(), headers=())
    _, report = build(read_lists(release.root, aligned), tmp_path)
    row_a = next(row for row in report if row["reason"] == "box missing")
    # The 21st of the training list's lines: eleven formats, six whole entries, three that are none.
    assert row_a["where"] == "training.csv line 21" and row_a["detail"].startswith("NULL, NULL, ")
    outside = next(row for row in report if row["reason"] == "box outside the image")
    assert "195.0, 10.0, 60.0, 60.0" in outside["detail"] and "190 x 190" in outside["detail"]
    cut_short = next(row for row in report if row["reason"] == "image unreadable")
    assert "truncated" in cut_short["detail"]


def test_counts_of_another_release_are_warned_of(tmp_path):
    release = write_lists(tmp_path / "raw", raw_faces())
    splits = read_lists(release.root, aligned)
    (warning,) = splits["validation"].warnings
    assert "expected Neutral 500, found 1; Happy 500, found 0; " in warning
    assert "Contempt 500, found 2; None 500, found 1; Uncertain 500, found 1; No-Face 500, found 0." in warning
    (warning,) = splits["train"].warnings
    assert "Neutral 74,874, found " in warning and "Uncertain 11,645, found 2" in warning


def test_counts_of_the_release_and_of_a_copy_without_the_broken_row(tmp_path):
    counts = (74874, 134416, 25459, 14090, 6378, 3803, 24882, 3750, 33088, 11645, 82415)
    images = tmp_path / "Manually_Annotated_Images" / "1"
    images.mkdir(parents=True)
    for name, changed in (("training", counts), ("validation", [500] * 7 + [499] + [500] * 3)):
        rows = (f"1/a.jpg,,,,,,{code},0,0\n" * count for code, count in enumerate(changed))
        (tmp_path / f"{name}.csv").write_text("".join(rows))
    splits = read_lists(tmp_path, aligned)
    assert (splits["train"].warnings, splits["validation"].warnings) == ((), ())
    assert splits["train"].total == 414800 - 11645 - 82415
    assert splits["train"].not_examples == {"Uncertain": 11645, "No-Face": 82415}


def test_arrays_to_faces(tmp_path):
    release = write_arrays(tmp_path / "raw", [painted(face) for face in raw_faces()])
    examples, report = build(read_arrays(release.root, levelled), tmp_path)
    check(release, examples, report)
    for split, truths in release.examples.items():
        for name, truth in truths.items():
            face = decoded(examples[split][name])
            assert face.shape == (224, 224, 3)
            if truth.eyes_known:
                (left_x, left_y), (right_x, right_y), _ = find_dots(face)
                assert abs(np.degrees(np.arctan2(right_y - left_y, right_x - left_x))) < 1
            else:
                assert np.abs(face.astype(int) - truth.face.image_HxWx3).mean() < 2
    assert sum(truth.eyes_known for truth in release.examples["train"].values()) == 5


def test_images_whose_landmarks_are_useless_are_counted(tmp_path):
    release = write_arrays(tmp_path / "raw", raw_faces())
    *_, warning = read_arrays(release.root, levelled)["train"].warnings
    # Of 17 images 50, 52, 53 and 54 have no labels; 57, 58, 60 and 61 have no 136 numbers.
    assert warning == "Warning: 4 of 13 images have no usable landmarks: they stay as they are."


@pytest.mark.parametrize("part", ["", "train_set", "val_set/images", "train_set/annotations"])
def test_a_folder_that_an_archive_has_doubled_is_found(tmp_path, part):
    release = write_arrays(tmp_path / "raw", raw_faces())
    folder = release.root / part
    moved = folder.rename(tmp_path / "away")
    folder.mkdir()
    moved.rename(folder / folder.name)
    check(release, *build(read_arrays(tmp_path / "raw", levelled), tmp_path))


@pytest.mark.parametrize("spelling", [str.capitalize, str.upper, lambda name: f"unpacked/{name.title()}"])
def test_folders_of_arrays_are_found_in_capitals_and_in_others(tmp_path, spelling):
    release = write_arrays(tmp_path / "raw", raw_faces())
    for split in ("train_set", "val_set"):
        for part in ("images", "annotations"):
            renamed = release.root / split / spelling(part)
            renamed.parent.mkdir(exist_ok=True)
            (release.root / split / part).rename(renamed)
        (release.root / split).rename(release.root / split.upper())
    check(release, *build(read_arrays(tmp_path / "raw", levelled), tmp_path))


def test_arrays_of_bytes_are_read_as_those_of_text(tmp_path):
    release = write_arrays(tmp_path / "raw", raw_faces())
    changed = 0
    for path in release.root.rglob("*.npy"):
        with contextlib.suppress(ValueError, EOFError):  # one of the broken ones
            array = np.load(path)
            if array.dtype.kind == "U":
                np.save(path, np.char.encode(array))
                changed += 1
    assert changed > 10
    check(release, *build(read_arrays(release.root, levelled), tmp_path))


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("val_set", r"March-2021 release in .*, and did not find val_set there"),
        ("train_set/images", r"folders images and annotations in .*train_set .*, and found no images there"),
        ("val_set/annotations", r"folders images and annotations in .*val_set .*, and found no annotations there"),
    ],
)
def test_a_part_that_is_missing_is_named(tmp_path, gone, sentence):
    release = write_arrays(tmp_path / "raw", raw_faces())
    (release.root / gone).rename(tmp_path / "away")
    with pytest.raises(UserError, match=sentence):
        read_arrays(release.root, levelled)


def test_lists_in_a_doubled_folder_of_a_doubled_folder(tmp_path):
    release = write_lists(tmp_path / "raw" / "AffectNet" / "AffectNet", raw_faces())
    check(release, *build(read_lists(tmp_path / "raw", lambda image, annotation: b""), tmp_path))


def test_eyes_outside_the_box_are_warned_of(tmp_path, capsys):
    """As where an image is turned by its EXIF note, and the box was drawn before, the landmarks after."""
    release = write_lists(tmp_path / "raw", raw_faces())
    (path,) = release.root.rglob("training.csv")
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([cells[0], "0", "0", "20", "20", *cells[5:]])
    path.write_text("\n".join(lines))
    examples, report = build(read_lists(release.root, aligned), tmp_path)
    assert list(examples["train"]) == list(release.examples["train"])
    (kept,) = (row for row in report if row["reason"].startswith("kept: "))
    assert (kept["id"], kept["reason"]) == (cells[0], "kept: eyes outside the face's box")
    assert "box (0.0, 0.0, 20.0, 20.0); image 190 x 190" in kept["detail"]
    assert "17 examples; Warning: 1 of them doubtful, look at their images (1 eyes outside the face's box)" in (
        capsys.readouterr().out
    )


def test_arrays_warn_of_counts_too(tmp_path):
    release = write_arrays(tmp_path / "raw", raw_faces())
    (warning,) = read_arrays(release.root, levelled)["validation"].warnings
    assert warning.endswith("Anger 500, found 0; Contempt 500, found 0."), "eight classes"


def test_each_release_is_recognised_where_the_other_was_expected(tmp_path):
    lists, arrays = tmp_path / "lists", tmp_path / "arrays"
    write_lists(lists, raw_faces())
    write_arrays(arrays, raw_faces())
    with pytest.raises(UserError, match=r"original release in .*arrays, and did not find training.csv or .*config npy"):
        read_lists(arrays, aligned)
    with pytest.raises(UserError, match=r"March-2021 release in .*lists, and did not find train_set .*config csv"):
        read_arrays(lists, levelled)
    for path in lists.rglob("validation.csv"):
        path.unlink()
    with pytest.raises(UserError, match=r"did not find validation.csv there or up to 4 folders down: name the folder"):
        read_lists(lists, aligned)


def test_a_header_without_a_column_is_said(tmp_path):
    release = write_lists(tmp_path / "raw", raw_faces(), headers=("training",))
    (path,) = release.root.rglob("training.csv")
    path.write_text(path.read_text().replace("facial_landmarks", "points", 1))
    with pytest.raises(UserError, match=r"training.csv, and its header 'subDir.*' has no facial_landmarks"):
        read_lists(release.root, aligned)
