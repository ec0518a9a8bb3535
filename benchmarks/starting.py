"""How long one waits at first: an import, a photograph's answer, the compilation of a training step.

python benchmarks/starting.py --trunk densenet121 --size 227 --batch 35 --remat

Every line is a process of its own, several times in turn; `cold` has an empty cache of compiled programs, `warm` the
one that the process before it has filled. Prints one line of JSON: medians of seconds, with their ranges.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

HERE = pathlib.Path(__file__).parent
PHOTOGRAPH = "import skimage; print(skimage.__path__[0] + '/data/astronaut.png')"


def main() -> None:
    """Parses the flags, makes a checkpoint, times, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="densenet121")
    parser.add_argument("--size", type=int, default=227, help="side of the network's images in pixels")
    parser.add_argument("--batch", type=int, default=35, help="of the training step")
    parser.add_argument("--remat", action="store_true", help="recompute layers in the backward pass")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({**vars(args), **measure(args, pathlib.Path(folder))}))


def measure(args: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """Starts the processes in turn."""
    write_checkpoint(folder / "run", args)
    photograph = subprocess.run([sys.executable, "-c", PHOTOGRAPH], capture_output=True, text=True, check=True)
    predict = ["-m", "emotion_gcn_jax.cli", "predict", "--checkpoint", str(folder / "run"), photograph.stdout.strip()]
    step = [
        str(HERE / "train_step.py"),
        "--steps=0",
        "--trunk",
        args.trunk,
        "--size",
        str(args.size),
        "--keep-programs",
    ]
    step += ["--batch", str(args.batch), *(["--remat"] if args.remat else [])]
    seconds: dict[str, list[float]] = {}
    for number in range(args.rounds):
        seconds.setdefault("import", []).append(seconds_of(["-c", "import emotion_gcn_jax"], folder)[0])
        cache = folder / f"cache{number}"
        for state in ("cold", "warm"):
            seconds.setdefault(f"predict_{state}", []).append(seconds_of(predict, cache)[0])
        for state in ("cold", "warm"):
            line = seconds_of(step, cache)[1]
            seconds.setdefault(f"compile_{state}", []).append(json.loads(line)["compile_seconds"])
    return {
        name: {"seconds": round(statistics.median(values), 2), "lowest": min(values), "highest": max(values)}
        for name, values in seconds.items()
    }


def write_checkpoint(workdir: pathlib.Path, args: argparse.Namespace) -> None:
    """An untrained model's: its weights do not change what starting costs."""
    from paper_model import paper_model

    sys.path.insert(0, str(HERE.parent))
    from configs import affectnet
    from emotion_gcn_jax.checkpoints import Checkpoints
    from emotion_gcn_jax.models import emotion_net
    from emotion_gcn_jax.tasks import registry

    config = affectnet.get_config(f"{args.trunk},emotion_gcn")
    config.input.side = args.size
    model, tasks, constants = paper_model(args.trunk, "emotion_gcn")
    fields = json.loads(config.to_json())
    meta = {
        "config": fields,
        "tasks": registry.to_dicts(tasks),
        "input": fields["input"],
        "crop": {"side": 1.05, "size": 256},
        "dataset": "affectnet",
    }
    saved = Checkpoints(workdir)
    saved.save_best(1, emotion_net.init_variables(model, 0, args.size, constants=constants), meta)
    saved.close()


def seconds_of(words: list[str], cache: pathlib.Path) -> tuple[float, str]:
    """Runs Python; how long it took and what it printed."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
    seconds = round(time.perf_counter() - start, 2)
    if done.returncode:
        raise SystemExit(f"{words} failed: {done.stderr}")
    return seconds, done.stdout


if __name__ == "__main__":
    main()
