"""Models by name: which tasks, which readout, neck, hearing, time and head each of them has.

The first three are Emotion-GCN's, those from mt_vgg on are of multi-task learning on Aff-Wild2 (docs/affwild2_mtl.md).
A preset is no more than a way to fill a config; whatever it sets can be changed there.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS

NO_TRUNK = "none"
"""In the place of a trunk's name: the model hears, and does not see."""


class Preset(NamedTuple):
    """A model that has a name.

    Attributes:
        tasks: names in TASKS.
        head: "linear" or "graph".
        max_readout: trunks, by the beginning of their names, whose last map is read by its maximum instead of its
            average (Emotion-GCN spec, section 1: the graph model on DenseNet).
        readout: of all other trunks.
        hidden: widths of the hidden layers before the head, see models/neck.py, like the next two.
        dropout: of what they make.
        embedding: its width; 0 is none.
        recurrent: units of the recurrent layers after them, see models/recurrent.py; () is none.
        hearing: the trunk of the sound around a frame, see models/hearing.py; "" is none.
        clip_length: frames of the clips that it is trained on; 1 is single images.
        changed: by a task's name what differs from TASKS.
        trunk: the one that the name stands for, NO_TRUNK where it does not see; "" where it stands on any.
    """

    tasks: tuple[str, ...]
    head: str
    max_readout: tuple[str, ...] = ()
    readout: str = "average"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    embedding: int = 0
    recurrent: tuple[int, ...] = ()
    hearing: str = ""
    clip_length: int = 1
    changed: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    trunk: str = ""


TASKS: dict[str, dict[str, Any]] = {
    "expression": {
        "kind": "classes",
        "vocabulary": ",".join(EXPRESSIONS),
        "loss": "cross_entropy",
        "weight": 1.0,
        "class_weights": "none",
        "label_smoothing": 0.0,
        "scale": 10.0,
        "margin": 0.3,
        "margin_variant": "fallback",
        "margin_warmup_epochs": 1.0,
    },
    "affect": {
        "kind": "values",
        "dimensions": "valence,arousal",
        "loss": "ccc",
        "weight": 1.0,
        "ccc_variance": "population",
    },
    "action_units": {
        "kind": "flags",
        "names": "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26",  # Aff-Wild2's, from the second edition on
        "loss": "bce",
        "weight": 1.0,
        "positive_weights": "none",
    },
}
"""The tasks as a config has them. The first two are the paper's, the weight of `affect` its lambda."""

_ALL = ("expression", "affect", "action_units")
_MULTI_TASK: Any = {"changed": {"action_units": {"positive_weights": "balanced"}}}
_ARCFACE: Any = {"changed": {**_MULTI_TASK["changed"], "expression": {"loss": "arcface"}}, "embedding": 512}
_IN_TIME: Any = {"recurrent": (128, 128), "clip_length": 80}  # the authors' habit (Aff-Wild2 spec, section 1)
_FULLY_CONNECTED: Any = {"readout": "flatten", "hidden": (4096, 4096), "dropout": 0.5, "trunk": "vgg16"}

PRESETS: dict[str, Preset] = {
    "single_task": Preset(("expression",), "linear"),
    "multi_task": Preset(("expression", "affect"), "linear"),
    "emotion_gcn": Preset(("expression", "affect"), "graph", max_readout=("densenet",)),
    # Not in the paper: action units are nodes as well.
    "emotion_gcn_au": Preset(_ALL, "graph", max_readout=("densenet",)),
    # Kollias and Zafeiriou 2019 in spirit: most of it is not known (Aff-Wild2 spec, section 5).
    "mt_vgg": Preset(_ALL, "linear", **_MULTI_TASK, **_FULLY_CONNECTED),
    "mt_res": Preset(_ALL, "linear", **_MULTI_TASK, trunk="resnet50"),
    "mt_vgg_rnn": Preset(_ALL, "linear", **_MULTI_TASK, **_FULLY_CONNECTED | {"hidden": (4096,)}, **_IN_TIME),
    "mt_res_rnn": Preset(_ALL, "linear", **_MULTI_TASK, trunk="resnet50", **_IN_TIME),
    "mt_audio_rnn": Preset(_ALL, "linear", **_MULTI_TASK, **_IN_TIME, hearing="vgg16", trunk=NO_TRUNK),
    "mt_av_rnn": Preset(
        _ALL, "linear", **_MULTI_TASK, **_FULLY_CONNECTED | {"hidden": (4096,)}, **_IN_TIME, hearing="vgg16"
    ),
    "mt_arcvgg": Preset(_ALL, "linear", **_ARCFACE, **_FULLY_CONNECTED),
    "mt_arcres": Preset(_ALL, "linear", **_ARCFACE, trunk="resnet50"),
}


def preset(name: str) -> Preset:
    """Returns a preset by its name.

    Raises:
        UserError: there is none of this name.
    """
    if name not in PRESETS:
        raise UserError(f"Unknown model {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def readout(trunk: str, name: str) -> str:
    """The readout of a preset on a trunk: a key of models.emotion_net.READOUTS."""
    return "max" if trunk.startswith(preset(name).max_readout) else preset(name).readout


def tasks(name: str) -> dict[str, dict[str, Any]]:
    """The tasks of a preset, as a config has them."""
    chosen = preset(name)
    return {task: TASKS[task] | dict(chosen.changed.get(task, {})) for task in chosen.tasks}
