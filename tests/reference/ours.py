"""Our answers to the cases. A program, since float64 must be switched on before JAX starts:

JAX_ENABLE_X64=1 python -m tests.reference.ours OUTPUT.npz [--all]

With --all it answers after folding too, and trains in float32 to see how far rounding carries the losses.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from configs import common
from emotion_gcn_jax import parallel, presets
from emotion_gcn_jax.conversion import names
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.models import emotion_net, folding
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import optimizer
from emotion_gcn_jax.training.step import StepOptions, create_state, train_step
from tests.reference import cases

TRUNKS = {"densenet": "densenet121", "bregnext": "bregnext50"}
COLLECTIONS = {"params": "parameters", "batch_stats": "statistics"}
OUTPUTS = {"expression": "logits", "affect": "affect"}  # the tasks' outputs, as the cases name them


def answers(trunk, model, *, more=False):
    """All that is compared of one model."""
    found = {}
    for side in cases.SIDES[trunk]:
        outputs, blocks = infer(trunk, model, side)
        found |= {f"outputs at {side}/{name}": array for name, array in outputs.items()}
        found |= {f"blocks at {side}/{name}": array for name, array in blocks.items()}
    if model == "emotion_gcn":
        net, variables = build(trunk, model)
        graph = variables["constants"]["head"]
        found["graph/w"] = net.head.node_weights(variables["params"]["head"]["gcn"], graph)
        found["graph/adjacency"] = graph["adjacency"]
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


def tasks_of(model):
    """The model's tasks, with the official losses."""
    fields = {name: dict(presets.TASKS[name]) for name in presets.preset(model).tasks}
    fields["expression"]["class_weights"] = ",".join(map(str, cases.CLASS_WEIGHTS))
    if "affect" in fields:
        fields["affect"]["ccc_variance"] = "unbiased"
    return registry.from_config(fields)


def build(trunk, model, dtype="float32", axis_name=None):
    """A model of ours, and its variables with the case's parameters."""
    tasks, ours = tasks_of(model), TRUNKS[trunk]
    net = emotion_net.create_model(
        ours,
        tasks,
        head=presets.preset(model).head,
        readout=presets.readout(ours, model),
        word_vector_width=cases.WORD_WIDTH,
        dtype=dtype,
        axis_name=axis_name,
    )
    official = names.official_tensors(ours, model, word_vector_width=cases.WORD_WIDTH)
    nodes = nodes_of(tasks_of("emotion_gcn"))
    adjacency_9x9 = adjacency.adjacency_from_correlations(adjacency.affectnet_correlations(nodes), nodes)
    variables, _ = names.to_variables(cases.state_dict(trunk, model, adjacency_9x9), official)
    if model == "emotion_gcn":
        variables["constants"]["head"]["word_vectors"] = cases.word_vectors()
    return net, jax.tree.map(lambda array: jnp.asarray(array, net.param_dtype), variables)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _last_map(trunk, variables, images, train):
    """A trunk's last map and all that its modules return; one program for the models that share the trunk."""
    return trunk.apply(variables, images, train, capture_intermediates=True, mutable=["intermediates", "batch_stats"])


def _forward(net, variables, images, train):
    trunk, head = ({name: tree[part] for name, tree in variables.items() if part in tree} for part in ("trunk", "head"))
    last, captured = _last_map(net.trunk, trunk, jnp.asarray(images, jnp.float32), train)
    features = emotion_net.READOUTS[net.readout](last, net.trunk.ACTIVATION)
    return net.head.apply(head, features), captured["intermediates"]


def infer(trunk, model, side, *, folded=False):
    """What a model says of the images, and every block's output by its name."""
    net, variables = build(trunk, model)
    if folded:
        net, variables = folding.fold(net, variables)
    outputs, captured = _forward(net, variables, cases.normalised(cases.images(side)), False)
    found = {OUTPUTS[task]: array for task, array in outputs.items()}
    blocks = {name: modules["__call__"][0] for name, modules in captured.items() if name != "__call__"}
    # The reference names a transition as a whole; our norm before it is a part of that.
    return found, {name: array for name, array in blocks.items() if not (name.startswith("tr") and "norm" in name)}


def train(trunk, model, dtype="float64"):
    """The loss of every step of the real training step, and the variables after the last.

    Compiling the step is most of the work, so single_task trains in multi_task's program: without a label of valence
    or arousal, whose loss and gradients are then exactly zero.
    """
    program = "multi_task" if model == "single_task" else model
    _, variables = build(trunk, model, dtype)
    if program != model:
        every = traverse_util.flatten_dict(build(trunk, program, dtype)[1])
        variables = traverse_util.unflatten_dict(every | traverse_util.flatten_dict(variables))
    tx, devices, step = _training(trunk, program, dtype)
    state = parallel.replicate(create_state({"constants": {}, **variables}, tx), devices)
    losses = []
    for batch in parallel.prefetch(batches(trunk, with_affect=model != "single_task"), devices):
        state, scalars = step(state, batch)
        losses.append(scalars["loss"])
    return np.ravel(losses), parallel.unreplicate(state).evaluated_variables()


@functools.cache
def _training(trunk, model, dtype):
    """The optimiser, the one device and the step on it."""
    net, _ = build(trunk, model, dtype, parallel.AXIS)
    tx = optimizer.sgd(1e-3, common.get_config().optimizer)
    off = Augmentation(flip_probability=0.0, rotation_degrees=0.0)
    options = StepOptions(tasks_of(model), Input(cases.TRAINING_SIDES[trunk]), off)
    devices = jax.local_devices()[:1]
    return tx, devices, parallel.pmap_step(train_step, devices, donate=True, model=net, tx=tx, options=options)


def first_loss(trunk, model):
    """The loss of the first batch, in float32."""
    net, variables = build(trunk, model)
    batch = next(batches(trunk))
    outputs, _ = _forward(net, variables, cases.normalised(batch["image"]), True)
    return np.ravel(sum(task.weight * task.loss(outputs[task.name], batch[task.name]) for task in tasks_of(model)))


def batches(trunk, *, with_affect=True):
    """The training batches, with the labels of every task; of valence and arousal only if they are asked for."""
    for batch in cases.batches(trunk):
        affect = np.stack([batch["valence"], batch["arousal"]], axis=1)
        if not with_affect:
            affect[:] = np.nan
        yield {"image": batch["image"], "expression": batch["expression"], "affect": affect}


def main(output, *options):
    """Answers all cases."""
    found = {}
    for case in cases.CASES:
        found |= answers(*case, more="--all" in options)
    np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
