"""The sounds of a dataset as they are stored: a spectrogram for each recording, in a folder beside its records."""

import functools
import io
import pathlib

import numpy as np

from emotion_gcn_jax.array_files import open_npy
from emotion_gcn_jax.errors import UserError, shown
from emotion_gcn_jax.files import atomic_write
from emotion_gcn_jax.sound.mel import BANDS, SILENCE

FOLDER = "sound"
_OPEN = 256  # files that stay mapped, which takes no memory of its own


def write(build: pathlib.Path, name: str, log_mel_TxM: np.ndarray) -> str:
    """Stores a recording's spectrogram, 12.8 kB a second, if there is anything to hear in it.

    Args:
        build: the dataset's folder.
        name: of the recording, as the examples' column `sound` has it.
        log_mel_TxM: from sound.mel; it becomes float16, whose steps are 0.06 dB or finer.

    Returns:
        The name; "", which says that there is no sound, where all of it is SILENCE.

    Raises:
        OSError: the file cannot be written.
    """
    if not (log_mel_TxM > SILENCE).any():
        return ""
    content = io.BytesIO()
    np.save(content, log_mel_TxM.astype(np.float16))
    atomic_write(_path(build, name), content.getvalue())
    return name


@functools.lru_cache(maxsize=_OPEN)
def read(build: pathlib.Path, name: str) -> np.ndarray:
    """A recording's spectrogram, float16 [T, BANDS]; its numbers stay on the disk until they are looked at.

    Raises:
        UserError: it is not there, or is damaged.
    """
    path = _path(build, name)
    try:
        return open_npy(path, np.float16, (None, BANDS))
    except ValueError as error:
        raise UserError(
            f"Expected the spectrogram of a sound in {path}, float16 [steps, {BANDS}], and it cannot be read "
            f"({shown(str(error))}): copy the build again, or build it again with --overwrite."
        ) from None


def _path(build: pathlib.Path, name: str) -> pathlib.Path:
    return build / FOLDER / f"{name.replace('/', '_')}.npy"
