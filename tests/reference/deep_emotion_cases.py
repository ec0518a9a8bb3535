"""What both sides of the comparison of Deep-Emotion are given. NumPy only.

The answers are one flat dictionary with keys "case/kind/name". The cases are the variants of the network, whose kinds
are "outputs" in inference, and of those that train the "losses" of ten steps of Adam and the "parameters" after them;
and the spatial transformer under its two conventions, with the kinds "values" and "gradients".
"""

import numpy as np

from tests.reference import cases

GOLDENS = cases.FOLDER / "deep_emotion_goldens.npz"

STEPS, BATCH = 10, 8
RATE, L2 = 0.005, 5e-4  # Deep-Emotion spec, section 2
TOLERANCES = {"outputs": 1e-9, "losses": 1e-8, "parameters": 1e-8, "values": 1e-12, "gradients": 1e-12}  # in float64

# By the name of our trunk its localisation network, what is warped, and whether the case trains.
NETWORKS = {
    "deep_emotion": ("pool4", "features", True),
    "deep_emotion_valid3": ("valid3", "features", True),
    "deep_emotion_tutorial": ("tutorial", "features", False),
    "deep_emotion_input": ("pool4", "input", False),
    "deep_emotion_tutorial_input": ("tutorial", "input", True),
    "deep_emotion_none": (None, "none", False),
}
TRANSFORMERS = {"edges": False, "centres": True}  # align_corners

GROUPS = [
    *(f"{case}/outputs" for case in NETWORKS),
    *(f"{case}/{kind}" for case, (*_, trains) in NETWORKS.items() if trains for kind in ("losses", "parameters")),
    *(f"{case}/{kind}" for case in TRANSFORMERS for kind in ("values", "gradients")),
]


def images(count):
    """uint8 count x 48 x 48 x 1: blotches and noise."""
    return cases.images(48, count)[..., :1]


def normalised(images_u8):
    """float64 in -1..1."""
    return (images_u8 / 255 - 0.5) / 0.5


def batches():
    """STEPS training batches."""
    rng = np.random.default_rng(0)
    all_images = images(BATCH * STEPS)
    for step in range(STEPS):
        yield all_images[step * BATCH : (step + 1) * BATCH], rng.integers(0, 7, BATCH).astype(np.int32)


def tensor(name, shape):
    """A tensor of a state dict, float64; theta is about the identity, and of every image another one."""
    values = cases.random_tensor(name, shape).astype(np.float64)
    if name == "fc_loc.2.weight":
        return 0.2 * values
    if name == "fc_loc.2.bias":
        return 0.3 * values + [1, 0, 0, 0, 1, 0]
    return values


def transformer_inputs():
    """A map [2, 5, 7, 3], transformations of it [2, 2, 3], and a weight for each value of the result; float64."""
    rng = np.random.default_rng(0)
    theta = np.eye(2, 3) + rng.normal(0, 0.4, (2, 2, 3))
    return rng.normal(size=(2, 5, 7, 3)), theta, rng.normal(size=(2, 5, 7, 3))
