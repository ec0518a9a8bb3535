"""A split of a dataset: its labels in memory, its images by random access.

It comes from a build of TFDS (builds.py), or from a folder or a table of a user's own images, without a build
(folder_split.py).
"""

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emotion_gcn_jax.errors import UserError, counted, shown
from emotion_gcn_jax.sound import mel

LARGEST_NUMBER = 10_000_000  # of a frame: four days of video; what is above would fill the memory with holes


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Split:
    """The N examples of a split, or those that `select` chose of it.

    Choosing reads no image: `split.select(split.columns["video"] == b"12-24-1920x1080_left")`.

    Attributes:
        dataset: the dataset's name.
        config: the dataset's config, or None where it has none.
        name: the split's name.
        metadata: what the dataset says of its columns and images: the words of its class ids, and how faces were cut
            ("crop", as `faces.alignment.Crop.from_dict` reads it), if that is known.
        columns: what is stored beside the image, by name: arrays whose first axis is N; text as UTF-8 bytes; "id" is
            always there.
        read_image: returns the image of a row of the whole split; safe to call from several threads.
        rows: which rows of the whole split these examples are: int N.
        parts: the build's splits that these examples are of.
        read_sound: returns a recording's spectrogram, from sound.mel, by its name in the column `sound`, which is empty
            for an example without sound; the column `seconds` says when in it the example is. None where the dataset
            has no sounds. Safe to call from several threads.
    """

    dataset: str
    config: str | None
    name: str
    metadata: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]
    read_image: Callable[[int], np.ndarray]
    rows: np.ndarray
    parts: tuple[str, ...] = ()
    read_sound: Callable[[str], np.ndarray] | None = None

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """The examples' ids: str, N."""
        return np.char.decode(self.columns["id"], "utf-8")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        dataset = self.dataset if self.config is None else f"{self.dataset}/{self.config}"
        return f"Split({dataset}, {self.name}, {counted(len(self), 'example')})"

    def select(self, mask_or_indices: np.ndarray | Sequence[int] | Sequence[bool]) -> "Split":
        """Returns the examples where a mask of N booleans is true, or those at the given indices, in their order."""
        chosen = np.arange(len(self))[mask_or_indices]
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return dataclasses.replace(self, columns=columns, rows=self.rows[chosen])

    def whole_numbers(self, column: str) -> np.ndarray:
        """A column of frames' numbers or counts, which may be a user's own: int64 N.

        Raises:
            UserError: it has something else, or more than LARGEST_NUMBER.
        """
        try:
            numbers_N = self.columns[column].astype(np.int64)
        except (ValueError, OverflowError) as error:
            raise UserError(
                f"Expected whole numbers in the column {column} of {self!r} ({shown(str(error))}): correct it."
            ) from None
        if len(numbers_N) and not 0 <= numbers_N.min() <= numbers_N.max() <= LARGEST_NUMBER:
            raise UserError(
                f"Expected numbers of 0 to {LARGEST_NUMBER} in the column {column} of {self!r}, and found "
                f"{numbers_N.min()} to {numbers_N.max()}: correct it."
            )
        return numbers_N

    def image(self, index: int) -> np.ndarray:
        """Returns an example's image, uint8 RGB [H, W, 3]; raises UserError if it cannot be read."""
        return self.read_image(int(self.rows[index]))

    def sound(self, index: int) -> np.ndarray | None:
        """Returns what is heard around an example, float32 [STEPS, BANDS], see sound.mel.patch; None where nothing is.

        Raises:
            UserError: it cannot be read.
        """
        if self.read_sound is None or not (name := self.columns["sound"][index]):
            return None
        return mel.patch(self.read_sound(name.decode()), float(self.columns["seconds"][index]))


def join(parts: Sequence[Split], name: str) -> Split:
    """The examples of several splits of one dataset, one after the other.

    Args:
        parts: at least one, of the same columns.
        name: of the joined split.
    """
    if len(parts) == 1:
        return parts[0]
    starts = [0, *itertools.accumulate(len(part) for part in parts)]

    def read_image(row: int) -> np.ndarray:
        part = bisect.bisect_right(starts, row) - 1
        return parts[part].image(row - starts[part])

    return dataclasses.replace(
        parts[0],
        name=name,
        columns={column: np.concatenate([part.columns[column] for part in parts]) for column in parts[0].columns},
        read_image=read_image,
        rows=np.arange(starts[-1]),
        parts=tuple(itertools.chain.from_iterable(part.parts for part in parts)),
    )
