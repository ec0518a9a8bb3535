"""Labelled photographs of faces of your own: a folder for each class, or a table (tfds_builders/folders/README.md).

    tfds build tfds_builders/folders --manual_dir=FOLDER
    python train.py --config=configs/folders.py --workdir=runs/mine
    emotion-gcn evaluate --checkpoint=runs/mine --images=MORE --output=report

Four things may need changing:

- the vocabulary: the seven expressions unless you name your classes,
  --config.tasks.expression.vocabulary=Happy,Sad,Bored
- the tasks: a class alone; configs/folders.py:densenet121,multi_task learns valence and arousal too, if the table has
  them, and emotion_gcn relates them by a graph
- the side: --config.input.side=64 trains three times as fast, 224 sees more of large faces
- the validation split: a fifth of the training split's subjects (or videos, or else images) validates; if the set has
  a validation split of its own, --config.dataset.held_out_share=0

A recipe for some thousand images, from scratch. For fewer, start from ImageNet weights: --config.init.trunk=DIR
(docs/weights.md says how to get them). No accuracy of this config has been measured.
"""

import ml_collections

from configs import common


def get_config(arg: str = "densenet121,single_task") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model"."""
    trunk, _, model = arg.partition(",")
    config = common.get_config(f"{trunk},{model or 'single_task'}")

    config.dataset.name = "folders"
    config.dataset.held_out_share = 0.2
    config.graph.correlations = "annotations"

    config.input.side = 112
    config.data.batch_size = 32
    config.augmentation.rotation_degrees = 15.0
    config.augmentation.brightness = 0.2  # photographs differ in their light
    config.augmentation.contrast = 0.2
    config.augmentation.saturation = 0.2

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.clip_norm = 5.0
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 1.0
    config.training.epochs = 20
    if config.model.head == "graph":  # as for synthetic_faces.py, which says why
        config.tasks.affect.weight = 5.0
        config.optimizer.rates = "head=0.1"
    return config
