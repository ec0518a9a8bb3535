"""Splits in memory, and the images of the small build: noise that no two examples share."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from emotion_gcn_jax.data.source import Split
from emotion_gcn_jax.labels import EXPRESSIONS


def pixels(number: int, shape: tuple[int, ...] = (12, 12, 3)) -> np.ndarray:
    """Returns the image of example `number`: noise that no other example has."""
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def encoded(image: np.ndarray, image_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, image_format, **options)
    return buffer.getvalue()


def split_of(columns: Mapping[str, Any], *, name: str = "faces", **metadata) -> Split:
    """Returns a split whose example i has the id "i.png" and the image `pixels(i)`.

    Args:
        columns: at least one.
        name: the dataset's.
        **metadata: the words of the classes are the seven expressions unless others are given.
    """
    arrays = {column: np.asarray(values) for column, values in columns.items()}
    count = len(next(iter(arrays.values())))
    return Split(
        dataset=name,
        config=None,
        name="train",
        metadata={"label_names": EXPRESSIONS, **metadata},
        columns={"id": np.asarray([f"{number}.png".encode() for number in range(count)]), **arrays},
        read_image=pixels,
        rows=np.arange(count),
    )
