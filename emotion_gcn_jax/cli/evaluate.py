"""`emotion-gcn evaluate`: the report of a trained model on labelled images."""

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
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.releases.affwild2_submission import FORMS


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "evaluate",
        _run,
        "write the report of a trained model on labelled images",
        "emotion-gcn evaluate --checkpoint runs/demo --dataset synthetic_faces --config demo \\\n"
        "    --split test --output report\n"
        "  emotion-gcn evaluate --checkpoint runs/demo --images my_faces --output report",
    )
    parser.usage = "%(prog)s (--dataset NAME | --images PATH) --output OUT [OPTIONS]"
    add_checkpoint(parser)
    add_labelled(parser, required=True, held_out=True)
    parser.add_argument(
        "--output", required=True, metavar="OUT", help="the report's folder: numbers, predictions, plots"
    )
    parser.add_argument(
        "--ten-crop",
        action="store_true",
        help="judge corners, middle and their mirrors, by a model that was trained on crops",
    )
    parser.add_argument(
        "--by", metavar="COLUMN", help="judge groups of examples, too: a column of the table or the dataset"
    )
    parser.add_argument(
        "--submission",
        choices=FORMS,
        metavar="FORM",
        help="write ABAW's files, too, of all frames, labelled or not: "
        f"{', '.join(FORMS)}; they go into OUT/submission_FORM",
    )


def _run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from emotion_gcn_jax.evaluation.evaluator import check_ten_crop
    from emotion_gcn_jax.evaluation.groups import groups_by
    from emotion_gcn_jax.evaluation.report import open_directory, summary, write_report
    from emotion_gcn_jax.evaluation.submission import Submission
    from emotion_gcn_jax.inference.model import load
    from emotion_gcn_jax.tasks import registry

    split = open_labelled(arguments)
    model = load(arguments.checkpoint)
    if arguments.ten_crop:
        check_ten_crop(model.input)
    output, submission = user_path(arguments.output), None
    if arguments.submission:
        folder = output / f"submission_{arguments.submission}"
        submission = Submission.prepared(arguments.submission, split, model.tasks, folder)
    if submission and not registry.any_label(model.tasks, split.columns, split.metadata):
        submission.write(judged(arguments, model, split, ten_crop=arguments.ten_crop, every_frame=True))
        print(f"submission: {submission.directory}\nno example has a label: there is no report")
        return 0
    chosen = usable(arguments, split, model)
    if arguments.by:
        groups_by(chosen, arguments.by)  # for its error, now rather than after the model has run
    open_directory(output)
    predictions = judged(
        arguments,
        model,
        split if submission else chosen,
        ten_crop=arguments.ten_crop,
        every_frame=submission is not None,
    )
    if submission:
        submission.write(predictions)
        print(f"submission: {submission.directory}")
        # A network in time sees other clips where frames without labels are examples: its scores are of the usual ones.
        predictions = (
            judged(arguments, model, chosen, ten_crop=arguments.ten_crop)
            if model.module.time is not None
            else predictions.some(np.isin(split.rows, chosen.rows))
        )
    if predictions.readable is not None:
        chosen = chosen.select(predictions.readable)
    metrics = write_report(
        output,
        predictions,
        checkpoint=arguments.checkpoint or "the shipped model",
        config=model.meta["config"],
        groups=groups_by(chosen, arguments.by) if arguments.by else None,
    )
    print(f"{summary(model.tasks, metrics)}\nreport: {output}")
    return SOME_FAILED if predictions.unreadable else 0
