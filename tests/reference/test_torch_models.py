"""The reference itself: it has the official tensors, and its graph, losses and optimiser are the specified ones."""

import numpy as np
import pytest
import torch

from emotion_gcn_jax.conversion import convert
from tests.reference import cases, torch_models
from tests.reference.theirs import TRUNKS, build


@pytest.mark.parametrize(("trunk", "model"), cases.CASES)
def test_state_dicts_have_the_official_names_shapes_and_dtypes(trunk, model):
    net = torch_models.MODELS[trunk, model](cases.WORD_WIDTH, **TRUNKS[trunk])
    found = [
        (name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in net.state_dict().items()
    ]
    assert found == cases.official_tensors(trunk, model)


@pytest.mark.parametrize(("trunk", "model"), cases.CASES)
def test_it_strictly_loads_what_the_conversion_hands_back(trunk, model, tmp_path):
    before = build(trunk, model).state_dict()
    torch.save({"epoch": 9, "model_state_dict": before}, tmp_path / "official.pth")
    np.save(tmp_path / "vectors.npy", cases.word_vectors())
    vectors = tmp_path / "vectors.npy" if model == "emotion_gcn" else None
    convert.from_official(tmp_path / "official.pth", tmp_path / "ours", vectors=vectors)
    convert.to_torch(tmp_path / "ours", tmp_path / "back.pth")
    net = torch_models.MODELS[trunk, model](cases.WORD_WIDTH, **TRUNKS[trunk])
    net.load_state_dict(torch.load(tmp_path / "back.pth", weights_only=True), strict=True)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_golden_outputs_are_those_of_the_reference(theirs):
    digests = cases.digests(theirs)
    with np.load(cases.GOLDENS) as goldens:
        assert digests.keys() == set(goldens)
        for group, digest in digests.items():
            assert cases.digest_difference(digest, goldens[group]) < cases.TOLERANCES[group.split("/")[2]], group


def test_the_graph_hands_on_what_the_specification_says():
    """Section 2: what an expression, valence and arousal receive of the nodes, in AffectNet's graph."""
    received = torch_models.adjacency(cases.CORRELATIONS).T
    neutral, happy, sad, surprise, fear, disgust, anger, valence, arousal = range(9)
    expected = torch.eye(9, dtype=torch.float64) * 0.5
    expected[:7, valence] = expected[:7, arousal] = 1 / 12
    expected[happy, arousal] = expected[surprise, valence] = 0.0
    for node in (neutral, sad, fear, disgust, anger):
        expected[valence, node] = expected[arousal, node] = 0.25
    expected[valence, happy] = expected[arousal, surprise] = 0.5
    torch.testing.assert_close(received, expected)


def test_a_perfect_batch_of_n_has_the_official_concordance_of_n_minus_1_over_n():
    values = torch.tensor([0.1, -0.5, 0.7, 0.2])
    assert torch_models.official_ccc(values, values).item() == pytest.approx(3 / 4)


def test_the_losss_class_weights_are_divided_by_their_sum():
    logits = torch.zeros(2, 7)
    logits[0, 1] = 2.0
    outputs = (logits, None)
    loss = torch_models.official_loss(outputs, torch.tensor([1, 0]), None, None, torch.tensor([3.0, 1, 1, 1, 1, 1, 1]))
    right, wrong = -2 + torch.log(6 + torch.tensor(2.0).exp()), torch.log(torch.tensor(7.0))
    assert loss.item() == pytest.approx(((right + 3 * wrong) / 4).item())


def test_sgd_adds_the_decay_to_the_gradient_and_starts_its_buffer_with_it():
    net = torch.nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(3.0)
    sgd = torch_models.official_sgd(net)
    parameter, buffer = 3.0, 0.0
    for gradient in (1.0, -2.0):
        net.weight.grad = torch.full((1, 1), gradient)
        sgd.step()
        buffer = 0.9 * buffer + gradient + 1e-3 * parameter
        parameter -= 1e-3 * buffer
    assert net.weight.item() == pytest.approx(parameter)
