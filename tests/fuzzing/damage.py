"""Damage done to files and to JSON, as values that hypothesis draws, and pure functions that do it."""

import copy
import os
import re
import zlib

import hypothesis
from hypothesis import strategies as st

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
"""How many times the usual number of cases are tried."""

_PNG = b"\x89PNG\r\n\x1a\n"
_LARGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_NUMBERS = (b"0", b"-1", b"99999999999", b"1e400", b"nan", b"1" * 5000, b"", b"[", b"\xff", b"\x00")
_PIECES = (b"\x00" * 64, b"\xff" * 64, b'"', b"\n" * 5, b",,,", b"{" * 2000, b"[" * 2000, b"../../", b"\xd8\x00", b"%s")

_STEPS = {
    "cut": lambda data, place, value: data[:place],
    "drop": lambda data, place, value: data[:place] + data[place + 1 + value % 64 :],
    "repeat": lambda data, place, value: data[: place + value % 256] + data[place:],
    "flip": lambda data, place, value: _over(
        data, place, bytes([data[place] ^ (1 << value % 8)]) if data[place:] else b""
    ),
    "byte": lambda data, place, value: _over(data, place, bytes([value % 256])),
    "little": lambda data, place, value: _over(data, place, _large(value, "little")),
    "big": lambda data, place, value: _over(data, place, _large(value, "big")),
    "number": lambda data, place, value: _renumbered(data, place, _NUMBERS[value % len(_NUMBERS)]),
    "insert": lambda data, place, value: data[:place] + _PIECES[value % len(_PIECES)] + data[place:],
}

_HOSTILE = (
    *(None, True, 0, -1, 1, 2.5, 1e308, float("nan"), float("inf"), 10**30, 2**31, 2**63),
    *(
        "",
        "x",
        "\x00",
        "\ud800",
        "a\nb",
        "../..",
        "9" * 400,
        "nan",
        [],
        {},
        [[]],
        [None],
        {"": None},
        [1, "a"],
        [1e9] * 3,
    ),
)


def cases(count):
    """The settings of a test of so many cases, the same ones in every run."""
    return hypothesis.settings(
        max_examples=count * TIMES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),  # shrinking a slow case takes minutes
    )


def steps(most=4):
    """A strategy: one to `most` kinds of damage, each with a place and a value; half of the places are in a header."""
    places = st.one_of(st.integers(0, 128), st.integers(0, 2**31))
    return st.lists(
        st.tuples(st.sampled_from(sorted(_STEPS)), places, st.integers(0, 2**31)), min_size=1, max_size=most
    )


def damaged(data, some_steps):
    """The bytes after some `steps`; the checksums of a PNG's chunks are right again, so that its readers go on."""
    for kind, place, value in some_steps:
        data = _STEPS[kind](data, place % (len(data) + 1), value)
    return _with_right_sums(data) if data.startswith(_PNG) else data


def changes(most=2):
    """A strategy: changes of a JSON value, each with a place and what comes there; None takes the place away."""
    return st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, len(_HOSTILE))), min_size=1, max_size=most)


def changed(value, some_changes):
    """A JSON value after some `changes`."""
    value = copy.deepcopy(value)
    for place, number in some_changes:
        spots = list(_spots(value))
        if not spots:
            return value
        holder, key = spots[place % len(spots)]
        if number == len(_HOSTILE):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(_HOSTILE[number])
    return value


def _spots(value):
    """Every place in a JSON value: what holds it, and the key or the index there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _spots(inner)


def _over(data, place, piece):
    return data[:place] + piece + data[place + len(piece) :]


def _large(value, order):
    width = (2, 4, 8)[value % 3]
    return (_LARGE[value // 3 % len(_LARGE)] % 2 ** (8 * width)).to_bytes(width, order)


def _renumbered(data, place, number):
    """The next run of digits after a place is another number."""
    found = re.compile(rb"[0-9.]+").search(data, place) or re.compile(rb"[0-9.]+").search(data)
    return data[: found.start()] + number + data[found.end() :] if found else data


def _with_right_sums(data):
    chunks, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        body = data[place + 4 : place + 8 + length]
        chunks += [data[place : place + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        place += 12 + length
    return b"".join(chunks) + data[place:]
