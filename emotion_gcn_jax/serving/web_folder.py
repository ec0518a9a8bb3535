"""Writes the page as a folder that needs no server of ours: detector and model run in the browser.

They are run by ONNX Runtime Web, Microsoft's onnxruntime compiled to WebAssembly. Its 14 MB are not part of this
package; a user fetches them once from the npm registry.
"""

import importlib.resources
import io
import json
import pathlib
import tarfile

import onnx

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.export import onnx_file
from emotion_gcn_jax.export.options import Options
from emotion_gcn_jax.files import PathLike, atomic_write, user_path
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.serving.about import about
from emotion_gcn_jax.serving.page_files import POLICY, page_files

ONNXRUNTIME_WEB = "1.30.0"
"""The version of onnxruntime-web that the tests run."""

_RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_MOST_BYTES = 2**26  # of one of them; the largest has 14 MB


def write_web(
    model: EmotionModel,
    name: str,
    folder: PathLike,
    onnxruntime_web: PathLike | None,
    *,
    quantize: str | None = None,
) -> list[pathlib.Path]:
    """Writes the folder.

    Args:
        model: what judges.
        name: what the page calls it.
        folder: must not exist yet, or be empty.
        onnxruntime_web: what `npm pack onnxruntime-web` fetched, or that unpacked.
        quantize: "float16" stores the model in half the bytes; None in float32.

    Returns:
        The files that were written.

    Raises:
        UserError: the folder is not empty or cannot be written, onnxruntime_web is not there, or the model hears, knows
            time or cannot be written as ONNX.
    """
    model.check_fits_a_file()
    folder = user_path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(
            f"The page needs a folder of its own, and there is something at {folder} already: name another."
        )
    files = page_files("browser") | _runtime(onnxruntime_web)
    head = b'<head>\n  <meta http-equiv="Content-Security-Policy" content="%s">' % POLICY.encode()
    files["index.html"] = files["index.html"].replace(b"<head>", head)
    files["about.json"] = json.dumps(about(model, name)).encode()
    files["model.onnx"] = onnx_file.encode(model, Options(is_uint8=True, quantize=quantize))
    files["centerface.onnx"] = _detector()
    try:
        for file, data in files.items():
            atomic_write(folder / file, data)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror or error}): choose another place.") from None
    return [folder / file for file in files]


def _detector() -> bytes:
    """The face detector. Its file lists its constants among its inputs, which keeps them from being fused: not here."""
    network = onnx.load_from_string(
        (importlib.resources.files("emotion_gcn_jax.faces") / "centerface.onnx").read_bytes()
    )
    constants = {tensor.name for tensor in network.graph.initializer}
    inputs = [value for value in network.graph.input if value.name not in constants]
    del network.graph.input[:]
    network.graph.input.extend(inputs)
    return network.SerializeToString()


def _runtime(source: PathLike | None) -> dict[str, bytes]:
    """Reads ONNX Runtime Web's files from npm's archive or from a folder."""
    how = f"fetch it by npm pack onnxruntime-web@{ONNXRUNTIME_WEB}, and name the .tgz by --onnxruntime-web"
    if source is None:
        raise UserError(f"The page needs ONNX Runtime Web: {how}.")
    path = user_path(source)
    try:
        return _unpacked(path.read_bytes()) if path.is_file() else _from_folder(path)
    except (OSError, KeyError, tarfile.TarError) as error:
        raise UserError(f"ONNX Runtime Web was expected at {path}, and not found ({error}): {how}.") from None


def _from_folder(path: pathlib.Path) -> dict[str, bytes]:
    places = [path, path / "dist", path / "package" / "dist"]
    place = next((place for place in places if (place / _RUNTIME_FILES[0]).is_file()), path)
    return {name: (place / name).read_bytes() for name in _RUNTIME_FILES}


def _unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        files = {}
        for name in _RUNTIME_FILES:
            member = opened.getmember(f"package/dist/{name}")
            content = opened.extractfile(member)
            if content is None or member.size > _MOST_BYTES:
                raise tarfile.TarError(f"{name} is no file of onnxruntime-web")
            files[name] = content.read()
    return files
