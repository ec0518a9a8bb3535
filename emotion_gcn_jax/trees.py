"""Names for the types of nested arrays."""

from collections.abc import Mapping
from typing import Any

Tree = Any
"""Nested dicts (or other pytrees) of arrays."""

Variables = Mapping[str, Any]
"""A model's variables by collection: "params", "batch_stats" and "constants"."""

Batch = dict[str, Any]
"""Arrays by name whose first axis is the batch's: "image" uint8 B x S x S x C, or stored "features" float32 B x D in
its place, each task's labels by its name and, for models that hear, "sound" float32 B x STEPS x BANDS (sound.mel) and
"heard" bool B, whether there is any."""

Dtype = Any
"""What JAX takes for a dtype."""
