"""FERPlus: the faces of FER2013 by the votes of ten people, eight classes; the recipes are in recipes.py.

    tfds build tfds_builders/fer2013 --config=ferplus --manual_dir=FOLDER
    python train.py --config=configs/ferplus.py:deep_emotion,single_task,stable --workdir=runs/ferplus
    python train.py --config=configs/ferplus.py:fer_resnet18,single_task --workdir=runs/ferplus_resnet18

Training learns from the shares of the votes, of the images of which one class has the majority; accuracy is by that
class. Not run yet: no accuracy of this config has been measured.
"""

import ml_collections

from configs import recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe"; see recipes.py."""
    config = recipes.small_faces(arg, "fer2013")
    config.dataset.config = "ferplus"
    config.tasks.expression.loss = "soft_cross_entropy"
    config.tasks.expression.vocabulary = "Neutral,Happy,Surprise,Sad,Anger,Disgust,Fear,Contempt"
    return config
