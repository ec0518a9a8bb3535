"""Reads what `torch.save` writes, zip archives and the older stream of pickles, pickles of NumPy, and safetensors.

Only tensors, arrays, containers, numbers and text are rebuilt (`pickles`, `tensors`, `safetensors_files`); for every
other object stands its name (`stand_ins`). Archives are read in memory and nothing is unpacked; their entries must be
what torch writes: not compressed, each name once, each inside one folder.
"""

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from emotion_gcn_jax.errors import UserError, shown
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.torch_files import safetensors_files
from emotion_gcn_jax.torch_files.pickles import Refusal, interpret
from emotion_gcn_jax.torch_files.stand_ins import StandIn, described
from emotion_gcn_jax.torch_files.tensors import MAX_BYTES, ElementType, Storage, TensorVocabulary

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of torch's older format; the second is its version
_LEGACY_VERSION = 1001
_MAX_ENTRIES = 100_000
_PLAIN_TYPES = (dict, list, tuple, str, bytes, bytearray, bool, int, float, np.ndarray, np.generic)
_BYTE_ORDERS = {"little": "<", "big": ">"}


def load(path: PathLike) -> Any:
    """Rebuilds the object in a PyTorch file, a pickle or a safetensors file; nothing that the file asks for is run.

    Args:
        path: a file of `torch.save`, in its zip or its older format, saved from any device, a plain pickle, or a
            safetensors file; which of them it is, is seen from its content. `~` is the user's home.

    Returns:
        Dicts (keys are text or whole numbers; entries under other keys are left out), lists, tuples, numbers, text,
        bytes, and NumPy arrays of native byte order in place of tensors, parameters and NumPy arrays. bfloat16, which
        NumPy lacks, comes as float32. An array of anything but numbers comes empty, of objects. Among them a `StandIn`
        is what any other object was, which was not rebuilt.

    Raises:
        UserError: the file cannot be read, is of another kind, is damaged, claims to hold what it does not, is a
            stand-in as a whole, or names a function that no honest file names, such as os.system.
    """
    path = user_path(path)
    data = _read(path)
    try:
        if foreign := _foreign_kind(data):
            raise Refusal(foreign)
        if safetensors_files.is_safetensors(data) or path.suffix.lower() == safetensors_files.SUFFIX:
            return safetensors_files.decode(data)
        return _plain(_load_zip(data) if data.startswith(b"PK") else _load_pickles(data))
    except Refusal as refusal:
        raise UserError(f"The file {path} {refusal}.") from None


def _plain(loaded: Any) -> Any:
    """Returns what a file holds, if it is an object of Python's or NumPy's."""
    if loaded is None or isinstance(loaded, _PLAIN_TYPES):
        return loaded
    found = described(loaded) if type(loaded) is StandIn else "the name of a type"
    raise Refusal(
        f"holds {found}, where tensors were expected: a whole saved module or any other object is not opened, so have "
        f"its state dict saved instead, by torch.save(model.state_dict(), ...)"
    )


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file but a folder or a device: name the PyTorch file itself.")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(
                f"The file {path} is larger than {MAX_BYTES >> 30} GiB, as no weight file of this project is."
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: check the path.") from None
    except OSError as error:
        raise UserError(f"The file {path} could not be read ({error.strerror}).") from None


def _foreign_kind(data: bytes) -> str | None:
    """Says what the file is, and what to do, if it is known to be of another kind."""
    start = data[:512].lstrip().lower()
    if not data:
        return "is empty: download it again"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "is a web page, saved instead of the file: download it again, by the link of the file itself"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS to the file: fetch the file itself with `git lfs pull`"
    if data[257:262] == b"ustar":
        return "is a tar archive, as torch wrote before 2018: have it saved again by a newer torch"
    if data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        return "is a compressed archive: unpack it and name the file inside"
    if data.startswith(b"\x89HDF"):
        return "is an HDF5 file (Keras), where a PyTorch file was expected"
    return None


def _load_pickles(data: bytes) -> Any:
    """A plain pickle, or torch's older format: magic number, version, system, object, storage keys, storages."""
    stream = io.BytesIO(data)
    first = interpret(stream, TensorVocabulary())
    if type(first) is not int or first != _LEGACY_MAGIC:
        return first
    version, system = (interpret(stream, TensorVocabulary()) for _ in range(2))
    if type(version) is not int or version != _LEGACY_VERSION:
        raise Refusal(f"is of torch's older format in a version other than {_LEGACY_VERSION}")
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Refusal("was written by a big-endian machine: have it saved again in torch's present format")
    # The storages follow the object that is made of them: it is read once to know their types, and again with them.
    elements: dict[str, tuple[ElementType, int]] = {}

    def survey(key: str, element: ElementType, count: int) -> Storage:
        if elements.setdefault(key, (element, count)) != (element, count):
            raise Refusal(f"describes its storage {shown(key)} in two ways")
        return Storage(element, count, None)

    start = stream.tell()
    interpret(stream, TensorVocabulary(survey))
    storages = _read_legacy_storages(stream, elements)
    stream.seek(start)
    return interpret(stream, TensorVocabulary(lambda key, *_: storages[key]))


def _read_legacy_storages(stream: io.BytesIO, elements: Mapping[str, tuple[ElementType, int]]) -> dict[str, Storage]:
    keys = interpret(stream, TensorVocabulary())
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(elements):
        raise Refusal("holds other storages than its tensors refer to")
    storages = {}
    for key in keys:
        element, count = elements[key]
        header = stream.read(8)
        if len(header) < 8 or struct.unpack("<q", header)[0] != count:
            raise Refusal(f"is truncated or damaged: its storage {shown(key)} should hold {count} numbers")
        data = stream.read(count * element.size)
        if len(data) < count * element.size:
            raise Refusal(
                f"is truncated: {len(data)} of {count * element.size} bytes of its storage {shown(key)} are there"
            )
        storages[key] = Storage(element, count, data)
    return storages


def _load_zip(data: bytes) -> Any:
    """An archive FOLDER/data.pkl, FOLDER/data/KEY, FOLDER/version, and since torch 2.1 FOLDER/byteorder."""
    if data.count(b"PK\x01\x02") > _MAX_ENTRIES:  # before zipfile makes an object of each
        raise Refusal(f"is a zip archive of more than {_MAX_ENTRIES:,} entries, which no weight file has")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _checked_entries(archive, len(data))
            folder = _folder(entries)
            order = archive.read(entries[f"{folder}byteorder"]) if f"{folder}byteorder" in entries else b"little"
            byte_order = _BYTE_ORDERS.get(order.decode("latin1").strip())
            if byte_order is None:
                raise Refusal(
                    f"states the byte order {shown(order.decode('latin1'))}, where little or big was expected"
                )
            storages: dict[str, Storage] = {}

            def find(key: str, element: ElementType, count: int) -> Storage:
                if key not in storages:
                    entry = entries.get(f"{folder}data/{key}")
                    found = entry.file_size if entry else 0
                    if entry is None or found != count * element.size:
                        raise Refusal(
                            f"should hold {count * element.size} bytes for its storage {shown(key)}, but holds {found}"
                        )
                    storages[key] = Storage(element, count, archive.read(entry), byte_order)
                elif (storages[key].element, storages[key].count) != (element, count):
                    raise Refusal(f"describes its storage {shown(key)} in two ways")
                return storages[key]

            return interpret(io.BytesIO(archive.read(entries[f"{folder}data.pkl"])), TensorVocabulary(find))
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
        struct.error,
    ) as error:
        raise Refusal(f"is a damaged or truncated archive ({shown(str(error))}): download it again") from None


def _checked_entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by name, if they are what torch writes."""
    entries = {}
    for info in archive.infolist():
        name = info.orig_filename
        if "\\" in name or "\0" in name or {"", ".", ".."} & set(name.removesuffix("/").split("/")):
            raise Refusal(f"has an entry {shown(name)}, which is no plain path, and was not opened: save it anew")
        if name in entries:
            raise Refusal(f"has two entries named {shown(name)}, and was not opened")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise Refusal(
                f"has a compressed or encrypted entry {shown(name)}, which torch never writes: unpack an archive that "
                f"somebody else has made and name the file inside"
            )
        entries[name] = info
    if sum(info.file_size for info in entries.values()) > size:
        raise Refusal("is an archive whose entries claim more bytes than it has")
    return entries


def _folder(entries: Mapping[str, zipfile.ZipInfo]) -> str:
    """The folder that holds data.pkl, with a slash at its end unless it is the archive itself."""
    found = [PurePosixPath(name) for name in entries if PurePosixPath(name).name == "data.pkl"]
    if len(found) != 1:
        raise Refusal(
            f"is a zip archive with {len(found)} files data.pkl, where one was expected: it is not torch.save's"
        )
    folder = "" if str(found[0].parent) == "." else f"{found[0].parent}/"
    if f"{folder}constants.pkl" in entries or any(name.startswith(f"{folder}code/") for name in entries):
        raise Refusal("is a TorchScript archive, which holds a program: have its state dict saved by torch.save")
    return folder
