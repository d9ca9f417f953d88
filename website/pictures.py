"""`python -m website.pictures`: pictures of real runs in a terminal, as SVG in docs/pictures.

A command runs in a pseudo-terminal; pyte keeps the screen that it draws. Nothing is drawn by hand.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import pyte

ROOT: Final = Path(__file__).resolve().parents[1]
COLUMNS, LINES = 112, 34
_CELL_WIDTH, _LINE_HEIGHT, _MARGIN = 8.0, 18, 16
_COLOURS: Final = {
    "default": "#d8dee9", "white": "#d8dee9", "brightwhite": "#ffffff", "black": "#5b6475", "brightblack": "#7f8897",
    "red": "#e06c75", "brightred": "#e06c75", "green": "#98c379", "brightgreen": "#98c379",
    "brown": "#e5c07b", "brightbrown": "#e5c07b", "blue": "#61afef", "brightblue": "#61afef",
    "magenta": "#c678dd", "brightmagenta": "#c678dd", "cyan": "#56b6c2", "brightcyan": "#56b6c2",
}  # fmt: skip


def screens(command: Sequence[str], cwd: Path) -> list[pyte.Screen]:
    """Run a command in a terminal, and return its screen after each time that it drew, the last one included."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    for name in ("CI", "GITHUB_ACTIONS", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdin=child, stdout=child, stderr=child)
    os.close(child)
    found, fed = [], b""
    while True:
        if select.select([parent], [], [], 60)[0]:
            try:
                data = os.read(parent, 65536)
            except OSError:  # the command has closed the terminal
                break
            if not data:
                break
            fed += data
            found.append(_screen(fed))
    os.close(parent)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return found


def _screen(fed: bytes) -> pyte.Screen:
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.ByteStream(screen).feed(fed)
    return screen


def svg(screen: pyte.Screen, title: str) -> str:
    """Return a screen as a picture, without the empty lines below its text."""
    used = [number for number in range(LINES) if screen.display[number].strip()]
    lines = (used[-1] + 1 if used else 1) + 2
    width, height = COLUMNS * _CELL_WIDTH + 2 * _MARGIN, lines * _LINE_HEIGHT + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" rx="8" fill="#1f2430"/>',
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13">',
        _text(0, 0, f"$ {title}", "brightwhite", bold=True),
    ]
    for number in used:
        row, start = screen.buffer[number], 0
        while start < COLUMNS:
            cell, end = row[start], start
            while end < COLUMNS and (row[end].fg, row[end].bold) == (cell.fg, cell.bold):
                end += 1
            text = "".join(row[column].data for column in range(start, end))
            if text.strip():
                parts.append(_text(start, number + 2, text.rstrip(), cell.fg, bold=cell.bold))
            start = end
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _text(column: int, line: int, text: str, colour: str, *, bold: bool) -> str:
    indent = len(text) - len(text.lstrip())
    x, y = _MARGIN + (column + indent) * _CELL_WIDTH, _MARGIN + (line + 1) * _LINE_HEIGHT - 5
    shown = text.strip().replace(" ", "\N{NO-BREAK SPACE}")  # a renderer keeps these
    fill = _COLOURS.get(colour, f"#{colour}" if len(colour) == 6 else _COLOURS["default"])
    look = f'fill="{fill}"' + (' font-weight="600"' if bold else "")
    length = f'textLength="{len(shown) * _CELL_WIDTH:.0f}"'
    return f'<text x="{x:.0f}" y="{y}" {look} {length}>{escape(shown)}</text>'


def main() -> None:
    """Write the pictures of the README."""
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    words = ("rehearse", "examples/hello", "--faults", "ghcr", "--seed", "4")
    drawn = screens([str(Path(sys.executable).with_name("bakery")), *words], ROOT)
    title = f"bakery {' '.join(words)}"
    live = max(drawn[:-1], key=lambda screen: sum(len(line.strip()) for line in screen.display))
    (folder / "live.svg").write_text(svg(live, title), "utf-8")
    (folder / "result.svg").write_text(svg(drawn[-1], title), "utf-8")


if __name__ == "__main__":
    main()
