"""Judges frames: finds their faces, asks the model in batches, follows faces through videos, smooths what is said."""

import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import detection
from emotion_gcn_jax.inference import own_boxes, pipeline
from emotion_gcn_jax.inference.in_time import InClip, InClips
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.inference.results import FacePrediction, ImagePrediction, Place
from emotion_gcn_jax.inference.smoothing import Answers, Smoothed, smooth
from emotion_gcn_jax.inference.soundtrack import Soundtracks
from emotion_gcn_jax.inference.sources import Frame
from emotion_gcn_jax.inference.tracking import Tracks, follow

_FRAMES = 16  # judged together at most, however few faces they have
_PATIENCE = 0.25  # seconds that a frame waits for others to be judged with
_AHEAD_PER_WORKER = 4

_UNHEARD = None, None  # of a frame without a face, or in front of a model that only sees: no sound, no remark

_EYE_MARGIN = 0.25  # of a box's side, by which an eye may lie outside: of a face turned away, or in a narrow box

_LEAST_VISIBLE = 0.25  # of a box: of what is less than that in the picture little can be said
_LEAST_SIDE = 4  # pixels of a box: boxes in shares of the picture are smaller

_HINT_FROM = 16.0  # pixels; where only smaller faces than this are missed, nothing need be said


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is looked for, and how answers are treated.

    Attributes:
        detect: find faces; otherwise every frame is a face that was cut already.
        tiles: see `detection.detect`.
        min_score: faces of which the detector is less sure are left out; 0.5 keeps all that it, or the user, gives.
        largest: keep so many faces of a frame at most, the largest; None keeps all.
        boxes: the user's own faces in place of the detector's.
        find_eyes: look for the eyes of those that come without.
        smooth: the memory of the answers' mean along a track, in seconds; 0 for none.
        batch: so many faces are judged at once.
    """

    detect: bool = True
    tiles: int = 1
    min_score: float = 0.5
    largest: int | None = None
    boxes: own_boxes.OwnBoxes | None = None
    find_eyes: bool = False
    smooth: float = 0.0
    batch: int = 32


class Judged(NamedTuple):
    """A frame, what is said of it, what the next frame of its video goes by, and a remark on it."""

    frame: Frame
    prediction: ImagePrediction
    memory: "Memory"
    remark: str | None = None


@dataclasses.dataclass(frozen=True)
class Memory:
    """What one frame of a video hands on to the next.

    Attributes:
        source: the video's place among the sources.
        tracks: the faces that are followed.
        smoothed: the answers so far.
        clips: where the tracks are in their clips, of a model that knows time.
    """

    source: int = -1
    tracks: Tracks = dataclasses.field(default_factory=Tracks)
    smoothed: Smoothed = dataclasses.field(default_factory=dict)
    clips: InClips = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the memory as JSON has it."""
        smoothed = {
            str(track): [seen, {name: answer.tolist() for name, answer in said.items()}]
            for track, (seen, said) in self.smoothed.items()
        }
        clips = {str(track): clip.to_dict() for track, clip in self.clips.items()}
        return {"source": self.source, "tracks": self.tracks.to_dict(), "smoothed": smoothed, "clips": clips}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Memory":
        """Reads what `to_dict` wrote, bit for bit."""
        smoothed = {
            int(track): (seen, {name: np.asarray(answer, np.float32) for name, answer in said.items()})
            for track, (seen, said) in fields["smoothed"].items()
        }
        clips = {int(track): InClip.from_dict(clip) for track, clip in fields["clips"].items()}
        return cls(fields["source"], Tracks.from_dict(fields["tracks"]), smoothed, clips)


def judge_frames(
    model: EmotionModel, frames: Iterator[Frame], settings: Settings, *, memory: Memory | None = None, workers: int
) -> Iterator[Judged]:
    """Yields what the model says of every frame, in their order, as it becomes known.

    Args:
        model: from `inference.model.load`.
        frames: from `sources.frames`.
        settings: what is looked for.
        memory: of the frame before the first one, where a run goes on that had stopped.
        workers: so many frames are read and searched at once; 1 gives all cores to one.

    What is wrong with a frame stands in its prediction.
    """
    memory = memory or Memory()
    soundtracks = Soundtracks() if model.hears else None

    def find(frame: Frame) -> _Found:
        return _find(model, frame, settings, threads=0 if workers == 1 else 1)

    with pipeline.in_order(find, frames, workers=workers, ahead=_AHEAD_PER_WORKER * workers) as take:
        for group in _groups(take, settings.batch):
            heard = [soundtracks.at(found.frame) if soundtracks and found.fitted else _UNHEARD for found in group]
            made = _made(model, group, [sound for sound, _ in heard], settings.batch)
            for found, (_, remark) in zip(group, heard, strict=True):
                some = list(itertools.islice(made, len(found.fitted)))
                memory, prediction = _prediction(model, found, some, memory, settings.smooth)
                yield Judged(found.frame, prediction, memory, remark or found.remark)


class _Found(NamedTuple):
    """The faces of a frame before the network has seen them."""

    frame: Frame
    places: Sequence[Place] = ()
    fitted: Sequence[np.ndarray] = ()
    error: str | None = None
    remark: str | None = None


def _groups(take: Any, batch: int) -> Iterator[list[_Found]]:
    """Frames that are judged together: enough of them, or those that have waited long enough."""
    group: list[_Found] = []
    until = None
    while True:
        try:
            group.append(take(None if until is None else max(0.0, until - time.monotonic())))
            until = until or time.monotonic() + _PATIENCE
            is_full = len(group) == _FRAMES or sum(len(found.fitted) for found in group) >= batch
        except pipeline.NotYetError:
            is_full = True
        except StopIteration:
            break
        if is_full:
            yield group
            group, until = [], None
    if group:
        yield group


def _made(
    model: EmotionModel, group: Sequence[_Found], sounds: Sequence[np.ndarray | None], batch: int
) -> Iterator[Any]:
    """What is made of every face in batches: the answers, or the vectors of a model that has a part in time."""
    if model.in_time is None:
        return model.judge([face for found in group for face in found.fitted], batch)
    return iter(model.in_time.vectors([found.fitted for found in group], sounds, batch))


def _find(model: EmotionModel, frame: Frame, settings: Settings, threads: int) -> _Found:
    try:
        image_HxWx3 = frame.read()
    except UserError as error:
        return _Found(frame, error=str(error))
    if not settings.detect:
        height, width = image_HxWx3.shape[:2]
        return _Found(frame, [Place((0.0, 0.0, float(width), float(height)))], [model.input.fit(image_HxWx3)])
    places = _places(model, image_HxWx3, frame, settings, threads)
    fitted = [model.input.fit(model.cut(image_HxWx3, place)) for place in places]
    is_failure = not places and frame.number is None
    odd = _misplaced(image_HxWx3, places) if settings.boxes is not None else None
    where = frame.name if frame.number is None else f"{frame.name}, frame {frame.number}"
    remark = f"Warning: {where}: {odd}." if odd else None
    return _Found(frame, places, fitted, _no_face(frame, image_HxWx3, settings) if is_failure else None, remark)


def _places(
    model: EmotionModel, image_HxWx3: np.ndarray, frame: Frame, settings: Settings, threads: int
) -> list[Place]:
    if settings.boxes is not None:
        places = list(own_boxes.of_picture(settings.boxes, frame.name, frame.number))
        if settings.find_eyes:
            places = [_with_eyes(image_HxWx3, place, threads) for place in places]
    else:
        found = detection.detect(image_HxWx3, tiles=settings.tiles, threads=threads)
        in_dataset = (detection.in_dataset(face, model.meta["dataset"]) for face in found)
        places = [Place(face.box, face.left_eye, face.right_eye, face.score) for face in in_dataset]
    if settings.min_score > Settings.min_score:  # which keeps all, the user's own with low scores as well
        places = [place for place in places if place.score is None or place.score >= settings.min_score]
    if settings.largest is not None:
        smallest_first = sorted(range(len(places)), key=lambda number: _area(places[number]))
        places = [places[number] for number in sorted(smallest_first[-settings.largest :])]
    return places


def _with_eyes(image_HxWx3: np.ndarray, place: Place, threads: int) -> Place:
    known = place.left_eye and place.right_eye
    eyes = None if known else detection.find_eyes(image_HxWx3, place.box, threads=threads)
    return place if eyes is None else dataclasses.replace(place, left_eye=eyes[0], right_eye=eyes[1])


def _area(place: Place) -> float:
    x0, y0, x1, y1 = place.box
    return (x1 - x0) * (y1 - y0)


def _no_face(frame: Frame, image_HxWx3: np.ndarray, settings: Settings) -> str:
    if settings.boxes is not None:
        is_left_out = bool(own_boxes.of_picture(settings.boxes, frame.name, frame.number))
        return f"{frame.name}: {no_face(settings) if is_left_out else 'The table of boxes has no face of it'}."
    height, width = image_HxWx3.shape[:2]
    limit = detection.smallest_face(height, width, settings.tiles)
    if limit < _HINT_FROM or settings.tiles == detection.MOST_TILES:
        return f"{frame.name}: {no_face(settings)}."
    return (
        f"{frame.name}: {no_face(settings)}; faces below about {limit:.0f} pixels are not seen in so large a picture: "
        f"--tiles {settings.tiles + 1} sees smaller ones."
    )


def no_face(settings: Settings) -> str:
    """The beginning of a sentence about a picture or a video without a face."""
    is_strict = settings.min_score > Settings.min_score
    if settings.boxes is not None:
        score = f" with a score of --min-score {settings.min_score:g} or more" if is_strict else ""
        return f"The table of boxes has no face of it{score}"
    if is_strict:
        return f"No face was found of which the detector is as sure as --min-score {settings.min_score:g}"
    return "No face was found"


def _misplaced(image_HxWx3: np.ndarray, places: Sequence[Place]) -> str | None:
    """What is odd about the user's own faces of a picture; None if nothing is."""
    height, width = image_HxWx3.shape[:2]
    outside = sum(_visible_share(place.box, width, height) < _LEAST_VISIBLE for place in places)
    tiny = sum(min(x1 - x0, y1 - y0) < _LEAST_SIDE for x0, y0, x1, y1 in (place.box for place in places))
    eyes = [(place.left_eye, place.right_eye) for place in places]
    exchanged = sum(left is not None and right is not None and left[0] > right[0] for left, right in eyes)
    far = sum(any(eye and _is_far(eye, place.box) for eye in (place.left_eye, place.right_eye)) for place in places)
    odd = [f"{outside} mostly or wholly outside of the picture ({width} x {height})"] if outside else []
    odd += [f"{tiny} of less than {_LEAST_SIDE} pixels (all numbers are in pixels)"] if tiny else []
    odd += [f"{far} with an eye far outside of the box (in pixels of the picture, as the box)"] if far else []
    odd += [f"{exchanged} with the left eye right of the right one (left is the image's left)"] if exchanged else []
    return f"of {len(places)} boxes {' and '.join(odd)}: their answers mean little" if odd else None


def _visible_share(box: Sequence[float], width: int, height: int) -> float:
    """How much of a box is in the picture."""
    x0, y0, x1, y1 = box
    of_width = max(0.0, min(x1, width) - max(x0, 0.0)) / (x1 - x0)
    return of_width * max(0.0, min(y1, height) - max(y0, 0.0)) / (y1 - y0)


def _is_far(eye: tuple[float, float], box: Sequence[float]) -> bool:
    x0, y0, x1, y1 = box
    x_margin, y_margin = _EYE_MARGIN * (x1 - x0), _EYE_MARGIN * (y1 - y0)
    return not (x0 - x_margin <= eye[0] <= x1 + x_margin and y0 - y_margin <= eye[1] <= y1 + y_margin)


def _prediction(
    model: EmotionModel, found: _Found, made: Sequence[Any], memory: Memory, smoothing: float
) -> tuple[Memory, ImagePrediction]:
    """Says what `_made` has of a frame's faces."""
    frame, tracks = found.frame, tuple[int, ...]()
    if frame.number is not None and frame.time is not None:
        if memory.source != frame.source:
            memory = Memory(frame.source)
        followed, numbers = follow(memory.tracks, [place.box for place in found.places], frame.time)
        clips, answers = _answers(model, memory.clips, numbers, made, frame.number)
        smoothed, answers = smooth(memory.smoothed, numbers, answers, frame.time, smoothing)
        memory, tracks = Memory(frame.source, followed, smoothed, clips), tuple(numbers)
    else:  # a picture's faces are each a clip of one frame
        _, answers = _answers(model, {}, range(len(made)), made, 0)
    faces = tuple(
        FacePrediction(
            place.box,
            place.left_eye,
            place.right_eye,
            place.score,
            {task.name: task.describe(said[task.name]) for task in model.tasks},
        )
        for place, said in zip(found.places, answers, strict=True)
    )
    return memory, ImagePrediction(frame.name, faces, found.error, frame.number, frame.time, tracks)


def _answers(
    model: EmotionModel, clips: InClips, tracks: Sequence[int], made: Sequence[Any], frame: int
) -> tuple[InClips, Sequence[Answers]]:
    return (clips, made) if model.in_time is None else model.in_time.step(clips, tracks, made, frame)
