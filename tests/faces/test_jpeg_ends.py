"""JPEG files without their end: the pixels are all there, or they are not."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.pictures import decode
from tests.faces.files import LARGE, encoded

END = b"\xff\xd9"

# Smooth, so that its last blocks are short, and with some noise, so that no two decodings agree by chance.
_ROWS, _COLUMNS = np.mgrid[:93, :121]
PICTURE = np.stack([_ROWS * 2, _COLUMNS * 2, (_ROWS * _COLUMNS) % 251], axis=2).astype(np.uint8)


def jpeg(**options):
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "JPEG", **options)
    return file.getvalue()


KINDS = {
    "baseline": jpeg(quality=90),
    "few bits": jpeg(quality=20, optimize=True),
    "whole colours": jpeg(quality=95, subsampling=0),
    "progressive": jpeg(quality=90, progressive=True),
    "restarts": jpeg(quality=90, restart_marker_blocks=5),
    "a restart a row": jpeg(quality=90, restart_marker_rows=1),
    "comment": jpeg(quality=90, comment=b"an end \xff\xd9 that is none"),
}
every_kind = pytest.mark.parametrize("whole", KINDS.values(), ids=KINDS)


def test_the_files_are_what_they_are_called():
    assert b"\xff\xc2" in KINDS["progressive"] and KINDS["progressive"].count(b"\xff\xda") > 2
    assert len(re.findall(rb"\xff[\xd0-\xd7]", KINDS["restarts"])) > 8
    assert all(whole.endswith(END) for whole in KINDS.values())


@every_kind
@pytest.mark.parametrize(
    "tail",
    [b"", bytes(999), b"\n", END + b"trailing bytes", b"\xff", b"\xff\xff", bytes(9) + b"\xff", None],
    ids=["none", "0", "line", "more", "half a marker", "two halves", "0 and half a marker", "another picture"],
)
def test_a_file_that_only_lacks_its_end_is_read(whole, tail):
    tail = whole if tail is None else tail
    np.testing.assert_array_equal(decode(whole[:-2] + tail), decode(whole))


def test_a_marker_in_a_comment_between_scans_is_none():
    whole = encoded(LARGE, "JPEG", progressive=True)
    second = whole.index(b"\xff\xda", whole.index(b"\xff\xda") + 2)
    comment = b"\xff\xfe\0\x06\xff\xd8\xff\xd9"
    np.testing.assert_array_equal(decode(whole[:second] + comment + whole[second:]), decode(whole))


def cut(whole, share):
    """A file of which this share of the first scan is left."""
    begin = whole.index(b"\xff\xda")
    end = re.compile(rb"\xff[^\x00\xd0-\xd7]").search(whole, begin + 2).start()
    return whole[: begin + int((end - begin) * share)]


@every_kind
@pytest.mark.parametrize("tail", [b"", bytes(5000)], ids=["none", "0"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_a_file_that_is_cut_short_is_refused(whole, tail, share):
    with pytest.raises(UserError, match="found a truncated JPEG file"):
        decode(cut(whole, share) + tail)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "progressive"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_an_end_marker_after_the_cut_hides_nothing(name, share):
    with pytest.raises(UserError, match="found a truncated JPEG file"):
        decode(cut(KINDS[name], share) + END)


@pytest.mark.parametrize("name", ["restarts", "a restart a row"])
@pytest.mark.parametrize("number", [0, 3, -1])
@pytest.mark.parametrize("kept", [0, 2])
def test_a_cut_at_a_restart_is_none_less_a_cut(name, number, kept):
    whole = KINDS[name]
    restart = list(re.finditer(rb"\xff[\xd0-\xd7]", whole))[number].start()
    with pytest.raises(UserError, match="found a truncated JPEG file"):
        decode(whole[: restart + kept])


@pytest.mark.parametrize("number", range(1, KINDS["progressive"].count(b"\xff\xda")))
@pytest.mark.parametrize("kept", [0, 2, 6, 40])
def test_a_progressive_file_needs_all_its_scans(number, kept):
    whole = KINDS["progressive"]
    scan = [found.start() for found in re.finditer(b"\xff\xda", whole)][number]
    with pytest.raises(UserError, match="found a truncated JPEG file"):
        decode(whole[: scan + kept])


@pytest.mark.parametrize("grey", [127, 128, 129])
def test_a_grey_picture_is_not_taken_for_a_cut_one(grey):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (grey, grey, grey)).save(file, "JPEG")
    np.testing.assert_array_equal(decode(file.getvalue()), np.full((64, 64, 3), grey))
    np.testing.assert_array_equal(decode(file.getvalue()[:-2]), np.full((64, 64, 3), grey))
