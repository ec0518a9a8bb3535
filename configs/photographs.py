"""The model that is shipped: FER2013's faces, by the votes of FERPlus and by FER2013's own labels, seven expressions.

    tfds build tfds_builders/fer2013 --config=fer2013 --manual_dir=FOLDER
    tfds build tfds_builders/fer2013 --config=ferplus --manual_dir=FOLDER
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python train.py --config=configs/photographs.py --workdir=runs/photographs

Every image comes twice in an epoch: with the votes of ten people, who see better, and with the one label that FER2013
gave it. Images are changed as our detector's crops of photographs differ from FER2013's: place, size, tilt, light,
sharpness. It is in bfloat16, which a CPU with AMX computes three times as fast (docs/performance.md); the variable in
front, large pages of memory, makes it a third faster still. docs/model_card.md has what came out.
"""

import ml_collections

from configs import ferplus


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """`arg` is "trunk,model,recipe" as for FER2013; without it fer_resnet14,single_task,strong."""
    config = ferplus.get_config(arg or "fer_resnet14")
    config.dataset.require = "none"
    config.dataset.streams = "fer2013/fer2013=64"
    config.tasks.expression.vocabulary = "Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger"
    config.model.dtype = "bfloat16"
    config.augmentation.zoom = 0.1
    config.augmentation.shift = 0.05
    config.augmentation.brightness = config.augmentation.contrast = 0.2
    config.augmentation.low_resolution = 0.3
    config.augmentation.erase_probability = 0.0
    config.optimizer.warmup_epochs = 0.5
    config.training.ema_decay = 0.999
    config.training.epochs = 9
    return config
