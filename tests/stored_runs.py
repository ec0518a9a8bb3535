"""The stored checkpoints, see stored_checkpoints/README.md."""

import json
import pathlib

FOLDER = pathlib.Path(__file__).with_name("stored_checkpoints")
FORMATS = sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir())


def run_of(name):
    """The working directory of a format's run."""
    return FOLDER / name / "run"


def expected_of(name):
    """What the version that wrote the run says with it: "faces" and "history"."""
    return json.loads((FOLDER / name / "expected.json").read_text())
