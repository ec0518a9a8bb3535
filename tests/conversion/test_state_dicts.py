"""Where a weight file keeps its state dict, and the names that training leaves on it."""

import pickle
import time

import numpy as np
import pytest

from emotion_gcn_jax.conversion import state_dicts
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.torch_files import writing
from emotion_gcn_jax.torch_files.stand_ins import StandIn
from tests.conversion.conftest import SIX, listed
from tests.torch_files import handmade

ONE = np.ones(1, np.float32)


def model(count=4, start=0):
    """A small state dict, whose numbers are counted from a start."""
    return {f"layer{i}.weight": np.full(2, start + i, np.float32) for i in range(count)}


def pickled(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


OTHER = model(4, start=50)
BESIDE = {"epoch": 3, "rng": ONE, "best": 0.5, "args": pickled}  # numbers, an array, a function: no state dict
PLACES = {
    "bare": model(),
    "bare, beside numbers and objects": {**model(), "epoch": 3, "args": pickled},
    **{key: {**BESIDE, key: model()} for key in (*state_dicts.USUAL_KEYS, "ema", "weights", "anything")},
    "one level deeper": {"epoch": 1, "checkpoint": {"weights": model(), "acc": ONE}},
    "a usual key deeper": {"student": {"model": model()}, "teacher": {"weights": OTHER}},
    "usual keys in their order": {"net": OTHER, "model": OTHER, "state_dict": OTHER, "model_state_dict": model()},
    "a usual key beside an average": {"state_dict_ema": OTHER, "state_dict": model()},
    "a usual key beside a larger model": {"teacher": model(40), "net": model()},
    "an optimiser with names": {"weights": model(), "optimizer": {"state": {0: {"exp_avg": ONE}}, "lr": ONE}},
    "three keys deep": {"a": {"b": {"c": model()}}},
    "a list": [model()],
    "a tuple with what else there is": (model(), 3, {"lr": 0.1}),
    "a list of models with one": {"models": [model()], "epoch": 3},
    "one dict under two keys": dict.fromkeys(("last", "model"), model()),
}


@pytest.mark.parametrize("place", PLACES)
def test_state_dict_is_found(place, tmp_path):
    same(state_dicts.read(pickled(tmp_path / "w.pth", PLACES[place])), model())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_both_kinds(suffix, tmp_path):
    writing.save(tmp_path / f"w{suffix}", model())
    same(state_dicts.read(tmp_path / f"w{suffix}"), model())


NO_STATE_DICT = {
    "nothing": ({}, "found an empty dict"),
    "a list": ([ONE, 3], "found a list"),
    "an array": (ONE, "found a single array"),
    "no tensors": ({"state": {}, "lr": 0.1}, "found a dict with the keys state, lr"),
    "objects": ({"model": {pickled}}, "where model is an object of builtins.set; objects are not opened"),
    "text for tensors": ({"a": np.array(["x"])}, "found a dict with the keys a"),
    "many keys": ({f"{i} {'k' * 5000}": i for i in range(5000)}, "and 4990 more"),
    "keys of control characters": ({"\x1b[31m": 1}, r"keys .\\x1b"),
    "two models": ({"generator": model(), "critic": model(3)}, "2 state dicts, under generator, critic"),
    "two models deeper": ({"a": {"model": model()}, "b": {"model": model()}}, "under a.model, b.model"),
}


@pytest.mark.parametrize("case", NO_STATE_DICT)
def test_file_without_one_state_dict(case, tmp_path):
    content, message = NO_STATE_DICT[case]
    with pytest.raises(UserError, match=message) as caught:
        state_dicts.read(pickled(tmp_path / "w.pth", content))
    assert "w.pth" in str(caught.value) and len(str(caught.value)) <= 2000


def test_a_dict_that_is_there_a_thousand_times_is_searched_once(tmp_path):
    inner = {f"key{i}": i for i in range(20_000)}
    start = time.perf_counter()
    with pytest.raises(UserError, match="no state dict"):
        state_dicts.read(pickled(tmp_path / "w.pth", {f"key{i}": inner for i in range(20_000)}))
    assert time.perf_counter() - start < 20  # seconds; to search it each time would take minutes


EXPECTED = ("features.conv0.weight", "features.norm0.bias", "A", "classifier.weight")


def named(*names):
    """Tensors that can be told apart, each of the number of its place."""
    return {name: np.full(1, place) for place, name in enumerate(names)}


PREFIXES = [
    *(
        "",
        "module.",
        "module.module.",
        "_orig_mod.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "model.",
        "model.module.",
    ),
    *("net.", "ema.module.", "student.backbone.", "_forward_module.model._orig_mod.", "features.", "classifier.", "A."),
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_common_prefix_is_taken_off(prefix):
    found = state_dicts.matched(named(*(prefix + name for name in EXPECTED)), EXPECTED)
    same(found.tensors, named(*EXPECTED))
    assert found.left_out == ()


@pytest.mark.parametrize(("trunk", "kind"), SIX)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_official_names_come_back_from_every_prefix(prefix, trunk, kind):
    official = [name for name, _, _ in listed(trunk, kind)]
    same(state_dicts.matched(named(*(prefix + name for name in official)), official).tensors, named(*official))


@pytest.mark.parametrize("six", SIX)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "model.module."])
def test_official_model_is_most_like_itself(prefix, six):
    official = {pair: [name for name, _, _ in listed(*pair)] for pair in SIX}
    tensors = named("n_averaged", *(prefix + name for name in official[six]))
    alike = {pair: state_dicts.likeness(tensors, names) for pair, names in official.items()}
    assert max(alike, key=alike.get) == six and alike[six] == (1.0, -1)


WRAPPED_INSIDE = {
    "trunk on several GPUs": [name.replace("features.", "features.module.") for name in EXPECTED],
    "compiled trunk in a Lightning module": [
        f"model.{n.replace('features.', 'features._orig_mod.')}" for n in EXPECTED
    ],
    "one layer alone": ["features._fsdp_wrapped_module.conv0.weight", *EXPECTED[1:]],
    "one of them outside": [*(f"module.{name}" for name in EXPECTED if name != "A"), "A"],
}


@pytest.mark.parametrize("case", WRAPPED_INSIDE)
def test_wrappers_of_a_part_are_dropped(case):
    found = state_dicts.matched(named(*WRAPPED_INSIDE[case]), EXPECTED)
    assert set(found.tensors) == set(EXPECTED) and found.left_out == ()


@pytest.mark.parametrize("expected", [("module.weight", "module.bias"), ("model.a", "model.model.a", "_orig_mod.b")])
def test_names_that_look_like_wrappers_stay_where_they_are_expected(expected):
    same(state_dicts.matched(named(*expected), expected).tensors, named(*expected))
    wrapped = named(*(f"module.{name}" for name in expected))
    same(state_dicts.matched(wrapped, expected).tensors, named(*expected))


LEFT_OUT = {
    "AveragedModel's counter": ("module.", ["n_averaged"]),
    "weights of classes": ("", ["class_weights", "loss_weights"]),
    "thop's counts": ("", ["total_ops", "total_params", "conv.total_ops", "conv.total_params"]),
    "weights of a loss": ("", ["criterion.weight", "loss_fn.pos_weight", "ce_loss.weight"]),
    "a loss inside the wrapper": ("module.", ["module.criterion.weight"]),
    "another model": ("model.", ["teacher.conv.weight", "metric.total"]),
    "outside every wrapper": ("module.", ["ema_decay"]),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_training_added_is_left_out_and_reported(case):
    prefix, others = LEFT_OUT[case]
    found = state_dicts.matched(named(*(prefix + name for name in EXPECTED), *others), EXPECTED)
    same(found.tensors, named(*EXPECTED))
    assert found.left_out == tuple(others)


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_unexpected_tensors_of_the_model_stay_for_the_check_to_name(prefix):
    names = [*EXPECTED, "features.extra.weight", "head.weight"]
    found = state_dicts.matched(named(*(prefix + name for name in names)), EXPECTED)
    assert list(found.tensors) == names and found.left_out == ()


@pytest.mark.parametrize("copy", ["ema.", "teacher.model."])
def test_names_as_the_model_has_them_come_before_a_copy(copy):
    names = [*(copy + name for name in EXPECTED), *EXPECTED]
    assert list(state_dicts.matched(named(*names), EXPECTED).tensors) == names


def test_losses_stay_where_the_model_has_them():
    names = ("criterion.weight", "features.weight")
    assert list(state_dicts.matched(named(*names), names).tensors) == list(names)


def test_tensors_of_another_model_stay_as_they_are():
    assert list(state_dicts.matched(named("x.a", "module.b"), EXPECTED).tensors) == ["x.a", "b"]


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_older_torchvision_s_dots(prefix):
    ours = [f"features.denseblock1.denselayer12.{layer}.weight" for layer in ("norm1", "conv1", "norm2", "conv2")]
    theirs = [name.replace("1.weight", ".1.weight").replace("2.weight", ".2.weight") for name in ours]
    assert theirs[3] == "features.denseblock1.denselayer12.conv.2.weight"
    same(state_dicts.matched(named(*(prefix + name for name in theirs)), ours).tensors, named(*ours))


TWICE = {
    "with and without a wrapper": (["module.A", "A", "module.features.conv0.weight"], "the tensor A twice"),
    "a copy of all": ([f"{p}.{name}" for name in EXPECTED for p in ("model", "ema.module")], "the model 2 times"),
    "old and new torchvision": (
        [f"denseblock1.denselayer1.norm{one}.weight" for one in ("1", ".1")],
        "denselayer1.norm1.weight twice",
    ),
    "long names": (["A", f"A.{'module.' * 2000}".removesuffix(".")], "the tensor A twice"),
}


@pytest.mark.parametrize("case", TWICE)
def test_two_names_that_become_one(case):
    names, message = TWICE[case]
    with pytest.raises(UserError, match=message) as caught:
        state_dicts.matched(named(*names), EXPECTED)
    assert len(str(caught.value)) <= 2000


def test_a_name_of_a_million_parts_costs_no_time():
    start = time.perf_counter()
    found = state_dicts.matched(named("a." * 1_000_000 + "A", "b"), EXPECTED)
    assert len(found.tensors) == 1 and time.perf_counter() - start < 10  # seconds


@pytest.mark.parametrize(
    ("found", "wanted", "allowed"),
    [
        *(("float64", "float32", True), ("float16", "float32", True), ("int32", "int64", True)),
        *(("complex64", "float32", False), ("float32", "int64", False), ("int64", "float32", False)),
    ],
)
def test_types_that_may_become_others(found, wanted, allowed):
    assert state_dicts.convertible(np.dtype(found), np.dtype(wanted)) is allowed


def test_stand_ins_and_text_beside_tensors_are_dropped(tmp_path):
    items = {"x": handmade.of_array(ONE), "note": handmade.value("x"), "args": handmade.name("project", "Args")}
    path = handmade.zip_file(tmp_path / "w.pth", handmade.mapping(items), [ONE.tobytes()])
    same(state_dicts.read(path), {"x": ONE})
    with pytest.raises(UserError, match=rf"args is an object of {StandIn('project.Args').name}"):
        state_dicts.read(handmade.zip_file(tmp_path / "w.pth", handmade.mapping({"args": items["args"]})))
