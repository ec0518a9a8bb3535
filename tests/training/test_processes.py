"""Several processes as one run: real ones, which are killed, asked to end, and compared with a single one."""

import json
import subprocess
import sys

import pytest

from emotion_gcn_jax import processes
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.parallel import all_devices
from tests.training.test_command_line import REPOSITORY


def measured(*words):
    """What a benchmark says in its last line."""
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_five_kills_and_two_requests_to_end_change_nothing():
    found = measured("benchmarks.kill_and_resume", "--kills=5", "--terms=2")
    assert found["bit_identical"] and sum(found["stages"].values()) == 7


def test_two_processes_of_which_one_is_killed_or_asked_to_end_lose_nothing_either():
    found = measured("benchmarks.kill_and_resume", "--kills=1", "--terms=1", "--processes=2")
    assert found["bit_identical"] and sum(found["stages"].values()) == 2
    assert found["others_ended_within_seconds"] < 60


def test_a_run_of_two_processes_is_that_of_one():
    found = measured("benchmarks.same_steps", "--layouts=1x4,2x2")
    assert found["steps"] >= 20 and found["differences"]["2x2"] < 1e-10


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


def test_without_a_launcher_a_sentence_says_what_to_name():
    with pytest.raises(UserError, match=r"none of these is found .*name --coordinator, --processes and --process"):
        processes.join_launched()


def test_in_a_single_process_nothing_is_exchanged():
    assert processes.from_first(lambda: 1) == processes.everywhere(lambda: 1) == processes.on_first(lambda: 1) == 1
    assert len(all_devices()) == 8
