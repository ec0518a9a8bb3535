"""Compiles the real training step and the inference for TPUs that are not there, and projects their speed.

pip install -e '.[tpu,train]'
python benchmarks/tpu_projection.py --trunk densenet121 --size 227 --batch 35

libtpu's compiler runs on any machine: for a slice of v5e it says whether the program fits, how many operations it has,
and how many cycles it expects of every fused operation. Their sum over the clock is `projected_seconds`; how the
compiler overlaps them with copies is not in it. (Its own `optimal_seconds` counts -1 for a gather and other operations
without a model, and so is useless for a whole step.) It prints one line of JSON. Nothing in it was measured on a TPU.
"""

import argparse
import json
import math
import os
import pathlib
import re
import time
from typing import Any

# Google Cloud's documentation, "TPU v5e": each chip.
PEAK_FLOPS = {"bfloat16": 197e12, "float32": 197e12 / 6}  # float32 products take six passes of bfloat16
MEMORY_BYTES = 16e9
CLOCK = 197e12 / (2 * 4 * 128 * 128)  # four matrix units of 128 x 128
LINK_BYTES_PER_SECOND = 400e9 / 8  # one direction of one of the four links of a chip (1,600 Gbit/s in all)
HOP_SECONDS = 1e-6  # of a small message over one link: our assumption

BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1, "u8": 1}


def main() -> None:
    """Parses the flags, compiles, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--model", default="emotion_gcn")
    parser.add_argument("--size", type=int, default=227, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=35, help="of one chip")
    parser.add_argument("--dtype", default="bfloat16", choices=PEAK_FLOPS, help="of the trunk's computation")
    parser.add_argument("--topology", default="v5e:2x2", help="of the slice")
    parser.add_argument("--remat", action="store_true", help="recompute layers in the backward pass")
    parser.add_argument("--inference", action="store_true", help="the model ready for inference, on one chip")
    parser.add_argument("--hlo", metavar="FILE", help="write the compiled program")
    args = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    start = time.perf_counter()
    compiled, chips = compile_inference(args) if args.inference else compile_step(args)
    seconds = time.perf_counter() - start
    if args.hlo:
        pathlib.Path(args.hlo).write_text(compiled.as_text())
    print(json.dumps({**vars(args), "compile_seconds": round(seconds, 1), **projection(args, compiled, chips)}))


def compile_step(args: argparse.Namespace) -> tuple[Any, int]:
    """The mapped training step for a slice, and its number of chips."""
    import jax
    from jax.experimental import topologies
    from paper_model import channels_of, paper_step, random_batch

    from emotion_gcn_jax import parallel

    devices = topologies.get_topology_desc(platform="tpu", topology_name=args.topology).devices
    options = {"side": args.size, "augment": True, "dtype": args.dtype, "remat": args.remat}
    step, create = paper_step(devices, args.trunk, args.model, **options)
    state = jax.eval_shape(create)
    batch = random_batch(len(devices) * args.batch, args.size, channels_of(args.trunk))
    state = jax.tree.map(lambda array: jax.ShapeDtypeStruct((len(devices), *array.shape), array.dtype), state)
    spread = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in parallel.spread(batch, len(devices)).items()}
    return step.lower(state, spread).compile(), len(devices)


def compile_inference(args: argparse.Namespace) -> tuple[Any, int]:
    """The folded model's answers to a batch, for one chip."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import topologies
    from paper_model import paper_model

    from emotion_gcn_jax.models import emotion_net, folding

    devices = topologies.get_topology_desc(platform="tpu", topology_name=args.topology).devices
    model, _, constants = paper_model(args.trunk, args.model, dtype=args.dtype)
    model, variables = folding.fold(model, emotion_net.init_variables(model, 0, args.size, constants=constants))
    here = jax.sharding.SingleDeviceSharding(devices[0])
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=here), variables)
    images = jax.ShapeDtypeStruct((args.batch, args.size, args.size, 3), jnp.float32, sharding=here)
    return jax.jit(model.apply).lower(shapes, images).compile(), 1


def projection(args: argparse.Namespace, compiled: Any, chips: int) -> dict[str, Any]:
    """What the compiler says of the program, and what follows from it."""
    costs, memory = compiled.cost_analysis(), compiled.memory_analysis()
    costs = costs[0] if isinstance(costs, list) else costs
    used = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    used -= memory.alias_size_in_bytes
    model_flops = forward_flops(args) * (1 if args.inference else 3)
    program = compiled.as_text()
    seconds = sum(int(cycles) for cycles in re.findall(r'"estimated_cycles":"(\d+)"', program)) / CLOCK
    sums, summed_bytes = all_reduces(program)
    found = {
        "chips": chips,
        "memory_gb": round(used / 1e9, 2),
        "fits": used < MEMORY_BYTES,
        "model_gflops": round(model_flops / 1e9, 1),
        "compiled_gflops": round(costs["flops"] / 1e9, 1),
        "accessed_gb": round(costs["bytes accessed"] / 1e9, 2),
        "projected_seconds": round(seconds, 5),
        "model_flop_utilisation": round(model_flops / seconds / PEAK_FLOPS[args.dtype], 3),
        "images_per_second_and_chip": round(args.batch / seconds, 1),
    }
    if not args.inference:
        found |= {"all_reduces": sums, "all_reduce_mb": round(summed_bytes / 1e6, 2)}
        found["images_per_second"] = {n: projected(args.batch, seconds, sums, summed_bytes, n) for n in (4, 8, 64, 256)}
    return found


def projected(batch: int, seconds: float, sums: int, summed_bytes: int, chips: int) -> float:
    """Images a second of a square slice: the projected seconds, then the all-reduces, with nothing overlapped.

    A sum over a ring sends every byte 2 (n - 1) / n times, both ways round at once; it takes as many hops as two sides
    of the slice.
    """
    ring = 2 * (chips - 1) / chips * summed_bytes / (2 * LINK_BYTES_PER_SECOND)
    hops = sums * 2 * math.sqrt(chips) * HOP_SECONDS
    return round(batch * chips / (seconds + ring + hops), 0)


def forward_flops(args: argparse.Namespace) -> float:
    """Two for each product and sum of the convolutions and matrix products of a forward pass over the batch."""
    import jax
    import jax.numpy as jnp
    from paper_model import paper_model

    from emotion_gcn_jax.models import emotion_net

    model, _, constants = paper_model(args.trunk, args.model)
    variables = jax.eval_shape(lambda: emotion_net.init_variables(model, 0, args.size, constants=constants))
    images = jax.ShapeDtypeStruct((args.batch, args.size, args.size, 3), jnp.float32)
    return _products(jax.make_jaxpr(model.apply)(variables, images).jaxpr)


def _products(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += 2.0 * math.prod(equation.outvars[0].aval.shape) * inner
        elif equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape  # K x K x C x F: all but the features are summed over
            total += 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel[:-1])
        for value in equation.params.values():
            called = getattr(value, "jaxpr", value)
            total += _products(called) if hasattr(called, "eqns") else 0.0
    return total


def all_reduces(program: str) -> tuple[int, int]:
    """How many sums over the chips a compiled program has, and the bytes that they sum."""
    count, size = 0, 0
    for line in program.splitlines():
        if match := re.search(r"= (.*?) all-reduce(?:-start)?\(", line):
            count += 1
            for dtype, shape in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", match[1]):
                size += BYTES[dtype] * math.prod(int(side) for side in shape.split(",") if side)
    return count, size


if __name__ == "__main__":
    main()
