"""Recordings beside a release: which file is heard, by whom, and what is said of those that are not there."""

import numpy as np
import pytest

from emotion_gcn_jax.releases.recordings import Recordings, find
from emotion_gcn_jax.sound import stored
from tests.sound import films

WAV = {"rate": 16_000, "codec": "pcm_s16le"}


def test_the_videos_of_the_release_are_found(tmp_path):
    places = ("batch1/a.mp4", "batch2/b.AVI", "new_vids/deep/c.mp4", "a.wav", "x.wav", "sounds/x.mp3")
    others = ("cropped/d.mp4", "cropped_aligned/e/e.mp4", ".trash/f.mp4", "1/2/3/4/5/g.mp4", "batch1/h.txt")
    for place in (*places, *others):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    found = {name: [path.relative_to(tmp_path).as_posix() for path in paths] for name, paths in find(tmp_path).items()}
    assert found == {
        "a": ["batch1/a.mp4", "a.wav"],
        "b": ["batch2/b.AVI"],
        "c": ["new_vids/deep/c.mp4"],
        "x": ["x.wav", "sounds/x.mp3"],
    }


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """A release of recordings: one with two persons, of whom one has a file of their own; two with several files."""
    root = tmp_path_factory.mktemp("release")
    tone = films.tone(1, rate=16_000)
    films.write(root / "two.wav", tone, **WAV)
    films.write(root / "own_left.mkv", tone, rate=16_000, codec="flac", frames=[0.0, 0.1, 0.4])
    films.write(root / "own.wav", tone / 2, **WAV)
    films.write(root / "silent.wav", 0 * tone, **WAV)
    films.write(root / "mute.mp4", None, frames=[0.0, 0.2, 0.5])
    films.write(root / "mute.wav", tone, **WAV)
    films.write(root / "both.mkv", tone, rate=16_000, codec="flac")
    films.write(root / "both.wav", tone / 2, **WAV)
    (root / "torn.mp4").write_bytes(b"nothing")
    (root / "saved.mp4").write_bytes(b"nothing")
    films.write(root / "saved.wav", tone, **WAV)
    recordings = Recordings(root, root / "build")
    said = recordings.hear(
        ["two_left", "two_right", "own_left", "own_right", "silent", "torn", "nowhere", "mute", "both", "saved"]
    )
    return recordings, said, root / "build"


@pytest.mark.parametrize(
    ("video", "frame", "name", "seconds"),
    [
        ("two_left", 1, "two", 0.0),
        ("two_right", 31, "two", 1.0),  # a sound file has no frames: 30 a second
        ("own_left", 3, "own_left", 0.4),
        ("own_right", 4, "own", 0.1),
        ("silent", 1, "", 0.0),
        ("mute", 3, "mute", 0.5),  # the times of the video, the sound of the file beside it
        ("both", 1, "both", 0.0),
        ("torn", 31, "", 1.0),
        ("saved", 16, "saved", 0.5),  # beside a video that cannot be read
        ("nowhere", 1, "", 0.0),
    ],
)
def test_a_frame_knows_its_sound(heard, video, frame, name, seconds):
    recordings, _, build = heard
    columns = recordings.columns(video, frame)
    assert columns["sound"] == name and columns["seconds"] == pytest.approx(seconds, abs=2e-3)
    if name:
        assert stored.read(build, name)[50].argmax() == 22


def test_a_recording_is_stored_once(heard):
    recordings, _, build = heard
    assert sorted(path.name for path in (build / "sound").iterdir()) == [
        f"{name}.npy" for name in ("both", "mute", "own", "own_left", "saved", "two")
    ]
    loudness = {name: stored.read(build, name)[50, 22] for name in ("own", "own_left", "both", "mute")}
    for name in ("own_left", "both", "mute"):
        np.testing.assert_allclose(loudness[name] - loudness["own"], 6.02, atol=0.1)
    assert recordings.hear(["two_left", "own_right"]) == ()


def test_what_is_not_heard_is_said(heard):
    _, said, _ = heard
    assert len(said) == 2
    assert said[0].startswith("Warning: ") and "torn.mp4: A video or a sound was expected" in said[0]
    assert said[1] == "2 of 9 recordings have no sound: nowhere, silent."
