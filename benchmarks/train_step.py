"""Times the real training step on random images and prints one line of JSON.

python benchmarks/train_step.py --trunk densenet121 --model emotion_gcn --size 227 --batch 35 --remat

The images are on the device already; `step_seconds` is the median of the timed steps after two that are not counted.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import taking_turns


def main() -> None:
    """Parses the flags, times, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--model", default="emotion_gcn")
    parser.add_argument("--size", type=int, default=227, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=35, help="of the global batch")
    parser.add_argument("--dtype", default="float32", help="of the trunk's computation")
    parser.add_argument("--devices", type=int, default=1, help="on a CPU, so many are simulated")
    parser.add_argument("--augment", action="store_true", help="with the paper's augmentation")
    parser.add_argument("--remat", action="store_true", help="recompute layers in the backward pass")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--keep-programs", action="store_true", help="use JAX's persistent cache of compiled programs")
    parser.add_argument("--serve", action="store_true", help="be a side of taking_turns.py")
    args = parser.parse_args()
    if args.batch % args.devices:
        parser.error(f"--batch {args.batch} does not divide over --devices {args.devices}")
    if args.serve:
        taking_turns.serve(prepare(args)[0], **versions())
    else:
        print(json.dumps(measure(args)))


def prepare(args: argparse.Namespace) -> tuple[Callable[[], None], list[Any]]:
    """Returns a function that takes a step, the first time after it has compiled it; and the devices."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={args.devices}"
    import jax
    from paper_model import channels_of, paper_step, random_batch

    from emotion_gcn_jax import parallel, runtime

    runtime.set_up()
    if args.dtype == "bfloat16":
        runtime.use_onednn()
    jax.config.update("jax_enable_compilation_cache", args.keep_programs)
    devices = jax.local_devices()[: args.devices]
    options = {"side": args.size, "augment": args.augment, "dtype": args.dtype, "remat": args.remat}
    step, create = paper_step(devices, args.trunk, args.model, **options)
    state = parallel.replicate(create(), devices)
    batch = next(parallel.prefetch(iter([random_batch(args.batch, args.size, channels_of(args.trunk))]), devices))

    def take() -> None:
        nonlocal state
        state, scalars = step(state, batch)
        jax.block_until_ready(scalars)

    return take, devices


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Compiles the step and times it."""
    take, devices = prepare(args)
    seconds = []
    for _ in range(args.steps + 2):
        start = time.perf_counter()
        take()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[2:] or seconds[1:])
    return {
        "images_per_second": round(args.batch / median, 2),
        "step_seconds": round(median, 4),
        "compile_seconds": round(seconds[0] - median, 1),
        "peak_memory_gb": _peak_memory_gb(devices[0]),
        "versions": {**versions(), "device": f"{len(devices)} x {devices[0].device_kind}"},
    }


def versions() -> dict[str, str]:
    """Of Python and of what counts."""
    packages = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    return {"python": platform.python_version(), **packages}


def _peak_memory_gb(device: Any) -> float:
    """Of the device where it keeps count, else of this process."""
    stats = device.memory_stats() or {}
    return round(stats["peak_bytes_in_use"] / 1e9, 2) if "peak_bytes_in_use" in stats else taking_turns.peak_memory_gb()


if __name__ == "__main__":
    main()
