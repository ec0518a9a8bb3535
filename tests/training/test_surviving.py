"""What a run comes out of: a request to end, damaged checkpoints, a full disk, numbers that are not finite."""

import csv
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from emotion_gcn_jax import checkpoints, cli
from emotion_gcn_jax.data import batches, builds
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.training import datasets, loop, run
from emotion_gcn_jax.training.interruption import Preempted
from emotion_gcn_jax.training.step_log import Scalars, StepLog
from tests.plain_trunk import Plain
from tests.training.conftest import killed_after


@pytest.fixture(scope="module")
def unbroken(finished):
    """The config, the working directory and the final state of a run of one epoch, 7 steps."""
    config, workdir, _ = finished
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(emotion_net.TRUNKS, "plain", Plain)
        return config, workdir, state_of(config, workdir)


def state_of(config, workdir):
    """All of a run's last checkpoint but its config."""
    fresh = run.prepare(config).initial_state
    saved = checkpoints.Checkpoints(workdir)
    variables, training, meta = saved.restore_last(fresh.evaluated_variables(), fresh.remainder())
    saved.close()
    return variables, training, meta["progress"]


def assert_identical(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def at_step(monkeypatch, number, act):
    """Does something just before a step's scalars are looked at."""
    add = StepLog.add

    def add_and_act(self, step, scalars):
        if step == number:
            act()
        add(self, step, scalars)

    monkeypatch.setattr(StepLog, "add", add_and_act)


def test_sigterm_ends_the_step_saves_and_the_run_goes_on_as_if_nothing_had_been(unbroken, tmp_path, monkeypatch):
    (config, _, expected), step = unbroken, 3
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        at_step(patch, step - 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Preempted, match=rf"saved at step {step}: --resume goes on"):
            loop.train_and_evaluate(config, tmp_path)
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoints.read_last_meta(tmp_path)["step"] == step
    loop.train_and_evaluate(config, tmp_path, resume=True)
    assert_identical(state_of(config, tmp_path), expected)


def test_a_second_process_is_told_that_the_run_is_taken(unbroken):
    config, workdir, expected = unbroken
    lock = workdir / ".lock"
    program = (
        f"import fcntl, time; f = open({str(lock)!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); "
        f"time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match="Another process trains in the working directory"):
            loop.train_and_evaluate(config, workdir, resume=True)
        other.kill()
    assert_identical(state_of(config, workdir), expected)


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def keep_only_the_first(path):
    for other in files_of(path.parents[len(path.parts) - 2 - path.parts.index("7")])[1:]:
        other.unlink()


@pytest.fixture(scope="module")
def two_lasts(unbroken, tmp_path_factory):
    """A finished run whose last checkpoints are of the steps 5 and 7."""
    config = unbroken[0].copy_and_resolve_references()
    config.training.checkpoint_every_steps = 5
    workdir = tmp_path_factory.mktemp("two") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(emotion_net.TRUNKS, "plain", Plain)
        loop.train_and_evaluate(config, workdir)
    assert {path.name for path in (workdir / "checkpoints" / "last").iterdir()} == {"5", "7"}
    return config, workdir


def empty(path):
    folder = path.parents[len(path.parts) - 2 - path.parts.index("7")]
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("spoil", [flip_a_bit, halve, os.unlink, keep_only_the_first, empty])
def test_a_last_checkpoint_that_is_damaged_in_any_way_is_passed_over(two_lasts, tmp_path, spoil):
    shutil.copytree(two_lasts[1], tmp_path / "run")
    spoil(max(files_of(tmp_path / "run" / "checkpoints" / "last" / "7" / "training"), key=lambda p: p.stat().st_size))
    assert checkpoints.last_folder(tmp_path / "run").name == "5"


def test_a_damaged_last_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(
    unbroken, two_lasts, tmp_path, capsys
):
    config, workdir = two_lasts
    shutil.copytree(workdir, tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "last" / "7"
    flip_a_bit(max(files_of(newest / "training"), key=lambda path: path.stat().st_size))
    loop.train_and_evaluate(config, tmp_path / "run", resume=True)
    printed = capsys.readouterr().err
    assert "The checkpoint of step 7 is damaged (" in printed and "from the one before it, of step 5" in printed
    assert (tmp_path / "run" / "checkpoints" / "damaged" / "7").is_dir()
    assert_identical(state_of(config, tmp_path / "run"), unbroken[2])
    assert checkpoints.read(tmp_path / "run").meta["step"] == 7


def spoil_best(workdir, step):
    flip_a_bit(max(files_of(workdir / "checkpoints" / "best" / step), key=lambda path: path.stat().st_size))


def test_a_damaged_best_checkpoint_is_made_of_the_last_one_of_its_step(two_lasts, tmp_path, capsys):
    config, workdir = two_lasts
    shutil.copytree(workdir, tmp_path / "run")
    spoil_best(tmp_path / "run", "7")
    loop.train_and_evaluate(config, tmp_path / "run", resume=True)
    printed = capsys.readouterr().err
    assert "The best checkpoint, of step 7, is damaged (" in printed and "that of step 7 takes its place" in printed
    found, before = (checkpoints.read(folder) for folder in (tmp_path / "run", workdir))
    assert_identical((found.variables, found.meta["progress"]), (before.variables, before.meta["progress"]))
    assert not (found.path / "training").exists() and (tmp_path / "run" / "checkpoints" / "damaged" / "7").is_dir()


def test_a_damaged_best_checkpoint_of_an_older_step_gives_way_to_the_one_before(
    unbroken, tmp_path, monkeypatch, capsys
):
    """Epochs of 7 steps score 0.2, 0.3 and 0.1: the best ones are of the steps 7 and 14, the last ones of 14 and 21."""
    scores = iter([0.2, 0.3, 0.1, 0.25])
    monkeypatch.setattr(loop.checks, "selection_score", lambda *_: next(scores))
    config = unbroken[0].copy_and_resolve_references()
    config.training.epochs = 3
    loop.train_and_evaluate(config, tmp_path)
    last, best = (tmp_path / "checkpoints" / name for name in ("last", "best"))
    assert [sorted(path.name for path in folder.iterdir()) for folder in (last, best)] == [["14", "21"], ["14"]]
    shutil.copytree(best / "14", best / "7")  # as it is between a new best one and a new last one
    meta = best / "7" / "meta" / "metadata"
    meta.write_text(meta.read_text().replace('"best": 0.3', '"best": 0.2'))
    checkpoints.checksums.write(best / "7")
    shutil.rmtree(last / "14")
    spoil_best(tmp_path, "14")
    config.training.epochs = 4
    with killed_after("mended_best", 0.3):  # and nothing is forgotten by the next one
        loop.train_and_evaluate(config, tmp_path, resume=True)
    assert "The best checkpoint, of step 14, is damaged (" in (said := capsys.readouterr().err)
    assert "that of step 7 takes its place" in said
    loop.train_and_evaluate(config, tmp_path, resume=True)
    assert checkpoints.read(tmp_path).meta["progress"]["best"] == 0.25  # the fourth epoch is better than the first


def test_where_no_best_checkpoint_is_left_the_last_one_is_reported(two_lasts, tmp_path, capsys):
    config, workdir = two_lasts
    shutil.copytree(workdir, tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / "best"
    (best / "7").rename(best / "6")  # of another step than the last one
    spoil_best(tmp_path / "run", "6")
    loop.train_and_evaluate(config, tmp_path / "run", resume=True)
    assert "of step 6, is damaged (" in (said := capsys.readouterr().err) and "that of step 7 takes its place" in said
    assert checkpoints.read(tmp_path / "run").meta["step"] == 7


def test_a_best_checkpoint_that_is_gone_is_made_of_the_last_one(two_lasts, tmp_path, capsys):
    """As a kill leaves it that comes after a damaged one was put aside."""
    config, workdir = two_lasts
    shutil.copytree(workdir, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "best" / "7")
    loop.train_and_evaluate(config, tmp_path / "run", resume=True)
    assert "The best checkpoint is gone: that of step 7 takes its place." in capsys.readouterr().err
    found, before = (checkpoints.read(folder) for folder in (tmp_path / "run", workdir))
    assert_identical((found.variables, found.meta["progress"]), (before.variables, before.meta["progress"]))


def relabelled(split):
    """The same examples, of which two have exchanged their classes."""
    expression = split.columns["expression"].copy()
    first, second = (np.flatnonzero(expression == number)[0] for number in (0, 1))
    expression[[first, second]] = expression[[second, first]]
    return dataclasses.replace(split, columns={**split.columns, "expression": expression})


@pytest.mark.parametrize(
    ("of", "changed", "said"),
    [
        ("train", lambda split: split.select(np.arange(70) < 60), "7 steps an epoch, now 6"),
        ("train", relabelled, "other images or labels in the datasets' builds"),
        ("validation", relabelled, "other images or labels in the datasets' builds"),
    ],
    ids=["fewer", "labels", "labels of validation"],
)
def test_a_run_that_was_begun_with_other_data_is_not_resumed(unbroken, tmp_path, monkeypatch, of, changed, said):
    config, workdir, _ = unbroken
    shutil.copytree(workdir, tmp_path / "run")
    opened = datasets.open_split

    def others(name, split, **where):
        found = opened(name, split, **where)
        return changed(found) if split == of else found

    monkeypatch.setattr(datasets, "open_split", others)
    config = config.copy_and_resolve_references()
    config.training.epochs = 2
    with pytest.raises(UserError, match=rf"begun with other data or an older version, .* \({said}\): go"):
        loop.train_and_evaluate(config, tmp_path / "run", resume=True)


def test_a_flipped_bit_in_any_file_is_noticed(two_lasts, tmp_path):
    shutil.copytree(two_lasts[1], tmp_path / "run")
    for path in files_of(tmp_path / "run" / "checkpoints" / "best" / "7"):
        whole = path.read_bytes()
        flip_a_bit(path)
        with pytest.raises(UserError, match="is incomplete or damaged"):
            checkpoints.read(tmp_path / "run")
        path.write_bytes(whole)
    checkpoints.read(tmp_path / "run")


def test_where_every_last_checkpoint_is_damaged_the_run_stops_with_a_sentence(two_lasts, tmp_path):
    config, workdir = two_lasts
    shutil.copytree(workdir, tmp_path / "run")
    for step in ("5", "7"):
        flip_a_bit(files_of(tmp_path / "run" / "checkpoints" / "last" / step / "training")[0])
    with pytest.raises(UserError, match=r"last/7 is incomplete or damaged \(.* has changed, and the one before it is"):
        loop.train_and_evaluate(config, tmp_path / "run", resume=True)


def test_a_full_disk_stops_the_run_and_leaves_the_checkpoint_before(unbroken, tmp_path, monkeypatch):
    config = unbroken[0].copy_and_resolve_references()
    config.training.checkpoint_every_steps = 2
    save = checkpoints.ocp.CheckpointManager.save

    def fill_up(self, step, *arguments, **options):
        if step == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(self, step, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.ocp.CheckpointManager, "save", fill_up)
        with pytest.raises(UserError, match=r"of step 4 cannot be written .*no space is left .* --resume goes on"):
            loop.train_and_evaluate(config, tmp_path)
    assert checkpoints.read_last_meta(tmp_path)["step"] == 2
    loop.train_and_evaluate(config, tmp_path, resume=True)
    assert_identical(state_of(config, tmp_path), unbroken[2])


@pytest.fixture
def small_disk(tmp_path):
    """A folder that is a disk of its own, of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder]).returncode:
        pytest.skip("only root can mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("left", [0, 60_000])
def test_a_disk_that_fills_up_stops_the_run_and_leaves_the_checkpoint_before(
    unbroken, small_disk, left, monkeypatch, capfd
):
    config = unbroken[0].copy_and_resolve_references()
    config.training.update(checkpoint_every_steps=2, log_every_steps=1)
    save, ballast = checkpoints.ocp.CheckpointManager.save, small_disk / "ballast"

    def fill_up(self, step, *arguments, **options):
        if step == 4 and not ballast.exists():
            ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - left))
        return save(self, step, *arguments, **options)

    monkeypatch.setattr(checkpoints.ocp.CheckpointManager, "save", fill_up)
    with pytest.raises(UserError, match=r"cannot be written .*no space is left .* --resume goes on"):
        loop.train_and_evaluate(config, small_disk / "run")
    assert checkpoints.read_last_meta(small_disk / "run")["step"] == 2
    ballast.write_bytes(b"")
    loop.train_and_evaluate(config, small_disk / "run", resume=True)
    assert_identical(state_of(config, small_disk / "run"), unbroken[2])


def test_scalars_that_a_full_disk_does_not_take_are_said_once_and_end_nothing(small_disk, capfd):
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))
    scalars = Scalars(small_disk / "tensorboard")
    for step in range(2000):
        scalars.write(step, {"train/loss": 1.0})
    scalars.close()
    said = capfd.readouterr().err
    assert said.count("warning: TensorBoard's scalars cannot be written to") == 1
    assert "(no space is left on the disk): there are none from here on" in said


def test_more_epochs_continue_a_finished_run(unbroken, tmp_path, capsys):
    config, workdir, _ = unbroken
    shutil.copytree(workdir, tmp_path / "run")
    more = config.copy_and_resolve_references()
    more.training.epochs = config.training.epochs + 1
    more.data.threads, more.model.remat = 2, True
    loop.train_and_evaluate(more, tmp_path / "run", resume=True)
    printed = capsys.readouterr().out
    told = f"data.threads was {config.data.threads} and is 2; model.remat was False and is True; training.epochs was 1"
    assert f"resumed with {told} and is 2" in printed
    assert checkpoints.read_last_meta(tmp_path / "run")["step"] == 14
    with pytest.raises(UserError, match=r"training.epochs was 2 and is 1: set"):
        loop.train_and_evaluate(config, tmp_path / "run", resume=True)


def test_a_run_moves_from_eight_devices_to_two_and_back(unbroken, tmp_path, x64):
    config = unbroken[0].copy_and_resolve_references()
    config.model.dtype = "float64"
    config.data.update(batch_size=16, eval_batch_size=16)
    config.training.update(devices=8, epochs=3)
    config.optimizer.update(schedule="step", step_epochs=9)  # which does not change with the number of epochs
    loop.train_and_evaluate(config, tmp_path / "unbroken")
    for epochs, devices in ((1, 8), (2, 2), (3, 8)):
        config.training.update(devices=devices, epochs=epochs)
        loop.train_and_evaluate(config, tmp_path / "moved", resume=epochs > 1)
    found, expected = (state_of(config, tmp_path / name) for name in ("moved", "unbroken"))
    assert int(found[1]["step"]) == int(expected[1]["step"]) == 12
    for a, b in zip(jax.tree.leaves(found[:2]), jax.tree.leaves(expected[:2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)  # running statistics are float32


def test_a_damaged_image_can_be_masked(unbroken, tmp_path, monkeypatch, capsys):
    config, read = unbroken[0].copy_and_resolve_references(), builds._read_image

    def read_image(records, ids, broken, row):
        if ids[row] in (b"0/5", b"1/7"):
            raise broken(row, "a flipped bit", ids[row])
        return read(records, ids, broken, row)

    monkeypatch.setattr(builds, "_read_image", read_image)
    with pytest.raises(UserError, match=r"The image '0/5' of shades, train, .* is damaged \(a flipped bit\)"):
        loop.train_and_evaluate(config, tmp_path / "stopped")
    config.data.mask_damaged = True
    loop.train_and_evaluate(config, tmp_path / "masked")
    said = [line for line in capsys.readouterr().err.splitlines() if "is damaged" in line]
    assert len(said) == 2 and "'0/5' of shades, train" in said[0] and "'1/7' of shades, validation" in said[1]
    assert [line.endswith(f"It is masked; masked so far: {count}.") for count, line in enumerate(said, 1)] == [True] * 2
    with (tmp_path / "masked" / "report" / "predictions.csv").open(newline="") as file:
        judged = {row["id"] for row in csv.DictReader(file)}
    assert judged == {f"1/{number}" for number in range(37)} - {"1/7"}
    words = ["--dataset", "shades", "--data-dir", config.dataset.data_dir, "--split", "validation"]
    evaluate = ["evaluate", *words, "--output", str(tmp_path / "report"), "--checkpoint"]
    assert cli.main([*evaluate, str(unbroken[1])]) == 2  # trained without masking
    assert "The image '1/7' of shades, validation" in capsys.readouterr().err
    assert cli.main([*evaluate, str(tmp_path / "masked")]) == 1
    assert "The image '1/7' of shades, validation" in capsys.readouterr().err
    reports = [folder / "report" / "metrics.json" for folder in (tmp_path, tmp_path / "masked")]
    found, of_training = (json.loads(path.read_text()) for path in reports)
    assert found["unreadable"] == of_training["unreadable"] == 1
    assert found["confusion"] == of_training["confusion"] and found["examples"] == 36
    assert checkpoints.read_last_meta(tmp_path / "masked")["step"] == 7


@pytest.fixture
def poisoned(config_of, monkeypatch):
    """A config of one epoch whose fifth batch has valences of 1e30, which no label can be."""
    config = config_of("plain,multi_task")
    config.training.epochs = 1
    config.tasks.affect.loss = "mse"
    make = batches.train_batch

    def train_batch(streams, loader, step, *, seed):
        batch = make(streams, loader, step, seed=seed)
        return {**batch, "affect": np.full_like(batch["affect"], 1e30)} if step == 4 else batch

    monkeypatch.setattr(batches, "train_batch", train_batch)
    return config


def test_a_step_that_is_not_finite_stops_the_run_and_names_its_examples(poisoned, tmp_path):
    with pytest.raises(
        UserError, match=r"The loss is (inf|nan) at step 5: .* names the step's 10 examples \(shades train 0"
    ):
        loop.train_and_evaluate(poisoned, tmp_path)
    found = json.loads((tmp_path / "not_finite.json").read_text())
    data = run.prepare(poisoned).data
    assert found["step"] == 5
    examples = batches.examples_at(data.streams, 4, seed=poisoned.training.seed)
    assert found["batch"] == [{"row": row, "example": example} for row, example in enumerate(examples)]
    variables, training, progress = state_of(poisoned, tmp_path)
    assert int(training["step"]) == 4 and len(progress["epoch_losses"]) == 4
    assert all(np.isfinite(array).all() for array in jax.tree.leaves((variables, training)))


def test_a_step_that_is_not_finite_can_be_left_out(poisoned, tmp_path, capsys):
    poisoned.training.skip_non_finite = True
    loop.train_and_evaluate(poisoned, tmp_path)
    printed = capsys.readouterr().out
    assert "at step 5: it is left out; left out so far: 1" in printed
    assert "warning: steps left out so far, as they were not finite: 1" in printed
    variables, training, progress = state_of(poisoned, tmp_path)
    assert progress["skipped_steps"] == [5] and progress["history"][-1]["skipped_steps"] == 1
    assert int(training["step"]) == 7
    assert all(np.isfinite(array).all() for array in jax.tree.leaves((variables, training)))


def test_a_nan_that_a_maximum_swallows_is_noticed(config_of, tmp_path, monkeypatch):
    """A parameter of the trunk becomes NaN, behind it is a ReLU, and XLA's maximum on a CPU may make 0 of NaN."""
    config = config_of("plain,single_task")
    config.training.epochs = 1
    initial = loop._restore

    def restore(prepared, saved):
        state, progress = initial(prepared, saved)
        spoilt = jax.tree.map(lambda array: np.asarray(array).copy(), state.params)
        jax.tree.leaves(spoilt["trunk"])[0].flat[0] = np.nan
        return state.replace(params=spoilt), progress

    monkeypatch.setattr(loop, "_restore", restore)
    with pytest.raises(UserError, match=r"is nan at step 1: "):
        loop.train_and_evaluate(config, tmp_path)
