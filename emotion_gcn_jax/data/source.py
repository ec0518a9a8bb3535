"""A split of a dataset: its labels in memory, its images by random access.

A build of TFDS is read from its files alone, without the builder's code and without TensorFlow (builds.py). Labels are
read once, without decoding an image, and kept beside the build (label_index.py). A folder or a CSV of a user's own
images is a split too, without a build.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from emotion_gcn_jax.errors import UserError


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
        read_file: returns the stored image file of a row of the whole split; safe to call from several threads.
        rows: which rows of the whole split these examples are: int N.
    """

    dataset: str
    config: str | None
    name: str
    metadata: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]
    read_file: Callable[[int], bytes]
    rows: np.ndarray

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """The examples' ids: str, N."""
        return np.char.decode(self.columns["id"], "utf-8")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        dataset = self.dataset if self.config is None else f"{self.dataset}/{self.config}"
        return f"Split({dataset}, {self.name}, {len(self)} examples)"

    def select(self, mask_or_indices: np.ndarray | Sequence[int] | Sequence[bool]) -> "Split":
        """Returns the examples where a mask of N booleans is true, or those at the given indices, in their order."""
        chosen = np.arange(len(self))[mask_or_indices]
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return dataclasses.replace(self, columns=columns, rows=self.rows[chosen])

    def image(self, index: int) -> np.ndarray:
        """Returns an example's image, uint8 RGB [H, W, 3]. Orientation tags are ignored: builders store upright images.

        Raises:
            UserError: it cannot be decoded.
        """
        encoded = np.frombuffer(self.read_file(int(self.rows[index])), np.uint8)
        image = None
        if encoded.size:  # OpenCV answers an unreadable file with None, and an empty one with an exception
            image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            raise UserError(
                f"The image {self.ids[index]!r} of {self!r} cannot be read as JPEG or PNG: build the dataset again."
            )
        return image
