"""How many frames of a camera the page judges a second, in a headless Chromium, served and static.

    make browser                                            # Chromium and ONNX Runtime Web
    python -m benchmarks.page_speed --runtime=build/onnxruntime-web-1.30.0.tgz

The camera is Chromium's fake one, 640 x 480, and plays a rendered head that wanders (or two of them: --heads=2). The
page's own frames/s are read once a second for --seconds, after five seconds of warming up: one JSON line a kind, with
the median and the range. The browser, the server and the fake camera share the machine.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator

import cv2
import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

import emotion_gcn_jax as eg
from emotion_gcn_jax import runtime
from emotion_gcn_jax.serving import page_files, server, web_folder
from tests import scenes

_SCENES = {1: ([2], [(320, 245)], [190]), 2: ([2, 7], [(190, 235), (450, 250)], [190, 170])}
_WARM = 5  # seconds
_PATIENCE = 120_000  # milliseconds


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description="time the page before a camera")
    parser.add_argument("--runtime", type=pathlib.Path, required=True, help="the packed onnxruntime-web")
    parser.add_argument("--browser", default="chromium", help="the program; looked for as the shell does")
    parser.add_argument("--checkpoint", help="a model; the shipped one if not given")
    parser.add_argument("--heads", type=int, choices=sorted(_SCENES), default=1)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    runtime.set_up()
    model = eg.load(options.checkpoint)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        video = pathlib.Path(scratch) / "heads.mjpeg"
        video.write_bytes(b"".join(camera_frames(options.heads)))
        folder = pathlib.Path(scratch) / "page"
        web_folder.write_web(model, "a model", folder, options.runtime)
        browser = playwright.chromium.launch(
            executable_path=shutil.which(options.browser),
            args=[
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={video}",
            ],
        )
        for kind, listening in (
            ("served", server.open_server(model, "a model", "127.0.0.1", 0, None)),
            ("static", server.listen("127.0.0.1", 0, page_files.folder_files(folder))),
        ):
            threading.Thread(target=listening.serve_forever, daemon=True).start()
            page = browser.new_page()
            rates = frames_a_second(page, listening.address, options.seconds)
            page.close()
            listening.shutdown()
            listening.server_close()
            line = {"kind": kind, "heads": options.heads, "frames_a_second": round(statistics.median(rates), 2)}
            print(json.dumps({**line, "least": min(rates), "most": max(rates)}), flush=True)
        browser.close()


def camera_frames(heads: int) -> Iterator[bytes]:
    """JPEG files of rendered heads that wander by 12 pixels, one round of 32 frames."""
    numbers, places, sizes = _SCENES[heads]
    scene = scenes.compose(5, numbers, places, sizes, width=640, height=480)
    for angle in 2 * np.pi * np.arange(32) / 32:
        shift_2x3 = np.array([[1, 0, 12 * np.cos(angle)], [0, 1, 6 * np.sin(angle)]])
        moved = cv2.warpAffine(scene.image_HxWx3[..., ::-1], shift_2x3, (640, 480), borderMode=cv2.BORDER_REPLICATE)
        yield cv2.imencode(".jpg", moved)[1].tobytes()


def frames_a_second(page: Page, address: str, seconds: int) -> list[float]:
    """What the page says of its own speed, once a second."""
    page.goto(address)
    expect(page.locator("#status")).to_have_text("Ready.", timeout=_PATIENCE)
    page.click("#camera")
    expect(page.locator("#rate")).to_contain_text("frames/s", timeout=_PATIENCE)
    page.wait_for_timeout(1000 * _WARM)
    rates = []
    for _ in range(seconds):
        page.wait_for_timeout(1000)
        rates.append(float(page.locator("#rate").inner_text().split()[0]))
    page.click("#stop")
    return rates


if __name__ == "__main__":
    main()
