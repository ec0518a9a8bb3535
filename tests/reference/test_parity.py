"""Ours against the independent PyTorch reference, for the six models: see docs/parity.md."""

import numpy as np
import pytest

from tests.reference import cases

GROUPS = [
    (trunk, model, kind)
    for trunk, model in cases.CASES
    for kind in cases.TOLERANCES
    if (kind != "graph" or model == "emotion_gcn") and (not kind.endswith("227") or trunk == "densenet")
]


def of_group(answers, group):
    """The answers of one trunk, model and kind."""
    return {key: array for key, array in answers.items() if key.startswith("/".join(group) + "/")}


@pytest.mark.parametrize("group", GROUPS, ids="/".join)
def test_we_answer_as_the_reference(group, ours, theirs):
    found, tolerance = of_group(ours, group), cases.TOLERANCES[group[2]]
    if theirs is None:
        with np.load(cases.GOLDENS) as goldens:
            assert cases.digest_difference(cases.digests(found)["/".join(group)], goldens["/".join(group)]) < tolerance
        return
    expected = of_group(theirs, group)
    assert expected and found.keys() == expected.keys()
    differences = {key: cases.difference(found[key], expected[key]) for key in expected}
    worst = max(differences, key=differences.get)
    assert differences[worst] < tolerance, f"{worst} differs by {differences[worst]:.1e}"


def test_every_answer_belongs_to_a_group(ours):
    assert {tuple(key.split("/")[:3]) for key in ours} == set(GROUPS)


def test_inference_was_in_float32_and_training_in_float64(ours):
    for key, array in ours.items():
        wide = cases.kind(key) in ("losses", "parameters", "statistics")
        assert array.dtype == (np.float64 if wide else np.float32), key
