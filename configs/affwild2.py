"""Aff-Wild2: the paper's recipe, for both trunks and all three models, on the frames that have both kinds of labels.

    tfds build tfds_builders/affwild2 --config=expr_va --manual_dir=FOLDER
    python train.py --config=configs/affwild2.py:densenet121,single_task --workdir=runs/affwild2_densenet_single
    python train.py --config=configs/affwild2.py:densenet121,multi_task --workdir=runs/affwild2_densenet_multi
    python train.py --config=configs/affwild2.py:densenet121,emotion_gcn --workdir=runs/affwild2_densenet_gcn
    python train.py --config=configs/affwild2.py:bregnext50,single_task --workdir=runs/affwild2_bregnext_single
    python train.py --config=configs/affwild2.py:bregnext50,multi_task --workdir=runs/affwild2_bregnext_multi
    python train.py --config=configs/affwild2.py:bregnext50,emotion_gcn --workdir=runs/affwild2_bregnext_gcn

With the twelve action units as further nodes of the graph, which the paper does not have, on the multi-task set:

    tfds build tfds_builders/affwild2 --config=mtl --manual_dir=FOLDER
    python train.py --config=configs/affwild2.py:densenet121,emotion_gcn_au --workdir=runs/affwild2_action_units

The graph's correlations, which were never published for this set, are computed from the training annotations when a run
starts; `emotion-gcn graph --dataset affwild2 --config expr_va --output adjacency.csv --plot graph.png` shows them.

The paper starts DenseNet-121 from ImageNet weights, --config.init.trunk=DIR (docs/weights.md says how to get them), and
has 300-dimensional word vectors, --config.graph.word_vectors=glove.6B.300d.txt.
--config.tasks.affect.ccc_variance=unbiased is the official loss to the digit. --config.dataset.held_out_share=0.1
selects the best epoch on a tenth of the training videos instead of the validation set.

Not run: Aff-Wild2 is licensed and could not be had. No accuracy of these configs has been measured here.
"""

import ml_collections

from configs import common


def get_config(arg: str = "densenet121,emotion_gcn") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model"."""
    config = common.get_config(arg)

    config.dataset.name = "affwild2"
    config.dataset.config = "mtl" if "action_units" in config.tasks else "expr_va"

    config.input.side = 112  # as the set's own aligned faces
    config.graph.correlations = "annotations"
    return config
