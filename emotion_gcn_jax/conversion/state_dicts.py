"""The state dict in a weight file, under the names that a model has.

Training scripts store a state dict in many ways: alone, under some key of a checkpoint, with the names of the wrappers
that held the model in training. `read` finds the tensors and `matched` brings their names back to the model's own.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emotion_gcn_jax.errors import UserError, listed, shown
from emotion_gcn_jax.torch_files import reading
from emotion_gcn_jax.torch_files.stand_ins import StandIn

USUAL_KEYS = ("model_state_dict", "state_dict", "model", "net")
"""Where checkpoints keep the model, the most usual first; of a checkpoint with several of them the first counts."""

_DEPTH = 2  # keys from the file's own dict to a state dict, as in {"checkpoint": {"model": state dict}}
_NUMBER_KINDS = "biufc"  # of NumPy: booleans, whole and real and complex numbers

# What PyTorch's wrappers of a module, or of a part of it, add to its names: DataParallel and AveragedModel, compile,
# FullyShardedDataParallel, activation checkpointing, DeepSpeed and Lightning Fabric.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")

# What training keeps in the same module: AveragedModel's counter and the weights of losses.
_TRAINING_PARTS = re.compile(r"n_averaged|(criterion|loss)\w*|\w+_(criterion|loss)")

_OLD_TORCHVISION = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")  # norm.1 for norm1, before torchvision 0.3


class Matched(NamedTuple):
    """A state dict under a model's own names.

    Attributes:
        tensors: the arrays by name, in the file's order.
        left_out: the file's names of what training added: losses, counters, and what lies outside the model.
    """

    tensors: dict[str, np.ndarray]
    left_out: tuple[str, ...]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the state dict in a weight file, with the names that it has there.

    It is the file's own dict, or a dict under a key of it, or one below that. Of several dicts of tensors the one under
    a usual key counts, then the only one that has at least half as many tensors as the largest.

    Args:
        path: a PyTorch or a safetensors file, see torch_files.reading.load.

    Returns:
        Arrays of any numbers by name, in the file's order; whatever else lies beside them is dropped.

    Raises:
        UserError: the file cannot be read, holds no dict of tensors, or several between which nothing decides.
    """
    loaded = reading.load(path)
    found = dict(_dicts_of_tensors(loaded))
    if not found:
        raise UserError(f"The file {path} holds no state dict: a dict of tensors was expected, found {_kind(loaded)}.")
    keys = _likeliest(found)
    if len(keys) > 1:
        raise UserError(
            f"The file {path} holds {len(keys)} state dicts, under {listed('.'.join(key) or 'no key' for key in keys)}: "
            f"save the one that is meant alone, or under {USUAL_KEYS[0]}."
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
        new = naming.plain(name.removeprefix(prefix)) if name.startswith(prefix) else naming.plain(name)
        if not naming.belongs(new, has_prefix=name.startswith(prefix)):
            continue
        if new in named:
            raise UserError(
                f"The state dict has the tensor {shown(new)} twice, as {shown(origin[new])} and as {shown(name)}: which "
                f"one is meant cannot be told, so save one of them alone."
            )
        named[new], origin[new] = tensor, name
    kept = set(origin.values())
    return Matched(named, tuple(name for name in tensors if name not in kept))


def convertible(found: np.dtype, wanted: np.dtype) -> bool:
    """Whether numbers of one type may become those of another: real of any width to real, whole to whole.

    Double precision to single is allowed. The caller casts, and then looks for numbers that are no longer finite.
    """
    return found.kind == wanted.kind or bool(np.can_cast(found, wanted))


class _Naming:
    """How names of a file become a model's own."""

    def __init__(self, expected: Collection[str]) -> None:
        self.expected = frozenset(expected)
        parts = {part for name in self.expected for part in name.split(".")}
        self.wrappers = frozenset(_WRAPPERS) - parts
        self.training_parts = {name.partition(".")[0] for name in self.expected}
        self.longest = max((name.count(".") + 1 for name in self.expected), default=0)
        self.is_old_torchvision = any(map(_OLD_TORCHVISION.search, self.expected))

    def plain(self, name: str) -> str:
        """A name without wrappers and with the present names of torchvision's layers."""
        plain = ".".join(part for part in name.split(".") if part not in self.wrappers)
        return plain if self.is_old_torchvision else _OLD_TORCHVISION.sub(r"\1\2.", plain)
