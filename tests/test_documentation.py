"""The documentation as a site, the notebook, and the Dockerfile."""

import base64
import io
import pathlib
import re

import nbclient
import nbformat
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from PIL import Image

pytestmark = pytest.mark.once

REPOSITORY = pathlib.Path(__file__).parents[1]
NOTEBOOK = REPOSITORY / "docs" / "photograph.ipynb"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site; a link that leads nowhere would stop it."""
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_the_sites_pages_have_what_the_repository_has(site):
    assert "make demo" in (site / "index.html").read_text()
    assert (site / "tfds_builders" / "folders" / "index.html").exists()
    assert (site / "configs" / "common.py").read_text() == (REPOSITORY / "configs" / "common.py").read_text()


def test_the_reference_is_made_of_docstrings(site):
    text = (site / "docs" / "api.html").read_text()
    assert "Reads a trained model." in text and ":::" not in re.sub(r"<code>:::</code>", "", text)


def test_the_site_loads_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//|<link[^>]+stylesheet[^>]+href=\"(?:https?:)?//"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    assert not [page.name for page in pages if loaded.search(page.read_text())]
    assert not [page.name for page in site.rglob("*.css") if re.search(r"url\([\"']?(https?:)?//", page.read_text())]


def test_the_notebook_runs_from_a_photograph_to_a_figure(tmp_path, monkeypatch):
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells)  # they are not kept in the repository
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    answer, photograph, figure = (cell.outputs[-1].data for cell in cells)
    assert answer["text/plain"].startswith("('Happy',")
    assert picture(photograph).size == (960, 960)
    assert picture(figure).width > 900


def picture(data):
    return Image.open(io.BytesIO(base64.b64decode(data["image/png"])))


def test_the_dockerfile_copies_what_is_there_and_installing_needs():
    copied = [line.split()[1:-1] for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if line[:4] == "COPY"]
    names = {name for names in copied for name in names}
    assert all((REPOSITORY / name).exists() for name in names)
    assert {"pyproject.toml", "README.md", "LICENSE", "emotion_gcn_jax"} <= names  # what pyproject.toml names
    let_through = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert {name.rstrip("/") for name in names} == let_through
