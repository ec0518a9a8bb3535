"""Aff-Wild2, all its labels at once: expressions, valence and arousal, action units (Kollias and Zafeiriou 2019).

    tfds build tfds_builders/affwild2 --config=frames --manual_dir=FOLDER
    python train.py --config=configs/affwild2_mtl.py:mt_vgg --workdir=runs/mt_vgg
    python train.py --config=configs/affwild2_mtl.py:mt_res --workdir=runs/mt_res
    python train.py --config=configs/affwild2_mtl.py:mt_arcvgg --workdir=runs/mt_arcvgg
    python train.py --config=configs/affwild2_mtl.py:mt_arcres --workdir=runs/mt_arcres
    python train.py --config=configs/affwild2_mtl.py:mt_vgg_rnn --workdir=runs/mt_vgg_rnn
    python train.py --config=configs/affwild2_mtl.py:mt_res_rnn --workdir=runs/mt_res_rnn
    python train.py --config=configs/affwild2_mtl.py:mt_audio_rnn --workdir=runs/mt_audio_rnn
    python train.py --config=configs/affwild2_mtl.py:mt_av_rnn --workdir=runs/mt_av_rnn

mt_av_rnn may start from a network that sees and from one that only hears, --config.init.trunk=runs/mt_vgg_rnn and
--config.init.hearing=runs/mt_audio_rnn; --config.model.fusion=late joins them behind recurrent layers of their own.

An edition may follow, mt_arcres,first: first has 7 expressions and 8 action units, second 7 and 12, third 8, with
Other, and 12. The default is second. To models of 7 classes a frame of Other, which later editions have, has no
expression. The multi-task set of the fourth and the seventh edition is another data set, --config.dataset.config=mtl.

The trunk starts from ImageNet's weights where --config.init.trunk=DIR names some (docs/weights.md). For weights of
faces, which should be better, a third word sets the trunk and the images: mt_arcres,second,vggface2 or
mt_vgg,second,vgg_face. The recipe is ours: the paper's cannot be had, see docs/affwild2_mtl.md.

With --config.dataset.streams=affectnet/csv=32,rafdb=16 images of AffectNet and RAF-DB have places in every batch, with
what labels they have; Contempt is none of them.

configs/rafdb.py and configs/affectnet8.py train such a network on for other sets of expressions.

Not run: Aff-Wild2 is licensed and could not be had. No number of these configs has been measured, and none of them may
be called reproduced.
"""

import ml_collections

from configs import common, face_networks
from emotion_gcn_jax import presets

MODELS = (*face_networks.ON_IMAGES, "mt_vgg_rnn", "mt_res_rnn", "mt_audio_rnn", "mt_av_rnn")
EDITIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "first": ((), "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25"),
    "second": ((), presets.TASKS["action_units"]["names"]),
    "third": (("Other",), presets.TASKS["action_units"]["names"]),
}
"""By the challenge's edition the classes besides the seven, and the action units (Aff-Wild2 spec, section 2)."""


def get_config(arg: str = "mt_arcres") -> ml_collections.ConfigDict:
    """`arg` is "model,edition,weights", of which the last ones may be left out.

    Raises:
        UserError: an unknown model or edition, or weights that are not for the model's trunk.
    """
    model, edition, weights = (*arg.split(",", 2), "", "")[:3]
    model, edition, file = model or "mt_arcres", edition or "second", "affwild2_mtl"
    face_networks.check("model", model, MODELS, file)
    face_networks.check("edition", edition, tuple(EDITIONS), file)
    config = common.get_config(f"{presets.preset(model).trunk},{model}")
    face_networks.start_from(config, weights, file)

    config.dataset.name = "affwild2"
    config.dataset.config = "frames"
    config.dataset.held_out_share = 0.1  # of the recordings; the validation set is for the report alone
    classes, config.tasks.action_units.names = EDITIONS[edition]
    config.tasks.expression.vocabulary = ",".join((config.tasks.expression.vocabulary, *classes))

    face_networks.see_faces(config)
    # 4 clips of 80 frames; the authors' code has 2 or 10 (Aff-Wild2 spec, section 11).
    config.data.batch_size = config.data.eval_batch_size = 128 if config.clip.length == 1 else 4 * config.clip.length

    model_config = config.model
    new_parts = {
        "head": True,
        "neck": model_config.hidden or model_config.embedding,
        "hearing/fc": model_config.hearing,
        "time": model_config.recurrent,
    }
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.weight_decay = 1e-4
    config.optimizer.decay_only_kernels = True
    config.optimizer.rates = ",".join(f"{part}=10" for part, present in new_parts.items() if present)
    config.optimizer.clip_norm = 1.0
    config.optimizer.step_epochs = 3
    config.training.epochs = 8
    config.training.select_by = "macro_f1+ccc_mean+f1_mean"
    return config
