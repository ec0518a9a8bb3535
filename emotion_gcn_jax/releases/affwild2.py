"""Aff-Wild2's frames and their annotations, joined: which frames are examples of which task.

They are joined video by video, by the frame's number, in one pass over each. A video here is a person of a video:
`12-24-1920x1080_left` and `..._right` are two.
"""

import collections
import functools
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from typing import Literal, NamedTuple, get_args

import numpy as np

from emotion_gcn_jax.errors import counted
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.labels import EXPRESSIONS, NO_CLASS
from emotion_gcn_jax.releases import affwild2_annotations as annotations
from emotion_gcn_jax.releases import affwild2_counts
from emotion_gcn_jax.releases.affwild2_annotations import Table
from emotion_gcn_jax.releases.affwild2_layout import IMAGE_ROOT, NEEDED_SETS, SPLITS, Images, Release, Task, list_frames
from emotion_gcn_jax.releases.building import Entry, Example, ReleaseSplit, Skip
from emotion_gcn_jax.releases.images import read_image
from emotion_gcn_jax.releases.recordings import Recordings, recording_of

_AFFECT = ("valence", "arousal")
COLUMNS: Mapping[Task, tuple[str, ...]] = {
    "expr_va": ("expression", *_AFFECT),
    "expr": ("expression",),
    "va": _AFFECT,
    "au": ("action_units",),
    "mtl": ("expression", *_AFFECT, "action_units"),
    "frames": ("expression", *_AFFECT, "action_units"),
}
"""The label columns of a task's examples."""

LABEL_NAMES: Mapping[Task, tuple[str, ...]] = {
    "expr_va": EXPRESSIONS,
    "expr": annotations.LABEL_NAMES,
    "va": (),
    "au": (),
    "mtl": annotations.LABEL_NAMES,
    "frames": annotations.LABEL_NAMES,
}
"""The words of a task's expression ids."""

SplitBy = Literal["recording", "task"]
SPLIT_BY: tuple[SplitBy, ...] = get_args(SplitBy)
"""How frames are divided: recording keeps each on one side, task has every set's own split."""

_READERS: Mapping[str, Callable[[pathlib.Path], Table]] = {
    "expr": annotations.read_expressions,
    "va": annotations.read_affect,
    "au": annotations.read_action_units,
}


class Frame(NamedTuple):
    """An annotated frame that has an image, one row of a video's table."""

    image: pathlib.Path
    video: str
    table: Table
    row: int
    video_frames: int


def read_split(
    release: Release,
    task: Task,
    split: str,
    *,
    merge_va: bool = False,
    split_by: SplitBy = "recording",
    recordings: Recordings | None = None,
) -> ReleaseSplit:
    """Joins a split's annotations with the frames.

    Which frames are examples: for expr_va those with both labels, where Other is none (the paper's frames); for expr
    with an expression, Other included; for va with valence and arousal; for au with an action unit; for mtl and frames
    with any of these, frames having those of the three sets together. Where row n of a file is frame n, a video with a
    frame 0 gives no examples: its rows would be one frame off.

    Args:
        release: what `find` found for this task.
        task: one of TASKS.
        split: one of SPLITS; for expr_va that of the expressions.
        merge_va: for expr_va, look valence and arousal up in the sets of both splits, as the official implementation
            does: frames of the valence/arousal validation set are then trained on.
        split_by: for frames, since the three sets divide the videos differently. "recording" trains on no recording
            that is in any validation set; "task" does, by those labels that are in a training set.
        recordings: whose sounds are stored now, and named in the examples; None leaves them out.

    Raises:
        UserError: if an annotation file cannot be read or is of an unknown kind, or as `Recordings.hear`.
    """
    kinds = collections.Counter[str]()
    videos = []
    shared = _recordings(release, "train") & _recordings(release, "validation") if task == "frames" else set()
    kept_out = shared if split == "train" and split_by == "recording" else set()
    for name, table in _tables(release, task, split, merge_va=merge_va):
        if recording_of(name) in kept_out:
            kinds["of a recording that is in a validation set"] += int(_choose(table, task, kinds).sum())
            continue
        images = list_frames(release.images.get(name, ()))
        chosen_N = _choose(table, task, kinds) | table.malformed_N
        # A frame past the last row; the multi-task set has but some of the frames.
        beyond = [] if task == "mtl" else [number for number in images.numbers.tolist() if number > len(table)]
        shifted = task != "mtl" and 0 in images.numbers
        last = max([0, *table.frames_N.tolist(), *images.numbers.tolist()])
        videos.append(_Video(name, table.rows(chosen_N), images, tuple(beyond), len(table), shifted, last))
    heard = recordings.hear(video.name for video in videos if len(video.table)) if recordings else ()
    return ReleaseSplit(
        entries=_entries(release, videos),
        total=sum(len(video.table) + len(video.beyond) + len(video.images.strays) for video in videos),
        make=functools.partial(_make, columns=COLUMNS[task], recordings=recordings),
        not_examples=dict(kinds),
        warnings=(*_unlikely(release, task, split, videos), *_overlap(shared - kept_out, split, videos), *heard),
    )


class _Video(NamedTuple):
    """What is known of a video.

    Attributes:
        name: its name.
        table: the rows that should be examples or are malformed.
        images: its frames.
        beyond: the numbers of the frames that have no row at all.
        length: how many rows its list has.
        shifted: whether its frames are numbered from 0, so that the rows are one frame off.
        last: the number of its last frame that has a row or an image.
    """

    name: str
    table: Table
    images: Images
    beyond: tuple[int, ...]
    length: int
    shifted: bool
    last: int


def _tables(release: Release, task: Task, split: str, *, merge_va: bool) -> Iterator[tuple[str, Table]]:
    """Yields every video's name and its labels of this task, in the order of the names."""
    if task == "mtl":
        yield from annotations.read_multi_task(release.sets["mtl", split]).items()
        return
    if task == "frames":
        yield from _joined_tables(release, split)
        return
    kind = NEEDED_SETS[task][0]
    affect_files: dict[str, pathlib.Path] = {}
    if task == "expr_va":
        splits = [split, *(other for other in SPLITS if merge_va and other != split)]
        for name in reversed(splits):  # the split's own come last and win
            affect_files |= _annotation_files(release.sets["va", name])
    for video, file in _annotation_files(release.sets[kind, split]).items():
        table = _READERS[kind](file)
        if affect_file := affect_files.get(video):
            table = table.with_labels_of(annotations.read_affect(affect_file))
        yield video, table


def _joined_tables(release: Release, split: str) -> Iterator[tuple[str, Table]]:
    """Yields every video that any of the three sets has in this split: the rows of the longest file, and all labels."""
    files = {kind: _annotation_files(release.sets[kind, split]) for kind in NEEDED_SETS["frames"]}
    for video in sorted(set[str]().union(*files.values())):
        tables = [_READERS[kind](found[video]) for kind, found in files.items() if video in found]
        yield video, functools.reduce(Table.with_labels_of, sorted(tables, key=len, reverse=True))


def _recordings(release: Release, split: str) -> set[str]:
    """The recordings that any of the three sets has in a split."""
    folders = [release.sets[kind, split] for kind in NEEDED_SETS["frames"]]
    return {recording_of(video) for folder in folders for video in _annotation_files(folder)}


def _annotation_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    return {file.stem: file for file in sorted(folder.glob("*.txt")) if not file.name.startswith(".")}


def _choose(table: Table, task: Task, kinds: collections.Counter[str]) -> np.ndarray:
    """Returns which rows are examples of the task, bool N, and counts the others by what they are."""
    expressive_N = table.expression_N != NO_CLASS
    affective_N = ~np.isnan(table.affect_Nx2[:, 0])
    active_N = (table.action_units_NxA != annotations.NO_ACTION_UNIT).any(axis=1)
    sound_N = ~table.malformed_N
    if task == "expr_va":
        other_N = table.expression_N >= len(EXPRESSIONS)
        kinds["of the class Other"] += int((other_N & sound_N).sum())
        kinds["without valence and arousal"] += int((expressive_N & ~other_N & ~affective_N & sound_N).sum())
        chosen_N = expressive_N & ~other_N & affective_N & sound_N
        unlabelled_N = ~expressive_N & sound_N
    else:
        labelled_N = {
            "expr": expressive_N,
            "va": affective_N,
            "au": active_N,
            "mtl": expressive_N | affective_N | active_N,
            "frames": expressive_N | affective_N | active_N,
        }[task]
        chosen_N, unlabelled_N = labelled_N & sound_N, ~labelled_N & sound_N
    kinds["not annotated"] += int(unlabelled_N.sum())
    return chosen_N


def _entries(release: Release, videos: list[_Video]) -> Iterator[Entry]:
    for video in videos:
        where = _relative(video.table.file, release.root)
        present = set(video.images.numbers.tolist())
        seen: dict[int, int] = {}
        for row, (number, line) in enumerate(
            zip(video.table.frames_N.tolist(), video.table.lines_N.tolist(), strict=True)
        ):
            content: Frame | Skip
            try:
                content = _frame(video, row, number, line, present, seen)
                seen[number] = line
            except Skip as skip:
                content = skip
            yield Entry(f"{video.name}/{number:05d}", f"{where} line {line}", content)
        for number in video.beyond:
            path = _relative(video.images.path(number), release.root)
            found = f"the list has {counted(video.length, 'row')}"
            yield Entry(f"{video.name}/{number:05d}", path, Skip("no annotation row", found, lost=False))
        for stray in video.images.strays:
            name = f"{video.name}/{stray.name}"
            yield Entry(name, _relative(stray, release.root), Skip("not a frame", f"named {stray.name}", lost=False))


def _frame(video: _Video, row: int, number: int, line: int, present: Set[int], seen: Mapping[int, int]) -> Frame:
    """The frame of a row; raises Skip where it cannot be an example, as one whose number is `seen` in a line above."""
    if line in video.table.malformed:
        raise Skip("row malformed", video.table.malformed[line])
    if number in seen:
        raise Skip("row repeated", f"frame {number} again, which line {seen[number]} has", lost=False)
    if video.images.folder is None:
        raise Skip("video folder missing", f"no {video.name} in any {IMAGE_ROOT}*")
    if video.shifted:
        raise Skip(
            "frames numbered from 0",
            f"found {video.images.path(0).name}: row 1 is frame 1 in every edition, so number the frames from 1",
        )
    if number not in present:
        raise Skip("image missing", f"no frame {number} in {video.images.folder}")
    return Frame(video.images.path(number), video.name, video.table, row, video.last)


def _make(frame: Frame, columns: Collection[str], recordings: Recordings | None) -> Example:
    """The features of a frame; its image is decoded and encoded again, so that all are plain 8-bit RGB."""
    table, row = frame.table, frame.row
    valence, arousal = table.affect_Nx2[row]
    labels = {
        "expression": int(table.expression_N[row]),
        "valence": valence,
        "arousal": arousal,
        "action_units": table.action_units_NxA[row],
    }
    return {
        "image": pictures.encode_jpeg(read_image(frame.image)),
        "video": frame.video,
        "frame": int(table.frames_N[row]),
        "recording": recording_of(frame.video),
        "video_frames": frame.video_frames,
        **(recordings.columns(frame.video, int(table.frames_N[row])) if recordings else {}),
        **{name: labels[name] for name in columns},
    }


def _overlap(shared: Set[str], split: str, videos: list[_Video]) -> tuple[str, ...]:
    """Says how much of a split is of recordings that the other split has, too."""
    frames = sum(len(video.table) for video in videos if recording_of(video.name) in shared)
    if split == "validation" or not frames:
        return ()
    found = f"{len(shared)} recordings with {frames:,} annotated frames here are in a validation set, too"
    return (f"Warning: the sets' own splits overlap: {found}; scores on them say little about other people.",)


def _unlikely(release: Release, task: Task, split: str, videos: list[_Video]) -> tuple[str, ...]:
    """Compares the numbers of annotated frames that have an image with those of the known editions."""
    counts = collections.Counter[str]()
    for video in videos:
        table = video.table
        present_N = np.isin(table.frames_N, video.images.numbers) & ~table.malformed_N
        class_N = table.expression_N[present_N]
        counts["frames"] += int(present_N.sum())
        of_class = np.bincount(class_N[class_N >= 0], minlength=len(annotations.LABEL_NAMES))
        counts.update(dict(zip(annotations.LABEL_NAMES, of_class.tolist(), strict=True)))
    return affwild2_counts.unlikely(task, split, release.sets[NEEDED_SETS[task][0], split], counts)


def _relative(path: pathlib.Path, root: pathlib.Path) -> str:
    return path.relative_to(root).as_posix()
