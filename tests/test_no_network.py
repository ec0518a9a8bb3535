"""Nothing is fetched or sent at run time: what a model is used for, in a process that may open no connection.

tests/training/test_at_once.py builds a dataset and trains so.
"""

import subprocess
import sys

from tests.labelled_folders import write_class_folders
from tests.photographs import ASTRONAUT

FORBIDDEN = """
import socket, sys

def forbid(event, arguments):
    if event in ("socket.connect", "socket.bind") and arguments[1][0] in ("127.0.0.1", "::1"):
        return  # this machine itself
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise RuntimeError(f"the network was asked for: {event} {arguments}")

sys.addaudithook(forbid)
"""
PROGRAM = f"""{FORBIDDEN}
from emotion_gcn_jax import cli

assert cli.main(["predict", sys.argv[1], "--output", "faces.csv"]) == 0
assert cli.main(["evaluate", "--images", "set", "--output", "report"]) == 0
assert cli.main(["explain", "--no-detect", "--patch=24", "--stride=24", "set/Sad/0.png", "--output", "why"]) == 0
assert cli.main(["export", "--format", "onnx", "--output", "model.onnx"]) == 0
try:
    socket.create_connection(("192.0.2.1", 9))
except RuntimeError:
    print("forbidden")
"""


def test_the_shipped_model_needs_no_network(tmp_path):
    write_class_folders(tmp_path / "set", ["Happy", "Sad"], count=1)
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(ASTRONAUT)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "forbidden", done.stderr
