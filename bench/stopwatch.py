"""Run one command and write its time, CPU and memory: `python -I -S bench/stopwatch.py RESULT LIMIT_S COMMAND…`.

A small, separate process: Linux includes the memory of the parent at the fork in the peak of the child, so a bench of
50 MiB could not measure anything smaller.
"""

import json
import os
import signal
import sys
import time


def main() -> None:
    result, limit_s, *command = sys.argv[1:]
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(int(limit_s))
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - started
    with open(result, "w") as file:  # noqa: PTH123  # importing pathlib would double the size of this process
        json.dump(
            {
                "exit_code": os.waitstatus_to_exitcode(status),
                "wall_s": wall_s,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * 1024,
            },
            file,
        )


if __name__ == "__main__":
    main()
