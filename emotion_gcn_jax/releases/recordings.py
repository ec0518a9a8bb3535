"""The sounds of a release's videos: found beside its frames, and stored beside the dataset that is built."""

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import tqdm

from emotion_gcn_jax.errors import UserError, cannot_write, counted, listed
from emotion_gcn_jax.releases.building import Example, in_order
from emotion_gcn_jax.sound import stored
from emotion_gcn_jax.sound.mel import BANDS
from emotion_gcn_jax.sound.reading import Track, check_installed, read

_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus")
"""Of videos, then of sound files: of several with one name, the first of these that has a sound track is heard."""

_DEPTH = 4  # folders below the one that is named
_ELSEWHERE = re.compile(r"cropped.*|__macosx|\..*")  # folders of images, millions of them, and of no recordings
_PERSON = re.compile(r"_(left|right)$")
_NO_SOUND = np.zeros((0, BANDS), np.float16)
_NO_TRACK = Track(_NO_SOUND, np.zeros(0), fps=30.0, damaged=0)


class _Heard(NamedTuple):
    """What is known of a recording: the name of its stored sound, "" for none, its track, and the file it is of."""

    name: str
    track: Track
    file: pathlib.Path | None = None


_NOTHING = _Heard("", _NO_TRACK)


class Recordings:
    """The videos of a release, by their names without suffix.

    A video of one person, `X_left` or `X_right`, hears the recording X if it has none of its own.
    """

    def __init__(self, root: pathlib.Path, build: pathlib.Path) -> None:
        """Looks for videos and sound files, at most four folders below a release's, for the dataset in `build`."""
        self._files, self._build = find(root), build
        self._heard: dict[str, _Heard] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def hear(self, videos: Iterable[str]) -> tuple[str, ...]:
        """Decodes, with all cores, the recordings of videos that have not been heard yet, and stores their sounds.

        Returns:
            Sentences on those that are damaged or have no sound.

        Raises:
            UserError: PyAV is not installed, or a sound cannot be written.
        """
        check_installed()
        wanted = sorted({self._recording_of(video) for video in videos} - self._heard.keys())
        there = [name for name in wanted if name in self._files]
        found, silent, failed = in_order(self._stored, there), sorted(set(wanted) - set(there)), list[str]()
        with contextlib.closing(found):
            for name, made in tqdm.tqdm(found, total=len(there), desc="Sounds", unit=" videos", leave=False):
                if isinstance(made, UserError):
                    failed.append(f"Warning: {made} Its frames are without sound.")
                    self._heard[name] = _NOTHING
                    continue
                self._heard[name] = made
                if not made.name:
                    silent.append(name)
                if made.track.damaged:
                    pieces = counted(made.track.damaged, "piece")
                    failed.append(f"Warning: {made.file}: Left out, since damaged: {pieces} of its sound.")
        self._heard |= dict.fromkeys(silent, _NOTHING)
        if silent:
            failed.append(f"{len(silent)} of {len(wanted)} recordings have no sound: {listed(silent)}.")
        return tuple(failed)

    def columns(self, video: str, frame: int) -> Example:
        """What an example has of the sound: the recording's name, "" where there is none, and the seconds in it."""
        heard = self._heard.get(self._recording_of(video), _NOTHING)
        return {"sound": heard.name, "seconds": heard.track.seconds(frame)}

    def _recording_of(self, video: str) -> str:
        return video if video in self._files else recording_of(video)

    def _stored(self, name: str) -> _Heard | UserError:
        """Stores a recording's sound; returns what is known of it, without the sound, or why it cannot be read."""
        try:
            file, track = _read(self._files[name])
        except UserError as error:
            return error
        try:
            kept = stored.write(self._build, name, track.log_mel_TxM)
        except OSError as error:
            raise cannot_write(self._build, error) from None
        return _Heard(kept, dataclasses.replace(track, log_mel_TxM=_NO_SOUND), file)


def recording_of(video: str) -> str:
    """The recording of a person of a video: its name without _left or _right."""
    return _PERSON.sub("", video)


def find(root: pathlib.Path) -> Mapping[str, Sequence[pathlib.Path]]:
    """Returns the videos and sound files at most four folders below `root`, by their names without suffix.

    Several of one name come in the order of _SUFFIXES.
    """
    found: dict[str, list[pathlib.Path]] = {}
    for path in sorted(_files(root), key=lambda path: (_SUFFIXES.index(path.suffix.lower()), path)):
        found.setdefault(path.stem, []).append(path)
    return MappingProxyType(found)


def _read(files: Sequence[pathlib.Path]) -> tuple[pathlib.Path, Track]:
    """The first of a recording's files with a sound track, and its track; the frames are those of the first file.

    A file that cannot be read is passed over: UserError says why only where no other one has a sound track.
    """
    tracks, errors = list[tuple[pathlib.Path, Track]](), list[UserError]()
    for file in files:
        try:
            tracks.append((file, read(file)))
        except UserError as error:
            errors.append(error)
            continue
        if len(tracks[-1][1].log_mel_TxM):
            first = tracks[0][1]
            return file, dataclasses.replace(tracks[-1][1], seconds_F=first.seconds_F, fps=first.fps)
    if errors:
        raise errors[0]
    return tracks[0]


def _files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    for name, folders, files in os.walk(root, followlinks=True):  # links to other disks; the depth ends any circle
        folder = pathlib.Path(name)
        is_deep = len(folder.relative_to(root).parts) >= _DEPTH
        folders[:] = [] if is_deep else [below for below in folders if not _ELSEWHERE.fullmatch(below.lower())]
        yield from (folder / file for file in files if pathlib.PurePath(file).suffix.lower() in _SUFFIXES)
