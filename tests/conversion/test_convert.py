"""Official files to checkpoints and back, by the command; nothing is written where anything is wrong."""

import copy
import hashlib
import json
import pickle

import numpy as np
import pytest

from emotion_gcn_jax import checkpoints, cli, labels, presets
from emotion_gcn_jax.conversion import convert, names
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.graph import word_vectors
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.inference import model as inference
from emotion_gcn_jax.models.emotion_net import TRUNKS
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.torch_files import reading, writing
from tests.conversion.conftest import SIX, TINY, identical, tiny
from tests.models.running import tasks_of
from tests.photographs import ASTRONAUT, GRACE_HOPPER
from tests.torch_files import handmade

VECTORS_9x300 = np.random.default_rng(9).standard_normal((9, 300)).astype(np.float32)
EIGHT = (*labels.EXPRESSIONS, "Contempt")


@pytest.fixture
def emb(tmp_path):
    """The word vectors as the official repository has them."""
    return vectors_file(tmp_path / "emb.pkl", VECTORS_9x300)


def vectors_file(path, vectors):
    path.write_bytes(pickle.dumps(vectors))
    return path


@pytest.mark.parametrize(("trunk", "model"), SIX)
def test_file_to_checkpoint_to_file_is_bit_identical(trunk, model, official, emb, run, tmp_path):
    tensors = official(trunk, model)
    writing.save(tmp_path / "w.pth", tensors)
    vectors = ["--word-vectors", emb] if model == "emotion_gcn" else []
    status, printed = run("--weights", tmp_path / "w.pth", "--output", tmp_path / "ours", *vectors)
    # Emotion-GCN spec, section 1; emotion_gcn without its frozen adjacency
    count = {"densenet121": (6961031, 6963081, 7631744), "bregnext50": (3072567, 3072825, 3290800)}[trunk]
    count = count[names.OFFICIAL_MODELS.index(model)]
    assert status == 0 and f"{model} on {trunk}, {count:,} parameters" in printed and "GPL-3.0" in printed
    read = checkpoints.read(tmp_path / "ours")
    config, inputs = read.meta["config"], Input.from_dict(read.meta["input"])
    readout = "max" if (trunk, model) == ("densenet121", "emotion_gcn") else "average"
    head = "graph" if model == "emotion_gcn" else "linear"
    assert config["model"] | {"trunk": trunk, "readout": readout, "head": head} == config["model"]
    assert inputs == Input({"densenet121": 227, "bregnext50": 112}[trunk]) == Input.from_dict(config["input"])
    assert Crop.from_dict(read.meta["crop"]).size == inputs.side
    assert registry.from_dicts(read.meta["tasks"]) == tasks_of(model) == registry.from_config(config["tasks"])
    assert read.meta["origin"]["sha256"] == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert read.meta["origin"]["file"] == "w.pth" and "GPL-3.0" in read.meta["origin"]["licence"]
    if model == "emotion_gcn":
        np.testing.assert_array_equal(read.variables["constants"]["head"]["word_vectors"], VECTORS_9x300)
        np.testing.assert_array_equal(read.variables["constants"]["head"]["adjacency"], tensors["A"])
    status, printed = run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pth")
    assert status == 0 and identical(reading.load(tmp_path / "back.pth"), tensors)
    assert (tmp_path / "back_emb.pkl").exists() == (model == "emotion_gcn")
    if model == "emotion_gcn":
        np.testing.assert_array_equal(reading.load(tmp_path / "back_emb.pkl"), VECTORS_9x300)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("classes", [7, 8], ids=["seven", "eight"])
@pytest.mark.parametrize("model", names.OFFICIAL_MODELS)
@pytest.mark.parametrize("trunk", ["densenet_tiny", "bregnext_tiny"])
def test_a_model_goes_there_and_back_bit_by_bit(trunk, model, classes, suffix, run, tmp_path):
    """From a file to a checkpoint, to a second file, to a second checkpoint: of seven classes and of eight."""
    tensors = tiny(model, trunk=trunk, num_classes=classes)
    emb = vectors_file(tmp_path / "emb.pkl", np.random.default_rng(0).standard_normal((classes + 2, 20)).astype("f4"))
    if model == "emotion_gcn":
        assert tensors["A"].shape == (classes + 2, classes + 2)
    writing.save(tmp_path / f"first{suffix}", tensors)
    for name, target, vectors in (("first", "ours", emb), ("second", "back", tmp_path / "second_emb.pkl")):
        options = ["--word-vectors", vectors] if model == "emotion_gcn" else []
        assert run("--weights", tmp_path / f"{name}{suffix}", "--output", tmp_path / target, *options)[0] == 0
        if name == "first":
            assert run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / f"second{suffix}")[0] == 0
    second = reading.load(tmp_path / f"second{suffix}")
    assert identical(dict(sorted(second.items())), dict(sorted(tensors.items())))
    ours, back = (checkpoints.read(tmp_path / name) for name in ("ours", "back"))
    assert registry.from_dicts(ours.meta["tasks"])[0].outputs == EIGHT[:classes]
    assert {**ours.meta, "origin": 0} == {**back.meta, "origin": 0}
    for collection in ("params", "batch_stats", "constants"):
        np.testing.assert_equal(back.variables[collection], ours.variables[collection])


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_whole_checkpoint_of_data_parallel_in_both_formats(kind, run, tmp_path):
    tensors = tiny("single_task")
    arrays = {f"module.{name}": tensor for name, tensor in tensors.items()}
    ending = {"ending": handmade.value(None)} if kind == "legacy" else {}
    contents = handmade.value({"epoch": 9, "optimizer_state_dict": {"state": {}}})
    instructions = contents + handmade.value("model_state_dict") + handmade.state_dict(arrays, **ending) + b"s"
    if kind == "zip":
        handmade.zip_file(tmp_path / "w.pth", instructions, [array.tobytes() for array in arrays.values()])
    else:
        handmade.legacy_file(tmp_path / "w.pth", instructions, list(arrays.values()))
    assert run("--weights", tmp_path / "w.pth", *TINY, "single_task", "--output", tmp_path / "ours")[0] == 0
    run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pth")
    assert identical(reading.load(tmp_path / "back.pth"), tensors)


def test_what_is_left_out_is_printed(run, tmp_path):
    tensors = {f"module.{name}": tensor for name, tensor in tiny("single_task").items()}
    writing.save(tmp_path / "w.pth", {"n_averaged": np.array(5), **tensors})
    status, printed = run("--weights", tmp_path / "w.pth", "--output", tmp_path / "ours")
    assert status == 0 and "\nleft out: n_averaged\n" in printed


# What a user may name as the order of a file's classes: every data set's, and the classes themselves.
ORDERS = {
    # Which of its eight classes a model of CK+ with seven lacks, its order does not say.
    **{name: labels.class_order(name, 8 if name == "ck_plus" else 7) for name in labels.CLASS_ORDERS},
    "Anger,Disgust,Fear,Happy,Neutral,Sad": ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad"),
    "angry, disgusted,FEARFUL,joy,other": ("Anger", "Disgust", "Fear", "Happy", "Other"),
    "Sad,Bored,Happy": ("Sad", "Bored", "Happy"),
}


@pytest.mark.parametrize("model", names.OFFICIAL_MODELS)
@pytest.mark.parametrize("order", ORDERS)
def test_outputs_come_in_our_order_whatever_the_file_s(order, model, run, tmp_path):
    theirs = ORDERS[order]
    tensors = tiny(model, num_classes=len(theirs))
    writing.save(tmp_path / "w.pth", tensors)
    vectors_NxF = np.random.default_rng(1).standard_normal((len(theirs) + 2, 20)).astype(np.float32)
    arguments = ["--weights", tmp_path / "w.pth", "--output", tmp_path / "ours", "--label-order", order]
    if model == "emotion_gcn":
        arguments += ["--word-vectors", vectors_file(tmp_path / "emb.pkl", vectors_NxF)]
    status, printed = run(*arguments)
    ours = labels.in_usual_order(theirs)
    assert status == 0 and f"classes in the file: {', '.join(theirs)} (" in printed
    assert (f"classes put into our order, {', '.join(ours)}: row " in printed) == (ours != theirs)

    found = inference.load(tmp_path / "ours")
    assert found.label_names == ours and found.meta["origin"]["label_order"] == order
    features = np.random.default_rng(0).standard_normal((2, feature_count(tensors))).astype(np.float32)
    head = {name: tree["head"] for name, tree in found.variables.items() if "head" in tree}
    answers = found.module.head.apply(head, features)
    classes, values = official_answers(model, tensors, vectors_NxF, features)
    by_word = dict(zip(theirs, classes.T, strict=True))
    expected = np.stack([by_word[word] for word in ours], axis=1)
    np.testing.assert_allclose(answers["expression"], expected, rtol=1e-4, atol=1e-4 * np.abs(classes).max())
    if model != "single_task":
        np.testing.assert_allclose(answers["affect"], values, rtol=1e-4, atol=1e-4 * np.abs(values).max())

    status, printed = run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pth")
    assert status == 0 and f"classes in the file: {', '.join(theirs)}\n" in printed
    assert identical(reading.load(tmp_path / "back.pth"), tensors)
    if model == "emotion_gcn":
        np.testing.assert_array_equal(reading.load(tmp_path / "back_emb.pkl"), vectors_NxF)


def feature_count(tensors):
    """The number of a DenseNet's features, by its last norm."""
    return next(tensor.size for name, tensor in tensors.items() if name.endswith("norm5.weight"))


def official_answers(model, tensors, vectors_NxF, features):
    """Classes and values in the file's order, by the official models' formulas in plain NumPy."""
    if model == "emotion_gcn":
        # H1 = LeakyReLU_0.2(A^T H0 W1), W = A^T H1 W2 (Emotion-GCN spec, section 2)
        hidden = tensors["A"].T @ vectors_NxF @ tensors["gc1.weight"]
        w = tensors["A"].T @ np.where(hidden > 0, hidden, 0.2 * hidden) @ tensors["gc2.weight"]
        return np.split(features @ w.T, [len(w) - 2], axis=1)
    layers = {"single_task": ["classifier"], "multi_task": ["lin_cat", "lin_cont"]}[model]
    answers = [features @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"] for layer in layers]
    return [*answers, None][:2]


def test_a_set_s_own_recipe_goes_with_its_order(run, tmp_path):
    """The row numbers, and what is taken for granted of Aff-Wild2's official models."""
    writing.save(tmp_path / "w.pth", tiny("emotion_gcn", 100))
    arguments = ("--weights", tmp_path / "w.pth", "--label-order", "affwild2", "--output", tmp_path / "ours")
    status, printed = run(*arguments)
    assert status == 0 and "row 4 to 1, row 5 to 2, row 6 to 3, row 3 to 4, row 2 to 5, row 1 to 6" in printed
    read = checkpoints.read(tmp_path / "ours")
    assert (read.meta["dataset"], read.meta["input"]["side"]) == ("affwild2", 112)
    assert "112 pixels, faces cut as affwild2's by the builder config expr_va" in printed
    # The embedded vectors in our order are those of the file's nodes in theirs, as the official loader has it.
    embedded = word_vectors.node_vectors(None, nodes_of(tasks_of("emotion_gcn")).words)
    found = read.variables["constants"]["head"]["word_vectors"]
    np.testing.assert_array_equal(found, embedded[[0, 4, 5, 6, 3, 2, 1, 7, 8]])


@pytest.mark.parametrize(
    ("order", "classes", "message"),
    [
        ("fer", 7, "A class order is one of affectnet, affwild2, raf_db, "),
        ("Anger,Happy", 7, "or 7 different class names with commas between them, found 'Anger,Happy'"),
        ("fer2013", 8, "Surprise,Neutral, and 8 classes are needed: name those"),
        ("Happy,happiness", 2, "or 2 different class names"),
    ],
)
def test_an_order_that_does_not_fit_is_refused(order, classes, message, run, tmp_path):
    writing.save(tmp_path / "w.pth", tiny("single_task", num_classes=classes))
    status, printed = run("--weights", tmp_path / "w.pth", "--label-order", order, "--output", tmp_path / "ours")
    assert status == 2 and message in printed and not (tmp_path / "ours").exists()


def test_a_public_checkpoint_of_deep_emotion(run, tmp_path):
    """Its names and shapes are those of mkmohangb/deep-emotion's; the numbers are random."""
    tensors = tiny("single_task", trunk="deep_emotion_valid3")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes["feat_extraction.0.weight"] == (10, 1, 3, 3) and shapes["localization.3.weight"] == (10, 8, 3, 3)
    assert (shapes["fc_de.0.weight"], shapes["fc_de.3.weight"]) == ((50, 810), (7, 50))
    assert (shapes["fc_loc.0.weight"], shapes["fc_loc.2.weight"]) == ((32, 1000), (6, 32))
    writing.save(tmp_path / "w.pt", tensors)
    status, printed = run("--weights", tmp_path / "w.pt", "--label-order", "fer2013", "--output", tmp_path / "ours")
    assert status == 0 and "single_task on deep_emotion_valid3, 76,777 parameters" in printed  # spec, 1.1
    assert "taken for one of fer2013's images: 48 pixels, divided by 255" in printed and "licence: unknown" in printed
    found = inference.load(tmp_path / "ours")
    assert found.input == Input(48, 1, mean=(0.0,), deviation=(1.0,)) and found.label_names == labels.EXPRESSIONS
    run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pt")
    assert identical(dict(sorted(reading.load(tmp_path / "back.pt").items())), dict(sorted(tensors.items())))


def test_imagenet_file_with_the_older_names(official, run, tmp_path):
    tensors = official("densenet121", "single_task")
    tensors["classifier.weight"] = np.zeros((1000, 1024), np.float32)
    tensors["classifier.bias"] = np.zeros(1000, np.float32)
    older = {}
    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        for part in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{part}.", f".{part[:4]}.{part[4:]}.") if "denselayer" in name else name
        older[name] = tensor
    assert "features.denseblock4.denselayer16.conv.2.weight" in older
    writing.save(tmp_path / "densenet121-a639ec97.pth", older)
    weights = ("--weights", tmp_path / "densenet121-a639ec97.pth", "--output", tmp_path / "imagenet")
    status, printed = run(*weights)
    assert status == 2 and "a classifier of 1000 classes, as torchvision's networks have" in printed
    assert "add --imagenet" in printed and not (tmp_path / "imagenet").exists()
    status, printed = run(*weights, "--imagenet")
    assert status == 0 and "BSD-3-Clause" in printed and "densenet121, 6,953,856 parameters" in printed
    read = checkpoints.read(tmp_path / "imagenet")
    assert set(read.variables["params"]) == {"trunk"} and "BSD-3-Clause" in read.meta["origin"]["licence"]
    assert read.meta["config"]["model"]["trunk"] == "densenet121"
    kernel = read.variables["params"]["trunk"]["block4_layer16"]["conv2"]["kernel"]
    np.testing.assert_array_equal(
        kernel, tensors["features.denseblock4.denselayer16.conv2.weight"].transpose(2, 3, 1, 0)
    )
    status, printed = run("--checkpoint", tmp_path / "imagenet", "--to-torch", tmp_path / "x.pth")
    assert status == 2 and "holds the weights of a trunk alone" in printed


@pytest.mark.parametrize(("trunk", "model"), [("resnet50", "multi_task"), ("vgg16", "single_task")])
def test_other_trunks_go_there_and_back_bit_by_bit(trunk, model, run, tmp_path):
    tensors = tiny(model, trunk=trunk)
    writing.save(tmp_path / "w.pth", tensors)
    status, printed = run("--weights", tmp_path / "w.pth", "--output", tmp_path / "ours")
    assert status == 0 and trunk in printed
    assert run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pth")[0] == 0
    assert identical(reading.load(tmp_path / "back.pth"), tensors)


def test_converted_weights_judge_photographs(run, tmp_path):
    tensors = {name: np.abs(tensor) / 8 for name, tensor in tiny("multi_task").items() if "num_batches" not in name}
    writing.save(tmp_path / "w.pth", tensors)
    assert run("--weights", tmp_path / "w.pth", *TINY, "multi_task", "--output", tmp_path / "ours")[0] == 0
    words = ("predict", "--checkpoint", tmp_path / "ours", ASTRONAUT, GRACE_HOPPER, "--json", tmp_path / "faces.json")
    assert cli.main(list(map(str, words))) == 0
    for prediction in json.loads((tmp_path / "faces.json").read_text()):
        (face,) = prediction["faces"]
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5) and np.isfinite(face["valence"])


def test_tensors_that_do_not_fit_leave_nothing_behind(run, tmp_path):
    tensors = tiny("emotion_gcn") | {"extra": np.zeros(2)}
    del tensors["gc2.weight"]
    writing.save(tmp_path / "w.pth", tensors)
    status, printed = run("--weights", tmp_path / "w.pth", "--output", tmp_path / "ours")
    assert status == 2 and "nothing was written: missing: gc2.weight; unexpected: extra." in printed
    assert printed.count("\n") == 1 and not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("model", "with_emb", "message"),
    [
        ("emotion_gcn", False, "word vectors of 20 numbers, the embedded ones have 100: give"),
        ("emotion_gcn", True, "emb.pkl has 300: give those that it was trained with by --word-vectors"),
        ("emotion_gcn", True, "glove.6B.20d.txt"),
        ("single_task", True, "which has no graph: leave --word-vectors out"),
    ],
)
def test_word_vectors_must_be_as_wide_as_the_model_wants(model, with_emb, message, emb, run, tmp_path):
    writing.save(tmp_path / "w.pth", tiny(model))
    options = ["--word-vectors", emb] if with_emb else []
    status, printed = run("--weights", tmp_path / "w.pth", *TINY, model, "--output", tmp_path / "ours", *options)
    assert status == 2 and message in printed and not (tmp_path / "ours").exists()


WEIGHTS, NEW = ("--weights", "w.pth"), ("--output", "new")
ARGUMENTS = [
    (WEIGHTS, "either --weights FILE --output DIR, or --checkpoint DIR --to-torch OUT"),
    ((*WEIGHTS, "--to-torch", "x"), "either --weights FILE --output DIR"),
    (("--checkpoint", "there", "--output", "x"), "either --weights FILE --output DIR"),
    ((*WEIGHTS, "--output", "there"), "There is something at"),
    (("--weights", "absent.pth", *NEW), "There is no file"),
    ((*WEIGHTS, *NEW, "--imagenet", "--model", "single_task"), "official weights alone"),
    (("--checkpoint", "there", "--to-torch", "x.pth"), "No checkpoint was found"),
    (("--checkpoint", "there", "--to-torch", "there"), "There is something at"),
    (("--checkpoint", "there", "--to-torch", "there", "--imagenet"), "--imagenet is for --weights alone"),
    ((*WEIGHTS, *NEW, "--trunk", "vgg", "--model", "single_task"), "Unknown --trunk 'vgg': choose one of"),
    ((*WEIGHTS, *NEW, *TINY, "gcn"), "Unknown --model 'gcn': choose one of"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_arguments(arguments, message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    writing.save("w.pth", tiny("single_task"))
    status, printed = run(*arguments)
    assert status == 2 and message in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "w.pth"]


def test_hostile_file_is_refused_by_the_command_too(run, tmp_path):
    (tmp_path / "w.pth").write_bytes(f"cposix\nsystem\n(S'touch {tmp_path / 'canary'}'\ntR.".encode())
    status, printed = run("--weights", tmp_path / "w.pth", "--output", tmp_path / "ours")
    assert status == 2 and "posix.system" in printed and printed.count("\n") == 1
    assert not (tmp_path / "canary").exists() and not (tmp_path / "ours").exists()


@pytest.fixture(scope="module")
def graph_model(tmp_path_factory):
    """A converted emotion_gcn."""
    folder = tmp_path_factory.mktemp("graph_model")
    writing.save(folder / "w.pth", tiny("emotion_gcn", width=100))
    convert.from_official(folder / "w.pth", folder / "ours")
    return checkpoints.read(folder / "ours")


def of_tasks(meta, fields):
    meta["tasks"] = registry.to_dicts(registry.from_config(fields))


AFFECT, CLASSES = presets.TASKS["affect"], presets.TASKS["expression"]
# How a checkpoint's meta differs from that of an official model, and the sentence.
NOT_OFFICIAL = {
    "action units": (
        lambda meta: of_tasks(meta, {n: dict(presets.TASKS[n]) for n in presets.TASKS}),
        "predicts expression, affect, action_units by the head graph, and the official layout holds",
    ),
    "classes alone in a graph": (lambda meta: of_tasks(meta, {"expression": dict(CLASSES)}), "predicts expression by"),
    "values alone": (lambda meta: of_tasks(meta, {"affect": dict(AFFECT)}), "predicts affect by the head graph"),
    "other values": (
        lambda meta: of_tasks(
            meta, {"expression": dict(CLASSES), "affect": {**AFFECT, "dimensions": "arousal,valence"}}
        ),
        "the affect of Valence and Arousal",
    ),
    "another task's name": (
        lambda meta: of_tasks(meta, {"mood": dict(CLASSES), "affect": dict(AFFECT)}),
        "predicts mood, affect by",
    ),
    "cosines": (
        lambda meta: of_tasks(meta, {"expression": {**CLASSES, "loss": "arcface"}, "affect": dict(AFFECT)}),
        "has cosines (the loss arcface), hidden or recurrent layers or an embedding, and the official layout has",
    ),
    "an embedding": (lambda meta: meta["config"]["model"].update(embedding=8), "layers or an embedding, and"),
    "recurrent layers": (lambda meta: meta["config"]["model"].update(recurrent=[8]), "layers or an embedding, and"),
    "another head": (lambda meta: meta["config"]["model"].update(head="two_layers"), "by the head two_layers"),
    "propagated by rows": (
        lambda meta: meta["config"]["graph"].update(propagation="row"),
        "config.graph.propagation=row, and the official emotion_gcn has max and transposed: with these weights it",
    ),
    "the average": (
        lambda meta: meta["config"]["model"].update(readout="average"),
        "config.model.readout=average and config.graph.propagation=transposed, and the official emotion_gcn has max",
    ),
    "a trunk of one's own": (
        lambda meta: meta["config"]["model"].update(trunk="plain"),
        "is on plain, which has no names in PyTorch",
    ),
}


@pytest.mark.parametrize("case", NOT_OFFICIAL)
def test_what_the_official_layout_cannot_hold_is_not_written(case, graph_model, run, tmp_path, monkeypatch):
    change, message = NOT_OFFICIAL[case]
    monkeypatch.setitem(TRUNKS, "plain", object)
    meta = copy.deepcopy(graph_model.meta)
    change(meta)
    checkpoints.write(tmp_path / "ours", graph_model.variables, meta)
    status, printed = run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pth")
    assert status == 2 and message in printed and printed.count("\n") == 1 and len(printed) < 2000
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


@pytest.mark.parametrize("taken", ["back.pth", "back_emb.pkl"])
def test_no_file_is_replaced(taken, graph_model, run, tmp_path):
    (tmp_path / taken).write_text("mine")
    status, printed = run("--checkpoint", graph_model.path, "--to-torch", tmp_path / "back.pth")
    assert status == 2 and f"There is something at {tmp_path / taken} already" in printed
    assert [path.name for path in tmp_path.iterdir()] == [taken] and (tmp_path / taken).read_text() == "mine"
