"""A trained model in one file: its weights in the format safetensors, and in the header what a checkpoint says of them.

Such a file is small (kernels in float16), is read without Orbax, and holds no code. One is shipped with the package.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from emotion_gcn_jax import old_formats
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.torch_files import safetensors_files
from emotion_gcn_jax.torch_files.pickles import Refusal
from emotion_gcn_jax.trees import Tree

FORMAT_VERSION = 2  # of the meta object, a checkpoint's
SHIPPED = pathlib.Path(__file__).parent / "shipped" / "fer_resnet14.safetensors"
"""The model that judges photographs where no other is named; see docs/model_card.md."""

_META = "emotion_gcn_jax"  # the entry of the header that holds the meta object
_COLLECTIONS = ("params", "batch_stats", "constants")


def write(path: PathLike, variables: Mapping[str, Tree], meta: Mapping[str, Any]) -> None:
    """Writes a model.

    Args:
        path: the file, which must not exist yet.
        variables: "params", "batch_stats" and "constants", NumPy arrays. Parameters of two axes and more are rounded to
            float16, everything else to float32.
        meta: a checkpoint's, see emotion_gcn_jax.checkpoints; a run's progress is left out.

    Raises:
        UserError: the file exists or cannot be written, its name has another ending, or a weight is too large for
            float16.
    """
    path = user_path(path)
    if path.suffix != safetensors_files.SUFFIX:
        raise UserError(f"A model's file ends in {safetensors_files.SUFFIX}, found {path}: name it so.")
    if path.exists():
        raise UserError(f"There is something at {path} already: choose a new name.")
    arrays = {
        "/".join(place): np.asarray(array) for place, array in traverse_util.flatten_dict(dict(variables)).items()
    }
    stored = {name: _rounded(name, array) for name, array in arrays.items()}
    kept = {name: value for name, value in meta.items() if name != "progress"}
    text = json.dumps({**kept, "format_version": FORMAT_VERSION})
    try:
        atomic_write(path, safetensors_files.encode(stored, {_META: text}))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path.") from None


def read(path: PathLike) -> tuple[dict[str, Tree], dict[str, Any]]:
    """Reads a model.

    Returns:
        "params", "batch_stats" and "constants", float32 NumPy arrays; and the meta object.

    Raises:
        UserError: it cannot be read, is damaged, is no such file, or of a newer format.
    """
    path = user_path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): name a model's file or a checkpoint.") from None
    try:
        if not safetensors_files.is_safetensors(data):
            raise Refusal("is no safetensors file")
        text = safetensors_files.metadata(data).get(_META)
        if text is None:
            raise Refusal(
                "holds weights without a word on the model: turn it into one by emotion-gcn convert --weights"
            )
        arrays, meta = safetensors_files.decode(data), json.loads(text)
        if not isinstance(meta, dict):
            raise ValueError
        version = int(meta["format_version"])
        if version <= FORMAT_VERSION:
            tree = traverse_util.unflatten_dict({tuple(n.split("/")): a.astype(np.float32) for n, a in arrays.items()})
            return {name: dict(tree.get(name, {})) for name in _COLLECTIONS}, old_formats.meta(meta)
    except Refusal as error:
        raise UserError(f"{path} {error}: a model's file is made by emotion-gcn pack.") from None
    except Exception:  # what is no description raises almost anything
        raise UserError(f"{path} has a damaged description of its model: copy it again.") from None
    raise UserError(f"{path} has format {version}, this version reads up to {FORMAT_VERSION}: update emotion-gcn-jax.")


@contextlib.contextmanager
def description(path: PathLike) -> Iterator[None]:
    """Around what makes a model of a checkpoint's meta object and its weights.

    Raises:
        UserError: they make none; it names the checkpoint.
    """
    try:
        yield
    except UserError as error:
        if str(path) in str(error) or type(error) is not UserError:  # an engine's own error says what it lacks
            raise
        raise UserError(f"{path} describes no model that can be used: {error}") from None
    except Exception as error:  # what is no description raises almost anything
        raise UserError(
            f"{path} describes no model that its weights fit ({type(error).__name__}): copy it again, or choose "
            "another."
        ) from None


def _rounded(name: str, array: np.ndarray) -> np.ndarray:
    if not name.startswith("params/") or array.ndim < 2:
        return array.astype(np.float32)
    largest = float(np.abs(array).max(initial=0))
    if not largest <= float(np.finfo(np.float16).max):
        raise UserError(f"The weights {name} reach {largest:g}, too much for float16: it diverged; pack another model.")
    return array.astype(np.float16)
