import numpy as np
import pytest

from emotion_gcn_jax.inference.overlay import draw_faces
from emotion_gcn_jax.inference.results import FacePrediction


def face(box, tilt=0.0, affect=(0.5, -0.3)):
    (x0, y0, x1, y1), dy = box, tilt * (box[2] - box[0]) / 4
    middle, third = (x0 + x1) / 2, y0 + (y1 - y0) / 3
    eyes = ((middle - (x1 - x0) / 4, third - dy), (middle + (x1 - x0) / 4, third + dy))
    return FacePrediction(box, *eyes, 0.9, "Happy", {"Happy": 0.75, "Sad": 0.25}, *affect)


def drawn_parts(shape, faces):
    """Where a grey picture of this shape is changed, and the scale of the drawing."""
    drawn = draw_faces(np.full((*shape, 3), 120, np.uint8), faces)
    assert drawn.dtype == np.uint8
    changed = (drawn != 120).any(-1)
    return drawn, changed, max(drawn.shape) / max(shape)


@pytest.mark.parametrize("side", [24, 300, 1500, 4000])
def test_marks_are_as_large_in_tiny_and_in_huge_pictures(side):
    box = (0.3 * side, 0.35 * side, 0.6 * side, 0.65 * side)
    drawn, changed, scale = drawn_parts((side, side), [face(box)])
    assert 960 <= max(drawn.shape) <= 2400
    share = changed.mean()
    assert 0.015 < share < 0.06  # box, eyes and writing, as a share of the picture
    rows, columns = np.nonzero(changed)
    assert columns.min() / scale == pytest.approx(box[0], abs=0.01 * side)
    assert rows.max() / scale == pytest.approx(box[3], abs=0.01 * side)
    right_of_the_face = drawn[:, round(1.02 * box[2] * scale) :]
    assert (right_of_the_face < 70).all(-1).mean() > 0.02  # the writing's dark paper


def test_a_tilted_face_has_a_tilted_box():
    box = (400, 400, 600, 600)
    _, level, _ = drawn_parts((1000, 1000), [face(box, affect=(None, None))])
    _, tilted, _ = drawn_parts((1000, 1000), [face(box, tilt=np.tan(np.radians(45)), affect=(None, None))])
    assert np.nonzero(level)[0].min() == pytest.approx(400, abs=6)
    assert np.nonzero(tilted)[0].min() == pytest.approx(500 - 100 * 2**0.5, abs=6)


def test_writing_stays_inside_and_apart():
    corners = [(0, 0, 200, 200), (800, 0, 1000, 200), (0, 500, 200, 700), (800, 500, 1000, 700)]
    single = [drawn_parts((700, 1000), [face(box)])[1].sum() for box in corners]
    _, together, _ = drawn_parts((700, 1000), [face(box) for box in corners])
    assert together.sum() == pytest.approx(sum(single), rel=0.02)


def test_a_model_without_affect_has_no_plane_and_a_cut_face_no_eyes():
    plain = FacePrediction((0.0, 0.0, 50.0, 50.0), None, None, None, "Sad", {"Sad": 1.0}, None, None)
    _, without, _ = drawn_parts((50, 50), [plain])
    _, everything, _ = drawn_parts((50, 50), [face((0, 0, 50, 50))])
    assert 0.005 < without.mean() < 0.7 * everything.mean()


def test_the_dot_follows_valence_and_arousal():
    def dot(affect):
        drawn, _, _ = drawn_parts((960, 960), [face((300, 300, 500, 500), affect=affect)])
        yellow = (drawn[:, 520:, 0] > 230) & (drawn[:, 520:, 2] < 120)
        return np.argwhere(yellow).mean(0)

    (y, x), (above, _), (_, right), (_, limit) = dot((0, 0)), dot((0, 0.9)), dot((0.9, 0)), dot((5.0, 0))
    assert above < y - 10 and right > x + 10 and limit == pytest.approx(right, abs=6)
