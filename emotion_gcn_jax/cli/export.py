"""`emotion-gcn export`: a trained model as a file that other runtimes take."""

import argparse

from emotion_gcn_jax.cli.arguments import Subparsers, add_checkpoint, add_subcommand
from emotion_gcn_jax.errors import UserError

FORMATS = ("onnx", "stablehlo", "tflite")  # the keys of export.exporting.FORMATS, which takes a second to import


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "export",
        _run,
        "write a trained model as ONNX, StableHLO or TensorFlow Lite",
        "emotion-gcn export --format onnx --output model.onnx\n"
        "  emotion-gcn export --checkpoint runs/demo --format tflite --quantize int8 --calibrate my_faces \\\n"
        "    --output model.tflite",
    )
    add_checkpoint(parser)
    parser.add_argument("--format", required=True, choices=FORMATS, help="of the file")
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--batch", metavar="N", help="images at once: a number, or dynamic, which is usual; tflite has 1, or a number"
    )
    parser.add_argument(
        "--quantize", choices=("int8", "float16"), help="float16: kernels in half the bytes; int8: all in 8 bits"
    )
    parser.add_argument("--calibrate", nargs="+", metavar="IMAGE", default=[], help="for int8: pictures, or folders")
    parser.add_argument("--uint8-input", action="store_true", help="take uint8 images, not float32 in 0..255")


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.export import exporting
    from emotion_gcn_jax.inference.model import load

    written = exporting.export(
        load(arguments.checkpoint),
        arguments.format,
        arguments.output,
        batch=_batch(arguments),
        quantize=arguments.quantize,
        is_uint8=arguments.uint8_input,
        calibrate=arguments.calibrate,
    )
    for path in written:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def _batch(arguments: argparse.Namespace) -> int | None:
    if arguments.batch in (None, "dynamic"):
        if arguments.batch and arguments.format == "tflite":
            raise UserError("A TensorFlow Lite file takes a fixed number of images: give --batch a number.")
        return None
    if not arguments.batch.isdecimal():
        raise UserError(f"--batch must be dynamic or a number from 1, found {arguments.batch}.")
    return int(arguments.batch)
