"""RAF-DB: seven basic classes in colour; the recipes are in recipes.py.

    tfds build tfds_builders/rafdb --manual_dir=FOLDER
    python train.py --config=configs/rafdb.py:resnet18,single_task --workdir=runs/rafdb
    python train.py --config=configs/rafdb.py:deep_emotion,single_task,stable --workdir=runs/rafdb_deep_emotion

The epoch is chosen on a tenth of the training images, the test split is for the report alone.

Not run: RAF-DB is licensed and could not be had. No accuracy of this config has been measured.
"""

import ml_collections

from configs import recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe"; see recipes.py."""
    trunk, *others = arg.split(",")
    config = recipes.small_faces(",".join([trunk or "resnet18", *others]), "rafdb")
    config.dataset.held_out_share = 0.1
    if not config.model.trunk.startswith("deep_emotion"):
        config.input.side, config.input.crop, config.input.channels = 100, 88, 3
        config.input.mean, config.input.deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return config
