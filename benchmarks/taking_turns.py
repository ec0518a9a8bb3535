"""Compares processes that take turns: each does its work, while the others wait.

So a machine that is faster at one time than at another is so for all of them, and the ratio of medians can be trusted.
A turn of short work is several times that work: the first time after a pause it finds the processor's caches empty.
A side is a script that ends with `serve(work)`; a comparison starts several by `compare`.
"""

import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

WARM_UPS = 2
TURN_SECONDS = 0.5  # at least


def serve(work: Callable[[], object], **facts: Any) -> None:
    """Warms up, says so, and then does the work as often as each line of the standard input says.

    Args:
        work: what is timed; it returns when everything is done.
        **facts: what is to be said of this side, as JSON can hold it.
    """
    start = time.perf_counter()
    work()
    first = time.perf_counter() - start
    for _ in range(WARM_UPS - 1):
        start = time.perf_counter()
        work()
    once = time.perf_counter() - start
    print(json.dumps({"once": once, "first_seconds": round(first, 2), **facts}), flush=True)
    for line in sys.stdin:
        times = int(line)
        start = time.perf_counter()
        for _ in range(times):
            work()
        seconds = (time.perf_counter() - start) / times
        print(json.dumps({"seconds": seconds, "peak_memory_gb": peak_memory_gb()}), flush=True)


def peak_memory_gb() -> float:
    """Of this process, so far."""
    scale = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9, 2)


def compare(sides: Mapping[str, Sequence[str]], rounds: int) -> dict[str, dict[str, Any]]:
    """Runs sides in turn.

    Args:
        sides: the command of each by its name.
        rounds: how often each does its work.

    Returns:
        Of each: median, lowest and highest seconds, peak memory, and its facts.
    """
    processes, results = {}, {}
    try:
        for name, command in sides.items():  # one after the other: none warms up beside another
            processes[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            results[name] = _answer(name, processes[name])
        fastest = min(result.pop("once") for result in results.values())
        times = math.ceil(TURN_SECONDS / fastest)  # the same for all: who works longer has warmer caches
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, process in processes.items():
                assert process.stdin is not None
                process.stdin.write(f"{times}\n")
                process.stdin.flush()
                answer = _answer(name, process)
                seconds[name].append(answer["seconds"])
                results[name]["peak_memory_gb"] = answer["peak_memory_gb"]
    finally:
        for process in processes.values():
            process.kill()
    for name, values in seconds.items():
        results[name] |= {
            "seconds": round(statistics.median(values), 4),
            "lowest": round(min(values), 4),
            "highest": round(max(values), 4),
        }
    return results


def table(results: Mapping[str, Mapping[str, Any]], first: str) -> str:
    """The sides as lines of a table, and how much longer each takes than the first, from `compare`'s results."""
    lines = [f"{'':24}{'median s':>10}{'lowest':>10}{'highest':>10}{'GB':>7}   times {first}"]
    for name, result in results.items():
        seconds = "".join(f"{result[field]:10.4f}" for field in ("seconds", "lowest", "highest"))
        ratio = result["seconds"] / results[first]["seconds"]
        lines.append(f"{name:24}{seconds}{result['peak_memory_gb']:7.2f}{ratio:8.2f}")
    return "\n".join(lines)


def _answer(name: str, process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{name} stopped with exit status {process.wait()}.")
    return json.loads(line)
