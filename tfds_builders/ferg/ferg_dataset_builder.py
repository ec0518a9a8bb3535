"""TFDS builder of FERG-DB: drawn faces, a split for each of the six characters, or divided at random.

tfds build tfds_builders/ferg --config=character --manual_dir=FOLDER
tfds build tfds_builders/ferg --config='{"name": "large", "protocol": "character", "size": 112}' --manual_dir=FOLDER
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import tensorflow_datasets as tfds

from emotion_gcn_jax.releases import ferg
from emotion_gcn_jax.releases.builder import ProtocolConfig, ReleaseBuilder
from emotion_gcn_jax.releases.building import ReleaseSplit


@dataclasses.dataclass(eq=False, kw_only=True)
class FergConfig(ProtocolConfig):
    """How the images are divided, and how large they are stored.

    Attributes:
        test_of_a_class: of random: how many test images each expression has.
        validation: of random: how many validation images there are.
    """

    protocols = {
        "character": "Leave one character out: a split for each of the six.",
        "random": "1,000 test images an expression and 14,000 validation images at random: every character is on all "
        "sides, as in published numbers above 99 %.",
    }

    test_of_a_class: int = 1000
    validation: int = 14000


class Builder(ReleaseBuilder):
    """Reads the characters' folders; the README says what is in an example."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [FergConfig(name=protocol) for protocol in FergConfig.protocols]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    FERG-DB is given out on request (grail.cs.washington.edu/projects/deepexpr/ferg-2d-db.html). --manual_dir names the
    folder that holds FERG_DB_256.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return self.describe(
            ("expression", "subject"),
            homepage="https://grail.cs.washington.edu/projects/deepexpr/ferg-2d-db.html",
            label_names=ferg.LABEL_NAMES,
            features={"image": tfds.features.Image(shape=(None, None, 1), encoding_format="png")},
            metadata={} if config.protocol == "character" else {"seed": config.seed},
        )

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        config = self.builder_config
        drawings = ferg.find(root)
        if config.protocol == "character":
            return ferg.by_character(drawings, config.size)
        held_out = {"test_of_a_class": config.test_of_a_class, "validation": config.validation}
        return ferg.at_random(drawings, config.size, config.seed, **held_out)
