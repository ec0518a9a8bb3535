"""What a user may ask of an exported file."""

import dataclasses

import numpy as np

QUANTIZATIONS = ("int8", "float16")


@dataclasses.dataclass(frozen=True)
class Options:
    """What a file is to be like.

    Attributes:
        batch: how many images it takes at once; None is any number.
        quantize: "float16" stores the kernels in half the bytes; "int8" computes in 8 bits; None does neither.
        is_uint8: whether it takes uint8 images; otherwise float32, in 0..255 all the same.
        faces: uint8 N x S x S x C, as the network sees them: what int8 takes the ranges of feature maps from.
    """

    batch: int | None = None
    quantize: str | None = None
    is_uint8: bool = False
    faces: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 0, 0), np.uint8))
