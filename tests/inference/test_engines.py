import jax
import jax.monitoring
import numpy as np
import pytest

import emotion_gcn_jax as eg
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.onnx_writer import onnx_graph
from tests import stored_runs
from tests.untrained import random_variables

FACES = np.random.default_rng(0).integers(0, 256, (41, 32, 32, 3), np.uint8)


def faces_of(model, count=9):
    side, channels = model.input.side, model.input.channels
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), np.uint8)


def check_equal(found, expected, tolerance=1e-5):
    assert list(found) == list(expected)
    for name, rows in found.items():
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, expected[name], rtol=tolerance, atol=tolerance, strict=True)


def refuse(*arguments, **options):
    raise onnx_graph.NotWritableError("The model uses JAX's sin.")


@pytest.fixture
def compiled():
    """The names of what XLA compiled."""
    programs = []

    def listen(event, seconds, **options):
        if event.endswith("backend_compile_duration"):
            programs.append(options.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield programs
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize(
    "name", ["single_task", "emotion_gcn", "emotion_gcn_au", "own", "grey", "crop", "arcface", "neck"]
)
def test_both_engines_give_the_same_answers(workdirs, name):
    by_jax, by_onnx = (eg.load(workdirs(name), engine=engine) for engine in ("jax", "onnx"))
    assert (by_jax.engine, by_onnx.engine) == ("jax", "onnx")
    faces = faces_of(by_jax)
    expected = by_jax.answers(faces)
    assert list(expected) == [task.name for task in by_jax.tasks]
    check_equal(by_onnx.answers(faces), expected)


def test_faces_are_judged_alike_by_an_embedding_and_cosines(workdirs):
    of_engines = [eg.load(workdirs("neck"), engine=engine).predict_faces([FACES[0]]) for engine in ("jax", "onnx")]
    (by_jax,), (by_onnx,) = of_engines
    assert by_onnx.expression == by_jax.expression
    assert by_onnx.probabilities == pytest.approx(by_jax.probabilities, abs=1e-5)
    assert sum(by_jax.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert by_onnx.answers["affect"] == pytest.approx(by_jax.answers["affect"], abs=1e-5)


@pytest.mark.parametrize("engine", ["jax", "onnx"])
def test_a_model_of_crops_judges_the_middle(workdirs, engine):
    model = eg.load(workdirs("crop"), engine=engine)
    faces = faces_of(model, 3)
    middle = model.input.normalise(faces[:, 2:34, 2:34])  # (37 - 32) / 2 = 2.5, rounded to the even 2
    expected = {task.name: task.answer(outputs) for task, outputs in zip(model.tasks, model(middle), strict=True)}
    check_equal(model.answers(faces), {name: np.asarray(rows) for name, rows in expected.items()})
    whole = [face.answers["expression"] for face in model.predict_faces(list(faces))]
    np.testing.assert_allclose(
        [list(answers["probabilities"].values()) for answers in whole], expected["expression"], atol=1e-5
    )


@pytest.mark.parametrize("name", stored_runs.FORMATS)
def test_both_engines_run_stored_models(name):
    by_jax, by_onnx = (eg.load(stored_runs.run_of(name), engine=engine) for engine in ("jax", "onnx"))
    check_equal(by_onnx.answers(faces_of(by_jax)), by_jax.answers(faces_of(by_jax)))


def test_the_faster_engine_is_chosen(workdir, monkeypatch):
    assert jax.default_backend() == "cpu"
    assert eg.load(workdir).engine == "onnx"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert eg.load(workdir).engine == "jax"


def test_a_model_that_cannot_be_written_is_run_by_jax(workdir, monkeypatch):
    monkeypatch.setattr(onnx_graph, "write", refuse)
    model = eg.load(workdir)
    assert model.engine == "jax"
    check_equal(model.answers(FACES[:1]), eg.load(workdir, engine="jax").answers(FACES[:1]))
    with pytest.raises(UserError, match=r"^The model uses JAX's sin\.$"):
        eg.load(workdir, engine="onnx").answers(FACES[:1])


def test_an_unknown_engine_gets_a_sentence(workdir):
    with pytest.raises(
        UserError, match=r"^Unknown engine 'torch': choose one of onnx, jax, or none for the faster one\.$"
    ):
        eg.load(workdir, engine="torch")


@pytest.mark.parametrize("engine", ["onnx", "jax"])
@pytest.mark.parametrize("trunk", ["densenet_tiny", "bregnext_tiny"])
def test_trunks_in_bfloat16_are_run(workdir, engine, trunk):
    meta = eg.load(workdir).meta
    tasks = eg.load(workdir).tasks
    precise, rounding = (emotion_net.create_model(trunk, tasks, dtype=dtype) for dtype in ("float32", "bfloat16"))
    variables = random_variables(precise)
    expected = eg.EmotionModel(precise, variables, meta, "onnx").answers(FACES[:3])
    found = eg.EmotionModel(rounding, variables, meta, engine).answers(FACES[:3])
    check_equal(found, expected, 1e-6 if engine == "onnx" else 0.1)


@pytest.mark.parametrize("engine", ["onnx", "jax"])
@pytest.mark.parametrize("count", [1, 8, 9, 33])
def test_faces_are_judged_alike_alone_and_together(workdir, engine, count):
    model = eg.load(workdir, engine=engine)
    alone = [model.answers(face[None]) for face in FACES[:count]]
    together = {name: np.concatenate([answers[name] for answers in alone]) for name in alone[0]}
    check_equal(model.answers(FACES[:count]), together)


@pytest.mark.parametrize("engine", ["onnx", "jax"])
def test_no_faces_have_no_answers(workdir, engine):
    model = eg.load(workdir, engine=engine)
    assert {name: rows.shape for name, rows in model.answers(FACES[:0]).items()} == {
        task.name: (0, len(task.outputs)) for task in model.tasks
    }


@pytest.mark.parametrize("name", ["emotion_gcn", "own"])
def test_onnxruntime_needs_nothing_compiled(workdirs, name, compiled):
    workdir = workdirs(name)
    jax.clear_caches()
    compiled.clear()  # writing the checkpoint may have done so
    model = eg.load(workdir, engine="onnx")
    for count in (1, 2, 9):
        model.predict_faces(FACES[:count])
    assert compiled == []


def test_jax_compiles_three_sizes_at_most(workdir, compiled):
    jax.clear_caches()
    model = eg.load(workdir, engine="jax")
    model.answers(FACES[:1])
    for count in (1, 2, 8, 9, 32, 33, 41):
        model.answers(FACES[:count])
    assert sum("lambda" in program for program in compiled) <= 3
