"""`emotion-gcn convert`: PyTorch's weights in, PyTorch's weights out."""

import argparse

from emotion_gcn_jax.cli.arguments import Subparsers, add_subcommand
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.labels import CLASS_ORDERS


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "convert",
        _run,
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
        help=f"the file's class order: {', '.join(CLASS_ORDERS)} or class names (default affectnet; "
        "Deep-Emotion: fer2013)",
    )
    published = parser.add_mutually_exclusive_group()
    published.add_argument("--imagenet", action="store_true", help="the file is torchvision's: trunk weights only")
    published.add_argument("--faces", action="store_true", help="likewise VGGFace2's (ResNet-50) or VGG-Face's")
    parser.add_argument("--to-torch", metavar="OUT", help="the official-layout file to write; or OUT.safetensors")


def _run(arguments: argparse.Namespace) -> int:
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
    option = "--imagenet" if arguments.imagenet else "--faces" if arguments.faces else ""
    if arguments.checkpoint and option:
        raise UserError(f"{option} is for --weights alone.")
    if (given and arguments.checkpoint) or (option and given.keys() - {"trunk"}):
        which = "--model" if option else "--trunk, --model"
        raise UserError(f"{which}, --word-vectors and --label-order are for official weights alone.")
    if arguments.checkpoint:
        print(convert.to_torch(arguments.checkpoint, arguments.to_torch))
    elif option:
        print(convert.from_published(arguments.weights, arguments.output, option, trunk=arguments.trunk))
    else:
        print(convert.from_official(arguments.weights, arguments.output, **given))
    return 0
