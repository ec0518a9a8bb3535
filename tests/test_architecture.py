"""Imports only point down: docs/architecture.md."""

import ast
import pathlib

import emotion_gcn_jax

PACKAGE = pathlib.Path(emotion_gcn_jax.__file__).parent
FLOORS = [
    {"errors"},
    {"labels", "runtime", "parallel", "torch_files"},
    {"faces", "graph", "tfds"},
    {"rendering"},
    {"releases", "data", "models", "checkpoints"},
    {"conversion", "inference"},
    {"evaluation"},
    {"training"},
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
    assert checked > 40


def test_faces_know_nothing_of_jax_and_models_nothing_of_data():
    for path in [*(PACKAGE / "faces").rglob("*.py"), *(PACKAGE / "rendering").rglob("*.py")]:
        assert "jax" not in path.read_text().replace("emotion_gcn_jax", "").replace("emotion-gcn-jax", "")
    for path in (PACKAGE / "models").rglob("*.py"):
        assert not {"data", "faces"} & set(imported_rooms(path))


def test_builders_know_labels_faces_and_releases_only():
    builders = sorted((PACKAGE.parent / "tfds_builders").rglob("*_builder.py"))
    assert len(builders) == 3
    for path in builders:
        assert set(imported_rooms(path)) <= {"labels", "faces", "rendering", "releases"}, path


def test_only_checkpoints_knows_orbax():
    knowing = [path.name for path in PACKAGE.rglob("*.py") if any(name.startswith("orbax") for name in imports(path))]
    assert knowing == ["checkpoints.py"]
