"""The three models of the paper: a trunk, a head, and the registry that joins them.

Variables live in three collections: `params` (trained), `batch_stats` (running statistics) and, for emotion_gcn,
`graph` (the constants: adjacency and word vectors). They are all in a checkpoint.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax import labels
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.models import gcn, layers
from emotion_gcn_jax.models.bregnext import BReGNeXt
from emotion_gcn_jax.models.densenet import DenseNet
from emotion_gcn_jax.models.layers import Dtype

AFFECT_DIMENSIONS = 2  # valence, arousal
Variables = Mapping[str, Any]


class Outputs(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits_BxC: unnormalised log-probabilities of the C expressions.
        affect_Bx2: valence and arousal, linear and unbounded; None for single_task.
    """

    logits_BxC: jax.Array
    affect_Bx2: jax.Array | None


class LinearHead(nn.Module):
    """Independent linear classifiers: expressions and, for multi_task, valence and arousal.

    They have biases, except where a folded graph is their weights (models/folding.py).
    """

    num_classes: int
    with_affect: bool
    bias: bool = True
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, features_BxD: jax.Array) -> Outputs:
        """Applies the classifiers."""
        logits_BxC = self._linear(features_BxD, self.num_classes, "expression")
        affect_Bx2 = self._linear(features_BxD, AFFECT_DIMENSIONS, "affect") if self.with_affect else None
        return Outputs(logits_BxC, affect_Bx2)

    def _linear(self, x_BxD: jax.Array, width: int, name: str) -> jax.Array:
        init = layers.uniform(1 / math.sqrt(x_BxD.shape[-1]))
        dense = nn.Dense(
            width, use_bias=self.bias, kernel_init=init, bias_init=init, param_dtype=self.param_dtype, name=name
        )
        return dense(x_BxD)


class GraphHead(nn.Module):
    """The paper's head: the graph makes the weights of all nine outputs; no bias."""

    word_vector_width: int
    propagation: str = "transposed"
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, features_BxD: jax.Array) -> Outputs:
        """Applies the node weights to the features."""
        nodes, width, features = len(labels.NODES), self.word_vector_width, features_BxD.shape[-1]
        parameters = self.param("gcn", gcn.init_parameters, width, features, self.param_dtype)
        adjacency_9x9 = self.variable("graph", "adjacency", jnp.zeros, (nodes, nodes), self.param_dtype).value
        word_vectors_9xF = self.variable("graph", "word_vectors", jnp.zeros, (nodes, width), self.param_dtype).value
        propagation_9x9 = adjacency.propagation_matrix(adjacency_9x9, self.propagation)
        w_9xD = gcn.node_weights(parameters, word_vectors_9xF, propagation_9x9)
        outputs_Bx9 = features_BxD @ w_9xD.T
        expressions = len(labels.EXPRESSIONS)
        return Outputs(outputs_Bx9[:, :expressions], outputs_Bx9[:, expressions:])


class EmotionNet(nn.Module):
    """One face image to seven (or eight) expressions and, but for single_task, valence and arousal."""

    trunk: nn.Module
    head: nn.Module
    param_dtype: Dtype = jnp.float32

    def __call__(self, images_BxHxWx3: jax.Array, train: bool = False) -> Outputs:
        """Runs trunk and head; the head computes in the parameters' dtype whatever the trunk's.

        Args:
            images_BxHxWx3: RGB, normalised by ImageNet's mean and deviation.
            train: whether norms use the batch's moments; `batch_stats` must then be mutable.
        """
        features_BxD = self.trunk(images_BxHxWx3, train)
        return self.head(features_BxD.astype(self.param_dtype))


def _densenet(model: str, **options: Any) -> DenseNet:
    """The official models read DenseNet's last map in two ways (Emotion-GCN spec, section 1)."""
    return DenseNet(readout="max" if model == "emotion_gcn" else "relu_average", **options)


def _bregnext(model: str, **options: Any) -> BReGNeXt:
    """Every model takes the trunk's own pool."""
    return BReGNeXt(**options)


# A trunk is built for one of MODELS, with the options remat, axis_name, dtype and param_dtype.
TRUNKS: dict[str, Callable[..., nn.Module]] = {
    "densenet121": functools.partial(_densenet, blocks=(6, 12, 24, 16), growth=32, stem_width=64),
    "bregnext50": functools.partial(_bregnext, stages=((7, 32), (1, 64), (8, 64), (1, 128), (7, 128)), stem_width=32),
    # The same classes at a thousandth of the work, for tests and for trying a pipeline out.
    "densenet_tiny": functools.partial(_densenet, blocks=(1, 2, 2, 1), growth=8, stem_width=8),
    "bregnext_tiny": functools.partial(_bregnext, stages=((1, 8), (1, 16), (1, 16), (1, 32)), stem_width=8),
}

MODELS = ("single_task", "multi_task", "emotion_gcn")

DTYPES: dict[str, Dtype] = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float64": jnp.float64}


def create_model(
    trunk: str,
    model: str,
    *,
    num_classes: int = 7,
    word_vector_width: int = 100,
    propagation: str = "transposed",
    dtype: str = "float32",
    remat: bool = False,
    axis_name: str | None = None,
) -> EmotionNet:
    """Builds a model by the names of its parts.

    Args:
        trunk: a key of TRUNKS.
        model: one of MODELS.
        num_classes: 7, or 8 with Contempt (not for emotion_gcn, whose graph has seven expression nodes).
        word_vector_width: F, for emotion_gcn.
        propagation: how the graph mixes its nodes, see graph.adjacency.propagation_matrix.
        dtype: of the trunk's computation; parameters are float64 for "float64", float32 otherwise.
        remat: recompute layers in the backward pass to save memory.
        axis_name: the mapped axis over which one global batch is spread.

    Raises:
        UserError: an unknown name, or a class count that the model does not have.
    """
    for what, name, known in (("trunk", trunk, TRUNKS), ("model", model, MODELS), ("dtype", dtype, DTYPES)):
        if name not in known:
            raise UserError(f"Unknown {what} {name!r}: choose one of {', '.join(known)}.")
    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise UserError("dtype float64 needs JAX's 64-bit mode: set JAX_ENABLE_X64=1 in the environment.")
    labels.expression_names(num_classes)
    param_dtype = jnp.float64 if dtype == "float64" else jnp.float32
    head: nn.Module
    if model == "emotion_gcn":
        if num_classes != len(labels.EXPRESSIONS):
            raise UserError(
                f"emotion_gcn has 7 expression nodes, found num_classes={num_classes}: use 7, or another model."
            )
        head = GraphHead(word_vector_width, propagation, param_dtype)
    else:
        head = LinearHead(num_classes, model == "multi_task", param_dtype=param_dtype)
    body = TRUNKS[trunk](model, remat=remat, axis_name=axis_name, dtype=DTYPES[dtype], param_dtype=param_dtype)
    return EmotionNet(body, head, param_dtype)


def node_weights(model: EmotionNet, variables: Variables) -> jax.Array:
    """The weights that an emotion_gcn's graph makes for its nine outputs, the same for every image.

    Args:
        model: from `create_model`, with the graph's head.
        variables: "params" and "graph".

    Returns:
        w_9xD: rows 0-6 classify the expressions, rows 7-8 regress valence and arousal.
    """
    head: Any = model.head
    graph = variables["graph"]["head"]
    propagation_9x9 = adjacency.propagation_matrix(graph["adjacency"], head.propagation)
    return gcn.node_weights(variables["params"]["head"]["gcn"], graph["word_vectors"], propagation_9x9)


def init_variables(
    model: EmotionNet,
    seed: int,
    image_size: int,
    *,
    adjacency_9x9: np.ndarray | None = None,
    word_vectors_9xF: np.ndarray | None = None,
) -> dict[str, Any]:
    """Random parameters, fresh running statistics, and the graph's constants.

    Args:
        model: from `create_model`.
        seed: of the random parameters; the same on every device of one kind.
        image_size: the side of the images in pixels; parameters do not depend on it.
        adjacency_9x9: row-normalised adjacency (not transposed); needed by emotion_gcn only.
        word_vectors_9xF: the nodes' word vectors; needed by emotion_gcn only.

    Returns:
        The collections "params", "batch_stats" and "graph" (empty without a graph).
    """
    images = jnp.zeros((1, image_size, image_size, 3), model.param_dtype)
    # JAX's default generator takes three times as long to compile for the hundreds of arrays of a DenseNet-121.
    key = jax.random.key(seed, impl="rbg")
    variables = jax.jit(functools.partial(model.init, train=False))(key, images)
    graph: dict[str, Any] = {}
    if "graph" in variables:
        if adjacency_9x9 is None or word_vectors_9xF is None:
            raise ValueError("emotion_gcn needs adjacency_9x9 and word_vectors_9xF.")
        constants = {"adjacency": adjacency_9x9, "word_vectors": word_vectors_9xF}
        graph = {"head": {name: jnp.asarray(value, model.param_dtype) for name, value in constants.items()}}
    return {"params": variables["params"], "batch_stats": variables["batch_stats"], "graph": graph}
