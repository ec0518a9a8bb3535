"""What faces express, in JAX/Flax: Emotion-GCN, and whatever else predicts expressions, affect or action units.

    import emotion_gcn_jax as eg

    model = eg.load("runs/demo")            # a training run's directory, or one checkpoint
    faces = model.predict("photo.jpg")      # of each face: box, eyes, and what it says: expression, valence, arousal

JAX is imported when one of these names is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotion_gcn_jax.errors import UserError
    from emotion_gcn_jax.inference.model import EmotionModel, load
    from emotion_gcn_jax.inference.results import FacePrediction

__all__ = ["EmotionModel", "FacePrediction", "UserError", "load"]

_HOMES = {
    "EmotionModel": "inference.model",
    "FacePrediction": "inference.results",
    "UserError": "errors",
    "load": "inference.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
