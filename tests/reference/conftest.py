"""Where there is torch (on Python 3.11 always), the reference's answers are fresh; elsewhere its golden outputs do."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.reference import cases

WITH_TORCH = sys.version_info[:2] == (3, 11)  # see the extra `test` in pyproject.toml
collect_ignore = [] if WITH_TORCH else ["test_torch_formulas.py", "test_torch_models.py"]


@pytest.fixture(scope="session")
def theirs():
    """The reference's answers; None where there is no torch."""
    if not WITH_TORCH:
        return None
    import torch

    from tests.reference import theirs

    torch.set_num_threads(1)
    found = {}
    for case in cases.CASES:
        found |= theirs.answers(*case)
    return found


@pytest.fixture(scope="session")
def ours(tmp_path_factory, theirs):
    """Our answers, in float64: from a process of its own, since tests before it have run JAX in float32."""
    file = tmp_path_factory.mktemp("ours") / "ours.npz"
    done = subprocess.run(
        [sys.executable, "-m", "tests.reference.ours", file],
        env={**os.environ, "JAX_ENABLE_X64": "1"},
        cwd=cases.FOLDER.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(file) as answers:
        return dict(answers)
