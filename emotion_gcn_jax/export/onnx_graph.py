"""A JAX function of a batch of images as an ONNX graph, written from its jaxpr: nothing is compiled.

Whatever the function closes over becomes a constant. Three things make the graph fast in onnxruntime. Feature maps are
channels last in JAX and channels first in ONNX, which runs them in a blocked layout of its own; an image is turned
once, at the start. Arithmetic with one constant a channel is put off and gathered: behind a convolution it becomes part
of the kernel and the bias, elsewhere one BatchNormalization. And functions that JAX spells out (pools, the arctangent
shortcut) are recognised and written as the operator that they are.

A trunk of ordinary layers needs nothing here. One that uses a primitive which no table below has is refused by name,
and so is whatever would mix the images of a batch.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax.extend import core
from onnx import helper, numpy_helper

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import bregnext, layers, vgg


class NotWritableError(UserError):
    """A model has something in it that this module does not know."""


class _Unknown(Exception):
    """What it is about a primitive that cannot be written, such as "with a kernel that is no constant"."""


OPSET, IR_VERSION = 17, 8  # ONNX 1.12 of 2022: what browsers and phones read today

_BATCH = 97  # the batch that the function is traced with, hardly another axis's size; the graph takes any
_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def write(
    function: Callable[[jax.Array], Mapping[str, jax.Array]],
    image_shape: Sequence[int],
    *,
    dtype: Any = np.float32,
    properties: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Writes a function as a graph that takes any number of images.

    Args:
        function: from images [B, H, W, C] to arrays [B, ...] by name, each row of which depends on its own image only.
        image_shape: H, W and C.
        dtype: of the images: float32, or uint8.
        properties: what is said about the model in the file, text by name.

    Returns:
        A model with the input "images" [batch, H, W, C] and an output for every array, computed in float32.

    Raises:
        NotWritableError: the function uses a primitive that is not known here.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(jax.ShapeDtypeStruct((_BATCH, *image_shape), dtype))
    graph = _Graph()
    start = _Tensor("images", (_BATCH, *image_shape), channels_last=True)
    results = _run(graph, closed.jaxpr, closed.consts, [_cast(graph, start, dtype)])
    outputs = []
    for name, aval, value in zip(sorted(shapes), closed.out_avals, results, strict=True):
        if not isinstance(value, _Value) or not jnp.issubdtype(aval.dtype, jnp.floating) or name == "images":
            raise NotWritableError(
                f"The output {name!r} cannot be written as ONNX: it must consist of floating point rows, one an image, "
                f"that depend on the images, and have another name than those."
            )
        last = graph.channels_last(value)
        graph.nodes.append(helper.make_node("Identity", [last.name], [name], name=f"{name}_output"))
        outputs.append(_describe(name, last.shape, np.float32))
    body = helper.make_graph(
        graph.nodes, "emotion_gcn", [_describe("images", start.shape, dtype)], outputs, graph.constants
    )
    model = helper.make_model(
        body, producer_name="emotion-gcn-jax", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(model, dict(properties or {}))
    return model


def _describe(name: str, shape: Sequence[int], dtype: Any) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, ["batch", *shape[1:]])


# What a jaxpr's variable can stand for: an array that is known now, or a value of the graph.


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A value that a node makes; `shape` is JAX's, and a map is channels first in the graph unless said otherwise."""

    name: str
    shape: tuple[int, ...]
    channels_last: bool = False


@dataclasses.dataclass
class _Affine:
    """A map or matrix times one number a channel plus another, not written yet; part of the product before it."""

    source: "_Tensor | _Product"
    scale: np.ndarray
    shift: np.ndarray
    written: _Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape


@dataclasses.dataclass(frozen=True)
class _Product:
    """A convolution or a matrix product, not written yet: its last axis is the output channels."""

    shape: tuple[int, ...]
    input: _Tensor
    kernel: np.ndarray  # H x W x C x F, or C x F
    attributes: Mapping[str, Any]


_Value = _Tensor | _Affine


@dataclasses.dataclass(frozen=True)
class _Rows:
    """A map as the matrix BHW x C, which a product may take before it is a map again."""

    map: _Value

    @property
    def shape(self) -> tuple[int, ...]:
        return math.prod(self.map.shape[:-1]), self.map.shape[-1]


class _Graph:
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
    ) -> _Tensor:
        """Adds a node and returns what it makes."""
        name = f"{kind.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return _Tensor(name, tuple(shape), channels_last)

    def written(self, value: _Value) -> _Tensor:
        """The tensor of a value, which is written now if it was put off; maps are channels first."""
        if isinstance(value, _Affine):
            if value.written is None:
                value.written = _write_affine(self, value)
            return value.written
        if value.channels_last:
            return self.node("Transpose", [value.name], value.shape, perm=_CHANNELS_FIRST)
        return value

    def channels_last(self, value: _Value) -> _Tensor:
        """The tensor of a value as JAX lays it out."""
        tensor = value if isinstance(value, _Tensor) else self.written(value)
        if len(tensor.shape) != 4 or tensor.channels_last:
            return tensor
        return self.node("Transpose", [tensor.name], tensor.shape, channels_last=True, perm=_CHANNELS_LAST)


def _write_affine(graph: _Graph, value: _Affine) -> _Tensor:
    source, shape = value.source, value.shape
    if isinstance(source, _Product):
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


# From a jaxpr to values.


def _run(graph: _Graph, jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Writes the equations of a jaxpr; arguments and results are arrays or values."""
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
    known |= dict(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Any:
        return np.asarray(variable.val) if isinstance(variable, core.Literal) else known[variable]

    for equation in jaxpr.eqns:
        results = _write_equation(graph, equation, [read(variable) for variable in equation.invars])
        known |= dict(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


_CALLS = ("jit", "pjit", "closed_call", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call")


def _write_equation(graph: _Graph, equation: Any, inputs: Sequence[Any]) -> list[Any]:
    if equation.primitive.name in _CALLS:
        return _write_call(graph, equation, inputs)
    try:
        if all(isinstance(x, np.ndarray) for x in inputs):
            return _evaluate(equation, inputs)
        return _write_primitive(graph, equation, inputs)
    except _Unknown as reason:
        what = " ".join([equation.primitive.name, *reason.args])
        raise NotWritableError(
            f"The model uses JAX's {what}, which {__name__} cannot write as ONNX: add it to the tables there, or use "
            f"the model with JAX (engine='jax')."
        ) from None


def _write_call(graph: _Graph, equation: Any, inputs: Sequence[Any]) -> list[Any]:
    inner = _inner(equation)
    known = _FUNCTIONS.get(equation.params.get("name"))
    if known and isinstance(inputs[0], _Value) and all(isinstance(x, np.ndarray) for x in inputs[1:]):
        function, writer = known
        avals = [variable.aval for variable in equation.invars]
        shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type) for aval in avals]
        if str(inner) == str(_inner(jax.make_jaxpr(function)(*shapes).eqns[0])):
            return [writer(graph, equation.outvars[0].aval.shape, *inputs)]
    return _run(graph, getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)


def _inner(equation: Any) -> Any:
    """The jaxpr that an equation calls."""
    return equation.params.get("jaxpr") or equation.params["call_jaxpr"]


def _write_primitive(graph: _Graph, equation: Any, inputs: Sequence[Any]) -> list[Any]:
    primitive, params = equation.primitive.name, equation.params
    shapes, dtype = [variable.aval.shape for variable in equation.outvars], equation.outvars[0].aval.dtype
    of_booleans = any(variable.aval.dtype == np.bool_ for variable in equation.invars)
    if primitive not in _PRIMITIVES and primitive not in _ELEMENTWISE and primitive != "split":
        raise _Unknown
    if not jnp.issubdtype(dtype, jnp.floating) and (dtype != np.bool_ or primitive not in _COMPARISONS or of_booleans):
        raise _Unknown(f"of {dtype}")  # whole numbers overflow, and the graph's do not
    if primitive == "convert_element_type" and of_booleans:
        results: list[Any] = [graph.node("Cast", [graph.written(inputs[0]).name], shapes[0], to=onnx.TensorProto.FLOAT)]
    elif any(isinstance(x, _Rows) for x in inputs) and primitive not in ("dot_general", "reshape"):
        raise _Unknown("of a map's positions as a matrix's rows")
    elif primitive == "split":
        results = _split(graph, shapes, params, inputs[0])
    elif primitive in _PRIMITIVES:
        results = [_PRIMITIVES[primitive](graph, shapes[0], params, *inputs)]
    else:
        results = [_elementwise(graph, _ELEMENTWISE[primitive], shapes[0], inputs)]
    if any(not isinstance(result, _Rows) and result.shape[:1] != (_BATCH,) for result in results):
        raise _Unknown("across the batch")
    return results


def _evaluate(equation: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What an equation of known arrays makes; by NumPy where it can, as JAX would compile every shape."""
    params, shape = equation.params, equation.outvars[0].aval.shape
    match equation.primitive.name:
        case "broadcast_in_dim":
            spread = [1] * len(shape)
            for axis, size in zip(params["broadcast_dimensions"], inputs[0].shape, strict=True):
                spread[axis] = size
            return [np.broadcast_to(inputs[0].reshape(spread), shape)]
        case "reshape" | "squeeze" | "expand_dims":
            return [inputs[0].reshape(shape)]
        case "convert_element_type":
            return [inputs[0].astype(params["new_dtype"])]
        case "transpose":
            return [inputs[0].transpose(params["permutation"])]
        case "dot_general" if not any(params["dimension_numbers"][1]):
            product: Any = np.tensordot(inputs[0], inputs[1], params["dimension_numbers"][0])
            return [product.astype(equation.outvars[0].aval.dtype)]
        case name if name in _NUMPY:
            return [np.asarray(_NUMPY[name](*inputs), equation.outvars[0].aval.dtype)]
    if any(jax.dtypes.issubdtype(variable.aval.dtype, jax.dtypes.extended) for variable in equation.outvars):
        raise _Unknown("of random numbers")
    results = equation.primitive.bind(*inputs, **params)
    return [np.asarray(result) for result in (results if equation.primitive.multiple_results else [results])]


_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "neg": np.negative,
    "copy": np.asarray,
    "ge": np.greater_equal,
    "gt": np.greater,
    "select_n": lambda which, *cases: np.choose(which, cases),
}


# Arithmetic with one constant a channel


def _affine(value: _Value) -> _Affine:
    if isinstance(value, _Affine):
        return value
    channels = value.shape[-1]
    return _Affine(value, np.ones(channels), np.zeros(channels))


def _per_channel(array: np.ndarray, shape: Sequence[int]) -> np.ndarray | None:
    """A constant as one number a channel of a value of `shape`, in float64; None if it is more than that."""
    array = _compact(array)
    if array.size not in (1, shape[-1]) or (array.size > 1 and array.shape[-1] != array.size):
        return None
    return np.broadcast_to(array.reshape(-1), shape[-1:]).astype(np.float64)


def _compact(array: np.ndarray) -> np.ndarray:
    """A constant with size 1 along the axes on which it does not change."""
    array = array[(..., *(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides))]
    for axis in range(array.ndim):
        first = array.take([0], axis)
        array = first if (array == first).all() else array
    return array


def _arithmetic(graph: _Graph, primitive: str, shape: Sequence[int], a: Any, b: Any) -> _Value:
    value, constant = (b, a) if isinstance(a, np.ndarray) else (a, b)
    if isinstance(constant, np.ndarray) and tuple(value.shape) == tuple(shape) and len(shape) in (2, 4):
        number = _per_channel(constant, shape)
        if number is not None and np.isfinite(number).all() and (primitive != "div" or (value is a and number.all())):
            old = _affine(value)
            match primitive:
                case "mul":
                    return _Affine(old.source, old.scale * number, old.shift * number)
                case "div":
                    return _Affine(old.source, old.scale / number, old.shift / number)
                case "add":
                    return _Affine(old.source, old.scale, old.shift + number)
                case "sub" if value is a:
                    return _Affine(old.source, old.scale, old.shift - number)
                case "sub":
                    return _Affine(old.source, -old.scale, number - old.shift)
    return _elementwise(graph, {"mul": "Mul", "div": "Div", "add": "Add", "sub": "Sub"}[primitive], shape, (a, b))


def _elementwise(graph: _Graph, kind: str, shape: Sequence[int], inputs: Sequence[Any]) -> _Tensor:
    compact = [_compact(x) if isinstance(x, np.ndarray) else x for x in inputs]
    if any(isinstance(x, np.ndarray) and x.shape[:1] not in ((), (1,)) for x in compact):
        raise _Unknown("with a constant that differs between images")
    if np.broadcast_shapes(*(x.shape for x in compact)) != tuple(shape):
        raise _Unknown("with a constant that repeats a value")
    return graph.node(kind, [_operand(graph, x) for x in compact], shape)


def _operand(graph: _Graph, x: Any) -> str:
    """The name of a value, or of a constant."""
    if not isinstance(x, np.ndarray):
        return graph.written(x).name
    array = x.transpose(_CHANNELS_FIRST) if x.ndim == 4 else x
    return graph.constant(array, np.bool_ if array.dtype == np.bool_ else np.float32)


def _maximum(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], a: Any, b: Any) -> _Tensor:
    value, constant = (b, a) if isinstance(a, np.ndarray) else (a, b)
    if isinstance(constant, np.ndarray) and not constant.any() and value.shape == tuple(shape):
        return _elementwise(graph, "Relu", shape, (value,))
    return _elementwise(graph, "Max", shape, (a, b))


_COMPARISONS = {"gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual"}
_ELEMENTWISE = {
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
    **_COMPARISONS,
}


# Primitives that need more than a name


def _conv(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any, kernel: Any) -> _Value:
    layout = params["dimension_numbers"]
    if layout.lhs_spec != (0, 3, 1, 2) or layout.out_spec != (0, 3, 1, 2) or not isinstance(kernel, np.ndarray):
        raise _Unknown("of something else than B x H x W x C and a constant kernel")
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1 or np.min(params["padding"]) < 0:
        raise _Unknown("that is transposed, cuts its input or groups its batch")
    out_in_height_width = kernel.transpose(layout.rhs_spec)
    (top, bottom), (left, right) = params["padding"]
    attributes = {
        "kernel_shape": out_in_height_width.shape[2:],
        "strides": params["window_strides"],
        "dilations": params["rhs_dilation"],
        "pads": [top, left, bottom, right],
        "group": params["feature_group_count"],
    }
    product = _Product(tuple(shape), graph.written(x), out_in_height_width.transpose(2, 3, 1, 0), attributes)
    return _Affine(product, np.ones(shape[-1]), np.zeros(shape[-1]))


def _dot(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any, kernel: Any) -> _Value | _Rows:
    (left, right), batch = params["dimension_numbers"]
    if any(batch) or not isinstance(kernel, np.ndarray) or kernel.ndim != 2 or left != (len(x.shape) - 1,):
        raise _Unknown("of something else than a value's last axis and a constant matrix")
    kernel = kernel if right == (0,) else kernel.T
    source = x.map if isinstance(x, _Rows) else x
    shape = (*source.shape[:-1], kernel.shape[-1])
    if len(shape) == 4:  # a 1x1 convolution
        product = _Product(shape, graph.written(source), kernel[None, None], {"kernel_shape": [1, 1]})
    elif len(shape) == 2:
        product = _Product(shape, graph.written(source), kernel, {})
    else:
        raise _Unknown(f"of {len(shape)} axes")
    result = _Affine(product, np.ones(shape[-1]), np.zeros(shape[-1]))
    return _Rows(result) if isinstance(x, _Rows) else result


def _reduce(kind: str) -> Callable[..., _Value]:
    def write_reduction(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> _Value:
        axes = tuple(params["axes"])
        if 0 in axes:
            raise _Unknown("across the batch")
        if len(x.shape) == 4 and axes == (1, 2) and kind in ("Sum", "Max"):
            pool = "GlobalMaxPool" if kind == "Max" else "GlobalAveragePool"
            pooled = graph.node(pool, [graph.written(x).name], shape)
            flat = graph.node("Flatten", [pooled.name], shape)
            count = 1 if kind == "Max" else math.prod(x.shape[1:3])
            return _Affine(flat, np.full(shape[-1], float(count)), np.zeros(shape[-1]))
        inputs = [graph.channels_last(x).name]
        attributes: dict[str, Any] = {"keepdims": 0}
        if kind == "Sum":
            inputs.append(graph.constant(axes, np.int64))
        else:
            attributes["axes"] = axes
        return graph.node(f"Reduce{kind}", inputs, shape, channels_last=len(shape) == 4, **attributes)

    return write_reduction


def _concatenate(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], *parts: Any) -> _Tensor:
    if any(isinstance(part, np.ndarray) for part in parts):
        raise _Unknown("of a constant")
    axis = _axis(params["dimension"], shape)
    return graph.node("Concat", [graph.written(part).name for part in parts], shape, axis=axis)


def _pad(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any, value: Any) -> _Tensor:
    margins = params["padding_config"]
    if any(inner for _, _, inner in margins) or any(margins[0]) or not isinstance(value, np.ndarray):
        raise _Unknown("between values, of the batch or by a value that is no constant")
    margins = [margins[axis] for axis in _CHANNELS_FIRST] if len(shape) == 4 else margins
    amounts = [low for low, _, _ in margins] + [high for _, high, _ in margins]
    inputs = [graph.written(x).name, graph.constant(amounts, np.int64), graph.constant(value)]
    return graph.node("Pad", inputs, shape)


def _slice(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> _Tensor:
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


def _split(graph: _Graph, shapes: Sequence[Sequence[int]], params: Mapping[str, Any], x: Any) -> list[_Tensor]:
    ends = np.cumsum([0, *params["sizes"]])
    source, places = graph.written(x).name, graph.constant([_axis(params["axis"], x.shape)], np.int64)
    bounds = ([graph.constant([end], np.int64) for end in pair] for pair in itertools.pairwise(ends))
    return [graph.node("Slice", [source, *pair, places], shape) for shape, pair in zip(shapes, bounds, strict=True)]


def _axis(axis: int, shape: Sequence[int]) -> int:
    """Where an axis of JAX's is in the graph."""
    return _CHANNELS_FIRST.index(axis) if len(shape) == 4 else axis


def _reshape(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> _Value | _Rows:
    shape = tuple(shape)
    if shape == (x.map if isinstance(x, _Rows) else x).shape:
        return x.map if isinstance(x, _Rows) else x
    if len(x.shape) == 4 and shape == (math.prod(x.shape[:-1]), x.shape[-1]) and shape[0] != x.shape[0]:
        return _Rows(x)
    if isinstance(x, _Rows) or math.prod(shape) != math.prod(x.shape) or shape[:1] != x.shape[:1]:
        raise _Unknown("to a shape that changes the batch or the number of values")
    inputs = [graph.channels_last(x).name, graph.constant([0, *shape[1:]], np.int64)]
    return graph.node("Reshape", inputs, shape, channels_last=len(shape) == 4)


def _cast(graph: _Graph, x: _Tensor, dtype: Any) -> _Tensor:
    if np.dtype(dtype) == np.float32:
        return x
    return graph.node("Cast", [x.name], x.shape, channels_last=x.channels_last, to=onnx.TensorProto.FLOAT)


def _select(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], which: Any, *cases: Any) -> _Tensor:
    if len(cases) != 2 or (isinstance(which, np.ndarray) and which.dtype != np.bool_):
        raise _Unknown("by something else than booleans")
    return _elementwise(graph, "Where", shape, (which, cases[1], cases[0]))


def _power(graph: _Graph, shape: Sequence[int], params: Mapping[str, Any], x: Any) -> _Tensor:
    return _elementwise(graph, "Pow", shape, (x, np.asarray(params.get("y", 2), np.float32)))


_PRIMITIVES: dict[str, Callable[..., _Value | _Rows]] = {
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
    "rsqrt": lambda graph, shape, params, x: _elementwise(
        graph, "Reciprocal", shape, (_elementwise(graph, "Sqrt", shape, (x,)),)
    ),
}
"""Writers by the primitive's name: of the graph, the result's shape, the equation's parameters and its inputs."""


# Functions that are recognised


def _pool(kind: str, side: int, pads: int) -> Callable[..., _Tensor]:
    def write_pool(graph: _Graph, shape: Sequence[int], x: Any) -> _Tensor:
        sides: dict[str, Any] = {"kernel_shape": [side] * 2, "strides": [2, 2], "pads": [pads] * 4}
        return graph.node(kind, [graph.written(x).name], shape, **sides)

    return write_pool


def _elu(graph: _Graph, shape: Sequence[int], x: Any, alpha: np.ndarray | float = 1.0) -> _Tensor:
    return graph.node("Elu", [graph.written(x).name], shape, alpha=float(alpha))


def _shortcut(graph: _Graph, shape: Sequence[int], x: Any, a: np.ndarray, c: np.ndarray) -> _Value:
    """BReG-NeXt's: arctan(a x / s) / (a s) with s = sqrt(c^2 + 1); for a small a its limit, x / s^2."""
    slope, root = float(a.reshape(-1)[0]), math.sqrt(float(c.reshape(-1)[0]) ** 2 + 1)
    if abs(slope) < 1e-6:
        return _arithmetic(graph, "mul", shape, x, np.asarray(1 / root**2))
    bent = _elementwise(graph, "Atan", shape, (_scaled(graph, x, slope / root),))
    return _scaled(graph, bent, 1 / (slope * root))


def _scaled(graph: _Graph, x: Any, factor: float) -> _Tensor:
    """Times one number: cheaper by Mul than by BatchNormalization where nothing else is to be done."""
    return _elementwise(graph, "Mul", x.shape, (x, np.asarray(factor, np.float32)))


_FUNCTIONS: dict[Any, tuple[Callable[..., Any], Callable[..., _Value]]] = {
    "elu": (jax.nn.elu, _elu),
    "max_pool_3x3": (layers.max_pool_3x3, _pool("MaxPool", 3, 1)),
    "max_pool_2x2": (vgg.max_pool_2x2, _pool("MaxPool", 2, 0)),
    "average_pool_2x2": (layers.average_pool_2x2, _pool("AveragePool", 2, 0)),
    "shortcut": (bregnext.shortcut, _shortcut),
}
"""By a jitted function's name the function, as another may have its name, and its writer: of the graph, the result's
shape and the function's arguments."""
