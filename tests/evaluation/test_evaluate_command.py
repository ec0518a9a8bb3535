"""The command `emotion-gcn evaluate` on a user's own images; tests/training has it on built datasets."""

import csv
import json

import numpy as np
import pytest
from scipy import special

import emotion_gcn_jax as eg
from emotion_gcn_jax import cli
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.releases import affwild2_annotations as annotations
from emotion_gcn_jax.releases.affwild2_submission import FORMS
from tests.labelled_folders import damaged_table, without_damaged, write_class_folders, write_table
from tests.stored_runs import run_of
from tests.untrained import write_checkpoint

RUN = run_of("format_2")  # an emotion_gcn


def evaluate(checkpoint, images, output, *options):
    words = ["--checkpoint", checkpoint, "--images", images, "--output", output, *options]
    return cli.main(["evaluate", *map(str, words)])


def read_report(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    with (folder / "predictions.csv").open(newline="") as file:
        return metrics, list(csv.DictReader(file))


def test_a_folder_for_each_class(tmp_path, capsys):
    images = write_class_folders(tmp_path / "mine", ["happiness", "Sad"])
    assert evaluate(RUN, images, tmp_path / "report") == 0
    printed = capsys.readouterr().out
    assert "mean_class_accuracy" in printed and "left out" not in printed
    metrics, rows = read_report(tmp_path / "report")
    assert [row["id"] for row in rows] == ["Sad/0.png", "Sad/1.png", "happiness/0.png", "happiness/1.png"]
    assert [row["expression_true"] for row in rows] == ["Sad", "Sad", "Happy", "Happy"]
    hits = sum(row["expression_true"] == row["expression_predicted"] for row in rows)
    assert metrics["accuracy"] == hits / 4 and metrics["examples"] == 4
    assert metrics["ccc_mean"] is None and metrics["dataset"] == "mine"
    assert {path.name for path in (tmp_path / "report").glob("*.png")} == {"confusion.png"}


def test_a_table_of_some_labels(tmp_path, capsys):
    labels = [("Happy", 0.7, "train"), ("", -0.1, "test"), ("Sad", "", "test"), ("Contempt", "", "test")]
    rows = [{"expression": word, "valence": valence, "split": split} for word, valence, split in labels]
    table = write_table(tmp_path / "mine", rows)
    assert evaluate(RUN, table, tmp_path / "report", "--split", "test") == 0
    printed = capsys.readouterr().out
    assert "left out, since they have no label that counts here: 1 of 3 examples" in printed
    assert "cannot express count as none: found the expression Contempt (1), expected Neutral, Happy, Sad" in printed
    metrics, rows = read_report(tmp_path / "report")
    assert [row["id"] for row in rows] == ["1.png", "2.png"]  # a model without Contempt is not judged by it
    assert [(row["expression_true"], row["valence_true"]) for row in rows] == [("", "-0.1"), ("Sad", "")]
    assert metrics["split"] == "test" and metrics["rmse_arousal"] is None
    assert metrics["rmse_valence"] == pytest.approx(abs(-0.1 - float(rows[0]["valence_predicted"])), rel=1e-4)


def test_codes_in_the_place_of_words_are_named(tmp_path, capsys):
    table = write_table(tmp_path / "mine", [{"expression": "3"}, {"expression": "4"}])
    assert evaluate(RUN, table, tmp_path / "report") == 2
    said = capsys.readouterr().err
    assert "can express (found the expression 3 (1), 4 (1), expected Neutral, Happy, Sad" in said
    assert "config.dataset" not in said


def test_classes_of_ones_own(tmp_path):
    tasks = {"expression": {"kind": "classes", "vocabulary": "Bored,Engaged"}}
    run = write_checkpoint(tmp_path / "run", "single_task", tasks=tasks)
    assert evaluate(run, write_class_folders(tmp_path / "mine", ["Bored", "Engaged"]), tmp_path / "report") == 0
    metrics, _ = read_report(tmp_path / "report")
    assert metrics["confusion"]["label_names"] == ["Bored", "Engaged"]
    assert [sum(row) for row in metrics["confusion"]["matrix"]] == [2, 2]


def test_ten_crops(tmp_path):
    """Probabilities of the mean logits of ten crops, each judged by itself."""
    tasks = {"expression": {"kind": "classes", "vocabulary": "Bored,Engaged"}}
    run = write_checkpoint(tmp_path / "run", "single_task", tasks=tasks, side=40, crop=32)
    images = write_class_folders(tmp_path / "mine", ["Bored", "Engaged"])
    assert evaluate(run, images, tmp_path / "middle") == evaluate(run, images, tmp_path / "ten", "--ten-crop") == 0
    (middle, middle_rows), (ten, ten_rows) = (read_report(tmp_path / name) for name in ("middle", "ten"))
    assert (middle["ten_crop"], ten["ten_crop"]) == (False, True)
    model = eg.load(run)
    for row, of_middle in zip(ten_rows, middle_rows, strict=True):
        image = pictures.read(images / row["id"])
        crops = [image[top : top + 32, left : left + 32] for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4))]
        views = np.stack([view for crop in crops for view in (crop, crop[:, ::-1])])
        logits = np.asarray(model(model.input.normalise(views)).expression)
        shares = special.softmax(logits.mean(0))
        assert float(row["p_Bored"]) == pytest.approx(shares[0], abs=1e-5)
        assert float(of_middle["p_Bored"]) == pytest.approx(special.softmax(logits[8])[0], abs=1e-5)


def test_groups_of_a_tables_column(tmp_path, capsys):
    sites = ["north", "south", "north", "", "south", "south"]
    rows = [{"expression": word, "site": site} for word, site in zip(["Happy", "Sad"] * 3, sites, strict=True)]
    assert evaluate(RUN, write_table(tmp_path / "mine", rows), tmp_path / "report", "--by", "site") == 0
    printed = capsys.readouterr().out
    assert "site north (2, too few to tell)" in printed and "site unknown (1, too few to tell)" in printed
    metrics, rows = read_report(tmp_path / "report")
    assert metrics["groups"]["column"] == "site"
    hits = [row["expression_true"] == row["expression_predicted"] for row in rows]
    for site in ("", "north", "south"):
        of_site = [hit for hit, where in zip(hits, sites, strict=True) if where == site]
        part = metrics["groups"]["metrics"][site]
        assert part["examples"] == len(of_site)
        assert part["accuracy"] == pytest.approx(sum(of_site) / len(of_site))


@pytest.mark.parametrize("options", [[], ["--ten-crop"]], ids=["onnxruntime", "jax"])
def test_pictures_that_cannot_be_read_are_named_counted_and_left_out(tmp_path, capsys, options):
    tasks = {"expression": {"kind": "classes", "vocabulary": "Happy,Sad"}}
    run = write_checkpoint(tmp_path / "run", "single_task", tasks=tasks, side=40, crop=32)
    table = damaged_table(tmp_path / "mine")
    assert evaluate(run, table, tmp_path / "report", "--by", "site", *options) == 1
    printed = capsys.readouterr()
    first, second, third = printed.err.splitlines()
    assert "1.png: " in first and "4.png: The file cannot be read (No such file" in second and "5.png: " in third
    assert "left out, since they cannot be read: 3 of 6 images" in printed.out
    metrics, rows = read_report(tmp_path / "report")
    assert (metrics["examples"], metrics["unreadable"]) == (3, 3)
    assert [row["id"] for row in rows] == ["0.png", "2.png", "3.png"]
    assert {name: part["examples"] for name, part in metrics["groups"]["metrics"].items()} == {"n": 2, "s": 1}
    without_damaged(table)
    assert evaluate(run, table, tmp_path / "whole", "--by", "site", *options) == 0
    whole, whole_rows = read_report(tmp_path / "whole")
    assert whole_rows == rows and whole == metrics | {"unreadable": 0}


def test_a_picture_that_is_left_out_of_a_clip_is_a_hole(tmp_path):
    """Not a black picture, which would change the answers after it."""
    parts = {"trunk": "vgg_tiny", "recurrent": (6,), "clip_length": 6}
    tasks = {"expression": {"kind": "classes", "vocabulary": "Happy,Sad"}}
    run = write_checkpoint(tmp_path / "run", "mt_res_rnn", tasks=tasks, **parts)
    rows = [{"expression": word, "video": "a", "frame": n} for n, word in enumerate(["Happy", "Sad"] * 3, start=1)]
    table = write_table(tmp_path / "mine", rows)
    (tmp_path / "mine" / "2.png").write_text("no picture")
    assert evaluate(run, table, tmp_path / "report") == 1
    metrics, found = read_report(tmp_path / "report")
    lines = [line for line in table.read_text().splitlines() if line[0] != "2"]
    table.write_text("\n".join(lines))
    assert evaluate(run, table, tmp_path / "whole") == 0
    whole, expected = read_report(tmp_path / "whole")
    assert found == expected and [row["id"] for row in found] == ["0.png", "1.png", "3.png", "4.png", "5.png"]
    assert metrics == whole | {"unreadable": 1}


def test_where_no_picture_can_be_read_there_is_no_report(tmp_path, capsys):
    images = write_class_folders(tmp_path / "mine", ["Happy"], count=1)
    (images / "Happy" / "0.png").write_text("no picture")
    assert evaluate(RUN, images, tmp_path / "report") == 2
    named, stopped = capsys.readouterr().err.splitlines()
    assert "0.png: An image file was expected" in named and "No image of Split(mine, train, 1 example)" in stopped
    assert not list((tmp_path / "report").iterdir())


def video_rows(**labels):
    """Frames 1, 2 and 4 of a video of 5, in another order."""
    return [{"video": "12-24_left", "frame": frame, "video_frames": 5, **labels} for frame in (4, 1, 2)]


def test_a_submission_beside_the_report(tmp_path, capsys):
    """A frame without a label is judged for the submission, and left out of the report, which is as without it."""
    rows = [{**row, "valence": valence} for row, valence in zip(video_rows(), (0.5, "", -0.25), strict=True)]
    table = write_table(tmp_path / "mine", rows)
    assert evaluate(RUN, table, tmp_path / "report", "--submission", "va") == 0
    assert f"submission: {tmp_path / 'report' / 'submission_va'}" in capsys.readouterr().out
    assert evaluate(RUN, table, tmp_path / "alone") == 0
    assert read_report(tmp_path / "report") == read_report(tmp_path / "alone")
    written = annotations.read_affect(tmp_path / "report" / "submission_va" / "12-24_left.txt").affect_Nx2
    _, (fourth, second) = read_report(tmp_path / "report")
    assert written[3:, 0] == pytest.approx([float(fourth["valence_predicted"])] * 2, rel=1e-5)
    assert written[1:3, 1] == pytest.approx([float(second["arousal_predicted"])] * 2, rel=1e-5)  # 3 is a hole


def test_a_submission_of_a_network_in_time_leaves_the_report_as_it_is(tmp_path):
    """The frames without a label are examples of the submission's clips, and holes in the report's."""
    tasks = {"affect": {"kind": "values", "dimensions": "valence,arousal"}}
    run = write_checkpoint(tmp_path / "run", "mt_res_rnn", tasks=tasks, trunk="vgg_tiny", recurrent=(6,), clip_length=4)
    rows = [
        {"video": "12-24_left", "frame": frame, "video_frames": 8, "valence": "" if frame in (2, 3, 6) else 0.1 * frame}
        for frame in range(1, 9)
    ]
    table = write_table(tmp_path / "mine", rows)
    assert (
        evaluate(run, table, tmp_path / "with", "--submission", "va") == evaluate(run, table, tmp_path / "alone") == 0
    )
    assert read_report(tmp_path / "with") == read_report(tmp_path / "alone")
    written = annotations.read_affect(tmp_path / "with" / "submission_va" / "12-24_left.txt").affect_Nx2
    _, judged = read_report(tmp_path / "with")
    said = [float(row["valence_predicted"]) for row in judged]
    assert len(written) == 8 and written[0, 0] == pytest.approx(said[0], rel=1e-5)  # before any hole they agree
    assert not np.isclose(written[[3, 4, 6, 7], 0], said[1:], rtol=1e-6).all()


def test_a_submission_of_ten_crops(tmp_path):
    tasks = {"affect": {"kind": "values", "dimensions": "valence,arousal"}}
    run = write_checkpoint(tmp_path / "run", "single_task", tasks=tasks, side=40, crop=32)
    table = write_table(tmp_path / "mine", video_rows(valence=0.5))
    valences = []
    for name, options in (("middle", ()), ("ten", ("--ten-crop",))):
        assert evaluate(run, table, tmp_path / name, "--submission", "va", *options) == 0
        written = annotations.read_affect(tmp_path / name / "submission_va" / "12-24_left.txt").affect_Nx2
        _, rows = read_report(tmp_path / name)
        assert written[[3, 0, 1], 0] == pytest.approx([float(row["valence_predicted"]) for row in rows], rel=1e-5)
        valences.append(written[:, 0])
    assert not np.isclose(*valences).any()


def test_a_submission_needs_every_picture(tmp_path, capsys):
    table = write_table(tmp_path / "mine", video_rows(valence=0.5))
    (tmp_path / "mine" / "1.png").unlink()
    assert evaluate(RUN, table, tmp_path / "report", "--submission", "va") == 2
    assert "1.png: The file cannot be read" in capsys.readouterr().err
    assert not list((tmp_path / "report").iterdir())


def test_a_submission_of_a_test_set_without_labels(tmp_path, capsys):
    table = write_table(tmp_path / "mine", video_rows(expression=""))
    assert evaluate(RUN, table, tmp_path / "report", "--submission", "expr") == 0
    assert "no example has a label: there is no report" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["submission_expr"]
    table = annotations.read_expressions(tmp_path / "report" / "submission_expr" / "12-24_left.txt")
    assert len(table) == 5 and (table.expression_N >= 0).all() and not table.malformed


def test_an_unknown_form_of_submission_is_answered_with_the_known_ones(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate(RUN, tmp_path, tmp_path / "report", "--submission", "abaw")
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "'abaw'" in message and all(form in message for form in FORMS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "mine", "--submission", "va"], "needs the columns video and frame"),
        (["--images", "mine", "--by", "site"], "--by must name a column of mine: expression, found site"),
        (["--images", "mine", "--config", "csv"], "--config and --data-dir are for --dataset alone"),
        (["--images", "nowhere"], "nowhere does not exist"),
        (["--images", "mine", "--split", "test"], "--split must name one of train, which mine has, found test"),
        (["--dataset", "mine"], "There is no dataset 'mine'"),
        (["--images", "mine", "--checkpoint", "nowhere"], "No checkpoint was found in"),
        (["--images", "mine", "--ten-crop"], "Ten crops are for a model that was trained on crops, and this one has"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_no_report(tmp_path, monkeypatch, capsys, options, message):
    write_class_folders(tmp_path / "mine", ["Happy", "Sad"])
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "--checkpoint", str(RUN), "--output", "report", *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert not (tmp_path / "report").exists()
