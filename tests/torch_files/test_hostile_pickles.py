"""Pickles that want to run code or to eat memory and time: nothing is run, and one sentence refuses them."""

import builtins
import os
import pickle
import re
import struct
import sys
import time
import zipfile

import numpy as np
import pytest

from emotion_gcn_jax.torch_files import reading
from emotion_gcn_jax.torch_files.stand_ins import StandIn
from tests.torch_files import handmade
from tests.torch_files.handmade import call, mapping, name, refused, storage, value, written

ONE = np.ones(1, np.float32).tobytes()


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def canary(tmp_path):
    """A file that hostile files would make."""
    return tmp_path / "canary"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["plain", "zip", "legacy"])
def test_os_system(kind, protocol, canary, tmp_path):
    path = tmp_path / "w.pth"
    payload = pickle.dumps(Call(os.system, f"touch {canary}"), protocol)
    if kind == "plain":
        path.write_bytes(payload)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", payload)
    else:
        parts = [pickle.dumps(part, 2) for part in (handmade.MAGIC, 1001, {"little_endian": True})]
        path.write_bytes(b"".join([*parts, payload]))
    refused(path, r"asks for (posix|nt)\.system, which is no tensor")
    assert not canary.exists()


@pytest.mark.parametrize("function", [eval, exec, builtins.__import__, getattr, open, compile, globals])
def test_builtins(function, canary, tmp_path):
    path = written(tmp_path / "w.pth", pickle.dumps(Call(function, f"open({str(canary)!r}, 'w')"), 4))
    refused(path, rf"asks for (builtins|_?io)\.{function.__name__}, which is no tensor")
    assert not canary.exists()


HOSTILE_PICKLES = {
    "hidden in the optimiser's state": (
        mapping(
            {"model_state_dict": mapping({}), "optimizer_state_dict": b"]" + call("os", "system", value("id")) + b"a"}
        ),
        "asks for os.system",
    ),
    "behind the memo": (
        name("os", "system") + b"q\x00" + value(1) + b"0h\x00" + value(("id",)) + b"R",
        "asks for os.system",
    ),
    "getattr chain by a dotted name": (
        value("collections") + value("OrderedDict.__init__.__globals__") + b"\x93",
        r"asks for collections\.OrderedDict\.__init__\.__globals__",
    ),
    "getattr chain by another module": (value("torch.os") + value("system") + b"\x93", r"asks for torch\.os\.system"),
    "torch's own loader": (
        call("torch.storage", "_load_from_bytes", value(b"x")),
        r"asks for torch\.storage\._load_from_bytes",
    ),
    "a name of control characters": (
        value("o\x1b[31ms") + value("x\ny") + b"\x93",
        r"holds an object of .o\\x1b\[31ms",
    ),
    "a name of a million letters": (value("o" * 10**6) + value("x") + b"\x93", "asks for ooo"),
    "a name that is no text": (value(1) + value(2) + b"\x93", "no text"),
    "call of a type": (call("torch", "FloatStorage", value(1 << 40)), r"holds an object of torch\.FloatStorage"),
    "call of a built-in type": (call("builtins", "list", value("x")), r"holds an object of builtins\.list"),
    "call of a value": (value(3) + b")R", "asks to call a int"),
    "INST": (b"(" + value("id") + b"ios\nsystem\n", "asks for os.system"),
    "OBJ": (b"(" + name("os", "system") + value("id") + b"o", "asks for os.system"),
    "NEWOBJ": (name("os", "system") + b")\x81", "asks for os.system"),
    "NEWOBJ_EX": (name("os", "system") + b")}\x92", "asks for os.system"),
    "INST of a harmless class": (b"(icollections\nCounter\n", r"holds an object of collections\.Counter"),
    "OBJ of a known class": (b"(" + name("torch", "Size") + value("id") + b"o", r"holds an object of torch\.Size"),
    "NEWOBJ of a known class": (name("torch", "Size") + b")\x81", r"holds an object of torch\.Size"),
    "NEWOBJ_EX of a known class": (name("torch", "Size") + b")}\x92", r"holds an object of torch\.Size"),
    "NEWOBJ of a value": (value(3) + b")\x81", "asks to call a int"),
    "OBJ without a class": (b"(o", "damaged"),
    "EXT1": (b"\x82\x01", "uses EXT1"),
    "EXT4": (b"\x84\x01\x00\x00\x00", "uses EXT4"),
    "PERSID": (b"Pmodule\n", "uses PERSID"),
    "out-of-band buffer": (b"\x97", "uses NEXT_BUFFER"),
    "too many arguments": (call("collections", "defaultdict", value(0) * 17), "defaultdict with 17 arguments"),
    "state of a number": (value(1) + value({"__class__": 1}) + b"b", "sets the state of a int"),
    "state of a name": (name("torch", "Size") + value({"rebuild": 1}) + b"b", "sets the state of a Name"),
    "state of a tensor": (handmade.of_array(np.ones(1, np.float32)) + value(()) + b"b", "sets the state of a ndarray"),
    "a bare type": (call("numpy", "dtype", value("O8"), value(0), value(1)), "holds the name of a type"),
    "a bare set": (b"\x8f(" + value(1) + b"\x90", r"holds an object of builtins\.set"),
    "items of no set": (b"](" + value(1) + b"\x90", "damaged"),
    "array of another class": (
        call("numpy.core.multiarray", "_reconstruct", name("builtins", "list"), value((0,)), value("b")),
        "arguments that torch and NumPy never write",
    ),
    "codec": (call("_codecs", "encode", value("x"), value("zip")), "arguments that torch and NumPy never write"),
    "whole module": (b"(" + value("module") + name("torch", "Size") + value("s") + value("x") + b"tQ", "no storage"),
    "name twice": (b"}(" + (value("conv.weight") + value(1)) * 2 + b"u", "the name conv.weight twice"),
    "nothing on the stack": (b"0", "damaged"),
    "no mark": (b"t", "damaged"),
    "stack below the mark": (value(1) + b"(a", "damaged"),
    "unknown memo": (b"h\x07", "damaged"),
    "unknown instruction": (b"\xfe", "damaged"),
    "protocol to come": (b"\x80\x63", "protocol 99"),
    "number of a million digits": (b"I" + b"9" * 10**6 + b"\n", "damaged"),
    "text that claims an exabyte": (b"\x8d" + struct.pack("<Q", 1 << 60) + b"x", "damaged"),
    "memo that claims four billion places": (value(1) + b"r\xff\xff\xff\xff" + b"0]" + b"j\xff\xff\xff\xfe", "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE_PICKLES)
def test_hostile_pickle(case, tmp_path):
    instructions, message = HOSTILE_PICKLES[case]
    refused(handmade.zip_file(tmp_path / "w.pth", instructions, [ONE]), message)


DANGEROUS = [
    *(("os", "system"), ("posix", "popen"), ("nt", "system"), ("subprocess", "Popen"), ("subprocess", "run")),
    *(("builtins", "eval"), ("__builtin__", "exec"), ("builtins", "getattr"), ("builtins", "breakpoint")),
    *(
        ("sys", "modules"),
        ("importlib", "import_module"),
        ("runpy", "run_path"),
        ("pty", "spawn"),
        ("code", "interact"),
    ),
    *(("pickle", "loads"), ("_pickle", "loads"), ("marshal", "loads"), ("operator", "attrgetter"), ("ctypes", "CDLL")),
    *(
        ("shutil", "rmtree"),
        ("socket", "socket"),
        ("urllib.request", "urlopen"),
        ("webbrowser", "open"),
        ("io", "open"),
    ),
    *(("types", "FunctionType"), ("torch", "load"), ("torch.hub", "load"), ("torch.storage", "_load_from_bytes")),
    *(("numpy", "load"), ("numpy.testing._private.utils", "runstring"), ("torch.utils.bottleneck", "run_prof")),
    *(("torch.serialization", "os.system"), ("torch.os", "system"), ("logging", "os"), ("argparse", "_sys.modules")),
    *(("argparse", "Namespace.__init__"), ("argparse", "__builtins__")),
]


@pytest.mark.parametrize(("module", "attribute"), DANGEROUS, ids=lambda part: part)
def test_name_that_no_honest_file_has_is_refused_beside_sound_tensors(module, attribute, tmp_path):
    sound = handmade.of_array(np.ones(1, np.float32))
    instructions = mapping({"x": sound, "harm": value(module) + value(attribute) + b"\x93)R"})
    refused(handmade.zip_file(tmp_path / "w.pth", instructions, [ONE]), rf"asks for {re.escape(module)}\.")


MISCHIEF = """
import pathlib
pathlib.Path({canary!r}).touch()
class Reachable:
    def __new__(cls, *arguments): pathlib.Path({canary!r}).touch()
    def __setstate__(self, state): pathlib.Path({canary!r}).touch()
    def __hash__(self): pathlib.Path({canary!r}).touch()
"""
CLASS = value("mischief") + value("Reachable") + b"\x93"
USES = {
    "named": CLASS,
    "called": CLASS + value(("x",)) + b"R",
    "called with what is no tuple": CLASS + value(3) + b"R",
    "called twice": CLASS + b")R)R",
    "made": CLASS + b")\x81",
    "made by keywords": CLASS + value(()) + value({"x": 1}) + b"\x92",
    "made as by Python 2": b"(" + CLASS + value("x") + b"o",
    "made by its name": b"(imischief\nReachable\n",
    "given state": CLASS + b")\x81" + value({"__class__": 1, "__dict__": 2}) + b"b",
    "given items": CLASS + b")\x81" + value("key") + value(1) + b"s" + value(2) + b"a",
    "given elements": CLASS + b")\x81(" + value(1) + b"\x90",
    "hashed as a key": b"}" + CLASS + b")R" + value(1) + b"s",
    "hashed in a set": b"\x8f(" + CLASS + b")R\x90",
    "hashed in a frozen set": b"(" + CLASS + b")R\x91",
    "a factory": call("collections", "defaultdict", CLASS),
    "a hook of a tensor": call("torch._utils", "_rebuild_parameter", value(None), value(True), CLASS),
    "a tensor's own class": call("torch._tensor", "_rebuild_from_type_v2", CLASS, CLASS, value(()), value(None)),
    "a storage's type": handmade.tensor(
        b"(" + value("storage") + CLASS + value("7") + value("cpu") + value(1 << 60) + b"tQ", (1 << 60,), (1,)
    ),
    "a tensor's type": call(
        "torch._utils", "_rebuild_tensor_v3", *map(value, (None, 0, (1,), (1,), False, None)), CLASS
    ),
    "an array's own class": call("numpy.core.multiarray", "_reconstruct", CLASS, value((0,)), value("b")),
    "an old module's class": b"(" + value("module") + CLASS + value("a.py") + value("import os") + b"tQ",
}


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize("use", USES)
def test_class_of_a_user_s_own_is_neither_imported_nor_called(use, kind, canary, monkeypatch, tmp_path):
    (tmp_path / "mischief.py").write_text(MISCHIEF.format(canary=str(canary)))
    monkeypatch.syspath_prepend(tmp_path)
    array = np.arange(3, dtype=np.float32)
    ending = {"ending": value(None)} if kind == "legacy" else {}
    instructions = mapping({"w": handmade.of_array(array, **ending), "beside": USES[use], "after": value(7)})
    if kind == "zip":
        path = handmade.zip_file(tmp_path / "w.pth", instructions, [array.tobytes()])
    else:
        path = handmade.legacy_file(tmp_path / "w.pth", instructions, [array])
    read = reading.load(path)
    assert not canary.exists() and "mischief" not in sys.modules
    np.testing.assert_array_equal(read["w"], array)
    assert read["after"] == 7


def test_stand_in_says_no_more_than_its_name(tmp_path):
    path = handmade.zip_file(tmp_path / "w.pth", mapping({"x": USES["given state"]}))
    assert reading.load(path) == {"x": StandIn("mischief.Reachable")}
    refused(handmade.zip_file(tmp_path / "w.pth", USES["given state"]), r"holds an object of mischief\.Reachable")


DOUBLED = b")" + b"2\x86" * 60  # tuples of twice the tuple before: 2^60 leaves for whoever hashes or prints them
STAND_IN = b"ca\nb\n"
HARMLESS_BOMBS = {
    "depth, which no recursion of ours must meet": (b")" + b"\x85" * 300_000, tuple),
    "a doubled tuple as a key": (b"}" + DOUBLED + b"Ns", dict),
    "a doubled tuple in a set": (b"}" + value("x") + b"\x8f(" + DOUBLED + b"\x90s", dict),
    "a doubled tuple as arguments": (b"]" + STAND_IN + DOUBLED + b"Ra", list),
    "a doubled tuple as state": (b"]" + STAND_IN + DOUBLED + b"ba", list),
    "stand-ins called over and over": (b"]" + STAND_IN + b")R" * 400_000 + b"a", list),
    "a long name used over and over": (
        value("m" * 120) + b"q\x050" + value("n" * 120) + b"q\x060](" + b"h\x05h\x06\x93" * 100_000 + b"e",
        list,
    ),
    "a list within itself": (b"]q\x00h\x00a", list),
}


@pytest.mark.parametrize("case", HARMLESS_BOMBS)
def test_bomb_that_is_no_more_than_its_instructions(case, tmp_path):
    instructions, kind = HARMLESS_BOMBS[case]
    start = time.perf_counter()
    assert type(reading.load(written(tmp_path / "w.pth", b"\x80\x02" + instructions + b"."))) is kind
    assert time.perf_counter() - start < 30  # seconds; 1,000,000 instructions take three


BOMBS = {
    "too many instructions": (b"N0" * 600_000, "more than 1,000,000 pickle instr"),
    "one text, encoded over and over": (
        value("x" * (1 << 20)) + b"q\x000(" + b"c_codecs\nencode\n(h\x00Vlatin1\ntR" * 2000 + b"t",
        "more than 1 GiB",
    ),
    "one list, made a dict over and over": (
        b"]("
        + b"".join(b"(" + value(n) + b"Nt" for n in range(20_000))
        + b"eq\x000("
        + b"ccollections\nOrderedDict\n(h\x00tR" * 2000
        + b"t",
        "more than 1 GiB",
    ),
    "one long tuple, checked over and over": (
        b"(" + b"K\x01" * 100_000 + b"tq\x000(" + b"ctorch\nSize\n(h\x00tR" * 100_000 + b"t",
        "torch.Size with arguments",
    ),
}


@pytest.mark.parametrize("case", BOMBS)
def test_bomb_is_refused_soon(case, tmp_path):
    instructions, message = BOMBS[case]
    start = time.perf_counter()
    refused(written(tmp_path / "w.pth", b"\x80\x02" + instructions + b"."), message)
    assert time.perf_counter() - start < 30  # seconds


def test_doubled_tuple_as_the_shape_of_a_sound_storage(tmp_path):
    cut = call("torch._utils", "_rebuild_tensor", storage("0", 1), value(0), DOUBLED, value(()))
    refused(handmade.zip_file(tmp_path / "w.pth", cut, [ONE]), "absurd")
