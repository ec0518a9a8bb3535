"""`emotion-gcn predict` at work: a video of two moving faces, tables, the user's own boxes, runs that are stopped."""

import csv
import dataclasses
import json

import av
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from emotion_gcn_jax import cli
from emotion_gcn_jax.faces import detection
from emotion_gcn_jax.inference import predict, terminal, video
from emotion_gcn_jax.inference.model import load
from tests import moving_faces
from tests.photographs import ASTRONAUT

SECONDS, EVERY = 2.0, 3


def run(*arguments):
    return cli.main(["predict", *map(str, arguments)])


def table(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@dataclasses.dataclass(frozen=True)
class Judged:
    """A video, and what the shipped model says of it."""

    film: object
    frames: int  # that are judged
    csv: object
    film_marked: object


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    frames = moving_faces.write(folder / "film.mp4", seconds=SECONDS, poses=2)
    assert (
        run(folder / "film.mp4", "--output", folder / "faces.csv", "--overlay", folder / "marked", "--every", EVERY)
        == 0
    )
    assert sorted(path.name for path in folder.iterdir()) == ["faces.csv", "film.mp4", "marked"]
    return Judged(folder / "film.mp4", frames // EVERY, folder / "faces.csv", folder / "marked" / "film_faces.mp4")


def test_both_faces_are_found_and_followed(judged):
    assert moving_faces.judge_tracks(table(judged.csv), judged.frames) == {
        "found": 1.0, "tracks": 2, "switches": 0, "false": 0,
    }  # fmt: skip


def test_answers_are_those_to_the_single_frames(judged):
    model, rows = load(), table(judged.csv)
    for number, _, read in list(video.read("film", str(judged.film)))[:: 5 * EVERY]:
        faces = model.predict(read())
        of_frame = [row for row in rows if row["frame"] == str(number)]
        for face, row in zip(faces, of_frame, strict=True):
            assert float(row["time"]) == pytest.approx(number / moving_faces.RATE, abs=1e-4)
            places = [float(row[name]) for name in ("x0", "y0", "x1", "y1", "left_eye_x", "left_eye_y", "score")]
            np.testing.assert_allclose(places, [*face.box, *face.left_eye, face.score], atol=1e-3)
            assert row["expression"] == face.expression
            said = [float(row[f"p_{word}"]) for word in model.label_names]
            # OpenCV 4 cuts at steps of 1/32 pixel: a box that differs in its last bit may be cut one step beside.
            np.testing.assert_allclose(said, list(face.probabilities.values()), atol=1e-3)


def test_the_annotated_video_has_every_frame_at_its_time_with_both_faces_marked(judged):
    with av.open(str(judged.film_marked)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(
        EVERY * np.arange(judged.frames) / moving_faces.RATE, abs=1e-3
    )
    last = frames[-1].to_ndarray(format="rgb24").astype(int)
    assert last.shape == (720, 960, 3)
    yellow = (last[..., 0] > 190) & (last[..., 1] > 150) & (last[..., 2] < 140)
    for row in table(judged.csv)[-2:]:
        x0, y0, x1, y1 = (round(float(row[edge]) * 1.5) for edge in ("x0", "y0", "x1", "y1"))
        assert yellow[y0 - 15 : y1 + 15, x0 - 15 : x1 + 15].sum() > 200


def test_ones_own_boxes_give_the_same_answers_in_every_form_of_table(judged, tmp_path, monkeypatch):
    monkeypatch.setattr(detection, "detect", None)  # it is not asked
    rows = [row for row in table(judged.csv) if int(row["frame"]) % 15 == 0]
    for suffix in ("csv", "jsonl", "parquet"):
        assert run(judged.film, "--boxes", judged.csv, "--every", "15", "--output", tmp_path / f"again.{suffix}") == 0
    again = {
        "csv": table(tmp_path / "again.csv"),
        "jsonl": [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()],
        "parquet": pyarrow.parquet.read_table(tmp_path / "again.parquet").to_pylist(),
    }
    for found in again.values():
        assert [list(row) for row in found] == [list(row) for row in rows]
        for row, before in zip(found, rows, strict=True):
            assert (row["expression"], str(row["track"])) == (before["expression"], before["track"])
            assert float(row["p_Happy"]) == pytest.approx(float(before["p_Happy"]), abs=1e-5)


def stopped_after(monkeypatch, count, where):
    """The next run is interrupted after so many frames: before the next one, or while it is written."""
    everything, show, shown = predict.judge_frames, terminal.Bar.show, iter(range(count + 1))

    def some(*arguments, **options):
        for number, judged in enumerate(everything(*arguments, **options)):
            if number == count and where == "before":
                raise KeyboardInterrupt
            yield judged

    def shown_in_part(*arguments):
        if next(shown) == count and where == "within":
            raise KeyboardInterrupt
        show(*arguments)

    monkeypatch.setattr(predict, "judge_frames", some)
    monkeypatch.setattr(terminal.Bar, "show", shown_in_part)


@pytest.mark.parametrize(("count", "where"), [(0, "before"), (13, "before"), (13, "within")])
def test_a_stopped_run_goes_on_with_its_tracks_and_their_means(
    workdir, judged, tmp_path, monkeypatch, capsys, count, where
):
    options = ("--boxes", judged.csv, "--smooth", "0.3", "--every", EVERY)
    words = ("--checkpoint", workdir, judged.film, ASTRONAUT, *options)
    assert run(*words, "--output", tmp_path / "straight.csv") == 1  # there is no box of the astronaut
    output = ("--output", tmp_path / "faces.csv")
    with monkeypatch.context() as patch:
        stopped_after(patch, count, where)
        assert run(*words, *output, "--overlay", tmp_path / "marked") == 130
    assert f"Judged so far: {count} pictures. Give the same command" in capsys.readouterr().err
    written = (tmp_path / "faces.csv").read_bytes()
    assert run(*words[:-1], EVERY + 1, *output) == 2
    assert "--every 3, now 4" in capsys.readouterr().err and (tmp_path / "faces.csv").read_bytes() == written
    assert run(*words, *output, "--overlay", tmp_path / "marked") == 1
    counts = f"{2 * judged.frames} faces in {judged.frames + 1} pictures of 2 inputs, 1 without an answer"
    assert f"  -> {tmp_path / 'faces.csv'}: {counts}" in capsys.readouterr().out.splitlines()
    assert (tmp_path / "faces.csv").read_bytes().startswith(written) and len(written.splitlines()) == 1 + 2 * count
    for row, straight in zip(table(tmp_path / "faces.csv"), table(tmp_path / "straight.csv"), strict=True):
        assert [row[name] for name in ("frame", "track", "face")] == [straight[n] for n in ("frame", "track", "face")]
        assert float(row["p_Happy"]) == pytest.approx(float(straight["p_Happy"]), abs=2e-6)
    pieces = ["film_faces.mp4"] + ([f"film_faces_from_{count * EVERY}.mp4"] if count else [])
    assert sorted(path.name for path in (tmp_path / "marked").iterdir()) == pieces


def test_smoothed_answers_are_the_exponential_mean_of_the_plain_ones(judged, tmp_path):
    run(judged.film, "--boxes", judged.csv, "--every", EVERY, "--smooth", "0.5", "--output", tmp_path / "calm.csv")
    calm, kept = table(tmp_path / "calm.csv"), np.exp(-EVERY / moving_faces.RATE / 0.5)
    for track in ("1", "2"):
        plain, means = (
            [float(row["p_Happy"]) for row in rows if row["track"] == track] for rows in (table(judged.csv), calm)
        )
        expected = plain[:1]
        for happy in plain[1:]:
            expected.append(kept * expected[-1] + (1 - kept) * happy)
        np.testing.assert_allclose(means, expected, atol=1e-4)


def test_printed_lines_say_when_and_who(workdir, judged, capsys):
    assert run("--checkpoint", workdir, judged.film, "--boxes", judged.csv, "--every", "15", "--batch", "3") == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:5] == ["file", "time", "track", "face", "expression"]
    assert [line.split()[1:4] for line in lines[:4]] == [
        ["0.00", "1", "1"], ["0.00", "2", "2"], ["0.50", "1", "1"], ["0.50", "2", "2"],
    ]  # fmt: skip


def small_group(astronaut):
    """The astronaut's face with 11 pixels, in a picture of 1280: too small for one look."""
    small = Image.fromarray(astronaut).resize((64, 64), Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (1280, 720), (90, 100, 110))
    picture.paste(small, (800, 300))
    return picture


def test_small_faces_are_told_of_and_found_in_tiles(workdir, astronaut, tmp_path, capsys):
    small_group(astronaut).save(tmp_path / "small.png")
    assert run("--checkpoint", workdir, tmp_path / "small.png") == 1
    assert "below about 16 pixels" in (said := capsys.readouterr().err) and "--tiles 2" in said
    assert run("--checkpoint", workdir, tmp_path / "small.png", "--tiles", "3", "--output", tmp_path / "t.csv") == 0
    (row,) = table(tmp_path / "t.csv")
    x0, y0, x1, y1 = (float(row[edge]) for edge in ("x0", "y0", "x1", "y1"))
    assert 800 < x0 < x1 < 864 and 300 < y0 < y1 < 364


def test_the_largest_the_surest_and_eyes_for_ones_own_boxes(workdir, astronaut, tmp_path):
    picture = np.zeros((512, 900, 3), np.uint8)
    picture[:, :512] = astronaut
    picture[:256, 600:856] = np.asarray(Image.fromarray(astronaut).resize((256, 256)))
    Image.fromarray(picture).save(tmp_path / "two.png")
    words = ("--checkpoint", workdir, tmp_path / "two.png", "--output")
    for name, options in {
        "all": (), "large": ("--largest", "1"), "sure": ("--min-score", "1"),
        "boxes": ("--boxes", tmp_path / "own.csv"),
        "eyes": ("--boxes", tmp_path / "own.csv", "--eyes"),
    }.items():  # fmt: skip
        status = run(*words, tmp_path / f"{name}.csv", *options)
        assert status == (1 if name == "sure" else 0)
        if name == "all":
            large, small = table(tmp_path / "all.csv")
            edges = ["file", "x0", "y0", "x1", "y1"]
            lines = [",".join(row[edge] for edge in edges) for row in (large, small)]
            (tmp_path / "own.csv").write_text("\n".join([",".join(edges), *lines]))
    assert table(tmp_path / "large.csv") == [large | {"face": "1"}] and table(tmp_path / "sure.csv") == []
    eyes = [name for name in large if "eye" in name]
    for row, found in zip(table(tmp_path / "eyes.csv"), (large, small), strict=True):
        np.testing.assert_allclose([float(row[e]) for e in eyes], [float(found[e]) for e in eyes], atol=4)
    assert all(row[eye] == "" for row in table(tmp_path / "boxes.csv") for eye in [*eyes, "score"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,x0,y0,x1\n", "y1 not found"),
        ("file,x0,y0,x1,y1\na.png,1,2,3\n", "line 2"),
        ("file,x0,y0,x1,y1\na.png,9,2,3,4\n", "x1 must be larger"),
        ("file,x0,y0,x1,y1\na.png,nan,2,3,4\n", "no place"),
    ],
)
def test_boxes_that_are_none_are_told_before_any_work(tmp_path, capsys, text, said):
    (tmp_path / "own.csv").write_text(text)
    assert run(ASTRONAUT, "--boxes", tmp_path / "own.csv", "--output", tmp_path / "faces.csv") == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1 and not (tmp_path / "faces.csv").exists()


def test_a_video_without_a_face_is_told_once(workdir, tmp_path, capsys):
    writer = video.Writer(tmp_path / "wall.mp4")
    for number in range(3):
        writer.write(np.full((48, 64, 3), 90, np.uint8), number / 10)
    writer.close()
    assert run("--checkpoint", workdir, tmp_path / "wall.mp4") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert run("--checkpoint", workdir, tmp_path / "wall.mp4", "--json", tmp_path / "faces.json") == 2
    assert "--json holds pictures only" in capsys.readouterr().err
