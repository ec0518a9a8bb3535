"""Judges faces on a CPU by onnxruntime with our graph, by JAX, and by onnxruntime with torch's graph, in turns.

python benchmarks/inference.py --trunk densenet121 --size 227 --batch 1

It prints one line of JSON, and a table. torch's graph is that of the independent module of tests/reference, in float32
and ready for inference. --torch-python names an interpreter that has torch where this one does not (see
training_against_torch.py).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import taking_turns

TORCH_EXPORT = """
import sys, torch
sys.path[:0] = [{repository!r}, {here!r}]
from torch_step import MODELS
model = MODELS[{trunk!r}]().eval()
torch.onnx.export(model, torch.randn({batch}, 3, {size}, {size}), {path!r}, opset_version=17, dynamo=False)
"""


def main() -> None:
    """Parses the flags, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--size", type=int, default=227, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--side", help="be one side: onnx, jax, or the path of an ONNX file")
    args = parser.parse_args()
    if args.side:
        serve(args)
        return
    here = pathlib.Path(__file__)
    sizes = ["--trunk", args.trunk, "--size", str(args.size), "--batch", str(args.batch)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "torch.onnx")
        fields = {"repository": str(here.parents[1]), "here": str(here.parent), "path": path}
        program = TORCH_EXPORT.format(trunk=args.trunk, size=args.size, batch=args.batch, **fields)
        subprocess.run([args.torch_python, "-c", program], check=True, stdout=subprocess.DEVNULL)
        sides = {
            name: [sys.executable, str(here), "--side", side, *sizes]
            for name, side in {"onnx": "onnx", "jax": "jax", "torch's graph": path}.items()
        }
        results = taking_turns.compare(sides, args.rounds)
    speed = {name: round(results[name]["seconds"] / results["onnx"]["seconds"], 2) for name in ("jax", "torch's graph")}
    print(taking_turns.table(results, "onnx"), file=sys.stderr)
    print(json.dumps({"trunk": args.trunk, "size": args.size, "batch": args.batch, "onnx_over": speed, **results}))


def serve(args: argparse.Namespace) -> None:
    """Judges the same random faces in every round."""
    from paper_model import paper_model

    from emotion_gcn_jax import onnx_session, runtime
    from emotion_gcn_jax.data.inputs import Input
    from emotion_gcn_jax.inference import engines
    from emotion_gcn_jax.models import emotion_net

    runtime.set_up()
    rng = np.random.default_rng(0)
    if args.side in engines.ENGINES:
        model, tasks, constants = paper_model(args.trunk, "emotion_gcn")
        variables = emotion_net.init_variables(model, 0, args.size, constants=constants)
        _, engine = engines.start(args.side, model, variables, tasks, Input(args.size))
        faces = rng.integers(0, 256, (args.batch, args.size, args.size, 3), np.uint8)
        taking_turns.serve(lambda: engine(faces))
    else:
        session = onnx_session.cpu_session(pathlib.Path(args.side).read_bytes())
        name = session.get_inputs()[0].name
        images = rng.normal(size=(args.batch, 3, args.size, args.size)).astype(np.float32)
        taking_turns.serve(lambda: session.run(None, {name: images}))


if __name__ == "__main__":
    main()
