"""Optimiser and learning-rate schedule, from the config."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import ml_collections
import optax

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.training import parts

T = TypeVar("T")


Mask = Callable[[optax.Params], Any]
"""Tells of a tree of parameters which of them something is for: the same tree, of booleans."""


def sgd(
    learning_rate: optax.ScalarOrSchedule, config: ml_collections.ConfigDict, decayed: Mask | None = None
) -> optax.GradientTransformation:
    """SGD as torch's: weight decay is L2 added to the gradient, the buffer starts as the first gradient.

    g = gradient + weight_decay * parameter;  buffer = momentum * buffer + g;  parameter -= learning_rate * buffer, or
    with Nesterov's momentum parameter -= learning_rate * (g + momentum * buffer).
    """
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=decayed),
        optax.trace(config.momentum, nesterov=config.nesterov),
        optax.scale_by_learning_rate(learning_rate),
    )


def adamw(
    learning_rate: optax.ScalarOrSchedule, config: ml_collections.ConfigDict, decayed: Mask | None = None
) -> optax.GradientTransformation:
    """AdamW with torch's defaults and decoupled weight decay."""
    return optax.adamw(learning_rate, weight_decay=config.weight_decay, mask=decayed)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {"sgd": sgd, "adamw": adamw}


def step_schedule(config: ml_collections.ConfigDict, steps_per_epoch: int, total_steps: int) -> optax.Schedule:
    """Multiplies the rate by `step_factor` every `step_epochs` epochs."""
    every = config.step_epochs * steps_per_epoch
    rate, factor = config.learning_rate, config.step_factor
    # optax.exponential_decay rounds the rate to float32 even in a float64 run.
    return lambda step: rate * factor ** (step // every)


def cosine_schedule(config: ml_collections.ConfigDict, steps_per_epoch: int, total_steps: int) -> optax.Schedule:
    """Half a cosine from the rate to 0 over the steps after the warm-up."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    return optax.cosine_decay_schedule(config.learning_rate, max(total_steps - warmup, 1))


SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {"step": step_schedule, "cosine": cosine_schedule}


def create_schedule(config: ml_collections.ConfigDict, steps_per_epoch: int, total_steps: int) -> optax.Schedule:
    """The learning rate as a function of the step, with a linear warm-up from 0 in front if asked for.

    Args:
        config: `config.optimizer`.
        steps_per_epoch: optimiser steps an epoch.
        total_steps: optimiser steps of the run.

    Raises:
        UserError: an unknown schedule.
    """
    after_warmup = _known("optimizer.schedule", config.schedule, SCHEDULES)(config, steps_per_epoch, total_steps)
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if warmup == 0:
        return after_warmup
    return optax.join_schedules([optax.linear_schedule(0.0, config.learning_rate, warmup), after_warmup], [warmup])


def create_optimizer(
    config: ml_collections.ConfigDict, schedule: optax.Schedule, undecayed: Sequence[str] = ()
) -> optax.GradientTransformation:
    """The optimiser: gradients are clipped by their global norm first, steps of parts are scaled last, if asked for.

    Its `init` raises a UserError where `rates` names a part that the model does not have.

    Args:
        config: `config.optimizer`.
        schedule: from `create_schedule`.
        undecayed: parts of the model that weight decay is not for, such as weights whose length changes no output.

    Raises:
        UserError: an unknown optimiser, or rates that cannot be read.
    """
    decayed = _decayed(config.decay_only_kernels, undecayed)
    stages = [_known("optimizer.name", config.name, OPTIMIZERS)(schedule, config, decayed)]
    if config.clip_norm:
        stages.insert(0, optax.clip_by_global_norm(config.clip_norm))
    for part, rate in parts.read(config.rates, "optimizer.rates"):
        of_part = functools.partial(parts.mask, part=part, field="optimizer.rates")
        stages.append(optax.masked(optax.scale(rate), of_part))
    return optax.chain(*stages)


def update_average(average: optax.Params, new: optax.Params, decay: float, step: jax.Array) -> optax.Params:
    """Exponential moving average whose decay rises from 0.1 to `decay`, so that the start is soon forgotten.

    Args:
        average: the tree so far.
        new: the tree after this step.
        decay: the final weight of the average, in [0, 1).
        step: the number of updates before this one.
    """
    weight = 1 - jax.numpy.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, n: a + (weight * (n - a)).astype(a.dtype), average, new)


def _decayed(only_kernels: bool, undecayed: Sequence[str]) -> Mask | None:
    """What weight decay is for: kernels have two axes or more. None is everything."""
    if not only_kernels and not undecayed:
        return None

    def mask(params: optax.Params) -> Any:
        decayed = jax.tree.map(lambda array: array.ndim > 1 or not only_kernels, params)
        for part in undecayed:
            of_part = parts.mask(params, part, "optimizer.weight_decay")
            decayed = jax.tree.map(lambda is_decayed, is_part: is_decayed and not is_part, decayed, of_part)
        return decayed

    return mask


def _known(field: str, name: str, known: dict[str, T]) -> T:
    if name not in known:
        raise UserError(f"Unknown config.{field} {name!r}: choose one of {', '.join(known)}.")
    return known[name]
