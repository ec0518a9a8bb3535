"""A trained model made ready for inference: what no longer changes is computed once.

The graph's node weights become an ordinary linear head, and a batch norm that directly follows a convolution becomes
part of its kernel and bias. (Most norms of either trunk follow a concatenation or a sum, and stay.)
"""

from typing import Any

import jax
import jax.numpy as jnp

from emotion_gcn_jax import labels
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.emotion_net import EmotionNet, GraphHead, LinearHead, Variables
from emotion_gcn_jax.models.layers import NORM_EPSILON

Tree = dict[str, Any]

# Where a norm directly follows a convolution: at the trunk's start (DenseNet) and inside a layer or block (both).
_FOLLOWED_BY = {"stem_conv": "stem_norm", "conv1": "norm2"}


def fold(model: EmotionNet, variables: Variables) -> tuple[EmotionNet, Tree]:
    """Folds the graph and the norms; the outputs stay the same up to rounding.

    Args:
        model: from `emotion_net.create_model`.
        variables: its "params", "batch_stats" and, for emotion_gcn, "graph".

    Returns:
        A model for inference only (it refuses train=True), and its variables.
    """
    params, batch_stats = _fold_norms(variables["params"]["trunk"], variables["batch_stats"]["trunk"])
    head, head_params = model.head, variables["params"]["head"]
    if isinstance(head, GraphHead):
        head_params = _linear(emotion_net.node_weights(model, variables))
        head = LinearHead(len(labels.EXPRESSIONS), with_affect=True, bias=False, param_dtype=model.param_dtype)
    folded = model.clone(trunk=model.trunk.clone(folded=True), head=head)
    return folded, {
        "params": {"trunk": params, "head": head_params},
        "batch_stats": {"trunk": batch_stats},
        "graph": {},
    }


def _linear(w_9xD: jax.Array) -> Tree:
    """The parameters of a LinearHead without bias."""
    expressions = len(labels.EXPRESSIONS)
    return {"expression": {"kernel": w_9xD[:expressions].T}, "affect": {"kernel": w_9xD[expressions:].T}}


def _fold_norms(params: Tree, batch_stats: Tree) -> tuple[Tree, Tree]:
    """Both trees without the norms that a convolution has taken in, and with the convolutions that have."""
    folded_params, folded_stats = dict(params), dict(batch_stats)
    for name, child in params.items():
        norm = _FOLLOWED_BY.get(name)
        if norm in params:
            folded_params[name] = _fold_norm(child, folded_params.pop(norm), folded_stats.pop(norm))
        elif name in batch_stats and "mean" not in batch_stats[name]:
            folded_params[name], folded_stats[name] = _fold_norms(child, batch_stats[name])
    return folded_params, folded_stats


def _fold_norm(conv: Tree, norm: Tree, statistics: Tree) -> Tree:
    """A convolution's parameters that do what it and the norm after it did; its last axis is the output channels."""
    factor_C = norm["scale"] / jnp.sqrt(statistics["var"] + NORM_EPSILON)
    shift_C = conv.get("bias", 0) - statistics["mean"]
    return {"kernel": conv["kernel"] * factor_C, "bias": shift_C * factor_C + norm["bias"]}
