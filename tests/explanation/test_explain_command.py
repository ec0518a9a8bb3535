"""The command `emotion-gcn explain`, from photographs and labelled faces to figures, arrays and JSON."""

import io
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

import emotion_gcn_jax as eg
from emotion_gcn_jax import cli
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.explanation import explain, figure
from emotion_gcn_jax.explanation.explain import Explainer, Explanation, OutputMaps, Patch
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.tasks import registry
from tests.labelled_folders import write_class_folders
from tests.photographs import ASTRONAUT, GRACE_HOPPER
from tests.stored_runs import run_of
from tests.untrained import OWN_TASKS, write_checkpoint

RUN = run_of("format_2")  # an emotion_gcn of 32 pixels, whose last map has one place
LARGE = ("--patch", "16", "--stride", "16")  # four copies of a face of 32 pixels


def run(checkpoint, output, *words):
    return cli.main(["explain", "--checkpoint", str(checkpoint), "--output", str(output), *map(str, words)])


def read(folder, stem):
    """The JSON and the arrays of an explanation, whose figure is a picture."""
    with np.load(folder / f"{stem}.npz") as arrays, Image.open(folder / f"{stem}.png") as figure:
        assert figure.format == "PNG" and min(figure.size) > 400
        return json.loads((folder / f"{stem}.json").read_text()), dict(arrays)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A model with classes, flags and a value, which sees 64 of 70 grey pixels: its last map has 2 x 2 places."""
    workdir = tmp_path_factory.mktemp("own")
    return write_checkpoint(workdir, "single_task", tasks=OWN_TASKS, channels=1, side=70, crop=64)


def test_photographs(tmp_path, capsys):
    assert run(RUN, tmp_path, *LARGE, ASTRONAUT, GRACE_HOPPER) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert [line for line in printed.out.splitlines() if "->" in line] == [
        f"  -> {tmp_path / name}" for name in ("astronaut_face1_explained.png", "grace_hopper_face1_explained.png")
    ]
    model = eg.load(RUN)
    (face,) = model.predict(ASTRONAUT)
    facts, arrays = read(tmp_path, "astronaut_face1_explained")
    assert facts["image"] == str(ASTRONAUT) and facts["count"] == 1 and facts["box"] == pytest.approx(face.box)
    assert facts["patch"] == {"side": 16, "stride": 16, "places": 4} and "one place only" in facts["without_activation"]
    assert [output["output"] for output in facts["outputs"]] == [face.expression, "Valence", "Arousal"]
    said = [face.probabilities[face.expression], face.valence, face.arousal]
    assert [output["answer"] for output in facts["outputs"]] == pytest.approx(said, abs=1e-4)  # onnxruntime's
    names = {f"expression_{face.expression}_hard", f"expression_{face.expression}_soft"}
    assert arrays.keys() == {"face", "affect_Valence_soft", "affect_Arousal_soft", *names}
    assert {name for output in facts["outputs"] for name in output["arrays"]} == arrays.keys() - {"face"}
    # Four patches, each of which covers a quarter alone: black there, and the whole is judged by another engine.
    (cut,) = model.find_faces(ASTRONAUT)[1]
    covered = model.input.fit(cut).copy()
    covered[:16, 16:] = 0
    answers = model.answers(np.stack([model.input.fit(cut), covered]))
    place = model.label_names.index(face.expression)
    falls = {"expression": place, "affect": 0}
    for (task, place), name in zip(falls.items(), (face.expression, "Valence"), strict=True):
        soft = arrays[f"{task}_{name}_soft"]
        expected = answers[task][0, place] - answers[task][1, place]
        np.testing.assert_allclose(soft[:16, 16:], np.full((16, 16), expected), atol=2e-4)


def test_a_model_of_ones_own_that_sees_a_grey_crop(own, tmp_path):
    face = tmp_path / "face.png"
    face.write_bytes(pictures.encode_png(np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)))
    words = ("--no-detect", "--patch", "32", "--stride", "32", face, tmp_path / "f*.png")
    assert run(own, tmp_path / "out", "--expression", "HAT", *words) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{stem}_explained.{suffix}" for stem in ("face", "face_2") for suffix in ("png", "npz", "json")
    }
    facts, arrays = read(tmp_path / "out", "face_explained")
    _, energy, hat = sorted(facts["outputs"], key=lambda output: (output["task"] != "mood", output["output"]))
    assert (energy["output"], hat["output"]) == ("Energy", "hat")
    assert arrays["seen_hat_hard"].shape == arrays["seen_hat_soft"].shape == (64, 64)
    assert arrays["face"].shape == (73, 73, 3)  # of the middle 80 pixels 80 * 64 / 70
    assert arrays["energy_Energy_activation"].shape == (2, 2)
    assert energy["answer"] == pytest.approx(arrays["energy_Energy_activation"].mean() + energy["bias"], abs=1e-4)


@pytest.fixture
def labelled(tmp_path):
    return write_class_folders(tmp_path / "mine", ["Happy", "Sad"])


def test_the_mean_over_a_class(tmp_path, capsys):
    """An untrained model says one thing of all noise: of that class all are right, of the other none."""
    model = eg.load(RUN)
    (face,) = model.predict_faces([np.random.default_rng(9).integers(0, 256, (40, 40, 3), np.uint8)])
    word = face.expression
    other = next(name for name in model.label_names if name != word)
    images = write_class_folders(tmp_path / "mine", [word, other], count=3)
    assert {face.expression for face in model.predict_faces(sorted(images.glob("*/*")))} == {word}
    assert run(RUN, tmp_path / "out", *LARGE, "--images", images) == 1
    printed = capsys.readouterr()
    assert printed.err == f"{other}: none of 3 examples is judged right.\n"
    assert f"{word} " in printed.out
    (figure,) = (tmp_path / "out").glob("*.png")
    assert figure.stem.startswith("mine_") and figure.stem.endswith(f"_{word}_explained")
    stem = figure.stem
    facts, arrays = read(tmp_path / "out", stem)
    assert (facts["of"], facts["count"], facts["labelled"]) == (word, 3, 3)
    assert facts["dataset"] == "mine" and len(facts["outputs"]) == 3
    explainer = Explainer(model, Patch.usual(32, 16, 16))
    single = [explainer.explain(pictures.read(file)).arrays() for file in sorted((images / word).iterdir())]
    for name, array in arrays.items():
        if name != "face":
            np.testing.assert_allclose(array, np.mean([one[name] for one in single], axis=0), atol=1e-6)


def test_a_mean_is_of_the_pictures_that_can_be_read(tmp_path, capsys):
    (face,) = eg.load(RUN).predict_faces([np.random.default_rng(9).integers(0, 256, (40, 40, 3), np.uint8)])
    images = write_class_folders(tmp_path / "mine", [face.expression], count=3)
    (damaged := images / face.expression / "0.png").write_text("no picture")
    assert run(RUN, tmp_path / "left_out", *LARGE, "--images", images) == 1
    printed = capsys.readouterr()
    assert "0.png: An image file was expected" in printed.err and printed.err.count("\n") == 1
    assert "left out, since they cannot be read: 1 of 3 images" in printed.out
    damaged.unlink()
    assert run(RUN, tmp_path / "whole", *LARGE, "--images", images) == 0
    stem = f"mine_train_{face.expression}_explained"
    (facts, arrays), (expected, whole) = (read(tmp_path / name, stem) for name in ("left_out", "whole"))
    assert facts == expected and facts["count"] == 2
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, whole[name])


def test_a_figure_of_another_hand_is_not_replaced(tmp_path, capsys):
    out = tmp_path / "out"
    words = (*LARGE, "--no-detect", GRACE_HOPPER)
    out.mkdir()
    (out / "grace_hopper_explained.png").write_bytes(b"mine")
    assert run(RUN, out, *words) == 2
    assert "would be replaced, which is no explanation" in capsys.readouterr().err
    assert [path.read_bytes() for path in out.iterdir()] == [b"mine"]
    (out / "grace_hopper_explained.png").unlink()
    assert run(RUN, out, *words) == run(RUN, out, *words) == 0  # its own it replaces


def test_files_that_fail_cost_a_line_each(tmp_path, capsys):
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(noise, "PNG")
    (tmp_path / "noise.png").write_bytes(noise.getvalue())
    assert run(RUN, tmp_path / "out", *LARGE, tmp_path / "noise.png", tmp_path / "none.png", ASTRONAUT) == 1
    printed = capsys.readouterr()
    first, second = printed.err.splitlines()
    assert first == f"{tmp_path / 'noise.png'}: No face was found." and "cannot be read" in second
    assert printed.out.count("->") == 1


@pytest.mark.parametrize("name", [b"$10%-$20.png", b"$a_b_c$.png", b"bad\xff.png"])
def test_a_files_name_may_be_anything(name, tmp_path, capsys):
    file, out = os.fsdecode(os.fsencode(tmp_path) + b"/" + name), tmp_path / "out"
    try:
        shutil.copy(GRACE_HOPPER, file)
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    assert run(RUN, out, *LARGE, "--no-detect", file) == 0
    facts, _ = read(out, f"{pathlib.Path(file).stem}_explained")
    assert facts["image"] == str(tmp_path / name.decode(errors="surrogateescape")).replace("\udcff", r"\udcff")


def test_names_of_ones_own_are_no_formulas():
    maps = OutputMaps("mood", r"$\frac$", 0.5, True, np.zeros((8, 8), np.float32), None, None, 0.0)
    explanation = Explanation(np.zeros((8, 8, 3), np.uint8), (maps,), Patch.usual(8), said="$^$")
    assert figure.draw(explanation, "$a_b_c$", explanation.said).startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def explainer():
    return Explainer(eg.load(RUN), Patch.usual(32, 16, 16))


@pytest.mark.parametrize(
    ("asked", "name"), [("sad", "Sad"), ("disgusted", "Disgust"), ("Anger", "Anger"), ("valence ", "Valence")]
)
def test_in_python_an_output_may_be_asked_for_by_any_of_its_names(explainer, asked, name):
    face = np.zeros((40, 40, 3), np.uint8)
    assert name in [output.name for output in explainer.explain(face, asked=asked).outputs]


def test_in_python_an_unknown_output_is_told(explainer):
    with pytest.raises(UserError, match="says nothing of 'Nonsense': choose one of Neutral, Happy"):
        explainer.explain(np.zeros((40, 40, 3), np.uint8), asked="Nonsense")


def test_a_word_of_ones_own_is_found_before_its_usual_name():
    tasks = registry.from_config(
        {"mood": {"kind": "classes", "vocabulary": "Happy,Sad"}, "seen": {"kind": "flags", "names": "Joy,hat"}}
    )
    assert [explain.known_output(tasks, name) for name in ("joy", "Happy", "happiness")] == ["Joy", "Happy", "Happy"]


@pytest.mark.parametrize(
    "seen_as",
    [lambda grey: grey, lambda grey: grey / np.float32(255), lambda grey: Image.fromarray(grey)],
    ids=["grey", "float", "Pillow"],
)
def test_in_python_a_face_may_be_any_picture(explainer, seen_as):
    grey = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    expected = explainer.explain(np.repeat(grey[..., None], 3, -1))
    found = explainer.explain(seen_as(grey))
    assert found.said == expected.said and found.face_SxSx3.shape == (40, 40, 3)
    with pytest.raises(UserError, match=r"none\.png: The file cannot be read"):
        explainer.explain("none.png")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--expression", "Cheerful", "x.png"], "says nothing of 'Cheerful': choose one of Neutral, Happy"),
        (["--patch", "32", "x.png"], "side of 1 to 31 pixels"),
        (["--stride", "20", "x.png"], "choose another stride"),
        ([], "explain takes either image files, or labelled faces"),
        (["--images", "mine", "x.png"], "explain takes either image files, or labelled faces"),
        (["--split", "test", "x.png"], "are for --dataset and --images alone"),
        (["--images", "mine", "--no-detect"], "--no-detect is for image files alone"),
        (["--images", "mine", "--expression", "Valence"], "Valence is a value, which is neither right nor wrong"),
        (["--images", "mine", "--expression", "disgusted"], "None of 0 examples of Disgust in mine"),
        (["--dataset", "nothing_like_it"], "There is no dataset 'nothing_like_it'"),
    ],
)
def test_mistakes_are_sentences(words, sentence, labelled, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(RUN, "out", *words) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
