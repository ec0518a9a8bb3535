"""What the page must know of a model, and the answers that it gets for a picture."""

from typing import Any

import numpy as np

from emotion_gcn_jax.export.contract import contract
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.tasks.task import Task


def about(model: EmotionModel, name: str) -> dict[str, Any]:
    """Describes a model for the page.

    Args:
        model: from `inference.model.load`.
        name: what the page calls it.

    Returns:
        As JSON has it: "name", "tasks" (each one's name, kind, outputs and columns in predict's table), the "contract"
        of its exported file with uint8 images, and "input", how a cut face is resized among it.
    """
    return {
        "name": name,
        "tasks": [
            {"name": task.name, "kind": task.kind, "outputs": list(task.outputs), "columns": _columns(task)}
            for task in model.tasks
        ],
        "contract": contract(model, batch=None, is_uint8=True),
        "input": model.input.to_dict(),
    }


def _columns(task: Task) -> list[str]:
    return list(task.row(task.describe(np.zeros(len(task.outputs), np.float32))))


def faces_of(model: EmotionModel, image_HxWx3: np.ndarray, longest_side: int) -> dict[str, Any]:
    """Finds and judges the faces of a picture, uint8 RGB, which the detector sees at `longest_side` pixels.

    Returns:
        As JSON has it: "width" and "height" of the picture, and "faces" from the left to the right, each with its
        "box", "left_eye", "right_eye", "score" and "answers": a number for every output, by task.
    """
    places, cut = model.find_faces(image_HxWx3, longest_side)
    answers = model.answers(np.stack([model.input.fit(face) for face in cut])) if cut else {}
    return {
        "width": image_HxWx3.shape[1],
        "height": image_HxWx3.shape[0],
        "faces": [
            {
                "box": place.box,
                "left_eye": place.left_eye,
                "right_eye": place.right_eye,
                "score": place.score,
                "answers": {
                    task.name: dict(zip(task.outputs, map(float, answers[task.name][row]), strict=True))
                    for task in model.tasks
                },
            }
            for row, place in enumerate(places)
        ],
    }
