"""One of two processes that take a step together, with two devices each.

python -m tests.training.two_processes PORT FOLDER NUMBER
"""

import pathlib
import sys

import jax
import numpy as np


def main(port: str, folder: str, number: str) -> None:
    """Takes the step with this process's half of the batch; saves the result's arrays in their tree's order."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(number))
    from tests.training import test_step

    share = np.split(np.arange(test_step.BATCH), 2)[int(number)]
    batch = {name: array[share] for name, array in test_step.random_batch().items()}
    result = test_step.take_step(4, *test_step.create("float64"), batch)
    np.savez(pathlib.Path(folder) / f"{number}.npz", *jax.tree.leaves(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
