"""Answers along a track."""

import math

import numpy as np
import pytest

from emotion_gcn_jax.inference.smoothing import smooth


def said(*numbers):
    return {"mood": np.array(numbers, np.float32)}


def test_an_old_answer_fades_with_the_clock():
    before, first = smooth({}, [7], [said(1, 0)], 10.0, 0.5)
    _, ((second),) = smooth(before, [7], [said(0, 1)], 10.25, 0.5)
    kept = math.exp(-0.25 / 0.5)
    assert first[0]["mood"].tolist() == [1, 0]
    np.testing.assert_allclose(second["mood"], [kept, 1 - kept], rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_the_frame_rate_does_not_matter(steps):
    memory, answers = {}, []
    for step in range(steps + 1):
        memory, answers = smooth(memory, [1], [said(float(step > 0))], step / steps, 0.4)
    np.testing.assert_allclose(answers[0]["mood"], 1 - math.exp(-1 / 0.4), rtol=1e-5)


def test_tracks_do_not_mix_and_none_is_remembered_for_ever():
    memory, _ = smooth({}, [1, 2], [said(1), said(0)], 0.0, 0.1)
    memory, answers = smooth(memory, [2, 3], [said(0), said(5)], 0.5, 0.1)
    assert [answer["mood"].tolist() for answer in answers] == [[0], [5]] and sorted(memory) == [1, 2, 3]
    memory, _ = smooth(memory, [3], [said(5)], 1.1, 0.1)
    assert sorted(memory) == [2, 3]


def test_without_a_memory_nothing_changes():
    assert smooth({1: (0.0, said(9))}, [1], [said(2)], 0.1, 0.0) == ({}, [said(2)])
