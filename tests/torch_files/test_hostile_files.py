"""Files that want to run code, to eat memory or to be taken for what they are not: one sentence each, nothing run."""

import builtins
import io
import os
import pickle
import struct
import tarfile
import time
import zipfile

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.torch_files import reading, tensors
from tests.torch_files import handmade
from tests.torch_files.handmade import call, mapping, name, storage, tensor, value

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


def refused(path, message):
    with pytest.raises(UserError, match=message) as caught:
        reading.load(path)
    sentence = str(caught.value)
    assert path.name in sentence and sentence.endswith(".") and "\n" not in sentence and len(sentence) < 600
    return sentence


def written(path, data):
    path.write_bytes(data)
    return path


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
    "a name of control characters": (value("o\x1b[31ms") + value("x\ny") + b"\x93", r"asks for .o\\x1b\[31ms"),
    "a name of a million letters": (value("o" * 10**6) + value("x") + b"\x93", "asks for ooo"),
    "a name that is no text": (value(1) + value(2) + b"\x93", "no text"),
    "call of a type": (call("torch", "FloatStorage", value(1 << 40)), r"asks to call torch\.FloatStorage"),
    "call of a built-in type": (call("builtins", "list", value("x")), r"asks to call builtins\.list"),
    "call of a value": (value(3) + b")R", "asks to call a int"),
    "INST": (b"(" + value("id") + b"ios\nsystem\n", "uses INST"),
    "OBJ": (b"(" + name("torch", "Size") + value("id") + b"o", "uses OBJ"),
    "NEWOBJ": (name("torch", "Size") + b")\x81", "uses NEWOBJ"),
    "NEWOBJ_EX": (name("torch", "Size") + b")}\x92", "uses NEWOBJ_EX"),
    "EXT1": (b"\x82\x01", "uses EXT1"),
    "EXT4": (b"\x84\x01\x00\x00\x00", "uses EXT4"),
    "PERSID": (b"Pmodule\n", "uses PERSID"),
    "out-of-band buffer": (b"\x97", "uses NEXT_BUFFER"),
    "too many arguments": (call("collections", "defaultdict", value(0) * 17), "defaultdict with 17 arguments"),
    "state of a number": (value(1) + value({"__class__": 1}) + b"b", "sets the state of a int"),
    "state of a name": (name("torch", "Size") + value({"rebuild": 1}) + b"b", "sets the state of a Name"),
    "state of a tensor": (handmade.of_array(np.ones(1, np.float32)) + value(()) + b"b", "sets the state of a ndarray"),
    "array of objects": (call("numpy", "dtype", value("O8"), value(0), value(1)), "NumPy array of O8"),
    "array of another class": (
        call("numpy.core.multiarray", "_reconstruct", name("builtins", "list"), value((0,)), value("b")),
        "arguments that torch and NumPy never write",
    ),
    "codec": (call("_codecs", "encode", value("x"), value("zip")), "arguments that torch and NumPy never write"),
    "whole module": (b"(" + value("module") + name("torch", "Size") + value("s") + value("x") + b"tQ", "no storage"),
    "dict in a key": (b"}(" + value((1, 2)) + value(1) + b"u", "key that is a tuple"),
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


HOSTILE_TENSORS = {
    "outside its storage": (tensor(storage("0", 1), (2,), (1,)), "reaches outside its storage of 1 numbers"),
    "by its offset": (tensor(storage("0", 1), (1,), (1,), 1), "reaches outside its storage"),
    "by its strides": (tensor(storage("0", 1), (2, 1), (1 << 29, 1)), "reaches outside its storage"),
    "negative offset": (tensor(storage("0", 1), (1,), (1,), -1), "absurd"),
    "negative size": (tensor(storage("0", 1), (-1,), (1,)), "absurd"),
    "negative stride": (tensor(storage("0", 1), (1,), (-1,)), "absurd"),
    "an absurd size": (tensor(storage("0", 1), (1 << 62, 4), (0, 0)), "absurd"),
    "more strides than sizes": (tensor(storage("0", 1), (1,), (1, 1)), "absurd"),
    "a thousand dimensions": (tensor(storage("0", 1), (1,) * 1000, (0,) * 1000), "absurd"),
    "truth for a size": (tensor(storage("0", 1), (True,), (1,)), "absurd"),
    "one number expanded": (tensor(storage("0", 1), (1 << 15, 1 << 15), (0, 0)), "more than 1 GiB"),
    "storage longer than its bytes": (tensor(storage("0", 2), (1,), (1,)), "should hold 8 bytes .* holds 4"),
    "storage shorter than its bytes": (tensor(storage("0", 0), (0,), (1,)), "should hold 0 bytes .* holds 4"),
    "storage of an absurd length": (tensor(storage("0", 1 << 62), (1,), (1,)), "unknown kind"),
    "storage that is not there": (tensor(storage("7", 1), (1,), (1,)), "should hold 4 bytes .* 7, but holds 0"),
    "storage outside the archive": (tensor(storage("../data.pkl", 1), (1,), (1,)), "but holds 0"),
    "storage in two ways": (
        b"(" + tensor(storage("0", 1), (1,), (1,)) + tensor(storage("0", 4, "ByteStorage"), (1,), (1,)) + b"t",
        "in two ways",
    ),
    "no storage": (tensor(value("x"), (1,), (1,)), "arguments that torch"),
    "sizes in a list": (tensor(storage("0", 1), [1], (1,)), "absurd"),
}


@pytest.mark.parametrize("case", HOSTILE_TENSORS)
def test_hostile_tensor(case, tmp_path):
    instructions, message = HOSTILE_TENSORS[case]
    refused(handmade.zip_file(tmp_path / "w.pth", instructions, [ONE]), message)


def test_many_tensors_of_one_storage_count_each(monkeypatch, tmp_path):
    monkeypatch.setattr(tensors, "MAX_BYTES", 1 << 20)
    cut = tensor(storage("0", 1), (400, 400), (0, 0))
    assert len(reading.load(handmade.zip_file(tmp_path / "w.pth", b"](" + cut + b"e", [ONE]))) == 1
    refused(handmade.zip_file(tmp_path / "w.pth", b"](" + 2 * cut + b"e", [ONE]), "unfolds to more than")


def test_older_format(tmp_path):
    array = np.ones(3, np.float32)
    instructions = handmade.state_dict({"x": array}, ending=value(None))
    whole = handmade.legacy_file(tmp_path / "w.pth", instructions, [array]).read_bytes()
    refused(written(tmp_path / "short.pth", whole[:-1]), "truncated: 11 of 12 bytes")
    refused(written(tmp_path / "shorter.pth", whole[:-20]), "truncated or damaged")
    refused(
        handmade.legacy_file(tmp_path / "big.pth", instructions, [array], little_endian=False), "big-endian machine"
    )
    refused(handmade.legacy_file(tmp_path / "other.pth", instructions, [array], keys=["1"]), "other storages")
    outside = tensor(storage("0", 3, ending=value(None)), (4,), (1,))
    refused(handmade.legacy_file(tmp_path / "outside.pth", outside, [array]), "reaches outside its storage of 3")
    view = handmade.state_dict({"x": array}, ending=value(("1", 0, 3)))
    refused(handmade.legacy_file(tmp_path / "view.pth", view, [array]), "unknown kind")
    claims = tensor(storage("0", 1 << 28, ending=value(None)), (1,), (1,))
    refused(handmade.legacy_file(tmp_path / "claims.pth", claims, [array]), "should hold 268435456 numbers")


def test_archives(tmp_path):
    instructions = handmade.state_dict({"x": np.ones(1, np.float32)})
    whole = handmade.zip_file(tmp_path / "w.pth", instructions, [ONE]).read_bytes()
    refused(written(tmp_path / "truncated.pth", whole[: len(whole) // 2]), "damaged or truncated archive")
    refused(written(tmp_path / "flipped.pth", whole.replace(ONE, b"\0\0\0\1", 1)), "damaged or truncated archive")
    for entry in (
        *("../outside", "/etc/passwd", "archive/../../x", "C:\\x", "archive\\x"),
        *("archive//x", "./archive/x", "archive/./data.pkl", "archive/data.pkl//"),
    ):
        path = handmade.zip_file(tmp_path / "path.pth", instructions, [ONE], extra=[(entry, b"x")])
        refused(path, "which is no plain path")
    with pytest.warns(UserWarning, match="Duplicate"):
        path = handmade.zip_file(tmp_path / "twice.pth", instructions, [ONE], extra=[("archive/data/0", ONE)])
    refused(path, "two entries named archive/data/0")
    for extra in ("archive/constants.pkl", "archive/code/__torch__.py"):
        refused(handmade.zip_file(tmp_path / "script.pth", instructions, [ONE], extra=[(extra, b"")]), "TorchScript")
    refused(
        handmade.zip_file(tmp_path / "two.pth", instructions, [ONE], extra=[("b/data.pkl", b"")]), "2 files data.pkl"
    )
    for order in (b"middle", b"", b"\xff\n"):
        refused(
            handmade.zip_file(tmp_path / "order.pth", instructions, [ONE], byteorder=order), "states the byte order"
        )


def test_zip_bombs(tmp_path):
    path = tmp_path / "deflated.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))
    refused(path, "compressed or encrypted entry archive/data.pkl")
    # Stored entries that all claim the same bytes: their central directory says so, whatever the local headers say.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
        archive.writestr("archive/data/0", b"\0" * 100_000)
        first = archive.filelist[-1]
        for key in range(1, 50):
            clone = zipfile.ZipInfo(f"archive/data/{key}")
            clone.header_offset, clone.CRC = first.header_offset, first.CRC
            clone.file_size = clone.compress_size = first.file_size
            archive.filelist.append(clone)
            archive.NameToInfo[clone.filename] = clone
    refused(written(tmp_path / "overlapping.pth", buffer.getvalue()), "damaged|claim more bytes than it has")
    claims = handmade.zip_file(tmp_path / "claims.pth", b"N", [ONE]).read_bytes()
    at = claims.rindex(b"PK\x01\x02archive/data/0"[:4], 0, claims.rindex(b"archive/data/0"))
    sizes = struct.pack("<II", 1 << 31, 1 << 31)
    refused(written(tmp_path / "claims.pth", claims[: at + 20] + sizes + claims[at + 28 :]), "claim more bytes")
    refused(written(tmp_path / "many.pth", b"PK\x03\x04" + b"PK\x01\x02" * 100_001), "more than 100,000 entries")


def test_pickle_bombs_end_soon(tmp_path):
    start = time.perf_counter()
    refused(written(tmp_path / "long.pth", b"\x80\x02" + b"N0" * 600_000 + b"."), "more than 1,000,000 pickle instr")
    # Depth, which no recursion of ours must meet.
    reading.load(written(tmp_path / "deep.pth", b"\x80\x02)" + b"\x85" * 300_000 + b"."))
    # Tuples of twice the tuple before: 2^60 leaves for whoever hashes or prints them.
    doubled = b")" + b"2\x86" * 60
    refused(written(tmp_path / "key.pth", b"\x80\x02}" + doubled + b"Ns."), "key that is a tuple")
    refused(
        handmade.zip_file(
            tmp_path / "shape.pth",
            call("torch._utils", "_rebuild_tensor", storage("0", 1), value(0), doubled, value(())),
            [ONE],
        ),
        "absurd",
    )
    # One text, encoded over and over; one list, made a dict over and over; one long tuple, checked over and over.
    again = b"(" + b"c_codecs\nencode\n(h\x00Vlatin1\ntR" * 2000 + b"t."
    refused(
        written(tmp_path / "encoded.pth", b"\x80\x02" + value("x" * (1 << 20)) + b"q\x000" + again), "more than 1 GiB"
    )
    pairs = b"](" + b"".join(b"(" + value(n) + b"Nt" for n in range(20_000)) + b"eq\x000"
    again = b"(" + b"ccollections\nOrderedDict\n(h\x00tR" * 2000 + b"t."
    refused(written(tmp_path / "dicts.pth", b"\x80\x02" + pairs + again), "more than 1 GiB")
    sizes = b"(" + b"K\x01" * 100_000 + b"tq\x000"
    again = b"(" + b"ctorch\nSize\n(h\x00tR" * 100_000 + b"t."
    refused(written(tmp_path / "sizes.pth", b"\x80\x02" + sizes + again), "torch.Size with arguments")
    assert time.perf_counter() - start < 60


def tar_archive():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(entry), io.BytesIO())
    return buffer.getvalue()


OTHER_FILES = {
    "empty": (b"", "is empty: download it again"),
    "page": (b"\n<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>", "is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
    "tar": (tar_archive(), "is a tar archive, as torch wrote before 2018"),
    "gzip": (b"\x1f\x8b\x08\x00", "compressed archive"),
    "keras": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "safetensors": (struct.pack("<Q", 15) + b'{"a":{"x":"F"}}' + b"\0" * 8, "safetensors"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no PyTorch file, or "),
    "text": (b"hello", "is no PyTorch file, or "),
    "plain tensor": (b"\x80\x02" + tensor(storage("0", 1), (1,), (1,)) + b".", "data outside itself"),
    "magic alone": (pickle.dumps(handmade.MAGIC, 2), "is no PyTorch file, or "),
    "version to come": (
        pickle.dumps(handmade.MAGIC, 2) + pickle.dumps(1002, 2) + pickle.dumps({}, 2),
        "other than 1001",
    ),
}


@pytest.mark.parametrize("case", OTHER_FILES)
def test_other_files(case, tmp_path):
    data, message = OTHER_FILES[case]
    refused(written(tmp_path / "w.pth", data), message)


def test_what_is_no_file(tmp_path):
    refused(tmp_path, "is no file but a folder")
    refused(tmp_path / "absent.pth", "There is no file .*absent.pth")
    huge = tmp_path / "huge.pth"
    with huge.open("wb") as file:
        file.truncate((1 << 30) + 1)
    refused(huge, "larger than 1 GiB")
