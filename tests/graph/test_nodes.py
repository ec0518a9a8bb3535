"""The nodes of any tasks: a node for every output, none of them twice."""

import numpy as np
import pytest

from emotion_gcn_jax import presets
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph.nodes import nodes_of, targets
from emotion_gcn_jax.labels import EXPRESSIONS, NODES
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values

EXPRESSION = Classes(name="expression", vocabulary=EXPRESSIONS)
AFFECT = Values(name="affect", dimensions=("valence", "arousal"))
UNITS = Flags(name="action_units", names=("AU1", "AU12"))
POSE = Classes(name="pose", vocabulary=("Left", "Right"))


@pytest.mark.parametrize(
    ("tasks", "names", "numbers", "exclusive"),
    [
        ((EXPRESSION, AFFECT), NODES, [0] * 7 + [1] * 2, {0}),
        ((AFFECT, EXPRESSION), ("Valence", "Arousal", *EXPRESSIONS), [0] * 2 + [1] * 7, {1}),
        ((POSE, UNITS), ("Left", "Right", "AU1", "AU12"), [0, 0, 1, 1], {0}),
        (
            (POSE, EXPRESSION, AFFECT, UNITS),
            ("Left", "Right", *NODES, "AU1", "AU12"),
            [0] * 2 + [1] * 7 + [2] * 2 + [3] * 2,
            {0, 1},
        ),
        ((UNITS,), ("AU1", "AU12"), [0, 0], set()),
    ],
)
def test_a_node_for_every_output(tasks, names, numbers, exclusive):
    nodes = nodes_of(tasks)
    assert nodes.names == names and len(nodes) == len(names)
    assert list(nodes.tasks) == numbers and nodes.exclusive == exclusive


@pytest.mark.parametrize(
    ("model", "count"),
    # Seven expressions, valence and arousal; and Aff-Wild2's twelve action units.
    [("emotion_gcn", 9), ("emotion_gcn_au", 21)],
)
def test_the_nodes_of_the_presets_begin_with_the_papers(model, count):
    tasks = registry.from_config({name: dict(presets.TASKS[name]) for name in presets.preset(model).tasks})
    nodes = nodes_of(tasks)
    assert nodes.names[:9] == NODES and len(nodes) == count


def test_only_nodes_of_one_exclusive_task_exclude_each_other():
    nodes = nodes_of((POSE, AFFECT, Classes(name="expression", vocabulary=("Happy", "Sad", "Fear"))))
    expected = np.zeros((7, 7), bool)
    expected[:2, :2] = True  # Left and Right
    expected[4:, 4:] = True  # not Valence and Arousal, nor Left and Happy
    np.testing.assert_array_equal(nodes.excluding_NxN, expected)


def test_words():
    words = nodes_of((Classes(name="expression", vocabulary=("Happy", "Deep sorrow")), AFFECT, UNITS)).words
    assert words == {
        "Happy": ("happy",),
        "Deep sorrow": ("deep", "sorrow"),
        "Valence": ("valence",),
        "Arousal": ("arousal",),
        "AU1": ("inner", "brow", "raise"),
        "AU12": ("lip", "corner", "pull"),
    }


def test_two_nodes_of_the_same_name():
    tasks = (EXPRESSION, Values(name="strength", dimensions=("fear", "joy", "anger")))
    with pytest.raises(UserError, match="different names for its nodes, and the tasks have Anger, Fear twice"):
        nodes_of(tasks)


def test_targets_are_one_number_a_node():
    labels = {
        "pose": np.asarray([1, -1], np.int32),
        "affect": np.asarray([[0.5, np.nan], [-0.25, 1]], np.float32),
        "action_units": np.asarray([[1, 0], [-1, 1]], np.int8),
    }
    found = targets((POSE, AFFECT, UNITS), labels)
    nan = np.nan
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0, 1, 0.5, nan, 1, 0], [nan, nan, -0.25, 1, nan, 1]])
