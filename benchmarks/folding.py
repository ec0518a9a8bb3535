"""Times inference before and after folding (models/folding.py) and prints one line of JSON.

python benchmarks/folding.py --trunk densenet121 --model emotion_gcn --size 227 --batch 8

The two are timed in turns, so that a machine whose speed varies treats both alike; seconds are medians.
"""

import argparse
import functools
import importlib.metadata
import json
import platform
import statistics
import time
from typing import Any

import jax
import numpy as np
from paper_model import paper_model

from emotion_gcn_jax.models import emotion_net, folding


def main() -> None:
    """Parses the flags, times, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--model", default="emotion_gcn")
    parser.add_argument("--size", type=int, default=227, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dtype", default="float32", help="of the trunk's computation")
    parser.add_argument("--runs", type=int, default=10, help="timed runs of each, after one that compiles")
    print(json.dumps(measure(parser.parse_args())))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Compiles both models and times them in turns."""
    model, _, constants = paper_model(args.trunk, args.model, dtype=args.dtype)
    variables = emotion_net.init_variables(model, 0, args.size, constants=constants)
    images = jax.device_put(np.random.default_rng(0).normal(size=(args.batch, args.size, args.size, 3)).astype("f4"))
    seconds: dict[str, list[float]] = {"plain": [], "folded": []}
    runs = {}
    for name, (net, tree) in {"plain": (model, variables), "folded": folding.fold(model, variables)}.items():
        runs[name] = functools.partial(jax.jit(net.apply), jax.device_put(tree), images)
        jax.block_until_ready(runs[name]())
    for _ in range(args.runs):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - start)
    plain, folded = (statistics.median(seconds[name]) for name in ("plain", "folded"))
    return {
        "plain_seconds": round(plain, 4),
        "folded_seconds": round(folded, 4),
        "speedup": round(plain / folded, 2),
        "folded_images_per_second": round(args.batch / folded, 1),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")},
            "device": jax.devices()[0].device_kind,
        },
    }


if __name__ == "__main__":
    main()
