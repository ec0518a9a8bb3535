"""Stripes that training masks in spectrograms at random, on the device: SpecAugment (Park et al., Interspeech 2019).

Of the paper's three changes these are two: masks of time and of pitch. (It calls its third, warping time, the least
useful.) What is masked becomes 0, as in the paper, whose spectrograms are normalised: here 0 is -40 dB (sound/mel.py).
"""

from functools import partial

import jax
import jax.numpy as jnp

from emotion_gcn_jax.data.augmentation import Augmentation

_DRAWS = 9  # in an example's key: augmentation.py has 4 to 8, and what it splits the key into


def mask_sounds(patches_BxSxM: jax.Array, keys_B: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Masks `sound_masks` stripes of time and as many of pitch in each spectrogram.

    A stripe's width is drawn from 0 to `sound_mask_steps` or `sound_mask_bands`, and then its place, all of which are
    equally likely; stripes may overlap.

    Args:
        patches_BxSxM: steps of time by bands of pitch, from sound.mel.patch.
        keys_B: a key for each, from augmentation.example_keys; equal keys mask alike.
        augmentation: how many, and how wide at most.

    Returns:
        The same with zeros in the stripes.
    """
    return jax.vmap(partial(_mask_one, augmentation=augmentation))(patches_BxSxM, keys_B)


def covered(size: int, firsts_K: jax.Array, widths_K: jax.Array) -> jax.Array:
    """Tells which of `size` places lie in one of K stripes, each from its first place on: bool [size]."""
    beyond_KxN = jnp.arange(size) - firsts_K[:, None]
    return ((beyond_KxN >= 0) & (beyond_KxN < widths_K[:, None])).any(axis=0)


def _mask_one(patch_SxM: jax.Array, key: jax.Array, augmentation: Augmentation) -> jax.Array:
    key = jax.random.fold_in(key, _DRAWS)
    count, most = augmentation.sound_masks, (augmentation.sound_mask_steps, augmentation.sound_mask_bands)
    in_time_S, in_pitch_M = (
        covered(size, *_stripes(jax.random.fold_in(key, axis), size, count, most[axis]))
        for axis, size in enumerate(patch_SxM.shape)
    )
    return jnp.where(in_time_S[:, None] | in_pitch_M, 0, patch_SxM)


def _stripes(key: jax.Array, size: int, count: int, most: int) -> tuple[jax.Array, jax.Array]:
    """Draws first places and widths, whole numbers: nothing of them depends on rounding."""
    width_key, first_key = jax.random.split(key)
    widths_K = jax.random.randint(width_key, (count,), 0, most + 1, jnp.int32)
    return jax.random.randint(first_key, (count,), 0, size - widths_K + 1, jnp.int32), widths_K
