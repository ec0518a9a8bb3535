"""One summary of several runs: the folds of a cross-validation, or the seeds of a comparison."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import PathLike, read_json, user_path
from emotion_gcn_jax.tasks import registry

_REPORT = "report/metrics.json"


def summarise(runs: Sequence[PathLike]) -> str:
    """A table of the scores that the runs may be selected by: a line for each run, then mean and standard deviation.

    Below it, for every task that has a confusion, those of all runs added up: over the folds of a cross-validation it
    has every example once.

    Args:
        runs: working directories of finished runs with the same tasks, two or more; or folders with a metrics.json.

    Raises:
        UserError: a run has no report or a damaged one, or other tasks than the first.
    """
    if len(runs) < 2:
        raise UserError("A summary is of two or more runs: name their working directories.")
    reports = [_read(run) for run in runs]
    tasks = reports[0]["config"]["tasks"]
    for run, report in zip(runs, reports, strict=True):
        if report["tasks"].keys() != reports[0]["tasks"].keys():
            raise UserError(
                f"{run} has the tasks {', '.join(report['tasks'])}, and {runs[0]} has "
                f"{', '.join(reports[0]['tasks'])}: runs are summarised if they have the same."
            )
    names = registry.selectable(registry.from_config(tasks))
    scores_RxS = np.asarray([[_score(report, name) for name in names] for report in reports])
    spread = [*scores_RxS, scores_RxS.mean(axis=0), scores_RxS.std(axis=0, ddof=1)]
    table = _table(["run", *names, "examples"], [*map(str, runs), "mean", "deviation"], spread, reports)
    return "\n\n".join([table, *(_added_up(name, reports) for name in tasks if _have_confusion(name, reports))])


def _read(run: PathLike) -> dict[str, Any]:
    for path in (user_path(run) / _REPORT, user_path(run) / "metrics.json"):
        if path.is_file():
            return _read_report(path)
    raise UserError(f"{run} has no {_REPORT}: name the working directory of a run that has ended.")


def _read_report(path: pathlib.Path) -> dict[str, Any]:
    """A report that has all that a summary is made of."""
    try:
        report = read_json(path)
        tasks = report["config"]["tasks"]
        for name in registry.selectable(registry.from_config(tasks)):
            _score(report, name)
        for name in tasks:
            if _have_confusion(name, [report]):
                words, matrix = (report["tasks"][name]["confusion"][field] for field in ("label_names", "matrix"))
                if np.shape(matrix) != (len(words), len(words)):
                    raise ValueError(f"the confusion of {name} is no square of its classes")
                _added_up(name, [report])
        if type(report["examples"]) is not int:
            raise TypeError("how many examples there are is no whole number")
        return report
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): have its permissions changed.") from None
    except Exception as error:  # what is no report raises almost anything
        raise UserError(f"{path} is no report, or a damaged one ({type(error).__name__}): write it again.") from None


def _score(report: dict[str, Any], name: str) -> float:
    """One of its numbers; NaN where there is none."""
    task, _, metric = name.partition("/")
    value = report["tasks"][task].get(metric)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return np.nan if value is None else float(value)


def _have_confusion(task: str, reports: Sequence[dict[str, Any]]) -> bool:
    """Whether all runs have one, of the same classes."""
    confusions = [report["tasks"][task].get("confusion") or {} for report in reports]
    words = confusions[0].get("label_names")
    return bool(words) and all(confusion.get("label_names") == words for confusion in confusions)


def _added_up(task: str, reports: Sequence[dict[str, Any]]) -> str:
    confusions = [report["tasks"][task]["confusion"] for report in reports]
    words = confusions[0]["label_names"]
    matrix_CxC = np.asarray([confusion["matrix"] for confusion in confusions], np.int64).sum(axis=0)
    total = int(matrix_CxC.sum())
    rows = [
        ["true \\ predicted", *words],
        *([word, *map(str, row)] for word, row in zip(words, matrix_CxC, strict=True)),
    ]
    right = f"accuracy {np.trace(matrix_CxC) / total:.4f} of {total}" if total else "no labels"
    return f"{task}, all runs added up: {right}\n{_aligned(rows)}"


def _table(
    heading: list[str], names: list[str], scores: Sequence[np.ndarray], reports: Sequence[dict[str, Any]]
) -> str:
    examples = [str(report["examples"]) for report in reports] + [""] * (len(names) - len(reports))
    rows = [[n, *(f"{s:.4f}" for s in row), e] for n, row, e in zip(names, scores, examples, strict=True)]
    return _aligned([heading, *rows])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lines with their cells below each other, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
