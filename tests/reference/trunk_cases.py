"""What both sides of the comparison of ResNets and VGGs are given. NumPy only.

The answers of a case are one flat dictionary with keys "case/kind/name". Its kinds: "map" is the last feature map in
inference; "gradients" and "statistics" belong to one training step whose loss is the map's sum, each value weighted by
its own random number.
"""

import numpy as np

from tests.reference import cases

GOLDENS = cases.FOLDER / "trunk_goldens.npz"

BATCH = 3
TOLERANCE = 1e-10  # in float64, relative to the largest value of an array

# (height, width, channels, whether to train); some sides are odd. The published networks only infer, for time: the
# small ones, which train, have all their kinds of blocks.
CASES = {
    "resnet18": (33, 47, 3, False),
    "resnet34": (64, 47, 3, False),
    "resnet50": (47, 64, 1, False),
    "vgg16": (33, 39, 3, False),
    "small_basic": (33, 47, 3, True),
    "small_bottleneck": (33, 47, 1, True),
    "small_vgg": (33, 47, 3, True),
    # The stem makes 17 x 24 of it, one odd and one even side, where the kinds of pools differ.
    "small_vggface2": (33, 47, 3, True),
    "small_slim": (33, 47, 3, True),
    "small_vgg_same": (33, 47, 3, True),
}


def images(case):
    """float64 BATCH x height x width x channels: noise, as if normalised."""
    height, width, channels, _ = CASES[case]
    return np.random.default_rng(height).normal(size=(BATCH, height, width, channels))


def loss_weights(shape):
    """float64, one weight for each value of a feature map of this shape, channels last."""
    return np.random.default_rng(0).normal(size=shape)


def tensor(name, shape):
    """A tensor of a state dict, float64."""
    return cases.random_tensor(name, shape).astype(np.float64)
