"""From a config to everything that a run needs and that does not change while it trains."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.data import features
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.batches import Loader
from emotion_gcn_jax.data.clips import Clips
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, extra
from emotion_gcn_jax.evaluation.evaluator import check_sound, predict_step
from emotion_gcn_jax.graph import adjacency, word_vectors
from emotion_gcn_jax.graph.nodes import nodes_of, targets
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.parallel import AXIS, all_devices, pmap_step
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.training import checks, optimizer, parts, starting_point
from emotion_gcn_jax.training.datasets import RunData, open_data
from emotion_gcn_jax.training.step import StepOptions, TrainState, create_state, train_step, trained_of
from emotion_gcn_jax.trees import Tree

with extra("train", "training"):
    from clu import parameter_overview


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        config: see configs/common.py.
        tasks: what is predicted, resolved on the training labels.
        model: the network, under the named axis.
        devices: those that the steps run on, of all processes.
        data: what is trained on and validated on.
        train_loader: of the training batches.
        eval_loader: of the validation batches.
        steps_per_epoch: steps in one pass of the first stream.
        schedule: the learning rate as a function of the step.
        train_step: step.train_step under pmap.
        predict_step: evaluator.predict_step under pmap.
        initial_state: before the first step.
    """

    config: ml_collections.ConfigDict
    tasks: Tasks
    model: EmotionNet
    devices: Sequence[jax.Device]
    data: RunData
    train_loader: Loader
    eval_loader: Loader
    steps_per_epoch: int
    schedule: Callable[[int], Any]
    train_step: Callable[..., Any]
    predict_step: Callable[..., Any]
    initial_state: TrainState

    @property
    def total_steps(self) -> int:
        """The steps of all epochs."""
        return self.steps_per_epoch * self.config.training.epochs

    @property
    def validation(self) -> Split:
        """What the best checkpoint is chosen by."""
        return self.data.validation

    @property
    def meta(self) -> dict[str, Any]:
        """What every checkpoint of the run says of its model; see emotion_gcn_jax.checkpoints."""
        return {
            "config": json.loads(self.config.to_json()),
            "tasks": registry.to_dicts(self.tasks),
            "input": self.train_loader.input.to_dict(),
            "crop": self.data.train.metadata.get("crop"),
            "dataset": self.data.train.dataset,
            "examples": self.data.digest,
        }


def prepare(config: ml_collections.ConfigDict, *, last: pathlib.Path | None = None) -> Run:
    """Opens the data, builds the model and its steps; nothing is written.

    Args:
        config: see configs/common.py.
        last: checkpoint to resume from. If given, config.init is ignored and the graph comes from this checkpoint.

    Raises:
        UserError: a name, a number, a file or a dataset in the config does not do.
    """
    tasks = registry.from_config(config.tasks)
    checks.check_numbers(config)
    named = ("trunk", "head", "readout", "dtype", "reset", "hearing", "fusion")
    emotion_net.check_names(*(config.model[part] for part in named))
    checks.selection_metrics(config, tasks)
    devices = _devices(config.training.devices)
    train_loader, eval_loader = _loaders(config, len(devices))
    augmentation = Augmentation(**config.augmentation)
    augmentation.check_side(config.input.side)
    start = {} if last else starting_point.read(config, tasks)
    data = open_data(config, tasks)
    _check_data(config, tasks, data)
    tasks = tuple(task.fitted(data.labels(task.name), data.train.dataset) for task in tasks)
    model, variables = _model(
        config, tasks, data, train_loader, checkpoints.read(last).variables if last else {}, start
    )
    steps_per_epoch = data.streams[0].steps_per_epoch
    schedule = optimizer.create_schedule(config.optimizer, steps_per_epoch, steps_per_epoch * config.training.epochs)
    undecayed = [f"head/{task.name}" for task in tasks if task.takes_cosines]
    tx = optimizer.create_optimizer(config.optimizer, schedule, undecayed)
    options = _step_options(config, tasks, train_loader.input, augmentation, steps_per_epoch)
    # This names unknown parts now, and not when the first step is compiled.
    parts.sum_of_squares(trained_of(variables["params"], model.is_trunk_frozen), options.l2)
    return Run(
        config=config,
        tasks=tasks,
        model=model,
        devices=devices,
        data=data,
        train_loader=train_loader,
        eval_loader=eval_loader,
        steps_per_epoch=steps_per_epoch,
        schedule=schedule,
        train_step=pmap_step(train_step, devices, donate=True, model=model, tx=tx, options=options),
        predict_step=pmap_step(
            predict_step, devices, model=model, tasks=tasks, inputs=eval_loader.input, clip_length=config.clip.length
        ),
        initial_state=create_state(
            variables, tx, with_ema=config.training.ema_decay > 0, is_trunk_frozen=model.is_trunk_frozen
        ),
    )


def describe(run: Run) -> str:
    """A page on what is about to happen: parameters, config, data, devices."""
    overview = parameter_overview.get_parameter_overview(run.initial_state.params, include_stats=False, max_lines=12)
    kinds = collections.Counter(device.device_kind for device in run.devices)
    streams = [f"{stream.split!r}: {stream.count} of every batch" for stream in run.data.streams]
    return "\n".join(
        [
            overview,
            str(run.config),
            *(streams if len(streams) > 1 else []),
            *(["stored features: config.augmentation changes no images"] if run.train_loader.features else []),
            f"{run.data.train.dataset}: {len(run.data.train)} training and {len(run.validation)} validation examples; "
            f"{run.steps_per_epoch} steps an epoch, {run.total_steps} in all",
            "devices: " + ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
        ]
    )


def _check_data(config: ml_collections.ConfigDict, tasks: Tasks, data: RunData) -> None:
    if config.model.hearing:
        check_sound(data.train)
        check_sound(data.validation)
    checks.check_labelled(tasks, {task.name: data.labels(task.name) for task in tasks})
    checks.check_selectable(config, tasks, data.validation)


def _step_options(
    config: ml_collections.ConfigDict, tasks: Tasks, inputs: Input, augmentation: Augmentation, steps_per_epoch: int
) -> StepOptions:
    return StepOptions(
        tasks=tasks,
        input=inputs,
        augmentation=augmentation,
        ema_decay=config.training.ema_decay,
        seed=config.training.seed,
        steps_per_epoch=steps_per_epoch,
        clip_length=config.clip.length,
        mask_bn=config.model.mask_bn,
        l2=parts.read(config.optimizer.l2, "optimizer.l2"),
        skip_non_finite=config.training.skip_non_finite,
    )


def _model(
    config: ml_collections.ConfigDict, tasks: Tasks, data: RunData, loader: Loader, last: Tree, start: dict[str, Any]
) -> tuple[EmotionNet, dict[str, Any]]:
    """The network and the variables that it starts from; of a resumed run the graph is that of its `last` variables."""
    constants = starting_point.constants(last or start)
    if config.model.head == "graph" and not constants:
        constants = graph_constants(config, tasks, data)
    if config.model.frozen_trunk and not (last or "trunk" in start.get("params", {}) or loader.features):
        raise UserError(
            "config.model.frozen_trunk keeps the trunk as config.init.trunk or config.init.checkpoint gives it, and "
            "both are empty: name one."
        )
    model = emotion_net.from_config(config, tasks, constants, axis_name=AXIS)
    model = model.clone(is_trunk_frozen=config.model.frozen_trunk or bool(loader.features))
    seed, side, channels = config.training.seed, loader.input.network_side, config.input.channels
    variables = emotion_net.init_variables(model, seed, side, channels=channels, constants=constants)
    learning = {part for part in variables["batch_stats"] if not (part == "trunk" and model.is_trunk_frozen)}
    if config.model.mask_bn and not learning:
        raise UserError("config.model.mask_bn is for norms that are trained, and this model has none: set it to False.")
    variables = starting_point.replace(variables, start, model)
    if loader.features:
        trunk = features.trunk_of(config, loader.input.to_dict(), last or variables)
        features.check(loader.features, [*(stream.split for stream in data.streams), data.validation], trunk)
    return model, variables


def graph_constants(config: ml_collections.ConfigDict, tasks: Tasks, data: RunData) -> dict[str, np.ndarray]:
    """The graph's adjacency N x N and word vectors N x F, as config.graph says."""
    nodes, choice = nodes_of(tasks), config.graph.correlations
    if choice == "affectnet":
        correlations_NxN = adjacency.affectnet_correlations(nodes)
    elif choice == "annotations":
        labels = {task.name: data.labels(task.name) for task in tasks}
        correlations_NxN = adjacency.spearman_correlations(targets(tasks, labels), nodes)
    else:
        correlations_NxN = adjacency.read_correlations(choice, nodes)
    return {
        "adjacency": adjacency.adjacency_from_correlations(
            correlations_NxN, nodes, threshold=config.graph.threshold, neighbour_share=config.graph.neighbour_share
        ),
        "word_vectors": word_vectors.node_vectors(config.graph.word_vectors or None, nodes.words),
    }


def _loaders(config: ml_collections.ConfigDict, device_count: int) -> tuple[Loader, Loader]:
    """Of training and of evaluation."""
    for field in ("batch_size", "eval_batch_size"):
        checks.check_divisible(field, config.data[field], device_count, config.clip.length)
    inputs, clips = Input.from_dict(config.input), Clips(**config.clip)
    share = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    stored = tuple(features.read(folder.strip()) for folder in config.data.features.split(",") if folder.strip())
    more: Any = {"hears": bool(config.model.hearing), "clips": clips, "features": stored, **share}
    sizes = config.data.batch_size, config.data.eval_batch_size
    of_training, of_evaluation = (Loader(inputs, size, config.data.threads, **more) for size in sizes)
    if config.data.mask_damaged:
        masked: set[str] = set()
        of_training, of_evaluation = (dataclasses.replace(one, masked=masked) for one in (of_training, of_evaluation))
    return of_training, of_evaluation


def _devices(count: int) -> list[jax.Device]:
    devices = all_devices()
    if jax.process_count() > 1 and count not in (0, len(devices)):
        raise UserError(
            f"config.training.devices asks for {count} devices, and several processes use all that they have, "
            f"{len(devices)}: set it to 0."
        )
    if count > len(devices):
        raise UserError(
            f"config.training.devices asks for {count} devices, {len(devices)} are here: lower it, or 0 for all."
        )
    return devices[: count or None]
