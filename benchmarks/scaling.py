"""How a training step's time and memory grow with the batch, the images' side and simulated devices: numbers and plots.

python benchmarks/scaling.py --output docs/scaling.png

Every point is a process of its own (train_step.py). Prints one line of JSON a point, and one of the fitted slopes: the
exponents p of seconds ~ x^p and of memory ~ x^p, by least squares on logarithms over the larger half of the points.
"""

import argparse
import json
import pathlib
import subprocess
import sys
from typing import Any

import matplotlib
import numpy as np

HERE = pathlib.Path(__file__).parent
POINTS = {
    "batch": (1, 2, 4, 8, 16, 32, 64, 128),
    "size": (64, 96, 128, 160, 227, 320),
    "devices": (1, 2, 4, 8),
}
FIXED = {"batch": {"size": 64}, "size": {"batch": 8}, "devices": {"size": 64, "batch": 16}}
MEASURED = {"step_seconds": "s a step", "peak_memory_gb": "GB of the process"}
TITLES = {"batch": "images in a batch (64 pixels)", "size": "side in pixels (batch of 8)"}
TITLES["devices"] = "simulated devices (batch of 16, 64 pixels)"


def main() -> None:
    """Parses the flags, measures, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a PNG file")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a point")
    args = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for axis, values in POINTS.items():
        for value in values:
            options = {**FIXED[axis], axis: value, "trunk": args.trunk, "steps": args.steps}
            words = [f"--{name}={setting}" for name, setting in options.items()]
            command = [sys.executable, str(HERE / "train_step.py"), "--remat", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            point = {axis: value, **json.loads(done.stdout)}
            found.setdefault(axis, []).append(point)
            print(json.dumps(point), flush=True)
    slopes = {
        axis: {name: slope(axis, name, points) for name in MEASURED}
        for axis, points in found.items()
        if axis != "devices"
    }
    print(json.dumps({"slopes": slopes}))
    draw(found, slopes, args)


def slope(axis: str, name: str, points: list[dict[str, Any]]) -> float:
    """The exponent p of a measured number ~ x^p over the larger half of the points."""
    half = points[len(points) // 2 :]
    x, y = ([point[key] for point in half] for key in (axis, name))
    return round(float(np.polyfit(np.log(x), np.log(y), 1)[0]), 2)


def draw(found: dict[str, list[dict[str, Any]]], slopes: dict[str, dict[str, float]], args: argparse.Namespace) -> None:
    """A column for each axis: seconds above, memory below."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(4 * len(found), 5.5), squeeze=False, layout="constrained")
    for column, (axis, points) in enumerate(found.items()):
        x = [point[axis] for point in points]
        for row, (name, label) in enumerate(MEASURED.items()):
            panel = axes[row, column]
            panel.plot(x, [point[name] for point in points], "o-", color="#30638e")
            panel.set_xscale("log", base=2)
            panel.set_xticks(x, [str(value) for value in x])
            if row or axis == "devices":
                panel.set_ylim(0, 1.1 * max(point[name] for point in points))
            else:
                panel.set_yscale("log")
            panel.grid(alpha=0.3)
            panel.set_ylabel(label)
            if axis in slopes:
                panel.set_title(f"grows as {axis}^{slopes[axis][name]:.2f}", fontsize=10)
        axes[1, column].set_xlabel(TITLES[axis])
    figure.suptitle(f"A training step of {args.trunk} with rematerialisation")
    figure.savefig(args.output, dpi=110)


if __name__ == "__main__":
    main()
