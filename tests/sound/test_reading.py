"""Sounds of files whose content is known: where they are in time, how loud, and what is said of broken ones."""

import sys

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.inference import video
from emotion_gcn_jax.sound import mel, reading
from tests.sound import films

SHOWN = [0.0, 0.04, 0.2, 0.23, 0.5, 0.9]


def loud(track, level=0.0):
    """The first and the last second in which 1000 Hz, band 22, is louder than a level in dB."""
    steps = np.flatnonzero(track.log_mel_TxM[:, 22] > level)
    return steps[[0, -1]] / 100


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("a.mp4", "aac", 44_100), ("b: c.mp4", "aac", 48_000), ("a.mkv", "flac", 44_100), ("a.wav", "pcm_s16le", 8_000)],
)
def test_a_burst_is_heard_when_it_sounds(tmp_path, name, codec, rate):
    burst = films.tone(3, start=1.0, end=1.5, rate=rate)
    path = films.write(tmp_path / name.replace(":", ""), [burst, burst], codec=codec, rate=rate)
    found = reading.read(path.rename(tmp_path / name))
    assert found.log_mel_TxM.dtype == np.float16 and found.damaged == 0
    assert abs(len(found.log_mel_TxM) - 301) <= 3  # a codec's last block may be filled up
    np.testing.assert_allclose(loud(found), [1.0, 1.5], atol=0.03)  # the window is 25 ms long
    assert found.log_mel_TxM[130].argmax() == 22


@pytest.mark.parametrize("copies", [1, 2])
def test_equal_channels_are_as_loud_as_one(tmp_path, copies):
    """41.3067 dB of a sine of 1 (Aff-Wild2 spec, section 14), which is 6.0206 dB less of 0.5."""
    path = films.write(tmp_path / "a.wav", [films.tone(2, rate=16_000)] * copies, rate=16_000, codec="pcm_f32le")
    found = reading.read(path).log_mel_TxM[100, 22]
    np.testing.assert_allclose(found, 41.3067 - 6.0206, atol=0.05)


def test_more_channels_are_mixed_into_two_first(tmp_path):
    path = films.write(tmp_path / "a.wav", [films.tone(2, rate=16_000)] * 6, rate=16_000, codec="pcm_f32le")
    assert reading.read(path).log_mel_TxM[100].argmax() == 22


def test_channels_are_averaged(tmp_path):
    left, silent = films.tone(2, rate=16_000), np.zeros(32_000)
    path = films.write(tmp_path / "a.wav", [left, silent], rate=16_000, codec="pcm_f32le")
    np.testing.assert_allclose(reading.read(path).log_mel_TxM[100, 22], 41.3067 - 12.0412, atol=0.05)


def test_a_video_that_was_cut_begins_with_its_first_whole_picture(tmp_path):
    """Of 30 frames the first seven are lost, and the next three cannot be decoded without a whole picture before."""
    frames = np.arange(30) / 10
    pictures = {"frames": frames, "picture_codec": "libx264", "options": {"g": "10"}}
    whole = films.write(tmp_path / "whole.mkv", films.tone(3, start=2.0), codec="flac", **pictures)
    cut = films.cut(whole, tmp_path / "cut.mkv", packets=7)
    shown = [time for number, time, _ in video.read("cut", str(cut)) if number is not None]
    found = reading.read(cut)
    assert len(shown) == 20
    np.testing.assert_allclose(found.seconds_F, shown, atol=2e-3)
    np.testing.assert_allclose(loud(found)[0], 2.0 - 1.0, atol=0.03)


@pytest.mark.parametrize(("begins", "first"), [(0.0, 0.0), (1.0, 0.5), (0.25, -0.25)])
def test_the_clock_is_0_at_the_first_frame(tmp_path, begins, first):
    """Frames begin half a second after the container does."""
    frames = [0.5 + time for time in SHOWN]
    path = films.write(tmp_path / "a.mkv", films.tone(2), codec="flac", begins=begins, frames=frames)
    found = reading.read(path)
    np.testing.assert_allclose(found.seconds_F, SHOWN, atol=2e-3)
    assert [found.seconds(number) for number in (1, 3, 6)] == pytest.approx([0.0, 0.2, 0.9], abs=2e-3)
    start, end = loud(found)
    assert start == pytest.approx(max(0.0, begins - 0.5), abs=0.03)
    assert end == pytest.approx(begins - 0.5 + 2, abs=0.05)


def test_frames_that_the_file_does_not_know_go_by_its_rate(tmp_path):
    path = films.write(tmp_path / "a.mp4", frames=[number / 30 for number in range(5)])
    found = reading.read(path)
    assert found.log_mel_TxM.shape == (0, 64) and len(found.seconds_F) == 5  # without a sound track
    assert found.seconds(5) == pytest.approx(4 / 30, abs=1e-3) and found.seconds(31) == pytest.approx(1.0, abs=0.01)


def test_a_silent_track(tmp_path):
    path = films.write(tmp_path / "a.wav", np.zeros(16_000), rate=16_000, codec="pcm_s16le")
    np.testing.assert_array_equal(reading.read(path).log_mel_TxM, np.full((101, 64), -100))


def test_a_part_that_is_missing_is_silent(tmp_path):
    """The packets from 1 to 2 seconds are taken out of a file of three."""
    import av

    path = films.write(tmp_path / "a.mkv", films.tone(3), codec="flac")
    with av.open(str(path)) as old, av.open(str(tmp_path / "b.mkv"), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None and not 1 <= packet.pts * packet.time_base < 2:
                packet.stream = stream
                new.mux(packet)
    level = reading.read(tmp_path / "b.mkv").log_mel_TxM[:, 22]
    assert (level[5:95] > 30).all() and (level[110:190] < -90).all() and (level[210:290] > 30).all()


def test_what_is_damaged_is_left_out(tmp_path):
    path = films.write(tmp_path / "a.mkv", films.tone(3), codec="flac")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    found = reading.read(path)
    assert found.damaged and (found.log_mel_TxM[5:100, 22] > 30).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"^.*a.mp4: The sound cannot be read \(No such file"), (b"no sound", r"^.*a.mp4: A video or a sound was")],
)
def test_no_sound_is_a_sentence(tmp_path, content, message):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        reading.read(path)


def test_a_sound_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_SECONDS", 1)
    path = films.write(tmp_path / "a.wav", films.tone(2, rate=16_000), rate=16_000, codec="pcm_s16le")
    with pytest.raises(UserError, match=r"a.wav: A sound of at most .* hours is read"):
        reading.read(path)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"^The sound of a video needs av, .*emotion-gcn-jax\[video\]"):
        reading.check_installed()


def test_samples_are_never_there_as_a_whole(tmp_path, monkeypatch):
    """A block of steps is made before the last samples are decoded."""
    monkeypatch.setattr(mel, "_BLOCK", 20)
    path = films.write(tmp_path / "a.wav", films.tone(4, rate=16_000), rate=16_000, codec="pcm_s16le")
    with reading._opened(path) as container:
        samples = reading._Samples(path, container, None)
        next(mel.log_mel_blocks(samples))
        assert samples.count < 16_000
