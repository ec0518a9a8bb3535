"""Reads pictures of every kind as upright 8-bit RGB, and encodes them: what the builders and the predictor use."""

import io
import os
import pathlib
import warnings
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.decoding import SUFFIXES, decoded, repeated, upright_rgb
from emotion_gcn_jax.faces.kinds import unread_kind
from emotion_gcn_jax.faces.samples import to_eight_bits
from emotion_gcn_jax.faces.sizes import check_size
from emotion_gcn_jax.files import corrected_name, user_path

Picture = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | ArrayLike
"""What `read` takes."""

JPEG_QUALITY = 95  # with 4:4:4 chroma a mean of 1.6-2.1 grey levels is lost after resizing to 227, with 4:2:0 2.1-2.6

PNG_LEVEL = 3  # of zlib: three times faster than the usual 6, for 7 % more bytes

# HEIC files of a folder are not passed over in silence: `read` says what to do with them.
_FOLDER_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes) | {".heic", ".heif"}

_LONGEST_QUOTE = 300  # characters of a path or of another library's error in a message


def read(picture: Picture) -> np.ndarray:
    """Reads a picture of any kind.

    Args:
        picture: the path of an image file (a leading ~ is the home folder), the file's bytes, a binary file object, a
            Pillow image of any mode, or an array: [H, W] or [H, W, 1] grey, [H, W, 3] RGB (not BGR, as OpenCV reads)
            or [H, W, 4] RGBA. Arrays are NumPy's or of any other library that converts to them. Files may be of the
            formats that `decode` lists.

    Returns:
        uint8 RGB [height, width, 3], upright. Alpha is dropped, grey repeated, and samples that are not uint8 are
        scaled as `samples.to_eight_bits` says. A uint8 RGB array is returned as it is, without a copy.

    Raises:
        UserError: there is no such file, it is no picture that can be read, or the object is no picture. The message
            begins with the path, if there is one.
    """
    if isinstance(picture, str | os.PathLike):
        return _read_path(os.fsdecode(picture))
    if isinstance(picture, bytes | bytearray | memoryview):
        return decode(bytes(picture))
    if isinstance(picture, Image.Image):
        return _read_pillow(picture)
    if hasattr(picture, "read"):
        return _read_file_object(cast(BinaryIO, picture))
    return _read_array(picture)


def is_one(given: object) -> bool:
    """Whether something is itself what `read` takes, rather than a list of such: of an array by its number of axes."""
    kinds = str | os.PathLike | bytes | bytearray | memoryview | Image.Image
    return isinstance(given, kinds) or hasattr(given, "read") or getattr(given, "ndim", 4) < 4


def decode(data: bytes, most_pixels: int | None = None) -> np.ndarray:
    """Decodes an image file as it is meant to be seen: turned as its EXIF orientation says, its alpha dropped.

    Metadata that is damaged does not cost the picture; pixels that are missing do.

    Args:
        data: the file's bytes, of any of these formats: JPEG, JPEG 2000, PNG, BMP, TIFF, WebP, AVIF, GIF, PPM (and PGM,
            PBM, PFM), TGA; of several pictures in a file the first is taken.
        most_pixels: a picture of more is refused before it is decoded; None is the usual limit, 268 million.

    Returns:
        uint8 RGB [height, width, 3]; grey is repeated, and samples that are not 8 bits are scaled by the depth that the
        file declares or its samples show, as `samples.to_eight_bits` says.

    Raises:
        UserError: the bytes are no image, one that is cut short, or one of too many pixels to be meant.
    """
    if not data:
        raise UserError("An image file was expected, found an empty one: copy or download it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, which is passed over
            return decoded(data, most_pixels)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Exception as error:  # at damaged bytes Pillow's decoders raise almost anything
        raise UserError(
            f"An image file was expected, found one that cannot be decoded ({_shortened(error)}): copy or download it "
            "again."
        ) from None


def expand(names: Iterable[str], others: Collection[str] = ()) -> list[str]:
    """Replaces folders by the picture files in them.

    Args:
        names: paths of files and folders; a leading ~ is the home folder.
        others: suffixes such as ".mp4" of other files that are taken from folders, too.

    Returns:
        The paths in the same order, with every folder replaced by the files in it and in the folders inside it whose
        suffix is one of a picture, sorted by their paths. Hidden files and folders are left out. A name that is no
        folder stays as it is, whether or not it exists.

    Raises:
        UserError: a folder has no pictures or cannot be listed, or a name is empty.
    """
    suffixes = _FOLDER_SUFFIXES | frozenset(others)
    return [
        file for name in names for file in _expanded(name, suffixes, "pictures or videos" if others else "pictures")
    ]


def encode_png(image: np.ndarray) -> bytes:
    """Encodes uint8 RGB [H, W, 3], or grey [H, W] as one channel, without loss."""
    return _encode(image, "PNG", compress_level=PNG_LEVEL)


def encode_jpeg(image_HxWx3: np.ndarray) -> bytes:
    """Encodes uint8 RGB at quality 95 without subsampling its colours."""
    return _encode(image_HxWx3, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _read_path(name: str) -> np.ndarray:
    _check_name(name)
    path = user_path(name)
    try:
        if path.is_dir():
            raise UserError("An image file was expected, found a folder: give the files in it.")
        return decode(path.read_bytes())
    except UserError as error:
        raise UserError(f"{_shortened(path)}: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in its name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{_shortened(path)}: The file cannot be read ({reason}): {corrected_name(path)}.") from None


def _check_name(name: str) -> None:
    """Raises UserError for a name without a letter, which would be the working folder's."""
    if not name:
        raise UserError("A picture's or a folder's name was expected, found an empty one: is a variable not set?")


def _read_pillow(picture: Image.Image) -> np.ndarray:
    check_size(*picture.size)
    try:
        return upright_rgb(picture)
    except UserError:
        raise
    except Exception as error:  # at damaged bytes of the file behind it Pillow's decoders raise almost anything
        raise UserError(
            f"A Pillow image was expected, found one of mode {picture.mode} and size {picture.size} that cannot be "
            f"decoded ({_shortened(error)}): give another."
        ) from None


def _read_file_object(file: BinaryIO) -> np.ndarray:
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or a text that is none
        raise UserError(f"A {type(file).__name__} was given that cannot be read ({error}): open it again.") from None
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UserError(
            f"A file of bytes was expected, found a {type(file).__name__} that gives {type(data).__name__}: open it "
            "with mode 'rb'."
        )
    if not data:
        raise UserError(
            f"An image file was expected, found a {type(file).__name__} with nothing left to read: call its seek(0)."
        )
    return decode(bytes(data))


def _read_array(picture: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(picture)
        if array.dtype.kind == "V":  # bfloat16 and its kind, which NumPy does not know
            array = array.astype(np.float32)
    except Exception as error:  # a list of lists that are not alike, or another library's own error
        raise UserError(
            f"The {type(picture).__name__} cannot be read as a picture ({_shortened(error)}): give a path or an array."
        ) from None
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype.kind not in "buif" or array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise UserError(
            "A picture is an array of shape [height, width], [height, width, 1], [height, width, 3] or "
            f"[height, width, 4], found {type(picture).__name__} of {array.dtype} {list(np.shape(array))}: "
            f"{_way_out(array)}."
        )
    check_size(array.shape[1], array.shape[0])
    if array.dtype == np.uint8 and array.shape[2] == 3:
        return array
    return repeated(to_eight_bits(array[..., :3]))


def _way_out(array: np.ndarray) -> str:
    if array.ndim == 4:
        return "give one picture at a time"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return "move its channels to the end, for example with numpy.moveaxis(picture, 0, -1)"
    return "convert it, or give the image file's path"


def _unidentified(data: bytes) -> UserError:
    kind = unread_kind(data)
    if kind is not None:
        return UserError(f"An image file was expected, found {kind[0]}: {kind[1]}.")
    formats = ", ".join(SUFFIXES)
    return UserError(
        f"An image file was expected, found something that is in no image format known here ({formats}): convert it to "
        "one of them."
    )


def _expanded(name: str, suffixes: frozenset[str], wanted: str) -> list[str]:
    _check_name(name)
    folder = user_path(name)
    try:
        if not folder.is_dir():
            return [name]
        files = sorted(path for path in _visible_files(folder) if path.suffix.lower() in suffixes)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in its name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{_shortened(folder)}: The folder cannot be listed ({reason}): check it.") from None
    if not files:
        raise UserError(
            f"{_shortened(folder)}: A folder of {wanted} was expected, found "
            "none by their names' endings (.jpg, .png and so on): give their folder, or the files themselves."
        )
    return [str(file) for file in files]


def _visible_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():  # a link may lead back to where it is
            yield from _visible_files(entry)
        elif entry.is_file():
            yield entry


def _shortened(quoted: object) -> str:
    """A path or an error that may be long, for a message."""
    text = str(quoted)
    return text if len(text) <= _LONGEST_QUOTE else f"...{text[3 - _LONGEST_QUOTE :]}"


def _encode(image: np.ndarray, image_format: str, **options: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, image_format, **options)
    return encoded.getvalue()
