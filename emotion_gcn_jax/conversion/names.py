"""Which PyTorch tensor is which of ours, with the shapes, in the order of the official state dicts.

A trunk says its layers' names (torch_names); what stands here is how a layer's arrays are named and turned, and what
the official models have around the trunk (Emotion-GCN spec, section 8; the lists are in tests/reference/state_dicts).
What our models do not have (counters, a final layer that nothing uses) is an extra: it is kept beside the variables, so
that a state dict comes back bit by bit.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from emotion_gcn_jax.errors import listed
from emotion_gcn_jax.models import gcn
from emotion_gcn_jax.models.emotion_net import TRUNKS
from emotion_gcn_jax.trees import Variables

Arrays = Mapping[str, np.ndarray]
Path = tuple[str, ...]


class Layout(NamedTuple):
    """How an array is turned from torch's axes to ours, and back."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]


AS_IS = Layout(lambda array: array, lambda array: array)
LINEAR = Layout(np.transpose, np.transpose)
CONV = Layout(lambda oihw: oihw.transpose(2, 3, 1, 0), lambda hwio: hwio.transpose(3, 2, 0, 1))
POINTWISE = Layout(lambda oi11: oi11[:, :, 0, 0].T, lambda io: io.T[:, :, None, None])


class TorchTensor(NamedTuple):
    """One tensor of a PyTorch state dict.

    Attributes:
        name: its name there.
        shape: its shape there.
        path: where it is in our variables, the collection first; None for an extra.
        layout: how its axes are turned.
        dtype: NumPy's name of it.
        classes: whether its first axis (with A: both) are the outputs, the classes first.
    """

    name: str
    shape: tuple[int, ...]
    path: Path | None = None
    layout: Layout = AS_IS
    dtype: str = "float32"
    classes: bool = False


class Scheme(NamedTuple):
    """How the official models of one trunk are laid out.

    Attributes:
        prefixes: what stands before the trunk's own names, by the model.
        linear: the linear layers and the places of their outputs (0: classes, 1: values), by the model, in the file's
            order.
        unused: a final layer that the graph model has and does not use.
    """

    prefixes: Mapping[str, str]
    linear: Mapping[str, tuple[tuple[str, int], ...]]
    unused: str = ""


_DENSENET = Scheme(
    prefixes={"single_task": "features.", "multi_task": "model_base.", "emotion_gcn": "features."},
    linear={"single_task": (("classifier", 0),), "multi_task": (("lin_cat", 0), ("lin_cont", 1)), "emotion_gcn": ()},
)
_BREGNEXT = Scheme(
    prefixes={"single_task": "", "multi_task": "", "emotion_gcn": "model."},
    linear={"single_task": (("_fc0", 0),), "multi_task": (("fc_cont", 1), ("fc_cat", 0)), "emotion_gcn": ()},
    unused="model._fc0",
)

VALUES = 2  # valence and arousal
HEAD_NAMES = ("expression", "affect")  # the tasks of the official models, in our order
OFFICIAL_MODELS = tuple(_DENSENET.prefixes)


def official_tensors(
    trunk: str, model: str, *, word_vector_width: int = 300, num_classes: int = 7, channels: int = 3
) -> tuple[TorchTensor, ...]:
    """The tensors of the official state dict of a model, in its order.

    The official models are on densenet121 and bregnext50; the others are laid out as densenet121's.

    Args:
        trunk: a key of models.emotion_net.TRUNKS.
        model: one of OFFICIAL_MODELS.
        word_vector_width: F, for emotion_gcn.
        num_classes: C.
        channels: of the input.
    """
    scheme, features = _scheme(trunk), _feature_count(trunk)
    body = trunk_tensors(trunk, scheme.prefixes[model], channels)
    if model != "emotion_gcn":
        return (
            *body,
            *(t for name, place in scheme.linear[model] for t in _linear(name, place, num_classes, features)),
        )
    nodes = num_classes + VALUES
    # Row-normalised, not transposed: the same as ours.
    adjacency = TorchTensor("A", (nodes, nodes), ("constants", "head", "adjacency"), classes=True)
    unused: list[TorchTensor] = []
    if scheme.unused:  # the official one has 7 rows, whatever the graph has
        unused = [TorchTensor(f"{scheme.unused}.weight", (7, features)), TorchTensor(f"{scheme.unused}.bias", (7,))]
    ours = ("params", "head", "gcn")
    layers = [
        TorchTensor("gc1.weight", (word_vector_width, gcn.HIDDEN_WIDTH), (*ours, "layer1")),
        TorchTensor("gc2.weight", (gcn.HIDDEN_WIDTH, features), (*ours, "layer2")),
    ]
    return (adjacency, *body, *unused, *layers)


def trunk_tensors(trunk: str, prefix: str = "", channels: int = 3) -> list[TorchTensor]:
    """A trunk's tensors, in the order of its state dict.

    Args:
        trunk: a key of models.emotion_net.TRUNKS, of a trunk with torch_names.
        prefix: stands before the names.
        channels: of the input.
    """
    shapes, tensors = _shapes(trunk, channels), []
    for theirs, ours in TRUNKS[trunk]().torch_names():
        path = tuple(ours.split("/"))
        for leaf, their_leaf in _LEAVES.items():
            found = next((c for c in ("params", "batch_stats") if (c, *path, leaf) in shapes), None)
            if found is None:
                continue
            shape = shapes[found, *path, leaf]
            layout = {4: CONV, 2: POINTWISE}.get(len(shape), AS_IS)
            their_shape = {4: lambda s: (s[3], s[2], s[0], s[1]), 2: lambda s: (s[1], s[0], 1, 1)}.get(
                len(shape), tuple
            )
            place = (found, "trunk", *path, leaf)
            tensors.append(TorchTensor(f"{prefix}{theirs}.{their_leaf}", their_shape(shape), place, layout))
            if leaf == "var":
                tensors.append(TorchTensor(f"{prefix}{theirs}.num_batches_tracked", (), dtype="int64"))
    return tensors


def layer_names(trunk: str, model: str) -> set[str]:
    """The names of an official model's layers; found without building it."""
    scheme = _scheme(trunk)
    body = {f"{scheme.prefixes[model]}{theirs}" for theirs, _ in TRUNKS[trunk]().torch_names()}
    head = {"gc1", "gc2"} if model == "emotion_gcn" else {name for name, _ in scheme.linear[model]}
    return body | head


def problems(tensors: Mapping[str, Any], expected: Sequence[TorchTensor]) -> list[str]:
    """What keeps a state dict from being that of a model: what is missing, unexpected or not sound.

    Counters may be missing: torch before 0.4.1 had none.
    """
    found = []
    names = {tensor.name for tensor in expected}
    missing = [t.name for t in expected if t.name not in tensors and not t.name.endswith("num_batches_tracked")]
    if missing:
        found.append(f"missing: {listed(missing)}")
    if unexpected := [name for name in tensors if name not in names]:
        found.append(f"unexpected: {listed(unexpected)}")
    wrong = [problem for tensor in expected if (problem := _problem(tensor, tensors.get(tensor.name)))]
    return [*found, *([listed(wrong)] if wrong else [])]


def to_variables(tensors: Arrays, expected: Sequence[TorchTensor]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Turns a state dict without `problems` into our variables and its extras; numbers and their types stay.

    Returns:
        The collections "params", "batch_stats" and, for emotion_gcn, "constants" with the adjacency alone (the word
        vectors are in no state dict); and the extras by their names, zeros where the file has none.
    """
    flat, extras = {}, {}
    for tensor in expected:
        if tensor.path is None:
            extras[tensor.name] = tensors.get(tensor.name, np.zeros(tensor.shape, tensor.dtype))
        else:
            flat[tensor.path] = np.ascontiguousarray(tensor.layout.to_ours(tensors[tensor.name]))
    return {"batch_stats": {}, "constants": {}, **traverse_util.unflatten_dict(flat)}, extras


def to_state_dict(variables: Variables, extras: Arrays, expected: Sequence[TorchTensor]) -> dict[str, np.ndarray]:
    """The inverse of `to_variables`, in the file's order; extras that are not there become zeros."""
    flat = traverse_util.flatten_dict(dict(variables))
    return {
        tensor.name: np.ascontiguousarray(tensor.layout.to_theirs(np.asarray(flat[tensor.path]))).reshape(tensor.shape)
        if tensor.path
        else np.asarray(extras.get(tensor.name, np.zeros(tensor.shape, tensor.dtype)))
        for tensor in expected
    }


def permuted_classes(tensors: Arrays, expected: Sequence[TorchTensor], order: Sequence[int]) -> dict[str, np.ndarray]:
    """The state dict of the same model with its classes in another order: row i becomes the present row order[i].

    In a graph model the nodes change places, with their edges: of A both rows and columns. The caller does the same
    with the word vectors, and W = P lrelu(P H L1) L2 then has its rows in the new order, since the layers act on each
    node alone. Valence and arousal stay.
    """
    permuted = dict(tensors)
    for tensor in expected:
        if tensor.classes:
            array = tensors[tensor.name]
            places = [*order, *range(len(order), len(array))]
            permuted[tensor.name] = array[np.ix_(places, places)] if tensor.name == "A" else array[places]
    return permuted


# Our arrays in the order that torch keeps a layer's, and torch's names of them.
_LEAVES = {
    "kernel": "weight",
    "a": "_a",
    "c": "_c",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}

TORCH_LEAVES = tuple(dict.fromkeys(_LEAVES.values()))
"""The names of a layer's tensors in torch, counters apart."""


@functools.cache
def _shapes(trunk: str, channels: int) -> dict[Path, tuple[int, ...]]:
    """The shape of every array of a trunk, by collection and path; nothing is computed for it."""
    module = TRUNKS[trunk]()
    images = jax.ShapeDtypeStruct((1, 64, 64, channels), jnp.float32)
    variables = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), images)
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(dict(variables)).items()}


@functools.cache
def _feature_count(trunk: str) -> int:
    module = TRUNKS[trunk]()
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    features, _ = jax.eval_shape(functools.partial(module.init_with_output, train=False), jax.random.key(0), images)
    return features.shape[-1]


def _scheme(trunk: str) -> Scheme:
    return _BREGNEXT if trunk.startswith("bregnext") else _DENSENET


def _linear(name: str, place: int, num_classes: int, features: int) -> list[TorchTensor]:
    outputs = (num_classes, VALUES)[place]
    ours = ("params", "head", HEAD_NAMES[place])
    return [
        TorchTensor(f"{name}.weight", (outputs, features), (*ours, "kernel"), LINEAR, classes=place == 0),
        TorchTensor(f"{name}.bias", (outputs,), (*ours, "bias"), classes=place == 0),
    ]


def _problem(tensor: TorchTensor, array: Any) -> str | None:
    """What is not sound about a tensor of the file, if anything is."""
    if array is None:
        return None
    if not isinstance(array, np.ndarray):
        return f"{tensor.name} is no tensor"
    if array.shape != tensor.shape:
        return f"{tensor.name} has shape {_times(array.shape)} instead of {_times(tensor.shape)}"
    if array.dtype.kind != np.dtype(tensor.dtype).kind:  # half and double precision are cast
        return f"{tensor.name} holds {array.dtype} instead of {tensor.dtype}"
    if not np.isfinite(array.astype(tensor.dtype)).all():
        return f"{tensor.name} has numbers that are not finite in {tensor.dtype}"
    return None


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "of a scalar"
