"""What a child writes is kept up to a cap, or passed on line by line, whatever the pieces it comes in."""

import sys

import pytest

from bakery.parallel.output import Kept, Lines
from bakery.parallel.spawn import spawn


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_passed_on_whole_whatever_the_pieces(size):
    lines: list[str] = []
    output = Lines(lines.append)
    content = "one\r\n\nthrée\nlast".encode()
    for start in range(0, len(content), size):
        output.feed(content[start : start + size])
    assert lines == ["one", "", "thrée"]
    output.end()
    output.end()
    assert lines == ["one", "", "thrée", "last"]


def test_a_line_without_an_end_does_not_fill_the_memory():
    sizes: list[int] = []
    output = Lines(lambda line: sizes.append(len(line)))
    for _ in range(100):
        output.feed(b"x" * 65536)
    assert sum(sizes) > 5_000_000
    assert len(output.whole()) == len(output.tail()) == 16384
    assert not output.over


def test_the_whole_is_kept_up_to_the_cap_and_then_its_end():
    output = Kept(5)
    output.feed(b"abc")
    assert (output.whole(), output.tail(), output.over) == (b"abc", b"abc", False)
    output.feed(b"defg")
    assert (output.whole(), output.tail(), output.over) == (b"abcde", b"defg", True)


async def test_a_command_passes_on_the_lines_of_both_streams_and_has_no_cap():
    lines: list[str] = []
    code = "import sys\nfor n in range(3): print(n, flush=True)\nsys.stderr.write('x' * 100 + '\\nend')"
    done = await spawn([sys.executable, "-c", code], on_line=lines.append, cap_bytes=10)
    assert done.ok
    assert sorted(lines) == sorted(["0", "1", "2", "x" * 100, "end"])
    assert done.stderr.endswith(b"end")
