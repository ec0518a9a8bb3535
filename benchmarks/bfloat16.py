"""Does bfloat16 learn as float32 does: the demo's first 200 steps on rendered faces in both.

tfds build tfds_builders/synthetic_faces --config=demo
python benchmarks/bfloat16.py --trunk densenet121 --steps 200

The same batches, augmentation and first parameters; only the trunk's computation differs. Prints one line of JSON: the
mean loss of the last 20 steps of every run, and by how much bfloat16's differs. One dtype's own seeds say how much of
that is chance.
"""

import argparse
import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from configs import synthetic_faces
from emotion_gcn_jax import runtime
from emotion_gcn_jax.data.batches import train_batches
from emotion_gcn_jax.parallel import prefetch, replicate, unreplicate
from emotion_gcn_jax.training.run import prepare

LAST = 20


def main() -> None:
    """Parses the flags, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--model", default="emotion_gcn")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    runtime.set_up()
    runtime.use_onednn()  # as training in bfloat16 does; float32 stays with XLA
    found = {dtype: [final_loss(args, dtype, seed) for seed in range(args.seeds)] for dtype in ("float32", "bfloat16")}
    means = {dtype: statistics.mean(losses) for dtype, losses in found.items()}
    print(json.dumps({**vars(args), "losses": found, "differs_by": means["bfloat16"] / means["float32"] - 1}))


def final_loss(args: argparse.Namespace, dtype: str, seed: int) -> float:
    """The mean loss of a run's last steps."""
    config = synthetic_faces.get_config(f"{args.trunk},{args.model}")
    config.model.dtype, config.training.seed = dtype, seed
    run = prepare(config)
    state = replicate(run.initial_state, run.devices)
    batches = prefetch(train_batches(run.data.streams, run.train_loader, seed=seed), run.devices)
    losses = []
    for _ in range(args.steps):
        state, scalars = run.train_step(state, next(batches))
        losses.append(float(unreplicate(scalars["loss"])))
    return round(statistics.mean(losses[-LAST:]), 4)


if __name__ == "__main__":
    main()
