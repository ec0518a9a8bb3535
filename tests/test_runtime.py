import os
import pathlib
import subprocess
import sys

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
    assert (tmp_path / "synthetic_faces" / "small" / "1.0.0" / "dataset_info.json").exists()
    for chatter in ("oneDNN", "absl::InitializeLog", "cpu_feature_guard", "apitools"):
        assert chatter not in result.stderr
