"""What labels mean: the words for classes and action units, and every dataset's own class order.

Datasets disagree about the order, the codes and even the words of their classes. This is the one place that knows. A
builder translates its dataset's codes by `CLASS_ORDERS[...]` and stores, as metadata, the words that its class ids
stand for; a task (emotion_gcn_jax.tasks) maps these words to its own outputs.
"""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType

from emotion_gcn_jax.errors import UserError


class Expression(IntEnum):
    """The seven expressions of the paper; the ids are AffectNet's."""

    NEUTRAL = 0
    HAPPY = 1
    SAD = 2
    SURPRISE = 3
    FEAR = 4
    DISGUST = 5
    ANGER = 6


EXPRESSIONS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
"""The seven expressions in AffectNet's order, which is this project's wherever no other is stated."""

CLASS_WORDS = (*EXPRESSIONS, "Contempt", "Other")
"""The classes of the public datasets; a user's own may have others. Other is Aff-Wild2's: none of its seven."""

NODES = (*EXPRESSIONS, "Valence", "Arousal")
"""Names of the paper's nine nodes, in the order of the official implementation and its published weights."""

NO_LABEL = frozenset({"", "nan", "na", "none", "null"})
"""The cells of a table that have no label, in lower case."""

NO_CLASS = -1
"""The class id of an example without a class label; masked out of losses and metrics."""

ACTION_UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AU1": ("inner", "brow", "raise"),
        "AU2": ("outer", "brow", "raise"),
        "AU4": ("brow", "lower"),
        "AU6": ("cheek", "raise"),
        "AU7": ("lid", "tighten"),
        "AU10": ("upper", "lip", "raise"),
        "AU12": ("lip", "corner", "pull"),
        "AU15": ("lip", "corner", "depressor"),
        "AU20": ("lip", "stretch"),
        "AU23": ("lip", "tighten"),
        "AU24": ("lip", "press"),
        "AU25": ("lips", "part"),
        "AU26": ("jaw", "drop"),
    }
)
"""Aff-Wild2's action units (FACS, Ekman and Friesen 1978), in this project's order, and the words for each in
the graph. They are those of its FACS name, with the verb for the noun (raise for raiser) but in "depressor"."""

ABAW_UNITS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        8: tuple(f"AU{unit}" for unit in (1, 2, 4, 6, 12, 15, 20, 25)),
        12: tuple(f"AU{unit}" for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)),
    }
)
"""Those that the first edition of the ABAW competition annotates, and those of all later ones, in its own order."""


@dataclasses.dataclass(frozen=True)
class ClassOrder:
    """A dataset's own classes and the words that this project has for them.

    Attributes:
        names: the dataset's own code -> its own name of the class, in the dataset's order.
        words: the dataset's own code -> one of CLASS_WORDS, or None where the code stands for no class (Invalid).
    """

    names: Mapping[int | str, str]
    words: Mapping[int | str, str | None]

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words of the dataset's classes, in the order of its codes."""
        return tuple(word for word in self.words.values() if word is not None)

    def ids(self, vocabulary: Sequence[str]) -> dict[int | str, int]:
        """The place of each of the dataset's codes in a vocabulary; NO_CLASS where the vocabulary lacks the word."""
        return {code: vocabulary.index(w) if w in vocabulary else NO_CLASS for code, w in self.words.items()}


_WORD_OF_NAME = {
    **{word.lower(): word for word in CLASS_WORDS},
    "happiness": "Happy",
    "joy": "Happy",
    "sadness": "Sad",
    "surprised": "Surprise",
    "fearful": "Fear",
    "disgusted": "Disgust",
    "angry": "Anger",
}


def class_word(name: str) -> str:
    """This project's word for a class by any of its usual names, in any case; another name is a word of its own."""
    return _WORD_OF_NAME.get(name.strip().lower(), name.strip())


def in_usual_order(words: Iterable[str]) -> tuple[str, ...]:
    """Different class words in the order of CLASS_WORDS, then the others by the alphabet."""
    known = {word: place for place, word in enumerate(CLASS_WORDS)}
    return tuple(sorted(set(words), key=lambda word: (known.get(word, len(known)), word)))


def _class_order(names: Mapping[int | str, str], none: Collection[int | str] = ()) -> ClassOrder:
    """A dataset's order by its own names; the codes in `none` stand for no class."""
    words = {code: None if code in none else class_word(name) for code, name in names.items()}
    return ClassOrder(names=MappingProxyType(dict(names)), words=MappingProxyType(words))


CLASS_ORDERS: Mapping[str, ClassOrder] = MappingProxyType(
    {
        "affectnet": _class_order(
            {
                **dict(enumerate((*EXPRESSIONS, "Contempt"))),
                8: "None",
                9: "Uncertain",
                10: "No-Face",
            },
            none=(8, 9, 10),
        ),
        # The first two editions (the official implementation's) have seven classes; from the third there is Other.
        "affwild2": _class_order(
            {
                -1: "Invalid",
                0: "Neutral",
                1: "Anger",
                2: "Disgust",
                3: "Fear",
                4: "Happiness",
                5: "Sadness",
                6: "Surprise",
                7: "Other",
            },
            none=(-1,),
        ),
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
        # The columns of votes in fer2013new.csv; Microsoft's own code calls the last two unknown and no face.
        "ferplus": _class_order(
            {
                0: "neutral",
                1: "happiness",
                2: "surprise",
                3: "sadness",
                4: "anger",
                5: "disgust",
                6: "fear",
                7: "contempt",
                8: "unknown",
                9: "NF",
            },
            none=(8, 9),
        ),
        "ck_plus": _class_order(
            {
                0: "Neutral",
                1: "Anger",
                2: "Contempt",
                3: "Disgust",
                4: "Fear",
                5: "Happy",
                6: "Sadness",
                7: "Surprise",
            }
        ),
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
"""Every dataset's own class order."""


def class_order(text: str, count: int) -> tuple[str, ...]:
    """The classes of a model's `count` outputs, in their order.

    Args:
        text: a key of CLASS_ORDERS, without its last classes if those are Contempt or Other; or `count` class names
            with commas or semicolons between them, in any case, such as
            "Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise", also with brackets and quotes.
        count: the number of outputs.

    Raises:
        UserError: the text is neither, or names another number of classes.
    """
    names = {name.replace("_", ""): name for name in CLASS_ORDERS}
    name = re.sub(r"[\s_-]", "", text.lower().replace("+", "plus"))  # AffectNet, RAF-DB, CK+
    order = names.get(name, names.get(name.removesuffix(str(count))))  # AffectNet-8
    if order is not None:
        known = CLASS_ORDERS[order].vocabulary
        if len(known) < count or set(known[count:]) & set(EXPRESSIONS):
            raise UserError(
                f"The class order {text} is {','.join(known)}, and {count} classes are needed: name those, with commas "
                f"between them."
            )
        return known[:count]
    given = [name.strip(" '\"") for name in re.split("[,;]", text.strip().strip("[]()"))]  # a list of Python's, too
    words = tuple(class_word(name) for name in given)
    if not all(words) or len(words) != count or len(set(words)) != count:
        raise UserError(
            f"A class order is one of {', '.join(CLASS_ORDERS)}, or {count} different class names with commas between "
            f"them, found {text[:200]!r}."
        )
    return words


def vocabulary(text: str) -> tuple[str, ...]:
    """Reads a config's list of classes: names with commas between them, in any case.

    Raises:
        UserError: a name stands there twice, or there are fewer than two.
    """
    words = tuple(class_word(name) for name in text.split(",") if name.strip())
    if len({word.casefold() for word in words}) != len(words) or len(words) < 2:
        raise UserError(
            f"A vocabulary has two or more different classes, with commas between them, found {text[:200]!r}."
        )
    return words


def node_words(node: str) -> tuple[str, ...]:
    """The words, in lower case, whose mean vector stands for a node of the graph: an action unit's, or its own name."""
    return ACTION_UNITS.get(node) or tuple(node.lower().split())


DIMENSION_ENDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"valence": ("negative", "positive"), "arousal": ("calm", "excited"), "dominance": ("submissive", "dominant")}
)
"""What -1 and +1 mean on the usual scales, for the axes of plots."""
