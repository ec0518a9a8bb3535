"""The work of `emotion-gcn predict`: from names on the command line to lines, tables and marked pictures.

A picture that fails costs one line, not the others. What is already written is kept when a run is stopped.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from emotion_gcn_jax.errors import UserError, cannot_write, counted
from emotion_gcn_jax.files import atomic_write, is_special, read_json, user_path
from emotion_gcn_jax.inference import own_boxes, pipeline, sources, terminal
from emotion_gcn_jax.inference.judging import Judged, Memory, Settings, judge_frames, no_face
from emotion_gcn_jax.inference.model import EmotionModel, load
from emotion_gcn_jax.inference.overlay_files import OverlayFiles
from emotion_gcn_jax.inference.results import ImagePrediction
from emotion_gcn_jax.inference.rows import columns, rows
from emotion_gcn_jax.inference.sources import Source
from emotion_gcn_jax.inference.table_file import TableFile

_NOTES = "3"  # of what a stopped run notes for the next one, another number wherever that changes


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where answers are written; None is nowhere.

    Attributes:
        table: a .csv, .jsonl or .parquet with a row a face; it replaces the printed lines.
        json: everything about pictures' files, in one document, at the end.
        overlays: a folder of pictures and videos with their faces marked.
    """

    table: str | None = None
    json: str | None = None
    overlays: str | None = None


def run(
    checkpoint: str | None,
    names: Sequence[str],
    settings: Settings,
    outputs: Outputs,
    *,
    every: int = 1,
    boxes: str | None = None,
    side: int | None = None,
) -> int:
    """Predicts pictures and videos; prints a line a face, and one to standard error for each that has no answer.

    Args:
        checkpoint: a training run's directory, one checkpoint or a model's file; None is the shipped model.
        names: of what is judged, see `sources.open_sources`.
        settings: what is looked for.
        outputs: where answers are written.
        every: of a video's frames only every so many-th.
        boxes: a CSV of the user's own faces, see `own_boxes.read`.
        side: of the faces that the network sees, see `model.load`.

    Returns:
        How many pictures and videos have no answer, or not all.

    Raises:
        UserError: the checkpoint or the boxes cannot be read, the model cannot judge such inputs, or the results cannot
            be written.
    """
    inputs = sources.open_sources(names)
    if outputs.json is not None and any(source.moves for source in inputs):
        raise UserError("--json holds pictures only: write a video's faces by --output faces.csv, .jsonl or .parquet.")
    if boxes is not None:
        settings = dataclasses.replace(settings, boxes=own_boxes.read(boxes))
    model = load(checkpoint, side=side)
    _check_sources(model, inputs, checkpoint)
    with contextlib.ExitStack() as stack:
        work = _Run(model, inputs, settings, outputs, every, boxes)
        stack.callback(work.close)
        for judged in work.judged():
            work.take(judged)
        work.finish()
    return work.failed


class _Run:
    """One run of the command: what it reads and writes, and how far it is."""

    def __init__(
        self,
        model: EmotionModel,
        inputs: Sequence[Source],
        settings: Settings,
        outputs: Outputs,
        every: int,
        boxes: str | None,
    ) -> None:
        self._model, self._inputs, self._settings, self._every = model, inputs, settings, every
        self._json, self._predictions = outputs.json, list[ImagePrediction]()
        self._table = self._overlays = None
        if outputs.table is not None:
            is_live = any(source.is_live for source in inputs)
            identity = None if is_live else _identity(model, inputs, settings, every, boxes)
            self._table = TableFile(outputs.table, columns(model.tasks), identity)
        progress = (self._table.done if self._table else None) or {}
        self._skip = progress.get("next", {"source": 0, "frame": 0})
        self._memory = Memory.from_dict(progress["memory"]) if progress else Memory()
        self._tally = progress.get("tally", {"source": -1, "frames": 0, "faces": 0})
        self._judged, self._faces = progress.get("judged", 0), progress.get("faces", 0)
        self.failed: int = progress.get("failed", 0)
        self._is_done, self._remarked = False, -1
        if outputs.overlays is not None:
            self._overlays = OverlayFiles(outputs.overlays, inputs, model.tasks, self._skip["frame"])
        if outputs.json is not None:
            _check_json(outputs.json)
        has_other_output = outputs.json is not None or outputs.overlays is not None
        self._seen: terminal.Bar | terminal.Lines = (
            terminal.Bar(inputs, every, self._judged)
            if self._table
            else terminal.Lines(inputs, model.tasks, has_other_output=has_other_output)
        )

    def judged(self) -> Iterator[Judged]:
        """What is left to judge, as it becomes known."""
        is_camera = any(source.kind == "camera" for source in self._inputs)
        is_single = len(self._inputs) == 1 and not self._inputs[0].moves
        workers = 1 if is_camera or is_single else pipeline.cores()  # then the first answer counts, not the speed
        frames = sources.frames(self._inputs, every=self._every, skip=self._skip)
        return judge_frames(self._model, frames, self._settings, memory=self._memory, workers=workers)

    def take(self, judged: Judged) -> None:
        """Writes what is said of a frame."""
        frame, prediction = judged.frame, judged.prediction
        self._count(frame.source, prediction)
        if judged.remark is not None and frame.source != self._remarked:  # once of a video
            terminal.complain(judged.remark)
            self._remarked = frame.source
        if prediction.error is not None:
            self.failed += 1
            terminal.complain(prediction.error)
        if self._json is not None:
            self._predictions.append(prediction)
        self._seen.show(prediction)
        if self._overlays is not None:
            self._say(self._overlays.write(judged))
        self._judged += 1
        self._faces += len(prediction.faces)
        self._memory = judged.memory
        self._skip = (
            {"source": frame.source + 1, "frame": 0}
            if frame.number is None
            else {"source": frame.source, "frame": frame.number + 1}
        )
        if self._table is not None:
            self._table.write(rows(prediction, self._model.tasks), self._progress())

    def finish(self) -> None:
        """All is judged."""
        self._end_video()
        self._is_done = True

    def close(self) -> None:
        """Ends every output, whether all is judged or the run was stopped."""
        self._seen.close()
        if self._table is not None:
            if not self._is_done and self._table.can_go_on:
                judged = (self._table.done or {}).get("judged", 0)
                terminal.complain(f"Judged so far: {counted(judged, 'picture')}. Give the same command to go on.")
            self._table.close(is_done=self._is_done)
            if self._is_done:
                self._seen.say(f"  -> {self._table.path}: {self._counts()}")
        if self._json is not None:
            _write_json(self._json, self._predictions)
        if self._overlays is not None:
            self._say(self._overlays.close())

    def _progress(self) -> dict[str, Any]:
        return {
            "next": self._skip,
            "memory": self._memory.to_dict(),
            "tally": self._tally,
            "judged": self._judged,
            "faces": self._faces,
            "failed": self.failed,
        }

    def _counts(self) -> str:
        inputs = f" of {counted(len(self._inputs), 'input')}" if self._judged != len(self._inputs) else ""
        failed = f", {self.failed} without an answer" if self.failed else ""
        return f"{counted(self._faces, 'face')} in {counted(self._judged, 'picture')}{inputs}{failed}"

    def _say(self, paths: Sequence[pathlib.Path]) -> None:
        for path in paths:
            self._seen.say(f"  -> {path}")

    def _count(self, source: int, prediction: ImagePrediction) -> None:
        if source != self._tally["source"]:
            self._end_video()
            self._tally = {"source": source, "frames": 0, "faces": 0}
        self._tally["frames"] += prediction.frame is not None
        self._tally["faces"] += len(prediction.faces)

    def _end_video(self) -> None:
        """A video without a face is said once, not for every frame."""
        if self._tally["frames"] and not self._tally["faces"]:
            name = self._inputs[self._tally["source"]].name
            self.failed += 1
            frames = counted(self._tally["frames"], "frame")
            found_nowhere = f"{name}: {no_face(self._settings)} in {frames}"
            more_tiles = f"; if they are small, --tiles {self._settings.tiles + 1} sees smaller ones"
            terminal.complain(f"{found_nowhere}{'' if self._settings.boxes is not None else more_tiles}.")


def _check_sources(model: EmotionModel, inputs: Sequence[Source], checkpoint: str | None) -> None:
    """Raises UserError for what a model cannot judge that hears, or that looks ahead in time."""
    soundless = next((source for source in inputs if source.kind != "video"), None)
    if model.hears and soundless is not None:
        raise UserError(
            f"{checkpoint} hears (config.model.hearing) and takes videos' files with their own sound, found "
            f"{soundless.name}, taken for a {soundless.kind}: name videos alone, or use a model that only sees."
        )
    moving = next((source for source in inputs if source.moves), None)
    if moving is not None and model.module.time is not None and model.module.time.bidirectional:
        raise UserError(
            f"{checkpoint} looks ahead in time (config.model.bidirectional) and would have to see all of {moving.name} "
            f"first: judge a dataset of its frames by emotion-gcn evaluate, or use a model that only looks back."
        )


def _identity(
    model: EmotionModel, inputs: Sequence[Source], settings: Settings, every: int, boxes: str | None
) -> dict[str, str]:
    """What must be the same for a run to go on, by the words that a message has for it."""
    digest = hashlib.sha256(json.dumps(dict(model.meta), sort_keys=True, default=str).encode())
    for array in jax.tree.leaves(model.variables):
        digest.update(np.ascontiguousarray(array).tobytes())
    files = hashlib.sha256("\0".join(source.name for source in inputs).encode(errors="surrogateescape"))
    looked_for = {
        "--no-detect": not settings.detect,
        "--tiles": settings.tiles,
        "--min-score": settings.min_score,
        "--largest": settings.largest,
        "--eyes": settings.find_eyes,
        "--smooth": settings.smooth,
        "--every": every,
        "--boxes": "none" if boxes is None else _short(hashlib.sha256(user_path(boxes).read_bytes())),
    }
    return {"notes' version": _NOTES, "model": _short(digest), "inputs": f"{len(inputs)} ({_short(files)})"} | {
        option: str(value) for option, value in looked_for.items()
    }


def _short(digest: Any) -> str:
    return digest.hexdigest()[:12]


def _check_json(file: str) -> None:
    """Before the work rather than after it: it must be writable, and may replace nothing but predictions."""
    path = user_path(file)
    if file == "-":
        raise UserError("--json writes a file, found -: give its name.")
    if is_special(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
        is_ours = not path.stat().st_size or all({"image", "faces"} <= entry.keys() for entry in read_json(path))
    except OSError as error:
        raise cannot_write(path, error) from None
    except (ValueError, AttributeError, TypeError):
        is_ours = False
    if not is_ours:
        raise UserError(f"--json would replace {file}, which holds no predictions: name another file.")


def _write_json(file: str, predictions: Sequence[ImagePrediction]) -> None:
    try:
        text = json.dumps([prediction.to_dict() for prediction in predictions], indent=2, allow_nan=False)
        atomic_write(file, (text + "\n").encode())
    except OSError as error:
        raise cannot_write(user_path(file), error) from None
