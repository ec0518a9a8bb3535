"""The maps from official names to our trees: against the official lists, our models' trees and plain numbers."""

import jax
import numpy as np
import pytest

from emotion_gcn_jax.conversion import names
from tests.conversion.conftest import SIX, described, identical, listed, random_tensors
from tests.models.running import create


@pytest.mark.parametrize(("trunk", "model"), SIX)
def test_names_shapes_types_and_order_are_the_official_ones(trunk, model):
    assert described(names.official_tensors(trunk, model)) == listed(trunk, model)


@pytest.mark.parametrize(
    ("trunk", "model", "vocabulary", "channels"),
    [
        *((t, m, (), 3) for t in ("densenet_tiny", "bregnext_tiny", "resnet_tiny") for m in names.OFFICIAL_MODELS),
        *(("densenet_tiny", m, tuple("ABCDEFGH"), 1) for m in names.OFFICIAL_MODELS),
        ("densenet121", "emotion_gcn", (), 3),
        ("bregnext50", "emotion_gcn", (), 3),
        ("resnet50", "multi_task", (), 3),
        ("vgg16", "single_task", (), 1),
        ("deep_emotion", "multi_task", (), 1),
        ("deep_emotion_valid3", "single_task", (), 1),
    ],
)
def test_the_variables_are_exactly_those_of_our_model(trunk, model, vocabulary, channels):
    official = names.official_tensors(
        trunk, model, word_vector_width=20, num_classes=len(vocabulary) or 7, channels=channels
    )
    variables, _ = names.to_variables(zeros(official), official)
    net = create(trunk, model, vocabulary=vocabulary, word_vector_width=20)
    side, channels = getattr(net.trunk, "INPUT", (32, channels))
    images = np.zeros((1, side, side, channels), np.float32)
    expected = {"batch_stats": {}, **jax.eval_shape(lambda: net.init(jax.random.key(0), images))}
    if model == "emotion_gcn":
        del expected["constants"]["head"]["word_vectors"]
    else:
        assert variables.pop("constants") == {}
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in (variables, expected)]
    assert shapes[0] == shapes[1]


def zeros(official):
    return {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in official}


def test_axes():
    official = {tensor.name: tensor for tensor in names.official_tensors("densenet_tiny", "single_task")}
    values = random_tensors(described(official.values()))
    variables, _ = names.to_variables(values, tuple(official.values()))
    trunk, head = variables["params"]["trunk"], variables["params"]["head"]
    # output 5, input 2, row 6, column 0 of the 7x7 stem
    assert trunk["stem_conv"]["kernel"][6, 0, 2, 5] == values["features.conv0.weight"][5, 2, 6, 0]
    assert (
        trunk["block2_layer1"]["conv1"]["kernel"][3, 9]
        == values["features.denseblock2.denselayer1.conv1.weight"][9, 3, 0, 0]
    )
    assert head["expression"]["kernel"][4, 6] == values["classifier.weight"][6, 4]
    assert variables["batch_stats"]["trunk"]["final_norm"]["var"][3] == values["features.norm5.running_var"][3]


def test_bregnext_s_two_norms_convolutions_and_scalars_keep_their_places():
    official = names.official_tensors("bregnext_tiny", "emotion_gcn", word_vector_width=20)
    values = random_tensors(described(official))
    variables, extras = names.to_variables(values, official)
    block, theirs = variables["params"]["trunk"]["stage2_block1"], "model._model.1._layer_stack.0"
    for ours, leaf, name in (
        ("norm1", "scale", "_batchnorm_conv0.weight"),
        ("norm2", "bias", "_batchnorm_conv1.bias"),
        ("conv1", "bias", "_conv0.bias"),
        ("conv2", "bias", "_conv1.bias"),
        ("shortcut", "a", "_shortcut._a"),
        ("shortcut", "c", "_shortcut._c"),
    ):
        np.testing.assert_array_equal(block[ours][leaf], values[f"{theirs}.{name}"])
    np.testing.assert_array_equal(variables["params"]["head"]["gcn"]["layer2"], values["gc2.weight"])
    np.testing.assert_array_equal(variables["constants"]["head"]["adjacency"], values["A"])
    np.testing.assert_array_equal(extras["model._fc0.bias"], values["model._fc0.bias"])


@pytest.mark.parametrize(("trunk", "model"), SIX)
def test_there_and_back_is_bit_identical(trunk, model, official):
    tensors, layout = official(trunk, model), names.official_tensors(trunk, model)
    assert identical(names.to_state_dict(*names.to_variables(tensors, layout), layout), tensors)


def test_what_a_file_lacks_of_the_extras_is_zero(official):
    layout = names.official_tensors("bregnext50", "emotion_gcn")
    tensors = official("bregnext50", "emotion_gcn")
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    assert names.problems(kept, layout) == []
    back = names.to_state_dict(*names.to_variables(kept, layout), layout)
    assert list(back) == list(tensors)
    assert {int(tensor) for name, tensor in back.items() if name not in kept} == {0}
    without_fc0 = names.to_state_dict(names.to_variables(kept, layout)[0], {}, layout)
    assert not without_fc0["model._fc0.weight"].any() and without_fc0["model._fc0.weight"].shape == (7, 128)


@pytest.mark.parametrize(
    ("kept_as", "count"),
    [(np.int32(5), 5), (np.float32(5), 5), (np.array([5]), 5), (np.array([[5.0]]), 5), (np.float32("nan"), 0)],
)
def test_counters_of_other_kinds_become_whole_numbers(kept_as, count, official):
    layout, tensors = names.official_tensors("bregnext50", "single_task"), dict(official("bregnext50", "single_task"))
    counters = [name for name in tensors if name.endswith("num_batches_tracked")]
    tensors.update(dict.fromkeys(counters, np.asarray(kept_as)))
    assert names.problems(tensors, layout) == []
    back = names.to_state_dict(*names.to_variables(tensors, layout), layout)
    assert {(back[name].shape, back[name].dtype.kind, int(back[name])) for name in counters} == {((), "i", count)}


def test_every_problem_is_named():
    layout = names.official_tensors("bregnext50", "emotion_gcn")
    tensors = random_tensors(listed("bregnext50", "emotion_gcn"))
    del tensors["A"], tensors["gc2.weight"]
    tensors["fc.weight"] = np.zeros(1)
    tensors["model._conv0.bias"] = np.zeros((32, 1), np.float32)
    tensors["model._model.0._layer_stack.0._shortcut._a"] = np.float32(1)
    tensors["model._model.5.bias"] = np.zeros(128, np.int64)
    tensors["model._model.5.weight"] = tensors["model._model.5.weight"].astype(np.float16)  # fits into float32
    tensors["gc1.weight"] = tensors["gc1.weight"].astype(np.float64)  # so does this
    tensors["model._model.5.running_mean"] = np.full(128, np.nan, np.float32)
    tensors["model._model.5.running_var"] = [1.0] * 128
    assert names.problems(tensors, layout) == [
        "missing: A, gc2.weight",
        "unexpected: fc.weight",
        "model._conv0.bias has shape 32x1 instead of 32",
        "model._model.0._layer_stack.0._shortcut._a is no tensor",
        "model._model.5.bias holds int64 instead of float32",
        "model._model.5.running_mean has numbers that are not finite in float32",
        "model._model.5.running_var is no tensor",
    ]


def test_what_is_larger_than_single_precision_is_not_finite_in_it():
    layout = names.official_tensors("densenet_tiny", "single_task")
    tensors = random_tensors(described(layout)) | {"classifier.bias": np.full(7, 1e39)}  # the largest is 3.4e38
    assert names.problems(tensors, layout) == ["classifier.bias has numbers that are not finite in float32"]


@pytest.mark.parametrize(("model", "count"), [(m, c) for m in names.OFFICIAL_MODELS for c in (2, 7, 8, 30)])
def test_classes_are_counted(model, count):
    seven, layout = (names.official_tensors("bregnext_tiny", model, num_classes=c) for c in (7, count))
    assert names.class_count(zeros(layout), seven) == count


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"A": np.zeros(()), "gc1.weight": np.zeros(3)},
        {"A": np.zeros((3, 3)), "gc1.weight": np.zeros(())},  # of one class and two values
        {"A": np.zeros((0, 0))},
    ],
)
def test_the_official_numbers_count_where_a_file_does_not_tell(tensors):
    assert names.class_count(tensors, names.official_tensors("bregnext_tiny", "emotion_gcn")) == 7
    assert names.word_vector_width(tensors) == 300


def test_permuted_classes_of_a_graph_permute_w():
    layout = names.official_tensors("bregnext_tiny", "emotion_gcn", word_vector_width=20)
    tensors = random_tensors(described(layout))
    vectors_9xF = np.random.default_rng(1).standard_normal((9, 20))
    order = [0, 4, 5, 6, 3, 2, 1]
    places = [*order, 7, 8]

    def w(tensors, vectors_9xF):
        # H1 = LeakyReLU_0.2(A^T H0 W1), H2 = A^T H1 W2 (Emotion-GCN spec, section 2)
        hidden = tensors["A"].T @ vectors_9xF @ tensors["gc1.weight"]
        return tensors["A"].T @ np.where(hidden > 0, hidden, 0.2 * hidden) @ tensors["gc2.weight"]

    permuted = names.permuted_classes(tensors, layout, order)
    np.testing.assert_allclose(w(permuted, vectors_9xF[places]), w(tensors, vectors_9xF)[places], rtol=1e-4, atol=1e-3)
    assert not np.allclose(w(permuted, vectors_9xF), w(tensors, vectors_9xF)[places], rtol=1e-4, atol=1e-3)
    assert identical(names.permuted_classes(permuted, layout, np.argsort(order)), tensors)
