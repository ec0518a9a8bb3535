"""Where there is torch (on Python 3.11 always), the reference's answers are fresh; elsewhere its golden outputs do."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import jax
import numpy as np
import pytest

from tests.reference import cases

WITH_TORCH = sys.version_info[:2] == (3, 11)  # see the extra `test` in pyproject.toml
collect_ignore = [] if WITH_TORCH else ["test_torch_models.py"]


OUR_SIDE = pytest.StashKey[tuple[subprocess.Popen, pathlib.Path]]()


def pytest_collection_finish(session):
    """Starts our side, which counts in float64, in a process of its own: it takes minutes, while other tests run."""
    if session.config.option.collectonly or not any("ours" in getattr(i, "fixturenames", ()) for i in session.items):
        return
    folder = pathlib.Path(tempfile.mkdtemp())
    flags = "--xla_backend_optimization_level=0"  # compiling is most of the work
    if jax.__version_info__ < (0, 11):
        flags += " --xla_cpu_use_fusion_emitters=false"  # likewise; later versions have no such flag
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.reference.ours", str(folder / "ours.npz")],
            env={**os.environ, "JAX_ENABLE_X64": "1", "XLA_FLAGS": flags},
            cwd=cases.FOLDER.parents[1],
            stdout=said,
            stderr=said,
        )
    session.config.stash[OUR_SIDE] = process, folder


def pytest_sessionfinish(session):
    if OUR_SIDE in session.config.stash:
        process, folder = session.config.stash[OUR_SIDE]
        process.kill()
        process.wait()
        shutil.rmtree(folder)


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
def ours(request, theirs):
    """Our answers; waited for after `theirs` are made."""
    process, folder = request.config.stash[OUR_SIDE]
    assert process.wait() == 0, (folder / "said.txt").read_text()
    with np.load(folder / "ours.npz") as file:
        return dict(file)
