"""Batches with sound: every frame has what is heard around it, whatever the clips, the processes and the holes."""

import dataclasses
import functools

import numpy as np
import pytest

from emotion_gcn_jax.data.batches import FRESH, Loader, Stream, eval_batches, eval_rows, train_batch, train_batches
from emotion_gcn_jax.data.clips import Clips
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import join
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.sound import mel
from emotion_gcn_jax.tasks.values import Values
from tests.data.splits import split_of

TASKS = (Values(name="place", dimensions=("frame",)),)
SECONDS = 3
TEN = [number for number in range(1, 11) if number not in (3, 4)]


def spectrogram(name):
    """A step's first band is its number; the second says whose it is."""
    steps = np.full((100 * SECONDS + 1, mel.BANDS), -40, np.float16)
    steps[:, 0] = np.arange(len(steps))
    steps[:, 1] = 20 * ord(name)
    return steps


def tracks():
    """Two tracks of ten frames, ten a second, of which two are holes; the second hears nothing."""
    columns = {
        "video": [b"a"] * len(TEN) + [b"b"] * len(TEN),
        "frame": TEN * 2,
        "sound": [b"x"] * len(TEN) + [b""] * len(TEN),
        "seconds": [np.float32(1 + (number - 1) / 10) for number in TEN] * 2,
    }
    return dataclasses.replace(split_of(columns), read_sound=spectrogram)


LOADER = Loader(Input(8), batch_size=8, threads=0, hears=True, clips=Clips(4))


def middle(batch):
    """Which step of the recording is in the middle of every patch."""
    return np.round(batch["sound"][:, mel.STEPS // 2, 0] * 20 - 40).astype(int)


def test_every_frame_hears_its_own_time():
    split = tracks()
    found = list(eval_batches(split, LOADER))
    batch = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    rows_M, _ = eval_rows(split, LOADER)
    frames_M, heard_M = split.columns["frame"][rows_M], split.columns["video"][rows_M] == b"a"
    assert batch["sound"].dtype == np.float32 and batch["sound"].shape == (len(rows_M), 96, 64)
    np.testing.assert_array_equal(batch["heard"], heard_M)
    np.testing.assert_array_equal(middle(batch)[heard_M], 100 + 10 * (frames_M[heard_M] - 1))
    np.testing.assert_array_equal(batch["sound"][heard_M][:, 0, 1], (20 * ord("x") + 40) / 20)
    np.testing.assert_array_equal(batch["sound"][~heard_M], -3.0)  # (-100 dB + 40) / 20


@pytest.mark.parametrize("step", [0, 1, 5])
def test_a_hole_hears_what_its_neighbour_hears(step):
    (stream,) = streams = [Stream(tracks(), 8, TASKS, clips=Clips(4, min_present=0.5))]
    batch = train_batch(streams, LOADER, step, seed=3)
    assert not np.isnan(batch["place"]).all()
    for place in np.flatnonzero(np.isnan(batch["place"][:, 0])):
        first = place - place % 4
        same = [n for n in range(first, first + 4) if (batch["image"][n] == batch["image"][place]).all()]
        assert len(same) > 1 and all((batch["sound"][n] == batch["sound"][place]).all() for n in same)
        assert len({bool(batch["heard"][n]) for n in same}) == 1
    np.testing.assert_array_equal(batch[FRESH], ~np.isnan(batch["place"][:, 0]))
    assert stream.split.read_sound is not None


def test_batches_are_a_function_of_seed_and_step_whatever_the_processes():
    streams = [Stream(tracks(), 8, TASKS, clips=Clips(4, min_present=0.5))]
    ahead = train_batches(streams, dataclasses.replace(LOADER, threads=2), seed=1, start_step=2)
    for step in (2, 3):
        whole, again = train_batch(streams, LOADER, step, seed=1), next(ahead)
        shares = [dataclasses.replace(LOADER, process_index=index, process_count=2) for index in (0, 1)]
        parts = [train_batch(streams, loader, step, seed=1) for loader in shares]
        for name, array in whole.items():
            np.testing.assert_array_equal(again[name], array)
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)


def test_a_loader_that_is_not_asked_for_sound_has_none():
    loader = dataclasses.replace(LOADER, hears=False)
    assert train_batch([Stream(tracks(), 8, TASKS)], loader, 0, seed=0).keys() == {"image", "place"}
    assert all(batch.keys() == {"image"} for batch in eval_batches(tracks(), loader))


def test_a_dataset_without_sound_is_silent_among_others():
    silent = split_of({"frame": np.arange(4)})
    streams = [Stream(tracks(), 4, TASKS), Stream(silent, 4, TASKS)]
    batch = train_batch(streams, LOADER, 0, seed=0)
    assert not batch["heard"][4:].any() and (batch["sound"][4:] == -3).all()


@pytest.mark.parametrize("choose", [lambda split: split.select([3, 9]), lambda split: join([split, split], "both")])
def test_chosen_and_joined_splits_keep_their_sounds(choose):
    split = choose(tracks())
    patch, row = split.sound(0), split.columns["seconds"][0]
    np.testing.assert_array_equal(patch, mel.patch(spectrogram("x"), float(row)))
    assert split.sound(len(split) - 1) is None and split_of({"frame": [1]}).sound(0) is None


def test_a_damaged_sound_is_masked_or_named():
    def broken(name):
        raise UserError(f"{name} is damaged.")

    streams = [Stream(dataclasses.replace(tracks(), read_sound=broken), 8, TASKS)]
    train = functools.partial(train_batch, streams, step=0, seed=0)
    with pytest.raises(UserError, match=r"^x is damaged\.$"):
        train(LOADER)
    masked = dataclasses.replace(LOADER, masked=set())
    batch = train(masked)
    assert not batch["heard"].any() and masked.masked == {"x is damaged."}
    black = np.array([not image.any() for image in batch["image"]])
    assert 0 < black.sum() < 8 and np.isnan(batch["place"][black]).all() and not np.isnan(batch["place"][~black]).any()
