"""Files as torch.save writes them, and as nobody should, put together by hand from pickle instructions."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.torch_files import reading

STOP = b"."
MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_OF = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "u1": "ByteStorage",
}


def refused(path, message):
    """Asserts that a file is refused in one short sentence with these words."""
    with pytest.raises(UserError, match=message) as caught:
        reading.load(path)
    sentence = str(caught.value)
    assert path.name in sentence and sentence.endswith(".") and "\n" not in sentence and len(sentence) < 600


def written(path, data):
    path.write_bytes(data)
    return path


def value(thing):
    """The instructions that push a plain value: a pickle without its beginning and its end."""
    return pickle.dumps(thing, 2)[2:-1]


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def call(module, attribute, *arguments):
    """Pushes what a callable returns; the arguments are instructions."""
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


def storage(key, count, kind="FloatStorage", module="torch", device="cpu", ending=b""):
    """Pushes a storage; `ending` is the older format's sixth element."""
    return b"(" + value("storage") + name(module, kind) + value(key) + value(device) + value(count) + ending + b"tQ"


def tensor(storage_, shape, strides, offset=0, rebuild="_rebuild_tensor_v2"):
    hooks = call("collections", "OrderedDict")
    rest = b"" if rebuild == "_rebuild_tensor" else value(False) + hooks
    return call("torch._utils", rebuild, storage_, value(offset), value(shape), value(strides), rest)


def mapping(items):
    """Pushes an OrderedDict; the values are instructions."""
    return call("collections", "OrderedDict") + b"(" + b"".join(value(k) + v for k, v in items.items()) + b"u"


def state_dict(arrays, **options):
    """Pushes a state dict whose i-th array is cut from storage i."""
    return mapping({name_: of_array(array, str(i), **options) for i, (name_, array) in enumerate(arrays.items())})


def of_array(array, key="0", **options):
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return tensor(storage(key, array.size, STORAGE_OF[array.dtype.str[1:]], **options), array.shape, strides)


def zip_file(path, instructions, storages=(), folder="archive", extra=(), byteorder=b"little"):
    """Writes torch's present format; `extra` are further (name, content) entries."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", b"\x80\x02" + instructions + STOP)
        if byteorder is not None:
            archive.writestr(f"{folder}/byteorder", byteorder)
        for key, data in enumerate(storages):
            archive.writestr(f"{folder}/data/{key}", bytes(data))
        archive.writestr(f"{folder}/version", b"3\n")
        for entry, content in extra:
            archive.writestr(entry, content)
    return path


def legacy_file(path, instructions, storages=(), *, little_endian=True, keys=None):
    """Writes torch's older format; `storages` are arrays."""
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    keys = [str(i) for i in range(len(storages))] if keys is None else keys
    parts = [pickle.dumps(part, 2) for part in (MAGIC, 1001, system)]
    parts += [b"\x80\x02" + instructions + STOP, pickle.dumps(keys, 2)]
    parts += [struct.pack("<q", array.size) + array.tobytes() for array in storages]
    path.write_bytes(b"".join(parts))
    return path


def weights(seed=0):
    """Two arrays and a counter."""
    rng = np.random.default_rng(seed)
    return {
        "conv.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "conv.bias": rng.normal(size=4).astype(np.float32),
        "norm.num_batches_tracked": np.array(7),
    }
