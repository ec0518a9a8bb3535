"""Whole runs: what they leave behind, how they go on, and how every mistake is answered."""

import csv
import json
import shutil

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from emotion_gcn_jax import checkpoints, cli
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation import predictions
from emotion_gcn_jax.training import loop, run
from tests.training.conftest import killed_after


def assert_trees_identical(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def read_all(workdir):
    """Everything of a run's last and best checkpoints but their configs."""
    found = []
    for which in ("last", "best"):
        folder = max((workdir / checkpoints.FOLDER / which).iterdir(), key=lambda step: int(step.name))
        checkpoint = checkpoints.read(folder)
        found.append((folder.name, checkpoint.variables, checkpoint.meta["progress"], checkpoint.meta["validation"]))
    return found


def test_a_run_learns_and_leaves_checkpoints_scalars_and_a_report(config_of, tmp_path, capfd):
    config = config_of("densenet_tiny,emotion_gcn")
    config.training.epochs = 16
    config.optimizer.learning_rate = 5e-3
    config.training.ema_decay = 0.5
    config.training.select_by = "ccc_mean"
    config.training.patience = 0
    metrics = loop.train_and_evaluate(config, tmp_path)
    # Rounding differs between processors and versions, and with it a run this short: seeds 0 to 3 gave accuracies of
    # 0.61 to 0.88 (chance: 0.14) and a mean CCC of 0.99.
    assert metrics["accuracy"] > 0.5
    assert metrics["ccc_mean"] > 0.8

    report = tmp_path / "report"
    assert json.loads((report / "metrics.json").read_text())["accuracy"] == metrics["accuracy"]
    assert metrics["examples"] == 37
    assert sorted(path.name for path in report.iterdir()) == [
        "confusion.png",
        "curves.png",
        "metrics.json",
        "predictions.csv",
        "valence_arousal.png",
    ]
    with (report / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["expression_true"]]
    assert len(rows) == 37 - 4  # numbers 0, 11, 22 and 33 have no expression
    assert metrics["accuracy"] == np.mean([row["expression_true"] == row["expression_predicted"] for row in rows])

    best = checkpoints.read(tmp_path)
    assert best.meta["format_version"] == checkpoints.FORMAT_VERSION
    expression, affect = best.meta["tasks"]
    assert expression["vocabulary"] == ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger"]
    assert affect["dimensions"] == ["valence", "arousal"]
    assert best.meta["input"] == json.loads(config.to_json())["input"]
    assert best.meta["crop"] == {"side": 1.3, "size": 32}
    assert best.meta["config"]["model"]["trunk"] == "densenet_tiny"
    assert best.variables["constants"]["head"]["adjacency"].shape == (9, 9)
    assert best.variables["constants"]["head"]["word_vectors"].shape == (9, 100)

    events = EventAccumulator(tmp_path / "tensorboard", size_guidance={"tensors": 0}).Reload()
    steps = [event.step for event in events.Tensors("train/loss")]
    assert steps == list(range(1, 113))
    assert len(events.Tensors("validation/accuracy")) == 16

    printed = capfd.readouterr()
    assert "densenet_tiny" in printed.out
    assert "2 x cpu" in printed.out
    assert "loss=" in printed.err
    assert "images/s" in printed.err


def test_the_command_evaluate_writes_the_report_of_the_training(finished, shades, tmp_path, capsys):
    _, workdir, trained = finished
    words = f"evaluate --checkpoint {workdir} --dataset shades --data-dir {shades} --split validation --output"
    assert cli.main([*words.split(), str(tmp_path / "again")]) == 0
    assert f"accuracy {trained['accuracy']:.3f} (" in capsys.readouterr().out
    evaluated = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert list(evaluated) == list(trained)
    assert evaluated["confusion"] == trained["confusion"] and evaluated["config"] == trained["config"]
    for name in ("ccc_valence", "rmse_arousal"):
        assert evaluated[name] == pytest.approx(trained[name], abs=1e-4)
    lower, upper = evaluated["intervals_95"]["accuracy"]
    assert lower < evaluated["accuracy"] < upper
    files = {path.name for path in (workdir / "report").iterdir()} - {"curves.png"}
    assert {path.name for path in (tmp_path / "again").iterdir()} == files
    assert cli.main([*words.replace("shades", "nothing", 1).split(), str(tmp_path / "again")]) == 2
    assert "There is no dataset 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["adamw, cosine, average", "sgd, steps", "crops, mixed and balanced"])
def test_a_killed_and_resumed_run_ends_as_an_unbroken_one(config, config_of, tmp_path, recipe):
    if recipe == "sgd, steps":
        config = config_of("plain,single_task")
        config.optimizer.update(name="sgd", schedule="step", step_epochs=1, learning_rate=1e-2)
    elif recipe == "crops, mixed and balanced":
        config = config_of("plain,multi_task")
        config.input.update(side=36, crop=32)
        config.dataset.balance = "expression"
        config.tasks.expression.label_smoothing = 0.1
        config.augmentation.update(zoom=0.2, shift=0.1, low_resolution=0.5, erase_probability=0.5, mixup=0.4)
        config.optimizer.update(name="sgd", nesterov=True, decay_only_kernels=True, learning_rate=1e-2)
    else:
        config.training.ema_decay = 0.9
    config.training.checkpoint_every_steps = 3  # the kill comes at step 9 of 14, inside the second epoch
    loop.train_and_evaluate(config, tmp_path / "straight")
    with killed_after("save_last", 9):
        loop.train_and_evaluate(config, tmp_path / "broken")
    with pytest.raises(UserError, match="already holds a run: pass --resume"):
        loop.train_and_evaluate(config, tmp_path / "broken")
    loop.train_and_evaluate(config, tmp_path / "broken", resume=True)

    assert_trees_identical(read_all(tmp_path / "broken"), read_all(tmp_path / "straight"))
    fresh = run.prepare(config).initial_state
    states = [
        checkpoints.Checkpoints(tmp_path / name).restore_last(fresh.evaluated_variables(), fresh.remainder())[:2]
        for name in ("broken", "straight")
    ]
    # single_task leaves the 7 of 70 examples without an expression out: 6 steps an epoch, not 7
    assert int(states[0][1]["step"]) == (12 if recipe == "sgd, steps" else 14)
    assert_trees_identical(*states)  # with the optimiser's state, and the parameters beside their average


def test_a_kill_between_a_new_best_checkpoint_and_the_last_loses_neither(config, tmp_path, monkeypatch):
    def scores(*accuracies):
        found, metrics = iter(accuracies), predictions.metrics_by_task
        return lambda of: metrics(of) | {"expression": metrics(of)["expression"] | {"accuracy": next(found)}}

    with monkeypatch.context() as patch, killed_after("save_best", 14):
        patch.setattr(loop, "metrics_by_task", scores(0.5, 0.6))
        loop.train_and_evaluate(config, tmp_path)
    assert checkpoints.read(tmp_path).meta["step"] == 14
    with monkeypatch.context() as patch:  # on another machine the epoch that is repeated turns out a little worse
        patch.setattr(loop, "metrics_by_task", scores(0.4))
        loop.train_and_evaluate(config, tmp_path, resume=True)
    assert checkpoints.read(tmp_path).meta["step"] == 7
    assert [step for step, *_ in read_all(tmp_path)] == ["14", "7"]


def test_resuming_a_finished_run_only_writes_its_report_again(finished):
    config, workdir, first = finished
    before = read_all(workdir)
    assert loop.train_and_evaluate(config, workdir, resume=True) == first
    assert_trees_identical(read_all(workdir), before)


def test_resuming_with_another_config_names_what_differs(config, finished):
    config.training.epochs = 1
    config.training.patience = 3  # may differ
    config.optimizer.learning_rate = 0.5
    with pytest.raises(UserError, match=r"another config: optimizer.learning_rate was 0.002 and is 0.5: set"):
        loop.train_and_evaluate(config, finished[1], resume=True)


def test_a_run_of_quite_another_config_gets_a_short_answer_that_names_every_field(config_of, finished):
    config = config_of("plain,emotion_gcn_au")
    config.update_from_flattened_dict({f"optimizer.{name}": 7.0 for name in ("momentum", "step_factor", "clip_norm")})
    config.optimizer.schedule = "step"
    config.tasks.action_units.names = "AU1," * 1000
    with pytest.raises(UserError, match=r"; and also .*: set these back") as caught:
        loop.train_and_evaluate(config, finished[1], resume=True)
    assert len(str(caught.value)) < 2000
    changed = ("momentum", "step_factor", "clip_norm", "schedule")
    assert all(f"optimizer.{name}" in str(caught.value) for name in changed)
    assert "tasks.action_units.names" in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_damaged_config_file_is_told(config, tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"config.json in .* is damaged, or no run's"):
        loop.train_and_evaluate(config, tmp_path, resume=True)
    assert (tmp_path / "config.json").read_bytes() == content


def test_a_run_that_lost_its_config_or_part_of_its_last_checkpoint(finished, tmp_path):
    config, workdir, _ = finished
    shutil.copytree(workdir, tmp_path / "run")
    (data,) = (tmp_path / "run" / "checkpoints" / "last" / "7" / "training").glob("manifest.ocdbt")
    data.unlink()
    with pytest.raises(UserError, match="is incomplete or damaged"):
        loop.train_and_evaluate(config, tmp_path / "run", resume=True)
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(workdir, tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(UserError, match=r"has lost its config.json: put it back"):
        loop.train_and_evaluate(config, tmp_path / "run", resume=True)


def test_what_a_run_starts_from_may_be_gone_only_once_there_is_a_checkpoint(config, finished, tmp_path):
    before, workdir, _ = finished
    config.training.epochs = 1
    config.init.trunk = "weights/imagenet"
    with pytest.raises(UserError, match=r"init.trunk was '' and is 'weights/imagenet': set these back"):
        (tmp_path / "config.json").write_bytes((workdir / "config.json").read_bytes())  # and no checkpoint
        loop.train_and_evaluate(config, tmp_path, resume=True)
    loop.train_and_evaluate(config, workdir, resume=True)
    assert json.loads((workdir / "config.json").read_text())["init"] == before.init.to_dict()


def test_a_run_killed_before_its_first_checkpoint_is_noticed_too(config, tmp_path):
    with killed_after("save_best", 7):  # and before a last one is saved
        loop.train_and_evaluate(config, tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        loop.train_and_evaluate(config, tmp_path)
    loop.train_and_evaluate(config, tmp_path, resume=True)
    assert checkpoints.read_last_meta(tmp_path)["step"] == 14


def test_patience_ends_the_run_and_the_first_of_ties_is_kept(config, tmp_path):
    config.training.epochs = 9
    config.training.patience = 2
    config.optimizer.learning_rate = 0.0
    config.training.select_by = "macro_f1"
    config.augmentation.flip_probability = 0.0
    loop.train_and_evaluate(config, tmp_path)
    history = checkpoints.read_last_meta(tmp_path)["progress"]["history"]
    scores = [row["macro_f1"] for row in history]
    best = int(np.argmax(scores))
    assert len(history) == best + 3
    assert checkpoints.read(tmp_path).meta["step"] == history[best]["step"]


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(config, tmp_path):
    config.optimizer.learning_rate = 1e38
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.name = "sgd"
    config.optimizer.clip_norm = 0.0
    with pytest.raises(UserError, match=r"The \w+ is (nan|inf) at step [1-7]: lower config"):
        loop.train_and_evaluate(config, tmp_path)


def test_single_task_reports_null_for_valence_and_arousal(config_of, tmp_path):
    config = config_of("plain,single_task")
    config.training.epochs = 1
    metrics = loop.train_and_evaluate(config, tmp_path)
    assert metrics["ccc_valence"] is None
    assert isinstance(metrics["accuracy"], float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.batch_size": 15},
            "batch_size=15 does not divide over 2 devices: the nearest that do are 14 or 16",
        ),
        ({"data.batch_size": 1}, "batch_size=1 does not divide over 2 devices: the nearest that do are 2"),
        ({"data.batch_size": 72}, r"72 examples of Split\(shades, train, 70 examples\) needs at least as many"),
        ({"data.batch_size": 0}, r"data.batch_size must lie in 1..inf, found 0"),
        ({"input.resize": "lanczos"}, "resize 'lanczos': choose one of bilinear_antialiased, bilinear, area"),
        ({"input.side": 4}, r"input.side must lie in 8..2048 pixels, found 4"),
        (
            {"model.trunk": "densenet_tiny", "input.side": 16},
            r"at least 32 pixels a side, found 16 x 16: choose a larger config.input.side",
        ),
        ({"input.crop": 33}, r"input.crop must be 0 \(none\) or lie in 8..32, the image's side, found 33"),
        ({"model.trunk": "densenet_tiny", "input.crop": 16}, r"at least 32 pixels a side, found 16 x 16"),
        ({"input.channels": 1}, r"mean must have 1 numbers, one a channel"),
        (
            {"model.trunk": "bregnext_tiny", "input.side": 34},
            "multiples of 4 pixels, found 34 x 34: choose a config.input.side or crop such as 32",
        ),
        ({"model.trunk": "densenet"}, "Unknown trunk 'densenet': choose one of densenet121"),
        ({"model.head": "tree"}, "Unknown head 'tree': choose one of linear, graph"),
        ({"model.readout": "median"}, "Unknown readout 'median': choose one of average, max"),
        ({"model.dtype": "float64"}, "JAX_ENABLE_X64=1"),
        ({"training.select_by": "auc"}, "select_by 'auc': choose one of expression/accuracy"),
        ({"training.devices": 99}, "asks for 99 devices, 8 are here"),
        ({"training.epochs": 0}, r"must lie in"),
        ({"tasks.expression.class_weights": "1,2"}, "none, inverse_frequency or 7 positive numbers"),
        ({"tasks.expression.class_weights": "1,2,3,4,5,6,x"}, "none, inverse_frequency or 7 positive numbers"),
        ({"tasks.expression.vocabulary": "Happy,Happy"}, "two or more different classes"),
        ({"tasks.expression.vocabulary": "Happy,Bored"}, "names Bored as well: set it to classes that the dataset"),
        (
            {"tasks.expression.vocabulary": "Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger,Contempt"},
            "config.tasks.expression.vocabulary names Contempt as well",
        ),
        ({"tasks.expression.label_smoothing": 1.0}, "label_smoothing must be at least 0 and below 1"),
        (
            {"tasks.expression.loss": "soft_cross_entropy"},
            "column expression_votes .* which .*shades.* does not have",
        ),
        ({"tasks.affect.ccc_variance": "biased"}, "'biased': choose one of population, unbiased"),
        ({"tasks.affect.loss": "l1"}, "loss of affect 'l1': choose one of ccc, mse"),
        ({"tasks.affect.dimensions": "dominance"}, "No training example has a label of the task affect"),
        (
            {"tasks.affect.dimensions": "valence,arosual"},
            "label of arosual, which config.tasks.affect.dimensions names",
        ),
        ({"tasks.affect.weight": -1.0}, "config.tasks.affect.weight must lie in"),
        ({"dataset.name": "faces"}, "There is no dataset 'faces'"),
        ({"dataset.name": ""}, "config.dataset.name is empty"),
        (
            {"dataset.train_split": "training"},
            "Expected one of the splits train, validation, and found 'training'",
        ),
        ({"dataset.held_out_share": 0.95}, "held_out_share must lie in 0..0.9, found 0.95"),
        ({"dataset.held_out_share": 0.2, "dataset.folds": 3}, "are both set: keep one of them"),
        ({"dataset.folds": 3, "dataset.fold": 3}, r"fold must lie in 0..2 for 3 folds, found 3"),
        ({"dataset.require": "gender"}, "dataset.require: expected expression, affect, all or none, found .gender."),
        ({"dataset.balance": "affect"}, r"balance must be empty or name a task of classes \(expression\), found 'aff"),
        ({"dataset.streams": "shades=ten"}, "is written NAME/CONFIG:SPLIT=COUNT, .* found 'shades=ten'"),
        ({"dataset.streams": "shades=0"}, "is written NAME/CONFIG:SPLIT=COUNT, .* found 'shades=0'"),
        ({"dataset.streams": "shades=10"}, "asks for all 10 places of a batch: leave some for shades"),
        ({"dataset.streams": "nothing=2"}, "There is no dataset 'nothing'"),
        ({"graph.correlations": "no/such.csv"}, "no/such.csv"),
        ({"graph.word_vectors": "no/glove.txt"}, "no/glove.txt"),
        ({"graph.propagation": "both"}, "transposed, row"),
        ({"augmentation.hue": 2.0}, "hue must lie in"),
        ({"augmentation.erase_area": (0.5, 0.1)}, "erase_area must be the least and the largest share"),
        ({"augmentation.zoom": 0.1, "input.side": 1100}, "at most 1024 pixels a side, and config.input.side is 1100"),
        ({"optimizer.nesterov": True, "optimizer.momentum": 0.0}, "nesterov needs a momentum"),
        ({"optimizer.step_epochs": 0}, r"optimizer.step_epochs must lie in 1..inf, found 0"),
        (
            {"optimizer.warmup_epochs": 3.0},
            r"optimizer.warmup_epochs must lie in 0..2 \(config.training.epochs\), found 3.0",
        ),
    ],
)
def test_what_does_not_do_is_answered_in_one_sentence(config, tmp_path, changes, message):
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message) as error:
        loop.train_and_evaluate(config, tmp_path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 2000
    assert not list(tmp_path.iterdir())


def test_a_score_of_a_task_that_the_model_does_not_have(config_of, tmp_path):
    config = config_of("plain,single_task")
    config.training.select_by = "ccc_mean"
    with pytest.raises(UserError, match=r"select_by 'ccc_mean': choose one of expression/accuracy, .*macro_f1, or"):
        loop.train_and_evaluate(config, tmp_path)


def test_a_workdir_that_cannot_be_written_is_named(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run cannot be written .*: choose another --workdir"):
        loop.train_and_evaluate(config, tmp_path / "file" / "run")
