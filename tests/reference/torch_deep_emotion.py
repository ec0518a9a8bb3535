"""Deep-Emotion in PyTorch, written from its specification with a public checkpoint's parameter names, to compare with.

Nothing is shared with emotion_gcn_jax. For the tests only. Run as a program it writes the digests of the answers, which
stand in for them where there is no torch:

python -m tests.reference.torch_deep_emotion
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.reference import cases, deep_emotion_cases


class DeepEmotion(nn.Module):
    """From grey images B x 1 x 48 x 48 to the scores of seven classes; dropout is off."""

    def __init__(self, localisation, warp):
        super().__init__()
        self.warp = warp
        first, second = nn.Conv2d(1, 10, 3), nn.Conv2d(10, 10, 3)
        third, fourth = nn.Conv2d(10, 10, 3), nn.Conv2d(10, 10, 3)
        self.feat_extraction = nn.Sequential(
            *(first, nn.ReLU(), second, nn.MaxPool2d(2), nn.ReLU()),
            *(third, nn.ReLU(), fourth, nn.MaxPool2d(2), nn.ReLU()),
        )
        self.fc_de = nn.Sequential(nn.Linear(810, 50), nn.ReLU(), nn.Identity(), nn.Linear(50, 7))
        if localisation:
            sizes, padding, pool, flat = {
                "pool4": ((3, 3), 1, 4, 3 * 3 * 10),
                "valid3": ((3, 3), 0, 2, 10 * 10 * 10),
                "tutorial": ((7, 5), 0, 2, 8 * 8 * 10),
            }[localisation]
            self.localization = nn.Sequential(
                *(nn.Conv2d(1, 8, sizes[0], padding=padding), nn.MaxPool2d(pool), nn.ReLU()),
                *(nn.Conv2d(8, 10, sizes[1], padding=padding), nn.MaxPool2d(pool), nn.ReLU()),
            )
            self.fc_loc = nn.Sequential(nn.Linear(flat, 32), nn.ReLU(), nn.Linear(32, 6))

    def forward(self, images):
        if self.warp == "none":
            return self.fc_de(self.feat_extraction(images).flatten(1))
        theta = self.fc_loc(self.localization(images).flatten(1)).view(-1, 2, 3)
        if self.warp == "input":
            return self.fc_de(self.feat_extraction(warped(images, theta, False)).flatten(1))
        return self.fc_de(warped(self.feat_extraction(images), theta, False).flatten(1))


def warped(x, theta, align_corners):
    """The spatial transformer of torch's own functions."""
    grid = F.affine_grid(theta, list(x.shape), align_corners=align_corners)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=align_corners)


def build(case):
    """A reference network with the case's parameters, float64."""
    localisation, warp, _ = deep_emotion_cases.NETWORKS[case]
    net = DeepEmotion(localisation, warp).double()
    tensors = {n: torch.from_numpy(deep_emotion_cases.tensor(n, tuple(t.shape))) for n, t in net.state_dict().items()}
    net.load_state_dict(tensors, strict=True)
    return net


def network_answers(case):
    """All that is compared of one network."""
    net = build(case)
    with torch.no_grad():
        found = {"outputs/logits": net(_images(deep_emotion_cases.images(3))).numpy()}
    if deep_emotion_cases.NETWORKS[case][2]:
        adam, losses = torch.optim.Adam(net.parameters(), lr=deep_emotion_cases.RATE), []
        for images, classes in deep_emotion_cases.batches():
            squares = sum((layer.weight**2).sum() for layer in (net.fc_de[0], net.fc_de[3]))
            cross_entropy = F.cross_entropy(net(_images(images)), torch.from_numpy(classes).long())
            loss = cross_entropy + deep_emotion_cases.L2 * squares
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        found["losses/losses"] = np.array(losses)
        found |= {f"parameters/{name}": tensor.detach().numpy() for name, tensor in net.named_parameters()}
    return {f"{case}/{key}": array for key, array in found.items()}


def transformer_answers(case):
    """The transformer's values, and the gradients of their weighted sum."""
    x, theta, weights = map(torch.from_numpy, deep_emotion_cases.transformer_inputs())
    x.requires_grad_()
    theta.requires_grad_()
    result = warped(x.permute(0, 3, 1, 2), theta, deep_emotion_cases.TRANSFORMERS[case]).permute(0, 2, 3, 1)
    (result * weights).sum().backward()
    found = {"values/result": result.detach(), "gradients/map": x.grad, "gradients/theta": theta.grad}
    return {f"{case}/{key}": array.numpy() for key, array in found.items()}


def answers(case):
    """All that is compared of one case."""
    return network_answers(case) if case in deep_emotion_cases.NETWORKS else transformer_answers(case)


def _images(images_u8):
    return torch.from_numpy(deep_emotion_cases.normalised(images_u8)).permute(0, 3, 1, 2)


def main():
    """Writes the golden digests."""
    torch.set_num_threads(1)
    found = {}
    for case in (*deep_emotion_cases.NETWORKS, *deep_emotion_cases.TRANSFORMERS):
        found |= answers(case)
    np.savez_compressed(deep_emotion_cases.GOLDENS, **cases.digests(found))


if __name__ == "__main__":
    main()
