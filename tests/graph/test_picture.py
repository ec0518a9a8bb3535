"""The graph as text and picture, on correlations whose edges are known."""

import io

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.graph import adjacency, picture
from emotion_gcn_jax.labels import NODES


@pytest.fixture
def affectnet():
    correlations = adjacency.affectnet_correlations()
    return correlations, picture.edges(correlations, adjacency.adjacency_from_correlations(correlations))


def test_edges_are_affectnets_twelve_with_their_signs(affectnet):
    _, edges = affectnet
    assert [(a, b, round(weight, 2)) for a, b, weight in edges] == [
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
    lines = picture.table(correlations).splitlines()
    assert lines[0].split() == list(NODES)
    assert lines[2].split() == [
        "Happy",
        "-0.57",
        "+1.00",
        "-0.30",
        "-0.22",
        "-0.14",
        "-0.11",
        "-0.29",
        "+0.86",
        "+0.01",
    ]
    assert len({len(line) for line in lines}) == 1
    listing = picture.listing(edges).splitlines()
    assert listing[0] == "Neutral: Valence -0.34, Arousal -0.28"
    assert listing[-1].startswith("Arousal: Neutral -0.28, Sad -0.43")


def test_nodes_without_edges_are_named():
    assert picture.listing([("Happy", "Valence", 0.5)]).splitlines()[-1] == (
        "without an edge: Neutral, Sad, Surprise, Fear, Disgust, Anger, Arousal"
    )


def test_picture_shows_both_signs(affectnet):
    correlations, edges = affectnet
    both, positive = (
        np.asarray(Image.open(io.BytesIO(picture.draw(correlations, some, "a title"))).convert("RGB")).astype(int)
        for some in (edges, [edge for edge in edges if edge[2] > 0])
    )
    red = [int((image[..., 0] - image[..., 2] > 60).sum()) for image in (both, positive)]
    blue = [int((image[..., 2] - image[..., 0] > 60).sum()) for image in (both, positive)]
    assert red[0] > 1000 and red[1] == 0
    assert min(blue) > 1000
