"""Archives and streams that claim what they do not hold, and files of other kinds: one sentence each."""

import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from emotion_gcn_jax.torch_files import reading, tensors
from tests.torch_files import handmade
from tests.torch_files.handmade import refused, storage, tensor, value, written

ONE = np.ones(1, np.float32).tobytes()
STATE_DICT = handmade.state_dict({"x": np.ones(1, np.float32)})

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


ARRAY = np.ones(3, np.float32)
LEGACY = {
    "big-endian": ({"little_endian": False}, "big-endian machine"),
    "storages of another name": ({"keys": ["1"]}, "other storages"),
    "a tensor outside its storage": (
        {"instructions": tensor(storage("0", 3, ending=value(None)), (4,), (1,))},
        "reaches outside its storage of 3",
    ),
    "a view of a storage": (
        {"instructions": handmade.state_dict({"x": ARRAY}, ending=value(("1", 0, 3)))},
        "unknown kind",
    ),
    "a claim of a gigabyte": (
        {"instructions": tensor(storage("0", 1 << 28, ending=value(None)), (1,), (1,))},
        "should hold 268435456 numbers",
    ),
}


@pytest.mark.parametrize("case", LEGACY)
def test_older_format(case, tmp_path):
    options, message = LEGACY[case]
    sound = {"instructions": handmade.state_dict({"x": ARRAY}, ending=value(None)), "storages": [ARRAY]}
    refused(handmade.legacy_file(tmp_path / "w.pth", **{**sound, **options}), message)


# 12 bytes of numbers are the file's last, after 8 with their count.
@pytest.mark.parametrize(("missing", "message"), [(1, "truncated: 11 of 12 bytes"), (20, "truncated or damaged")])
def test_older_format_cut_short(missing, message, tmp_path):
    instructions = handmade.state_dict({"x": ARRAY}, ending=value(None))
    whole = handmade.legacy_file(tmp_path / "w.pth", instructions, [ARRAY]).read_bytes()
    refused(written(tmp_path / "w.pth", whole[:-missing]), message)


def test_damaged_archives(tmp_path):
    whole = handmade.zip_file(tmp_path / "w.pth", STATE_DICT, [ONE]).read_bytes()
    refused(written(tmp_path / "truncated.pth", whole[: len(whole) // 2]), "damaged or truncated archive")
    refused(written(tmp_path / "flipped.pth", whole.replace(ONE, b"\0\0\0\1", 1)), "damaged or truncated archive")


ENTRIES = {
    **dict.fromkeys(
        [
            *("../outside", "/etc/passwd", "archive/../../x", "C:\\x", "archive\\x"),
            *("archive//x", "./archive/x", "archive/./data.pkl", "archive/data.pkl//"),
        ],
        "which is no plain path",
    ),
    "archive/constants.pkl": "TorchScript",
    "archive/code/__torch__.py": "TorchScript",
    "b/data.pkl": "2 files data.pkl",
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_that_torch_never_writes(entry, tmp_path):
    refused(handmade.zip_file(tmp_path / "w.pth", STATE_DICT, [ONE], extra=[(entry, b"x")]), ENTRIES[entry])


def test_entry_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = handmade.zip_file(tmp_path / "w.pth", STATE_DICT, [ONE], extra=[("archive/data/0", ONE)])
    refused(path, "two entries named archive/data/0")


@pytest.mark.parametrize("order", [b"middle", b"", b"\xff\n"])
def test_unknown_byte_order(order, tmp_path):
    refused(handmade.zip_file(tmp_path / "w.pth", STATE_DICT, [ONE], byteorder=order), "states the byte order")


def test_compressed_entry(tmp_path):
    path = tmp_path / "deflated.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))
    refused(path, "compressed or encrypted entry archive/data.pkl")


def test_stored_entries_that_all_claim_the_same_bytes(tmp_path):
    # Their central directory says so, whatever the local headers say.
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


def test_entry_that_claims_more_than_the_file(tmp_path):
    claims = handmade.zip_file(tmp_path / "claims.pth", b"N", [ONE]).read_bytes()
    at = claims.rindex(b"PK\x01\x02archive/data/0"[:4], 0, claims.rindex(b"archive/data/0"))
    sizes = struct.pack("<II", 1 << 31, 1 << 31)
    refused(written(tmp_path / "claims.pth", claims[: at + 20] + sizes + claims[at + 28 :]), "claim more bytes")


def test_too_many_entries(tmp_path):
    refused(written(tmp_path / "many.pth", b"PK\x03\x04" + b"PK\x01\x02" * 100_001), "more than 100,000 entries")


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


def test_folder_and_missing_file(tmp_path):
    refused(tmp_path, "is no file but a folder")
    refused(tmp_path / "absent.pth", "There is no file .*absent.pth")


def test_file_beyond_the_limit(tmp_path):
    huge = tmp_path / "huge.pth"
    with huge.open("wb") as file:
        file.truncate((1 << 30) + 1)
    refused(huge, "larger than 1 GiB")
