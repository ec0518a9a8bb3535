"""How large a picture may be."""

from emotion_gcn_jax.errors import UserError

# More than telephones and cameras take (16320 x 12240 are 200 million). Decoding so many takes about 2 GB of memory.
MOST_PIXELS = 2**28


def check_size(width: int, height: int) -> None:
    """Raises UserError when a picture of this width and height, in pixels, has more than MOST_PIXELS."""
    if width * height > MOST_PIXELS:
        raise UserError(
            f"The image is larger than an image may be ({MOST_PIXELS // 10**6} million pixels), found "
            f"{width} x {height} pixels: make it smaller."
        )
