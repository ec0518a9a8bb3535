"""Safetensors files, read and written by the library `safetensors`: a JSON header and plain numbers, never code.

The library checks a header's claims against the file. Here are this project's limits, and the number types.
"""

import json
import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import safetensors
import safetensors.numpy

from emotion_gcn_jax.errors import shown
from emotion_gcn_jax.torch_files.pickles import Refusal
from emotion_gcn_jax.torch_files.tensors import TORCH_DTYPES, are_sizes

SUFFIX = ".safetensors"

_LENGTH_BYTES = 8  # the header's length, little-endian, stands before it (the format's definition)
_MAX_HEADER_BYTES = 10_000_000  # a DenseNet-121's 727 tensors take 0.1 MB; the library's own limit is 100 MB
TORCHS = MappingProxyType({"format": "pt"})  # torch's own loaders of safetensors ask for it

# The format's names of the types that torch has too.
_TORCH_NAMES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{"BF16": "bfloat16", "BOOL": "bool", "C64": "complex64"},
}


def is_safetensors(data: bytes) -> bool:
    """Whether a file with these bytes has a safetensors header."""
    return data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and 2 <= _header_bytes(data) <= len(data) - _LENGTH_BYTES


def decode(data: bytes) -> dict[str, np.ndarray]:
    """The arrays in a file with these bytes, by name, in alphabetical order; bfloat16 comes as float32.

    Raises:
        Refusal: it is damaged, claims what it does not hold, or has a type of numbers that NumPy lacks.
    """
    if _header_bytes(data) > _MAX_HEADER_BYTES:
        raise Refusal(
            f"has a safetensors header of more than {_MAX_HEADER_BYTES // 10**6} MB, which no weight file needs"
        )
    try:
        entries = dict(sorted(safetensors.deserialize(data)))
        return {name: _array(name, **entry) for name, entry in entries.items()}
    except (safetensors.SafetensorError, ValueError) as error:
        raise Refusal(f"is a damaged or truncated safetensors file ({shown(str(error))}): download it again") from None


def metadata(data: bytes) -> dict[str, str]:
    """What the header of a file with these bytes says besides the arrays; empty where it says nothing.

    Raises:
        Refusal: the header cannot be read.
    """
    try:
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + min(_header_bytes(data), _MAX_HEADER_BYTES)])
        return dict(header.get("__metadata__", {}))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Refusal("has a damaged safetensors header: copy or download it again") from None


def encode(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] = TORCHS) -> bytes:
    """A file of these arrays, and of text by name; the format keeps no order of either's names."""
    native = {name: array.astype(array.dtype.newbyteorder("="), order="C") for name, array in tensors.items()}
    return safetensors.numpy.save(native, metadata=dict(metadata))


def _header_bytes(data: bytes) -> int:
    return int.from_bytes(data[:_LENGTH_BYTES], "little")


def _array(name: str, dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    element = TORCH_DTYPES.get(_TORCH_NAMES.get(dtype, ""))
    if element is None:
        raise Refusal(f"has the tensor {shown(name)} in {shown(dtype)}, a type of numbers that is not read")
    if not are_sizes(tuple(shape)) or math.prod(shape) * element.size != len(data):
        raise Refusal(f"has the tensor {shown(name)} with an absurd shape, or one that does not fit its numbers")
    stored = np.frombuffer(data, f"<{element.stored}").reshape(shape).astype(element.stored)
    return np.asarray(element.decode(stored)) if element.decode else stored
