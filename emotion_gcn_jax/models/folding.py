"""A trained model made ready for inference: what no longer changes is computed once.

The graph's node weights become an ordinary linear head, and a batch norm that directly follows a convolution becomes
part of its kernel and bias. Which norms do is said by the trunk (FOLDS); they have layers.NORM_EPSILON. Most norms of
DenseNet and BReG-NeXt follow a concatenation or a sum, and stay.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.models.heads import GraphHead, LinearHead
from emotion_gcn_jax.models.layers import NORM_EPSILON
from emotion_gcn_jax.trees import Tree, Variables


def fold(model: EmotionNet, variables: Variables) -> tuple[EmotionNet, dict[str, Tree]]:
    """Folds the graph and the norms; the outputs stay the same up to rounding.

    Args:
        model: from `emotion_net.create_model`.
        variables: its "params", "batch_stats" and "constants".

    Returns:
        A model for inference only (it refuses train=True where norms were folded), and its variables.
    """
    trunk = model.trunk
    params, batch_stats = (variables[collection].get("trunk", {}) for collection in ("params", "batch_stats"))
    if folds := getattr(trunk, "FOLDS", {}):
        trunk = trunk.clone(folded=True)
        params, batch_stats = _fold_norms(params, batch_stats, folds)
    head, head_params = model.head, variables["params"]["head"]
    if isinstance(head, GraphHead):
        w_NxD = head.node_weights(head_params["gcn"], variables["constants"]["head"])
        head_params = {name: {"kernel": part} for name, part in head.split(w_NxD.T).items()}
        head = LinearHead(head.widths, bias=False, param_dtype=model.param_dtype)
    folded = {
        "params": {**variables["params"], "trunk": params, "head": head_params},
        "batch_stats": {**variables["batch_stats"], "trunk": batch_stats},
        "constants": {},
    }
    return model.clone(trunk=trunk, head=head), folded


def _fold_norms(params: Tree, batch_stats: Tree, folds: Mapping[str, str]) -> tuple[Tree, Tree]:
    """Both trees without the norms that a convolution has taken in, and with the convolutions that have."""
    folded_params, folded_stats = dict(params), dict(batch_stats)
    for name, child in params.items():
        norm = folds.get(name)
        if norm in params:
            folded_params[name] = _fold_norm(child, folded_params.pop(norm), folded_stats.pop(norm))
        elif name in batch_stats and "mean" not in batch_stats[name]:
            folded_params[name], folded_stats[name] = _fold_norms(child, batch_stats[name], folds)
    return folded_params, folded_stats


def _fold_norm(conv: Tree, norm: Tree, statistics: Tree) -> dict[str, Any]:
    """A convolution's parameters that do what it and the norm after it did; its last axis is the output channels."""
    factor_C = norm["scale"] / jnp.sqrt(statistics["var"] + NORM_EPSILON)
    shift_C = conv.get("bias", 0) - statistics["mean"]
    return {"kernel": conv["kernel"] * factor_C, "bias": shift_C * factor_C + norm["bias"]}
