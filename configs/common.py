"""The defaults of every config: the paper's recipe (Emotion-GCN, FG 2021; the official code's settings).

Every field that exists is here, with what it means. A dataset's config file starts from `get_config` and changes what
differs; the command line changes leaves: `--config.optimizer.learning_rate=0.01`.
"""

import ml_collections

from emotion_gcn_jax import presets


def get_config(arg: str = "densenet121,emotion_gcn") -> ml_collections.ConfigDict:
    """The paper's recipe on no dataset in particular.

    Args:
        arg: "trunk,model": what a config file is given as `configs/NAME.py:TRUNK,MODEL`. The model is one of
            presets.PRESETS, and sets the tasks, the readout, the neck, what it hears and knows of time, and the head.
    """
    trunk, _, model = arg.partition(",")
    trunk, model = trunk or "densenet121", model or "emotion_gcn"
    preset = presets.preset(model)
    config = ml_collections.ConfigDict()

    config.dataset = ml_collections.ConfigDict()
    config.dataset.name = ""  # a folder of tfds_builders/
    config.dataset.config = ""  # the builder's config; "" takes the only one that is built
    config.dataset.data_dir = ""  # where it was built; "" is TFDS's own default, TFDS_DATA_DIR or ~/tensorflow_datasets
    config.dataset.train_split = "train"  # several: "fold_3+fold_4"; all but some: "all-fold_1-fold_2"
    config.dataset.validation_split = "validation"  # evaluated every epoch; early stopping and `best` go by it
    config.dataset.held_out_share = 0.0  # > 0: this share of the training split takes the validation split's place
    config.dataset.folds = 0  # > 0: the training split is divided into so many folds, and one takes its place
    config.dataset.fold = 0  # which one, from 0
    config.dataset.group = ""  # held out together: a column; "" takes subject, recording, video or id
    config.dataset.require = "none"  # tasks whose labels an example must have: none, all, or names: "expression,affect"
    config.dataset.balance = ""  # a task whose classes are to be equally frequent in the training batches
    config.dataset.streams = ""  # further datasets in every batch, and their places in it: "affwild2/expr_va=12,..."

    config.input = ml_collections.ConfigDict()
    config.input.side = 227  # of the square image, pixels
    config.input.crop = 0  # > 0: the network sees a square of this side, anywhere in training and else in the middle
    config.input.channels = 3  # 1 is grey
    config.input.resize = "bilinear_antialiased"  # or bilinear (OpenCV's, twice as fast), area
    config.input.mean = (0.485, 0.456, 0.406)  # of each channel in 0..1, subtracted (ImageNet's)
    config.input.deviation = (0.229, 0.224, 0.225)  # divided by

    config.data = ml_collections.ConfigDict()
    config.data.batch_size = 35  # of the global batch, over all devices
    config.data.eval_batch_size = 64
    config.data.threads = 4  # host threads that decode and resize
    config.data.features = ""  # folders of emotion-gcn features, with commas: train on them, and run no trunk
    config.data.mask_damaged = False  # leave out images that cannot be read, instead of stopping at the first

    config.clip = ml_collections.ConfigDict()
    config.clip.length = preset.clip_length  # successive frames of one track, as many rows of a batch; 1: single images
    config.clip.min_present = 0.75  # training takes clips with this share of their frames

    config.augmentation = ml_collections.ConfigDict()
    config.augmentation.flip_probability = 0.5
    config.augmentation.rotation_degrees = 30.0  # uniform in +- this, corners black
    config.augmentation.brightness = 0.0  # jitter strengths; the official code jitters by nothing
    config.augmentation.contrast = 0.0
    config.augmentation.saturation = 0.0
    config.augmentation.hue = 0.0
    config.augmentation.grey_probability = 0.0  # of a colour image that becomes grey
    config.augmentation.low_resolution = 0.0  # 0.5: seen at 50 to 100 % of its own resolution
    config.augmentation.zoom = 0.0  # 0.2: 80 to 120 % of the size
    config.augmentation.shift = 0.0  # 0.1: by up to 10 % of the side, downwards and to the right each
    config.augmentation.erase_probability = 0.0  # random erasing of one rectangle
    config.augmentation.erase_area = (0.02, 0.33)  # the least and the largest share of the image that it has
    config.augmentation.mixup = 0.0  # alpha of mixup's Beta distribution: pairs of images, and their labels, are mixed
    config.augmentation.sound_masks = 0  # SpecAugment: so many stripes of time and of pitch are masked in a sound; or 2
    config.augmentation.sound_mask_steps = 19  # each up to so wide, of 96 steps of 10 ms
    config.augmentation.sound_mask_bands = 15  # and of 64 bands: SpecAugment's policy SM

    config.model = ml_collections.ConfigDict()
    config.model.trunk = trunk
    config.model.readout = presets.readout(trunk, model)  # of the last map: average, max or flatten
    config.model.hidden = preset.hidden  # widths of fully connected layers before the head, each with a ReLU
    config.model.dropout = preset.dropout  # of what each of them makes; without them, of the features
    config.model.embedding = preset.embedding  # a linear layer and a norm after them, of this width; 0 is none
    config.model.recurrent = preset.recurrent  # units of recurrent layers over the frames of clips; () is none
    config.model.reset = "after"  # where their reset gate acts: after the product, as in torch, or before it
    config.model.bidirectional = False  # whether they look ahead, too
    config.model.hearing = preset.hearing  # a trunk for the sound around a frame, or stack: its steps; "" is deaf
    config.model.hearing_width = 512  # of the fully connected layer after it, beside what is seen; 0 leaves it out
    config.model.fusion = "concat"  # of sight and sound: before the recurrent layers; late: after layers of their own
    config.model.head = preset.head  # linear; or graph, which makes the weights of all outputs from their relations
    config.model.mask_bn = False  # norms take their moments over a clip's own frames, without those that it repeats
    config.model.frozen_trunk = False  # the trunk stays as config.init gives it; only what follows is trained
    config.model.dtype = "float32"  # of the trunk's computation; bfloat16 keeps float32 parameters
    config.model.remat = False  # recompute layers in the backward pass: less memory, more time

    # Every task by its name. All kinds have a weight in the total loss; see emotion_gcn_jax/presets.py for the paper's.
    # classes: vocabulary, loss (cross_entropy, or soft_cross_entropy, which learns from a dataset's column NAME_votes,
    #   or arcface), class_weights (none, inverse_frequency, or numbers "0.1,0.2,..."), label_smoothing (0.1); arcface
    #   has scale, margin, margin_variant (fallback, easy or plain) and margin_warmup_epochs (linear, from 0)
    # values: dimensions (columns), loss (ccc or mse), ccc_variance (population; unbiased gives the official numbers)
    # flags: names, loss (bce), positive_weights (none, balanced, or numbers)
    config.tasks = ml_collections.ConfigDict(presets.tasks(model))

    config.init = ml_collections.ConfigDict()
    config.init.trunk = ""  # a checkpoint whose trunk, and neck as far as it is alike, training starts from; "": random
    config.init.hearing = ""  # one whose trunk of the sound, and the layer after it if it is alike, it starts from
    config.init.checkpoint = ""  # one that training starts from as a whole: its graph replaces what config.graph says

    config.graph = ml_collections.ConfigDict()
    config.graph.correlations = "affectnet"  # the embedded ones; "annotations" of the training split; or a CSV file
    config.graph.threshold = 0.1  # a smaller absolute correlation is no edge
    config.graph.neighbour_share = 0.5  # what a node gives to (or takes from) all its neighbours together
    config.graph.propagation = "transposed"  # the official one; "row" for ablation
    config.graph.word_vectors = ""  # "" is the embedded 100-d GloVe; or a GloVe text file, or an array, row by node

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = "sgd"  # torch's SGD; or adamw, which with a weight_decay of 0 is Adam
    config.optimizer.learning_rate = 1e-3
    config.optimizer.momentum = 0.9  # sgd only
    config.optimizer.nesterov = False  # sgd only: Nesterov's momentum
    config.optimizer.weight_decay = 1e-3  # sgd: L2 in the gradient; adamw: decoupled
    config.optimizer.decay_only_kernels = False  # leaves biases and norms (all arrays of one axis) undecayed
    config.optimizer.l2 = ""  # in the loss, a factor of the squares of a part's kernels: "trunk/fc=5e-4,head=5e-4"
    config.optimizer.rates = ""  # multiples of the learning rate, by part of the model: "head=0.1,trunk/stem_conv=0.5"
    config.optimizer.clip_norm = 0.0  # global norm of the gradients; 0 does not clip
    config.optimizer.schedule = "step"  # or cosine (to 0)
    config.optimizer.step_epochs = 10  # step only: every so many epochs after the warm-up
    config.optimizer.step_factor = 0.1  # the rate is multiplied by this
    config.optimizer.warmup_epochs = 0.0  # linear, from 0

    config.training = ml_collections.ConfigDict()
    config.training.seed = 0  # of the initial parameters, the order of the examples and the augmentation
    config.training.epochs = 10
    config.training.patience = 10  # stop after so many epochs without a better validation score; 0 never stops
    # The score: a task's metric, expression/accuracy, or its short name; or "macro_f1+ccc_mean", the mean of several.
    config.training.select_by = "accuracy"
    config.training.ema_decay = 0.0  # of the parameters' moving average, which is then what is evaluated; 0 for none
    config.training.devices = 0  # how many of this process's devices to use; 0 for all
    config.training.log_every_steps = 20
    config.training.checkpoint_every_steps = 0  # besides the end of every epoch; 0 for none
    config.training.skip_non_finite = False  # leave out a step with a NaN or an infinity, instead of stopping at it

    return config.lock()
