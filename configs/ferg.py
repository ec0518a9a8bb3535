"""FERG-DB: Deep-Emotion, and every other trunk, one character left out; the recipes are in recipes.py.

    tfds build tfds_builders/ferg --config=character --manual_dir=FOLDER
    python train.py --config=configs/ferg.py:deep_emotion,single_task,stable --workdir=runs/ferg

One of the folds is tested on and one chooses the epoch: the loop over all of them is in
tfds_builders/ferg/README.md, and so is the protocol that published numbers fit.

Not run: FERG-DB is licensed and could not be had. No accuracy of this config has been measured.
"""

import ml_collections

from configs import recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe"; see recipes.py."""
    config = recipes.small_faces(arg, "ferg")
    config.dataset.config = "character"
    config.dataset.train_split = "all-aia-bonnie"
    config.dataset.validation_split = "bonnie"  # aia is for the test
    return config
