"""Writes tensors as `torch.save` does, so that `torch.load(path, weights_only=True)` reads them back; needs no torch.

A path with the suffix .safetensors is written by that library instead.
The pickle is put together from its instructions here, since the standard library's pickler would have to import torch
to name its classes. pickletools.dis shows what the instructions mean.
"""

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.torch_files import safetensors_files

_STORAGE_TYPES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
_PROTOCOL_2, _STOP, _MARK, _TUPLE, _REDUCE, _SET_ITEMS, _PERSISTENT_ID = b"\x80\x02", b".", b"(", b"t", b"R", b"u", b"Q"
_FALSE = b"\x89"
_EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n" + _MARK + _TUPLE + _REDUCE
_FORMAT_VERSION = b"3\n"


def save(path: PathLike, tensors: Mapping[str, np.ndarray] | np.ndarray) -> None:
    """Writes a state dict, or one tensor, for torch; the file is there whole or not at all.

    Args:
        path: the file to write, with `~` for the user's home; one that is there is replaced. With the suffix
            .safetensors it is of that format, which keeps no order of the names; otherwise of torch's zip format.
        tensors: arrays by name, in the order that they get in the file, or a single array.

    Raises:
        UserError: the file cannot be written, or is a .safetensors file for a single array, which needs a name there.
        KeyError: an array of a type that torch's storages do not have.
    """
    path = user_path(path)
    content = _safetensors(path, tensors) if path.suffix.lower() == safetensors_files.SUFFIX else _zip(tensors)
    try:
        atomic_write(path, content)
    except OSError as error:
        raise UserError(f"The file {path} cannot be written ({error.strerror}): choose another.") from None


def _safetensors(path: Path, tensors: Mapping[str, np.ndarray] | np.ndarray) -> bytes:
    if not isinstance(tensors, Mapping):
        raise UserError(f"The file {path} cannot hold a single array, since there every array has a name: use .pth.")
    return safetensors_files.encode(tensors)


def _zip(tensors: Mapping[str, np.ndarray] | np.ndarray) -> bytes:
    arrays = list(tensors.values()) if isinstance(tensors, Mapping) else [tensors]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in _entries(_pickle(tensors), arrays):
            # Under a fixed date, so that the same tensors make the same file.
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return out.getvalue()


def _entries(pickled: bytes, arrays: list[np.ndarray]) -> Iterator[tuple[str, bytes]]:
    yield "data.pkl", pickled
    yield "byteorder", b"little"
    for key, array in enumerate(arrays):
        yield f"data/{key}", array.astype(array.dtype.newbyteorder("<")).tobytes()
    yield "version", _FORMAT_VERSION


def _pickle(tensors: Mapping[str, np.ndarray] | np.ndarray) -> bytes:
    out = io.BytesIO()
    out.write(_PROTOCOL_2)
    if isinstance(tensors, Mapping):
        out.write(_EMPTY_ORDERED_DICT + _MARK)
        for key, (name, array) in enumerate(tensors.items()):
            out.write(_text(name) + _tensor(array, key))
        out.write(_SET_ITEMS)
    else:
        out.write(_tensor(tensors, 0))
    return out.getvalue() + _STOP


def _tensor(array: np.ndarray, key: int) -> bytes:
    """_rebuild_tensor_v2(storage, offset 0, shape, strides, requires_grad False, no hooks)."""
    storage_type = b"ctorch\n" + _STORAGE_TYPES[array.dtype.name].encode() + b"\n"
    storage = [_text("storage"), storage_type, _text(str(key)), _text("cpu"), _integer(array.size)]
    strides = [1] * array.ndim
    for axis in range(array.ndim - 2, -1, -1):
        strides[axis] = strides[axis + 1] * array.shape[axis + 1]
    arguments = [
        _tuple(*storage) + _PERSISTENT_ID,
        _integer(0),
        _tuple(*map(_integer, array.shape)),
        _tuple(*map(_integer, strides)),
        _FALSE,
        _EMPTY_ORDERED_DICT,
    ]
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + _tuple(*arguments) + _REDUCE


def _tuple(*items: bytes) -> bytes:
    return _MARK + b"".join(items) + _TUPLE


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)
