"""Judges a rendered video of two moving faces from end to end, and compares with the detector and the model alone.

    python -m benchmarks.predict_video                     # 30 seconds, 640 x 480, 30 frames a second, shipped model
    python -m benchmarks.predict_video --seconds=300       # 30 seconds' frames, again and again

It prints two lines of JSON. Of the video's first frames, in turns: the frames a second of the detector alone (one
picture after the other with all cores, and in a thread a core), of the model alone and of everything, and everything's
share of the slower one, by the median round. Of the whole video: the share of the frames in which each face was found,
tracks, switches, and the process's largest memory at a quarter of the time and in the end, which is predict's own if
the video was there already and --rounds=0. --video keeps the video; --overlay=DIR writes it with marks.
"""

import concurrent.futures
import contextlib
import csv
import itertools
import json
import os
import pathlib
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags

from emotion_gcn_jax import runtime
from emotion_gcn_jax.faces.detection import detect
from emotion_gcn_jax.inference import pipeline, predict, sources, video
from emotion_gcn_jax.inference.judging import Settings, judge_frames
from emotion_gcn_jax.inference.model import EmotionModel, load
from tests import moving_faces

_SECONDS = flags.DEFINE_float("seconds", 30.0, "Length of the video.")
_RENDERED = flags.DEFINE_float("rendered", 30.0, "Seconds that are rendered; then they are repeated.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model; the shipped one if not given.")
_VIDEO = flags.DEFINE_string("video", None, "Where the video is kept; it is made if it is not there.")
_OVERLAY = flags.DEFINE_string("overlay", None, "Where the annotated video is written.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Of the comparison of speeds; 0 for none.")
_TIMED = 120  # frames a round: with few, filling and emptying the pipeline counts


def main(argv: Sequence[str]) -> None:
    """Prints the two lines."""
    del argv
    runtime.set_up()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(_VIDEO.value or f"{folder}/faces.mp4")
        if not path.exists():
            moving_faces.write(path, seconds=_SECONDS.value, rendered=_RENDERED.value)
        if _ROUNDS.value:
            print(json.dumps(_speeds(load(_CHECKPOINT.value), path)), flush=True)
        print(json.dumps(_whole(path, pathlib.Path(folder) / "faces.csv")))


def _whole(path: pathlib.Path, table: pathlib.Path) -> dict[str, object]:
    """The command's work on the whole video."""
    frames = video.frame_count(str(path)) or 0
    outputs, started = predict.Outputs(table=str(table), overlays=_OVERLAY.value), time.perf_counter()
    with _memory() as samples:
        predict.run(_CHECKPOINT.value, [str(path)], Settings(), outputs)
    seconds = time.perf_counter() - started
    with table.open() as lines:
        found = moving_faces.judge_tracks(list(csv.DictReader(lines)), frames)
    return {
        "frames": frames,
        "seconds": round(seconds, 1),
        **found,
        "memory_mb_at_a_quarter": samples[len(samples) // 4],
        "memory_mb_at_most": _peak(),
    }


@contextlib.contextmanager
def _memory() -> Iterator[list[int]]:
    """Fills a list with the process's largest memory so far in MB, twice a second."""
    samples, is_over = [_peak()], threading.Event()

    def sample() -> None:
        while not is_over.wait(0.5):
            samples.append(_peak())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield samples
    finally:
        is_over.set()
        sampler.join()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _speeds(model: EmotionModel, path: pathlib.Path) -> dict[str, float]:
    """Frames a second in turns, so that a busy neighbour disturbs all alike."""
    images = [read() for _, _, read in itertools.islice(video.read(str(path), str(path)), _TIMED)]
    faces = [model.input.fit(face) for face in model.find_faces(images[0])[1]]

    def everything() -> None:
        frames = itertools.islice(sources.frames(sources.open_sources([str(path)])), _TIMED)
        assert sum(1 for _ in judge_frames(model, frames, Settings(), workers=pipeline.cores())) == _TIMED

    sides: dict[str, Callable[[], object]] = {
        "detector": lambda: [detect(image) for image in images],
        "detector_in_threads": lambda: _in_threads(images),
        "model": lambda: list(model.judge(faces * _TIMED)),
        "everything": everything,
    }
    rounds: list[dict[str, float]] = []
    for _ in range(_ROUNDS.value + 1):  # the first warms up
        rounds.append({})
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            rounds[-1][name] = _TIMED / (time.perf_counter() - started)
    medians = {name: statistics.median(r[name] for r in rounds[1:]) for name in sides}
    shares = {
        f"share_of_{name}": statistics.median(r["everything"] / min(r[name], r["model"]) for r in rounds[1:])
        for name in ("detector", "detector_in_threads")
    }
    return {name: round(number, 2) for name, number in (medians | shares).items()} | {"cores": os.cpu_count() or 1}


def _in_threads(images: Sequence[object]) -> None:
    with concurrent.futures.ThreadPoolExecutor(pipeline.cores()) as pool:
        list(pool.map(lambda image: detect(image, threads=1), images))  # type: ignore[arg-type]


if __name__ == "__main__":
    app.run(main)
