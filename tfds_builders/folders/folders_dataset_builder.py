"""TFDS builder of folders: labelled images of your own, from one folder for each class or from a table.

tfds build tfds_builders/folders --manual_dir=FOLDER
tfds build tfds_builders/folders --config='{"name": "mine", "longest_side": 256}' --manual_dir=FOLDER
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from emotion_gcn_jax.faces.pictures import encode_jpeg
from emotion_gcn_jax.releases import folders
from emotion_gcn_jax.releases.builder import ReleaseBuilder, ReleaseConfig
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit
from emotion_gcn_jax.releases.images import read_image


@dataclasses.dataclass(eq=False, kw_only=True)
class FoldersConfig(ReleaseConfig):
    """A set of images; its name keeps it apart from others in the same data directory.

    Attributes:
        longest_side: in pixels; larger images are reduced to it.
    """

    longest_side: int = 512

    def __post_init__(self) -> None:
        """Leaves with a sentence if the side is impossible."""
        super().__post_init__()
        if not 32 <= self.longest_side <= 8192:
            raise SystemExit(f"longest_side is 32 to 8192 pixels, found {self.longest_side}: try 512.")


class Builder(ReleaseBuilder):
    """Reads the set; the README says what is in an example."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "Initial release.",
        "1.1.0": "The columns frame and video_frames of a table with the column video.",
    }
    BUILDER_CONFIGS = [FoldersConfig(name="images", description="Labelled images of your own.")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir names a folder with a folder of images for each class, or with a CSV."

    _found: folders.FolderSet | None = None

    def _info(self) -> tfds.core.DatasetInfo:
        if self._found is None:
            return self.dataset_info_from_configs()  # only a set that is read, or built, tells its columns
        columns = next(iter(self._found.splits.values())).columns
        return self.describe(columns, label_names=self._found.label_names, action_units=self._found.action_units)

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        self._found = folders.read(root)
        return {name: self._split(split, self._found.class_counts(name)) for name, split in self._found.splits.items()}

    def _split(self, split: folders.FolderSplit, class_counts: str) -> ReleaseSplit:
        entries = (Entry(name, str(split.paths[row]), (split, row)) for row, name in enumerate(split.ids))
        make = functools.partial(_example, longest_side=self.builder_config.longest_side)
        said = (*split.warnings, class_counts) if class_counts else split.warnings
        return ReleaseSplit(entries, len(split), make, warnings=said)


def _example(content: tuple[folders.FolderSplit, int], longest_side: int) -> Example:
    split, row = content
    image_HxWx3 = _reduced(read_image(split.paths[row]), longest_side)
    labels: dict[str, Any] = {name: column[row] for name, column in split.columns.items()}
    return {"image": encode_jpeg(image_HxWx3), **labels}


def _reduced(image_HxWx3: np.ndarray, longest_side: int) -> np.ndarray:
    """The image with neither side longer, by an antialiasing filter."""
    picture = Image.fromarray(image_HxWx3)
    picture.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC, reducing_gap=None)
    return np.asarray(picture)
