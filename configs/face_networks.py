"""What the configs of the multi-task networks for Aff-Wild2 share: the weights they start from, and their re-training.

Kollias and Zafeiriou train networks on Aff-Wild2, and then on for each set of expressions. The recipe is ours: the
paper's cannot be had, see docs/affwild2_mtl.md.
"""

import ml_collections

from configs import common
from emotion_gcn_jax import presets
from emotion_gcn_jax.data.inputs import NORMALISATIONS
from emotion_gcn_jax.errors import UserError

ON_IMAGES = ("mt_vgg", "mt_res", "mt_arcvgg", "mt_arcres")

TRUNKS = {
    ("resnet50", "imagenet"): "resnet50",
    ("resnet50", "vggface2"): "resnet50_vggface2",
    ("vgg16", "imagenet"): "vgg16",
    ("vgg16", "vgg_face"): "vgg16",
}
"""By a model's trunk, and the weights that it starts from, the trunk that these are for."""


def check(what: str, name: str, known: tuple[str, ...], file: str) -> None:
    """Raises UserError for an unknown word of a config's argument."""
    if name not in known:
        raise UserError(f"Unknown {what} {name!r} of configs/{file}.py: choose one of {', '.join(known)}.")


def start_from(config: ml_collections.ConfigDict, weights: str, file: str) -> None:
    """Sets the trunk and the images' normalisation for weights; which file they are in is said by config.init.trunk.

    Without a word it changes nothing, which is right for ImageNet's.

    Raises:
        UserError: there are no such weights for the config's trunk.
    """
    if not weights:
        return
    known = tuple(weights for trunk, weights in TRUNKS if trunk == config.model.trunk)
    if not known:
        raise UserError(f"A model that does not see starts from no weights of faces, found {weights!r}: leave it out.")
    check(f"weights for {config.model.trunk}", weights, known, file)
    config.model.trunk = TRUNKS[config.model.trunk, weights]
    config.input.mean, config.input.deviation = NORMALISATIONS[weights]


def see_faces(config: ml_collections.ConfigDict) -> None:
    """What the networks look at, and how training changes it."""
    config.input.side, config.input.crop = 110, 96  # the authors' side, cut out of 1.15 times as much
    config.augmentation.rotation_degrees = 0.0
    config.augmentation.brightness = config.augmentation.contrast = config.augmentation.saturation = 0.2


def retraining(arg: str, file: str) -> ml_collections.ConfigDict:
    """A network for images, trained on for one set of expressions: Aff-Wild2 spec, section 11.

    Args:
        arg: "model" or "model,weights".
        file: the config file, whose name is the dataset's but for digits at its end.

    Raises:
        UserError: an unknown model, or weights that are not for it.
    """
    model, _, weights = arg.partition(",")
    check("model", model, ON_IMAGES, file)
    config = common.get_config(f"{presets.preset(model).trunk},{model}")
    start_from(config, weights, file)
    see_faces(config)
    with config.unlocked():
        del config.tasks.action_units
    config.dataset.name = file.rstrip("0123456789")
    config.dataset.require = "expression"
    config.dataset.held_out_share = 0.1  # the official test or validation set is for the report alone
    config.tasks.expression.class_weights = "inverse_frequency"
    config.data.batch_size = config.data.eval_batch_size = 64
    config.optimizer.name = "adamw"  # without decay it is Adam
    config.optimizer.learning_rate = 1e-4
    config.optimizer.weight_decay = 0.0
    config.optimizer.schedule = "cosine"
    config.training.epochs = 20
    config.training.patience = 0
    config.training.select_by = "mean_class_accuracy"
    return config
