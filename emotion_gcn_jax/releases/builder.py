"""What this project's TFDS builders share: array_record, ~ for the home folder, and mistakes in one sentence.

A builder of your own needs `_info`, by `FacesBuilder.describe`, and `_open_release`, see `ReleaseBuilder`;
docs/extending.md has a short example.
"""

import abc
import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from emotion_gcn_jax.errors import UserError, cannot_write, shown
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.files import locked, user_path
from emotion_gcn_jax.releases.building import Building, Example, ReleaseSplit

COLUMNS: Mapping[str, Any] = MappingProxyType(
    {
        "expression": np.int64,
        "valence": np.float32,
        "arousal": np.float32,
        "subject": tfds.features.Text(),
        "video": tfds.features.Text(),
        "frame": np.int64,
        "recording": tfds.features.Text(),
        "video_frames": np.int64,
        "sound": tfds.features.Text(),
        "seconds": np.float32,
    }
)
"""The columns that a dataset may have beside `image` and `id`, and `action_units`, whose length differs."""


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


@dataclasses.dataclass(eq=False, kw_only=True)
class ProtocolConfig(ReleaseConfig):
    """What the config of a set has that papers divide in several ways, and use at a small size.

    Attributes:
        protocols: the ways, by name, each in a sentence.
        protocol: one of them; left out, it is the config's name.
        size: shorter side of the stored images in pixels; smaller ones keep theirs.
        seed: of a protocol that divides at random.
        description: TFDS's own; left out, it is the protocol's sentence.
    """

    protocols: ClassVar[Mapping[str, str]]

    protocol: str = ""
    size: int = 48
    seed: int = 0
    description: str | None = None

    def __post_init__(self) -> None:
        """Leaves with a sentence if there is no such protocol, or the size is impossible."""
        super().__post_init__()
        self.protocol = self.protocol or self.name
        if self.protocol not in self.protocols:
            raise SystemExit(f"protocol is one of {', '.join(self.protocols)}, found {self.protocol!r}: choose one.")
        if not 32 <= self.size <= 1024:
            raise SystemExit(f"size is 32 to 1024 pixels, found {self.size}: try 48.")
        self.description = self.description or self.protocols[self.protocol]


_MADE_FROM = "manual_dir.txt"
"""In a build's folder: the folder that it was built from."""


def _given_folder(options: Mapping[str, Any]) -> str:
    """The whole path of --manual_dir; "" where none is given."""
    manual_dir = getattr(options.get("download_config"), "manual_dir", None)
    return str(user_path(manual_dir).resolve()) if manual_dir else ""


class FacesBuilder(tfds.core.GeneratorBasedBuilder):
    """Knows ~ and its configs' names, and writes array_record, which gives random access, unless asked otherwise."""

    def __init__(
        self,
        *,
        data_dir: str | pathlib.Path | None = None,
        file_format: str | tfds.core.FileFormat | None = None,
        **kwargs: Any,
    ) -> None:
        config = kwargs.get("config")
        if isinstance(config, str) and config not in self.builder_configs:
            raise SystemExit(f"{self.name} has no config {config!r}: choose one of {', '.join(self.builder_configs)}.")
        # TFDS itself expands ~ in --manual_dir and --download_dir, but neither in --data_dir nor in $TFDS_DATA_DIR.
        folder = epath.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
        super().__init__(data_dir=folder, file_format=file_format or "array_record", **kwargs)

    @tfds.core.utils.classproperty
    @classmethod
    def builder_config_cls(cls) -> Callable[..., tfds.core.BuilderConfig] | None:
        """What `tfds build` gives the fields of --config='{...}' to; leaves with a sentence where they are wrong."""
        made = super().builder_config_cls
        if made is None:
            return None
        of_tfds = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
        own = {field.name: field.default for field in dataclasses.fields(made) if field.name not in of_tfds}
        known = {"name": "mine", "description": "My faces.", **own}

        def config(**given: Any) -> tfds.core.BuilderConfig:
            for name, value in given.items():
                if name not in known:
                    raise SystemExit(
                        f"A config of {cls.name} has no field {shown(repr(name))}: choose from {', '.join(known)}."
                    )
                usual = known[name]
                kinds = (int, float) if isinstance(usual, float) else (type(usual),)
                if isinstance(usual, bool | int | float | str) and type(value) not in kinds:
                    raise SystemExit(
                        f"The field {name!r} of a config of {cls.name} is a {kinds[-1].__name__} such as {usual!r}, "
                        f"found {shown(repr(value))}: correct it."
                    )
            if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", name := given.get("name", "")):
                raise SystemExit(
                    f"A config of {cls.name} needs a name of letters, digits, _, - and ., by which it is found, found "
                    f'{shown(repr(name))}: add "name": "mine".'
                )
            if name in cls.builder_configs:
                raise SystemExit(f"{cls.name} has a config {name!r} of its own: choose another name.")
            return made(**given)

        return config

    def download_and_prepare(self, **options: Any) -> None:
        """TFDS's own, by one process at a time; another one leaves with a sentence."""
        given = _given_folder(options)
        if self.is_prepared():  # then it writes nothing
            self._check_folder(given)
            super().download_and_prepare(**options)
            return
        folder = pathlib.Path(self.data_path).parent
        root = folder.parents[1] if self.builder_config else folder.parent
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = locked(root / f".{'_'.join(folder.relative_to(root).parts)}.lock")
        except OSError as error:
            raise SystemExit(str(cannot_write(folder, error))) from None
        with lock as is_mine:
            if not is_mine:
                raise SystemExit(
                    f"Another process builds {self.name} in {folder}: wait for it, or name another --data_dir."
                )
            super().download_and_prepare(**options)
        if given:
            (pathlib.Path(self.data_path) / _MADE_FROM).write_text(given, encoding="utf-8", errors="surrogateescape")

    def _check_folder(self, given: str) -> None:
        """Leaves with a sentence if the build is of another folder than is given now."""
        note = pathlib.Path(self.data_path) / _MADE_FROM
        before = note.read_text(encoding="utf-8", errors="surrogateescape") if note.exists() else ""
        if given and before and given != before:
            raise SystemExit(
                f"{self.data_path} was built from {before}, and --manual_dir names {given}: build it anew by "
                f"--overwrite, or beside it by another --data_dir or a --config of another name."
            )

    def describe(
        self,
        columns: Iterable[str],
        *,
        homepage: str | None = None,
        label_names: Sequence[str] = (),
        action_units: Sequence[str] = (),
        crop: Crop | None = None,
        features: Mapping[str, Any] = MappingProxyType({}),
        metadata: Mapping[str, Any] = MappingProxyType({}),
    ) -> tfds.core.DatasetInfo:
        """What `_info` returns: the features of an example and the metadata that explain them.

        Args:
            columns: what examples have beside `image` (a JPEG) and `id`: "action_units" or a key of COLUMNS.
            homepage: the dataset's page.
            label_names: the words that the numbers in `expression` stand for, of `emotion_gcn_jax.labels`.
            action_units: the names in the order of `action_units`, such as "AU1".
            crop: how the faces were cut out, where that is known.
            features: more features, or others in the place of those above.
            metadata: more metadata.
        """
        units = tfds.features.Tensor(shape=(len(action_units),), dtype=np.int8)
        known = {**COLUMNS, "action_units": units}
        found = {"label_names": list(label_names), "action_units": list(action_units), "crop": crop and crop.to_dict()}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "id": tfds.features.Text(),
                    **{name: known[name] for name in columns},
                    **features,
                }
            ),
            supervised_keys=("image", "expression") if label_names else None,
            homepage=homepage,
            metadata=tfds.core.MetadataDict({key: value for key, value in found.items() if value} | dict(metadata)),
        )


class ReleaseBuilder(FacesBuilder):
    """Builds what `_open_release` of the dataset's own Builder has found in the folder of --manual_dir."""

    BUILDER_CONFIGS = [ReleaseConfig(name="all")]
    builder_config: ReleaseConfig
    _info_of_release: tfds.core.DatasetInfo | None = None

    @abc.abstractmethod
    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        """Returns the splits by name; raises UserError where `root` does not hold the release."""

    @property
    def info(self) -> tfds.core.DatasetInfo:
        """As `_info` describes the dataset; while building, as it does once the release is open."""
        return self._info_of_release or super().info

    def _download_and_prepare(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig
    ) -> None:
        own_folder = pathlib.Path(self.data_dir)  # while building, TFDS's unfinished one
        try:
            with Building.start(own_folder.parent, own_folder.name, self.builder_config.max_lost_share) as building:
                self._building = building
                self._splits = self._open_release(_manual_dir(dl_manager))
                file_format = self.info.file_format
                self._info_of_release = self._info()
                self._info_of_release.set_file_format(file_format)
                super()._download_and_prepare(dl_manager, download_config)
        except UserError as error:
            raise SystemExit(str(error)) from None  # one line, where TFDS would print a long traceback

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        del dl_manager  # the release is open
        return {name: self._generate_examples(name, split) for name, split in self._splits.items()}

    def _generate_examples(self, name: str, split: ReleaseSplit) -> Iterator[tuple[str, Example]]:
        return self._building.examples(name, split)


def _manual_dir(dl_manager: tfds.download.DownloadManager) -> pathlib.Path:
    try:
        return pathlib.Path(dl_manager.manual_dir)
    except AssertionError as error:  # TFDS's, in a sentence and a page of instructions
        problem = str(error).partition(". ")[0]
        raise UserError(f"{problem}: name the folder that holds the release by --manual_dir.") from None
    except NotADirectoryError as error:
        raise UserError(
            f"Expected a folder by --manual_dir, and found the file {error.filename}: name the folder that holds it."
        ) from None
