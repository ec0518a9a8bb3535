"""`emotion-gcn predict`: what the faces of pictures and videos express."""

import argparse
import math

from emotion_gcn_jax.cli.arguments import SOME_FAILED, Subparsers, add_checkpoint, add_subcommand


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "predict",
        _run,
        "find the faces of photographs and videos and say what they express",
        "emotion-gcn predict photo.jpg\n"
        "  emotion-gcn predict --checkpoint runs/demo pictures/ film.mp4 --output faces.csv --overlay out",
    )
    parser.usage = "%(prog)s [OPTIONS] INPUT [INPUT ...]"
    add_checkpoint(parser)
    parser.add_argument(
        "images",
        nargs="+",
        metavar="INPUT",
        help="picture, video, folder, pattern such as 'a/**/*.jpg', @LIST (a file with a name a line), camera:0, or - "
        "(standard input)",
    )
    _add_outputs(parser)
    _add_faces(parser)
    parser.add_argument("--every", type=_count, default=1, metavar="N", help="judge every N-th frame of a video (1)")
    parser.add_argument(
        "--smooth", type=_seconds, default=0.0, metavar="SECONDS", help="a mean of a face's answers over such a time"
    )
    parser.add_argument("--batch", type=_count, default=32, metavar="N", help="faces that are judged together (32)")
    parser.add_argument(
        "--model-side", type=_count, metavar="N", help="pixels of the faces that the network sees; as it was trained"
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="a table, .csv, .jsonl or .parquet; the same command goes on where it was stopped",
    )
    parser.add_argument("--json", metavar="FILE", help="everything that is known of pictures' faces, in the end")
    parser.add_argument("--overlay", metavar="DIR", help="a folder for pictures and videos with their faces marked")


def _add_faces(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--no-detect", action="store_true", help="the pictures are faces that were cut already")
    group.add_argument(
        "--boxes", metavar="FILE", help="your own faces: a CSV with file, x0, y0, x1, y1 and perhaps eyes"
    )
    group.add_argument("--tiles", type=_tiles, default=1, metavar="N", help="look at N x N parts, too, for small faces")
    parser.add_argument("--eyes", action="store_true", help="find the eyes of those --boxes that have none")
    parser.add_argument(
        "--min-score", type=_score, default=0.5, metavar="S", help="leave out less sure faces, 0.5 to 1 (0.5)"
    )
    parser.add_argument("--largest", type=_count, metavar="N", help="take the N largest faces only")


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.errors import UserError
    from emotion_gcn_jax.inference import predict
    from emotion_gcn_jax.inference.judging import Settings

    if arguments.eyes and not arguments.boxes:
        raise UserError("--eyes is for --boxes: the detector finds the eyes of its own faces anyway.")
    settings = Settings(
        detect=not arguments.no_detect,
        tiles=arguments.tiles,
        min_score=arguments.min_score,
        largest=arguments.largest,
        find_eyes=arguments.eyes,
        smooth=arguments.smooth,
        batch=arguments.batch,
    )
    outputs = predict.Outputs(arguments.output, arguments.json, arguments.overlay)
    failed = predict.run(
        arguments.checkpoint,
        arguments.images,
        settings,
        outputs,
        every=arguments.every,
        boxes=arguments.boxes,
        side=arguments.model_side,
    )
    return SOME_FAILED if failed else 0


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 on was expected, found {text!r}")
    return number


def _tiles(text: str) -> int:
    from emotion_gcn_jax.faces.detection import MOST_TILES

    number = _count(text)
    if number > MOST_TILES:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MOST_TILES} was expected, found {text!r}")
    return number


def _score(text: str) -> float:
    return _between(text, 0.5, 1.0)


def _seconds(text: str) -> float:
    return _between(text, 0.0, 3600.0)


def _between(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:g} was expected, found {text!r}")
    return number
