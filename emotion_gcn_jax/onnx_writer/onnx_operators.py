"""JAX's primitives, and functions of layers that are one operator in ONNX: the tables of their writers.

A writer takes the graph, the result's shape, the equation's parameters and its inputs, and returns what the result is.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import onnx

from emotion_gcn_jax.models import bregnext, layers, spatial_transformer, vgg
from emotion_gcn_jax.onnx_writer.onnx_values import (
    CHANNELS_FIRST,
    Affine,
    Graph,
    Product,
    Rows,
    Tensor,
    Unknown,
    Value,
    affine,
    compact,
    per_channel,
)


def _arithmetic(graph: Graph, primitive: str, shape: Sequence[int], a: Any, b: Any) -> Value:
    value, constant = (b, a) if isinstance(a, np.ndarray) else (a, b)
    if isinstance(constant, np.ndarray) and tuple(value.shape) == tuple(shape) and len(shape) in (2, 4):
        number = per_channel(constant, shape)
        if number is not None and np.isfinite(number).all() and (primitive != "div" or (value is a and number.all())):
            old = affine(value)
            match primitive:
                case "mul":
                    return Affine(old.source, old.scale * number, old.shift * number)
                case "div":
                    return Affine(old.source, old.scale / number, old.shift / number)
                case "add":
                    return Affine(old.source, old.scale, old.shift + number)
                case "sub" if value is a:
                    return Affine(old.source, old.scale, old.shift - number)
                case "sub":
                    return Affine(old.source, -old.scale, number - old.shift)
    return elementwise(graph, {"mul": "Mul", "div": "Div", "add": "Add", "sub": "Sub"}[primitive], shape, (a, b))


def elementwise(graph: Graph, kind: str, shape: Sequence[int], inputs: Sequence[Any]) -> Tensor:
    """Writes a node that works on every number by itself."""
    small = [compact(x) if isinstance(x, np.ndarray) else x for x in inputs]
    if any(isinstance(x, np.ndarray) and x.shape[:1] not in ((), (1,)) for x in small):
        raise Unknown("with a constant that differs between images")
    if np.broadcast_shapes(*(x.shape for x in small)) != tuple(shape):
        raise Unknown("with a constant that repeats a value")
    return graph.node(kind, [_operand(graph, x) for x in small], shape)


def _operand(graph: Graph, x: Any) -> str:
    """The name of a value, or of a constant."""
    if not isinstance(x, np.ndarray):
        return graph.written(x).name
    array = x.transpose(CHANNELS_FIRST) if x.ndim == 4 else x
    return graph.constant(array, np.bool_ if array.dtype == np.bool_ else np.float32)


def _maximum(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], a: Any, b: Any) -> Tensor:
    value, constant = (b, a) if isinstance(a, np.ndarray) else (a, b)
    if isinstance(constant, np.ndarray) and not constant.any() and value.shape == tuple(shape):
        return elementwise(graph, "Relu", shape, (value,))
    return elementwise(graph, "Max", shape, (a, b))


COMPARISONS = {"gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual"}
ELEMENTWISE = {
    "min": "Min",
    "neg": "Neg",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "sqrt": "Sqrt",
    "atan": "Atan",
    "erf": "Erf",
    "sign": "Sign",
    "floor": "Floor",
    **COMPARISONS,
}


def _conv(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any, kernel: Any) -> Value:
    layout = params["dimension_numbers"]
    if layout.lhs_spec != (0, 3, 1, 2) or layout.out_spec != (0, 3, 1, 2) or not isinstance(kernel, np.ndarray):
        raise Unknown("of something else than B x H x W x C and a constant kernel")
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1 or np.min(params["padding"]) < 0:
        raise Unknown("that is transposed, cuts its input or groups its batch")
    out_in_height_width = kernel.transpose(layout.rhs_spec)
    (top, bottom), (left, right) = params["padding"]
    attributes = {
        "kernel_shape": out_in_height_width.shape[2:],
        "strides": params["window_strides"],
        "dilations": params["rhs_dilation"],
        "pads": [top, left, bottom, right],
        "group": params["feature_group_count"],
    }
    product = Product(tuple(shape), graph.written(x), out_in_height_width.transpose(2, 3, 1, 0), attributes)
    return Affine(product, np.ones(shape[-1]), np.zeros(shape[-1]))


def _dot(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any, kernel: Any) -> Value | Rows:
    (left, right), batch = params["dimension_numbers"]
    if any(batch) or not isinstance(kernel, np.ndarray) or kernel.ndim != 2 or left != (len(x.shape) - 1,):
        raise Unknown("of something else than a value's last axis and a constant matrix")
    kernel = kernel if right == (0,) else kernel.T
    source = x.map if isinstance(x, Rows) else x
    shape = (*source.shape[:-1], kernel.shape[-1])
    if len(shape) == 4:  # a 1x1 convolution
        product = Product(shape, graph.written(source), kernel[None, None], {"kernel_shape": [1, 1]})
    elif len(shape) == 2:
        product = Product(shape, graph.written(source), kernel, {})
    else:
        raise Unknown(f"of {len(shape)} axes")
    result = Affine(product, np.ones(shape[-1]), np.zeros(shape[-1]))
    return Rows(result) if isinstance(x, Rows) else result


def _reduce(kind: str) -> Callable[..., Value]:
    def write_reduction(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> Value:
        axes = tuple(params["axes"])
        if 0 in axes:
            raise Unknown("across the batch")
        if len(x.shape) == 4 and axes == (1, 2) and kind in ("Sum", "Max"):
            pool = "GlobalMaxPool" if kind == "Max" else "GlobalAveragePool"
            pooled = graph.node(pool, [graph.written(x).name], shape)
            flat = graph.node("Flatten", [pooled.name], shape)
            count = 1 if kind == "Max" else math.prod(x.shape[1:3])
            return Affine(flat, np.full(shape[-1], float(count)), np.zeros(shape[-1]))
        inputs = [graph.channels_last(x).name]
        attributes: dict[str, Any] = {"keepdims": 0}
        if kind == "Sum":
            inputs.append(graph.constant(axes, np.int64))
        else:
            attributes["axes"] = axes
        return graph.node(f"Reduce{kind}", inputs, shape, channels_last=len(shape) == 4, **attributes)

    return write_reduction


def _concatenate(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], *parts: Any) -> Tensor:
    if any(isinstance(part, np.ndarray) for part in parts):
        raise Unknown("of a constant")
    axis = _axis(params["dimension"], shape)
    return graph.node("Concat", [graph.written(part).name for part in parts], shape, axis=axis)


def _pad(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any, value: Any) -> Tensor:
    margins = params["padding_config"]
    if any(inner for _, _, inner in margins) or any(margins[0]) or not isinstance(value, np.ndarray):
        raise Unknown("between values, of the batch or by a value that is no constant")
    margins = [margins[axis] for axis in CHANNELS_FIRST] if len(shape) == 4 else margins
    amounts = [low for low, _, _ in margins] + [high for _, high, _ in margins]
    inputs = [graph.written(x).name, graph.constant(amounts, np.int64), graph.constant(value)]
    return graph.node("Pad", inputs, shape)


def _slice(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> Tensor:
    rank = len(shape)
    steps = params["strides"] or (1,) * rank
    axes = [
        axis
        for axis in range(rank)
        if (params["start_indices"][axis], params["limit_indices"][axis], steps[axis]) != (0, x.shape[axis], 1)
    ]
    starts = [params["start_indices"][axis] for axis in axes]
    ends = [params["limit_indices"][axis] for axis in axes]
    places = [_axis(axis, shape) for axis in axes]
    numbers: tuple[Sequence[int], ...] = (starts, ends, places, [steps[axis] for axis in axes])
    inputs = [graph.written(x).name, *(graph.constant(n, np.int64) for n in numbers)]
    return graph.node("Slice", inputs, shape)


def split(graph: Graph, shapes: Sequence[Sequence[int]], params: Mapping[str, Any], x: Any) -> list[Tensor]:
    """Writes the parts of a value; the only writer with several results."""
    ends = np.cumsum([0, *params["sizes"]])
    source, places = graph.written(x).name, graph.constant([_axis(params["axis"], x.shape)], np.int64)
    bounds = ([graph.constant([end], np.int64) for end in pair] for pair in itertools.pairwise(ends))
    return [graph.node("Slice", [source, *pair, places], shape) for shape, pair in zip(shapes, bounds, strict=True)]


def _axis(axis: int, shape: Sequence[int]) -> int:
    """Where an axis of JAX's is in the graph."""
    return CHANNELS_FIRST.index(axis) if len(shape) == 4 else axis


def _reshape(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> Value | Rows:
    shape = tuple(shape)
    if shape == (x.map if isinstance(x, Rows) else x).shape:
        return x.map if isinstance(x, Rows) else x
    if len(x.shape) == 4 and shape == (math.prod(x.shape[:-1]), x.shape[-1]) and shape[0] != x.shape[0]:
        return Rows(x)
    if isinstance(x, Rows) or math.prod(shape) != math.prod(x.shape) or shape[:1] != x.shape[:1]:
        raise Unknown("to a shape that changes the batch or the number of values")
    inputs = [graph.channels_last(x).name, graph.constant([0, *shape[1:]], np.int64)]
    return graph.node("Reshape", inputs, shape, channels_last=len(shape) == 4)


def cast(graph: Graph, x: Tensor, dtype: Any) -> Tensor:
    """The images in float32; bytes are turned before, while they are small."""
    if np.dtype(dtype) == np.float32:
        return x
    return graph.node("Cast", [graph.written(x).name], x.shape, to=onnx.TensorProto.FLOAT)


def _select(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], which: Any, *cases: Any) -> Tensor:
    if len(cases) != 2 or (isinstance(which, np.ndarray) and which.dtype != np.bool_):
        raise Unknown("by something else than booleans")
    return elementwise(graph, "Where", shape, (which, cases[1], cases[0]))


def _power(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> Tensor:
    return elementwise(graph, "Pow", shape, (x, np.asarray(params.get("y", 2), np.float32)))


def _windows(kind: str) -> Callable[..., Value]:
    """Flax's max_pool and avg_pool, whose windows go over height and width; an average is a sum that is divided."""

    def write_windows(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> Value:
        window, strides, margins = (params[name] for name in ("window_dimensions", "window_strides", "padding"))
        if len(window) != 4 or {window[0], window[3], strides[0], strides[3]} != {1} or any((*margins[0], *margins[3])):
            raise Unknown("over something else than height and width")
        if {*params["base_dilation"], *params["window_dilation"]} != {1}:
            raise Unknown("with gaps")
        (top, bottom), (left, right) = margins[1:3]
        sides = zip(margins[1:3], window[1:3], strict=True)
        if any(margin < 0 or margin >= side for both, side in sides for margin in both):
            raise Unknown("with margins that are negative or as large as its window")
        options: dict[str, Any] = {"kernel_shape": window[1:3], "strides": strides[1:3]}
        options["pads"] = [top, left, bottom, right]
        if kind == "MaxPool":
            return graph.node(kind, [graph.written(x).name], shape, **options)
        mean = graph.node(kind, [graph.written(x).name], shape, count_include_pad=1, **options)
        return Affine(mean, np.full(shape[-1], float(math.prod(window))), np.zeros(shape[-1]))

    return write_windows


def _erfc(graph: Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> Value:
    return _arithmetic(graph, "sub", shape, np.ones((), np.float32), elementwise(graph, "Erf", shape, (x,)))


PRIMITIVES: dict[str, Callable[..., Value | Rows]] = {
    **{
        name: lambda graph, shape, params, a, b, name=name: _arithmetic(graph, name, shape, a, b)
        for name in ("add", "sub", "mul", "div")
    },
    "max": _maximum,
    "conv_general_dilated": _conv,
    "dot_general": _dot,
    "reduce_sum": _reduce("Sum"),
    "reduce_max": _reduce("Max"),
    "reduce_min": _reduce("Min"),
    "reduce_window_max": _windows("MaxPool"),
    "reduce_window_sum": _windows("AveragePool"),
    "erfc": _erfc,
    "concatenate": _concatenate,
    "pad": _pad,
    "slice": _slice,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "broadcast_in_dim": _reshape,
    "integer_pow": _power,
    "square": _power,
    **dict.fromkeys(
        ("convert_element_type", "copy", "name", "stop_gradient"),  # everything is computed in float32
        lambda graph, shape, params, x: x,
    ),
    "select_n": _select,
    "rsqrt": lambda graph, shape, params, x: elementwise(
        graph, "Reciprocal", shape, (elementwise(graph, "Sqrt", shape, (x,)),)
    ),
}
"""Writers by the primitive's name: of the graph, the result's shape, the equation's parameters and its inputs."""


def _pool(kind: str) -> Callable[..., Tensor]:
    def write_pool(graph: Graph, shape: Sequence[int], x: Any) -> Tensor:
        sides: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
        return graph.node(kind, [graph.written(x).name], shape, **sides)

    return write_pool


def _max_pool_3x3(before: Callable[[int], int]) -> Callable[..., Tensor]:
    """By the margin before a side; the one after it is what the windows need."""

    def write_pool(graph: Graph, shape: Sequence[int], x: Any) -> Tensor:
        sides = x.shape[1:3]
        first = [before(side) for side in sides]
        last = [max(2 * n + 1 - side - start, 0) for n, side, start in zip(shape[1:3], sides, first, strict=True)]
        options: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": first + last}
        return graph.node("MaxPool", [graph.written(x).name], shape, **options)

    return write_pool


def _elu(graph: Graph, shape: Sequence[int], x: Any, alpha: np.ndarray | float = 1.0) -> Tensor:
    return graph.node("Elu", [graph.written(x).name], shape, alpha=float(alpha))


def _shortcut(graph: Graph, shape: Sequence[int], x: Any, a: np.ndarray, c: np.ndarray) -> Value:
    """BReG-NeXt's: arctan(a x / s) / (a s) with s = sqrt(c^2 + 1); for a small a its limit, x / s^2."""
    slope, root = float(a.reshape(-1)[0]), math.sqrt(float(c.reshape(-1)[0]) ** 2 + 1)
    if abs(slope) < 1e-6:
        return _arithmetic(graph, "mul", shape, x, np.asarray(1 / root**2))
    bent = elementwise(graph, "Atan", shape, (_scaled(graph, x, slope / root),))
    return _scaled(graph, bent, 1 / (slope * root))


def _scaled(graph: Graph, x: Any, factor: float) -> Tensor:
    """Times one number: cheaper by Mul than by BatchNormalization where nothing else is to be done."""
    return elementwise(graph, "Mul", x.shape, (x, np.asarray(factor, np.float32)))


def _warp(graph: Graph, shape: Sequence[int], x: Any, theta: Any) -> Tensor:
    """The spatial transformer: the places are a product of theta's six numbers and the grid's coordinates."""
    _, height, width, _ = shape
    x_HxW, y_HxW = np.meshgrid(*((2 * np.arange(n) + 1) / n - 1 for n in (width, height)))
    xy1_3xN = np.stack([x_HxW, y_HxW, np.ones_like(x_HxW)]).reshape(3, -1)
    grid_6xNx2 = np.einsum("kn,ab->aknb", xy1_3xN, np.eye(2)).reshape(6, -1)
    rows = graph.node("Reshape", [graph.written(theta).name, graph.constant([0, 6], np.int64)], (shape[0], 6))
    flat = graph.node("MatMul", [rows.name, graph.constant(grid_6xNx2)], (shape[0], grid_6xNx2.shape[-1]))
    places_shape = graph.constant([0, height, width, 2], np.int64)
    places = graph.node("Reshape", [flat.name, places_shape], (shape[0], height, width, 2), channels_last=True)
    inputs = [graph.written(x).name, places.name]
    return graph.node("GridSample", inputs, shape, mode="bilinear", padding_mode="zeros", align_corners=0)


class Function(NamedTuple):
    """A jitted function that is written as one.

    Attributes:
        function: it itself, as another may have its name.
        write: its writer: of the graph, the result's shape and the function's arguments.
        values: how many of the arguments, the first ones, depend on the images; the others are constants.
    """

    function: Callable[..., Any]
    write: Callable[..., Value]
    values: int = 1


FUNCTIONS: dict[Any, Function] = {
    "elu": Function(jax.nn.elu, _elu),
    "max_pool_3x3": Function(layers.max_pool_3x3, _max_pool_3x3(lambda side: 1)),
    "max_pool_3x3_ceil": Function(layers.max_pool_3x3_ceil, _max_pool_3x3(lambda side: 0)),
    "max_pool_3x3_same": Function(layers.max_pool_3x3_same, _max_pool_3x3(lambda side: side % 2)),
    "max_pool_2x2": Function(vgg.max_pool_2x2, _pool("MaxPool")),
    "average_pool_2x2": Function(layers.average_pool_2x2, _pool("AveragePool")),
    "shortcut": Function(bregnext.shortcut, _shortcut),
    "warp": Function(spatial_transformer.warp, _warp, values=2),  # without align_corners, as its default is
}
"""By the function's name."""
