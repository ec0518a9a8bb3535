"""The adjacency against numbers worked out by hand, the correlations against scipy, and every bad file's sentence."""

import logging
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.labels import NODES

NEUTRAL, HAPPY, SAD, SURPRISE, FEAR, DISGUST, ANGER, VALENCE, AROUSAL = range(9)


def test_affectnet_correlations_are_the_published_ones() -> None:
    correlations = adjacency.affectnet_correlations()
    assert correlations.dtype == np.float64
    assert correlations[NEUTRAL, HAPPY] == -0.56752883422330425
    assert correlations[VALENCE, HAPPY] == 0.86108538350454622
    assert correlations[VALENCE, AROUSAL] == 0.037299140916271512
    np.testing.assert_array_equal(correlations, correlations.T)
    np.testing.assert_array_equal(np.diag(correlations), np.ones(9))


def test_affectnet_adjacency_links_what_the_paper_links() -> None:
    result = adjacency.adjacency_from_correlations(adjacency.affectnet_correlations())
    expected = np.eye(9) * 0.5
    both = (NEUTRAL, SAD, FEAR, DISGUST, ANGER)
    for node in both:
        expected[node, [VALENCE, AROUSAL]] = 0.25
    expected[HAPPY, VALENCE] = 0.5
    expected[SURPRISE, AROUSAL] = 0.5
    expected[VALENCE, [*both, HAPPY]] = 1 / 12
    expected[AROUSAL, [*both, SURPRISE]] = 1 / 12
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-7)


def test_official_propagation_gives_valence_a_quarter_of_each_linked_expression() -> None:
    links = adjacency.adjacency_from_correlations(adjacency.affectnet_correlations())
    official = adjacency.propagation_matrix(links)
    np.testing.assert_allclose(official[VALENCE], [0.25, 0.5, 0.25, 0, 0.25, 0.25, 0.25, 0.5, 0])
    np.testing.assert_allclose(official[AROUSAL], [0.25, 0, 0.25, 0.5, 0.25, 0.25, 0.25, 0, 0.5])
    np.testing.assert_allclose(official[SURPRISE], [0, 0, 0, 0.5, 0, 0, 0, 0, 1 / 12], rtol=1e-7)
    np.testing.assert_array_equal(adjacency.propagation_matrix(links, "row"), links)
    with pytest.raises(UserError, match=r"transposed, row, not 'both'"):
        adjacency.propagation_matrix(links, "both")


def test_threshold_is_inclusive_and_neighbours_share_equally() -> None:
    correlations = np.eye(9)
    for i, j, value in [(HAPPY, VALENCE, 0.3), (SAD, VALENCE, -0.3), (SAD, AROUSAL, 0.29), (HAPPY, SAD, 0.9)]:
        correlations[i, j] = correlations[j, i] = value
    result = adjacency.adjacency_from_correlations(correlations, threshold=0.3, neighbour_share=0.8)
    expected = np.eye(9)
    expected[[HAPPY, SAD, VALENCE], [HAPPY, SAD, VALENCE]] = 0.2
    expected[HAPPY, VALENCE] = expected[SAD, VALENCE] = 0.8
    expected[VALENCE, [HAPPY, SAD]] = 0.4
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_valence_and_arousal_are_linked_where_they_correlate() -> None:
    correlations = np.eye(9)
    correlations[VALENCE, AROUSAL] = correlations[AROUSAL, VALENCE] = -0.2
    result = adjacency.adjacency_from_correlations(correlations)
    np.testing.assert_array_equal(result[7:, 7:], np.full((2, 2), 0.5))


def test_node_without_neighbours_keeps_itself_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    correlations = adjacency.affectnet_correlations()
    correlations[DISGUST, :] = correlations[:, DISGUST] = np.nan
    with caplog.at_level(logging.WARNING):
        result = adjacency.adjacency_from_correlations(correlations)
    assert [record.getMessage() for record in caplog.records] == [
        "The node Disgust is linked to no other: none of its correlations reaches the threshold 0.1."
    ]
    np.testing.assert_array_equal(result[DISGUST], np.eye(9)[DISGUST])
    np.testing.assert_allclose(result.sum(axis=1), np.ones(9), rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1, float("nan")])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(UserError, match="threshold must be above 0 and at most 1"):
        adjacency.adjacency_from_correlations(np.eye(9), threshold=threshold)


def test_neighbour_share_out_of_range() -> None:
    with pytest.raises(UserError, match=r"neighbour_share must be at least 0 and at most 1, not 1.5"):
        adjacency.adjacency_from_correlations(np.eye(9), neighbour_share=1.5)


def _annotations(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    expression = rng.integers(0, 7, n)
    valence = np.round(np.cos(expression) + rng.normal(0, 0.3, n), 1)
    return expression, valence, np.round(rng.uniform(-1, 1, n), 1)


def test_correlations_equal_scipys() -> None:
    expression, valence, arousal = _annotations(400)
    table = np.column_stack([np.eye(7)[expression], valence, arousal])
    expected = stats.spearmanr(table).statistic
    np.testing.assert_allclose(adjacency.spearman_correlations(expression, valence, arousal), expected, atol=1e-12)


def test_incomplete_examples_do_not_count() -> None:
    expression, valence, arousal = _annotations(60)
    expected = adjacency.spearman_correlations(expression, valence, arousal)
    extra_expression = np.concatenate([expression, [-1, 7, 3, 4]])
    extra_valence = np.concatenate([valence, [0.5, -0.9, np.nan, 1.0]])
    extra_arousal = np.concatenate([arousal, [0.1, 0.2, 0.3, np.nan]])
    result = adjacency.spearman_correlations(extra_expression, extra_valence, extra_arousal)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("absent", [NEUTRAL, FEAR])
def test_expression_that_never_occurs_correlates_with_nothing(absent: int) -> None:
    expression, valence, arousal = _annotations(200)
    keep = expression != absent
    result = adjacency.spearman_correlations(expression[keep], valence[keep], arousal[keep])
    np.testing.assert_array_equal(result[absent], np.eye(9)[absent])
    others = [i for i in range(9) if i != absent]
    table = np.column_stack([np.eye(7)[expression], valence, arousal])[keep][:, others]
    np.testing.assert_allclose(result[np.ix_(others, others)], stats.spearmanr(table).statistic, atol=1e-12)


def test_a_single_example_correlates_nothing() -> None:
    result = adjacency.spearman_correlations(np.array([2]), np.array([0.5]), np.array([0.1]))
    np.testing.assert_array_equal(result, np.eye(9))


def test_correlations_need_examples_with_all_labels() -> None:
    with pytest.raises(UserError, match="none of the 2 given has all three"):
        adjacency.spearman_correlations(np.array([-1, 2]), np.array([0.5, np.nan]), np.array([0.1, 0.2]))


def test_written_correlations_are_read_back_exactly(tmp_path: Path) -> None:
    correlations = adjacency.spearman_correlations(*_annotations(100))
    adjacency.write_correlations(tmp_path / "c.csv", correlations)
    np.testing.assert_array_equal(adjacency.read_correlations(tmp_path / "c.csv"), correlations)


def test_plain_numbers_are_read_in_node_order(tmp_path: Path) -> None:
    correlations = adjacency.affectnet_correlations()
    np.savetxt(tmp_path / "plain.csv", correlations, delimiter=",")
    np.testing.assert_allclose(adjacency.read_correlations(tmp_path / "plain.csv"), correlations, atol=1e-15)


def test_named_rows_and_columns_are_put_in_node_order(tmp_path: Path) -> None:
    correlations = adjacency.affectnet_correlations()
    rows, columns = [8, 3, 0, 1, 2, 4, 5, 6, 7], [2, 1, 0, 3, 4, 5, 6, 8, 7]
    lines = [",".join(["node", *(NODES[j].lower() for j in columns)])]
    lines += [",".join([NODES[i].upper(), *(repr(float(correlations[i, j])) for j in columns)]) for i in rows]
    path = tmp_path / "shuffled.csv"
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n\r\n", encoding="utf-8")
    np.testing.assert_array_equal(adjacency.read_correlations(path), correlations)


def _embedded_lines() -> list[str]:
    return Path(adjacency.__file__).with_name("affectnet_spearman.csv").read_text(encoding="utf-8").splitlines()


def _with_cell(row: int, column: int, text: str) -> str:
    cells = [line.split(",") for line in _embedded_lines()]
    cells[row][column] = text
    return "\n".join(",".join(line) for line in cells)


BAD_FILES = {
    "empty": ("", "bad.csv is empty"),
    "missing row": ("\n".join(_embedded_lines()[:-1]), "9 x 9 .* holds 8 x 9"),
    "plain 2 x 2": ("1,0\n0,1\n", "9 x 9 .* holds 2 x 2"),
    "ragged": ("\n".join([*_embedded_lines()[:-1], "Arousal,1,2"]), "9 numbers, but row 10 has 2"),
    "text": (_with_cell(3, 5, "high"), "row 4, column 6 holds 'high'"),
    "empty cell": (_with_cell(2, 9, ""), "row 3, column 10 holds ''"),
    "NaN": (_with_cell(1, 4, "nan"), "row 2, column 5 holds 'nan'"),
    "out of range": (_with_cell(1, 2, "1.5"), r"within \[-1, 1\], .* has 1.5 in row Neutral, column Happy"),
    "asymmetric": (_with_cell(8, 2, "0.5"), "symmetric, .* 0.861085 in row Happy, column Valence and 0.5 the other"),
    "unknown row": (_with_cell(2, 0, "Joy"), r"rows of .* Happy is missing \(found: Neutral, Joy, Sad"),
    "unknown columns": ("\n".join([",A,B,C,D,E,F,G,H,I", *_embedded_lines()[1:]]), "columns of .* are missing"),
    "text in the first cell": ("a,0\n0,1\n", "begins with 'a', which is not a number"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_answered_with_a_sentence(case: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[case]
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        adjacency.read_correlations(path)
    assert "bad.csv" in str(caught.value)


def test_missing_binary_and_pickled_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*none.csv"):
        adjacency.read_correlations(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\x80\x04\x95")
    with pytest.raises(UserError, match=r"binary.csv is not text"):
        adjacency.read_correlations(tmp_path / "binary.csv")
    with pytest.raises(UserError, match=r"correlations.pkl is a pickle, .* CSV file of 9 x 9"):
        adjacency.read_correlations(tmp_path / "correlations.pkl")
