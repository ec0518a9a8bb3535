"""FERPlus: the votes of ten people on every image of FER2013, and the class that most of them agree on.

Barsoum et al. (ICMI 2016); github.com/microsoft/FERPlus has the list, fer2013new.csv. Its rows are those of fer2013.csv
in the same order. The image names in it are no key: 173 are blank, 4 stand for two images each, and their numbers drift
away from the rows.
"""

import dataclasses
import pathlib

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import CLASS_ORDERS, NO_CLASS
from emotion_gcn_jax.releases.tables import number, open_table

LIST = "fer2013new.csv"

CLASSES = CLASS_ORDERS["ferplus"]
LABEL_NAMES = CLASSES.vocabulary
"""The eight classes, in the order of the list's columns."""

VOTE_NAMES = (*LABEL_NAMES, "Unknown", "NF")
"""What the ten columns of votes count: the classes, then "I cannot tell" and "no face"."""

_COLUMNS = {name.lower(): name for name in ("Usage", *CLASSES.names.values())}


@dataclasses.dataclass(frozen=True, eq=False)
class Votes:
    """The list's N rows.

    Attributes:
        path: the list.
        usages: Training, PublicTest or PrivateTest, as fer2013.csv says it.
        votes_Nx10: float32 counts in the order of VOTE_NAMES; a row has 10 votes, one of the official list 9.
    """

    path: pathlib.Path
    usages: tuple[str, ...]
    votes_Nx10: np.ndarray


def read_votes(path: pathlib.Path) -> Votes:
    """Reads fer2013new.csv.

    Raises:
        UserError: it cannot be read, a column is missing, or a cell is no number of votes; it names the line.
    """
    table = open_table(path, _COLUMNS, list(_COLUMNS.values()))
    usages, votes = [], []
    for row in table.rows():
        counts = [number(row.cells.get(str(name), "")) for name in CLASSES.names.values()]
        if not all(count >= 0 and count.is_integer() for count in counts):
            raise UserError(
                f"Expected {len(counts)} numbers of votes in line {row.line} of {path}, and found {row.text!r}: "
                f"download {LIST} again."
            )
        usages.append(row.cells.get("Usage", ""))
        votes.append(counts)
    return Votes(path, tuple(usages), np.asarray(votes, np.float32).reshape(-1, len(VOTE_NAMES)))


def majority(votes_Nx10: np.ndarray) -> np.ndarray:
    """The class that most people agree on, by the official rule for "majority".

    A count of one vote is dropped; the largest of what is left must be more than half of it, and of one of the eight
    classes.

    Args:
        votes_Nx10: counts in the order of VOTE_NAMES.

    Returns:
        int64 N, places in LABEL_NAMES; -1 where there is no such class.
    """
    counted_Nx10 = np.where(votes_Nx10 > 1, votes_Nx10, 0)
    first_N = counted_Nx10.argmax(axis=1)
    agreed_N = counted_Nx10.max(axis=1, initial=0) > counted_Nx10.sum(axis=1) / 2
    return np.where(agreed_N & (first_N < len(LABEL_NAMES)), first_N, NO_CLASS)
