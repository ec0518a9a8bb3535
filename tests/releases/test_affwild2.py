"""Every edition's raw folder, read for every task: what comes out is what the generator knows to be in it."""

import collections
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases import affwild2, affwild2_annotations, affwild2_counts
from emotion_gcn_jax.releases.affwild2_annotations import ACTION_UNITS
from emotion_gcn_jax.releases.building import Skip
from tests import raw_affwild2

TASKS = {"1st": "expr va au expr_va", "2nd": "expr va au expr_va", "3rd": "expr va au expr_va mtl", "4th": "mtl"}
TASKS |= {"5th": TASKS["1st"], "6th": TASKS["1st"], "7th": "mtl"}
EVERY_CASE = [
    (edition, task, split) for edition, tasks in TASKS.items() for task in tasks.split() for split in affwild2.SPLITS
]


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """A function of an edition's name to its raw folder, written once."""
    folders = {}

    def written(edition):
        if edition not in folders:
            folders[edition] = tmp_path_factory.mktemp(edition)
            raw_affwild2.write(folders[edition], edition)
        return folders[edition]

    return written


def read(root: pathlib.Path, task: str, split: str, **options):
    """The examples by id, the skipped ids by reason, and the split."""
    release_split = affwild2.read_split(affwild2.find(root, task), task, split, **options)
    examples, skipped, total = {}, collections.defaultdict(set), 0
    for entry in release_split.entries:
        total += 1
        try:
            if isinstance(entry.content, Skip):
                raise entry.content
            example = release_split.make(entry.content)
        except Skip as skip:
            skipped[skip.reason].add(entry.id)
        else:
            assert entry.id not in examples
            examples[entry.id] = example
    assert total == release_split.total
    return examples, dict(skipped), release_split


def marks(image: bytes) -> tuple[int, int]:
    """The grey of the two squares in the corner."""
    pixels = np.asarray(Image.open(io.BytesIO(image)))
    assert pixels.shape == (raw_affwild2.SIZE, raw_affwild2.SIZE, 3)
    size = raw_affwild2.MARK
    return tuple(
        round(float(pixels[4:-4, 4:-4].mean())) for pixels in (pixels[:size, :size], pixels[:size, size : 2 * size])
    )


@pytest.mark.parametrize(("edition", "task", "split"), EVERY_CASE)
def test_examples_losses_and_counts_are_those_that_were_written(raw, edition, task, split):
    expected = raw_affwild2.expected(edition, task, split)
    examples, skipped, release_split = read(raw(edition), task, split)
    assert skipped == {reason: ids for reason, ids in expected.skipped.items() if ids}
    assert {kind: n for kind, n in release_split.not_examples.items() if n} == dict(expected.others)
    assert examples.keys() == expected.examples.keys()
    for name, truth in expected.examples.items():
        example = examples[name]
        for key in ("expression", "other", "video", "recording"):
            assert example[key] == truth[key], (name, key)
        for key in ("valence", "arousal"):
            assert example[key] == np.float32(np.nan if truth[key] is None else truth[key]) or (
                truth[key] is None and np.isnan(example[key])
            )
        np.testing.assert_allclose(marks(example["image"]), truth["marks"], atol=2)
        if task in ("au", "mtl"):
            units = {unit: int(value) for unit, value in zip(ACTION_UNITS, example["action_units"], strict=True)}
            assert {unit: value for unit, value in units.items() if value >= 0} == {
                unit: value for unit, value in truth["units"].items() if value >= 0
            }
        else:
            assert "action_units" not in example


def test_the_story_has_every_oddity(raw):
    reasons = set()
    for edition, task, split in EVERY_CASE:
        reasons |= {reason for reason, ids in raw_affwild2.expected(edition, task, split).skipped.items() if ids}
    assert reasons == {
        "image empty",
        "not a frame",
        "video folder missing",
        "image missing",
        "no annotation row",
        "row malformed",
        "row repeated",
        "image unreadable",
    }


@pytest.mark.parametrize("split", affwild2.SPLITS)
def test_the_official_merge_takes_valence_and_arousal_of_both_splits(raw, split):
    video = {"train": "across/", "validation": "val2/"}[split]
    without = read(raw("2nd"), "expr_va", split)[0]
    merged = read(raw("2nd"), "expr_va", split, merge_va=True)[0]
    assert merged.keys() == raw_affwild2.expected("2nd", "expr_va", split, merge_va=True).examples.keys()
    assert not any(name.startswith(video) for name in without)
    assert {name for name in merged if name not in without} == {f"{video}{number:05d}" for number in range(1, 5)}


def test_stored_images_are_jpeg_without_colour_subsampling(raw):
    image = next(iter(read(raw("2nd"), "expr", "validation")[0].values()))["image"]
    with Image.open(io.BytesIO(image)) as opened:
        assert opened.format == "JPEG" and opened.mode == "RGB"
        assert {layer[1:3] for layer in opened.layer} == {(1, 1)}  # every component's sampling factors


def test_annotations_of_two_editions_ask_which_one_is_meant(tmp_path):
    raw_affwild2.write(tmp_path, "2nd")
    for edition in ("3rd", "6th"):
        raw_affwild2.write(tmp_path / edition, edition)
    with pytest.raises(
        UserError, match=r"expr train annotations of one edition .* found 3rd/Third ABAW .*\"edition\": "
    ):
        affwild2.find(tmp_path, "expr")
    found = affwild2.find(tmp_path, "expr_va", "6th ABAW Annotations")
    assert "EXPR_Recognition_Challenge" in found.sets["expr", "train"].parts
    with pytest.raises(UserError, match=r"below a folder 8th, and found none"):
        affwild2.find(tmp_path, "expr", "8th")


@pytest.mark.parametrize(
    ("gone", "task", "sentence"),
    [
        (
            "annotations/EXPR_Set/Validation_Set",
            "expr_va",
            r"annotations of expr validation in .*found au train, .*README",
        ),
        ("annotations", "va", r"annotations of va train, va validation in .*, and found none"),
        ("cropped_aligned", "expr", r"Expected a folder cropped_aligned .*found none: unpack"),
    ],
)
def test_what_is_missing_is_named(tmp_path, gone, task, sentence):
    raw_affwild2.write(tmp_path, "2nd")
    (tmp_path / gone).rename(tmp_path / ".away")
    with pytest.raises(UserError, match=sentence):
        affwild2.find(tmp_path, task)


def test_folders_that_tools_unpack_once_more_are_found(raw, tmp_path):
    (tmp_path / "Aff-Wild2" / "cropped_aligned").mkdir(parents=True)
    source = raw("2nd")
    (tmp_path / "Aff-Wild2" / "annotations").symlink_to(source / "annotations", target_is_directory=True)
    inner = tmp_path / "Aff-Wild2" / "cropped_aligned" / "cropped_aligned"
    inner.mkdir()
    for folder in (source / "cropped_aligned").iterdir():
        (inner / folder.name).symlink_to(folder, target_is_directory=True)
    assert read(tmp_path, "expr", "train")[0].keys() == raw_affwild2.expected("2nd", "expr", "train").examples.keys()


def test_class_order_that_is_not_known_is_refused(tmp_path):
    file = tmp_path / "video.txt"
    file.write_text("Neutral,Happiness,Anger\n0\n")
    with pytest.raises(UserError, match=r"classes neutral, anger, .* found Neutral, Happiness, Anger in .*video.txt"):
        affwild2_annotations.read_expressions(file)


def test_rows_keep_their_frames_whatever_is_between_them(tmp_path):
    file = tmp_path / "video.txt"
    file.write_bytes(b"\xef\xbb\xbfvalence,arousal\r\n0.5,-0.5\r\n\r\n1,1,1\r\n-5,-5\r\n0.25,1.01\r\n-1,1\r\n\r\n\r\n")
    table = affwild2_annotations.read_affect(file)
    np.testing.assert_array_equal(table.malformed_N, [False, True, True, False, False, False])
    np.testing.assert_array_equal(table.frames_N, range(1, 7))
    np.testing.assert_array_equal(table.lines_N, range(2, 8))
    nothing = [np.nan, np.nan]
    np.testing.assert_array_equal(table.affect_Nx2, [[0.5, -0.5], nothing, nothing, nothing, nothing, [-1, 1]])


def test_codes_that_the_multi_task_set_does_not_have_are_malformed(tmp_path):
    file = tmp_path / "train_set.txt"
    units = ",0" * 12
    rows = [
        f"a/00001.jpg,0.5,0.5,3{units}",
        f"a/00002.jpg,0.5,0.5,9{units}",
        f"a/00003.jpg,0.5,0.5,3{',5' + units[2:]}",
    ]
    rows.append(f"a/00004.jpg,-5,-5,-1{',-1' * 12}")  # not annotated
    file.write_text("image,valence,arousal,expression,aus\n" + "\n".join(rows) + "\n")
    (table,) = affwild2_annotations.read_multi_task(file).values()
    np.testing.assert_array_equal(table.malformed_N, [False, True, True, False])


def test_files_without_names_and_empty_files(tmp_path):
    file = tmp_path / "video.txt"
    file.write_text("4\n-1\n7\n9\n")
    table = affwild2_annotations.read_expressions(file)
    np.testing.assert_array_equal(table.expression_N, [1, -1, -1, -1])
    np.testing.assert_array_equal(table.other_N, [False, False, True, False])
    np.testing.assert_array_equal(table.malformed_N, [False, False, False, True])
    assert table.lines_N[0] == 1
    file.write_text("0,1,0,1,0,1,1,0\n")
    assert affwild2_annotations.read_action_units(file).action_units_NxA[0, ACTION_UNITS.index(20)] == 1
    file.write_text("0,1\n")
    with pytest.raises(UserError, match=r"names of action units .* found 2 columns without names in"):
        affwild2_annotations.read_action_units(file)
    file.write_text("")
    assert len(affwild2_annotations.read_expressions(file)) == 0


def test_counts_of_known_editions_do_not_warn_and_others_do():
    classes = ("Neutral", "Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Other")  # Aff-Wild2's order
    counts = dict(zip(classes, (177198, 16573, 10771, 9080, 95463, 78751, 31615, 165866), strict=True))
    folder = pathlib.Path("5th_ABAW_Annotations/EXPR_Classification_Challenge/Train_Set")
    assert affwild2_counts.unlikely("expr", "train", folder, counts) == ()
    (warning,) = affwild2_counts.unlikely("expr", "train", folder, counts | {"Fear": 8000})
    assert "expected Fear 9,080, found 8,000." in warning
    assert affwild2_counts.unlikely("expr", "train", pathlib.Path("annotations/EXPR_Set/Train_Set"), {}) == ()
    for found, quiet in ((1555919, True), (1653930, True), (1600000, False)):
        folder = pathlib.Path("a/VA_Estimation_Challenge/Train_Set")
        assert (affwild2_counts.unlikely("va", "train", folder, {"frames": found}) == ()) == quiet
