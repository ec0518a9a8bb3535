"""What each exported file of a model weighs, how fast it is, and how far its answers are from the model's.

    python benchmarks/export_formats.py --dataset=fer2013 --config=ferplus --split=test --calibrate=train

Every file judges the same faces in its own runtime; for int8 the ranges come from faces of another split. Times are
those of one face, the runtimes taking turns, two threads each (StableHLO's are JAX's own).
"""

import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
import onnxruntime
from absl import app, flags

from emotion_gcn_jax.data import selection
from emotion_gcn_jax.data.batches import Loader
from emotion_gcn_jax.data.builds import open_split
from emotion_gcn_jax.evaluation.evaluator import evaluate
from emotion_gcn_jax.evaluation.predictions import metrics_by_task
from emotion_gcn_jax.export import exporting
from emotion_gcn_jax.export.options import Options
from emotion_gcn_jax.inference.model import load

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "The model; by default the shipped one.")
_DATASET = flags.DEFINE_string("dataset", None, "The dataset's name.", required=True)
_CONFIG = flags.DEFINE_string("config", None, "Its builder's config.")
_SPLIT = flags.DEFINE_string("split", "test", "The faces that are judged.")
_COUNT = flags.DEFINE_integer("count", 1000, "How many of them, from the first.")
_CALIBRATE = flags.DEFINE_string("calibrate", "train", "The split that int8's faces are of.")
_CALIBRATION_FACES = flags.DEFINE_integer("calibration_faces", 200, "How many of them.")
_ROUNDS = flags.DEFINE_integer("rounds", 100, "How often each file judges one face.")

_THREADS = 2
Answers = Callable[[np.ndarray], dict[str, np.ndarray]]


def main(argv: list[str]) -> None:
    """Prints a table, and a line of JSON."""
    del argv
    model = load(_CHECKPOINT.value)
    split = open_split(_DATASET.value, _SPLIT.value, config=_CONFIG.value)
    split = selection.for_tasks(split, model.tasks)
    split = split.select(np.arange(min(_COUNT.value, len(split))))
    others = open_split(_DATASET.value, _CALIBRATE.value, config=_CONFIG.value)
    faces = np.stack([model.input.fit(others.image(i)) for i in range(min(_CALIBRATION_FACES.value, len(others)))])
    runs: dict[str, Answers] = {"the model (onnxruntime)": model.answers}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, form in exporting.FORMATS.items():
            for quantize in (None, *form.quantizations):
                path = pathlib.Path(folder) / f"{quantize}{form.suffix}"
                batch = None if form.any_batch else 1
                path.write_bytes(form.encode(model, Options(batch, quantize, is_uint8=False, faces=faces)))
                name = f"{kind} {quantize or 'float32'}"
                runs[name], sizes[name] = _RUNTIMES[kind](path), path.stat().st_size
        loader = Loader(model.input, batch_size=32, threads=2)
        predictions = {
            name: evaluate(lambda batch, run=run: run(batch["image"]), split, model.tasks, loader=loader)
            for name, run in runs.items()
        }
        seconds = _take_turns(runs, faces[:1])
    task = model.tasks[0]
    expected = predictions["the model (onnxruntime)"].answers[task.name]
    print(f"{'':26}{'MB':>7}{'ms a face':>11}{task.selectable[0]:>22}{'same answer':>13}{'largest difference':>20}")
    rows = []
    for name, found in predictions.items():
        answers = found.answers[task.name]
        row = {
            "file": name,
            "megabytes": round(sizes.get(name, 0) / 1e6, 1),
            "milliseconds": round(1000 * seconds[name], 2),
            task.selectable[0]: round(metrics_by_task(found)[task.name][task.selectable[0]], 4),
            "same": round(float((answers.argmax(1) == expected.argmax(1)).mean()), 4),
            "difference": float(f"{np.abs(answers - expected).max():.2g}"),
        }
        rows.append(row)
        _, megabytes, milliseconds, score, same, difference = row.values()
        print(f"{name:26}{megabytes:7.1f}{milliseconds:11.2f}{score:22.4f}{same:13.4f}{difference:20.2g}")
    print(json.dumps({"examples": len(split), "rows": rows}))


def _take_turns(runs: dict[str, Answers], face: np.ndarray) -> dict[str, float]:
    """The median seconds of one face."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_ROUNDS.value):
        for name, run in runs.items():
            start = time.perf_counter()
            run(face)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _onnx(path: pathlib.Path) -> Answers:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"images": images.astype(np.float32)}), strict=True))


def _stablehlo(path: pathlib.Path) -> Answers:
    judge = jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)
    return lambda images: {name: np.asarray(rows) for name, rows in judge(images.astype(np.float32)).items()}


def _tflite(path: pathlib.Path) -> Answers:
    from ai_edge_litert.interpreter import Interpreter

    judge = Interpreter(model_content=path.read_bytes(), num_threads=_THREADS).get_signature_runner()

    def answers(images: np.ndarray) -> dict[str, np.ndarray]:
        rows = [judge(images=image[None].astype(np.float32)) for image in images]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    return answers


_RUNTIMES = {"onnx": _onnx, "stablehlo": _stablehlo, "tflite": _tflite}


if __name__ == "__main__":
    app.run(main)
