"""What runs a trained model: onnxruntime on a CPU, where it is the faster one, and JAX on everything else.

An engine takes a batch, uint8 faces for the most part, and returns arrays by name; both engines are held to agree by
tests.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import folding
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.onnx_session import cpu_session
from emotion_gcn_jax.onnx_writer import onnx_graph
from emotion_gcn_jax.tasks.registry import Tasks

Engine = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From a batch to float32 B x W by name: of a whole model uint8 images B x S x S x C to every task's answers."""

Part = Callable[[EmotionNet, Mapping[str, Any], jax.Array], Mapping[str, jax.Array]]
"""What an engine runs: from a network, its variables and a batch to arrays by name, row by row of the batch's rows."""

# JAX compiles every number of faces anew: they are judged in batches of these sizes, the last one padded.
_BATCH_SIZES = (1, 8, 32)


def check_name(name: str | None) -> None:
    """Raises UserError for a name that is no engine's."""
    if name is not None and name not in ENGINES:
        raise UserError(f"Unknown engine {name!r}: choose one of {', '.join(ENGINES)}, or none for the faster one.")


def start(
    name: str | None, module: EmotionNet, variables: Mapping[str, Any], tasks: Tasks, inputs: Input
) -> tuple[str, Engine]:
    """Makes a model ready to answer.

    Args:
        name: a key of ENGINES; None chooses onnx where JAX has nothing but a CPU and the model can be written as ONNX.
        module: the network.
        variables: its "params", "batch_stats" and "constants".
        tasks: what it predicts.
        inputs: what the network sees of an image.

    Returns:
        The engine's name, and the engine.

    Raises:
        UserError: the engine was named, and cannot run the model.
    """

    def judged(module: EmotionNet, variables: Mapping[str, Any], images: jax.Array) -> dict[str, jax.Array]:
        return answers(module, variables, images, tasks, inputs)

    row = jax.ShapeDtypeStruct((inputs.side, inputs.side, inputs.channels), np.uint8)
    name, run = start_part(name, judged, module, variables, row)

    def engine(images: np.ndarray) -> dict[str, np.ndarray]:
        found = run(images)
        return {task.name: found[task.name] for task in tasks}

    return name, engine


def start_part(
    name: str | None, part: Part, module: EmotionNet, variables: Mapping[str, Any], row: jax.ShapeDtypeStruct
) -> tuple[str, Engine]:
    """Makes a part of a model ready.

    Args:
        name: as for `start`.
        part: what is run, of a batch of any size.
        module: the network.
        variables: its collections.
        row: the shape, H x W x C, and the dtype of one row of a batch: uint8 or float32.

    Returns:
        The engine's name, and the engine.

    Raises:
        UserError: as `start`.
    """
    if name is not None:
        return name, ENGINES[name](part, module, variables, row)
    if jax.default_backend() == "cpu":
        try:
            return "onnx", _onnx(part, module, variables, row)
        except onnx_graph.NotWritableError:
            pass
    return "jax", _jax(part, module, variables, row)


def _onnx(part: Part, module: EmotionNet, variables: Mapping[str, Any], row: jax.ShapeDtypeStruct) -> Engine:
    module = precise(module)  # the graph computes in float32
    model = onnx_graph.write(lambda batch: part(module, variables, batch), row.shape, dtype=row.dtype)
    session = cpu_session(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(names, {"images": batch}), strict=True))


def _jax(part: Part, module: EmotionNet, variables: Mapping[str, Any], row: jax.ShapeDtypeStruct) -> Engine:
    one = jax.ShapeDtypeStruct((1, *row.shape), row.dtype)
    jax.eval_shape(lambda batch: part(module, variables, batch), one)  # raises if it fails

    @functools.cache
    def folded() -> Any:  # at the first answer: an evaluation on several devices folds for itself
        net, ready = folding.fold(module, variables)
        run = jax.jit(lambda variables, batch: part(net, variables, batch))
        return in_few_sizes(functools.partial(run, jax.device_put(ready)))

    return lambda batch: folded()(batch)


def in_few_sizes(run: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a compiled function of batches one that is compiled for few numbers of rows only.

    Args:
        run: from trees of arrays, whose first axes are the rows, to such a tree.

    Returns:
        A function of any number of rows of NumPy's arrays, which returns NumPy's.
    """

    def padded(rows: np.ndarray, size: int) -> np.ndarray:
        filled = np.zeros((size, *rows.shape[1:]), rows.dtype)
        filled[: len(rows)] = rows
        return filled

    def answer(*trees: Any) -> Any:
        count, parts = len(jax.tree.leaves(trees)[0]), []
        for first in range(0, max(count, 1), _BATCH_SIZES[-1]):
            here = min(count - first, _BATCH_SIZES[-1])
            size = next(size for size in _BATCH_SIZES if size >= here)
            some = jax.tree.map(lambda rows, first=first, size=size: padded(rows[first : first + size], size), trees)
            parts.append(jax.tree.map(lambda rows, here=here: np.asarray(rows)[:here], run(*some)))
        return jax.tree.map(lambda *rows: np.concatenate(rows), *parts)

    return answer


def for_backend(module: EmotionNet) -> EmotionNet:
    """The network as JAX should judge with it: on a CPU not in bfloat16.

    XLA's own convolutions are slow at it there, and of jax 0.12's fusions of them some return NaN (seen of
    fer_resnet14); oneDNN's, which training takes, are neither.
    """
    return precise(module) if jax.default_backend() == "cpu" else module


def precise(module: EmotionNet) -> EmotionNet:
    """The network in its parameters' dtype, whatever it was trained in."""
    trunk: Any = module.trunk
    hearing = module.hearing
    if hearing is not None:
        ear: Any = hearing.trunk
        hearing = hearing.clone(trunk=ear.clone(dtype=module.param_dtype))
    return module.clone(trunk=trunk.clone(dtype=module.param_dtype), hearing=hearing)


def answers(
    module: EmotionNet, variables: Mapping[str, Any], images: jax.Array, tasks: Tasks, inputs: Input
) -> dict[str, jax.Array]:
    """Every task's answers, float32 B x W by its name, to uint8 images B x S x S x C: what every engine computes."""
    outputs: Any = module.apply(variables, inputs.view(images, module.param_dtype), train=False)
    return answers_of(outputs, tasks)


def answers_of(outputs: Mapping[str, jax.Array], tasks: Tasks) -> dict[str, jax.Array]:
    """Every task's answers, float32 B x W by its name, from a model's raw outputs B x W.

    Raises ValueError where there are more or fewer: a graph that was stored with a model makes as many as it has nodes.
    """
    for task in tasks:
        if outputs[task.name].shape[-1] != len(task.outputs):
            raise ValueError(f"{outputs[task.name].shape[-1]} outputs for {len(task.outputs)} of {task.name}")
    return {task.name: task.answer(outputs[task.name]).astype(jnp.float32) for task in tasks}


ENGINES: dict[str, Callable[..., Engine]] = {"onnx": _onnx, "jax": _jax}
