"""The training loop: restore, describe, then step, log, evaluate, save; at the end the best checkpoint's report."""

import collections
import contextlib
import dataclasses
import json
import math
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
import tqdm
from clu import metric_writers, parameter_overview

from emotion_gcn_jax import checkpoints, labels
from emotion_gcn_jax.checkpoints import Checkpoints
from emotion_gcn_jax.data import batches, selection
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation import report
from emotion_gcn_jax.evaluation.evaluator import evaluate, predict_step
from emotion_gcn_jax.evaluation.report import Predictions
from emotion_gcn_jax.graph import adjacency, word_vectors
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.parallel import AXIS, Batch, pmap_step, prefetch, replicate, unreplicate
from emotion_gcn_jax.training import checks, optimizer, starting_point
from emotion_gcn_jax.training.step import StepOptions, TrainState, create_state, train_step

REPORT_FOLDER = "report"
TENSORBOARD_FOLDER = "tensorboard"
CONFIG_FILE = "config.json"


@dataclasses.dataclass
class Progress:
    """What the loop itself must remember for a resumed run to end as an unbroken one.

    Attributes:
        best: the best validation score so far; None before the first.
        epochs_without_better: since then.
        history: one row per finished epoch, for the curves.
        epoch_losses: the training losses of the epoch under way.
    """

    best: float | None = None
    epochs_without_better: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    epoch_losses: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything about a run that does not change while it trains."""

    config: ml_collections.ConfigDict
    devices: Sequence[jax.Device]
    train: Split
    validation: Split
    steps_per_epoch: int
    total_steps: int
    model: emotion_net.EmotionNet
    schedule: Any
    train_step: Any
    predict_step: Any
    initial_state: TrainState

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes, in the order of the model's logits."""
        return labels.expression_names(self.config.model.num_classes)

    def meta(self, progress: Progress, scores: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint says beside its arrays."""
        return {
            "config": json.loads(self.config.to_json()),
            "label_names": list(self.label_names),
            "nodes": list(labels.NODES),
            "crop": self.train.crop,
            "dataset": self.train.name,
            "validation": scores,
            "progress": dataclasses.asdict(progress),
        }


def train_and_evaluate(config: ml_collections.ConfigDict, workdir: str, *, resume: bool = False) -> dict[str, Any]:
    """Trains a model, or goes on training it, and writes the best checkpoint's report.

    Args:
        config: see configs/common.py.
        workdir: where `checkpoints/`, `tensorboard/` and `report/` are written.
        resume: go on from the working directory's last checkpoint, if it has one.

    Returns:
        The report's metrics, as in report/metrics.json.

    Raises:
        UserError: the config, the dataset or the working directory does not do.
    """
    config, last = _check_workdir(config, workdir, resume)
    run = prepare(config, last=last)
    saved = _open_workdir(config, workdir)
    try:
        state, progress = _restore(run, saved)
        print(describe(run))
        _train(run, saved, workdir, state, progress)
    finally:
        saved.close()
    return _write_best_report(run, workdir)


def prepare(config: ml_collections.ConfigDict, *, last: pathlib.Path | None = None) -> Run:
    """Opens the data, builds the model and its steps; nothing is written.

    Args:
        config: see configs/common.py.
        last: the checkpoint that will be gone on from: then config.init has done its part, and the graph is that one's.

    Raises:
        UserError: a name, a number, a file or a dataset in the config does not do.
    """
    checks.check_choices(config)
    checks.check_numbers(config)
    devices = _devices(config.training.devices)
    for field in ("batch_size", "eval_batch_size"):
        checks.check_divisible(field, config.data[field], len(devices))
    start = {} if last else starting_point.read(config)
    graph = starting_point.graph(checkpoints.read(last).variables if last else start)
    if config.model.name == "emotion_gcn" and not graph:
        graph["word_vectors_9xF"] = word_vectors.load_word_vectors(config.graph.word_vectors or None)
    model = emotion_net.create_model(
        config.model.trunk,
        config.model.name,
        num_classes=config.model.num_classes,
        word_vector_width=graph["word_vectors_9xF"].shape[1] if graph else 0,
        propagation=config.graph.propagation,
        dtype=config.model.dtype,
        remat=config.model.remat,
        axis_name=AXIS,
    )
    train, validation = selection.open_for_training(config)
    checks.check_selectable(config, validation)
    if graph and "adjacency_9x9" not in graph:
        graph["adjacency_9x9"] = adjacency.adjacency_from_correlations(
            _correlations(config.graph.correlations, train),
            threshold=config.graph.threshold,
            neighbour_share=config.graph.neighbour_share,
        )
    steps_per_epoch = batches.steps_per_epoch(len(train), config.data.batch_size)
    total_steps = steps_per_epoch * config.training.epochs
    schedule = optimizer.create_schedule(config.optimizer, steps_per_epoch, total_steps)
    tx = optimizer.create_optimizer(config.optimizer, schedule)
    options = StepOptions(
        class_weights_C=class_weights(config.loss.class_weights, train, config.model.num_classes),
        affect_weight=config.loss.affect_weight,
        ccc_variance=config.loss.ccc_variance,
        ema_decay=config.training.ema_decay,
        augmentation=Augmentation(**config.augmentation),
        seed=config.training.seed,
    )
    variables = emotion_net.init_variables(model, config.training.seed, config.data.image_size, **graph)
    variables = starting_point.replace(variables, start)
    return Run(
        config=config,
        devices=devices,
        train=train,
        validation=validation,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        model=model,
        schedule=schedule,
        train_step=pmap_step(train_step, devices, donate=True, model=model, tx=tx, options=options),
        predict_step=pmap_step(predict_step, devices, model=model),
        initial_state=create_state(variables, tx, with_ema=config.training.ema_decay > 0),
    )


def describe(run: Run) -> str:
    """A page on what is about to happen: parameters, config, data, devices."""
    overview = parameter_overview.get_parameter_overview(run.initial_state.params, include_stats=False, max_lines=12)
    kinds = collections.Counter(device.device_kind for device in run.devices)
    return "\n".join(
        [
            overview,
            str(run.config),
            f"{run.train.name}: {len(run.train)} training and {len(run.validation)} validation examples; "
            f"{run.steps_per_epoch} steps an epoch, {run.total_steps} in all",
            "devices: " + ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
        ]
    )


def _train(run: Run, saved: Checkpoints, workdir: str, state: TrainState, progress: Progress) -> None:
    """Steps from where `state` is to the end of the run, or until patience is exhausted."""
    config = run.config
    first = int(state.step)
    state = replicate(state, run.devices)
    writer = metric_writers.create_default_writer(pathlib.Path(workdir) / TENSORBOARD_FOLDER)
    bar = tqdm.tqdm(
        total=run.total_steps * config.data.batch_size,
        initial=first * config.data.batch_size,
        unit=" images",
        mininterval=0.5 if sys.stderr.isatty() else 20.0,
        dynamic_ncols=True,
    )
    log = _StepLog(run, writer, bar, progress)
    with contextlib.closing(writer), bar:
        data = prefetch(_training_data(run, first), run.devices)
        for step in range(first + 1, run.total_steps + 1):
            if _out_of_patience(config, progress):
                break
            state, scalars = run.train_step(state, next(data))
            log.add(step, scalars)
            if step % run.steps_per_epoch == 0:
                log.flush()
                _finish_epoch(run, saved, writer, state, progress, step)
            elif config.training.checkpoint_every_steps and step % config.training.checkpoint_every_steps == 0:
                log.flush()
                _save_last(saved, unreplicate(state), run.meta(progress, {}))


class _StepLog:
    """Reads a step's scalars after the next step has been dispatched, so that the devices never wait for the host."""

    def __init__(self, run: Run, writer: metric_writers.MetricWriter, bar: tqdm.tqdm, progress: Progress) -> None:
        self._run, self._writer, self._bar, self._progress = run, writer, bar, progress
        self._pending: tuple[int, dict[str, jax.Array]] | None = None

    def add(self, step: int, scalars: dict[str, jax.Array]) -> None:
        """Takes the scalars of a step that may still be running, and reports the step before it."""
        self.flush()
        self._pending = (step, scalars)

    def flush(self) -> None:
        """Reports the pending step, waiting for it; stops the run if its loss or gradient is not finite."""
        if self._pending is None:
            return
        step, scalars = self._pending
        self._pending = None
        values = {name: float(value) for name, value in unreplicate(scalars).items()}
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(values[name]):
                raise UserError(
                    f"The {name} is {values[name]} at step {step}: lower config.optimizer.learning_rate or set "
                    f"config.optimizer.clip_norm; the checkpoints of earlier steps are untouched."
                )
        self._progress.epoch_losses.append(values["loss"])
        config = self._run.config
        self._bar.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
        self._bar.update(config.data.batch_size)
        if step % config.training.log_every_steps == 0:
            scalars_to_write = {f"train/{name}": value for name, value in values.items()}
            scalars_to_write["train/learning_rate"] = float(self._run.schedule(step - 1))
            self._writer.write_scalars(step, scalars_to_write)


def _finish_epoch(
    run: Run,
    saved: Checkpoints,
    writer: metric_writers.MetricWriter,
    state: TrainState,
    progress: Progress,
    step: int,
) -> None:
    """Evaluates, remembers, and saves the last and, where it is better, the best checkpoint."""
    metrics = report.metrics_dict(_evaluate(run, state.evaluated_variables()), run.label_names)
    scores = {name: value for name, value in metrics.items() if isinstance(value, float)}
    score = scores[run.config.training.select_by]
    epoch = step // run.steps_per_epoch
    row = {
        "epoch": epoch,
        "step": step,
        "train_loss": math.fsum(progress.epoch_losses) / len(progress.epoch_losses),
        "learning_rate": float(run.schedule(step - 1)),
        **scores,
    }
    better = progress.best is None or score > progress.best  # the first of ties is kept
    if better:
        progress.best = score
    progress.epochs_without_better = 0 if better else progress.epochs_without_better + 1
    progress.history.append(row)
    progress.epoch_losses.clear()

    host_state = unreplicate(state)
    meta = run.meta(progress, scores)
    if better:
        saved.save_best(step, host_state.evaluated_variables(), meta)
    _save_last(saved, host_state, meta)
    writer.write_scalars(step, {f"validation/{name}": value for name, value in scores.items()})
    shown = ("accuracy", "ccc_valence", "ccc_arousal")
    values = ", ".join(f"{name} {scores[name]:.3f}" for name in shown if name in scores)
    tqdm.tqdm.write(
        f"epoch {epoch}/{run.config.training.epochs}: training loss {row['train_loss']:.3f}; validation {values}"
        + (" (best so far)" if better else "")
    )


def _save_last(saved: Checkpoints, state: TrainState, meta: dict[str, Any]) -> None:
    saved.save_last(int(state.step), state.evaluated_variables(), state.remainder(), meta)


def _evaluate(run: Run, replicated_variables: Any) -> Predictions:
    return evaluate(
        run.predict_step,
        replicated_variables,
        run.validation,
        batch_size=run.config.data.eval_batch_size,
        image_size=run.config.data.image_size,
        resize=run.config.data.resize,
        num_threads=run.config.data.threads,
        devices=run.devices,
    )


def _write_best_report(run: Run, workdir: str) -> dict[str, Any]:
    best = checkpoints.read(workdir)
    predictions = _evaluate(run, replicate(best.variables, run.devices))
    last_progress = checkpoints.read_last_meta(workdir)["progress"]
    directory = pathlib.Path(workdir) / REPORT_FOLDER
    metrics = report.write_report(
        directory,
        predictions,
        label_names=run.label_names,
        dataset=run.validation.name,
        split=run.validation.split,
        checkpoint=str(best.path.relative_to(pathlib.Path(workdir).absolute())),
        config=best.meta["config"],
        history=last_progress["history"],
    )
    print(f"step {best.meta['step']} is the best: {report.summary(metrics)}")
    print(f"report: {directory}")
    return metrics


def _check_workdir(
    config: ml_collections.ConfigDict, workdir: str, resume: bool
) -> tuple[ml_collections.ConfigDict, pathlib.Path | None]:
    """A working directory must be new, or hold this very run if it is to be resumed.

    Returns:
        The config, with what the run started from if it was given no more; and the checkpoint to go on from, if any.
    """
    path, last = pathlib.Path(workdir) / CONFIG_FILE, checkpoints.last_folder(workdir)
    if not path.exists() and last is None:
        return config, None
    if not resume:
        raise UserError(
            f"The working directory {workdir} already holds a run: pass --resume to go on with it, or choose another "
            f"--workdir."
        )
    if not path.exists():
        raise UserError(
            f"The run in {workdir} has lost its {CONFIG_FILE}: put it back (its checkpoints' meta has it), or choose "
            f"another --workdir."
        )
    before = checks.check_same_run(config, path.read_bytes(), workdir, has_checkpoint=last is not None)
    config = config.copy_and_resolve_references()
    config.init.update(before["init"])
    return config, last


def _open_workdir(config: ml_collections.ConfigDict, workdir: str) -> Checkpoints:
    try:
        saved = Checkpoints(workdir)
        unfinished = pathlib.Path(workdir) / f"{CONFIG_FILE}.unfinished"
        unfinished.write_text(config.to_json(indent=2))
        unfinished.replace(pathlib.Path(workdir) / CONFIG_FILE)  # a kill leaves the whole file, old or new
    except OSError as error:
        raise UserError(
            f"The working directory {workdir} cannot be written ({error.strerror}): choose another --workdir."
        ) from error
    return saved


def _restore(run: Run, saved: Checkpoints) -> tuple[TrainState, Progress]:
    """The state to start from: the last checkpoint's, or the initial one where there is none yet."""
    saved.discard_best_after(saved.last_step() or 0)
    if saved.last_step() is None:
        return run.initial_state, Progress()
    fresh = run.initial_state
    variables, training, meta = saved.restore_last(fresh.evaluated_variables(), fresh.remainder())
    return TrainState.joined(variables, training), Progress(**meta["progress"])


def _training_data(run: Run, first_step: int) -> Iterator[Batch]:
    return batches.train_batches(
        run.train,
        batch_size=run.config.data.batch_size,
        image_size=run.config.data.image_size,
        resize=run.config.data.resize,
        seed=run.config.training.seed,
        start_step=first_step,
        num_threads=run.config.data.threads,
    )


def _correlations(choice: str, train: Split) -> np.ndarray:
    if choice == "affectnet":
        return adjacency.affectnet_correlations()
    if choice == "annotations":
        return adjacency.spearman_correlations(train.expression, train.valence, train.arousal)
    return adjacency.read_correlations(choice)


def class_weights(choice: str, train: Split, num_classes: int) -> tuple[float, ...]:
    """The cross-entropy's weight of every class.

    Args:
        choice: "none" (all 1), "inverse_frequency" (the rarest class has 1, as Emotion-GCN's 3803 / n on AffectNet),
            or the weights as text, with commas between them.
        train: whose frequencies count.
        num_classes: C.

    Returns:
        C positive numbers.

    Raises:
        UserError: a class does not occur, or the text is not C positive numbers.
    """
    if choice == "none":
        return (1.0,) * num_classes
    if choice == "inverse_frequency":
        counts_C = train.class_counts(num_classes)
        if not counts_C.all():
            missing = labels.expression_names(num_classes)[int(np.argmin(counts_C))]
            raise UserError(
                f"config.loss.class_weights=inverse_frequency needs every class in the training split, {missing} does "
                f'not occur in {train.name}: give the weights as numbers, "1,1,0.5,...".'
            )
        return tuple((counts_C.min() / counts_C).tolist())
    try:
        weights = tuple(float(part) for part in choice.split(","))
    except ValueError:
        weights = ()
    if len(weights) != num_classes or not all(weight > 0 and math.isfinite(weight) for weight in weights):
        raise UserError(
            f"config.loss.class_weights must be none, inverse_frequency or {num_classes} positive numbers between "
            f"commas, found {choice!r}."
        )
    return weights


def _devices(count: int) -> list[jax.Device]:
    if jax.process_count() > 1:
        raise UserError(
            f"Training runs in one process, with as many devices as it has, and {jax.process_count()} processes were "
            f"started: start one."
        )
    devices = jax.local_devices()
    if count > len(devices):
        raise UserError(
            f"config.training.devices asks for {count} devices, {len(devices)} are here: lower it, or 0 for all."
        )
    return devices[: count or None]


def _out_of_patience(config: ml_collections.ConfigDict, progress: Progress) -> bool:
    return 0 < config.training.patience <= progress.epochs_without_better
