"""Imports only point down: docs/architecture.md."""

import ast
import pathlib

import emotion_gcn_jax

PACKAGE = pathlib.Path(emotion_gcn_jax.__file__).parent
FLOORS = [
    {"errors"},
    {"labels", "runtime", "parallel", "torch_files"},
    {"faces", "graph", "tfds"},
    {"releases", "data", "models", "checkpoints"},
    {"conversion", "inference"},
    {"evaluation"},
    {"training"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported_rooms(path):
    """The rooms of the package that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
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
    assert checked > 40


def test_faces_know_nothing_of_jax_and_models_nothing_of_data():
    for path in (PACKAGE / "faces").rglob("*.py"):
        assert "jax" not in path.read_text().replace("emotion_gcn_jax", "").replace("emotion-gcn-jax", "")
    for path in (PACKAGE / "models").rglob("*.py"):
        assert not {"data", "faces"} & set(imported_rooms(path))
