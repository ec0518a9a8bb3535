"""Emotion-GCN in PyTorch, written from the specification and independently of our JAX code, to compare with.

The models have the official parameter names, so that official checkpoints load into them strictly. Nothing is shared
with emotion_gcn_jax: whoever misread the specification would have had to misread it twice. For the tests only.
"""

import csv
import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

DENSENET121 = {"blocks": (6, 12, 24, 16), "growth": 32, "stem_width": 64}
BREGNEXT50 = {"stages": ((7, 32), (1, 64), (8, 64), (1, 128), (7, 128)), "stem_width": 32}
EXPRESSIONS, NODES = 7, 9


def adjacency(correlations_csv):
    """The row-normalised adjacency of a file of 9 x 9 rank correlations with a header and a first column of names."""
    with correlations_csv.open() as file:
        rows = list(csv.reader(file))[1:]
    strength = torch.tensor([[abs(float(cell)) for cell in row[1:]] for row in rows], dtype=torch.float64)
    linked = torch.zeros(NODES, NODES, dtype=torch.float64)
    for i in range(NODES):
        neighbours = []
        for j in range(NODES):
            both_expressions = i < EXPRESSIONS and j < EXPRESSIONS
            if i != j and not both_expressions and strength[i, j] >= 0.1:
                neighbours.append(j)
        for j in neighbours:
            linked[i, j] = 0.5 / len(neighbours)
        linked[i, i] = 0.5 if neighbours else 1.0
    return linked


# --- DenseNet ---------------------------------------------------------------------------------------------------------


class DenseLayer(nn.Module):
    """Its output is its input with `growth` channels appended."""

    def __init__(self, channels, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        return torch.cat([x, y], 1)


class Transition(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


def densenet_features(blocks, growth, stem_width):
    """DenseNet up to its last norm, and the number of its channels."""
    parts = OrderedDict(
        conv0=nn.Conv2d(3, stem_width, 7, stride=2, padding=3, bias=False),
        norm0=nn.BatchNorm2d(stem_width),
        relu0=nn.ReLU(),
        pool0=nn.MaxPool2d(3, stride=2, padding=1),
    )
    channels = stem_width
    for number, layers in enumerate(blocks, 1):
        block = OrderedDict()
        for layer in range(1, layers + 1):
            block[f"denselayer{layer}"] = DenseLayer(channels, growth)
            channels += growth
        parts[f"denseblock{number}"] = nn.Sequential(block)
        if number < len(blocks):
            parts[f"transition{number}"] = Transition(channels)
            channels //= 2
    parts["norm5"] = nn.BatchNorm2d(channels)
    return nn.Sequential(parts), channels


# --- BReG-NeXt --------------------------------------------------------------------------------------------------------


class BentShortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self._a = nn.Parameter(torch.ones(1))
        self._c = nn.Parameter(torch.ones(1))

    def forward(self, x):
        root = torch.sqrt(self._c**2 + 1)
        return torch.atan(self._a * x / root) / (self._a * root)


class ResidualBlock(nn.Module):
    def __init__(self, channels, features, stride):
        super().__init__()
        self._conv0 = nn.Conv2d(channels, features, 3, stride=stride, padding=1)
        self._conv1 = nn.Conv2d(features, features, 3, padding=1)
        self._shortcut = BentShortcut()
        self._batchnorm_conv0 = nn.BatchNorm2d(channels)
        self._batchnorm_conv1 = nn.BatchNorm2d(features)
        self.stride, self.pad = stride, (features - channels) // 2

    def forward(self, x):
        y = self._conv0(F.elu(self._batchnorm_conv0(x)))
        y = self._conv1(F.elu(self._batchnorm_conv1(y)))
        bent = self._shortcut(x)
        if self.stride == 2:
            bent = F.avg_pool2d(bent, 2)
        zeros = bent.new_zeros(bent.shape[0], self.pad, *bent.shape[2:])
        return y + torch.cat([zeros, bent, zeros], 1)


class Stage(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self._layer_stack = nn.Sequential(*blocks)

    def forward(self, x):
        return self._layer_stack(x)


class BReGNeXt(nn.Module):
    """From images to pooled features; `with_fc0` adds the final layer that only single_task uses."""

    def __init__(self, stages, stem_width, with_fc0=True):
        super().__init__()
        self._conv0 = nn.Conv2d(3, stem_width, 3, padding=1)
        channels, parts = stem_width, []
        for count, features in stages:
            blocks = []
            for _ in range(count):
                blocks.append(ResidualBlock(channels, features, 2 if features > channels else 1))
                channels = features
            parts.append(Stage(blocks))
        self._model = nn.Sequential(*parts, nn.BatchNorm2d(channels))
        self.width = channels
        if with_fc0:
            self._fc0 = nn.Linear(channels, EXPRESSIONS)

    def pooled(self, images):
        return F.elu(self._model(self._conv0(images))).mean((2, 3))


# --- The three models on either trunk: normalised images, N x 3 x H x W, to (logits, affect or None) ------------------


class DenseNetSingleTask(nn.Module):
    def __init__(self, word_width=0, **trunk):
        super().__init__()
        self.features, channels = densenet_features(**trunk)
        self.classifier = nn.Linear(channels, EXPRESSIONS)

    def forward(self, images):
        return self.classifier(F.relu(self.features(images)).mean((2, 3))), None


class DenseNetMultiTask(nn.Module):
    def __init__(self, word_width=0, **trunk):
        super().__init__()
        self.model_base, channels = densenet_features(**trunk)
        self.lin_cat = nn.Linear(channels, EXPRESSIONS)
        self.lin_cont = nn.Linear(channels, 2)

    def forward(self, images):
        x = F.relu(self.model_base(images)).mean((2, 3))
        return self.lin_cat(x), self.lin_cont(x)


class GraphConvolution(nn.Module):
    def __init__(self, width, features):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, features).uniform_(-1, 1) / math.sqrt(features))

    def forward(self, nodes, adj):
        return adj @ (nodes @ self.weight)


class GraphModel(nn.Module):
    """What both emotion_gcn models share: W of the graph, whose word vectors are no part of the state dict."""

    def set_graph(self, word_width, features):
        self.register_buffer("A", torch.zeros(NODES, NODES))
        self.register_buffer("word_vectors", torch.zeros(NODES, word_width), persistent=False)

    def w(self):
        adj = self.A.T  # the official propagation: the transpose of the row-normalised matrix
        hidden = F.leaky_relu(self.gc1(self.word_vectors, adj), 0.2)
        return self.gc2(hidden, adj)

    def classify(self, x):
        outputs = x @ self.w().T
        return outputs[:, :EXPRESSIONS], outputs[:, EXPRESSIONS:]


class DenseNetEmotionGCN(GraphModel):
    def __init__(self, word_width=300, **trunk):
        super().__init__()
        self.features, channels = densenet_features(**trunk)
        self.set_graph(word_width, channels)
        self.gc1 = GraphConvolution(word_width, 512)
        self.gc2 = GraphConvolution(512, channels)

    def forward(self, images):
        return self.classify(self.features(images).amax((2, 3)))


class BReGNeXtSingleTask(BReGNeXt):
    def __init__(self, word_width=0, **trunk):
        super().__init__(**trunk)

    def forward(self, images):
        return self._fc0(self.pooled(images)), None


class BReGNeXtMultiTask(BReGNeXt):
    def __init__(self, word_width=0, **trunk):
        super().__init__(**trunk, with_fc0=False)
        self.fc_cont = nn.Linear(self.width, 2)
        self.fc_cat = nn.Linear(self.width, EXPRESSIONS)

    def forward(self, images):
        x = self.pooled(images)
        return self.fc_cat(x), self.fc_cont(x)


class BReGNeXtEmotionGCN(GraphModel):
    def __init__(self, word_width=300, **trunk):
        super().__init__()
        self.model = BReGNeXt(**trunk)  # with its final layer, which nothing uses
        self.set_graph(word_width, self.model.width)
        self.gc1 = GraphConvolution(word_width, 512)
        self.gc2 = GraphConvolution(512, self.model.width)

    def forward(self, images):
        return self.classify(self.model.pooled(images))


MODELS = {
    ("densenet", "single_task"): DenseNetSingleTask,
    ("densenet", "multi_task"): DenseNetMultiTask,
    ("densenet", "emotion_gcn"): DenseNetEmotionGCN,
    ("bregnext", "single_task"): BReGNeXtSingleTask,
    ("bregnext", "multi_task"): BReGNeXtMultiTask,
    ("bregnext", "emotion_gcn"): BReGNeXtEmotionGCN,
}

# --- Losses and optimiser ---------------------------------------------------------------------------------------------


def official_ccc(true, predicted):
    """Concordance of a batch as the official loss takes it: the covariance over N, the variances over N - 1."""
    true, predicted = true.double(), predicted.double()
    covariance = ((true - true.mean()) * (predicted - predicted.mean())).mean()
    distance = (true.mean() - predicted.mean()) ** 2
    return 2 * covariance / (true.var() + predicted.var() + distance)


def official_loss(outputs, expression, valence, arousal, class_weights):
    """Weighted cross-entropy, plus one minus the mean concordance where the model has valence and arousal."""
    logits, affect = outputs
    loss = F.cross_entropy(logits, expression, weight=class_weights)
    if affect is not None:
        loss = loss + 1 - (official_ccc(valence, affect[:, 0]) + official_ccc(arousal, affect[:, 1])) / 2
    return loss


def official_sgd(model):
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-3)
