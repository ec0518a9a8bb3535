"""The page in a real Chromium, headless: served, and as a folder that does its work in the browser.

The camera is Chromium's fake one, which plays a file. Without Chromium these tests are skipped; so are those of the
folder without ONNX Runtime Web. `make browser` fetches both.
"""

import base64
import csv
import io
import pathlib
import shutil

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

from emotion_gcn_jax.faces.alignment import Crop, align_and_crop
from emotion_gcn_jax.serving import page_files, server, web_folder
from tests import scenes
from tests.photographs import ASTRONAUT

pytestmark = pytest.mark.once

NAMES = ("chromium", "chromium-browser", "google-chrome")
BUILD = pathlib.Path(__file__).parents[2] / "build"
PATIENCE = 30_000  # milliseconds; a busy machine is slow


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory):
    """A video of two rendered heads as Chromium's camera takes it, in JPEGs: the picture wanders."""
    scene = scenes.compose(5, [2, 7], [(190, 235), (450, 250)], [190, 170], width=640, height=480)
    frames = []
    for step in 2 * np.pi * np.arange(8) / 8:
        shift_2x3 = np.array([[1, 0, 12 * np.cos(step)], [0, 1, 6 * np.sin(step)]])
        moved = cv2.warpAffine(scene.image_HxWx3[..., ::-1], shift_2x3, (640, 480), borderMode=cv2.BORDER_REPLICATE)
        frames.append(cv2.imencode(".jpg", moved)[1].tobytes())
    path = tmp_path_factory.mktemp("camera") / "two_heads.mjpeg"
    path.write_bytes(b"".join(frames))
    return path


@pytest.fixture(scope="module")
def browser(two_heads):
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed; make browser installs one on Debian")
    camera = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program, args=[*camera, f"--use-file-for-fake-video-capture={two_heads}"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def static(model, running, tmp_path_factory):
    """The folder, served as files."""
    found = sorted(BUILD.glob("onnxruntime-web-*.tgz"))
    if not found:
        pytest.skip("no ONNX Runtime Web in build/: make browser fetches it")
    folder = tmp_path_factory.mktemp("page") / "page"
    web_folder.write_web(model, "a model", folder, found[-1])
    return running(server.listen("127.0.0.1", 0, page_files.folder_files(folder)))


def is_complaint(said):
    """Chromium notes every refused post as an error: that the server refuses is tested."""
    return said.type == "error" and "status of 422" not in said.text


@pytest.fixture(scope="module", params=["served", "static"])
def page(request, browser):
    """The opened page, loaded once for all tests of a kind; whatever it complains about fails a test."""
    listening = request.getfixturevalue(request.param)
    opened = browser.new_page()
    opened.complaints = []
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda said: opened.complaints.append(said.text) if is_complaint(said) else None)
    opened.requested = []
    opened.on("request", lambda sent: opened.requested.append(sent.url))
    opened.goto(listening.address)
    expect(opened.locator("#status")).to_have_text("Ready.", timeout=PATIENCE)
    yield opened
    hosts = {url.split("/")[2] for url in opened.requested if url.startswith("http")}
    assert hosts == {listening.address.split("/")[2]}  # nothing was asked of anybody else
    opened.close()


@pytest.fixture(autouse=True)
def empty_table(request):
    """Every test starts with none; clean-up shows that there were no complaints."""
    if "page" not in request.fixturenames:
        yield
        return
    page = request.getfixturevalue("page")
    if page.locator("#clear").is_enabled():
        page.click("#clear")
    yield
    assert not page.complaints


def downloaded(page):
    """The rows of the CSV file."""
    with page.expect_download() as download:
        page.click("#download")
    return list(csv.DictReader(io.StringIO(pathlib.Path(download.value.path()).read_text())))


def test_a_photograph(page, model):
    page.set_input_files("#photos", ASTRONAUT)
    expect(page.locator("#status")).to_have_text("One face in astronaut.png.", timeout=PATIENCE)
    (expected,) = model.predict(ASTRONAUT)
    expect(page.locator(".card h2")).to_contain_text(expected.expression)
    expect(page.locator("#plane")).to_be_visible()
    (row,) = downloaded(page)
    assert row["file"] == "astronaut.png" and row["expression"] == expected.expression
    assert [float(row[name]) for name in ("x0", "y0", "x1", "y1")] == pytest.approx(expected.box, abs=0.5)
    said = {word: float(row[f"p_{word}"]) for word in expected.probabilities}
    assert said == pytest.approx(expected.probabilities, abs=0.01)
    assert float(row["valence"]) == pytest.approx(expected.valence, abs=0.02)


def test_two_faces_before_the_camera(page):
    page.click("#camera")
    expect(page.locator(".card")).to_have_count(2, timeout=PATIENCE)
    expect(page.locator("#rate")).to_contain_text("frames/s", timeout=PATIENCE)
    page.click("#pause")
    expect(page.locator("#pause")).to_have_text("Go on")
    page.click("#stop")
    expect(page.locator("#status")).to_have_text("Stopped.")
    rows = downloaded(page)
    assert {row["track"] for row in rows} == {"1", "2"} and {row["file"] for row in rows} == {"camera"}
    assert len(rows) >= 4 and len(rows) % 2 == 0
    left, right = ([float(row["x0"]) for row in rows if row["track"] == face] for face in "12")
    assert max(left) < 320 < min(right)  # the numbers stay with their heads


def test_a_video(page, two_heads, tmp_path):
    capture, path = cv2.VideoCapture(str(two_heads)), tmp_path / "heads.webm"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"VP80"), 4, (640, 480))
    while (read := capture.read())[0]:
        writer.write(read[1])
    writer.release()
    page.set_input_files("#video", path)
    expect(page.locator("#position")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#status")).to_have_text("That was heads.webm.", timeout=PATIENCE)
    rows = downloaded(page)
    assert {row["file"] for row in rows} == {"heads.webm"} and {row["track"] for row in rows} == {"1", "2"}


def test_hostile_files_are_answered_with_a_sentence(page, tmp_path):
    hostile = tmp_path / "holiday.jpg"
    hostile.write_bytes(b"<script>alert(1)</script>" * 100)
    page.set_input_files("#photos", hostile)
    expect(page.locator("#status")).to_contain_text("holiday.jpg: An image file was expected, found", timeout=PATIENCE)
    expect(page.locator("#status")).to_have_class("bad")
    page.set_input_files("#video", {"name": "holiday.mp4", "mimeType": "video/mp4", "buffer": hostile.read_bytes()})
    expect(page.locator("#status")).to_contain_text("A video was expected that this browser plays", timeout=PATIENCE)
    expect(page.locator("#count")).to_have_text("no faces yet")


def test_the_keyboard_reaches_everything(page):
    page.locator("body").click(position={"x": 1, "y": 1})
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["photos", "camera", "video"]


def test_at_phone_width_nothing_is_wider_than_the_screen(page):
    before = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 740})
    page.set_input_files("#photos", ASTRONAUT)
    expect(page.locator("#count")).to_contain_text("1 face", timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size(before)


SLANTED = ((60.0, 40.0, 118.0, 112.0), (75.0, 60.0), (103.0, 70.0))


@pytest.mark.parametrize(
    ("place", "crop"),
    [
        (SLANTED, Crop(size=48)),
        (SLANTED, Crop(side=1.0, size=160, enlarge=True)),
        (SLANTED, Crop(size=256)),
        (SLANTED, Crop(size=64, level_eyes=False)),
        (((-20.0, -30.0, 60.0, 70.0), (0.0, 10.0), (40.0, 5.0)), Crop(size=64)),
        (((10.0, 10.0, 190.0, 140.0), (60.0, 60.0), (60.0, 60.0)), Crop(size=32)),
    ],
    ids=["reduced", "enlarged", "as it is", "untilted", "beyond the edges", "eyes that coincide"],
)
def test_faces_are_cut_as_python_cuts_them(browser, static, place, crop):
    """Within rounding: OpenCV 5 gives a mean of 0.01 of a grey level; OpenCV 4 rounds places to 1/32 pixel, 0.14."""
    page = browser.contexts[0].pages[0] if browser.contexts else browser.new_page()
    if not page.url.startswith(static.address):
        page.goto(f"{static.address}icon.svg")
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (20, 26, 3)).astype(np.uint8)
    image_HxWx3 = cv2.resize(coarse, (200, 150), interpolation=cv2.INTER_CUBIC)
    cut = page.evaluate(
        """async ([address, width, height, text, place, crop]) => {
            const { alignAndCrop } = await import(`${address}cutting.js`);
            const data = Uint8ClampedArray.from(atob(text), (sign) => sign.charCodeAt(0));
            const cut = alignAndCrop({ width, height, channels: 3, data }, ...place, crop).data;
            return btoa(Array.from(cut, (sample) => String.fromCharCode(sample)).join(""));
        }""",
        [static.address, 200, 150, base64.b64encode(image_HxWx3.tobytes()).decode(), place, crop.to_dict()],
    )
    expected = align_and_crop(image_HxWx3, *place, crop)
    difference = np.abs(np.frombuffer(base64.b64decode(cut), np.uint8).reshape(expected.shape).astype(int) - expected)
    assert difference.mean() < 0.2 and difference.max() <= 1
