"""Several devices as one: the mapped axis, and what is handed to a function that runs under it.

`pmap_step` is the one place that says what maps over the devices; the functions that it maps know only AXIS. The
devices may be those of several processes (processes.py): then each hands over, and gets back, what is on its own.
"""

import collections
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.jax_utils
import jax
import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.trees import Batch, Tree

AXIS = "batch"


def pmap_step(
    step: Callable[..., Any], devices: Sequence[jax.Device], *, donate: bool = False, **fixed: Any
) -> Callable[..., Any]:
    """Maps a function over the devices, under the axis AXIS.

    Args:
        step: its positional arguments are trees whose arrays have a leading axis of devices.
        devices: those to map over.
        donate: whether the first argument's memory may be reused (a training state's).
        **fixed: keyword arguments of `step`, fixed at compilation.

    Returns:
        The function of such trees, compiled at its first call; its results have the leading axis too.
    """
    mapped = functools.partial(step, **fixed)
    return jax.pmap(mapped, axis_name=AXIS, devices=devices, donate_argnums=(0,) if donate else ())


def all_devices() -> list[jax.Device]:
    """The devices of all processes, one process's after another's: so its share of a batch is in one piece.

    Raises:
        UserError: the processes have not all equally many.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    counts = collections.Counter(device.process_index for device in devices)
    if len(set(counts.values())) > 1:
        raise UserError(
            f"The processes of a run need as many devices each, and have {', '.join(map(str, counts.values()))}: start "
            f"them with equally many."
        )
    return devices


def own(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Those of this process, in their order."""
    return [device for device in devices if device.process_index == jax.process_index()]


def replicate(tree: Tree, devices: Sequence[jax.Device]) -> Tree:
    """Copies every array to all devices, placed as a step's own results are: or its second call would recompile."""
    return flax.jax_utils.replicate(tree, own(devices), axis_name=AXIS)


def unreplicate(tree: Tree) -> Tree:
    """The first device's copy of every array, as NumPy arrays."""
    return jax.tree.map(lambda array: np.asarray(array.addressable_shards[0].data)[0], tree)


def prefetch(batches: Iterator[Batch], devices: Sequence[jax.Device]) -> Iterator[Batch]:
    """Spreads this process's shares of batches over its devices, one ahead of the step; placed as `replicate` does."""
    spread_batches = (spread(batch, len(own(devices))) for batch in batches)
    return flax.jax_utils.prefetch_to_device(spread_batches, 2, own(devices), axis_name=AXIS)


def spread(batch: Batch, device_count: int) -> Batch:
    """Reshapes every array of a batch from B x ... to device_count x B/device_count x ..., positions in order."""
    return {name: array.reshape(device_count, -1, *array.shape[1:]) for name, array in batch.items()}
