import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.models import emotion_net, folding

SIX = [(trunk, model) for trunk in ("densenet_tiny", "bregnext_tiny") for model in emotion_net.MODELS]


def random_variables(net):
    """Parameters, statistics and constants far from their initial values; nothing is compiled for them."""
    shapes = jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    rng = np.random.default_rng(0)

    def draw(path, shape):
        about = 1.0 if path[-1].key in ("var", "scale", "a") else 0.0
        return (about + rng.uniform(-0.5, 0.5, shape.shape)).astype(shape.dtype)

    return {"graph": {}, **jax.tree_util.tree_map_with_path(draw, shapes)}


def outputs(net, variables, images):
    return [array for array in jax.jit(net.apply)(variables, images) if array is not None]


@pytest.mark.parametrize(("trunk", "model"), SIX)
def test_a_folded_model_has_the_same_outputs_without_graph_and_inner_norms(trunk, model):
    net = emotion_net.create_model(trunk, model, word_vector_width=5)
    variables = random_variables(net)
    images = np.random.default_rng(1).normal(size=(3, 32, 32, 3)).astype(np.float32)
    folded, folded_variables = folding.fold(net, variables)
    for found, expected in zip(outputs(folded, folded_variables, images), outputs(net, variables, images), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())

    names = {entry.key for path, _ in jax.tree_util.tree_leaves_with_path(folded_variables) for entry in path}
    assert not {"norm2", "stem_norm", "gcn", "adjacency"} & names
    assert {"norm1", "final_norm"} <= names
    fresh = jax.eval_shape(folded.init, jax.random.key(0), images)  # exactly what the folded model asks for
    assert jax.tree.structure(fresh["params"]) == jax.tree.structure(folded_variables["params"])


@pytest.mark.parametrize("trunk", ["densenet_tiny", "bregnext_tiny"])
def test_folding_in_bfloat16_is_as_near_to_float32_as_not_folding(trunk):
    """bfloat16 has 8 bits: two ways to round differ by far more than 1e-4, so both are held against float32."""
    images = np.random.default_rng(1).normal(size=(16, 32, 32, 3)).astype(np.float32)
    exact_net = emotion_net.create_model(trunk, "emotion_gcn", word_vector_width=5)
    net = emotion_net.create_model(trunk, "emotion_gcn", word_vector_width=5, dtype="bfloat16")
    variables = random_variables(net)
    exact = outputs(exact_net, variables, images)[0]
    plain = outputs(net, variables, images)[0]
    folded = outputs(*folding.fold(net, variables), images)[0]
    assert folded.dtype == jnp.float32

    def error(found):
        return np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))

    assert error(folded) < max(1.5 * error(plain), 1e-3)
    assert error(folded) < 0.03


@pytest.mark.parametrize("trunk", ["densenet_tiny", "bregnext_tiny"])
def test_a_folded_model_refuses_to_train(trunk):
    net = emotion_net.create_model(trunk, "single_task")
    folded, variables = folding.fold(net, random_variables(net))
    with pytest.raises(ValueError, match="A folded model is for inference only"):
        folded.apply(variables, jnp.zeros((1, 32, 32, 3)), train=True, mutable=["batch_stats"])
