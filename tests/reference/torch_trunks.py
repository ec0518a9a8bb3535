"""ResNets and VGGs in PyTorch, written from the papers and torchvision's parameter names, to compare with.

Three kinds of ResNet differ in where they halve a map, and in the stem's pool: torchvision's, VGGFace2's (as Caffe's)
and that of TensorFlow's slim (Aff-Wild2 spec, sections 3 and 4).

Nothing is shared with emotion_gcn_jax. For the tests only. Run as a program it writes the digests of the answers, which
stand in for them where there is no torch:

python -m tests.reference.torch_trunks
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.reference import cases, trunk_cases


class BasicBlock(nn.Module):
    """He et al., figure 5, left."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample(channels, width, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """He et al., figure 5, right, with the stride on the 3x3 convolution or on the one before it."""

    def __init__(self, channels, width, stride, kind):
        super().__init__()
        reducing, middle = (stride, 1) if kind == "vggface2" else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, 1, reducing, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, middle, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        # slim thins a block's input out where it needs no projection
        keeps_channels = kind == "slim" and channels == 4 * width
        self.downsample = nn.MaxPool2d(1, stride) if keeps_channels else downsample(channels, 4 * width, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def downsample(channels, features, stride):
    """A block's shortcut: empty where the shapes already agree."""
    if channels == features and stride == 1:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(channels, features, 1, stride, bias=False), nn.BatchNorm2d(features))


def stem_pool(x, kind):
    """The max pool of a kind's stem."""
    if kind == "vggface2":
        return F.max_pool2d(x, 3, stride=2, padding=0, ceil_mode=True)
    if kind == "slim":  # SAME: as many windows as half the side, rounded up; the larger half of the margin at the end
        margins = []
        for side in reversed(x.shape[2:]):
            total = max((-(-side // 2) - 1) * 2 + 3 - side, 0)
            margins += [total // 2, total - total // 2]
        return F.max_pool2d(F.pad(x, margins, value=-torch.inf), 3, stride=2)
    return F.max_pool2d(x, 3, stride=2, padding=1)


class ResNet(nn.Module):
    """From images to the last feature map."""

    def __init__(self, block, counts, image_channels, stem_width=64, kind="torchvision"):
        super().__init__()
        self.kind = kind
        self.conv1 = nn.Conv2d(image_channels, stem_width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem_width)
        channels = width = stem_width
        options = {"kind": kind} if block is Bottleneck else {}
        stages = []
        for count in counts:
            blocks = []
            for _ in range(count):
                if kind == "slim":
                    halves = len(blocks) == count - 1 and len(stages) < len(counts) - 1
                else:
                    halves = stages and not blocks
                blocks.append(block(channels, width, 2 if halves else 1, **options))
                channels = 4 * width if block is Bottleneck else width
            stages.append(nn.Sequential(*blocks))
            self.add_module(f"layer{len(stages)}", stages[-1])
            width = 2 * width

    def forward(self, images):
        x = stem_pool(F.relu(self.bn1(self.conv1(images))), self.kind)
        for name, stage in self.named_children():
            if name.startswith("layer"):
                x = stage(x)
        return x


class VGG(nn.Module):
    """From images to the last feature map; `layers` is written as in Simonyan and Zisserman's table 1, M a max pool."""

    def __init__(self, layers, image_channels, pools_odd_ends=False):
        super().__init__()
        modules, channels = [], image_channels
        for layer in layers.split():
            if layer == "M":
                modules.append(nn.MaxPool2d(2, ceil_mode=pools_odd_ends))
            else:
                modules += [nn.Conv2d(channels, int(layer), 3, padding=1), nn.ReLU()]
                channels = int(layer)
        self.features = nn.Sequential(*modules)

    def forward(self, images):
        return self.features(images)


CONFIGURATION_D = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
NETWORKS = {
    "resnet18": lambda channels: ResNet(BasicBlock, (2, 2, 2, 2), channels),
    "resnet34": lambda channels: ResNet(BasicBlock, (3, 4, 6, 3), channels),
    "resnet50": lambda channels: ResNet(Bottleneck, (3, 4, 6, 3), channels),
    "vgg16": lambda channels: VGG(CONFIGURATION_D, channels),
    "small_basic": lambda channels: ResNet(BasicBlock, (1, 2), channels, stem_width=8),
    "small_bottleneck": lambda channels: ResNet(Bottleneck, (1, 2), channels, stem_width=8),
    "small_vgg": lambda channels: VGG("8 8 M 12 M", channels),
    "small_vggface2": lambda channels: ResNet(Bottleneck, (1, 1), channels, stem_width=8, kind="vggface2"),
    "small_slim": lambda channels: ResNet(Bottleneck, (2, 1), channels, stem_width=8, kind="slim"),
    "small_vgg_same": lambda channels: VGG("8 8 M 12 M", channels, pools_odd_ends=True),
}


def state_dict(case):
    """The (name, shape) of every tensor, in order, without the counters of batches."""
    tensors = NETWORKS[case](trunk_cases.CASES[case][2]).state_dict()
    return [(name, tuple(t.shape)) for name, t in tensors.items() if not name.endswith("num_batches_tracked")]


def answers(case):
    """All that is compared of one case."""
    *_, channels, trains = trunk_cases.CASES[case]
    net = NETWORKS[case](channels).double()
    tensors = {name: torch.from_numpy(trunk_cases.tensor(name, shape)) for name, shape in state_dict(case)}
    missing, unexpected = net.load_state_dict(tensors, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    images = torch.from_numpy(trunk_cases.images(case)).permute(0, 3, 1, 2)
    with torch.no_grad():
        found = {"map/last": _channels_last(net.eval()(images))}
    if trains:
        last = net.train()(images).permute(0, 2, 3, 1)
        (last * torch.from_numpy(trunk_cases.loss_weights(tuple(last.shape)))).sum().backward()
        found |= {f"gradients/{name}": parameter.grad.numpy() for name, parameter in net.named_parameters()}
        found |= {f"statistics/{name}": buffer.numpy() for name, buffer in net.named_buffers() if "running" in name}
    return {f"{case}/{key}": array for key, array in found.items()}


def _channels_last(x_BxCxHxW):
    return x_BxCxHxW.permute(0, 2, 3, 1).numpy()


def main():
    """Writes the golden digests."""
    torch.set_num_threads(1)
    found = {}
    for case in trunk_cases.CASES:
        found |= answers(case)
    np.savez_compressed(trunk_cases.GOLDENS, **cases.digests(found))


if __name__ == "__main__":
    main()
