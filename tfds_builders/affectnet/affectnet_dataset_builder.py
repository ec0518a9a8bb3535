"""TFDS builder of AffectNet: from the raw download of either release to aligned faces. The README tells all.

tfds build tfds_builders/affectnet --config=csv --manual_dir=DIR
tfds build tfds_builders/affectnet --config='{"name": "part", "recipe": "csv", "max_lost_share": 0.5}' --manual_dir=DIR
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow_datasets as tfds

from emotion_gcn_jax.faces.pictures import encode_jpeg, encode_png
from emotion_gcn_jax.releases import affectnet
from emotion_gcn_jax.releases.affectnet_annotation import LABEL_NAMES, Annotation
from emotion_gcn_jax.releases.affectnet_faces import CROP, aligned_face, levelled_image, official_face
from emotion_gcn_jax.releases.builder import ReleaseBuilder, ReleaseConfig
from emotion_gcn_jax.releases.building import ReleaseSplit

RECIPES = {
    "csv": "The original release, aligned and cropped right.",
    "csv_official": "The original release, cropped as the official implementation does for 227 pixels.",
    "csv_official_112": "The original release, cropped as the official implementation does for 112 pixels.",
    "npy": "The March-2021 release, turned until the eyes are level.",
}
OFFICIAL_SIZES = {"csv_official": 227, "csv_official_112": 112}


@dataclasses.dataclass(eq=False, kw_only=True)
class AffectNetConfig(ReleaseConfig):
    """Which release, and how its faces are cut.

    Attributes:
        recipe: one of RECIPES; left out, it is the config's name.
    """

    recipe: str = ""

    def __post_init__(self) -> None:
        """Leaves with a sentence if there is no such recipe."""
        super().__post_init__()
        self.recipe = self.recipe or self.name
        if self.recipe not in RECIPES:
            raise SystemExit(f"An AffectNet config's recipe is one of {', '.join(RECIPES)}, found {self.recipe!r}.")
        self.description = self.description or RECIPES[self.recipe]


class Builder(ReleaseBuilder):
    """Reads AffectNet; the README says what is in an example."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "Initial release.",
        "1.1.0": "Lists in more forms are read; an id is always the numbered folder and the file's name.",
    }
    BUILDER_CONFIGS = [AffectNetConfig(name=recipe) for recipe in RECIPES]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    AffectNet is given out by its authors on request (mohammadmahoor.com). Unpack what you received and name the folder
    by --manual_dir. It holds either Manually_Annotated/Manually_Annotated_Images and the lists training.csv and
    validation.csv, or train_set and val_set, each with images and annotations (config npy).
    """

    def _info(self) -> tfds.core.DatasetInfo:
        recipe = self.builder_config.recipe
        size = OFFICIAL_SIZES.get(recipe)
        # Also what comes nearest to an official crop: the same one on a level head with a square box.
        crop = dataclasses.replace(CROP, size=size, enlarge=True) if size else CROP
        return self.describe(
            ("expression", "valence", "arousal"),
            homepage="http://mohammadmahoor.com/affectnet/",
            label_names=LABEL_NAMES,
            crop=crop,
            features={"image": tfds.features.Image(shape=(None, None, 3), encoding_format="png")} if size else {},
        )

    def _open_release(self, root: pathlib.Path) -> Mapping[str, ReleaseSplit]:
        recipe = self.builder_config.recipe
        if recipe == "npy":
            return affectnet.read_arrays(root, _levelled)
        if recipe in OFFICIAL_SIZES:
            return affectnet.read_lists(root, functools.partial(_official, size=OFFICIAL_SIZES[recipe]))
        return affectnet.read_lists(root, _aligned)


def _aligned(image_HxWx3: np.ndarray, annotation: Annotation) -> bytes:
    return encode_jpeg(aligned_face(image_HxWx3, annotation.box, annotation.eyes))


def _official(image_HxWx3: np.ndarray, annotation: Annotation, size: int) -> bytes:
    return encode_png(official_face(image_HxWx3, annotation.box, annotation.eyes, size))


def _levelled(image_HxWx3: np.ndarray, annotation: Annotation) -> bytes:
    return encode_jpeg(levelled_image(image_HxWx3, annotation.eyes))
