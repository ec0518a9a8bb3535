"""Runs in one process and in several that are killed or asked to end; test_step.py has the steps of several."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from emotion_gcn_jax import checkpoints, processes
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.parallel import all_devices
from emotion_gcn_jax.training import interruption
from tests.training.test_command_line import REPOSITORY


def measured(*words):
    """What a benchmark says in its last line; its runs take enough steps for XLA to be asked for quicker ones."""
    flags = os.environ["XLA_FLAGS"].replace("optimization_level=0", "optimization_level=1")
    options = {"capture_output": True, "text": True, "cwd": REPOSITORY, "env": {**os.environ, "XLA_FLAGS": flags}}
    done = subprocess.run([sys.executable, "-m", *words], **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.once
def test_five_kills_change_nothing():
    found = measured("benchmarks.kill_and_resume", "--kills=5")
    assert found["bit_identical"] and sum(found["stages"].values()) == 5


@pytest.mark.once
def test_two_processes_of_which_one_is_killed_lose_nothing_either():
    found = measured("benchmarks.kill_and_resume", "--kills=1", "--processes=2")
    assert found["bit_identical"] and sum(found["stages"].values()) == 1
    assert found["others_ended_within_seconds"] < 60


@pytest.mark.once
def test_twenty_steps_with_streams_and_clips_are_the_same_in_every_layout():
    found = measured("benchmarks.same_steps", "--layouts=1x1,2x2,4x1", "--clip=2")
    assert found["steps"] >= 20 and max(found["differences"].values()) < 1e-10


@pytest.fixture
def pair(shades, tmp_path):
    """Two processes of the command that train together, and have saved a checkpoint; no epoch is their last."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    command = [
        sys.executable,
        "train.py",
        "--config=configs/synthetic_faces.py:resnet_tiny,single_task",
        "--config.dataset.config=",
    ]
    command += [f"--config.dataset.{name}={value}" for name, value in (("name", "shades"), ("data_dir", shades))]
    command += [f"--config.data.{name}={value}" for name, value in (("batch_size", 8), ("eval_batch_size", 8))]
    command += ["--config.input.side=32", "--config.training.epochs=9999", "--config.training.patience=0"]
    command += [f"--workdir={tmp_path}", f"--coordinator=localhost:{port}", "--processes=2"]
    one_device = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
    environment = {**os.environ, "XLA_FLAGS": one_device}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {**pipes, "text": True, "cwd": REPOSITORY, "env": environment}
    first, second = (subprocess.Popen([*command, f"--process={number}"], **options) for number in range(2))
    try:
        while not list((tmp_path / "checkpoints" / "last").glob("[0-9]*")):
            assert first.poll() is second.poll() is None
            time.sleep(0.2)
        yield first, second
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


@pytest.mark.once
def test_two_processes_of_the_command_end_together_where_one_is_asked_to(pair):
    pair[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [interruption.STATUS] * 2, said
    assert all("asked to end (SIGTERM) and saved at step" in errors for _, errors in said)
    assert "epoch 1/9999: training loss" in said[0][0] and "epoch" not in said[1][0]
    assert not any("was ended from outside" in errors for _, errors in said)


@pytest.mark.once
def test_two_processes_that_are_asked_to_end_while_they_prepare_end_with_their_first_step():
    """They count the steps that they take: the run's own number of one that goes on from a checkpoint is another."""
    with socket.create_server(("localhost", 0)) as server:
        port = str(server.getsockname()[1])
    one_device = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
    options = {"stdout": subprocess.PIPE, "text": True, "cwd": REPOSITORY}
    environment = {**os.environ, "XLA_FLAGS": one_device}
    command = [sys.executable, "-m", "tests.training.two_requests", port]
    both = [subprocess.Popen([*command, number], env=environment, **options) for number in "01"]
    try:
        said = [process.communicate(timeout=120)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [interruption.STATUS] * 2, said
    assert [lines.split()[-1:] for lines in said] == [["1"], ["1"]]


@pytest.mark.once
def test_a_process_whose_machine_vanishes_ends_the_other_within_a_minute_and_a_sentence_says_so(tmp_path):
    command = [sys.executable, "-m", "tests.training.two_machines", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    found = json.loads(done.stdout.splitlines()[-1])
    assert [run["gone"] for run in found] == [0, 1]
    for run in found:
        assert run["status"] and run["seconds"] < 60, done.stderr
        assert run["said"].endswith("Start all of them again with --resume."), run["said"]


@pytest.mark.parametrize(
    ("end", "sentences"),
    [
        ("os.abort()", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1),
        ("processes.leave(2)", 0),
        ("pass", 0),
    ],
)
def test_only_an_end_from_outside_has_a_sentence_of_the_watcher(end, sentences):
    code = f"import os, signal; from emotion_gcn_jax import processes; processes._watch('Process 1 of 2'); {end}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stderr.count("Process 1 of 2 was ended from outside: it was killed") == sentences


@pytest.mark.once
def test_two_processes_end_by_patience_together_and_leave_out_the_same_images(tmp_path):
    """As one process with two devices does; each decides by what the first finds, and knows what the other left out."""
    command = [sys.executable, "-m", "tests.training.two_runs", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout and json.loads(done.stdout.splitlines()[-1]) == [0, 0, 0], done.stderr
    two, one = (checkpoints.read_last_meta(tmp_path / name)["progress"]["history"] for name in ("two", "one"))
    assert [row["epoch"] for row in two] == [row["epoch"] for row in one] == [1, 2]
    np.testing.assert_allclose([row["train_loss"] for row in two], [row["train_loss"] for row in one], rtol=1e-5)
    judged = []
    for name in ("two", "one"):
        with (tmp_path / name / "report" / "predictions.csv").open(newline="") as file:
            judged.append({row["id"]: float(row["p_Happy"]) for row in csv.DictReader(file)})
    assert judged[0] == pytest.approx(judged[1], abs=1e-5)
    assert judged[0].keys() == {f"{row}.png" for row in range(11)} - {"0.png", "6.png"}
    # Who reads an image says that it is damaged: in two processes the first reads 0, and the second 6.
    assert [done.stderr.count(f"image {row} of validation is damaged") for row in (0, 6)] == [2, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("node1", 2, 0), "--coordinator is HOST:PORT of the first process, such as node1:8476; found 'node1'"),
        (("node1:x", 2, 0), "found 'node1:x'"),
        (("node1:8476", 2, 2), r"expected 0\.\.1, found 2 of 2"),
        (("nowhere.invalid:8476", 2, 1), "Process 1 finds no first process at nowhere.invalid:8476"),
    ],
)
def test_what_cannot_be_joined_is_answered_with_a_sentence(words, message):
    with pytest.raises(UserError, match=message):
        processes.join(*words)


def test_a_port_that_is_in_use_is_told_to_the_first_process():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"The first process cannot listen at port {port} \(.*\): end what uses it"
        ):
            processes.join(f"localhost:{port}", 2, 0)


def test_without_a_launcher_a_sentence_says_what_to_name(monkeypatch):
    def initialize(**known):
        raise ValueError("coordinator_address should be defined.")  # as JAX says it, before its backend is there

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(UserError, match=r"none of these is found .*name --coordinator, --processes and --process"):
        processes.join_launched()


@pytest.mark.parametrize(
    ("said", "is_of_another"),
    [
        ("UNKNOWN: Gloo all-reduce failed: Connection closed by peer", True),
        ("UNAVAILABLE: heartbeat timeout", True),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate", False),
    ],
)
def test_only_a_failed_exchange_is_taken_for_anothers_end(monkeypatch, said, is_of_another):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    expected = UserError if is_of_another else jax.errors.JaxRuntimeError
    with pytest.raises(expected), processes.noticing_deaths():
        raise jax.errors.JaxRuntimeError(said)


def test_in_a_single_process_nothing_is_exchanged():
    assert processes.from_first(lambda: 1) == processes.everywhere(lambda: 1) == processes.on_first(lambda: 1) == 1
    assert len(all_devices()) == 8
