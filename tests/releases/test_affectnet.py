"""From raw folders in every layout to faces: what is found, what is reported, and where the faces are."""

import csv
import io
import pathlib

import numpy as np
import pytest
from etils import epath
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import encode_jpeg, encode_png
from emotion_gcn_jax.releases.affectnet import read_arrays, read_lists
from emotion_gcn_jax.releases.affectnet_faces import aligned_face, levelled_image
from emotion_gcn_jax.releases.building import Building
from tests.raw_affectnet import RawRelease, find_dots, painted, raw_faces, write_arrays, write_lists
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
        assert [(row["id"], row["reason"]) for row in report if row["split"] == split] == release.skipped[split]


def decoded(example: dict) -> np.ndarray:
    image = Image.open(io.BytesIO(example["image"]))
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("headers", [("training",), ("training", "validation"), ()])
def test_lists_in_every_layout(tmp_path, beside, headers):
    release = write_lists(tmp_path / "raw", raw_faces(), beside=beside, headers=headers)
    splits = read_lists(epath.Path(release.root), lambda image, annotation: b"")
    assert {name: split.not_examples for name, split in splits.items()} == release.not_examples
    totals = {name: split.total for name, split in splits.items()}
    assert totals == {name: len(release.examples[name]) + len(release.skipped[name]) for name in totals}
    check(release, *build(splits, tmp_path))


def test_lists_to_faces(tmp_path):
    """Painted faces, so that the pictures themselves tell where eyes and head have gone."""
    release = write_lists(tmp_path / "raw", [painted(face) for face in raw_faces()])
    examples, report = build(read_lists(epath.Path(release.root), aligned), tmp_path)
    check(release, examples, report)
    coloured = 0
    for name, truth in release.examples["train"].items():
        face = decoded(examples["train"][name])
        if name.endswith((".JPG", ".TIF")) and not name.startswith("8/"):
            assert np.ptp(face.astype(int), axis=-1).max() < 12, "grey files"
        elif not name.endswith(".PNG"):  # a palette has too few colours for dots
            check_level_and_in_place(truth.face, face)
            coloured += 1
    assert coloured == 14


def test_the_report_says_where_and_what(tmp_path):
    release = write_lists(tmp_path / "raw", raw_faces(), headers=())
    _, report = build(read_lists(epath.Path(release.root), aligned), tmp_path)
    row_a = next(row for row in report if row["reason"] == "box missing")
    # The 21st of the training list's lines: eleven formats, six whole entries, three that are none.
    assert row_a["where"] == "training.csv line 21" and row_a["detail"].startswith("NULL, NULL, ")
    outside = next(row for row in report if row["reason"] == "box outside the image")
    assert "195.0, 10.0, 60.0, 60.0" in outside["detail"] and "190 x 190" in outside["detail"]
    cut_short = next(row for row in report if row["reason"] == "image unreadable")
    assert "truncated" in cut_short["detail"]


def test_list_columns_in_another_order_and_with_a_byte_order_mark(tmp_path):
    release = write_lists(tmp_path / "raw", raw_faces(), headers=("training", "validation"))
    for path in release.root.rglob("*.csv"):
        lines = [line.split(",") for line in path.read_text().splitlines()]
        moved = [",".join([line[0], *line[:0:-1]]) for line in lines]
        path.write_text("\n".join(moved), encoding="utf-8-sig")
    (release.root / "2021").mkdir()  # is no folder of images
    check(release, *build(read_lists(epath.Path(release.root), aligned), tmp_path))


def test_counts_of_another_release_are_warned_of(tmp_path):
    release = write_lists(tmp_path / "raw", raw_faces())
    splits = read_lists(epath.Path(release.root), aligned)
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
    splits = read_lists(epath.Path(tmp_path), aligned)
    assert (splits["train"].warnings, splits["validation"].warnings) == ((), ())
    assert splits["train"].total == 414800 - 11645 - 82415
    assert splits["train"].not_examples == {"Uncertain": 11645, "No-Face": 82415}


def test_arrays_to_faces(tmp_path):
    release = write_arrays(tmp_path / "raw", [painted(face) for face in raw_faces()])
    examples, report = build(read_arrays(epath.Path(release.root), levelled), tmp_path)
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


def test_arrays_warn_of_counts_too(tmp_path):
    release = write_arrays(tmp_path / "raw", raw_faces())
    (warning,) = read_arrays(epath.Path(release.root), levelled)["validation"].warnings
    assert warning.endswith("Anger 500, found 0; Contempt 500, found 0."), "eight classes"


def test_each_release_is_recognised_where_the_other_was_expected(tmp_path):
    lists, arrays = tmp_path / "lists", tmp_path / "arrays"
    write_lists(lists, raw_faces())
    write_arrays(arrays, raw_faces())
    with pytest.raises(UserError, match=r"original release in .*arrays, and did not find training.csv or .*config npy"):
        read_lists(epath.Path(arrays), aligned)
    with pytest.raises(UserError, match=r"March-2021 release in .*lists, and did not find train_set .*config csv"):
        read_arrays(epath.Path(lists), levelled)
    for path in lists.rglob("validation.csv"):
        path.unlink()
    with pytest.raises(UserError, match=r"did not find validation.csv there or up to 3 folders down: name the folder"):
        read_lists(epath.Path(lists), aligned)


def test_a_header_without_a_column_is_said(tmp_path):
    release = write_lists(tmp_path / "raw", raw_faces(), headers=("training",))
    (path,) = release.root.rglob("training.csv")
    path.write_text(path.read_text().replace("facial_landmarks", "points", 1))
    with pytest.raises(UserError, match=r"training.csv, and its header has no facial_landmarks"):
        read_lists(epath.Path(release.root), aligned)
