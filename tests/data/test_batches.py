import io

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.data import batches
from emotion_gcn_jax.data.batches import RESIZE_FILTERS, eval_batches, steps_per_epoch, train_batch, train_batches
from emotion_gcn_jax.data.source import open_split
from emotion_gcn_jax.errors import UserError

OPTIONS = {"batch_size": 8, "image_size": 12, "seed": 1}


def assert_equal(batch, expected):
    assert batch.keys() == expected.keys()
    for name in batch:
        np.testing.assert_array_equal(batch[name], expected[name], strict=True)


def concatenated(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def epoch_order(split, seed, epoch, batch_size=8):
    steps = range(epoch * (len(split) // batch_size), (epoch + 1) * (len(split) // batch_size))
    return np.concatenate(
        [train_batch(split, step, batch_size=batch_size, image_size=12, seed=seed)["index"] for step in steps]
    )


def only(data_dir, numbers, split_name, number):
    """Opens a split and leaves one example of it."""
    split = open_split("tiny_faces", split_name, data_dir=str(data_dir))
    return split.select(numbers(split) == number)


def test_a_batch_holds_the_examples_that_its_index_names(train, numbers):
    batch = train_batch(train, 3, **OPTIONS)
    rows = batch["index"]
    assert {name: (array.dtype.name, array.shape) for name, array in batch.items()} == {
        "image": ("uint8", (8, 12, 12, 3)),
        "expression": ("int32", (8,)),
        "valence": ("float32", (8,)),
        "arousal": ("float32", (8,)),
        "mask": ("bool", (8,)),
        "index": ("int32", (8,)),
    }
    for name in ("expression", "valence", "arousal"):
        np.testing.assert_array_equal(batch[name], getattr(train, name)[rows])
    assert batch["mask"].all()
    for image, number in zip(batch["image"], numbers(train)[rows], strict=True):
        np.testing.assert_array_equal(image, np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8))


def test_every_epoch_is_another_permutation_without_the_remainder(train):
    orders = [epoch_order(train, seed=1, epoch=epoch) for epoch in range(3)]
    for order in orders:
        assert len(order) == 48 == len(set(order)) and set(order) <= set(range(50))
    assert len({tuple(order) for order in orders}) == 3
    assert len({frozenset(order) for order in orders}) == 3, "the same two examples were left out of every epoch"


def test_seeds_give_different_orders_in_every_epoch(train):
    orders = {tuple(epoch_order(train, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_every_example_is_as_likely_at_every_place(train):
    five = train.select(range(5))
    orders = np.stack([epoch_order(five, seed=7, epoch=epoch, batch_size=5) for epoch in range(600)])
    counts = np.stack([np.bincount(place, minlength=5) for place in orders.T])  # expected 120, deviation 9.8
    assert np.abs(counts - 120).max() < 40


@pytest.mark.parametrize(("start_step", "num_threads"), [(0, 0), (0, 2), (5, 1), (23, 3), (1000, 2)])
def test_the_iterator_equals_random_access(train, start_step, num_threads):
    iterator = train_batches(train, **OPTIONS, start_step=start_step, num_threads=num_threads)
    for step in range(start_step, start_step + 15):  # two ends of epochs among them
        assert_equal(next(iterator), train_batch(train, step, **OPTIONS))


@pytest.mark.parametrize("process_count", [1, 2, 4, 8])
def test_shares_concatenate_to_the_global_batch(train, process_count):
    shares = [
        train_batches(train, **OPTIONS, num_threads=1, process_index=index, process_count=process_count)
        for index in range(process_count)
    ]
    for step in range(8):
        parts = [next(share) for share in shares]
        assert all(len(part["index"]) == 8 // process_count for part in parts)
        assert_equal(concatenated(parts), train_batch(train, step, **OPTIONS))


@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_evaluation_sees_every_example_once_in_order(train, process_count):
    shares = [
        list(eval_batches(train, batch_size=16, image_size=12, process_index=index, process_count=process_count))
        for index in range(process_count)
    ]
    steps = [concatenated(parts) for parts in zip(*shares, strict=True)]
    assert [len(step["index"]) for step in steps] == [16, 16, 16, 16]
    whole = concatenated(steps)
    assert whole["mask"].tolist() == [True] * 50 + [False] * 14
    assert whole["index"].tolist() == [*range(50), *[-1] * 14]
    for name in ("expression", "valence", "arousal"):
        np.testing.assert_array_equal(whole[name][:50], getattr(train, name))
    assert not whole["image"][50:].any() and set(whole["expression"][50:]) == {-1}
    assert np.isnan(whole["valence"][50:]).all() and np.isnan(whole["arousal"][50:]).all()


def test_evaluation_needs_no_full_batch(train):
    (batch,) = eval_batches(train.select([4, 2]), batch_size=64, image_size=12)
    np.testing.assert_array_equal(batch["expression"][:2], train.expression[[4, 2]])
    assert batch["mask"].sum() == 2


def test_steps_per_epoch():
    assert [steps_per_epoch(50, size) for size in (1, 8, 25, 26, 50)] == [50, 6, 2, 1, 1]


def test_grey_becomes_rgb(data_dir, numbers):
    (batch,) = eval_batches(only(data_dir, numbers, "odd", 0), batch_size=1, image_size=12)
    grey = np.random.default_rng(0).integers(0, 256, (12, 12), np.uint8)
    np.testing.assert_array_equal(batch["image"][0], np.repeat(grey[:, :, None], 3, axis=2))


def test_jpeg_is_decoded_in_rgb_order(data_dir, numbers):
    (batch,) = eval_batches(only(data_dir, numbers, "odd", 3), batch_size=1, image_size=12)
    assert np.abs(batch["image"][0].astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize(("number", "box"), [(1, (9, 0, 21, 12)), (2, (0, 10, 12, 22))])
def test_the_middle_is_kept_of_an_image_that_is_not_square(data_dir, numbers, number, box):
    split = only(data_dir, numbers, "odd", number)
    (batch,) = eval_batches(split, batch_size=1, image_size=12)
    image = Image.open(io.BytesIO(split.image_bytes(0)))
    np.testing.assert_array_equal(batch["image"][0], np.asarray(image.crop(box)))


def test_the_shorter_side_is_resized(data_dir, numbers):
    split = only(data_dir, numbers, "odd", 1)  # 30 x 12
    (batch,) = eval_batches(split, batch_size=1, image_size=6)
    whole = Image.open(io.BytesIO(split.image_bytes(0))).resize((15, 6), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(batch["image"][0], np.asarray(whole)[:, 4:10])


def test_filters_on_a_fine_chessboard():
    chessboard = np.kron(np.ones((8, 8)), [[0, 200], [200, 0]]).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    reduced = {name: function(chessboard, (4, 4)) for name, function in RESIZE_FILTERS.items()}
    assert {name: image.shape for name, image in reduced.items()} == dict.fromkeys(RESIZE_FILTERS, (4, 4, 3))
    np.testing.assert_allclose(reduced["area"], 100)
    np.testing.assert_allclose(reduced["bilinear_antialiased"][1:3, 1:3], 100, atol=1)


def test_bilinear_takes_the_four_nearest_pixels():
    ramp = np.arange(16, dtype=np.uint8).reshape(1, 16, 1).repeat(16, axis=0).repeat(3, axis=2) * 10
    ramp[:, 1::4] = 255  # by a factor of 4 the samples lie at 1.5, 5.5, ...: halfway between columns 1 and 2
    reduced = RESIZE_FILTERS["bilinear"](ramp, (4, 4))
    np.testing.assert_allclose(reduced[0, :, 0], [(255 + 10 * column) / 2 for column in (2, 6, 10, 14)], atol=1)


def test_an_image_of_the_right_size_is_not_resized(train, monkeypatch):
    monkeypatch.setattr(batches, "RESIZE_FILTERS", {"none": None})
    train_batch(train, 0, **OPTIONS, resize="none")


@pytest.mark.parametrize("num_threads", [0, 2])
@pytest.mark.parametrize("number", [0, 1])
def test_an_unreadable_image_is_named(data_dir, numbers, number, num_threads):
    split = only(data_dir, numbers, "unreadable", number)
    with pytest.raises(UserError, match=f"folder/é{number}.png.*unreadable"):
        next(eval_batches(split, batch_size=1, image_size=12, num_threads=num_threads))


def test_unknown_filter_lists_those_that_are_known(train):
    with pytest.raises(UserError, match=r"'lanczos': expected one of bilinear_antialiased, bilinear, area"):
        train_batches(train, **OPTIONS, resize="lanczos")


def test_batch_larger_than_the_split(train):
    with pytest.raises(UserError, match=r"A batch of 64 .* it has 50"):
        train_batches(train, batch_size=64, image_size=12, seed=0)


@pytest.mark.parametrize("function", [train_batches, eval_batches])
def test_batch_that_processes_cannot_share(train, function):
    seed = {"seed": 0} if function is train_batches else {}
    with pytest.raises(UserError, match=r"batch of 10 .* 4 processes: .* 8 and 12"):
        function(train, batch_size=10, image_size=12, process_count=4, **seed)


@pytest.mark.parametrize("function", [train_batches, eval_batches])
def test_nothing_left(train, function):
    seed = {"seed": 0} if function is train_batches else {}
    with pytest.raises(UserError, match="No example is left"):
        function(train.select([]), batch_size=8, image_size=12, **seed)


def test_batches_are_only_computed_a_little_ahead(train, monkeypatch):
    computed = []
    load = batches._load
    monkeypatch.setattr(batches, "_load", lambda *args: computed.append(1) or load(*args))
    next(train_batches(train, **OPTIONS, num_threads=1))
    assert len(computed) <= 4
