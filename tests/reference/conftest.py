"""Where there is torch (on Python 3.11 always), the reference's answers are fresh; elsewhere its golden outputs do."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.reference import cases

WITH_TORCH = sys.version_info[:2] == (3, 11)  # see the extra `test` in pyproject.toml
collect_ignore = [] if WITH_TORCH else ["test_torch_models.py"]


@pytest.fixture(scope="session")
def our_process(tmp_path_factory):
    """Starts our side in a process of its own, which counts in float64, and returns how to wait for its answers."""
    output = tmp_path_factory.mktemp("parity") / "ours.npz"
    flags = "--xla_backend_optimization_level=0"  # compiling is most of the work
    if jax.__version_info__ < (0, 11):
        flags += " --xla_cpu_use_fusion_emitters=false"  # likewise; later versions have no such flag
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reference.ours", str(output)],
        env={**os.environ, "JAX_ENABLE_X64": "1", "XLA_FLAGS": flags},
        cwd=cases.FOLDER.parents[1],
    )

    def wait():
        assert process.wait() == 0, "tests.reference.ours failed: its traceback is above"
        with np.load(output) as file:
            return dict(file)

    yield wait
    process.kill()


@pytest.fixture(scope="session")
def theirs(our_process):
    """The reference's answers, made while our process runs; None where there is no torch."""
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
def ours(our_process, theirs):
    """Our answers."""
    return our_process()
