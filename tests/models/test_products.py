import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from emotion_gcn_jax.models import products

TOLERANCES = {"float32": 2e-5, "float64": 1e-13}  # relative to the largest value


def plain_conv(x, kernel, stride=1, margin=None):
    margins = (kernel.shape[0] // 2 if margin is None else margin,) * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), (margins, margins), dimension_numbers=layout)


def draw(shape, dtype, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def assert_close(found, expected, tolerance):
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(jnp.abs(expected).max()))


SHAPES = {
    "chunks of 7 images": (35, 14, 14, 24),
    "an image has more rows than a chunk should": (3, 70, 71, 4),
    "a prime number of images, chunks of one": (37, 15, 15, 4),
    "one chunk": (5, 7, 9, 3),
    "the margin is most of it": (2, 1, 1, 4),
}


@pytest.mark.parametrize(
    ("shape", "size", "stride", "features"),
    [
        *(("chunks of 7 images", 3, 1, 2), ("chunks of 7 images", 3, 1, 40), ("chunks of 7 images", 5, 3, 2)),
        *(
            ("an image has more rows than a chunk should", 3, 2, 6),
            ("an image has more rows than a chunk should", 7, 2, 6),
        ),
        *(("a prime number of images, chunks of one", 3, 1, 40), ("a prime number of images, chunks of one", 5, 3, 2)),
        *(("one chunk", 3, 1, 2), ("one chunk", 7, 2, 6)),
        *(("the margin is most of it", 3, 2, 6), ("the margin is most of it", 7, 2, 6)),
    ],
)
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.usefixtures("x64")
def test_a_convolution_equals_the_plain_one_with_both_gradients(shape, dtype, size, stride, features):
    shape = SHAPES[shape]
    x, kernel = draw(shape, dtype, 0), draw((size, size, shape[-1], features), dtype, 1)
    found, gradients = jax.vjp(lambda x, kernel: products.conv(x, kernel, stride), x, kernel)
    expected, expected_gradients = jax.vjp(lambda x, kernel: plain_conv(x, kernel, stride), x, kernel)
    assert_close(found, expected, TOLERANCES[dtype])
    cotangent = draw(found.shape, dtype, 2)
    for one, other in zip(gradients(cotangent), expected_gradients(cotangent), strict=True):
        assert_close(one, other, TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    ("size", "stride", "margin", "features"),
    [(3, 1, 0, 4), (3, 1, 0, 12), (3, 1, 2, 4), (5, 1, 0, 12), (7, 2, 0, 4), (3, 2, 2, 12), (1, 1, 0, 4)],
    ids=str,
)
@pytest.mark.usefixtures("x64")
def test_a_margin_can_be_any_up_to_the_kernels_side(dtype, size, stride, margin, features):
    x, kernel = draw((12, 24, 23, 6), dtype, 0), draw((size, size, 6, features), dtype, 1)
    found, gradients = jax.vjp(lambda x, kernel: products.conv(x, kernel, stride, margin), x, kernel)
    wide = "float32" if dtype == "bfloat16" else dtype
    x, kernel = x.astype(wide), kernel.astype(wide)
    expected, expected_gradients = jax.vjp(lambda x, kernel: plain_conv(x, kernel, stride, margin), x, kernel)
    assert found.shape[1:3] == tuple((side + 2 * margin - size) // stride + 1 for side in (24, 23))
    cotangent = draw(found.shape, dtype, 2)
    pairs = zip((found, *gradients(cotangent)), (expected, *expected_gradients(cotangent.astype(wide))), strict=True)
    for one, other in pairs:
        assert_close(one.astype(wide), other, TOLERANCES.get(dtype, 2**-7))


@pytest.mark.parametrize(
    ("shape", "size", "stride", "features"),
    [((35, 14, 15, 24), 3, 1, 40), ((3, 7, 9, 4), 3, 2, 6), ((2, 1, 1, 4), 7, 2, 6), ((35, 14, 15, 24), 5, 3, 2)],
    ids=str,
)
def test_in_bfloat16_both_gradients_are_float32s_but_for_rounding(shape, size, stride, features):
    half, layout = "bfloat16", (size, size, shape[-1], features)
    x, kernel = draw(shape, half, 0), draw(layout, half, 1)
    found, gradients = jax.vjp(lambda x, kernel: products.conv(x, kernel, stride), x, kernel)
    cotangent = draw(found.shape, half, 2)
    x, kernel, wide = (array.astype("float32") for array in (x, kernel, cotangent))
    expected, expected_gradients = jax.vjp(lambda x, kernel: plain_conv(x, kernel, stride), x, kernel)
    pairs = zip((found, *gradients(cotangent)), (expected, *expected_gradients(wide)), strict=True)
    for one, other in pairs:  # bfloat16 has 8 bits; the kernel's gradient is a sum of chunks, each rounded to them
        assert one.dtype == half
        assert_close(one.astype("float32"), other, 2**-7)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.usefixtures("x64")
def test_a_1x1_convolution_equals_the_plain_one_with_both_gradients(dtype):
    x, kernel = draw((4, 9, 7, 12), dtype, 0), draw((12, 5), dtype, 1)
    found, gradients = jax.vjp(products.pointwise, x, kernel)
    expected, expected_gradients = jax.vjp(lambda x, kernel: x @ kernel, x, kernel)
    assert_close(found, expected, TOLERANCES[dtype])
    cotangent = draw(found.shape, dtype, 2)
    for one, other in zip(gradients(cotangent), expected_gradients(cotangent), strict=True):
        assert_close(one, other, TOLERANCES[dtype])


def test_a_kernels_gradient_of_bfloat16_maps_is_summed_in_float32():
    x, gradient = jnp.ones((64, 16, 16, 2), jnp.bfloat16), jnp.ones((64, 16, 16, 3), jnp.bfloat16)
    found = products.kernel_gradient(x, gradient, size=3, stride=1)
    assert found.dtype == jnp.bfloat16
    # bfloat16 counts to 256 only; the kernel's middle meets 64 x 16 x 16 ones.
    assert found[1, 1].tolist() == [[16384] * 3] * 2


def test_other_platforms_get_the_plain_gradient():
    """The program for a TPU has a convolution for each gradient, and neither a loop nor a product."""
    x, kernel = jax.ShapeDtypeStruct((8, 57, 57, 4), jnp.float32), jax.ShapeDtypeStruct((3, 3, 4, 6), jnp.float32)

    def loss(x, kernel):
        return (products.conv(x, kernel) ** 2).sum()

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    text = {name: gradients.trace(x, kernel).lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "tpu")}
    assert text["tpu"].count("stablehlo.convolution") == 3
    assert "stablehlo.while" not in text["tpu"] and "dot_general" not in text["tpu"]
    assert text["cpu"].count("stablehlo.convolution") == 2
    assert "stablehlo.while" in text["cpu"]
