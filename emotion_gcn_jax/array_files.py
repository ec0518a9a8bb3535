"""NumPy's array files, of which nothing is believed: no object is built, and what a header claims takes no memory.

`numpy.load` makes room for as many numbers as a header names before it looks whether they are there.
"""

import io
import math
import pathlib
import zipfile

import numpy as np
from numpy.typing import DTypeLike

MOST_BYTES = 1 << 28
"""Of the arrays of an archive together: a small archive can unfold to any size."""

_SUFFIX = ".npy"
_HEADERS = {  # by the format's version; 3.0 is for names that are not ASCII, which numbers do not have
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def decode_npy(data: bytes) -> np.ndarray:
    """The array in a file with these bytes, of any shape and type but Python objects.

    Raises:
        ValueError: it is no such file, is damaged or cut off, or holds objects.
    """
    try:
        file = io.BytesIO(data)
        shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
        if min(shape, default=0) < 0:
            raise ValueError(f"a negative length in its shape {shape}")
        numbers_N = np.frombuffer(data, dtype, math.prod(shape), file.tell())
        return numbers_N.reshape(shape, order="F" if is_fortran else "C").copy()
    except Exception as error:  # a header is a Python dict in words: what is none raises almost anything
        raise ValueError(f"no array of numbers ({type(error).__name__})") from None


def open_npy(path: pathlib.Path, dtype: DTypeLike, shape: tuple[int | None, ...]) -> np.ndarray:
    """The array in a file, read-only: its numbers stay on the disk until they are looked at.

    Args:
        path: the file.
        dtype: of its numbers.
        shape: its lengths; None is any length.

    Raises:
        ValueError: it is not there, is no such file or cut off, or holds another array.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a damaged header makes NumPy raise almost anything
        raise ValueError(f"{path.name}: {error}") from None
    fits = array.ndim == len(shape) and all(wanted in (None, n) for n, wanted in zip(array.shape, shape, strict=True))
    if array.dtype != dtype or not fits:
        raise ValueError(f"{path.name}: {array.dtype} {list(array.shape)}")
    return array


def decode_npz(data: bytes) -> dict[str, np.ndarray]:
    """The arrays by name in an archive with these bytes; other files in it are passed over.

    Raises:
        ValueError: it is no such archive, is damaged, unfolds to more than MOST_BYTES, or an array is none.
    """
    left, arrays = MOST_BYTES, {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if not name.endswith(_SUFFIX):
                    continue
                with archive.open(name) as member:
                    content = member.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise ValueError(f"more than {MOST_BYTES >> 20} MB when unpacked")
                arrays[name.removesuffix(_SUFFIX)] = decode_npy(content)
    except Exception as error:  # at damaged bytes zipfile and its decompressors raise almost anything
        raise ValueError(f"no archive of arrays ({error})") from None
    return arrays
