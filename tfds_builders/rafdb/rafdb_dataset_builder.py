"""TFDS builder of RAF-DB: the aligned images of the seven basic expressions.

tfds build tfds_builders/rafdb --manual_dir=FOLDER
"""

import pathlib
from collections.abc import Mapping

import tensorflow_datasets as tfds

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.releases import rafdb
from emotion_gcn_jax.releases.builder import ReleaseBuilder, ReleaseConfig
from emotion_gcn_jax.releases.building import ReleaseSplit

# The images come aligned. This is not how they were cut, but about what they show: hardly more than the face, its eyes
# level.
_CROP = Crop(side=1.05, size=100, enlarge=True)


class Builder(ReleaseBuilder):
    """Reads the list and the aligned images; the README says what is in an example."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [ReleaseConfig(name="basic", description="The aligned images of the seven basic expressions.")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    RAF-DB is given to researchers who ask for its password (whdeng.cn/RAF/model1.html). --manual_dir names the folder
    with basic/Image/aligned and basic/EmoLabel/list_patition_label.txt.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.describe(
            ("expression",),
            homepage="http://www.whdeng.cn/RAF/model1.html",
            label_names=rafdb.LABEL_NAMES,
            crop=_CROP,
        )

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        return rafdb.splits(rafdb.find(root))
