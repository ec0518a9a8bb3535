"""Posts photographs to a running `emotion-gcn serve`: a burst at once, then a minute of load.

    emotion-gcn serve --port 8000 &
    python benchmarks/serve_load.py --port=8000 --pid=$!

prints how many posts got which answer, how long they took, and the server's memory before and after (Linux alone). A
post without an answer, or with another one than the first, ends it with status 1.
"""

import argparse
import collections
import concurrent.futures
import http.client
import pathlib
import time

import numpy as np
import skimage


def main() -> int:
    """Runs both parts."""
    parser = argparse.ArgumentParser(description="post photographs to a running emotion-gcn serve")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, help="of the server, whose memory is then shown")
    parser.add_argument("--burst", type=int, default=200, help="posts at once")
    parser.add_argument("--seconds", type=float, default=60, help="of load by four clients")
    options = parser.parse_args()
    data = (pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png").read_bytes()
    status, expected, _ = post(options.port, data)
    if status != 200:
        parser.error(
            f"no server answers at port {options.port} ({status}): start emotion-gcn serve, and wait for its line"
        )
    print(f"memory before: {memory(options.pid)}")
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(options.burst) as pool:
        burst = list(pool.map(lambda _: post(options.port, data), range(options.burst)))
    failed = report(f"burst of {options.burst}", burst, expected, time.perf_counter() - start)
    print(f"memory after the burst: {memory(options.pid)}")
    start = time.perf_counter()
    end = start + options.seconds

    def client(_: int) -> list[tuple[int | str, bytes, float]]:
        posts = []
        while time.perf_counter() < end:
            posts.append(post(options.port, data))
        return posts

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        load = [answer for posts in pool.map(client, range(4)) for answer in posts]
    failed += report("load of 4 clients", load, expected, time.perf_counter() - start)
    print(f"memory after the load: {memory(options.pid)}")
    return 1 if failed else 0


def post(port: int, data: bytes) -> tuple[int | str, bytes, float]:
    """Returns the status, or an error's name, the answer and the seconds that it took."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", "/faces", data)
        response = connection.getresponse()
        return response.status, response.read(), time.perf_counter() - start
    except OSError as error:
        return type(error).__name__, b"", time.perf_counter() - start
    finally:
        connection.close()


def report(name: str, posts: list[tuple[int | str, bytes, float]], expected: bytes, seconds: float) -> int:
    """Prints a line; returns how many posts have no answer, or another one than expected."""
    statuses = collections.Counter(status for status, _, _ in posts)
    times = np.percentile([taken for _, _, taken in posts], [50, 95, 100])
    wrong = sum(status not in (200, 503) or (status == 200 and body != expected) for status, body, _ in posts)
    median, most, longest = times
    print(
        f"{name}: {dict(statuses)}, {wrong} wrong, {len(posts) / seconds:.1f} a second; "
        f"median {median:.2f} s, 95 % within {most:.2f} s, longest {longest:.2f} s"
    )
    return wrong


def memory(pid: int | None) -> str:
    """The resident memory of a process."""
    if pid is None:
        return "not asked for"
    fields = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in fields if line.startswith("VmRSS"))


if __name__ == "__main__":
    raise SystemExit(main())
