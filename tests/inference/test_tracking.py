"""Faces that are followed: boxes whose owners are known."""

import json

import numpy as np
import pytest

from emotion_gcn_jax.inference.tracking import Tracks, follow


def square(x, y, side=40.0):
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def numbers(frames, seconds_a_frame=1 / 25):
    """The track of every box of every frame."""
    tracks, found = Tracks(), []
    for number, boxes in enumerate(frames):
        tracks, of_boxes = follow(tracks, boxes, number * seconds_a_frame)
        found.append(of_boxes)
    return found


def test_tracks_are_numbered_from_one_in_the_order_of_the_boxes():
    assert numbers([[square(0, 0), square(100, 0)], [], [square(100, 0), square(0, 0)]]) == [[1, 2], [], [2, 1]]


def test_two_that_pass_each_other_keep_their_numbers_by_their_speeds():
    """At 24 pixels a frame they meet between two frames: each is then nearer to where the other one was."""
    crossing = [[square(24 * step, 100), square(480 - 24 * step, 106)] for step in range(21)]
    assert numbers(crossing) == [[1, 2]] * 21


@pytest.mark.parametrize(("missing", "number"), [(20, 1), (30, 2)])  # frames of 1/25 s; after one second it is given up
def test_one_that_is_hidden_for_a_moment_is_found_where_it_must_have_moved(missing, number):
    frames = [[square(6 * step, 50)] for step in range(80)]
    frames[20 : 20 + missing] = [[]] * missing
    assert numbers(frames)[-1] == [number]


@pytest.mark.parametrize(("seconds", "number"), [(1 / 25, 1), (0.4, 1), (0.6, 1), (1.0, 1), (4.0, 1), (6.0, 2)])
def test_one_that_sways_keeps_its_number_though_few_frames_are_seen(seconds, number):
    """It goes 12 pixels to and fro every two seconds; where frames are far apart its speed is no guide."""
    swaying = [[square(12 * np.sin(np.pi * step * seconds), 0)] for step in range(20)]
    assert {found for (found,) in numbers(swaying, seconds)} == ({1} if number == 1 else set(range(1, 21)))


def test_one_that_is_not_in_the_frame_before_is_given_up_after_a_second_though_few_frames_are_seen():
    assert numbers([[square(0, 0)], [], [square(0, 0)]], 1.5) == [[1], [], [2]]


def test_jumps_and_newcomers_get_numbers_of_their_own():
    assert numbers([[square(0, 0)], [square(300, 0)], [square(300, 0), square(0, 300)]]) == [[1], [2], [2, 3]]


@pytest.mark.parametrize("seconds", [1 / 100, 1 / 25, 1 / 5])
def test_speed_is_by_the_clock_and_not_by_the_frame(seconds):
    """100 pixels a second; frames come when they come."""
    times = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, 40) * seconds)
    tracks = Tracks()
    for time in times:
        tracks, found = follow(tracks, [square(100 * time, 0)], float(time))
        assert found == [1]
    (track,) = tracks.followed
    np.testing.assert_allclose(track.speed, (100, 0), atol=1e-6)


def test_frames_of_one_time_and_boxes_without_area_do_no_harm():
    tracks, first = follow(Tracks(), [square(0, 0), (5.0, 5.0, 5.0, 5.0)], 1.0)
    tracks, second = follow(tracks, [square(1, 0)], 1.0)
    assert (first, second) == ([1, 2], [1])


def test_wandering_faces_are_not_mixed_up():
    """Six heads that wander at random, seen with noise, and in nine frames of ten."""
    rng = np.random.default_rng(5)
    places_6x2 = np.array([[150 + 220 * (face % 3), 120 + 220 * (face // 3)] for face in range(6)], float)
    speeds_6x2 = np.zeros((6, 2))
    tracks, owner, switches = Tracks(), {}, 0
    for frame in range(400):
        speeds_6x2 = 0.9 * speeds_6x2 + rng.normal(0, 1.5, (6, 2)) - 0.01 * (places_6x2 - 260)
        places_6x2 += speeds_6x2
        seen = [face for face in rng.permutation(6) if rng.random() < 0.9]
        apart = {
            a for a in seen if all(np.abs(places_6x2[a] - places_6x2[b]).max() > 40 for b in range(6) if b != a)
        }  # those that stand alone: who stands before whom is another question
        boxes = [square(*(places_6x2[face] + rng.normal(0, 1, 2)), side=60) for face in seen]
        tracks, found = follow(tracks, boxes, frame / 25)
        for face, number in zip(seen, found, strict=True):
            if face in apart:
                switches += owner.setdefault(face, number) != number
                owner[face] = number
    assert switches < 2000 / 200  # of about 2,000 sightings, heads that cross among them


def test_tracks_survive_json_to_the_bit():
    tracks, _ = follow(Tracks(), [square(1 / 3, 2 / 7)], 0.1)
    tracks, _ = follow(tracks, [square(1.7, 2.9), square(200.1, 0)], 0.2)
    assert Tracks.from_dict(json.loads(json.dumps(tracks.to_dict()))) == tracks
