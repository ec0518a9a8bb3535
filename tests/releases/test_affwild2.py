"""Every edition's raw folder, read for every task: what comes out is what the generator knows to be in it."""

import collections
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases import affwild2, affwild2_counts
from emotion_gcn_jax.releases.affwild2_annotations import UNITS
from emotion_gcn_jax.releases.affwild2_layout import SPLITS, find
from emotion_gcn_jax.releases.building import Skip
from tests import raw_affwild2

TASKS = {"1st": "expr va au expr_va frames", "3rd": "expr va au expr_va frames mtl", "4th": "mtl"}
TASKS |= {"2nd": TASKS["1st"]}
TASKS |= {"5th": TASKS["1st"], "6th": TASKS["1st"], "7th": "mtl"}
EVERY_CASE = [(edition, task, split) for edition, tasks in TASKS.items() for task in tasks.split() for split in SPLITS]


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
    release_split = affwild2.read_split(find(root, task), task, split, **options)
    examples, skipped, total = {}, collections.defaultdict(set), 0
    for entry in release_split.entries:
        total += 1
        try:
            if isinstance(entry.content, Skip):
                raise entry.content
            example = release_split.make(entry.content)
        except Skip as skip:
            assert skip.detail, "every reason says what was found"
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
        assert set(example) == {"image", "video", "frame", "recording", "video_frames", *affwild2.COLUMNS[task]}
        assert name == f"{example['video']}/{example['frame']:05d}"
        known = {key: value for key, value in truth.items() if key not in ("marks", "units")}
        assert known == {key: as_written(example[key]) for key in known}
        np.testing.assert_allclose(marks(example["image"]), truth["marks"], atol=2)
        units = zip(UNITS, example.get("action_units", ()), strict="action_units" in example)
        found = {int(unit[2:]): int(value) for unit, value in units if value >= 0}
        assert found == {unit: value for unit, value in truth.get("units", {}).items() if value >= 0}


def as_written(value):
    """A label as the raw folder has it: two digits, and None for NaN."""
    if isinstance(value, np.floating):
        return None if np.isnan(value) else round(float(value), 2)
    return value


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


@pytest.mark.parametrize("split", SPLITS)
def test_the_official_merge_takes_valence_and_arousal_of_both_splits(raw, split):
    video = {"train": "across/", "validation": "val2/"}[split]
    without = read(raw("2nd"), "expr_va", split)[0]
    merged = read(raw("2nd"), "expr_va", split, merge_va=True)[0]
    assert merged.keys() == raw_affwild2.expected("2nd", "expr_va", split, merge_va=True).examples.keys()
    assert not any(name.startswith(video) for name in without)
    assert {name for name in merged if name not in without} == {f"{video}{number:05d}" for number in range(1, 5)}


@pytest.mark.parametrize("split", SPLITS)
def test_frames_can_be_divided_as_each_set_is(raw, split):
    """Then a recording may be on both sides, by labels of different sets; that is warned of."""
    expected = raw_affwild2.expected("3rd", "frames", split, split_by="task")
    examples, _, release_split = read(raw("3rd"), "frames", split, split_by="task")
    assert examples.keys() == expected.examples.keys()
    # val2 is in the training set of valence and arousal, and in the validation sets of the others.
    example = examples["val2/00001"]
    known = (
        example["expression"] >= 0,
        bool(np.isfinite(example["valence"])),
        bool((example["action_units"] >= 0).any()),
    )
    assert known == ((False, True, False) if split == "train" else (True, False, True))
    overlap = [warning for warning in release_split.warnings if "overlap" in warning]
    # across and val2, of 4 frames each
    assert [("2 recordings with 8 annotated frames" in warning) for warning in overlap] == [True] * (split == "train")


def test_no_recording_of_a_validation_set_is_trained_on(tmp_path):
    """Nor is the other person of its videos."""
    raw_affwild2.write(tmp_path, "2nd")
    (file,) = tmp_path.glob("annotations/AU_Set/Train_Set/12-24-1920x1080_left.txt")
    file.rename(file.parents[1] / "Validation_Set" / file.name)
    examples = {split: read(tmp_path, "frames", split)[0].values() for split in SPLITS}
    recordings = {split: {example["recording"] for example in examples[split]} for split in SPLITS}
    assert not recordings["train"] & recordings["validation"]
    assert {example["video"] for example in examples["validation"]} >= {"12-24-1920x1080_left", "across", "val2"}
    assert "12-24-1920x1080" not in recordings["train"]
    left = [example for example in examples["validation"] if example["video"] == "12-24-1920x1080_left"]
    assert all(example["expression"] == -1 and (example["action_units"] >= 0).any() for example in left)


def test_the_joined_files_of_a_video_may_differ_in_length(raw):
    """The last frame of short has no row of valence and arousal, and all other labels."""
    example = read(raw("2nd"), "frames", "train")[0]["short/00004"]
    assert np.isnan(example["valence"]) and example["expression"] >= 0 and (example["action_units"] >= 0).any()


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
        find(tmp_path, "expr")
    found = find(tmp_path, "expr_va", "6th ABAW Annotations")
    assert "EXPR_Recognition_Challenge" in found.sets["expr", "train"].parts
    with pytest.raises(UserError, match=r"below a folder 8th, and found none"):
        find(tmp_path, "expr", "8th")


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
        find(tmp_path, task)


def test_folders_that_tools_unpack_once_more_are_found(raw, tmp_path):
    (tmp_path / "Aff-Wild2" / "cropped_aligned").mkdir(parents=True)
    source = raw("2nd")
    (tmp_path / "Aff-Wild2" / "annotations").symlink_to(source / "annotations", target_is_directory=True)
    inner = tmp_path / "Aff-Wild2" / "cropped_aligned" / "cropped_aligned"
    inner.mkdir()
    for folder in (source / "cropped_aligned").iterdir():
        (inner / folder.name).symlink_to(folder, target_is_directory=True)
    assert read(tmp_path, "expr", "train")[0].keys() == raw_affwild2.expected("2nd", "expr", "train").examples.keys()


@pytest.mark.parametrize("task", ["expr_va", "expr", "va", "au"])
def test_a_video_whose_frames_are_numbered_from_0_is_lost(tmp_path, task):
    """Row n is frame n, so its labels would be one frame off; the others are read."""
    raw_affwild2.write(tmp_path, "2nd")
    folder = tmp_path / "cropped_aligned" / "12-24-1920x1080_left"
    for file in sorted(folder.iterdir()):
        file.rename(folder / f"{int(file.stem) - 1:05d}.jpg")
    expected = raw_affwild2.expected("2nd", task, "train").examples.keys()
    examples, skipped, _ = read(tmp_path, task, "train")
    lost = {name for name in expected if name.startswith(folder.name)}
    assert lost and skipped["frames numbered from 0"] == lost
    assert examples.keys() == expected - lost


def test_the_multi_task_set_names_its_frames_and_may_have_a_frame_0(tmp_path):
    raw_affwild2.write(tmp_path, "4th")
    file = tmp_path / "training_set_annotations.txt"
    file.write_text(file.read_text().replace("across/00001", "across/00000"))
    folder = tmp_path / "cropped_aligned" / "across"
    (folder / "00001.jpg").rename(folder / "00000.jpg")
    assert "across/00000" in read(tmp_path, "mtl", "train")[0]


def test_a_repeated_row_is_named_with_the_first_of_its_frame(raw):
    entries = affwild2.read_split(find(raw("4th"), "mtl"), "mtl", "train").entries
    (repeated,) = (entry for entry in entries if isinstance(entry.content, Skip) and "repeated" in entry.content.reason)
    again, first = (int(text.split()[-1]) for text in (repeated.where, repeated.content.detail.removesuffix(" has")))
    lines = (raw("4th") / "training_set_annotations.txt").read_text().splitlines()
    assert first < again and lines[first - 1].split(",")[0] == lines[again - 1].split(",")[0]


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
