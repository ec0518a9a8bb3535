"""ResNet and VGG against the PyTorch reference: fresh answers on Python 3.11, which has torch; digests elsewhere."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from emotion_gcn_jax.models.resnet import ResNet
from emotion_gcn_jax.models.vgg import VGG
from tests.models.running import run_once
from tests.reference import cases, trunk_cases

WITH_TORCH = sys.version_info[:2] == (3, 11)  # see the extra `test` in pyproject.toml
needs_torch = pytest.mark.skipif(not WITH_TORCH, reason="torch is installed for Python 3.11 only")

FLOAT64 = {"dtype": jnp.float64, "param_dtype": jnp.float64}
TRUNKS = {
    "resnet18": ResNet((2, 2, 2, 2), bottleneck=False, **FLOAT64),
    "resnet34": ResNet((3, 4, 6, 3), bottleneck=False, **FLOAT64),
    "resnet50": ResNet((3, 4, 6, 3), bottleneck=True, **FLOAT64),
    "vgg16": VGG(**FLOAT64),
    "small_basic": ResNet((1, 2), bottleneck=False, stem_width=8, **FLOAT64),
    "small_bottleneck": ResNet((1, 2), bottleneck=True, stem_width=8, **FLOAT64),
    "small_vgg": VGG(((2, 8), (1, 12)), **FLOAT64),
    "small_vggface2": ResNet((1, 1), stride_on="1x1", stem_pool="ceil", stem_width=8, **FLOAT64),
    "small_slim": ResNet((2, 1), stride_on="last_unit", stem_pool="same", stem_width=8, **FLOAT64),
    "small_vgg_same": VGG(((2, 8), (1, 12)), pool="same", **FLOAT64),
}
GROUPS = [
    f"{case}/{kind}"
    for case, (*_, trains) in trunk_cases.CASES.items()
    for kind in ("map", "gradients", "statistics")
    if kind == "map" or (trains and (kind != "statistics" or case not in ("small_vgg", "small_vgg_same")))  # no norms
]

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def layout(case):
    """(torch's tensor name, our path, our shape) of every tensor of a trunk, in the order of its torch_names."""
    images = jax.ShapeDtypeStruct(trunk_cases.images(case).shape, jnp.float64)
    with jax.enable_x64(True):
        variables = jax.eval_shape(lambda images: TRUNKS[case].init(jax.random.key(0), images, False), images)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables).items()}
    found = []
    for theirs, ours in TRUNKS[case].torch_names():
        for leaf, name in LEAVES.items():
            path = ("batch_stats" if leaf in ("mean", "var") else "params", *ours.split("/"), leaf)
            if path in shapes:
                found.append((f"{theirs}.{name}", path, shapes.pop(path)))
    assert not shapes, f"torch_names lacks {sorted(shapes)}"
    return found


def torch_shape(shape):
    """The shape in torch of one of our arrays: a kernel's channels come first, and a 1x1 kernel has four axes."""
    return shape if len(shape) == 1 else (*shape[::-1][:2], *(shape[:2] if len(shape) == 4 else (1, 1)))


def from_torch(tensor, shape):
    return (tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor).reshape(shape)


def to_torch(array):
    return np.asarray(array.T if array.ndim < 4 else array.transpose(3, 2, 0, 1)).reshape(torch_shape(array.shape))


@functools.cache
def our_answers(case):
    """Our side of trunk_cases' answers, under torch's names and in its layout."""
    trunk, tensors, trains = TRUNKS[case], layout(case), trunk_cases.CASES[case][3]
    with jax.enable_x64(True):
        images = jnp.asarray(trunk_cases.images(case))
        variables = traverse_util.unflatten_dict(
            {path: from_torch(trunk_cases.tensor(name, torch_shape(shape)), shape) for name, path, shape in tensors}
        )
        last = run_once(lambda variables: trunk.apply(variables, images, False), variables)
        found = {"map/last": np.asarray(last)}
        if trains:
            weights = trunk_cases.loss_weights(last.shape)

            def loss(params):
                last, updated = trunk.apply({**variables, "params": params}, images, True, mutable=["batch_stats"])
                return (last * weights).sum(), updated

            gradients, updated = run_once(jax.grad(loss, has_aux=True), variables["params"])
            arrays = traverse_util.flatten_dict({"params": gradients, **updated})
            kinds = {"params": "gradients", "batch_stats": "statistics"}
            found |= {f"{kinds[path[0]]}/{name}": to_torch(arrays[path]) for name, path, _ in tensors}
    return {f"{case}/{key}": array for key, array in found.items()}


@functools.cache
def their_answers(case):
    import torch

    from tests.reference import torch_trunks

    torch.set_num_threads(1)
    return torch_trunks.answers(case)


def of_group(answers, group):
    return {key: array for key, array in answers.items() if key.startswith(f"{group}/")}


@pytest.mark.parametrize("group", GROUPS)
def test_we_answer_as_the_reference(group):
    found = of_group(our_answers(group.split("/")[0]), group)
    assert {array.dtype for array in found.values()} == {np.dtype(np.float64)}
    if not WITH_TORCH:
        with np.load(trunk_cases.GOLDENS) as goldens:
            assert cases.digest_difference(cases.digests(found)[group], goldens[group]) < trunk_cases.TOLERANCE
        return
    expected = of_group(their_answers(group.split("/")[0]), group)
    assert expected and found.keys() == expected.keys()
    differences = {key: cases.difference(found[key], expected[key]) for key in expected}
    worst = max(differences, key=differences.get)
    assert differences[worst] < trunk_cases.TOLERANCE, f"{worst} differs by {differences[worst]:.1e}"


def test_the_goldens_have_every_group_and_no_other():
    with np.load(trunk_cases.GOLDENS) as goldens:
        assert set(goldens) == set(GROUPS)


@needs_torch
@pytest.mark.parametrize("group", GROUPS)
def test_the_golden_digests_are_those_of_the_reference(group):
    digests = cases.digests(of_group(their_answers(group.split("/")[0]), group))
    with np.load(trunk_cases.GOLDENS) as goldens:
        assert cases.digest_difference(digests[group], goldens[group]) < trunk_cases.TOLERANCE


@needs_torch
@pytest.mark.parametrize("case", trunk_cases.CASES)
def test_torch_names_have_the_order_and_shapes_of_the_reference(case):
    from tests.reference import torch_trunks

    assert [(name, torch_shape(shape)) for name, _, shape in layout(case)] == torch_trunks.state_dict(case)
