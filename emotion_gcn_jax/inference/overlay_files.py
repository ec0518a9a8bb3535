"""A folder of pictures and videos with their faces marked; none of them replaces one of the files that are judged."""

import itertools
import pathlib
from collections.abc import Sequence

from emotion_gcn_jax.errors import cannot_write
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.files import atomic_write, user_path
from emotion_gcn_jax.inference import video
from emotion_gcn_jax.inference.judging import Judged
from emotion_gcn_jax.inference.overlay import draw_faces
from emotion_gcn_jax.inference.sources import Source
from emotion_gcn_jax.tasks.registry import Tasks


class OverlayFiles:
    """The folder; names are given beforehand, so that a run which goes on finds the same."""

    def __init__(self, directory: str, sources: Sequence[Source], tasks: Tasks, first_frame: int) -> None:
        """Makes the folder.

        Args:
            directory: its path.
            sources: what is judged.
            tasks: the model's.
            first_frame: where a run goes on in the middle of a video; what it draws of that gets a name of its own.

        Raises:
            UserError: it cannot be made.
        """
        self._directory, self._tasks, self._first_frame = user_path(directory), tasks, first_frame
        self._taken = {user_path(source.name).resolve() for source in sources}
        self._paths = [self._path(source) for source in sources]
        self._film: video.Writer | None = None
        self._source = -1
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self._directory, error) from None

    def write(self, judged: Judged) -> list[pathlib.Path]:
        """Draws a frame, and returns the files that are finished by now: the name, numbered if that is taken."""
        frame, prediction = judged.frame, judged.prediction
        finished = self.close() if frame.source != self._source else []
        path = self._paths[frame.source]
        try:
            if frame.number is None or frame.time is None:
                if prediction.faces:
                    atomic_write(path, pictures.encode_png(draw_faces(frame.read(), prediction.faces, self._tasks)))
                    finished.append(path)
                return finished
            if self._film is None:
                if frame.number and self._first_frame:
                    path = path.with_name(f"{path.stem}_from_{frame.number}{path.suffix}")
                self._film, self._source, self._paths[frame.source] = video.Writer(path), frame.source, path
            self._film.write(draw_faces(frame.read(), prediction.faces, self._tasks), frame.time)
            return finished
        except OSError as error:
            raise cannot_write(path, error) from None

    def close(self) -> list[pathlib.Path]:
        """Finishes a video that is being written, and returns its path."""
        if self._film is None:
            return []
        film, self._film, path = self._film, None, self._paths[self._source]
        try:
            film.close()
        except OSError as error:
            raise cannot_write(path, error) from None
        return [path]

    def _path(self, source: Source) -> pathlib.Path:
        stem = {"camera": source.name.replace(":", "_"), "stream": "stream"}.get(
            source.kind, pathlib.Path(source.name).stem
        )
        suffix = ".mp4" if source.moves else ".png"
        numbered = (f"{stem}_{number}_faces{suffix}" for number in itertools.count(2))
        names = itertools.chain([f"{stem}_faces{suffix}"], numbered)
        path = next(path for path in (self._directory / name for name in names) if path.resolve() not in self._taken)
        self._taken.add(path.resolve())
        return path
