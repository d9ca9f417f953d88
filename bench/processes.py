"""The cost of starting and reaping a process with bakery.parallel: 500 × true, eight at a time.

    python -m bench.processes

It is compared with subprocess.run in eight threads, which has no timeout, no process group and no tracking.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from bakery.parallel import ShellTask, run

COUNT, AT_ONCE, ROUNDS = 500, 8, 5


def plain() -> float:
    """Return the seconds for COUNT runs with subprocess.run."""
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(lambda _: subprocess.run(["true"], capture_output=True).returncode, range(COUNT)))
    assert codes == [0] * COUNT
    return time.perf_counter() - started


def ours() -> float:
    """Return the seconds for COUNT runs with bakery.parallel.run."""
    started = time.perf_counter()
    results = run([ShellTask(str(n), ["true"]) for n in range(COUNT)], jobs=AT_ONCE)
    assert all(result.ok for result in results)
    return time.perf_counter() - started


def main() -> None:
    pairs = [(plain(), ours()) for _ in range(ROUNDS)]
    base, own = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"subprocess.run  {base * 1000 / COUNT:6.2f} ms each")
    print(f"bakery.parallel {own * 1000 / COUNT:6.2f} ms each")
    print(f"ratio           {own / base:6.2f}  (at most 2)")


if __name__ == "__main__":
    main()
