"""Masks of sounds by hand numbers, and what is drawn: its ranges, and that equal keys mask alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.data.augmentation import Augmentation, example_keys
from emotion_gcn_jax.data.sound_masks import covered, mask_sounds
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.sound.mel import BANDS, STEPS


@pytest.mark.parametrize(
    ("firsts", "widths", "expected"),
    [
        ([2], [3], [2, 3, 4]),
        ([2], [0], []),
        ([0], [8], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([5], [3], [5, 6, 7]),
        ([1, 3], [3, 2], [1, 2, 3, 4]),  # they overlap
        ([0, 6], [1, 1], [0, 6]),
    ],
)
def test_stripes_by_hand(firsts, widths, expected):
    found = covered(8, jnp.array(firsts), jnp.array(widths))
    np.testing.assert_array_equal(np.flatnonzero(found), expected)


MASK = jax.jit(mask_sounds, static_argnames="augmentation")


def masked(keys_B, **options):
    return np.asarray(MASK(jnp.ones((len(keys_B), STEPS, BANDS)), keys_B, augmentation=Augmentation(**options)))


def keys(seed, step, positions):
    return example_keys(jax.random.key(seed), step, jnp.asarray(positions))


def test_widths_and_places_are_drawn_evenly():
    """One stripe of up to 3 steps and one of up to 7 bands in each of 1,000 patches."""
    found = masked(keys(0, 0, range(1000)), sound_masks=1, sound_mask_steps=3, sound_mask_bands=7)
    assert set(np.unique(found)) == {0, 1}
    is_step_BxS, is_band_BxM = (found == 0).all(axis=2), (found == 0).all(axis=1)
    # A stripe of time and one of pitch, and nothing else.
    np.testing.assert_array_equal(found == 0, is_step_BxS[:, :, None] | is_band_BxM[:, None])
    for masked_BxN, most in ((is_step_BxS, 3), (is_band_BxM, 7)):
        widths = masked_BxN.sum(axis=1)
        # Widths 0 to `most` are equally likely: 1,000 / (most + 1) of each, give or take five standard deviations.
        counts = np.bincount(widths, minlength=most + 1)
        assert len(counts) == most + 1
        assert np.abs(counts - 1000 / (most + 1)).max() < 5 * np.sqrt(1000 / (most + 1))
        assert masked_BxN[:, 0].any() and masked_BxN[:, -1].any()
        edges = np.diff(masked_BxN.astype(int), axis=1, prepend=0, append=0)
        assert (np.abs(edges).sum(axis=1) == 2 * (widths > 0)).all()  # each in one piece


def test_equal_keys_mask_alike_and_others_do_not():
    """A mask depends on the seed, the step and the position in the global batch alone."""
    whole = masked(keys(3, 5, [0, 0, 1, 1, 2, 2]), sound_masks=2)  # three clips of two frames
    np.testing.assert_array_equal(whole[0::2], whole[1::2])
    others = [keys(3, 5, [2, 2]), keys(3, 6, [0, 1]), keys(4, 5, [0, 1])]
    found = masked(jnp.concatenate(others), sound_masks=2)
    np.testing.assert_array_equal(found[:2], whole[4:])  # as on another device
    assert all((one != other).any() for one in whole[[0, 2]] for other in found[2:])


@pytest.mark.parametrize(("field", "most"), [("sound_mask_steps", 96), ("sound_mask_bands", 64)])
def test_a_stripe_is_no_wider_than_a_patch(field, most):
    with pytest.raises(UserError, match=rf"{field} must lie in 0..{most}: found {most + 1}"):
        Augmentation(**{field: most + 1})
