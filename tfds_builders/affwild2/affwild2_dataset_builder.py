"""TFDS builder of affwild2: the annotated frames of Aff-Wild2, for one of six tasks.

tfds build tfds_builders/affwild2 --config=expr_va --manual_dir=FOLDER
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.releases import affwild2
from emotion_gcn_jax.releases.affwild2 import SPLIT_BY, SplitBy
from emotion_gcn_jax.releases.affwild2_annotations import UNITS
from emotion_gcn_jax.releases.affwild2_layout import SPLITS, TASKS, Task, find
from emotion_gcn_jax.releases.builder import ReleaseBuilder, ReleaseConfig
from emotion_gcn_jax.releases.building import ReleaseSplit
from emotion_gcn_jax.releases.recordings import Recordings

# The frames come aligned. This is not how they were cut, which was never published exactly, but about what they show:
# hardly more than the face, its eyes level.
_CROP = Crop(side=1.05, size=112, enlarge=True)


@dataclasses.dataclass(eq=False, kw_only=True)
class Affwild2Config(ReleaseConfig):
    """Which frames are examples, and where their labels come from.

    Attributes:
        task: expr_va, expr, va, au, mtl or frames; see `releases.affwild2.read_split`.
        merge_va: for expr_va, look valence and arousal up in both splits' sets, as the official implementation does;
            frames of the valence/arousal validation set are then trained on.
        split_by: for frames, recording or task: whether a recording stays on one side, or each set has its own split.
        sound: whether the sounds of the videos that lie beside the frames are stored; without videos nothing changes.
        edition: the name of a folder; only annotations below it count.
        max_lost_share: about 2 % of the annotated frames of every edition have no image, where no face was found.
    """

    task: Task = "expr_va"
    merge_va: bool = False
    split_by: SplitBy = "recording"
    sound: bool = False
    edition: str = ""
    max_lost_share: float = 0.05

    def __post_init__(self) -> None:
        """Leaves with a sentence if there is no such task: for an error, `tfds build` would print a long traceback."""
        super().__post_init__()
        if self.task not in TASKS:
            raise SystemExit(f"affwild2 knows the tasks {', '.join(TASKS)}, found {self.task!r}: choose one.")
        if self.merge_va and self.task != "expr_va":
            raise SystemExit(f"merge_va is for the task expr_va only, found {self.task}: leave it out.")
        if self.split_by not in SPLIT_BY or (self.split_by != "recording" and self.task != "frames"):
            raise SystemExit(
                f"split_by is one of {', '.join(SPLIT_BY)}, for the task frames only, found {self.split_by!r} for "
                f"{self.task}: correct it, or leave it out."
            )


class Builder(ReleaseBuilder):
    """Joins annotations and frames; the README says what is in an example."""

    VERSION = tfds.core.Version("2.3.0")
    RELEASE_NOTES = {
        "1.0.0": "Initial release.",
        "2.0.0": "Other is the class 7 of expr and mtl, in place of the column `other`; a config has only the columns "
        "that it reads; files with other separators or orders of columns are read; videos with a frame 0 are lost.",
        "2.1.0": "Examples say the number of their frame.",
        "2.2.0": "The config frames; examples say how many frames their video has.",
        "2.3.0": "frames and mtl have the sounds of the videos, where these lie beside the frames.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Aff-Wild2 is given to researchers who sign its agreement (its page is
    sites.google.com/view/dimitrioskollias/databases/aff-wild2).
    --manual_dir names the folder with the unpacked annotations of one edition and the folders of cropped and aligned
    frames, cropped_aligned and, from the fifth edition on, cropped_aligned_new_50_vids. Where the videos lie there
    as well, their sounds are stored.
    """
    BUILDER_CONFIGS = [
        Affwild2Config(name="expr_va", description="Frames with one of seven expressions, valence and arousal."),
        Affwild2Config(name="expr", task="expr", description="Frames with one of eight expressions: seven and Other."),
        Affwild2Config(name="va", task="va", description="Frames with valence and arousal."),
        Affwild2Config(name="au", task="au", description="Frames with action units."),
        Affwild2Config(
            name="mtl", task="mtl", sound=True, description="The multi-task set: frames with some of these."
        ),
        Affwild2Config(
            name="frames",
            task="frames",
            sound=True,
            description="Frames with any label of the three sets, joined.",
        ),
    ]

    _recordings: Recordings | None = None  # known once the release is open

    def _info(self) -> tfds.core.DatasetInfo:
        task = self.builder_config.task
        columns = affwild2.COLUMNS[task]
        return self.describe(
            (
                *(*columns, "video", "frame", "recording", "video_frames"),
                *(("sound", "seconds") if self._recordings else ()),
            ),
            homepage="https://sites.google.com/view/dimitrioskollias/databases/aff-wild2",
            label_names=affwild2.LABEL_NAMES[task],
            action_units=UNITS if "action_units" in columns else (),
            crop=_CROP,
        )

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        config = self.builder_config
        release = find(root, config.task, config.edition)
        if config.sound:
            self._recordings = Recordings(root, pathlib.Path(self.data_dir))
        options: Any = {"merge_va": config.merge_va, "split_by": config.split_by, "recordings": self._recordings}
        return {split: affwild2.read_split(release, config.task, split, **options) for split in SPLITS}
