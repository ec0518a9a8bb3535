"""TFDS builder of synthetic_faces: heads rendered with a known expression, valence, arousal and action units.

tfds build tfds_builders/synthetic_faces --config=demo
tfds build tfds_builders/synthetic_faces --config=clips
tfds build tfds_builders/synthetic_faces --config='{"name": "large", "size": 128, "train_faces": 20000}'
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.releases.builder import FacesBuilder
from emotion_gcn_jax.rendering.actions import ACTION_UNITS
from emotion_gcn_jax.rendering.sampling import FACES_PER_SUBJECT
from emotion_gcn_jax.rendering.synthetic import StoredFace, seconds, store_sound, stored_clips, stored_faces

_OF_CLIPS = ("video", "frame", "sound", "seconds")
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
        frames: of each clip, in which a head moves; then faces are frames, of which some are missing. 0 is no clips.
        seed: seed of the whole dataset.
    """

    size: int = 64
    train_faces: int = 3400
    validation_faces: int = 600
    test_faces: int = 600
    frames: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Leaves with a sentence if a number is impossible: for an error, `tfds build` would print a long traceback."""
        for split in ("train_faces", "validation_faces", "test_faces"):
            count, shown = getattr(self, split), self.faces_per_subject
            if count < shown or count % shown:
                raise SystemExit(
                    f"synthetic_faces shows every head {shown} times: {split} must be a positive multiple of {shown}, "
                    f"found {count}: choose e.g. {max(1, count // shown) * shown}."
                )
        if not 32 <= self.size <= 1024:
            raise SystemExit(
                f"synthetic_faces needs a size of 32 to 1024 pixels, found size {self.size}: choose e.g. 64."
            )

    @property
    def faces_per_subject(self) -> int:
        """How often every head is shown."""
        return self.frames or FACES_PER_SUBJECT


class Builder(FacesBuilder):
    """Renders the faces; the README says what is in an example."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {
        "1.0.0": "Initial release.",
        "1.1.0": "Action units; clips. The faces are the same.",
        "1.2.0": "Clips have sounds. All else is the same.",
    }
    BUILDER_CONFIGS = [
        SyntheticFacesConfig(name="demo", description="Small faces for a first training run."),
        SyntheticFacesConfig(
            name="clips",
            description="Clips of 12 frames, with sound, in which valence and arousal can only be told in time.",
            size=48,
            train_faces=300 * 12,
            validation_faces=50 * 12,
            test_faces=50 * 12,
            frames=12,
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        point = tfds.features.Tensor(shape=(2,), dtype=np.float32)
        return self.describe(
            ("expression", "valence", "arousal", "action_units", *(_OF_CLIPS if config.frames else ())),
            homepage="http://www.makehumancommunity.org",
            label_names=EXPRESSIONS,
            action_units=tuple(ACTION_UNITS),
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
        seed, frames, crop = self.builder_config.seed, self.builder_config.frames, self._crop()
        if not frames:
            faces = stored_faces(seed, indices, crop=crop)
            faces = tqdm(faces, total=len(indices), desc=f"Rendering {split}", unit=" faces", leave=False)
            for number, face in enumerate(faces):
                yield _example(f"{split}_{number:06d}", face)
            return
        indices = range(indices.start // frames, indices.stop // frames)
        clips = stored_clips(seed, indices, frames, crop=crop)
        clips = tqdm(clips, total=len(indices), desc=f"Rendering {split}", unit=" clips", leave=False)
        for number, (index, clip) in enumerate(zip(indices, clips, strict=True)):
            video = f"{split}_{number:04d}"
            sound = store_sound(pathlib.Path(self.data_dir), video, seed, index, frames)
            for frame, face in clip.items():
                where = {"video": video, "frame": frame, "sound": sound, "seconds": seconds(frame)}
                yield _example(f"{video}/{frame:05d}", face, **where)


def _example(name: str, face: StoredFace, **where: str | float) -> tuple[str, dict[str, Any]]:
    columns = face._asdict()
    return name, {"id": name, "image": columns.pop("image_png"), **columns, **where}
