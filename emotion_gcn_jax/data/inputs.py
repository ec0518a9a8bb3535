"""What a network looks at: its images' side and channels, how they are resized, and how they are normalised.

On the host `Input.fit` makes the whole image. On the device training changes it at random and normalises it
(augmentation.py, training/step.py), evaluation and prediction take `Input.view`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from PIL import Image

from emotion_gcn_jax.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of red, green and blue in 0..1 (Emotion-GCN, official recipe)."""

IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

NORMALISATIONS: MappingProxyType[str, tuple[tuple[float, ...], tuple[float, ...]]] = MappingProxyType(
    {
        "imagenet": (IMAGENET_MEAN, IMAGENET_DEVIATION),
        # These two had a mean of 0..255 subtracted and no more (Aff-Wild2 spec, section 3).
        "vggface2": ((131.0912 / 255, 103.8827 / 255, 91.4953 / 255), (1 / 255,) * 3),
        "vgg_face": ((129.1863 / 255, 104.7624 / 255, 93.5940 / 255), (1 / 255,) * 3),
    }
)
"""Mean and deviation of red, green and blue in 0..1, by the weights that learnt with them."""

_LONGEST = 16  # times the shorter side: what is further from the middle of an image is in no square


@dataclasses.dataclass(frozen=True)
class Input:
    """The network's input. It stands in every checkpoint, so that prediction does what training did.

    Attributes:
        side: of the square image, in pixels.
        channels: 3 for RGB, 1 for grey.
        resize: a key of RESIZE_FILTERS.
        mean: of each channel, in 0..1; it is subtracted.
        deviation: of each channel, in 0..1; the rest is divided by it.
        crop: side of the square that the network sees of the image, anywhere in training and in the middle otherwise; 0
            is the whole image.
    """

    side: int
    channels: int = 3
    resize: str = "bilinear_antialiased"
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION
    crop: int = 0

    def __post_init__(self) -> None:
        """Raises UserError for a field out of its range."""
        if not 8 <= self.side <= 2048:
            raise UserError(f"config.input.side must lie in 8..2048 pixels, found {self.side}.")
        if self.crop and not 8 <= self.crop <= self.side:
            raise UserError(
                f"config.input.crop must be 0 (none) or lie in 8..{self.side}, the image's side, found {self.crop}."
            )
        if self.channels not in (1, 3):
            raise UserError(f"config.input.channels must be 3 (RGB) or 1 (grey), found {self.channels}.")
        if self.resize not in RESIZE_FILTERS:
            raise UserError(f"Unknown config.input.resize {self.resize!r}: choose one of {', '.join(RESIZE_FILTERS)}.")
        for field in ("mean", "deviation"):
            numbers = getattr(self, field)
            are_numbers = all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
            if len(numbers) != self.channels or not are_numbers:
                raise UserError(
                    f"config.input.{field} must have {self.channels} numbers, one a channel, found {numbers}: for "
                    f"grey images set --config.input.mean='(0.45,)' and --config.input.deviation='(0.225,)'."
                )
        if min(self.deviation) <= 0:
            raise UserError(f"config.input.deviation must be positive, found {self.deviation}.")

    @property
    def network_side(self) -> int:
        """The side of what the network sees, in pixels."""
        return self.crop or self.side

    def at(self, network_side: int) -> "Input":
        """The input of a network that sees as much of an image as before, at another side in pixels."""
        if not self.crop:
            return dataclasses.replace(self, side=network_side)
        return dataclasses.replace(self, side=round(self.side * network_side / self.crop), crop=network_side)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Input":
        """Reads config.input, or what `to_dict` wrote."""
        known: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON has them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}

    def fit(self, image_HxWx3: np.ndarray) -> np.ndarray:
        """Returns an image's middle square at the input's size and in its colours: uint8 side x side x channels.

        As in torchvision, the shorter side becomes `side` and the longer one is cut to it on both ends. Builders store
        squares, save for AffectNet's official crops.

        Args:
            image_HxWx3: uint8 RGB.
        """
        image_HxWx3 = _without_far_ends(image_HxWx3)
        height, width = image_HxWx3.shape[:2]
        if min(height, width) != self.side:
            shorter = min(height, width)
            width, height = self.side * width // shorter, self.side * height // shorter
            image_HxWx3 = RESIZE_FILTERS[self.resize](image_HxWx3, (width, height))
        top, left = round((height - self.side) / 2), round((width - self.side) / 2)
        square = image_HxWx3[top : top + self.side, left : left + self.side]
        return square if self.channels == 3 else cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)[..., None]

    def view(self, images_BxSxSxC: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
        """Returns what the network sees of whole images in evaluation and prediction: the middle, normalised."""
        return self.normalise(self._cut(images_BxSxSxC, self._middle, self._middle), dtype)

    def ten_views(self, images_BxSxSxC: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
        """Returns ten crops of whole images, normalised: the four corners, the middle, and the mirror of each.

        Returns:
            10 x B x crop x crop x C; the mirrors are the last five.
        """
        last, middle = self.side - self.crop, self._middle
        places = ((0, 0), (0, last), (last, 0), (last, last), (middle, middle))
        crops = jnp.stack([self._cut(images_BxSxSxC, top, left) for top, left in places])
        return self.normalise(jnp.concatenate([crops, crops[..., ::-1, :]]), dtype)

    def normalise(self, images_BxHxWxC: jax.Array, dtype: DTypeLike = jnp.float32) -> jax.Array:
        """Returns images in 0..255 (any dtype) with the mean subtracted and divided by the deviation."""
        precise = jnp.promote_types(dtype, jnp.float32)
        mean, deviation = (255 * jnp.asarray(numbers, precise) for numbers in (self.mean, self.deviation))
        return ((images_BxHxWxC.astype(precise) - mean) / deviation).astype(dtype)

    @property
    def _middle(self) -> int:
        """The first row and column of the middle crop."""
        return round((self.side - self.network_side) / 2)

    def _cut(self, images_BxSxSxC: jax.Array, top: int, left: int) -> jax.Array:
        if not self.crop:
            return images_BxSxSxC
        # In floating point, since onnx_writer/onnx_graph.py writes no whole numbers.
        images = images_BxSxSxC.astype(jnp.promote_types(images_BxSxSxC.dtype, jnp.float32))
        return images[:, top : top + self.crop, left : left + self.crop]


def _without_far_ends(image_HxWx3: np.ndarray) -> np.ndarray:
    """The middle of a strip: resized as a whole, a line of a million pixels would take gigabytes."""
    longest = _LONGEST * min(image_HxWx3.shape[:2])
    top, left = (max(0, (side - longest) // 2) for side in image_HxWx3.shape[:2])
    return image_HxWx3[top : top + longest, left : left + longest]


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
