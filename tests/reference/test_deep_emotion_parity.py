"""Deep-Emotion against the PyTorch reference: fresh answers on Python 3.11, which has torch; digests elsewhere."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from emotion_gcn_jax import parallel
from emotion_gcn_jax.conversion import names
from emotion_gcn_jax.data.augmentation import Augmentation
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.models import spatial_transformer
from emotion_gcn_jax.training import optimizer
from emotion_gcn_jax.training.step import StepOptions, create_state, train_step
from tests.models.running import create, run_once, tasks_of
from tests.reference import cases, deep_emotion_cases
from tests.training.stepping import quick_float64

WITH_TORCH = sys.version_info[:2] == (3, 11)  # see the extra `test` in pyproject.toml
needs_torch = pytest.mark.skipif(not WITH_TORCH, reason="torch is installed for Python 3.11 only")


def network_answers(case):
    net = create(case, "single_task", dtype="float64", axis_name=parallel.AXIS)
    official = names.official_tensors(case, "single_task")
    tensors = {tensor.name: deep_emotion_cases.tensor(tensor.name, tensor.shape) for tensor in official}
    variables, _ = names.to_variables(tensors, official)
    images = jnp.asarray(deep_emotion_cases.normalised(deep_emotion_cases.images(3)))
    found = {"outputs/logits": run_once(net.apply, variables, images)["expression"]}
    if deep_emotion_cases.NETWORKS[case][2]:
        found["losses/losses"], params = train(net, variables)
        trained = names.to_state_dict({"params": params}, {}, official)
        found |= {f"parameters/{name}": array for name, array in trained.items()}
    return found


def train(net, variables):
    """The losses of the real training step, and the parameters after the last; dropout is off."""
    config = common.get_config().optimizer
    config.update(name="adamw", weight_decay=0.0)
    tx = optimizer.create_optimizer(config, lambda step: deep_emotion_cases.RATE)
    l2 = (("trunk/fc", deep_emotion_cases.L2), ("head", deep_emotion_cases.L2))
    off = Augmentation(flip_probability=0.0, rotation_degrees=0.0)
    options = StepOptions(tasks_of("single_task"), Input(48, 1, mean=(0.5,), deviation=(0.5,)), off, l2=l2)
    devices = jax.local_devices()[:2]
    net = net.clone(trunk=net.trunk.clone(dropout=0.0))
    step = parallel.pmap_step(train_step, devices, model=net, tx=tx, options=options)
    state, losses = parallel.replicate(create_state(variables, tx), devices), []
    for images, classes in deep_emotion_cases.batches():
        state, scalars = step(state, parallel.spread({"image": images, "expression": classes}, 2))
        losses.append(scalars["loss"][0])
    return np.array(losses), parallel.unreplicate(state).params


def transformer_answers(case):
    x, theta, weights = map(jnp.asarray, deep_emotion_cases.transformer_inputs())
    warp = functools.partial(spatial_transformer.warp, align_corners=deep_emotion_cases.TRANSFORMERS[case])
    result, pull_back = jax.vjp(warp, x, theta)
    of_map, of_theta = pull_back(weights)
    return {"values/result": result, "gradients/map": of_map, "gradients/theta": of_theta}


@functools.cache
def our_answers(case):
    with quick_float64():
        found = network_answers(case) if case in deep_emotion_cases.NETWORKS else transformer_answers(case)
    return {f"{case}/{key}": np.asarray(array) for key, array in found.items()}


@functools.cache
def their_answers(case):
    import torch

    from tests.reference import torch_deep_emotion

    torch.set_num_threads(1)
    return torch_deep_emotion.answers(case)


def of_group(answers, group):
    return {key: array for key, array in answers.items() if key.startswith(f"{group}/")}


@pytest.mark.parametrize("group", deep_emotion_cases.GROUPS)
def test_we_answer_as_the_reference(group):
    case, kind = group.split("/")
    found, tolerance = of_group(our_answers(case), group), deep_emotion_cases.TOLERANCES[kind]
    assert {array.dtype for array in found.values()} == {np.dtype(np.float64)}
    if not WITH_TORCH:
        with np.load(deep_emotion_cases.GOLDENS) as goldens:
            assert cases.digest_difference(cases.digests(found)[group], goldens[group]) < tolerance
        return
    expected = of_group(their_answers(case), group)
    assert expected and found.keys() == expected.keys()
    differences = {key: cases.difference(found[key], expected[key]) for key in expected}
    worst = max(differences, key=differences.get)
    assert differences[worst] < tolerance, f"{worst} differs by {differences[worst]:.1e}"


def test_the_goldens_have_every_group_and_no_other():
    with np.load(deep_emotion_cases.GOLDENS) as goldens:
        assert set(goldens) == set(deep_emotion_cases.GROUPS)


@needs_torch
@pytest.mark.parametrize("group", deep_emotion_cases.GROUPS)
def test_the_golden_digests_are_those_of_the_reference(group):
    case, kind = group.split("/")
    digests = cases.digests(of_group(their_answers(case), group))
    with np.load(deep_emotion_cases.GOLDENS) as goldens:
        assert cases.digest_difference(digests[group], goldens[group]) < deep_emotion_cases.TOLERANCES[kind]


@needs_torch
@pytest.mark.parametrize("case", deep_emotion_cases.NETWORKS)
def test_torch_names_have_the_shapes_of_the_reference(case):
    from tests.reference import torch_deep_emotion

    theirs = {name: tuple(tensor.shape) for name, tensor in torch_deep_emotion.build(case).state_dict().items()}
    assert {tensor.name: tensor.shape for tensor in names.official_tensors(case, "single_task")} == theirs
