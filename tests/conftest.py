"""What every test shares. The variables must be set before the first import of JAX."""

import importlib.metadata
import os
import pathlib
import tempfile

# Compiling is most of the tests' work, so XLA is asked for little of it; docs/parity.md is measured with all of it.
FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 --xla_cpu_opt_preset=FAST_COMPILE"
if importlib.metadata.version("jax").startswith("0.10."):
    FLAGS += " --xla_cpu_use_fusion_emitters=false"  # whose programs take a half longer to compile; gone since
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"
if "PYTEST_XDIST_WORKER" not in os.environ:  # whose environment is that of the process that started it
    _CACHE = tempfile.TemporaryDirectory(prefix="emotion_gcn_jax_tests_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name  # for this run's processes only, and for all of them
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = (
    "0"  # small ones, too: many tests and processes compile the same
)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax
import pytest

MAPS = pathlib.Path("/proc/self/maps")  # there on Linux alone
MANY_MAPS = 20_000


LONG = ("tests/fuzzing/", "tests/reference/", "tests/test_benchmarks.py", "tests/test_extending.py", "tests/training/")


def pytest_collection_modifyitems(items):
    """The longest files come first, so that at the end no worker waits long for another."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Drops the compiled programs between modules, once they are many.

    XLA maps a program for CPUs into memory kernel by kernel: a step of the smallest trunk takes some 800 of the 65530
    maps that Linux allows a process (vm.max_map_count), and with none left XLA's compiler ends in a segmentation fault.
    """
    yield
    if MAPS.exists() and MAPS.read_text().count("\n") > MANY_MAPS:
        jax.clear_caches()


@pytest.fixture
def x64():
    """float64 for one test."""
    with jax.enable_x64(True):
        yield
