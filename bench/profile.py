"""Where a publish spends its time: `python -m bench.profile [tiny|big] [ROUND_TRIP_S]`, with cProfile, grouped by room.

The profiler exaggerates the cost of Python code and does not see threads: only the shares are meaningful.
"""

from __future__ import annotations

import pstats
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench import contenders, rows
from bench.contenders import Measured
from bench.scene import Scene
from bench.workload import BuiltTarget, write_project

# A function belongs to the first group of which its file and name contain a part.
_GROUPS = (
    ("waiting for the network", ("'poll' of 'select.epoll'",)),
    ("kernel: sending and receiving", ("'send' of '_socket", "'recv' of '_socket", "_socket.socket", "sendmsg")),
    ("SHA-256", ("_hashlib",)),
    ("imports", ("importlib", "marshal.loads", "builtins.exec", "__build_class__", "builtins.compile", "posix.stat")),
    ("h11", ("/h11/",)),
    ("asyncio", ("asyncio", "_contextvars")),
    ("bakery.registry", ("bakery/registry",)),
    ("bakery.transfer", ("bakery/transfer",)),
    ("bakery: other rooms", ("/bakery/",)),
)


def _group(file: str, function: str) -> str:
    text = f"{file} {function}"
    return next((name for name, parts in _GROUPS if any(part in text for part in parts)), "Python itself")


def profiled(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    project = scene.folder / "project"
    metadata = write_project(project, targets, scene.source, scene.destinations)
    python = contenders.BAKERY.with_name("python")
    profile: list[str | Path] = [python, "-m", "cProfile", "-o", scene.folder.parent / "profile", contenders.BAKERY]
    command = [*profile, "ci", "publish", "--context", project, *metadata]
    return contenders.measure("profiled", command, scene.environment, scene.folder)


def main(shape: str, round_trip_s: float | None) -> None:
    with rows.loaded({"tiny": rows.TINY, "big": rows.BIG}[shape]) as (source, targets, folder):
        measured = rows.once(profiled, source, targets, folder, round_trip_s=round_trip_s)
        # pstats has this attribute, but its type stubs do not.
        stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(
            pstats.Stats(str(folder / "profile"))
        )["stats"]
    seconds: defaultdict[str, float] = defaultdict(float)
    for (file, _, function), (_, _, own_s, _, _) in stats.items():
        seconds[_group(file, function)] += own_s
    total = sum(seconds.values())
    print(f"{shape}: {measured.wall_s:.2f} s under the profiler, correct: {'no' if measured.problems else 'yes'}")
    for name, own_s in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{own_s:7.3f} s  {own_s / total:5.1%}  {name}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tiny", float(sys.argv[2]) if len(sys.argv) > 2 else None)
