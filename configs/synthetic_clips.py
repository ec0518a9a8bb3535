"""Clips of rendered faces that move: networks in time against the same ones frame by frame.

    tfds build tfds_builders/synthetic_faces --config=clips
    python train.py --config=configs/synthetic_clips.py:mt_res --workdir=runs/mt_res
    python train.py --config=configs/synthetic_clips.py:mt_res_rnn --config.init.trunk=runs/mt_res --workdir=runs/rnn
    python train.py --config=configs/synthetic_clips.py:mt_audio_rnn --workdir=runs/audio
    python train.py --config=configs/synthetic_clips.py:mt_av_rnn --config.init.trunk=runs/mt_res --workdir=runs/av

A trunk may follow, mt_res_rnn,resnet50. The default is a small one, and so are the recurrent layer and what hears.
mt_res_rnn,shipped and mt_res,shipped learn on what the shipped model's trunk, which knows real faces, makes of the
images; it stays as it is, so that its features may be stored first:

    emotion-gcn features --dataset synthetic_faces --config clips --split train --output features/train
    emotion-gcn features --dataset synthetic_faces --config clips --split validation --output features/validation
    python train.py --config=configs/synthetic_clips.py:mt_res_rnn,shipped \
      --config.data.features=features/train,features/validation --workdir=runs/rnn

Valence and arousal can be told in time only, or arousal by the tone (tfds_builders/synthetic_faces/README.md);
docs/affwild2_mtl.md says what was measured.
"""

import ml_collections

from configs import common
from emotion_gcn_jax import model_file
from emotion_gcn_jax.presets import NO_TRUNK, preset

SHIPPED_TRUNK = "fer_resnet14"


def get_config(arg: str = "mt_res_rnn") -> ml_collections.ConfigDict:
    """`arg` is "model" or "model,trunk"."""
    model, _, trunk = arg.partition(",")
    model = model or "mt_res_rnn"
    sees = preset(model).trunk != NO_TRUNK
    default = "resnet_tiny" if sees else NO_TRUNK
    config = common.get_config(f"{SHIPPED_TRUNK if trunk == 'shipped' else trunk or default},{model}")

    config.dataset.name = "synthetic_faces"
    config.dataset.config = "clips"
    config.tasks.action_units.names = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU20,AU25,AU26"  # all that the faces show

    config.input.side = 64  # enlarged: small trunks look coarsely
    config.augmentation.rotation_degrees = 8.0  # the faces are stored level
    config.data.batch_size = config.data.eval_batch_size = 36
    if config.clip.length > 1:
        config.clip.length = 12
        config.data.batch_size = config.data.eval_batch_size = 72  # frames of 6 clips
        config.model.recurrent = (32,)
        if sees:  # with what has learnt from single frames: six heads a batch teach a trunk little
            config.optimizer.rates = "trunk=0.1"
    if config.model.hearing:
        config.model.hearing, config.model.hearing_width = "vgg_tiny", 64
        # Faces are seen as by mt_res_rnn, so that the sound is all that differs.
        config.model.readout, config.model.hidden, config.model.dropout = "average", (), 0.0

    if trunk == "shipped":
        _use_shipped_trunk(config)

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.clip_norm = 5.0
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 1.0
    config.training.epochs = 20 if config.model.frozen_trunk else 6
    config.training.select_by = "affect/ccc_mean"
    return config


def _use_shipped_trunk(config: ml_collections.ConfigDict) -> None:
    """With the input that it was trained on: docs/model_card.md."""
    config.init.trunk = str(model_file.SHIPPED)
    config.model.frozen_trunk = True
    config.model.dropout = 0.4
    config.input.update(side=48, crop=44, channels=1, mean=(0.5076,), deviation=(0.2544,))
    config.optimizer.rates = ""
    if config.clip.length > 1:
        config.model.recurrent = (64,)
