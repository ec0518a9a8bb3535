"""Our training step against PyTorch's of the same network, in turns: one line of JSON, and a table.

python benchmarks/training_against_torch.py --trunk densenet121 --size 227 --batch 35 --remat

PyTorch's side is the independent module of tests/reference, as it is (eager) and in the layout that is faster on a CPU
(channels_last). Its CPU build is an ordinary package on Python 3.11 only: --torch-python names an interpreter that has
it where this one does not.
"""

import argparse
import json
import pathlib
import sys

import taking_turns

HERE = pathlib.Path(__file__).parent


def main() -> None:
    """Parses the flags, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--size", type=int, default=227, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=35)
    parser.add_argument("--remat", action="store_true", help="ours recomputes layers in the backward pass")
    parser.add_argument("--dtype", default="float32", help="or bfloat16, torch's by autocast")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PYTHON")
    args = parser.parse_args()
    sizes = ["--trunk", args.trunk, "--size", str(args.size), "--batch", str(args.batch), "--dtype", args.dtype]
    torch_side = [args.torch_python, str(HERE / "torch_step.py"), *sizes]
    sides = {
        "ours": [sys.executable, str(HERE / "train_step.py"), "--serve", *(["--remat"] if args.remat else []), *sizes],
        "torch": torch_side,
        "torch channels_last": [*torch_side, "--channels-last"],
    }
    results = taking_turns.compare(sides, args.rounds)
    ours = results["ours"]
    ratios = {
        name: {
            "speed": round(result["seconds"] / ours["seconds"], 2),
            "memory": round(ours["peak_memory_gb"] / result["peak_memory_gb"], 2),
        }
        for name, result in results.items()
        if name != "ours"
    }
    for result in results.values():
        result["images_per_second"] = round(args.batch / result["seconds"], 2)
    print(taking_turns.table(results, "ours"), file=sys.stderr)
    print(
        json.dumps(
            {
                "trunk": args.trunk,
                "size": args.size,
                "batch": args.batch,
                "dtype": args.dtype,
                "ours_over": ratios,
                **results,
            }
        )
    )


if __name__ == "__main__":
    main()
