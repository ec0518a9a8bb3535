"""Objects that training scripts pickle beside the tensors: they come as stand-ins, and the tensors come whole."""

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import pickle
import random
import types
import uuid

import numpy as np
import pytest

from emotion_gcn_jax.torch_files import reading, stand_ins
from emotion_gcn_jax.torch_files.stand_ins import StandIn
from tests.torch_files import handmade


class Mode(enum.Enum):
    TRAIN = "train"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Config:
    rate: float = 0.1
    path: pathlib.Path = pathlib.Path("data")


class Settings(dict):
    """A dict whose entries are attributes, as many training scripts have."""


class Recorder:
    def __init__(self):
        self.losses = {0: [1.0], (1, 2): {3}}


class Slotted:
    __slots__ = ("x",)

    def __init__(self):
        self.x = 1

    def __getstate__(self):
        return None, {"x": self.x}


Point = collections.namedtuple("Point", "x y")

OBJECTS = {
    "namespace": argparse.Namespace(lr=0.1, path=pathlib.Path("x"), seen={1, 2}),
    "simple namespace": types.SimpleNamespace(a=1),
    "config class": Config(),
    "dict class": Settings(lr=0.1),
    "recorder": Recorder(),
    "slots": Slotted(),
    "named tuple": Point(1, 2),
    "class": Config,
    "function": collections.namedtuple,
    "partial": functools.partial(int, base=2),
    "enum": Mode.TRAIN,
    "whole-number enum": Level.LOW,
    "set": {1, (2, 3)},
    "frozen set": frozenset({1}),
    "complex": 1j,
    "bytearray": bytearray(b"ab"),
    "slice": slice(1, 2),
    "range": range(3),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1, 2], maxlen=3),
    "path": pathlib.PurePosixPath("data/x.pkl"),
    "datetime": datetime.datetime(2022, 1, 1, tzinfo=datetime.UTC),
    "duration": datetime.timedelta(hours=1),
    "decimal": decimal.Decimal("0.1"),
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=1),
    "random state": random.Random(0),
    "numpy's random state": np.random.RandomState(0),
    "numpy's generator": np.random.default_rng(0),
    "numpy text": np.str_("a"),
    "numpy date": np.datetime64("2022-01-01"),
    "numpy type": np.float32,
    "matrix of objects": np.array([{}, None], object),
    "array of text": np.array(["Happy", "Sad"]),
    "array of dates": np.array(["2022-01-01"], "M8[ns]"),
    "array of records": np.zeros(2, [("a", "f4"), ("b", "i8")]),
    "masked array": np.ma.masked_array([1, 2], [True, False]),
    "keys that are no names": {None: 1, (1, 2): 2, 0.5: 3, Mode.TRAIN: 4},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", OBJECTS)
def test_object_beside_the_tensors(kind, protocol, tmp_path):
    array = np.arange(3, dtype=np.float32)
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"w": array, "beside": OBJECTS[kind], "after": array}, protocol))
    read = reading.load(path)
    np.testing.assert_array_equal(read["w"], array)
    np.testing.assert_array_equal(read["after"], array)


def test_object_of_a_dangerous_function_is_refused_all_the_same(tmp_path):
    path = handmade.written(tmp_path / "w.pth", pickle.dumps({"beside": functools.partial(print)}))
    handmade.refused(path, r"asks for builtins\.print")


@pytest.mark.parametrize("kind", ["matrix of objects", "array of text", "array of dates", "array of records"])
def test_array_of_anything_but_numbers_comes_empty(kind, tmp_path):
    path = handmade.written(tmp_path / "w.pkl", pickle.dumps(OBJECTS[kind]))
    read = reading.load(path)
    assert read.shape == (0,) and read.dtype == object


def test_keys_that_are_no_names_are_left_out(tmp_path):
    path = handmade.written(tmp_path / "w.pkl", pickle.dumps({"a": 1, 2: 3, **OBJECTS["keys that are no names"]}))
    assert reading.load(path) == {"a": 1, 2: 3}


def test_torch_s_devices_and_classes(tmp_path):
    tensor = handmade.of_array(np.ones(1, np.float32))
    arguments = handmade.name("torch._utils", "_rebuild_tensor_v2"), handmade.name("torch", "Tensor")
    cut = b"(" + handmade.storage("0", 1) + b"".join(map(handmade.value, (0, (1,), (1,), False)))
    cut += handmade.call("collections", "OrderedDict") + b"t"
    with_attributes = handmade.call("torch._tensor", "_rebuild_from_type_v2", *arguments, cut, handmade.value({"a": 1}))
    items = {
        "device": handmade.call("torch", "device", handmade.value("cuda"), handmade.value(0)),
        "plain": tensor,
        "with attributes": with_attributes,
    }
    path = handmade.zip_file(tmp_path / "w.pth", handmade.mapping(items), [np.ones(1, np.float32).tobytes()])
    read = reading.load(path)
    assert read["device"] == StandIn("torch.device")
    assert read["plain"].tolist() == read["with attributes"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("argparse", "Namespace"),
        ("__main__", "Config"),
        ("project.config.os_settings", "Outer.Inner"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("builtins", "set"),
        ("torch.optim.lr_scheduler", "StepLR"),
        ("data.loading", "load"),
    ],
)
def test_names_of_honest_scripts_are_not_dangerous(module, name):
    assert not stand_ins.is_dangerous(module, name)
    assert stand_ins.stand_in(module, name) == StandIn(f"{module}.{name}")
