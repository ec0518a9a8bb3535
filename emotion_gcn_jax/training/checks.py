"""Is this config runnable? Answered before anything is written, in one sentence each."""

import json
import math
import typing
from typing import Any

import ml_collections
import numpy as np

from emotion_gcn_jax.data import batches, selection
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.training import losses

SELECTABLE = ("accuracy", "mean_class_accuracy", "macro_f1", "ccc_mean")

# What may differ between a run and its resumption; and what may besides, once there is a checkpoint to go on from.
RESUMABLE = {
    "data.eval_batch_size",
    "data.threads",
    "dataset.data_dir",
    "training.checkpoint_every_steps",
    "training.devices",
    "training.log_every_steps",
    "training.patience",
}
STARTING_POINT = {"init.checkpoint", "init.trunk"}


def check_choices(config: ml_collections.ConfigDict) -> None:
    """Raises UserError for a name that is none of the known ones."""
    for field, known in (
        ("training.select_by", SELECTABLE),
        ("loss.ccc_variance", typing.get_args(losses.CccVariance)),
        ("data.resize", tuple(batches.RESIZE_FILTERS)),
        ("dataset.require", selection.REQUIREMENTS),
    ):
        group, name = field.split(".")
        if config[group][name] not in known:
            raise UserError(f"Unknown config.{field} {config[group][name]!r}: choose one of {', '.join(known)}.")
    if not config.dataset.name:
        raise UserError("config.dataset.name is empty: use a dataset's own config file, such as synthetic_faces.py.")


def check_numbers(config: ml_collections.ConfigDict) -> None:
    """Raises UserError for a number out of its range."""
    unlimited = math.inf
    for field, least, most in (
        ("dataset.held_out_share", 0, 0.9),
        ("data.image_size", 32, 2048),
        ("data.batch_size", 1, unlimited),
        ("data.eval_batch_size", 1, unlimited),
        ("data.threads", 0, 256),
        ("loss.affect_weight", 0, unlimited),
        ("optimizer.learning_rate", 0, unlimited),
        ("optimizer.momentum", 0, 1),
        ("optimizer.weight_decay", 0, unlimited),
        ("optimizer.head_rate", 0, unlimited),
        ("optimizer.clip_norm", 0, unlimited),
        ("optimizer.step_epochs", 1, unlimited),
        ("optimizer.step_factor", 0, 1),
        ("optimizer.warmup_epochs", 0, config.training.epochs),
        ("training.seed", 0, 2**31 - 1),
        ("training.epochs", 1, unlimited),
        ("training.patience", 0, unlimited),
        ("training.ema_decay", 0, 0.999999),
        ("training.devices", 0, unlimited),
        ("training.log_every_steps", 1, unlimited),
        ("training.checkpoint_every_steps", 0, unlimited),
    ):
        group, name = field.split(".")
        value = config[group][name]
        if not (least <= value <= most and math.isfinite(value)):
            raise UserError(f"config.{field} must lie in {least}..{most}, found {value}.")


def check_selectable(config: ml_collections.ConfigDict, validation: Split) -> None:
    """Raises UserError, and not only after an epoch, if the score to select by will not exist."""
    has_affect = not (np.isnan(validation.valence).all() or np.isnan(validation.arousal).all())
    possible = [score for score in SELECTABLE if score != "ccc_mean"] if (validation.expression >= 0).any() else []
    if has_affect and config.model.name != "single_task":
        possible.append("ccc_mean")
    if config.training.select_by not in possible:
        raise UserError(
            f"config.training.select_by={config.training.select_by} has no value with model {config.model.name} on "
            f"{validation!r}: choose {' or '.join(possible) or 'another dataset config, this one has no such labels'}."
        )


def check_divisible(field: str, size: int, devices: int) -> None:
    """Raises UserError, with the nearest sizes that do, for a batch that does not divide over the devices."""
    if size % devices:
        below = size // devices * devices
        nearest = f"{below} or {below + devices}" if below else f"{devices}"
        raise UserError(
            f"config.data.{field}={size} does not divide over {devices} devices: the nearest that do are {nearest}."
        )


def check_same_run(
    config: ml_collections.ConfigDict, config_file: bytes, workdir: str, *, has_checkpoint: bool
) -> dict[str, Any]:
    """Raises UserError, naming what differs, if a run cannot be gone on with under another config.

    Args:
        config: the present one.
        config_file: the run's own, JSON.
        workdir: the run's, for the message.
        has_checkpoint: whether the run goes on from one; then what it once started from may be gone.

    Returns:
        The run's own config.
    """
    try:
        before = json.loads(config_file)
        old = _flattened(before)
    except (ValueError, AttributeError):
        raise UserError(
            f"The config.json in {workdir} is damaged, or no run's: put the run's back, or choose another --workdir."
        ) from None
    new = _flattened(json.loads(config.to_json()))
    may_differ = RESUMABLE | (STARTING_POINT if has_checkpoint else set())
    fields = sorted((old.keys() | new.keys()) - may_differ)
    changed = [f"{f} was {old.get(f)!r} and is {new.get(f)!r}" for f in fields if old.get(f) != new.get(f)]
    if changed:
        raise UserError(
            f"The run in {workdir} cannot be resumed with another config: {'; '.join(changed)}: set these back, or "
            f"choose another --workdir."
        )
    return before


def _flattened(tree: dict[str, Any]) -> dict[str, Any]:
    return {f"{group}.{name}": value for group, fields in tree.items() for name, value in fields.items()}
