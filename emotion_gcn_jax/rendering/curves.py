"""How the renderer's inner loops are compiled, and the curves that several of them are made of.

Numba compiles them without Python's lock, for threads to run side by side, and keeps the result. It compiles a function
again when the file with the function changes, and sees no change of what that calls in another file: whoever changes a
curve here deletes `rendering/__pycache__`.
"""

import math

import numpy as np
from numba import njit

compiled = njit(nogil=True, cache=True, error_model="numpy")
"""Decorates a function of numbers and arrays."""

inlined = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
"""The same for one that takes a whole mesh for every pixel, of which calls are slow."""


@compiled
def above_hairline(x: float, y: float, z: float, hairline_Lx2: np.ndarray, texture_6x4: np.ndarray) -> float:
    """Height above the ragged lower border of the hair."""
    line = np.interp(z, hairline_Lx2[:, 0], hairline_Lx2[:, 1])
    ragged = 0.02 * math.sin(13 * x + texture_6x4[0, 3]) + 0.006 * math.sin(163 * x + 91 * z + texture_6x4[1, 3])
    return y - line + ragged


@compiled
def ramp(low: float, high: float, x: float) -> float:
    """0 at `low`, 1 at `high`, smooth between; `low` may be the larger."""
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3 - 2 * t)


@compiled
def bell(x: float, width: float) -> float:
    """1 at 0, and 1 / e at `width` to both sides."""
    return math.exp(-((x / width) ** 2))


@compiled
def normalise(vector_3: np.ndarray) -> None:
    """Makes a vector one of length 1, in place."""
    length = math.sqrt(vector_3[0] * vector_3[0] + vector_3[1] * vector_3[1] + vector_3[2] * vector_3[2]) + 1e-12
    for axis in range(3):
        vector_3[axis] /= length
