"""RAF-DB: seven basic classes in colour; the recipes are in recipes.py.

    tfds build tfds_builders/rafdb --manual_dir=FOLDER
    python train.py --config=configs/rafdb.py:resnet18,single_task --workdir=runs/rafdb
    python train.py --config=configs/rafdb.py:deep_emotion,single_task,stable --workdir=runs/rafdb_deep_emotion

A network that was trained on Aff-Wild2 (Kollias and Zafeiriou 2019) goes on to RAF-DB with its trunk and embedding, and
the same one without Aff-Wild2 is its partner, since the difference between the two is what the paper claims:

    python train.py --config=configs/rafdb.py:mt_arcvgg --config.init.trunk=runs/mt_arcvgg --workdir=runs/rafdb_arcvgg
    python train.py --config=configs/rafdb.py:mt_arcvgg --config.init.trunk=weights/imagenet --workdir=runs/without

What that run itself started from follows the model: mt_arcvgg,vgg_face; see configs/affwild2_mtl.py and, for the
recipe, face_networks.py. The models are mt_vgg, mt_res, mt_arcvgg and mt_arcres.

The epoch is chosen on a tenth of the training images, the test split is for the report alone.

Not run: RAF-DB is licensed and could not be had. No accuracy of this config has been measured.
"""

import ml_collections

from configs import face_networks, recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe", see recipes.py; or "model,weights" of a network for Aff-Wild2."""
    trunk, *others = arg.split(",")
    if trunk in face_networks.ON_IMAGES:
        config = face_networks.retraining(arg, "rafdb")
        config.input.side = 100  # as the set's images
        with config.unlocked():
            del config.tasks.affect
        return config
    config = recipes.small_faces(",".join([trunk or "resnet18", *others]), "rafdb")
    config.dataset.held_out_share = 0.1
    if not config.model.trunk.startswith("deep_emotion"):
        config.input.side, config.input.crop, config.input.channels = 100, 88, 3
        config.input.mean, config.input.deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return config
