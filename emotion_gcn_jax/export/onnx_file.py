"""A model as an ONNX file, in float32, with kernels in float16, or quantised to 8 bits."""

import pathlib
import tempfile

import jax
import numpy as np
import onnx
from onnx import helper, numpy_helper

from emotion_gcn_jax.export.contract import INPUT, KEY, as_json, contract
from emotion_gcn_jax.export.options import Options
from emotion_gcn_jax.inference import engines
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.onnx_writer import onnx_graph

_CALIBRATION_BATCH = 16


def encode(model: EmotionModel, options: Options) -> bytes:
    """Returns the file's bytes.

    Args:
        model: what is exported.
        options: every combination is possible.

    Raises:
        UserError: the ONNX writer does not know something that the model uses.
    """

    def of_images(images: jax.Array) -> dict[str, jax.Array]:
        return engines.answers(module, model.variables, images, model.tasks, model.input)

    module = engines.precise(model.module)
    shape = (model.input.side, model.input.side, model.input.channels)
    described = contract(model, batch=options.batch, is_uint8=options.is_uint8)
    dtype = np.uint8 if options.is_uint8 else np.float32
    graph = onnx_graph.write(of_images, shape, dtype=dtype, properties={KEY: as_json(described)})
    if options.quantize == "int8":
        graph = _quantized(graph, options.faces.astype(dtype))
    elif options.quantize == "float16":
        _halve_kernels(graph.graph)
    if options.batch is not None:
        for value in (*graph.graph.input, *graph.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = options.batch
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _halve_kernels(graph: onnx.GraphProto) -> None:
    """Stores kernels in float16; a node turns each into float32 again, once, when the file is loaded."""
    kernels = [tensor for tensor in graph.initializer if len(tensor.dims) > 1]
    for tensor in kernels:
        name, array = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}.float16"))
    casts = [
        helper.make_node("Cast", [tensor.name], [tensor.name.removesuffix(".float16")], to=onnx.TensorProto.FLOAT)
        for tensor in kernels
    ]
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def _quantized(graph: onnx.ModelProto, faces_NxSxSxC: np.ndarray) -> onnx.ModelProto:
    """Kernels and feature maps in 8 bits, with the maps' ranges as they are on the faces."""
    from onnxruntime import quantization  # takes a second to load

    class Faces(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            starts = range(0, len(faces_NxSxSxC), _CALIBRATION_BATCH)
            self._batches = iter([faces_NxSxSxC[start : start + _CALIBRATION_BATCH] for start in starts])

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "quantized.onnx"
        quantization.quantize_static(
            graph,
            path,
            Faces(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
        )
        written = onnx.load(path)
    helper.set_model_props(written, {prop.key: prop.value for prop in graph.metadata_props})
    return written
