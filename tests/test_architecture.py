"""Imports only point down: docs/architecture.md."""

import ast
import pathlib
import re

import pytest

import emotion_gcn_jax

pytestmark = pytest.mark.once

PACKAGE = pathlib.Path(emotion_gcn_jax.__file__).parent
FLOORS = [
    {"errors", "files", "trees"},
    {"labels", "runtime", "onnx_session", "parallel", "processes", "torch_files", "checksums", "array_files", "media"},
    {"tasks", "faces", "sound", "tfds"},
    {"presets", "rendering", "graph"},
    {"releases", "models", "old_formats"},
    {"model_file"},
    {"data", "checkpoints", "onnx_writer"},
    {"conversion", "inference"},
    {"evaluation", "export"},
    {"training", "explanation", "serving"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path):
    """The dotted names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path):
    """The rooms of the package that a module imports."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "emotion_gcn_jax" and len(parts) > 1:
            yield parts[1]


def test_imports_only_point_down():
    checked = 0
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for target in imported_rooms(path):
            checked += 1
            assert target == room or FLOOR[target] < FLOOR[room], f"{path} imports {target}"
    assert checked > 100


@pytest.mark.parametrize("room", ["faces", "rendering", "releases", "sound"])
def test_some_rooms_know_nothing_of_jax(room):
    for path in (PACKAGE / room).rglob("*.py"):
        assert not {"jax", "flax", "optax"} & {name.partition(".")[0] for name in imports(path)}, path


def test_models_know_nothing_of_data():
    for path in (PACKAGE / "models").rglob("*.py"):
        assert not {"data", "faces", "releases"} & set(imported_rooms(path)), path


# Who loops over the tasks names none of them: the words stand there only where a person reads them.
LOOPING = ("training", "evaluation", "explanation", "inference", "data")


@pytest.mark.parametrize("path", [path for room in LOOPING for path in sorted((PACKAGE / room).glob("*.py"))], ids=str)
def test_who_loops_over_tasks_names_none(path):
    tree = ast.parse(path.read_text())
    read_by_people = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Constant) and is_prose(node)}
    for node in ast.walk(tree):
        names = [
            getattr(node, field)
            for field in ("id", "attr", "arg", "name")
            if isinstance(getattr(node, field, None), str)
        ]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in read_by_people:
            names.append(node.value)
        for name in names:
            assert not re.search("valence|arousal|expression", name.lower()), f"{path.name}: {name!r}"


def is_prose(constant):
    """Whether a text is a sentence rather than a key: it has a blank in it."""
    return isinstance(constant.value, str) and " " in constant.value.strip()


def test_predicting_and_converting_need_no_extra():
    """What only training and building import stands in the rooms that do these."""
    extras = {"tensorflow", "tensorflow_datasets", "apache_beam", "clu", "numba", "tensorboard"}
    for room in (
        "faces",
        "tasks",
        "graph",
        "models",
        "torch_files",
        "conversion",
        "inference",
        "evaluation",
        "explanation",
        "onnx_writer",
        "serving",
    ):
        for path in (PACKAGE / room).rglob("*.py"):
            assert not extras & {name.partition(".")[0] for name in imports(path)}, path


def test_builders_know_labels_faces_and_releases_only():
    builders = sorted((PACKAGE.parent / "tfds_builders").rglob("*_builder.py"))
    assert len(builders) == 9
    for path in builders:
        assert set(imported_rooms(path)) <= {"labels", "faces", "rendering", "releases"}, path


def test_only_checkpoints_knows_orbax():
    knowing = [path.name for path in PACKAGE.rglob("*.py") if any(name.startswith("orbax") for name in imports(path))]
    assert knowing == ["checkpoints.py"]
