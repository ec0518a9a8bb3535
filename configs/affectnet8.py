"""AffectNet with eight expressions, for networks that were trained on Aff-Wild2 (Kollias and Zafeiriou 2019).

    tfds build tfds_builders/affectnet --config=csv --manual_dir=FOLDER
    python train.py --config=configs/affectnet8.py:mt_arcres --config.init.trunk=runs/mt_arcres --workdir=runs/eight
    python train.py --config=configs/affectnet8.py:mt_arcres --config.init.trunk=weights/imagenet --workdir=runs/without

The first goes on from a run on Aff-Wild2, the second is the same network without it: the difference between the two is
what the paper claims. Trunk and embedding are taken over, the classes' weights are new (there is one of Contempt).
Valence and arousal are learnt as well, action units are not.

What that run itself started from follows the model: mt_arcres,vggface2; see configs/affwild2_mtl.py. The release of
March 2021 is --config.dataset.config=npy. Models are mt_vgg, mt_res, mt_arcvgg and mt_arcres. The epoch is chosen on a
tenth of the training images, by the mean of the classes' accuracies.

Not run: AffectNet and Aff-Wild2 are licensed and could not be had. No accuracy of this config has been measured.
"""

import ml_collections

from configs import face_networks
from emotion_gcn_jax.labels import CLASS_ORDERS


def get_config(arg: str = "mt_arcres") -> ml_collections.ConfigDict:
    """`arg` is "model" or "model,weights"."""
    config = face_networks.retraining(arg or "mt_arcres", "affectnet8")
    config.dataset.config = "csv"
    config.tasks.expression.vocabulary = ",".join(CLASS_ORDERS["affectnet"].vocabulary)
    return config
