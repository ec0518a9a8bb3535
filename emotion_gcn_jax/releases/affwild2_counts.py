"""How many annotated frames with an image the editions of Aff-Wild2 have, from public loaders of the set."""

import pathlib
from collections.abc import Mapping

from emotion_gcn_jax.labels import EXPRESSIONS
from emotion_gcn_jax.releases.building import unlikely_counts

_CLASSES = (*EXPRESSIONS, "Other")  # of the tuples below

_EXPRESSIONS = {  # the third, fifth and sixth edition
    "train": (177198, 95463, 78751, 31615, 9080, 10771, 16573, 165866),
    "validation": (82258, 34511, 25157, 12332, 8408, 5296, 6126, 106444),
}
_WITH_AFFECT = {  # the third edition's frames with valence and arousal as well; one source only
    "train": (132756, 75328, 68256, 26065, 8080, 5470, 13834),
    "validation": (69498, 24417, 20070, 7197, 7787, 625, 5874),
}
_MULTI_TASK = {  # the fourth and the seventh edition
    "train": (23976, 18135, 7609, 5228, 3122, 3168, 4555, 24852),
    "validation": (1886, 3751, 1893, 1003, 1254, 565, 487, 4601),
}
_FRAMES = {  # for valence and arousal the third edition's and the sixth's
    ("va", "train"): (1555919, 1653930),
    ("va", "validation"): (338755, 376332),
    ("au", "train"): (1356861,),
    ("au", "validation"): (445836,),
    ("mtl", "train"): (142333,),
    ("mtl", "validation"): (26876,),
}
_SLACK = 100  # frames of a class that a copy may have more or less


def unlikely(task: str, split: str, annotations: pathlib.Path, found: Mapping[str, int]) -> tuple[str, ...]:
    """Returns a warning if the counts are none of a known edition's; of the first two editions none are known.

    Args:
        task: the config's.
        split: train or validation.
        annotations: the folder (or file) of the split's annotations, whose name tells the edition.
        found: annotated frames that have an image, by our expression's name, as "Other", and all as "frames".
    """
    if annotations.parent.name.lower().endswith("_set"):
        return ()
    third = any(name in annotations.parent.parent.name.lower() for name in ("3rd", "third"))
    by_task: dict[str, Mapping[str, tuple[int, ...]]] = {"expr": _EXPRESSIONS, "mtl": _MULTI_TASK}
    if third:
        by_task["expr_va"] = _WITH_AFFECT
    expected = dict(zip(_CLASSES, by_task.get(task, {}).get(split, ()), strict=False))
    if known := _FRAMES.get((task, split)):
        expected["frames"] = min(known, key=lambda count: abs(count - found.get("frames", 0)))
    return unlikely_counts(expected, found, slack=_SLACK)
