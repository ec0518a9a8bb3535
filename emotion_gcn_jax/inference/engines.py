"""What runs a trained model: onnxruntime on a CPU, where it is the faster one, and JAX on everything else.

An engine takes uint8 faces and returns every task's answers; both engines are held to agree by tests.
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
"""From uint8 images B x S x S x C to every task's answers, float32 B x W, by its name."""

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
    if name is not None:
        return name, ENGINES[name](module, variables, tasks, inputs)
    if jax.default_backend() == "cpu":
        try:
            return "onnx", _onnx(module, variables, tasks, inputs)
        except onnx_graph.NotWritableError:
            pass
    return "jax", _jax(module, variables, tasks, inputs)


def _onnx(module: EmotionNet, variables: Mapping[str, Any], tasks: Tasks, inputs: Input) -> Engine:
    module = precise(module)  # the graph computes in float32

    def of_images(images: jax.Array) -> dict[str, jax.Array]:
        return answers(module, variables, images, tasks, inputs)

    model = onnx_graph.write(of_images, (inputs.side, inputs.side, inputs.channels), dtype=np.uint8)
    session = cpu_session(model.SerializeToString())
    names = [task.name for task in tasks]
    return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


def _jax(module: EmotionNet, variables: Mapping[str, Any], tasks: Tasks, inputs: Input) -> Engine:
    image_1xSxSxC = jax.ShapeDtypeStruct((1, inputs.side, inputs.side, inputs.channels), np.uint8)
    jax.eval_shape(
        lambda images: answers(module, variables, images, tasks, inputs), image_1xSxSxC
    )  # raises if it fails

    @functools.cache
    def folded() -> tuple[Any, Any]:  # at the first answer: an evaluation on several devices folds for itself
        net, ready = folding.fold(module, variables)
        run = jax.jit(lambda variables, images: answers(net, variables, images, tasks, inputs))
        return run, jax.device_put(ready)

    def answer(images: np.ndarray) -> dict[str, np.ndarray]:
        run, ready = folded()
        parts = []
        for first in range(0, max(len(images), 1), _BATCH_SIZES[-1]):
            some = images[first : first + _BATCH_SIZES[-1]]
            padded = np.zeros((next(size for size in _BATCH_SIZES if size >= len(some)), *some.shape[1:]), np.uint8)
            padded[: len(some)] = some
            parts.append({name: np.asarray(rows)[: len(some)] for name, rows in run(ready, padded).items()})
        return {task.name: np.concatenate([part[task.name] for part in parts]) for task in tasks}

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
    return module.clone(trunk=trunk.clone(dtype=module.param_dtype))


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


ENGINES: dict[str, Callable[[EmotionNet, Mapping[str, Any], Tasks, Input], Engine]] = {"onnx": _onnx, "jax": _jax}
