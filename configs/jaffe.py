"""JAFFE: Deep-Emotion, and every other trunk, one woman left out; the recipes are in recipes.py.

    tfds build tfds_builders/jaffe --config=loso --manual_dir=FOLDER
    python train.py --config=configs/jaffe.py:deep_emotion,single_task,stable --workdir=runs/jaffe

One of the folds is tested on and one chooses the epoch: the loop over all of them is in
tfds_builders/jaffe/README.md, and so is the protocol that published numbers fit.

Not run: JAFFE is licensed and could not be had. No accuracy of this config has been measured.
"""

import ml_collections

from configs import recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe"; see recipes.py."""
    config = recipes.small_faces(arg, "jaffe")
    config.dataset.config = "loso"
    config.dataset.train_split = "all-KA-KL"
    config.dataset.validation_split = "KL"  # KA is for the test
    config.data.batch_size = 32  # of about 170 images
    return config
