"""The training loop: restore, describe, then step, log, evaluate, save; at the end the best checkpoint's report."""

import contextlib
import dataclasses
import functools
import json
import math
from typing import Any

import jax
import ml_collections
import tqdm

from emotion_gcn_jax import checkpoints, runtime
from emotion_gcn_jax.checkpoints import Checkpoints
from emotion_gcn_jax.data.batches import examples_at, train_batches
from emotion_gcn_jax.errors import UserError, counted, listed
from emotion_gcn_jax.evaluation import report
from emotion_gcn_jax.evaluation.evaluator import evaluate, on_devices
from emotion_gcn_jax.evaluation.predictions import Predictions, metrics_by_task, scores
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.parallel import prefetch, replicate, unreplicate
from emotion_gcn_jax.processes import everywhere, from_first, on_first
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import checks, interruption, workdir
from emotion_gcn_jax.training.interruption import Preempted
from emotion_gcn_jax.training.run import Run, describe, prepare
from emotion_gcn_jax.training.step import TrainState
from emotion_gcn_jax.training.step_log import NotFiniteError, Scalars, StepLog, progress_bar
from emotion_gcn_jax.trees import Tree

REPORT_FOLDER = "report"
TENSORBOARD_FOLDER = "tensorboard"
NOT_FINITE_FILE = "not_finite.json"  # which examples a step had that stopped the run


@dataclasses.dataclass
class Progress:
    """What the loop itself must remember for a resumed run to end as an unbroken one.

    Attributes:
        best: the best validation score so far; None before the first.
        epochs_without_better: since then.
        history: one row per finished epoch, for the curves.
        epoch_losses: the training losses of the epoch under way.
        skipped_steps: those that were left out since they were not finite.
    """

    best: float | None = None
    epochs_without_better: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    epoch_losses: list[float] = dataclasses.field(default_factory=list)
    skipped_steps: list[int] = dataclasses.field(default_factory=list)

    def record(self, row: dict[str, Any], score: float) -> bool:
        """Takes a finished epoch's row, and tells whether its score is the best so far (the first of ties is)."""
        better = self.best is None or score > self.best
        if better:
            self.best = score
        self.epochs_without_better = 0 if better else self.epochs_without_better + 1
        self.history.append(row)
        self.epoch_losses.clear()
        return better


def train_and_evaluate(config: ml_collections.ConfigDict, folder: PathLike, *, resume: bool = False) -> dict[str, Any]:
    """Trains a model, or continues training it, and writes the best checkpoint's report.

    Several processes (processes.py) all call it, with the same arguments; they need a disk that they share.

    Args:
        config: see configs/common.py.
        folder: the working directory, where `checkpoints/`, `tensorboard/` and `report/` are written.
        resume: continue from the working directory's last checkpoint, if it has one.

    Returns:
        The report's metrics, as in report/metrics.json.

    Raises:
        UserError: the config, the dataset or the working directory does not do.
        Preempted: the process was sent SIGTERM; the step in flight was ended, and a checkpoint saved.
    """
    folder = user_path(folder)
    if config.model.dtype == "bfloat16":
        runtime.use_onednn()  # before anything asks JAX for its devices
    if jax.process_index() > 0:
        runtime.drop_output()  # the first process speaks for all
    config, last = from_first(lambda: workdir.check(config, folder, resume))
    run = everywhere(lambda: prepare(config, last=last))
    with contextlib.ExitStack() as stack:
        saved = on_first(lambda: stack.enter_context(workdir.opened(config, folder, last)))
        state, progress = from_first(lambda: _restore(run, saved))
        print(describe(run))
        scalars = Scalars(folder / TENSORBOARD_FOLDER)
        with contextlib.closing(scalars), interruption.listening() as request:
            _train(run, saved, scalars, state, progress, request)
        return _write_best_report(run, folder)


def _train(
    run: Run,
    saved: Checkpoints,
    scalars: Scalars,
    state: TrainState,
    progress: Progress,
    request: interruption.Request,
) -> None:
    """Steps from where `state` is to the end of the run, until patience is exhausted or the run is asked to end."""
    config, first = run.config.training, int(state.step)
    state = replicate(state, run.devices)
    batches = train_batches(run.data.streams, run.train_loader, seed=config.seed, start_step=first)
    with progress_bar(run, first) as bar:
        log = StepLog(run, scalars, bar, progress.epoch_losses, progress.skipped_steps)
        data = prefetch(batches, run.devices)
        for step in range(first + 1, run.total_steps + 1):
            if 0 < config.patience <= progress.epochs_without_better:
                break
            state, measured = run.train_step(state, next(data))
            epoch_ends, asked_to_end = step % run.steps_per_epoch == 0, request.ends_now()
            saves = asked_to_end or (config.checkpoint_every_steps and step % config.checkpoint_every_steps == 0)
            try:
                log.add(step, measured)
                if epoch_ends or saves:
                    log.flush()
            except NotFiniteError as error:
                stopped = functools.partial(_stopped_by, error, run, saved, state, progress)
                raise from_first(stopped) from None
            if epoch_ends:
                _finish_epoch(run, saved, scalars, state, progress, step)
                log.say_masked()  # evaluation may have met some
            elif saves:
                on_first(functools.partial(_save_last, run, saved, unreplicate(state), progress, {}))
            if asked_to_end:
                raise Preempted(f"asked to end (SIGTERM) and saved at step {step}: --resume goes on from there.")


def _stopped_by(
    error: NotFiniteError, run: Run, saved: Checkpoints, state: TrainState, progress: Progress
) -> UserError:
    """Saves the state before a step that was not finite and the names of its examples; returns what to say."""
    if saved.last_step() != error.step - 1:
        _save_last(run, saved, unreplicate(state), progress, {})
    examples = examples_at(run.data.streams, error.step - 1, seed=run.config.training.seed)
    rows = [{"row": row, "example": example} for row, example in enumerate(examples)]
    found = {name: str(value) for name, value in error.values.items()}
    path = saved.workdir / NOT_FINITE_FILE
    atomic_write(path, json.dumps({"step": error.step, "scalars": found, "batch": rows}, indent=1).encode())
    what = str(error)
    return UserError(
        f"{what[0].upper()}{what[1:]}: lower config.optimizer.learning_rate or set config.optimizer.clip_norm, or "
        f"leave such steps out by config.training.skip_non_finite; the last checkpoint is of the step before, and "
        f"{path} names the step's {counted(len(examples), 'example')} ({listed(examples, most=2)})."
    )


def _finish_epoch(
    run: Run,
    saved: Checkpoints,
    scalars: Scalars,
    state: TrainState,
    progress: Progress,
    step: int,
) -> None:
    """Evaluates, remembers, and saves the last and, where it is better, the best checkpoint."""
    predictions = _evaluate(run, state.evaluated_variables())
    metrics, (diagnosis, warnings) = from_first(
        lambda: (metrics_by_task(predictions), run.model.diagnose(predictions.observed))
    )
    named = scores(metrics)
    row = {
        "epoch": step // run.steps_per_epoch,
        "step": step,
        "train_loss": math.fsum(progress.epoch_losses) / len(progress.epoch_losses)
        if progress.epoch_losses
        else math.nan,
        "learning_rate": float(run.schedule(step - 1)),
        **named,
        **diagnosis,
    }
    counted = {"skipped_steps": len(progress.skipped_steps)} if run.config.training.skip_non_finite else {}
    row |= counted
    better = progress.record(row, checks.selection_score(run.config, run.tasks, metrics))

    def save() -> None:
        ended = unreplicate(state)
        if better:
            saved.save_best(step, ended.evaluated_variables(), _meta(run, progress, named))
        _save_last(run, saved, ended, progress, named)

    on_first(save)
    scalars.write(step, {f"validation/{name}": value for name, value in (named | diagnosis).items()} | counted)
    shown = [f"{name} {metrics[task.name][name]:.3f}" for task in run.tasks for name in task.chief]
    tqdm.tqdm.write(
        f"epoch {row['epoch']}/{run.config.training.epochs}: training loss {row['train_loss']:.3f}; validation "
        f"{', '.join(shown)}" + (" (best so far)" if better else "")
    )
    if progress.skipped_steps:
        warnings = [*warnings, f"steps left out so far, as they were not finite: {len(progress.skipped_steps)}"]
    for warning in warnings:
        tqdm.tqdm.write(f"warning: {warning}")


def _meta(run: Run, progress: Progress, validation: dict[str, float]) -> dict[str, Any]:
    return {**run.meta, "validation": validation, "progress": dataclasses.asdict(progress)}


def _save_last(
    run: Run, saved: Checkpoints, state: TrainState, progress: Progress, validation: dict[str, float]
) -> None:
    meta = _meta(run, progress, validation)
    saved.save_last(int(state.step), state.evaluated_variables(), state.remainder(), meta)


def _evaluate(run: Run, replicated_variables: Tree) -> Predictions:
    answers = on_devices(run.predict_step, replicated_variables, run.devices)
    return evaluate(answers, run.validation, run.tasks, loader=run.eval_loader)


def _restore(run: Run, saved: Checkpoints) -> tuple[TrainState, Progress]:
    """The state to start from: the last checkpoint's, or the initial one where there is none yet."""
    saved.discard_best_after(saved.last_step() or 0)
    if saved.last_step() is None:
        return run.initial_state, Progress()
    fresh = run.initial_state
    variables, training, meta = saved.restore_last(fresh.evaluated_variables(), fresh.remainder())
    progress = Progress(**meta["progress"])
    _check_same_data(run, meta, progress)
    progress.best = saved.mended_best(progress.best)
    return TrainState.joined(variables, training), progress


def _check_same_data(run: Run, meta: dict[str, Any], progress: Progress) -> None:
    """Raises UserError where a run was begun with other data, or by a version that cuts or weighs them otherwise."""
    before, now = registry.to_dicts(registry.from_dicts(meta["tasks"])), run.meta["tasks"]
    changed = [task["name"] for task, other in zip(now, before, strict=True) if task != other]
    rows = [row for row in progress.history if row["epoch"]]
    steps = rows[-1]["step"] // rows[-1]["epoch"] if rows else run.steps_per_epoch
    if steps != run.steps_per_epoch:
        changed.append(f"{steps} steps an epoch, now {run.steps_per_epoch}")
    if not changed and meta.get("examples", run.meta["examples"]) != run.meta["examples"]:
        changed.append("other images or labels in the datasets' builds")
    if changed:
        raise UserError(
            f"The run was begun with other data or an older version, which differ in what is made of the same config "
            f"({', '.join(changed)}): go on with that, or begin anew in another --workdir."
        )


def _write_best_report(run: Run, folder: PathLike) -> dict[str, Any]:
    folder = user_path(folder)
    best = from_first(lambda: checkpoints.read(folder))
    predictions = _evaluate(run, replicate(best.variables, run.devices))
    metrics = from_first(
        lambda: report.write_report(
            folder / REPORT_FOLDER,
            predictions,
            checkpoint=str(best.path.relative_to(folder.absolute())),
            config=best.meta["config"],
            history=checkpoints.read_last_meta(folder)["progress"]["history"],
        )
    )
    print(f"step {best.meta['step']} is the best: {report.summary(run.tasks, metrics)}")
    print(f"report: {folder / REPORT_FOLDER}")
    return metrics
