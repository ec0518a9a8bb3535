"""Commands, flags and the page, given what is damaged: one sentence, and nothing that looks whole but is not."""

import contextlib
import io
import json
import pathlib
import shutil
import socket
import sys
import threading
import wave

import av
import hypothesis
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from absl import flags
from hypothesis import strategies as st
from ml_collections import config_flags

import emotion_gcn_jax as eg
import train
from configs import synthetic_faces
from emotion_gcn_jax import checkpoints, checksums
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.inference import predict
from emotion_gcn_jax.serving import server
from emotion_gcn_jax.torch_files import writing
from emotion_gcn_jax.training import optimizer, parts, run
from tests.conversion.conftest import tiny
from tests.fuzzing.damage import cases, changed, changes, damaged, steps
from tests.fuzzing.limits import answered, bounds, captured, command
from tests.labelled_folders import write_class_folders
from tests.stored_runs import run_of
from tests.untrained import write_checkpoint

pytestmark = pytest.mark.once

COLOURS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
PICTURE = pictures.encode_jpeg(COLOURS)
BOXES = b"file,x0,y0,x1,y1,left_eye_x,left_eye_y,right_eye_x,right_eye_y,score\n0.png,1,2,30,40,9,12,20,12,0.9\n"
NAMES = ["0.png", "1.png", "2.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working directory: pictures, a run, its model as one file, its report twice, and official weights."""
    root = tmp_path_factory.mktemp("commands")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in NAMES:
            (root / name).write_bytes(pictures.encode_png(COLOURS))
        write_class_folders(root / "set", ["Happy", "Sad"])
        shutil.copytree(run_of("format_2"), root / "stored")
        write_checkpoint(root / "run", "emotion_gcn")
        writing.save(root / "weights.pth", tiny("single_task"))
        assert command("pack", "--checkpoint", "run", "--output", "model.safetensors")[0] == 0
        assert command("evaluate", "--checkpoint", "run", "--images", "set", "--output", "report")[0] == 0
        shutil.copytree(root / "report", root / "other")
        yield root


@pytest.fixture(scope="module")
def model(folder):
    """The run's model, which every `predict` of these tests gets: it is loaded once."""
    loaded = eg.load(folder / "run")
    loaded.predict_faces([COLOURS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "load", lambda checkpoint, **_: loaded)
        yield loaded


def json_or_bytes(data, some_steps, some_changes, is_json):
    """A JSON file with another value in it, or with damaged bytes."""
    return json.dumps(changed(json.loads(data), some_changes)).encode() if is_json else damaged(data, some_steps)


@cases(40)
@hypothesis.given(some_steps=steps(), is_json=st.booleans(), some_changes=changes())
def test_reports(folder, some_steps, is_json, some_changes):
    whole = (folder / "other" / "metrics.json").read_bytes()
    (folder / "report" / "metrics.json").write_bytes(json_or_bytes(whole, some_steps, some_changes, is_json))
    command("summarise", "report", "other")


@cases(30)
@hypothesis.given(some_steps=steps(), is_json=st.booleans(), some_changes=changes(), are_rows_whole=st.booleans())
def test_the_notes_of_a_stopped_run(folder, model, some_steps, is_json, some_changes, are_rows_whole):
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(predict._Run, "finish", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        with captured():
            predict.run(None, NAMES, predict.Settings(detect=False), predict.Outputs("faces.csv"))
    notes, rows = folder / "faces.csv.unfinished", folder / "faces.csv"
    notes.write_bytes(json_or_bytes(notes.read_bytes(), some_steps, some_changes, is_json))
    rows.write_bytes(rows.read_bytes() if are_rows_whole else damaged(rows.read_bytes(), some_steps))
    status, _, _ = command("predict", "--no-detect", *NAMES, "--output", "faces.csv")
    assert status in (0, 2) and notes.exists() == (status == 2)
    for left in (notes, rows):
        left.unlink(missing_ok=True)


@cases(20)
@hypothesis.given(some_steps=steps())
def test_a_file_that_json_would_replace(folder, model, some_steps):
    before = damaged(b'[{"image": "a.png", "faces": []}]', some_steps)
    (folder / "faces.json").write_bytes(before)
    status, _, _ = command("predict", "--no-detect", "0.png", "--json", "faces.json")
    assert status in (0, 2) and (status == 0 or (folder / "faces.json").read_bytes() == before)
    assert status == 2 or json.loads((folder / "faces.json").read_bytes())[0]["image"] == "0.png"


@cases(20)
@hypothesis.given(some_steps=steps(), eyes=st.booleans())
def test_own_boxes(folder, model, some_steps, eyes):
    (folder / "boxes.csv").write_bytes(damaged(BOXES, some_steps))
    command("predict", *NAMES[:2], "--boxes", "boxes.csv", *(["--eyes"] if eyes else []))


@cases(20)
@hypothesis.given(some_steps=steps())
def test_a_damaged_picture_costs_no_other_its_answer(folder, model, some_steps):
    (folder / "damaged.jpg").write_bytes(damaged(PICTURE, some_steps))
    status, out, lines = command("predict", "--no-detect", "damaged.jpg", "0.png")
    assert status == len(lines) <= 1 and "0.png" in out


@cases(30)
@hypothesis.given(some_steps=steps(), kind=st.integers(0, 2), some_changes=changes())
def test_a_model_s_file(folder, some_steps, kind, some_changes):
    whole = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    said = json.loads(header["__metadata__"]["emotion_gcn_jax"])
    if kind == 0:
        data = damaged(whole, some_steps)
    else:
        if kind == 1:
            header = changed(header, some_changes)
        else:
            header["__metadata__"]["emotion_gcn_jax"] = json.dumps(changed(said, some_changes))
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + whole[8 + length :]
    (folder / "other.safetensors").write_bytes(data)
    loaded = answered(eg.load, folder / "other.safetensors")
    if loaded is not None:
        answered(loaded.predict_faces, [COLOURS])
    status, _, _ = command("convert", "--checkpoint", "other.safetensors", "--to-torch", "other.pth")
    assert (folder / "other.pth").exists() == (status == 0)
    for left in ("other.pth", "other_emb.pkl"):
        (folder / left).unlink(missing_ok=True)


@cases(20)
@hypothesis.given(some_steps=steps())
def test_official_weights(folder, some_steps):
    (folder / "damaged.pth").write_bytes(damaged((folder / "weights.pth").read_bytes(), some_steps))
    status, _, _ = command("convert", "--trunk", "densenet_tiny", "--weights", "damaged.pth", "--output", "new")
    assert (folder / "new").exists() == (status == 0)
    shutil.rmtree(folder / "new", ignore_errors=True)


@cases(30)
@hypothesis.given(
    name=st.sampled_from(["run", "stored"]),
    place=st.integers(0, 2**31),
    how=st.sampled_from(["damaged", "empty", "deleted", "a folder", "another file"]),
    some_steps=steps(),
    has_checksums=st.booleans(),
)
def test_checkpoint_folders(folder, name, place, how, some_steps, has_checksums):
    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / name, folder / "copy")
    files = [path for path in sorted((folder / "copy").rglob("*")) if path.is_file()]
    chosen = files[place % len(files)]
    before = chosen.read_bytes()
    chosen.unlink()
    if how == "a folder":
        chosen.mkdir()
    elif how != "deleted":
        other = files[place // 7 % len(files)]
        data = {"damaged": damaged(before, some_steps), "empty": b""}
        chosen.write_bytes(data[how] if how in data else other.read_bytes() if other != chosen else b"")
    if not has_checksums:
        for path in (folder / "copy").rglob(checksums.FILE):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with captured() as (_, err):
        loaded = answered(eg.load, folder / "copy")
        answered(checkpoints.last_folder, folder / "copy")
    assert err.getvalue() == ""
    assert loaded is None or loaded.label_names


VALUES = (
    *(
        "",
        "0",
        "-1",
        "1e400",
        "nan",
        "-inf",
        "9" * 20,
        "1" * 400,
        "x",
        "(1, 2)",
        "()",
        "[1]",
        "{}",
        "None",
        "True",
        "'a'",
    ),
    *("1.5", "a=b,c=d", "head=nan", "trunk/x=1e999", "a/b/c=", "=", "\x00", "(nan,)", "((((", "a\nb", "../x", "adamw"),
    *("('a',)", "Happy,Sad", "Happy,Happy", "__import__('os')", "1,2,3", "cosine", "affect/ccc_mean", "10000000"),
)


def fields(config, before=""):
    for name, value in config.items():
        yield f"{before}{name}"
        if isinstance(value, ml_collections.ConfigDict):
            yield from fields(value, f"{before}{name}.")


FIELDS = sorted(fields(synthetic_faces.get_config("densenet_tiny,emotion_gcn")))


@cases(80)
@hypothesis.given(
    argument=st.sampled_from(
        ["densenet_tiny,emotion_gcn"] * 6 + ["", "x", ",", "densenet_tiny", "resnet18,single_task,x"]
    ),
    overrides=st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(VALUES)), min_size=1, max_size=2),
    other=st.sampled_from([""] * 8 + ["--nothing", "--resume=maybe", "stray", "--config.x=1", f"--{'x' * 5000}=1"]),
)
def test_overrides_of_a_config(argument, overrides, other):
    """Everything that is checked before the data is opened, and what is made of the config without it."""
    words = [f"--config.{field}={value}" for field, value in overrides]
    words = [
        "train.py",
        f"--config=configs/synthetic_faces.py:{argument}",
        *words,
        "--workdir=x",
        *([other] if other else []),
    ]
    with pytest.MonkeyPatch.context() as patch, captured(), bounds():
        patch.chdir(pathlib.Path(train.__file__).parent)
        patch.setattr(sys, "argv", words)  # where ml_collections reads the overrides
        patch.setattr(flags, "FLAGS", flags.FlagValues())
        config_flags.DEFINE_config_file("config", None, "", flag_values=flags.FLAGS)
        flags.DEFINE_string("workdir", None, "", flag_values=flags.FLAGS)
        flags.DEFINE_bool("resume", False, "", flag_values=flags.FLAGS)
        patch.setattr(run, "open_data", lambda config, tasks: checked(config))
        try:
            train.parse_flags(words)
            run.prepare(flags.FLAGS.config)
        except UserError as error:
            assert len(str(error)) < 5000
        except OSError as error:
            assert error.filename  # for which the command has a sentence


def checked(config):
    schedule = optimizer.create_schedule(config.optimizer, 10, 10 * config.training.epochs)
    assert jnp.isfinite(schedule(3))
    optimizer.create_optimizer(config.optimizer, schedule, [])
    parts.read(config.optimizer.l2, "optimizer.l2")
    raise UserError("No data here.")


def video(container, codec):
    content = io.BytesIO()
    with av.open(content, "w", format=container) as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(np.roll(COLOURS, number, axis=1), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return content.getvalue()


def sound():
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    return content.getvalue()


@pytest.fixture(scope="module")
def films():
    """Small videos and a sound by their names."""
    made = {"v.mp4": ("mp4", "libx264"), "v.mkv": ("matroska", "libx264"), "v.avi": ("avi", "mpeg4")}
    return {name: video(*kind) for name, kind in made.items()} | {"s.mp4": sound(), "s.wav": sound()}


@cases(40)
@hypothesis.given(
    name=st.sampled_from(["v.mp4", "v.mkv", "v.avi", "s.mp4", "s.wav"]), some_steps=steps(), is_marked=st.booleans()
)
def test_videos_and_sounds(folder, model, films, name, some_steps, is_marked):
    (folder / name).write_bytes(damaged(films[name], some_steps))
    for left in folder.glob("film.csv*"):
        left.unlink()
    shutil.rmtree(folder / "marked", ignore_errors=True)
    options = ["--overlay", "marked"] if is_marked else ["--output", "film.csv"]
    status, _, lines = command("predict", "--no-detect", "--every", "3", name, *options)
    assert bool(lines) == (status != 0)
    assert not list(folder.glob("marked/.*"))  # unfinished ones


@pytest.fixture(scope="module")
def served(model):
    """A server that answers meanwhile; what goes wrong in its threads is kept."""
    opened = server.open_server(model, "a model", "127.0.0.1", 0, None)
    opened.wrong = []
    opened.handle_error = lambda *_: (
        None if isinstance(sys.exception(), ConnectionError | TimeoutError) else opened.wrong.append(sys.exception())
    )
    thread = threading.Thread(target=opened.serve_forever, daemon=True)
    thread.start()
    yield opened
    opened.shutdown()
    opened.server_close()


@cases(40)
@hypothesis.given(some_steps=steps(), is_body=st.booleans())
def test_uploads(served, some_steps, is_body):
    host = f"127.0.0.1:{served.door.port}".encode()
    body = damaged(PICTURE, some_steps) if is_body else PICTURE
    head = b"POST /faces HTTP/1.1\r\nHost: %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (host, len(body))
    with bounds(), captured(), socket.create_connection(("127.0.0.1", served.door.port), timeout=10) as visitor:
        with contextlib.suppress(OSError):  # the connection may end while the server is still talked to
            visitor.sendall((head if is_body else damaged(head, some_steps)) + body)
            visitor.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := visitor.recv(2**16):
                answer += part
    assert not served.wrong
    assert not is_body or answer.split()[1] in (b"200", b"422")
    if is_body:
        said = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert said.keys() in ({"error"}, {"width", "height", "faces"})
