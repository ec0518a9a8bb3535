"""Tests of the synthetic faces: what is drawn, where it is said to be, and that the same face is always the same."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.labels import Expression
from emotion_gcn_jax.rendering.actions import AFFECT_ANCHORS
from emotion_gcn_jax.rendering.sampling import BLEND_SHARE, FACES_PER_SUBJECT, Face, sample_face
from emotion_gcn_jax.rendering.scene import RenderedFace, render
from emotion_gcn_jax.rendering.synthetic import stored_face

CROP = Crop(side=1.05, size=48, enlarge=True)


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return [sample_face(3, index) for index in range(400)]


def test_expressions_are_drawn_evenly(faces: list[Face]) -> None:
    counts = np.bincount([face.expression for face in faces], minlength=7)
    # 400 / 7 = 57 of each, give or take 4 standard deviations (7 each).
    assert len(counts) == 7 and counts.min() > 29 and counts.max() < 85


def test_intensities(faces: list[Face]) -> None:
    for face in faces:
        if face.expression == Expression.NEUTRAL:
            assert face.intensity == 0 == face.second_intensity
        else:
            assert 0.5 <= face.intensity <= 1
            assert face.second_intensity <= 0.4 * face.intensity
            assert face.second_expression != face.expression
    strengths = [face.intensity for face in faces if face.intensity]
    assert min(strengths) < 0.55 and max(strengths) > 0.95


def test_share_of_blends(faces: list[Face]) -> None:
    blends = np.mean([face.second_intensity > 0 for face in faces])
    assert BLEND_SHARE <= 0.3
    assert 0.12 < blends < 0.3


def test_affect_is_near_the_scaled_anchors(faces: list[Face]) -> None:
    for face in faces:
        expected = face.intensity * np.array(AFFECT_ANCHORS[face.expression])
        expected += face.second_intensity * np.array(AFFECT_ANCHORS[face.second_expression])
        affect = np.array([face.valence, face.arousal])
        assert (np.abs(affect) <= 1).all()
        assert (np.abs(affect - np.clip(expected, -1, 1)) <= 0.2 + 1e-9).all()


def test_anchors_lie_in_the_circumplex_quadrants() -> None:
    assert set(AFFECT_ANCHORS) == {Expression(k) for k in range(7)}
    assert AFFECT_ANCHORS[Expression.NEUTRAL] == (0, 0)
    valence = {expression: anchor[0] for expression, anchor in AFFECT_ANCHORS.items()}
    arousal = {expression: anchor[1] for expression, anchor in AFFECT_ANCHORS.items()}
    assert max(valence, key=lambda e: valence[e]) == Expression.HAPPY
    assert min(arousal, key=lambda e: arousal[e]) == Expression.SAD
    assert max(arousal, key=lambda e: arousal[e]) == Expression.SURPRISE
    for unpleasant in (Expression.SAD, Expression.FEAR, Expression.DISGUST, Expression.ANGER):
        assert valence[unpleasant] < 0


def test_subjects_have_two_different_faces(faces: list[Face]) -> None:
    assert FACES_PER_SUBJECT == 2
    assert [face.subject.number for face in faces] == [index // 2 for index in range(400)]
    first, second, other = faces[0], faces[1], faces[2]
    assert first.subject.shape == second.subject.shape != other.subject.shape
    assert first.yaw != second.yaw


def test_poses_and_people_vary(faces: list[Face]) -> None:
    for angle in ("yaw", "pitch", "roll"):
        values = np.array([getattr(face, angle) for face in faces])
        assert values.std() > 0.1 and np.abs(values).max() < 0.7
    roll = np.degrees([face.roll for face in faces])
    assert np.abs(roll).max() < 25
    bald = np.mean([face.subject.hair_thickness == 0 for face in faces])
    assert 0.02 < bald < 0.4
    ages = np.array([face.subject.age for face in faces])
    assert (ages < 0.5).any() and (ages > 0.75).any()


def test_given_expression_is_drawn() -> None:
    assert [sample_face(0, 5, expression=Expression(k)).expression for k in range(7)] == list(range(7))


def test_same_face_on_any_number_of_threads() -> None:
    alone = [stored_face(11, index, crop=CROP) for index in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: stored_face(11, index, crop=CROP), range(6)))
    for one, other in zip(alone, together, strict=True):
        assert one.image_png == other.image_png
        assert (one.expression, one.valence, one.arousal) == (other.expression, other.valence, other.arousal)
        np.testing.assert_array_equal(one.left_eye, other.left_eye)
    assert len({face.image_png for face in alone}) == 6
    assert stored_face(12, 0, crop=CROP).image_png != alone[0].image_png


def neutral_face(**changes: object) -> Face:
    """A still face, seen from the front, with some fields changed."""
    face = sample_face(4, 2, expression=Expression.NEUTRAL)
    return dataclasses.replace(
        face, **{"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "offset": (0.0, 0.0), "noise": 0.0} | changes
    )


@pytest.mark.parametrize(
    ("index", "brightness"),
    [
        (0, [
            [139.7, 120.0, 104.7, 129.0], [146.6, 148.5, 116.0, 148.3],
            [128.5, 154.6, 136.8, 146.6], [132.6, 83.1, 102.2, 127.0],
        ]),
        (1, [
            [207.4, 158.9, 109.5, 165.7], [179.9, 171.3, 152.3, 151.5],
            [197.2, 159.9, 135.0, 175.2], [136.2, 122.6, 94.7, 184.9],
        ]),
        (5, [
            [180.2, 180.8, 186.7, 162.2], [205.2, 176.3, 194.7, 181.6],
            [216.3, 161.4, 179.0, 182.3], [136.8, 128.1, 159.3, 189.4],
        ]),
    ],
)  # fmt: skip
def test_a_face_looks_as_it_always_has(index: int, brightness: list[list[float]]) -> None:
    """Else figures that were measured on these faces are not of them any more: give the dataset a new version."""
    image_96x96x3 = render(sample_face(3, index), 96).image_SxSx3
    np.testing.assert_allclose(image_96x96x3.reshape(4, 24, 4, 24, 3).mean((1, 3, 4)), brightness, atol=0.5)


@pytest.mark.parametrize("roll", [-0.4, 0.0, 0.25])
def test_crop_of_a_rolled_head_is_level_and_centred(roll: float) -> None:
    rendered = render(neutral_face(roll=roll), 240)
    tilt = math.atan2(rendered.right_eye[1] - rendered.left_eye[1], rendered.right_eye[0] - rendered.left_eye[0])
    assert abs(math.degrees(tilt + roll)) < 2.5  # heads are not quite symmetric
    crop = Crop(side=1.2, size=160, enlarge=True)
    marks = mark_eyes_and_box(rendered)
    cut = align_and_crop(marks, rendered.box, rendered.left_eye, rendered.right_eye, crop)
    y, x = np.mgrid[:160, :160] + 0.5
    weights = cut.astype(float)
    places = [(weights[..., k] * x).sum() / weights[..., k].sum() for k in range(3)]
    heights = [(weights[..., k] * y).sum() / weights[..., k].sum() for k in range(3)]
    assert abs(math.degrees(math.atan2(heights[1] - heights[0], places[1] - places[0]))) < 1
    assert abs(places[2] - 80) < 0.02 * 160 and abs(heights[2] - 80) < 0.02 * 160


def mark_eyes_and_box(rendered: RenderedFace) -> np.ndarray:
    """A soft dot at each eye (red, green) and at the box's centre (blue), where the rendering says they are."""
    y, x = np.mgrid[: rendered.image_SxSx3.shape[0], : rendered.image_SxSx3.shape[1]] + 0.5
    x0, y0, x1, y1 = rendered.box
    spots = [rendered.left_eye, rendered.right_eye, ((x0 + x1) / 2, (y0 + y1) / 2)]
    dots = [255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 18) for spot in spots]
    return np.stack(dots, axis=-1).astype(np.uint8)


def test_eyes_are_where_they_are_said_to_be() -> None:
    face = neutral_face()
    closed = dataclasses.replace(face, actions={"fu_eyeBlinkLeft": 1.0, "fu_eyeBlinkRight": 1.0})
    rendered, blinking = render(face, 256), render(closed, 256)
    change = np.abs(rendered.image_SxSx3.astype(float) - blinking.image_SxSx3).sum(-1)
    y, x = np.mgrid[:256, :256] + 0.5
    middle = (rendered.left_eye[0] + rendered.right_eye[0]) / 2
    for eye, side in ((rendered.left_eye, x < middle), (rendered.right_eye, x > middle)):
        weight = change * side
        found = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
        assert math.dist(found, eye) < 5


def test_turning_does_not_move_the_head() -> None:
    straight, turned = render(neutral_face(), 200), render(neutral_face(yaw=0.6), 200)
    assert straight.head_center == turned.head_center == (100.0, 100.0)
    shift = (straight.box[0] + straight.box[2] - turned.box[0] - turned.box[2]) / 2
    assert abs(shift) < 0.12 * 200


def test_jaw_opens_a_dark_mouth_and_lengthens_the_box() -> None:
    closed, opened = (render(neutral_face(actions=actions), 200) for actions in ({}, {"fu_jawOpen": 0.8}))
    assert opened.box[3] > closed.box[3] + 3
    x0, y0, x1, y1 = map(round, opened.box)
    mouth = np.s_[y0 + int(0.66 * (y1 - y0)) : y1 - 4, x0 + (x1 - x0) // 3 : x1 - (x1 - x0) // 3]
    assert opened.image_SxSx3[mouth].mean(-1).min() < 0.6 * closed.image_SxSx3[mouth].mean(-1).min()


def test_stored_places_are_inside_and_level() -> None:
    for index in range(8):
        face = stored_face(2, index, crop=CROP)
        assert face.left_eye[0] < face.right_eye[0]
        assert (face.left_eye > 0).all() and (face.right_eye < CROP.size).all()
        slope = (face.right_eye[1] - face.left_eye[1]) / (face.right_eye[0] - face.left_eye[0])
        assert abs(math.degrees(math.atan(slope))) < 20  # a detector's errors only
