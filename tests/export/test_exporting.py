"""Every format in its own runtime, as docs/export.md loads it: with nothing of this package but the file."""

import functools
import json
import zipfile

import jax
import numpy as np
import onnx
import onnxruntime
import pytest

from emotion_gcn_jax import cli
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.export import exporting, tflite_file
from emotion_gcn_jax.export.contract import CONTRACT_FILE, KEY
from emotion_gcn_jax.export.options import Options
from tests.untrained import write_checkpoint


def run_onnx(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def run_stablehlo(path, images):
    return jax.export.deserialize(bytearray(path.read_bytes())).call(images)


def run_tflite(path, images):
    from ai_edge_litert.interpreter import Interpreter

    judge = Interpreter(model_path=str(path)).get_signature_runner()
    rows = [judge(images=images[i : i + 1]) for i in range(len(images))]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


RUNTIMES = {"onnx": run_onnx, "stablehlo": run_stablehlo, "tflite": run_tflite}


def contract_of(kind, path):
    if kind == "onnx":
        return json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[KEY])
    return json.loads(zipfile.ZipFile(path).read(CONTRACT_FILE))


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    """Files by their format and options, written once."""
    files = {}

    def of(kind, **options):
        key = kind, *sorted(options.items())
        if key not in files:
            path = tmp_path_factory.mktemp("exported") / f"model{exporting.FORMATS[kind].suffix}"
            files[key] = exporting.export(model, kind, path, **options)
        return files[key]

    return of


@pytest.mark.parametrize("is_uint8", [False, True], ids=["float32", "uint8"])
@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_file_answers_as_the_model(exported, model, faces, kind, is_uint8):
    images = faces[:3] if is_uint8 else faces[:3].astype(np.float32)
    found = RUNTIMES[kind](exported(kind, is_uint8=is_uint8), images)
    expected = model.answers(faces[:3])
    assert set(found) == set(expected)
    for name, answers in expected.items():
        np.testing.assert_allclose(np.asarray(found[name]), answers, atol=1e-4)


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_file_says_what_it_takes_and_gives(exported, model, kind):
    said = contract_of(kind, exported(kind, is_uint8=False))
    rows = 1 if kind == "tflite" else "batch"
    assert said["input"] == {
        "name": "images",
        "shape": [rows, 32, 32, 3],
        "dtype": "float32",
        "range": [0, 255],
        "colours": "RGB",
        "normalised_inside": True,
    }
    assert said["outputs"]["expression"]["names"] == list(model.label_names)
    assert said["outputs"]["affect"]["names"] == ["Valence", "Arousal"]
    assert said["outputs"]["affect"]["shape"] == [rows, 2]
    assert said["face"]["crop"] == model.crop.to_dict()


@pytest.mark.parametrize("kind", RUNTIMES)
def test_kernels_in_float16_make_a_file_smaller(exported, model, faces, kind):
    whole, half = exported(kind, is_uint8=False), exported(kind, quantize="float16")
    assert half.stat().st_size < 0.75 * whole.stat().st_size  # of so small a net much is no kernel
    found = RUNTIMES[kind](half, faces[:3].astype(np.float32))
    for name, answers in model.answers(faces[:3]).items():
        np.testing.assert_allclose(np.asarray(found[name]), answers, atol=5e-3)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_eight_bits_are_close_on_the_faces_that_they_were_calibrated_on(
    exported, model, faces, folder_of_faces, kind, monkeypatch
):
    monkeypatch.setattr(type(model), "find_faces", lambda self, image: ([], []))  # they are cut already
    path = exported(kind, quantize="int8", calibrate=(str(folder_of_faces / "*"),))
    assert path.stat().st_size < 0.8 * exported(kind, is_uint8=False).stat().st_size
    found = RUNTIMES[kind](path, faces.astype(np.float32))
    for name, answers in model.answers(faces).items():
        assert np.abs(np.asarray(found[name]) - answers).mean() < 0.2 * max(answers.std(), 0.1), name


@pytest.mark.parametrize("count", [1, 3, 5])
def test_few_faces_are_repeated_to_fill_a_batch(exported, folder_of_faces, count):
    names = tuple(str(folder_of_faces / f"{number:02}.png") for number in range(count))
    path = exported("tflite", quantize="int8", batch=4, calibrate=names)
    assert path.stat().st_size < 0.8 * exported("tflite", is_uint8=False).stat().st_size


def test_every_face_is_in_a_batch(faces):
    batches = tflite_file._batches(Options(4, "int8", True, faces[:6]), np.uint8)
    for batch, places in zip(batches, ([0, 1, 2, 3], [4, 5, 0, 1]), strict=True):
        np.testing.assert_array_equal(batch["images"], faces[places])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_a_batch_can_be_fixed(exported, faces, kind, batch):
    path = exported(kind, batch=batch)
    images = faces[: batch + 1].astype(np.float32)
    assert len(np.asarray(RUNTIMES[kind](path, images[:batch])["expression"])) == batch
    with pytest.raises(Exception, match=r"(?i)dimension|shape"):
        RUNTIMES[kind](path, images)


def test_the_file_is_valid_onnx_that_old_runtimes_take(exported):
    written = onnx.load(exported("onnx", is_uint8=True))
    onnx.checker.check_model(written, full_check=True)
    assert (written.ir_version, written.opset_import[0].version) == (8, 17)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--format onnx --output model.tflite", "ends in .onnx"),
        ("--format onnx --output taken.onnx", "something at"),
        ("--format tflite --output model.tflite --batch dynamic", "fixed number"),
        ("--format onnx --output model.onnx --batch 0", "found 0"),
        ("--format onnx --output model.onnx --batch -1", "found -1"),
        ("--format stablehlo --output model.stablehlo --quantize int8", "no converter"),
        ("--format onnx --output model.onnx --quantize int8", "--calibrate"),
        ("--format onnx --output model.onnx --calibrate faces", "int8 alone"),
        ("--format onnx --output model.onnx --quantize int8 --calibrate nowhere", "nowhere"),
        ("--format onnx --output model.onnx --quantize int8 --calibrate no*.png", "found none that matches"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.onnx").write_bytes(b"mine")
    assert cli.main(["export", *words.replace("--batch -1", "--batch=-1").split()]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken.onnx"]


def test_the_command_exports_the_shipped_model(tmp_path, capsys):
    assert cli.main(["export", "--format=onnx", "--uint8-input", "--output", str(tmp_path / "m.onnx")]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {tmp_path / 'm.onnx'} (")


def test_the_commands_formats_are_those_there_are():
    from emotion_gcn_jax.cli import export as command

    assert tuple(exporting.FORMATS) == command.FORMATS
    with pytest.raises(UserError, match="ends in"):
        exporting.export(None, "tflite", "model.onnx")


@pytest.mark.parametrize("kind", [*RUNTIMES, "web"])
@pytest.mark.parametrize(
    ("model", "parts", "expected"),
    [
        ("mt_res_rnn", {}, "knows time (config.model.recurrent), and an exported file takes images one by one and"),
        ("mt_av_rnn", {"hearing": "stack"}, "hears (config.model.hearing), and images alone have no sound: give it"),
    ],
)
def test_networks_in_time_and_those_that_hear_are_refused(model, parts, expected, kind, in_time, tmp_path, capsys):
    output = tmp_path / f"model.{kind}"
    words = ["export", "--checkpoint", str(in_time(model, **parts)), "--format", kind, "--output", str(output)]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert expected in error and "emotion-gcn predict" in error and error.count("\n") == 1
    assert not output.exists()


@pytest.fixture(scope="module")
def in_time(tmp_path_factory):
    """By the preset's name the run of a small untrained model of clips."""
    small = {"trunk": "vgg_tiny", "hidden": (), "recurrent": (2,), "clip_length": 4}

    @functools.cache
    def made(model, **parts):
        return write_checkpoint(tmp_path_factory.mktemp(model), model, **small | parts)

    return made
