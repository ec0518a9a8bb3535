"""Training that starts from a trunk's weights, or goes on from a whole checkpoint."""

import jax
import numpy as np
import pytest

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.conversion import convert, names
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.torch_files import writing
from emotion_gcn_jax.training import run, starting_point, workdir
from tests import untrained
from tests.models.running import create, random_variables
from tests.untrained import write_checkpoint


@pytest.fixture
def config(config_of):
    return config_of("densenet_tiny,emotion_gcn")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Folders of checkpoints that PyTorch weights were converted into, by model."""
    folder = tmp_path_factory.mktemp("converted")
    rng = np.random.default_rng(0)
    for model in ("emotion_gcn", "single_task"):
        layout = names.official_tensors("densenet_tiny", model, word_vector_width=100)
        tensors = {
            t.name: np.zeros(t.shape, t.dtype) if t.dtype == "int64" else rng.uniform(0.01, 0.1, t.shape).astype("f4")
            for t in layout
        }
        writing.save(folder / f"{model}.pth", tensors)
        convert.from_official(folder / f"{model}.pth", folder / model, trunk="densenet_tiny", model=model)
    return folder


def equal(tree, other):
    return jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), tree, other))


def test_training_goes_on_from_converted_weights_and_from_a_run_s_own(config, converted, tmp_path):
    config.init.checkpoint = str(converted / "emotion_gcn")
    config.graph.correlations = "no/such.csv"  # not read: the graph is the checkpoint's
    read = checkpoints.read(converted / "emotion_gcn")
    prepared = run.prepare(config)
    assert equal(prepared.initial_state.evaluated_variables(), read.variables)
    saved = checkpoints.Checkpoints(tmp_path)
    changed = jax.tree.map(lambda array: array + 1, jax.device_get(prepared.initial_state.evaluated_variables()))
    saved.save_best(1, changed, prepared.meta)
    saved.close()
    config.init.checkpoint = str(tmp_path)
    assert equal(run.prepare(config).initial_state.evaluated_variables(), changed)


def test_a_run_goes_on_without_what_it_started_from(config, converted, tmp_path):
    config.init.checkpoint = str(converted / "emotion_gcn")
    prepared = run.prepare(config)
    state = jax.device_get(prepared.initial_state)
    saved = checkpoints.Checkpoints(tmp_path)
    saved.save_last(7, state.evaluated_variables(), state.remainder(), prepared.meta)
    saved.close()
    config.init.checkpoint = "no/longer/there"
    config.graph.correlations = "nor/these.csv"
    again = run.prepare(config, last=checkpoints.last_folder(tmp_path))
    assert equal(again.initial_state.constants, state.constants)


def test_trunk_alone(config, converted):
    fresh = run.prepare(config).initial_state
    config.init.trunk = str(converted / "single_task")
    state = run.prepare(config).initial_state
    read = checkpoints.read(converted / "single_task").variables
    assert equal(state.params["trunk"], read["params"]["trunk"])
    assert equal(state.batch_stats["trunk"], read["batch_stats"]["trunk"])
    assert equal(state.params["head"], fresh.params["head"]) and equal(state.constants, fresh.constants)


def net_of(hidden, embedding):
    return create("plain", "single_task", readout="flatten", hidden=hidden, embedding=embedding)


# Of a network there and of one here: hidden layers, embedding, the images' side; what is taken, and what is said.
NECKS = {
    "alike": (((6, 5), 4, 64), ((6, 5), 4, 64), ["hidden1", "hidden2", "embedding", "norm"], ""),
    "another side": (
        ((6, 5), 4, 64),
        ((6, 5), 4, 32),
        [],
        "neck/hidden1 is 4096 x 6 there and 1024 x 6 here, so",
    ),
    "a narrower second": (((6, 5), 4, 32), ((6, 3), 4, 32), ["hidden1"], "neck/hidden2 is 6 x 5 there and 6 x 3 here"),
    "a longer one": (((6,), 0, 32), ((6, 5), 4, 32), ["hidden1"], "neck/hidden2 is absent there and 6 x 5 here"),
    "a shorter one": (((6, 6), 4, 32), ((6,), 4, 32), ["hidden1"], "neck/embedding is 6 x 4, after 2 hidden layers, t"),
    "none there": (((), 0, 32), ((6,), 0, 32), [], ""),
    "none here": (((6,), 0, 32), ((), 0, 32), [], ""),
}


@pytest.mark.parametrize("case", NECKS)
def test_a_neck_is_taken_up_to_its_first_layer_that_differs(case, capsys):
    (*there, side_there), (*here, side_here), taken, said = NECKS[case]
    theirs = random_variables(net_of(*there), np.zeros((1, side_there, side_there, 3), np.float32))
    theirs = jax.tree.map(lambda array: array + 1, theirs)
    net = net_of(*here)
    fresh = random_variables(net, np.zeros((1, side_here, side_here, 3), np.float32))
    parts = ("trunk", "neck")
    start = {name: {part: theirs[name][part] for part in parts if part in theirs[name]} for name in theirs}
    found = starting_point.replace(jax.tree.map(lambda array: array, fresh), start, net)
    assert equal(found["params"]["trunk"], theirs["params"]["trunk"])
    for name in ("params", "batch_stats"):
        for layer, tree in found[name].get("neck", {}).items():
            assert equal(tree, (theirs if layer in taken else fresh)[name]["neck"][layer])
    printed = capsys.readouterr().out
    assert said in printed and printed.count("\n") == 1 + bool(said)
    assert f"gives {', '.join(['trunk', *(f'neck/{layer}' for layer in taken)])}; new are " in printed


def test_a_neck_of_features_that_were_read_out_otherwise_is_not_taken(config_of, tmp_path):
    write_checkpoint(tmp_path, "mt_arcres", embedding=16, readout="max")
    config = config_of("densenet_tiny,mt_arcres")
    config.init.trunk = str(tmp_path)
    assert starting_point.read(config, ())["params"].keys() == {"trunk"}


def test_images_are_normalised_as_the_weights_learnt(config_of, converted):
    config = config_of("densenet_tiny,single_task")
    config.init.trunk = str(converted / "single_task")
    config.input.mean = (0.5, 0.5, 0.5)
    sentence = r"give --config.input.mean='\(0.485, 0.456, 0.406\)' --config.input.deviation='\(0.229, 0.224, 0.225\)'"
    with pytest.raises(UserError, match=sentence):
        starting_point.read(config, ())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"init.trunk": "no/folder"}, "No checkpoint was found in .*no/folder"),
        ({"init.trunk": "single_task", "init.checkpoint": "single_task"}, "both given"),
        (
            {"init.trunk": "single_task", "model.trunk": "densenet121"},
            "single_task holds a densenet_tiny, and config.model",
        ),
        (
            {"init.checkpoint": "single_task"},
            "has config.model.readout average and head linear: set config.model to the",
        ),
        (
            {"init.checkpoint": "emotion_gcn", "tasks.expression.vocabulary": "Happy,Sad"},
            r"predicts expression \(Neutral, .* Arousal\), and the config's tasks are expression \(Happy, Sad\) and ",
        ),
        ({"init.checkpoint": "trunk"}, "holds the weights of a trunk alone: name it by config.init.trunk"),
        ({"init.checkpoint": "emotion_gcn", "graph.propagation": "row"}, "config.graph.propagation transposed: set it"),
        (
            {"init.checkpoint": "emotion_gcn", "tasks.expression.loss": "arcface"},
            r"has cosines for no task, and the config for expression: set the same losses \(arcface\)",
        ),
        ({"init.trunk": "damaged"}, "other params than config.model's"),
    ],
)
def test_what_does_not_fit(fields, message, config, converted):
    whole = checkpoints.read(converted / "single_task")
    for name in ("trunk", "damaged"):
        if not (converted / name).exists():
            parts = {key: {"trunk": dict(whole.variables[key]["trunk"])} for key in ("params", "batch_stats")}
            if name == "damaged":
                del parts["params"]["trunk"]["stem_conv"]
            checkpoints.write(converted / name, parts, {"config": {"model": {"trunk": "densenet_tiny"}}})
    for field, value in fields.items():
        path = str(converted / value) if field.startswith("init.") else value
        config.update_from_flattened_dict({field: path})
    with pytest.raises(UserError, match=message) as caught:
        run.prepare(config)
    assert "\n" not in str(caught.value)


EAR = {"hearing": "vgg_tiny", "hearing_width": 3, "recurrent": (2,), "clip_length": 4}


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """A run of a network that only hears."""
    return write_checkpoint(tmp_path_factory.mktemp("heard"), "mt_audio_rnn", **EAR | {"trunk": "none"})


def hearing_config(config_of, heard, **parts):
    config = config_of("densenet_tiny,mt_av_rnn")
    config.model.update({**{name: EAR[name] for name in ("hearing", "hearing_width", "recurrent")}, **parts})
    config.model.update(hidden=(), readout="average")
    config.init.hearing = str(heard)
    return config


@pytest.mark.parametrize(("width", "taken"), [(3, ["trunk", "fc"]), (4, ["trunk"])])
def test_what_hears_starts_from_another_run_and_what_sees_from_one_of_its_own(
    config_of, converted, heard, width, taken, capsys
):
    config = hearing_config(config_of, heard, hearing_width=width)
    config.init.trunk = str(converted / "single_task")
    start = starting_point.read(config, ())
    assert {name: set(parts) for name, parts in start.items()} == {
        name: {"trunk", "hearing"} for name in ("params", "batch_stats")
    }
    tasks = registry.from_config(config.tasks)
    net = emotion_net.from_config(config, tasks, {})
    fresh = untrained.random_variables(net)
    found = starting_point.replace(jax.tree.map(lambda array: array + 1, fresh), start, net)
    theirs, eye = (checkpoints.read(path).variables for path in (heard, converted / "single_task"))
    assert equal(found["params"]["trunk"], eye["params"]["trunk"])
    for layer in ("trunk", "fc"):
        is_theirs = equal(found["params"]["hearing"][layer], theirs["params"]["hearing"][layer])
        assert is_theirs == (layer in taken)
    of_ear = ", ".join(f"hearing/{layer}" for layer in taken)
    printed = capsys.readouterr().out
    assert printed.startswith(f"config.init.trunk gives trunk; config.init.hearing gives {of_ear}; new are ")
    assert ("hearing/fc" in printed.partition("new are")[2]) == (taken == ["trunk"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"model.hearing": "resnet_tiny"},
            "hears by vgg_tiny, and config.model.hearing is resnet_tiny: choose",
        ),
        ({"model.hearing": ""}, "hears by vgg_tiny, and config.model.hearing is empty"),
        ({"init.hearing": "single_task"}, "hears nothing, and config.model.hearing is vgg_tiny"),
        ({"init.checkpoint": "single_task"}, "config.init.hearing and config.init.checkpoint are both given"),
        (
            {"init.trunk": "heard", "init.hearing": "", "model.trunk": "none"},
            "hears and does not see: name it by config",
        ),
    ],
)
def test_an_ear_that_does_not_fit(config_of, converted, heard, fields, message):
    config = hearing_config(config_of, heard)
    for field, value in fields.items():
        is_path = field.startswith("init.") and value
        path = str(heard if value == "heard" else converted / value) if is_path else value
        config.update_from_flattened_dict({field: path})
    with pytest.raises(UserError, match=message) as caught:
        starting_point.read(config, ())
    assert "\n" not in str(caught.value)


def test_a_resumed_run_needs_no_starting_point_any_more(config):
    assert {f"init.{name}" for name in config.init} == workdir.STARTING_POINT
