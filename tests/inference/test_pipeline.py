"""Work in threads, results in order."""

import threading
import time

import pytest

from emotion_gcn_jax.inference.pipeline import NotYetError, in_order


def everything(take):
    results = []
    while True:
        try:
            results.append(take(None))
        except StopIteration:
            return results


def test_results_come_in_the_items_order():
    def slow_at_first(number):
        time.sleep(0.05 if number % 4 == 0 else 0)
        return number

    with in_order(slow_at_first, iter(range(20)), workers=4, ahead=6) as take:
        assert everything(take) == list(range(20))


def test_only_so_many_items_are_drawn_in_advance():
    drawn = []
    items = (drawn.append(number) or number for number in range(100))
    with in_order(lambda number: number, items, workers=2, ahead=3) as take:
        time.sleep(0.1)
        assert len(drawn) <= 4  # three wait, and one is held out to the queue
        assert [take(None), take(None)] == [0, 1]
        time.sleep(0.1)
        assert len(drawn) <= 6


def test_what_goes_wrong_is_raised_where_results_are_taken():
    def items():
        yield 1
        raise OSError("gone")

    with in_order(lambda number: 1 // (number - 1), iter([2, 1]), workers=1, ahead=2) as take:
        assert take(None) == 1
        with pytest.raises(ZeroDivisionError):
            take(None)
    with in_order(lambda number: number, items(), workers=1, ahead=2) as take:
        assert take(None) == 1
        with pytest.raises(OSError, match="gone"):
            take(None)


@pytest.mark.parametrize("where", ["items", "function"])
def test_nobody_waits_longer_than_asked(where):
    gate = threading.Event()

    def items():
        if where == "items":
            gate.wait()
        yield 5

    def function(number):
        if where == "function":
            gate.wait()
        return number

    with in_order(function, items(), workers=1, ahead=1) as take:
        for seconds in (0.0, 0.02):
            with pytest.raises(NotYetError):
                take(seconds)
        gate.set()
        assert take(None) == 5


def test_who_stops_early_leaves_no_thread_behind_and_closes_what_is_read():
    closed = threading.Event()

    def items():
        try:
            yield from range(1000)
        finally:
            closed.set()

    before = set(threading.enumerate())  # of tests before this one some may end now
    with in_order(lambda number: number, items(), workers=2, ahead=2) as take:
        assert take(None) == 0
    assert closed.wait(2)
    time.sleep(0.15)
    assert set(threading.enumerate()) <= before
