"""Networks that know time, or hear, on videos: their first part in batches, the rest along every track, frame by frame.

Clips are evaluation's (data/clips.py): a video is cut after every so many frames, counted from its first one, and the
state is 0 again. A frame of a clip in which a track has no face, or which was not looked at, repeats the track's
nearest earlier face of the clip, else the first later one. Only evaluation's last clip, which ends with its track and
overlaps the one before, cannot be here: nobody knows that a frame is the last one.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.inference import engines
from emotion_gcn_jax.inference.smoothing import Answers
from emotion_gcn_jax.models import folding
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.sound.mel import BANDS, STEPS
from emotion_gcn_jax.tasks.registry import Tasks

_SECOND_PART = ("time", "head")  # of a network's parameters


@dataclasses.dataclass(frozen=True)
class InClip:
    """How far a track is in a clip.

    Attributes:
        frame: the last frame of the video in which its face was seen.
        vector_V: what the network's first part made of it, float32.
        state: of every recurrent layer after it, float32 [units].
    """

    frame: int
    vector_V: np.ndarray
    state: tuple[np.ndarray, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the clip as JSON has it."""
        return {
            "frame": self.frame,
            "vector": self.vector_V.tolist(),
            "state": [layer.tolist() for layer in self.state],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "InClip":
        """Reads what `to_dict` wrote, bit for bit."""
        vector_V, *state = (np.asarray(numbers, np.float32) for numbers in (fields["vector"], *fields["state"]))
        return cls(fields["frame"], vector_V, tuple(state))


InClips = Mapping[int, InClip]
"""By the track's number."""


class InTime:
    """A network in its two parts."""

    def __init__(
        self,
        engine: str | None,
        module: EmotionNet,
        variables: Mapping[str, Any],
        tasks: Tasks,
        inputs: Input,
        clip_length: int,
    ) -> None:
        """Makes both parts ready.

        Args:
            engine: of the first part, see `engines.start`; the second one is JAX's.
            module: the network, not a bidirectional one.
            variables: its collections.
            tasks: what it predicts.
            inputs: what it sees of an image.
            clip_length: T, frames.

        Raises:
            UserError: as `engines.start`.
        """
        image = jax.ShapeDtypeStruct((inputs.side, inputs.side, inputs.channels), np.uint8)
        patch = jax.ShapeDtypeStruct((STEPS, BANDS, 1), np.float32)

        def look(net: EmotionNet, variables: Mapping[str, Any], images: jax.Array) -> dict[str, jax.Array]:
            seen = net.apply(variables, inputs.view(images, net.param_dtype), method=net.look)
            return {"vectors": jnp.asarray(seen, jnp.float32)}

        def listen(net: EmotionNet, variables: Mapping[str, Any], patches: jax.Array) -> dict[str, jax.Array]:
            heard = net.apply(variables, patches[..., 0], method=net.listen)
            return {"vectors": jnp.asarray(heard, jnp.float32)}

        _, self._look = engines.start_part(engine, look, module, variables, image)
        self._listen, self._heard_width = None, 0
        if module.hearing is not None:
            _, self._listen = engines.start_part(engine, listen, module, variables, patch)
            self._heard_width = module.hearing.features
        self._length = clip_length
        self._zeros = module.time.zero_state() if module.time else ()
        net, ready = folding.fold(module, variables)
        ready = {"params": {part: ready["params"][part] for part in _SECOND_PART if part in ready["params"]}}
        run = jax.jit(functools.partial(_step, net, tasks))
        self._step = engines.in_few_sizes(functools.partial(run, jax.device_put(ready)))

    def vectors(
        self, faces: Sequence[Sequence[np.ndarray]], sounds: Sequence[np.ndarray | None], batch: int
    ) -> list[np.ndarray]:
        """Runs the first part.

        Args:
            faces: of every frame, each from `input.fit`.
            sounds: around every frame, from `sound.mel.patch`; None where nothing is heard, and of a network that only
                sees.
            batch: so many are judged at once.

        Returns:
            float32 [V] of every face, frame after frame.
        """
        flat = [face for of_frame in faces for face in of_frame]
        if not flat:
            return []
        seen_NxD = _in_batches(self._look, flat, batch)
        heard_FxW = np.zeros((len(faces), self._heard_width), np.float32)
        heard = [frame for frame, sound in enumerate(sounds) if sound is not None]
        if self._listen and heard:
            patches = [sound[..., None] for sound in sounds if sound is not None]
            heard_FxW[heard] = _in_batches(self._listen, patches, batch)
        frame_of_N = np.repeat(np.arange(len(faces)), [len(of_frame) for of_frame in faces])
        return list(np.concatenate([seen_NxD, heard_FxW[frame_of_N]], axis=1))

    def step(
        self, clips: InClips, tracks: Sequence[int], vectors: Sequence[np.ndarray], frame: int
    ) -> tuple[InClips, list[Answers]]:
        """Runs the second part over a frame.

        Args:
            clips: from the frame before; {} at first.
            tracks: the number of every face's track.
            vectors: every face's.
            frame: its number in the video, from 0; frames may be left out.

        Returns:
            What the next frame needs, and every face's answers.

        Raises:
            UserError: the answers are not finite.
        """
        first = frame - frame % self._length
        clips = {track: clip for track, clip in clips.items() if clip.frame >= first}
        if not vectors:
            return clips, []
        fillers, counts, states = [], [], []
        for track, vector_V in zip(tracks, vectors, strict=True):
            before = clips.get(track) or InClip(first - 1, vector_V, self._zeros)
            fillers.append(before.vector_V)
            counts.append(frame - before.frame - 1)
            states.append(before.state)
        state = tuple(np.stack(layers) for layers in zip(*states, strict=True))
        answers, state = self._step(np.stack(fillers), np.asarray(counts, np.int32), np.stack(vectors), state)
        if not all(np.isfinite(rows).all() for rows in answers.values()):
            raise UserError("The model's answers are not finite: it diverged while it was trained; use another.")
        after = {
            track: InClip(frame, vector_V, tuple(layer[row] for layer in state))
            for row, (track, vector_V) in enumerate(zip(tracks, vectors, strict=True))
        }
        said: list[Answers] = [{name: rows[row] for name, rows in answers.items()} for row in range(len(vectors))]
        return {**clips, **after}, said


def _in_batches(run: Any, rows: Sequence[np.ndarray], batch: int) -> np.ndarray:
    parts = [run(np.stack(rows[first : first + batch]))["vectors"] for first in range(0, len(rows), batch)]
    return np.concatenate(parts)


def _step(
    net: EmotionNet,
    tasks: Tasks,
    variables: Mapping[str, Any],
    filler_BxV: jax.Array,
    count_B: jax.Array,
    vector_BxV: jax.Array,
    state: tuple[jax.Array, ...],
) -> tuple[dict[str, jax.Array], tuple[jax.Array, ...]]:
    """Goes on by so many repetitions of one vector, and then by another; returns its answers and the state after it."""
    state = jax.tree.map(lambda layer: layer.astype(net.param_dtype), state)

    def go_on(vectors_BxV: jax.Array, state: Any) -> Any:
        return net.apply(variables, vectors_BxV.astype(net.param_dtype), state, method=net.go_on)

    def repeat(number: jax.Array, before: Any) -> Any:
        _, after = go_on(filler_BxV, before)
        return jax.tree.map(lambda new, old: jnp.where((number < count_B)[:, None], new, old), after, before)

    outputs, state = go_on(vector_BxV, lax.fori_loop(0, count_B.max(), repeat, state))
    return engines.answers_of(outputs, tasks), jax.tree.map(lambda layer: layer.astype(jnp.float32), state)
