"""train.py as a user calls it."""

import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).parents[2]


def test_a_mistake_is_answered_without_a_traceback(tmp_path):
    """One that is found late: everything is loaded. tests/test_train_command.py has the others."""
    command = [sys.executable, "train.py", "--config=configs/synthetic_faces.py", f"--workdir={tmp_path}"]
    result = subprocess.run(
        [*command, "--config.dataset.name=nothing"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TFDS_DATA_DIR": tmp_path},
    )
    assert result.returncode == 2
    assert "There is no dataset 'nothing'" in result.stderr
    assert "Traceback" not in result.stderr
