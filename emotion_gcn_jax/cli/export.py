"""`emotion-gcn export`: a trained model as a file that other runtimes take."""

import argparse
from typing import TYPE_CHECKING

from emotion_gcn_jax.cli.arguments import Subparsers, add_checkpoint, add_subcommand, model_name
from emotion_gcn_jax.errors import UserError

if TYPE_CHECKING:
    import pathlib

    from emotion_gcn_jax.inference.model import EmotionModel

FORMATS = ("onnx", "stablehlo", "tflite")  # the keys of export.exporting.FORMATS, which takes a second to import
WEB = "web"  # a folder rather than a file: serving.web_folder


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "export",
        _run,
        "write a trained model as ONNX, StableHLO, TensorFlow Lite or a web page",
        "emotion-gcn export --format onnx --output model.onnx\n"
        "  emotion-gcn export --checkpoint runs/demo --format tflite --quantize int8 --calibrate my_faces \\\n"
        "    --output model.tflite",
    )
    add_checkpoint(parser)
    parser.add_argument("--format", required=True, choices=(*FORMATS, WEB), help="of the file")
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write; a folder for web")
    parser.add_argument(
        "--batch", metavar="N", help="images at once: a number, or dynamic, which is usual; tflite has 1, or a number"
    )
    parser.add_argument(
        "--quantize", choices=("int8", "float16"), help="float16: kernels in half the bytes; int8: all in 8 bits"
    )
    parser.add_argument("--calibrate", nargs="+", metavar="IMAGE", default=[], help="for int8: pictures, or folders")
    parser.add_argument("--onnxruntime-web", metavar="TGZ", help="for web: what npm pack onnxruntime-web fetched")
    parser.add_argument("--uint8-input", action="store_true", help="take uint8 images, not float32 in 0..255")


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.inference.model import load

    if arguments.format == WEB:
        return _write_web(arguments)
    if arguments.onnxruntime_web:
        raise UserError("--onnxruntime-web is for --format web alone.")
    path = _export(arguments, load(arguments.checkpoint))
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def _write_web(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.inference.model import load
    from emotion_gcn_jax.serving import web_folder

    if arguments.batch or arguments.calibrate or arguments.uint8_input or arguments.quantize == "int8":
        raise UserError("--format web takes --quantize float16, and none of --batch, --calibrate and --uint8-input.")
    model, name = load(arguments.checkpoint), model_name(arguments.checkpoint)
    runtime, quantize = arguments.onnxruntime_web, arguments.quantize
    written = web_folder.write_web(model, name, arguments.output, runtime, quantize=quantize)
    size = sum(path.stat().st_size for path in written) / 1e6
    print(f"wrote {arguments.output} ({size:.1f} MB); to look at it: emotion-gcn serve --static {arguments.output}")
    return 0


def _export(arguments: argparse.Namespace, model: "EmotionModel") -> "pathlib.Path":
    from emotion_gcn_jax.export import exporting

    return exporting.export(
        model,
        arguments.format,
        arguments.output,
        batch=_batch(arguments),
        quantize=arguments.quantize,
        is_uint8=arguments.uint8_input,
        calibrate=arguments.calibrate,
    )


def _batch(arguments: argparse.Namespace) -> int | None:
    if arguments.batch in (None, "dynamic"):
        if arguments.batch and arguments.format == "tflite":
            raise UserError("A TensorFlow Lite file takes a fixed number of images: give --batch a number.")
        return None
    if not arguments.batch.isdecimal():
        raise UserError(f"--batch must be dynamic or a number from 1, found {arguments.batch}.")
    return int(arguments.batch)
