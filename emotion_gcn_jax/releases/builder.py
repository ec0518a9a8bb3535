"""What the TFDS builders of real releases share: array_record, the building, and mistakes in one sentence."""

import abc
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases.building import Building, Example, ReleaseSplit


@dataclasses.dataclass(eq=False, kw_only=True)
class ReleaseConfig(tfds.core.BuilderConfig):
    """What every config of a real release has.

    Attributes:
        max_lost_share: the build stops when more than this share of a split's entries is lost.
    """

    max_lost_share: float = 0.01

    def __post_init__(self) -> None:
        """Leaves with a sentence if the share is none: for an error, `tfds build` would print a long traceback."""
        if not 0 <= self.max_lost_share <= 1:
            raise SystemExit(f"max_lost_share is a share of a split, 0 to 1, found {self.max_lost_share}: try 0.05.")


class ReleaseBuilder(tfds.core.GeneratorBasedBuilder):
    """Builds what `_open_release` of the dataset's own Builder has found in the folder of --manual_dir."""

    builder_config: ReleaseConfig

    def __init__(self, *, file_format: str | tfds.core.FileFormat | None = None, **kwargs: Any) -> None:
        """Writes array_record, which can be read in any order, unless told otherwise; knows its configs' names."""
        config = kwargs.get("config")
        if isinstance(config, str) and config not in self.builder_configs:
            raise SystemExit(f"{self.name} has no config {config!r}: choose one of {', '.join(self.builder_configs)}.")
        super().__init__(file_format=file_format or "array_record", **kwargs)

    @abc.abstractmethod
    def _open_release(self, root: epath.Path) -> Mapping[str, ReleaseSplit]:
        """Returns the splits by name; raises UserError where `root` does not hold the release."""

    def _download_and_prepare(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig
    ) -> None:
        own_folder = pathlib.Path(self.data_dir)  # while building, TFDS's unfinished one
        try:
            with Building.start(own_folder.parent, own_folder.name, self.builder_config.max_lost_share) as building:
                self._building = building
                super()._download_and_prepare(dl_manager, download_config)
        except UserError as error:
            raise SystemExit(str(error)) from None  # one line, where TFDS would print a long traceback

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        try:
            root = dl_manager.manual_dir
        except AssertionError as error:  # TFDS's, in a sentence and a page of instructions
            problem = str(error).partition(". ")[0]
            raise UserError(f"{problem}: name the folder that holds the release by --manual_dir.") from None
        splits = self._open_release(root)
        return {name: self._generate_examples(name, split) for name, split in splits.items()}

    def _generate_examples(self, name: str, split: ReleaseSplit) -> Iterator[tuple[str, Example]]:
        return self._building.examples(name, split)
