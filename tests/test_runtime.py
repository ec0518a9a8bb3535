import os
import pathlib
import subprocess
import sys

import jax
import pytest

OFF = "--xla_cpu_experimental_onednn_custom_call=false"
REPOSITORY = pathlib.Path(__file__).parents[1]


def run(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "JAX_", "XLA_"))}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=REPOSITORY, env={**kept, **environment}
    )


def test_compiled_programs_go_to_the_users_cache_unless_jax_is_told_otherwise(tmp_path):
    program = (
        "from emotion_gcn_jax import runtime; runtime.set_up(); import jax; print(jax.config.jax_compilation_cache_dir)"
    )
    assert run("-c", program, XDG_CACHE_HOME=str(tmp_path)).stdout.strip() == str(tmp_path / "emotion_gcn_jax" / "jax")
    assert run("-c", program, JAX_COMPILATION_CACHE_DIR="elsewhere").stdout.strip() == "elsewhere"


CONVOLUTION = """
import jax, jax.numpy as jnp, numpy as np
from emotion_gcn_jax import runtime
from emotion_gcn_jax.models import products
runtime.set_up()
runtime.use_onednn()
rng = np.random.default_rng(0)
x, kernel = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in [(4, 24, 24, 64), (3, 3, 64, 64)])
compiled = jax.jit(products.conv).lower(x, kernel).compile()
exact = products.conv(x.astype("float32"), kernel.astype("float32"))
print("onednn" in compiled.as_text(), float(abs(compiled(x, kernel) - exact).max() / abs(exact).max()) < 2**-7)
"""


CPUINFO = pathlib.Path("/proc/cpuinfo")  # there on Linux alone
HAS_AMX = CPUINFO.exists() and "amx_bf16" in CPUINFO.read_text()


@pytest.mark.parametrize(("flags", "may_use"), [("", jax.__version_info__ >= (0, 12)), (OFF, False)])
def test_convolutions_in_bfloat16_go_to_onednn_unless_xla_is_told_otherwise(tmp_path, flags, may_use):
    """XLA hands them over only where the processor multiplies bfloat16 itself; the answer is right everywhere."""
    result = run("-c", CONVOLUTION, XDG_CACHE_HOME=str(tmp_path), XLA_FLAGS=flags)
    used, is_right = result.stdout.split()
    assert (is_right, result.stderr) == ("True", "")
    assert used == "True" if may_use and HAS_AMX else used == "False" or may_use


def test_tensorflow_is_loaded_without_a_word():
    program = "from emotion_gcn_jax import runtime; runtime.set_up(); import clu.metric_writers"
    result = run("-c", program)
    assert result.returncode == 0
    assert result.stderr == ""


def test_the_dataset_command_builds_by_json_config_without_chatter(tmp_path):
    config = '{"name": "small", "size": 32, "train_faces": 2, "validation_faces": 2, "test_faces": 2}'
    options = (f"--config={config}", f"--data_dir={tmp_path}")
    result = run("-m", "emotion_gcn_jax.tfds", "build", "tfds_builders/synthetic_faces", *options)
    assert result.returncode == 0
    assert (tmp_path / "synthetic_faces" / "small" / "1.2.0" / "dataset_info.json").exists()
    damaged = run("-m", "emotion_gcn_jax.tfds", "build", "tfds_builders/synthetic_faces", f"--config={config[:-1]}")
    assert damaged.returncode == 2
    assert damaged.stderr.splitlines()[-1].startswith("tfds: A config in JSON is damaged (Expecting ',' delimiter")
    for chatter in ("oneDNN", "absl::InitializeLog", "cpu_feature_guard", "apitools"):
        assert chatter not in result.stderr
