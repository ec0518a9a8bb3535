"""The pages' Python, run on a small untrained model; test_extending.py runs that of docs/extending.md."""

import re
import shutil

import numpy as np
import pytest

import emotion_gcn_jax as eg
from emotion_gcn_jax.export import exporting
from tests.photographs import GRACE_HOPPER
from tests.test_documented_commands import FENCED, PAGES
from tests.untrained import write_checkpoint

pytestmark = pytest.mark.once

INDENTED = re.compile(r"(?:^    import emotion_gcn_jax.*\n)(?:^(?:    .*)?\n)*", re.MULTILINE)
BLOCKS = {
    f"{page.name} {number}": block
    for page in PAGES
    if page.name != "extending.md"
    for number, block in enumerate(
        [body for language, body in FENCED.findall(page.read_text()) if language == "python"]
        + [re.sub("^    ", "", block, flags=re.MULTILINE) for block in INDENTED.findall(page.read_text())]
    )
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the files that the pages name: a run, its exported model in every format, a photograph."""
    root = tmp_path_factory.mktemp("python")
    model = eg.load(write_checkpoint(root / "runs" / "demo", "emotion_gcn"))
    for kind, form in exporting.FORMATS.items():
        exporting.export(model, kind, root / f"model{form.suffix}")
    shutil.copy(GRACE_HOPPER, root / "photo.jpg")
    return root


@pytest.mark.parametrize("block", BLOCKS)
def test_the_pages_python_runs(block, world, monkeypatch):
    monkeypatch.chdir(world)
    images = np.zeros((1, 32, 32, 3), np.float32)
    names = {"images": images, "images_BxHxWx3": images, "face_HxWx3": np.zeros((48, 48, 3), np.uint8)}
    exec(compile(BLOCKS[block], block, "exec"), names)
    if "answers" in names:
        assert np.asarray(names["answers"]["expression"]).shape == (1, 7)
        assert names["contract"]["outputs"]["affect"]["names"] == ["Valence", "Arousal"]


def test_no_page_with_python_is_passed_over():
    assert {name.split()[0] for name in BLOCKS} == {"README.md", "api.md", "explain.md", "export.md"}
