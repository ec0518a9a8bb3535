"""What reading, transfers and logging cost in an epoch: the training loop's steps against the same step on one batch.

python benchmarks/epoch.py --trunk densenet121 --size 227 --batch 35 --remat

The images are JPEG files of 256 x 256 pixels, as a build of AffectNet stores them. In turns, so many steps are taken as
training takes them (decoded and resized in threads, moved to the device, their losses logged and written for
TensorBoard), and as many on a batch that is on the device already. A round starts with nothing read ahead. Prints one
line of JSON; `cost` is the median share by which the first takes longer.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import cv2
import numpy as np

REPOSITORY = pathlib.Path(__file__).parents[1]
WORDS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")


def main() -> None:
    """Parses the flags, builds a dataset, times, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--size", type=int, default=227, help="side of the network's images in pixels")
    parser.add_argument("--batch", type=int, default=35)
    parser.add_argument("--remat", action="store_true", help="recompute layers in the backward pass")
    parser.add_argument("--steps", type=int, default=10, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build(pathlib.Path(folder), images=max(350, args.batch * args.steps))
        print(json.dumps(measure(args, pathlib.Path(folder))))


def build(folder: pathlib.Path, images: int) -> None:
    """Writes images, smooth as photographs are, in a folder for each class, and builds a dataset of them."""
    rng = np.random.default_rng(0)
    for number in range(images):
        coarse = rng.integers(0, 256, (32, 32, 3), np.uint8)
        image = cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC)
        path = folder / "raw" / WORDS[number % len(WORDS)] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    places = [f"--manual_dir={folder / 'raw'}", f"--data_dir={folder / 'built'}"]
    command = [sys.executable, "-m", "emotion_gcn_jax.tfds", "build", "tfds_builders/folders", *places]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)


def measure(args: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """Takes the steps, in turns."""
    sys.path.insert(0, str(REPOSITORY))
    import jax
    import tqdm

    from configs import folders
    from emotion_gcn_jax import runtime
    from emotion_gcn_jax.data.batches import train_batches
    from emotion_gcn_jax.parallel import prefetch, replicate
    from emotion_gcn_jax.training.run import prepare
    from emotion_gcn_jax.training.step_log import Scalars, StepLog

    runtime.set_up()
    config = folders.get_config(f"{args.trunk},single_task")
    config.dataset.data_dir = str(folder / "built")
    config.input.side, config.data.batch_size, config.model.remat = args.size, args.batch, args.remat
    config.dataset.held_out_share = 0.0
    config.dataset.validation_split = "train"
    run = prepare(config)
    state = replicate(run.initial_state, run.devices)
    resident = next(prefetch(train_batches(run.data.streams, run.train_loader, seed=0), run.devices))

    def as_training_does(state: Any, scalars: Any) -> Any:
        batches = prefetch(train_batches(run.data.streams, run.train_loader, seed=0), run.devices)
        with tqdm.tqdm(disable=True) as bar:
            log = StepLog(run, scalars, bar, [], [])
            for step in range(1, args.steps + 1):
                state, measured = run.train_step(state, next(batches))
                log.add(step, measured)
            log.flush()
        return state

    def on_one_batch(state: Any, scalars: Any) -> Any:
        for _ in range(args.steps):
            state, measured = run.train_step(state, resident)
        jax.block_until_ready(measured)
        return state

    seconds: dict[str, list[float]] = {"training": [], "steps": []}
    with contextlib.closing(Scalars(folder / "tensorboard")) as scalars:
        state = on_one_batch(state, scalars)
        for _ in range(args.rounds):
            for name, work in (("training", as_training_does), ("steps", on_one_batch)):
                start = time.perf_counter()
                state = work(state, scalars)
                seconds[name].append(time.perf_counter() - start)
    shares = [whole / alone - 1 for whole, alone in zip(seconds["training"], seconds["steps"], strict=True)]
    medians = {f"{name}_seconds": round(statistics.median(values) / args.steps, 4) for name, values in seconds.items()}
    costs = {"cost": round(statistics.median(shares), 4), "cost_range": [round(f(shares), 4) for f in (min, max)]}
    return {**vars(args), **medians, **costs}


if __name__ == "__main__":
    main()
