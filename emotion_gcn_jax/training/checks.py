"""Is this config runnable? Answered before anything is written, in one sentence each."""

import math
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks


def check_numbers(config: ml_collections.ConfigDict) -> None:
    """Raises UserError for a number out of its range, and for a dataset without a name."""
    if not config.dataset.name:
        raise UserError("config.dataset.name is empty: use a dataset's own config file, such as synthetic_faces.py.")
    if config.optimizer.nesterov and not config.optimizer.momentum:
        raise UserError(
            "config.optimizer.nesterov needs a momentum, and config.optimizer.momentum is 0: set it to 0.9, or "
            "nesterov to False."
        )
    if not all(isinstance(width, int) and width > 0 for width in config.model.hidden):
        raise UserError(
            f"config.model.hidden has the widths of the layers before the head, such as (4096, 4096), found "
            f"{tuple(config.model.hidden)}."
        )
    check_clips(config)
    unlimited = math.inf
    for field, least, most in (
        ("dataset.held_out_share", 0, 0.9),
        ("dataset.folds", 0, unlimited),
        ("dataset.fold", 0, unlimited),
        ("data.batch_size", 1, unlimited),
        ("data.eval_batch_size", 1, unlimited),
        ("data.threads", 0, 256),
        ("model.dropout", 0, 0.999),
        ("model.embedding", 0, unlimited),
        ("model.hearing_width", 0, unlimited),
        ("clip.length", 1, 10_000),
        ("clip.min_present", 0, 1),
        ("optimizer.learning_rate", 0, unlimited),
        ("optimizer.momentum", 0, 1),
        ("optimizer.weight_decay", 0, unlimited),
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
        *((f"tasks.{name}.weight", 0, unlimited) for name, task in config.tasks.items() if "weight" in task),
    ):
        *groups, name = field.split(".")
        value = config
        for group in groups:
            value = value[group]
        value = value[name]
        if not (least <= value <= most and math.isfinite(value)):
            why = " (config.training.epochs)" if name == "warmup_epochs" else ""
            raise UserError(f"config.{field} must lie in {least}..{most}{why}, found {value}.")


def check_clips(config: ml_collections.ConfigDict) -> None:
    """Raises UserError for what clips and models that hear cannot have, and for recurrent layers without widths."""
    if not all(isinstance(units, int) and units > 0 for units in config.model.recurrent):
        raise UserError(
            f"config.model.recurrent has the units of the recurrent layers, such as (128, 128), found "
            f"{tuple(config.model.recurrent)}."
        )
    refused = {"augmentation.mixup": config.augmentation.mixup, "dataset.balance": config.dataset.balance}
    for field, value in refused.items():
        if value and config.clip.length > 1:
            raise UserError(
                f"config.{field}={value} is for single images, and config.clip.length={config.clip.length} makes clips "
                f"of them: set one of the two back."
            )
    if config.model.mask_bn and config.clip.length == 1:
        raise UserError(
            "config.model.mask_bn leaves out the frames that clips repeat, and config.clip.length=1 makes single "
            "images: set mask_bn to False, or a length."
        )
    if config.augmentation.sound_masks and not config.model.hearing:
        raise UserError(
            f"config.augmentation.sound_masks={config.augmentation.sound_masks} masks sounds, and the model hears none "
            f"(config.model.hearing is empty): set one of the two."
        )
    if config.augmentation.mixup and config.model.hearing:
        raise UserError(
            f"config.augmentation.mixup={config.augmentation.mixup} mixes images and no sounds, and the model hears "
            f"(config.model.hearing={config.model.hearing}): set one of the two back."
        )


def selection_metrics(config: ml_collections.ConfigDict, tasks: Tasks) -> list[tuple[str, str]]:
    """Reads config.training.select_by, metrics with + between them: of each the task's name and its own.

    Raises:
        UserError: no task has such a metric, or several have one of this short name.
    """
    known, found = registry.selectable(tasks), []
    for chosen in config.training.select_by.split("+"):
        full = registry.short_names(tasks).get(chosen.strip(), chosen.strip())
        if full not in known:
            raise UserError(
                f"Unknown config.training.select_by {chosen.strip()!r}: choose one of {', '.join(known)}, or the mean "
                f"of several by + between them."
            )
        task, _, metric = full.partition("/")
        found.append((task, metric))
    return found


def selection_score(config: ml_collections.ConfigDict, tasks: Tasks, metrics: Mapping[str, Mapping[str, Any]]) -> float:
    """The score that the best checkpoint has the highest of: the mean of the metrics in config.training.select_by.

    Args:
        config: the run's.
        tasks: the model's.
        metrics: by the task's name, from `evaluation.predictions.metrics_by_task`.
    """
    chosen = selection_metrics(config, tasks)
    return math.fsum(metrics[task][metric] for task, metric in chosen) / len(chosen)


def check_selectable(config: ml_collections.ConfigDict, tasks: Tasks, validation: Split) -> None:
    """Raises UserError, and not only after an epoch, if the score to select by will not exist."""
    labels = registry.read_labels(tasks, validation.columns, validation.metadata)
    possible = []
    for task in tasks:
        metrics = task.metrics(labels[task.name], np.zeros((len(validation), len(task.outputs))))
        possible += [f"{task.name}/{name}" for name in task.selectable if math.isfinite(metrics[name])]
    lacking = [name for name in map("/".join, selection_metrics(config, tasks)) if name not in possible]
    if lacking:
        raise UserError(
            f"config.training.select_by={config.training.select_by} has no value on {validation!r}, which lacks the "
            f"labels of {' and '.join(lacking)}: choose "
            f"{' or '.join(possible) or 'another dataset, this one has no labels of these tasks'}."
        )


def check_divisible(field: str, size: int, devices: int, clip_length: int) -> None:
    """Raises UserError, with the nearest sizes that do, for a batch that does not divide over the devices."""
    unit = devices * clip_length
    if size % unit:
        below = size // unit * unit
        nearest = f"{below} or {below + unit}" if below else f"{unit}"
        clips = f" in whole clips of {clip_length} frames" if clip_length > 1 else ""
        raise UserError(
            f"config.data.{field}={size} does not divide over {devices} devices{clips}: the nearest that do are "
            f"{nearest}."
        )


def check_labelled(tasks: Tasks, labels: dict[str, np.ndarray]) -> None:
    """Raises UserError for a task that no training example has any label of: it would learn nothing, in silence."""
    for task in tasks:
        if not task.known(labels[task.name]).any():
            raise UserError(
                f"No training example has a label of the task {task.name}: choose another dataset config, or leave "
                f"config.tasks.{task.name} out (models: configs/NAME.py:TRUNK,MODEL)."
            )
