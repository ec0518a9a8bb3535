"""The files of the page: a fixed set, by the name under which the browser asks for each."""

import importlib.resources
import pathlib
from collections.abc import Mapping

from emotion_gcn_jax.errors import UserError

# By the suffix: module scripts and compiled WebAssembly are refused by browsers under any other type.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy: nothing from elsewhere runs, and nothing is sent elsewhere."""

_SHARED = ("index.html", "style.css", "icon.svg", "page.js", "sources.js", "stage.js", "charts.js", "cards.js",
           "faces.js", "table.js")  # fmt: skip
_ENGINES = {
    "server": ("engine_server.js",),
    "browser": ("engine_browser.js", "find_worker.js", "judge_worker.js", "worker.js", "detection.js", "cutting.js",
                "resizing.js"),
}  # fmt: skip


def page_files(engine: str) -> dict[str, bytes]:
    """Reads the page.

    Args:
        engine: who judges, "server" or "browser".

    Returns:
        The files' bytes by the names that the page asks for.
    """
    folder = importlib.resources.files(__package__) / "page"
    files = {name: (folder / name).read_bytes() for name in _SHARED + _ENGINES[engine]}
    files["engine.js"] = files.pop(f"engine_{engine}.js")
    return files


def folder_files(folder: pathlib.Path) -> Mapping[str, bytes]:
    """Reads a folder that `web_folder.write_web` wrote; raises UserError if it is none."""
    if not (folder / "about.json").is_file():
        raise UserError(
            f"A page's folder was expected at {folder}, found none: write one by emotion-gcn export --format web."
        )
    try:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in TYPES and path.is_file()}
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror or error}): check it.") from None
