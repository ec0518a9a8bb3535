"""Where on the trunk's last map the evidence for an output is: class activation maps, for outputs of every task.

They are those of Zhou et al. (CVPR 2016): where a readout averages the map and a head is linear in it, an output is the
mean over the map's places of W . f(x, y), and these products are the map. The graph's weights W depend on no image, so
that its head is linear as well. Nothing is approximated: the mean and the bias are the raw output.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import folding
from emotion_gcn_jax.models.emotion_net import EmotionNet
from emotion_gcn_jax.models.heads import LinearHead
from emotion_gcn_jax.models.layers import ACTIVATIONS

Mapper = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From a uint8 face S x S x C to every task's maps by its name, float32 H' x W' x W: see `mapper`."""


def _at_the_maximum(map_BxHxWxD: jax.Array, activation: str) -> jax.Array:
    """A feature's maximum where it is; in equal parts where it is several times."""
    del activation
    is_highest = map_BxHxWxD == map_BxHxWxD.max((1, 2), keepdims=True)
    places = map_BxHxWxD.shape[1] * map_BxHxWxD.shape[2]
    return jnp.where(is_highest, map_BxHxWxD * places / is_highest.sum((1, 2), keepdims=True), 0)


SPREADS: dict[str, Callable[[jax.Array, str], jax.Array]] = {
    "average": lambda map_BxHxWxD, activation: ACTIVATIONS[activation](map_BxHxWxD),
    "max": _at_the_maximum,
}
"""By a readout's name what it takes of every place: from a trunk's last map and the name of its activation to what has
the readout's features as its mean over the places, B x H' x W' x D."""


def check_places(module: EmotionNet, inputs: Input) -> None:
    """Raises UserError for a model whose outputs cannot be divided among places of the face.

    Args:
        module: from `emotion_net.create_model`.
        inputs: what it looks at.
    """
    if module.readout not in SPREADS:
        raise UserError(
            f"An activation map divides what a readout takes among the places of the trunk's last map, and how "
            f"{module.readout} does is not known: add it to explanation.activation.SPREADS."
        )
    neck: Any = module.neck
    if module.time is not None or (neck is not None and (neck.hidden or neck.embedding)):
        raise UserError(
            "An activation map is of a head that is linear in what the readout takes of the map, and this model has "
            "hidden or recurrent layers or an embedding between the two: look at the occlusion maps."
        )
    images = jax.ShapeDtypeStruct((1, inputs.network_side, inputs.network_side, inputs.channels), module.param_dtype)
    trunk: Any = module.trunk
    shape = jax.eval_shape(lambda x: trunk.init_with_output(jax.random.key(0), x, False)[0], images).shape
    if shape[1:3] == (1, 1):
        raise UserError(
            "The trunk's last map has one place only, which is the whole face: its activation map would show nothing. "
            "Look at the occlusion maps."
        )


def mapper(module: EmotionNet, variables: Mapping[str, Any], inputs: Input) -> Mapper:
    """Makes the function that maps the evidence in a face, compiled once.

    Args:
        module: from `emotion_net.create_model`.
        variables: its "params", "batch_stats" and "constants".
        inputs: what the network sees of an image.

    Returns:
        The function. The mean over the places of a task's map, with its bias (`biases`), is its raw output W.

    Raises:
        UserError: as `check_places`; or the head is not linear in the features.
    """
    check_places(module, inputs)
    net, ready = folding.fold(module, variables)
    kernels = {name: layer["kernel"] for name, layer in _linear(net, ready).items()}
    trunk: Any = net.trunk
    activation = getattr(trunk, "ACTIVATION", "none")

    @jax.jit
    def last_map(variables: Mapping[str, Any], face_SxSxC: jax.Array) -> jax.Array:
        seen_1xVxVxC = inputs.view(face_SxSxC[None], net.param_dtype)
        map_1xHxWxD: Any = nn.apply(lambda model, images: model.trunk(images, False), net)(variables, seen_1xVxVxC)
        return map_1xHxWxD.astype(net.param_dtype)

    # A program of its own: where XLA computed the map twice, a maximum might not be equal to itself.
    @jax.jit
    def maps(map_1xHxWxD: jax.Array) -> dict[str, jax.Array]:
        spread_HxWxD = SPREADS[net.readout](map_1xHxWxD, activation)[0]
        return {name: spread_HxWxD @ kernel_DxW for name, kernel_DxW in kernels.items()}

    on_device = jax.device_put(ready)
    return lambda face_SxSxC: jax.tree.map(np.asarray, maps(last_map(on_device, face_SxSxC)))


def biases(module: EmotionNet, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every task's bias W by its name, what its outputs are without any evidence; 0 of a graph's.

    Args:
        module: from `emotion_net.create_model`.
        variables: its "params", "batch_stats" and "constants".

    Raises:
        UserError: the head is not linear in the features.
    """
    layers = _linear(*folding.fold(module, variables))
    return {
        name: np.asarray(layer.get("bias", np.zeros(layer["kernel"].shape[-1], np.float32)))
        for name, layer in layers.items()
    }


def enlarged(map_HxW: np.ndarray, side: int) -> np.ndarray:
    """Lays a map over the face, smoothly: every place's middle stays in the middle of its share of the face.

    Args:
        map_HxW: numbers of any range.
        side: V, of what the network sees.

    Returns:
        float32 V x V, bicubic; it may pass the map's largest and smallest number a little.
    """
    return np.asarray(Image.fromarray(map_HxW.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))


def _linear(net: EmotionNet, ready: Mapping[str, Any]) -> Mapping[str, Any]:
    """The layers of a folded model's head, by the task's name."""
    if not isinstance(net.head, LinearHead) or net.head.cosines:
        raise UserError(
            f"An activation map is of a head that is linear in the features (linear, graph), found "
            f"{'cosines' if getattr(net.head, 'cosines', ()) else type(net.head).__name__}: look at the occlusion maps."
        )
    return ready["params"]["head"]
