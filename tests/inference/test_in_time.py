"""Networks that know time, and that hear, on videos: evaluation's answers, with holes, sounds, two faces, and stops."""

import csv
import dataclasses
import functools
import itertools
import json
import pathlib

import cv2
import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax import cli
from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.evaluation.evaluator import evaluate_model
from emotion_gcn_jax.inference import own_boxes, predict, sources, video
from emotion_gcn_jax.inference.in_time import InTime
from emotion_gcn_jax.inference.judging import Memory, Settings, judge_frames
from emotion_gcn_jax.inference.model import load
from emotion_gcn_jax.inference.results import Place
from emotion_gcn_jax.sound import mel, reading
from tests.sound import films
from tests.untrained import write_checkpoint

FRAMES, RATE, CLIP = 16, 10, 4
BOXES = {"left": (4.0, 10.0, 44.0, 52.0), "right": (52.0, 8.0, 92.0, 50.0)}
SEEN = {  # clips are 0-3, 4-7, 8-11 and 12-15; the right face is missing at a clip's beginning, and in a whole one
    "left": [n for n in range(FRAMES) if n not in (2, 3, 9)],
    "right": [n for n in range(FRAMES) if n not in (0, 4, 5, 6, 7, 8, 13)],
}
AV = {"recurrent": (6,), "hidden": (7,), "hearing": "vgg_tiny", "hearing_width": 5}
MODELS = {
    "mt_res_rnn": {"recurrent": (6, 5)},
    "mt_av_rnn": AV,
    "mt_av_rnn late": AV | {"recurrent": (6, 4), "fusion": "late", "hearing": "stack", "hearing_width": 0},
    "mt_audio_rnn": {"recurrent": (6,), "hearing": "vgg_tiny", "hearing_width": 5, "trunk": "none"},
}


@pytest.fixture(scope="module")
def workdir_of(tmp_path_factory):
    """By the preset's name the run of a small untrained model of clips of four frames."""

    @functools.cache
    def made(name, **parts):
        parts = {"trunk": "vgg_tiny", "clip_length": CLIP, **MODELS.get(name, {}), **parts}
        return write_checkpoint(tmp_path_factory.mktemp(name), name.partition(" ")[0], **parts)

    return made


@pytest.fixture(scope="module")
def model_of(workdir_of):
    return functools.cache(lambda name, **parts: load(workdir_of(name, **parts)))


@dataclasses.dataclass(frozen=True)
class Films:
    """The same pictures with a sound, with silence and without a track; and a table of the faces in each."""

    loud: str
    quiet: str
    mute: str
    boxes: str


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    colours = rng.integers(0, 256, (FRAMES, 8, 12, 3), np.uint8)
    pictures = [cv2.resize(colour, (96, 64), interpolation=cv2.INTER_NEAREST) for colour in colours]
    shown = {"frames": np.arange(FRAMES) / RATE, "pictures": pictures}
    sound = films.tone(1.6, 0.3, 1.1, hertz=np.linspace(200, 2000, 70_560))
    paths = {name: str(folder / f"{name}.mp4") for name in ("loud", "quiet", "mute")}
    for name, channels in (("loud", sound), ("quiet", np.zeros_like(sound)), ("mute", None)):
        films.write(paths[name], channels, **shown)
    with (folder / "boxes.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([("file", "frame", "x0", "y0", "x1", "y1")])
        csv.writer(lines).writerows(
            (path, number, *BOXES[face]) for path in paths.values() for face in BOXES for number in SEEN[face]
        )
    return Films(**paths, boxes=str(folder / "boxes.csv"))


def judged(model, file, boxes, *, every=1, batch=32, memory=None, first=0):
    frames = sources.frames(sources.open_sources([file]), every=every, skip={"source": 0, "frame": first})
    settings = Settings(boxes=own_boxes.read(boxes), batch=batch)
    return list(judge_frames(model, frames, settings, memory=memory, workers=1))


def said(results, track):
    """All numbers that are said of a track, by the frame."""
    return {
        result.frame.number: numbers(face.answers)
        for result in results
        for face, number in zip(result.prediction.faces, result.prediction.tracks, strict=True)
        if number == track
    }


def numbers(answers):
    """Whatever is a number in what tasks say."""
    found = []
    for value in answers.values():
        found += numbers(value) if isinstance(value, dict) else [value] * isinstance(value, float)
    return found


def evaluated(model, file, every=1):
    """Evaluation's answers to the same faces as examples of a dataset, by the face and the frame."""
    images = {number: read() for number, _, read in video.read(file, file)}
    rows = [(face, number) for face in BOXES for number in SEEN[face] if number % every == 0]
    track = reading.read(file)
    columns = {
        "id": [f"{face}/{number}".encode() for face, number in rows],
        "video": [face.encode() for face, _ in rows],
        "frame": [number + 1 for _, number in rows],  # datasets count from 1
        "sound": [b"it" if (track.log_mel_TxM > mel.SILENCE).any() else b""] * len(rows),
        "seconds": [track.seconds(number + 1) for _, number in rows],
    }
    split = Split(
        "film", None, "test", {}, {name: np.asarray(values) for name, values in columns.items()},
        read_image=lambda row: model.cut(images[rows[row][1]], Place(BOXES[rows[row][0]])),
        rows=np.arange(len(rows)), read_sound=lambda name: track.log_mel_TxM,
    )  # fmt: skip
    answers = evaluate_model(model, split).answers
    return {
        place: numbers({task.name: task.describe(answers[task.name][row]) for task in model.tasks})
        for row, place in enumerate(rows)
    }


def check(results, expected):
    for track, face in enumerate(BOXES, start=1):
        of_face = {number: values for (who, number), values in expected.items() if who == face}
        found = said(results, track)
        assert list(found) == list(of_face)
        np.testing.assert_allclose(list(found.values()), list(of_face.values()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_evaluation_with_holes_and_sound(model_of, film, name):
    model = model_of(name)
    results = judged(model, film.loud, film.boxes)
    check(results, evaluated(model, film.loud))
    assert [result.remark for result in results] == [None] * FRAMES


@pytest.mark.usefixtures("x64")
def test_a_network_in_float64_goes_on_in_time(workdir_of, film):
    model = load(workdir_of("mt_res_rnn", dtype="float64"))
    check(judged(model, film.mute, film.boxes), evaluated(model, film.mute))


def test_frames_that_are_not_read_are_holes(model_of, film):
    model = model_of("mt_res_rnn")
    check(judged(model, film.mute, film.boxes, every=3), evaluated(model, film.mute, every=3))


@pytest.mark.parametrize(
    ("name", "which", "said_of_it"),
    [
        ("mt_av_rnn", "mute", "has no sound track"),
        ("mt_av_rnn", "quiet", "is silent"),
        ("mt_av_rnn late", "mute", "has no sound track"),
    ],
)
def test_without_sound_it_is_masked_and_said_once(model_of, film, name, which, said_of_it):
    model, file = model_of(name), getattr(film, which)
    results = judged(model, file, film.boxes)
    (remark,) = (result.remark for result in results if result.remark)
    assert said_of_it in remark and remark.startswith(f"{file}: ") and remark.count(".") == file.count(".") + 1
    check(results, evaluated(model, file))
    heard = said(judged(model, film.loud, film.boxes), 1)
    differences = np.abs(np.subtract(list(heard.values()), list(said(results, 1).values()))).max(axis=1)
    assert differences.min() > 1e-4  # each patch of 0.96 s has some of the tone from 0.3 to 1.1 s


def test_what_is_heard_is_around_the_frames_time(model_of, film, monkeypatch):
    patches, vectors = [], InTime.vectors

    def listened(self, faces, sounds, batch):
        patches.extend(sounds)
        return vectors(self, faces, sounds, batch)

    monkeypatch.setattr(InTime, "vectors", listened)
    judged(model_of("mt_av_rnn"), film.loud, film.boxes)
    log_mel_TxM = reading.read(film.loud).log_mel_TxM
    for number, found in enumerate(patches):
        np.testing.assert_array_equal(found, mel.patch(log_mel_TxM, number / RATE))
    assert len(patches) == FRAMES


def test_two_tracks_do_not_mix(model_of, film, tmp_path):
    lines = pathlib.Path(film.boxes).read_text().splitlines(keepends=True)
    (tmp_path / "left.csv").write_text("".join(line for line in lines if "52.0,8.0" not in line))
    both, alone = (judged(model_of("mt_res_rnn"), film.mute, boxes) for boxes in (film.boxes, tmp_path / "left.csv"))
    assert said(alone, 2) == {} and said(both, 2)
    np.testing.assert_allclose(list(said(both, 1).values()), list(said(alone, 1).values()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "stop"), [("mt_av_rnn", 1), ("mt_av_rnn", 6), ("mt_av_rnn late", 11)])
def test_what_a_frame_hands_on_survives_json_bit_by_bit(model_of, film, name, stop):
    model = model_of(name)
    straight = judged(model, film.loud, film.boxes, batch=1)
    memory = Memory.from_dict(json.loads(json.dumps(straight[stop - 1].memory.to_dict())))
    rest = judged(model, film.loud, film.boxes, batch=1, memory=memory, first=stop)
    assert [result.prediction for result in rest] == [result.prediction for result in straight[stop:]]


def test_an_interrupted_table_goes_on_as_an_unbroken_one(workdir_of, film, tmp_path, monkeypatch, capsys):
    words = ["predict", film.loud, "--checkpoint", str(workdir_of("mt_av_rnn")), "--boxes", film.boxes]
    words += ["--batch", "1", "--output"]
    assert cli.main([*words, str(tmp_path / "straight.csv")]) == 0
    everything = predict.judge_frames

    def some(*arguments, **options):
        yield from itertools.islice(everything(*arguments, **options), 10)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predict, "judge_frames", some)
        assert cli.main([*words, str(tmp_path / "faces.csv")]) == 130
    assert cli.main([*words, str(tmp_path / "faces.csv")]) == 0
    assert (tmp_path / "faces.csv").read_bytes() == (tmp_path / "straight.csv").read_bytes()
    assert "sound" not in capsys.readouterr().err


def test_a_model_of_single_images_judges_every_frame_as_ever(model_of, film):
    model = model_of("multi_task", clip_length=1)
    images = {number: read() for number, _, read in video.read(film.mute, film.mute)}
    found = said(judged(model, film.mute, film.boxes, batch=1), 1)
    for number in SEEN["left"]:
        face = model.input.fit(model.cut(images[number], Place(BOXES["left"])))
        answers = model.answers(face[None])
        assert found[number] == numbers({task.name: task.describe(answers[task.name][0]) for task in model.tasks})


def test_pictures_are_clips_of_one_frame(model_of, film, tmp_path):
    model = model_of("mt_res_rnn")
    paths = []
    for number, _, read in itertools.islice(video.read(film.mute, film.mute), 3):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(read()).save(paths[-1])
    frames = sources.frames(sources.open_sources(paths))
    for result in judge_frames(model, frames, Settings(detect=False), workers=1):
        (face,) = model.predict_faces([result.frame.name])
        np.testing.assert_allclose(numbers(result.prediction.faces[0].answers), numbers(face.answers), atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("face.png", "picture"), ("camera:0", "camera"), ("-", "stream")])
def test_a_model_that_hears_takes_videos_alone(workdir_of, film, tmp_path, capsys, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    words = ["predict", film.loud, name, "--checkpoint", str(workdir_of("mt_av_rnn")), "--output", "faces.csv"]
    assert cli.main(words) == 2
    told = capsys.readouterr().err
    assert f"found {name}, taken for a {kind}: name videos alone" in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_model_that_looks_ahead_judges_pictures_and_names_evaluation_for_videos(workdir_of, film, tmp_path, capsys):
    words = ["predict", "--no-detect", "--checkpoint", str(workdir_of("mt_res_rnn", bidirectional=True))]
    Image.new("RGB", (40, 40)).save(tmp_path / "face.png")
    assert cli.main([*words, str(tmp_path / "face.png")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert cli.main([*words, film.mute]) == 2
    told = capsys.readouterr().err
    assert "by emotion-gcn evaluate" in told and told.count("\n") == 1
