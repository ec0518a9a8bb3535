"""train.py as a user calls it."""

import os
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.data.batch_size=many"], "many"),
        (["--config.dataset.name=nothing"], "There is no dataset 'nothing'"),
        (["surplus"], "surplus"),
        (["--coordinator=node1:8476"], "--coordinator, --processes and --process belong together: give all three"),
    ],
)
def test_the_command_line_answers_a_mistake_without_a_traceback(tmp_path, arguments, message):
    command = [sys.executable, "train.py", "--config=configs/synthetic_faces.py", f"--workdir={tmp_path}"]
    result = subprocess.run(
        command + arguments,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TFDS_DATA_DIR": tmp_path},
    )
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
