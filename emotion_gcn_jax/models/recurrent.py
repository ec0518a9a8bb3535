"""What a model knows of time: layers of gated recurrent units over the frames of clips, one stack of them or two.

Two kinds of unit are called GRU, and their weights do not fit each other. With z = sigmoid(...) and r = sigmoid(...)
both make h' = (1 - z) n + z h, of

- n = tanh(W x + b + r * (U h + c)): the reset gate acts after the product (torch's, Flax's);
- n = tanh(W x + b + U (r * h)): before it (Cho et al. 2014, TensorFlow 1's GRUCell).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax.trees import Dtype


class ResetBeforeCell(nn.RNNCellBase):
    """A gated recurrent unit whose reset gate acts before the product; its parameters are named as nn.GRUCell's.

    Attributes:
        features: units.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the next state, B x features, twice: as state and as output."""
        dense = functools.partial(nn.Dense, self.features, dtype=self.dtype, param_dtype=self.param_dtype)
        of_input = functools.partial(dense, kernel_init=nn.linear.default_kernel_init)
        of_state = functools.partial(dense, use_bias=False, kernel_init=nn.initializers.orthogonal())
        r = nn.sigmoid(of_input(name="ir")(inputs) + of_state(name="hr")(carry))
        z = nn.sigmoid(of_input(name="iz")(inputs) + of_state(name="hz")(carry))
        n = jnp.tanh(of_input(name="in")(inputs) + of_state(name="hn")(r * carry))
        state = (1 - z) * n + z * carry
        return state, state

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> jax.Array:
        """The state before the first frame: zeros."""
        del rng
        return jnp.zeros((*input_shape[:-1], self.features), self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """Of the inputs."""
        return 1


CELLS: dict[str, Callable[..., nn.RNNCellBase]] = {"after": nn.GRUCell, "before": ResetBeforeCell}
"""By where the reset gate acts, seen from the product with the state."""


State = tuple[Any, ...]
"""Of every recurrent layer, clips x units; of a bidirectional one, both halves'."""


FUSIONS = ("concat", "late")
"""Where what is heard comes to what is seen: before the recurrent layers, or after layers of its own (`TwoStreams`)."""


class Recurrent(nn.Module):
    """Features of frames to features of frames in time; the state is 0 before every clip.

    Attributes:
        units: of each layer.
        reset: a key of CELLS.
        bidirectional: whether every layer has a second half that goes from the last frame to the first.
        param_dtype: of the parameters and of the computation.
    """

    units: tuple[int, ...]
    reset: str = "after"
    bidirectional: bool = False
    param_dtype: Dtype = jnp.float32

    def zero_state(self) -> tuple[np.ndarray, ...]:
        """One clip's state before its first frame, float32 [units] a layer; of a network that does not look ahead."""
        return tuple(np.zeros(width, np.float32) for width in self.units)

    def __call__(self, features_FxD: jax.Array, clip_length: int) -> jax.Array:
        """Returns F x the last layer's units, twice as many if bidirectional.

        Args:
            features_FxD: of frames, clip after clip.
            clip_length: T, the frames of each clip; F is a multiple of it.
        """
        return self.go_on(features_FxD, clip_length)[0]

    @nn.compact
    def go_on(self, features_FxD: jax.Array, clip_length: int, state: State | None = None) -> tuple[jax.Array, State]:
        """Returns what a call does, and the state of every layer after each clip's last frame.

        Args:
            features_FxD: as for a call.
            clip_length: as for a call.
            state: before each clip's first frame; None is 0.
        """
        after = []
        x_BxTxD = features_FxD.reshape(-1, clip_length, features_FxD.shape[-1])
        for number, width in enumerate(self.units, start=1):
            cell = functools.partial(CELLS[self.reset], width, dtype=self.param_dtype, param_dtype=self.param_dtype)
            ahead: Any = nn.RNN(cell(name=f"layer{number}"))
            if self.bidirectional:
                ahead = nn.Bidirectional(ahead, nn.RNN(cell(name=f"backward{number}")))
            before = None if state is None else state[number - 1]
            carry, x_BxTxD = ahead(x_BxTxD, initial_carry=before, return_carry=True)
            after.append(carry)
        return x_BxTxD.reshape(len(features_FxD), -1), tuple(after)


class TwoStreams(nn.Module):
    """Recurrent layers for what is seen and others for what is heard; only what comes of both stands side by side.

    A linear head on it adds what the one stream says to what the other says: late fusion. Where what is heard is 0, as
    it is without sound (hearing.py), its stream says nothing: it is 0, whatever it remembers.

    Attributes:
        eye: the layers of what is seen.
        ear: those of what is heard.
        heard_width: how many of the features, the last ones, are heard.
    """

    eye: Recurrent
    ear: Recurrent
    heard_width: int

    @property
    def bidirectional(self) -> bool:
        """Whether both look ahead, too."""
        return self.eye.bidirectional

    def zero_state(self) -> tuple[np.ndarray, ...]:
        """As `Recurrent.zero_state`: the eye's layers, then the ear's."""
        return (*self.eye.zero_state(), *self.ear.zero_state())

    def __call__(self, features_FxD: jax.Array, clip_length: int) -> jax.Array:
        """Returns F x the outputs of both; arguments are those of `Recurrent`."""
        return self.go_on(features_FxD, clip_length)[0]

    def go_on(self, features_FxD: jax.Array, clip_length: int, state: State | None = None) -> tuple[jax.Array, State]:
        """As `Recurrent.go_on`; the state is that of the eye's layers, then that of the ear's."""
        seen_FxD, heard_FxW = jnp.split(features_FxD, [features_FxD.shape[1] - self.heard_width], axis=1)
        depth = len(self.eye.units)
        of_eye, of_ear = (None, None) if state is None else (state[:depth], state[depth:])
        seen_FxU, eye_after = self.eye.go_on(seen_FxD, clip_length, of_eye)
        heard_FxU, ear_after = self.ear.go_on(heard_FxW, clip_length, of_ear)
        heard_FxU = jnp.where((heard_FxW != 0).any(axis=1, keepdims=True), heard_FxU, 0)
        return jnp.concatenate([seen_FxU, heard_FxU], axis=1), (*eye_after, *ear_after)
