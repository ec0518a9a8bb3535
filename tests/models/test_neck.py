"""What stands between readout and head, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.models import layers
from emotion_gcn_jax.models.neck import Neck

FEATURES = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


def test_hidden_layers_then_an_embedding():
    neck = Neck(hidden=(4, 5), embedding=2)
    variables = neck.init(jax.random.key(0), FEATURES, False)
    shapes = {name: {leaf: array.shape for leaf, array in layer.items()} for name, layer in variables["params"].items()}
    assert shapes == {
        "hidden1": {"kernel": (3, 4), "bias": (4,)},
        "hidden2": {"kernel": (4, 5), "bias": (5,)},
        "embedding": {"kernel": (5, 2), "bias": (2,)},
        "norm": {"bias": (2,)},  # its factors are fixed
    }
    params = jax.tree.map(lambda array: array + 0.1, variables["params"])
    found, updated = neck.apply({**variables, "params": params}, FEATURES, True, mutable=["batch_stats"])
    x = FEATURES
    for name in ("hidden1", "hidden2"):
        x = np.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
    x = x @ params["embedding"]["kernel"] + params["embedding"]["bias"]
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) + 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    # A tenth of the batch's moments beside nine of the initial 0 and 1; the variance is the unbiased one.
    statistics = updated["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * x.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * x.var(0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize("hidden", [(), (200,)])
def test_dropout_is_in_training_alone(hidden):
    neck = Neck(hidden=hidden, dropout=0.25)
    features = jnp.ones((20, 200))
    variables = neck.init(jax.random.key(0), features, False)
    variables = jax.tree.map(lambda array: jnp.full_like(array, 1e-3), variables)  # a hidden layer makes 0.201
    kept = 0.201 if hidden else 1.0
    np.testing.assert_allclose(neck.apply(variables, features, False), kept, rtol=1e-5)
    made = neck.apply(variables, features, True, rngs={layers.EXAMPLES: jax.random.key(1)})
    np.testing.assert_allclose(np.unique(made.round(5)), [0, kept / 0.75], atol=1e-5)
    # 4,000 draws at 0.25: a standard deviation of 0.007.
    assert 0.22 < np.mean(made == 0) < 0.28


def test_the_norm_s_moments_are_those_of_the_global_batch():
    neck = Neck(embedding=2, axis_name="batch")
    variables = Neck(embedding=2).init(jax.random.key(0), FEATURES, False)

    def apply(module, features):
        return module.apply(variables, features, True, mutable=["batch_stats"])

    whole, statistics = apply(Neck(embedding=2), FEATURES)
    spread, of_each = jax.vmap(lambda x: apply(neck, x), axis_name="batch")(FEATURES.reshape(2, 4, 3))
    np.testing.assert_allclose(spread.reshape(8, 2), whole, rtol=1e-5, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, np.stack([b, b]), rtol=1e-5, atol=1e-7), of_each, statistics
    )
