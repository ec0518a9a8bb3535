"""One small untrained model behind every server, and a client that says what it likes in its headers."""

import http.client
import json
import threading

import pytest

import emotion_gcn_jax as eg
from emotion_gcn_jax.serving import server
from tests.untrained import write_checkpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Seven expressions, valence and arousal; 32 pixels."""
    return eg.load(write_checkpoint(tmp_path_factory.mktemp("emotion_gcn"), "emotion_gcn"))


@pytest.fixture(scope="session")
def running():
    """A function that lets a server answer until the tests are over."""
    opened = []

    def run(listening):
        opened.append(listening)
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        return listening

    yield run
    for listening in opened:
        listening.shutdown()
        listening.server_close()


@pytest.fixture(scope="session")
def served(model, running):
    return running(server.open_server(model, "a model", "127.0.0.1", 0, None))


def ask(listening, method="GET", path="/", body=None, **headers):
    """Returns the status, the headers and the answer: bytes of a file, or what JSON says."""
    connection = http.client.HTTPConnection("127.0.0.1", listening.door.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, named)
        response = connection.getresponse()
        data = response.read()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, response.headers, json.loads(data) if is_json else data
    finally:
        connection.close()
