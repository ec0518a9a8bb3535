"""What training tells while it steps: a progress bar and TensorBoard's scalars."""

import logging
import math
import pathlib
import sys
from collections.abc import Mapping

import jax
import tqdm

from emotion_gcn_jax.errors import extra
from emotion_gcn_jax.parallel import unreplicate
from emotion_gcn_jax.training.run import Run
from emotion_gcn_jax.training.step import MUST_BE_FINITE

with extra("train", "training"):
    import tensorflow as tf
    from clu import asynclib, metric_writers

_CANNOT_WRITE = (tf.errors.OpError, asynclib.AsyncError, OSError)


class Scalars:
    """TensorBoard's scalars, which the first process writes. A disk that takes no more of them does not end the run."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Takes the folder, which is made."""
        self._folder = folder
        logging.getLogger("absl").addFilter(_is_not_asynclibs)  # it would print a traceback before our sentence
        self._writer: metric_writers.MetricWriter | None = None
        try:
            self._writer = metric_writers.create_default_writer(folder, just_logging=jax.process_index() > 0)
        except _CANNOT_WRITE as error:
            self._give_up(error)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a step's values by their names; says so, once, where that is not possible."""
        try:
            if self._writer is not None:
                self._writer.write_scalars(step, values)
        except _CANNOT_WRITE as error:
            self._give_up(error)

    def close(self) -> None:
        """Waits for what is being written."""
        try:
            if self._writer is not None:
                self._writer.close()
        except _CANNOT_WRITE as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._writer = None
        cause = str(error.__cause__ or error)  # clu's AsyncError has another's
        why = "no space is left on the disk" if "No space left" in cause else cause[:200]
        tqdm.tqdm.write(
            f"warning: TensorBoard's scalars cannot be written to {self._folder} ({why}): there are none from here "
            f"on; make room before the next checkpoint.",
            file=sys.stderr,
        )


def progress_bar(run: Run, first_step: int) -> tqdm.tqdm:
    """A bar that counts images, from where a run resumes."""
    batch_size = run.config.data.batch_size
    return tqdm.tqdm(
        total=run.total_steps * batch_size,
        initial=first_step * batch_size,
        unit=" images",
        mininterval=0.5 if sys.stderr.isatty() else 20.0,
        dynamic_ncols=True,
        disable=jax.process_index() > 0,
    )


def _is_not_asynclibs(record: logging.LogRecord) -> bool:
    return "asynclib" not in record.pathname


class NotFiniteError(Exception):
    """A step with a NaN or an infinity in it.

    Attributes:
        step: its number, from 1.
        name: of the first of its scalars that is not finite.
        values: all of them, by name.
    """

    def __init__(self, step: int, name: str, values: dict[str, float]) -> None:
        """See the class."""
        super().__init__(f"the {name} is {values[name]} at step {step}")
        self.step, self.name, self.values = step, name, values


class StepLog:
    """Reads a step's scalars after the next step has been dispatched, so that the devices never wait for the host."""

    def __init__(
        self,
        run: Run,
        scalars: Scalars,
        bar: tqdm.tqdm,
        epoch_losses: list[float],
        skipped_steps: list[int],
    ) -> None:
        """Takes where to write, and lists: every step's loss is appended to one, or its number to the other."""
        self._run, self._scalars, self._bar = run, scalars, bar
        self._epoch_losses, self._skipped_steps = epoch_losses, skipped_steps
        self._masked: set[str] = set()  # those that have been said
        self._pending: tuple[int, dict[str, jax.Array]] | None = None

    def add(self, step: int, scalars: dict[str, jax.Array]) -> None:
        """Takes the scalars of a step that may still be running, and reports the step before it."""
        self.flush()
        self._pending = (step, scalars)

    def flush(self) -> None:
        """Reports the pending step, waiting for it.

        Raises:
            NotFiniteError: one of MUST_BE_FINITE is not, unless config.training.skip_non_finite leaves such steps out.
        """
        if self._pending is None:
            return
        step, scalars = self._pending
        self._pending = None
        values = {name: float(value) for name, value in unreplicate(scalars).items()}
        config = self._run.config
        wrong = next((name for name in MUST_BE_FINITE if not math.isfinite(values[name])), None)
        if wrong is None:
            self._epoch_losses.append(values["loss"])
        else:
            found = NotFiniteError(step, wrong, values)
            if not config.training.skip_non_finite:
                raise found
            self._skipped_steps.append(step)
            tqdm.tqdm.write(f"warning: {found}: it is left out; left out so far: {len(self._skipped_steps)}")
        self.say_masked()
        self._bar.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
        self._bar.update(config.data.batch_size)
        if step % config.training.log_every_steps == 0:
            written = {f"train/{name}": value for name, value in values.items()}
            written["train/learning_rate"] = float(self._run.schedule(step - 1))
            self._scalars.write(step, written)

    def say_masked(self) -> None:
        """Says which examples were masked that have not been said yet."""
        for message in sorted((self._run.train_loader.masked or set()) - self._masked):
            self._masked.add(message)
            tqdm.tqdm.write(f"warning: {message} It is masked; masked so far: {len(self._masked)}.", file=sys.stderr)
