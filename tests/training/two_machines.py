"""Two runs of two processes, of which once the first and once the second vanishes; prints how the other one ended.

python -m tests.training.two_machines FOLDER

A stopped process answers nothing and closes nothing, as one on a machine whose cable is cut.
"""

import json
import os
import pathlib
import signal
import sys
import time

from benchmarks import small_runs

LONGEST = 300  # seconds, of all


def main(folder: pathlib.Path) -> None:
    """Trains into folder/0 and folder/1, which are named after the process that vanishes."""
    signal.alarm(LONGEST)
    config = small_runs.built(folder)
    config.training.update(epochs=9999, patience=0)
    found = []
    for gone in (0, 1):
        workdir, errors = folder / str(gone), folder / f"{gone}.txt"

        def keep_errors(errors: pathlib.Path = errors) -> None:
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)

        children = small_runs.train(config, workdir, processes_count=2, before=keep_errors)
        while not list((workdir / "checkpoints" / "last").glob("[0-9]*")):
            time.sleep(0.1)
        os.kill(children[gone], signal.SIGSTOP)
        start = time.monotonic()
        status, seconds = small_runs.wait(children[1 - gone]), time.monotonic() - start
        os.kill(children[gone], signal.SIGKILL)
        small_runs.wait(children[gone])
        said = errors.read_text().strip().splitlines()[-1]
        found.append({"gone": gone, "status": status, "seconds": seconds, "said": said})
    print(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
