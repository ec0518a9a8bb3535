"""The command `emotion-gcn`: reads arguments, calls what does the work, and answers every mistake with one line.

Each subcommand is a pair of functions, one that describes its arguments and one that runs it; the latter imports what
it needs, so that `--help` answers at once.
"""

import argparse
import importlib.metadata
import io
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import atomic_write, user_path
from emotion_gcn_jax.labels import CLASS_ORDERS

if TYPE_CHECKING:
    from emotion_gcn_jax.data.source import Split
    from emotion_gcn_jax.inference.model import EmotionModel

SOME_FAILED = 1  # the exit status where some of the inputs have no answer
MISTAKE = 2  # the exit status of a user's mistake, argparse's own
STOPPED = 130  # that of a run which the user interrupted

Subparsers = argparse._SubParsersAction


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Args:
        arguments: the command line after the program's name; None takes the process's own.

    Returns:
        The exit status: 0, 1 where some of the inputs failed, 2 for a mistake in the command, 130 when interrupted.
    """
    parsed = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal has no sign for
    from emotion_gcn_jax import runtime

    try:
        runtime.set_up()
        status = parsed.run(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has read enough, as `head` does
        runtime.drop_output()
        return SOME_FAILED
    except UserError as error:
        print(f"emotion-gcn: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("\nemotion-gcn: stopped.", file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="emotion-gcn",
        description="What faces express: expressions, valence and arousal, action units.",
        epilog="example:\n  emotion-gcn predict photo.jpg\n\n"
        "emotion-gcn SUBCOMMAND --help shows the arguments of one, with an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and stop")
    subparsers = parser.add_subparsers(metavar="SUBCOMMAND", required=True)
    for add in SUBCOMMANDS:
        add(subparsers)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        parser.exit(message=f"emotion-gcn-jax {importlib.metadata.version('emotion-gcn-jax')}\n")


def _add(
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


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="a training run, a checkpoint or a model's file; by default the shipped model",
    )


def _add_labelled(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Adds the arguments that `_open_labelled` reads."""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument("--dataset", metavar="NAME", help="a folder of tfds_builders/, built")
    source.add_argument(
        "--images", metavar="PATH", help="your own: a folder with a folder for each class, or a CSV of paths and labels"
    )
    parser.add_argument("--config", metavar="C", help="of the dataset's builder; needed where several are built")
    parser.add_argument("--data-dir", metavar="D", help="where it was built, if not in TFDS's own place")
    parser.add_argument("--split", metavar="S", help="such as test, or fold_1+fold_2; needed where there are several")


def _add_predict(subparsers: Subparsers) -> None:
    parser = _add(
        subparsers,
        "predict",
        _predict,
        "find the faces of photographs and say what they express",
        "emotion-gcn predict photo.jpg\n"
        "  emotion-gcn predict --checkpoint runs/demo photo.jpg --json faces.json --overlay out",
    )
    _add_checkpoint(parser)
    parser.add_argument("--json", metavar="FILE", help="where to write everything that is known of every face")
    parser.add_argument("--overlay", metavar="DIR", help="where to write the pictures with their faces marked")
    parser.add_argument("--no-detect", action="store_true", help="the pictures are faces that were cut already")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file, or a folder of them")


def _predict(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.inference import predict

    failed = predict.run(
        arguments.checkpoint,
        arguments.images,
        json_file=arguments.json,
        overlay_directory=arguments.overlay,
        detect=not arguments.no_detect,
    )
    return SOME_FAILED if failed else 0


def _add_evaluate(subparsers: Subparsers) -> None:
    parser = _add(
        subparsers,
        "evaluate",
        _evaluate,
        "write the report of a trained model on labelled images",
        "emotion-gcn evaluate --checkpoint runs/demo --dataset synthetic_faces --split test --output report\n"
        "  emotion-gcn evaluate --checkpoint runs/demo --images my_faces --output report",
    )
    _add_checkpoint(parser)
    _add_labelled(parser, required=True)
    parser.add_argument(
        "--output", required=True, metavar="OUT", help="the report's folder: numbers, predictions, plots"
    )
    parser.add_argument(
        "--ten-crop",
        action="store_true",
        help="of a model trained on crops (config.input.crop): judge each image by its corners, its middle and their "
        "mirrors",
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.evaluation.evaluator import check_ten_crop, evaluate_model
    from emotion_gcn_jax.evaluation.report import open_directory, summary, write_report
    from emotion_gcn_jax.inference.model import load

    split = _open_labelled(arguments)
    model = load(arguments.checkpoint)
    if arguments.ten_crop:
        check_ten_crop(model.input)
    chosen = _usable(arguments, split, model)
    output = open_directory(user_path(arguments.output))
    metrics = write_report(
        output,
        evaluate_model(model, chosen, ten_crop=arguments.ten_crop),
        checkpoint=arguments.checkpoint or "the shipped model",
        config=model.meta["config"],
    )
    print(f"{summary(model.tasks, metrics)}\nreport: {output}")
    return 0


def _usable(arguments: argparse.Namespace, split: "Split", model: "EmotionModel") -> "Split":
    """The examples of a split that a model can be judged by; says how many are left out."""
    from emotion_gcn_jax.data import selection

    require = model.config.dataset.get("require", "none") if arguments.dataset else "none"
    chosen = selection.for_tasks(split, model.tasks, require)
    if len(chosen) < len(split):
        print(f"{len(split) - len(chosen)} of {len(split)} examples have no label that counts here: they are left out")
    return chosen


def _open_labelled(arguments: argparse.Namespace) -> "Split":
    """The split of a build, or of a folder or a table of images."""
    if arguments.images:
        from emotion_gcn_jax.data.folder_split import open_folder

        if arguments.config or arguments.data_dir:
            raise UserError("--config and --data-dir are for --dataset alone.")
        return open_folder(arguments.images, arguments.split)
    from emotion_gcn_jax.data.builds import open_split

    if not arguments.split:
        raise UserError("--dataset needs --split: name one, such as validation or test.")
    return open_split(arguments.dataset, arguments.split, config=arguments.config, data_dir=arguments.data_dir)


def _add_explain(subparsers: Subparsers) -> None:
    parser = _add(
        subparsers,
        "explain",
        _explain,
        "show what in a face an answer hangs on, or in a class of faces",
        "emotion-gcn explain --checkpoint runs/demo --output why photo.jpg",
    )
    parser.usage = "emotion-gcn explain [--checkpoint DIR] --output OUT [options] [IMAGE ...]"
    _add_checkpoint(parser)
    parser.add_argument("--output", required=True, metavar="OUT", help="the folder of the figures and their arrays")
    parser.add_argument("--expression", metavar="E", help="explain this class, value or flag, not the model's answer")
    parser.add_argument(
        "--patch", metavar="N", type=int, help="side of what covers the face, in pixels; a quarter of the input's"
    )
    parser.add_argument(
        "--stride", metavar="S", type=int, help="from one of its places to the next, in pixels; a third of N"
    )
    parser.add_argument("--no-detect", action="store_true", help="the pictures are faces that were cut already")
    _add_labelled(parser, required=False)
    parser.add_argument("pictures", nargs="*", metavar="IMAGE", help="an image file, or a folder of them")


def _explain(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.explanation import command, explain
    from emotion_gcn_jax.inference.model import load

    labelled = arguments.dataset or arguments.images
    if bool(labelled) == bool(arguments.pictures):
        raise UserError("explain takes either image files, or labelled faces by --dataset or --images: give one.")
    if not labelled and (arguments.config or arguments.data_dir or arguments.split):
        raise UserError("--config, --data-dir and --split are for --dataset and --images alone.")
    if labelled and arguments.no_detect:
        raise UserError("--no-detect is for image files alone: labelled faces are cut already.")
    split = _open_labelled(arguments) if labelled else None
    model = load(arguments.checkpoint)
    asked = explain.known_output(model.tasks, arguments.expression) if arguments.expression else ""
    patch = explain.Patch.usual(model.input.network_side, side=arguments.patch, stride=arguments.stride)
    explainer = explain.Explainer(model, patch)
    if split is not None:
        failed = command.explain_split(explainer, _usable(arguments, split, model), arguments.output, asked=asked)
    else:
        detect = not arguments.no_detect
        failed = command.explain_files(explainer, arguments.pictures, arguments.output, asked=asked, detect=detect)
    return SOME_FAILED if failed else 0


def _add_graph(subparsers: Subparsers) -> None:
    parser = _add(
        subparsers,
        "graph",
        _graph,
        "compute the graph's edges from the annotations of a dataset",
        "emotion-gcn graph --dataset affwild2 --config expr_va --output adjacency.csv --plot graph.png",
    )
    parser.add_argument("--dataset", required=True, help="a dataset that `tfds build` has made")
    parser.add_argument("--config", help="the dataset's config; needed where several are built")
    parser.add_argument("--data-dir", help="where it was built; by default where TFDS builds")
    parser.add_argument("--split", default="train", help="the split whose annotations count (default: train)")
    parser.add_argument("--model", default="emotion_gcn", help="emotion_gcn (default) or emotion_gcn_au: which nodes")
    parser.add_argument("--vocabulary", help="the classes that are nodes, with commas between them")
    parser.add_argument("--threshold", type=float, default=0.1, help="the weakest correlation that is an edge (0.1)")
    parser.add_argument(
        "--output", required=True, help="CSV file for the correlations, for --config.graph.correlations"
    )
    parser.add_argument("--plot", help="PNG file for a drawing of the edges")


def _graph(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax import presets
    from emotion_gcn_jax.data.builds import open_split
    from emotion_gcn_jax.graph import adjacency, picture
    from emotion_gcn_jax.graph.nodes import nodes_of, targets
    from emotion_gcn_jax.tasks import registry

    if arguments.plot and pathlib.Path(arguments.plot).suffix.lower() != ".png":
        raise UserError(f"--plot draws a PNG file, found {arguments.plot}: name one that ends in .png.")
    fields = presets.tasks(arguments.model)
    if arguments.vocabulary:
        fields["expression"]["vocabulary"] = arguments.vocabulary
    tasks = registry.from_config(fields)
    nodes = nodes_of(tasks)
    split = open_split(arguments.dataset, arguments.split, config=arguments.config, data_dir=arguments.data_dir)
    labels = registry.read_labels(tasks, split.columns, split.metadata)
    correlations_NxN = adjacency.spearman_correlations(targets(tasks, labels), nodes)
    adjacency_NxN = adjacency.adjacency_from_correlations(correlations_NxN, nodes, threshold=arguments.threshold)
    edges = picture.edges(correlations_NxN, adjacency_NxN)
    print(f"{split!r}: Spearman correlations\n\n{picture.table(correlations_NxN, nodes)}\n")
    print(f"edges (correlations of at least {arguments.threshold:g}):\n{picture.listing(edges, nodes)}\n")
    _write(arguments.output, lambda path: adjacency.write_correlations(path, correlations_NxN, nodes))
    if arguments.plot:
        title = f"{split.dataset}, {split.name}: correlations of at least {arguments.threshold:g}"
        _write(arguments.plot, lambda path: atomic_write(path, picture.draw(correlations_NxN, edges, nodes, title)))
    threshold = f"--config.graph.threshold={arguments.threshold}"
    print(f"train with it: --config.graph.correlations={arguments.output} {threshold}")
    return 0


def _write(name: str, write: Callable[[pathlib.Path], object]) -> None:
    """Writes a file, or says in a sentence why it cannot be written."""
    path = user_path(name)
    try:
        write(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path.") from None
    print(f"wrote {path}")


def _add_convert(subparsers: Subparsers) -> None:
    parser = _add(
        subparsers,
        "convert",
        _convert,
        "turn PyTorch weights into a checkpoint, or a checkpoint into PyTorch weights",
        "emotion-gcn convert --weights emotion_gcn.pth --word-vectors emb.pkl --output weights/emotion_gcn\n"
        "  emotion-gcn convert --weights densenet121-a639ec97.pth --imagenet --output weights/imagenet\n"
        "  emotion-gcn convert --checkpoint runs/demo --to-torch demo.pth",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", metavar="FILE", help="an official checkpoint, or a state dict with its names")
    source.add_argument("--checkpoint", metavar="DIR", help="a training run, or one checkpoint, for --to-torch")
    parser.add_argument("--output", metavar="DIR", help="the new checkpoint's folder")
    parser.add_argument("--trunk", metavar="T", help="such as densenet121; else by the tensors' names")
    parser.add_argument("--model", metavar="M", help="single_task, multi_task or emotion_gcn; likewise")
    parser.add_argument("--word-vectors", metavar="W", help="of an emotion_gcn: emb.pkl, or a GloVe text file")
    parser.add_argument(
        "--label-order",
        metavar="O",
        help=f"the file's class order: {', '.join(CLASS_ORDERS)} (affectnet is the default, fer2013 for Deep-Emotion), "
        "or the class names with commas between them",
    )
    parser.add_argument("--imagenet", action="store_true", help="the file is torchvision's: trunk weights only")
    parser.add_argument("--to-torch", metavar="OUT", help="the official-layout file to write; or OUT.safetensors")


def _convert(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.conversion import convert

    official = {
        "trunk": arguments.trunk,
        "model": arguments.model,
        "vectors": arguments.word_vectors,
        "label_order": arguments.label_order,
    }
    given = {name: value for name, value in official.items() if value is not None}
    if bool(arguments.checkpoint) != bool(arguments.to_torch) or bool(arguments.weights) != bool(arguments.output):
        raise UserError("convert takes either --weights FILE --output DIR, or --checkpoint DIR --to-torch OUT.")
    if arguments.checkpoint and arguments.imagenet:
        raise UserError("--imagenet is for --weights alone.")
    if (given and arguments.checkpoint) or (arguments.imagenet and given.keys() - {"trunk"}):
        raise UserError("--trunk, --model, --word-vectors and --label-order are for official weights alone.")
    if arguments.checkpoint:
        print(convert.to_torch(arguments.checkpoint, arguments.to_torch))
    elif arguments.imagenet:
        print(convert.from_imagenet(arguments.weights, arguments.output, trunk=arguments.trunk))
    else:
        print(convert.from_official(arguments.weights, arguments.output, **given))
    return 0


def _add_pack(subparsers: Subparsers) -> None:
    parser = _add(
        subparsers,
        "pack",
        _pack,
        "write a trained model into one small file, calibrated if a split is named",
        "emotion-gcn pack --checkpoint runs/mine --output mine.safetensors\n"
        "  emotion-gcn pack --checkpoint runs/mine --dataset fer2013 --config fer2013 --split validation \\\n"
        "    --output mine.safetensors",
    )
    parser.add_argument("--checkpoint", required=True, metavar="DIR", help="a training run, or one checkpoint of it")
    _add_labelled(parser, required=False)
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write, NAME.safetensors")


def _pack(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax import model_file
    from emotion_gcn_jax.inference.model import load

    model = load(arguments.checkpoint)
    meta = dict(model.meta)
    if arguments.dataset or arguments.images:
        from emotion_gcn_jax.evaluation import calibration
        from emotion_gcn_jax.evaluation.evaluator import evaluate_model
        from emotion_gcn_jax.tasks import registry

        tasks, fits = calibration.calibrated(evaluate_model(model, _open_labelled(arguments)))
        meta |= {"tasks": registry.to_dicts(tasks), "calibration": fits}
        for name, fit in fits.items():
            before, after = fit["calibration_error"]
            print(
                f"{name}: temperature {fit['temperature']:.3f}, fitted on {fit['examples']} examples of "
                f"{fit['dataset']}, {fit['split']}: calibration error {before:.3f} before, {after:.3f} after"
            )
    elif arguments.config or arguments.data_dir or arguments.split:
        raise UserError("--config, --data-dir and --split are for --dataset: name one, or leave them out.")
    model_file.write(arguments.output, model.variables, meta)
    size = user_path(arguments.output).stat().st_size
    print(f"wrote {arguments.output} ({size / 1e6:.1f} MB)")
    return 0


def _add_summarise(subparsers: Subparsers) -> None:
    parser = _add(
        subparsers,
        "summarise",
        _summarise,
        "compare finished runs, such as the folds of a cross-validation",
        "emotion-gcn summarise runs/fold_*",
    )
    parser.add_argument("runs", nargs="+", metavar="DIR", help="a training run's working directory")


def _summarise(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.evaluation.several_runs import summarise

    print(summarise(arguments.runs))
    return 0


SUBCOMMANDS: tuple[Callable[[Subparsers], None], ...] = (
    _add_predict,
    _add_evaluate,
    _add_explain,
    _add_summarise,
    _add_graph,
    _add_convert,
    _add_pack,
)


if __name__ == "__main__":
    sys.exit(main())
