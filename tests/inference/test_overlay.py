import numpy as np
import pytest

from emotion_gcn_jax.inference.overlay import draw_faces
from emotion_gcn_jax.inference.results import FacePrediction
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values

EXPRESSION = Classes(name="expression", vocabulary=("Happy", "Sad"))
AFFECT = Values(name="affect", dimensions=("valence", "arousal"))
ENERGY = Values(name="energy", dimensions=("energy",))
UNITS = Flags(name="action_units", names=tuple(f"AU{number}" for number in range(1, 13)))
ANSWERS = {
    "expression": {"expression": "Happy", "probabilities": {"Happy": 0.75, "Sad": 0.25}},
    "energy": {"energy": -0.5},
    "action_units": {"action_units": dict.fromkeys(UNITS.names, 0.9)},
}
PAPERS = (EXPRESSION, AFFECT)


def face(box, tilt=0.0, affect=(0.5, -0.3)):
    (x0, y0, x1, y1), dy = box, tilt * (box[2] - box[0]) / 4
    middle, third = (x0 + x1) / 2, y0 + (y1 - y0) / 3
    eyes = ((middle - (x1 - x0) / 4, third - dy), (middle + (x1 - x0) / 4, third + dy))
    return FacePrediction(box, *eyes, 0.9, ANSWERS | {"affect": dict(zip(AFFECT.dimensions, affect, strict=True))})


def drawn_parts(shape, faces, tasks=PAPERS):
    """Where a grey picture of this shape is changed, and the scale of the drawing."""
    drawn = draw_faces(np.full((*shape, 3), 120, np.uint8), faces, tasks)
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
    _, level, _ = drawn_parts((1000, 1000), [face(box)], (EXPRESSION,))
    _, tilted, _ = drawn_parts((1000, 1000), [face(box, tilt=np.tan(np.radians(45)))], (EXPRESSION,))
    assert np.nonzero(level)[0].min() == pytest.approx(400, abs=6)
    assert np.nonzero(tilted)[0].min() == pytest.approx(500 - 100 * 2**0.5, abs=6)


def test_writing_stays_inside_and_apart():
    corners = [(0, 0, 200, 200), (800, 0, 1000, 200), (0, 500, 200, 700), (800, 500, 1000, 700)]
    single = [drawn_parts((700, 1000), [face(box)])[1].sum() for box in corners]
    _, together, _ = drawn_parts((700, 1000), [face(box) for box in corners])
    assert together.sum() == pytest.approx(sum(single), rel=0.02)


def test_a_cut_face_has_no_eyes():
    box = (0.0, 0.0, 50.0, 50.0)
    cut = FacePrediction(box, None, None, None, ANSWERS)
    _, without, _ = drawn_parts((50, 50), [cut], (EXPRESSION,))
    _, everything, _ = drawn_parts((50, 50), [face(box)], (EXPRESSION,))
    assert 0.005 < without.mean() < everything.mean()


@pytest.mark.parametrize(
    ("fewer", "more"),
    [
        ((EXPRESSION,), PAPERS),  # a line more for each value, and the plane
        ((EXPRESSION,), (EXPRESSION, ENERGY)),  # a line more
        ((EXPRESSION, ENERGY), PAPERS),  # one value makes no plane
        ((ENERGY,), (ENERGY, UNITS)),
    ],
)
def test_what_a_model_says_more_is_written_more(fewer, more):
    sizes = [drawn_parts((960, 960), [face((300, 300, 500, 500))], tasks)[1].sum() for tasks in (fewer, more)]
    assert sizes[1] > 1.05 * sizes[0]


def test_many_flags_are_written_on_several_lines():
    _, changed, _ = drawn_parts((960, 960), [face((100, 300, 300, 500))], (UNITS,))
    rows, columns = np.nonzero(changed[:, 302:])
    # Letters are 0.7 * 960 / 45 = 15 pixels high and about half as wide: all 43 characters would take more than 320.
    assert 100 < np.ptp(columns) < 250
    assert np.ptp(rows) > 1.5 * 15  # two lines


def test_the_dot_follows_valence_and_arousal():
    def dot(affect):
        drawn, _, _ = drawn_parts((960, 960), [face((300, 300, 500, 500), affect=affect)])
        yellow = (drawn[:, 520:, 0] > 230) & (drawn[:, 520:, 2] < 120)
        return np.argwhere(yellow).mean(0)

    (y, x), (above, _), (_, right), (_, limit) = dot((0, 0)), dot((0, 0.9)), dot((0.9, 0)), dot((5.0, 0))
    assert above < y - 10 and right > x + 10 and limit == pytest.approx(right, abs=6)
