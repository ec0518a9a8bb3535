"""Batches: which example stands where, in how many threads, processes and streams."""

import dataclasses

import numpy as np
import pytest

from emotion_gcn_jax.data import batches
from emotion_gcn_jax.data.batches import Loader, Stream, eval_batches, train_batch, train_batches
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values
from tests.data.splits import pixels, split_of

TASKS = (
    Classes(name="expression", vocabulary=EXPRESSIONS),
    Values(name="affect", dimensions=("valence", "arousal")),
)
ROW = (Values(name="row", dimensions=("row",)),)
LOADER = Loader(Input(12), batch_size=8)


def numbered(length, first=0, **columns):
    """Returns a split whose images are filled with their rows' numbers, counted from `first`; without other columns
    its only label is the number."""
    split = split_of(columns or {"row": np.arange(length, dtype=np.float32) + first})
    return dataclasses.replace(split, read_image=lambda row: np.full((12, 12, 3), first + row, np.uint8))


def rows_of(batch):
    """The numbers of `numbered` in a batch."""
    return batch["image"][:, 0, 0, 0].astype(int)


def steps_of(streams, loader, steps, seed=1):
    """The numbers in the batches of some steps, steps x batch."""
    return np.stack([rows_of(train_batch(streams, loader, step, seed=seed)) for step in steps])


def epoch_order(length, seed, epoch, batch_size=8):
    loader = Loader(Input(12), batch_size)
    steps = length // batch_size
    return steps_of(
        [Stream(numbered(length), batch_size, ROW)], loader, range(epoch * steps, (epoch + 1) * steps), seed
    ).ravel()


def assert_equal(batch, expected):
    assert batch.keys() == expected.keys()
    for name in batch:
        np.testing.assert_array_equal(batch[name], expected[name], strict=True)


def concatenated(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def shared(count, loader=LOADER):
    return [dataclasses.replace(loader, process_index=index, process_count=count) for index in range(count)]


def test_a_batch_holds_images_and_their_labels(train, numbers):
    batch = train_batch([Stream(train, 8, TASKS)], LOADER, 3, seed=1)
    assert {name: (array.dtype.name, array.shape) for name, array in batch.items()} == {
        "image": ("uint8", (8, 12, 12, 3)),
        "expression": ("int32", (8,)),
        "affect": ("float32", (8, 2)),
    }
    row_of = {pixels(number).tobytes(): row for row, number in enumerate(numbers(train))}
    rows = [row_of[image.tobytes()] for image in batch["image"]]
    assert len(set(rows)) == 8
    np.testing.assert_array_equal(batch["expression"], train.columns["expression"][rows])
    affect = np.column_stack([train.columns["valence"], train.columns["arousal"]])
    np.testing.assert_array_equal(batch["affect"], affect[rows])


def test_a_batch_holds_votes_where_they_are_learnt():
    votes = np.array([[3, 1], [0, 0], [0, 2]], np.float32)
    split = split_of(
        {"expression": [0, 1, -1], "expression_votes": votes},
        label_names=["Happy", "Sad"],
        expression_votes=["Sad", "Happy"],
    )
    task = Classes(name="expression", vocabulary=("Happy", "Sad"), loss_name="soft_cross_entropy")
    batch = train_batch([Stream(split, 3, (task,))], Loader(Input(12), batch_size=3), 0, seed=1)
    shares = {image.tobytes(): row for image, row in zip(batch["image"], batch["expression"].tolist(), strict=True)}
    assert [shares[pixels(row).tobytes()] for row in range(3)] == [[0.25, 0.75], [0, 1], [1, 0]]


def test_an_input_in_grey():
    loader = Loader(Input(8, 1, mean=(0.5,), deviation=(0.2,)), batch_size=8)
    batch = train_batch([Stream(numbered(8), 8, ROW)], loader, 0, seed=1)
    assert batch["image"].shape == (8, 8, 8, 1)
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["row"][:, 0])


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
@pytest.mark.parametrize(("step", "epoch", "start"), [(0, 0, 0), (5, 0, 40), (6, 1, 0), (6 * 41 + 2, 41, 16)])
def test_the_order_is_that_of_philoxs_words(seed, step, epoch, start):
    # The same rows as before there were streams, so that a run from then can be continued: 50 // 8 = 6 steps an epoch.
    order = np.argsort(np.random.Philox(key=[seed, epoch]).random_raw(50), kind="stable")
    (found,) = steps_of([Stream(numbered(50), 8, ROW)], LOADER, [step], seed)
    assert found.tolist() == order[start : start + 8].tolist()


def test_every_epoch_is_another_permutation_without_the_remainder():
    orders = [epoch_order(50, seed=1, epoch=epoch) for epoch in range(3)]
    assert all(len(order) == 48 == len(set(order)) and set(order) <= set(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert len({frozenset(order) for order in orders}) == 3, "the same two examples were left out of every epoch"


def test_seeds_give_different_orders_in_every_epoch():
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_every_example_is_as_likely_at_every_place():
    orders = np.stack([epoch_order(5, seed=7, epoch=epoch, batch_size=5) for epoch in range(600)])
    counts = np.stack([np.bincount(place, minlength=5) for place in orders.T])  # expected 120, deviation 9.8
    assert np.abs(counts - 120).max() < 40


@pytest.mark.parametrize(("start_step", "threads"), [(0, 0), (0, 2), (5, 1), (23, 3), (1000, 2)])
def test_the_iterator_equals_random_access(train, start_step, threads):
    streams = [Stream(train, 8, TASKS)]
    loader = dataclasses.replace(LOADER, threads=threads)
    iterator = train_batches(streams, loader, seed=1, start_step=start_step)
    for step in range(start_step, start_step + 15):  # two ends of epochs among them
        assert_equal(next(iterator), train_batch(streams, loader, step, seed=1))


@pytest.mark.parametrize(("count", "steps"), [(1, 50), (8, 6), (25, 2), (26, 1), (50, 1)])
def test_steps_per_epoch(count, steps):
    assert Stream(numbered(50), count, ROW).steps_per_epoch == steps


@pytest.fixture
def three():
    """Streams of 50, 20 and 20 examples with 5, 2 and 1 places: epochs of 10, 10 and 20 steps."""
    return [Stream(numbered(50), 5, ROW), Stream(numbered(20, 100), 2, ROW), Stream(numbered(20, 200), 1, ROW)]


def classes_of(*counts, unlabelled=0):
    """A stream of 8 places, balanced by expressions, of which there are so many examples of each."""
    expression = np.repeat([*range(len(counts)), -1], [*counts, unlabelled])
    split = numbered(len(expression), expression=np.random.default_rng(0).permutation(expression))
    return Stream(split, 8, TASKS[:1], balance="expression")


def test_classes_take_turns_in_a_balanced_stream():
    stream = classes_of(30, 12, 0, 5)
    assert stream.steps_per_epoch == 47 // 8
    rows = steps_of([stream], LOADER, range(45)).ravel()  # 360 draws: 120 of each of the three classes
    found = stream.labels["expression"][rows]
    assert np.bincount(found, minlength=4).tolist() == [120, 120, 0, 120]
    assert all(np.ptp(np.bincount(some)[[0, 1, 3]]) <= 1 for some in found.reshape(45, 8))
    for number, count in ((0, 30), (1, 12), (3, 5)):
        laps = rows[found == number].reshape(-1, count)  # 4, 10 and 24 permutations of the class's examples
        assert all(len(set(lap)) == count for lap in laps.tolist())
        assert len({tuple(lap) for lap in laps.tolist()}) > len(laps) / 2


def test_what_has_no_class_keeps_its_share_of_a_balanced_stream():
    stream = classes_of(10, 4, unlabelled=10)
    rows = steps_of([stream], LOADER, range(3 * 5)).ravel()  # 5 times the 24 examples
    found = stream.labels["expression"][rows]
    assert [(found == number).sum() for number in (-1, 0, 1)] == [50, 35, 35]
    assert np.bincount(rows[found == -1])[np.flatnonzero(stream.labels["expression"] == -1)].tolist() == [5] * 10


def test_a_balanced_stream_without_any_class_takes_every_example():
    rows = steps_of([classes_of(unlabelled=16)], LOADER, range(4)).reshape(2, 16)
    assert [sorted(lap) for lap in rows.tolist()] == [list(range(16))] * 2


@pytest.mark.parametrize("seed", [1, 2])
def test_a_balanced_batch_depends_on_seed_and_step_alone(seed):
    streams = [classes_of(30, 12, 5, unlabelled=3), Stream(numbered(20, 100), 2, TASKS[:1])]
    loader = Loader(Input(12), batch_size=10)
    straight = steps_of(streams, loader, range(20), seed)
    np.testing.assert_array_equal(steps_of(streams, loader, reversed(range(20)), seed)[::-1], straight)
    iterator = train_batches(streams, dataclasses.replace(loader, threads=2), seed=seed, start_step=11)
    np.testing.assert_array_equal([rows_of(next(iterator)) for _ in range(9)], straight[11:])
    assert (steps_of(streams, loader, range(20), seed + 1) != straight).any()


def test_every_stream_has_its_own_places(three):
    found = steps_of(three, LOADER, range(40))
    assert (found[:, :5] < 50).all()
    assert ((found[:, 5:7] >= 100) & (found[:, 5:7] < 120)).all()
    assert (found[:, 7] >= 200).all()


@pytest.mark.parametrize(
    ("places", "epoch_steps", "rows"),
    [(slice(0, 5), 10, range(50)), (slice(5, 7), 10, range(100, 120)), (slice(7, 8), 20, range(200, 220))],
)
def test_every_stream_has_epochs_of_its_own(three, places, epoch_steps, rows):
    found = steps_of(three, LOADER, range(3 * epoch_steps))[:, places].reshape(3, -1)
    assert [sorted(epoch) for epoch in found.tolist()] == [list(rows)] * 3
    assert len({tuple(epoch) for epoch in found.tolist()}) == 3


def test_streams_of_the_same_length_have_different_orders():
    streams = [Stream(numbered(48, first), 4, ROW) for first in (0, 100)]
    found = steps_of(streams, LOADER, range(12))
    assert (found[:, :4].ravel() != found[:, 4:].ravel() - 100).any()


def test_a_further_stream_does_not_change_the_first(three):
    alone = steps_of([three[0]], Loader(Input(12), batch_size=5), range(20))
    np.testing.assert_array_equal(steps_of(three, LOADER, range(20))[:, :5], alone)


def test_labels_that_a_stream_does_not_have_are_missing():
    tasks = (*TASKS, Flags(name="action_units", names=("AU1", "AU12")))
    classes = numbered(10, expression=np.arange(10) % 7)
    # Another order of the words, another order of the flags, and a flag that nobody asked for.
    others = dataclasses.replace(
        numbered(10, 100, arousal=np.full(10, 0.5), action_units=np.tile([1, 0, -1], (10, 1))),
        metadata={"action_units": ["AU12", "AU4", "AU1"]},
    )
    reversed_words = dataclasses.replace(
        numbered(10, 200, expression=np.zeros(10, int)), metadata={"label_names": EXPRESSIONS[::-1]}
    )
    streams = [Stream(classes, 4, tasks), Stream(others, 3, tasks), Stream(reversed_words, 1, tasks)]
    batch = train_batch(streams, LOADER, 0, seed=1)
    assert batch["expression"].tolist() == [*(rows_of(batch)[:4] % 7), -1, -1, -1, 6]
    np.testing.assert_array_equal(batch["affect"][:, 0], np.full(8, np.nan))
    np.testing.assert_array_equal(batch["affect"][:, 1], [*[np.nan] * 4, *[0.5] * 3, np.nan])
    assert batch["action_units"].tolist() == [[-1, -1]] * 4 + [[-1, 1]] * 3 + [[-1, -1]]
    assert {name: array.dtype.name for name, array in batch.items()} == {
        "image": "uint8",
        "expression": "int32",
        "affect": "float32",
        "action_units": "int8",
    }


@pytest.mark.parametrize("process_count", [1, 2, 4, 8])
@pytest.mark.parametrize("mixed", [False, True], ids=["one stream", "three streams"])
def test_shares_concatenate_to_the_global_batch(three, mixed, process_count):
    streams = three if mixed else [Stream(numbered(50), 8, ROW)]
    shares = [train_batches(streams, loader, seed=1) for loader in shared(process_count)]
    for step in range(8):
        parts = [next(share) for share in shares]
        assert all(len(part["image"]) == 8 // process_count for part in parts)
        assert_equal(concatenated(parts), train_batch(streams, LOADER, step, seed=1))


@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_evaluation_sees_every_example_once_in_order(train, process_count):
    loaders = shared(process_count, Loader(Input(12), batch_size=16))
    shares = [[batch["image"] for batch in eval_batches(train, loader)] for loader in loaders]
    steps = [np.concatenate(parts) for parts in zip(*shares, strict=True)]
    assert [images.shape for images in steps] == [(16, 12, 12, 3)] * 4
    whole = np.concatenate(steps)
    np.testing.assert_array_equal(whole[:50], [train.image(row) for row in range(50)])
    assert not whole[50:].any()


@pytest.mark.parametrize(
    ("batch_size", "count", "nearest"),
    [(10, 4, "8 or 12"), (3, 4, "4"), (0, 1, "1"), (-3, 2, "2")],
)
def test_batch_that_processes_cannot_share(batch_size, count, nearest):
    with pytest.raises(UserError, match=rf"batch of {batch_size} .* {count} processes: choose {nearest}\."):
        Loader(Input(12), batch_size, process_count=count)


def test_evaluation_needs_no_full_batch(train):
    (batch,) = eval_batches(train.select([4, 2]), Loader(Input(12), batch_size=64))
    images = batch["image"]
    np.testing.assert_array_equal(images[:2], [train.image(4), train.image(2)])
    assert images.shape == (64, 12, 12, 3) and not images[2:].any()


def test_evaluation_in_grey():
    loader = Loader(Input(12, 1, mean=(0.5,), deviation=(0.2,)), batch_size=4)
    (batch,) = eval_batches(numbered(3, first=7), loader)
    images = batch["image"]
    assert images.shape == (4, 12, 12, 1) and images[:, 0, 0, 0].tolist() == [7, 8, 9, 0]


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("number", [0, 1], ids=["text", "empty"])
def test_an_unreadable_image_is_named(data_dir, numbers, number, threads):
    split = open_split("tiny_faces", "unreadable", data_dir=str(data_dir))
    loader = Loader(Input(12), batch_size=1, threads=threads)
    with pytest.raises(UserError, match=f"folder/é{number}.png.*unreadable"):
        next(eval_batches(split.select(numbers(split) == number), loader))


@pytest.mark.parametrize(("length", "count"), [(50, 64), (7, 8), (0, 8)])
def test_a_batch_that_is_larger_than_a_stream(length, count):
    streams = [Stream(numbered(100), 8, ROW), Stream(numbered(length), count, ROW)]
    loader = Loader(Input(12), batch_size=8 + count)
    with pytest.raises(UserError, match=rf"A batch with {count} examples of Split\(faces, train, {length} examples\)"):
        train_batches(streams, loader, seed=0)


def test_nothing_left_to_evaluate(train):
    with pytest.raises(UserError, match="No example is left"):
        eval_batches(train.select([]), LOADER)


def test_batches_are_only_computed_a_little_ahead(monkeypatch):
    computed = []
    compute = batches.train_batch
    monkeypatch.setattr(batches, "train_batch", lambda *args, **kwargs: computed.append(1) or compute(*args, **kwargs))
    next(train_batches([Stream(numbered(50), 8, ROW)], dataclasses.replace(LOADER, threads=1), seed=1))
    assert len(computed) <= 4


def test_an_example_that_cannot_be_read_can_be_masked():
    def read_image(row):
        if row == 3:
            raise UserError("The third is damaged.")
        return np.full((12, 12, 3), 10 + row, np.uint8)

    columns = {name: np.linspace(-1, 1, 8, dtype=np.float32) for name in ("valence", "arousal")}
    split = dataclasses.replace(split_of({**columns, "expression": np.arange(8) % 7}), read_image=read_image)
    stream, loader = Stream(split, 8, TASKS), dataclasses.replace(LOADER, masked=set())
    with pytest.raises(UserError, match="third"):
        train_batch([stream], LOADER, 0, seed=1)
    batch = train_batch([stream], loader, 0, seed=1)
    assert loader.masked == {"The third is damaged."}
    (place,) = np.flatnonzero(rows_of(batch) == 0)
    assert batch["expression"][place] == -1 and np.isnan(batch["affect"][place]).all()
    others = np.delete(np.arange(8), place)
    np.testing.assert_array_equal(batch["expression"][others], (rows_of(batch)[others] - 10) % 7)
    assert not np.isnan(batch["affect"][others]).any()
