"""What the live view of a run costs: `python -m bench.live` runs 500 targets on a pseudo-terminal for ten seconds.

The events are those of a publish: 32 targets at once, steps that begin and end all the time, two registries that report
their traffic four times a second, and a registry that throttles. The same run without a view is subtracted.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import struct
import termios
import threading
import time
from contextlib import nullcontext

from bakery.events import (
    HostPaused,
    HostTraffic,
    RequestRetried,
    RunPlace,
    RunStarted,
    RunTarget,
    StepFinished,
    StepStarted,
    TargetFinished,
)
from bakery.report.live import LiveView
from bakery.report.recorder import Recorder

HOSTS = ("ghcr.io", "docker.io")
AT_ONCE = 32
TICK_S = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--lines", type=int, default=60)
    how = parser.parse_args()
    without, _ = measure(how, is_drawn=False)
    with_view, written = measure(how, is_drawn=True)
    share = (with_view - without) / how.seconds
    size = f"{how.columns} columns and {how.lines} lines"
    print(f"{how.targets} targets, {size}, {how.seconds:.0f} s")
    print(
        f"CPU time without a view {without:.2f} s, with a view {with_view:.2f} s: the view takes {share:.1%} of a CPU"
    )
    print(f"written to the terminal: {written / how.seconds / 1000:.1f} kB/s")


def measure(how: argparse.Namespace, *, is_drawn: bool) -> tuple[float, int]:
    """Return the CPU time of a run in seconds, and how many bytes were drawn."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", how.lines, how.columns, 0, 0))
    written = [0]

    def read() -> None:
        while True:
            try:
                written[0] += len(os.read(ours, 65536))
            except OSError:  # the other end is closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    recorder = Recorder()
    with open(theirs, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        began = time.process_time()
        view = LiveView(recorder, stream, {"TERM": "xterm-256color"}) if is_drawn else nullcontext()
        with view:
            run(recorder, how.targets, how.seconds)
        took = time.process_time() - began
    reader.join()
    os.close(ours)
    return took, written[0]


def run(emit: Recorder, count: int, seconds: float) -> None:
    """Emit the events of a run, in real time."""
    places = tuple(RunPlace(f"{host}/acme/image", ("1.0", "latest")) for host in HOSTS)
    uids = [f"image-{number}-1-0-0-minimal-ubuntu-22-04" for number in range(count)]
    emit(RunStarted("publish", tuple(RunTarget(uid, places=places) for uid in uids)))
    queue, running = iter(uids), dict[str, int]()
    ticks = int(seconds / TICK_S)
    for tick in range(ticks):
        time.sleep(TICK_S)
        while len(running) < AT_ONCE and (fresh := next(queue, None)) is not None:
            running[fresh] = 0
            emit(StepStarted(fresh, f"stage {places[0].repository}"))
        for uid in list(running)[: max(1, 4 * count // ticks)]:  # four steps of each target, in the time given
            emit(StepFinished(uid, f"stage {places[running[uid] % 2].repository}", 1.0))
            at = running[uid] = running.pop(uid) + 1  # to the end of the queue
            if at < 4:
                emit(StepStarted(uid, f"stage {places[at % 2].repository}"))
            else:
                emit(TargetFinished(uid, "published", 4.0))
                del running[uid]
        if tick % 5 == 0:
            for host in HOSTS:
                emit(HostTraffic(host, tick * 30, tick * 100_000, tick * 1_000_000))
        if tick % 40 == 0:
            emit(HostPaused(HOSTS[0], 1.5, "429: slow down"))
            emit(RequestRetried(HOSTS[0], "push blob", f"{HOSTS[0]}/acme/image", 1, 1.5, "429: slow down"))


if __name__ == "__main__":
    main()
