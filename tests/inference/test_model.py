import dataclasses
import io
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import emotion_gcn_jax as eg
from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.photographs import ASTRONAUT

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def model(workdir):
    return eg.load(workdir)


@pytest.fixture(scope="module")
def faces():
    return list(np.random.default_rng(0).integers(0, 256, (41, 40, 40, 3), np.uint8))


def test_a_checkpoint_says_all_that_is_needed(model, workdir):
    assert model.label_names == EXPRESSIONS
    assert model.crop == Crop(side=1.05, size=48, enlarge=True)
    assert model.config.model.trunk == "densenet_tiny"
    with pytest.raises(AttributeError):
        model.config.data.image_size = 64
    by_folder = eg.load(str(workdir / "checkpoints" / "best" / "3"))
    jax.tree.map(np.testing.assert_array_equal, by_folder.variables, model.variables)
    with pytest.raises(UserError, match="No checkpoint was found"):
        eg.load(workdir.parent / "nowhere")


def test_normalised_arrays_give_logits_and_affect(model, faces, single_task_workdir):
    images = ((np.stack(faces[:3]) / 255 - MEAN) / DEVIATION).astype(np.float32)
    logits, affect = model(images)
    assert logits.shape == (3, 7) and affect.shape == (3, 2)
    expected = jax.jit(model.module.apply)(model.variables, images)
    np.testing.assert_allclose(logits, expected.logits_BxC, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(affect, expected.affect_Bx2, rtol=1e-4, atol=1e-4)
    logits, affect = eg.load(single_task_workdir)(images)
    assert logits.shape == (3, 7) and affect is None


@pytest.mark.parametrize("images", [np.zeros((2, 32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.float32)])
def test_other_arrays_are_refused(model, images):
    with pytest.raises(UserError, match=r"takes normalised float32 images of shape .* found (uint8|float32) \["):
        model(images)


def test_faces_are_judged_alike_alone_and_together_by_few_programs(model, faces):
    compiled = model._apply._cache_size()
    together = model.predict_faces(faces)
    for count in (0, 1, 2, 8, 9):
        for alone, face in zip(model.predict_faces(faces[:count]), together, strict=False):
            assert alone.expression == face.expression
            assert alone.valence == pytest.approx(face.valence, rel=1e-3)
    assert len(together) == 41
    assert model._apply._cache_size() - compiled <= 3
    # by hand: Pillow's bilinear, ImageNet's normalisation, a softmax
    resized = np.asarray(Image.fromarray(faces[40]).resize((32, 32), Image.Resampling.BILINEAR))
    logits, affect = model(((resized[None] / 255 - MEAN) / DEVIATION).astype(np.float32))
    probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(list(together[40].probabilities.values()), probabilities, rtol=1e-3, atol=1e-6)
    assert together[40].expression == EXPRESSIONS[int(np.argmax(probabilities))]
    assert (together[40].valence, together[40].arousal) == pytest.approx(tuple(affect[0].tolist()), rel=1e-3)
    assert (together[40].box, together[40].left_eye, together[40].score) == ((0, 0, 40, 40), None, None)


def test_a_photographs_face_can_be_cut_again(model, astronaut):
    (face,) = model.predict(ASTRONAUT)
    assert dataclasses.replace(face) == model.predict(astronaut)[0]
    cut = align_and_crop(astronaut, face.box, face.left_eye, face.right_eye, model.crop)
    assert model.predict_faces([cut])[0].probabilities == pytest.approx(face.probabilities, rel=1e-4)


def test_a_picture_without_a_face(model):
    assert model.predict(np.full((60, 80, 3), 127, np.uint8)) == ()


@pytest.mark.parametrize(
    "picture",
    [
        *(
            np.zeros((8, 8), np.uint8),
            np.zeros((8, 8, 3)),
            np.zeros((8, 8, 1), np.uint8),
            np.zeros((0, 8, 3), np.uint8),
        ),
        *(None, b"photo.jpg", 3, [[1]]),
    ],
)
def test_other_pictures_are_refused(model, picture):
    for judge in (model.predict, model.find_faces, lambda picture: model.predict_faces([picture])):
        with pytest.raises(UserError, match=r"uint8 RGB array of shape \[height, width, 3\], found"):
            judge(picture)


def test_pictures_that_other_libraries_hold(model, faces):
    expected = model.predict_faces([faces[0]])
    assert model.predict_faces([Image.fromarray(faces[0])]) == model.predict_faces([jax.numpy.asarray(faces[0])])
    assert model.predict_faces(face for face in [faces[0]]) == expected
    with pytest.raises(UserError, match="cannot be read"):
        model.predict("a\0b.jpg")
    with pytest.raises(UserError, match="The list cannot be read as a picture"):
        model.predict([[1], [1, 2]])


def test_a_picture_of_pillow_is_turned_upright(model, faces):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    lying, file = Image.fromarray(np.rot90(faces[0])), io.BytesIO()
    lying.save(file, "PNG", exif=exif)
    assert model.predict_faces([Image.open(file)]) == model.predict_faces([faces[0]])


@pytest.mark.parametrize("images", ["photo.jpg", [[1.0]], None])
def test_only_arrays_go_through_the_network(model, images):
    with pytest.raises(UserError, match="takes normalised float32 images"):
        model(images)


def test_a_damaged_checkpoint_is_told(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    (folder,) = (tmp_path / "run" / "checkpoints" / "best").iterdir()
    (data,) = [path for path in (folder / "variables").rglob("*") if path.is_file() and path.stat().st_size > 100_000]
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(UserError, match="is incomplete or damaged"):
        eg.load(tmp_path / "run")
    shutil.rmtree(folder / "meta")
    with pytest.raises(UserError, match="is incomplete or damaged"):
        eg.load(tmp_path / "run")


def test_weights_that_are_not_finite_are_not_loaded(model, tmp_path):
    variables = jax.tree.map(np.array, model.variables)
    jax.tree.leaves(variables["params"])[0].flat[0] = np.nan
    checkpoints.write(tmp_path / "broken", variables, dict(model.meta))
    with pytest.raises(UserError, match="weights that are not finite"):
        eg.load(tmp_path / "broken")


def test_answers_that_are_not_finite_are_not_given(model, faces, monkeypatch):
    monkeypatch.setattr(
        eg.EmotionModel,
        "__call__",
        lambda self, images: (np.zeros((len(images), 7)), np.full((len(images), 2), np.nan)),
    )
    with pytest.raises(UserError, match="not finite"):
        model.predict_faces(faces[:1])


def test_a_model_that_diverged_is_not_believed(model, faces):
    broken = eg.EmotionModel(model.module, jax.tree.map(lambda array: array * np.nan, model.variables), model.meta)
    with pytest.raises(UserError, match="not finite"):
        broken.predict_faces(faces[:1])
