"""Builds a raw AffectNet or Aff-Wild2 of rendered faces by the real command line and prints one line of JSON.

    python benchmarks/build_speed.py --raw=/somewhere/raw --data_dir=/somewhere/built --images=10000
    python benchmarks/build_speed.py --config=expr_va --raw=/somewhere/frames --data_dir=/somewhere/built --images=10000

The raw folder is made first if it is not there: pictures of 425 pixels, AffectNet's mean, JPEG at quality 90, as many
names as asked for but only a few dozen different pictures; a tenth of them are the validation split. That of the config
npy has pictures of 224 pixels and is another folder, and so is Aff-Wild2's, of 112 pixels in videos of 500 frames.
"""

import argparse
import io
import json
import os
import pathlib
import resource
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SIDE, SIDE_OF_ARRAYS, SIDE_OF_FRAMES = 425, 224, 112
FACE_SHARE = 0.64  # boxes get 0.77 of the side, AffectNet's proportion (137 of 177 pixels)
PICTURES = 36
DATASETS = dict.fromkeys(("csv", "csv_official", "csv_official_112", "npy"), "affectnet") | {"expr_va": "affwild2"}


def main() -> None:
    """Parses the flags, makes the raw folder, builds, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="the raw folder")
    parser.add_argument("--data_dir", type=pathlib.Path, required=True, help="where to build")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--config", default="csv", choices=tuple(DATASETS))
    args = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY))  # the tests' faces are not installed
    if not args.raw.exists():
        write = {"npy": write_arrays, "expr_va": write_videos}.get(args.config, write_lists)
        write(args.raw, args.images)
    print(json.dumps(build(args.raw, args.data_dir, args.config)))


def write_lists(root: pathlib.Path, count: int) -> None:
    """Writes so many images in the original release's layout."""
    from tests.raw_affectnet import HEADER, row

    faces = _faces(SIDE)
    files = [_jpeg(face.image_HxWx3) for face in faces]
    images = root / "Manually_Annotated_Images"
    for name, numbers in (("training", range(count // 10, count)), ("validation", range(count // 10))):
        lines = [",".join(HEADER)]
        for number in numbers:
            path, picture = f"{number // 250}/{number:056x}.jpg", number % PICTURES
            (images / path).parent.mkdir(parents=True, exist_ok=True)
            (images / path).write_bytes(files[picture])
            lines.append(",".join(row(path, faces[picture], number % 8, ("0.25", "-0.5"))))
        (root / f"{name}.csv").write_text("\n".join(lines) + "\n")


def write_arrays(root: pathlib.Path, count: int) -> None:
    """Writes so many images in the March-2021 release's layout."""
    faces = _faces(SIDE_OF_ARRAYS)
    files = [_jpeg(face.image_HxWx3) for face in faces]
    for name, numbers in (("train_set", range(count // 10, count)), ("val_set", range(count // 10))):
        images, annotations = root / name / "images", root / name / "annotations"
        images.mkdir(parents=True)
        annotations.mkdir()
        for number in numbers:
            (images / f"{number}.jpg").write_bytes(files[number % PICTURES])
            for kind, value in (("exp", f"{number % 8}"), ("val", "0.25"), ("aro", "-0.5")):
                np.save(annotations / f"{number}_{kind}.npy", np.array(value))
            np.save(annotations / f"{number}_lnd.npy", faces[number % PICTURES].landmarks_68x2.reshape(-1))


def write_videos(root: pathlib.Path, count: int, frames: int = 500) -> None:
    """Writes so many frames in the layout of Aff-Wild2's sixth edition; a tenth of the videos are for validation."""
    files = [_jpeg(face.image_HxWx3) for face in _faces(SIDE_OF_FRAMES)]
    annotations = root / "6th ABAW Annotations"
    names = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    for video, first in enumerate(range(0, count, frames)):
        numbers = range(1, min(frames, count - first) + 1)
        split = "Validation_Set" if video % 10 == 0 else "Train_Set"
        for folder, lines in (
            ("EXPR_Recognition_Challenge", [names, *(str(number % 7) for number in numbers)]),
            ("VA_Estimation_Challenge", ["valence,arousal", *("0.25,-0.5" for _ in numbers)]),
        ):
            file = annotations / folder / split / f"video{video}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(lines) + "\n")
        images = root / "cropped_aligned" / f"video{video}"
        images.mkdir(parents=True)
        for number in numbers:
            (images / f"{number:05d}.jpg").write_bytes(files[number % PICTURES])


def _faces(side: int) -> list[Any]:
    from tests.raw_affectnet import raw_face

    tilts = np.random.default_rng(0).normal(0, 0.25, PICTURES)
    return [raw_face(1, index, (side, side), float(tilt), FACE_SHARE) for index, tilt in enumerate(tilts)]


def build(raw: pathlib.Path, data_dir: pathlib.Path, config: str) -> dict[str, Any]:
    """Runs `tfds build` and watches it."""
    dataset = DATASETS[config]
    command = [sys.executable, "-m", "emotion_gcn_jax.tfds", "build", f"tfds_builders/{dataset}", f"--config={config}"]
    command += [f"--manual_dir={raw}", f"--data_dir={data_dir}", "--overwrite"]
    disk_bytes: list[int] = []
    done = threading.Event()
    folder = data_dir / dataset / config
    watch = threading.Thread(target=_watch, args=(folder, disk_bytes, done), daemon=True)
    watch.start()
    start = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr, check=True)
    seconds = time.perf_counter() - start
    done.set()
    watch.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    info = json.loads(next(folder.glob("*/dataset_info.json")).read_text())
    examples = sum(int(length) for split in info["splits"] for length in split["shardLengths"])
    return {
        "config": config,
        "examples": examples,
        "seconds": round(seconds, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "processors": os.cpu_count(),
        "peak_memory_gb": round(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9, 2),
        "peak_disk_mb": round(max(disk_bytes) / 1e6, 1),
        "built_mb": round(disk_bytes[-1] / 1e6, 1),
        "raw_mb": round(_folder_bytes(raw) / 1e6, 1),
    }


def _watch(folder: pathlib.Path, disk_bytes: list[int], done: threading.Event) -> None:
    """Notes how large the folder is, twice a second and at the end."""
    while not done.wait(0.5):
        disk_bytes.append(_folder_bytes(folder))
    disk_bytes.append(_folder_bytes(folder))


def _folder_bytes(folder: pathlib.Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (pathlib.Path(parent) / name).stat().st_size
            except FileNotFoundError:  # moved on in the meantime
                continue
    return total


def _jpeg(image_HxWx3: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_HxWx3).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
