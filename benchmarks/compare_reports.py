r"""Compares two kinds of runs by their reports on one split: the difference of a score, with an interval.

    python -m benchmarks.compare_reports --one='reports/rnn_*' --other='reports/frame_*' \
      --examples=features/test/examples.csv
    python -m benchmarks.compare_reports --one='reports/graph_*' --other='reports/linear_*' --score=accuracy

Each kind is the mean of its reports, such as those of several seeds. The 95 % intervals are percentiles of 1,000
bootstraps; the difference is of the same draws. Where --examples says which video an id is of, whole videos are drawn,
since a video's frames are not independent; else single examples are. It prints one line of JSON. The reports are those
of `emotion-gcn evaluate`, and examples.csv is written by `emotion-gcn features`.
"""

import argparse
import csv
import glob
import json
import pathlib

import numpy as np


def main() -> None:
    """Prints the line."""
    parser = argparse.ArgumentParser(description="compare the reports of two kinds of runs")
    parser.add_argument("--one", required=True, help="a pattern of reports' folders")
    parser.add_argument("--other", required=True)
    parser.add_argument("--score", choices=SCORES, default="ccc", help="mean CCC of valence and arousal, or accuracy")
    parser.add_argument("--examples", type=pathlib.Path)
    options = parser.parse_args()
    score, read = SCORES[options.score]
    one, other = ([read(row) for row in _reports(pattern)] for pattern in (options.one, options.other))
    video_of = {row["id"]: row["video"] for row in _rows(options.examples)} if options.examples else None
    if not one or not other or not one[0]:
        parser.error("a pattern names no report, or none with labels for --score")
    if any(report.keys() != one[0].keys() for report in (*one, *other)):
        parser.error("the reports are of different examples: name reports of one split")
    if video_of is not None and not video_of.keys() >= one[0].keys():
        parser.error("--examples is of another split")
    ids = sorted(one[0])
    kinds = [[np.array([report[name] for name in ids]) for report in reports] for reports in (one, other)]
    rows_of = [np.array([row]) for row in range(len(ids))]
    if video_of is not None:
        videos = sorted({video_of[name] for name in ids})
        rows_of = [np.flatnonzero([video_of[name] == video for name in ids]) for video in videos]
    rng, drawn = np.random.default_rng(0), []
    for _ in range(1000):
        rows = np.concatenate([rows_of[group] for group in rng.integers(len(rows_of), size=len(rows_of))])
        drawn.append([score(kind, rows) for kind in kinds])
    found = [score(kind, np.arange(len(ids))) for kind in kinds]
    first_Dx2 = np.array(drawn)
    line = {
        "reports": [len(kind) for kind in kinds],
        "videos" if video_of is not None else "examples": len(rows_of),
        "one": _with_interval(found[0], first_Dx2[:, 0]),
        "other": _with_interval(found[1], first_Dx2[:, 1]),
        "difference": _with_interval(found[0] - found[1], first_Dx2[:, 0] - first_Dx2[:, 1]),
        "each": [[round(score([report], np.arange(len(ids))), 4) for report in kind] for kind in kinds],
    }
    print(json.dumps(line))


def _reports(pattern: str) -> list[list[dict[str, str]]]:
    folders = sorted(glob.glob(pattern))  # noqa: PTH207, since pathlib takes no absolute pattern
    return [_rows(pathlib.Path(folder) / "predictions.csv") for folder in folders]


def _values(table: list[dict[str, str]]) -> dict[str, list[float]]:
    """By an example's id: valence, arousal, and what was predicted of both."""
    columns = ("valence_true", "arousal_true", "valence_predicted", "arousal_predicted")
    return {row["id"]: [float(row[name]) for name in columns] for row in table if row.get("valence_true")}


def _hits(table: list[dict[str, str]]) -> dict[str, bool]:
    """By the id of an example that has a label: whether it was found."""
    return {
        row["id"]: row["expression_predicted"] == row["expression_true"] for row in table if row.get("expression_true")
    }


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _mean_ccc(reports: list[np.ndarray], rows: np.ndarray) -> float:
    return float(np.mean([_ccc(table[rows, 2 + d], table[rows, d]) for table in reports for d in (0, 1)]))


def _ccc(predicted: np.ndarray, true: np.ndarray) -> float:
    """Lin's concordance correlation coefficient, of population moments."""
    covariance = np.mean((predicted - predicted.mean()) * (true - true.mean()))
    return float(2 * covariance / (predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2))


def _accuracy(reports: list[np.ndarray], rows: np.ndarray) -> float:
    return float(np.mean([table[rows].mean() for table in reports]))


SCORES = {"ccc": (_mean_ccc, _values), "accuracy": (_accuracy, _hits)}


def _with_interval(value: float, drawn: np.ndarray) -> list[float]:
    return [round(float(x), 3) for x in (value, *np.percentile(drawn, [2.5, 97.5]))]


if __name__ == "__main__":
    main()
