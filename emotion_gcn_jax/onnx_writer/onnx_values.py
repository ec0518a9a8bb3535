"""What a jaxpr's variable can stand for while its ONNX graph is written, and the graph so far.

An array that is known now is a NumPy array; the rest are the values here. Arithmetic with one constant a channel is put
off (Affine), so that it becomes part of the product before it, or one node.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

BATCH = 97  # the batch that the function is traced with, hardly another axis's size; the graph takes any
CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class Unknown(Exception):
    """What it is about a primitive that cannot be written, such as "with a kernel that is no constant"."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A value that a node makes; `shape` is JAX's, and a map is channels first in the graph unless said otherwise."""

    name: str
    shape: tuple[int, ...]
    channels_last: bool = False


@dataclasses.dataclass
class Affine:
    """A map or matrix times one number a channel plus another, not written yet; part of the product before it."""

    source: "Tensor | Product"
    scale: np.ndarray
    shift: np.ndarray
    written: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """JAX's."""
        return self.source.shape


@dataclasses.dataclass(frozen=True)
class Product:
    """A convolution or a matrix product, not written yet: its last axis is the output channels."""

    shape: tuple[int, ...]
    input: Tensor
    kernel: np.ndarray  # H x W x C x F, or C x F
    attributes: Mapping[str, Any]


Value = Tensor | Affine


@dataclasses.dataclass(frozen=True)
class Rows:
    """A map as the matrix BHW x C, which a product may take before it is a map again."""

    map: Value

    @property
    def shape(self) -> tuple[int, ...]:
        """JAX's."""
        return math.prod(self.map.shape[:-1]), self.map.shape[-1]


class Graph:
    """The nodes and constants so far."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        """Adds an array and returns its name."""
        name = f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype), name))
        return name

    def node(
        self, kind: str, inputs: Sequence[str], shape: Sequence[int], channels_last: bool = False, **attributes: Any
    ) -> Tensor:
        """Adds a node and returns what it makes."""
        name = f"{kind.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return Tensor(name, tuple(shape), channels_last)

    def written(self, value: Value) -> Tensor:
        """The tensor of a value, which is written now if it was put off; maps are channels first."""
        if isinstance(value, Affine):
            if value.written is None:
                value.written = _write_affine(self, value)
            return value.written
        if value.channels_last:
            return self.node("Transpose", [value.name], value.shape, perm=CHANNELS_FIRST)
        return value

    def channels_last(self, value: Value) -> Tensor:
        """The tensor of a value as JAX lays it out."""
        tensor = value if isinstance(value, Tensor) else self.written(value)
        if len(tensor.shape) != 4 or tensor.channels_last:
            return tensor
        return self.node("Transpose", [tensor.name], tensor.shape, channels_last=True, perm=CHANNELS_LAST)


def _write_affine(graph: Graph, value: Affine) -> Tensor:
    source, shape = value.source, value.shape
    if isinstance(source, Product):
        kernel, shift = source.kernel * value.scale, value.shift
        bias = [graph.constant(shift)] if shift.any() else []
        if len(shape) == 2:
            return graph.node("Gemm", [source.input.name, graph.constant(kernel), *bias], shape)
        kernel_name = graph.constant(kernel.transpose(3, 2, 0, 1))
        return graph.node("Conv", [source.input.name, kernel_name, *bias], shape, **source.attributes)
    tensor = graph.written(source)
    if (value.scale == 1).all() and not value.shift.any():
        return tensor
    if len(shape) == 4:
        channels = np.ones(shape[-1])
        numbers = (value.scale, value.shift, 0 * channels, channels)  # mean 0, variance 1
        return graph.node("BatchNormalization", [tensor.name, *map(graph.constant, numbers)], shape, epsilon=0.0)
    scaled = graph.node("Mul", [tensor.name, graph.constant(value.scale)], shape)
    return graph.node("Add", [scaled.name, graph.constant(value.shift)], shape)


def affine(value: Value) -> Affine:
    """A value as one to which more arithmetic can be added."""
    if isinstance(value, Affine):
        return value
    channels = value.shape[-1]
    return Affine(value, np.ones(channels), np.zeros(channels))


def per_channel(array: np.ndarray, shape: Sequence[int]) -> np.ndarray | None:
    """A constant as one number a channel of a value of `shape`, in float64; None if it is more than that."""
    array = compact(array)
    if array.size not in (1, shape[-1]) or (array.size > 1 and array.shape[-1] != array.size):
        return None
    return np.broadcast_to(array.reshape(-1), shape[-1:]).astype(np.float64)


def compact(array: np.ndarray) -> np.ndarray:
    """A constant with size 1 along the axes on which it does not change."""
    array = array[(..., *(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides))]
    for axis in range(array.ndim):
        first = array.take([0], axis)
        array = first if (array == first).all() else array
    return array
