"""Our answers to the cases. A program, since float64 must be switched on before JAX starts:

JAX_ENABLE_X64=1 python -m tests.reference.ours OUTPUT.npz [--all]

With --all it answers after folding too, and trains in float32 to see how far rounding carries the losses.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from configs import common
from emotion_gcn_jax import parallel
from emotion_gcn_jax.conversion import names
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.models import emotion_net, folding
from emotion_gcn_jax.training import losses as our_losses
from emotion_gcn_jax.training import optimizer
from emotion_gcn_jax.training.step import StepOptions, create_state, train_step
from tests.reference import cases

TRUNKS = {"densenet": "densenet121", "bregnext": "bregnext50"}
COLLECTIONS = {"params": "parameters", "batch_stats": "statistics"}


def answers(trunk, model, *, more=False):
    """All that is compared of one model."""
    found = {}
    for side in cases.SIDES[trunk]:
        outputs, blocks = infer(trunk, model, side)
        found |= {f"outputs at {side}/{name}": array for name, array in outputs.items()}
        found |= {f"blocks at {side}/{name}": array for name, array in blocks.items()}
    if model == "emotion_gcn":
        net, variables = build(trunk, model)
        found["graph/w"] = emotion_net.node_weights(net, variables)
        found["graph/adjacency"] = variables["graph"]["head"]["adjacency"]
    found["losses/losses"], variables = train(trunk, model)
    official = names.official_tensors(TRUNKS[trunk], model, word_vector_width=cases.WORD_WIDTH)
    for tensor, array in zip(official, names.to_state_dict(variables, {}, official).values(), strict=True):
        if tensor.path and tensor.path[0] in COLLECTIONS:
            found[f"{COLLECTIONS[tensor.path[0]]}/{tensor.name}"] = array
    found["float32 loss/first"] = first_loss(trunk, model)
    if more:
        found["float32 drift/losses"] = train(trunk, model, "float32")[0]
        for side in cases.SIDES[trunk]:
            outputs, _ = infer(trunk, model, side, folded=True)
            found |= {f"folded outputs at {side}/{name}": array for name, array in outputs.items()}
    return {f"{trunk}/{model}/{key}": np.asarray(array) for key, array in found.items()}


def build(trunk, model, dtype="float32", axis_name=None):
    """A model of ours, and its variables with the case's parameters."""
    net = emotion_net.create_model(
        TRUNKS[trunk], model, word_vector_width=cases.WORD_WIDTH, dtype=dtype, axis_name=axis_name
    )
    adjacency_9x9 = adjacency.adjacency_from_correlations(adjacency.affectnet_correlations())
    official = names.official_tensors(TRUNKS[trunk], model, word_vector_width=cases.WORD_WIDTH)
    variables, _ = names.to_variables(cases.state_dict(trunk, model, adjacency_9x9), official)
    if model == "emotion_gcn":
        variables["graph"]["head"]["word_vectors"] = cases.word_vectors()
    return net, jax.tree.map(lambda array: jnp.asarray(array, net.param_dtype), variables)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _features(trunk, variables, images, train):
    """A trunk's features and all that its modules return; one program for the models that share the trunk."""
    return trunk.apply(variables, images, train, capture_intermediates=True, mutable=["intermediates", "batch_stats"])


def _forward(net, variables, images, train):
    trunk, head = ({name: tree[part] for name, tree in variables.items() if part in tree} for part in ("trunk", "head"))
    features, captured = _features(net.trunk, trunk, jnp.asarray(images, jnp.float32), train)
    return net.head.apply(head, features), captured["intermediates"]


def infer(trunk, model, side, *, folded=False):
    """What a model says of the images, and every block's output by its name."""
    net, variables = build(trunk, model)
    if folded:
        net, variables = folding.fold(net, variables)
    outputs, captured = _forward(net, variables, cases.normalised(cases.images(side)), False)
    found = {"logits": outputs.logits_BxC}
    if outputs.affect_Bx2 is not None:
        found["affect"] = outputs.affect_Bx2
    blocks = {name: modules["__call__"][0] for name, modules in captured.items() if name != "__call__"}
    # The reference names a transition as a whole; our norm before it is a part of that.
    return found, {name: array for name, array in blocks.items() if not (name.startswith("tr") and "norm" in name)}


def train(trunk, model, dtype="float64"):
    """The loss of every step of the real training step, and the variables after the last."""
    net, variables = build(trunk, model, dtype, parallel.AXIS)
    tx = optimizer.sgd(1e-3, common.get_config().optimizer)
    options = StepOptions(
        class_weights_C=cases.CLASS_WEIGHTS,
        ccc_variance="unbiased",
        augmentation=Augmentation(flip_probability=0.0, rotation_degrees=0.0),
    )
    devices = jax.local_devices()[:1]
    step = parallel.pmap_step(train_step, devices, donate=True, model=net, tx=tx, options=options)
    state = parallel.replicate(create_state(variables, tx), devices)
    losses = []
    for batch in parallel.prefetch(cases.batches(trunk), devices):
        state, scalars = step(state, batch)
        losses.append(scalars["loss"])
    return np.ravel(losses), parallel.unreplicate(state).evaluated_variables()


def first_loss(trunk, model):
    """The loss of the first batch, in float32."""
    net, variables = build(trunk, model)
    batch = next(cases.batches(trunk))
    outputs, _ = _forward(net, variables, cases.normalised(batch["image"]), True)
    loss = our_losses.expression_loss(
        outputs.logits_BxC, batch["expression"], jnp.asarray(cases.CLASS_WEIGHTS, jnp.float32)
    )
    if outputs.affect_Bx2 is not None:
        loss += our_losses.affect_loss(batch["valence"], batch["arousal"], outputs.affect_Bx2, "unbiased")
    return np.ravel(loss)


def main(output, *options):
    """Answers all cases."""
    found = {}
    for case in cases.CASES:
        found |= answers(*case, more="--all" in options)
    np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
