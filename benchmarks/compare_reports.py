r"""Compares two kinds of runs by their reports on one split: mean CCC, and the difference with an interval over videos.

    python -m benchmarks.compare_reports --one='reports/rnn_*' --other='reports/frame_*' \
      --examples=features/test/examples.csv

Each kind is the mean of its reports, such as those of several seeds. The 95 % intervals are percentiles of 1,000
bootstraps that draw whole videos, since a video's frames are not independent; the difference is of the same draws. It
prints one line of JSON. The reports are those of `emotion-gcn evaluate`, and examples.csv, which `emotion-gcn features`
writes, says which video an id is of.
"""

import argparse
import csv
import json
import pathlib

import numpy as np


def main() -> None:
    """Prints the line."""
    parser = argparse.ArgumentParser(description="compare the reports of two kinds of runs")
    parser.add_argument("--one", required=True, help="a pattern of reports' folders")
    parser.add_argument("--other", required=True)
    parser.add_argument("--examples", required=True, type=pathlib.Path)
    options = parser.parse_args()
    video_of = {row["id"]: row["video"] for row in _rows(options.examples)}
    one, other = (_predictions(pattern) for pattern in (options.one, options.other))
    if not one or not other or not video_of.keys() >= one[0].keys():
        parser.error("a pattern names no report, or --examples is of another split")
    ids = sorted(one[0])
    videos = sorted({video_of[name] for name in ids})
    rows_of = [np.flatnonzero([video_of[name] == video for name in ids]) for video in videos]
    kinds = [[np.array([report[name] for name in ids]) for report in reports] for reports in (one, other)]
    rng, drawn = np.random.default_rng(0), []
    for _ in range(1000):
        rows = np.concatenate([rows_of[video] for video in rng.integers(len(videos), size=len(videos))])
        drawn.append([_mean_ccc(kind, rows) for kind in kinds])
    found = [_mean_ccc(kind, np.arange(len(ids))) for kind in kinds]
    first_Dx2 = np.array(drawn)
    line = {
        "reports": [len(kind) for kind in kinds],
        "videos": len(videos),
        "one": _with_interval(found[0], first_Dx2[:, 0]),
        "other": _with_interval(found[1], first_Dx2[:, 1]),
        "difference": _with_interval(found[0] - found[1], first_Dx2[:, 0] - first_Dx2[:, 1]),
    }
    print(json.dumps(line))


def _predictions(pattern: str) -> list[dict[str, list[float]]]:
    """Of every report, by an example's id: valence, arousal, and what was predicted of both."""
    columns = ("valence_true", "arousal_true", "valence_predicted", "arousal_predicted")
    tables = [_rows(pathlib.Path(folder) / "predictions.csv") for folder in sorted(pathlib.Path().glob(pattern))]
    return [{row["id"]: [float(row[name]) for name in columns] for row in table} for table in tables]


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _mean_ccc(reports: list[np.ndarray], rows: np.ndarray) -> float:
    return float(np.mean([_ccc(table[rows, 2 + d], table[rows, d]) for table in reports for d in (0, 1)]))


def _ccc(predicted: np.ndarray, true: np.ndarray) -> float:
    """Lin's concordance correlation coefficient, of population moments."""
    covariance = np.mean((predicted - predicted.mean()) * (true - true.mean()))
    return float(2 * covariance / (predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2))


def _with_interval(value: float, drawn: np.ndarray) -> list[float]:
    return [round(float(x), 3) for x in (value, *np.percentile(drawn, [2.5, 97.5]))]


if __name__ == "__main__":
    main()
