"""TFDS builder of synthetic_faces: heads rendered with a known expression, valence and arousal.

tfds build tfds_builders/synthetic_faces
tfds build tfds_builders/synthetic_faces --config='{"name": "large", "size": 128, "train_faces": 20000}'
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.releases.builder import FacesBuilder
from emotion_gcn_jax.rendering.sampling import FACES_PER_SUBJECT
from emotion_gcn_jax.rendering.synthetic import stored_faces

# Side of the crop as a multiple of the face's box: little more than the face itself.
_CROP_SIDE = 1.05


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """How many faces are rendered, and how large they are stored.

    Attributes:
        size: side of the stored faces in pixels.
        train_faces: faces in the training split.
        validation_faces: faces in the validation split; the same ones whatever train_faces is.
        test_faces: faces in the test split.
        seed: seed of the whole dataset.
    """

    size: int = 64
    train_faces: int = 3400
    validation_faces: int = 600
    test_faces: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        """Leaves with a sentence if a number is impossible: for an error, `tfds build` would print a long traceback."""
        for split in ("train_faces", "validation_faces", "test_faces"):
            count = getattr(self, split)
            if count < FACES_PER_SUBJECT or count % FACES_PER_SUBJECT:
                nearest = max(1, count // FACES_PER_SUBJECT) * FACES_PER_SUBJECT
                raise SystemExit(
                    f"synthetic_faces shows every head {FACES_PER_SUBJECT} times: {split} must be a positive multiple "
                    f"of {FACES_PER_SUBJECT}, found {count}: choose e.g. {nearest}."
                )
        if not 32 <= self.size <= 1024:
            raise SystemExit(
                f"synthetic_faces needs a size of 32 to 1024 pixels, found size {self.size}: choose e.g. 64."
            )


class Builder(FacesBuilder):
    """Renders the faces; the README says what is in an example."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [SyntheticFacesConfig(name="demo", description="Small faces for a first training run.")]

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        point = tfds.features.Tensor(shape=(2,), dtype=np.float32)
        return self.describe(
            ("expression", "valence", "arousal"),
            homepage="http://www.makehumancommunity.org",
            label_names=EXPRESSIONS,
            crop=self._crop(),
            features={
                "image": tfds.features.Image(shape=(config.size, config.size, 3), encoding_format="png"),
                "subject": np.int64,
                "intensity": np.float32,
                "left_eye": point,
                "right_eye": point,
                "head_center": point,
            },
            metadata={"seed": config.seed},
        )

    def _crop(self) -> Crop:
        return Crop(side=_CROP_SIDE, size=self.builder_config.size, enlarge=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        del dl_manager  # nothing is downloaded
        config = self.builder_config
        held_out = config.validation_faces + config.test_faces
        # Splits are ranges of one endless series of faces, so they share no head; training faces come last, so that the
        # others stay the same when there are more of them.
        return {
            "train": self._generate_examples("train", range(held_out, held_out + config.train_faces)),
            "validation": self._generate_examples("validation", range(config.validation_faces)),
            "test": self._generate_examples("test", range(config.validation_faces, held_out)),
        }

    def _generate_examples(self, split: str, indices: range) -> Iterator[tuple[str, dict[str, Any]]]:
        faces = stored_faces(self.builder_config.seed, indices, crop=self._crop())
        faces = tqdm(faces, total=len(indices), desc=f"Rendering {split}", unit=" faces", leave=False)
        for number, face in enumerate(faces):
            name = f"{split}_{number:06d}"
            example = face._asdict()
            yield name, {"id": name, "image": example.pop("image_png"), **example}
