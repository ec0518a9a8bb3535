"""The spatial transformer by hand; tests/reference compares its values and both gradients with PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.models import spatial_transformer
from tests.models.running import run_once

# Deep-Emotion spec, 1.2: of the image 4 r + c the transformation, and the rows under both conventions.
IMAGE = np.arange(16.0).reshape(4, 4)
TURNED = [[3, 7, 11, 15], [2, 6, 10, 14], [1, 5, 9, 13], [0, 4, 8, 12]]
MAGNIFIED = [[i + 3.75, i + 4.25, i + 4.75, i + 5.25] for i in (0, 2, 4, 6)]
SHRUNK = [[0, 0, 0, 0], [0, 2.5, 4.5, 0], [0, 10.5, 12.5, 0], [0, 0, 0, 0]]
TABLE = {
    "identity": ([[1, 0, 0], [0, 1, 0]], IMAGE, IMAGE),
    "shift": (
        [[1, 0, 0.5], [0, 1, 0]],
        [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0], [13, 14, 15, 0]],
        [
            [0.75, 1.75, 2.75, 0.75],
            [4.75, 5.75, 6.75, 1.75],
            [8.75, 9.75, 10.75, 2.75],
            [12.75, 13.75, 14.75, 3.75],
        ],
    ),
    "magnify": ([[0.5, 0, 0], [0, 0.5, 0]], MAGNIFIED, MAGNIFIED),
    "shrink": ([[2, 0, 0], [0, 2, 0]], SHRUNK, SHRUNK),
    "turn": ([[0, -1, 0], [1, 0, 0]], TURNED, TURNED),
    "any": (
        [[0.75, 0.25, 0.1], [-0.25, 0.5, -0.2]],
        [[3.1, 2.85, 2.6, 2.38875], [5.35, 5.1, 4.85, 4.6], [7.6, 7.35, 7.1, 6.85], [9.85, 9.6, 9.35, 7.12]],
        [[3.45, 3.2, 2.95, 2.7], [5.7, 5.45, 5.2, 4.95], [7.95, 7.7, 7.45, 7.2], [10.2, 9.95, 9.7, 7.905]],
    ),
}


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_specification(name, align_corners):
    theta, *expected = TABLE[name]
    warped = spatial_transformer.warp(
        jnp.asarray(IMAGE, jnp.float32)[None, :, :, None],
        jnp.asarray(theta, jnp.float32)[None],
        align_corners=align_corners,
    )
    np.testing.assert_allclose(warped[0, :, :, 0], expected[align_corners], rtol=0, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("height", "width"), [(9, 9), (48, 48), (3, 7), (1, 6)])
def test_the_identity_changes_no_bit(height, width, align_corners):
    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    theta = jnp.tile(jnp.eye(2, 3), (2, 1, 1))
    np.testing.assert_array_equal(spatial_transformer.warp(x, theta, align_corners=align_corners), x)


def test_every_image_has_its_own_transformation():
    x = np.random.default_rng(0).normal(size=(3, 5, 7, 2)).astype(np.float32)
    theta = np.random.default_rng(1).normal(size=(3, 2, 3)).astype(np.float32)
    together = spatial_transformer.warp(x, theta)
    alone = [spatial_transformer.warp(x[i : i + 1], theta[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)  # of numbers up to 3, in float32


def test_what_lies_outside_fades_to_zero():
    places = jnp.asarray([[-1.0, 0.0], [-0.75, 0.0], [1.0, 0.5], [1e9, 0.0], [0.0, -1e9]]).reshape(1, 1, 5, 2)
    read = spatial_transformer.sample(jnp.full((1, 1, 2, 1), 8.0), places)
    # a quarter of the way from nothing to the first pixel; half of the way down out of the only row
    assert read.reshape(-1).tolist() == [0, 2, 4, 0, 0]


def test_on_a_pixel_the_gradient_is_the_one_towards_larger_places():
    row = jnp.asarray([1.0, 3.0, 4.0]).reshape(1, 1, 3, 1)

    def read(x):
        return spatial_transformer.sample(row, jnp.stack([x, jnp.zeros(())]).reshape(1, 1, 1, 2)).sum()

    assert [float(jax.grad(read)(x)) for x in (0.0, 0.5, 1.0, 2.0)] == [2, 2, 1, -4]


@pytest.mark.parametrize(("dtype", "within"), [(jnp.bfloat16, 0.02), (jnp.float32, 1e-6), (jnp.float64, 1e-12)])
def test_places_are_computed_in_float32_at_least_and_the_map_keeps_its_dtype(x64, dtype, within):
    rng = np.random.default_rng(0)
    x, theta = rng.uniform(1, 2, (2, 9, 9, 4)), np.tile(np.eye(2, 3) * 0.9, (2, 1, 1))
    expected = spatial_transformer.warp(x, theta)
    wide = jnp.promote_types(dtype, jnp.float32)
    warped = run_once(spatial_transformer.warp, jnp.asarray(x, dtype), jnp.asarray(theta, wide))
    assert warped.dtype == dtype
    np.testing.assert_allclose(np.asarray(warped, np.float64), expected, atol=within * 2)
