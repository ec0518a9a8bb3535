"""Whatever is in a file or an array that is read: an answer or one sentence, soon, and without much memory."""

import gzip
import io
import json
import pickle
import zipfile

import cv2
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from emotion_gcn_jax import presets
from emotion_gcn_jax.data.folder_split import open_folder
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.faces import pictures, sizes
from emotion_gcn_jax.graph import adjacency, word_vectors
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.inference import own_boxes, sources
from emotion_gcn_jax.releases.affectnet_arrays import _read_array
from emotion_gcn_jax.releases.building import Skip
from emotion_gcn_jax.sound import reading as sounds
from emotion_gcn_jax.sound import stored
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.torch_files import reading, safetensors_files, writing
from tests.faces.files import DEEP, encoded, tiff
from tests.fuzzing.damage import cases, changed, changes, damaged, steps
from tests.fuzzing.limits import answered, bounds, captured
from tests.labelled_folders import write_table
from tests.sound import films

pytestmark = pytest.mark.once

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
PICTURES = {
    **{name: encoded(COLOURS, name) for name in ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "GIF", "PPM", "TGA", "BMP")},
    "JPEG 2000": encoded(COLOURS, "JPEG2000"),
    "progressive": encoded(COLOURS, "JPEG", progressive=True),
    "LZW": encoded(COLOURS, "TIFF", compression="tiff_lzw"),
    "JPEG in TIFF": encoded(COLOURS, "TIFF", compression="jpeg"),
    "palette": encoded(Image.fromarray(COLOURS).convert("P"), "PNG"),
    "16 bits of grey": encoded(Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 257), "PNG"),
    "16 bits of colour": cv2.imencode(".png", COLOURS.astype(np.uint16) * 257)[1].tobytes(),
    "CMYK": encoded(Image.fromarray(COLOURS).convert("CMYK"), "JPEG"),
    "LAB": encoded(Image.fromarray(COLOURS).convert("LAB"), "TIFF"),
    **{f"TIFF of {name}": tiff(samples) for name, samples in DEEP.items()},
}
NODES = nodes_of(registry.from_config(presets.tasks("emotion_gcn")))
WORDS = [word for words in NODES.words.values() for word in words]
VECTORS_9x4 = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
GLOVE = "\n".join(f"{word} 0.5 -1 {number}" for number, word in enumerate(WORDS)).encode()
STATE_DICT = {"a.weight": VECTORS_9x4, "a.bias": np.arange(9), "count": np.asarray(1.5, np.float32)}
BOXES = b"file,frame,x0,y0,x1,y1,left_eye_x,left_eye_y,right_eye_x,right_eye_y,score\na.png,,1,2,30,40,9,12,20,12,0.9\n"
LIST = b"# faces\nfolder\ncamera:0\na.png\nfolder/**/*.png\n~/x.png\nfolder/[a-z].png\n-\n"


def saved(function, *arrays, **named):
    file = io.BytesIO()
    function(file, *arrays, **named)
    return file.getvalue()


VECTOR_FILES = [
    ("v.txt", GLOVE),
    ("v.gz", gzip.compress(GLOVE)),
    ("v.csv", b"word,a,b,c\n" + GLOVE.replace(b" ", b",")),
    ("v.npy", saved(np.save, VECTORS_9x4)),
    ("v", saved(np.save, VECTORS_9x4.astype("f8"))),
    ("v.npy", saved(np.save, np.array([("a", 1.0)], [("name", "U3"), ("x", "f4")]))),
    ("v.npz", saved(np.savez, x=VECTORS_9x4)),
    ("v.npz", saved(np.savez_compressed, x=VECTORS_9x4)),
    ("v.pkl", pickle.dumps({"a": VECTORS_9x4, "b": VECTORS_9x4}, 2)),
    ("v.safetensors", safetensors_files.encode({"x": VECTORS_9x4})),
]


@pytest.fixture(scope="module", autouse=True)
def small_pictures_only():
    """The largest picture is one of 4 million pixels here: what goes round that limit is noticed by its memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "MOST_PIXELS", 2**22)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working directory, with a picture in a folder, a table of labelled ones, and a file of weights."""
    root = tmp_path_factory.mktemp("read")
    (root / "folder").mkdir()
    (root / "folder" / "a.png").write_bytes(PICTURES["PNG"])
    rows = [
        {"expression": "Happy", "valence": "0.5", "AU1": "1", "subject": "a", "split": "train", "site": "x"},
        {"expression": "", "valence": "", "AU1": "", "subject": "b", "split": "test", "site": "y"},
    ]
    write_table(root / "set", rows * 2)
    writing.save(root / "weights.pth", STATE_DICT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


@cases(150)
@hypothesis.given(st.sampled_from(sorted(PICTURES)), steps())
def test_pictures(name, some_steps):
    with captured() as (out, err):
        image = answered(pictures.read, damaged(PICTURES[name], some_steps))
    assert out.getvalue() == err.getvalue() == ""
    if image is not None:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
        with bounds():
            assert Input(48).fit(image).shape == (48, 48, 3)


@cases(60)
@hypothesis.given(
    st_numpy.arrays(st_numpy.scalar_dtypes(), st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
def test_arrays_as_pictures(array):
    image = answered(pictures.read, array)
    assert image is None or (image.dtype == np.uint8 and image.shape == (*array.shape[:2], 3))


@cases(80)
@hypothesis.given(file=st.sampled_from(VECTOR_FILES), some_steps=steps())
def test_word_vectors_and_arrays(folder, file, some_steps):
    name, data = file
    (folder / name).write_bytes(damaged(data, some_steps))
    vectors = answered(word_vectors.node_vectors, folder / name, NODES.words)
    assert vectors is None or (vectors.dtype == np.float32 and len(vectors) == 9 and np.isfinite(vectors).all())


@cases(30)
@hypothesis.given(some_steps=steps())
def test_a_release_s_arrays(folder, some_steps):
    (folder / "a_aro.npy").write_bytes(damaged(saved(np.save, np.array("-0.5")), some_steps))
    with bounds():
        try:
            assert _read_array(folder / "a_aro.npy").size
        except Skip as skipped:
            assert "\n" not in str(skipped)


@cases(30)
@hypothesis.given(some_steps=steps())
def test_correlations(folder, some_steps):
    adjacency.write_correlations(folder / "edges.csv", adjacency.affectnet_correlations(NODES), NODES)
    (folder / "edges.csv").write_bytes(damaged((folder / "edges.csv").read_bytes(), some_steps))
    correlations_9x9 = answered(adjacency.read_correlations, folder / "edges.csv", NODES)
    if correlations_9x9 is not None:
        rows_9 = adjacency.adjacency_from_correlations(correlations_9x9, NODES).sum(1)
        np.testing.assert_allclose(rows_9, 1, atol=1e-6)


@cases(80)
@hypothesis.given(kind=st.integers(0, 4), protocol=st.integers(0, 5), some_steps=steps(), some_changes=changes())
def test_weights(folder, kind, protocol, some_steps, some_changes):
    stored = (folder / "weights.pth").read_bytes()
    safe = safetensors_files.encode(STATE_DICT)
    length = int.from_bytes(safe[:8], "little")
    if kind == 0:
        data = damaged(stored, some_steps)
    elif kind == 1:  # a pickle in a sound archive
        data = with_other_pickle(stored, some_steps)
    elif kind == 2:
        data = damaged(pickle.dumps(STATE_DICT, protocol), some_steps)
    elif kind == 3:
        data = damaged(safe, some_steps)
    else:  # a sound file of safetensors with another header
        header = json.dumps(changed(json.loads(safe[8 : 8 + length]), some_changes)).encode()
        data = len(header).to_bytes(8, "little") + header + safe[8 + length :]
    (folder / "damaged").write_bytes(data)
    answered(reading.load, folder / "damaged")


def with_other_pickle(stored, some_steps):
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as archive, zipfile.ZipFile(content, "w") as other:
        for entry in archive.infolist():
            data = archive.read(entry)
            other.writestr(entry.filename, damaged(data, some_steps) if entry.filename.endswith("data.pkl") else data)
    return content.getvalue()


@cases(40)
@hypothesis.given(some_steps=steps())
def test_lists(folder, some_steps):
    data = damaged(LIST, some_steps)
    hypothesis.assume(b"/" not in data.replace(b"folder/", b"").replace(b"~/", b""))  # not the machine's own folders
    (folder / "list.txt").write_bytes(data)
    answered(sources.open_sources, ["@list.txt"])


@cases(40)
@hypothesis.given(some_steps=steps())
def test_boxes(folder, some_steps):
    (folder / "boxes.csv").write_bytes(damaged(BOXES, some_steps))
    answered(own_boxes.read, str(folder / "boxes.csv"))


@cases(50)
@hypothesis.given(
    encoding=st.sampled_from(["utf-8", "utf-16"]), split=st.sampled_from([None, "test"]), some_steps=steps()
)
def test_tables_of_labelled_images(folder, encoding, split, some_steps):
    text = (folder / "set" / "labels.csv").read_text()
    (folder / "set" / "other.csv").write_bytes(damaged(text.encode(encoding), some_steps))
    found = answered(open_folder, folder / "set" / "other.csv", split)
    for place in range(len(found or ())):
        answered(found.read_image, int(found.rows[place]))


SOUNDS = {  # by the name of a file its codec
    "a.mp4": "aac",
    "a.mkv": "flac",
    "a.avi": "mp3",
    "a.flac": "flac",
    "a.wav": "pcm_s16le",
}


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory):
    """Half a second of sound, of videos with ten frames."""
    root, two = tmp_path_factory.mktemp("sounds"), [films.tone(0.5, rate=16_000)] * 2
    frames = [number / 20 for number in range(10)]
    for name, codec in SOUNDS.items():
        pictures_too = {"frames": frames} if name < "a.wav" and name != "a.flac" else {}
        films.write(root / name, two, codec=codec, rate=16_000, **pictures_too)
    return {name: (root / name).read_bytes() for name in SOUNDS}


@cases(60)
@hypothesis.given(name=st.sampled_from(sorted(SOUNDS)), some_steps=steps())
def test_sounds(folder, sound_files, name, some_steps):
    (folder / "damaged").write_bytes(damaged(sound_files[name], some_steps))
    with captured() as (out, err):
        track = answered(sounds.read, folder / "damaged")
    assert out.getvalue() == err.getvalue() == ""
    if track is not None:
        assert track.log_mel_TxM.dtype == np.float16 and track.log_mel_TxM.shape[1:] == (64,)
        assert np.isfinite(track.log_mel_TxM).all() and np.isfinite(track.seconds_F).all()
        assert np.isfinite([track.seconds(number) for number in (1, 2, 1000)]).all()


@cases(40)
@hypothesis.given(some_steps=steps())
def test_stored_sounds(folder, some_steps):
    (folder / "sound").mkdir(exist_ok=True)
    (folder / "sound" / "a.npy").write_bytes(damaged(saved(np.save, np.ones((90, 64), np.float16)), some_steps))
    stored.read.cache_clear()
    found = answered(stored.read, folder, "a")
    assert found is None or found.shape[1:] == (64,)
