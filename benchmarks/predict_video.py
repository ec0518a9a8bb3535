"""Judges a rendered video of two moving faces from end to end, and compares with the detector and the model alone.

    python -m benchmarks.predict_video                     # 30 seconds, 640 x 480, 30 frames a second, shipped model
    python -m benchmarks.predict_video --seconds=300       # 30 seconds' frames, again and again

It prints one line of JSON: frames a second from end to end (reading, detection, model, table), of the detector alone
and of the model alone, each in as many threads as there are cores; the share of the frames in which each face was
found, tracks and switches; the largest difference to the answers of `EmotionModel.predict`, frame by frame; and the
process's largest memory at three places of the run. --video keeps the video, --overlay=DIR writes it with marks.
"""

import concurrent.futures
import csv
import json
import pathlib
import resource
import tempfile
import time
from collections.abc import Sequence

from absl import app, flags

from emotion_gcn_jax import runtime
from emotion_gcn_jax.faces.detection import detect
from emotion_gcn_jax.inference import pipeline, predict, video
from emotion_gcn_jax.inference.judging import Settings
from emotion_gcn_jax.inference.model import load
from tests import moving_faces

_SECONDS = flags.DEFINE_float("seconds", 30.0, "Length of the video.")
_RENDERED = flags.DEFINE_float("rendered", 30.0, "Seconds that are rendered; then they are repeated.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model; the shipped one if not given.")
_VIDEO = flags.DEFINE_string("video", None, "Where the video is kept; it is made if it is not there.")
_OVERLAY = flags.DEFINE_string("overlay", None, "Where the annotated video is written, in a run of its own.")
_ALONE = 64  # frames and faces that detector and model are timed with


def main(argv: Sequence[str]) -> None:
    """Prints one JSON object."""
    del argv
    runtime.set_up()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(_VIDEO.value or f"{folder}/faces.mp4")
        if not path.exists():
            moving_faces.write(path, seconds=_SECONDS.value, rendered=_RENDERED.value)
        table = pathlib.Path(folder) / "faces.csv"
        started = time.perf_counter()
        predict.run(_CHECKPOINT.value, [str(path)], Settings(), predict.Outputs(table=str(table)))
        seconds = time.perf_counter() - started
        memory = _peak()
        with table.open() as lines:
            rows = list(csv.DictReader(lines))
        if _OVERLAY.value:
            predict.run(_CHECKPOINT.value, [str(path)], Settings(), predict.Outputs(None, None, _OVERLAY.value))
        frames = video.frame_count(str(path)) or 0
        report = {"frames": frames, "seconds": round(seconds, 1), "frames_per_second": round(frames / seconds, 2)}
        alone = _alone(path)
    slower = min(alone.values())
    report |= {f"{name}_alone": round(speed, 2) for name, speed in alone.items()}
    report |= {"share_of_the_slower": round(frames / seconds / slower, 2), "peak_memory_mb": memory}
    print(json.dumps(report | moving_faces.judge_tracks(rows, frames)))


def _alone(path: pathlib.Path) -> dict[str, float]:
    """Frames a second of the detector and of the model, each with all cores and nothing beside it."""
    model = load(_CHECKPOINT.value)
    images = [read() for number, _, read in video.read(str(path), str(path)) if (number or 0) < _ALONE]
    with concurrent.futures.ThreadPoolExecutor(pipeline.cores()) as pool:
        list(pool.map(lambda image: detect(image, threads=1), images[:4]))
        started = time.perf_counter()
        list(pool.map(lambda image: detect(image, threads=1), images))
        detector = len(images) / (time.perf_counter() - started)
    faces = [model.input.fit(face) for face in model.find_faces(images[0])[1]]
    many = (faces * _ALONE)[:_ALONE]
    list(model.judge(many))
    started = time.perf_counter()
    list(model.judge(many))
    return {"detector": detector, "model": _ALONE / len(faces) / (time.perf_counter() - started)}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    app.run(main)
