"""Clips of tracks with holes, by hand on a toy track: Aff-Wild2 spec, section 14, test 4."""

import numpy as np
import pytest

from emotion_gcn_jax.data.batches import Stream, _rows
from emotion_gcn_jax.data.clips import Clips
from emotion_gcn_jax.errors import UserError
from tests.data.splits import split_of

HOLES = [1, 2, 5, 6, 7, 8, 9, 10]  # ten frames without 3 and 4


def split(*tracks):
    """Examples of tracks "a", "b", ..., in the order of their numbers given; no example stands where it belongs."""
    names = [name for name, numbers in zip("abc", tracks, strict=False) for _ in numbers]
    numbers = [number for track in tracks for number in track]
    order = np.random.default_rng(0).permutation(len(names))
    return split_of({"video": np.asarray(names, "S")[order], "frame": np.asarray(numbers)[order]})


def frames(split, windows):
    """The numbers in clips, those of repetitions negative."""
    rows, fresh = windows
    return np.where(fresh, 1, -1) * split.columns["frame"][rows]


def test_evaluation_judges_every_frame_of_the_toy_track_once():
    toy = split(HOLES)
    found = frames(toy, Clips(4).of_evaluation(toy))
    # The last clip starts at 10 - 4 + 1; 7 and 8 were judged in the one before it.
    np.testing.assert_array_equal(found, [[1, 2, -2, -2], [5, 6, 7, 8], [-7, -8, 9, 10]])


@pytest.mark.parametrize(
    ("numbers", "length", "expected"),
    [
        ([2, 3], 4, [[-2, 2, 3, -3]]),  # shorter than a clip; nothing earlier than 2
        ([6, 8], 4, [[-6, 6, -6, 8]]),  # 1 to 4 have no frame; the clip of 5 to 8
        ([0, 1, 2], 2, [[0, 1], [-1, 2]]),
        ([3], 1, [[3]]),
    ],
)
def test_evaluation_of_odd_tracks(numbers, length, expected):
    odd = split(numbers)
    np.testing.assert_array_equal(frames(odd, Clips(length).of_evaluation(odd)), expected)


def test_training_has_every_frame_once_an_epoch_at_changing_offsets():
    both = split(HOLES, range(1, 24))
    firsts = set()
    for epoch in range(20):
        rows, fresh = Clips(4, min_present=0).of_epoch(both, seed=1, epoch=epoch)
        assert sorted(rows[fresh]) == list(range(31))
        number, track = both.columns["frame"][rows], both.columns["video"][rows]
        assert (track == track[:, :1]).all()
        assert (np.diff(number, axis=1)[fresh[:, 1:] & fresh[:, :-1]] == 1).all()
        firsts.add(tuple(number[[0, np.argmax(track[:, 0] == b"b")], 3]))
    assert len({of_b for _, of_b in firsts}) == 4 and len(firsts) > 4  # each of the two tracks has an offset of its own
    again = Clips(4, min_present=0).of_epoch(both, seed=1, epoch=19)
    np.testing.assert_array_equal(again[0], rows)


def test_an_epoch_s_number_of_clips_is_the_mean_over_the_offsets():
    # Of 10 numbers by 4: three at offsets 0, 1 (1, 4, 4, 1: four), 2 (2, 4, 4) and 3 (3, 4, 3); of 3 one at any.
    assert Clips(4, min_present=0).count(split(range(1, 11))) == (3 + 4 + 3 + 3) // 4
    assert Clips(4, min_present=0).count(split(range(1, 11), range(1, 11), range(1, 4))) == int(2 * 13 / 4 + 1)


@pytest.mark.parametrize(("length", "frames_of_a_track"), [(12, 24), (8, 16), (8, 20), (8, 9)])
def test_batches_of_an_epoch_have_nearly_every_frame(length, frames_of_a_track):
    """Tracks of twice a clip's length are the worst: at one offset of all they are two clips, at the others three."""
    count = 300
    names = np.repeat(np.char.mod("%03d", np.arange(count)).astype("S"), frames_of_a_track)
    many = split_of({"video": names, "frame": np.tile(np.arange(1, frames_of_a_track + 1), count)})
    stream = Stream(many, 4 * length, (), clips=Clips(length))
    shares = []
    for epoch in range(4):
        first = epoch * stream.steps_per_epoch
        rows, fresh = zip(*(_rows(stream, 0, first + i, 1) for i in range(stream.steps_per_epoch)), strict=True)
        shares.append(len(set(np.concatenate(rows)[np.concatenate(fresh)])) / len(many))
    assert min(shares) > 0.97


def test_an_epoch_whose_offsets_leave_nothing_begins_at_the_beginning():
    """Of 1, 3, 4 and 6 by 4 the clips with three of four frames are one, two, one and none."""
    sparse, clips = split([1, 3, 4, 6]), Clips(4)
    assert [len(clips._starts(np.asarray([1, 3, 4, 6]), offset)) for offset in range(4)] == [1, 2, 1, 0]
    offsets = [clips._offset(np.asarray([1, 3, 4, 6]), 0, epoch, 0) for epoch in range(40)]
    rows, _ = clips.of_epoch(sparse, 0, offsets.index(3))
    np.testing.assert_array_equal(sparse.columns["frame"][rows], [[1, 1, 3, 4]])


def test_training_leaves_clips_with_too_many_holes_out():
    clips = Clips(4, min_present=0.75)
    # Of 5 to 8, and of 9 and 10, all of the track that are left.
    np.testing.assert_array_equal(clips._starts(np.asarray(HOLES), 0), [5, 9])
    sparse = split([1, 4])
    with pytest.raises(UserError, match=r"^No clip of 4 frames of .* has 75% of them: choose a smaller config.clip"):
        clips.of_epoch(sparse, 0, 0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"frame": [1, 2]}, "^Clips are cut by the columns video and frame, and .* has frame, id: choose"),
        ({"video": [b"a", b"a"], "frame": [3, 3]}, "^Frame 3 of a in .* is there twice"),
    ],
)
def test_what_cannot_be_cut(columns, message):
    with pytest.raises(UserError, match=message):
        Clips(2).of_evaluation(split_of(columns))


@pytest.mark.parametrize("number", ["x", "99999999999999999999", "900000000000000", "-3"])
def test_numbers_of_frames_that_cannot_be_are_refused(number):
    users = split_of({"video": np.asarray([b"a", b"a"]), "frame": np.asarray([b"1", number.encode()])})
    with pytest.raises(UserError, match=r"in the column frame of .*: correct it\."):
        Clips(4).of_evaluation(users)
