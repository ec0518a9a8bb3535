"""Reads a release's image files; what is wrong with one is a reason to skip its entry."""

import pathlib

import cv2
import numpy as np

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.releases.building import Skip

IMAGE_MISSING = "image missing"
IMAGE_EMPTY = "image empty"
IMAGE_UNREADABLE = "image unreadable"


def read_image(path: pathlib.Path) -> np.ndarray:
    """Returns an image file as uint8 RGB [height, width, 3], as `faces.pictures.decode` does.

    Raises:
        Skip: the file is missing, has no bytes, or is no whole image.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Skip(IMAGE_MISSING, f"no {path}") from None
    except (OSError, ValueError) as error:  # of a name with a zero byte Python says ValueError
        raise Skip(IMAGE_UNREADABLE, f"{path}: {error}") from None
    if not data:
        raise Skip(IMAGE_EMPTY, f"no bytes in {path}")
    try:
        return pictures.decode(data)
    except UserError as error:
        raise Skip(IMAGE_UNREADABLE, str(error)) from None


def small_grey(image_HxWx3: np.ndarray, side: int) -> np.ndarray:
    """The grey levels of an image, reduced by averaging areas until its shorter side is `side`; small ones stay.

    Args:
        image_HxWx3: uint8 RGB.
        side: in pixels.

    Returns:
        uint8 [H, W]; ITU-R 601's weights of red, green and blue.
    """
    grey_HxW = cv2.cvtColor(image_HxWx3, cv2.COLOR_RGB2GRAY)
    height, width = grey_HxW.shape
    if min(height, width) <= side:
        return grey_HxW
    size = (side * width // min(height, width), side * height // min(height, width))
    return cv2.resize(grey_HxW, size, interpolation=cv2.INTER_AREA)
