"""What every task can do; `classes`, `values` and `flags` are the three kinds.

Nothing outside this room asks what kind a task is of: the step, the evaluator, the report and the predictor loop over
the tasks. N counts the examples of a split, B those of a batch, W the task's outputs.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import numpy as np

from emotion_gcn_jax.errors import UserError

Columns = Mapping[str, np.ndarray]
"""What a dataset stores beside the images, by name: arrays whose first axis is N."""

Metadata = Mapping[str, Any]
"""What a dataset says of its columns, such as the words that its class ids stand for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(abc.ABC):
    """One thing that is predicted. It is written to JSON with every checkpoint.

    Attributes:
        name: of the task: its labels in a batch, its outputs and its section of a report have this name.
        weight: of its loss in the total.
    """

    name: str
    weight: float = 1.0

    kind: ClassVar[str]
    exclusive: ClassVar[bool] = False
    """Whether only one of the outputs can be true of a face: then the graph has no edges between them."""
    selectable: ClassVar[tuple[str, ...]]
    """The metrics that a run may select its best checkpoint by, the usual one first."""
    baselines: ClassVar[tuple[str, ...]] = ()
    """The metrics of an answer that looks at no face, which are shown beside these."""
    answers_are: ClassVar[str]
    """What the numbers of `answer` are, for a reader of an exported file."""

    @property
    @abc.abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """The names of the W outputs in their order, which are also the names of the graph's nodes."""

    @property
    def takes_cosines(self) -> bool:
        """Whether the raw outputs are cosines of angles, in [-1, 1], which the head is then asked for."""
        return False

    @property
    def chief(self) -> tuple[str, ...]:
        """The metrics that are shown after every epoch."""
        return self.selectable[:1]

    # Labels

    @abc.abstractmethod
    def read(self, columns: Columns, metadata: Metadata) -> np.ndarray:
        """Returns the labels of N examples, as the metrics take them; those of a missing column are all missing."""

    def training_labels(self, columns: Columns, metadata: Metadata) -> np.ndarray:
        """Returns the labels of N examples as the loss takes them: those of `read`, unless there are better ones."""
        return self.read(columns, metadata)

    @abc.abstractmethod
    def known(self, labels: np.ndarray) -> np.ndarray:
        """Tells which outputs have a label, of `read` or of `training_labels`: bool N x W.

        The step counts labels by it, so that it takes arrays of JAX, too.
        """

    @abc.abstractmethod
    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Returns the labels as one number an output, float64 N x W, NaN where there is none: the graph's ranks."""

    def unknown_words(self, columns: Columns, metadata: Metadata) -> dict[str, int]:
        """Counts the labels that the task cannot express, by the dataset's word for them; to it they are none."""
        del columns, metadata
        return {}

    def check(self, metadata: Metadata, dataset: str) -> None:
        """Raises UserError if a dataset that has this task's column cannot mean by it what the task does."""
        del metadata, dataset

    def fitted(self, labels: np.ndarray, dataset: str) -> Self:
        """Returns the task with everything resolved that depends on the training labels, such as class weights."""
        del labels, dataset
        return self

    # Training and answers

    def at(self, epochs: jax.Array) -> Self:
        """Returns the task as it is after so many epochs of training, a traced scalar; most are always the same."""
        del epochs
        return self

    @abc.abstractmethod
    def loss(self, output_BxW: jax.Array, labels: jax.Array, axis_name: str | None = None) -> jax.Array:
        """The loss over the global batch: a scalar; 0, with gradient 0, where no example of it has a label."""

    @abc.abstractmethod
    def mixed(self, labels: jax.Array, others: jax.Array, share: jax.Array) -> jax.Array:
        """The labels of images that were mixed, share * one + (1 - share) * another, as the loss takes them.

        Args:
            labels: the first ones', from `training_labels`.
            others: the second ones'.
            share: a scalar in 0..1.
        """

    @abc.abstractmethod
    def answer(self, output_BxW: jax.Array) -> jax.Array:
        """Turns raw outputs into what is reported, B x W: probabilities, or the values themselves."""

    def decided(self, answers_NxW: np.ndarray) -> np.ndarray | None:
        """Tells which outputs N answers take to be true of a face, bool N x W; None where none is true or false."""
        del answers_NxW
        return None

    # What people read

    @abc.abstractmethod
    def metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, Any]:
        """Every metric of N examples: floats by name (NaN where undefined), and tables as dicts."""

    @abc.abstractmethod
    def interval_metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, float]:
        """Those metrics that get a bootstrap interval; called a thousand times."""

    @abc.abstractmethod
    def csv_columns(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, list[str]]:
        """The columns of predictions.csv by name; a cell is empty where there is no label."""

    @abc.abstractmethod
    def describe(self, answer_W: np.ndarray) -> dict[str, Any]:
        """What is said of one face, as JSON has it."""

    @abc.abstractmethod
    def row(self, described: Mapping[str, Any]) -> dict[str, str | float]:
        """The columns of one face in a table of predictions, in a fixed order; `described` is from `describe`."""

    @property
    @abc.abstractmethod
    def table_columns(self) -> dict[str, int]:
        """The headings of predict's table, and how wide their cells are."""

    @abc.abstractmethod
    def table_cells(self, described: Mapping[str, Any]) -> list[str]:
        """The cells of one face under `table_columns`."""

    @abc.abstractmethod
    def overlay_lines(self, described: Mapping[str, Any]) -> list[tuple[str, float]]:
        """What is written beside a face in its picture: lines, and their size (1 for what counts most)."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the task as JSON can hold it, its kind included; `registry.from_dict` reads it."""
        fields = dataclasses.asdict(self)
        return {"kind": self.kind, **{n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}}


def number_text(value: float) -> str:
    """A number of a CSV file: six digits are a float32's worth, and NaN is an empty cell."""
    return "" if np.isnan(value) else f"{value:.6g}"


def numbers_text(values_N: np.ndarray) -> list[str]:
    """A column of them."""
    return [number_text(value) for value in np.asarray(values_N).tolist()]


def positive_numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Reads `count` positive numbers with commas between them; None if the text is anything else."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(0 < n < float("inf") for n in numbers) else None


def one_of(field: str, value: str, known: Sequence[str]) -> str:
    """Returns the value if it is a known one; raises UserError with the list otherwise."""
    if value not in known:
        raise UserError(f"Unknown {field} {value!r}: choose one of {', '.join(known)}.")
    return value
