"""Writes a trained model as a file that other runtimes take: the formats, and what each can be asked for."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.export import onnx_file, stablehlo_file, tflite_file
from emotion_gcn_jax.export.options import QUANTIZATIONS, Options
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.inference import sources
from emotion_gcn_jax.inference.model import EmotionModel


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        encode: makes the file's bytes.
        suffix: what its name ends in.
        quantizations: those that it can have.
        any_batch: whether it can take any number of images at once; otherwise one, if the user does not say more.
    """

    encode: Callable[[EmotionModel, Options], bytes]
    suffix: str
    quantizations: tuple[str, ...]
    any_batch: bool


FORMATS: MappingProxyType[str, Format] = MappingProxyType(
    {
        "onnx": Format(onnx_file.encode, ".onnx", QUANTIZATIONS, any_batch=True),
        "stablehlo": Format(stablehlo_file.encode, ".stablehlo", ("float16",), any_batch=True),
        "tflite": Format(tflite_file.encode, ".tflite", QUANTIZATIONS, any_batch=False),
    }
)


def export(
    model: EmotionModel,
    kind: str,
    path: PathLike,
    *,
    batch: int | None = None,
    quantize: str | None = None,
    is_uint8: bool = False,
    calibrate: Sequence[str] = (),
) -> pathlib.Path:
    """Writes a model; the file says itself what it takes and gives, see `contract.contract`.

    Args:
        model: from `inference.model.load`.
        kind: a key of FORMATS.
        path: the file, which must not exist yet.
        batch: how many images the file takes at once; None is any number where the format can have that.
        quantize: one of the format's, or None.
        is_uint8: whether the file takes uint8 images.
        calibrate: for int8: pictures and folders of them; see `calibration_faces`.

    Returns:
        The file.

    Raises:
        UserError: the format cannot be as asked, the model hears or knows time, or the file cannot be
            written; then nothing is.
    """
    form, path = FORMATS[kind], user_path(path)
    _check(kind, form, path, batch, quantize, calibrate)
    model.check_fits_a_file()
    if path.exists():
        raise UserError(f"There is something at {path} already: choose a new name.")
    if batch is None and not form.any_batch:
        batch = 1
    faces = calibration_faces(model, calibrate)
    data = form.encode(model, Options(batch, quantize, is_uint8, faces))
    try:
        atomic_write(path, data)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}): choose another place.") from None
    return path


def _check(
    kind: str, form: Format, path: pathlib.Path, batch: int | None, quantize: str | None, calibrate: Sequence[str]
) -> None:
    if path.suffix != form.suffix:
        raise UserError(f"A file of the format {kind} ends in {form.suffix}, found {path}: name it so.")
    if batch is not None and batch < 1:
        raise UserError(f"--batch must be dynamic or a number from 1, found {batch}.")
    if quantize is not None and quantize not in form.quantizations:
        raise UserError(
            f"The format {kind} cannot be quantised to {quantize}, since JAX has no converter that does it: choose "
            f"{' or '.join(form.quantizations)}, or the format onnx or tflite."
        )
    if quantize == "int8" and not calibrate:
        raise UserError(
            "--quantize=int8 needs --calibrate: name pictures of some hundred faces like those that the model will "
            "judge, from which it takes the ranges of its feature maps; noise instead of them ruins the answers."
        )
    if calibrate and quantize != "int8":
        raise UserError("--calibrate is for --quantize=int8 alone.")


def calibration_faces(model: EmotionModel, names: Sequence[str]) -> np.ndarray:
    """Returns the faces of pictures as the network sees them.

    Args:
        model: whose input and crop they are made for.
        names: of picture files, see `sources.picture_files`. One in which no face is found is taken for a cut face.

    Returns:
        uint8 N x S x S x C.

    Raises:
        UserError: a picture cannot be read, or a name stands for none.
    """
    faces: list[np.ndarray] = []
    for name in sources.picture_files(names):
        image_HxWx3 = pictures.read(name)
        _, cut = model.find_faces(image_HxWx3)
        faces += [model.input.fit(face) for face in cut or [image_HxWx3]]
    return np.stack(faces) if faces else np.zeros((0, 0, 0, 0), np.uint8)
