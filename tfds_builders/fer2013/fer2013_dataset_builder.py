"""TFDS builder of FER2013: its 35,887 grey images, with its own labels or with FERPlus's.

tfds build tfds_builders/fer2013 --config=fer2013 --manual_dir=FOLDER
tfds build tfds_builders/fer2013 --config=ferplus --manual_dir=FOLDER
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from emotion_gcn_jax.releases import fer2013, ferplus
from emotion_gcn_jax.releases.builder import ReleaseBuilder, ReleaseConfig
from emotion_gcn_jax.releases.building import ReleaseSplit

LABELS = {
    "fer2013": "Seven expressions, the labels of the competition.",
    "ferplus": "Eight expressions, FERPlus's majority of ten people, and their votes.",
}


@dataclasses.dataclass(eq=False, kw_only=True)
class Fer2013Config(ReleaseConfig):
    """Whose labels the images have.

    Attributes:
        labels: one of LABELS; left out, it is the config's name.
    """

    labels: str = ""

    def __post_init__(self) -> None:
        """Leaves with a sentence if there are no such labels."""
        super().__post_init__()
        self.labels = self.labels or self.name
        if self.labels not in LABELS:
            raise SystemExit(f"The labels of a fer2013 config are one of {', '.join(LABELS)}, found {self.labels!r}.")
        self.description = self.description or LABELS[self.labels]


class Builder(ReleaseBuilder):
    """Reads the table or the folders; the README says what is in an example."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [Fer2013Config(name=labels) for labels in LABELS]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    The images are those of Kaggle's "Challenges in Representation Learning: Facial Expression Recognition Challenge".
    --manual_dir names the folder with fer2013.csv or icml_face_data.csv, or with folders of image files; for the config
    ferplus with fer2013new.csv of github.com/microsoft/FERPlus as well.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        plus = self.builder_config.labels == "ferplus"
        features: dict[str, Any] = {
            "image": tfds.features.Image(shape=(fer2013.SIDE, fer2013.SIDE, 1), encoding_format="png"),
            "row": np.int64,
            "copy_in_train": np.bool_,
        }
        if plus:
            features["expression_votes"] = tfds.features.Tensor(shape=(len(ferplus.VOTE_NAMES),), dtype=np.float32)
        return self.describe(
            ("expression",),
            homepage="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
            label_names=ferplus.LABEL_NAMES if plus else fer2013.LABEL_NAMES,
            features=features,
            metadata={"expression_votes": list(ferplus.VOTE_NAMES)} if plus else {},
        )

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        faces = fer2013.read_faces(root)
        votes = fer2013.read_votes(root, faces) if self.builder_config.labels == "ferplus" else None
        return fer2013.splits(faces, votes)
