"""Official files to checkpoints and back, by the command; nothing is written where anything is wrong."""

import hashlib
import json
import pickle

import numpy as np
import pytest

from emotion_gcn_jax import checkpoints, cli
from emotion_gcn_jax.conversion import names
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.torch_files import reading, writing
from tests.conversion.conftest import SIX, identical, random_tensors
from tests.photographs import ASTRONAUT, GRACE_HOPPER
from tests.torch_files import handmade

VECTORS_9x300 = np.random.default_rng(9).standard_normal((9, 300)).astype(np.float32)


@pytest.fixture
def emb(tmp_path):
    """The word vectors as the official repository has them."""
    path = tmp_path / "emb.pkl"
    path.write_bytes(pickle.dumps(VECTORS_9x300))
    return path


@pytest.fixture
def run(capsys):
    """Runs the command, and returns its exit status and what it printed."""

    def convert(*arguments):
        status = cli.main(["convert", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return convert


@pytest.mark.parametrize(("trunk", "model"), SIX)
def test_file_to_checkpoint_to_file_is_bit_identical(trunk, model, official, emb, run, tmp_path):
    tensors = official(trunk, model)
    writing.save(tmp_path / "w.pth", tensors)
    vectors = ["--word-vectors", emb] if model == "emotion_gcn" else []
    status, printed = run("--weights", tmp_path / "w.pth", "--output", tmp_path / "ours", *vectors)
    # Emotion-GCN spec, section 1; emotion_gcn without its frozen adjacency
    count = {"densenet121": (6961031, 6963081, 7631744), "bregnext50": (3072567, 3072825, 3290800)}[trunk]
    count = count[emotion_net.MODELS.index(model)]
    assert status == 0 and f"{model} on {trunk}, {count:,} parameters" in printed and "GPL-3.0" in printed
    read = checkpoints.read(tmp_path / "ours")
    assert (read.meta["config"]["model"]["trunk"], read.meta["config"]["model"]["name"]) == (trunk, model)
    assert read.meta["config"]["data"]["image_size"] == {"densenet121": 227, "bregnext50": 112}[trunk]
    assert Crop.from_dict(read.meta["crop"]).size == read.meta["config"]["data"]["image_size"]
    assert read.meta["label_names"] == ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger"]
    assert read.meta["origin"]["sha256"] == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert read.meta["origin"]["file"] == "w.pth" and "GPL-3.0" in read.meta["origin"]["licence"]
    if model == "emotion_gcn":
        np.testing.assert_array_equal(read.variables["graph"]["head"]["word_vectors"], VECTORS_9x300)
        np.testing.assert_array_equal(read.variables["graph"]["head"]["adjacency"], tensors["A"])
    status, printed = run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pth")
    assert status == 0 and identical(reading.load(tmp_path / "back.pth"), tensors)
    assert (tmp_path / "back_emb.pkl").exists() == (model == "emotion_gcn")
    if model == "emotion_gcn":
        np.testing.assert_array_equal(reading.load(tmp_path / "back_emb.pkl"), VECTORS_9x300)


def tiny(model, width=20, seed=0):
    """A random state dict of a small model."""
    layout = names.official_tensors("densenet_tiny", model, word_vector_width=width)
    return random_tensors([(t.name, t.shape, t.dtype) for t in layout], seed)


TINY = ("--trunk", "densenet_tiny", "--model")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_whole_checkpoint_of_data_parallel_in_both_formats(kind, run, tmp_path):
    tensors = {name: np.asarray(tensor) for name, tensor in tiny("single_task").items()}
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


@pytest.mark.parametrize("model", emotion_net.MODELS)
def test_label_order_of_affwild2(model, run, tmp_path):
    tensors = {name: np.asarray(tensor) for name, tensor in tiny(model, 100).items()}
    writing.save(tmp_path / "w.pth", tensors)
    for name, options in {"theirs": (), "ours": ("--label-order", "affwild2")}.items():
        status, printed = run("--weights", tmp_path / "w.pth", *TINY, model, "--output", tmp_path / name, *options)
        assert status == 0
    assert "row 4 to 1, 5 to 2, 6 to 3, 3 to 4, 2 to 5, 1 to 6" in printed
    theirs, ours = (checkpoints.read(tmp_path / name) for name in ("theirs", "ours"))
    assert ours.meta["origin"]["label_order"] == ours.meta["dataset"] == "affwild2"
    assert ours.meta["config"]["data"]["image_size"] == 112
    head = emotion_net.create_model("densenet_tiny", model, word_vector_width=100).head
    variables = [
        {name: tree["head"] for name, tree in read.variables.items() if "head" in tree} for read in (theirs, ours)
    ]
    channels = len(ours.variables["params"]["trunk"]["final_norm"]["scale"])
    features = np.random.default_rng(0).standard_normal((2, channels)).astype(np.float32)
    (logits, affect), (ours_logits, ours_affect) = (head.apply(tree, features) for tree in variables)
    # Aff-Wild2: Neutral, Anger, Disgust, Fear, Happiness, Sadness, Surprise
    happy, sad, surprise, fear, disgust, anger = 4, 5, 6, 3, 2, 1
    expected = logits[:, [0, happy, sad, surprise, fear, disgust, anger]]
    np.testing.assert_allclose(ours_logits, expected, rtol=1e-4, atol=1e-4 * np.abs(logits).max())
    if affect is not None:
        np.testing.assert_allclose(ours_affect, affect, rtol=1e-4, atol=1e-4 * np.abs(affect).max())
    run("--checkpoint", tmp_path / "ours", "--to-torch", tmp_path / "back.pth")
    assert identical(reading.load(tmp_path / "back.pth"), tensors)


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
    assert status == 2 and "classifier.weight has shape 1000x1024 instead of 7x1024" in printed
    assert "torchvision's ImageNet file: add --imagenet" in printed and not (tmp_path / "imagenet").exists()
    status, printed = run(*weights, "--imagenet")
    assert status == 0 and "BSD-3-Clause" in printed
    read = checkpoints.read(tmp_path / "imagenet")
    assert set(read.variables["params"]) == {"trunk"} and "BSD-3-Clause" in read.meta["origin"]["licence"]
    kernel = read.variables["params"]["trunk"]["block4_layer16"]["conv2"]["kernel"]
    np.testing.assert_array_equal(
        kernel, tensors["features.denseblock4.denselayer16.conv2.weight"].transpose(2, 3, 1, 0)
    )
    status, printed = run("--checkpoint", tmp_path / "imagenet", "--to-torch", tmp_path / "x.pth")
    assert status == 2 and "holds the weights of a trunk alone" in printed


def test_converted_weights_judge_photographs(run, tmp_path):
    tensors = {name: np.abs(tensor) / 8 for name, tensor in tiny("multi_task").items() if "num_batches" not in name}
    writing.save(tmp_path / "w.pth", tensors)
    assert run("--weights", tmp_path / "w.pth", *TINY, "multi_task", "--output", tmp_path / "ours")[0] == 0
    arguments = [
        "predict",
        "--checkpoint",
        tmp_path / "ours",
        ASTRONAUT,
        GRACE_HOPPER,
        "--json",
        tmp_path / "faces.json",
    ]
    assert cli.main(list(map(str, arguments))) == 0
    for prediction in json.loads((tmp_path / "faces.json").read_text()):
        (face,) = prediction["faces"]
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5) and np.isfinite(face["valence"])


def without(tensors, *left_out, **changed):
    return {name: tensor for name, tensor in tensors.items() if name not in left_out} | changed


BAD_FILES = {
    "problems": (
        lambda t: without(t, "gc2.weight", extra=np.zeros(2), A=np.full((9, 9), np.nan, np.float32)),
        "does not fit, and nothing was written: missing: gc2.weight; unexpected: extra; A has numbers that are not",
    ),
    "no state dict": (lambda t: np.zeros(3), "holds no state dict"),
    "something else": (lambda t: {"layer.weight": np.zeros(3)}, "is no official Emotion-GCN model: it has 1 tensors"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_weights(case, run, tmp_path):
    change, message = BAD_FILES[case]
    writing.save(tmp_path / "w.pth", change(tiny("emotion_gcn")))
    trunk = (*TINY, "emotion_gcn") if case == "problems" else ()
    status, printed = run("--weights", tmp_path / "w.pth", *trunk, "--output", tmp_path / "ours")
    assert status == 2 and message in printed and printed.count("\n") == 1
    assert not (tmp_path / "ours").exists()


def test_word_vectors_must_be_as_wide_as_the_model_wants(emb, run, tmp_path):
    writing.save(tmp_path / "w.pth", tiny("emotion_gcn"))
    arguments = ("--weights", tmp_path / "w.pth", *TINY, "emotion_gcn", "--output", tmp_path / "ours")
    assert "word vectors of 20 numbers, the embedded ones have 100: give" in run(*arguments)[1]
    assert "word vectors of 20 numbers, " in (printed := run(*arguments, "--word-vectors", emb)[1])
    assert "emb.pkl has 300" in printed and "glove.6B.20d.txt" in printed
    writing.save(tmp_path / "s.pth", tiny("single_task"))
    arguments = ("--weights", tmp_path / "s.pth", *TINY, "single_task", "--output", tmp_path / "ours")
    assert "which has no graph: leave --word-vectors out" in run(*arguments, "--word-vectors", emb)[1]
    assert not (tmp_path / "ours").exists()


def test_arguments(run, tmp_path):
    (tmp_path / "there").mkdir()
    weights = ("--weights", tmp_path / "w.pth")
    for arguments, message in (
        (weights, "either --weights FILE --output DIR, or --checkpoint DIR --to-torch OUT"),
        ((*weights, "--to-torch", "x"), "either --weights FILE --output DIR"),
        (("--checkpoint", tmp_path, "--output", "x"), "either --weights FILE --output DIR"),
        ((*weights, "--output", tmp_path / "there"), "There is something at"),
        ((*weights, "--output", tmp_path / "new"), "There is no file"),
        ((*weights, "--output", tmp_path / "new", "--imagenet", "--model", "single_task"), "official weights alone"),
        (("--checkpoint", tmp_path, "--to-torch", tmp_path / "x.pth"), "No checkpoint was found"),
        (("--checkpoint", tmp_path, "--to-torch", tmp_path / "there"), "There is something at"),
    ):
        status, printed = run(*arguments)
        assert status == 2 and message in printed, printed
    writing.save(tmp_path / "w.pth", tiny("single_task"))
    for options, message in (
        (("--trunk", "vgg", "--model", "single_task"), "Unknown trunk 'vgg': choose one of"),
        ((*TINY, "gcn"), "Unknown model 'gcn': choose one of"),
        (
            (*TINY, "single_task", "--label-order", "fer2013"),
            "Unknown label order 'fer2013': choose one of affectnet, ",
        ),
    ):
        status, printed = run(*weights, "--output", tmp_path / "new", *options)
        assert status == 2 and message in printed, printed


def test_hostile_file_is_refused_by_the_command_too(run, tmp_path):
    (tmp_path / "w.pth").write_bytes(f"cposix\nsystem\n(S'touch {tmp_path / 'canary'}'\ntR.".encode())
    status, printed = run("--weights", tmp_path / "w.pth", "--output", tmp_path / "ours")
    assert status == 2 and "asks for posix.system, which is no tensor" in printed and printed.count("\n") == 1
    assert not (tmp_path / "canary").exists() and not (tmp_path / "ours").exists()


def test_a_graph_propagated_by_rows_has_no_official_form(run, tmp_path):
    writing.save(tmp_path / "w.pth", tiny("emotion_gcn", width=100))
    assert run("--weights", tmp_path / "w.pth", *TINY, "emotion_gcn", "--output", tmp_path / "ours")[0] == 0
    read = checkpoints.read(tmp_path / "ours")
    read.meta["config"]["graph"]["propagation"] = "row"
    checkpoints.write(tmp_path / "rows", read.variables, read.meta)
    status, printed = run("--checkpoint", tmp_path / "rows", "--to-torch", tmp_path / "rows.pth")
    assert status == 2 and "propagation=row, which the official code does not know" in printed
    assert not list(tmp_path.glob("rows*.p*"))
