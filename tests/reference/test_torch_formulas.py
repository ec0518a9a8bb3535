"""Losses, recurrent layers and optimisers against torch itself, in float64; collected where there is torch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from configs import common
from emotion_gcn_jax.models.heads import LinearHead
from emotion_gcn_jax.models.recurrent import Recurrent
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
    found = losses.binary_cross_entropy(
        jnp.array(LOGITS), jnp.array(SHARES), jnp.array([np.ones_like(WEIGHTS), WEIGHTS])
    )
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


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gated_recurrent_units(x64, bidirectional):
    """Two layers over two clips, outputs and all gradients. torch's second bias of r and z adds nothing: it is 0."""
    gru = torch.nn.GRU(5, 3, 2, batch_first=True, bidirectional=bidirectional, dtype=torch.float64)
    parameters = dict(gru.named_parameters())
    with torch.no_grad():
        for name in filter(lambda name: name.startswith("bias_hh"), parameters):
            parameters[name][:6] = 0
    x_BxTxD, weights = RNG.normal(size=(2, 4, 5)), RNG.normal(size=(2, 4, 6 if bidirectional else 3))
    x = torch.tensor(x_BxTxD, requires_grad=True)
    expected = gru(x)[0]
    (expected * torch.tensor(weights)).sum().backward()

    def ours(of):
        """Their parameters, or what belongs to each of them, under our names."""
        layers = {}
        for layer in range(2):
            for name, suffix in (("layer", ""), ("backward", "_reverse"))[: bidirectional + 1]:
                ih, hh, b_ih, b_hh = (
                    np.split(of(parameters[f"{kind}_l{layer}{suffix}"]), 3)
                    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
                gates = {f"i{gate}": {"kernel": ih[k].T, "bias": b_ih[k]} for k, gate in enumerate("rzn")}
                gates |= {f"h{gate}": {"kernel": hh[k].T} for k, gate in enumerate("rzn")}
                gates["hn"]["bias"] = b_hh[2]
                layers[f"{name}{layer + 1}"] = gates
        return layers

    net = Recurrent((3, 3), bidirectional=bidirectional, param_dtype=jnp.float64)

    def total(params, x_FxD):
        found_FxW = net.apply({"params": params}, x_FxD, 4)
        return (found_FxW * weights.reshape(8, -1)).sum(), found_FxW

    params = ours(lambda parameter: parameter.detach().numpy())
    step = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
    (_, found), gradients = step(params, jnp.array(x_BxTxD.reshape(8, 5)))
    np.testing.assert_allclose(found, expected.detach().numpy().reshape(8, -1), rtol=0, atol=1e-10)
    theirs = ours(lambda parameter: parameter.grad.numpy()), x.grad.numpy().reshape(8, 5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10), gradients, theirs)


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
