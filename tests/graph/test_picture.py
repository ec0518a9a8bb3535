"""The graph as text and picture, on correlations whose edges are known."""

import io
import itertools

import numpy as np
import pytest
from matplotlib.text import Annotation
from PIL import Image

from emotion_gcn_jax.graph import adjacency, picture
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.labels import ACTION_UNITS, EXPRESSIONS, NODES
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values

EXPRESSION = Classes(name="expression", vocabulary=EXPRESSIONS)
EIGHT = Classes(name="expression", vocabulary=(*EXPRESSIONS, "Contempt"))
AFFECT = Values(name="affect", dimensions=("valence", "arousal"))
UNITS = Flags(name="action_units", names=tuple(ACTION_UNITS)[:12])
NINE = nodes_of((EXPRESSION, AFFECT))


def named(found, nodes=NINE):
    return [(nodes.names[a], nodes.names[b], round(weight, 2)) for a, b, weight in found]


def random_graph(nodes, seed, edge_count):
    """Returns correlations of which `edge_count` are edges, from 0.1 to 0.9 in either sense, and the edges."""
    rng = np.random.default_rng(seed)
    allowed = np.argwhere(np.triu(~nodes.excluding_NxN, 1))
    correlations = np.eye(len(nodes))
    for a, b in rng.permutation(allowed)[:edge_count]:
        correlations[a, b] = correlations[b, a] = rng.uniform(0.1, 0.9) * rng.choice([-1, 1])
    found = picture.edges(correlations, adjacency.adjacency_from_correlations(correlations, nodes))
    assert len(found) == edge_count
    return correlations, found


@pytest.fixture
def affectnet():
    correlations = adjacency.affectnet_correlations(NINE)
    return correlations, picture.edges(correlations, adjacency.adjacency_from_correlations(correlations, NINE))


def test_edges_are_affectnets_twelve_with_their_signs(affectnet):
    _, edges = affectnet
    assert named(edges) == [
        ("Neutral", "Valence", -0.34),
        ("Neutral", "Arousal", -0.28),
        ("Happy", "Valence", 0.86),
        ("Sad", "Valence", -0.45),
        ("Sad", "Arousal", -0.43),
        ("Surprise", "Arousal", 0.34),
        ("Fear", "Valence", -0.12),
        ("Fear", "Arousal", 0.24),
        ("Disgust", "Valence", -0.18),
        ("Disgust", "Arousal", 0.14),
        ("Anger", "Valence", -0.38),
        ("Anger", "Arousal", 0.41),
    ]


def test_table_and_listing_name_what_they_show(affectnet):
    correlations, edges = affectnet
    lines = picture.table(correlations, NINE).splitlines()
    assert lines[0].split() == list(NODES)
    happy = "Happy -0.57 +1.00 -0.30 -0.22 -0.14 -0.11 -0.29 +0.86 +0.01"
    assert " ".join(lines[2].split()) == happy
    assert len({len(line) for line in lines}) == 1
    listing = picture.listing(edges, NINE).splitlines()
    assert listing[0] == "Neutral: Valence -0.34, Arousal -0.28"
    assert listing[-1].startswith("Arousal: Neutral -0.28, Sad -0.43")


def test_nodes_without_edges_are_named():
    happy, valence = NODES.index("Happy"), NODES.index("Valence")
    assert picture.listing([(happy, valence, 0.5)], NINE).splitlines() == [
        "Happy: Valence +0.50",
        "Valence: Happy +0.50",
        "without an edge: Neutral, Sad, Surprise, Fear, Disgust, Anger, Arousal",
    ]


def test_picture_shows_both_signs(affectnet):
    correlations, edges = affectnet
    both, positive = (
        np.asarray(Image.open(io.BytesIO(picture.draw(correlations, some, NINE, "a title"))).convert("RGB")).astype(int)
        for some in (edges, [edge for edge in edges if edge[2] > 0])
    )
    red = [int((image[..., 0] - image[..., 2] > 60).sum()) for image in (both, positive)]
    blue = [int((image[..., 2] - image[..., 0] > 60).sum()) for image in (both, positive)]
    assert red[0] > 1000 and red[1] == 0
    assert min(blue) > 1000


def parts(figure):
    """The nodes' texts, the numbers and the lines of a picture of nodes and lines."""
    (axes,) = figure.axes
    texts = [text for text in axes.texts if isinstance(text, Annotation)]
    return (
        {text.get_text(): text for text in texts if text.get_bbox_patch()},
        [text for text in texts if not text.get_bbox_patch()],
        axes.lines,
    )


NETS = {
    "the paper's nine": ((EXPRESSION, AFFECT), 12),
    "with Contempt": ((EIGHT, AFFECT), 14),
    "both values linked": ((EXPRESSION, AFFECT), 15),
    "one value": ((EXPRESSION, Values(name="affect", dimensions=("valence",))), 6),
    "three values": ((EXPRESSION, Values(name="affect", dimensions=("valence", "arousal", "dominance"))), 10),
    "few action units": ((EXPRESSION, AFFECT, Flags(name="action_units", names=("AU1", "AU12"))), 8),
    "action units alone": ((UNITS,), 12),
    "no edge": ((EXPRESSION, AFFECT), 0),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", NETS)
def test_lines_hide_no_node_and_numbers_hide_nothing(case, seed):
    tasks, edge_count = NETS[case]
    nodes = nodes_of(tasks)
    correlations, found = random_graph(nodes, seed, edge_count)
    figure = picture.figure(correlations, found, nodes, "a title")
    texts, numbers, lines = parts(figure)
    assert texts.keys() == set(nodes.names), "not a picture of nodes and lines"
    assert sorted(text.get_text() for text in numbers) == sorted(f"{weight:+.2f}" for _, _, weight in found)
    figure.canvas.draw()
    boxes = {name: text.get_bbox_patch().get_window_extent() for name, text in texts.items()}
    transform = figure.axes[0].transData
    for (a, b, _), line in zip(found, lines, strict=True):
        start, end = transform.transform(line.get_xydata())
        points = start + np.linspace(0, 1, 500)[:, None] * (end - start)
        touched = {name for name, box in boxes.items() if any(box.contains(*point) for point in points)}
        assert touched == {nodes.names[a], nodes.names[b]}
    extents = [*boxes.values(), *(text.get_window_extent() for text in numbers)]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(extents, 2))


TABLES = {
    "three tasks": ((EIGHT, AFFECT, UNITS), 59),
    "many action units": ((UNITS,), 34),
    "names that fill the ring": (
        (Classes(name="expression", vocabulary=tuple(f"A very long name {n}" for n in range(30))), AFFECT),
        3,
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_where_lines_would_hide_something(case):
    tasks, edge_count = TABLES[case]
    nodes = nodes_of(tasks)
    correlations, found = random_graph(nodes, 0, edge_count)
    figure = picture.figure(correlations, found, nodes, "a title")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == list(nodes.names)
    assert [text.get_text() for text in axes.get_yticklabels()] == list(nodes.names)
    cells = {tuple(np.floor(text.get_position()).astype(int)): text.get_text() for text in axes.texts}
    expected = {(a, b): f"{weight:+.2f}" for a, b, weight in found}
    assert cells == expected | {(b, a): number for (a, b), number in expected.items()}
    figure.canvas.draw()
    side = axes.get_window_extent().width / len(nodes)
    assert all(text.get_window_extent().width < side for text in axes.texts), "a number is wider than its cell"


def test_classes_stand_on_the_side_of_the_value_that_they_depend_on(affectnet):
    correlations, edges = affectnet
    texts, _, _ = parts(picture.figure(correlations, edges, NINE, "a title"))
    right = {name: text.xy[0] for name, text in texts.items()}
    assert right["Happy"] < right["Valence"] < right["Arousal"] < right["Surprise"]
    assert min(right, key=right.get) == "Happy" and max(right, key=right.get) == "Surprise"


def test_a_node_without_edges_has_a_dotted_outline():
    correlations = np.eye(9)
    texts, _, _ = parts(picture.figure(correlations, [(1, 7, 0.5)], NINE, "a title"))
    dotted = {name for name, text in texts.items() if text.get_bbox_patch().get_linestyle() in (":", "dotted")}
    assert dotted == set(NODES) - {"Happy", "Valence"}
