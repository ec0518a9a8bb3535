"""The reference's answers to the cases. Needs torch. Run as a program it writes their digests, the golden outputs:

python -m tests.reference.theirs
"""

import re

import numpy as np
import torch

from tests.reference import cases, torch_models

TRUNKS = {"densenet": torch_models.DENSENET121, "bregnext": torch_models.BREGNEXT50}


def answers(trunk, model):
    """All that is compared of one model."""
    found = {}
    for side in cases.SIDES[trunk]:
        outputs, blocks = infer(trunk, model, side)
        found |= {f"outputs at {side}/{name}": array for name, array in outputs.items()}
        found |= {f"blocks at {side}/{name}": array for name, array in blocks.items()}
    if model == "emotion_gcn":
        net = build(trunk, model)
        found |= {"graph/w": net.w().detach().numpy(), "graph/adjacency": net.A.numpy()}
    found["losses/losses"], tensors = train(trunk, model)
    for name, array in tensors.items():
        if re.search(r"\.running_(mean|var)$", name):
            found[f"statistics/{name}"] = array
        elif not re.search(
            r"num_batches_tracked$|^A$|^model\._fc0\.", name
        ):  # counters, a constant, and what is unused
            found[f"parameters/{name}"] = array
    found["float32 loss/first"] = train(trunk, model, torch.float32, steps=1)[0]
    return {f"{trunk}/{model}/{key}": array for key, array in found.items()}


def build(trunk, model, dtype=torch.float32):
    """A reference model with the case's parameters, loaded strictly."""
    net = torch_models.MODELS[trunk, model](cases.WORD_WIDTH, **TRUNKS[trunk])
    tensors = cases.state_dict(trunk, model, torch_models.adjacency(cases.CORRELATIONS).numpy())
    net.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, strict=True)
    if model == "emotion_gcn":
        net.word_vectors.copy_(torch.from_numpy(cases.word_vectors()))
    return net.to(dtype)


def infer(trunk, model, side):
    """What a model says of the images, and every block's output under our name, channels last."""
    net = build(trunk, model).eval()
    blocks = {}

    def record(name):
        def hook(module, inputs, output):
            if "_layer" in name:  # ours returns the new channels only
                output = output[:, inputs[0].shape[1] :]
            blocks[name] = output.permute(0, 2, 3, 1).numpy()

        return hook

    for path, module in net.named_modules():
        if name := block_name(path):
            module.register_forward_hook(record(name))
    with torch.no_grad():
        logits, affect = net(_images(cases.images(side), torch.float32))
    outputs = {"logits": logits} if affect is None else {"logits": logits, "affect": affect}
    return {name: tensor.numpy() for name, tensor in outputs.items()}, blocks


def train(trunk, model, dtype=torch.float64, steps=cases.STEPS):
    """The loss of every step, and the state dict after the last."""
    net = build(trunk, model, dtype).train()
    sgd = torch_models.official_sgd(net)
    class_weights = torch.tensor(cases.CLASS_WEIGHTS, dtype=dtype)
    losses = []
    for _, batch in zip(range(steps), cases.batches(trunk), strict=False):
        expression, valence, arousal = (torch.from_numpy(batch[name]) for name in ("expression", "valence", "arousal"))
        outputs = net(_images(batch["image"], dtype))
        loss = torch_models.official_loss(outputs, expression.long(), valence, arousal, class_weights)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return np.array(losses), {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def block_name(path):
    """Our name of a module whose output is compared, or None."""
    path = re.sub(r"^(features|model_base|model)\.", "", path)
    if match := re.fullmatch(r"denseblock(\d+)\.denselayer(\d+)", path):
        return f"block{match[1]}_layer{match[2]}"
    if match := re.fullmatch(r"transition(\d+)", path):
        return f"transition{match[1]}_conv"
    if match := re.fullmatch(r"_model\.(\d+)\._layer_stack\.(\d+)", path):
        return f"stage{int(match[1]) + 1}_block{int(match[2]) + 1}"
    return {
        "conv0": "stem_conv",
        "norm0": "stem_norm",
        "norm5": "final_norm",
        "_conv0": "stem_conv",
        "_model.5": "final_norm",
    }.get(path)


def _images(images_u8, dtype):
    return torch.from_numpy(cases.normalised(images_u8)).permute(0, 3, 1, 2).to(dtype)


def main():
    """Writes the golden outputs."""
    torch.set_num_threads(1)  # its threads cost more than they bring at these sizes
    found = {}
    for case in cases.CASES:
        found |= answers(*case)
    np.savez_compressed(cases.GOLDENS, **cases.digests(found))


if __name__ == "__main__":
    main()
