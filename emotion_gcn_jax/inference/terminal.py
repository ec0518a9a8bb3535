"""What a person sees while pictures are judged: a line a face, or the progress."""

import itertools
import re
import sys
from collections.abc import Sequence

from tqdm import tqdm

from emotion_gcn_jax import runtime
from emotion_gcn_jax.errors import cannot_write
from emotion_gcn_jax.inference import sources
from emotion_gcn_jax.inference.results import FacePrediction, ImagePrediction
from emotion_gcn_jax.inference.sources import Source
from emotion_gcn_jax.tasks.registry import Tasks

_LONGEST_NAME = 40

_NUMBER = re.compile(r"[+-]?[\d.]+")

_MOVING = {"time": 8, "track": 5}  # more columns, where there are videos, and their widths


class Lines:
    """One line a face, printed as soon as it is known, while somebody reads it."""

    def __init__(self, files: Sequence[Source], tasks: Tasks, *, has_other_output: bool) -> None:
        self._width = min(_LONGEST_NAME, max(len(file.name) for file in files))
        self._tasks = tasks
        self._has_other_output = has_other_output
        self._moving = _MOVING if any(file.moves for file in files) else {}
        self._columns = [(h, max(len(h), w)) for task in tasks for h, w in task.table_columns.items()]
        headings = [f"{heading:>{width}}" for heading, width in self._moving.items()]
        headings += ["face", *(f"{heading:{width}}" for heading, width in self._columns)]
        self._heading = "  ".join([f"{'file':{self._width}}", *headings, "box"])  # until it is printed

    def say(self, line: str) -> None:
        """Prints a line; if its reader has gone, as `head` does, only what there is besides goes on."""
        try:
            print(line, flush=True)
        except BrokenPipeError:
            if not self._has_other_output:
                raise
            runtime.drop_output()
        except OSError as error:
            runtime.drop_output()
            raise cannot_write("The standard output", error) from None

    def show(self, prediction: ImagePrediction) -> None:
        """Prints the faces of a picture."""
        if self._heading:
            self.say(self._heading)
            self._heading = ""
        name = prediction.image
        if len(name) > self._width:
            name = f"...{name[3 - self._width :]}"
        tracks = itertools.chain(prediction.tracks, itertools.repeat(None))
        for number, (face, track) in enumerate(zip(prediction.faces, tracks, strict=False), start=1):
            moving = {"time": "" if prediction.time is None else f"{prediction.time:.2f}", "track": str(track or "")}
            cells = [f"{moving[heading]:>{width}}" for heading, width in self._moving.items()]
            cells += [f"{number:4}", *self._cells(face), _edges(face)]
            self.say("  ".join([f"{name:{self._width}}", *cells]))

    def close(self) -> None:
        """Nothing is left to do."""

    def _cells(self, face: FacePrediction) -> list[str]:
        cells = [cell for task in self._tasks for cell in task.table_cells(face.answers[task.name])]
        return [
            f"{cell:>{width}}" if _NUMBER.fullmatch(cell) else f"{cell:{width}}"
            for cell, (_, width) in zip(cells, self._columns, strict=True)
        ]


class Bar:
    """How far it is, how fast, and how long it will take, on a terminal; elsewhere only what is said."""

    def __init__(self, files: Sequence[Source], every: int, done: int) -> None:
        """Takes the sources, how many of a video's frames are judged, and how many frames a run before had judged."""
        is_seen = sys.stderr is not None and sys.stderr.isatty()
        total = sources.count(files, every) if is_seen else None
        self._bar = tqdm(total=total, initial=done, unit=" pictures", disable=not is_seen, dynamic_ncols=True)
        self._faces = 0

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        tqdm.write(line)

    def show(self, prediction: ImagePrediction) -> None:
        """Counts a picture and its faces."""
        self._faces += len(prediction.faces)
        seconds = self._bar.format_dict["elapsed"] if not self._bar.disable else 0
        if seconds:
            self._bar.set_postfix_str(f"{self._faces / seconds:.1f} faces/s", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Leaves the last state on the terminal."""
        self._bar.close()


def complain(sentence: str) -> None:
    """Says on standard error what is wrong, above the bar if there is one."""
    tqdm.write(sentence, file=sys.stderr)
    sys.stderr.flush()


def _edges(face: FacePrediction) -> str:
    return " ".join(f"{edge:.0f}" for edge in face.box)
