"""What the numbers mean: the graph's nine nodes, our expression ids, and every dataset's own class order.

Datasets disagree about the order, the codes and even the words of their classes. This is the one place that knows:
a dataset's builder translates its codes with `CLASS_ORDERS[...].to_expression`, and everything after it sees our ids.
"""

import dataclasses
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from emotion_gcn_jax.errors import UserError


class Expression(IntEnum):
    """Our expression ids, which are AffectNet's; ids 0 to 6 are also the rows of the graph's output."""

    NEUTRAL = 0
    HAPPY = 1
    SAD = 2
    SURPRISE = 3
    FEAR = 4
    DISGUST = 5
    ANGER = 6
    CONTEMPT = 7
    """Has no node: only single_task and multi_task with 8 classes know it."""


EXPRESSIONS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
"""Names of the seven expressions that are nodes, in id order."""

NODES = (*EXPRESSIONS, "Valence", "Arousal")
"""Names of the graph's nodes, in the order of the official implementation and its published weights."""

NO_EXPRESSION = -1
"""The expression id of an example without an expression label; masked out of losses and metrics."""


@dataclasses.dataclass(frozen=True)
class ClassOrder:
    """A dataset's own classes and what each of them is to us.

    Attributes:
        names: the dataset's own code -> its own name of the class, in the dataset's order.
        to_expression: the dataset's own code -> our expression id, or NO_EXPRESSION where no output of the task stands
            for that class.
    """

    names: Mapping[int | str, str]
    to_expression: Mapping[int | str, int]


def expression_names(num_classes: int) -> tuple[str, ...]:
    """Returns the class names of the 7- or the 8-class task (the eighth is Contempt), in id order.

    Raises:
        UserError: for any other number of classes.
    """
    if num_classes not in (7, 8):
        raise UserError(
            f"num_classes must be 7 (the expressions of the graph's nodes) or 8 (with Contempt), not {num_classes}"
        )
    return (*EXPRESSIONS, "Contempt")[:num_classes]


_EXPRESSION_OF_WORD = {
    "neutral": Expression.NEUTRAL,
    "happy": Expression.HAPPY,
    "happiness": Expression.HAPPY,
    "joy": Expression.HAPPY,
    "sad": Expression.SAD,
    "sadness": Expression.SAD,
    "surprise": Expression.SURPRISE,
    "fear": Expression.FEAR,
    "disgust": Expression.DISGUST,
    "anger": Expression.ANGER,
    "angry": Expression.ANGER,
    "contempt": Expression.CONTEMPT,
}


def _class_order(names: Mapping[int | str, str], num_classes: int = 7) -> ClassOrder:
    """Translates own names by their word; what the task has no class for becomes NO_EXPRESSION."""

    def expression(name: str) -> int:
        known = _EXPRESSION_OF_WORD.get(name.lower(), NO_EXPRESSION)
        return int(known) if known < num_classes else NO_EXPRESSION

    to_expression = {code: expression(name) for code, name in names.items()}
    return ClassOrder(names=MappingProxyType(dict(names)), to_expression=MappingProxyType(to_expression))


_AFFECTNET: Mapping[int | str, str] = {
    0: "Neutral",
    1: "Happy",
    2: "Sad",
    3: "Surprise",
    4: "Fear",
    5: "Disgust",
    6: "Anger",
    7: "Contempt",
    8: "None",
    9: "Uncertain",
    10: "No-Face",
}

_AFFWILD2: Mapping[int | str, str] = {
    -1: "Invalid",
    0: "Neutral",
    1: "Anger",
    2: "Disgust",
    3: "Fear",
    4: "Happiness",
    5: "Sadness",
    6: "Surprise",
}

_CK_PLUS: Mapping[int | str, str] = {
    0: "Neutral",
    1: "Anger",
    2: "Contempt",
    3: "Disgust",
    4: "Fear",
    5: "Happy",
    6: "Sadness",
    7: "Surprise",
}

CLASS_ORDERS: Mapping[str, ClassOrder] = MappingProxyType(
    {
        "affectnet": _class_order(_AFFECTNET),
        "affectnet_with_contempt": _class_order(_AFFECTNET, num_classes=8),
        # The first two editions (the official implementation's) name seven classes; from the third there is an eighth.
        "affwild2": _class_order(_AFFWILD2),
        "affwild2_with_other": _class_order({**_AFFWILD2, 7: "Other"}),
        "raf_db": _class_order(
            {
                1: "Surprise",
                2: "Fear",
                3: "Disgust",
                4: "Happiness",
                5: "Sadness",
                6: "Anger",
                7: "Neutral",
            }
        ),
        "fer2013": _class_order(
            {
                0: "Angry",
                1: "Disgust",
                2: "Fear",
                3: "Happy",
                4: "Sad",
                5: "Surprise",
                6: "Neutral",
            }
        ),
        "ck_plus": _class_order(_CK_PLUS),
        "ck_plus_with_contempt": _class_order(_CK_PLUS, num_classes=8),
        # JAFFE's code is two letters of the file name; FERG's is a word of it.
        "jaffe": _class_order(
            {
                "AN": "Anger",
                "DI": "Disgust",
                "FE": "Fear",
                "HA": "Happiness",
                "NE": "Neutral",
                "SA": "Sadness",
                "SU": "Surprise",
            }
        ),
        "ferg": _class_order(
            {word: word for word in ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")}
        ),
    }
)
"""Every dataset's own class order. `_with_contempt` is for the 8-class task; in the others Contempt has no class."""
