import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.once

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("3.8", "Python 3.11, 3.12 or 3.13 is needed, {python} is 3.8: name another by PYTHON=..."),
        (None, "{python} was not found: name a Python 3.11, 3.12 or 3.13 by PYTHON=..."),
    ],
)
def test_a_python_that_will_not_do_gets_a_sentence(tmp_path, version, sentence):
    python = tmp_path / "python"
    if version:
        python.write_text(f"#!/bin/sh\necho {version}\n")
        python.chmod(0o755)
    (tmp_path / "pyproject.toml").touch()
    command = ["make", "-f", str(REPOSITORY / "Makefile"), "test", f"PYTHON={python}"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode != 0
    assert sentence.format(python=python) in result.stdout
    assert not list(tmp_path.glob(".venv*"))
