import concurrent.futures
import functools
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax import cli
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.serving import server
from emotion_gcn_jax.serving.page_files import page_files
from tests.faces.files import tiff
from tests.photographs import ASTRONAUT
from tests.serving.conftest import ask


def test_a_photograph_is_answered_as_predict_does(served, model):
    status, _, answer = ask(served, "POST", "/faces", ASTRONAUT.read_bytes())
    assert status == 200 and (answer["width"], answer["height"]) == (512, 512)
    (face,), (expected,) = answer["faces"], model.predict(ASTRONAUT)
    assert face["box"] == pytest.approx(expected.box) and face["score"] == pytest.approx(expected.score)
    assert face["answers"]["expression"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert face["answers"]["affect"] == pytest.approx(
        {"Valence": expected.valence, "Arousal": expected.arousal}, abs=1e-6
    )


def faces_at(served, path, picture):
    return ask(served, "POST", path, picture)[2]["faces"]


def test_a_frame_is_searched_at_half_the_resolution(served):
    small = Image.new("RGB", (640, 480), (120, 120, 120))
    small.paste(Image.open(ASTRONAUT).resize((50, 50)), (300, 200))  # a face of about 11 pixels: 5 of the halved frame
    small = pictures.encode_png(np.asarray(small))
    assert len(faces_at(served, "/faces", small)) == 1 and not faces_at(served, "/frames", small)
    (face,), (frame,) = (faces_at(served, path, ASTRONAUT.read_bytes()) for path in ("/faces", "/frames"))
    assert frame["box"] == pytest.approx(face["box"], abs=4)  # of 110 pixels: the second look is at the same window


@pytest.mark.skipif(not shutil.which("curl"), reason="There is no curl.")
@pytest.mark.parametrize("path", ["faces", "frames"])
def test_scripts_post_as_docs_serve_md_says(served, path):
    command = ["curl", "--silent", "--data-binary", f"@{ASTRONAUT}", f"http://127.0.0.1:{served.door.port}/{path}"]
    assert len(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["faces"]) == 1


def test_a_picture_without_faces_has_none(served):
    answer = ask(served, "POST", "/faces", pictures.encode_png(np.full((90, 70, 3), 120, np.uint8)))[2]
    assert answer == {"width": 70, "height": 90, "faces": []}


@pytest.mark.parametrize("name", sorted(page_files("server")))
def test_the_page_is_whole(served, name):
    """Every file that a file of the page names is served, and nothing of it is anywhere else."""
    text = ask(served, path=f"/{name}")[2].decode()
    named = re.findall(r'(?:from|src=|href=) ?"(?:\./)?([\w.]+\.\w+)"', text)
    assert all(ask(served, path=f"/{other}")[0] == 200 for other in named), named
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_headers_keep_other_sites_out(served):
    headers = ask(served)[1]
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/..%2f..%2fetc/passwd", "//etc/passwd", "/page/../server.py", "/nothing", "/%00"]
)
def test_no_address_reaches_another_file(served, path):
    assert ask(served, path=path)[0] == 404


def bomb(side):
    """A PNG of some kilobytes that says it has side x side pixels, all black."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    data = file.getvalue()
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    start = data.index(b"IHDR") - 4
    return data[: start + 4] + header + zlib.crc32(header).to_bytes(4, "big") + data[start + 25 :]


def with_wrong_checksum(png):
    """A PNG whose header's checksum was not written."""
    return png[:29] + bytes(4) + png[33:]


SIZE = ((256, 9000), (257, 9000))  # a TIFF's width and height
DEEP_TYPES = ("float32", "float64", "uint16", "int8")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "found an empty one"),
        (b"<script>alert(1)</script>", "in no image format known here"),
        (ASTRONAUT.read_bytes()[:5000], "cannot be decoded"),
        (bomb(9000), "(50 million pixels), found 9000 x 9000"),
        (bomb(2**30), "(50 million pixels), found"),
        (with_wrong_checksum(bomb(9000)), "(50 million pixels), found 9000 x 9000"),
        *((tiff(np.zeros((1, 1, 3), dtype), *SIZE), "(50 million pixels), found 9000 x 9000") for dtype in DEEP_TYPES),
        (tiff(np.zeros((1, 1, 3), "float32"), (322, 9008), (323, 9008)), "found 9008 x 9008"),
        (b"Pf 9000 9000 -1.0 ", "(50 million pixels), found 9000 x 9000"),
        (b"PF 9000 9000 -1.0 ", "(50 million pixels), found 9000 x 9000"),
    ],
    ids=[
        "empty",
        "a script",
        "cut short",
        "81 million pixels",
        "10^18 pixels",
        "81 million pixels in a PNG that Pillow does not open",
        *(f"81 million pixels in a TIFF of {dtype} that Pillow does not open" for dtype in DEEP_TYPES),
        "a tile of 81 million pixels",
        "81 million pixels of floats in grey",
        "81 million pixels of floats in colour",
    ],
)
def test_hostile_files_are_answered_with_a_sentence(served, data, sentence):
    status, _, answer = ask(served, "POST", "/faces", data)
    assert status == 422 and sentence in answer["error"] and answer["error"].endswith(".")


def test_a_file_that_is_too_large_is_not_read(served):
    status, _, answer = ask(served, "POST", "/faces", None, Content_Length=str(server.MOST_BYTES + 1))
    assert status == 413 and "32 MB" in answer["error"]


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("POST /faces HTTP/1.1\r\nHost: {host}\r\nOrigin: http://[\r\nContent-Length: 0\r\n", 403),
        ("POST /faces HTTP/1.1\r\nHost: {host}\r\nContent-Length: " + "9" * 5000 + "\r\n", 413),
        ("GET http://[ HTTP/1.1\r\nHost: {host}\r\n", 400),
        ("PUT /faces HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n", 501),
    ],
    ids=["origin", "length", "address", "method"],
)
def test_requests_that_are_none_are_answered_with_a_sentence(served, request_text, status, capfd):
    host, port = served.server_address[:2]
    with socket.create_connection((host, port)) as connection:
        connection.sendall((request_text.format(host=f"{host}:{port}") + "\r\n").encode())
        connection.settimeout(10)
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert f" {status} " in answer.splitlines()[0]
    assert json.loads(answer.partition("\r\n\r\n")[2])["error"].endswith(".")
    assert "Traceback" not in capfd.readouterr().err


def test_a_form_is_told_to_post_the_file_itself(served):
    status, _, answer = ask(served, "POST", "/faces", b"--x\r\n", Content_Type="multipart/form-data; boundary=x")
    assert status == 415 and "--data-binary @photo.jpg" in answer["error"]


def test_a_post_without_a_length_is_refused(served):
    assert ask(served, "POST", "/faces", Transfer_Encoding="chunked")[0] == 411


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Host": "evil.example:{port}"}, 421),
        ("GET", {"Host": "127.0.0.1"}, 421),
        ("GET", {"Host": "LOCALHOST:{port}"}, 200),
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:1"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 422),  # of an empty file
        ("GET", {"Origin": "http://evil.example"}, 403),
    ],
)
def test_other_sites_cannot_call_it(served, method, headers, status):
    headers = {name: value.format(port=served.door.port) for name, value in headers.items()}
    assert ask(served, method, "/faces" if method == "POST" else "/", b"", **headers)[0] == status


@pytest.fixture(scope="module")
def guarded(running):
    """A server of files that is bound to every address."""
    return running(server.listen("0.0.0.0", 0, page_files("server")))


def test_bound_elsewhere_it_needs_its_token(guarded):
    token = guarded.door.token
    assert len(token) >= 20 and guarded.address.endswith(f"?token={token}")
    assert ask(guarded)[0] == 401 and ask(guarded, path="/?token=wrong")[0] == 401
    assert ask(guarded, Authorization=f"Bearer {token}")[0] == 200


def test_the_token_becomes_a_cookie(guarded):
    status, headers, _ = ask(guarded, path=f"/?token={guarded.door.token}")
    assert status == 303 and headers["Location"] == "/"
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert ask(guarded, Cookie=cookie.partition(";")[0], Host="a-name.example")[0] == 200


def test_beyond_its_places_it_refuses_with_a_sentence(model, running, monkeypatch):
    monkeypatch.setattr(server, "MOST_WAITING", 1)
    one_place = running(server.open_server(model, "a model", "127.0.0.1", 0, None))
    with socket.create_connection(("127.0.0.1", one_place.door.port)) as slow:
        head = f"POST /faces HTTP/1.1\r\nHost: 127.0.0.1:{one_place.door.port}\r\nContent-Length: 10\r\n\r\n12345"
        slow.sendall(head.encode())
        deadline = 100
        while (answer := ask(one_place, "POST", "/faces", b"x"))[0] != 503 and deadline:
            deadline -= 1
        status, headers, body = answer
        assert status == 503 and headers["Retry-After"] == "1" and "try again" in body["error"]


def test_many_at_once_are_all_answered(served):
    blank = pictures.encode_png(np.zeros((32, 640, 3), np.uint8))  # the detector takes it as it is
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        statuses = list(pool.map(lambda _: ask(served, "POST", "/faces", blank)[0], range(200)))
    assert statuses == [200] * 200


def test_a_taken_port_is_one_sentence(served):
    with pytest.raises(UserError, match="another --port"):
        server.listen("127.0.0.1", served.door.port, {})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("serve --static nowhere", "A page's folder was expected"),
        ("serve --static nowhere --checkpoint x", "leave --checkpoint out"),
        ("serve --port 99999 --static {page}", "cannot listen"),
        ("export --format web --output page", "npm pack onnxruntime-web@"),
        ("export --format web --output page --onnxruntime-web nowhere", "npm pack onnxruntime-web@"),
        ("export --format web --output {page}", "name another"),
        ("export --format onnx --output x.onnx --onnxruntime-web y", "--format web alone"),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_page").mkdir()
    (tmp_path / "a_page" / "about.json").write_text("{}")
    assert cli.main(words.format(page="a_page").split()) == 2
    assert sentence in capsys.readouterr().err


def test_an_interrupt_ends_it_cleanly(tmp_path):
    (tmp_path / "about.json").write_text("{}")
    command = [sys.executable, "-m", "emotion_gcn_jax.cli", "serve", "--port=0", f"--static={tmp_path}"]
    # What runs the tests in the background may have made them deaf to interrupts, and so their children.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": os.environ}
    process = subprocess.Popen(command, preexec_fn=heed, **options)
    try:
        assert process.stdout.readline().startswith("open http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and "ended" in out and not err
