"""`python -m bench [ROW…] [--repeat N]`: measure these rows (by default all) and print one table."""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import ssl
import sys

from tests.peers.programs import ROOT

from bench.rows import ROWS, run
from bench.scene import storage
from bench.table import render


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Bakery and its peers side by side.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--repeat", type=int, default=3, help="runs per contender and row; the table shows the median")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.rows if name not in ROWS]
    if unknown:
        parser.error(f"unknown row: {', '.join(unknown)}; expected one of: {', '.join(ROWS)}")
    compileall.compile_dir(ROOT / "src", quiet=1)  # as in an installed package
    rows = []
    for name in arguments.rows or ROWS:
        row, took_s = run(name, arguments.repeat)
        rows.append(row)
        print(f"{name}: measured in {took_s:.0f} s", file=sys.stderr)
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    python = f"Python {platform.python_version()} with {openssl}"
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, {python}, {platform.system()}"
    print(f"{machine}; registry content in {storage()}; load {os.getloadavg()[0]:.1f} at the end")
    print(render(rows))
    return 1 if any(side and side.problems for row in rows for side in (row.peer, row.ours)) else 0


if __name__ == "__main__":
    sys.exit(main())
