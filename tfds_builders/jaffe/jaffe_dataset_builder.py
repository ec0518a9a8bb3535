"""TFDS builder of JAFFE: 213 photographs of ten women, a split for each of them, or divided at random.

tfds build tfds_builders/jaffe --config=loso --manual_dir=FOLDER
tfds build tfds_builders/jaffe --config='{"name": "large", "protocol": "loso", "size": 112}' --manual_dir=FOLDER
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import tensorflow_datasets as tfds

from emotion_gcn_jax.releases import jaffe
from emotion_gcn_jax.releases.builder import ProtocolConfig, ReleaseBuilder
from emotion_gcn_jax.releases.building import ReleaseSplit


@dataclasses.dataclass(eq=False, kw_only=True)
class JaffeConfig(ProtocolConfig):
    """How the photographs are divided, and how large they are stored."""

    protocols = {
        "loso": "Leave one subject out: a split for each of the ten women.",
        "random_120_23_70": "120/23/70 at random: every woman is on all sides, as in published numbers near 93 %.",
    }


class Builder(ReleaseBuilder):
    """Reads the folder of photographs; the README says what is in an example."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [JaffeConfig(name=protocol) for protocol in JaffeConfig.protocols]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    JAFFE is given out on request (zenodo.org/records/3451524). --manual_dir names the folder with KA.AN1.39.tiff and
    the other 212 images.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return self.describe(
            ("expression", "subject"),
            homepage="https://zenodo.org/records/3451524",
            label_names=jaffe.LABEL_NAMES,
            features={"image": tfds.features.Image(shape=(None, None, 1), encoding_format="png")},
            metadata={} if config.protocol == "loso" else {"seed": config.seed},
        )

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        config = self.builder_config
        release = jaffe.find(root)
        if config.protocol == "loso":
            return jaffe.by_subject(release, config.size)
        return jaffe.at_random(release, config.size, config.seed)
