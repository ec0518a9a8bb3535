"""How large a picture may be."""

from emotion_gcn_jax.errors import UserError

# More than telephones and cameras take (16320 x 12240 are 200 million). Decoding so many takes about 2 GB of memory.
MOST_PIXELS = 2**28


def check_size(width: int, height: int, most_pixels: int | None = None) -> None:
    """Raises UserError when a picture of this width and height, in pixels, has more than MOST_PIXELS.

    Args:
        width: of the picture.
        height: of the picture.
        most_pixels: a lower limit than MOST_PIXELS.
    """
    most = MOST_PIXELS if most_pixels is None else min(most_pixels, MOST_PIXELS)
    if width * height > most:
        raise UserError(
            f"The image is larger than an image may be ({most // 10**6} million pixels), found "
            f"{width} x {height} pixels: make it smaller."
        )
