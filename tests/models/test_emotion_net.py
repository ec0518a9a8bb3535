import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph import adjacency, word_vectors
from emotion_gcn_jax.models import emotion_net


def create(model, *, trunk="densenet_tiny", width=100, **options):
    net = emotion_net.create_model(trunk, model, word_vector_width=width, **options)
    graph = {}
    if model == "emotion_gcn":
        graph["adjacency_9x9"] = adjacency.adjacency_from_correlations(adjacency.affectnet_correlations())
        graph["word_vectors_9xF"] = np.random.default_rng(0).normal(size=(9, width)).astype(np.float32)
    return net, graph


@pytest.mark.parametrize(
    ("trunk", "model", "width", "count"),
    [
        # Emotion-GCN spec, section 1; emotion_gcn without the 81 numbers of the frozen adjacency
        ("densenet121", "single_task", 300, 6_961_031),
        ("densenet121", "multi_task", 300, 6_963_081),
        ("densenet121", "emotion_gcn", 300, 7_631_825 - 81),
        ("densenet121", "emotion_gcn", 100, 7_529_344),
        ("bregnext50", "single_task", 300, 3_072_567),
        ("bregnext50", "multi_task", 300, 3_072_825),
        ("bregnext50", "emotion_gcn", 300, 3_291_784 - 81 - 903),  # 903: an official layer that nothing uses
        ("bregnext50", "emotion_gcn", 100, 3_188_400),
    ],
)
def test_parameter_counts_are_the_published_ones(trunk, model, width, count):
    net, _ = create(model, trunk=trunk, width=width)
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3))))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


def test_graph_head_applies_w_of_the_constants_to_the_features():
    net, graph = create("emotion_gcn")
    variables = emotion_net.init_variables(net, 0, 32, **graph)
    images = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))
    logits, affect = net.apply(variables, images)
    features = np.asarray(net.apply(variables, images, method=lambda net, images: net.trunk(images, False)))

    layers = {name: np.asarray(value) for name, value in variables["params"]["head"]["gcn"].items()}
    propagation = graph["adjacency_9x9"].T
    hidden = propagation @ graph["word_vectors_9xF"] @ layers["layer1"]
    w = propagation @ np.where(hidden > 0, hidden, 0.2 * hidden) @ layers["layer2"]
    np.testing.assert_allclose(logits, features @ w[:7].T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(affect, features @ w[7:].T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(emotion_net.node_weights(net, variables), w, rtol=1e-4, atol=1e-6)
    assert "graph" not in variables["params"]


@pytest.mark.parametrize("num_classes", [7, 8])
@pytest.mark.parametrize("model", ["single_task", "multi_task"])
def test_linear_heads_have_bias_and_as_many_rows_as_classes(model, num_classes):
    net, _ = create(model, num_classes=num_classes)
    variables = emotion_net.init_variables(net, 0, 32)
    logits, affect = net.apply(variables, jnp.ones((2, 32, 32, 3)))
    assert logits.shape == (2, num_classes)
    assert (affect is None) == (model == "single_task")
    head = variables["params"]["head"]["expression"]
    bound = 1 / np.sqrt(head["kernel"].shape[0])
    for values in head.values():
        assert 0 < np.abs(values).max() <= bound


def test_only_emotion_gcn_reads_densenets_maximum():
    readouts = {name: create(name)[0].trunk.readout for name in emotion_net.MODELS}
    assert readouts == {"single_task": "relu_average", "multi_task": "relu_average", "emotion_gcn": "max"}


@pytest.mark.parametrize("model", ["single_task", "multi_task", "emotion_gcn"])
def test_every_head_sits_on_bregnext(model):
    net, graph = create(model, trunk="bregnext_tiny")
    variables = emotion_net.init_variables(net, 0, 16, **graph)
    logits, affect = jax.jit(net.apply)(variables, jnp.ones((2, 16, 16, 3)))
    assert logits.shape == (2, 7)
    assert np.isfinite(logits).all()
    assert (affect is None) == (model == "single_task")


def test_bfloat16_trunk_keeps_float32_parameters_and_outputs():
    net, graph = create("emotion_gcn", dtype="bfloat16")
    variables = emotion_net.init_variables(net, 0, 32, **graph)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    outputs = net.apply(variables, jnp.ones((2, 32, 32, 3)))
    assert outputs.logits_BxC.dtype == outputs.affect_Bx2.dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet50", "emotion_gcn"), "trunk 'resnet50': choose one of densenet121, bregnext50"),
        (("densenet121", "gcn"), "model 'gcn': choose one of single_task, multi_task, emotion_gcn"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(arguments, message):
    with pytest.raises(UserError, match=message):
        emotion_net.create_model(*arguments)


def test_the_graph_has_seven_expressions():
    with pytest.raises(UserError, match="7 expression nodes, found num_classes=8"):
        emotion_net.create_model("densenet_tiny", "emotion_gcn", num_classes=8)
    with pytest.raises(UserError, match="dtype 'float8': choose one of float32, bfloat16, float64"):
        emotion_net.create_model("densenet_tiny", "multi_task", dtype="float8")


def test_embedded_word_vectors_fit_the_default_width():
    assert word_vectors.load_word_vectors().shape == (9, 100)
