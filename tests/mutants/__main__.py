"""`python -m tests.mutants [ROOM ...]`: run the mutations, print the survivors, fail for those without a reason."""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

from tests.mutants.rooms import ROOMS
from tests.mutants.running import KILLED, Result, run_room

REASONS = Path(__file__).with_name("survivors.toml")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__)
    parser.add_argument("rooms", nargs="*", choices=[*ROOMS, []], help=f"one of: {', '.join(ROOMS)}; default: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="forks at the same time")
    asked = parser.parse_args()
    results: list[Result] = []
    for name in asked.rooms or ROOMS:
        began = time.monotonic()
        found = run_room(ROOMS[name], jobs=asked.jobs, progress=_show)
        survivors = sum(result.outcome != KILLED for result in found)
        print(f"\n{name}: {len(found)} mutations, {survivors} survived, {time.monotonic() - began:.0f} s")
        results += found
    new, outdated = compare(results, tomllib.loads(REASONS.read_text()))
    for result in new:
        where = f"{result.mutation.module}, line {result.mutation.lines[0]}"
        print(f"{result.outcome} without a reason in {REASONS.name}: {where}\n    {result.mutation.key}")
    for text in outdated:
        print(f"listed in {REASONS.name}, but killed or gone: {text}")
    counts = Counter(result.outcome for result in results)
    print(", ".join(f"{number} {outcome}" for outcome, number in counts.items()))
    return 1 if new or outdated else 0


def compare(results: list[Result], reasons: dict[str, dict[str, str]]) -> tuple[list[Result], list[str]]:
    """Return the survivors without a reason, and the reasons without a survivor in the modules that were mutated."""
    survivors = {(one.mutation.module, one.mutation.key): one for one in results if one.outcome != KILLED}
    modules = {one.mutation.module for one in results}
    explained = {(module, key) for module in modules for key in reasons.get(module, {})}
    new = [one for place, one in survivors.items() if place not in explained]
    return new, [f"{module}: {key}" for module, key in sorted(explained - survivors.keys())]


def _show(result: Result) -> None:
    print("." if result.outcome == KILLED else "S", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
