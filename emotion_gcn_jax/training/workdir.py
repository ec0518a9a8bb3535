"""A run's working directory: what it may hold when a run starts, and whether a run in it can be resumed."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import ml_collections

from emotion_gcn_jax import checkpoints, old_formats
from emotion_gcn_jax.checkpoints import Checkpoints
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import atomic_write, locked

CONFIG_FILE = "config.json"
LOCK_FILE = ".lock"

# What may differ between a run and its resumption; and what may besides, once there is a checkpoint to resume from.
RESUMABLE = {
    "data.eval_batch_size",
    "data.mask_damaged",
    "data.threads",
    "dataset.data_dir",
    "model.remat",
    "training.checkpoint_every_steps",
    "training.devices",
    "training.log_every_steps",
    "training.patience",
    "training.skip_non_finite",
}
STARTING_POINT = {"init.checkpoint", "init.hearing", "init.trunk"}
MAY_GROW = {"training.epochs"}
MAY_MOVE = {"data.features"}  # to other folders, whose content is checked

_LISTED = 5  # differing fields with their values in a message, which names all


def check(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, resume: bool
) -> tuple[ml_collections.ConfigDict, pathlib.Path | None]:
    """A working directory must be new, or hold this very run if it is to be resumed.

    Returns:
        The config, with what the run started from if it was given no more; and the checkpoint to resume from, if any.

    Raises:
        UserError: it holds a run and `resume` is off, or another run, or a damaged one.
    """
    path, last = workdir / CONFIG_FILE, checkpoints.last_folder(workdir)
    if not path.exists() and last is None:
        return config, None
    if not resume:
        raise UserError(
            f"The working directory {workdir} already holds a run: pass --resume to continue it, or choose another "
            f"--workdir."
        )
    if not path.exists():
        raise UserError(
            f"The run in {workdir} has lost its {CONFIG_FILE}: put it back (its checkpoints' meta has it), or choose "
            f"another --workdir."
        )
    start = _check_same_run(config, path.read_bytes(), workdir, has_checkpoint=last is not None)
    config = config.copy_and_resolve_references()
    config.init.update(start)
    return config, last


@contextlib.contextmanager
def opened(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, last: pathlib.Path | None
) -> Iterator[Checkpoints]:
    """Marks the directory as this run's, and keeps other processes out while this lasts.

    Args:
        config: the run's.
        workdir: the directory, as `check` found it.
        last: the checkpoint to resume from that `check` found.

    Raises:
        UserError: it cannot be written, or another process trains in it, or has since it was checked.
    """
    with contextlib.ExitStack() as stack:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            if not stack.enter_context(locked(workdir / LOCK_FILE)) or checkpoints.last_folder(workdir) != last:
                raise UserError(
                    f"Another process trains in the working directory {workdir}: let it finish, or choose another "
                    f"--workdir."
                )
            saved = stack.enter_context(contextlib.closing(Checkpoints(workdir)))
            atomic_write(workdir / CONFIG_FILE, config.to_json(indent=2).encode())
        except OSError as error:
            raise UserError(
                f"The working directory {workdir} cannot be written ({error.strerror}): choose another --workdir."
            ) from error
        yield saved


def _check_same_run(
    config: ml_collections.ConfigDict, config_file: bytes, workdir: pathlib.Path, *, has_checkpoint: bool
) -> dict[str, Any]:
    """Returns the run's own config.init; raises UserError, naming what differs, if the config is another run's."""
    try:
        before = old_formats.config(json.loads(config_file))
        old, start = _flattened(before), before["init"]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise UserError(
            f"The config.json in {workdir} is damaged, or no run's: put the run's back, or choose another --workdir."
        ) from None
    new = _flattened(old_formats.config(json.loads(config.to_json())))
    may_differ = RESUMABLE | (STARTING_POINT if has_checkpoint else set())
    differing = sorted(field for field in old.keys() | new.keys() if old.get(field) != new.get(field))
    said = {field: f"{field} was {old.get(field)!r:.60} and is {new.get(field)!r:.60}" for field in differing}
    harmless = {field for field in differing if field in may_differ or (field in MAY_GROW and new[field] > old[field])}
    harmless |= {field for field in MAY_MOVE.intersection(differing) if old.get(field) and new[field]}
    changed = [field for field in differing if field not in harmless]
    if changed:
        more = f"; and also {', '.join(changed[_LISTED:])}" if len(changed) > _LISTED else ""
        first = "; ".join(said[field] for field in changed[:_LISTED])
        raise UserError(
            f"The run in {workdir} cannot be resumed with another config: {first}{more}: set these back, or choose "
            f"another --workdir."
        )
    if kept := [said[field] for field in differing if field in harmless - STARTING_POINT]:
        print(f"resumed with {'; '.join(kept)}")
    if MAY_GROW & harmless and new["optimizer.schedule"] == "cosine":
        print("the learning rate's cosine now ends with the new number of epochs: it is higher from here on")
    return start


def _flattened(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
