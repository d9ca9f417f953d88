"""`python -m bench [ROW…] [--repeat N]`: measure, and print one table. Without rows: all of them."""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import sys

from tests.peers.programs import ROOT

from bench.rows import ROWS, run
from bench.scene import storage
from bench.table import render


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Figures against peers, side by side.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each side of a row; the median is shown")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.rows if name not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    compileall.compile_dir(ROOT / "src", quiet=1)  # as an installed package is, also where Python may not write it
    rows = []
    for name in arguments.rows or ROWS:
        row, took_s = run(name, arguments.repeat)
        rows.append(row)
        print(f"{name}: measured in {took_s:.0f} s", file=sys.stderr)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {platform.system()}"
    print(f"{machine}; registries keep their content in {storage()}; load {os.getloadavg()[0]:.1f} at the end")
    print(render(rows))
    return 1 if any(side and side.problems for row in rows for side in (row.peer, row.ours)) else 0


if __name__ == "__main__":
    sys.exit(main())
