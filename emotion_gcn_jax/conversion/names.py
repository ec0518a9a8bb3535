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

from emotion_gcn_jax.conversion.families import FAMILIES, MAP_SIDE
from emotion_gcn_jax.conversion.state_dicts import convertible
from emotion_gcn_jax.errors import listed, shown
from emotion_gcn_jax.labels import EXPRESSIONS
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
BLUE_FIRST = Layout(lambda oihw: CONV.to_ours(oihw[:, ::-1]), lambda hwio: CONV.to_theirs(hwio)[:, ::-1])
POINTWISE = Layout(lambda oi11: oi11[:, :, 0, 0].T, lambda io: io.T[:, :, None, None])


def flattened(height: int, width: int, channels: int, features: int) -> Layout:
    """A convolution as large as its map, which is a linear layer in torch: of the map flattened, channels first."""
    return Layout(
        lambda oi: CONV.to_ours(oi.reshape(features, channels, height, width)),
        lambda hwio: CONV.to_theirs(hwio).reshape(features, -1),
    )


def of_flattened(height: int, width: int, channels: int, features: int) -> Layout:
    """A linear layer of a map flattened channels first there, and channels last here."""
    conv = flattened(height, width, channels, features)
    return Layout(
        lambda oi: conv.to_ours(oi).reshape(-1, features),
        lambda io: conv.to_theirs(io.reshape(height, width, channels, features)),
    )


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
    """What an official model has around the trunk.

    Attributes:
        prefix: stands before the trunk's own names.
        heads: the linear layers in the file's order: their names, and the tasks whose outputs they make.
        unused: a final layer that the model has and does not use.
    """

    prefix: str
    heads: tuple[tuple[str, str], ...] = ()
    unused: str | None = None


_DENSENET = {
    "single_task": Scheme("features.", (("classifier", "expression"),)),
    "multi_task": Scheme("model_base.", (("lin_cat", "expression"), ("lin_cont", "affect"))),
    "emotion_gcn": Scheme("features."),
}
# No official weights are public: the head's name in the public checkpoint whose names the trunk has.
_DEEP_EMOTION = _DENSENET | {"single_task": Scheme("", (("fc_de.3", "expression"),))}
_BREGNEXT = {
    "single_task": Scheme("", (("_fc0", "expression"),)),
    "multi_task": Scheme("", (("fc_cont", "affect"), ("fc_cat", "expression"))),
    "emotion_gcn": Scheme("model.", unused="model._fc0"),
}

OFFICIAL_MODELS = tuple(_DENSENET)
VALUES = ("Valence", "Arousal")
"""The outputs of the official models' task `affect`, in their order."""

_SCHEMES = {"bregnext": _BREGNEXT, "deep_emotion": _DEEP_EMOTION, "": _DENSENET}
"""By the beginning of a trunk's name what stands around it."""

_ADJACENCY, _GRAPH_LAYERS = "A", ("gc1.weight", "gc2.weight")
_OFFICIAL_CLASSES, _OFFICIAL_WIDTH = len(EXPRESSIONS), 300  # of the word vectors
_COUNTER = "num_batches_tracked"  # of a norm; torch before 0.4.1 had none
_MOST_PROBLEMS = 5  # of each kind that a message names: with the longest names it has less than 2,000 characters

# A layer's arrays in torch's order: our collection and name, and torch's name.
_LEAVES = (
    ("params", "kernel", "weight"),
    ("params", "a", "_a"),
    ("params", "c", "_c"),
    ("params", "scale", "weight"),
    ("params", "bias", "bias"),
    ("batch_stats", "mean", "running_mean"),
    ("batch_stats", "var", "running_var"),
)
_LAYOUT_OF_AXES = {1: AS_IS, 2: POINTWISE, 4: CONV}


def official_tensors(
    trunk: str,
    model: str,
    *,
    word_vector_width: int = _OFFICIAL_WIDTH,
    num_classes: int = _OFFICIAL_CLASSES,
    channels: int = 3,
) -> tuple[TorchTensor, ...]:
    """The tensors of the official state dict of a model, in its order.

    The official models are on densenet121 and bregnext50; single_task on Deep-Emotion is laid out as a public
    checkpoint of it, the others are as densenet121's.

    Args:
        trunk: a key of models.emotion_net.TRUNKS, of a trunk with torch_names.
        model: one of OFFICIAL_MODELS.
        word_vector_width: F, for emotion_gcn.
        num_classes: C.
        channels: of the input, where the trunk leaves a choice.
    """
    scheme = next(schemes for name, schemes in _SCHEMES.items() if trunk.startswith(name))[model]
    body, features = trunk_tensors(trunk, scheme.prefix, channels), _traced(trunk, channels).features
    outputs = {"expression": num_classes, "affect": len(VALUES)}
    if model != "emotion_gcn":
        return (*body, *(t for name, task in scheme.heads for t in _linear(name, task, outputs[task], features)))
    nodes = sum(outputs.values())
    # Row-normalised, not transposed: the same as ours.
    adjacency = TorchTensor(_ADJACENCY, (nodes, nodes), ("constants", "head", "adjacency"), classes=True)
    unused: tuple[TorchTensor, ...] = ()
    if scheme.unused:  # it has 7 rows, whatever the graph has
        shapes = {"weight": (_OFFICIAL_CLASSES, features), "bias": (_OFFICIAL_CLASSES,)}
        unused = tuple(TorchTensor(f"{scheme.unused}.{leaf}", shape) for leaf, shape in shapes.items())
    first, second = _GRAPH_LAYERS
    layers = (
        TorchTensor(first, (word_vector_width, gcn.HIDDEN_WIDTH), ("params", "head", "gcn", "layer1")),
        TorchTensor(second, (gcn.HIDDEN_WIDTH, features), ("params", "head", "gcn", "layer2")),
    )
    return (adjacency, *body, *unused, *layers)


def trunk_tensors(trunk: str, prefix: str = "", channels: int = 3, family: str = "") -> tuple[TorchTensor, ...]:
    """A trunk's tensors, in the order of its state dict.

    Args:
        trunk: a key of models.emotion_net.TRUNKS, of a trunk with torch_names.
        prefix: stands before the names.
        channels: of the input, where the trunk leaves a choice.
        family: one of the trunk's; "" is the one whose names the official models' trunks have.
    """
    module: Any = TRUNKS[trunk]()
    shapes, linear = _traced(trunk, channels).shapes, getattr(module, "FLATTENED", ())
    layers = module.torch_names(family) if family else module.torch_names()
    first, *others = (
        tensor
        for theirs, ours in layers
        for tensor in _layer(f"{prefix}{theirs}", tuple(ours.split("/")), shapes, is_linear=ours in linear)
    )
    if family and FAMILIES[family].is_bgr:
        first = first._replace(layout=BLUE_FIRST)
    return (first, *others)


def neck_tensors(trunk: str, family: str, tensors: Arrays) -> tuple[TorchTensor, ...]:
    """The linear layers after the flattened map that a family's weights have besides the trunk; often none.

    Args:
        trunk: a key of models.emotion_net.TRUNKS.
        family: one of the trunk's.
        tensors: the state dict, whose biases say how wide the layers are.
    """
    found: list[TorchTensor] = []
    channels = _traced(trunk, 3).features
    width = MAP_SIDE**2 * channels
    for number, name in enumerate(FAMILIES[family].fully_connected, start=1):
        features = max(np.size(tensors.get(f"{name}.bias", ())), 1)
        layout = LINEAR if found else of_flattened(MAP_SIDE, MAP_SIDE, channels, features)
        path = ("params", "neck", f"hidden{number}")
        found.append(TorchTensor(f"{name}.weight", (features, width), (*path, "kernel"), layout))
        found.append(TorchTensor(f"{name}.bias", (features,), (*path, "bias")))
        width = features
    return tuple(found)


def class_count(tensors: Arrays, official: Sequence[TorchTensor]) -> int:
    """How many classes a state dict has, by its adjacency or its classifier.

    Args:
        tensors: the state dict.
        official: the tensors of the same model with any number of classes.

    Returns:
        2 or more; 7, the official number, where the state dict does not tell.
    """
    name = next(tensor.name for tensor in official if tensor.classes)
    outputs = tensors[name].shape[0] if name in tensors and tensors[name].ndim else 0
    count = outputs - len(VALUES) if name == _ADJACENCY else outputs
    return count if count > 1 else _OFFICIAL_CLASSES


def word_vector_width(tensors: Arrays) -> int:
    """The width of the word vectors that a state dict's graph takes; 300, the official one, where it does not tell."""
    first = tensors.get(_GRAPH_LAYERS[0])
    return first.shape[0] if first is not None and first.ndim == 2 else _OFFICIAL_WIDTH


def problems(tensors: Mapping[str, Any], expected: Sequence[TorchTensor]) -> list[str]:
    """What keeps a state dict from being that of a model: what is missing, unexpected or not sound.

    Counters may be missing, or of any kind. Numbers of another precision are sound where they are finite in the
    expected one.
    """
    names = {tensor.name for tensor in expected}
    missing = [tensor.name for tensor in expected if tensor.name not in tensors and not _is_counter(tensor)]
    unexpected = [name for name in tensors if name not in names]
    unsound = [p for tensor in expected if tensor.name in tensors and (p := _problem(tensor, tensors[tensor.name]))]
    more = len(unsound) - _MOST_PROBLEMS
    return [
        *([f"missing: {listed(missing, _MOST_PROBLEMS)}"] if missing else []),
        *([f"unexpected: {listed(unexpected, _MOST_PROBLEMS)}"] if unexpected else []),
        *unsound[:_MOST_PROBLEMS],
        *([f"and {more} more that are not sound"] if more > 0 else []),
    ]


def to_variables(tensors: Arrays, expected: Sequence[TorchTensor]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Turns a state dict without `problems` into our variables and its extras; numbers and their types stay.

    Returns:
        The collections "params", "batch_stats" and, for emotion_gcn, "constants" with the adjacency alone (the word
        vectors are in no state dict); and the extras by their names, zeros where the file has none.
    """
    flat, extras = {}, {}
    for tensor in expected:
        if tensor.path is None:
            extra = tensors.get(tensor.name, np.zeros(tensor.shape, tensor.dtype))
            extras[tensor.name] = _count(extra) if _is_counter(tensor) else extra
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
            permuted[tensor.name] = array[np.ix_(places, places)] if tensor.name == _ADJACENCY else array[places]
    return permuted


class _Traced(NamedTuple):
    """What is known of a trunk without computing anything.

    Attributes:
        shapes: of its arrays, by collection and path.
        features: the channels of its last map.
    """

    shapes: Mapping[Path, tuple[int, ...]]
    features: int


@functools.cache
def _traced(trunk: str, channels: int) -> _Traced:
    """Traces a trunk, which takes seconds for hundreds of layers."""
    module = TRUNKS[trunk]()
    side, channels = getattr(module, "INPUT", (64, channels))
    run = functools.partial(module.init_with_output, train=False)
    images = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
    last, variables = jax.eval_shape(run, jax.random.key(0), images)
    flat = traverse_util.flatten_dict(dict(variables))
    return _Traced({path: leaf.shape for path, leaf in flat.items()}, last.shape[-1])


def _layer(
    name: str, path: Path, shapes: Mapping[Path, tuple[int, ...]], *, is_linear: bool = False
) -> list[TorchTensor]:
    """The tensors of a trunk's layer, by torch's name of it and our path in the trunk."""
    tensors = []
    for collection, leaf, their_leaf in _LEAVES:
        shape = shapes.get((collection, *path, leaf))
        if shape is not None:
            layout = flattened(*shape) if is_linear and len(shape) == 4 else _LAYOUT_OF_AXES[len(shape)]
            their_shape = layout.to_theirs(np.broadcast_to(0, shape)).shape  # a view of one number
            tensors.append(TorchTensor(f"{name}.{their_leaf}", their_shape, (collection, "trunk", *path, leaf), layout))
    if ("batch_stats", *path, "var") in shapes:
        tensors.append(TorchTensor(f"{name}.{_COUNTER}", (), dtype="int64"))
    return tensors


def _linear(name: str, task: str, outputs: int, features: int) -> tuple[TorchTensor, TorchTensor]:
    """A linear layer's tensors, by its name in torch and the task whose outputs it makes."""
    path, classes = ("params", "head", task), task == "expression"
    return (
        TorchTensor(f"{name}.weight", (outputs, features), (*path, "kernel"), LINEAR, classes=classes),
        TorchTensor(f"{name}.bias", (outputs,), (*path, "bias"), classes=classes),
    )


def _is_counter(tensor: TorchTensor) -> bool:
    return tensor.name.endswith(_COUNTER)


def _count(counter: np.ndarray) -> np.ndarray:
    """A counter as PyTorch has it, a whole number, where another tool keeps a real one or an array of one."""
    if counter.shape == () and counter.dtype.kind in "iu":
        return counter
    is_one = counter.size == 1 and counter.dtype.kind in "iuf" and bool(np.isfinite(counter).all())
    return np.asarray(counter.ravel()[0] if is_one else 0, np.int64)


def _problem(tensor: TorchTensor, array: Any) -> str | None:
    """What is not sound about a tensor of the file, if anything is."""
    if not isinstance(array, np.ndarray):
        return f"{tensor.name} is no tensor"
    if _is_counter(tensor):  # how many batches there were says nothing of the model, and other tools keep it otherwise
        return None
    if array.shape != tensor.shape:
        return f"{tensor.name} has shape {_times(array.shape)} instead of {_times(tensor.shape)}"
    if not convertible(array.dtype, np.dtype(tensor.dtype)):
        return f"{tensor.name} holds {array.dtype} instead of {tensor.dtype}"
    with np.errstate(over="ignore"):  # what overflows is found on the same line
        is_finite = np.isfinite(array.astype(tensor.dtype)).all()
    return None if is_finite else f"{tensor.name} has numbers that are not finite in {tensor.dtype}"


def _times(shape: tuple[int, ...]) -> str:
    return shown("x".join(map(str, shape))) or "()"
