"""Resizing of stored faces to the network's input: one function for training, evaluation and prediction."""

from collections.abc import Callable
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image


def fit(image: np.ndarray, size: int, resize: str) -> np.ndarray:
    """Returns the image's middle square at the given size; builders store squares, save for AffectNet's official crops.

    As in torchvision, the shorter side becomes `size` and the longer one is cut to it on both ends.
    """
    height, width = image.shape[:2]
    if min(height, width) != size:
        shorter = min(height, width)
        width, height = size * width // shorter, size * height // shorter
        image = RESIZE_FILTERS[resize](image, (width, height))
    top, left = round((height - size) / 2), round((width - size) / 2)
    return image[top : top + size, left : left + size]


def _resize_bilinear_antialiased(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _resize_bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def _resize_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


RESIZE_FILTERS: MappingProxyType[str, Callable[[np.ndarray, tuple[int, int]], np.ndarray]] = MappingProxyType(
    {
        "bilinear_antialiased": _resize_bilinear_antialiased,
        "bilinear": _resize_bilinear,
        "area": _resize_area,
    }
)
"""Functions of a uint8 HxWx3 image and its new (width, height). The first is Pillow's and what the official pipeline
uses; the others are OpenCV's: bilinear without antialiasing is about twice as fast, area averages the pixels that fall
into one."""
