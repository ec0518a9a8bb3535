"""Which model the state dict in a weight file is of, and whether the file has all of it.

The trunk is recognised by the names of its layers, then the model on it by the names of all tensors: so only one trunk
has to be built to know its shapes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from emotion_gcn_jax.conversion import names, state_dicts
from emotion_gcn_jax.conversion.names import TorchTensor
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.files import PathLike
from emotion_gcn_jax.models.emotion_net import TRUNKS

_LEAST_LIKENESS = 0.5  # the share of names in common up to which a file is of no model that is known here

_CLASSIFIERS = frozenset({"classifier", "fc"})  # torchvision's names of what comes after the trunk
_IMAGENET_CLASSES = 1000


class Recognised(NamedTuple):
    """A state dict that fits a model.

    Attributes:
        trunk: a key of TRUNKS.
        model: one of names.OFFICIAL_MODELS; "" for a trunk alone.
        expected: the model's tensors, in the order of its state dict.
        tensors: the file's under the model's names, of the expected shapes and types; counters may be missing.
        left_out: what the file had besides.
    """

    trunk: str
    model: str
    expected: Sequence[TorchTensor]
    tensors: Mapping[str, np.ndarray]
    left_out: Sequence[str]


def official(path: PathLike, trunk: str | None = None, model: str | None = None) -> Recognised:
    """Recognises an official model, with any number of classes and word vectors of any width.

    Args:
        path: the weight file.
        trunk: a key of TRUNKS, if it is known.
        model: one of names.OFFICIAL_MODELS, if it is known.

    Raises:
        UserError: the file cannot be read, is of no such model, or a tensor is missing, unexpected or not sound.
    """
    named_trunks = [name for name in TRUNKS if hasattr(TRUNKS[name](), "torch_names")]
    _check_known("--trunk", trunk, named_trunks)
    _check_known("--model", model, names.OFFICIAL_MODELS)
    tensors = state_dicts.read(path)
    if any(_is_classifier(name) and np.shape(t)[:1] == (_IMAGENET_CLASSES,) for name, t in tensors.items()):
        raise UserError(
            f"{path} has a classifier of {_IMAGENET_CLASSES} classes, as torchvision's ImageNet files have: add "
            f"--imagenet to take its trunk alone."
        )
    if trunk is None or model is None:
        trunk = trunk or _likeliest_trunk(tensors, named_trunks)[0]
        model, share = _likeliest_model(tensors, trunk, [model] if model else names.OFFICIAL_MODELS)
        if share <= _LEAST_LIKENESS:
            raise UserError(
                f"{path} is no official Emotion-GCN model: it has {len(tensors)} tensors such as {listed(tensors, 3)}; "
                f"name --trunk and --model to see what differs."
            )
    first_guess = names.official_tensors(trunk, model)
    matched = state_dicts.matched(tensors, {tensor.name for tensor in first_guess})
    expected = names.official_tensors(
        trunk,
        model,
        word_vector_width=names.word_vector_width(matched.tensors),
        num_classes=names.class_count(matched.tensors, first_guess),
    )
    return Recognised(trunk, model, expected, _sound(path, matched.tensors, expected), matched.left_out)


def imagenet(path: PathLike, trunk: str | None = None) -> Recognised:
    """Recognises a network of torchvision's; its classifier is dropped.

    Args:
        path: the weight file.
        trunk: a key of TRUNKS, if it is known.

    Raises:
        UserError: as `official`.
    """
    trunks = [name for name in TRUNKS if "torchvision" in getattr(TRUNKS[name](), "FAMILIES", ())]
    _check_known("--trunk with --imagenet", trunk, trunks)
    tensors = {name: tensor for name, tensor in state_dicts.read(path).items() if not _is_classifier(name)}
    if trunk is None:
        trunk, share = _likeliest_trunk(tensors, trunks)
        if share <= _LEAST_LIKENESS:
            raise UserError(
                f"{path} is none of torchvision's networks that are known here ({', '.join(trunks)}): it has "
                f"{len(tensors)} tensors such as {listed(tensors, 3)}; name --trunk to see what differs."
            )
    expected = names.trunk_tensors(trunk)
    matched = state_dicts.matched(tensors, {tensor.name for tensor in expected})
    return Recognised(trunk, "", expected, _sound(path, matched.tensors, expected), matched.left_out)


def _check_known(option: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise UserError(f"Unknown {option} {name!r}: choose one of {', '.join(known)}.")


def _is_classifier(name: str) -> bool:
    return not _CLASSIFIERS.isdisjoint(name.split("."))


def _likeliest_trunk(tensors: Mapping[str, np.ndarray], trunks: Sequence[str]) -> tuple[str, float]:
    """The trunk that has most layers' names in common with a state dict, and their share in [0, 1].

    Of several the one most of whose shapes are in the state dict too.
    """
    # A layer counts once, as if it had nothing but a weight: which tensors it has is known only of a built trunk.
    layers = {f"{name.rpartition('.')[0]}.weight": tensor for name, tensor in tensors.items() if "." in name}
    likeness = {
        trunk: state_dicts.likeness(layers, [f"{theirs}.weight" for theirs, _ in TRUNKS[trunk]().torch_names()])
        for trunk in trunks
    }
    most = max(likeness.values())
    best = [trunk for trunk in trunks if likeness[trunk] == most]
    if len(best) > 1:  # variants of one network: their layers have the same names, and other shapes
        shapes = {np.shape(tensor) for tensor in tensors.values()}
        best.sort(key=lambda trunk: len({t.shape for t in names.trunk_tensors(trunk)} - shapes))
    return best[0], most[0]


def _likeliest_model(tensors: Mapping[str, np.ndarray], trunk: str, models: Sequence[str]) -> tuple[str, float]:
    """The model on a trunk that has most tensors' names in common with a state dict, and their share in [0, 1]."""
    likeness = {
        model: state_dicts.likeness(tensors, [tensor.name for tensor in names.official_tensors(trunk, model)])
        for model in models
    }
    best = max(likeness, key=lambda model: likeness[model])
    return best, likeness[best][0]


def _sound(path: PathLike, tensors: Mapping[str, np.ndarray], expected: Sequence[TorchTensor]) -> dict[str, np.ndarray]:
    """The tensors in the types of the model, if they are those of the model."""
    if problems := names.problems(tensors, expected):
        raise UserError(f"{path} does not fit, and nothing was written: {'; '.join(problems)}.")
    return {t.name: tensors[t.name].astype(t.dtype) for t in expected if t.name in tensors}
