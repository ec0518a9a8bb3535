"""Trunk, readout and head as one model: its sizes, its outputs by plain NumPy, and the names of its parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from emotion_gcn_jax import presets
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph import word_vectors
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.heads import LinearHead
from emotion_gcn_jax.models.hearing import Sound
from emotion_gcn_jax.sound.mel import BANDS, STEPS
from emotion_gcn_jax.tasks.classes import Classes
from tests.models.running import create, random_variables, run_once, tasks_of

EIGHT = (*EXPRESSIONS, "Contempt")
LINEAR = ("single_task", "multi_task")
TINY = ("densenet_tiny", "bregnext_tiny", "resnet_tiny")


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
    net = create(trunk, model, word_vector_width=width)
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3))))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


def constants(nodes, width=20):
    """A made-up graph: every row of the adjacency sums to 1."""
    rng = np.random.default_rng(0)
    weights_NxN = rng.uniform(size=(nodes, nodes)).astype(np.float32)
    return {
        "adjacency": weights_NxN / weights_NxN.sum(1, keepdims=True),
        "word_vectors": rng.normal(size=(nodes, width)).astype(np.float32),
    }


# What a graph reads of the trunks' last maps, B x H x W x D.
BY_HAND = {
    "densenet_tiny": lambda last: last.max((1, 2)),
    "bregnext_tiny": lambda last: np.where(last > 0, last, np.expm1(np.minimum(last, 0))).mean((1, 2)),
    "resnet_tiny": lambda last: last.mean((1, 2)),
}


@pytest.mark.parametrize(
    ("trunk", "model", "vocabulary", "nodes", "propagation"),
    [
        ("densenet_tiny", "emotion_gcn", EXPRESSIONS, 7 + 2, "transposed"),
        ("densenet_tiny", "emotion_gcn", EXPRESSIONS, 7 + 2, "row"),
        ("bregnext_tiny", "emotion_gcn", EXPRESSIONS, 7 + 2, "transposed"),
        ("densenet_tiny", "emotion_gcn", EIGHT, 8 + 2, "transposed"),
        ("resnet_tiny", "emotion_gcn", ("Angry", "Happy"), 2 + 2, "row"),
        ("densenet_tiny", "emotion_gcn_au", EXPRESSIONS, 7 + 2 + 12, "transposed"),
    ],
)
def test_a_graph_s_outputs_are_its_node_weights_applied_to_the_features(trunk, model, vocabulary, nodes, propagation):
    net = create(trunk, model, vocabulary=vocabulary, word_vector_width=20, propagation=propagation)
    images = np.random.default_rng(1).normal(size=(4, 32, 32, 3)).astype(np.float32)
    graph = constants(nodes)
    variables = {**random_variables(net, images), "constants": {"head": graph}}
    outputs = run_once(net.apply, variables, images)
    trunk_variables = {name: variables[name]["trunk"] for name in ("params", "batch_stats")}
    last = np.asarray(run_once(lambda v: net.trunk.apply(v, images, False), trunk_variables))
    features = BY_HAND[trunk](last)

    layers = {name: np.asarray(value) for name, value in variables["params"]["head"]["gcn"].items()}
    p = graph["adjacency"].T if propagation == "transposed" else graph["adjacency"]
    hidden = p @ graph["word_vectors"] @ layers["layer1"]
    w = p @ np.where(hidden > 0, hidden, 0.2 * hidden) @ layers["layer2"]
    largest = np.abs(w).max()
    found = net.head.node_weights(variables["params"]["head"]["gcn"], graph)
    np.testing.assert_allclose(found, w, rtol=1e-4, atol=1e-6 * largest)
    tasks = tasks_of(model, vocabulary)
    expected = np.split(features @ w.T, np.cumsum([len(task.outputs) for task in tasks])[:-1], axis=1)
    for task, part in zip(tasks, expected, strict=True):
        np.testing.assert_allclose(outputs[task.name], part, rtol=1e-4, atol=1e-5 * np.abs(features @ w.T).max())


def test_the_graph_s_constants_are_no_parameters():
    net = create("bregnext_tiny", "emotion_gcn", word_vector_width=20)
    graph = constants(9)
    one, same, other = (emotion_net.init_variables(net, seed, 16, constants=graph) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one["constants"], {"head": graph})
    assert set(one["params"]["head"]) == {"gcn"}
    jax.tree.map(np.testing.assert_array_equal, one, same)
    jax.tree.map(np.testing.assert_array_equal, one["constants"], other["constants"])
    assert not np.array_equal(one["params"]["head"]["gcn"]["layer1"], other["params"]["head"]["gcn"]["layer1"])


def test_a_graph_without_constants_is_refused():
    with pytest.raises(ValueError, match="needs its adjacency and word vectors"):
        emotion_net.init_variables(create("bregnext_tiny", "emotion_gcn", word_vector_width=20), 0, 16)


@pytest.mark.parametrize("vocabulary", [EXPRESSIONS, EIGHT, ("Happy", "Sad")])
@pytest.mark.parametrize("model", LINEAR)
def test_linear_heads_have_bias_and_as_many_rows_as_outputs(model, vocabulary):
    head = create("densenet_tiny", model, vocabulary=vocabulary).head
    outputs, variables = run_once(lambda: head.init_with_output(jax.random.key(0), jnp.ones((2, 60))))
    widths = {"expression": len(vocabulary), **({"affect": 2} if model == "multi_task" else {})}
    assert {name: array.shape for name, array in outputs.items()} == {n: (2, width) for n, width in widths.items()}
    for name, layer in variables["params"].items():
        assert {leaf: array.shape for leaf, array in layer.items()} == {
            "kernel": (60, widths[name]),
            "bias": (widths[name],),
        }
        assert all(0 < np.abs(values).max() <= 1 / np.sqrt(60) for values in layer.values())


def test_cosines_are_those_of_features_and_weights():
    head = LinearHead((("expression", 3), ("affect", 2)), cosines=("expression",))
    # e = (3, 4) and 0; W has the rows (1, 0), (0, 2), (-1, 0): Aff-Wild2 spec, section 14.
    features = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    variables = head.init(jax.random.key(0), features)
    assert set(variables["params"]["expression"]) == {"kernel"} and set(variables["params"]["affect"]) == {
        "kernel",
        "bias",
    }
    params = variables["params"] | {"expression": {"kernel": jnp.array([[1.0, 0, -1], [0, 2, 0]])}}

    def cosines(features):
        return head.apply({"params": params}, features)["expression"]

    np.testing.assert_allclose(cosines(features), [[0.6, 0.8, -0.6], [0, 0, 0]], atol=1e-6)
    assert np.isfinite(jax.grad(lambda x: cosines(x).sum())(features)).all()


@pytest.mark.parametrize("label", [0, 1])
def test_features_on_a_weight_have_finite_gradients(label):
    head = LinearHead((("expression", 2),), cosines=("expression",))
    task = Classes(name="expression", vocabulary=("Happy", "Sad"), loss_name="arcface", scale=64.0, margin=0.5)
    kernel = jnp.array([[0.3, -0.3], [0.7, -0.7], [0.1, -0.1]])

    def loss(kernel, features):
        return task.loss(
            head.apply({"params": {"expression": {"kernel": kernel}}}, features)["expression"], jnp.array([label])
        )

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(kernel, 2 * kernel[:, :1].T)
    assert np.isfinite(value) and all(np.isfinite(gradient).all() for gradient in gradients)


def test_a_graph_makes_no_cosines():
    tasks = (Classes(name="mood", vocabulary=("Happy", "Sad"), loss_name="arcface"),)
    with pytest.raises(UserError, match=r"tasks\.mood\.loss=arcface takes cosines, which the head graph does not make"):
        emotion_net.create_model("resnet_tiny", tasks, head="graph", word_vector_width=5)


def test_only_a_graph_reads_densenets_maximum():
    trunks = ("densenet121", "bregnext50", "resnet18")
    found = {(t, m): presets.readout(t, m) for t in trunks for m in presets.PRESETS}
    graphs = {("densenet121", "emotion_gcn"), ("densenet121", "emotion_gcn_au")}
    assert {pair for pair, readout in found.items() if readout == "max"} == graphs
    flattened = {(t, m) for t in trunks for m in ("mt_vgg", "mt_arcvgg", "mt_vgg_rnn", "mt_av_rnn")}
    assert {pair for pair, readout in found.items() if readout == "flatten"} == flattened
    assert set(found.values()) == {"max", "average", "flatten"}


@pytest.mark.parametrize(
    ("readout", "activation", "expected"),
    [
        # of the values -1, 0, 1, 4
        ("average", "none", (-1 + 0 + 1 + 4) / 4),
        ("average", "relu", (0 + 0 + 1 + 4) / 4),
        ("average", "elu", (np.exp(-1) - 1 + 0 + 1 + 4) / 4),
        ("max", "none", 4),
        ("max", "relu", 4),
        ("max", "elu", 4),
    ],
)
def test_readouts(readout, activation, expected):
    map_1x2x2x2 = jnp.asarray([-1.0, 0, 1, 4]).reshape(1, 2, 2, 1) * jnp.asarray([1.0, 2.0])
    features = emotion_net.READOUTS[readout](map_1x2x2x2, activation)
    np.testing.assert_allclose(features[:, 0], [expected], rtol=1e-6)
    assert features.shape == (1, 2)


def test_a_flattened_map_is_read_row_by_row():
    map_2x2x3x2 = jnp.arange(-12.0, 12).reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(
        emotion_net.READOUTS["flatten"](map_2x2x3x2, "relu"), [[0] * 12, [float(n) for n in range(12)]]
    )


def test_the_maximum_is_taken_without_activation():
    assert emotion_net.READOUTS["max"](jnp.full((1, 2, 2, 1), -3.0), "relu") == -3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", presets.PRESETS)
@pytest.mark.parametrize("trunk", [*TINY, "vgg16"])
def test_every_preset_sits_on_every_kind_of_trunk_and_input(trunk, model, channels):
    net = create(trunk, model, word_vector_width=20)
    images, sound = jnp.zeros((2, 32, 32, channels)), Sound(jnp.zeros((2, STEPS, BANDS)), jnp.ones(2, bool))
    outputs, _ = jax.eval_shape(lambda: net.init_with_output(jax.random.key(0), images, sound=sound))
    widths = {"expression": 7, "affect": 2, "action_units": 12}
    assert {n: a.shape for n, a in outputs.items()} == {n: (2, widths[n]) for n in presets.preset(model).tasks}


@pytest.mark.parametrize("trunk", TINY)
def test_bfloat16_trunk_keeps_float32_parameters_and_outputs(trunk):
    net = create(trunk, "emotion_gcn", word_vector_width=20, dtype="bfloat16")
    images = jnp.ones((2, 32, 32, 3))
    outputs, variables = jax.eval_shape(lambda: net.init_with_output(jax.random.key(0), images))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert {array.dtype for array in outputs.values()} == {jnp.dtype(jnp.float32)}
    last = jax.eval_shape(
        lambda variables: net.apply(variables, images, method=lambda n, x: n.trunk(x, False)), variables
    )
    assert last.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"trunk": "resnet51"}, "trunk 'resnet51': choose one of densenet121, bregnext50"),
        ({"head": "gcn"}, "head 'gcn': choose one of linear, graph"),
        ({"readout": "mean"}, "readout 'mean': choose one of average, max"),
        ({"dtype": "float8"}, "dtype 'float8': choose one of float32, bfloat16, float64"),
        ({"dtype": "float64"}, "set JAX_ENABLE_X64=1"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(names, message):
    with pytest.raises(UserError, match=message):
        emotion_net.create_model(**{"trunk": "densenet_tiny", "tasks": tasks_of("single_task"), **names})


def test_a_preset_that_is_unknown_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match="model 'gcn': choose one of single_task, multi_task, emotion_gcn"):
        presets.preset("gcn")


@pytest.mark.parametrize("model", presets.PRESETS)
@pytest.mark.parametrize("trunk", TINY)
def test_a_config_builds_its_preset(trunk, model):
    config = common.get_config(f"{trunk},{model}")
    graph = constants(21 if model == "emotion_gcn_au" else 9) if config.model.head == "graph" else {}
    expected = create(trunk, model, word_vector_width=20 if graph else 0)
    assert emotion_net.from_config(config, tasks_of(model), graph) == expected


@pytest.mark.parametrize(("model", "nodes"), [("emotion_gcn", 9), ("emotion_gcn_au", 21)])
def test_embedded_word_vectors_fit_every_preset(model, nodes):
    assert word_vectors.node_vectors(None, nodes_of(tasks_of(model)).words).shape == (nodes, 100)
