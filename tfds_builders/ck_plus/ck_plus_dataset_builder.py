"""TFDS builder of CK+: the labelled sequences, by one of the protocols of papers.

tfds build tfds_builders/ck_plus --config=last3_subject10 --manual_dir=FOLDER
tfds build tfds_builders/ck_plus --config='{"name": "mine", "protocol": "peak_random", "size": 112}' --manual_dir=FOLDER
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping

import cv2
import numpy as np
import tensorflow_datasets as tfds

from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.faces.pictures import encode_png
from emotion_gcn_jax.releases import ck_plus
from emotion_gcn_jax.releases.builder import ProtocolConfig, ReleaseBuilder
from emotion_gcn_jax.releases.building import ReleaseSplit
from emotion_gcn_jax.releases.ck_plus_layout import read_sequences
from emotion_gcn_jax.releases.images import small_grey
from emotion_gcn_jax.releases.landmarks import eyes

# Of the larger side of the landmarks' box, which reaches from the brows to the chin: our choice, since how papers cut
# their faces is not known.
_CROP_SIDE = 1.2


@dataclasses.dataclass(eq=False, kw_only=True)
class CKPlusConfig(ProtocolConfig):
    """Which frames are examples, how they are divided, and how large they are stored."""

    protocols = {name: protocol.description for name, protocol in ck_plus.PROTOCOLS.items()}


class Builder(ReleaseBuilder):
    """Reads the original release or CK+48; the README says what is in an example."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [CKPlusConfig(name=protocol) for protocol in CKPlusConfig.protocols]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    CK+ is given to researchers who sign its agreement. --manual_dir names the folder with its unpacked folders
    cohn-kanade-images, Landmarks and Emotion, or with CK+48.
    """

    _is_cut = False  # whether the release's own images are cut to the face, which nobody knows how

    def _info(self) -> tfds.core.DatasetInfo:
        protocol = ck_plus.PROTOCOLS[self.builder_config.protocol]
        return self.describe(
            ("expression", "subject", "video"),
            label_names=protocol.label_names,
            crop=None if self._is_cut else self._crop(),
            features={"image": tfds.features.Image(shape=(None, None, 1), encoding_format="png")},
            metadata={} if protocol.by_subject else {"seed": self.builder_config.seed},
        )

    def _crop(self) -> Crop:
        return Crop(side=_CROP_SIDE, size=self.builder_config.size)

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        config = self.builder_config
        sequences = read_sequences(root)
        self._is_cut = any(sequence.landmarks is None for sequence in sequences)
        cut = functools.partial(_face, crop=self._crop())
        return ck_plus.splits(sequences, ck_plus.PROTOCOLS[config.protocol], cut, config.seed)


def _face(image_HxWx3: np.ndarray, landmarks_68x2: np.ndarray | None, crop: Crop) -> bytes:
    """The square around the landmarks, eyes level, in grey; an image that is cut already is at most reduced."""
    if landmarks_68x2 is None:
        return encode_png(small_grey(image_HxWx3, crop.size))
    found = eyes(landmarks_68x2.ravel())
    assert found is not None  # all 136 numbers are finite
    box = (*landmarks_68x2.min(axis=0).tolist(), *landmarks_68x2.max(axis=0).tolist())
    return encode_png(cv2.cvtColor(align_and_crop(image_HxWx3, box, *found, crop), cv2.COLOR_RGB2GRAY))
