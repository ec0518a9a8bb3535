"""CK+: Deep-Emotion, and every other trunk, on folds without common subjects; the recipes are in recipes.py.

    tfds build tfds_builders/ck_plus --config=last3_subject10 --manual_dir=FOLDER
    python train.py --config=configs/ck_plus.py:deep_emotion,single_task,stable --workdir=runs/ck_plus

One of the folds is tested on and one chooses the epoch: the loop over all of them is in
tfds_builders/ck_plus/README.md, and so is the protocol that published numbers fit.

Not run: CK+ is licensed and could not be had. No accuracy of this config has been measured.
"""

import ml_collections

from configs import recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe"; see recipes.py."""
    config = recipes.small_faces(arg, "ck_plus")
    config.dataset.config = "last3_subject10"
    config.dataset.train_split = "all-fold_1-fold_2"
    config.dataset.validation_split = "fold_2"  # fold_1 is for the test
    config.tasks.expression.vocabulary = "Anger,Contempt,Disgust,Fear,Happy,Sad,Surprise"
    return config
