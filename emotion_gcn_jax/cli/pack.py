"""`emotion-gcn pack`: a trained model in one small file."""

import argparse
import sys

from emotion_gcn_jax.cli.arguments import (
    SOME_FAILED,
    Subparsers,
    add_labelled,
    add_subcommand,
    is_trained_on,
    judged,
    open_labelled,
    usable,
)
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import user_path


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "pack",
        _run,
        "write a trained model into one small file, calibrated if a split is named",
        "emotion-gcn pack --checkpoint runs/mine --output mine.safetensors\n"
        "  emotion-gcn pack --checkpoint runs/mine --dataset fer2013 --config fer2013 --split validation \\\n"
        "    --output mine.safetensors",
    )
    parser.add_argument("--checkpoint", required=True, metavar="DIR", help="a training run, or one checkpoint of it")
    add_labelled(parser, required=False, held_out=True)
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write, NAME.safetensors")


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax import model_file
    from emotion_gcn_jax.inference.model import load

    model = load(arguments.checkpoint)
    meta, unreadable = dict(model.meta), 0
    if arguments.dataset or arguments.images:
        from emotion_gcn_jax.evaluation import calibration
        from emotion_gcn_jax.evaluation.predictions import left_out
        from emotion_gcn_jax.tasks import registry

        split = open_labelled(arguments)
        if arguments.held_out:
            split = usable(arguments, split, model)
        elif is_trained_on(split, model):
            print(
                "Warning: the model was trained on this split, so what is fitted to it is too sure: name another, or "
                "--held-out.",
                file=sys.stderr,
            )
        predictions = judged(arguments, model, split)
        tasks, fits = calibration.calibrated(predictions)
        meta |= {"tasks": registry.to_dicts(tasks), "calibration": fits}
        for name, fit in fits.items():
            print(f"{name}: {calibration.line(fit)}")
        if unreadable := predictions.unreadable:
            print(left_out(unreadable, len(predictions.ids)))
    elif arguments.config or arguments.data_dir or arguments.split or arguments.held_out:
        raise UserError("--config, --data-dir, --split and --held-out are for --dataset: name one, or leave them out.")
    model_file.write(arguments.output, model.variables, meta)
    size = user_path(arguments.output).stat().st_size
    print(f"wrote {arguments.output} ({size / 1e6:.1f} MB)")
    return SOME_FAILED if unreadable else 0
