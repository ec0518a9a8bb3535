"""The nodes and every dataset's class order, spelled out by hand from each dataset's documentation."""

from collections.abc import MutableMapping

import pytest

from emotion_gcn_jax import labels
from emotion_gcn_jax.errors import UserError

NEUTRAL, HAPPY, SAD, SURPRISE, FEAR, DISGUST, ANGER, CONTEMPT, NONE = 0, 1, 2, 3, 4, 5, 6, 7, -1

EXPECTED_ORDERS = {
    "affectnet": {
        0: NEUTRAL, 1: HAPPY, 2: SAD, 3: SURPRISE, 4: FEAR, 5: DISGUST, 6: ANGER, 7: NONE, 8: NONE, 9: NONE, 10: NONE,
    },
    "affectnet_with_contempt": {
        0: NEUTRAL, 1: HAPPY, 2: SAD, 3: SURPRISE, 4: FEAR, 5: DISGUST, 6: ANGER, 7: CONTEMPT,
        8: NONE, 9: NONE, 10: NONE,
    },
    "affwild2": {-1: NONE, 0: NEUTRAL, 1: ANGER, 2: DISGUST, 3: FEAR, 4: HAPPY, 5: SAD, 6: SURPRISE},
    "affwild2_with_other": {
        -1: NONE, 0: NEUTRAL, 1: ANGER, 2: DISGUST, 3: FEAR, 4: HAPPY, 5: SAD, 6: SURPRISE, 7: NONE,
    },
    "raf_db": {1: SURPRISE, 2: FEAR, 3: DISGUST, 4: HAPPY, 5: SAD, 6: ANGER, 7: NEUTRAL},
    "fer2013": {0: ANGER, 1: DISGUST, 2: FEAR, 3: HAPPY, 4: SAD, 5: SURPRISE, 6: NEUTRAL},
    "ck_plus": {0: NEUTRAL, 1: ANGER, 2: NONE, 3: DISGUST, 4: FEAR, 5: HAPPY, 6: SAD, 7: SURPRISE},
    "ck_plus_with_contempt": {0: NEUTRAL, 1: ANGER, 2: CONTEMPT, 3: DISGUST, 4: FEAR, 5: HAPPY, 6: SAD, 7: SURPRISE},
    "jaffe": {"AN": ANGER, "DI": DISGUST, "FE": FEAR, "HA": HAPPY, "NE": NEUTRAL, "SA": SAD, "SU": SURPRISE},
    "ferg": {
        "anger": ANGER, "disgust": DISGUST, "fear": FEAR, "joy": HAPPY, "neutral": NEUTRAL, "sadness": SAD,
        "surprise": SURPRISE,
    },
}  # fmt: skip

EXPECTED_NAMES = {
    "affectnet": "Neutral Happy Sad Surprise Fear Disgust Anger Contempt None Uncertain No-Face",
    "affectnet_with_contempt": "Neutral Happy Sad Surprise Fear Disgust Anger Contempt None Uncertain No-Face",
    "affwild2": "Invalid Neutral Anger Disgust Fear Happiness Sadness Surprise",
    "affwild2_with_other": "Invalid Neutral Anger Disgust Fear Happiness Sadness Surprise Other",
    "raf_db": "Surprise Fear Disgust Happiness Sadness Anger Neutral",
    "fer2013": "Angry Disgust Fear Happy Sad Surprise Neutral",
    "ck_plus": "Neutral Anger Contempt Disgust Fear Happy Sadness Surprise",
    "ck_plus_with_contempt": "Neutral Anger Contempt Disgust Fear Happy Sadness Surprise",
    "jaffe": "Anger Disgust Fear Happiness Neutral Sadness Surprise",
    "ferg": "anger disgust fear joy neutral sadness surprise",
}


def test_nodes_are_in_the_order_of_the_published_weights() -> None:
    assert labels.NODES == (
        "Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Valence", "Arousal",
    )  # fmt: skip
    assert labels.NODES[:7] == labels.EXPRESSIONS
    assert tuple(labels.Expression(i).name.capitalize() for i in range(7)) == labels.EXPRESSIONS
    assert labels.Expression.CONTEMPT == 7
    assert labels.NO_EXPRESSION == -1


def test_every_dataset_is_spelled_out_here() -> None:
    assert labels.CLASS_ORDERS.keys() == EXPECTED_ORDERS.keys() == EXPECTED_NAMES.keys()


@pytest.mark.parametrize("dataset", EXPECTED_ORDERS)
def test_class_order(dataset: str) -> None:
    order = labels.CLASS_ORDERS[dataset]
    assert dict(order.to_expression) == EXPECTED_ORDERS[dataset]
    assert list(order.names.values()) == EXPECTED_NAMES[dataset].split()
    assert list(order.names) == list(order.to_expression)


def test_class_orders_cannot_be_changed_by_accident() -> None:
    assert not isinstance(labels.CLASS_ORDERS, MutableMapping)
    assert not isinstance(labels.CLASS_ORDERS["ferg"].to_expression, MutableMapping)


def test_expression_names() -> None:
    assert labels.expression_names(7) == labels.EXPRESSIONS
    assert labels.expression_names(8) == (*labels.EXPRESSIONS, "Contempt")
    with pytest.raises(UserError, match=r"7 .* or 8 .*, not 9"):
        labels.expression_names(9)
