"""`emotion-gcn predict`: what the faces of pictures express."""

import argparse

from emotion_gcn_jax.cli.arguments import SOME_FAILED, Subparsers, add_checkpoint, add_subcommand


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "predict",
        _run,
        "find the faces of photographs and say what they express",
        "emotion-gcn predict photo.jpg\n"
        "  emotion-gcn predict --checkpoint runs/demo photo.jpg --json faces.json --overlay out",
    )
    add_checkpoint(parser)
    parser.add_argument("--json", metavar="FILE", help="where to write everything that is known of every face")
    parser.add_argument("--overlay", metavar="DIR", help="where to write the pictures with their faces marked")
    parser.add_argument("--no-detect", action="store_true", help="the pictures are faces that were cut already")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file, or a folder of them")


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.inference import predict

    failed = predict.run(
        arguments.checkpoint,
        arguments.images,
        json_file=arguments.json,
        overlay_directory=arguments.overlay,
        detect=not arguments.no_detect,
    )
    return SOME_FAILED if failed else 0
