"""Explains a model's answers: of one face, or in the mean over the faces of a class that it judges right."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tqdm
from PIL import Image

from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.errors import UserError, counted
from emotion_gcn_jax.evaluation.predictions import Predictions
from emotion_gcn_jax.explanation import activation, occlusion
from emotion_gcn_jax.explanation.occlusion import Patch
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.faces.pictures import Picture
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.labels import class_word
from emotion_gcn_jax.models import folding
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.tasks.task import Task

Output = tuple[Task, int]
"""A task, and the place of one of its outputs."""


@dataclasses.dataclass(frozen=True)
class OutputMaps:
    """What is known of one output; V is the side of what the network sees.

    Attributes:
        task: its name.
        name: of the output, such as Happy or Valence.
        answer: what the model says of the face itself, or the mean of it: a probability, or the value.
        is_probability: which of the two.
        soft_VxV: float32, how far the answer falls where the face is covered; see occlusion.soft_map.
        hard_VxV: float32, how often the decision turns; None for values; see occlusion.hard_map.
        activation_HxW: float32, the evidence on the trunk's last map, in the raw output's unit; None where there is no
            such map; see activation.mapper.
        bias: of the output: with the activation map's mean it is the raw output; 0 where there is no map.
    """

    task: str
    name: str
    answer: float
    is_probability: bool
    soft_VxV: np.ndarray
    hard_VxV: np.ndarray | None
    activation_HxW: np.ndarray | None
    bias: float

    def arrays(self) -> dict[str, np.ndarray]:
        """The maps that there are by their names: TASK_OUTPUT_hard, _soft and _activation."""
        maps = {"hard": self.hard_VxV, "soft": self.soft_VxV, "activation": self.activation_HxW}
        return {f"{self.task}_{self.name}_{kind}": array for kind, array in maps.items() if array is not None}


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a model looks at in a face, or in the mean of several.

    Attributes:
        face_SxSx3: uint8 RGB, the part of the face that the network sees, of any side; or the mean face.
        outputs: those that are explained.
        patch: what covered the face.
        said: what the model says of the face, all tasks in a line; "" of a mean.
        count: how many faces this is the mean of.
    """

    face_SxSx3: np.ndarray
    outputs: tuple[OutputMaps, ...]
    patch: Patch
    said: str = ""
    count: int = 1

    def arrays(self) -> dict[str, np.ndarray]:
        """The face, and every output's maps by their names."""
        return {"face": self.face_SxSx3} | {n: array for output in self.outputs for n, array in output.arrays().items()}


class Explainer:
    """A model that says what it looks at; it compiles at the first face.

    Attributes:
        model: the model.
        patch: what slides over the face.
        without_activation: a sentence, if the model has no activation maps.
    """

    def __init__(self, model: EmotionModel, patch: Patch | None = None) -> None:
        """Takes a model from `inference.model.load`, and a patch; None takes the usual one."""
        model.check_judges_images()
        self.model = model
        self.patch = patch or Patch.usual(model.input.network_side)
        self._judge = occlusion.judge(
            *folding.fold(model.module, model.variables), model.tasks, model.input, self.patch
        )
        self.without_activation = ""
        try:
            self._map = activation.mapper(model.module, model.variables, model.input)
            self._biases = activation.biases(model.module, model.variables)
        except UserError as reason:
            self.without_activation = str(reason)

    def explain(self, face: Picture, outputs: Sequence[Output] = (), asked: str = "") -> Explanation:
        """Explains what the model says of a face.

        Args:
            face: whatever `faces.pictures.read` takes, cut already; its middle square is what the model takes.
            outputs: which outputs to explain; by default those of `chosen_outputs`.
            asked: explain this output rather than the model's own answer; a name as for `known_output`.

        Raises:
            UserError: the picture cannot be read, the model has no such output, or an answer is not finite.
        """
        asked = asked and known_output(self.model.tasks, asked)
        face_HxWx3 = pictures.read(face)
        inputs = self.model.input
        fitted = inputs.fit(face_HxWx3)
        answers = self._judge(fitted)
        answer = {name: rows[0] for name, rows in answers.items()}
        outputs = outputs or chosen_outputs(self.model.tasks, answer, asked)
        evidence = None if self.without_activation else self._map(fitted)
        maps = tuple(
            self._maps(task, place, answers[task.name], evidence[task.name][..., place] if evidence else None)
            for task, place in outputs
        )
        lines = [line for task in self.model.tasks for line, _ in task.overlay_lines(task.describe(answer[task.name]))]
        return Explanation(seen(face_HxWx3, inputs), maps, self.patch, said=", ".join(lines))

    def _maps(self, task: Task, place: int, answers_MxW: np.ndarray, evidence_HxW: np.ndarray | None) -> OutputMaps:
        hard_VxV = occlusion.hard_map(task, answers_MxW, place, self.patch)
        return OutputMaps(
            task=task.name,
            name=task.outputs[place],
            answer=float(answers_MxW[0, place]),
            is_probability=hard_VxV is not None,
            soft_VxV=occlusion.soft_map(answers_MxW, place, self.patch).astype(np.float32),
            hard_VxV=None if hard_VxV is None else hard_VxV.astype(np.float32),
            activation_HxW=evidence_HxW,
            bias=0.0 if evidence_HxW is None else float(self._biases[task.name][place]),
        )


def chosen_outputs(tasks: Tasks, answers: Mapping[str, np.ndarray], asked: str = "") -> list[Output]:
    """What of a face is explained: the class that it is given, every value, and the flags that are true.

    Args:
        tasks: the model's.
        answers: every task's answer W to the face, by its name.
        asked: from `known_output`: of the task that has it, this output is taken instead.

    Returns:
        At least one output: where nothing is true, the first task's most probable one.
    """
    found: list[Output] = []
    for task in tasks:
        decided_1xW = task.decided(answers[task.name][None])
        if asked in task.outputs:
            found.append((task, task.outputs.index(asked)))
        elif decided_1xW is None:
            found += [(task, place) for place in range(len(task.outputs))]
        else:
            found += [(task, int(place)) for place in np.flatnonzero(decided_1xW[0])]
    return found or [(tasks[0], int(np.argmax(answers[tasks[0].name])))]


def known_output(tasks: Tasks, name: str) -> str:
    """Returns the output that a user means: in any case, and a class by any of its usual names.

    Raises:
        UserError: the model has no such output.
    """
    outputs = [output for task in tasks for output in task.outputs]
    for wanted in (name.strip().lower(), class_word(name).lower()):
        for output in outputs:
            if output.lower() == wanted:
                return output
    raise UserError(f"The model says nothing of {name!r}: choose one of {', '.join(outputs)}.")


@dataclasses.dataclass(frozen=True)
class ClassFaces:
    """The faces of a split that a mean is taken over.

    Attributes:
        name: of the class or flag.
        outputs: what is explained: itself, and every value.
        labelled: how many examples have this label.
        right: the places of those among them that the model judges so, too.
    """

    name: str
    outputs: tuple[Output, ...]
    labelled: int
    right: np.ndarray


def class_faces(predictions: Predictions, asked: str = "") -> list[ClassFaces]:
    """Finds the faces that are judged right.

    Args:
        predictions: of the whole split.
        asked: from `known_output`, a class or a flag; "" takes all that occur of the first task that is right or wrong.

    Raises:
        UserError: what is asked for is a value, the model has nothing else, or no face is judged right.
    """
    decisions = {task.name: task.decided(predictions.answers[task.name]) for task in predictions.tasks}
    values = [task for task in predictions.tasks if decisions[task.name] is None]
    of_values = tuple((task, place) for task in values for place in range(len(task.outputs)))
    able = [task for task in predictions.tasks if task not in values and (not asked or asked in task.outputs)]
    if not able:
        raise UserError(
            f"A mean is taken over the faces that are judged right, and {asked or 'what this model says'} is a value, "
            f"which is neither right nor wrong: name a class, or explain single images."
        )
    task, found = able[0], []
    decided_NxW: np.ndarray = np.asarray(decisions[task.name])
    labels_NxW = task.targets(predictions.labels[task.name])
    for place, name in enumerate(task.outputs):
        is_one_N = labels_NxW[:, place] == 1
        if name == asked or (not asked and is_one_N.any()):
            right = np.flatnonzero(is_one_N & decided_NxW[:, place])
            found.append(ClassFaces(name, ((task, place), *of_values), int(is_one_N.sum()), right))
    if not any(len(faces.right) for faces in found):
        labelled = counted(sum(faces.labelled for faces in found), "example")
        raise UserError(
            f"None of {labelled} of {asked or task.name} in {predictions.dataset}, {predictions.split}, "
            f"is judged right, so that there is nothing to take the mean of: choose another class, split or model."
        )
    return found


def explain_class(explainer: Explainer, split: Split, faces: ClassFaces) -> Explanation:
    """Takes the mean over the faces of a class; shows on a terminal how far it is.

    Args:
        explainer: the model's.
        split: what `faces` are of.
        faces: at least one that is judged right.

    Raises:
        UserError: an image cannot be read.
    """
    bar = tqdm.tqdm(faces.right.tolist(), desc=faces.name, unit="image", leave=False, disable=None)
    return mean(explainer.explain(split.image(row), faces.outputs) for row in bar)


def mean(explanations: Iterable[Explanation]) -> Explanation:
    """The mean of explanations of the same outputs, at least one; of their faces, too, at the network's side."""
    outputs: tuple[OutputMaps, ...] = ()
    first, total_VxVx3, count = None, np.zeros(3), 0
    for count, explanation in enumerate(explanations, start=1):
        first = first or explanation
        size = (explanation.patch.network_side, explanation.patch.network_side)
        face = Image.fromarray(explanation.face_SxSx3).resize(size, Image.Resampling.BICUBIC)
        total_VxVx3 = total_VxVx3 + np.asarray(face, np.float64)
        outputs = tuple(
            map(functools.partial(_towards, share=1 / count), outputs or first.outputs, explanation.outputs)
        )
    if first is None:
        raise ValueError("A mean is of at least one explanation.")
    return Explanation((total_VxVx3 / count + 0.5).astype(np.uint8), outputs, first.patch, count=count)


def seen(face_HxWx3: np.ndarray, inputs: Input) -> np.ndarray:
    """The part of a face that the network sees, in all its pixels: of the middle square what is not cropped away."""
    height, width = face_HxWx3.shape[:2]
    side = max(1, round(min(height, width) * inputs.network_side / inputs.side))
    top, left = round((height - side) / 2), round((width - side) / 2)
    return face_HxWx3[top : top + side, left : left + side]


def _towards(a: OutputMaps, b: OutputMaps, share: float) -> OutputMaps:
    """The numbers of a, and a share of the way from there to those of b."""
    numbers = {name: getattr(a, name) for name in ("answer", "soft_VxV", "hard_VxV", "activation_HxW")}
    moved = {name: old + share * (getattr(b, name) - old) for name, old in numbers.items() if old is not None}
    return dataclasses.replace(a, **moved)
