"""Pictures of one rendered face each, with the box and the landmarks that AffectNet's annotators would give it."""

import dataclasses
import functools
import io
import math

import numpy as np
from PIL import Image

from tests.scenes import compose

SIZES = ((190, 190), (240, 170), (160, 230), (220, 220), (260, 200))
TILTS = (0.0, 0.35, -0.6, math.pi / 3, -math.pi / 3, 0.15)


@dataclasses.dataclass(frozen=True)
class RawFace:
    """A picture of one face and what annotators would say of it; places are (x, y) in pixels.

    The box is one around the face, upright: its centre is not the head's.
    """

    image_HxWx3: np.ndarray
    box: tuple[int, int, int, int]
    landmarks_68x2: np.ndarray
    left_eye: np.ndarray
    right_eye: np.ndarray
    head_center: np.ndarray


@functools.cache
def raw_faces(count: int = 15, seed: int = 0) -> tuple[RawFace, ...]:
    """Draws faces in pictures of several shapes, heads tilted up to 60 degrees and off the middle."""
    return tuple(raw_face(seed, index, SIZES[index % len(SIZES)], TILTS[index % len(TILTS)]) for index in range(count))


def raw_face(seed: int, index: int, size: tuple[int, int], tilt: float, face_share: float = 0.42) -> RawFace:
    """Draws one face into a picture of size (width, height); face_share is its height's, of the shorter side."""
    width, height = size
    rng = np.random.default_rng((seed, 19, index))
    face_height = face_share * min(size)
    middle_2 = np.array(size) * (0.5 + rng.uniform(-0.06, 0.06, 2))
    scene = compose(seed, [index], [middle_2], [face_height], [tilt], width=width, height=height)
    (face,) = scene.faces
    left_eye, right_eye, head_center = map(np.array, (face.left_eye, face.right_eye, face.head_center))
    along_2 = (right_eye - left_eye) / np.linalg.norm(right_eye - left_eye)
    down_2 = np.array([-along_2[1], along_2[0]])
    box_size_2 = np.round(face_height * np.array([1.2, 1.2 if index % 3 else 1.35]))
    corner_2 = np.round(head_center + 0.12 * face_height * down_2 - box_size_2 / 2)
    return RawFace(
        image_HxWx3=scene.image_HxWx3,
        box=tuple(int(number) for number in (*corner_2, *box_size_2)),
        landmarks_68x2=landmarks(left_eye, right_eye),
        left_eye=left_eye,
        right_eye=right_eye,
        head_center=head_center,
    )


def landmarks(left_eye: np.ndarray, right_eye: np.ndarray) -> np.ndarray:
    """68 points of which only the eyes, 36 to 41 and 42 to 47, are where they should be; float64 [68, 2]."""
    distance = np.linalg.norm(right_eye - left_eye)

    def ring(count: int, centre: np.ndarray, radius: float) -> np.ndarray:
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
        return centre + radius * distance * np.column_stack([np.cos(angles), np.sin(angles)])

    middle = (left_eye + right_eye) / 2
    return np.concatenate(
        [ring(36, middle, 1.2), ring(6, left_eye, 0.2), ring(6, right_eye, 0.2), ring(20, middle, 0.9)]
    )


def eyes(face: RawFace) -> tuple[tuple[float, float], ...]:
    """The centres of the eyes by the landmarks."""
    return tuple(tuple(face.landmarks_68x2[start : start + 6].mean(0)) for start in (36, 42))


def cut_to_box(face: RawFace) -> RawFace:
    """The face as the March-2021 release has it: cut to a square and resized to 224 pixels."""
    x, y, width, height = face.box
    side = max(width, height)
    image = Image.fromarray(face.image_HxWx3).crop((x, y, x + side, y + side)).resize((224, 224))
    corner_2, scale = np.array([x, y]), 224 / side
    moved = {
        name: (getattr(face, name) - corner_2) * scale
        for name in ("landmarks_68x2", "left_eye", "right_eye", "head_center")
    }
    return dataclasses.replace(face, image_HxWx3=np.asarray(image), box=(0, 0, 224, 224), **moved)


def painted(face: RawFace) -> RawFace:
    """The face in dark grey, with red light on its left eye, green on the other, blue on the head's centre.

    `find_dots` finds them again, even where two overlap.
    """
    grey = np.asarray(Image.fromarray(face.image_HxWx3).convert("L")) / 2
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]] + 0.5
    lights = [
        np.exp(-((x - dot_x) ** 2 + (y - dot_y) ** 2) / (2 * 2.5**2))
        for dot_x, dot_y in (face.left_eye, face.right_eye, face.head_center)
    ]
    image = grey[..., None] + 127 * np.stack(lights, axis=-1)
    return dataclasses.replace(face, image_HxWx3=np.round(image).astype(np.uint8))


def find_dots(image_HxWx3: np.ndarray) -> np.ndarray:
    """The centres (x, y) of the red, the green and the blue dot that `painted` painted; float64 [3, 2]."""
    image = image_HxWx3.astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    centres = []
    for channel in range(3):
        light = np.clip(image[..., channel] - np.delete(image, channel, axis=2).min(-1) - 25, 0, None)
        centres.append([(light * x).sum() / light.sum(), (light * y).sum() / light.sum()])
    return np.array(centres)


def encoded(image_HxWx3: np.ndarray, extension: str, mode: str = "RGB") -> bytes:
    """An image file by its extension, in one of the modes that real copies have."""
    kind = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "bmp": "BMP", "tif": "TIFF"}[extension.lower()]
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image = Image.fromarray(image_HxWx3)
    if mode == "turned":  # lying on its side, with a note that it does
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    elif mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256)
    elif mode == "P":
        image = image.quantize(256)
    else:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
