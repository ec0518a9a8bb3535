"""`emotion-gcn summarise`: finished runs beside each other."""

import argparse

from emotion_gcn_jax.cli.arguments import Subparsers, add_subcommand


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "summarise",
        _run,
        "compare finished runs, such as the folds of a cross-validation",
        "emotion-gcn summarise runs/fold_*",
    )
    parser.add_argument("runs", nargs="+", metavar="DIR", help="a training run's working directory")


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.evaluation.several_runs import summarise

    print(summarise(arguments.runs))
    return 0
