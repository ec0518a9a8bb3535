"""Judges faces on a CPU by onnxruntime with our graph, by JAX, and by onnxruntime with torch's graph, in turns.

python benchmarks/inference.py --trunk densenet121 --size 227 --batch 1
python benchmarks/inference.py --trunk densenet121 --size 227 --batch 1 --graphs

It prints one line of JSON, and a table. torch's graph is that of the independent module of tests/reference, in float32,
ready for inference, and of the same bytes: what turns and normalises them is exported with it. --torch-python names an
interpreter that has torch where this one does not (see training_against_torch.py). Processes differ by some per cent,
whatever they do; --graphs runs the two graphs in one, in short turns.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable

import numpy as np
import taking_turns

from emotion_gcn_jax.data.inputs import Input

TORCH_EXPORT = """
import sys, torch
sys.path[:0] = [{repository!r}, {here!r}]
from torch_step import MODELS
class OfBytes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = MODELS[{trunk!r}]()
        self.mean = 255 * torch.tensor({mean}).reshape(3, 1, 1)
        self.deviation = 255 * torch.tensor({deviation}).reshape(3, 1, 1)
    def forward(self, images):
        return self.model((images.permute(0, 3, 1, 2).float() - self.mean) / self.deviation)
images = torch.zeros({batch}, {size}, {size}, 3, dtype=torch.uint8)
torch.onnx.export(OfBytes().eval(), images, {path!r}, opset_version=17, dynamo=False)
"""


def main() -> None:
    """Parses the flags, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--size", type=int, default=227, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--graphs", action="store_true", help="compare the two graphs alone, in one process")
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
        normal = {"mean": Input(args.size).mean, "deviation": Input(args.size).deviation}
        program = TORCH_EXPORT.format(trunk=args.trunk, size=args.size, batch=args.batch, **normal, **fields)
        subprocess.run([args.torch_python, "-c", program], check=True, stdout=subprocess.DEVNULL)
        if args.graphs:
            print(json.dumps({**vars(args), **compare_graphs(args, pathlib.Path(path))}))
            return
        sides = {
            name: [sys.executable, str(here), "--side", side, *sizes]
            for name, side in {"onnx": "onnx", "jax": "jax", "torch's graph": path}.items()
        }
        results = taking_turns.compare(sides, args.rounds)
    speed = {name: round(results[name]["seconds"] / results["onnx"]["seconds"], 2) for name in ("jax", "torch's graph")}
    print(taking_turns.table(results, "onnx"), file=sys.stderr)
    print(json.dumps({"trunk": args.trunk, "size": args.size, "batch": args.batch, "onnx_over": speed, **results}))


def compare_graphs(args: argparse.Namespace, path: pathlib.Path) -> dict[str, float]:
    """Medians of both graphs' seconds, and of how many times faster ours was in its turn."""
    from emotion_gcn_jax import onnx_session

    session, faces = onnx_session.cpu_session(path.read_bytes()), random_faces(args)
    name = session.get_inputs()[0].name
    runs = {"ours": our_engine("onnx", args), "torch's": lambda faces: session.run(None, {name: faces})}
    once = min(timeit.timeit(lambda run=run: run(faces), number=1) for run in [*runs.values()] * 3)
    number = math.ceil(taking_turns.TURN_SECONDS / once)
    rounds = [
        {side: timeit.timeit(lambda run=run: run(faces), number=number) / number for side, run in runs.items()}
        for _ in range(args.rounds)
    ]
    ratio = statistics.median(seconds["torch's"] / seconds["ours"] for seconds in rounds)
    medians = {side: round(statistics.median(seconds[side] for seconds in rounds), 5) for side in runs}
    return {**medians, "ours_is_faster": round(ratio, 3)}


def random_faces(args: argparse.Namespace) -> np.ndarray:
    """The same ones in every round, and on every side."""
    return np.random.default_rng(0).integers(0, 256, (args.batch, args.size, args.size, 3), np.uint8)


def our_engine(side: str, args: argparse.Namespace) -> Callable[[np.ndarray], object]:
    """One of our engines, with the paper's model."""
    from paper_model import paper_model

    from emotion_gcn_jax.inference import engines
    from emotion_gcn_jax.models import emotion_net

    model, tasks, constants = paper_model(args.trunk, "emotion_gcn")
    variables = emotion_net.init_variables(model, 0, args.size, constants=constants)
    return engines.start(side, model, variables, tasks, Input(args.size))[1]


def serve(args: argparse.Namespace) -> None:
    """Judges the same random faces in every round."""
    import jax

    from emotion_gcn_jax import onnx_session, runtime
    from emotion_gcn_jax.inference import engines

    runtime.set_up()
    jax.config.update("jax_enable_compilation_cache", False)  # first_seconds are those of the first time
    faces = random_faces(args)
    if args.side in engines.ENGINES:
        engine = our_engine(args.side, args)
        taking_turns.serve(lambda: engine(faces))
    else:
        session = onnx_session.cpu_session(pathlib.Path(args.side).read_bytes())
        name = session.get_inputs()[0].name
        taking_turns.serve(lambda: session.run(None, {name: faces}))


if __name__ == "__main__":
    main()
