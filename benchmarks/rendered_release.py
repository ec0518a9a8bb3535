"""Writes a raw folder of rendered videos, annotated in the form of an edition of Aff-Wild2.

    python -m benchmarks.rendered_release --output=raw --edition=3rd

It goes through `tfds build tfds_builders/affwild2` as a release does. In batch1 are the videos, with the sounds of
rendered clips (rendering/clips.py) and nothing to see. The sets divide the videos differently, as the
real ones do: of every four the first is in all validation sets, the second in that of valence and arousal alone; and
in every third action units are not annotated.
"""

from absl import app, flags

from emotion_gcn_jax.faces import pictures
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.files import user_path
from emotion_gcn_jax.rendering.actions import ACTION_UNITS
from emotion_gcn_jax.rendering.clips import sample_sound
from emotion_gcn_jax.rendering.synthetic import StoredFace, seconds, stored_clips
from emotion_gcn_jax.sound import mel
from tests import raw_affwild2
from tests.raw_affwild2 import EDITIONS, OUR_ID, SIZE, UNITS_12, Row, Video
from tests.sound import films

_OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
_EDITION = flags.DEFINE_enum("edition", "3rd", list(EDITIONS), "Of the annotations.")
_VIDEOS = flags.DEFINE_integer("videos", 12, "How many.", lower_bound=4)
_FRAMES = flags.DEFINE_integer("frames", 24, "Of each, at ten a second.", lower_bound=12)

_CODE = {ours: code for code, ours in OUR_ID.items()}


def main(_: object) -> None:
    """Renders the videos and writes them."""
    crop = Crop(side=1.05, size=SIZE, enlarge=True)
    clips = stored_clips(0, range(_VIDEOS.value), _FRAMES.value, crop=crop)
    release = [_video(number, faces) for number, faces in enumerate(clips)]
    root = user_path(_OUTPUT.value)
    raw_affwild2.write(root, _EDITION.value, release)
    (root / "batch1").mkdir(exist_ok=True)
    shown = [seconds(frame) for frame in range(1, _FRAMES.value + 1)]
    for number, video in enumerate(release):
        samples_N = sample_sound(0, number, _FRAMES.value)
        films.write(root / "batch1" / f"{video.name}.mp4", samples_N, rate=mel.RATE, frames=shown)
    images = sum(row.image is not None for video in release for row in video.rows)
    print(f"{len(release)} videos of {_FRAMES.value} frames, {images} of them with a face, in {_OUTPUT.value}")


def _video(number: int, faces: dict[int, StoredFace]) -> Video:
    name = f"rendered_{number:03d}"
    rows = tuple(
        _row(name, frame, faces[frame]) if frame in faces else Row(name, frame, units=(-1,) * 12, image=None)
        for frame in range(1, _FRAMES.value + 1)
    )
    place = "validation" if number % 4 == 0 else "train"
    va = "validation" if number % 4 < 2 else "train"
    return Video(name, rows, expr=place, va=va, au=place if number % 3 < 2 else None)


def _row(video: str, frame: int, face: StoredFace) -> Row:
    flags_of = dict(zip((int(unit[2:]) for unit in ACTION_UNITS), face.action_units.tolist(), strict=True))
    return Row(
        video,
        frame,
        code=_CODE[face.expression],
        affect=(round(face.valence, 3), round(face.arousal, 3)),
        units=tuple(flags_of.get(unit, 0) for unit in UNITS_12),  # no face here shows AU23 or AU24
        image=pictures.encode_jpeg(pictures.decode(face.image_png)),
    )


if __name__ == "__main__":
    app.run(main)
