"""Does bfloat16 learn as float32 does: the demo's first 200 steps on rendered faces in both.

tfds build tfds_builders/synthetic_faces --config=demo
python benchmarks/bfloat16.py --trunk densenet121 --steps 200

The same batches, augmentation and first parameters; only the trunk's computation differs. A third run is float32 again,
with every first parameter changed by a millionth of itself: what it differs by is chance, which no dtype can go below.
At a smaller --rate the runs stay together longer. Prints one line of JSON: the mean loss of the last 20 steps of every
run, and by how much the others differ from float32's.
"""

import argparse
import json
import pathlib
import statistics
import sys

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from configs import synthetic_faces
from emotion_gcn_jax import runtime
from emotion_gcn_jax.data.batches import train_batches
from emotion_gcn_jax.parallel import prefetch, replicate, unreplicate
from emotion_gcn_jax.training.run import prepare
from emotion_gcn_jax.training.step import TrainState

LAST = 20
NUDGE = 1e-6


def main() -> None:
    """Parses the flags, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--model", default="emotion_gcn")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="the demo's learning rate times this")
    args = parser.parse_args()
    runtime.set_up()
    runtime.use_onednn()  # as training in bfloat16 does; float32 stays with XLA
    runs = {"float32": ("float32", 0.0), "float32, nudged": ("float32", NUDGE), "bfloat16": ("bfloat16", 0.0)}
    found = {name: [final_loss(args, *run, seed) for seed in range(args.seeds)] for name, run in runs.items()}
    means = {name: statistics.mean(losses) for name, losses in found.items()}
    differ = {name: round(mean / means["float32"] - 1, 4) for name, mean in means.items() if name != "float32"}
    print(json.dumps({**vars(args), "losses": found, "differ_by": differ}))


def final_loss(args: argparse.Namespace, dtype: str, nudge: float, seed: int) -> float:
    """The mean loss of a run's last steps."""
    config = synthetic_faces.get_config(f"{args.trunk},{args.model}")
    config.model.dtype, config.training.seed = dtype, seed
    config.optimizer.learning_rate *= args.rate
    run = prepare(config)
    state = replicate(nudged(run.initial_state, nudge), run.devices)
    batches = prefetch(train_batches(run.data.streams, run.train_loader, seed=seed), run.devices)
    losses = []
    for _ in range(args.steps):
        state, scalars = run.train_step(state, next(batches))
        losses.append(float(unreplicate(scalars["loss"])))
    return round(statistics.mean(losses[-LAST:]), 4)


def nudged(state: TrainState, nudge: float) -> TrainState:
    """The state with each parameter changed by a share of itself, up or down by chance."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: p * (1 + nudge * rng.choice([-1, 1], p.shape)).astype(p.dtype), state.params)
    return state.replace(params=params)


if __name__ == "__main__":
    main()
