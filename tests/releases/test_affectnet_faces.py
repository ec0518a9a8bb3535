"""The official crop against one written from its specification without OpenCV; the right one on painted faces."""

import math

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases.affectnet_faces import CROP, aligned_face, levelled_image, official_face
from tests.raw_faces import SIZES, TILTS, eyes, find_dots, painted, raw_face, raw_faces


def specified_crop(image_HxWx3: np.ndarray, box, landmarks_68x2: np.ndarray, size: int) -> np.ndarray:
    """The official crop, step by step: spec/emotion_gcn.md, section 6."""
    left_2, right_2 = (np.trunc(landmarks_68x2[start : start + 6].mean(0)) for start in (36, 42))
    middle_2 = np.floor((left_2 + right_2) / 2)
    with np.errstate(divide="ignore"):
        angle = np.arctan(np.divide(right_2[1] - left_2[1], right_2[0] - left_2[0]))
    # Counter-clockwise on screen, about the middle.
    turn_2x2 = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    height, width = image_HxWx3.shape[:2]
    rotated = bicubic(image_HxWx3, turn_2x2, middle_2, out_height=width, out_width=height)
    x, y, box_width, box_height = (math.trunc(number) for number in box)
    x, y = turn_2x2 @ (np.array([x, y]) - middle_2) + middle_2
    edges = [int(np.rint(edge)) for edge in (x, y, x + box_width, y + box_height)]
    source_y, source_x = np.mgrid[edges[1] : edges[3], edges[0] : edges[2]]
    there = (source_y >= 0) & (source_y < rotated.shape[0]) & (source_x >= 0) & (source_x < rotated.shape[1])
    padded = np.zeros((*there.shape, 3), np.uint8)
    padded[there] = rotated[source_y[there], source_x[there]]
    shorter = min(padded.shape[:2])
    new_size = (int(size * padded.shape[1] / shorter), int(size * padded.shape[0] / shorter))
    return np.asarray(Image.fromarray(padded).resize(new_size, Image.Resampling.BILINEAR))


def bicubic(image_HxWx3, turn_2x2, middle_2, out_height: int, out_width: int) -> np.ndarray:
    """Samples the turned image with the cubic kernel of a = -0.75, pixel centres on integers, 0 outside."""

    def kernel(distance):
        d, a = np.abs(distance), -0.75
        near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    y, x = np.mgrid[:out_height, :out_width]
    source_x, source_y = np.tensordot(turn_2x2.T, np.stack([x - middle_2[0], y - middle_2[1]]), 1)
    source_x, source_y = source_x + middle_2[0], source_y + middle_2[1]
    first_x, first_y = np.floor(source_x).astype(int), np.floor(source_y).astype(int)
    total = np.zeros((out_height, out_width, 3))
    for step_y in range(-1, 3):
        for step_x in range(-1, 3):
            at_y, at_x = first_y + step_y, first_x + step_x
            inside = (at_y >= 0) & (at_y < image_HxWx3.shape[0]) & (at_x >= 0) & (at_x < image_HxWx3.shape[1])
            weight = kernel(source_x - at_x) * kernel(source_y - at_y) * inside
            at_y, at_x = at_y.clip(0, image_HxWx3.shape[0] - 1), at_x.clip(0, image_HxWx3.shape[1] - 1)
            total += weight[..., None] * image_HxWx3[at_y, at_x]
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [227, 112])
@pytest.mark.parametrize("number", range(15))
def test_official_crop_is_the_specified_one(number, size):
    face = raw_faces()[number]
    ours = official_face(face.image_HxWx3, face.box, eyes(face), size)
    theirs = specified_crop(face.image_HxWx3, face.box, face.landmarks_68x2, size)
    assert ours.shape == theirs.shape and min(ours.shape[:2]) == size
    assert np.abs(ours.astype(int) - theirs).mean() <= 2
    # Where the swapped sides or the border have cut the picture off, both are black.
    assert ((ours.max(-1) == 0) ^ (theirs.max(-1) == 0)).mean() < 0.01


def test_the_official_crop_is_compared_on_squares_and_on_others():
    faces = raw_faces()
    square_images = sum(face.image_HxWx3.shape[0] == face.image_HxWx3.shape[1] for face in faces)
    square_boxes = sum(face.box[2] == face.box[3] for face in faces)
    assert 4 <= square_images <= len(faces) - 4 and 4 <= square_boxes <= len(faces) - 4


def test_official_defects_are_there():
    picture = np.full((200, 400, 3), 180, np.uint8)
    # Width and height are swapped: what is right of x = 200 is cut off.
    level = official_face(picture, (150.0, 50.0, 100.0, 100.0), ((180.0, 90.0), (220.0, 90.0)), 100)
    assert (level[:, :49] > 170).all() and (level[:, 52:] == 0).all()
    # Only the corner is turned: with cosine 0.8 and sine 0.6 about (200, 100), from (150, 50) to (130, 90).
    dot = np.zeros((400, 400, 3), np.uint8)
    dot[95:106, 195:206] = 255  # around (200, 100), the centre of the box, which a right crop has in its middle
    tilted = official_face(dot, (150.0, 50.0, 100.0, 100.0), ((192.0, 94.0), (208.0, 106.0)), 100)
    rows, columns = np.nonzero(tilted[..., 0] > 127)
    assert columns.mean() == pytest.approx(70, abs=0.5) and rows.mean() == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize(
    ("first", "second"),
    [((40.0, 30.0), (40.0, 50.0)), ((40.0, 50.0), (40.0, 30.0)), ((50.0, 40.0), (30.0, 45.0))],
    ids=["down", "up", "backwards"],
)
def test_official_crop_of_a_steep_eye_line(first, second):
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = first, second
    ours = official_face(image, (20.6, 20.2, 40.9, 40.9), (first, second), 40)
    np.testing.assert_allclose(ours, specified_crop(image, (20.6, 20.2, 40.9, 40.9), points, 40), atol=3)


def test_official_crop_needs_two_eyes():
    with pytest.raises(UserError, match="two eyes apart"):
        official_face(np.zeros((9, 9, 3), np.uint8), (0, 0, 5, 5), ((3.2, 3.9), (3.9, 3.1)), 227)


@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("tilt", TILTS[:5])
def test_the_right_crop_is_level_and_in_place(size, tilt):
    face = painted(raw_face(0, 3, size, tilt))
    check_level_and_in_place(face, aligned_face(face.image_HxWx3, face.box, eyes(face)))


def check_level_and_in_place(face, stored_SxSx3):
    """The eyes are level within a degree, the head's centre within 2 % of the side of where it must be."""
    side = stored_SxSx3.shape[0]
    assert stored_SxSx3.shape == (side, side, 3) and side == min(256, max(face.box[2:]))
    left_2, right_2, head_2 = find_dots(stored_SxSx3)
    assert abs(math.degrees(math.atan2(right_2[1] - left_2[1], right_2[0] - left_2[0]))) < 1
    # The head's centre as seen from the box's, in the face's own directions.
    along_2 = (face.right_eye - face.left_eye) / np.linalg.norm(face.right_eye - face.left_eye)
    from_box_2 = face.head_center - np.array(face.box[:2]) - np.array(face.box[2:]) / 2
    expected_2 = side / 2 + np.array([along_2 @ from_box_2, np.array([-along_2[1], along_2[0]]) @ from_box_2])
    assert np.abs(head_2 - expected_2).max() < 0.02 * side
    assert np.linalg.norm(expected_2 - side / 2) > 0.03 * side, "the test would not notice a crop about the head"
    assert left_2[0] < right_2[0], "upright"


def test_an_image_cut_to_the_face_is_turned_about_its_middle():
    face = painted(raw_face(0, 3, (200, 200), 0.5))
    turned = levelled_image(face.image_HxWx3, eyes(face))
    assert turned.shape == (200, 200, 3)
    (left_x, left_y), (right_x, right_y), _ = find_dots(turned)
    assert abs(math.degrees(math.atan2(right_y - left_y, right_x - left_x))) < 1
    before, after = (np.linalg.norm(find_dots(image)[2] - 100) for image in (face.image_HxWx3, turned))
    assert after == pytest.approx(before, abs=0.5)


@pytest.mark.parametrize(
    "implausible",
    [
        None,
        ((60.0, 80.0), (230.0, 90.0)),
        ((140.0, 80.0), (60.0, 90.0)),
        ((90.0, 80.0), (100.0, 95.0)),
    ],
    ids=["missing", "outside", "swapped", "close"],
)
def test_an_image_with_implausible_eyes_stays_as_it_is(implausible):
    image = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    np.testing.assert_array_equal(levelled_image(image, implausible), image)


def test_the_right_crop_has_the_box_for_its_side():
    assert (CROP.side, CROP.size, CROP.enlarge, CROP.level_eyes) == (1.0, 256, False, True)
    image = np.random.default_rng(2).integers(0, 256, (100, 120, 3), np.uint8)
    face = aligned_face(image, (30.0, 20.0, 40.0, 60.0), ((40.0, 40.0), (60.0, 40.0)))
    np.testing.assert_array_equal(face, image[20:80, 20:80])
