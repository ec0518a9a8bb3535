"""The adjacency against numbers worked out by hand, the correlations against scipy, and every bad file's sentence."""

import logging
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.graph.nodes import Nodes, nodes_of, targets
from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.tasks.classes import Classes
from emotion_gcn_jax.tasks.flags import Flags
from emotion_gcn_jax.tasks.values import Values

NEUTRAL, HAPPY, SAD, SURPRISE, FEAR, DISGUST, ANGER, VALENCE, AROUSAL = range(9)

EXPRESSION = Classes(name="expression", vocabulary=EXPRESSIONS)
AFFECT = Values(name="affect", dimensions=("valence", "arousal"))
UNITS = Flags(name="action_units", names=("AU1", "AU12"))
PAPERS_TASKS = (EXPRESSION, AFFECT)
NINE = nodes_of(PAPERS_TASKS)
ELEVEN = nodes_of((EXPRESSION, AFFECT, UNITS))


def test_affectnet_correlations_are_the_published_ones() -> None:
    correlations = adjacency.affectnet_correlations(NINE)
    assert correlations.dtype == np.float64
    assert correlations[NEUTRAL, HAPPY] == -0.56752883422330425
    assert correlations[VALENCE, HAPPY] == 0.86108538350454622
    assert correlations[VALENCE, AROUSAL] == 0.037299140916271512
    np.testing.assert_array_equal(correlations, correlations.T)
    np.testing.assert_array_equal(np.diag(correlations), np.ones(9))


@pytest.mark.parametrize(
    "vocabulary",
    [("Happy", "Neutral"), EXPRESSIONS[::-1]],
    ids=["a subset", "another order"],
)
def test_affectnet_correlations_are_found_by_name(vocabulary: tuple[str, ...]) -> None:
    nodes = nodes_of((AFFECT, Classes(name="expression", vocabulary=vocabulary)))
    places = [NINE.names.index(name) for name in nodes.names]
    expected = adjacency.affectnet_correlations(NINE)[np.ix_(places, places)]
    np.testing.assert_array_equal(adjacency.affectnet_correlations(nodes), expected)


@pytest.mark.parametrize(
    ("task", "unknown"),
    [
        (Classes(name="expression", vocabulary=(*EXPRESSIONS, "Contempt")), "Contempt"),
        (Classes(name="expression", vocabulary=("Happy", "Other", "Bored")), "Other, Bored"),
        (UNITS, "AU1, AU12"),
    ],
)
def test_affectnet_correlations_know_nine_nodes(task: Classes | Flags, unknown: str) -> None:
    with pytest.raises(
        UserError, match=f"between Neutral, .*, Arousal, and the graph has {unknown} as well: set config"
    ):
        adjacency.affectnet_correlations(nodes_of((task, AFFECT)))


def test_affectnet_adjacency_links_what_the_paper_links_bit_for_bit() -> None:
    result = adjacency.adjacency_from_correlations(adjacency.affectnet_correlations(NINE), NINE)
    expected = np.eye(9) * 0.5
    both = (NEUTRAL, SAD, FEAR, DISGUST, ANGER)
    for node in both:
        expected[node, [VALENCE, AROUSAL]] = 0.25
    expected[HAPPY, VALENCE] = 0.5
    expected[SURPRISE, AROUSAL] = 0.5
    expected[VALENCE, [*both, HAPPY]] = 0.5 / 6
    expected[AROUSAL, [*both, SURPRISE]] = 0.5 / 6
    np.testing.assert_array_equal(result, expected.astype(np.float32), strict=True)


def test_official_propagation_gives_valence_a_quarter_of_each_linked_expression() -> None:
    links = adjacency.adjacency_from_correlations(adjacency.affectnet_correlations(NINE), NINE)
    official = adjacency.propagation_matrix(links)
    np.testing.assert_allclose(official[VALENCE], [0.25, 0.5, 0.25, 0, 0.25, 0.25, 0.25, 0.5, 0])
    np.testing.assert_allclose(official[AROUSAL], [0.25, 0, 0.25, 0.5, 0.25, 0.25, 0.25, 0, 0.5])
    np.testing.assert_allclose(official[SURPRISE], [0, 0, 0, 0.5, 0, 0, 0, 0, 1 / 12], rtol=1e-7)
    np.testing.assert_array_equal(adjacency.propagation_matrix(links, "row"), links)
    with pytest.raises(UserError, match=r"transposed, row, found 'both'"):
        adjacency.propagation_matrix(links, "both")


def test_threshold_is_inclusive_and_neighbours_share_equally() -> None:
    correlations = np.eye(9)
    for i, j, value in [(HAPPY, VALENCE, 0.3), (SAD, VALENCE, -0.3), (SAD, AROUSAL, 0.29), (HAPPY, SAD, 0.9)]:
        correlations[i, j] = correlations[j, i] = value
    result = adjacency.adjacency_from_correlations(correlations, NINE, threshold=0.3, neighbour_share=0.8)
    expected = np.eye(9)
    expected[[HAPPY, SAD, VALENCE], [HAPPY, SAD, VALENCE]] = 0.2
    expected[HAPPY, VALENCE] = expected[SAD, VALENCE] = 0.8
    expected[VALENCE, [HAPPY, SAD]] = 0.4
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_valence_and_arousal_are_linked_where_they_correlate() -> None:
    correlations = np.eye(9)
    correlations[VALENCE, AROUSAL] = correlations[AROUSAL, VALENCE] = -0.2
    result = adjacency.adjacency_from_correlations(correlations, NINE)
    np.testing.assert_array_equal(result[7:, 7:], np.full((2, 2), 0.5))


def test_only_classes_of_one_task_are_never_linked() -> None:
    pose = Classes(name="pose", vocabulary=("Left", "Right"))
    nodes = nodes_of((pose, Classes(name="expression", vocabulary=("Happy", "Sad")), UNITS))
    result = adjacency.adjacency_from_correlations(np.ones((6, 6)), nodes)
    # Left has all but Right as its neighbours, four; AU1 has all others, five.
    expected = np.full((6, 6), 0.125)
    expected[:2, :2] = expected[2:4, 2:4] = 0
    expected[4:] = 0.1
    np.fill_diagonal(expected, 0.5)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_node_without_neighbours_keeps_itself_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    correlations = adjacency.affectnet_correlations(NINE)
    correlations[DISGUST, :] = correlations[:, DISGUST] = np.nan
    with caplog.at_level(logging.WARNING):
        result = adjacency.adjacency_from_correlations(correlations, NINE)
    assert [record.getMessage() for record in caplog.records] == [
        "The node Disgust is linked to no other: none of its correlations reaches the threshold 0.1."
    ]
    np.testing.assert_array_equal(result[DISGUST], np.eye(9)[DISGUST])
    np.testing.assert_allclose(result.sum(axis=1), np.ones(9), rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1, float("nan")])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(UserError, match="threshold must be above 0 and at most 1"):
        adjacency.adjacency_from_correlations(np.eye(9), NINE, threshold=threshold)


def test_neighbour_share_out_of_range() -> None:
    with pytest.raises(UserError, match=r"neighbour_share must be at least 0 and at most 1, found 1.5"):
        adjacency.adjacency_from_correlations(np.eye(9), NINE, neighbour_share=1.5)


def _annotations(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns n expression ids, and valence and arousal n x 2."""
    rng = np.random.default_rng(5)
    expression = rng.integers(0, 7, n).astype(np.int32)
    valence = np.round(np.cos(expression) + rng.normal(0, 0.3, n), 1)
    return expression, np.column_stack([valence, np.round(rng.uniform(-1, 1, n), 1)]).astype(np.float32)


def _correlations(expression_E: np.ndarray, affect_Ex2: np.ndarray) -> np.ndarray:
    found = targets(PAPERS_TASKS, {"expression": np.asarray(expression_E), "affect": np.asarray(affect_Ex2)})
    return adjacency.spearman_correlations(found, NINE)


def test_correlations_equal_scipys() -> None:
    expression, affect = _annotations(400)
    expected = stats.spearmanr(np.column_stack([np.eye(7)[expression], affect])).statistic
    np.testing.assert_allclose(_correlations(expression, affect), expected, atol=1e-12)


def test_incomplete_examples_do_not_count() -> None:
    expression, affect = _annotations(60)
    extra_expression = np.concatenate([expression, [-1, 3, 4]])
    extra_affect = np.concatenate([affect, [[0.5, 0.1], [np.nan, 0.3], [1.0, np.nan]]])
    np.testing.assert_array_equal(_correlations(extra_expression, extra_affect), _correlations(expression, affect))


@pytest.mark.parametrize("absent", [NEUTRAL, FEAR])
def test_expression_that_never_occurs_correlates_with_nothing(absent: int) -> None:
    expression, affect = _annotations(200)
    keep = expression != absent
    result = _correlations(expression[keep], affect[keep])
    np.testing.assert_array_equal(result[absent], np.eye(9)[absent])
    others = [i for i in range(9) if i != absent]
    table = np.column_stack([np.eye(7)[expression], affect])[keep][:, others]
    np.testing.assert_allclose(result[np.ix_(others, others)], stats.spearmanr(table).statistic, atol=1e-12)


def test_two_equal_examples_correlate_nothing() -> None:
    np.testing.assert_array_equal(_correlations(np.array([2, 2]), np.full((2, 2), 0.5)), np.eye(9))


@pytest.mark.parametrize(
    ("expression", "affect"),
    [
        ([-1, 2, 3], [[0.5, 0.1], [np.nan, 0.2], [0.1, np.nan]]),
        ([2, 3, 4], [[np.nan, np.nan]] * 3),
        ([2, -1, -1], [[0.5, 0.1], [0.5, 0.2], [0.5, 0.3]]),  # a single complete example
    ],
)
def test_correlations_need_two_examples_with_labels_of_two_tasks(expression: list, affect: list) -> None:
    with pytest.raises(
        UserError, match="two examples or more with all labels of two tasks, found fewer among 3: choose"
    ):
        _correlations(np.asarray(expression), np.asarray(affect))


@pytest.fixture
def apart() -> dict[str, np.ndarray]:
    """90 examples of which none has all labels: 30 without units, 30 without values, 30 without an expression."""
    rng = np.random.default_rng(11)
    expression, affect = _annotations(90)
    units = rng.integers(0, 2, (90, 2)).astype(np.int8)
    units[:30], affect[30:60], expression[60:] = -1, np.nan, -1
    return {"expression": expression, "affect": affect, "action_units": units}


@pytest.mark.parametrize(
    ("first", "second", "examples"),
    [
        ("expression", "affect", np.r_[0:30]),
        ("expression", "action_units", np.r_[30:60]),
        ("affect", "action_units", np.r_[60:90]),
        ("affect", "affect", np.r_[0:30, 60:90]),
        ("action_units", "action_units", np.r_[30:90]),
        ("expression", "expression", np.r_[0:60]),
    ],
)
def test_tasks_are_correlated_by_twos_where_no_example_has_all_labels(
    apart: dict[str, np.ndarray], first: str, second: str, examples: np.ndarray
) -> None:
    nodes_of_task = {"expression": slice(0, 7), "affect": slice(7, 9), "action_units": slice(9, 11)}
    labels = targets((EXPRESSION, AFFECT, UNITS), apart)
    result = adjacency.spearman_correlations(labels, ELEVEN)
    rows, columns = nodes_of_task[first], nodes_of_task[second]
    some = labels[examples]
    expected = [[stats.spearmanr(a, b).statistic for b in some[:, columns].T] for a in some[:, rows].T]
    np.testing.assert_allclose(result[rows, columns], expected, atol=1e-12)
    np.testing.assert_allclose(result, result.T, atol=1e-15)


def test_two_complete_examples_are_preferred_to_many_pairs(apart: dict[str, np.ndarray]) -> None:
    complete = {
        "expression": np.asarray([HAPPY, SAD]),
        "affect": np.asarray([[0.9, 0.1], [-0.9, 0.2]]),
        "action_units": np.asarray([[0, 1], [1, 0]]),
    }
    labels = {name: np.concatenate([apart[name], complete[name]]) for name in apart}
    result = adjacency.spearman_correlations(targets((EXPRESSION, AFFECT, UNITS), labels), ELEVEN)
    # Two examples rank all that varies (all but the other five expressions) in the same or in the opposite way.
    signs = np.asarray([0, 1, -1, 0, 0, 0, 0, 1, -1, -1, 1])
    np.testing.assert_allclose(result, np.outer(signs, signs) + np.diag(signs == 0), atol=1e-12)


def test_tasks_that_no_examples_share_are_not_linked(apart: dict[str, np.ndarray]) -> None:
    apart["action_units"][60:] = -1  # now only with an expression
    labels = targets((EXPRESSION, AFFECT, UNITS), apart)
    result = adjacency.spearman_correlations(labels, ELEVEN)
    np.testing.assert_array_equal(result[7:9, 9:], np.zeros((2, 2)))
    links = adjacency.adjacency_from_correlations(result, ELEVEN)
    np.testing.assert_array_equal(links[7:9, 9:], np.zeros((2, 2)))


def test_action_units_alone() -> None:
    labels = np.asarray([[0, 0], [0, 1], [1, 1], [1, 1], [np.nan, 0]])
    result = adjacency.spearman_correlations(labels, nodes_of((UNITS,)))
    # Pearson of 0, 0, 1, 1 and 0, 1, 1, 1 (ranks of two values keep it): covariance 1/8, variances 1/4 and 3/16.
    assert result[0, 1] == pytest.approx(1 / 8 / np.sqrt(1 / 4 * 3 / 16), abs=1e-12)


@pytest.mark.parametrize("nodes", [NINE, ELEVEN], ids=["nine", "with action units"])
def test_written_correlations_are_read_back_exactly(tmp_path: Path, nodes: Nodes) -> None:
    numbers = np.random.default_rng(2).uniform(-1, 1, (len(nodes), len(nodes)))
    correlations = np.tril(numbers) + np.tril(numbers, -1).T
    adjacency.write_correlations(tmp_path / "c.csv", correlations, nodes)
    np.testing.assert_array_equal(adjacency.read_correlations(tmp_path / "c.csv", nodes), correlations)


def test_plain_numbers_are_read_in_node_order(tmp_path: Path) -> None:
    correlations = adjacency.affectnet_correlations(NINE)
    np.savetxt(tmp_path / "plain.csv", correlations, delimiter=",")
    np.testing.assert_allclose(adjacency.read_correlations(tmp_path / "plain.csv", NINE), correlations, atol=1e-15)


def test_named_rows_and_columns_are_put_in_node_order(tmp_path: Path) -> None:
    correlations = adjacency.affectnet_correlations(NINE)
    rows, columns = [8, 3, 0, 1, 2, 4, 5, 6, 7], [2, 1, 0, 3, 4, 5, 6, 8, 7]
    lines = [",".join(["node", *(NINE.names[j].lower() for j in columns)])]
    lines += [",".join([NINE.names[i].upper(), *(repr(float(correlations[i, j])) for j in columns)]) for i in rows]
    path = tmp_path / "shuffled.csv"
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n\r\n", encoding="utf-8")
    np.testing.assert_array_equal(adjacency.read_correlations(path, NINE), correlations)


def test_a_file_may_have_more_nodes_than_are_needed(tmp_path: Path) -> None:
    names = ("Contempt", *ELEVEN.names)
    more = nodes_of((Classes(name="expression", vocabulary=names),))
    numbers = np.random.default_rng(3).uniform(-1, 1, (12, 12))
    correlations = np.tril(numbers) + np.tril(numbers, -1).T
    adjacency.write_correlations(tmp_path / "twelve.csv", correlations, more)
    needed = nodes_of((UNITS, AFFECT, Classes(name="expression", vocabulary=("Sad", "Happy"))))
    places = [names.index(name) for name in needed.names]
    found = adjacency.read_correlations(tmp_path / "twelve.csv", needed)
    np.testing.assert_array_equal(found, correlations[np.ix_(places, places)])


def _embedded_lines() -> list[str]:
    return Path(adjacency.__file__).with_name("affectnet_spearman.csv").read_text(encoding="utf-8").splitlines()


def _with_cell(row: int, column: int, text: str) -> str:
    cells = [line.split(",") for line in _embedded_lines()]
    cells[row][column] = text
    return "\n".join(",".join(line) for line in cells)


def _twice() -> str:
    """The nine nodes, and Happy as a tenth row and column."""
    lines = [f"{line},{line.split(',')[2]}" for line in _embedded_lines()]
    return "\n".join([*lines, lines[2]])


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
    "plain numbers of more nodes": ("\n".join([",".join(["0"] * 10)] * 10), "9 x 9 .* holds 10 x 10"),
    "a row twice": (_twice(), "rows of .* different names, and happy stands there twice"),
    "text in the first cell": ("a,0\n0,1\n", "begins with 'a', which is not a number"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_answered_with_a_sentence(case: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[case]
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        adjacency.read_correlations(path, NINE)
    assert "bad.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, r"there is no file .*none.csv"),
        ("binary.csv", b"\x80\x04\x95", r"binary.csv is not text"),
        ("correlations.pkl", b"", r"correlations.pkl is a pickle, .* CSV file of numbers"),
        ("correlations.PTH", None, r"correlations.PTH is a pickle"),
    ],
)
def test_missing_binary_and_pickled_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        adjacency.read_correlations(tmp_path / name, NINE)


def test_a_path_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    correlations = adjacency.affectnet_correlations(NINE)
    adjacency.write_correlations("~/c.csv", correlations, NINE)
    assert (tmp_path / "c.csv").is_file()
    np.testing.assert_array_equal(adjacency.read_correlations("~/c.csv", NINE), correlations)
