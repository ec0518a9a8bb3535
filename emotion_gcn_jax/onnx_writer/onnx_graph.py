"""A JAX function of a batch of images as an ONNX graph, written from its jaxpr: nothing is compiled.

Whatever the function closes over becomes a constant. Three things make the graph fast in onnxruntime. Feature maps are
channels last in JAX and channels first in ONNX, which runs them in a blocked layout of its own; an image is turned
once, at the start. Arithmetic with one constant a channel is put off and gathered: behind a convolution it becomes part
of the kernel and the bias, elsewhere one BatchNormalization. And functions that JAX spells out (pools, the arctangent
shortcut) are recognised and written as the operator that they are.

A trunk of ordinary layers needs nothing here. One that uses a primitive which onnx_operators.py does not have is
refused by its name, and so is whatever would mix the images of a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.onnx_writer import onnx_operators as operators
from emotion_gcn_jax.onnx_writer.onnx_values import BATCH, Graph, Rows, Tensor, Unknown, Value

OPSET, IR_VERSION = 17, 8  # ONNX 1.12 of 2022: what browsers and phones read today


class NotWritableError(UserError):
    """A model has something in it that this module does not know."""


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
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(jax.ShapeDtypeStruct((BATCH, *image_shape), dtype))
    graph = Graph()
    start = Tensor("images", (BATCH, *image_shape), channels_last=True)
    results = _run(graph, closed.jaxpr, closed.consts, [operators.cast(graph, start, dtype)])
    outputs = []
    for name, aval, value in zip(sorted(shapes), closed.out_avals, results, strict=True):
        if not isinstance(value, Value) or not jnp.issubdtype(aval.dtype, jnp.floating) or name == "images":
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


def _run(graph: Graph, jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
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


def _write_equation(graph: Graph, equation: Any, inputs: Sequence[Any]) -> list[Any]:
    if equation.primitive.name in _CALLS:
        return _write_call(graph, equation, inputs)
    try:
        if all(isinstance(x, np.ndarray) for x in inputs):
            return _evaluate(equation, inputs)
        return _write_primitive(graph, equation, inputs)
    except Unknown as reason:
        what = " ".join([equation.primitive.name, *reason.args])
        raise NotWritableError(
            f"The model uses JAX's {what}, which the ONNX writer does not know: add it to {operators.__name__}, or use "
            f"the model with JAX (engine='jax')."
        ) from None


def _write_call(graph: Graph, equation: Any, inputs: Sequence[Any]) -> list[Any]:
    inner = _inner(equation)
    known = operators.FUNCTIONS.get(equation.params.get("name"))
    if known and [isinstance(x, Value) for x in inputs] == [i < known.values for i in range(len(inputs))]:
        avals = [variable.aval for variable in equation.invars]
        shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type) for aval in avals]
        if str(inner) == str(_inner(jax.make_jaxpr(known.function)(*shapes).eqns[0])):
            return [known.write(graph, equation.outvars[0].aval.shape, *inputs)]
    return _run(graph, getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)


def _inner(equation: Any) -> Any:
    """The jaxpr that an equation calls."""
    return equation.params.get("jaxpr") or equation.params["call_jaxpr"]


def _write_primitive(graph: Graph, equation: Any, inputs: Sequence[Any]) -> list[Any]:
    primitive, params = equation.primitive.name, equation.params
    shapes, dtype = [variable.aval.shape for variable in equation.outvars], equation.outvars[0].aval.dtype
    of_booleans = any(variable.aval.dtype == np.bool_ for variable in equation.invars)
    if primitive not in operators.PRIMITIVES and primitive not in operators.ELEMENTWISE and primitive != "split":
        raise Unknown
    if not jnp.issubdtype(dtype, jnp.floating) and (
        dtype != np.bool_ or primitive not in operators.COMPARISONS or of_booleans
    ):
        raise Unknown(f"of {dtype}")  # whole numbers overflow, and the graph's do not
    if primitive == "convert_element_type" and of_booleans:
        results: list[Any] = [graph.node("Cast", [graph.written(inputs[0]).name], shapes[0], to=onnx.TensorProto.FLOAT)]
    elif any(isinstance(x, Rows) for x in inputs) and primitive not in ("dot_general", "reshape"):
        raise Unknown("of a map's positions as a matrix's rows")
    elif primitive == "split":
        results = operators.split(graph, shapes, params, inputs[0])
    elif primitive in operators.PRIMITIVES:
        results = [operators.PRIMITIVES[primitive](graph, shapes[0], params, *inputs)]
    else:
        results = [operators.elementwise(graph, operators.ELEMENTWISE[primitive], shapes[0], inputs)]
    if any(not isinstance(result, Rows) and result.shape[:1] != (BATCH,) for result in results):
        raise Unknown("across the batch")
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
        case "reduce_sum":
            return [np.asarray(inputs[0].sum(params["axes"]), equation.outvars[0].aval.dtype)]
        case "dot_general" if not any(params["dimension_numbers"][1]):
            product: Any = np.tensordot(inputs[0], inputs[1], params["dimension_numbers"][0])
            return [product.astype(equation.outvars[0].aval.dtype)]
        case name if name in _NUMPY:
            return [np.asarray(_NUMPY[name](*inputs), equation.outvars[0].aval.dtype)]
    if any(jax.dtypes.issubdtype(variable.aval.dtype, jax.dtypes.extended) for variable in equation.outvars):
        raise Unknown("of random numbers")
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
