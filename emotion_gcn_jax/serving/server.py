"""The server behind the page: a picture is posted, what its faces express is answered.

It is the standard library's, since three routes and their checks need no more; a framework would be a dozen packages
and would answer more slowly. Files come from a fixed set, so that no address reaches another one. What is posted is
bounded in bytes and pixels, and so is how many posts are held at once; the next one is refused with a sentence.
"""

import contextlib
import http.server
import json
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import detection, pictures
from emotion_gcn_jax.inference.model import EmotionModel
from emotion_gcn_jax.serving.about import about, faces_of
from emotion_gcn_jax.serving.page_files import POLICY, TYPES, page_files
from emotion_gcn_jax.serving.visitors import Door, is_loopback

MOST_BYTES = 2**25  # of a picture's file: 32 MiB
_MOST_DIGITS = 18  # of a length: Python refuses to read thousands
_EVERY_ADDRESS = ("0.0.0.0", "::", "")  # what a server that is bound to all of them is bound to
MOST_PIXELS = 5 * 10**7  # of a picture; decoded, such a one takes about 400 MB, and of floats 2 GB
MOST_WAITING = 256  # posts at once; the next one is refused
_HELD_AT_ONCE = 8  # posts that are in memory: the others are not read yet, and wait in the network's buffers
_JUDGED_AT_ONCE = 2  # one picture is decoded while another is in the networks, which use all cores
_LOOKED_AT = {"/faces": detection.LONGEST_SIDE, "/frames": detection.LONGEST_SIDE // 2}
"""By where a picture is posted to, its longest side for the detector: a camera's frames are to be several a second."""
_SILENCE = 20  # seconds that a connection may be silent
_SLOWEST_POST = 60  # seconds that a post may take

_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    # Only a page isolated from other sites may share memory between threads, as ONNX Runtime Web's do.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server(http.server.ThreadingHTTPServer):
    """Answers until it is shut down; a thread a connection.

    Attributes:
        door: who is let in.
        files: what is served, by name.
        model: what judges posted pictures; None serves files alone.
    """

    daemon_threads = True
    request_queue_size = 512  # connections that wait to be accepted: a burst is not turned away

    def __init__(
        self, host: str, port: int, files: Mapping[str, bytes], model: EmotionModel | None, token: str
    ) -> None:
        """See `open_server`."""
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Visit)
        self.door = Door(host, self.server_address[1], token)
        self.files, self.model = files, model
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self.readers = threading.BoundedSemaphore(_HELD_AT_ONCE)
        self._judges = threading.BoundedSemaphore(_JUDGED_AT_ONCE)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        host = f"[{self.door.host}]" if ":" in self.door.host else self.door.host
        if self.door.host in _EVERY_ADDRESS:  # which is no address to open; other machines know this one's name
            host = "127.0.0.1"
        token = f"?token={self.door.token}" if self.door.token else ""
        return f"http://{host}:{self.door.port}/{token}"

    @contextlib.contextmanager
    def place(self) -> Iterator[bool]:
        """Holds one of the places for posts; False if all are taken."""
        is_free = self._places.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._places.release()

    def judge(self, data: bytes, longest_side: int) -> dict[str, Any]:
        """Says what the faces of a picture express; raises UserError for a file that is none."""
        assert self.model is not None
        with self._judges:
            return faces_of(self.model, pictures.decode(data, MOST_PIXELS), longest_side)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who leaves in the middle is no news; everything else is."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def open_server(model: EmotionModel, name: str, host: str, port: int, token: str | None) -> Server:
    """Starts to listen; `serve_forever` then answers.

    Args:
        model: what judges.
        name: what the page calls the model.
        host: the address to listen at; another one than this machine's own needs a token.
        port: 0 takes any that is free.
        token: what visitors must know; None makes one up if one is needed.

    Raises:
        UserError: the address is taken or is not this machine's.
    """
    detection.load_detector()
    model.answers(np.zeros((1, model.input.side, model.input.side, model.input.channels), np.uint8))  # now, not later
    files = page_files("server")
    files["about.json"] = json.dumps(about(model, name)).encode()
    return listen(host, port, files, model, token)


def listen(
    host: str, port: int, files: Mapping[str, bytes], model: EmotionModel | None = None, token: str | None = None
) -> Server:
    """Starts to serve files, and a model if there is one; arguments and errors as for `open_server`."""
    if token is None:
        token = "" if is_loopback(host) else secrets.token_urlsafe(16)
    try:
        return Server(host, port, files, model, token)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"The server cannot listen at {host}, port {port} ({getattr(error, 'strerror', None) or error}): choose "
            "another --port, or --host."
        ) from None


class _Visit(http.server.BaseHTTPRequestHandler):
    """One connection; the answers are JSON but for the page's files."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "emotion-gcn", ""
    timeout = _SILENCE
    disable_nagle_algorithm = True  # with wbufsize an answer leaves in one piece at once, not after 40 ms
    wbufsize = -1

    def do_GET(self) -> None:
        """Sends a file of the page."""
        if self._is_refused():
            return
        name = urlsplit(self.path).path.removeprefix("/") or "index.html"
        cookie = self.server.door.cookie(self.path)
        if cookie is not None:  # the token leaves the address line
            self._send(HTTPStatus.SEE_OTHER, b"", "text/plain", {"Location": "/", "Set-Cookie": cookie})
        elif name not in self.server.files:
            self._say(HTTPStatus.NOT_FOUND, "There is no such page.")
        else:
            self._send(HTTPStatus.OK, self.server.files[name], TYPES[PurePath(name).suffix])

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Judges the posted picture."""
        if self._is_refused():
            return
        longest_side = _LOOKED_AT.get(urlsplit(self.path).path)
        if self.server.model is None or longest_side is None:
            self._say(HTTPStatus.NOT_FOUND, "Pictures are posted to /faces or /frames of a server with a model.")
            return
        if self.headers.get_content_maintype() == "multipart":
            self._say(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "A picture's file is posted as it is, and not in a form: with curl by --data-binary @photo.jpg, in "
                "Python's requests by data=.",
            )
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._say(HTTPStatus.LENGTH_REQUIRED, "A post must say its Content-Length.")
        elif len(length) > _MOST_DIGITS or int(length) > MOST_BYTES:
            self._say(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"A picture's file may have {MOST_BYTES // 2**20} MB, and this one has more: make it smaller.",
            )
        else:
            with self.server.place() as is_free:
                self._judge(int(length), longest_side) if is_free else self._turn_away(int(length))

    def _judge(self, length: int, longest_side: int) -> None:
        try:
            with self.server.readers:
                found = self.server.judge(b"".join(self._parts(length)), longest_side)
        except UserError as error:
            self._say(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except MemoryError:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The picture needs more memory than there is: shrink it.")
        else:
            self._send(HTTPStatus.OK, json.dumps(found).encode(), TYPES[".json"])

    def _turn_away(self, length: int) -> None:
        """Reads and forgets the post, or its sender would not see the answer."""
        for _ in self._parts(length):
            pass
        self._say(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The server has as many pictures waiting as it holds: try again in a second.",
            {"Retry-After": "1"},
        )

    def _parts(self, length: int) -> Iterator[bytes]:
        """Reads a post; who sends it too slowly, or leaves in the middle, gets no answer."""
        end = time.monotonic() + _SLOWEST_POST
        while length > 0:
            part = self.rfile.read1(min(length, 2**16))
            if not part or time.monotonic() > end:
                raise ConnectionError("a post that did not come to its end")
            length -= len(part)
            yield part

    def _is_refused(self) -> bool:
        refusal = self.server.door.refusal(self.command, self.path, self.headers)  # type: ignore[arg-type]
        if refusal is not None:
            self._say(*refusal)
        return refusal is not None

    def _say(self, status: int, sentence: str, more: Mapping[str, str] | None = None) -> None:
        """Answers with a sentence; what is left of the request is not read, so the connection ends."""
        self.close_connection = True
        self._send(status, json.dumps({"error": sentence}).encode(), TYPES[".json"], more)

    def _send(self, status: int, body: bytes, kind: str, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        ends = {"Connection": "close"} if self.close_connection else {}
        fields = {"Content-Type": kind, "Content-Length": str(len(body)), **_HEADERS, **ends, **(more or {})}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Says in a sentence what the base class finds wrong with a request, such as its method."""
        del explain
        self._say(HTTPStatus(code), f"This request cannot be answered ({message or HTTPStatus(code).phrase}).")

    def log_message(self, *message: Any) -> None:
        """Says nothing: a line a frame would fill the terminal."""
