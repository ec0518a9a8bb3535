"""Arguments that several subcommands take, and how they are read."""

import argparse
import pathlib
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from emotion_gcn_jax.errors import UserError, counted

if TYPE_CHECKING:
    from emotion_gcn_jax.data.source import Split
    from emotion_gcn_jax.evaluation.predictions import Predictions
    from emotion_gcn_jax.inference.model import EmotionModel

SOME_FAILED = 1  # the exit status where some of the inputs have no answer

Subparsers = argparse._SubParsersAction


def add_subcommand(
    subparsers: Subparsers, name: str, run: Callable[[argparse.Namespace], int], summary: str, example: str
) -> argparse.ArgumentParser:
    """Adds a subcommand whose help ends with an example."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that says which model."""
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="a training run, a checkpoint or a model's file; by default the shipped model",
    )


def model_name(checkpoint: str | None) -> str:
    """What a page calls the model of `--checkpoint`."""
    return pathlib.PurePath(checkpoint).name if checkpoint else "The shipped model"


def add_labelled(parser: argparse.ArgumentParser, *, required: bool, held_out: bool = False) -> None:
    """Adds the arguments that `open_labelled` reads, and with `held_out` one that `usable` does."""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument("--dataset", metavar="NAME", help="a folder of tfds_builders/, built")
    source.add_argument(
        "--images", metavar="PATH", help="your own: a folder with a folder for each class, or a CSV of paths and labels"
    )
    parser.add_argument("--config", metavar="C", help="of the dataset's builder; needed where several are built")
    parser.add_argument("--data-dir", metavar="D", help="where it was built, if not in TFDS's own place")
    parser.add_argument("--split", metavar="S", help="such as test, or fold_1+fold_2; needed where there are several")
    if held_out:
        parser.add_argument(
            "--held-out", action="store_true", help="of the training split, what the model's run left out of training"
        )


def open_labelled(arguments: argparse.Namespace) -> "Split":
    """The split of a build, or of a folder or a table of images."""
    if not arguments.images and not arguments.dataset:  # one of them is given; an empty path is the working folder's
        raise UserError(
            "The name of --dataset or the path of --images was expected, found none: is a variable not set?"
        )
    if arguments.images:
        from emotion_gcn_jax.data.folder_split import open_folder

        if arguments.config or arguments.data_dir:
            raise UserError("--config and --data-dir are for --dataset alone.")
        return open_folder(arguments.images, arguments.split)
    from emotion_gcn_jax.data.builds import open_split

    return open_split(arguments.dataset, arguments.split, config=arguments.config, data_dir=arguments.data_dir)


def usable(arguments: argparse.Namespace, split: "Split", model: "EmotionModel") -> "Split":
    """The examples of a split that a model can be judged by; says how many are left out."""
    from emotion_gcn_jax.data import selection

    require = model.config.dataset.get("require", "none") if arguments.dataset else "none"
    chosen = selection.for_tasks(split, model.tasks, require)
    if len(chosen) < len(split):
        lost = len(split) - len(chosen)
        print(f"left out, since they have no label that counts here: {lost} of {counted(len(split), 'example')}")
    if unknown := selection.unknown_labels(split, model.tasks):
        print(f"labels that the model cannot express count as none: {unknown}")
    if not getattr(arguments, "held_out", False):
        return chosen
    dataset = model.config.dataset
    given, trained = (set(re.split("[+-]", name)) for name in (arguments.split or split.name, _train_split(model)))
    if not is_trained_on(split, model) or given != trained:
        raise UserError(
            f"--held-out is what the run left out of its training split: give --dataset {dataset.name} --split "
            f"{_train_split(model)}{f' --config {dataset.config}' if dataset.config else ''} with it."
        )
    group = dataset.get("group", "")
    if dataset.get("folds", 0):
        return selection.fold(chosen, dataset.fold, dataset.folds, group=group)[1]
    if not dataset.get("held_out_share", 0):
        raise UserError("--held-out: The run left nothing out of training (config.dataset.held_out_share and folds).")
    return selection.hold_out(chosen, dataset.held_out_share, group=group)[1]


def is_trained_on(split: "Split", model: "EmotionModel") -> bool:
    """Whether a split is, or is in part, what the model was trained on, as far as the names tell."""
    dataset = model.config.dataset
    is_of_config = dataset.get("config", "") in ("", split.config or "")
    return split.dataset == dataset.name and is_of_config and _overlap(split.name, _train_split(model))


def _train_split(model: "EmotionModel") -> str:
    return model.config.dataset.get("train_split", "train")


def _overlap(one: str, other: str) -> bool:
    """Whether two names of splits, A+B or all-A-B (see data.builds.open_split), have a split in common.

    Two that are all but some may have none, which their names do not tell: they are taken to.
    """
    (first, *but_for), (second, *_) = one.split("-"), other.split("-")
    if first == "all":
        return second == "all" or not set(other.split("+")) <= set(but_for)
    return _overlap(other, one) if second == "all" else not set(one.split("+")).isdisjoint(other.split("+"))


def judged(
    arguments: argparse.Namespace,
    model: "EmotionModel",
    split: "Split",
    *,
    ten_crop: bool = False,
    every_frame: bool = False,
) -> "Predictions":
    """What a model says of a split; of images that cannot be read there is a line each on standard error.

    A build of which a record is damaged is to be mended, unless the model was trained with others masked.

    Args:
        arguments: with those of `add_labelled`.
        model: judges.
        split: what `open_labelled` opened, or a part of it.
        ten_crop: as for `evaluate_model`.
        every_frame: an image that cannot be read stops the command, as a submission has an answer for every frame.
    """
    from emotion_gcn_jax.evaluation.evaluator import evaluate_model

    leaves_out = (arguments.images or model.config.data.mask_damaged) and not every_frame
    masked: set[str] | None = set() if leaves_out else None
    try:
        return evaluate_model(model, split, ten_crop=ten_crop, masked=masked)
    finally:
        for sentence in sorted(masked or ()):
            print(sentence, file=sys.stderr, flush=True)
