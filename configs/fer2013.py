"""FER2013: Deep-Emotion, and every other trunk, on its seven classes; the recipes are in recipes.py.

    tfds build tfds_builders/fer2013 --config=fer2013 --manual_dir=FOLDER
    python train.py --config=configs/fer2013.py:deep_emotion,single_task,stable --workdir=runs/fer2013
    python train.py --config=configs/fer2013.py:fer_resnet18,single_task --workdir=runs/fer2013_resnet18
    emotion-gcn evaluate --checkpoint runs/fer2013 --dataset fer2013 --config fer2013 --split test --output report

The epoch is chosen by PublicTest (the split validation), PrivateTest (test) is for the report alone.
"""

import ml_collections

from configs import recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe"; see recipes.py."""
    config = recipes.small_faces(arg, "fer2013")
    config.dataset.config = "fer2013"
    return config
