"""Annotation files in every form, and those that cannot be understood."""

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases import affwild2_annotations as annotations
from emotion_gcn_jax.releases.affwild2_annotations import LABEL_NAMES, UNITS

NOTHING = [np.nan, np.nan]
UNITS_12 = ",".join(f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "video.txt"


@pytest.mark.parametrize(
    "text",
    [
        "valence,arousal\n0.5,-0.25\n-5,-5\n",
        "0.5,-0.25\n-5,-5\n",
        "valence,arousal\n0.5 -0.25\n-5 -5\n",
        "valence arousal\n0.5  -0.25\n-5\t-5\n",
        "valence\tarousal\n0.5\t-0.25\n-5\t-5\n",
        "valence;arousal\n0.5;-0.25\n-5;-5\n",
        "valence, arousal\n0.5, -0.25\n-5, -5\n\n\n",
        "Arousal,Valence\n-0.25,0.5\n-5,-5\n",
        "\ufeffvalence,arousal\r\n0.5,-0.25\r\n-5,-5\r\n",
        "valence,arousal\n0.5,-0.25,\n-5,-5,,\n",
        "valence;arousal;\n0.5;-0.25;\n-5;-5;\n",
        "'valence','arousal'\n0.5,-0.25\n'-5','-5'\n",
        '"valence,arousal"\n"0.5,-0.25"\n"-5,-5"\n',
        "valence,arousal\n0.5,-0.25\n-5,-5\n".encode("utf-16"),
        "valence;arousal\n0,5;-0,25\n-5;-5\n",
        "0,5\t-0,25\n-5\t-5\n",
        "valence arousal\n0,50  -0,25\n-5,0 -5,0\n",
    ],
    ids=[
        "usual",
        "no names",
        "spaces",
        "all spaces",
        "tabs",
        "semicolons",
        "both",
        "other order",
        "mark and CRLF",
        "commas at rows' ends",
        "semicolons at all lines' ends",
        "cells in quotes",
        "lines in quotes",
        "UTF-16",
        "decimal commas and semicolons",
        "decimal commas and tabs without names",
        "decimal commas and spaces",
    ],
)
def test_valence_and_arousal_in_every_form(file, text):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    table = annotations.read_affect(file)
    np.testing.assert_array_equal(table.affect_Nx2, [[0.5, -0.25], NOTHING])
    assert not table.malformed and table.frames_N.tolist() == [1, 2]


@pytest.mark.parametrize("above", ["\n", " \r\n\n", "\ufeff\n"], ids=["one", "two", "mark"])
def test_blank_lines_above_the_names_are_no_frames(file, above):
    file.write_bytes(f"{above}valence,arousal\n0.5,-0.25\n0.25,0.75\n0,2,1\n".encode())
    table = annotations.read_affect(file)
    np.testing.assert_array_equal(table.affect_Nx2, [[0.5, -0.25], [0.25, 0.75], NOTHING])
    assert table.frames_N.tolist() == [1, 2, 3]
    assert table.malformed == {above.count("\n") + 4: "'0,2,1'"}


def test_blank_lines_above_the_class_names_are_no_frames(file):
    file.write_text("\nNeutral,Anger,Disgust\n1\n0\n")
    assert [LABEL_NAMES[place] for place in annotations.read_expressions(file).expression_N] == ["Anger", "Neutral"]


@pytest.mark.parametrize("names", ["arousal", "valence,dominance", "valence,arousal,frame", "valence,valence"])
def test_columns_that_are_not_valence_and_arousal_are_refused(file, names):
    file.write_text(f"{names}\n0.5,-0.25\n")
    with pytest.raises(UserError, match=r"Expected the columns valence and arousal, and found .* in .*video\.txt"):
        annotations.read_affect(file)


@pytest.mark.parametrize("separator", [",", " ", "\t", ";", ", "])
def test_expressions_in_every_form(file, separator):
    words = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
    file.write_text(separator.join(words) + "\n" + "\n".join(map(str, (*range(8), -1))))
    table = annotations.read_expressions(file)
    found = [None if place < 0 else LABEL_NAMES[place] for place in table.expression_N]
    assert found == ["Neutral", "Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Other", None]
    assert not table.malformed


@pytest.mark.parametrize("names", ["Neutral,Happiness,Anger", "Anger,Neutral,Disgust", "Neutral,Anger,Bored"])
def test_a_class_order_that_is_not_known_is_refused(file, names):
    file.write_text(f"{names}\n0\n")
    with pytest.raises(UserError, match=r"Expected the classes Neutral, Anger, .*video\.txt"):
        annotations.read_expressions(file)


def test_rows_keep_their_frames_and_say_what_is_wrong(file):
    file.write_text("valence,arousal\n0.5,-0.5\n\n1,1,1\n-5,-5\n0.25,1.01\n-1,1\nx,0.5\n")
    table = annotations.read_affect(file)
    assert table.malformed == {3: "''", 4: "'1,1,1'", 8: "'x,0.5'"}
    assert table.malformed_N.tolist() == [False, True, True, False, False, False, True]
    assert (table.frames_N.tolist(), table.lines_N.tolist()) == (list(range(1, 8)), list(range(2, 9)))
    expected = [[0.5, -0.5], NOTHING, NOTHING, NOTHING, NOTHING, [-1, 1], NOTHING]
    np.testing.assert_array_equal(table.affect_Nx2, expected)


def test_what_is_wrong_in_the_other_set_names_it(tmp_path):
    expressions, affect = tmp_path / "EXPR_Set" / "Train_Set" / "a.txt", tmp_path / "VA_Set" / "Train_Set" / "a.txt"
    expressions.parent.mkdir(parents=True)
    affect.parent.mkdir(parents=True)
    expressions.write_text("0\n1\n")
    affect.write_text("valence,arousal\n0.5,0.5\nNULL,0\n")
    table = annotations.read_expressions(expressions).with_labels_of(annotations.read_affect(affect))
    assert table.malformed == {2: "VA_Set line 3: 'NULL,0'"}


@pytest.mark.parametrize("text", ["Neutral,Anger,\n1,\n-1,\n", '"Neutral","Anger"\n"1"\n"-1"\n', "1,\n-1,\n"])
def test_expressions_with_separators_at_the_ends_or_in_quotes(file, text):
    file.write_text(text)
    table = annotations.read_expressions(file)
    assert table.expression_N.tolist() == [LABEL_NAMES.index("Anger"), -1] and not table.malformed


@pytest.mark.parametrize(("row", "malformed"), [("3", False), ("-1", False), ("8", True), ("1.5", True), ("", True)])
def test_codes_of_expressions(file, row, malformed):
    file.write_text(f"0\n{row}\n0\n")
    assert (2 in annotations.read_expressions(file).malformed) == malformed


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("0,1,0,1,0,1,1,0\n", "AU20", 1),
        ("0,1,0,1,0,1,1,0,0,0,1,-1\n", "AU25", 1),
        (f"{UNITS_12}\n0,1,0,1,0,1,1,0,0,0,1,-1\n", "AU20", -1),
        (f"{UNITS_12.replace('AU', '')}\n0,1,0,1,0,1,1,0,0,0,1,-1\n", "AU2", 1),
        (f"{UNITS_12.replace('AU', '')}\n0,1,0,1,0,1,1,0,0,0,1,-1\n", "AU26", -1),
        ("1,2,4,6,12,15,20,25\n0,1,0,1,0,1,1,0\n", "AU20", 1),
        ("\n26;1\n1;0\n", "AU26", 1),
        ("AU26,AU1\n1,0,\n", "AU26", 1),
        ('"AU26";"AU1"\n"1";"0"\n', "AU26", 1),
        ("AU26 AU1\n1 0\n", "AU26", 1),
        ("AU26\tAU1\n1\t0\n", "AU1", 0),
    ],
)
def test_action_units_by_name_or_number(file, text, unit, value):
    file.write_text(text)
    table = annotations.read_action_units(file)
    assert table.action_units_NxA[:, UNITS.index(unit)].tolist() == [value] and not table.malformed


@pytest.mark.parametrize(
    ("text", "found"),
    [("0,1\n", "2 columns without names"), ("AU1,AU3\n0,1\n", "AU1, AU3"), ("AU1,AU1\n0,1\n", "AU1, AU1")],
)
def test_action_units_that_are_not_known_are_refused(file, text, found):
    file.write_text(text)
    with pytest.raises(UserError, match=rf"names of action units .* found {found} in"):
        annotations.read_action_units(file)


@pytest.mark.parametrize(
    ("row", "malformed"),
    [
        ("a/00002.jpg,0.5,0.5,3" + ",0" * 12, False),
        ("a\\00002.jpg,-5,-5,-1" + ",-1" * 12, False),
        ("a/00002.jpg,0.5,0.5,9" + ",0" * 12, True),
        ("a/00002.jpg,0.5,0.5,3,5" + ",0" * 11, True),
        ("a/00002.jpg,0.5,0.5,3" + ",0" * 11, True),
    ],
    ids=["sound", "not annotated", "expression", "action unit", "short"],
)
def test_rows_of_the_multi_task_set(file, row, malformed):
    sound = "a/00001.jpg,0.5,0.5,3" + ",0" * 12
    file.write_text(f"image,valence,arousal,expression,aus\n{sound}\n{row}\n")
    (table,) = annotations.read_multi_task(file).values()
    assert table.malformed == ({3: repr(row[:60])} if malformed else {})


@pytest.mark.parametrize("separator", [" ", "\t", ";"])
@pytest.mark.parametrize("mark", [".", ","])
def test_the_multi_task_set_in_every_form(file, separator, mark):
    file.write_text(separator.join(["a/00001.jpg", f"0{mark}5", f"-0{mark}5", "4", *["1"] * 12]))
    (table,) = annotations.read_multi_task(file).values()
    np.testing.assert_array_equal(table.affect_Nx2, [[0.5, -0.5]])
    assert table.expression_N.tolist() == [LABEL_NAMES.index("Happy")] and table.action_units_NxA.sum() == 12 - 1


@pytest.mark.parametrize(
    "image", ["v_1/00007.jpg", "cropped_aligned/v_1/00007.jpg", "D:\\set\\v_1\\00007.jpg", "/v_1/7"]
)
def test_the_multi_task_sets_videos_are_known_by_their_last_folder(file, image):
    file.write_text(f"image,valence,arousal,expression,aus\n{image},0.5,0.5,3" + ",0" * 12 + ",\n")
    ((video, table),) = annotations.read_multi_task(file).items()
    assert (video, table.frames_N.tolist(), table.malformed) == ("v_1", [7], {})


def test_a_first_row_cut_short_does_not_make_it_the_first_editions_units(file):
    file.write_text("0,1,0,1,0,1,1,0,,,,\n" + "0,1,0,1,0,1,1,0,0,0,1,-1\n" * 2)
    table = annotations.read_action_units(file)
    assert list(table.malformed) == [1] and table.action_units_NxA[:, UNITS.index("AU25")].tolist() == [-1, 1, 1]


@pytest.mark.parametrize("change", [list, reversed, lambda pairs: sorted(pairs, key=lambda pair: pair[1])])
def test_the_multi_task_sets_columns_are_placed_by_their_names(file, change):
    names = ["image", "valence", "arousal", "expression", *UNITS_12.split(",")]
    cells = ["a/00007.jpg", "0.5", "-0.25", "4", *"010110010001"]
    file.write_text("\n".join(map(",".join, zip(*change(list(zip(names, cells, strict=True))), strict=True))))
    (table,) = annotations.read_multi_task(file).values()
    assert not table.malformed and table.frames_N.tolist() == [7]
    np.testing.assert_array_equal(table.affect_Nx2, [[0.5, -0.25]])
    assert table.expression_N.tolist() == [LABEL_NAMES.index("Happy")]
    assert [unit for unit, value in zip(UNITS, table.action_units_NxA[0], strict=True) if value == 1] == [
        "AU2",
        "AU6",
        "AU7",
        "AU15",
        "AU26",
    ]


@pytest.mark.parametrize(
    "names",
    [
        "image,arousal,valence,expression,aus",
        "image,valence,arousal,expression,AU1,AU2",
        "image,valence,arousal,expression," + UNITS_12.replace("AU2,", "AU1,"),
        "image,valence,arousal,expression," + UNITS_12.replace("AU26", "AU20"),
        "image,arousal,valence,frame," + UNITS_12,
    ],
)
def test_the_multi_task_sets_columns_that_are_not_known_are_refused(file, names):
    file.write_text(f"{names}\na/00001.jpg,0.5,0.5,3" + ",0" * 12)
    with pytest.raises(UserError, match=r"Expected the columns image, valence, arousal, .* found image, "):
        annotations.read_multi_task(file)


@pytest.mark.parametrize("read", [annotations.read_expressions, annotations.read_affect, annotations.read_action_units])
def test_an_empty_file_is_a_table_without_rows(file, read):
    file.write_text("")
    assert len(read(file)) == 0
