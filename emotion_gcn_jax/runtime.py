"""What is set up once a process: the compilation cache, and quiet libraries."""

import os
import pathlib
import sys
from typing import Any

import jax
from absl import logging


def set_up() -> None:
    """Makes JAX keep its compiled programs between processes, and silences the libraries' start-up chatter.

    Compiled programs go to a folder of the user's cache (XDG_CACHE_HOME, else ~/.cache). JAX's own variables win:
    JAX_COMPILATION_CACHE_DIR names another folder, JAX_ENABLE_COMPILATION_CACHE=false turns the cache off. To be called
    before the first computation.
    """
    silence_tensorflow()
    logging.set_verbosity(logging.WARNING)
    config: Any = jax.config  # its options are attributes that older type hints do not know
    if config.jax_compilation_cache_dir is None:
        config.update("jax_compilation_cache_dir", str(user_cache() / "jax"))


def use_onednn() -> None:
    """Lets XLA hand bfloat16 convolutions on a CPU to oneDNN: with AMX ten times as fast as its own.

    To be called before the first computation; what XLA_FLAGS says of it wins. Nothing else is changed by it: float32
    stays with XLA. Programs are compiled anew in every process then, since those that call oneDNN cannot be kept.
    """
    flags, name = os.environ.get("XLA_FLAGS", ""), "--xla_cpu_experimental_onednn_custom_call"
    if name not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {name}=true".strip()
    if jax.default_backend() == "cpu":
        config: Any = jax.config
        config.update("jax_enable_compilation_cache", False)


def user_cache() -> pathlib.Path:
    """The folder for what may be lost and made again: in XDG_CACHE_HOME, else in ~/.cache."""
    caches = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return caches / "emotion_gcn_jax"


def drop_output() -> None:
    """Sends what is still printed nowhere, where the reader of the standard output has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def silence_tensorflow() -> None:
    """Keeps TensorFlow, which TensorBoard's writer and `tfds` load, from saying anything when it is loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN is announced at any log level
