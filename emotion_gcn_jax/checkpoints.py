"""Checkpoints: what one holds, and the only place that knows Orbax.

WORKDIR/checkpoints/best/STEP and WORKDIR/checkpoints/last/STEP each hold

- `variables`: what is evaluated and published: parameters, running statistics (both averaged over the steps if the run
  keeps an average) and the graph's constants, that is the adjacency and the word vectors;
- `meta`: a JSON object: format_version, step, config, tasks (what each output means), input (what the network looks
  at), crop (how faces are cut for it; null where that is unknown) and dataset, so that a model can be used without
  asking; and of a run a digest of its examples' names and labels, the validation scores and the progress;
- `training` (only in `last`): what a run needs to go on: optimiser state, step, and the unaveraged variables.

Each also holds `checksums.json`, of all its files. A run keeps the last checkpoint and the one before it: of a damaged
last one training goes on from the other, whose best checkpoint is kept as well.

A checkpoint that no run made (`write`), such as converted weights, has a folder of its own with the first two, and
`extras` where the weights came with tensors that the model does not use; its meta says in `origin` where it is from.

Older formats are read as if they were this one (old_formats.py).
"""

import dataclasses
import functools
import itertools
import logging
import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from emotion_gcn_jax import checksums, model_file, old_formats
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.trees import Tree

FORMAT_VERSION = model_file.FORMAT_VERSION
FOLDER = "checkpoints"
DAMAGED = "damaged"  # where a run puts aside what it cannot go on from


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was read back.

    Attributes:
        path: its folder.
        variables: "params", "batch_stats" and "constants", NumPy arrays.
        meta: see the module's description.
        extras: arrays by name that the model does not use.
    """

    path: pathlib.Path
    variables: dict[str, Tree]
    meta: dict[str, Any]
    extras: dict[str, np.ndarray]


class Checkpoints:
    """The best and the last checkpoints of one run. A new one is written whole before an older one is removed.

    Attributes:
        workdir: the run's, whose folder "checkpoints" they are in.

    There are two last ones. Of the best ones those stay that the run would have if it went on from either of them: one
    that is killed between a new best and a new last checkpoint goes on from before both, and makes them again.
    """

    def __init__(self, workdir: PathLike) -> None:
        """Makes the folders, and puts damaged last checkpoints aside; raises OSError where it cannot."""
        self.workdir = user_path(workdir).absolute()
        folder = self.workdir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        sound = last_folder(workdir)
        for later in _steps(folder / "last"):
            if sound is not None and _step_of(later) > _step_of(sound):
                reason, aside = _what_is_wrong(later), _put_aside(later, folder / DAMAGED)
                print(
                    f"The checkpoint of step {later.name} is damaged ({reason}) and was put into {aside}: the run goes "
                    f"on from the one before it, of step {sound.name}.",
                    file=sys.stderr,
                )
        self._last, self._best = _manager(folder / "last", keep=2), _manager(folder / "best", keep=3)

    def last_step(self) -> int | None:
        """The step of the last checkpoint; None where there is none."""
        return self._last.latest_step()

    def discard_best_after(self, step: int) -> None:
        """Removes a best checkpoint that a killed run wrote later than its last one, which will be made anew."""
        for later in [found for found in self._best.all_steps() if found > step]:
            self._best.delete(later)

    def mended_best(self, score: float | None) -> float | None:
        """Has another checkpoint in the place of the best one if that is damaged or gone.

        That is the last one if it is of the same step; else the best one before it; else the last one. A kill in
        between leaves what the next call finishes.

        Args:
            score: of the run's best checkpoint, by its last one; None before there is any.

        Returns:
            The score of the one that is the best now; None if it is not known.
        """
        best, wrong = self.workdir / FOLDER / "best", dict[pathlib.Path, str]()
        for step in sorted(_steps(best), key=_step_of, reverse=True):
            wrong[step] = _what_is_wrong_with_best(step)
            if not wrong[step]:
                break
        sound = next((step for step, reason in wrong.items() if not reason), None)
        damaged = [step for step, reason in wrong.items() if reason]
        if sound is not None and not damaged:
            return _score_of(sound, score)
        if score is None and not damaged:
            return None  # no epoch has ended yet
        last = last_folder(self.workdir)
        assert last is not None, "a run goes on from a last one"
        twin = last.with_name(damaged[0].name) if damaged else last
        copied = None
        if twin.is_dir() and not _what_is_wrong(twin):
            copied = _copied(twin, best)
        elif sound is None:
            copied = _copied(last, best)
        aside = [_put_aside(step, best.with_name(DAMAGED)) for step in damaged]
        if copied is not None:
            sound = copied.rename(best / copied.stem)
        assert sound is not None
        self._best.reload()
        what = " is gone"
        if damaged:
            what = f", of step {damaged[0].name}, is damaged ({wrong[damaged[0]]}) and was put into {aside[0]}"
        print(f"The best checkpoint{what}: that of step {sound.name} takes its place.", file=sys.stderr)
        return _score_of(sound, score)

    def save_last(self, step: int, variables: Tree, training: Tree, meta: dict[str, Any]) -> None:
        """Writes all that the run needs to go on.

        Args:
            step: the number of steps taken.
            variables: what is evaluated: NumPy arrays.
            training: what going on needs besides: NumPy arrays.
            meta: JSON-able; the format version and the step are added.
        """
        _save(self._last, step, variables, meta, training=ocp.args.StandardSave(training))
        before, best = min(self._last.all_steps()), sorted(self._best.all_steps())
        needed = {*best[-1:], *[found for found in best if found <= before][-1:]}
        for older in set(best) - needed:
            self._best.delete(older)

    def save_best(self, step: int, variables: Tree, meta: dict[str, Any]) -> None:
        """Writes what is evaluated and published; arguments as for `save_last`."""
        _save(self._best, step, variables, meta)

    def restore_last(self, variables: Tree, training: Tree) -> tuple[Tree, Tree, dict[str, Any]]:
        """Reads the last checkpoint back.

        Args:
            variables: of a fresh state of the same run; only structure, shapes and dtypes matter.
            training: likewise.

        Returns:
            Variables, training (NumPy arrays) and the meta object.

        Raises:
            UserError: the checkpoint is of another model, optimiser or format.
        """
        path = pathlib.Path(self._last.directory) / str(self._last.latest_step())
        meta, version = _read_meta(path)
        stored = old_formats.stored_variables(variables, version)
        template = jax.tree.map(np.asarray, {"variables": stored, "training": training})
        items = {name: ocp.args.StandardRestore(tree) for name, tree in template.items()}
        try:
            restored = dict(_restore_items(path, **items).items())
            fits = jax.tree.all(jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), restored, template))
        except Exception:
            _restore_whole(path, *items)  # raises if that is because of damage
            fits = False
        if not fits:
            raise UserError(
                f"The checkpoint {path} does not fit this config's model or optimiser: resume with the config that it "
                f"was trained with, which its meta names, or choose another --workdir."
            )
        return old_formats.variables(restored["variables"], version), restored["training"], meta

    def close(self) -> None:
        """Waits for whatever is still being written."""
        self._last.close()
        self._best.close()


def read(path: PathLike) -> Checkpoint:
    """Reads a checkpoint to use its model.

    Args:
        path: a run's working directory (its best checkpoint is read), its folder of checkpoints, the best or the last
            ones' folder in that, one checkpoint's folder, or a model's file (model_file.py).

    Raises:
        UserError: there is no checkpoint, it is damaged, or it is of a newer format.
    """
    if user_path(path).is_file():
        return Checkpoint(user_path(path), *model_file.read(path), extras={})
    folder = _find(user_path(path).absolute())
    if wrong := checksums.damage(folder):
        raise _damaged(folder, wrong)
    meta, version = _read_meta(folder)
    items = _restore_whole(folder, *(name for name in ("variables", "extras") if (folder / name).is_dir()))
    variables = {"batch_stats": {}, "constants": {}, **old_formats.variables(items["variables"], version)}
    return Checkpoint(folder, variables, meta, dict(items.get("extras") or {}))


def write(
    path: PathLike, variables: Tree, meta: dict[str, Any], extras: Mapping[str, np.ndarray] | None = None
) -> None:
    """Writes a checkpoint that is no part of a run; it is there whole or not at all.

    Args:
        path: its folder, which must not exist yet.
        variables: NumPy arrays.
        meta: JSON-able; the format version and step 0 are added.
        extras: arrays by name that travel along.

    Raises:
        UserError: there is something at `path`, or it cannot be written.
    """
    folder = user_path(path).absolute()
    check_new(folder)
    items: dict[str, Any] = {"variables": ocp.args.StandardSave(variables)}
    items["meta"] = ocp.args.JsonSave({"format_version": FORMAT_VERSION, "step": 0, **meta})
    if extras:
        items["extras"] = ocp.args.StandardSave(dict(extras))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handler = ocp.CompositeCheckpointHandler(*items)
        with ocp.Checkpointer(handler, multiprocessing_options=_by_itself()) as checkpointer:
            checkpointer.save(folder, args=ocp.args.Composite(**items))
        checksums.write(folder)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be written ({error.strerror or error}): choose another.") from None


def check_new(path: PathLike) -> None:
    """Raises UserError if there is something where a checkpoint, or a file made of one, is to be written."""
    if user_path(path).exists():
        raise UserError(f"There is something at {path} already: choose a new name.")


def read_last_meta(workdir: PathLike) -> dict[str, Any]:
    """The meta object of a run's last checkpoint, which has the whole run's history."""
    last = last_folder(workdir)
    if last is None:
        raise UserError(f"No checkpoint was found in {workdir}: name a training run's working directory.")
    return _read_meta(last)[0]


def last_folder(workdir: PathLike) -> pathlib.Path | None:
    """The folder of a run's last checkpoint that is whole; None where the run has none yet.

    Raises:
        UserError: there are some, and all are damaged.
    """
    wrong = {}
    for folder in sorted(_steps(user_path(workdir).absolute() / FOLDER / "last"), key=_step_of, reverse=True):
        wrong[folder] = _what_is_wrong(folder)
        if not wrong[folder]:
            return folder
    if wrong:
        folder, reason = next(iter(wrong.items()))
        raise _damaged(folder, f"{reason}{', and the one before it is, too' if len(wrong) > 1 else ''}")
    return None


def _what_is_wrong(folder: pathlib.Path) -> str:
    """Of one of a run's last checkpoints; "" for nothing. What has no checksums is read as a trial."""
    if (folder / checksums.FILE).exists():
        return checksums.damage(folder)
    try:
        _restore_items(folder, meta=ocp.args.JsonRestore())
        _restore_items(folder, **{name: ocp.args.StandardRestore() for name in ("variables", "training")})
    except Exception as error:
        _silence_abandoned_work()
        return type(error).__name__
    return ""


def _what_is_wrong_with_best(folder: pathlib.Path) -> str:
    """Of one of a run's best checkpoints; "" for nothing, as far as checksums tell."""
    if (folder / checksums.FILE).exists():
        return checksums.damage(folder)
    return "" if (folder / "variables").is_dir() else "parts of it are missing"


def _copied(last: pathlib.Path, best: pathlib.Path) -> pathlib.Path:
    """A copy of a last one, without what only going on needs, as best/STEP.copied, for the caller to rename."""
    copied = best / f"{last.name}.copied"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(last, copied, ignore=lambda folder, _: ["training"] if folder == str(last) else [])
    checksums.write(copied)
    return copied


def _score_of(best: pathlib.Path, score: float | None) -> float | None:
    """A best checkpoint's score, the run's best so far at its step; None of one that is a copy of another step's.

    A copy is known by the progress in it: the epoch that ended with its step was not the best. Older checkpoints have
    none in them; theirs is `score`.
    """
    progress = _read_meta(best)[0].get("progress")
    if not progress:
        return score
    is_best = not progress.get("epochs_without_better") and not progress.get("epoch_losses")
    return progress["best"] if is_best else None


def _put_aside(folder: pathlib.Path, damaged: pathlib.Path) -> pathlib.Path:
    damaged.mkdir(exist_ok=True)
    names = itertools.chain([folder.name], (f"{folder.name}_{number}" for number in itertools.count(2)))
    return folder.rename(next(damaged / name for name in names if not (damaged / name).exists()))


def _manager(folder: pathlib.Path, *, keep: int) -> ocp.CheckpointManager:
    folder.mkdir(exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        create=False,
        max_to_keep=keep,
        enable_async_checkpointing=False,
        cleanup_tmp_directories=True,
        multiprocessing_options=_by_itself(),
    )
    return ocp.CheckpointManager(folder, options=options)


def _by_itself() -> ocp.options.MultiprocessingOptions:
    """Of several processes each reads and writes without waiting for the others."""
    index = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=index, active_processes={index})


def _save(manager: ocp.CheckpointManager, step: int, variables: Tree, meta: dict[str, Any], **items: Any) -> None:
    items["variables"] = ocp.args.StandardSave(variables)
    items["meta"] = ocp.args.JsonSave({"format_version": FORMAT_VERSION, "step": step, **meta})
    _silence_abandoned_work()
    try:
        manager.save(step, args=ocp.args.Composite(**items), force=True)
        manager.wait_until_finished()
        checksums.write(pathlib.Path(manager.directory) / str(step))
    except Exception as error:  # OSError, or what the libraries below make of it
        full = "No space left" in str(error) or "ENOSPC" in str(error)
        is_first = not _steps(pathlib.Path(manager.directory).with_name("last"))
        before = "starts anew" if is_first else "goes on from the checkpoint before it, which is whole"
        raise UserError(
            f"The checkpoint of step {step} cannot be written to {manager.directory} "
            f"({'no space is left on the disk' if full else f'{type(error).__name__}: {str(error)[:200]}'}): make "
            f"room, then --resume {before}."
        ) from error


def _find(path: pathlib.Path) -> pathlib.Path:
    """The folder of one checkpoint: `path` itself, or the newest of the run's best, or of those in the folder."""
    if (path / "variables").is_dir():
        return path
    for folder in (path / FOLDER / "best", path / "best", path):
        if (newest := _newest(folder)) is not None:
            return newest
    raise UserError(
        f"No checkpoint was found in {path}: name a training run's working directory (with {FOLDER}/best in it), "
        f"one checkpoint's folder (with variables and meta in it) or a model's .safetensors file; where no name is "
        f"given predict, evaluate and others take the model that is shipped."
    )


def _newest(folder: pathlib.Path) -> pathlib.Path | None:
    return max((step for step in _steps(folder) if (step / "variables").is_dir()), key=_step_of, default=None)


def _steps(folder: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints in a folder, whole or not."""
    return [step for step in folder.glob("*") if step.name.isdigit()]


def _step_of(folder: pathlib.Path) -> int:
    return int(folder.name)


def _read_meta(folder: pathlib.Path) -> tuple[dict[str, Any], int]:
    """The meta object in today's format, and the version of the format that the checkpoint has."""
    try:
        meta = _restore_items(folder, meta=ocp.args.JsonRestore())["meta"]
        version = meta["format_version"]
        if version <= FORMAT_VERSION:
            return old_formats.meta(meta), version
    except Exception as error:
        raise _damaged(folder, error) from error
    raise UserError(
        f"The checkpoint {folder} has format {version}, this version reads up to {FORMAT_VERSION}: update "
        f"emotion-gcn-jax."
    )


def _restore_whole(folder: pathlib.Path, *names: str) -> Any:
    """Reads items as they are; raises UserError if they cannot be."""
    try:
        return _restore_items(folder, **{name: ocp.args.StandardRestore() for name in names})
    except Exception as error:
        raise _damaged(folder, error) from error


def _damaged(folder: pathlib.Path, error: Exception | str) -> UserError:
    """The sentence for files that are missing, damaged or not to be read, by checksums or by what a library raises."""
    _silence_abandoned_work()
    if isinstance(error, str):
        return UserError(
            f"The checkpoint {folder} is incomplete or damaged ({error}): copy it again, or choose another."
        )
    if isinstance(error, PermissionError):
        return UserError(f"The checkpoint {folder} cannot be read ({error.strerror}): have its permissions changed.")
    return UserError(
        f"The checkpoint {folder} is incomplete or damaged ({type(error).__name__}): copy it again, or choose another."
    )


@functools.cache
def _silence_abandoned_work() -> None:
    """When one read or write of several fails, the sentence is ours.

    Orbax would log each, asyncio those that nobody waits for, and others would find their event loop closed: hundreds
    of lines around it.
    """
    hook = sys.unraisablehook

    def quiet(what: "sys.UnraisableHookArgs") -> None:
        if str(what.exc_value) != "Event loop is closed":
            hook(what)

    sys.unraisablehook = quiet
    logging.getLogger("absl").addFilter(lambda record: not (record.exc_info and "orbax" in record.pathname))
    logging.getLogger("asyncio").addFilter(lambda record: not (record.exc_info and "orbax" in str(record.msg)))


def _restore_items(folder: pathlib.Path, **items: Any) -> Any:
    handler = ocp.CompositeCheckpointHandler(*items)
    with ocp.Checkpointer(handler, multiprocessing_options=_by_itself()) as checkpointer:
        return checkpointer.restore(folder, args=ocp.args.Composite(**items))
