"""How fast one thread makes batches of a built AffectNet, against the work of every epoch without a build.

    python benchmarks/build_speed.py --raw=/somewhere/raw --data_dir=/somewhere/built --images=3000
    python benchmarks/data_speed.py --raw=/somewhere/raw --data_dir=/somewhere/built

Without a build, as in the official implementation, every epoch decodes the raw image, rotates all of it by the eyes,
crops, resizes, flips, rotates and normalises. With a build, a thread decodes the stored face and resizes it; flip,
rotation and normalisation are the device's, in its step. Prints one line of JSON: images for each second of the
thread's processor time, which other work on the machine hardly changes, medians of alternating rounds.
"""

import argparse
import csv
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from emotion_gcn_jax import presets
from emotion_gcn_jax.data.batches import Loader, Stream, train_batches
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.data.inputs import RESIZE_FILTERS, Input
from emotion_gcn_jax.tasks import registry

SIZE = 227
BATCH = 35
MEAN_3, DEVIATION_3 = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def main() -> None:
    """Parses the flags, times in turns, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="the raw folder, by build_speed.py")
    parser.add_argument("--data_dir", required=True, help="where it is built, config csv")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=10, help=f"of {BATCH} images, in a round")
    args = parser.parse_args()
    split = open_split("affectnet", "train", config="csv", data_dir=args.data_dir)
    streams = [Stream(split, BATCH, registry.from_config({"expression": presets.TASKS["expression"]}))]
    sources = {
        name: train_batches(streams, Loader(Input(SIZE, resize=name), BATCH, threads=0), seed=0)
        for name in RESIZE_FILTERS
    }
    cv2.setNumThreads(0)
    sources["raw"] = raw_batches(args.raw)
    speeds: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(args.rounds + 1):
        for name, batches in sources.items():
            speeds[name].append(BATCH * args.batches / seconds_of(lambda batches=batches: next(batches), args.batches))
    medians = {name: statistics.median(of_rounds[1:]) for name, of_rounds in speeds.items()}  # the first warms up
    result: dict[str, Any] = {f"images_per_second_{name}": round(speed) for name, speed in medians.items()}
    for name in RESIZE_FILTERS:
        ratios = [built / raw for built, raw in zip(speeds[name][1:], speeds["raw"][1:], strict=True)]
        result[f"times_raw_{name}"] = round(statistics.median(ratios), 2)
    print(json.dumps(result))


def seconds_of(work: Callable[[], Any], times: int) -> float:
    """Processor seconds of this process for doing it so many times."""
    start = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - start


def raw_batches(root: pathlib.Path) -> Iterator[np.ndarray]:
    """Yields batches, float32 [35, 3, 227, 227], of random raw images without end: the official work of every epoch."""
    rng = np.random.default_rng(0)
    with (root / "training.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    while True:
        chosen = rng.integers(len(rows), size=BATCH)
        yield np.stack([raw_example(root / "Manually_Annotated_Images", rows[index], rng) for index in chosen])


def raw_example(images: pathlib.Path, row: dict[str, str], rng: np.random.Generator) -> np.ndarray:
    """Decode, rotate by the eyes, crop, resize, flip, rotate, normalise; float32 [3, 227, 227]."""
    image = cv2.cvtColor(cv2.imread(str(images / row["subDirectory_filePath"])), cv2.COLOR_BGR2RGB)
    points = np.array(row["facial_landmarks"].split(";"), float).reshape(68, 2)
    left, right = points[36:42].mean(0).astype(int), points[42:48].mean(0).astype(int)
    angle = np.degrees(np.arctan((right[1] - left[1]) / (right[0] - left[0])))
    middle = ((left + right) // 2).tolist()
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), float(angle), 1.0)
    image = cv2.warpAffine(image, matrix, (image.shape[0], image.shape[1]), flags=cv2.INTER_CUBIC)
    box_x, box_y, width, height = (int(row[f"face_{name}"]) for name in ("x", "y", "width", "height"))
    x, y = matrix @ (box_x, box_y, 1)
    face = Image.fromarray(image).crop((round(x), round(y), round(x + width), round(y + height)))
    face = face.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        face = ImageOps.mirror(face)
    face = face.rotate(rng.uniform(-30, 30))
    scaled = (np.asarray(face, np.float32) / 255 - MEAN_3) / DEVIATION_3
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


if __name__ == "__main__":
    main()
