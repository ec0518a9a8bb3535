"""What a model needs to see: a black patch slides over the face, and every partly covered copy is judged again.

Deep-Emotion (Minaee and Abdolrashidi 2019, arXiv 1902.01019) finds the important regions of a face so. The paper names
the patch N and the stride s and does not say how large they are (Deep-Emotion spec, section 3).

K counts the patch's positions along a side, V is the side of what the network sees, W a task's number of outputs.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.inference import engines
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.tasks.task import Task

# Our choice: a patch's share of the network's side, and a step's of the patch: 12 and 4 pixels of Deep-Emotion's 48. A
# quarter of a face is about an eye or a mouth.
_PATCH_SHARE, _STRIDE_SHARE = 1 / 4, 1 / 3

_PIXELS = 2**20  # of all copies that are judged at a time: bounds the memory; at 48 pixels it is 455 copies

_BLACK = 0  # what a patch is filled with, in 0..255

Judge = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From one uint8 face S x S x C to every task's answers by its name, float32 [1 + K * K, W]: see `judge`."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """A square that slides over what the network sees.

    Attributes:
        side: of the square, in pixels.
        stride: from one of its positions to the next, in pixels.
        network_side: V, of what it slides over, in pixels.
    """

    side: int
    stride: int
    network_side: int

    def __post_init__(self) -> None:
        """Raises UserError for a patch that does not fit, and for a stride that would pass over pixels."""
        if not 1 <= self.side < self.network_side:
            raise UserError(
                f"A patch must have a side of 1 to {self.network_side - 1} pixels, since the network sees "
                f"{self.network_side}, found {self.side}: choose another."
            )
        if not 1 <= self.stride <= self.side:
            raise UserError(
                f"A patch of {self.side} pixels must go on by 1 to {self.side} pixels, so that none is passed over, "
                f"found {self.stride}: choose another stride."
            )

    @classmethod
    def usual(cls, network_side: int, side: int | None = None, stride: int | None = None) -> "Patch":
        """A quarter of the network's side, by steps of a third of that (12 and 4 pixels of 48), unless given."""
        if side is None:
            side = round(_PATCH_SHARE * network_side)
        return cls(side, max(1, round(_STRIDE_SHARE * side)) if stride is None else stride, network_side)

    @property
    def starts_K(self) -> np.ndarray:
        """The first pixel of every position along a side, int32 K.

        They are 0, s, 2s, ... and, where these do not end at the far border, one more that does: every pixel is covered
        at least once.
        """
        last = self.network_side - self.side
        return np.append(np.arange(0, last, self.stride), last).astype(np.int32)


def judge(module: EmotionNet, variables: Mapping[str, Any], tasks: Tasks, inputs: Input, patch: Patch) -> Judge:
    """Makes the function that judges a face and all its partly covered copies, compiled once.

    Args:
        module: the network.
        variables: its "params", "batch_stats" and "constants".
        tasks: what it predicts.
        inputs: what the network sees of an image.
        patch: what covers the face. It is black in the image's own pixels, before they are normalised.

    Returns:
        The function. Its first row is the answer to the face itself, the others are those to the copies, the patch
        going from left to right and then down. It raises UserError where an answer is not finite.
    """
    side, starts_K = patch.network_side, patch.starts_K
    # The first copy's patch lies beyond the image. The last batch is filled up with more of it.
    corners = np.stack(np.meshgrid(starts_K, starts_K, indexing="ij"), axis=-1).reshape(-1, 2)
    count = 1 + len(corners)
    batch = min(count, max(1, _PIXELS // side**2))
    corners_Mx2 = np.full((-(-count // batch) * batch, 2), side, np.int32)
    corners_Mx2[1:count] = corners

    @jax.jit
    def answers(variables: Mapping[str, Any], face_SxSxC: jax.Array, corners_Bx2: jax.Array) -> dict[str, jax.Array]:
        seen_1xVxVxC = inputs.view(face_SxSxC[None], module.param_dtype)
        black_1xVxVxC = inputs.normalise(jnp.full(seen_1xVxVxC.shape, _BLACK), module.param_dtype)
        within_Bx2xV = (jnp.arange(side) >= corners_Bx2[..., None]) & (
            jnp.arange(side) < corners_Bx2[..., None] + patch.side
        )
        covered_BxVxV = within_Bx2xV[:, 0, :, None] & within_Bx2xV[:, 1, None, :]
        copies_BxVxVxC = jnp.where(covered_BxVxV[..., None], black_1xVxVxC, seen_1xVxVxC)
        outputs: Any = module.apply(variables, copies_BxVxVxC, train=False)
        return engines.answers_of(outputs, tasks)

    on_device = jax.device_put(variables)

    def of_face(face_SxSxC: np.ndarray) -> dict[str, np.ndarray]:
        parts = [answers(on_device, face_SxSxC, some) for some in corners_Mx2.reshape(-1, batch, 2)]
        found = {task.name: np.concatenate([np.asarray(part[task.name]) for part in parts])[:count] for task in tasks}
        if not all(np.isfinite(rows).all() for rows in found.values()):
            raise UserError("The model's answers are not finite: it diverged while it was trained; use another.")
        return found

    return of_face


def hard_map(task: Task, answers_MxW: np.ndarray, output: int, patch: Patch) -> np.ndarray | None:
    """Where the answer needs the face: of the positions that cover a pixel, the share at which the answer turns.

    Args:
        task: what the answers are of.
        answers_MxW: from `judge`, M = 1 + K * K.
        output: which of the W.
        patch: the same.

    Returns:
        float64 V x V in 0..1: of a class how often it becomes the answer or ceases to be; of a flag how often it passes
        the threshold. None for values, which are never wrong or right.
    """
    decided_MxW = task.decided(answers_MxW)
    if decided_MxW is None:
        return None
    return mean_over_positions(decided_MxW[1:, output] != decided_MxW[0, output], patch)


def soft_map(answers_MxW: np.ndarray, output: int, patch: Patch) -> np.ndarray:
    """What a part of the face adds to an answer: how far it falls, in the mean, when a patch covers the pixel.

    Args:
        answers_MxW: from `judge`, M = 1 + K * K.
        output: which of the W.
        patch: the same.

    Returns:
        float64 V x V: of probabilities in -1..1, of values in their own unit; negative where the answer rises.
    """
    answers_M = answers_MxW[:, output].astype(np.float64)
    return mean_over_positions(answers_M[0] - answers_M[1:], patch)


def mean_over_positions(numbers_KK: np.ndarray, patch: Patch) -> np.ndarray:
    """Gives every pixel the mean of the numbers that belong to the positions which cover it.

    Args:
        numbers_KK: K * K numbers, a row of positions after the other.
        patch: what covers; its positions are the same in both directions.

    Returns:
        float64 V x V.
    """
    starts_K = patch.starts_K
    pixels_V = np.arange(patch.network_side)
    covers_KxV = ((pixels_V >= starts_K[:, None]) & (pixels_V < starts_K[:, None] + patch.side)).astype(np.float64)
    sums_VxV = covers_KxV.T @ np.asarray(numbers_KK, np.float64).reshape(len(starts_K), -1) @ covers_KxV
    counts_V = covers_KxV.sum(0)  # at least 1: see Patch.starts_K
    return sums_VxV / np.outer(counts_V, counts_V)
