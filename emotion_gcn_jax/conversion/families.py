"""Published weights of trunks: whose they are, what their networks looked at, and on what terms they are given out.

A trunk says which families are for it (its FAMILIES), and its layers' names there. None of the files could be had when
this was written; the names, means and colours are those of their loaders (Aff-Wild2 spec, sections 3 and 13).
"""

from typing import NamedTuple

from emotion_gcn_jax.data.inputs import NORMALISATIONS, Input


class Family(NamedTuple):
    """Published weights.

    Attributes:
        title: what they are, for messages.
        normalisation: of their images, a key of data.inputs.NORMALISATIONS.
        licence: what is known of the terms.
        option: the flag of `emotion-gcn convert` that reads them.
        classes: how many they were trained on.
        classifiers: the layers that are left out, by a part of their names.
        is_bgr: their images begin with blue.
        fully_connected: linear layers between the flattened last map and the classifier, which become hidden layers.
    """

    title: str
    normalisation: str
    licence: str
    option: str
    classes: int
    classifiers: frozenset[str]
    is_bgr: bool = False
    fully_connected: tuple[str, ...] = ()

    @property
    def input(self) -> Input:
        """What the networks looked at; colours are in our order, red first."""
        mean, deviation = NORMALISATIONS[self.normalisation]
        return Input(SIDE, mean=mean, deviation=deviation)


SIDE = 224
"""Of the images that all of them were trained on, pixels."""

MAP_SIDE = SIDE // 32
"""Of VGG-16's last map of such an image."""

_PAGE = "read the page of Oxford's Visual Geometry Group before you publish or sell anything made of it"
_VGGFACE2 = Family(
    title="VGGFace2's (Oxford's file)",
    normalisation="vggface2",
    licence=f"VGGFace2's, which the files do not say: {_PAGE}",
    option="--faces",
    classes=8631,
    classifiers=frozenset({"classifier"}),
)

FAMILIES: dict[str, Family] = {
    "torchvision": Family(
        title="torchvision's",
        normalisation="imagenet",
        licence="BSD-3-Clause, torchvision's",
        option="--imagenet",
        classes=1000,
        classifiers=frozenset({"classifier", "fc"}),
    ),
    "vggface2": _VGGFACE2,
    "vggface2_bgr": _VGGFACE2._replace(
        title="VGGFace2's (the file converted from Caffe)", classifiers=frozenset({"fc"}), is_bgr=True
    ),
    "vgg_face": Family(
        title="VGG-Face's",
        normalisation="vgg_face",
        licence=f"VGG-Face's, said to be for non-commercial research, with attribution (Creative Commons): {_PAGE}",
        option="--faces",
        classes=2622,
        classifiers=frozenset({"fc8"}),
        fully_connected=("fc6", "fc7"),
    ),
}
"""By the name that a trunk's FAMILIES have."""
