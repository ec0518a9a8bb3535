"""`emotion-gcn explain`: what in a face an answer hangs on."""

import argparse

from emotion_gcn_jax.cli.arguments import (
    SOME_FAILED,
    Subparsers,
    add_checkpoint,
    add_labelled,
    add_subcommand,
    judged,
    open_labelled,
    usable,
)
from emotion_gcn_jax.errors import UserError


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "explain",
        _run,
        "show what in a face an answer hangs on, or in a class of faces",
        "emotion-gcn explain --checkpoint runs/demo --output why photo.jpg",
    )
    parser.usage = "emotion-gcn explain [--checkpoint DIR] --output OUT [options] [IMAGE ...]"
    add_checkpoint(parser)
    parser.add_argument("--output", required=True, metavar="OUT", help="the folder of the figures and their arrays")
    parser.add_argument("--expression", metavar="E", help="explain this class, value or flag, not the model's answer")
    parser.add_argument(
        "--patch", metavar="N", type=int, help="side of what covers the face, in pixels; a quarter of the input's"
    )
    parser.add_argument(
        "--stride", metavar="S", type=int, help="from one of its places to the next, in pixels; a third of N"
    )
    parser.add_argument("--no-detect", action="store_true", help="the pictures are faces that were cut already")
    add_labelled(parser, required=False)
    parser.add_argument(
        "pictures", nargs="*", metavar="IMAGE", help="image file, folder, pattern such as 'a/**/*.jpg', or @LIST"
    )


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.evaluation.report import open_directory
    from emotion_gcn_jax.explanation import command, explain
    from emotion_gcn_jax.inference.model import load

    labelled = arguments.dataset or arguments.images
    if bool(labelled) == bool(arguments.pictures):
        raise UserError("explain takes either image files, or labelled faces by --dataset or --images: give one.")
    if not labelled and (arguments.config or arguments.data_dir or arguments.split):
        raise UserError("--config, --data-dir and --split are for --dataset and --images alone.")
    if labelled and arguments.no_detect:
        raise UserError("--no-detect is for image files alone: labelled faces are cut already.")
    split = open_labelled(arguments) if labelled else None
    model = load(arguments.checkpoint)
    asked = explain.known_output(model.tasks, arguments.expression) if arguments.expression else ""
    patch = explain.Patch.usual(model.input.network_side, side=arguments.patch, stride=arguments.stride)
    explainer = explain.Explainer(model, patch)
    if split is not None:
        open_directory(arguments.output)  # for its error, now rather than after the model has run
        chosen = usable(arguments, split, model)
        predictions = judged(arguments, model, chosen)
        failed = command.explain_split(explainer, chosen, predictions, arguments.output, asked=asked)
    else:
        detect = not arguments.no_detect
        failed = command.explain_files(explainer, arguments.pictures, arguments.output, asked=asked, detect=detect)
    return SOME_FAILED if failed else 0
