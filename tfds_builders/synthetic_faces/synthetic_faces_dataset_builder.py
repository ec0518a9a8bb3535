"""TFDS builder of synthetic_faces: heads rendered with a known expression, valence and arousal.

tfds build tfds_builders/synthetic_faces
tfds build tfds_builders/synthetic_faces --config='{"name": "large", "size": 128, "train_faces": 20000}'
"""

import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.faces.synthetic import stored_face
from emotion_gcn_jax.labels import EXPRESSIONS


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """How many faces are rendered, and how large they are stored.

    Attributes:
        size: side of the stored faces in pixels.
        train_faces: faces in the training split; even, since every head shows two.
        validation_faces: faces in the validation split; even.
        test_faces: faces in the test split; even.
        seed: seed of the whole dataset.
    """

    size: int = 64
    train_faces: int = 3400
    validation_faces: int = 600
    test_faces: int = 600
    seed: int = 0


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds synthetic_faces."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [SyntheticFacesConfig(name="demo", description="Small faces for a first training run.")]

    def __init__(self, *, file_format: Any = None, **kwargs: Any) -> None:
        """Writes array_record, which can be read at random, unless told otherwise."""
        super().__init__(file_format=file_format or "array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(config.size, config.size, 3), encoding_format="png"),
                    "expression": np.int64,
                    "valence": np.float32,
                    "arousal": np.float32,
                    "id": tfds.features.Text(),
                    "subject": np.int64,
                    "intensity": np.float32,
                    "left_eye": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                    "right_eye": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                    "head_center": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                }
            ),
            supervised_keys=("image", "expression"),
            homepage="https://arxiv.org/abs/2106.03487",
            metadata=tfds.core.MetadataDict(
                crop=self._crop().to_dict(), label_names=list(EXPRESSIONS), seed=config.seed
            ),
        )

    def _crop(self) -> Crop:
        return Crop(side=1.05, size=self.builder_config.size, enlarge=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        config = self.builder_config
        validation, test = config.validation_faces, config.test_faces
        return {
            "train": self._generate_examples("train", validation + test, config.train_faces),
            "validation": self._generate_examples("validation", 0, validation),
            "test": self._generate_examples("test", validation, test),
        }

    def _generate_examples(self, split: str, first: int, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self.builder_config
        work = functools.partial(stored_face, config.seed, crop=self._crop())
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            faces = pool.map(work, range(first, first + count))
            for number, face in enumerate(tqdm(faces, total=count, desc=f"rendering {split}", unit="face")):
                name = f"{split}_{number:06d}"
                example = face._asdict()
                yield name, {"id": name, "image": example.pop("image_png"), **example}
