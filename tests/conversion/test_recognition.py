"""Files of other people's training are recognised by their names, whatever training has put round the state dict."""

import functools
import pickle

import numpy as np
import pytest

from emotion_gcn_jax.conversion import names, recognition
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models.emotion_net import TRUNKS
from emotion_gcn_jax.torch_files import writing
from tests.conversion.conftest import SIX, described, identical, listed, random_tensors, tiny
from tests.torch_files import handmade

FEW = np.zeros(2, np.float32)
imagenet = functools.partial(recognition.published, option="--imagenet")


def saved(folder, tensors, suffix=".pth"):
    writing.save(folder / f"w{suffix}", tensors)
    return folder / f"w{suffix}"


def refusal(path, recognise=recognition.official, **options):
    """The sentence by which a file is refused; it must be short enough to be read."""
    with pytest.raises(UserError) as caught:
        recognise(path, **options)
    assert len(str(caught.value)) <= 2000 and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("trunk", "model"), SIX)
def test_trunk_and_model_are_told_by_the_names(trunk, model, suffix, official, tmp_path):
    found = recognition.official(saved(tmp_path, official(trunk, model), suffix))
    assert (found.trunk, found.model, found.left_out) == (trunk, model, ())
    assert described(found.expected) == listed(trunk, model)
    assert identical(dict(found.tensors), official(trunk, model))


@pytest.mark.parametrize("model", names.OFFICIAL_MODELS)
@pytest.mark.parametrize(
    "trunk",
    [
        *("densenet_tiny", "bregnext_tiny", "resnet_tiny", "resnet50", "vgg16"),
        # by their shapes: the names of their layers are the same
        *("deep_emotion", "deep_emotion_valid3", "deep_emotion_tutorial", "deep_emotion_none"),
    ],
)
def test_every_trunk_with_names_in_pytorch_can_be_told(trunk, model, tmp_path):
    found = recognition.official(saved(tmp_path, tiny(model, trunk=trunk)))
    assert (found.trunk, found.model) == (trunk, model)


WRAPPERS = ["", "module.", "module.module.", "_orig_mod.", "module._orig_mod.", "model.", "net.module.", "student."]


@pytest.mark.parametrize("model", names.OFFICIAL_MODELS)
@pytest.mark.parametrize("trunk", ["densenet_tiny", "bregnext_tiny"])
@pytest.mark.parametrize("prefix", WRAPPERS)
def test_wrappers_come_off(prefix, trunk, model, tmp_path):
    tensors = tiny(model, trunk=trunk)
    found = recognition.official(saved(tmp_path, {prefix + name: tensor for name, tensor in tensors.items()}))
    assert (found.trunk, found.model, found.left_out) == (trunk, model, ())
    assert identical(dict(found.tensors), tensors)


KEYS = [
    *(("model_state_dict",), ("state_dict",), ("model",), ("net",), ("weights",), ("state_dict_ema",), ("ema", "model"))
]


@pytest.mark.parametrize("keys", KEYS)
def test_a_state_dict_is_found_under_any_key(keys, tmp_path):
    tensors = tiny("multi_task")
    content = tensors
    for key in reversed(keys):
        content = {"epoch": 3, key: content, "args": handmade.refused}  # an object of another project
    (tmp_path / "w.pth").write_bytes(pickle.dumps(content))
    assert identical(dict(recognition.official(tmp_path / "w.pth").tensors), tensors)


@pytest.mark.parametrize(
    ("prefix", "others"),
    [
        ("module.", ["n_averaged"]),
        ("", ["criterion.weight"]),
        ("module.", ["module.loss_fn.pos_weight", "n_averaged"]),
        ("model.", ["metric.total"]),
    ],
)
def test_what_training_added_is_left_out_and_named(prefix, others, tmp_path):
    tensors = {prefix + name: tensor for name, tensor in tiny("single_task").items()}
    found = recognition.official(saved(tmp_path, {**tensors, **dict.fromkeys(others, FEW)}))
    assert found.left_out == tuple(others)
    assert identical(dict(found.tensors), tiny("single_task"))


@pytest.mark.parametrize("precision", ["float64", "float16"])
@pytest.mark.parametrize("which", ["all", "one"])
def test_numbers_of_other_precision_become_single(precision, which, tmp_path):
    tensors = tiny("single_task")
    stored = {
        name: tensor.astype(precision)
        if tensor.dtype == np.float32 and (which == "all" or name == "classifier.bias")
        else tensor
        for name, tensor in tensors.items()
    }
    found = recognition.official(saved(tmp_path, stored))
    assert identical(dict(found.tensors), {name: stored[name].astype(t.dtype) for name, t in tensors.items()})


@pytest.mark.parametrize(("model", "outputs"), [("single_task", 1), ("multi_task", 3), ("emotion_gcn", 3)])
@pytest.mark.parametrize("count", [2, 7, 8, 11, 40])
def test_the_number_of_classes_and_the_width_of_word_vectors_are_the_file_s(count, model, outputs, tmp_path):
    tensors = tiny(model, width=33, num_classes=count)
    found = recognition.official(saved(tmp_path, tensors))
    assert names.class_count(found.tensors, found.expected) == count
    assert names.word_vector_width(found.tensors) == (33 if model == "emotion_gcn" else 300)
    assert identical(dict(found.tensors), tensors)


def without(tensors, *left_out, **changed):
    return {name: tensor for name, tensor in tensors.items() if name not in left_out} | changed


NAN = np.full((9, 9), np.nan, np.float32)
# What differs from the tensors of an emotion_gcn, and the sentence.
BAD_TENSORS = {
    "several": (
        {"extra": FEW, "A": NAN},
        ["gc2.weight"],
        "does not fit, and nothing was written: missing: gc2.weight; unexpected: extra; A has numbers that are not",
    ),
    "no square adjacency": ({"A": np.zeros((9, 8), np.float32)}, [], "A has shape 9x8 instead of 9x9"),
    "an adjacency of two nodes": ({"A": np.zeros((2, 2), np.float32)}, [], "A has shape 2x2 instead of 9x9"),
    "an adjacency of no axes": ({"A": np.zeros((), np.float32)}, [], "A has shape () instead of 9x9"),
    "a flat layer": ({"gc1.weight": FEW}, [], "gc1.weight has shape 2 instead of 300x512"),
    "whole numbers": ({"gc1.weight": np.zeros((20, 512), np.int64)}, [], "gc1.weight holds int64 instead of float32"),
    "too large for single precision": ({"gc1.weight": np.full((20, 512), 1e300)}, [], "not finite in float32"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_that_do_not_fit_are_named(case, tmp_path):
    changed, left_out, message = BAD_TENSORS[case]
    path = saved(tmp_path, without(tiny("emotion_gcn"), *left_out, **changed))
    found = refusal(path)
    assert message in found and str(path) in found


def test_a_message_of_many_problems_is_short(tmp_path):
    tensors = {f"features.{i}.{'x' * 3000}": FEW for i in range(900)}
    expected = list(tiny("single_task"))
    half = expected[::2]
    tensors |= {name: np.zeros((1, 2) * 4, np.float32) for name in half}
    found = refusal(saved(tmp_path, tensors), trunk="densenet_tiny", model="single_task")
    assert "missing: features.norm0.weight, " in found and "and 895 more" in found  # 5 of the 900 are named
    assert f"{half[0]} has shape 1x2x1x2x1x2x1x2 instead of 8x3x7x7" in found
    unsound = [name for name in half if not name.endswith("num_batches_tracked")]  # counters may be of any kind
    assert f"and {len(unsound) - 5} more that are not sound" in found


NO_MODEL = {
    "something else": {"layer.weight": FEW},
    "names without dots": {"a": FEW, "b": FEW},
    "one layer of a model": {"features.conv0.weight": np.zeros((8, 3, 7, 7), np.float32)},
    "a head alone": {"lin_cat.weight": np.zeros((7, 8), np.float32), "lin_cat.bias": np.zeros(7, np.float32)},
}


@pytest.mark.parametrize("case", NO_MODEL)
def test_something_else_is_no_model(case, tmp_path):
    path = saved(tmp_path, NO_MODEL[case])
    assert "is no official Emotion-GCN model: it has" in refusal(path)
    assert "missing: " in refusal(path, trunk="densenet_tiny", model="single_task")
    assert "is none of torchvision's networks that are known here (densenet121, " in refusal(path, imagenet)


@pytest.mark.parametrize(
    ("recognise", "options", "message"),
    [
        (recognition.official, {"trunk": "vgg"}, "Unknown --trunk 'vgg': choose one of densenet121, "),
        (recognition.official, {"model": "gcn"}, "Unknown --model 'gcn': choose one of single_task, multi_task, "),
        (imagenet, {"trunk": "bregnext50"}, "Unknown --trunk with --imagenet 'bregnext50': choose one of "),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(recognise, options, message, tmp_path):
    assert message in refusal(tmp_path / "absent.pth", recognise, **options)


def test_a_trunk_without_names_in_pytorch_cannot_be_named(tmp_path, monkeypatch):
    monkeypatch.setitem(TRUNKS, "plain", object)
    assert "Unknown --trunk 'plain': choose" in refusal(saved(tmp_path, tiny("single_task")), trunk="plain")
    assert recognition.official(saved(tmp_path, tiny("single_task"))).trunk == "densenet_tiny"


# By trunk what stands before its names in torchvision's state dict, the classifier's layers there, and its features.
TORCHVISION = {
    "densenet121": ("features.", ("classifier",), 1024),
    "resnet18": ("", ("fc",), 512),
    "resnet34": ("", ("fc",), 512),
    "resnet50": ("", ("fc",), 2048),
    "vgg16": ("", ("classifier.0", "classifier.3", "classifier.6"), 512),
}


def torchvision(trunk):
    """A state dict with torchvision's names; the numbers of the largest kernels are zeros, for time."""
    prefix, classifiers, features = TORCHVISION[trunk]
    layers = [(t.name, t.shape, t.dtype) for t in names.trunk_tensors(trunk, prefix)]
    tensors = {n: np.zeros(s, d) if np.prod(s) > 1e5 else random_tensors([(n, s, d)])[n] for n, s, d in layers}
    for layer in classifiers:
        tensors |= {f"{layer}.weight": np.zeros((1000, features), np.float32), f"{layer}.bias": np.zeros(1000, "f4")}
    return tensors


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("trunk", TORCHVISION)
def test_networks_of_torchvision_are_told_by_their_names(trunk, prefix, tmp_path):
    tensors = torchvision(trunk)
    path = saved(tmp_path, {prefix + name: tensor for name, tensor in tensors.items()})
    found = imagenet(path)
    assert (found.trunk, found.model, found.left_out) == (trunk, "", ())
    before, classifiers, _ = TORCHVISION[trunk]
    kept = {n.removeprefix(before): t for n, t in tensors.items() if not n.startswith(classifiers)}
    assert identical(dict(found.tensors), kept)
    assert "a classifier of 1000 classes, as torchvision's networks have: add --imagenet to take its" in refusal(path)


def test_the_names_of_another_network_are_named(tmp_path):
    found = refusal(saved(tmp_path, torchvision("resnet18")), imagenet, trunk="resnet34")
    assert "missing: layer1.2.conv1.weight, layer1.2.bn1.weight, " in found
