"""Recipes for small faces, which the configs of FER2013, FERPlus, CK+, JAFFE, FERG and RAF-DB share.

A config of these sets takes "TRUNK,MODEL,RECIPE", such as `configs/fer2013.py:deep_emotion,single_task,literal`:

- literal: Deep-Emotion's own, as far as it is known (Minaee et al. 2019, as read by others: Adam at 0.005 for 500
  epochs). What is not known is chosen here: batches of 128, an L2 of 5e-4 on the last two layers' kernels, the sizes of
  the augmentation. Gradients are clipped, since others saw the loss explode.
- stable: the same network with a rate of 0.001 that falls to 0 in 150 epochs, and a tenth of it for the localisation
  network, whose units die otherwise.
- strong: for every other trunk, fer_resnet18 before all. SGD at 0.1, random crops, zoom, shift, erasing, label
  smoothing, 150 epochs.

The first two are for the trunks deep_emotion..., which take grey images of 48 x 48 pixels; stable is their default,
strong the others'.
"""

from collections.abc import Callable

import ml_collections

from configs import common
from emotion_gcn_jax.errors import UserError


def small_faces(arg: str, dataset: str) -> ml_collections.ConfigDict:
    """A config for a set of small faces, seven classes; in grey, 48 pixels.

    Args:
        arg: "trunk,model,recipe"; what is left out is deep_emotion, single_task and the trunk's default.
        dataset: the set's name.

    Raises:
        UserError: an unknown model or recipe, a recipe that is not for the trunk, or more than three words.
    """
    if arg.count(",") > 2:
        raise UserError(f"A config of small faces takes TRUNK,MODEL,RECIPE, found {arg!r}: leave out what follows.")
    trunk, model, name = (*arg.split(","), "", "")[:3]
    trunk = trunk or "deep_emotion"
    is_deep = trunk.startswith("deep_emotion")
    name = name or ("stable" if is_deep else "strong")
    if name not in RECIPES:
        raise UserError(f"Unknown recipe {name!r}: choose one of {', '.join(RECIPES)}.")
    if (name == "strong") == is_deep:
        right = "literal or stable" if is_deep else "strong"
        raise UserError(f"The recipe {name} is not for the trunk {trunk}: choose {right}.")
    config = common.get_config(f"{trunk},{model or 'single_task'}")
    config.dataset.name = dataset
    config.dataset.require = "expression"
    config.input.side, config.input.channels = 48, 1
    config.input.mean, config.input.deviation = (0.5,), (0.5,)
    config.data.batch_size = config.data.eval_batch_size = 128
    config.augmentation.rotation_degrees = 10.0
    config.optimizer.weight_decay = 0.0
    config.training.patience = 0
    RECIPES[name](config)
    return config


def _deep_emotion(config: ml_collections.ConfigDict) -> None:
    config.augmentation.zoom = 0.05
    config.augmentation.shift = 2 / 48
    config.optimizer.name = "adamw"  # without decay it is Adam
    config.optimizer.l2 = "trunk/fc=5e-4,head=5e-4" if config.model.head == "linear" else "trunk/fc=5e-4"
    config.optimizer.clip_norm = 1.0


def _literal(config: ml_collections.ConfigDict) -> None:
    _deep_emotion(config)
    config.optimizer.learning_rate = 5e-3
    config.optimizer.step_factor = 1.0  # the rate stays
    config.training.epochs = 500


def _stable(config: ml_collections.ConfigDict) -> None:
    _deep_emotion(config)
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    if config.model.trunk != "deep_emotion_none":
        config.optimizer.rates = "trunk/localisation=0.1"
    config.training.epochs = 150


def _strong(config: ml_collections.ConfigDict) -> None:
    config.input.crop = 44
    config.input.mean, config.input.deviation = (0.5076,), (0.2544,)  # of FER2013's training images
    config.augmentation.zoom = 0.2
    config.augmentation.shift = 0.1
    config.augmentation.erase_probability = 0.5
    config.augmentation.erase_area = (0.02, 0.1)
    config.tasks.expression.label_smoothing = 0.1
    config.optimizer.learning_rate = 0.1
    config.optimizer.nesterov = True
    config.optimizer.weight_decay = 5e-4
    config.optimizer.decay_only_kernels = True
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 5.0
    config.training.epochs = 150


RECIPES: dict[str, Callable[[ml_collections.ConfigDict], None]] = {
    "literal": _literal,
    "stable": _stable,
    "strong": _strong,
}
