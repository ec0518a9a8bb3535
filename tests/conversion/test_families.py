"""Published weights of faces: files with their names and random numbers go there and back, and hostile ones nowhere."""

import functools
import pickle
import struct

import numpy as np
import pytest

from emotion_gcn_jax import checkpoints
from emotion_gcn_jax.conversion import names
from emotion_gcn_jax.models.emotion_net import TRUNKS
from emotion_gcn_jax.models.resnet import ResNet
from emotion_gcn_jax.models.vgg import VGG
from emotion_gcn_jax.torch_files import writing
from tests.conversion.conftest import identical

# Small relatives of the published networks, with the names that the layers have there (Aff-Wild2 spec, section 13).
WIDTHS = (4, 4, 4, 4, 6)
SMALL = {
    "small_vggface2": functools.partial(ResNet, stages=(2, 1), stem_width=4, stride_on="1x1", stem_pool="ceil"),
    "small_vgg": functools.partial(VGG, blocks=tuple((1, width) for width in WIDTHS)),
}


@pytest.fixture(autouse=True)
def small_trunks(monkeypatch):
    for name, trunk in SMALL.items():
        monkeypatch.setitem(TRUNKS, name, trunk)


def conv(rng, features, channels, side):
    return rng.standard_normal((features, channels, side, side), np.float32)


def norm(rng, features):
    return {
        name: rng.uniform(0.5, 1.5, features).astype(np.float32)
        for name in ("weight", "bias", "running_mean", "running_var")
    }


def resnet_tensors(layer_names):
    """A state dict of the small ResNet; `layer_names` makes two names, a norm's as well, of (stage, block, part)."""
    rng, tensors = np.random.default_rng(0), {}
    stem = layer_names(0, 0, "stem")
    layers = [(stem, (4, 3, 7))]
    for stage, block, channels, width in ((1, 1, 4, 4), (1, 2, 16, 4), (2, 1, 16, 8)):
        parts = {"reduce": (width, channels, 1), "3x3": (width, width, 3), "increase": (4 * width, width, 1)}
        if block == 1:
            parts["proj"] = (4 * width, channels, 1)
        layers += [(layer_names(stage, block, part), shape) for part, shape in parts.items()]
    for (conv_name, norm_name), shape in layers:
        tensors[f"{conv_name}.weight"] = conv(rng, *shape)
        tensors |= {f"{norm_name}.{leaf}": array for leaf, array in norm(rng, shape[0]).items()}
    return tensors


def oxford(stage, block, part):
    name = "conv1_7x7_s2" if part == "stem" else f"conv{stage + 1}_{block}_{part if part == '3x3' else f'1x1_{part}'}"
    return name, f"{name}_bn"


def converted_from_caffe(stage, block, part):
    if part == "stem":
        return "conv1", "bn1"
    number = {"reduce": "1", "3x3": "2", "increase": "3"}.get(part)
    ends = (f"conv{number}", f"bn{number}") if number else ("downsample.0", "downsample.1")
    return tuple(f"layer{stage}.{block - 1}.{end}" for end in ends)


def vgg_face():
    rng, tensors = np.random.default_rng(1), {}
    for block, (channels, width) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False), start=1):
        tensors |= {
            f"conv{block}_1.weight": conv(rng, width, channels, 3),
            f"conv{block}_1.bias": norm(rng, width)["bias"],
        }
    for layer, inputs, width in (("fc6", 7 * 7 * WIDTHS[-1], 10), ("fc7", 10, 8)):
        tensors |= {
            f"{layer}.weight": conv(rng, width, inputs, 1)[..., 0, 0],
            f"{layer}.bias": norm(rng, width)["bias"],
        }
    return tensors


# By family its tensors without the classifier, and the classifier's.
FILES = {
    "vggface2": (resnet_tensors(oxford), {"classifier.weight": (8631, 32, 1, 1), "classifier.bias": (8631,)}),
    "vggface2_bgr": (resnet_tensors(converted_from_caffe), {"fc.weight": (8631, 32), "fc.bias": (8631,)}),
    "vgg_face": (vgg_face(), {"fc8.weight": (2622, 8), "fc8.bias": (2622,)}),
}


def python_2_pickle(arrays):
    """A dict of arrays as Python 2 pickles it by protocol 2: text and bytes are one type there."""

    def text(value):
        data = value.encode("latin1") if isinstance(value, str) else value
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    def number(value):
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n(" + text("f4") + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + text("<") + b"NNN" + number(-1) * 2 + number(0) + b"tb"
    content = b"\x80\x02}("
    for name, array in arrays.items():
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text("b") + b"tR"
        shape = b"(" + b"".join(map(number, array.shape)) + b"t"
        content += text(name) + empty + b"(" + number(1) + shape + dtype + b"\x89" + text(array.tobytes()) + b"tb"
    return content + b"u."


def save(path, family, tensors):
    if family == "vggface2_bgr":
        path.write_bytes(python_2_pickle(tensors))
    else:
        writing.save(path, tensors)
    return path


def with_classifier(family):
    tensors, classifier = FILES[family]
    return tensors | {name: np.zeros(shape, np.float32) for name, shape in classifier.items()}


@pytest.fixture
def converted(run, tmp_path):
    """A function of a family: the checkpoint of its file, and what was printed."""

    def convert(family):
        path = save(tmp_path / "weights", family, with_classifier(family))
        status, printed = run("--weights", path, "--faces", "--output", tmp_path / "ours")
        assert status == 0, printed
        return checkpoints.read(tmp_path / "ours"), printed

    return convert


def test_the_pickle_is_one_that_python_reads():
    tensors, _ = FILES["vggface2_bgr"]
    assert identical(pickle.loads(python_2_pickle(tensors), encoding="latin1"), tensors)


@pytest.mark.parametrize("family", FILES)
def test_a_file_goes_there_and_back_bit_by_bit(family, converted):
    read, printed = converted(family)
    trunk, tensors = read.meta["config"]["model"]["trunk"], FILES[family][0]
    assert trunk == ("small_vgg" if family == "vgg_face" else "small_vggface2")
    expected = [*names.trunk_tensors(trunk, family=family), *names.neck_tensors(trunk, family, tensors)]
    back = names.to_state_dict(read.variables, {}, [tensor for tensor in expected if tensor.path])
    assert identical(dict(sorted(back.items())), dict(sorted(tensors.items())))
    assert read.meta["origin"]["family"] == family and "before you publish" in read.meta["origin"]["licence"]
    assert f"licence: {read.meta['origin']['licence']}\n" in printed and "head" not in read.variables["params"]


@pytest.mark.parametrize(
    ("family", "mean"),
    [  # of 0 to 255, red first: Aff-Wild2 spec, section 3
        ("vggface2", (131.0912, 103.8827, 91.4953)),
        ("vggface2_bgr", (131.0912, 103.8827, 91.4953)),
        ("vgg_face", (129.1863, 104.7624, 93.5940)),
    ],
)
def test_the_input_goes_with_the_weights(family, mean, converted):
    read, printed = converted(family)
    inputs = read.meta["input"]
    np.testing.assert_allclose(255 * np.array(inputs["mean"]), mean, rtol=1e-12)
    np.testing.assert_allclose(255 * np.array(inputs["deviation"]), 1, rtol=1e-12)
    assert (inputs["channels"], inputs["side"]) == (3, 224)
    assert f"red first, less {list(mean)} and divided by [1.0, 1.0, 1.0]" in printed
    assert ("takes blue first" in printed) == (family == "vggface2_bgr")


@pytest.mark.parametrize("family", ["vggface2", "vggface2_bgr"])
def test_the_first_layer_sees_its_own_colours(family, converted):
    kernel_HxWxCxO = converted(family)[0].variables["params"]["trunk"]["stem_conv"]["kernel"]
    patch_HxWxRGB = np.random.default_rng(2).standard_normal((7, 7, 3))
    theirs_OxCxHxW = next(iter(FILES[family][0].values()))
    seen_HxWxC = patch_HxWxRGB if family == "vggface2" else patch_HxWxRGB[..., ::-1]
    expected = np.einsum("hwc,ochw->o", seen_HxWxC, theirs_OxCxHxW)
    np.testing.assert_allclose(np.einsum("hwc,hwco->o", patch_HxWxRGB, kernel_HxWxCxO), expected, rtol=1e-12)


def test_vgg_faces_hidden_layers_read_the_map_with_its_channels_last(converted):
    read, _ = converted("vgg_face")
    assert read.meta["config"]["model"].items() >= {"readout": "flatten", "hidden": [10, 8]}.items()
    tensors, neck = FILES["vgg_face"][0], read.variables["params"]["neck"]
    map_HxWxC = np.random.default_rng(3).standard_normal((7, 7, WIDTHS[-1]))
    theirs = tensors["fc6.weight"] @ map_HxWxC.transpose(2, 0, 1).reshape(-1) + tensors["fc6.bias"]
    ours = map_HxWxC.reshape(-1) @ neck["hidden1"]["kernel"] + neck["hidden1"]["bias"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_array_equal(neck["hidden2"]["kernel"], tensors["fc7.weight"].T)


def without(family, *left_out, **changed):
    return {name: tensor for name, tensor in with_classifier(family).items() if name not in left_out} | changed


FEW = np.zeros(2, np.float32)
REFUSED = {
    "names": (
        "vggface2",
        without("vggface2", "conv2_1_3x3.weight", "conv2_2_3x3_bn.bias", feat_extract=FEW),
        "missing: conv2_1_3x3.weight, conv2_2_3x3_bn.bias; unexpected: feat_extract.",
    ),
    "shapes": ("vgg_face", without("vgg_face", **{"fc6.weight": np.zeros((10, 9), "f4")}), "fc6.weight has shape 10x9"),
    "no hidden layers": ("vgg_face", without("vgg_face", "fc7.weight", "fc7.bias"), "missing: fc7.weight, fc7.bias"),
    "another network": ("vggface2", {"layer.weight": FEW}, "is none of VGGFace2's (Oxford's file) or VGGFace2's (the"),
    "ImageNet's": (
        "vggface2_bgr",
        without("vggface2_bgr", **{"fc.weight": np.zeros((1000, 32), "f4")}),
        "a classifier of 1000 classes, as torchvision's networks have: instead of --faces give --imagenet",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named_and_nothing_is_written(case, run, tmp_path):
    family, tensors, message = REFUSED[case]
    path = save(tmp_path / "weights", family, tensors)
    status, printed = run("--weights", path, "--faces", "--output", tmp_path / "ours")
    assert status == 2 and message in printed and printed.count("\n") == 1
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("family", FILES)
@pytest.mark.parametrize(("option", "word"), [([], "add"), (["--imagenet"], "instead of --imagenet give")])
def test_weights_of_faces_are_known_by_their_classes(option, word, family, run, tmp_path):
    path = save(tmp_path / "weights", family, with_classifier(family))
    status, printed = run("--weights", path, *option, "--output", tmp_path / "ours")
    count = 2622 if family == "vgg_face" else 8631
    assert status == 2 and f"has a classifier of {count} classes, as VGG" in printed
    assert f"networks have: {word} --faces to take its trunk alone" in printed


def test_a_hostile_pickle_of_arrays_runs_nothing(run, tmp_path):
    tensors = python_2_pickle(with_classifier("vggface2_bgr"))
    attack = (
        b"U\x04evilcposix\nsystem\n(U" + bytes([len(f"touch {tmp_path}/canary")]) + f"touch {tmp_path}/canary".encode()
    )
    (tmp_path / "weights").write_bytes(tensors[:-2] + attack + b"tRu.")
    status, printed = run("--weights", tmp_path / "weights", "--faces", "--output", tmp_path / "ours")
    assert status == 2 and "posix.system" in printed and printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_the_option_is_for_files_of_weights(run):
    status, printed = run("--checkpoint", "runs/mine", "--to-torch", "mine.pth", "--faces")
    assert status == 2 and "--faces is for --weights alone" in printed
