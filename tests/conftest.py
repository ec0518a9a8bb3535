"""What every test shares. The variables must be set before the first import of JAX."""

import os
import tempfile

# Compiling is most of the tests' work, so XLA is asked for little of it; docs/parity.md is measured with all of it.
FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"
_CACHE = tempfile.TemporaryDirectory(prefix="emotion_gcn_jax_tests_")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name  # for this run's processes only
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax
import pytest


@pytest.fixture
def x64():
    """float64 for one test."""
    with jax.enable_x64(True):
        yield
