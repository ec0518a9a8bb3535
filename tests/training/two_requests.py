"""One of two processes that are both sent SIGTERM before their first step; prints with which step they end.

python -m tests.training.two_requests PORT NUMBER
"""

import os
import signal
import sys
import time

from emotion_gcn_jax import processes
from emotion_gcn_jax.training import interruption


def main(port: str, number: str) -> None:
    """Joins the other process, sends itself SIGTERM, waits as if it prepared, and takes steps until it is to end."""
    processes.join(f"localhost:{port}", 2, int(number))
    with interruption.listening() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # JAX looks for signals every second
        steps = 1
        while not request.ends_now() and steps < 100:
            steps += 1
            time.sleep(0.1)
    print(steps, flush=True)
    processes.leave(interruption.STATUS)


if __name__ == "__main__":
    main(*sys.argv[1:])
