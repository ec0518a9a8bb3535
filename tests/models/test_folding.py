"""A folded model answers as the model that it was folded from, with fewer parts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.models import emotion_net, folding
from emotion_gcn_jax.models.heads import GraphHead
from emotion_gcn_jax.models.resnet import ResNet
from tests.models.running import create, random_variables, run_once

# By trunk the norms that a convolution takes in, and some of those that stay.
NORMS = {
    "densenet_tiny": ({"norm2", "stem_norm"}, {"norm1", "final_norm"}),
    "bregnext_tiny": ({"norm2"}, {"norm1", "final_norm"}),
    "resnet_tiny": ({"stem_norm", "norm1", "norm2", "shortcut_norm"}, set()),
    "bottleneck": ({"stem_norm", "norm1", "norm2", "norm3", "shortcut_norm"}, set()),
}
PRESETS = ("single_task", "multi_task", "emotion_gcn", "emotion_gcn_au")
CASES = [
    *(("densenet_tiny", model) for model in PRESETS),  # the heads fold alike on any trunk
    ("resnet_tiny", "mt_arcres"),
    *((trunk, model) for trunk in ("bregnext_tiny", "resnet_tiny") for model in ("single_task", "emotion_gcn")),
    ("bottleneck", "multi_task"),
]


@pytest.fixture(autouse=True)
def bottleneck(monkeypatch):
    """A small relative of ResNet-50, whose kind of block no small trunk of the package has."""
    monkeypatch.setitem(
        emotion_net.TRUNKS, "bottleneck", lambda **options: ResNet((1, 1), bottleneck=True, stem_width=4, **options)
    )


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(3, 32, 32, 3)).astype(np.float32)


def variables_of(net, images):
    return {"batch_stats": {}, "constants": {}, **random_variables(net, images)}


def names_in(variables):
    """Every name on the way to an array."""
    return {entry.key for path, _ in jax.tree_util.tree_leaves_with_path(variables) for entry in path}


def assert_alike(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-4 * np.abs(array).max())


@pytest.mark.parametrize(("trunk", "model"), CASES)
def test_a_folded_model_has_the_same_outputs_without_graph_and_inner_norms(trunk, model, images):
    net = create(trunk, model, word_vector_width=5)
    variables = variables_of(net, images)
    folded, folded_variables = folding.fold(net, variables)
    assert_alike(run_once(folded.apply, folded_variables, images), run_once(net.apply, variables, images))

    gone, kept = NORMS[trunk]
    names = names_in(folded_variables)
    assert not (gone | {"gcn", "adjacency"}) & names and kept <= names
    assert gone <= names_in(variables)
    fresh = jax.eval_shape(folded.init, jax.random.key(0), images)  # exactly what the folded model asks for
    assert jax.tree.map(jnp.shape, fresh["params"]) == jax.tree.map(jnp.shape, folded_variables["params"])


class Plain(nn.Module):
    """A trunk that says nothing of itself: no norms to fold, no activation."""

    remat: bool
    axis_name: str | None
    dtype: type
    param_dtype: type

    @nn.compact
    def __call__(self, images_BxHxWxC, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Conv(4, (3, 3))(images_BxHxWxC))
        return nn.tanh(x)


@pytest.mark.parametrize("trunk", ["vgg16", "plain"])
def test_a_trunk_without_folds_folds_its_graph_only(trunk, images, monkeypatch):
    monkeypatch.setitem(emotion_net.TRUNKS, "plain", Plain)
    net = create(trunk, "emotion_gcn", word_vector_width=5)
    assert isinstance(net.head, GraphHead)
    variables = variables_of(net, images)
    folded, folded_variables = folding.fold(net, variables)
    assert folded.trunk == net.trunk
    assert folded_variables["params"]["trunk"] is variables["params"]["trunk"]
    assert set(folded_variables["params"]["head"]) == {"expression", "affect"}
    assert folded_variables["batch_stats"].get("trunk", {}) == variables["batch_stats"].get("trunk", {})
    assert_alike(run_once(folded.apply, folded_variables, images), run_once(net.apply, variables, images))


@pytest.mark.parametrize(
    ("trunk", "times"),
    [("densenet_tiny", 1.5), ("bregnext_tiny", 1.5), ("resnet_tiny", 2.5)],  # of a ResNet every norm is folded
)
def test_folding_in_bfloat16_is_as_near_to_float32_as_not_folding(trunk, times):
    """bfloat16 has 8 bits: two ways to round differ by far more than 1e-4, so both are held against float32."""
    images = np.random.default_rng(1).normal(size=(16, 32, 32, 3)).astype(np.float32)
    exact_net = create(trunk, "emotion_gcn", word_vector_width=5)
    net = create(trunk, "emotion_gcn", word_vector_width=5, dtype="bfloat16")
    variables = variables_of(net, images)
    exact, plain, folded = (
        jax.jit(model.apply)(tree, images)["expression"]
        for model, tree in ((exact_net, variables), (net, variables), folding.fold(net, variables))
    )
    assert folded.dtype == jnp.float32

    def error(found):
        return np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))

    assert error(folded) < max(times * error(plain), 1e-3)
    assert error(folded) < 0.03


@pytest.mark.parametrize("trunk", ["densenet_tiny", "bregnext_tiny", "resnet_tiny"])
def test_a_folded_model_refuses_to_train(trunk, images):
    net = create(trunk, "single_task")
    folded, variables = folding.fold(net, variables_of(net, images))
    with pytest.raises(ValueError, match="A folded model is for inference only"):
        folded.apply(variables, images, train=True, mutable=["batch_stats"])
