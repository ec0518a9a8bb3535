"""One of two processes that take steps together, with two devices each.

python -m tests.training.two_processes PORT FOLDER NUMBER
"""

import pathlib
import sys

import jax
import numpy as np


def main(port: str, folder: str, number: str) -> None:
    """Takes a step with this process's half of every batch; saves the results' arrays in their tree's order."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(number))
    from tests.training import stepping

    share = np.split(np.arange(stepping.BATCH), 2)[int(number)]
    halves = {name: {field: array[share] for field, array in batch.items()} for name, batch in stepping.BATCHES.items()}
    with stepping.quick_float64():
        results = stepping.take_steps(4, stepping.create("float64"), halves)
    np.savez(pathlib.Path(folder) / f"{number}.npz", *jax.tree.leaves(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
