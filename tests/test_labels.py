"""The words and every dataset's class order, spelled out by hand from each dataset's documentation."""

from collections.abc import MutableMapping

import pytest

from emotion_gcn_jax import labels
from emotion_gcn_jax.errors import UserError

SEVEN = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")

# By the dataset's own code: its own name of the class, and this project's word.
EXPECTED_ORDERS = {
    "affectnet": {
        0: ("Neutral", "Neutral"), 1: ("Happy", "Happy"), 2: ("Sad", "Sad"), 3: ("Surprise", "Surprise"),
        4: ("Fear", "Fear"), 5: ("Disgust", "Disgust"), 6: ("Anger", "Anger"), 7: ("Contempt", "Contempt"),
        8: ("None", None), 9: ("Uncertain", None), 10: ("No-Face", None),
    },
    "affwild2": {
        -1: ("Invalid", None), 0: ("Neutral", "Neutral"), 1: ("Anger", "Anger"), 2: ("Disgust", "Disgust"),
        3: ("Fear", "Fear"), 4: ("Happiness", "Happy"), 5: ("Sadness", "Sad"), 6: ("Surprise", "Surprise"),
        7: ("Other", "Other"),
    },
    "raf_db": {
        1: ("Surprise", "Surprise"), 2: ("Fear", "Fear"), 3: ("Disgust", "Disgust"), 4: ("Happiness", "Happy"),
        5: ("Sadness", "Sad"), 6: ("Anger", "Anger"), 7: ("Neutral", "Neutral"),
    },
    "fer2013": {
        0: ("Angry", "Anger"), 1: ("Disgust", "Disgust"), 2: ("Fear", "Fear"), 3: ("Happy", "Happy"),
        4: ("Sad", "Sad"), 5: ("Surprise", "Surprise"), 6: ("Neutral", "Neutral"),
    },
    "ferplus": {
        0: ("neutral", "Neutral"), 1: ("happiness", "Happy"), 2: ("surprise", "Surprise"), 3: ("sadness", "Sad"),
        4: ("anger", "Anger"), 5: ("disgust", "Disgust"), 6: ("fear", "Fear"), 7: ("contempt", "Contempt"),
        8: ("unknown", None), 9: ("NF", None),
    },
    "ck_plus": {
        0: ("Neutral", "Neutral"), 1: ("Anger", "Anger"), 2: ("Contempt", "Contempt"), 3: ("Disgust", "Disgust"),
        4: ("Fear", "Fear"), 5: ("Happy", "Happy"), 6: ("Sadness", "Sad"), 7: ("Surprise", "Surprise"),
    },
    "jaffe": {
        "AN": ("Anger", "Anger"), "DI": ("Disgust", "Disgust"), "FE": ("Fear", "Fear"), "HA": ("Happiness", "Happy"),
        "NE": ("Neutral", "Neutral"), "SA": ("Sadness", "Sad"), "SU": ("Surprise", "Surprise"),
    },
    "ferg": {
        "anger": ("anger", "Anger"), "disgust": ("disgust", "Disgust"), "fear": ("fear", "Fear"),
        "joy": ("joy", "Happy"), "neutral": ("neutral", "Neutral"), "sadness": ("sadness", "Sad"),
        "surprise": ("surprise", "Surprise"),
    },
}  # fmt: skip

BY_ALPHABET = "Anger Disgust Fear Happy Neutral Sad Surprise"


def test_nodes_are_in_the_order_of_the_published_weights():
    assert (*SEVEN, "Valence", "Arousal") == labels.NODES
    assert labels.EXPRESSIONS == SEVEN == tuple(member.name.capitalize() for member in labels.Expression)
    assert list(labels.Expression) == list(range(7))
    assert (*SEVEN, "Contempt", "Other") == labels.CLASS_WORDS
    assert labels.NO_CLASS == -1


def test_every_dataset_is_spelled_out_here():
    assert labels.CLASS_ORDERS.keys() == EXPECTED_ORDERS.keys()


@pytest.mark.parametrize("dataset", EXPECTED_ORDERS)
def test_a_datasets_own_order(dataset):
    order = labels.CLASS_ORDERS[dataset]
    found = [(code, (order.names[code], word)) for code, word in order.words.items()]
    assert found == list(EXPECTED_ORDERS[dataset].items()) and order.names.keys() == order.words.keys()


def test_class_orders_cannot_be_changed_by_accident():
    order = labels.CLASS_ORDERS["ferg"]
    assert not any(isinstance(table, MutableMapping) for table in (labels.CLASS_ORDERS, order.words, order.names))


@pytest.mark.parametrize(
    ("dataset", "vocabulary", "expected"),
    [
        (
            "affectnet",
            SEVEN,
            {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: -1, 8: -1, 9: -1, 10: -1},
        ),
        ("affwild2", SEVEN, {-1: -1, 0: 0, 1: 6, 2: 5, 3: 4, 4: 1, 5: 2, 6: 3, 7: -1}),
        ("affwild2", (*SEVEN, "Other"), {-1: -1, 0: 0, 1: 6, 2: 5, 3: 4, 4: 1, 5: 2, 6: 3, 7: 7}),
        ("ck_plus", (*SEVEN, "Contempt"), {0: 0, 1: 6, 2: 7, 3: 5, 4: 4, 5: 1, 6: 2, 7: 3}),
        ("jaffe", ("Sad", "Happy"), {"AN": -1, "DI": -1, "FE": -1, "HA": 1, "NE": -1, "SA": 0, "SU": -1}),
    ],
)
def test_places_of_a_datasets_codes_in_a_vocabulary(dataset, vocabulary, expected):
    assert labels.CLASS_ORDERS[dataset].ids(vocabulary) == expected


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("affectnet", 7, "Neutral Happy Sad Surprise Fear Disgust Anger"),
        ("affectnet", 8, "Neutral Happy Sad Surprise Fear Disgust Anger Contempt"),
        ("affwild2", 7, "Neutral Anger Disgust Fear Happy Sad Surprise"),
        ("affwild2", 8, "Neutral Anger Disgust Fear Happy Sad Surprise Other"),
        ("raf_db", 7, "Surprise Fear Disgust Happy Sad Anger Neutral"),
        ("RAF-DB", 7, "Surprise Fear Disgust Happy Sad Anger Neutral"),
        ("AffectNet", 8, "Neutral Happy Sad Surprise Fear Disgust Anger Contempt"),
        ("fer2013", 7, "Anger Disgust Fear Happy Sad Surprise Neutral"),
        ("ferplus", 8, "Neutral Happy Surprise Sad Anger Disgust Fear Contempt"),
        ("ferplus", 7, "Neutral Happy Surprise Sad Anger Disgust Fear"),
        ("ck_plus", 8, "Neutral Anger Contempt Disgust Fear Happy Sad Surprise"),
        ("jaffe", 7, BY_ALPHABET),
        ("ferg", 7, BY_ALPHABET),
        ("Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise", 7, BY_ALPHABET),
        (" angry , DISGUSTED,fearful,happiness,neutral,sadness,surprised", 7, BY_ALPHABET),
        ("Calm,Tired,joy", 3, "Calm Tired Happy"),
        ("['Calm', 'Tired', 'joy']", 3, "Calm Tired Happy"),
        ('("Calm","Tired","joy")', 3, "Calm Tired Happy"),
        ("[Calm;Tired;joy]", 3, "Calm Tired Happy"),
        ("CK+", 8, "Neutral Anger Contempt Disgust Fear Happy Sad Surprise"),
        ("FER+", 8, "Neutral Happy Surprise Sad Anger Disgust Fear Contempt"),
        ("AffectNet-7", 7, "Neutral Happy Sad Surprise Fear Disgust Anger"),
        ("affectnet8", 8, "Neutral Happy Sad Surprise Fear Disgust Anger Contempt"),
    ],
)
def test_class_order(text, count, expected):
    assert labels.class_order(text, count) == tuple(expected.split())


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ("raf_db", 8, "class order raf_db is Surprise,.*,Neutral, and 8 classes are needed: name those"),
        # CK+'s first seven are without Surprise, which no network of seven classes is.
        ("ck_plus", 7, "class order ck_plus is Neutral,.*,Surprise, and 7 classes are needed: name those"),
        ("affectnet", 6, "and 6 classes are needed"),
        ("raf_bd", 7, r"one of affectnet, .*, ferg, or 7 different class names .*, found 'raf_bd'"),
        ("Happy,Sad", 3, "or 3 different class names"),
        ("Happy,Sad,Fear,Anger", 3, "or 3 different class names"),
        ("Happy,joy,Sad", 3, "or 3 different class names"),
        ("Happy,,Sad", 3, "or 3 different class names"),
        ("", 1, "or 1 different class names"),
        ("x" * 5000, 7, "found 'x{200}'"),
    ],
)
def test_a_class_order_that_is_none(text, count, message):
    with pytest.raises(UserError, match=message) as raised:
        labels.class_order(text, count)
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Neutral,Happy", ("Neutral", "Happy")),
        (" happiness ,  angry,", ("Happy", "Anger")),
        ("Sad,Calm,tired", ("Sad", "Calm", "tired")),
    ],
)
def test_vocabulary(text, expected):
    assert labels.vocabulary(text) == expected


@pytest.mark.parametrize("text", ["", "Happy", "Happy,Sad,joy", "calm,Calm", ",,", "x" * 5000])
def test_a_vocabulary_that_is_none(text):
    with pytest.raises(UserError, match="two or more different classes, with commas between them, found") as raised:
        labels.vocabulary(text)
    assert len(str(raised.value)) < 2000


def test_the_usual_order_is_the_projects_then_the_alphabets():
    words = ["Tired", "Other", "Anger", "Calm", "Neutral", "Contempt", "Anger"]
    assert labels.in_usual_order(words) == ("Neutral", "Anger", "Contempt", "Other", "Calm", "Tired")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ("Happy", ("happy",)),
        ("Valence", ("valence",)),
        ("Deep sorrow", ("deep", "sorrow")),
        ("AU1", ("inner", "brow", "raise")),
        ("AU12", ("lip", "corner", "pull")),
        ("AU26", ("jaw", "drop")),
    ],
)
def test_node_words(node, words):
    assert labels.node_words(node) == words


def test_action_units_are_those_of_every_edition_of_affwild2():
    first = {1, 2, 4, 6, 12, 15, 20, 25}
    second = {1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26}
    assert list(labels.ACTION_UNITS) == [f"AU{unit}" for unit in sorted(first | second)]
