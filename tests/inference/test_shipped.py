"""The model that is shipped: what it says of the two photographs that may be used, and what it needs to be loaded."""

import subprocess
import sys

import numpy as np
import pytest

import emotion_gcn_jax as eg
from emotion_gcn_jax import cli, model_file
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.photographs import ASTRONAUT, GRACE_HOPPER


@pytest.fixture(scope="module")
def model():
    return eg.load()


@pytest.mark.parametrize(("photograph", "expression"), [(ASTRONAUT, "Happy"), (GRACE_HOPPER, "Neutral")])
@pytest.mark.parametrize("change", ["as it is", "grey", "mirrored", "a quarter of the size"])
def test_it_sees_a_smile_and_a_neutral_face_in_colour_grey_mirrored_and_small(model, photograph, expression, change):
    image = pictures.decode(photograph.read_bytes())
    if change == "grey":
        image = image.mean(-1).astype(np.uint8)
    elif change == "mirrored":
        image = image[:, ::-1]
    elif change == "a quarter of the size":
        image = image[: image.shape[0] // 4 * 4, : image.shape[1] // 4 * 4]
        image = image.reshape(image.shape[0] // 4, 4, image.shape[1] // 4, 4, 3).mean((1, 3)).astype(np.uint8)
    (face,) = model.predict(image)
    assert face.expression == expression


def test_jax_agrees_with_onnxruntime_and_the_raw_outputs_with_both(model):
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1), np.uint8)
    by_onnx, by_jax = model.answers(faces), eg.load(engine="jax").answers(faces)
    np.testing.assert_allclose(by_jax["expression"], by_onnx["expression"], rtol=0, atol=1e-5)
    raw = model(np.asarray(model.input.view(faces))).expression
    np.testing.assert_allclose(model.tasks[0].answer(raw), by_onnx["expression"], rtol=0, atol=1e-5)


def test_its_file_says_what_it_is(model):
    assert model_file.SHIPPED.stat().st_size <= 16_000_000
    assert model.label_names == EXPRESSIONS and [task.name for task in model.tasks] == ["expression"]
    assert (model.input.side, model.input.crop, model.input.channels) == (48, 44, 1)
    (fit,) = model.meta["calibration"].values()
    assert (fit["dataset"], fit["split"]) == ("fer2013", "validation")
    assert model.tasks[0].temperature == pytest.approx(fit["temperature"])
    assert model.meta["config"]["training"]["seed"] == 0


def test_the_command_takes_it_where_no_checkpoint_is_named(capsys):
    assert cli.main(["predict", str(ASTRONAUT)]) == 0
    assert " Happy " in capsys.readouterr().out


def test_it_is_loaded_without_orbax():
    program = "import emotion_gcn_jax as eg, sys; eg.load(); print('orbax.checkpoint' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
