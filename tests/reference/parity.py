"""Measures how far we are from the reference and writes docs/parity.md's table. Needs torch, and some minutes:

python -m tests.reference.parity
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

from tests.reference import cases, theirs

PAGE = cases.FOLDER.parents[1] / "docs" / "parity.md"
MORE = {"folded outputs at 227": 1e-4, "folded outputs at 112": 1e-4, "float32 drift": None}
BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"


def main():
    """Compares, and replaces what stands between the page's marks."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "ours.npz"
        command = [sys.executable, "-m", "tests.reference.ours", str(output), "--all"]
        subprocess.run(command, env={**os.environ, "JAX_ENABLE_X64": "1"}, check=True)
        with np.load(output) as file:
            ours = dict(file)
    expected = {}
    for trunk, model in cases.CASES:
        expected |= theirs.answers(trunk, model)
        for key in [key for key in expected if key.startswith(f"{trunk}/{model}/outputs")]:
            expected[key.replace("/outputs", "/folded outputs")] = expected[key]
        expected[f"{trunk}/{model}/float32 drift/losses"] = theirs.train(trunk, model, torch.float32)[0]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(ours, expected) + END + rest.partition(END)[2])


def table(ours, expected):
    """One row a kind, one column a model: the largest difference of any array of that kind."""
    columns = [f"{trunk}, {model}" for trunk, model in cases.CASES]
    lines = [f"| largest relative difference | allowed | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for kind, tolerance in {**cases.TOLERANCES, **MORE}.items():
        cells = []
        for case in cases.CASES:
            keys = [key for key in expected if key.startswith("/".join((*case, kind)) + "/")]
            worst = max((cases.difference(ours[key], expected[key]) for key in keys), default=None)
            cells.append("" if worst is None else f"{worst:.1e}")
        allowed = "reported" if tolerance is None else f"{tolerance:.0e}"
        lines.append(f"| {kind} | {allowed} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
