"""Checkpoints: what one holds, and the only place that knows Orbax.

WORKDIR/checkpoints/best/STEP and WORKDIR/checkpoints/last/STEP each hold

- `variables`: what is evaluated and published: parameters, running statistics (both averaged over the steps if the run
  keeps an average) and the graph's constants, that is the adjacency and the word vectors;
- `meta`: a JSON object: format version, step, config, label names in order, nodes, the crop's description, the dataset;
  so a model can be used without asking what its outputs mean;
- `training` (only in `last`): what a run needs to go on: optimiser state, step, and the unaveraged variables.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.training.step import TrainState

FORMAT_VERSION = 1
FOLDER = "checkpoints"

Tree = Any


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was read back.

    Attributes:
        path: its folder.
        variables: "params", "batch_stats" and "graph", NumPy arrays.
        meta: see the module's description.
    """

    path: pathlib.Path
    variables: dict[str, Tree]
    meta: dict[str, Any]


class Checkpoints:
    """The best and the last checkpoint of one run. Each is written whole before the one before it is removed."""

    def __init__(self, workdir: str | pathlib.Path) -> None:
        folder = pathlib.Path(workdir).absolute() / FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._last, self._best = _manager(folder / "last"), _manager(folder / "best")
        except OSError as error:
            raise UserError(
                f"The working directory {workdir} cannot be written ({error.strerror}): choose another --workdir."
            ) from error

    def last_step(self) -> int | None:
        """The step of the last checkpoint; None where there is none."""
        return self._last.latest_step()

    def save_last(self, state: TrainState, meta: dict[str, Any]) -> None:
        """Writes all that the run needs to go on.

        Args:
            state: unreplicated, on the host or on one device.
            meta: JSON-able; the format version and the step are added.
        """
        self._save(self._last, state, meta, training=ocp.args.StandardSave(_training_part(state)))

    def save_best(self, state: TrainState, meta: dict[str, Any]) -> None:
        """Writes what is evaluated and published."""
        self._save(self._best, state, meta)

    def restore_last(self, template: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Reads the last checkpoint back.

        Args:
            template: a fresh state of the same run; only its structure, shapes and dtypes matter.

        Returns:
            The state (NumPy arrays) and the meta object.

        Raises:
            UserError: the checkpoint is of another model, optimiser or format.
        """
        step = self._last.latest_step()
        path = pathlib.Path(self._last.directory) / str(step)
        meta = _read_meta(path)
        host = jax.tree.map(np.asarray, template)
        try:
            restored = self._last.restore(
                step,
                args=ocp.args.Composite(
                    variables=ocp.args.StandardRestore(host.evaluated_variables()),
                    training=ocp.args.StandardRestore(_training_part(host)),
                ),
            )
        except (ValueError, KeyError) as error:
            raise UserError(
                f"The checkpoint {path} does not fit this config's model or optimiser: resume with the config that it "
                f"was trained with (its meta names it), or choose another --workdir."
            ) from error
        return _join(restored["variables"], restored["training"], host), meta

    def close(self) -> None:
        """Waits for whatever is still being written."""
        self._last.close()
        self._best.close()

    def _save(self, manager: ocp.CheckpointManager, state: TrainState, meta: dict[str, Any], **items: Any) -> None:
        step = int(state.step)
        if step in manager.all_steps():
            manager.delete(step)  # left by a run that was killed right after writing it
        host = jax.device_get(state)
        items["variables"] = ocp.args.StandardSave(host.evaluated_variables())
        items["meta"] = ocp.args.JsonSave({"format_version": FORMAT_VERSION, "step": step, **meta})
        manager.save(step, args=ocp.args.Composite(**items))
        manager.wait_until_finished()


def read(path: str | pathlib.Path) -> Checkpoint:
    """Reads a checkpoint to use its model.

    Args:
        path: a run's working directory (its best checkpoint is read) or one checkpoint's folder.

    Raises:
        UserError: there is no checkpoint, or it is of a newer format.
    """
    folder = _find(pathlib.Path(path).absolute())
    meta = _read_meta(folder)
    items = _restore_items(folder, variables=ocp.args.StandardRestore())
    return Checkpoint(folder, {"graph": {}, **items["variables"]}, meta)


def read_last_meta(workdir: str | pathlib.Path) -> dict[str, Any]:
    """The meta object of a run's last checkpoint, which has the whole run's history."""
    last = _newest(pathlib.Path(workdir).absolute() / FOLDER / "last")
    if last is None:
        raise UserError(f"No checkpoint was found in {workdir}: name a training run's working directory.")
    return _read_meta(last)


def _manager(folder: pathlib.Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(folder, options=options)


def _training_part(state: TrainState) -> dict[str, Tree]:
    """What `evaluated_variables` does not hold."""
    part = {"step": state.step, "opt_state": state.opt_state}
    if state.ema is not None:
        part["unaveraged"] = {"params": state.params, "batch_stats": state.batch_stats}
    return part


def _join(variables: dict[str, Tree], training: dict[str, Tree], template: TrainState) -> TrainState:
    evaluated = {"params": variables["params"], "batch_stats": variables["batch_stats"]}
    current = training.get("unaveraged", evaluated)
    return template.replace(
        step=training["step"],
        params=current["params"],
        batch_stats=current["batch_stats"],
        graph=variables.get("graph", {}),
        opt_state=training["opt_state"],
        ema=None if template.ema is None else evaluated,
    )


def _find(path: pathlib.Path) -> pathlib.Path:
    """The folder of one checkpoint: `path` itself, or the best one of the run at `path`."""
    if (path / "variables").is_dir():
        return path
    best = _newest(path / FOLDER / "best")
    if best is None:
        raise UserError(
            f"No checkpoint was found in {path}: name a training run's working directory (with {FOLDER}/best in it) "
            f"or one checkpoint's folder (with variables and meta in it)."
        )
    return best


def _newest(folder: pathlib.Path) -> pathlib.Path | None:
    steps = (step for step in folder.glob("*") if step.name.isdigit())
    return max(steps, key=lambda step: int(step.name), default=None)


def _read_meta(folder: pathlib.Path) -> dict[str, Any]:
    meta = _restore_items(folder, meta=ocp.args.JsonRestore())["meta"]
    if meta["format_version"] > FORMAT_VERSION:
        raise UserError(
            f"The checkpoint {folder} has format {meta['format_version']}, this version reads up to {FORMAT_VERSION}: "
            f"update emotion-gcn-jax."
        )
    return meta


def _restore_items(folder: pathlib.Path, **items: Any) -> Any:
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler(*items)) as checkpointer:
        return checkpointer.restore(folder, args=ocp.args.Composite(**items))
