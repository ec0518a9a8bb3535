import copy
import dataclasses
import io
import pickle
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import emotion_gcn_jax as eg
from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import align_and_crop
from emotion_gcn_jax.labels import EXPRESSIONS
from tests.photographs import ASTRONAUT
from tests.untrained import CROP, write_checkpoint

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def model(workdir):
    return eg.load(workdir)


@pytest.fixture(scope="module")
def faces():
    return list(np.random.default_rng(0).integers(0, 256, (41, 40, 40, 3), np.uint8))


def test_a_checkpoint_says_all_that_is_needed(model, workdir):
    assert model.label_names == EXPRESSIONS
    assert model.crop == CROP
    assert model.config.model.trunk == "densenet_tiny"
    assert [task.name for task in model.tasks] == ["expression", "affect"]
    said = "expression: Neutral, Happy, Sad, Surprise, Fear, Disgust, Anger; affect: Valence, Arousal"
    assert repr(model) == f"EmotionModel(densenet_tiny, head graph, 32 pixels in colour; {said})"
    assert (model.input.side, model.input.channels) == (32, 3)
    with pytest.raises(AttributeError):
        model.config.input.side = 64
    by_folder = eg.load(str(workdir / "checkpoints" / "best" / "3"))
    jax.tree.map(np.testing.assert_array_equal, by_folder.variables, model.variables)
    with pytest.raises(UserError, match="No checkpoint was found"):
        eg.load(workdir.parent / "nowhere")


@pytest.mark.parametrize("engine", ["onnx", "jax"])
def test_a_network_can_see_faces_at_another_side(model, workdir, faces, engine):
    larger = eg.load(workdir, engine=engine, side=48)
    assert larger.input == dataclasses.replace(model.input, side=48)
    seen = np.stack([larger.input.fit(face) for face in faces[:3]])
    logits, _ = model(((seen / 255 - MEAN) / DEVIATION).astype(np.float32))
    expected = jax.nn.softmax(logits)
    for face, probabilities in zip(larger.predict_faces(faces[:3]), np.asarray(expected), strict=True):
        assert list(face.probabilities.values()) == pytest.approx(probabilities.tolist(), abs=1e-5)


def test_what_a_network_sees_of_an_image_stays_the_same_at_another_side():
    assert eg.load().input.network_side == 44 and eg.load().input.side == 48
    smaller = eg.load(side=22).input
    assert (smaller.network_side, smaller.side) == (22, 24)


@pytest.mark.parametrize(
    ("changed", "side", "message"),
    [
        ({}, 31, "cannot see faces of 31 pixels .*32.*: try 32"),
        ({}, 7, "cannot see faces of 7 pixels"),
        ({"recurrent": (2,), "clip_length": 4}, 48, "knows time or hears, and sees faces of 32 pixels alone"),
    ],
)
def test_a_side_that_a_network_cannot_see_is_refused(changed, side, message, tmp_path):
    workdir = write_checkpoint(tmp_path, "emotion_gcn", **changed)
    with pytest.raises(UserError, match=message):
        eg.load(workdir, side=side)


def test_normalised_arrays_give_every_tasks_raw_outputs(model, faces):
    images = ((np.stack(faces[:3]) / 255 - MEAN) / DEVIATION).astype(np.float32)
    logits, affect = outputs = model(images)
    assert logits.shape == (3, 7) and affect.shape == (3, 2)
    assert outputs.expression is logits and outputs.affect is affect
    expected = jax.jit(model.module.apply)(model.variables, images)
    np.testing.assert_allclose(logits, expected["expression"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(affect, expected["affect"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("single_task", {"expression": 7}),
        ("multi_task", {"expression": 7, "affect": 2}),
        ("emotion_gcn_au", {"expression": 7, "affect": 2, "action_units": 12}),
        ("own", {"mood": 3, "energy": 1, "seen": 2}),
    ],
)
def test_models_of_all_kinds_have_their_tasks_outputs(workdirs, name, widths):
    model = eg.load(workdirs(name))
    images = np.zeros((2, 32, 32, 3), np.float32)
    outputs = jax.eval_shape(model.module.apply, model.variables, images)
    assert {task: output.shape for task, output in outputs.items()} == {task: (2, w) for task, w in widths.items()}


def test_a_faces_answers_are_attributes_and_a_dictionary(workdirs, faces):
    (face,) = eg.load(workdirs("own")).predict_faces(faces[:1])
    assert face.mood in ("Bored", "Engaged", "Happy")
    assert face.mood == max(face.probabilities, key=face.probabilities.get)
    assert face.seen.keys() == {"glasses", "hat"} and all(0 <= p <= 1 for p in face.seen.values())
    assert isinstance(face.energy, float)
    places = {"box": (0, 0, 40, 40), "left_eye": None, "right_eye": None, "score": None}
    assert face.to_dict() == places | {
        name: getattr(face, name) for name in ("mood", "probabilities", "seen", "energy")
    }
    assert not hasattr(face, "valence")
    with pytest.raises(AttributeError, match="nothing of 'valence': it answers mood, probabilities, energy, seen"):
        face.valence  # noqa: B018
    assert copy.deepcopy(face) == face


def test_a_grey_model_sees_a_pictures_luminance(workdirs, faces):
    model = eg.load(workdirs("grey"))
    assert model.input.channels == 1
    # Rec. 601's luminance, which OpenCV rounds to 8 bits.
    grey = [np.repeat((face @ (0.299, 0.587, 0.114) + 0.5).astype(np.uint8)[..., None], 3, -1) for face in faces[:2]]
    small = [np.asarray(Image.fromarray(face).resize((32, 32), Image.Resampling.BILINEAR)) for face in faces[:2]]
    for coloured, of_grey in zip(model.predict_faces(faces[:2]), model.predict_faces(grey), strict=True):
        assert coloured.valence == pytest.approx(of_grey.valence, abs=0.02)  # resized and rounded in another order
    images = np.stack([face @ (0.299, 0.587, 0.114) for face in small])[..., None]
    outputs = model(((images / 255 - MEAN[0]) / DEVIATION[0]).astype(np.float32))
    for face, affect in zip(model.predict_faces(faces[:2]), np.asarray(outputs.affect), strict=True):
        assert [face.valence, face.arousal] == pytest.approx(affect.tolist(), abs=0.02)  # not rounded to 8 bits
    with pytest.raises(UserError, match=r"shape \[batch, height, width, 1\]"):
        model(np.zeros((1, 32, 32, 3), np.float32))


@pytest.mark.parametrize("images", [np.zeros((2, 32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.float32)])
def test_other_arrays_are_refused(model, images):
    with pytest.raises(UserError, match=r"takes normalised float32 images of shape .* found (uint8|float32) \["):
        model(images)


def test_faces_are_judged_alike_alone_and_together(model, faces):
    together = model.predict_faces(faces)
    for count in (0, 1, 2, 8, 9):
        for alone, face in zip(model.predict_faces(faces[:count]), together, strict=False):
            assert alone.expression == face.expression
            assert alone.valence == pytest.approx(face.valence, rel=1e-3)
    assert len(together) == 41
    # by hand: Pillow's bilinear, ImageNet's normalisation, a softmax
    resized = np.asarray(Image.fromarray(faces[40]).resize((32, 32), Image.Resampling.BILINEAR))
    outputs = model(((resized[None] / 255 - MEAN) / DEVIATION).astype(np.float32))
    logits, affect = (np.asarray(output[0], np.float64) for output in outputs)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(list(together[40].probabilities.values()), probabilities, rtol=1e-3, atol=1e-6)
    assert together[40].expression == EXPRESSIONS[int(np.argmax(probabilities))]
    assert (together[40].valence, together[40].arousal) == pytest.approx(tuple(affect), rel=1e-3)
    assert (together[40].box, together[40].left_eye, together[40].score) == ((0, 0, 40, 40), None, None)


def test_a_photographs_face_can_be_cut_again(model, astronaut):
    (face,) = model.predict(ASTRONAUT)
    assert dataclasses.replace(face) == model.predict(astronaut)[0]
    cut = align_and_crop(astronaut, face.box, face.left_eye, face.right_eye, model.crop)
    assert model.predict_faces([cut])[0].probabilities == pytest.approx(face.probabilities, rel=1e-4)


def test_a_picture_without_a_face(model):
    assert model.predict(np.full((60, 80, 3), 127, np.uint8)) == ()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((0, 8, 3), np.uint8), r"A picture is an array of shape .* found ndarray of uint8 \[0, 8, 3\]"),
        (np.zeros((8, 8, 2), np.uint8), r"found ndarray of uint8 \[8, 8, 2\]"),
        (3, "found int of int64"),
        (None, "found NoneType of object"),
        (b"photo.jpg", "in no image format known here"),
        ([[1], [1, 2]], "The list cannot be read as a picture"),
        ("a\0b.jpg", "cannot be read"),
    ],
)
@pytest.mark.parametrize("judge", ["predict", "find_faces", "predict_faces"])
def test_what_is_no_picture_is_refused(model, picture, message, judge):
    with pytest.raises(UserError, match=message):
        getattr(model, judge)([picture] if judge == "predict_faces" else picture)


@pytest.mark.parametrize(
    "picture",
    [
        str(ASTRONAUT),
        ASTRONAUT,
        ASTRONAUT.read_bytes(),
        bytearray(3),
        io.BytesIO(b"photo"),
        Image.new("RGB", (40, 40)),
        np.zeros((40, 40), np.uint8),
        np.zeros((40, 40, 3), np.uint8),
        jax.numpy.zeros((40, 40, 3), np.uint8),
    ],
    ids=["name", "path", "bytes", "bytearray", "file", "Pillow", "grey", "RGB", "JAX"],
)
def test_one_picture_is_no_list_of_faces(model, picture):
    with pytest.raises(UserError, match="takes a list of faces, found one picture: put it into a list"):
        model.predict_faces(picture)


@pytest.mark.parametrize("engine", [None, "jax"])
def test_a_model_can_be_sent_to_another_process(workdir, faces, engine):
    model = eg.load(workdir, engine=engine)
    expected = model.predict_faces(faces[:2])  # once it is compiled, too
    images = np.zeros((2, 32, 32, 3), np.float32)
    sent = pickle.loads(pickle.dumps(model))
    assert (repr(sent), sent.engine, sent.predict_faces(faces[:2])) == (repr(model), model.engine, expected)
    np.testing.assert_array_equal(sent(images).affect, model(images).affect)


@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 1)])
def test_grey_arrays_are_read_as_grey_pictures(model, faces, shape):
    grey = np.ascontiguousarray(faces[0][..., 0]).reshape(shape)
    expected = model.predict_faces([np.repeat(faces[0][..., :1], 3, -1)])
    assert model.predict_faces([grey]) == expected


def test_pictures_that_other_libraries_hold(model, faces):
    expected = model.predict_faces([faces[0]])
    assert model.predict_faces([Image.fromarray(faces[0])]) == model.predict_faces([jax.numpy.asarray(faces[0])])
    assert model.predict_faces(face for face in [faces[0]]) == expected


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


def test_a_damaged_checkpoint_gets_a_sentence(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    (folder,) = (tmp_path / "run" / "checkpoints" / "best").iterdir()
    large = [path for path in (folder / "variables").rglob("*") if path.is_file() and path.stat().st_size > 10_000]
    assert large  # one file or several, as Orbax's threads have it
    for data in large:
        data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(UserError, match="is incomplete or damaged"):
        eg.load(tmp_path / "run")
    shutil.rmtree(folder / "meta")
    with pytest.raises(UserError, match="is incomplete or damaged"):
        eg.load(tmp_path / "run")


def test_a_trunk_alone_is_no_model(model, tmp_path):
    variables = {"params": {"trunk": jax.tree.map(np.array, model.variables["params"]["trunk"])}}
    checkpoints.write(tmp_path / "trunk", variables, {"config": {"model": {"trunk": "densenet_tiny"}}})
    with pytest.raises(UserError, match=r"holds a trunk without a head: train from it, with config.init.trunk"):
        eg.load(tmp_path / "trunk")


def test_weights_that_are_not_finite_are_not_loaded(model, tmp_path):
    variables = jax.tree.map(np.array, model.variables)
    jax.tree.leaves(variables["params"])[0].flat[0] = np.nan
    checkpoints.write(tmp_path / "broken", variables, dict(model.meta))
    with pytest.raises(UserError, match="weights that are not finite"):
        eg.load(tmp_path / "broken")


def test_answers_that_are_not_finite_are_not_given(model, faces, monkeypatch):
    nans = {"expression": np.full((1, 7), 1 / 7), "affect": np.full((1, 2), np.nan)}
    monkeypatch.setattr(eg.EmotionModel, "answers", lambda self, images: nans)
    with pytest.raises(UserError, match="not finite"):
        model.predict_faces(faces[:1])


def test_a_model_that_diverged_is_not_believed(model, faces):
    broken = eg.EmotionModel(model.module, jax.tree.map(lambda array: array * np.nan, model.variables), model.meta)
    with pytest.raises(UserError, match="not finite"):
        broken.predict_faces(faces[:1])
