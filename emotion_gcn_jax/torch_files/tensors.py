"""The names that a file of tensors may use, and the arrays that they rebuild.

Everything a file claims is checked against what it has: a storage's length against its bytes, a tensor's shape, strides
and offset against its storage, the whole against a limit, since a storage can be claimed by any number of tensors.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from emotion_gcn_jax.torch_files.pickles import Name, Refusal, fill_dict
from emotion_gcn_jax.torch_files.stand_ins import StandIn

MAX_BYTES = 1 << 30
"""Of a file, and of all that is rebuilt from it; a DenseNet-121 with Adam's two averages has 0.08 GiB."""

_MAX_DIMENSIONS = 32
_OBJECT_BYTES = 1000  # charged for every object, in time and memory: a pickle can ask for one again and again


class ElementType(NamedTuple):
    """How a number is stored.

    Attributes:
        stored: NumPy's name of it, without byte order.
        decode: makes the stored array the one that is meant, where NumPy has no such type.
    """

    stored: str
    decode: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self.stored[1:])


def _bfloat16_to_float32(array: np.ndarray) -> np.ndarray:
    return (array.astype(np.uint32) << 16).view(np.float32)


_BFLOAT16 = ElementType("u2", _bfloat16_to_float32)
_BOOL = ElementType("u1", lambda array: array != 0)

_STORAGE_TYPES = {
    "DoubleStorage": ElementType("f8"),
    "FloatStorage": ElementType("f4"),
    "HalfStorage": ElementType("f2"),
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": ElementType("i8"),
    "IntStorage": ElementType("i4"),
    "ShortStorage": ElementType("i2"),
    "CharStorage": ElementType("i1"),
    "ByteStorage": ElementType("u1"),
    "BoolStorage": _BOOL,
    "ComplexFloatStorage": ElementType("c8"),
    "ComplexDoubleStorage": ElementType("c16"),
}
_UNTYPED = ElementType("u1")

TORCH_DTYPES = {
    "float64": ElementType("f8"),
    "float32": ElementType("f4"),
    "float16": ElementType("f2"),
    "bfloat16": _BFLOAT16,
    "int64": ElementType("i8"),
    "int32": ElementType("i4"),
    "int16": ElementType("i2"),
    "int8": ElementType("i1"),
    "uint64": ElementType("u8"),
    "uint32": ElementType("u4"),
    "uint16": ElementType("u2"),
    "uint8": ElementType("u1"),
    "bool": _BOOL,
    "complex64": ElementType("c8"),
    "complex128": ElementType("c16"),
}
"""The types of torch that are read, by torch's names."""

_NUMPY_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)")
_OBJECTS = np.dtype(object)  # of an array of anything but numbers
# The rest of a plain dtype's state: no subarray, no fields, no size or alignment of its own.
_PLAIN_DTYPE_STATE = (None, None, None, -1, -1, 0)


@dataclasses.dataclass
class Storage:
    """A run of numbers that tensors are cut from.

    Attributes:
        element: the numbers' type.
        count: how many they are.
        data: their bytes, count x element.size; None while only the storages' kinds are wanted.
        byte_order: "<" or ">".
    """

    element: ElementType
    count: int
    data: bytes | None
    byte_order: str = "<"


@dataclasses.dataclass
class _Dtype:
    """A NumPy dtype under construction."""

    value: np.dtype


class TensorVocabulary:
    """The names of a pickle with tensors (and NumPy arrays) in it."""

    def __init__(self, find_storage: Callable[[str, ElementType, int], Storage] | None = None) -> None:
        """Takes what finds a storage by key, element type and number of elements; None where there are none."""
        self._find_storage = find_storage
        self._bytes_left = MAX_BYTES
        self._unfilled: dict[int, np.ndarray] = {}
        self.names: Mapping[str, Name] = self._names()

    def persistent(self, reference: Any) -> Storage | StandIn:
        """Returns the storage of ("storage", type, key, device, number of elements[, None]).

        For ("module", class, file, source), as the older format writes a whole module's class, it is the class, and
        for a storage of an unknown type (quantised numbers) the type: both are stand-ins.
        """
        if (
            type(reference) is tuple
            and len(reference) > 1
            and reference[0] == "module"
            and type(reference[1]) is StandIn
        ):
            return reference[1]
        if self._find_storage is None:
            raise Refusal("refers to data outside itself, and it has none")
        if type(reference) is not tuple or len(reference) not in (5, 6) or reference[0] != "storage":
            raise Refusal("refers to something that is no storage: a whole saved module is not opened, a state dict is")
        _, kind, key, _, count, *view = reference
        if type(kind) is StandIn:
            return kind
        is_type = type(kind) is Name and type(kind.value) is ElementType and "Storage" in kind.name
        if not is_type or type(key) is not str or not are_sizes((count,)) or view not in ([], [None]):
            raise Refusal("refers to a storage of an unknown kind")
        return self._find_storage(key, kind.value, count)

    def set_state(self, rebuilt: Any, state: Any) -> None:
        """Fills an array or a dtype of NumPy's; one of anything but numbers stays empty."""
        if type(rebuilt) is _Dtype and rebuilt.value == _OBJECTS:
            return
        if type(rebuilt) is _Dtype and type(state) is tuple and state[2:] == _PLAIN_DTYPE_STATE:
            if state[1] not in ("<", ">", "|", "="):
                raise Refusal("has a NumPy array of an unknown byte order")
            rebuilt.value = rebuilt.value.newbyteorder(state[1])
            return
        array = self._unfilled.pop(id(rebuilt), None)
        if array is None or type(state) is not tuple or len(state) != 5:
            raise Refusal(f"sets the state of a {type(rebuilt).__name__}, which no tensor needs, and was not opened")
        _, shape, dtype, is_fortran, data = state
        # In place, because the pickle's memo has the array already; NumPy's own function, on checked arguments.
        checked: Any = (1, (0,), _OBJECTS, False, [])
        if type(dtype) is not _Dtype or dtype.value != _OBJECTS:
            filled = self._from_bytes(data, dtype, shape, "F" if is_fortran is True else "C")
            checked = (1, filled.shape, filled.dtype, False, filled.tobytes())
        array.__setstate__(checked)

    def _names(self) -> dict[str, Name]:
        plain: dict[str, Callable[..., Any] | None] = {
            "collections OrderedDict": self._ordered_dict,
            "collections defaultdict": lambda *_: {},
            "torch Size": lambda sizes=(): sizes if are_sizes(sizes) else _refuse_arguments("torch.Size"),
            "torch._utils _rebuild_tensor": self._tensor,
            "torch._utils _rebuild_tensor_v2": self._tensor,
            "torch._utils _rebuild_tensor_v3": self._tensor_of_untyped,
            "torch._utils _rebuild_parameter": lambda data, *_: data,
            "torch._utils _rebuild_parameter_with_state": lambda data, *_: data,
            "torch._tensor _rebuild_from_type_v2": self._tensor_of_type,
            "_codecs encode": self._encode,
            "numpy dtype": self._dtype,
            "numpy ndarray": None,
        }
        for core in ("numpy.core", "numpy._core"):
            plain[f"{core}.multiarray _reconstruct"] = self._reconstruct
            plain[f"{core}.multiarray scalar"] = self._scalar
            plain[f"{core}.numeric _frombuffer"] = self._from_bytes
        for builtins in ("builtins", "__builtin__"):
            plain[f"{builtins} bytes"] = lambda: b""  # how the protocols up to 2 write no bytes at all
            plain |= {f"{builtins} {kind}": None for kind in ("dict", "list", "tuple", "int", "float", "bool", "str")}
        names = {name: Name(name, rebuild) for name, rebuild in plain.items()}
        for module in ("torch", "torch.cuda"):
            for kind, element in _STORAGE_TYPES.items():
                names[f"{module} {kind}"] = Name(f"{module} {kind}", None, element)
        for name in ("torch UntypedStorage", "torch.storage UntypedStorage", "torch.cuda UntypedStorage"):
            names[name] = Name(name, None, _UNTYPED)
        return names | {f"torch {d}": Name(f"torch {d}", None, element) for d, element in TORCH_DTYPES.items()}

    def _charge(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise Refusal(
                f"unfolds to more than {MAX_BYTES >> 30} GiB of numbers, which no weight file of this project has"
            )

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> np.ndarray | StandIn | None:
        """A copy of a part of a storage; `offset` and `strides` count elements."""
        if type(storage) is StandIn:
            return storage
        if type(storage) is not Storage:
            _refuse_arguments("a tensor")
        return self._cut(storage, offset, shape, strides, storage.element)

    def _tensor_of_untyped(
        self, storage: Any, offset: Any, shape: Any, strides: Any, _: Any, __: Any, dtype: Any, *___: Any
    ) -> np.ndarray | StandIn | None:
        """Likewise from a storage of bytes, whose numbers' type is given apart; NumPy lacks eight-bit floats."""
        if type(dtype) is StandIn:
            return dtype
        if type(storage) is not Storage or type(dtype) is not Name or type(dtype.value) is not ElementType:
            _refuse_arguments("a tensor")
        return self._cut(storage, offset, shape, strides, dtype.value)

    def _tensor_of_type(self, rebuild: Any, _: Any, arguments: Any, *__: Any) -> Any:
        """A tensor of a class of its own or with attributes: the plain tensor."""
        if type(rebuild) is StandIn:
            return rebuild
        is_tensor = type(rebuild) is Name and rebuild.rebuild and rebuild.name.startswith("torch._utils _rebuild_")
        if not is_tensor or type(arguments) is not tuple:
            _refuse_arguments("a tensor")
        return rebuild.rebuild(*arguments)

    def _cut(self, storage: Storage, offset: Any, shape: Any, strides: Any, element: ElementType) -> np.ndarray | None:
        if not are_sizes(shape) or not are_sizes(strides) or not are_sizes((offset,)) or len(shape) != len(strides):
            raise Refusal("has a tensor whose shape, strides or offset are absurd")
        available = storage.count * storage.element.size // element.size
        end = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1
        if end > available and 0 not in shape:
            raise Refusal(
                f"has a tensor of shape {shape}, strides {strides} and offset {offset} that reaches outside its "
                f"storage of {available} numbers"
            )
        self._charge(math.prod(size or 1 for size in shape) * max(element.size, 4) + _OBJECT_BYTES)
        if storage.data is None:
            return None
        if 0 in shape:
            array = np.empty(shape, element.stored)
        else:
            array = np.ndarray(
                shape,
                storage.byte_order + element.stored,
                storage.data,
                offset * element.size,
                [stride * element.size for stride in strides],
            ).astype(element.stored, order="C")
        return np.asarray(element.decode(array)) if element.decode else array

    def _ordered_dict(self, pairs: Any = None) -> dict[Any, Any]:
        """An OrderedDict is a dict; Python 2 hands over its items as [[key, value], ...]."""
        rebuilt: dict[Any, Any] = {}
        for pair in pairs or ():
            if type(pair) not in (list, tuple) or len(pair) != 2:
                _refuse_arguments("collections.OrderedDict")
            self._charge(_OBJECT_BYTES)
            fill_dict(rebuilt, list(pair))
        return rebuilt

    def _encode(self, text: Any, encoding: Any) -> bytes:
        """How the pickle protocol 2 writes bytes."""
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            _refuse_arguments("_codecs.encode")
        self._charge(len(text))
        return text.encode("latin1")

    def _dtype(self, code: Any, *_: Any) -> _Dtype:
        """A type of numbers; any other (text, dates, records, objects) counts as objects, which are not rebuilt."""
        if type(code) is not str:
            _refuse_arguments("a NumPy dtype")
        return _Dtype(np.dtype(code) if _NUMPY_DTYPE.fullmatch(code) else _OBJECTS)

    def _reconstruct(self, kind: Any, *_: Any) -> np.ndarray | StandIn:
        """An empty array that `set_state` fills."""
        if type(kind) is StandIn:  # a matrix, a table, a masked array
            return kind
        if type(kind) is not Name or kind.name != "numpy ndarray":
            _refuse_arguments("numpy's _reconstruct")
        self._charge(_OBJECT_BYTES)
        array = np.empty(0)
        self._unfilled[id(array)] = array
        return array

    def _scalar(self, dtype: Any, data: Any) -> np.generic | StandIn:
        if type(dtype) is _Dtype and dtype.value == _OBJECTS:
            return StandIn("numpy.generic")
        return self._from_bytes(data, dtype, (1,), "C")[0]

    def _from_bytes(self, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
        if type(dtype) is _Dtype and dtype.value == _OBJECTS:
            return np.empty(0, _OBJECTS)
        if type(data) is str:  # of Python 2, whose text is bytes
            data = data.encode("latin1")
        is_array = (
            type(data) in (bytes, bytearray) and type(dtype) is _Dtype and are_sizes(shape) and order in ("C", "F")
        )
        if not is_array:
            _refuse_arguments("a NumPy array")
        if math.prod(shape) * dtype.value.itemsize != len(data):
            raise Refusal(f"has a NumPy array of shape {shape} and {dtype.value}, but {len(data)} bytes for it")
        self._charge(len(data) + _OBJECT_BYTES)
        return np.frombuffer(data, dtype.value).reshape(shape, order=order).astype(dtype.value.newbyteorder("="))


def are_sizes(values: Any) -> bool:
    """Whether these are the whole numbers of a shape, none of them absurd."""
    if type(values) is not tuple or len(values) > _MAX_DIMENSIONS:
        return False
    return all(type(value) is int and 0 <= value <= MAX_BYTES for value in values)


def _refuse_arguments(what: str) -> Any:
    raise Refusal(f"has {what} with arguments that torch and NumPy never write, and was not opened")
