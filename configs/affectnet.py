"""AffectNet: the paper's recipe, for both trunks and all three models.

    tfds build tfds_builders/affectnet --config=csv --manual_dir=FOLDER
    python train.py --config=configs/affectnet.py:densenet121,single_task --workdir=runs/affectnet_densenet_single
    python train.py --config=configs/affectnet.py:densenet121,multi_task --workdir=runs/affectnet_densenet_multi
    python train.py --config=configs/affectnet.py:densenet121,emotion_gcn --workdir=runs/affectnet_densenet_gcn
    python train.py --config=configs/affectnet.py:bregnext50,single_task --workdir=runs/affectnet_bregnext_single
    python train.py --config=configs/affectnet.py:bregnext50,multi_task --workdir=runs/affectnet_bregnext_multi
    python train.py --config=configs/affectnet.py:bregnext50,emotion_gcn --workdir=runs/affectnet_bregnext_gcn

The paper starts DenseNet-121 from ImageNet weights, --config.init.trunk=DIR (docs/weights.md says how to get them), and
has 300-dimensional word vectors, --config.graph.word_vectors=glove.6B.300d.txt.
--config.tasks.affect.ccc_variance=unbiased is the official loss to the digit. Eight classes, which the paper does not
have: --config.tasks.expression.vocabulary=Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger,Contempt and, for emotion_gcn,
--config.graph.correlations=annotations.

The paper selects the best epoch on the 3,500 validation images that it also reports. Better, and a field away:
--config.dataset.held_out_share=0.05 selects on a part of the training split, and `emotion-gcn evaluate` then reports on
images that have chosen nothing.

Not run: AffectNet is licensed and could not be had. No accuracy of these configs has been measured here.
"""

import ml_collections

from configs import common


def get_config(arg: str = "densenet121,emotion_gcn") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model"."""
    config = common.get_config(arg)

    config.dataset.name = "affectnet"
    config.dataset.config = "csv"  # npy is the release of March 2021; csv_official has the official code's crops
    config.dataset.require = "expression"  # the paper leaves out what has none, though it has valence and arousal

    config.input.side = 112 if config.model.trunk.startswith("bregnext") else 227
    config.graph.correlations = "affectnet"
    config.tasks.expression.class_weights = "inverse_frequency"  # 3803 / n of the full training split's n
    return config
