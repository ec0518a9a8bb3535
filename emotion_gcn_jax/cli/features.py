"""`emotion-gcn features`: what a model's trunk makes of every image of a dataset, for networks that learn on it."""

import argparse

from emotion_gcn_jax.cli.arguments import Subparsers, add_checkpoint, add_labelled, add_subcommand, open_labelled


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "features",
        _run,
        "store what a model's trunk makes of a dataset's images",
        "emotion-gcn features --checkpoint runs/a --dataset synthetic_faces --split train --output train",
    )
    add_checkpoint(parser)
    add_labelled(parser, required=True)
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="a new folder: features.npy, examples.csv and about.json"
    )


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.evaluation.features import store
    from emotion_gcn_jax.inference.model import load

    split = open_labelled(arguments)
    model = load(arguments.checkpoint)
    count, width = store(model, split, arguments.output, checkpoint=arguments.checkpoint or "the shipped model")
    print(f"features: {count} of {width} numbers each, in {arguments.output}")
    return 0
