"""What is said of a face, and of the faces of a photograph."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from emotion_gcn_jax.faces.alignment import Box, Point
from emotion_gcn_jax.files import name_in_text


@dataclasses.dataclass(frozen=True)
class FacePrediction:
    """One face. Places are (x, y) in pixels of the upright picture, continuous: the first pixel's centre is at 0.5.

    Whatever the model says of the face can be read as an attribute, too: `face.expression`, `face.probabilities`,
    `face.valence`.

    Attributes:
        box: x0, y0, x1, y1, in the convention of the dataset that the model learnt from: `align_and_crop` with it, the
            eyes and the model's crop cuts what the network saw. It may reach beyond the picture, and is the whole of it
            for a face that was cut already.
        left_eye: the eye on the image's left; None for a face that was cut already.
        right_eye: the other.
        score: 0.5 to 1, how sure the detector is that this is a face; None for a face that was cut already.
        answers: by the task's name what it says, as JSON has it: of classes the most probable under the task's name and
            all "probabilities", which sum to 1; of values a number for each, made for [-1, 1] but unbounded; of flags
            every one's probability under the task's name.
    """

    box: Box
    left_eye: Point | None
    right_eye: Point | None
    score: float | None
    answers: Mapping[str, Mapping[str, Any]]

    def said(self) -> dict[str, Any]:
        """All answers in one dict.

        A word that an earlier task or one of the fields above has gets its task's name before it: expression_box.
        """
        merged: dict[str, Any] = {}
        taken = {field.name for field in dataclasses.fields(self)}
        for task, answer in self.answers.items():
            for key, value in answer.items():
                merged[f"{task}_{key}" if key in merged or key in taken else key] = value
        return merged

    def __getattr__(self, name: str) -> Any:
        """What the model says under a name; raises AttributeError, with the names that there are, for another."""
        if name.startswith("_") or name == "answers":
            raise AttributeError(name)
        said = self.said()
        if name not in said:
            raise AttributeError(f"The model says nothing of {name!r}: it answers {', '.join(said)}.")
        return said[name]

    def to_dict(self) -> dict[str, Any]:
        """Returns places and answers as JSON has them."""
        places = {name: getattr(self, name) for name in ("box", "left_eye", "right_eye", "score")}
        return places | self.said()


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a face is, in the words of FacePrediction; eyes and score may be unknown."""

    box: Box
    left_eye: Point | None = None
    right_eye: Point | None = None
    score: float | None = None


@dataclasses.dataclass(frozen=True)
class ImagePrediction:
    """The faces of one picture, from the left to the right.

    Attributes:
        image: how it was named.
        faces: may be empty.
        error: a sentence, if there is no answer: the picture could not be read, or has no face.
        frame: its number in a video, from 0; None for a picture's file.
        time: in seconds from the video's first frame.
        tracks: every face's number through the video, from 1; empty for a picture's file.
    """

    image: str
    faces: tuple[FacePrediction, ...]
    error: str | None = None
    frame: int | None = None
    time: float | None = None
    tracks: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns what is said of a picture's file as JSON has it; `error` only where there is one."""
        fields: dict[str, Any] = {"image": name_in_text(self.image), "faces": [face.to_dict() for face in self.faces]}
        return fields | ({} if self.error is None else {"error": name_in_text(self.error)})
