"""Array files that claim what they do not hold."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from emotion_gcn_jax import array_files

NUMBERS_2x3 = np.arange(6, dtype=np.float32).reshape(2, 3)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("array", [NUMBERS_2x3, NUMBERS_2x3.T, np.array(1.5), np.zeros((3, 0)), np.array(["a", "bc"])])
def test_an_array_comes_as_numpy_reads_it(array):
    found = array_files.decode_npy(npy(array))
    assert found.dtype == array.dtype and found.flags.writeable
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_come_as_numpy_reads_them(save):
    found = array_files.decode_npz(npz(save, a=NUMBERS_2x3, b=np.array(1)))
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], NUMBERS_2x3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"(2, 3)", b"(2,-3)"),
        (b"(2, 3)", b"(9" * 3),  # numpy's reader: tokenize.TokenError
        (b"'<f4'", b"'<f9'"),
        (b"\x93NUMPY\x01", b"\x93NUMPY\x03"),
        (b"{'descr'", b"}'descr'"),
    ],
)
def test_a_damaged_header_is_a_value_error(before, after):
    data = npy(NUMBERS_2x3)
    assert before in data
    with pytest.raises(ValueError, match="no array of numbers"):
        array_files.decode_npy(data.replace(before, after))
    with pytest.raises(ValueError, match="no archive of arrays"):
        array_files.decode_npz(data)


def test_an_array_is_opened_where_it_lies(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(NUMBERS_2x3))
    for shape in ((2, 3), (None, 3), (None, None)):
        found = array_files.open_npy(path, np.float32, shape)
        assert isinstance(found, np.memmap) and not found.flags.writeable
        np.testing.assert_array_equal(found, NUMBERS_2x3)
    for dtype, shape in ((np.float64, (2, 3)), (np.float32, (3, 3)), (np.float32, (None,))):
        with pytest.raises(ValueError, match=r"^a\.npy: float32 \[2, 3\]$"):
            array_files.open_npy(path, dtype, shape)


OPENED = {
    "absent": None,
    "empty": b"",
    "an archive": npz(a=NUMBERS_2x3),
    "cut": npy(NUMBERS_2x3)[:-1],
    "objects": npy(np.array([{}], object)),
    "no header": npy(NUMBERS_2x3)[:12] + b"{" * 90,
    "a bracket": npy(NUMBERS_2x3).replace(b"(2, 3)", b"(9" * 3),
}


@pytest.mark.parametrize("content", OPENED.values(), ids=OPENED)
def test_what_cannot_be_opened_is_a_value_error(tmp_path, content):
    if content is not None:
        (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"^a\.npy: "):
        array_files.open_npy(tmp_path / "a.npy", np.float32, (None, None))


def test_objects_are_not_built():
    with pytest.raises(ValueError, match="no array of numbers"):
        array_files.decode_npy(npy(np.array([{}], object)))


def test_a_claim_takes_no_memory():
    data = npy(np.zeros(10**6, np.float32))[:200].replace(b"(1000000,)", b"(900000000000,)")
    tracemalloc.start()
    with pytest.raises(ValueError, match="no array of numbers"):
        array_files.decode_npy(data)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_an_archive_unfolds_to_a_limit(monkeypatch):
    monkeypatch.setattr(array_files, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="when unpacked"):
        array_files.decode_npz(npz(np.savez_compressed, a=np.zeros(100), b=np.zeros(10**6)))


def test_other_files_of_an_archive_are_passed_over():
    file = io.BytesIO(npz(a=NUMBERS_2x3))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("readme.txt", "numbers")
    assert list(array_files.decode_npz(file.getvalue())) == ["a"]
