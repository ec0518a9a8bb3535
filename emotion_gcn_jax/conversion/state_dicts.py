"""The state dict in a weight file, under the names that a model has.

Training scripts store a state dict in many ways: alone, under some key of a checkpoint, with the names of the wrappers
that held the model in training. `read` finds the tensors and `matched` brings their names back to the model's own.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from emotion_gcn_jax.errors import UserError, listed, shown
from emotion_gcn_jax.files import PathLike
from emotion_gcn_jax.torch_files import parts
from emotion_gcn_jax.torch_files.stand_ins import StandIn, described

USUAL_KEYS = ("model_state_dict", "state_dict", "model", "net")
"""Where checkpoints keep the model, the most usual first; of a checkpoint with several of them the first counts."""

Keys = tuple[str, ...]

_DEPTH = (
    4  # keys or places from the file's own dict, list or tuple to a state dict: {"checkpoint": {"model": state dict}}
)
_NUMBER_KINDS = "biufc"  # of NumPy: booleans, whole and real and complex numbers

# What PyTorch's wrappers of a module, or of a part of it, add to its names: DataParallel and AveragedModel, compile,
# FullyShardedDataParallel, activation checkpointing, DeepSpeed and Lightning Fabric.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
_MOST_INNER_WRAPPERS = 8  # of one tensor's name, inside the model; more are no training tool's

# What training keeps in the same module: AveragedModel's counter, the weights of losses and classes, and thop's counts.
_TRAINING_PARTS = re.compile(r"n_averaged|(criterion|loss)\w*|\w+_(criterion|loss)|(class|loss)_weights?")
_COUNTS = ("total_ops", "total_params")  # thop's, in every module

# The names in torchvision's published files: norm.1 for norm1.
_OLD_TORCHVISION = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


class Matched(NamedTuple):
    """A state dict under a model's own names.

    Attributes:
        tensors: the arrays by name, in the file's order.
        left_out: the file's names of what training added: losses, counters, and what lies outside the model.
    """

    tensors: dict[str, np.ndarray]
    left_out: tuple[str, ...]


def read(path: PathLike) -> dict[str, np.ndarray]:
    """Reads the state dict in a weight file, with the names that it has there.

    It is the file's own dict, or a dict some keys or places of lists below it. Of several dicts of tensors the one
    under a usual key counts, then the only one that has at least half as many tensors as the largest.

    Args:
        path: a PyTorch or a safetensors file, see torch_files.reading.load; of one in parts any of them, or the index.

    Returns:
        Arrays of any numbers by name, in the file's order; whatever else lies beside them is dropped.

    Raises:
        UserError: the file cannot be read, holds no dict of tensors, or several between which nothing decides.
    """
    loaded = parts.load(path)
    found = _dicts_of_tensors(loaded)
    if not found:
        raise UserError(
            f"The file {path} holds no state dict: a dict of tensors was expected, found {_described(loaded)}."
        )
    keys = _likeliest(found)
    if len(keys) > 1:
        places = listed(".".join(key) or "no key" for key in keys)
        raise UserError(
            f"The file {path} holds {len(keys)} state dicts, under {places}: save the one that is meant alone, or "
            f"under {USUAL_KEYS[0]}."
        )
    return found[keys[0]]


def matched(tensors: Mapping[str, np.ndarray], expected: Collection[str]) -> Matched:
    """Takes off the names what training added to them.

    The expected names decide. A prefix is what stands before an expected name, and the model's is the one before most
    of them. Inside a name the wrappers of PyTorch are dropped where no expected name has them. A tensor that has the
    prefix stays, expected or not; one that has not is left out, unless its name as it stands is expected.

    Args:
        tensors: a state dict, with the names of its file.
        expected: the names of the model's own state dict. Those with no tensor are not missed here.

    Returns:
        The tensors, whose names may still differ from the expected, and the names that were left out.

    Raises:
        UserError: two tensors get one name, or the whole model is there under two prefixes.
    """
    naming = _Naming(expected)
    prefix = naming.prefix(tensors)
    named: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    for name, tensor in tensors.items():
        new = naming.plain(name.removeprefix(prefix))
        if naming.is_of_training(new) or not (name.startswith(prefix) or new in naming.expected):
            continue
        if new in named:
            raise UserError(
                f"The state dict has the tensor {shown(new)} twice, as {shown(origin[new])} and as {shown(name)}: "
                f"which one is meant cannot be told, so save one of them alone."
            )
        named[new], origin[new] = tensor, name
    kept = set(origin.values())
    return Matched(named, tuple(name for name in tensors if name not in kept))


def likeness(tensors: Mapping[str, np.ndarray], expected: Collection[str]) -> tuple[float, int]:
    """How much a state dict looks like a model's, for the choice between models: the larger, the more.

    Returns:
        The share of the expected names and of those in the file, after `matched`, that both have, in [0, 1]; then minus
        the number of names left out, because one model may lie inside another.
    """
    found = matched(tensors, expected)
    names = frozenset(expected)
    share = len(found.tensors.keys() & names) / max(len(found.tensors.keys() | names), 1)
    return share, -len(found.left_out)


def convertible(found: np.dtype, wanted: np.dtype) -> bool:
    """Whether numbers of one type may become those of another: real of any width to real, whole to whole.

    Double precision to single is allowed. The caller casts, and then looks for numbers that are no longer finite.
    """
    return found.kind == wanted.kind or bool(np.can_cast(found, wanted))


def _dicts_of_tensors(loaded: Any) -> dict[Keys, dict[str, np.ndarray]]:
    """The dicts that hold tensors, by the keys that lead to them; each dict once, since a file may have it often."""
    found: dict[Keys, dict[str, np.ndarray]] = {}
    seen: set[int] = set()
    level: list[tuple[Keys, Any]] = [((), loaded)]
    for _ in range(_DEPTH + 1):
        deeper: list[tuple[Keys, Any]] = []
        for keys, value in level:
            if not isinstance(value, dict | list | tuple) or id(value) in seen:
                continue
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else ((str(place), v) for place, v in enumerate(value))
            entries = {name: entry for name, entry in items if isinstance(name, str)}
            tensors = {name: entry for name, entry in entries.items() if _is_tensor(entry)}
            if tensors and isinstance(value, dict):
                found[keys] = tensors
            usual_first = sorted(entries, key=lambda name: name not in USUAL_KEYS)
            deeper += [((*keys, name), entries[name]) for name in usual_first]
        level = deeper
    return found


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in _NUMBER_KINDS


def _likeliest(found: Mapping[Keys, Mapping[str, np.ndarray]]) -> list[Keys]:
    """The keys of the state dict that is meant; several where nothing decides."""
    for depth in range(1, _DEPTH + 1):
        for usual in USUAL_KEYS:
            if under_usual := [keys for keys in found if len(keys) == depth and keys[-1] == usual]:
                return under_usual
    most = max(map(len, found.values()))
    return [keys for keys, tensors in found.items() if 2 * len(tensors) >= most]


def _described(loaded: Any) -> str:
    """What a file holds instead of a state dict."""
    if not isinstance(loaded, dict):
        return "a single array" if isinstance(loaded, np.ndarray) else f"a {type(loaded).__name__}"
    keys = f"a dict with the keys {listed(map(str, loaded))}" if loaded else "an empty dict"
    objects = [f"{key} is {described(value)}" for key, value in loaded.items() if isinstance(value, StandIn)]
    return f"{keys}, where {listed(objects, 3)}; objects are not opened, so save state_dict()" if objects else keys


class _Naming:
    """How names of a file become a model's own."""

    def __init__(self, expected: Collection[str]) -> None:
        self.expected = frozenset(expected)
        self.wrappers = frozenset(_WRAPPERS) - {part for name in self.expected for part in name.split(".")}
        self.first_parts = {name.partition(".")[0] for name in self.expected}
        self.most_parts = max((name.count(".") + 1 for name in self.expected), default=0) + _MOST_INNER_WRAPPERS
        self.expects_old_names = any(map(_OLD_TORCHVISION.search, self.expected))

    def prefix(self, names: Collection[str]) -> str:
        """What stands before most of the expected names; none, if that does for as many."""
        counts = Counter(prefix for name in names for prefix in self._prefixes(name))
        most = max(counts.values(), default=0)
        best = [prefix for prefix, count in counts.items() if count == most]
        if not best or "" in best:
            return ""
        if len(best) > 1 and 2 * most > len(self.expected):
            raise UserError(
                f"The state dict has the model {len(best)} times, its names after {listed(best)}: which one is meant "
                f"cannot be told, so save one of them alone."
            )
        return best[0]

    def _prefixes(self, name: str) -> Iterator[str]:
        """What stands before an expected name at the end of a name, outer wrappers included."""
        parts = name.split(".")
        for start in range(max(len(parts) - self.most_parts, 0), len(parts)):
            if parts[start] not in self.wrappers and self.plain(".".join(parts[start:])) in self.expected:
                yield "".join(f"{part}." for part in parts[:start])

    def plain(self, name: str) -> str:
        """A name without wrappers, and with the present names of torchvision's layers."""
        plain = ".".join(part for part in name.split(".") if part not in self.wrappers)
        return plain if self.expects_old_names else _OLD_TORCHVISION.sub(r"\1\2.", plain)

    def is_of_training(self, name: str) -> bool:
        """Whether a plain name is that of a loss or a counter which the model does not have."""
        first, last = name.partition(".")[0], name.rpartition(".")[2]
        if name not in self.expected and last in _COUNTS:
            return True
        return first not in self.first_parts and _TRAINING_PARTS.fullmatch(first) is not None
