"""ResNet's sizes, names and options; tests/reference compares its numbers with an independent PyTorch model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.models.resnet import ResNet
from tests.models.running import random_variables, run_once

SMALL = {"stages": (1, 2), "stem_width": 4}
FLOAT64 = {"dtype": jnp.float64, "param_dtype": jnp.float64}
KINDS = pytest.mark.parametrize("bottleneck", [False, True], ids=["basic", "bottleneck"])


@pytest.fixture
def images(x64):
    return np.random.default_rng(1).normal(size=(4, 45, 32, 3))


def inferred_map(model, variables, images):
    return run_once(lambda variables: model.apply(variables, images, False), variables)


def training_map(model, variables, images):
    return model.apply(variables, images, True, mutable=["batch_stats"])


@pytest.mark.parametrize(
    ("stages", "bottleneck", "published", "features"),
    [
        # torchvision's published counts, of which the classifier has (features + 1) x 1000
        ((2, 2, 2, 2), False, 11_689_512, 512),
        ((3, 4, 6, 3), False, 21_797_672, 512),
        ((3, 4, 6, 3), True, 25_557_032, 2048),
    ],
)
def test_parameter_counts_are_the_published_ones_without_the_classifier(stages, bottleneck, published, features):
    model = ResNet(stages, bottleneck)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == published - (features + 1) * 1000


@pytest.mark.parametrize(
    ("height", "width", "channels", "bottleneck", "shape"),
    [
        # a 32nd of each side, rounded up
        (32, 32, 3, False, (1, 1, 512)),
        (33, 65, 1, True, (2, 3, 2048)),
        (96, 64, 4, False, (3, 2, 512)),
        (227, 224, 3, True, (8, 7, 2048)),
    ],
)
def test_any_sides_from_32_up_and_any_channels_give_a_map(height, width, channels, bottleneck, shape):
    model, images = ResNet((1, 1, 1, 1), bottleneck), jnp.zeros((2, height, width, channels))
    last, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images, False))
    assert last.shape == (2, *shape)


@pytest.mark.parametrize(
    ("trunk", "side", "stages"),
    [
        ("resnet50_vggface2", 112, (28, 14, 7, 4)),  # Aff-Wild2 spec, section 4
        # 49 after the stem: a pool without a margin has one window less; slim halves a stage earlier
        ("resnet50_vggface2", 98, (24, 12, 6, 3)),
        ("resnet50_slim", 98, (13, 7, 4, 4)),
    ],
)
def test_the_kinds_of_50_layers_have_their_maps_and_one_number_of_parameters(trunk, side, stages):
    model = emotion_net.TRUNKS[trunk](axis_name=None)

    def run(images):
        return model.init_with_output(jax.random.key(0), images, False, capture_intermediates=True)[1]

    variables = jax.eval_shape(run, jnp.zeros((1, side, side, 3)))
    ends = [f"stage{stage}_block{count}" for stage, count in enumerate(model.stages, start=1)]
    shapes = [variables["intermediates"][name]["__call__"][0].shape[1:3] for name in ends]
    assert shapes == [(end, end) for end in stages]
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 23_508_032
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["batch_stats"])) == 2 * 26_560


@pytest.mark.parametrize(
    ("options", "families"),
    [
        ({}, ("torchvision",)),
        ({"stride_on": "1x1", "stem_pool": "ceil"}, ("vggface2", "vggface2_bgr")),
        ({"stride_on": "1x1"}, ()),
        ({"stride_on": "last_unit", "stem_pool": "same"}, ()),
    ],
)
def test_weights_are_for_the_kind_that_they_were_made_with(options, families):
    found = ResNet(**options).FAMILIES
    assert found == families


def test_vggface2s_names_count_the_stem_as_a_stage():
    layers = ["conv1_7x7_s2"]  # Aff-Wild2 spec, section 13
    for stage, count in enumerate((3, 4, 6, 3), start=2):
        for block in range(1, count + 1):
            parts = ["1x1_reduce", "3x3", "1x1_increase", *(["1x1_proj"] if block == 1 else [])]
            layers += [f"conv{stage}_{block}_{part}" for part in parts]
    names = ResNet().torch_names("vggface2")
    assert [theirs for theirs, _ in names] == [name for layer in layers for name in (layer, f"{layer}_bn")]
    assert [ours for _, ours in names] == [ours for _, ours in ResNet().torch_names()]


@pytest.mark.parametrize(("height", "width", "shape"), [(8, 8, (1, 1, 8)), (44, 48, (6, 6, 8)), (9, 33, (2, 5, 8))])
def test_for_small_images_the_map_has_an_eighth_of_each_side(height, width, shape):
    model, images = ResNet((1, 1, 1, 1), False, stem_width=1, small_images=True), jnp.zeros((2, height, width, 1))
    (last, variables) = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images, False))
    assert last.shape == (2, *shape)
    assert variables["params"]["stem_conv"]["kernel"].shape == (3, 3, 1, 1)


def test_a_side_below_8_is_refused_of_small_images():
    with pytest.raises(UserError, match="at least 8 pixels a side, found 7 x 9: choose"):
        jax.eval_shape(lambda: ResNet(small_images=True).init(jax.random.key(0), jnp.zeros((1, 7, 9, 1)), False))


@pytest.mark.parametrize(
    ("trunk", "count"),
    # WuJie1010's ResNet-18 for FER2013 has 11,172,423 with three channels and a classifier of 512 x 7 + 7; one block
    # fewer in the first and in the last stage leaves out 2 x 9 x (64^2 + 512^2) weights and 2 norms each
    [
        ("fer_resnet18", 11_172_423 - 3_591 - 2 * 9 * 64),
        ("fer_resnet14", 11_172_423 - 3_591 - 2 * 9 * 64 - 18 * (64**2 + 512**2) - 4 * (64 + 512)),
    ],
)
def test_the_trunks_for_fer2013_have_their_parameters(trunk, count):
    model = emotion_net.TRUNKS[trunk](axis_name=None)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 44, 44, 1)), False))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize(("height", "width"), [(31, 40), (40, 31), (1, 1)])
def test_a_side_below_32_is_refused_with_both_sides(height, width):
    with pytest.raises(UserError, match=rf"at least 32 pixels a side, found {height} x {width}: choose"):
        jax.eval_shape(lambda: ResNet().init(jax.random.key(0), jnp.zeros((1, height, width, 3)), False))


@pytest.mark.parametrize(
    ("stages", "bottleneck", "expected"),
    [
        (
            (1, 2),
            False,
            """conv1 stem_conv, bn1 stem_norm,
            layer1.0.conv1 stage1_block1/conv1, layer1.0.bn1 stage1_block1/norm1,
            layer1.0.conv2 stage1_block1/conv2, layer1.0.bn2 stage1_block1/norm2,
            layer2.0.conv1 stage2_block1/conv1, layer2.0.bn1 stage2_block1/norm1,
            layer2.0.conv2 stage2_block1/conv2, layer2.0.bn2 stage2_block1/norm2,
            layer2.0.downsample.0 stage2_block1/shortcut_conv, layer2.0.downsample.1 stage2_block1/shortcut_norm,
            layer2.1.conv1 stage2_block2/conv1, layer2.1.bn1 stage2_block2/norm1,
            layer2.1.conv2 stage2_block2/conv2, layer2.1.bn2 stage2_block2/norm2""",
        ),
        (
            (1,),
            True,
            """conv1 stem_conv, bn1 stem_norm,
            layer1.0.conv1 stage1_block1/conv1, layer1.0.bn1 stage1_block1/norm1,
            layer1.0.conv2 stage1_block1/conv2, layer1.0.bn2 stage1_block1/norm2,
            layer1.0.conv3 stage1_block1/conv3, layer1.0.bn3 stage1_block1/norm3,
            layer1.0.downsample.0 stage1_block1/shortcut_conv, layer1.0.downsample.1 stage1_block1/shortcut_norm""",
        ),
    ],
    ids=["basic", "bottleneck"],
)
def test_torch_names_are_torchvisions_in_its_order(stages, bottleneck, expected):
    assert ResNet(stages, bottleneck).torch_names() == [tuple(pair.split()) for pair in expected.split(",")]


def fold(params, statistics):
    """Every convolution that FOLDS names takes in its norm."""
    folded = {}
    for name, child in params.items():
        if name in ResNet.FOLDS:
            norm, moments = params[ResNet.FOLDS[name]], statistics[ResNet.FOLDS[name]]
            factor = norm["scale"] / jnp.sqrt(moments["var"] + 1e-5)
            folded[name] = {"kernel": child["kernel"] * factor, "bias": norm["bias"] - moments["mean"] * factor}
        elif name not in ResNet.FOLDS.values():
            folded[name] = fold(child, statistics[name])
    return folded


@KINDS
def test_a_folded_trunk_has_the_same_map_and_no_norms(images, bottleneck):
    model = ResNet(**SMALL, bottleneck=bottleneck, **FLOAT64)
    variables = random_variables(model, images)
    folded = {"params": fold(variables["params"], variables["batch_stats"])}
    folded_model = model.clone(folded=True)
    expected = jax.eval_shape(lambda: folded_model.init(jax.random.key(0), images, False))
    assert jax.tree.map(jnp.shape, folded) == jax.tree.map(jnp.shape, expected)
    found = inferred_map(folded_model, folded, images)
    assert np.ptp(found) > 0
    np.testing.assert_allclose(found, inferred_map(model, variables, images), rtol=1e-9, atol=1e-12)


def test_a_folded_trunk_refuses_to_train():
    with pytest.raises(ValueError, match="A folded model is for inference only"):
        jax.eval_shape(lambda: ResNet(folded=True).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), True))


def test_rematerialisation_changes_nothing(images):
    model = ResNet(stages=(1,), stem_width=4, **FLOAT64)
    variables = random_variables(model, images)

    def run(remat):
        def loss(params):
            last, updated = training_map(model.clone(remat=remat), {**variables, "params": params}, images)
            return (last**2).sum(), updated

        assert ("remat" in str(jax.make_jaxpr(jax.grad(loss, has_aux=True))(variables["params"]))) == remat
        return run_once(jax.value_and_grad(loss, has_aux=True), variables["params"])

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), run(True), run(False))


def test_two_shares_of_a_batch_are_normalised_as_the_whole(images):
    model = ResNet(stages=(1,), stem_width=4, **FLOAT64)
    variables = random_variables(model, images)
    whole, expected = run_once(lambda: training_map(model, variables, images))
    sharing = model.clone(axis_name="devices")
    shares_2xBxHxWxC = images.reshape(2, 2, *images.shape[1:])
    run = jax.vmap(lambda share: training_map(sharing, variables, share), axis_name="devices")
    maps, updated = run_once(run, shares_2xBxHxWxC)
    np.testing.assert_allclose(maps.reshape(whole.shape), whole, rtol=1e-9, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, jnp.stack([b, b]), rtol=1e-9), updated, expected)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(
    ("dtype", "param_dtype"),
    [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32), (jnp.float64, jnp.float64)],
)
def test_dtypes_are_honoured_everywhere(x64, folded, dtype, param_dtype):
    model = ResNet(**SMALL, folded=folded, dtype=dtype, param_dtype=param_dtype)
    images = jnp.zeros((2, 32, 32, 3), param_dtype)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, False))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(param_dtype)}

    def run(variables):
        mutable = ["batch_stats", "intermediates"]
        return model.apply(variables, images, not folded, mutable=mutable, capture_intermediates=True)

    last, updated = jax.eval_shape(run, variables)
    assert last.dtype == dtype
    assert {leaf.dtype for leaf in jax.tree.leaves(updated.get("batch_stats", {}))} <= {jnp.dtype(param_dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(updated["intermediates"])} == {jnp.dtype(dtype)}


@pytest.fixture(scope="module")
def initial_params():
    model = ResNet(stages=(1,))
    return run_once(lambda: model.init(jax.random.key(0, impl="rbg"), jnp.zeros((1, 32, 32, 3)), False))["params"]


@pytest.mark.parametrize(
    ("path", "fan_out"),
    [
        ("stem_conv", 7 * 7 * 64),
        ("stage1_block1/conv2", 3 * 3 * 64),
        ("stage1_block1/conv3", 256),  # from 64 channels
        ("stage1_block1/shortcut_conv", 256),  # likewise
    ],
)
def test_initial_kernels_are_he_normal_over_the_fan_out(initial_params, path, fan_out):
    for part in path.split("/"):
        initial_params = initial_params[part]
    values = np.asarray(initial_params["kernel"])
    np.testing.assert_allclose(values.std(), np.sqrt(2 / fan_out), rtol=0.03)
    assert np.abs(values).max() > 3 * values.std()  # not cut off at two deviations, as a truncated normal is


def test_every_initial_norm_passes_its_input_on(initial_params):
    """The last norm of a block too: torchvision starts it at 0 only where it is asked to."""
    scales = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(initial_params) if path[-1].key == "scale"]
    biases = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(initial_params) if path[-1].key == "bias"]
    assert len(scales) == len(biases) == 1 + 3 + 1  # the stem's, a block's three and its shortcut's
    assert all((scale == 1).all() for scale in scales)
    assert all((bias == 0).all() for bias in biases)
