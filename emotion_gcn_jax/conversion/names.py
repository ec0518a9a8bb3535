"""Which official tensor is which of ours: one list a trunk and head, with the shapes, in the official order.

Source of names, shapes and order: the official models' state dicts (Emotion-GCN spec, section 8), whose lists are in
tests/reference/state_dicts. What our models do not have (counters, a final layer that nothing uses) is an extra: it is
kept beside the variables, so that a state dict comes back bit by bit.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS, NODES
from emotion_gcn_jax.models import gcn
from emotion_gcn_jax.models.bregnext import BReGNeXt
from emotion_gcn_jax.models.densenet import BOTTLENECK, DenseNet
from emotion_gcn_jax.models.emotion_net import AFFECT_DIMENSIONS, MODELS, create_model

OFFICIAL_TRUNKS = ("densenet121", "bregnext50")

Variables = dict[str, Any]
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


class OfficialTensor(NamedTuple):
    """One tensor of an official state dict.

    Attributes:
        name: its official name.
        shape: its official shape.
        path: where it is in our variables, the collection first; None for an extra.
        layout: how its axes are turned.
        dtype: NumPy's name of it.
        classes: whether its first axis (with A: both) are the outputs, in the order of the labels.
    """

    name: str
    shape: tuple[int, ...]
    path: Path | None = None
    layout: Layout = AS_IS
    dtype: str = "float32"
    classes: bool = False


def official_tensors(
    trunk: str, model: str, *, word_vector_width: int = 300, num_classes: int = len(EXPRESSIONS)
) -> tuple[OfficialTensor, ...]:
    """The tensors of the official state dict of a model, in its order.

    Args:
        trunk: a key of models.emotion_net.TRUNKS; only two of them have an official counterpart.
        model: one of models.emotion_net.MODELS.
        word_vector_width: F, for emotion_gcn.
        num_classes: C, of the other two.

    Raises:
        UserError: an unknown name.
    """
    net: Any = create_model(trunk, model, num_classes=num_classes, word_vector_width=word_vector_width)
    if isinstance(net.trunk, DenseNet):
        prefix = {"single_task": "features.", "multi_task": "model_base.", "emotion_gcn": "features."}[model]
        tensors, features = _densenet(net.trunk, prefix)
        linear = {"single_task": ["classifier"], "multi_task": ["lin_cat", "lin_cont"], "emotion_gcn": []}[model]
        unused: list[OfficialTensor] = []
    else:
        prefix = {"single_task": "", "multi_task": "", "emotion_gcn": "model."}[model]
        tensors, features = _bregnext(net.trunk, prefix)
        linear = {"single_task": ["_fc0"], "multi_task": ["fc_cont", "fc_cat"], "emotion_gcn": []}[model]
        unused = [OfficialTensor("model._fc0.weight", (len(EXPRESSIONS), features))]
        unused += [OfficialTensor("model._fc0.bias", (len(EXPRESSIONS),))]
    if model == "emotion_gcn":
        return (*_adjacency(), *tensors, *unused, *_graph_layers(word_vector_width, features))
    return (*tensors, *(part for name in linear for part in _linear(name, num_classes, features)))


def infer_trunk_and_model(
    names: set[str], trunk: str | None = None, model: str | None = None
) -> tuple[str, str] | None:
    """The trunk and model whose official names a file's are, as nearly as any; None if they have little in common.

    Args:
        names: the file's.
        trunk: the trunk, if it is known.
        model: the model, if it is known.
    """
    if trunk and model:
        return trunk, model

    def likeness(candidate: tuple[str, str]) -> float:
        official = {tensor.name for tensor in official_tensors(*candidate)}
        return len(names & official) / len(names | official)

    trunks, models = (trunk,) if trunk else OFFICIAL_TRUNKS, (model,) if model else MODELS
    best = max(((t, m) for t in trunks for m in models), key=likeness)
    return best if likeness(best) > 0.5 else None


def normalised_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Takes `module.` (of torch's DataParallel) off the names, and old torchvision's dot out of `norm.1`.

    Raises:
        UserError: two names become one.
    """
    normalised: dict[str, Any] = {}
    for name, tensor in tensors.items():
        new = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name.removeprefix("module."))
        if new in normalised:
            raise UserError(f"The state dict has the tensor {new} under two names: which one is meant cannot be told.")
        normalised[new] = tensor
    return normalised


def problems(tensors: Mapping[str, Any], official: Sequence[OfficialTensor]) -> list[str]:
    """What keeps a state dict from being that of a model: every tensor that is missing, unexpected or not sound.

    Counters may be missing: torch before 0.4.1 had none.
    """
    found = []
    missing = [t.name for t in official if t.name not in tensors and not t.name.endswith("num_batches_tracked")]
    if missing:
        found.append(f"missing: {', '.join(missing)}")
    expected = {tensor.name for tensor in official}
    if unexpected := [name for name in tensors if name not in expected]:
        found.append(f"unexpected: {', '.join(unexpected)}")
    for tensor in official:
        array = tensors.get(tensor.name)
        if array is None:
            continue
        if not isinstance(array, np.ndarray):
            found.append(f"{tensor.name} is no tensor")
        elif array.shape != tensor.shape:
            found.append(f"{tensor.name} has shape {_times(array.shape)} instead of {_times(tensor.shape)}")
        elif not np.can_cast(array.dtype, tensor.dtype):  # half precision can be, double cannot
            found.append(f"{tensor.name} holds {array.dtype} instead of {tensor.dtype}")
        elif not np.isfinite(array).all():
            found.append(f"{tensor.name} has numbers that are not finite")
    return found


def to_variables(tensors: Arrays, official: Sequence[OfficialTensor]) -> tuple[Variables, dict[str, np.ndarray]]:
    """Turns a state dict without `problems` into our variables and its extras; numbers and their types stay.

    Returns:
        The collections "params", "batch_stats" and, for emotion_gcn, "graph" with the adjacency alone (the word
        vectors are in no state dict); and the extras by their official names, zeros where the file has none.
    """
    flat, extras = {}, {}
    for tensor in official:
        if tensor.path is None:
            extras[tensor.name] = tensors.get(tensor.name, np.zeros(tensor.shape, tensor.dtype))
        else:
            flat[tensor.path] = np.ascontiguousarray(tensor.layout.to_ours(tensors[tensor.name]))
    return {"graph": {}, **traverse_util.unflatten_dict(flat)}, extras


def to_state_dict(
    variables: Mapping[str, Any], extras: Arrays, official: Sequence[OfficialTensor]
) -> dict[str, np.ndarray]:
    """The inverse of `to_variables`, in the official order; extras that are not there become zeros."""
    flat = traverse_util.flatten_dict(dict(variables))
    return {
        tensor.name: np.ascontiguousarray(tensor.layout.to_theirs(np.asarray(flat[tensor.path]))).reshape(tensor.shape)
        if tensor.path
        else np.asarray(extras.get(tensor.name, np.zeros(tensor.shape, tensor.dtype)))
        for tensor in official
    }


def permuted_classes(
    tensors: Arrays, official: Sequence[OfficialTensor], order: Sequence[int]
) -> dict[str, np.ndarray]:
    """The state dict of the same model with its expressions in another order: row i becomes the present row order[i].

    In a graph model the nodes change places, with their edges: of A both rows and columns. The caller does the same
    with the word vectors, and W = P lrelu(P H L1) L2 then has its rows in the new order, since the layers act on each
    node alone. Valence and arousal stay.
    """
    permuted = dict(tensors)
    for tensor in official:
        if tensor.classes:
            array = tensors[tensor.name]
            places = [*order, *range(len(order), len(array))]
            permuted[tensor.name] = array[np.ix_(places, places)] if tensor.name == "A" else array[places]
    return permuted


def _densenet(trunk: DenseNet, prefix: str) -> tuple[list[OfficialTensor], int]:
    """Torchvision's names, and the number of features."""
    tensors = [_conv(f"{prefix}conv0", ("stem_conv",), 7, 3, trunk.stem_width)]
    tensors += _norm(f"{prefix}norm0", ("stem_norm",), trunk.stem_width)
    channels = trunk.stem_width
    for block, count in enumerate(trunk.blocks, start=1):
        for layer in range(1, count + 1):
            name, ours = f"{prefix}denseblock{block}.denselayer{layer}", f"block{block}_layer{layer}"
            width = BOTTLENECK * trunk.growth
            tensors += _norm(f"{name}.norm1", (ours, "norm1"), channels)
            tensors.append(_pointwise(f"{name}.conv1", (ours, "conv1"), channels, width))
            tensors += _norm(f"{name}.norm2", (ours, "norm2"), width)
            tensors.append(_conv(f"{name}.conv2", (ours, "conv2"), 3, width, trunk.growth))
            channels += trunk.growth
        if block < len(trunk.blocks):
            name = f"{prefix}transition{block}"
            tensors += _norm(f"{name}.norm", (f"transition{block}_norm",), channels)
            tensors.append(_pointwise(f"{name}.conv", (f"transition{block}_conv",), channels, channels // 2))
            channels //= 2
    return [*tensors, *_norm(f"{prefix}norm5", ("final_norm",), channels)], channels


def _bregnext(trunk: BReGNeXt, prefix: str) -> tuple[list[OfficialTensor], int]:
    """The official names, which count stages and blocks from 0, and the number of features."""
    tensors = _conv_with_bias(f"{prefix}_conv0", ("stem_conv",), 3, trunk.stem_width)
    channels = trunk.stem_width
    for stage, (count, features) in enumerate(trunk.stages):
        for block in range(count):
            name, ours = f"{prefix}_model.{stage}._layer_stack.{block}", f"stage{stage + 1}_block{block + 1}"
            tensors += _conv_with_bias(f"{name}._conv0", (ours, "conv1"), channels, features)
            tensors += _conv_with_bias(f"{name}._conv1", (ours, "conv2"), features, features)
            tensors += [
                OfficialTensor(f"{name}._shortcut._{scalar}", (1,), ("params", "trunk", ours, "shortcut", scalar))
                for scalar in "ac"
            ]
            tensors += _norm(f"{name}._batchnorm_conv0", (ours, "norm1"), channels)
            tensors += _norm(f"{name}._batchnorm_conv1", (ours, "norm2"), features)
            channels = features
    return [*tensors, *_norm(f"{prefix}_model.{len(trunk.stages)}", ("final_norm",), channels)], channels


def _norm(name: str, ours: Path, channels: int) -> list[OfficialTensor]:
    places = {
        "weight": ("params", "scale"),
        "bias": ("params", "bias"),
        "running_mean": ("batch_stats", "mean"),
        "running_var": ("batch_stats", "var"),
    }
    tensors = [
        OfficialTensor(f"{name}.{theirs}", (channels,), (collection, "trunk", *ours, leaf))
        for theirs, (collection, leaf) in places.items()
    ]
    return [*tensors, OfficialTensor(f"{name}.num_batches_tracked", (), dtype="int64")]


def _conv(name: str, ours: Path, size: int, inputs: int, outputs: int) -> OfficialTensor:
    return OfficialTensor(f"{name}.weight", (outputs, inputs, size, size), _trunk_kernel(ours), CONV)


def _pointwise(name: str, ours: Path, inputs: int, outputs: int) -> OfficialTensor:
    return OfficialTensor(f"{name}.weight", (outputs, inputs, 1, 1), _trunk_kernel(ours), POINTWISE)


def _conv_with_bias(name: str, ours: Path, inputs: int, outputs: int) -> list[OfficialTensor]:
    bias = OfficialTensor(f"{name}.bias", (outputs,), ("params", "trunk", *ours, "bias"))
    return [_conv(name, ours, 3, inputs, outputs), bias]


def _trunk_kernel(ours: Path) -> Path:
    return ("params", "trunk", *ours, "kernel")


def _linear(name: str, num_classes: int, features: int) -> list[OfficialTensor]:
    """An independent linear head; the official names say which outputs it makes."""
    affect = name.endswith("_cont")
    outputs = AFFECT_DIMENSIONS if affect else num_classes
    ours = ("params", "head", "affect" if affect else "expression")
    return [
        OfficialTensor(f"{name}.weight", (outputs, features), (*ours, "kernel"), LINEAR, classes=not affect),
        OfficialTensor(f"{name}.bias", (outputs,), (*ours, "bias"), classes=not affect),
    ]


def _adjacency() -> list[OfficialTensor]:
    """Row-normalised, not transposed: the same as ours."""
    return [OfficialTensor("A", (len(NODES), len(NODES)), ("graph", "head", "adjacency"), classes=True)]


def _graph_layers(width: int, features: int) -> list[OfficialTensor]:
    ours = ("params", "head", "gcn")
    return [
        OfficialTensor("gc1.weight", (width, gcn.HIDDEN_WIDTH), (*ours, "layer1")),
        OfficialTensor("gc2.weight", (gcn.HIDDEN_WIDTH, features), (*ours, "layer2")),
    ]


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "of a scalar"
