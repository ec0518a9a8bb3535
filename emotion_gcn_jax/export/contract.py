"""What an exported file takes and gives, so that whoever runs it needs neither this package nor a guess."""

import importlib.metadata
import io
import json
import zipfile
from typing import Any

from emotion_gcn_jax.faces import detection
from emotion_gcn_jax.inference.model import EmotionModel

KEY = "emotion_gcn_jax"  # the entry of an ONNX file's metadata that holds the contract
CONTRACT_FILE = "emotion_gcn_jax.json"  # in the archive behind other formats' bytes
INPUT = "images"


def contract(model: EmotionModel, *, batch: int | None, is_uint8: bool) -> dict[str, Any]:
    """Describes the input and the outputs of a model's exported file.

    Args:
        model: what is exported.
        batch: how many images the file takes at once; None is any number.
        is_uint8: whether the images are uint8, not float32.

    Returns:
        As JSON has it: "input" (name, shape, dtype, range, colours), "outputs" by the task's name (shape, the names of
        its numbers in their order, what they are), "face" (how it was cut: a box's convention and a crop, as
        faces.detection and faces.alignment explain them) and "written_by".
    """
    rows, side, channels = "batch" if batch is None else batch, model.input.side, model.input.channels
    boxes = detection.DATASET_BOXES.get(model.meta["dataset"], detection.DatasetBox())
    return {
        "written_by": {name: importlib.metadata.version(name) for name in ("emotion-gcn-jax", "jax")},
        "input": {
            "name": INPUT,
            "shape": [rows, side, side, channels],
            "dtype": "uint8" if is_uint8 else "float32",
            "range": [0, 255],
            "colours": "RGB" if channels == 3 else "grey",
            "normalised_inside": True,
        },
        "outputs": {
            task.name: {
                "shape": [rows, len(task.outputs)],
                "dtype": "float32",
                "names": list(task.outputs),
                "meaning": task.answers_are,
            }
            for task in model.tasks
        },
        "face": {
            "crop": model.crop.to_dict(),
            "box_of": model.meta["dataset"],
            "box_from_detector": {name: float(number) for name, number in vars(boxes).items()},
        },
    }


def as_json(described: dict[str, Any]) -> str:
    """The contract as a text of one line."""
    return json.dumps(described, allow_nan=False)


def behind(data: bytes, described: dict[str, Any]) -> bytes:
    """Returns a file that is two at once: the program as before, and a ZIP archive with the contract behind it.

    A reader of StableHLO or TensorFlow Lite begins at the front and knows where the program ends; one of ZIP begins at
    the end. TensorFlow Lite's own metadata have their label files so (tensorflow.org/lite/models/convert/metadata).

    Args:
        data: the file of a format that has no place for a text.
        described: what `contract` returns.
    """
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(CONTRACT_FILE), f"{as_json(described)}\n")
    return file.getvalue()
