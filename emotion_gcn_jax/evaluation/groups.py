"""For whom a model errs: the examples of a split in groups, by a column of the dataset or of a user's table."""

import dataclasses

import numpy as np

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, listed

FEW = 30  # examples; an interval of fewer says little, and the summary says so
_MOST = 50  # groups, beyond which a column is rather a measurement or a name


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """A group for each of N examples.

    Attributes:
        column: what they are by.
        of_examples: str N; empty where the cell is.
        names: each once, sorted.
    """

    column: str
    of_examples: np.ndarray
    names: tuple[str, ...]


def groups_by(split: Split, column: str) -> Groups:
    """Divides the examples of a split.

    Args:
        split: N examples.
        column: one of its columns: text, whole numbers or true and false.

    Raises:
        UserError: there is no such column, or it has too many different values to be groups.
    """
    if column not in split.columns or column == "id":
        known = (name for name, values in split.columns.items() if values.ndim == 1 and name != "id")
        raise UserError(f"--by must name a column of {split.dataset}: {listed(known)}, found {column}.")
    values_N = split.columns[column]
    if values_N.ndim != 1:
        raise UserError(f"--by needs a column with one value an example, and {column} has several: choose another.")
    texts_N = np.asarray([_text(value) for value in values_N.tolist()])
    names = tuple(np.unique(texts_N).tolist())
    if len(names) > _MOST:
        raise UserError(
            f"--by divides into at most {_MOST} groups, and {column} has {len(names)} different values: choose a "
            f"column of few, such as age bands instead of ages."
        )
    return Groups(column, texts_N, names)


def _text(value: bytes | bool | int | float) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value).lower()
