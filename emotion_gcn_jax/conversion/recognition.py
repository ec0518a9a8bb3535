"""Which model the state dict in a weight file is of, and whether the file has all of it.

The trunk is recognised by the names of its layers, then the model on it by the names of all tensors: so only one trunk
has to be built to know its shapes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emotion_gcn_jax.conversion import names, state_dicts
from emotion_gcn_jax.conversion.families import FAMILIES
from emotion_gcn_jax.conversion.names import TorchTensor
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.files import PathLike
from emotion_gcn_jax.models.emotion_net import TRUNKS

_LEAST_LIKENESS = 0.5  # the share of names in common up to which a file is of no model that is known here


class Recognised(NamedTuple):
    """A state dict that fits a model.

    Attributes:
        trunk: a key of TRUNKS.
        model: one of names.OFFICIAL_MODELS; "" for a trunk alone.
        expected: the model's tensors, in the order of its state dict.
        tensors: the file's under the model's names, of the expected shapes and types; counters may be missing.
        left_out: what the file had besides.
        family: whose weights they are, a key of families.FAMILIES; "" for an official model.
    """

    trunk: str
    model: str
    expected: Sequence[TorchTensor]
    tensors: Mapping[str, np.ndarray]
    left_out: Sequence[str]
    family: str = ""


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
    _check_classifier(path, tensors, "")
    if trunk is None or model is None:
        trunk = trunk or _likeliest_trunk(tensors, [(name, "") for name in named_trunks])[0][0]
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


def published(path: PathLike, option: str, trunk: str | None = None) -> Recognised:
    """Recognises published weights of a trunk; their classifier is dropped.

    Args:
        path: the weight file.
        option: "--imagenet" or "--faces": one of families.FAMILIES that has it.
        trunk: a key of TRUNKS, if it is known.

    Raises:
        UserError: as `official`, or it has the classifier of another option's weights.
    """
    known = [
        (name, family)
        for name in TRUNKS
        for family in getattr(TRUNKS[name](), "FAMILIES", ())
        if family in FAMILIES and FAMILIES[family].option == option
    ]
    trunks = list(dict.fromkeys(name for name, _ in known))
    _check_known(f"--trunk with {option}", trunk, trunks)
    whole = state_dicts.read(path)
    _check_classifier(path, whole, option)
    classifiers = frozenset().union(*(FAMILIES[family].classifiers for _, family in known))
    tensors = {name: tensor for name, tensor in whole.items() if classifiers.isdisjoint(name.split("."))}
    (likeliest, family), share = _likeliest_trunk(tensors, [pair for pair in known if trunk in (None, pair[0])])
    if trunk is None and share <= _LEAST_LIKENESS:
        titles = " or ".join(dict.fromkeys(FAMILIES[family].title for _, family in known))
        raise UserError(
            f"{path} is none of {titles} networks that are known here ({', '.join(trunks)}): it has {len(tensors)} "
            f"tensors such as {listed(tensors, 3)}; name --trunk to see what differs."
        )
    expected = (*names.trunk_tensors(likeliest, family=family), *names.neck_tensors(likeliest, family, tensors))
    matched = state_dicts.matched(tensors, {tensor.name for tensor in expected})
    return Recognised(likeliest, "", expected, _sound(path, matched.tensors, expected), matched.left_out, family)


def _check_known(option: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise UserError(f"Unknown {option} {name!r}: choose one of {', '.join(known)}.")


def _check_classifier(path: PathLike, tensors: Mapping[str, np.ndarray], option: str) -> None:
    """Raises UserError if the number of classes is that of weights which another option reads; "" is none of them."""
    for family in FAMILIES.values():
        rows = [np.shape(t)[:1] for name, t in tensors.items() if not family.classifiers.isdisjoint(name.split("."))]
        if family.option != option and (family.classes,) in rows:
            raise UserError(
                f"{path} has a classifier of {family.classes} classes, as {family.title} networks have: "
                f"{'add' if not option else f'instead of {option} give'} {family.option} to take its trunk alone."
            )


def _likeliest_trunk(
    tensors: Mapping[str, np.ndarray], known: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], float]:
    """The trunk and family with most layers' names in common with a state dict, and their share in [0, 1].

    Of several it is the first whose shapes are all in the state dict, too, or else the one with most of them.
    """
    # A layer counts once, as if it had nothing but a weight: which tensors it has is known only of a built trunk.
    layers = {f"{name.rpartition('.')[0]}.weight": tensor for name, tensor in tensors.items() if "." in name}
    likeness = {
        (trunk, family): state_dicts.likeness(layers, [f"{theirs}.weight" for theirs, _ in _layers(trunk, family)])
        for trunk, family in known
    }
    most = max(likeness.values())
    best = [pair for pair in known if likeness[pair] == most]
    if len(best) == 1 or not most[0]:
        return best[0], most[0]
    # Variants of one network: their layers have the same names, and perhaps other shapes. Knowing them takes a while.
    shapes, lacking = {np.shape(tensor) for tensor in tensors.values()}, {}
    for pair in best:
        lacking[pair] = len({tensor.shape for tensor in names.trunk_tensors(pair[0], family=pair[1])} - shapes)
        if not lacking[pair]:
            break
    return min(lacking, key=lambda pair: lacking[pair]), most[0]


def _layers(trunk: str, family: str) -> list[tuple[str, str]]:
    module: Any = TRUNKS[trunk]()
    return module.torch_names(family) if family else module.torch_names()


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
