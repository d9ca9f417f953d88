"""Every error code has a text, and docs/errors has a page for each, as the catalogue says."""

from __future__ import annotations

import ast
import re
from errno import EACCES, EAGAIN, EMFILE, ENOSPC
from pathlib import Path

import pytest

from bakery.app.explaining import explain, pages
from bakery.catalogue.entry import Entry
from bakery.catalogue.find import BY_CODE, ENTRIES, find
from bakery.errors import AuthError, BakeryError, UsageError, code_of, message
from tests.test_errors import imported_errors

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"[a-z]+/[a-z]+(-[a-z]+)*")


def codes_in_source() -> set[str]:
    """Return every code that the source code gives to an error: a string that is a code and not in the catalogue."""
    found: set[str] = set()
    for file in (ROOT / "src" / "bakery").rglob("*.py"):
        if file.parent.name == "catalogue":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "error_code" and isinstance(node.value, ast.Constant):
                found.add(str(node.value.value))
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            names = {one.id for one in targets if isinstance(one, ast.Name)}
            is_code = not names.isdisjoint({"error_code", "kind", "_UNREADABLE"})
            if is_code and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                texts = [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}
    return found - {""}


def test_every_code_that_an_error_may_have_has_an_entry():
    used = codes_in_source() | {kind.error_code for kind in imported_errors()}
    used |= {code_of(KeyError()), code_of(OSError(24, "too many"))}
    assert used - set(BY_CODE) == set()
    assert set(BY_CODE) - used == set(), "an entry that no error has"


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.code for entry in ENTRIES])
def test_every_entry_says_what_it_means_why_it_happens_and_what_to_do(entry: Entry):
    assert CODE.fullmatch(entry.code)
    assert entry.title[0].isupper() or entry.title.startswith("bakery.yaml")
    assert not entry.title.endswith(".")
    sentences = (entry.meaning, *entry.causes, *entry.actions)
    assert entry.causes
    assert entry.actions
    assert all(sentence.rstrip("`").endswith((".", ")")) for sentence in sentences)
    assert entry.example.startswith(f"error[{entry.code}]: ")


def test_no_two_entries_have_one_code():
    assert len(BY_CODE) == len(ENTRIES)


def test_the_pages_in_docs_are_those_of_the_catalogue():
    folder = ROOT / "docs" / "errors"
    there = {str(file.relative_to(folder)): file.read_text("utf-8") for file in folder.rglob("*.md")}
    assert there == dict(pages()), "run: bakery explain --pages docs/errors"


def test_a_message_shows_the_code_of_its_error():
    assert message(AuthError("cannot push", status=401, error_code="auth/login")).startswith(
        "error[auth/login]: cannot"
    )
    assert message(BakeryError("no")) == "error[run/failed]: no"
    assert message(ZeroDivisionError("x")).startswith("error[run/internal]: internal error: ZeroDivisionError")


SYSTEM = {
    "no file": (OSError(EMFILE, "no"), "error[system/limit]: the limit of open files is reached"),
    "no process": (BlockingIOError(EAGAIN, "no"), "error[system/limit]: cannot start a process: the limit"),
    "no thread": (RuntimeError("can't start new thread"), "error[system/limit]: cannot start a thread: the limit"),
    "no memory": (MemoryError(), "error[system/limit]: out of memory\nhint: "),
    "no disk": (OSError(ENOSPC, "no", "file"), "error[run/failed]: cannot write file: no space left on device\nhint: "),
    "no permission": (PermissionError(EACCES, "Permission denied", "file"), "error[run/failed]: cannot use file: Perm"),
    "nothing that is known": (OSError("odd"), "error[run/internal]: internal error: OSError: odd"),
}


@pytest.mark.parametrize(("error", "start"), SYSTEM.values(), ids=SYSTEM)
def test_what_the_system_refuses_is_not_shown_as_a_bug(error, start):
    assert message(error).startswith(start)
    assert "hint: " in message(error)


@pytest.mark.parametrize("written", ["registry/quota", "error[registry/quota]:", " Registry/Quota "])
def test_a_code_is_found_as_people_copy_it(written):
    assert find(written) == (BY_CODE["registry/quota"],)
    assert explain(written).startswith("registry/quota: ")


def test_the_first_part_of_a_code_lists_its_group_and_no_code_lists_everything():
    assert {entry.code.partition("/")[0] for entry in find("registry")} == {"registry"}
    assert all(entry.code in explain("") for entry in ENTRIES)


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("registry/qota", "registry/quota"), ("quota", "registry/quota"), ("zzz", "'bakery explain'")],
)
def test_an_unknown_code_is_an_error_with_the_nearest(written, nearest):
    with pytest.raises(UsageError, check=lambda error: nearest in error.hint):
        find(written)
