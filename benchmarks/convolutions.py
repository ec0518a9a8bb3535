"""How fast one 3x3 convolution and its two gradients are in XLA and in PyTorch (channels_last), in turns.

python benchmarks/convolutions.py --batch 32 --side 28 --channels 64 --features 64

Prints one line of JSON with 10^9 operations a second, two for each product and sum, and a table. They bound what a
whole network can reach on a processor. --torch-python names an interpreter that has torch where this one does not (see
training_against_torch.py).
"""

import argparse
import json
import sys
from collections.abc import Callable

import taking_turns

PARTS = ("forward", "map's gradient", "kernel's gradient")
REPEATS = 5  # of the convolution, in one turn


def main() -> None:
    """Parses the flags, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--side", type=int, default=28, help="of the map in pixels")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--framework", choices=("jax", "torch"), help="be one side")
    parser.add_argument("--part", choices=PARTS)
    args = parser.parse_args()
    if args.framework:
        work = (jax_work if args.framework == "jax" else torch_work)(args)
        taking_turns.serve(lambda: [work() for _ in range(REPEATS)])
        return
    sizes = [f"--{name}={vars(args)[name]}" for name in ("batch", "side", "channels", "features")]
    pythons = {"jax": sys.executable, "torch": args.torch_python}
    sides = {
        f"{framework}, {part}": [python, __file__, f"--framework={framework}", f"--part={part}", *sizes]
        for part in PARTS
        for framework, python in pythons.items()
    }
    results = taking_turns.compare(sides, args.rounds)
    operations = 2 * REPEATS * args.batch * args.side**2 * args.channels * args.features * 9
    print(taking_turns.table(results, "jax, forward"), file=sys.stderr)
    print(json.dumps({**vars(args), "gflops": {s: round(operations / r["seconds"] / 1e9) for s, r in results.items()}}))


def jax_work(args: argparse.Namespace) -> Callable[[], object]:
    """One part as a compiled function, called."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (args.batch, args.side, args.side, args.channels))
    kernel = jax.random.normal(keys[1], (3, 3, args.channels, args.features))
    gradient = jax.random.normal(keys[2], (args.batch, args.side, args.side, args.features))
    if args.part == "forward":
        compiled, inputs = jax.jit(conv), (x, kernel)
    elif args.part == "map's gradient":
        compiled = jax.jit(lambda kernel, gradient: jax.vjp(lambda x: conv(x, kernel), jnp.zeros_like(x))[1](gradient))
        inputs = (kernel, gradient)
    else:
        compiled = jax.jit(lambda x, gradient: jax.vjp(lambda k: conv(x, k), jnp.zeros_like(kernel))[1](gradient))
        inputs = (x, gradient)
    return lambda: jax.block_until_ready(compiled(*inputs))


def torch_work(args: argparse.Namespace) -> Callable[[], object]:
    """One part as PyTorch's own function, called."""
    import torch

    layout = torch.channels_last
    x = torch.randn(args.batch, args.channels, args.side, args.side).to(memory_format=layout)
    kernel = torch.randn(args.features, args.channels, 3, 3).to(memory_format=layout)
    gradient = torch.randn(args.batch, args.features, args.side, args.side).to(memory_format=layout)
    parts = {
        "forward": lambda: torch.nn.functional.conv2d(x, kernel, padding=1),
        "map's gradient": lambda: torch.nn.grad.conv2d_input(x.shape, kernel, gradient, padding=1),
        "kernel's gradient": lambda: torch.nn.grad.conv2d_weight(x, kernel.shape, gradient, padding=1),
    }
    return parts[args.part]


if __name__ == "__main__":
    main()
