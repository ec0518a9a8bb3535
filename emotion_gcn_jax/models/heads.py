"""Heads: from a feature vector to every task's raw outputs."""

import functools
import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.models import gcn, layers
from emotion_gcn_jax.trees import Dtype, Tree

Outputs = dict[str, jax.Array]
"""Raw outputs B x W by the task's name."""


class CosineLayer(nn.Module):
    """The cosines of the angles between the features and a weight for each output, without a bias (ArcFace's).

    Attributes:
        features: the number of outputs.
        param_dtype: of the parameters.
    """

    features: int
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, features_BxD: jax.Array) -> jax.Array:
        """Returns B x features, in [-1, 1] up to rounding."""
        shape = (features_BxD.shape[-1], self.features)
        kernel_DxF = self.param("kernel", nn.initializers.xavier_uniform(), shape, self.param_dtype)
        return _of_length_one(features_BxD, 1) @ _of_length_one(kernel_DxF, 0)


def _of_length_one(vectors: jax.Array, axis: int) -> jax.Array:
    """Vectors along an axis, divided by their lengths; one of zeros, whose length counts as 1e-12, stays."""
    return vectors * jax.lax.rsqrt(jnp.maximum((vectors**2).sum(axis, keepdims=True), 1e-24))


class LinearHead(nn.Module):
    """One linear layer a task.

    Attributes:
        widths: (task's name, number of outputs) of every task.
        bias: whether the layers have biases; a folded graph's weights have none (models/folding.py).
        cosines: the tasks whose outputs are cosines instead (Task.takes_cosines).
        deviation: of the initial kernels, normal about 0, with biases 0; None draws both as torch does.
        param_dtype: of the parameters.
    """

    widths: tuple[tuple[str, int], ...]
    bias: bool = True
    cosines: tuple[str, ...] = ()
    deviation: float | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, features_BxD: jax.Array) -> Outputs:
        """Applies the layers; their parameters have the tasks' names."""
        kernel_init = bias_init = layers.uniform(1 / math.sqrt(features_BxD.shape[-1]))
        if self.deviation is not None:
            kernel_init, bias_init = nn.initializers.normal(self.deviation), nn.initializers.zeros
        dense = functools.partial(
            nn.Dense, use_bias=self.bias, kernel_init=kernel_init, bias_init=bias_init, param_dtype=self.param_dtype
        )
        cosine = functools.partial(CosineLayer, param_dtype=self.param_dtype)
        layer_of = {name: cosine if name in self.cosines else dense for name, _ in self.widths}
        return {name: layer_of[name](width, name=name)(features_BxD) for name, width in self.widths}


class GraphHead(nn.Module):
    """The paper's head: a graph with a node for every output makes the weights of all outputs; no bias.

    Attributes:
        widths: (task's name, number of outputs) of every task; the nodes stand in this order.
        word_vector_width: F, of the nodes' word vectors.
        propagation: how the graph mixes its nodes, see graph.adjacency.propagation_matrix.
        param_dtype: of the parameters.
    """

    widths: tuple[tuple[str, int], ...]
    word_vector_width: int
    propagation: str = "transposed"
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, features_BxD: jax.Array) -> Outputs:
        """Applies the node weights to the features."""
        nodes, width, features = sum(w for _, w in self.widths), self.word_vector_width, features_BxD.shape[-1]
        parameters = self.param("gcn", gcn.init_parameters, width, features, self.param_dtype)
        constants = {
            "adjacency": self.variable("constants", "adjacency", jnp.zeros, (nodes, nodes), self.param_dtype).value,
            "word_vectors": self.variable(
                "constants", "word_vectors", jnp.zeros, (nodes, width), self.param_dtype
            ).value,
        }
        return self.split(features_BxD @ self.node_weights(parameters, constants).T)

    def node_weights(self, parameters: Tree, constants: Mapping[str, jax.Array]) -> jax.Array:
        """The weights of all outputs, the same for every image.

        Args:
            parameters: the head's "gcn".
            constants: "adjacency" N x N and "word_vectors" N x F.

        Returns:
            w_NxD, a row for every output, in the tasks' order.
        """
        propagation_NxN = adjacency.propagation_matrix(constants["adjacency"], self.propagation)
        return gcn.node_weights(parameters, constants["word_vectors"], propagation_NxN)

    def split(self, outputs_BxN: jax.Array) -> Outputs:
        """Cuts what has all outputs on its last axis into the tasks' own."""
        ends = [sum(width for _, width in self.widths[: i + 1]) for i in range(len(self.widths))]
        parts = jnp.split(outputs_BxN, ends[:-1], axis=-1)
        return {name: part for (name, _), part in zip(self.widths, parts, strict=True)}
