import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from jax import lax

from configs import synthetic_faces
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import bregnext, layers, spatial_transformer, vgg
from emotion_gcn_jax.models.emotion_net import TRUNKS, create_model
from emotion_gcn_jax.models.resnet import ResNet
from emotion_gcn_jax.models.vgg import VGG
from emotion_gcn_jax.onnx_session import cpu_session
from emotion_gcn_jax.onnx_writer.onnx_graph import NotWritableError, write
from emotion_gcn_jax.tasks import registry
from tests.untrained import random_variables

RNG = np.random.default_rng(0)
TASKS = registry.from_config(synthetic_faces.get_config("densenet_tiny,emotion_gcn").tasks)
CHANNELS = np.array([0.5, -2.0, 3.0], np.float32)
PIXELS = RNG.uniform(0.5, 2, (1, 6, 5, 3)).astype(np.float32)
ROW = RNG.uniform(0.5, 2, (1, 1, 5, 1)).astype(np.float32)
LINES = RNG.uniform(0.5, 2, (6, 5)).astype(np.float32)
MATRIX = RNG.normal(size=(3, 4)).astype(np.float32)


def check_equal(function, shape=(6, 5, 3), dtype=np.float32, batches=(1, 3)):
    """The graph's outputs are the function's."""
    model = write(function, shape, dtype=dtype)
    onnx.checker.check_model(model, full_check=True)
    session = cpu_session(model.SerializeToString())
    numbers = np.random.default_rng(1).normal(size=(max(batches), *shape))
    images = (numbers if dtype == np.float32 else numbers * 60 + 128).clip(-250, 250).astype(dtype)
    expected = {name: np.asarray(rows, np.float32) for name, rows in function(images).items()}
    names = [output.name for output in session.get_outputs()]
    assert names == sorted(expected)
    for batch in batches:
        for name, found in zip(names, session.run(names, {"images": images[:batch]}), strict=True):
            size = max(np.abs(expected[name]).max(), 1e-3)
            assert np.isfinite(size)
            np.testing.assert_allclose(found, expected[name][:batch], rtol=1e-5, atol=1e-5 * size, strict=True)


def as_rows(x):
    return {"all": x}


def drawn(net, channels=3):
    """Random variables whose maps neither grow nor vanish from layer to layer."""

    def scale(array):
        return array * np.float32(8 / np.prod(array.shape[:-1]) ** 0.5) if array.ndim > 1 else array

    return jax.tree.map(scale, random_variables(net, channels))


def conv(x, features=4, side=3, groups=1, **options):
    kernel = np.random.default_rng(1).normal(size=(side, side, x.shape[-1] // groups, features)).astype(np.float32)
    options = {"window_strides": (1, 1), "padding": "SAME", **options}
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, feature_group_count=groups, dimension_numbers=numbers, **options)


def flat(x):
    return x.mean((1, 2))


@pytest.mark.parametrize(
    ("trunk", "head", "readout", "side", "channels", "dtype"),
    [
        ("densenet_tiny", "linear", "average", 32, 3, np.float32),
        ("densenet_tiny", "graph", "max", 47, 1, np.uint8),
        ("resnet_tiny", "linear", "max", 33, 3, np.uint8),
        ("resnet_tiny", "graph", "average", 64, 1, np.float32),
        ("bregnext_tiny", "linear", "max", 36, 3, np.uint8),
        ("bregnext_tiny", "graph", "average", 32, 1, np.float32),
        ("resnet18", "linear", "average", 35, 3, np.float32),
        ("bottlenecks", "linear", "average", 33, 3, np.float32),
        ("as_vggface2", "linear", "average", 35, 3, np.float32),
        ("as_slim", "linear", "average", 35, 3, np.float32),
        ("with_same_pool", "linear", "average", 39, 3, np.float32),
        ("bregnext50", "graph", "average", 32, 3, np.uint8),
        ("vgg16", "linear", "average", 33, 3, np.float32),
        ("deep_emotion", "linear", "average", 48, 1, np.uint8),
        ("deep_emotion_valid3", "graph", "max", 48, 1, np.float32),
        ("deep_emotion_input", "linear", "average", 48, 1, np.float32),
        ("deep_emotion_none", "linear", "average", 48, 1, np.float32),
    ],
)
def test_a_models_graph_says_what_the_model_says(trunk, head, readout, side, channels, dtype, monkeypatch):
    monkeypatch.setitem(TRUNKS, "bottlenecks", functools.partial(ResNet, stages=(1, 2, 1, 1), stem_width=8))
    small = functools.partial(ResNet, stages=(2, 2), stem_width=8)
    monkeypatch.setitem(TRUNKS, "as_vggface2", functools.partial(small, stride_on="1x1", stem_pool="ceil"))
    monkeypatch.setitem(TRUNKS, "as_slim", functools.partial(small, stride_on="last_unit", stem_pool="same"))
    monkeypatch.setitem(TRUNKS, "with_same_pool", functools.partial(VGG, blocks=((1, 8), (1, 8)), pool="same"))
    net = create_model(trunk, TASKS, head=head, readout=readout, word_vector_width=100)
    variables = drawn(net, channels)
    if head == "graph":
        variables["constants"]["head"]["adjacency"] = np.abs(variables["constants"]["head"]["adjacency"])

    @jax.jit
    def function(images):
        return net.apply(variables, images / 255 if dtype == np.uint8 else images, train=False)

    check_equal(function, (side, side, channels), dtype)


@pytest.mark.parametrize("trunk", ["densenet_tiny", "resnet_tiny", "bregnext_tiny"])
def test_recomputing_trunks_are_written_alike(trunk):
    net = create_model(trunk, TASKS, head="linear", readout="average", word_vector_width=100, remat=True)
    variables = drawn(net)
    check_equal(jax.jit(lambda images: net.apply(variables, images, train=False)), (32, 32, 3))


@pytest.mark.parametrize("a", [0.0, 1e-7, 2e-6, 1e-3, 0.9, -0.4, 30.0])
def test_bregnexts_shortcut_at_every_slope(a):
    check_equal(lambda x: as_rows(bregnext.shortcut(x, np.float32([a]), np.float32([0.7]))))


@pytest.mark.parametrize("sides", [(6, 5, 3), (1, 7, 3), (9, 9, 3)])
def test_the_spatial_transformer_is_one_operator(sides):
    def warped(x):
        # From the image itself transformations that turn, shift and leave the map.
        theta = x.reshape(x.shape[0], -1)[:, :6].reshape(-1, 2, 3) + jnp.eye(2, 3)
        return as_rows(spatial_transformer.warp(x, theta))

    check_equal(warped, sides)
    assert [node.op_type for node in write(warped, sides).graph.node].count("GridSample") == 1


def test_the_other_convention_of_the_spatial_transformer_is_refused():
    with pytest.raises(NotWritableError, match="engine='jax'"):
        write(lambda x: as_rows(spatial_transformer.warp(x, x.mean(1)[:, :2], align_corners=True)), (6, 5, 3))


CONSTANTS = {"scalar": np.float32(-1.5), "channels": CHANNELS, "equal": np.full(3, 2.5, np.float32), "pixels": PIXELS}
CONSTANTS |= {"row": ROW, "lines": LINES[None, :, :, None], "batch": lambda x: jnp.ones_like(x) * 3 + CHANNELS}


@pytest.mark.parametrize(
    ("constant", "of_conv"), [*((name, False) for name in CONSTANTS), ("channels", True), ("pixels", True)]
)
@pytest.mark.parametrize(
    "operation",
    [
        lambda x, c: x + c,
        lambda x, c: c + x,
        lambda x, c: x - c,
        lambda x, c: c - x,
        lambda x, c: x * c,
        lambda x, c: c * x,
        lambda x, c: x / c,
        lambda x, c: c / (jnp.abs(x) + 1),
        lambda x, c: jnp.maximum(x, c),
        lambda x, c: jnp.minimum(c, x),
        lambda x, c: jnp.where(x > c, x, c),
        lambda x, c: jnp.where(c <= x, c, 2 * x),
        lambda x, c: (c - x * c) / 3 + c,
    ],
)
def test_arithmetic_with_a_constant(operation, constant, of_conv):
    number = CONSTANTS[constant]

    def function(x):
        y = conv(x, 3) if of_conv else x
        return as_rows(operation(y, number(y) if callable(number) else number))

    check_equal(function, batches=(3,))


@pytest.mark.parametrize("constant", [np.float32(2), CHANNELS, CHANNELS[None]])
@pytest.mark.parametrize(
    "operation",
    [lambda x, c: x * c + c, lambda x, c: c - x, lambda x, c: x / c - c, lambda x, c: c / (x * x + 1), jnp.maximum],
)
def test_arithmetic_of_matrices(operation, constant):
    check_equal(lambda x: {"one": operation(flat(x), constant), "two": operation(flat(x) @ MATRIX[:, :3], constant)})


FUNCTIONS = {
    "relu": nn.relu,
    "relu6": nn.relu6,
    "relu_of_negative": lambda x: jnp.maximum(0, -x),
    "elu": nn.elu,
    "elu_half": lambda x: jax.nn.elu(x, alpha=0.5),
    "elu_of_float": lambda x: jax.nn.elu(x, 2.0),
    "selu": jax.nn.selu,
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.3),
    "gelu": nn.gelu,
    "erf": lax.erf,
    "silu": nn.silu,
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
    "hard_swish": nn.hard_swish,
    "softmax_channels": nn.softmax,
    "softmax_rows": lambda x: nn.softmax(x, 1),
    "softmax_columns": lambda x: nn.softmax(x, 2),
    "softmax_places": lambda x: nn.softmax(x, (1, 2)),
    "log_softmax": nn.log_softmax,
    "powers": lambda x: x**3 + (x * x + 1) ** -2 + jnp.square(x),
    "roots": lambda x: jnp.sqrt(jnp.abs(x)) + lax.rsqrt(x * x + 1) + jnp.log(jnp.abs(x) + 1),
    "rounding": lambda x: jnp.sign(x) * jnp.floor(x * 3) - (-x) + jnp.exp(x) + jnp.arctan(x),
    "comparisons": lambda x: jnp.where(x >= 0.1, x, jnp.where(x < -0.5, 2.0, -x)),
    "booleans_as_numbers": lambda x: (x > 0).astype(jnp.float32) + x,
    "values": lambda x: (x[:, :, ::2] - x[:, :, 1:4]) / (jnp.abs(x[:, :, :3]) + 1) * x[:, :, 2:],
    "by_channel_mean": lambda x: x * x.mean((1, 2), keepdims=True),
    "by_place_mean": lambda x: x - x.mean(-1, keepdims=True),
    "sum_rows": lambda x: x.sum(1),
    "sum_columns": lambda x: x.sum(2),
    "sum_channels": lambda x: x.sum(3),
    "max_rows": lambda x: x.max(1),
    "min_columns": lambda x: x.min(2),
    "max_places_kept": lambda x: x.max((1, 2), keepdims=True),
    "min_places": lambda x: x.min((1, 2)),
    "mean_rows_and_channels": lambda x: x.mean((1, 3)),
    "mean_of_all": lambda x: x.mean((1, 2, 3)),
    "three_axes": lambda x: x.sum(1) * CHANNELS + 1,
    "places": lambda x: x.max(3) - LINES,
    "flattened": lambda x: x.reshape(x.shape[0], -1),
    "flattened_conv": lambda x: conv(x).reshape(x.shape[0], -1) * np.arange(120, dtype=np.float32),
    "reshaped": lambda x: conv(x).reshape(x.shape[0], 5, 6, 4) + np.arange(4, dtype=np.float32),
    "pooled_by_hand": lambda x: conv(x).reshape(-1, 3, 2, 5, 4).mean(2) * np.arange(4, dtype=np.float32),
    "pooled_by_hand_twice": lambda x: conv(x).reshape(-1, 3, 2, 5, 2, 2).max((2, 4)) + conv(x)[:, ::2, :, :2],
    "matrix_and_back": lambda x: (x.reshape(-1, 3) @ MATRIX).reshape(*x.shape[:3], 4) + np.ones(4, np.float32),
    "matrix_twice": lambda x: ((x.reshape(-1, 3) @ MATRIX) @ MATRIX.T).reshape(x.shape),
    "pointwise": lambda x: nn.relu(x) @ MATRIX,
    "other_matrix": lambda x: lax.dot_general(x, MATRIX.T, (((3,), (1,)), ((), ()))),
    "flat_matrix": lambda x: flat(x) @ MATRIX * 2 - 1,
    "concatenated": lambda x: jnp.concatenate([x, conv(x), x * 2], -1) * np.arange(10, dtype=np.float32),
    "stacked_rows": lambda x: jnp.concatenate([x, -x[:, 1:]], 1),
    "padded": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 3), (2, 1)), constant_values=-1.5),
    "cut_by_pad": lambda x: lax.pad(x, np.float32(0), ((0, 0, 0), (-1, 2, 0), (1, -2, 0), (0, 0, 0))),
    "strided": lambda x: x[:, 1::2, :4:3, 1:],
    "sliced_flat": lambda x: flat(x)[:, 1:],
    "split": lambda x: jnp.split(x, [1], 2)[1] * 2,
    "split_channels": lambda x: jnp.split(x, 3, -1)[2] + jnp.split(conv(x), [1, 2], -1)[1],
    "one_place": lambda x: x[:, 2, 3],
    "one_channel": lambda x: x[..., 1],
    "conv_strided": lambda x: conv(x, window_strides=(2, 3)),
    "conv_lopsided": lambda x: conv(x, padding=((0, 2), (1, 3))),
    "conv_dilated": lambda x: conv(x, rhs_dilation=(2, 1), padding=((2, 2), (0, 1))),
    "conv_grouped": lambda x: conv(x, 6, groups=3) * np.arange(6, dtype=np.float32) + 1,
    "conv_even": lambda x: conv(x, side=2, padding="VALID"),
    "conv_of_arithmetic": lambda x: conv((x - CHANNELS) / CHANNELS),
    "max_pool_3x3": layers.max_pool_3x3,
    "max_pool_2x2": vgg.max_pool_2x2,
    "average_pool_2x2": layers.average_pool_2x2,
    "flax_max_pool": lambda x: nn.max_pool(conv(x), (3, 2), (2, 1), padding="SAME"),
    "flax_avg_pool": lambda x: (
        nn.avg_pool(conv(x), (2, 3), (1, 2), padding=((1, 0), (2, 1))) * np.arange(4.0, dtype=np.float32)
    ),
    "flax_avg_pool_of_what_is_there": lambda x: nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False),
    "gelu_exact": lambda x: nn.gelu(x, approximate=False),
    "as_they_are": lambda x: x,
    "bfloat16_wide": lambda x: lax.stop_gradient(x) * jnp.bfloat16(2),
    "not_finite": lambda x: jnp.minimum(x + np.float32(np.inf), 3.0) + 1 / (1 + jnp.exp(x * np.float32([1, 0, 2]))),
    "by_nought": lambda x: jnp.clip((jnp.abs(x) + 1) / np.float32([1, 0, 2]), -7, 7),
    "not_called": lambda x: nn.relu(x) + jax.jit(lambda: jnp.linspace(0.0, 1.0, 3))(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_images(name):
    check_equal(lambda x: as_rows(FUNCTIONS[name](x)))


@pytest.mark.parametrize("name", ["relu", "elu_half", "softmax_channels", "max_pool_3x3", "pointwise", "flattened"])
def test_functions_of_convolutions(name):
    check_equal(lambda x: as_rows(FUNCTIONS[name](conv(x, 3, window_strides=(1, 2)) * CHANNELS)), (7, 9, 3))


@pytest.mark.parametrize(
    "function",
    [lambda x: x / 2, lambda x: x.astype(jnp.float32) - 200, lambda x: jnp.where(x > 127, 1.0, x / 255)],
)
def test_bytes_are_numbers_first(function):
    check_equal(lambda x: as_rows(function(x)), dtype=np.uint8)


def test_one_value_in_many_places():
    def function(x):
        y = conv(x)
        scaled = y * np.arange(4, dtype=np.float32) + 1
        return {
            "a": nn.relu(scaled),
            "b": scaled * 2 - 1,
            "c": y,
            "d": scaled,
            "e": conv(scaled) + y,
            "f": x - y[..., :3],
        }

    check_equal(function)


def test_outputs_have_the_names_that_they_had():
    check_equal(lambda x: {f"out{i}": x.sum((1, 2)) * i for i in range(12)} | {"conv0": conv(x), "Constant1": x})


def test_a_batch_as_large_as_another_axis():
    check_equal(lambda x: as_rows(nn.relu(x).reshape(x.shape[0], -1)), (2, 2, 3), batches=(2, 97))
    check_equal(lambda x: as_rows(x * 2 + x.max(2, keepdims=True)), (97, 2, 1), batches=(1, 2, 97))


@jax.jit
def elu(x):
    return x * 7


@jax.jit
def shortcut(x, a, c):
    return x * a + c


@jax.jit
def max_pool_2x2(x):
    return x[:, ::2, 1::2]


@jax.jit
def relu(x):
    return x - 1


@pytest.mark.parametrize("function", [elu, lambda x: shortcut(x, CHANNELS, CHANNELS), max_pool_2x2, relu])
def test_another_function_of_a_known_name_is_itself(function):
    check_equal(lambda x: as_rows(function(x)))


UNKNOWN = {
    "sin": (jnp.sin, "sin"),
    "transposed": (lambda x: x.transpose(0, 3, 1, 2), "transpose"),
    "batch_mean": (lambda x: x - x.mean(0), "reduce_sum across the batch"),
    "batch_maximum": (lambda x: x.max((0, 1)), "reduce_max across the batch"),
    "flipped": (lambda x: jnp.flip(x, 0), "rev"),
    "summed_up": (lambda x: jnp.cumsum(x, 0), "cumsum"),
    "first": (lambda x: x[:1], "slice across the batch"),
    "rest": (lambda x: x[1:] * 2, "slice across the batch"),
    "doubled": (lambda x: jnp.concatenate([x, x]), "concatenate across the batch"),
    "shifted": (lambda x: lax.pad(x, np.float32(0), ((1, -1, 0), *[(0, 0, 0)] * 3)), "pad .*of the batch"),
    "spread": (lambda x: lax.pad(x, np.float32(0), ((0, 0, 0), (0, 0, 1), *[(0, 0, 0)] * 2)), "pad between values"),
    "halved": (lambda x: jnp.split(x, [1], 0)[0], "split across the batch"),
    "merged": (lambda x: x.reshape(-1, 5, 3), "reshape to a shape that changes the batch"),
    "rows_alone": (lambda x: nn.relu(x.reshape(-1, 3)), "max of a map's positions"),
    "rows_flat": (lambda x: (x.reshape(-1, 3) @ MATRIX).reshape(-1), "reshape to a shape"),
    "other_axis_first": (lambda x: lax.expand_dims(flat(x), (0,)), "broadcast_in_dim"),
    "product_across_batch": (lambda x: lax.dot_general(flat(x), flat(x), (((0,), (0,)), ((), ()))), "dot_general"),
    "product_of_values": (lambda x: flat(x) @ flat(x).T, "transpose|dot_general"),
    "numbers_of_images": (
        lambda x: x + jnp.arange(x.shape[0])[:, None, None, None],
        "add with a constant that differs",
    ),
    "noise": (lambda x: x * jax.random.normal(jax.random.key(0), x.shape), "random_seed of random numbers"),
    "noise_flat": (
        lambda x: flat(x) * jax.random.normal(jax.random.key(0), (x.shape[0], 1)),
        "random_seed of random numbers",
    ),
    "constant_joined": (lambda x: jnp.concatenate([x, jnp.zeros_like(x)], -1), "concatenate of a constant"),
    "repeated": (lambda x: x[..., :1] + np.ones((1, 1, 1, 3), np.float32), "add with a constant that repeats"),
    "scanned": (lambda x: lax.scan(lambda c, _: (c * 2, None), x, length=3)[0], "scan|while"),
    "chosen": (lambda x: lax.cond(x.sum() > 0, lambda: x, lambda: -x), "reduce_sum across"),
    "whole": (lambda x: (x * 3).astype(jnp.int32) / 2, "convert_element_type of int32"),
    "booleans_joined": (lambda x: jnp.where((x > 0) & (x < 1), x, 0), "and"),
    "transposed_conv": (
        lambda x: conv(x, lhs_dilation=(2, 2), padding=((1, 1), (1, 1))),
        "conv_general_dilated that is",
    ),
    "cutting_conv": (lambda x: conv(x, padding=((-1, 1), (0, 0))), "conv_general_dilated that is"),
    "margin_of_a_window": (
        lambda x: nn.max_pool(x, (2, 2), (1, 1), padding=((2, 0), (0, 0))),
        "reduce_window_max with",
    ),
    "window": (
        lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 1, 2), (1,) * 4, "VALID"),
        "reduce_window_max",
    ),
    "product_of_three_axes": (lambda x: x.sum(1) @ MATRIX, "dot_general of 3 axes"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_refused_by_name(name):
    function, primitive = UNKNOWN[name]
    with pytest.raises(NotWritableError, match=rf"The model uses JAX's ({primitive})[^.]*, which .*engine='jax'\)\.$"):
        write(lambda x: as_rows(function(x)), (6, 5, 3))


@pytest.mark.parametrize("function", [lambda x: x + x, lambda x: x - 1, lambda x: x * np.uint8(2), lambda x: ~x])
def test_arithmetic_of_bytes_overflows_and_is_refused(function):
    with pytest.raises(NotWritableError, match=r"The model uses JAX's \w+( of uint8)?, which"):
        write(lambda x: as_rows(function(x).astype(jnp.float32)), (6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "outputs",
    [
        lambda x: {"one": jnp.ones((x.shape[0], 2))},
        lambda x: {"one": x > 0},
        lambda x: {"one": x.reshape(-1, 3)},
        lambda x: {"images": x * 2},
    ],
)
def test_outputs_that_are_none_are_refused(outputs):
    with pytest.raises(UserError, match=r"The output '\w+' cannot be written as ONNX: it must .*\.$"):
        write(outputs, (6, 5, 3))


def test_the_file_says_what_it_is_told():
    model = write(lambda x: {"mean": flat(x)}, (6, 5, 3), dtype=np.uint8, properties={"made": "here"})
    assert {prop.key: prop.value for prop in model.metadata_props} == {"made": "here"}
    (images,), (mean,) = model.graph.input, model.graph.output
    shapes = [[d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in (images, mean)]
    assert shapes == [["batch", 6, 5, 3], ["batch", 3]]
    assert [x.type.tensor_type.elem_type for x in (images, mean)] == [onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT]


def test_norms_become_part_of_convolutions():
    net = create_model("resnet_tiny", TASKS, head="linear", readout="average", word_vector_width=100)
    variables = drawn(net)
    nodes = write(lambda x: net.apply(variables, (x - CHANNELS) / 2, train=False), (64, 64, 3)).graph.node
    kinds = [node.op_type for node in nodes]
    assert kinds.count("BatchNormalization") == 1  # of the images, whose margin is of zeros
    assert kinds.count("Transpose") == 1 and kinds.count("MaxPool") == 1 and kinds.count("GlobalAveragePool") == 1
    assert not {"Mul", "MatMul", "Reshape", "Max", "Pad"} & set(kinds)
