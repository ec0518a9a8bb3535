"""Safetensors files of others: every number comes back, and one sentence refuses what is damaged or hostile."""

import json
import struct

import numpy as np
import pytest

from emotion_gcn_jax.torch_files import reading
from tests.torch_files.handmade import refused, written


def file_of(header, numbers=b""):
    """The format by hand: the header's length, the header as JSON, the numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def tensor(kind, shape, begin, end):
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


TYPES = {
    "F64": np.array([1.5, -2]),
    "F32": np.array([1.5, -2], np.float32),
    "F16": np.array([1.5, -2], np.float16),
    "I64": np.array([1, -2]),
    "U8": np.array([1, 255], np.uint8),
    "BOOL": np.array([True, False]),
    "C64": np.array([1j, 2], np.complex64),
}


@pytest.mark.parametrize("kind", TYPES)
def test_number_types(kind, tmp_path):
    numbers = TYPES[kind].tobytes()
    path = written(tmp_path / "w.safetensors", file_of({"x": tensor(kind, [2], 0, len(numbers))}, numbers))
    read = reading.load(path)["x"]
    assert read.dtype == TYPES[kind].dtype
    np.testing.assert_array_equal(read, TYPES[kind])


def test_bfloat16_comes_as_float32(tmp_path):
    # 0x3FC0 are the upper halves of float32's 1.5, 0xC000 of its -2
    numbers = np.array([0x3FC0, 0xC000], "<u2").tobytes()
    header = {"__metadata__": {"format": "pt"}, "x": tensor("BF16", [1, 2], 0, 4)}
    read = reading.load(written(tmp_path / "w.safetensors", file_of(header, numbers)))
    assert list(read) == ["x"] and read["x"].dtype == np.float32 and read["x"].tolist() == [[1.5, -2.0]]


def test_format_is_seen_from_the_content(tmp_path):
    path = written(tmp_path / "w.pth", file_of({"x": tensor("U8", [1], 0, 1)}, b"\7"))
    assert reading.load(path)["x"].tolist() == [7]


EMPTY = {"x": tensor("U8", [0], 0, 0)}
HOSTILE = {
    "no header": (b"\0" * 4, "damaged or truncated safetensors"),
    "no JSON": (file_of(b"{not json}"), "damaged or truncated safetensors"),
    "a header of another kind": (file_of(b'{"a":{"x":"F"}}'), "damaged or truncated safetensors"),
    "depth": (file_of(b'{"a":' * 100_000), "damaged or truncated safetensors"),
    "a header longer than the file": (struct.pack("<Q", 100) + b"{}", "damaged or truncated safetensors"),
    "a header of an exabyte": (struct.pack("<Q", 1 << 60) + b"{}", "header of more than 10 MB"),
    "a header of too many names": (file_of(b" " * 10_000_001), "header of more than 10 MB"),
    "numbers beyond the file": (file_of({"x": tensor("F32", [4], 0, 16)}, b"1234"), "damaged or truncated"),
    "numbers that no tensor has": (file_of(EMPTY, b"1234"), "damaged or truncated"),
    "two tensors in one place": (
        file_of({"x": tensor("U8", [4], 0, 4), "y": tensor("U8", [4], 0, 4)}, b"1234"),
        "damaged or truncated",
    ),
    "a shape that does not fit": (file_of({"x": tensor("U8", [5], 0, 4)}, b"1234"), "damaged or truncated"),
    "a shape of exabytes": (file_of({"x": tensor("U8", [1 << 63, 2], 0, 4)}, b"1234"), "damaged or truncated"),
    "an empty shape of exabytes": (file_of({"x": tensor("U8", [0, 1 << 63], 0, 0)}), "absurd shape"),
    "too many axes": (file_of({"x": tensor("U8", [1] * 70, 0, 1)}, b"1"), "absurd shape"),
    "a type that NumPy lacks": (file_of({"x": tensor("F8_E4M3", [4], 0, 4)}, b"1234"), "the tensor x in F8_E4M3"),
    "a name of many lines": (file_of({"x\n" * 1000: tensor("F8_E5M2", [1], 0, 1)}, b"1"), "in F8_E5M2"),
    "a web page": (b"<!DOCTYPE html><html>", "is a web page"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file(case, tmp_path):
    data, message = HOSTILE[case]
    refused(written(tmp_path / "w.safetensors", data), message)
