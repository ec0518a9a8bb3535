"""A trained model, ready to use: `load` it, and hand it normalised arrays, cropped faces or whole photographs."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import detection, pictures
from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.faces.pictures import Picture
from emotion_gcn_jax.files import PathLike
from emotion_gcn_jax.inference.results import FacePrediction
from emotion_gcn_jax.models import emotion_net, folding
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.tasks import registry

# Faces go through the network in batches of these sizes, the last one padded: few programs serve any number of faces.
_BATCH_SIZES = (1, 8, 32)


class EmotionModel:
    """A network with its variables, and with what a checkpoint says of them.

    Attributes:
        module: the network.
        variables: "params", "batch_stats" and "constants", on the device.
        meta: the checkpoint's JSON object, see `emotion_gcn_jax.checkpoints`.
        config: what it was trained with, see configs/common.py; it cannot be changed.
        tasks: what it predicts, in order; see emotion_gcn_jax.tasks.
        label_names: the classes of the first task that has some, in the order of its outputs.
        input: what the network looks at.
        crop: how faces are cut out of photographs for it.
    """

    def __init__(self, module: EmotionNet, variables: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """See the class; `load` reads them from a checkpoint."""
        self.module, self.variables, self.meta = module, jax.device_put(variables), meta
        self.config = ml_collections.FrozenConfigDict(meta["config"])
        self.tasks = registry.from_dicts(meta["tasks"])
        self.label_names: tuple[str, ...] = next((task.outputs for task in self.tasks if task.exclusive), ())
        self.input = Input.from_dict(meta["input"])
        self.crop = Crop.from_dict(meta["crop"] or {})  # unknown for a dataset of a user's own: then the usual one
        self._named: Any = collections.namedtuple("Outputs", [task.name for task in self.tasks])  # type: ignore[misc]
        self._apply = jax.jit(lambda variables, images: module.apply(variables, images, train=False))

    def __call__(self, images_BxHxWxC: jax.Array | np.ndarray) -> Any:
        """Runs the network; every new shape is compiled once.

        Args:
            images_BxHxWxC: floating point faces, normalised by `input`: (x / 255 - mean) / deviation. Best of the side
                that the model was trained with, `input.side`.

        Returns:
            A named tuple of every task's raw outputs [B, W]: `logits_Bx7, va_Bx2 = model(images)`, or
            `model(images).expression`. task.answer makes probabilities of classes' and flags'.

        Raises:
            UserError: the images are not such an array.
        """
        shape: tuple[int, ...] = getattr(images_BxHxWxC, "shape", ())
        dtype = getattr(images_BxHxWxC, "dtype", np.dtype(object))
        channels = self.input.channels
        if len(shape) != 4 or shape[-1] != channels or not jnp.issubdtype(dtype, jnp.floating):
            raise UserError(
                f"The model takes normalised float32 images of shape [batch, height, width, {channels}], found {dtype} "
                f"{list(shape)}: give pictures as they are to its predict or, if they are cut faces, predict_faces."
            )
        outputs: Any = self._apply(self.variables, images_BxHxWxC)
        return self._named(**outputs)

    def folded(self) -> "EmotionModel":
        """The same model made ready for inference: its graph and the norms inside its layers are folded into weights.

        Returns:
            A model with the same outputs up to rounding; its variables are not those of a checkpoint.
        """
        return EmotionModel(*folding.fold(self.module, self.variables), self.meta)

    def predict(self, picture: Picture) -> tuple[FacePrediction, ...]:
        """Finds the faces of a photograph and judges each.

        Args:
            picture: whatever `faces.pictures.read` takes: a path, an image file's bytes, an array, a picture of Pillow.

        Returns:
            The faces from the left to the right, none if none is found.

        Raises:
            UserError: the picture cannot be read.
        """
        faces, cut = self.find_faces(picture)
        return tuple(placed(face, there) for face, there in zip(self.predict_faces(cut), faces, strict=True))

    def find_faces(self, picture: Picture) -> tuple[list[detection.Detection], list[np.ndarray]]:
        """Finds the faces of a picture and cuts them out as the model's training faces were.

        Args:
            picture: as for `predict`.

        Returns:
            The faces from the left to the right, their boxes in the convention of the model's dataset; and what was
            cut out, uint8 RGB [S, S, 3] each.

        Raises:
            UserError: the picture cannot be read.
        """
        image_HxWx3 = pictures.read(picture)
        faces = [detection.in_dataset(face, self.meta["dataset"]) for face in detection.detect(image_HxWx3)]
        return faces, [align_and_crop(image_HxWx3, f.box, f.left_eye, f.right_eye, self.crop) for f in faces]

    def predict_faces(self, faces: Sequence[Picture]) -> tuple[FacePrediction, ...]:
        """Judges faces that are cut already.

        Args:
            faces: pictures, each of one face; its middle square is resized to the network's input.

        Returns:
            One prediction a face; its box is the whole picture.

        Raises:
            UserError: a picture cannot be read.
        """
        if getattr(faces, "ndim", 4) < 4:
            raise UserError("predict_faces takes a list of faces, found one picture: put it into a list.")
        images = [pictures.read(face) for face in faces]
        return tuple(
            FacePrediction(
                box=(0.0, 0.0, float(image.shape[1]), float(image.shape[0])),
                left_eye=None,
                right_eye=None,
                score=None,
                answers={task.name: task.describe(answers[task.name]) for task in self.tasks},
            )
            for image, answers in zip(images, self._answers(images), strict=True)
        )

    def _answers(self, faces: Sequence[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Yields every task's answer [W] for every face."""
        side, largest = self.input.side, _BATCH_SIZES[-1]
        for start in range(0, len(faces), largest):
            some = faces[start : start + largest]
            padded = next(count for count in _BATCH_SIZES if count >= len(some))
            batch_BxSxSxC = np.zeros((padded, side, side, self.input.channels), np.uint8)
            for place, face in enumerate(some):
                batch_BxSxSxC[place] = self.input.fit(face)
            outputs = self(self.input.normalise(jnp.asarray(batch_BxSxSxC)))
            answers = {t.name: np.asarray(t.answer(raw)) for t, raw in zip(self.tasks, outputs, strict=True)}
            if not all(np.isfinite(answer[: len(some)]).all() for answer in answers.values()):
                raise UserError("The model's answers are not finite: it diverged while it was trained; use another.")
            for place in range(len(some)):
                yield {name: answer[place] for name, answer in answers.items()}


def load(path: PathLike) -> EmotionModel:
    """Reads a trained model.

    Args:
        path: a training run's working directory, whose best checkpoint is read, or one checkpoint's folder.

    Raises:
        UserError: there is no checkpoint, it is damaged or of a newer version of the package, holds a trunk only, or
            weights that are not finite.
    """
    checkpoint = checkpoints.read(path)
    if "tasks" not in checkpoint.meta:
        raise UserError(f"The checkpoint {path} holds a trunk without a head: train from it, with config.init.trunk.")
    if not all(np.isfinite(array).all() for array in jax.tree.leaves(checkpoint.variables)):
        raise UserError(f"The checkpoint {path} has weights that are not finite: it diverged; use another.")
    constants = checkpoint.variables["constants"].get("head", {})
    tasks = registry.from_dicts(checkpoint.meta["tasks"])
    module = emotion_net.from_config(checkpoint.meta["config"], tasks, constants)
    return EmotionModel(module, checkpoint.variables, checkpoint.meta)


def placed(prediction: FacePrediction, found: detection.Detection) -> FacePrediction:
    """Says where the face was that a prediction is of."""
    return dataclasses.replace(
        prediction, box=found.box, left_eye=found.left_eye, right_eye=found.right_eye, score=found.score
    )
