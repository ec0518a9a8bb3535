"""The head that synthetic faces are made of: MakeHuman's base mesh and the targets that shape and move it.

The mesh is in decimetres, x towards the head's left, y up, z forward; the data and their licence are described in
SOURCES.md beside this file.
"""

import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping

import numpy as np
from numba import njit

# Materials of triangles: the mesh's, and that of the hair which `surface` grows on it.
SKIN, EYES, TEETH, TONGUE, LASHES, HAIR = range(6)

# Vertices of the two eyeballs; their means are the eyes' centres. Left and right are the head's own.
LEFT_EYEBALL = slice(4685, 4757)
RIGHT_EYEBALL = slice(4757, 4829)


@dataclasses.dataclass(frozen=True)
class Head:
    """The base mesh and its targets (offsets of vertices, to be added with a weight).

    Attributes:
        rest_Vx3: float32 positions of the vertices at rest.
        triangles_Tx3: int32 vertex numbers.
        material_T: int8, SKIN to LASHES.
        uv_Tx3x2: float32 texture coordinates of the triangles' corners.
        targets: names of the targets: "fu_<ARKit unit>" moves the face, "mac_<ethnicity>_<sex>_<age>",
            "uni_<sex>_<age>_<weight>" and "loc_<part>" shape the head.
        starts: int64 [targets + 1], where each target's offsets begin.
        vertices_N: int32, the vertex that an offset moves.
        offsets_Nx3: float32 offsets.
    """

    rest_Vx3: np.ndarray
    triangles_Tx3: np.ndarray
    material_T: np.ndarray
    uv_Tx3x2: np.ndarray
    targets: tuple[str, ...]
    starts: np.ndarray
    vertices_N: np.ndarray
    offsets_Nx3: np.ndarray

    def deform(self, weights: Mapping[str, float]) -> np.ndarray:
        """Returns the float32 vertices [V, 3] with every named target added by its weight."""
        numbers = np.array([_target_numbers()[name] for name in weights], np.int64)
        values = np.array(list(weights.values()), np.float32)
        return _deform(self.rest_Vx3, self.starts, self.vertices_N, self.offsets_Nx3, numbers, values)


@functools.cache
def load_head() -> Head:
    """Reads the packaged mesh, once a process."""
    file = importlib.resources.files(__package__).joinpath("makehuman_head.npz")
    with file.open("rb") as stream, np.load(stream) as pack:
        targets = tuple(name[2:] for name in pack.files if name.startswith("i_"))
        vertices = [pack["i_" + name].astype(np.int32) for name in targets]
        offsets = [pack["d_" + name].astype(np.float32) / 1000 for name in targets]
        return Head(
            rest_Vx3=pack["V0"].astype(np.float32),
            triangles_Tx3=pack["F"].astype(np.int32),
            material_T=pack["M"].astype(np.int8),
            uv_Tx3x2=pack["UV"].astype(np.float32),
            targets=targets,
            starts=np.concatenate([[0], np.cumsum([len(numbers) for numbers in vertices])]).astype(np.int64),
            vertices_N=np.concatenate(vertices),
            offsets_Nx3=np.concatenate(offsets),
        )


@functools.cache
def _target_numbers() -> dict[str, int]:
    return {name: number for number, name in enumerate(load_head().targets)}


@njit(nogil=True, cache=True)
def _deform(
    rest_Vx3: np.ndarray,
    starts: np.ndarray,
    vertices_N: np.ndarray,
    offsets_Nx3: np.ndarray,
    numbers: np.ndarray,
    values: np.ndarray,
) -> np.ndarray:
    result_Vx3 = rest_Vx3.copy()
    for k in range(numbers.shape[0]):
        for n in range(starts[numbers[k]], starts[numbers[k] + 1]):
            for axis in range(3):
                result_Vx3[vertices_N[n], axis] += values[k] * offsets_Nx3[n, axis]
    return result_Vx3
