"""A trained model, ready to use: `load` it, and hand it normalised arrays, cropped faces or whole photographs."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from emotion_gcn_jax import model_file
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import detection, pictures
from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.faces.pictures import Picture
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.inference import engines
from emotion_gcn_jax.inference.in_time import InTime
from emotion_gcn_jax.inference.results import FacePrediction, Place
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.tasks import registry

# Faces are judged so many at a time, which bounds the memory that they take.
_BATCH_SIZE = 32


class EmotionModel:
    """A network with its variables, and with what a checkpoint says of them.

    Attributes:
        module: the network.
        variables: "params", "batch_stats" and "constants", as they were read.
        meta: the checkpoint's JSON object, see `emotion_gcn_jax.checkpoints`.
        config: what it was trained with, see configs/common.py; it cannot be changed.
        tasks: what it predicts, in order; see emotion_gcn_jax.tasks.
        label_names: the classes of the first task that has some, in the order of its outputs.
        input: what the network looks at.
        crop: how faces are cut out of photographs for it.
    """

    def __init__(
        self,
        module: EmotionNet,
        variables: Mapping[str, Any],
        meta: Mapping[str, Any],
        engine: str | None = None,
        name: PathLike = "the model",
    ) -> None:
        """See the class; `load` reads them from a checkpoint, and says what the engine is; `name` is for messages."""
        self.module, self.variables, self.meta = module, variables, meta
        engines.check_name(engine)
        self._asked_for, self._name = engine, name
        self.config = ml_collections.FrozenConfigDict(meta["config"])
        self.tasks = registry.from_dicts(meta["tasks"])
        self.label_names: tuple[str, ...] = next((task.outputs for task in self.tasks if task.exclusive), ())
        self.input = Input.from_dict(meta["input"])
        self.crop = Crop.from_dict(meta["crop"] or {})  # unknown for a dataset of a user's own: then the usual one
        self._named: Any = collections.namedtuple("Outputs", [task.name for task in self.tasks], rename=True)  # type: ignore[misc]
        self._apply = jax.jit(lambda variables, images: module.apply(variables, images, train=False))

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: what it is made of, without what is compiled here."""
        return type(self), (self.module, self.variables, self.meta, self._asked_for, self._name)

    def __repr__(self) -> str:
        says = "; ".join(f"{task.name}: {', '.join(task.outputs)}" for task in self.tasks)
        colours = "grey" if self.input.channels == 1 else "colour"
        parts = f"{self.config.model.trunk}, head {self.config.model.head}"
        return f"EmotionModel({parts}, {self.input.network_side} pixels in {colours}; {says})"

    @functools.cached_property
    def _on_device(self) -> Mapping[str, Any]:
        return jax.device_put(self.variables)

    @functools.cached_property
    def _started(self) -> tuple[str, engines.Engine]:
        self.check_judges_images()
        with model_file.description(self._name):
            return engines.start(self._asked_for, self.module, self.variables, self.tasks, self.input)

    @functools.cached_property
    def in_time(self) -> InTime | None:
        """The network in two parts, for videos; None of one that judges every image alone, or that looks ahead."""
        time = self.module.time
        if (time is None and not self.hears) or (time is not None and time.bidirectional):
            return None
        length = self.config.clip.length
        with model_file.description(self._name):
            return InTime(self._asked_for, self.module, self.variables, self.tasks, self.input, length)

    @property
    def hears(self) -> bool:
        """Whether it takes sound with every image."""
        return self.module.hearing is not None

    def check_judges_images(self) -> None:
        """Raises UserError for a model that hears: without its sound no image can be judged, exported or explained."""
        if self.hears:
            raise UserError(
                f"{self._name} hears (config.model.hearing), and images alone have no sound: give it videos by "
                f"emotion-gcn predict or a dataset with sound by emotion-gcn evaluate, or use a model that only sees."
            )

    def check_fits_a_file(self) -> None:
        """Raises UserError for a model that an exported file of single images cannot be."""
        self.check_judges_images()
        if self.module.time is not None:
            raise UserError(
                f"{self._name} knows time (config.model.recurrent), and an exported file takes images one by one and "
                f"remembers none: judge videos by emotion-gcn predict, or export a model without recurrent layers."
            )

    @property
    def engine(self) -> str:
        """What judges faces: "onnx" (onnxruntime, on the CPU) or "jax"."""
        return self._started[0]

    def __call__(self, images_BxHxWxC: jax.Array | np.ndarray) -> Any:
        """Runs the network with JAX; every new shape is compiled once.

        Args:
            images_BxHxWxC: floating point faces, normalised by `input`: (x / 255 - mean) / deviation. Best of the side
                that the model was trained with, `input.network_side`; `input.view` makes them of `input.fit`'s.

        Returns:
            A named tuple of every task's raw outputs [B, W]: `logits_Bx7, va_Bx2 = model(images)`, or
            `model(images).expression`. task.answer makes probabilities of classes' and flags'.

        Raises:
            UserError: the images are not such an array, or the model hears.
        """
        self.check_judges_images()
        shape: tuple[int, ...] = getattr(images_BxHxWxC, "shape", ())
        dtype = getattr(images_BxHxWxC, "dtype", np.dtype(object))
        channels = self.input.channels
        if len(shape) != 4 or shape[-1] != channels or not jnp.issubdtype(dtype, jnp.floating):
            raise UserError(
                f"The model takes normalised float32 images of shape [batch, height, width, {channels}], found {dtype} "
                f"{list(shape)}: give pictures as they are to its predict or, if they are cut faces, predict_faces."
            )
        outputs: Any = self._apply(self._on_device, images_BxHxWxC)
        return self._named(*(outputs[task.name] for task in self.tasks))

    def answers(self, faces_BxSxSxC: np.ndarray) -> dict[str, np.ndarray]:
        """Judges faces of the model's own side and colours, by its engine.

        Args:
            faces_BxSxSxC: uint8, from `input.fit`.

        Returns:
            Every task's answers by its name, float32 B x W: probabilities, or the values themselves.
        """
        return self._started[1](faces_BxSxSxC)

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

    def find_faces(
        self, picture: Picture, longest_side: int = detection.LONGEST_SIDE
    ) -> tuple[list[detection.Detection], list[np.ndarray]]:
        """Finds the faces of a picture and cuts them out as the model's training faces were.

        Args:
            picture: as for `predict`.
            longest_side: of the picture for the detector, see detection.detect.

        Returns:
            The faces from the left to the right, their boxes in the convention of the model's dataset; and what was
            cut out, uint8 RGB [S, S, 3] each.

        Raises:
            UserError: the picture cannot be read.
        """
        image_HxWx3 = pictures.read(picture)
        found = detection.detect(image_HxWx3, longest_side=longest_side)
        faces = [detection.in_dataset(face, self.meta["dataset"]) for face in found]
        return faces, [self.cut(image_HxWx3, face) for face in faces]

    def cut(self, image_HxWx3: np.ndarray, face: detection.Detection | Place) -> np.ndarray:
        """Cuts a face out of a picture, uint8 RGB, as the model's training faces were; upright if it has no eyes."""
        left_eye, right_eye = face.left_eye or (0.0, 0.0), face.right_eye or (0.0, 0.0)
        if face.left_eye is None or face.right_eye is None:
            right_eye = left_eye
        return align_and_crop(image_HxWx3, face.box, left_eye, right_eye, self.crop)

    def predict_faces(self, faces: Sequence[Picture]) -> tuple[FacePrediction, ...]:
        """Judges faces that are cut already.

        Args:
            faces: pictures, each of one face; its middle square is resized to the network's input.

        Returns:
            One prediction a face; its box is the whole picture.

        Raises:
            UserError: a picture cannot be read, or it is one picture and no list.
        """
        if pictures.is_one(faces):
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
            for image, answers in zip(images, self.judge([self.input.fit(image) for image in images]), strict=True)
        )

    def judge(self, faces: Sequence[np.ndarray], batch: int = _BATCH_SIZE) -> Iterator[dict[str, np.ndarray]]:
        """Yields every task's answers, float32 [W] by its name, for every face; each is from `input.fit`.

        Raises:
            UserError: the answers are not finite.
        """
        for start in range(0, len(faces), batch):
            answers = self.answers(np.stack(faces[start : start + batch]))
            if not all(np.isfinite(answer).all() for answer in answers.values()):
                raise UserError("The model's answers are not finite: it diverged while it was trained; use another.")
            rows = (dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True))
            yield from rows


def load(path: PathLike | None = None, engine: str | None = None, *, side: int | None = None) -> EmotionModel:
    """Reads a trained model.

    Args:
        path: a training run's working directory, whose best checkpoint is read, one checkpoint's folder, or a model's
            file, which emotion-gcn pack makes. None takes the model that is shipped (docs/model_card.md).
        engine: what judges faces: "onnx", onnxruntime on the CPU, or "jax". None takes the faster one: onnx where JAX
            has nothing but a CPU.
        side: of the faces that the network sees, in pixels, in place of the side that it was trained with. The further
            it is from that, the worse the answers.

    Raises:
        UserError: there is no checkpoint, it is damaged or of a newer version of the package, holds a trunk only, or
            weights that are not finite; there is no such engine; or the network cannot see faces of that side.
    """
    path = model_file.SHIPPED if path is None else user_path(path)
    variables, meta = _read(path)
    if "tasks" not in meta:
        raise UserError(f"The checkpoint {path} holds a trunk without a head: train from it, with config.init.trunk.")
    if not all(np.isfinite(array).all() for array in jax.tree.leaves(variables)):
        raise UserError(f"The checkpoint {path} has weights that are not finite: it diverged; use another.")
    engines.check_name(engine)
    with model_file.description(path):
        constants = variables["constants"].get("head", {})
        tasks = registry.from_dicts(meta["tasks"])
        module = engines.for_backend(emotion_net.from_config(meta["config"], tasks, constants))
        model = EmotionModel(module, variables, meta, engine, path)
        for task in tasks:
            task.describe(np.zeros(len(task.outputs), np.float32))  # whether its words are words
        if not isinstance(meta["dataset"], str):
            raise TypeError("the dataset has no name")
    return model if side is None else _at_side(model, side, engine, path)


def _at_side(model: EmotionModel, side: int, engine: str | None, path: PathLike) -> EmotionModel:
    """The model with faces of another side, once it is known that its network takes them."""
    if model.hears or model.module.time is not None:
        raise UserError(f"{path} knows time or hears, and sees faces of {model.input.network_side} pixels alone.")
    try:
        seen = model.input.at(side)
        images = jax.ShapeDtypeStruct((1, side, side, seen.channels), np.float32)
        jax.eval_shape(
            lambda variables, images: model.module.apply(variables, images, train=False), model.variables, images
        )
    except UserError as error:
        raise UserError(
            f"{path} cannot see faces of {side} pixels ({str(error).rstrip('.')}): try {model.input.network_side}."
        ) from None
    except Exception as error:  # of Flax or JAX, where a layer has weights for one side alone
        raise UserError(
            f"{path} has weights for faces of {model.input.network_side} pixels alone: leave the side at that."
        ) from error
    return EmotionModel(model.module, model.variables, {**model.meta, "input": seen.to_dict()}, engine, path)


def _read(path: pathlib.Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if path.is_file():
        return model_file.read(path)
    from emotion_gcn_jax import checkpoints  # Orbax takes a second to load, and a file does without it

    checkpoint = checkpoints.read(path)
    return checkpoint.variables, checkpoint.meta


def placed(prediction: FacePrediction, found: detection.Detection) -> FacePrediction:
    """Says where the face was that a prediction is of."""
    return dataclasses.replace(
        prediction, box=found.box, left_eye=found.left_eye, right_eye=found.right_eye, score=found.score
    )
