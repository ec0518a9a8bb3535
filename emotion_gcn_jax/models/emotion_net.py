"""A model: trunk, readout, neck, hearing, time and head; trunks, readout and head are chosen by their names.

A trunk (densenet.py, bregnext.py, ...) turns an image into its last feature map. It is a Linen module of
`__call__(images_BxHxWxC, train) -> map_BxH'xW'xD` with the fields remat, axis_name, dtype and param_dtype. It may have

- ACTIVATION: what an average takes of the map: "relu", "elu", or "none" (the default: the map has been through it);
- FOLDS, and a field `folded`: by the name of a convolution the norm that directly follows it, both as in layers.py;
  with `folded` the convolution has a bias and the norm is left out (folding.py);
- FAMILIES, torch_names() and FLATTENED: whose weight files fit (conversion/families.py), the layers' names there (with
  several families it takes one of them), and which of them are convolutions as large as the map here and linear layers
  there (conversion/names.py);
- INPUT: (side, channels) of the only images that it takes, which it says in a sentence where others come;
- HEAD_DEVIATION: of the initial kernels of a linear head on it, drawn normal about 0, with biases 0;
- diagnose(): what is logged, and warned of, of the values that it shows in evaluation (layers.observe).

Its norms take their moments from layers.batch_moments, if config.model.mask_bn is to change anything in it.
What it draws at random in training it draws by layers.Dropout or with layers.example_keys.

The variables live in three collections: `params` (trained), `batch_stats` (running statistics) and `constants` (the
graph's adjacency and word vectors; empty without a graph). A checkpoint holds them all.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models.bregnext import BReGNeXt
from emotion_gcn_jax.models.deep_emotion import DeepEmotion
from emotion_gcn_jax.models.densenet import DenseNet
from emotion_gcn_jax.models.heads import GraphHead, LinearHead, Outputs
from emotion_gcn_jax.models.hearing import Blind, Hearing, Sound, Stack
from emotion_gcn_jax.models.layers import ACTIVATIONS
from emotion_gcn_jax.models.neck import Neck
from emotion_gcn_jax.models.recurrent import CELLS, FUSIONS, Recurrent, State, TwoStreams
from emotion_gcn_jax.models.resnet import ResNet
from emotion_gcn_jax.models.vgg import VGG
from emotion_gcn_jax.presets import NO_TRUNK
from emotion_gcn_jax.sound.mel import BANDS, STEPS
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.trees import Dtype, Variables

TRUNKS: dict[str, Callable[..., nn.Module]] = {
    "densenet121": functools.partial(DenseNet, blocks=(6, 12, 24, 16), growth=32, stem_width=64),
    "bregnext50": functools.partial(BReGNeXt, stages=((7, 32), (1, 64), (8, 64), (1, 128), (7, 128)), stem_width=32),
    "resnet18": functools.partial(ResNet, stages=(2, 2, 2, 2), bottleneck=False),
    "resnet34": functools.partial(ResNet, stages=(3, 4, 6, 3), bottleneck=False),
    "resnet50": functools.partial(ResNet, stages=(3, 4, 6, 3), bottleneck=True),
    # Of other makers, whose strides and pools differ: VGGFace2's, and TensorFlow's slim (no weights of it are read).
    "resnet50_vggface2": functools.partial(ResNet, stages=(3, 4, 6, 3), stride_on="1x1", stem_pool="ceil"),
    "resnet50_slim": functools.partial(ResNet, stages=(3, 4, 6, 3), stride_on="last_unit", stem_pool="same"),
    "vgg16": VGG,  # torchvision's and VGG-Face's
    "vgg16_same": functools.partial(VGG, pool="same"),
    # For faces of 40 to 64 pixels, such as FER2013's; 14 layers have 6.4 million parameters instead of 11.2.
    "fer_resnet18": functools.partial(ResNet, stages=(2, 2, 2, 2), bottleneck=False, small_images=True),
    "fer_resnet14": functools.partial(ResNet, stages=(1, 2, 2, 1), bottleneck=False, small_images=True),
    # The paper's figure leaves open how the attention is made, and what it acts on: see deep_emotion.py.
    "deep_emotion": DeepEmotion,
    "deep_emotion_valid3": functools.partial(DeepEmotion, localisation="valid3"),
    "deep_emotion_tutorial": functools.partial(DeepEmotion, localisation="tutorial"),
    "deep_emotion_input": functools.partial(DeepEmotion, warp="input"),
    "deep_emotion_tutorial_input": functools.partial(DeepEmotion, localisation="tutorial", warp="input"),
    "deep_emotion_none": functools.partial(DeepEmotion, warp="none"),
    # The same classes at a thousandth of the work, for tests and for trying a pipeline out.
    "densenet_tiny": functools.partial(DenseNet, blocks=(1, 2, 2, 1), growth=8, stem_width=8),
    "resnet_tiny": functools.partial(ResNet, stages=(1, 1, 1, 1), bottleneck=False, stem_width=8),
    "bregnext_tiny": functools.partial(BReGNeXt, stages=((1, 8), (1, 16), (1, 16), (1, 32)), stem_width=8),
    "vgg_tiny": functools.partial(VGG, blocks=((1, 8), (1, 16), (1, 16), (1, 32), (1, 32))),
}

EARS: dict[str, Callable[..., nn.Module]] = {"stack": Stack}
"""Trunks of sounds alone; those of TRUNKS take them, too."""

Widths = tuple[tuple[str, int], ...]

HEADS: dict[str, Callable[[Widths, Dtype, Mapping[str, Any]], nn.Module]] = {
    "linear": lambda widths, dtype, graph: LinearHead(widths, param_dtype=dtype),
    "graph": lambda widths, dtype, graph: GraphHead(widths, **graph, param_dtype=dtype),
}
"""From (task, number of outputs) pairs, the parameters' dtype and the graph's options to a head; see heads.py."""

READOUTS: dict[str, Callable[[jax.Array, str], jax.Array]] = {
    # The official models read DenseNet's last map in both ways (Emotion-GCN spec, section 1).
    "average": lambda map_BxHxWxD, activation: ACTIVATIONS[activation](map_BxHxWxD).mean((1, 2)),
    "max": lambda map_BxHxWxD, activation: map_BxHxWxD.max((1, 2)),
    # The map as it is, row by row, for hidden layers; its size, and so theirs, depends on the images' side.
    "flatten": lambda map_BxHxWxD, activation: ACTIVATIONS[activation](map_BxHxWxD).reshape(len(map_BxHxWxD), -1),
}
"""From a trunk's last map and the name of its activation to features B x D; the maximum is taken without activation."""

DTYPES: dict[str, Dtype] = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float64": jnp.float64}


class EmotionNet(nn.Module):
    """One face image, or each frame of a clip, perhaps with its sound, to the raw outputs of every task.

    Attributes:
        is_trunk_frozen: whether training leaves the trunk as it is.
    """

    trunk: nn.Module
    head: nn.Module
    readout: str = "average"
    param_dtype: Dtype = jnp.float32
    neck: nn.Module | None = None
    time: Recurrent | TwoStreams | None = None
    hearing: Hearing | None = None
    is_trunk_frozen: bool = False

    def __call__(
        self, images_BxHxWxC: jax.Array, train: bool = False, clip_length: int = 1, sound: Sound | None = None
    ) -> Outputs:
        """Runs trunk, readout, neck, hearing, time and head; all but the trunks compute in the parameters' dtype.

        Args:
            images_BxHxWxC: normalised images.
            train: whether norms use the batch's moments and layers drop values; `batch_stats` must then be mutable,
                and there must be the stream of random numbers layers.EXAMPLES for what is dropped.
            clip_length: so many successive images are one clip. Without `time` it changes nothing; with it, single
                images are clips of one frame.
            sound: around every image; for models with `hearing`, which cannot do without, alone.
        """
        return self.judge(self.features(images_BxHxWxC, train), train, clip_length, sound)

    def features(self, images_BxHxWxC: jax.Array, train: bool = False) -> jax.Array:
        """Runs trunk and readout: B x D, in the parameters' dtype. A frozen trunk is as in evaluation, always."""
        trunk: Any = self.trunk
        map_BxHxWxD = trunk(images_BxHxWxC, train and not self.is_trunk_frozen)
        features_BxD = READOUTS[self.readout](map_BxHxWxD, getattr(trunk, "ACTIVATION", "none"))
        return (lax.stop_gradient(features_BxD) if self.is_trunk_frozen else features_BxD).astype(self.param_dtype)

    def judge(
        self, features_BxD: jax.Array, train: bool = False, clip_length: int = 1, sound: Sound | None = None
    ) -> Outputs:
        """Runs what follows on the features of images, or on stored ones; arguments are those of the whole."""
        vectors_BxV = self._through_neck(features_BxD, train)
        if self.hearing is not None:
            if sound is None:
                raise UserError("This model hears, and there is no sound here: give it videos' frames with theirs.")
            vectors_BxV = jnp.concatenate([vectors_BxV, self.hearing(sound, train)], axis=1)
        if self.time is not None:
            vectors_BxV = self.time(vectors_BxV, clip_length)
        return self.head(vectors_BxV)

    def look(self, images_BxHxWxC: jax.Array) -> jax.Array:
        """The first part of a judgement in time, of single images: what the neck makes of them, B x D."""
        return self._through_neck(self.features(images_BxHxWxC), train=False)

    def listen(self, patches_BxSxM: jax.Array) -> jax.Array:
        """The same of the sound around images, B x W; where nothing is heard it is 0 instead. For models that hear."""
        assert self.hearing is not None
        return self.hearing.listen(patches_BxSxM, train=False)

    def go_on(self, vectors_BxV: jax.Array, state: State) -> tuple[Outputs, State]:
        """The second part: the next frame of B clips.

        Args:
            vectors_BxV: what `look` makes of it, with what `listen` makes beside it.
            state: of the recurrent layers; () without.

        Returns:
            Every task's raw outputs, and the state after the frame. Frame by frame, from zeros on, the outputs are
            those of whole clips; a bidirectional network has no such next frame.
        """
        if self.time is not None:
            vectors_BxV, state = self.time.go_on(vectors_BxV, 1, state)
        return self.head(vectors_BxV), state

    def _through_neck(self, features_BxD: jax.Array, train: bool) -> jax.Array:
        features_BxD = features_BxD.astype(self.param_dtype)
        return features_BxD if self.neck is None else self.neck(features_BxD, train)

    def diagnose(self, observed: Mapping[str, np.ndarray]) -> tuple[dict[str, float], list[str]]:
        """What the trunk says of the values that were observed in it.

        Args:
            observed: by their paths, each [N, ...] of N images; see layers.observe.

        Returns:
            Numbers by name, and sentences of warning; none of a trunk that has no `diagnose`.
        """
        trunk: Any = self.trunk
        if not hasattr(trunk, "diagnose"):
            return {}, []
        of_trunk = {p.removeprefix("trunk/"): values for p, values in observed.items() if p.startswith("trunk/")}
        return trunk.diagnose(of_trunk)


def create_model(
    trunk: str,
    tasks: Tasks,
    *,
    head: str = "linear",
    readout: str = "average",
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    embedding: int = 0,
    recurrent: Sequence[int] = (),
    reset: str = "after",
    bidirectional: bool = False,
    hearing: str = "",
    hearing_width: int = 512,
    fusion: str = "concat",
    word_vector_width: int = 0,
    propagation: str = "transposed",
    dtype: str = "float32",
    remat: bool = False,
    axis_name: str | None = None,
) -> EmotionNet:
    """Builds a model by the names of its parts.

    Args:
        trunk: a key of TRUNKS; or presets.NO_TRUNK, of a model that hears.
        tasks: what it predicts.
        head: a key of HEADS.
        readout: a key of READOUTS.
        hidden: the widths of hidden layers between readout and head, see neck.py, like the next two.
        dropout: in [0, 1).
        embedding: 0 for none.
        recurrent: the units of recurrent layers before the head, see recurrent.py, like the next two; () for none.
        reset: a key of recurrent.CELLS.
        bidirectional: whether they look ahead, too.
        hearing: the trunk of the sound, a key of TRUNKS or EARS; "" for a model that hears nothing.
        hearing_width: of the fully connected layer after it; 0 for none.
        fusion: one of recurrent.FUSIONS, of a model that sees and hears.
        word_vector_width: F, for the graph.
        propagation: how the graph mixes its nodes, see graph.adjacency.propagation_matrix.
        dtype: of the trunk's computation; parameters are float64 for "float64", float32 otherwise.
        remat: recompute layers in the backward pass to save memory.
        axis_name: the mapped axis over which one global batch is spread.

    Raises:
        UserError: an unknown name, a model without any trunk, late fusion of nothing, or a head that does not make what
            the tasks take.
    """
    check_names(trunk, head, readout, dtype, reset, hearing, fusion)
    param_dtype = jnp.float64 if dtype == "float64" else jnp.float32
    widths = tuple((task.name, len(task.outputs)) for task in tasks)
    graph = {"word_vector_width": word_vector_width, "propagation": propagation}
    of_trunk: Any = {"remat": remat, "axis_name": axis_name, "dtype": DTYPES[dtype], "param_dtype": param_dtype}
    body = (Blind if trunk == NO_TRUNK else TRUNKS[trunk])(**of_trunk)
    top = HEADS[head](widths, param_dtype, graph)
    cosines = tuple(task.name for task in tasks if task.takes_cosines)
    if isinstance(top, LinearHead):
        top = top.clone(deviation=getattr(body, "HEAD_DEVIATION", None), cosines=cosines)
    elif cosines:
        raise UserError(
            f"config.tasks.{cosines[0]}.loss=arcface takes cosines, which the head {head} does not make: set "
            f"config.model.head to linear, or the loss to cross_entropy."
        )
    neck = None
    if hidden or dropout or embedding:
        neck = Neck(tuple(hidden), dropout, embedding, axis_name=axis_name, param_dtype=param_dtype)
    ear = Hearing((TRUNKS | EARS)[hearing](**of_trunk), hearing_width, param_dtype) if hearing else None
    layers = functools.partial(Recurrent, tuple(recurrent), reset, bidirectional, param_dtype) if recurrent else None
    time = _in_time(layers, None if trunk == NO_TRUNK else ear, fusion)
    return EmotionNet(body, top, readout, param_dtype, neck, time, ear)


def _in_time(
    make: Callable[[], Recurrent] | None, beside: Hearing | None, fusion: str
) -> Recurrent | TwoStreams | None:
    """The recurrent layers that `make` makes, if there are any; `beside` is what hears beside a trunk that sees."""
    if fusion != "late":
        return make() if make else None
    if make is None or beside is None:
        raise UserError(
            "config.model.fusion=late joins what recurrent layers make of the face and others of the sound, and "
            "config.model.recurrent, hearing or trunk is empty: set all three, or fusion to concat."
        )
    return TwoStreams(make(), make(), beside.features)


def check_names(
    trunk: str, head: str, readout: str, dtype: str, reset: str, hearing: str = "", fusion: str = "concat"
) -> None:
    """Raises UserError, with the known ones, for an unknown name of a part of `create_model`'s."""
    for what, name, known in (
        ("trunk", trunk, (*TRUNKS, *([NO_TRUNK] if hearing else []))),
        ("trunk of config.model.hearing", hearing, ("", *TRUNKS, *EARS)),
        ("head", head, HEADS),
        ("readout", readout, READOUTS),
        ("dtype", dtype, DTYPES),
        ("reset", reset, CELLS),
        ("fusion", fusion, FUSIONS),
    ):
        if name not in known:
            raise UserError(f"Unknown {what} {name!r}: choose one of {', '.join(filter(None, known))}.")
    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise UserError("dtype float64 needs JAX's 64-bit mode: set JAX_ENABLE_X64=1 in the environment.")


def from_config(
    config: Mapping[str, Any], tasks: Tasks, constants: Mapping[str, np.ndarray], *, axis_name: str | None = None
) -> EmotionNet:
    """Builds the model that a config describes.

    Args:
        config: with the sections "model" and "graph" (see configs/common.py).
        tasks: those of the config.
        constants: the graph's "word_vectors" among them, N x F; may be empty without a graph.
        axis_name: as for `create_model`.

    Raises:
        UserError: as `create_model`.
    """
    model = config["model"]
    return create_model(
        model["trunk"],
        tasks,
        head=model["head"],
        readout=model["readout"],
        hidden=model["hidden"],
        dropout=model["dropout"],
        embedding=model["embedding"],
        recurrent=model["recurrent"],
        reset=model["reset"],
        bidirectional=model["bidirectional"],
        hearing=model["hearing"],
        hearing_width=model["hearing_width"],
        fusion=model["fusion"],
        word_vector_width=constants["word_vectors"].shape[1] if constants else 0,
        propagation=config["graph"]["propagation"],
        dtype=model["dtype"],
        remat=model["remat"],
        axis_name=axis_name,
    )


def init_variables(
    model: EmotionNet, seed: int, side: int, *, channels: int = 3, constants: Mapping[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """Random parameters, fresh running statistics, and the graph's constants.

    Args:
        model: from `create_model`.
        seed: of the random parameters; the same on every device of one kind.
        side: the images' side in pixels; with the readout flatten the neck's parameters depend on it.
        channels: the images' channels.
        constants: the graph's "adjacency" (N x N, row-normalised, not transposed) and "word_vectors" (N x F); needed
            by a graph only.

    Returns:
        The collections "params", "batch_stats" and "constants".
    """
    images = jnp.zeros((1, side, side, channels), model.param_dtype)
    sound = Sound(jnp.zeros((1, STEPS, BANDS), model.param_dtype), jnp.ones(1, bool)) if model.hearing else None
    # JAX's default generator takes three times as long to compile for the hundreds of arrays of a DenseNet-121.
    key = jax.random.key(seed, impl="rbg")
    drawn: Variables = jax.jit(functools.partial(model.init, train=False))(key, images, sound=sound)
    head: dict[str, Any] = {}
    if "constants" in drawn:
        if not constants:
            raise ValueError("A graph needs its adjacency and word vectors.")
        head = {"head": {name: jnp.asarray(value, model.param_dtype) for name, value in constants.items()}}
    return {"params": drawn["params"], "batch_stats": drawn.get("batch_stats", {}), "constants": head}
