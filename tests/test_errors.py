"""Names from files in messages: short and printable, however many and whatever they are."""

import pytest

from emotion_gcn_jax.errors import listed, shown


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "a, b, c and 1 more"),
        ((name for name in "abcdefgh"), "a, b, c and 5 more"),
    ],
)
def test_listed(names, expected):
    assert listed(names, most=3) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("naïve 悲しい", "naïve 悲しい"),
        ("a" * 80, "a" * 80),
        ("a" * 81, "a" * 80 + "..."),
        ("two\nlines", r"'two\nlines'"),
        ("\x1b[31m", r"'\x1b[31m'"),
    ],
)
def test_shown(text, expected):
    assert shown(text) == expected


# Ten names of at most 80 characters and three dots, with two between them: 850, and the count.
@pytest.mark.parametrize("name", ["a" * 10_000, "\U0010ffff" * 10_000])
def test_any_names_leave_room_for_the_sentence(name):
    assert len(listed([name] * 10_000)) < 900
