"""What is said of a face, and of the faces of a photograph."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from emotion_gcn_jax.faces.alignment import Box, Point


@dataclasses.dataclass(frozen=True)
class FacePrediction:
    """One face. Places are (x, y) in pixels of the upright picture, continuous: the first pixel's centre is at 0.5.

    Attributes:
        box: x0, y0, x1, y1, in the convention of the dataset that the model learnt from: `align_and_crop` with it, the
            eyes and the model's crop cuts what the network saw. It may reach beyond the picture, and is the whole of it
            for a face that was cut already.
        left_eye: the eye on the image's left; None for a face that was cut already.
        right_eye: the other.
        score: 0.5 to 1, how sure the detector is that this is a face; None for a face that was cut already.
        expression: the most probable one.
        probabilities: of every expression, by name; they sum to 1.
        valence: unpleasant to pleasant, made for [-1, 1] but unbounded; None for a single_task model.
        arousal: calm to excited, likewise.
    """

    box: Box
    left_eye: Point | None
    right_eye: Point | None
    score: float | None
    expression: str
    probabilities: Mapping[str, float]
    valence: float | None
    arousal: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON has them."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class ImagePrediction:
    """The faces of one picture, from the left to the right.

    Attributes:
        image: how it was named.
        faces: may be empty.
        error: a sentence, if there is no answer: the picture could not be read, or has no face.
    """

    image: str
    faces: tuple[FacePrediction, ...]
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON has them; `error` only where there is one."""
        fields: dict[str, Any] = {"image": self.image, "faces": [face.to_dict() for face in self.faces]}
        return fields | ({} if self.error is None else {"error": self.error})
