"""Losses and optimisers against torch itself, in float64; collected where there is torch (conftest.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from configs import common
from emotion_gcn_jax.models.heads import LinearHead
from emotion_gcn_jax.tasks import losses
from emotion_gcn_jax.training import optimizer

RNG = np.random.default_rng(0)
LOGITS, WEIGHTS = RNG.normal(size=(6, 7)), RNG.uniform(0.1, 2, 7)
LABELS, SHARES = np.array([0, 3, 3, 6, 1, 0]), RNG.dirichlet(np.ones(7), 6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("weights", [np.ones(7), WEIGHTS], ids=["plain", "weighted"])
def test_smoothed_cross_entropy(x64, weights, smoothing):
    criterion = torch.nn.CrossEntropyLoss(torch.tensor(weights), label_smoothing=smoothing)
    expected = criterion(torch.tensor(LOGITS), torch.tensor(LABELS)).item()
    found = losses.soft_cross_entropy(jnp.array(LOGITS), jnp.eye(7)[LABELS], jnp.array(weights), smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_shares(x64, smoothing):
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    expected = criterion(torch.tensor(LOGITS), torch.tensor(SHARES)).item()
    found = losses.soft_cross_entropy(jnp.array(LOGITS), jnp.array(SHARES), jnp.ones(7), smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_binary_cross_entropy_of_probabilities(x64):
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(WEIGHTS))(torch.tensor(LOGITS), torch.tensor(SHARES))
    found = losses.binary_cross_entropy(jnp.array(LOGITS), jnp.array(SHARES), jnp.array(WEIGHTS))
    np.testing.assert_allclose(found, expected.item(), rtol=1e-12)


@pytest.mark.parametrize(("scale", "margin"), [(10.0, 0.3), (64.0, 0.5)])
@pytest.mark.parametrize("variant", ["fallback", "easy"])
def test_arcface(x64, variant, scale, margin):
    """Loss and gradients of features and weights; some angles are beyond pi - margin."""
    features, weights = RNG.normal(size=(6, 3)), RNG.normal(size=(3, 7))
    features[0] = -weights[:, LABELS[0]] + 0.1 * RNG.normal(size=3)
    e, w = (torch.tensor(array, requires_grad=True) for array in (features, weights))
    cosines = torch.nn.functional.normalize(e) @ torch.nn.functional.normalize(w, dim=0)
    larger = torch.cos(torch.arccos(cosines) + margin)
    if variant == "fallback":
        larger = torch.where(cosines > np.cos(np.pi - margin), larger, cosines - margin * np.sin(margin))
    else:
        larger = torch.where(cosines > 0, larger, cosines)
    is_true = torch.nn.functional.one_hot(torch.tensor(LABELS), 7).bool()
    assert cosines[0, LABELS[0]].item() < np.cos(np.pi - margin) and (cosines[is_true] > 0).any()
    criterion = torch.nn.CrossEntropyLoss(torch.tensor(WEIGHTS))
    expected = criterion(scale * torch.where(is_true, larger, cosines), torch.tensor(LABELS))
    expected.backward()

    head = LinearHead((("expression", 7),), cosines=("expression",), param_dtype=jnp.float64)

    def loss(features, kernel):
        outputs = head.apply({"params": {"expression": {"kernel": kernel}}}, features)["expression"]
        shares, weights = jax.nn.one_hot(jnp.array(LABELS), 7), jnp.array(WEIGHTS)
        return losses.arcface(outputs, shares, weights, scale=scale, margin=margin, variant=variant)

    found, gradients = jax.value_and_grad(loss, argnums=(0, 1))(jnp.array(features), jnp.array(weights))
    np.testing.assert_allclose(found, expected.item(), rtol=1e-10)
    for ours, theirs in zip(gradients, (e, w), strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("only_kernels", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(x64, nesterov, only_kernels):
    config = common.get_config().optimizer
    config.update(learning_rate=0.1, weight_decay=0.01, nesterov=nesterov, decay_only_kernels=only_kernels)
    tx = optimizer.create_optimizer(config, optimizer.create_schedule(config, 100, 1000))
    start = {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)}
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    bias_decay = 0.0 if only_kernels else 0.01
    groups = [{"params": [theirs["kernel"]]}, {"params": [theirs["bias"]], "weight_decay": bias_decay}]
    sgd = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
    ours = {name: jnp.array(array) for name, array in start.items()}
    state = tx.init(ours)
    for _ in range(5):
        gradients = {name: RNG.normal(size=array.shape) for name, array in start.items()}
        for name, array in gradients.items():
            theirs[name].grad = torch.tensor(array)
        sgd.step()
        updates, state = tx.update({name: jnp.array(array) for name, array in gradients.items()}, state, ours)
        ours = optax.apply_updates(ours, updates)
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name].detach().numpy(), rtol=1e-12)
