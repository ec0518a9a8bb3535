"""The training step of tests/reference/torch_models.py, to be compared with ours: training_against_torch.py runs it."""

import argparse
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from taking_turns import serve

from tests.reference import torch_deep_emotion, torch_models, torch_trunks


class Classifier(torch.nn.Module):
    """One of torchvision's trunks with seven classes and two values."""

    def __init__(self, trunk: torch.nn.Module, width: int) -> None:
        super().__init__()
        self.trunk, self.head = trunk, torch.nn.Linear(width, 9)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the models of torch_models answer."""
        outputs = self.head(self.trunk(images).mean((2, 3)))
        return outputs[:, :7], outputs[:, 7:]


class DeepEmotion(torch_deep_emotion.DeepEmotion):
    """Deep-Emotion of grey images, with seven classes and two values."""

    def __init__(self) -> None:
        super().__init__("pool4", "features")
        self.fc_de[3] = torch.nn.Linear(50, 9)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the models of torch_models answer."""
        outputs = super().forward(images)
        return outputs[:, :7], outputs[:, 7:]


MODELS = {
    "densenet121": lambda: torch_models.DenseNetEmotionGCN(**torch_models.DENSENET121),
    "bregnext50": lambda: torch_models.BReGNeXtEmotionGCN(**torch_models.BREGNEXT50),
    "resnet18": lambda: Classifier(torch_trunks.NETWORKS["resnet18"](3), 512),
    "resnet50": lambda: Classifier(torch_trunks.NETWORKS["resnet50"](3), 2048),
    "deep_emotion": DeepEmotion,
}


def main() -> None:
    """Parses the flags and takes steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trunk", default="densenet121", choices=MODELS)
    parser.add_argument("--size", type=int, default=227)
    parser.add_argument("--batch", type=int, default=35)
    parser.add_argument("--channels-last", action="store_true", help="the layout that is faster on most CPUs")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="bfloat16 is autocast's")
    args = parser.parse_args()
    torch.manual_seed(0)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model = MODELS[args.trunk]().to(memory_format=layout).train()
    optimizer = torch_models.official_sgd(model)
    images = torch.randn(args.batch, 1 if args.trunk == "deep_emotion" else 3, args.size, args.size).to(
        memory_format=layout
    )
    expression = torch.randint(0, 7, (args.batch,))
    valence, arousal = torch.rand(2, args.batch) * 2 - 1
    weights = torch.ones(7)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bfloat16"):
            outputs = model(images)
        outputs = tuple(output.float() for output in outputs)
        torch_models.official_loss(outputs, expression, valence, arousal, weights).backward()
        optimizer.step()

    serve(step, torch=torch.__version__, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
