"""Spectrograms beside a dataset: what is written is read, nothing to hear is not written, damage is a sentence."""

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.sound import stored


def test_a_spectrogram_is_stored_in_half_precision(tmp_path):
    log_mel = np.random.default_rng(0).uniform(-100, 40, (30, 64)).astype(np.float32)
    assert stored.write(tmp_path, "a video.1", log_mel) == "a video.1"
    assert [path.name for path in (tmp_path / "sound").iterdir()] == ["a video.1.npy"]
    found = stored.read(tmp_path, "a video.1")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, log_mel, atol=0.032)  # half a step of float16 between 64 and 128


@pytest.mark.parametrize("steps", [0, 5])
def test_silence_is_no_sound(tmp_path, steps):
    assert stored.write(tmp_path, "a", np.full((steps, 64), -100.0)) == "" and not (tmp_path / "sound").exists()


DAMAGED = {
    "empty": lambda data: b"",
    "no header": lambda data: data[:12] + b"{" * 40,
    "cut": lambda data: data[:-1],
    "of other numbers": lambda data: data.replace(b"<f2", b"<i2"),
    "of 32 bands": lambda data: data.replace(b"(3, 64)", b"(6, 32)"),
}


@pytest.mark.parametrize("kind", [*DAMAGED, "absent"])
def test_a_damaged_spectrogram_is_named(tmp_path, kind):
    stored.write(tmp_path, kind, np.zeros((3, 64)))
    path = tmp_path / "sound" / f"{kind}.npy"
    data = path.read_bytes()
    path.unlink()
    if kind != "absent":
        path.write_bytes(DAMAGED[kind](data))
    with pytest.raises(UserError, match=rf"^Expected the spectrogram .* in .*{kind}.npy.*: copy the build again, or"):
        stored.read(tmp_path, kind)
