"""Tests of the tests' own scenes: a detector or a predictor that is judged by them relies on their truth."""

import numpy as np
import pytest

from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.rendering.sampling import sample_face
from emotion_gcn_jax.rendering.scene import render
from tests.scenes import group, portrait

CROP = Crop(side=1.0, size=48, enlarge=True)


def test_a_scene_is_a_function_of_its_arguments():
    scene, again, other = (group(seed, range(2), width=360, height=240) for seed in (3, 3, 4))
    assert scene.image_HxWx3.shape == (240, 360, 3) and scene.image_HxWx3.dtype == np.uint8
    assert scene.faces == again.faces != other.faces
    np.testing.assert_array_equal(scene.image_HxWx3, again.image_HxWx3)


@pytest.mark.parametrize("index", [0, 5])
def test_the_face_cut_out_of_a_scene_is_the_datasets(index):
    scene, face = portrait(3, index), sample_face(3, index)
    (truth,) = scene.faces
    alone = render(face, 400)
    cut, expected = (
        align_and_crop(image, found.box, found.left_eye, found.right_eye, CROP)[12:40, 12:36].astype(int)
        for image, found in ((scene.image_HxWx3, truth), (alone.image_SxSx3, alone))
    )
    # Drawn in another size and with other noise: alike, and not if it is cut a pixel (of 48) aside.
    assert np.abs(cut - expected).mean() < 4
    assert np.abs(cut[:, 1:] - expected[:, :-1]).mean() > 1.5 * np.abs(cut - expected).mean()
    assert (truth.expression, truth.valence, truth.arousal) == (int(face.expression), face.valence, face.arousal)


def test_faces_do_not_overlap_and_keep_their_tilt():
    tilts = [-0.4, 0.0, 0.3, 0.6, -0.6]
    scene = group(9, range(5), width=550, height=350, tilts=tilts)
    places = np.array([face.head_center for face in scene.faces])
    sides = np.array([face.box[3] - face.box[1] for face in scene.faces])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e9 * np.eye(5)
    assert (apart.min(1) > 1.2 * sides).all() and sides.max() > 1.3 * sides.min()
    for face, tilt in zip(scene.faces, tilts, strict=True):
        dx, dy = np.subtract(face.right_eye, face.left_eye)
        assert abs(np.arctan2(dy, dx) + tilt) < np.radians(10)  # a turned and nodding head's eyes are not quite level
