"""What a model knows of time: layers of gated recurrent units over the frames of clips.

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
