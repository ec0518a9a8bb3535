import json

import pytest

from emotion_gcn_jax import presets
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.evaluation.several_runs import summarise


def write_run(folder, accuracy, ccc_mean, tasks=("expression", "affect"), confusion=None):
    """A run's report, as far as a summary reads it."""
    scores = {
        "expression": {"accuracy": accuracy, "mean_class_accuracy": accuracy, "macro_f1": 0.5},
        "affect": {"ccc_mean": ccc_mean},
    }
    scores["expression"] |= {"confusion": confusion} if confusion else {}
    metrics = {
        "examples": 10,
        "tasks": {name: scores[name] for name in tasks},
        "config": {"tasks": {name: presets.TASKS[name] for name in tasks}},
    }
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_runs_are_listed_with_their_mean_and_standard_deviation(tmp_path):
    first, second = write_run(tmp_path / "0", 0.6, 0.2), write_run(tmp_path / "1", 0.8, 0.4)
    heading, *rows = [line.split() for line in summarise([first, second]).splitlines()]
    assert heading[:2] == ["run", "expression/accuracy"] and heading[-2:] == ["affect/ccc_mean", "examples"]
    assert rows[0][1] == "0.6000" and rows[1][-1] == "10"
    assert rows[2][:2] == ["mean", "0.7000"] and rows[2][4] == "0.3000"
    assert rows[3][:2] == ["deviation", "0.1414"]  # of two values 0.2 apart: 0.2 / sqrt(2)


def test_a_score_that_is_undefined_in_a_run_is_so_in_the_mean(tmp_path):
    rows = summarise([write_run(tmp_path / "0", 0.6, None), write_run(tmp_path / "1", 0.8, 0.4)]).splitlines()
    assert rows[3].split()[4] == "nan"


def test_confusions_of_the_same_classes_are_added_up(tmp_path):
    first = {"label_names": ["Happy", "Sad"], "matrix": [[3, 1], [0, 2]]}
    second = {"label_names": ["Happy", "Sad"], "matrix": [[1, 0], [2, 1]]}
    runs = [write_run(tmp_path / str(n), 0.5, 0.2, confusion=c) for n, c in enumerate((first, second))]
    _, added_up = summarise(runs).split("\n\n")
    assert [line.split() for line in added_up.splitlines()] == [
        ["expression,", "all", "runs", "added", "up:", "accuracy", "0.7000", "of", "10"],  # 3 + 2 + 1 + 1
        ["true", "\\", "predicted", "Happy", "Sad"],
        ["Happy", "4", "1"],
        ["Sad", "2", "3"],
    ]
    other = write_run(tmp_path / "2", 0.5, 0.2, confusion={"label_names": ["Sad", "Happy"], "matrix": [[1, 0], [0, 1]]})
    assert "added up" not in summarise([*runs, other])


def test_mistakes_get_a_sentence(tmp_path):
    run = write_run(tmp_path / "0", 0.6, 0.2)
    with pytest.raises(UserError, match="two or more runs"):
        summarise([run])
    with pytest.raises(UserError, match="has no report"):
        summarise([run, tmp_path / "none"])
    with pytest.raises(UserError, match="the tasks expression, and"):
        summarise([run, write_run(tmp_path / "1", 0.6, 0.2, tasks=("expression",))])


DAMAGE = {
    "no JSON": lambda report: "{",
    "nested without end": lambda report: "[" * 100_000,
    "no object": lambda report: "[]",
    "a text for a score": lambda report: {**report, "tasks": {"expression": {"accuracy": "x"}, "affect": {}}},
    "an infinite score": lambda report: {**report, "tasks": {"expression": {"accuracy": float("inf")}, "affect": {}}},
    "an unknown kind": lambda report: {**report, "config": {"tasks": {"expression": {"kind": "x"}}}},
    "a confusion that is no square": lambda report: {
        **report,
        "tasks": {"expression": {"confusion": {"label_names": ["Happy", "Sad"], "matrix": [[1, 2]]}}, "affect": {}},
    },
    "no examples": lambda report: {**report, "examples": None},
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_report_is_named(tmp_path, kind):
    runs = [write_run(tmp_path / str(number), 0.6, 0.2) for number in range(2)]
    path = runs[1] / "report" / "metrics.json"
    damaged = DAMAGE[kind](json.loads(path.read_text()))
    path.write_text(damaged if isinstance(damaged, str) else json.dumps(damaged))
    with pytest.raises(UserError, match=r"1/report/metrics\.json is no report, or a damaged one"):
        summarise(runs)
