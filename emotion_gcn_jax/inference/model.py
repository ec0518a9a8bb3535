"""A trained model, ready to use: `load` it, and hand it normalised arrays, cropped faces or whole photographs."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.data.augmentation import normalise
from emotion_gcn_jax.data.resizing import fit
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import detection, pictures
from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.inference.results import FacePrediction
from emotion_gcn_jax.models import folding
from emotion_gcn_jax.models.emotion_net import EmotionNet, create_model

# Faces go through the network in batches of these sizes, the last one padded: few programs serve any number of faces.
_BATCH_SIZES = (1, 8, 32)

Picture = str | os.PathLike[str] | np.ndarray
"""An image file's path, or uint8 RGB [height, width, 3] as NumPy, JAX or Pillow hold it."""


class EmotionModel:
    """A network with its variables, and with what a checkpoint says of them.

    Attributes:
        module: the network.
        variables: "params", "batch_stats" and "graph", on the device.
        meta: the checkpoint's JSON object, see `emotion_gcn_jax.checkpoints`.
        config: what it was trained with, see configs/common.py; it cannot be changed.
        label_names: the C expressions, in the order of the logits.
        crop: how faces are cut out of photographs for it.
    """

    def __init__(self, module: EmotionNet, variables: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """See the class; `load` reads them from a checkpoint."""
        self.module, self.variables, self.meta = module, jax.device_put(variables), meta
        self.config = ml_collections.FrozenConfigDict(meta["config"])
        self.label_names: tuple[str, ...] = tuple(meta["label_names"])
        self.crop = Crop.from_dict(meta["crop"])
        self._apply = jax.jit(lambda variables, images: module.apply(variables, images, train=False))

    def __call__(self, images_BxHxWx3: jax.Array | np.ndarray) -> tuple[jax.Array, jax.Array | None]:
        """Runs the network; every new shape is compiled once.

        Args:
            images_BxHxWx3: floating point RGB faces, normalised: (x / 255 - mean) / deviation with ImageNet's mean
                (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225). Best of the side that the model was trained
                with, `config.data.image_size`; at least 32 pixels.

        Returns:
            Logits [B, C], whose softmax are the probabilities of `label_names`; and valence and arousal [B, 2], linear
            and unbounded, made for [-1, 1], or None for a single_task model.

        Raises:
            UserError: the images are not such an array.
        """
        shape: tuple[int, ...] = getattr(images_BxHxWx3, "shape", ())
        dtype = getattr(images_BxHxWx3, "dtype", np.dtype(object))
        if len(shape) != 4 or shape[-1] != 3 or not jnp.issubdtype(dtype, jnp.floating):
            raise UserError(
                f"A model takes normalised float32 images of shape [batch, height, width, 3], found {dtype} "
                f"{list(shape)}: give pictures as they are to its predict or, if they are cut faces, predict_faces."
            )
        outputs: Any = self._apply(self.variables, images_BxHxWx3)
        return outputs.logits_BxC, outputs.affect_Bx2

    def folded(self) -> "EmotionModel":
        """The same model made ready for inference: its graph and the norms inside its layers are folded into weights.

        Returns:
            A model with the same outputs up to rounding; its variables are not those of a checkpoint.
        """
        return EmotionModel(*folding.fold(self.module, self.variables), self.meta)

    def predict(self, picture: Picture) -> tuple[FacePrediction, ...]:
        """Finds the faces of a photograph and judges each.

        Args:
            picture: an image file, which is turned upright as its EXIF orientation says, or uint8 RGB [H, W, 3].

        Returns:
            The faces from the left to the right, none if none is found.

        Raises:
            UserError: the picture cannot be read, or the extra `faces` is not installed.
        """
        faces, cut = self.find_faces(read_picture(picture))
        return tuple(placed(face, there) for face, there in zip(self.predict_faces(cut), faces, strict=True))

    def find_faces(self, image_HxWx3: np.ndarray) -> tuple[list[detection.Detection], list[np.ndarray]]:
        """Finds the faces of a picture and cuts them out as the model's training faces were.

        Args:
            image_HxWx3: uint8 RGB.

        Returns:
            The faces from the left to the right, their boxes in the convention of the model's dataset; and what was
            cut out, uint8 RGB [S, S, 3] each.

        Raises:
            UserError: the picture is not such an array, or the extra `faces` is not installed.
        """
        image_HxWx3 = _checked(image_HxWx3)
        faces = [detection.in_dataset(face, self.meta["dataset"]) for face in detection.detect(image_HxWx3)]
        return faces, [align_and_crop(image_HxWx3, f.box, f.left_eye, f.right_eye, self.crop) for f in faces]

    def predict_faces(self, faces: Sequence[np.ndarray]) -> tuple[FacePrediction, ...]:
        """Judges faces that are cut already.

        Args:
            faces: uint8 RGB [H, W, 3], each a face; its middle square is resized to the network's input.

        Returns:
            One prediction a face; its box is the whole picture.

        Raises:
            UserError: a face is not such an array.
        """
        faces = [_checked(face) for face in faces]
        return tuple(
            FacePrediction(
                box=(0.0, 0.0, float(face.shape[1]), float(face.shape[0])),
                left_eye=None,
                right_eye=None,
                score=None,
                expression=self.label_names[int(np.argmax(probabilities_C))],
                probabilities=dict(zip(self.label_names, probabilities_C.tolist(), strict=True)),
                valence=None if affect_2 is None else float(affect_2[0]),
                arousal=None if affect_2 is None else float(affect_2[1]),
            )
            for face, (probabilities_C, affect_2) in zip(faces, self._judge(faces), strict=True)
        )

    def _judge(self, faces: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yields probabilities [C] and affect [2] of every face."""
        size, resize = self.config.data.image_size, self.config.data.resize
        largest = _BATCH_SIZES[-1]
        for start in range(0, len(faces), largest):
            some = faces[start : start + largest]
            padded = next(count for count in _BATCH_SIZES if count >= len(some))
            batch_BxSxSx3 = np.zeros((padded, size, size, 3), np.uint8)
            for place, face in enumerate(some):
                batch_BxSxSx3[place] = fit(face, size, resize)
            logits_BxC, affect_Bx2 = self(normalise(jnp.asarray(batch_BxSxSx3)))
            probabilities_BxC = np.asarray(jax.nn.softmax(logits_BxC))
            affect = [None] * padded if affect_Bx2 is None else list(np.asarray(affect_Bx2))
            for probabilities_C, affect_2 in list(zip(probabilities_BxC, affect, strict=True))[: len(some)]:
                if not np.isfinite(probabilities_C).all() or (affect_2 is not None and not np.isfinite(affect_2).all()):
                    raise UserError(
                        "The model's answers are not finite: it diverged while it was trained; use another."
                    )
                yield probabilities_C, affect_2


def load(path: str | os.PathLike[str]) -> EmotionModel:
    """Reads a trained model.

    Args:
        path: a training run's working directory, whose best checkpoint is read, or one checkpoint's folder.

    Raises:
        UserError: there is no checkpoint, it is damaged or of a newer version of the package, holds a trunk only, or
            weights that are not finite.
    """
    checkpoint = checkpoints.read(pathlib.Path(path))
    if "label_names" not in checkpoint.meta:
        raise UserError(f"The checkpoint {path} holds a trunk without a head: train from it, with config.init.trunk.")
    if not all(np.isfinite(array).all() for array in jax.tree.leaves(checkpoint.variables)):
        raise UserError(f"The checkpoint {path} has weights that are not finite: it diverged; use another.")
    config = ml_collections.ConfigDict(checkpoint.meta["config"])
    graph = checkpoint.variables["graph"].get("head", {})
    module = create_model(
        config.model.trunk,
        config.model.name,
        num_classes=config.model.num_classes,
        word_vector_width=graph["word_vectors"].shape[1] if graph else 0,
        propagation=config.graph.propagation,
        dtype=config.model.dtype,
    )
    return EmotionModel(module, checkpoint.variables, checkpoint.meta)


def placed(prediction: FacePrediction, found: detection.Detection) -> FacePrediction:
    """Says where the face was that a prediction is of."""
    return dataclasses.replace(
        prediction, box=found.box, left_eye=found.left_eye, right_eye=found.right_eye, score=found.score
    )


def read_picture(picture: Picture) -> np.ndarray:
    """Returns a picture as upright uint8 RGB [height, width, 3].

    Raises:
        UserError: there is no such file, it is no image, or the array is of another kind.
    """
    if not isinstance(picture, str | os.PathLike):
        return _checked(picture)
    path = pathlib.Path(picture)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in its name
        raise UserError(f"{path}: The file cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    try:
        return pictures.decode(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _checked(picture: Any) -> np.ndarray:
    try:
        array = pictures.upright_rgb(picture) if isinstance(picture, Image.Image) else np.asarray(picture)
    except Exception as error:  # a damaged file behind Pillow's picture, a list of lists that are not alike
        raise UserError(f"The {type(picture).__name__} cannot be read as a picture ({error}): give another.") from None
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise UserError(
            f"A picture is a uint8 RGB array of shape [height, width, 3], found {type(picture).__name__} of "
            f"{array.dtype} {list(array.shape)}: convert it, or give predict the image file's path."
        )
    return array
