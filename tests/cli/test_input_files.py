"""The file that a command works on: whatever is wrong with it, and whichever command it is, the exit code is the same.

Source: pipeline.md 5.9, "ours". `ci summary` has a rule of its own: it merges what it can read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bakery.cli import main
from bakery.errors import ExitCode
from tests.cli.running import bakery, inner_commands

HELLO = str(Path(__file__).parents[2] / "examples/hello")
TAG = ("--tag", "registry.acme.test/app:1")
CLEAN = ("ghcr.io/acme", "--older-than", "3", "--dry-run")
MORE = {  # by command, and by command and parameter: what else it needs before it reads the file
    "publish metadata": TAG,
    "publish --digests": (*TAG, "--from", "registry.acme.test/tmp"),
    "ci summary": ("--output", "page.md"),
    "ci timeline": ("--output", "page.html"),
    "ci matrix --changed-files-from": ("--context", HELLO),
    "dgoss run": ("--context", HELLO),
    "run dgoss": ("--context", HELLO),
    "rehearse --metadata": (HELLO, "--layout", "."),
    "rollback": ("--yes",),
    "imagetools create": TAG,
    "soci convert --from-layout": ("--to-layout", "new"),
    "imagetools soci-convert --from-layout": ("--to-layout", "new"),
    "clean repository": ("registry.acme.test/app", "--older-than", "3", "--dry-run"),
    "clean temp-registry": (*CLEAN, "--context", HELLO),
    "clean cache-registry": (*CLEAN, "--context", HELLO),
}
WRITTEN = {"--output", "--summary-file", "--trace", "--timeline", "--journal", "--to-layout", "--storage", "--pages"}
CONFIGURING = {"--ca-file", "--client-cert", "--client-key"}
FOLDERS = {"--context", "--layout", "project"}
RESULTS = {"build --metadata-file", *(f"imagetools {name} --metadata-file" for name in ("copy", "create", "tag"))}
KINDS = {  # of what is wrong: what is in the file; None: it does not exist
    "missing": None,
    "empty": b"",
    "not text": b"\x80\x81",
    "not JSON": b"hello\n",
    "other JSON": b'{"a": 1}\n',
    "a list": b"[7]\n",
}
ANY_TEXT = {"ci matrix --changed-files-from"}  # one name a line


def inputs(command: click.Command = main.app, name: str = "") -> Iterator[tuple[str, str]]:
    """Return each command with a parameter for a file that it works on: both names."""
    for word, inner in inner_commands(command).items():
        yield from inputs(inner, f"{name} {word}".strip())
    for parameter in () if isinstance(command, click.Group) else command.params:
        option = parameter.opts[0]
        if isinstance(parameter.type, click.Path) and not {option} & (WRITTEN | CONFIGURING | FOLDERS):
            if f"{name} {option}" not in RESULTS:
                yield name, option
        elif name.startswith("clean ") and option == "--metadata":  # a pattern
            yield name, option


CASES = {
    f"{command} {parameter}, {kind}": (command, parameter, kind)
    for command, parameter in inputs()
    for kind in KINDS
    if kind == "missing" or f"{command} {parameter}" not in ANY_TEXT
}


def run(command: str, parameter: str, file: str) -> tuple[int, str]:
    more = (*MORE.get(command, ()), *MORE.get(f"{command} {parameter}", ()))
    words = (parameter, file) if parameter.startswith("-") else (file,)
    ran = bakery(*command.split(), *more, *words)
    assert "Traceback" not in ran.err
    return ran.code, ran.err


@pytest.mark.parametrize(("command", "parameter", "kind"), CASES.values(), ids=CASES)
def test_a_file_that_cannot_be_used_has_one_exit_code_in_every_command(tmp_path, monkeypatch, command, parameter, kind):
    monkeypatch.chdir(tmp_path)
    content = KINDS[kind]
    if content is not None:
        (tmp_path / "file.json").write_bytes(content)
    code, err = run(command, parameter, "./file.json")
    if command == "ci summary":
        assert code == ExitCode.FAILED, err
    else:
        assert code == ExitCode.CONFIGURATION, err
        assert "file.json" in err
        assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else ["file.json"])


@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
@pytest.mark.parametrize("command", ["rollback", "ci timeline", "verify"])
def test_what_is_not_a_file_is_not_read(tmp_path, monkeypatch, command, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thing").mkdir() if kind == "a folder" else os.mkfifo(tmp_path / "thing")
    assert run(command, "", "thing")[0] == ExitCode.CONFIGURATION


def test_verify_tells_a_path_from_a_reference(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("s.json", "out/s.json", "./s", "/nowhere/s", "s", "results.d/s.json"):
        code, err = run("verify", "", path)
        assert (code, "it does not exist" in err) == (ExitCode.CONFIGURATION, True), path
    for reference in ("registry.acme.test/app", "localhost/app", "registry.acme.test/app:", "App:1", "app@sha256:1"):
        code, err = run("verify", "", reference)
        assert (code, "neither a file" in err) == (ExitCode.USAGE, True), reference


@pytest.mark.parametrize("words", [
    ("publish", *TAG, "--attach", "nope:a/b", "oci-archive:amd64.tar"),
    ("publish", *TAG, "--sign", "cosign", "--sign-key", "nope", "oci-archive:amd64.tar"),
    ("rehearse", HELLO, "--faults", "./nope.json"),
    ("imagetools", "create", *TAG, "--file", "nope"),
    *(("verify", option, "nope", "registry.acme.test/app:1") for option in ("--ca-file", "--client-cert")),
], ids=" ".join)  # fmt: skip
def test_a_file_that_only_an_option_needs_is_a_wrong_value_of_the_option(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    shutil.copy(Path(HELLO).parent / "start/amd64.tar", tmp_path)
    ran = bakery(*words)
    assert (ran.code, "nope" in ran.err) == (ExitCode.USAGE, True), ran.err
