"""Files of torch.save and pickles of NumPy: every number comes back."""

import collections
import pickle
import sys

import numpy as np
import pytest

from emotion_gcn_jax.torch_files import reading
from tests.torch_files import handmade


def same(read, expected):
    assert list(read) == list(expected)
    for name, array in expected.items():
        assert isinstance(read[name], np.ndarray) and read[name].dtype == array.dtype, name
        np.testing.assert_array_equal(read[name], array, name)


@pytest.mark.parametrize("folder", ["archive", "emotion_gcn_affectnet", "a/b"])
def test_zip_format(folder, tmp_path):
    arrays = handmade.weights()
    storages = [array.tobytes() for array in arrays.values()]
    path = handmade.zip_file(tmp_path / "w.pth", handmade.state_dict(arrays), storages, folder)
    same(reading.load(path), arrays)


def test_older_format_saved_on_a_gpu(tmp_path):
    arrays = handmade.weights()
    instructions = handmade.state_dict(arrays, module="torch.cuda", device="cuda:0", ending=handmade.value(None))
    same(reading.load(handmade.legacy_file(tmp_path / "w.pth", instructions, list(arrays.values()))), arrays)


def test_a_checkpoint_s_other_contents_and_a_state_dict_s_attributes(tmp_path):
    arrays = handmade.weights()
    metadata = handmade.value({"_metadata": {"": {"version": 1}}}) + b"b"
    contents = handmade.value({"epoch": 9, "best": 0.66, "lrs": [1e-3, None], 3: (True, "x")})
    instructions = contents + handmade.value("model") + handmade.state_dict(arrays) + metadata + b"s"
    path = handmade.zip_file(tmp_path / "w.pth", instructions, [array.tobytes() for array in arrays.values()])
    read = reading.load(path)
    same(read.pop("model"), arrays)
    assert read == {"epoch": 9, "best": 0.66, "lrs": [1e-3, None], 3: (True, "x")}


def test_ordered_dict_of_python_2(tmp_path):
    pairs = (
        b"](" + b"".join(b"](" + handmade.value(key) + handmade.value(n) + b"e" for n, key in enumerate("ab")) + b"e"
    )
    path = handmade.zip_file(tmp_path / "w.pth", handmade.call("collections", "OrderedDict", pairs))
    assert reading.load(path) == {"a": 0, "b": 1}


def test_parts_of_a_storage_transposed_expanded_empty_and_scalar(tmp_path):
    data = np.arange(12, dtype=np.float32)
    shared = handmade.storage("0", 12)
    cuts = {
        "row": handmade.tensor(shared, (4,), (1,), 4),
        "transposed": handmade.tensor(shared, (4, 3), (1, 4)),
        "expanded": handmade.tensor(shared, (2, 3), (0, 1), 9),
        "empty": handmade.tensor(shared, (0, 5), (5, 1), 12),
        "scalar": handmade.tensor(shared, (), (), 11, "_rebuild_tensor"),
        "parameter": handmade.call("torch._utils", "_rebuild_parameter", handmade.of_array(data), handmade.value(True)),
    }
    read = reading.load(handmade.zip_file(tmp_path / "w.pth", handmade.mapping(cuts), [data.tobytes()]))
    expected = {
        "row": data[4:8],
        "transposed": data.reshape(3, 4).T,
        "expanded": np.tile(data[9:12], (2, 1)),
        "empty": np.empty((0, 5), np.float32),
        "scalar": np.array(11, np.float32),
        "parameter": data,
    }
    same(read, expected)


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("DoubleStorage", np.array([1.5, -2], "<f8"), np.array([1.5, -2])),
        ("HalfStorage", np.array([1.5, -2], "<f2"), np.array([1.5, -2], np.float16)),
        # 0x3FC0 are the upper halves of float32's 1.5, 0xC000 of its -2
        ("BFloat16Storage", np.array([0x3FC0, 0xC000], "<u2"), np.array([1.5, -2], np.float32)),
        ("IntStorage", np.array([1, -2], "<i4"), np.array([1, -2], np.int32)),
        ("ShortStorage", np.array([1, -2], "<i2"), np.array([1, -2], np.int16)),
        ("CharStorage", np.array([1, -2], "i1"), np.array([1, -2], np.int8)),
        ("BoolStorage", np.array([0, 1], "u1"), np.array([False, True])),
        ("ComplexFloatStorage", np.array([1j, 2], "<c8"), np.array([1j, 2], np.complex64)),
    ],
)
def test_number_types(kind, stored, expected, tmp_path):
    instructions = handmade.mapping({"x": handmade.tensor(handmade.storage("0", 2, kind), (2,), (1,))})
    same(reading.load(handmade.zip_file(tmp_path / "w.pth", instructions, [stored.tobytes()])), {"x": expected})


def test_bytes_with_a_type_of_their_own(tmp_path):
    storage = handmade.storage("0", 4, "UntypedStorage", "torch.storage")
    arguments = [storage, *(handmade.value(v) for v in (0, (2,), (1,), False))]
    arguments += [handmade.call("collections", "OrderedDict"), handmade.name("torch", "uint16"), handmade.value(None)]
    instructions = handmade.call("torch._utils", "_rebuild_tensor_v3", *arguments)
    read = reading.load(handmade.zip_file(tmp_path / "w.pth", instructions, [np.array([1, 65535], "<u2").tobytes()]))
    np.testing.assert_array_equal(read, np.array([1, 65535], np.uint16))


def test_big_endian_archive(tmp_path):
    array = np.array([1.5, -2], np.float32)
    instructions = handmade.state_dict({"x": array})
    path = handmade.zip_file(tmp_path / "w.pth", instructions, [array.astype(">f4").tobytes()], byteorder=b"big")
    same(reading.load(path), {"x": array})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)), np.zeros((0, 3), bool)],
)
def test_pickled_numpy_array(array, protocol, tmp_path):
    path = tmp_path / "emb.pkl"
    path.write_bytes(pickle.dumps({"a": array, "again": array, "n": array.dtype.type(3)}, protocol))
    read = reading.load(path)
    for name in ("a", "again"):
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype.newbyteorder("=")
    assert read["n"] == array.dtype.type(3)


def test_numpy_s_older_names_and_python_2_s_text_for_bytes(tmp_path):
    dtype = handmade.call("numpy", "dtype", *map(handmade.value, ("f4", 0, 1)))
    dtype += handmade.value((3, "<", None, None, None, -1, -1, 0)) + b"b"
    empty = handmade.call(
        "numpy.core.multiarray",
        "_reconstruct",
        handmade.name("numpy", "ndarray"),
        handmade.value((0,)),
        handmade.value("b"),
    )
    data = np.array([1.5, -2], "<f4").tobytes()
    state = b"(" + handmade.value(1) + handmade.value((2,)) + dtype + handmade.value(False)
    state += b"T" + len(data).to_bytes(4, "little") + data + b"t"
    path = tmp_path / "emb.pkl"
    path.write_bytes(b"\x80\x02" + empty + state + b"b.")
    np.testing.assert_array_equal(reading.load(path), np.array([1.5, -2], np.float32))


TORCH = pytest.mark.skipif(sys.version_info >= (3, 12), reason="torch is a test dependency on Python 3.11 only")


@TORCH
@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_itself(zipped, tmp_path):
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    saved = {
        "epoch": 3,
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "parameter": torch.nn.Parameter(torch.rand(2)),
        "numpy": np.arange(3.0),
        "scalar": np.float64(0.5),
        "size": torch.Size([1, 2]),
        "default": collections.defaultdict(dict),
        "half": torch.rand(3).half(),
        "brain": torch.rand(3).bfloat16(),
        "transposed": torch.rand(2, 3).T,
        "bool": torch.tensor([True, False]),
    }
    path = tmp_path / "checkpoint.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    read = reading.load(path)
    assert (read["epoch"], read["scalar"], read["size"], read["default"]) == (3, 0.5, (1, 2), {})
    expected = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    same(read["model_state_dict"], expected)
    averages = read["optimizer_state_dict"]["state"][0]["exp_avg"]
    np.testing.assert_array_equal(averages, optimizer.state_dict()["state"][0]["exp_avg"].numpy())
    assert read["optimizer_state_dict"]["param_groups"][0]["betas"] == (0.9, 0.999)
    for name in ("parameter", "half", "transposed", "bool"):
        np.testing.assert_array_equal(read[name], saved[name].detach().numpy(), name)
    np.testing.assert_array_equal(read["brain"], saved["brain"].float().numpy())
    np.testing.assert_array_equal(read["numpy"], saved["numpy"])
