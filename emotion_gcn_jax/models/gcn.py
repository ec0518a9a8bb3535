"""The graph convolutional network: pure functions from the graph's arrays to the weights W of all outputs.

N nodes, one for every output (the paper has nine: seven expressions, valence and arousal), and two layers without bias;
nothing here depends on an image.
"""

import math
from typing import TypedDict

import jax
import jax.numpy as jnp

HIDDEN_WIDTH = 512  # Emotion-GCN, section on the network: word vectors -> 512 -> the trunk's features
NEGATIVE_SLOPE = 0.2  # of the LeakyReLU between the two layers


class GraphParameters(TypedDict):
    """The trainable arrays: layer1 F x 512 and layer2 512 x D (F: word-vector width, D: the trunk's features)."""

    layer1: jax.Array
    layer2: jax.Array


def init_parameters(key: jax.Array, width: int, features: int, dtype: jnp.dtype) -> GraphParameters:
    """Draws both layers from U(-s, s) with s = 1 / sqrt(output width), as the official models do.

    Args:
        key: a JAX random key.
        width: F, the word vectors' length.
        features: D, the trunk's feature count.
        dtype: of the arrays.
    """
    key1, key2 = jax.random.split(key)
    return {
        "layer1": _uniform(key1, (width, HIDDEN_WIDTH), dtype),
        "layer2": _uniform(key2, (HIDDEN_WIDTH, features), dtype),
    }


def node_weights(parameters: GraphParameters, word_vectors_NxF: jax.Array, propagation_NxN: jax.Array) -> jax.Array:
    """Two graph convolutions: W = P LeakyReLU(P H L1) L2.

    Args:
        parameters: the two layers.
        word_vectors_NxF: one word vector a node, in node order.
        propagation_NxN: the matrix P, from graph.adjacency.propagation_matrix; row i says what node i receives.

    Returns:
        w_NxD: row i makes output i of the features.
    """
    hidden_NxH = jax.nn.leaky_relu(propagation_NxN @ (word_vectors_NxF @ parameters["layer1"]), NEGATIVE_SLOPE)
    return propagation_NxN @ (hidden_NxH @ parameters["layer2"])


def _uniform(key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype) -> jax.Array:
    bound = 1 / math.sqrt(shape[1])
    return jax.random.uniform(key, shape, dtype, -bound, bound)
