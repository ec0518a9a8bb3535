"""The command `emotion-gcn predict`, from files to table, JSON and overlays."""

import concurrent.futures
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax import cli
from emotion_gcn_jax.inference import predict
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.photographs import ASTRONAUT, GRACE_HOPPER
from tests.untrained import write_checkpoint


def run(workdir, *arguments):
    return cli.main(["predict", "--checkpoint", str(workdir), *map(str, arguments)])


def faces_of(workdir, tmp_path, *files):
    """The faces that the JSON lists for each file."""
    run(workdir, *files, "--json", tmp_path / "faces.json")
    return [entry["faces"] for entry in json.loads((tmp_path / "faces.json").read_text())]


def test_two_photographs(workdir, tmp_path, capsys):
    arguments = (
        ASTRONAUT,
        GRACE_HOPPER,
        "--json",
        tmp_path / "a" / "faces.json",
        "--overlay",
        tmp_path / "new" / "out",
    )
    assert run(workdir, *arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    header, *rows = printed.out.splitlines()
    assert header.split() == ["file", "face", "expression", "probability", "valence", "arousal", "box"]
    overlays = [tmp_path / "new" / "out" / name for name in ("astronaut_faces.png", "grace_hopper_faces.png")]
    assert rows[1] == f"  -> {overlays[0]}" and rows[3] == f"  -> {overlays[1]}" and len(rows) == 4
    predictions = json.loads((tmp_path / "a" / "faces.json").read_text())
    assert [prediction["image"] for prediction in predictions] == [str(ASTRONAUT), str(GRACE_HOPPER)]
    for prediction, row in zip(predictions, rows[::2], strict=True):
        assert list(prediction) == ["image", "faces"]
        (face,) = prediction["faces"]
        assert list(face) == [
            "box", "left_eye", "right_eye", "score", "expression", "probabilities", "valence", "arousal",
        ]  # fmt: skip
        assert list(face["probabilities"]) == list(EXPRESSIONS)
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert face["expression"] == max(face["probabilities"], key=face["probabilities"].get)
        assert 0.8 < face["score"] <= 1
        x0, y0, x1, y1 = face["box"]
        assert x0 < face["left_eye"][0] < face["right_eye"][0] < x1
        assert y0 < face["left_eye"][1] < y1 and y0 < face["right_eye"][1] < y1
        assert row.split()[2:3] == [face["expression"]] and f"{face['valence']:+.2f}" in row
    # Where they are, as read off the pictures.
    for (face,), eyes in zip(
        (p["faces"] for p in predictions), ([(204, 101), (247, 103)], [(223, 190), (304, 187)]), strict=True
    ):
        np.testing.assert_allclose([face["left_eye"], face["right_eye"]], eyes, atol=5)
    for path in overlays:
        with Image.open(path) as overlay:
            assert overlay.format == "PNG" and max(overlay.size) == 960


def save(array_or_image, path, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(path, **options)
    return path


def odd_pictures(astronaut, folder):
    """The astronaut as every kind of image file, and how many times as large."""
    image = Image.fromarray(astronaut)
    grey = image.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: to be turned clockwise
    palette = image.quantize(255, dither=Image.Dither.NONE)
    with_alpha = np.dstack([astronaut, np.full((512, 512), 7, np.uint8)])
    yield save(image.transpose(Image.Transpose.ROTATE_90), folder / "exif.png", exif=exif), 1
    yield save(grey, folder / "grey.png"), 1
    yield save(grey.convert("LA"), folder / "grey_with_alpha.png"), 1
    yield save(with_alpha, folder / "rgba.png"), 1
    yield save(palette, folder / "palette.png", transparency=bytes(range(255))), 1
    yield save(palette, folder / "palette.gif", transparency=3), 1
    yield save(np.asarray(grey).astype(np.uint16) * 257, folder / "sixteen_bit.png"), 1
    yield save(image.convert("CMYK"), folder / "cmyk.jpg", quality=95), 1
    yield save(image.resize((5120, 5120)), folder / "huge.jpg"), 10
    yield save(image.resize((100, 100), Image.Resampling.BOX), folder / "tiny.bmp"), 100 / 512


def test_every_kind_of_picture(workdir, tmp_path, astronaut, capsys):
    files, scales = zip(*odd_pictures(astronaut, tmp_path), strict=True)
    (reference,), *found = faces_of(workdir, tmp_path, ASTRONAUT, *files)
    assert capsys.readouterr().err == ""
    assert [len(faces) for faces in found] == [1] * len(files)
    side = reference["box"][2] - reference["box"][0]
    for file, scale, (face,) in zip(files, scales, found, strict=True):
        for place in ("box", "left_eye", "right_eye"):
            off = np.abs(np.array(face[place]) / scale - reference[place]).max()
            assert off < 0.1 * side, (file.name, place)
    exif = found[0][0]
    assert exif["box"] == reference["box"] and exif["probabilities"] == pytest.approx(reference["probabilities"])


def test_files_that_fail_do_not_keep_the_others_from_their_answers(workdir, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.png").touch()
    whole = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:2000])
    save(np.full((1, 1, 3), 255, np.uint8), tmp_path / "one_pixel.png")
    save(np.full((90, 120, 3), 90, np.uint8), tmp_path / "wall.png")
    names = ["text.jpg", "empty.png", "cut.jpg", "one_pixel.png", "wall.png", "missing.png"]
    files = [tmp_path / name for name in names]
    arguments = (*files[:3], ASTRONAUT, *files[3:], "--json", tmp_path / "faces.json")
    assert run(workdir, *arguments, "--overlay", tmp_path / "out") == 1
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    for line, file, said in zip(
        lines,
        files,
        ["no image format", "found an empty one", "truncated", "No face", "No face", "No such file"],
        strict=True,
    ):
        assert line.startswith(str(file)) and said in line and line.endswith(".") and "0x" not in line
    assert "astronaut.png" in printed.out
    predictions = json.loads((tmp_path / "faces.json").read_text())
    assert [len(prediction["faces"]) for prediction in predictions] == [0, 0, 0, 1, 0, 0, 0]
    assert [prediction.get("error") for prediction in predictions] == [*lines[:3], None, *lines[3:]]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["astronaut_faces.png"]


def test_answers_are_kept_when_the_run_is_stopped(workdir, tmp_path, monkeypatch, capsys):
    def stopped(*arguments, **options):
        yield next(everything(*arguments, **options))
        raise KeyboardInterrupt

    everything = predict.judge_frames
    monkeypatch.setattr(predict, "judge_frames", stopped)
    assert run(workdir, ASTRONAUT, GRACE_HOPPER, "--json", tmp_path / "faces.json") == 130
    assert [entry["image"] for entry in json.loads((tmp_path / "faces.json").read_text())] == [str(ASTRONAUT)]


@pytest.mark.parametrize(
    ("option", "value"), [("--json", "file/faces.json"), ("--overlay", "file/out"), ("--checkpoint", "nowhere")]
)
def test_mistakes_are_answered_before_any_work(workdir, tmp_path, capsys, monkeypatch, option, value):
    monkeypatch.setattr(predict, "judge_frames", None)
    (tmp_path / "file").touch()
    (tmp_path / "faces.json").write_text("old")
    arguments = {"--checkpoint": workdir, "--json": tmp_path / "faces.json", option: tmp_path / value}
    words = [str(word) for pair in arguments.items() for word in pair]
    assert cli.main(["predict", *words, str(ASTRONAUT)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("emotion-gcn: ") and printed.err.count("\n") == 1
    assert (tmp_path / "faces.json").read_text() == "old"


def test_no_picture_is_replaced(workdir, tmp_path, capsys):
    pixels = np.full((40, 40, 3), 99, np.uint8)
    first, second = (save(pixels, tmp_path / name) for name in ("a.png", "a_faces.png"))
    before = second.read_bytes()
    assert run(workdir, first, second, "--no-detect", "--overlay", tmp_path) == 0
    assert second.read_bytes() == before and (tmp_path / "a_2_faces.png").exists()
    away = tmp_path / "nowhere" / ".." / second.name
    (tmp_path / "nowhere").mkdir()
    assert run(workdir, first, away, "--no-detect", "--overlay", tmp_path) == 0
    assert second.read_bytes() == before
    settings = tmp_path / "settings.toml"
    for other in (second, settings):
        settings.write_text("[section]")
        before = other.read_bytes()
        assert run(workdir, first, "--no-detect", "--json", other) == 2
        assert other.read_bytes() == before and "holds no predictions" in capsys.readouterr().err


def test_json_is_written_into_a_pipe_and_through_a_link(workdir, tmp_path):
    picture = save(np.full((40, 40, 3), 99, np.uint8), tmp_path / "a.png")
    link, real, pipe = tmp_path / "link.json", tmp_path / "real.json", tmp_path / "pipe"
    real.write_text("[]")
    link.symlink_to(real)
    os.mkfifo(pipe)
    assert run(workdir, picture, "--no-detect", "--json", link) == 0
    assert link.is_symlink() and len(json.loads(real.read_text())) == 1
    with concurrent.futures.ThreadPoolExecutor() as threads:
        said = threads.submit(pipe.read_bytes)
        assert run(workdir, picture, "--no-detect", "--json", pipe) == 0
        assert pipe.is_fifo() and said.result(timeout=60) == real.read_bytes()


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="is there on Linux alone")
def test_a_full_disk_behind_the_table_is_a_sentence(workdir, tmp_path):
    picture = save(np.full((40, 40, 3), 99, np.uint8), tmp_path / "a.png")
    command = [sys.executable, "-m", "emotion_gcn_jax.cli", "predict", "--checkpoint", workdir, "--no-detect", picture]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "The standard output cannot be written (No space left on device)" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_has_read_enough(workdir, tmp_path, options):
    picture = save(np.full((40, 40, 3), 99, np.uint8), tmp_path / "a.png")
    command = [sys.executable, "-m", "emotion_gcn_jax.cli", "predict", "--checkpoint", workdir, "--no-detect"]
    command += [word for option in options for word in (option, tmp_path / "faces.json")]
    with subprocess.Popen([*command, *[picture] * 3], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    if options:  # which goes on without the table
        assert process.returncode == 0 and len(json.loads((tmp_path / "faces.json").read_text())) == 3
    else:
        assert process.returncode == 1


def test_the_network_sees_faces_at_the_side_that_is_asked_for(workdir, tmp_path):
    said = []
    for name, more in (("a", []), ("b", ["--model-side=32"]), ("c", ["--model-side=64"])):
        assert run(workdir, "--no-detect", ASTRONAUT, "--output", tmp_path / f"{name}.csv", *more) == 0
        said.append((tmp_path / f"{name}.csv").read_text())
    assert said[0] == said[1] != said[2]  # 32 is what it was trained with


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_progress_says_how_far_and_how_fast(workdir, tmp_path, monkeypatch):
    seen = Terminal()
    monkeypatch.setattr(sys, "stderr", seen)
    words = ["predict", "--checkpoint", str(workdir), "--output", str(tmp_path / "faces.csv")]
    assert cli.main([*words, str(ASTRONAUT), str(GRACE_HOPPER)]) == 0
    last = seen.getvalue().split("\r")[-1]
    assert last.startswith("100%") and " 2/2 [" in last and "faces/s" in last


def test_a_mistake_leaves_nothing_behind(tmp_path):
    results = ["--json", str(tmp_path / "new.json"), "--overlay", str(tmp_path / "new")]
    assert cli.main(["predict", "--checkpoint", str(tmp_path / "nowhere"), *results, str(ASTRONAUT)]) == 2
    assert not list(tmp_path.iterdir())


TABLES = [
    ("single_task", ["expression", "probability"]),
    ("multi_task", ["expression", "probability", "valence", "arousal"]),
    ("emotion_gcn", ["expression", "probability", "valence", "arousal"]),
    ("emotion_gcn_au", ["expression", "probability", "valence", "arousal", "action_units"]),
    ("own", ["mood", "probability", "energy", "seen"]),
    ("grey", ["expression", "probability", "valence", "arousal"]),
]


@pytest.mark.parametrize(("name", "columns"), TABLES)
def test_cut_faces_and_models_of_every_kind(workdirs, tmp_path, capsys, name, columns):
    sizes = [(48, 48), (20, 31), (1, 1)]
    files = [save(np.full((*size, 3), 99, np.uint8), tmp_path / f"{size[0]}.png") for size in sizes]
    results = ("--json", tmp_path / "faces.json", "--overlay", tmp_path / "out")
    assert run(workdirs(name), *files, "--no-detect", *results) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["file", "face", *columns, "box"]
    assert len(rows) == 6  # of each picture its face and its overlay
    for (height, width), entry, row in zip(
        sizes, json.loads((tmp_path / "faces.json").read_text()), rows[::2], strict=True
    ):
        (face,) = entry["faces"]
        assert face["box"] == [0, 0, width, height]
        assert all(face[place] is None for place in ("left_eye", "right_eye", "score"))
        assert list(face)[4:] == [column.replace("probability", "probabilities") for column in columns]
        assert face[columns[0]] == max(face["probabilities"], key=face["probabilities"].get)
        assert all(written(face[column]) in row for column in columns if column != "probability")
        assert f"{face['probabilities'][face[columns[0]]]:.2f}" in row


def written(answer):
    """How the table writes a class, a value and flags."""
    if isinstance(answer, dict):
        return " ".join(flag for flag, probability in answer.items() if probability >= 0.5) or "-"
    return answer if isinstance(answer, str) else f"{answer:+.2f}"


def test_classes_that_two_tasks_share_keep_both_answers(tmp_path, capsys):
    vocabularies = {"guess": "Happy,Sad", "second": "Sad,Happy"}
    tasks = {name: {"kind": "classes", "vocabulary": words} for name, words in vocabularies.items()}
    workdir = write_checkpoint(tmp_path / "run", "single_task", tasks=tasks)
    picture = save(np.full((40, 40, 3), 99, np.uint8), tmp_path / "a.png")
    ((face,),) = faces_of(workdir, tmp_path, picture, "--no-detect")
    assert list(face)[4:] == ["guess", "probabilities", "second", "second_probabilities"]
    assert [list(face[name]) for name in ("probabilities", "second_probabilities")] == [
        ["Happy", "Sad"],
        ["Sad", "Happy"],
    ]


def test_a_folder_stands_for_its_pictures(workdir, tmp_path):
    (tmp_path / "set" / "deeper").mkdir(parents=True)
    (tmp_path / "set" / ".thumbnails").mkdir()
    for name in ("b.png", "a.PNG", ".hidden.png", "deeper/c.png", ".thumbnails/a.png"):
        save(np.full((40, 40, 3), 99, np.uint8), tmp_path / "set" / name)
    (tmp_path / "set" / "notes.txt").touch()
    single = save(np.full((40, 40, 3), 9, np.uint8), tmp_path / "single.png")
    assert run(workdir, tmp_path / "set", single, "--no-detect", "--json", tmp_path / "faces.json") == 0
    images = [entry["image"] for entry in json.loads((tmp_path / "faces.json").read_text())]
    assert images == [*(str(tmp_path / "set" / name) for name in ("a.PNG", "b.png", "deeper/c.png")), str(single)]


def test_a_folder_without_pictures_gets_a_sentence(workdir, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(workdir, tmp_path / "empty", ASTRONAUT) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "A folder of pictures or videos was expected, found none" in printed.err


def test_many_files_go_through_in_groups(workdir, tmp_path):
    files = [save(np.full((40, 40, 3), number, np.uint8), tmp_path / f"{number:03}.png") for number in range(40)]
    assert run(workdir, *files, "--no-detect", "--json", tmp_path / "faces.json") == 0
    entries = json.loads((tmp_path / "faces.json").read_text())
    assert [entry["image"] for entry in entries] == [str(file) for file in files]
    assert len({entry["faces"][0]["valence"] for entry in entries}) == 40


def test_pictures_of_one_name_get_overlays_of_their_own(workdir, tmp_path, astronaut):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    files = [save(astronaut, tmp_path / name) for name in ("a/x.png", "b/x.png", "a/x.bmp")]
    assert run(workdir, *files, "--overlay", tmp_path / "a") == 0
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written == ["x.bmp", "x.png", "x_2_faces.png", "x_3_faces.png", "x_faces.png"]


def test_neither_tensorflow_nor_clu_is_loaded(workdir, tmp_path):
    program = """
import sys, time
start = time.perf_counter()
import emotion_gcn_jax
seconds = time.perf_counter() - start
assert not {"jax", "tensorflow", "numpy"} & set(sys.modules)
assert seconds < 1.5, seconds
from emotion_gcn_jax import cli
assert cli.main(sys.argv[1:]) == 0
assert "jax" in sys.modules and "onnxruntime" in sys.modules
assert not {"tensorflow", "clu", "tensorflow_datasets", "grain", "matplotlib", "numba"} & set(sys.modules)
"""
    command = [sys.executable, "-c", program, "predict", "--checkpoint", str(workdir), str(ASTRONAUT)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "" and len(result.stdout.splitlines()) == 2
