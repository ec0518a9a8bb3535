"""TensorBoard's scalars, where they cannot be written; test_surviving.py has a disk that is really full."""

import pytest
from clu import asynclib, metric_writers

from emotion_gcn_jax.training.step_log import Scalars


class Full(metric_writers.MultiWriter):
    """A writer whose disk is full, as clu's threads say it: a step later, with another error's cause."""

    def __init__(self):
        super().__init__([])

    def write_scalars(self, step, scalars):
        raise asynclib.AsyncError("in a thread") from OSError(28, "No space left on device")

    close = flush = lambda self: self.write_scalars(0, {})


def test_scalars_that_cannot_be_written_are_said_once_and_end_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(metric_writers, "create_default_writer", lambda *_, **__: Full())
    scalars = Scalars(tmp_path)
    scalars.write(1, {"loss": 1.0})
    scalars.write(2, {"loss": 1.0})
    scalars.close()
    said = capsys.readouterr().err
    assert said.count("warning: TensorBoard's scalars cannot be written") == 1
    assert f"{tmp_path} (no space is left on the disk): there are none from here on" in said


@pytest.mark.parametrize("ends", ["at its start", "at its end"])
def test_so_are_those_whose_folder_cannot_be_made_or_closed(tmp_path, monkeypatch, capsys, ends):
    def create(*_, **__):
        if ends == "at its end":
            return Full()
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(metric_writers, "create_default_writer", create)
    Scalars(tmp_path).close()
    why = "no space is left on the disk" if ends == "at its end" else "[Errno 13] Permission denied"
    assert f"({why})" in capsys.readouterr().err
