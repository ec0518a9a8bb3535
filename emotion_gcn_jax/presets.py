"""Models by name: which tasks, which readout and which head each of them has.

The first three are the paper's. A preset is no more than a way to fill a config; whatever it sets can be changed there.
"""

from typing import Any, NamedTuple

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import EXPRESSIONS


class Preset(NamedTuple):
    """A model that has a name.

    Attributes:
        tasks: names in TASKS.
        head: "linear" or "graph".
        max_readout: trunks, by the beginning of their names, whose last map is read by its maximum instead of its
            average (Emotion-GCN spec, section 1: the graph model on DenseNet).
    """

    tasks: tuple[str, ...]
    head: str
    max_readout: tuple[str, ...] = ()


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

PRESETS: dict[str, Preset] = {
    "single_task": Preset(("expression",), "linear"),
    "multi_task": Preset(("expression", "affect"), "linear"),
    "emotion_gcn": Preset(("expression", "affect"), "graph", max_readout=("densenet",)),
    # Not in the paper: action units are nodes as well.
    "emotion_gcn_au": Preset(("expression", "affect", "action_units"), "graph", max_readout=("densenet",)),
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
    """The readout of a preset on a trunk: "max" or "average"."""
    return "max" if trunk.startswith(preset(name).max_readout) else "average"
