"""Files that cannot be used: one exit code for each kind, a reason without the words of Python, a hint that helps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bakery.errors import ExitCode
from tests.cli.running import bakery

ROOT = Path(__file__).parents[2]
TAG = ("--tag", "registry.acme.test/app:1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("amd64.tar", "arm64.tar"):
        shutil.copy(ROOT / "examples/start" / name, tmp_path)
    return tmp_path


LAYOUTS = {
    "missing": (None, "it does not exist", "check the path"),
    "empty": (b"", "it is empty", "export the image again"),
    "not a tar": (b"words " * 100, "it is not a tar", "export the image again"),
    "compressed": (b"\x1f\x8b\x08" + bytes(600), "it is compressed with gzip", "decompress it"),
}
COMMANDS = {
    "publish": ("publish", *TAG),
    "imagetools create": ("imagetools", "create", *TAG),
    "imagetools inspect": ("imagetools", "inspect"),
}
OF_A_LAYOUT = {
    "soci inspect": ("soci", "inspect"),
    "soci verify": ("soci", "verify"),
    "soci convert": ("soci", "convert", "--to-layout", "out.tar", "--from-layout"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("content", "why", "hint"), LAYOUTS.values(), ids=LAYOUTS)
def test_an_archive_that_cannot_be_used_is_a_file_that_cannot_be_used_whatever_it_lacks(
    folder, command, content, why, hint
):
    if content is not None:
        (folder / "image.tar").write_bytes(content)
    ran = bakery(*command, "oci-archive:image.tar")
    assert ran.code == ExitCode.CONFIGURATION, ran.err
    assert f"error[content/layout]: cannot open image layout {folder}/image.tar: {why}\nhint: {hint}" in ran.err


@pytest.mark.parametrize("words", OF_A_LAYOUT.values(), ids=OF_A_LAYOUT)
@pytest.mark.parametrize(("content", "why", "hint"), LAYOUTS.values(), ids=LAYOUTS)
def test_commands_of_layouts_have_the_same_exit_code_for_one_that_cannot_be_used(folder, words, content, why, hint):
    if content is not None:
        (folder / "image.tar").write_bytes(content)
    ran = bakery(*words, "./image.tar")
    assert (ran.code, f"image.tar: {why}\nhint: {hint}" in ran.err) == (ExitCode.CONFIGURATION, True), ran.err


PATHS = {
    "a loop of links": ("loop", "Too many levels of symbolic links"),
    "too long": ("x" * 300, "File name too long"),
}
USES = {
    "a metadata file": (("publish", *TAG, "PATH"), ExitCode.CONFIGURATION),
    "a metadata file of a project": (("ci", "publish", "PATH"), ExitCode.CONFIGURATION),
    "an archive": (("publish", *TAG, "oci-archive:PATH"), ExitCode.CONFIGURATION),
    "a folder of digests": (
        ("publish", *TAG, "--digests", "PATH", "--from", "registry.acme.test/tmp"), ExitCode.CONFIGURATION,
    ),
    "a bake file": (("publish", "--bake", "PATH", "x.json"), ExitCode.CONFIGURATION),
    "a journal": (("publish", *TAG, "--journal", "PATH", "oci-archive:amd64.tar"), ExitCode.USAGE),
    "a summary": (("publish", *TAG, "--summary-file", "PATH", "oci-archive:amd64.tar"), ExitCode.USAGE),
    "a timeline": (("publish", *TAG, "--timeline", "PATH", "oci-archive:amd64.tar"), ExitCode.USAGE),
    "metadata of a build": (("build", "--metadata-file", "PATH"), ExitCode.USAGE),
    "a key": (("publish", *TAG, "--sign", "cosign", "--sign-key", "PATH", "oci-archive:amd64.tar"), ExitCode.USAGE),
    "authorities": (("publish", *TAG, "--ca-file", "PATH", "oci-archive:amd64.tar"), ExitCode.USAGE),
}  # fmt: skip


@pytest.mark.parametrize(("words", "code"), USES.values(), ids=USES)
@pytest.mark.parametrize(("path", "why"), PATHS.values(), ids=PATHS)
def test_paths_that_cannot_be_looked_at_are_files_that_cannot_be_used(folder, words, code, path, why):
    (folder / "loop").symlink_to("loop")
    (folder / "bake.json").write_text("{}")
    ran = bakery(*(word.replace("PATH", path) for word in words))
    assert (ran.code, why in ran.err, "internal" in ran.err) == (code, True, False), ran.err


def test_a_folder_of_digests_that_has_something_else_is_refused(folder):
    (folder / "digests").mkdir()
    os.mkfifo(folder / "digests/pipe")
    ran = bakery("publish", *TAG, "--digests", "digests", "--from", "registry.acme.test/tmp")
    assert ran.code == ExitCode.CONFIGURATION
    assert "cannot read digests digests/pipe: it is not a regular file" in ran.err


STREAMS = {
    "publish --bake": ("publish", "--bake", "FILE", "x.json"),
    "rehearse --bake": ("rehearse", "--bake", "FILE"),
    "ci matrix --bake": ("ci", "matrix", "--bake", "FILE"),
    "ci matrix --changed-files-from": (
        "ci",
        "matrix",
        "--context",
        str(ROOT / "examples/hello"),
        "--changed-files-from",
        "FILE",
    ),
    "imagetools create --file": ("imagetools", "create", *TAG, "--file", "FILE"),
}


@pytest.mark.parametrize("words", STREAMS.values(), ids=STREAMS)
def test_a_file_that_may_be_stdin_is_never_waited_for_and_has_an_end(folder, words):
    os.mkfifo(folder / "pipe")
    for file, why in (("pipe", "it is a pipe that no process writes"), ("/dev/zero", "it is not a regular file")):
        ran = bakery(*(word.replace("FILE", file) for word in words))
        assert (ran.code in (ExitCode.USAGE, ExitCode.CONFIGURATION), why in ran.err) == (True, True), ran.err


def test_the_pipe_of_a_shell_is_a_bake_file(folder):
    read, write = os.pipe()
    os.write(write, b'{"target": {"app": {"tags": ["registry.acme.test/app:1"], "platforms": ["linux/s390x"]}}}')
    os.close(write)
    ran = bakery("ci", "matrix", "--bake", f"/dev/fd/{read}")  # bakery ci matrix --bake <(docker buildx bake --print)
    os.close(read)
    assert ran.out == '[{"platform": "linux/s390x"}]\n'


def test_a_build_that_is_given_twice_is_refused(folder):
    for again in ("oci-archive:amd64.tar", "oci-layout://./amd64.tar"):
        ran = bakery("publish", *TAG, "oci-archive:amd64.tar", again)
        assert ran.code == ExitCode.USAGE
        assert "hint: name each build once" in ran.err
    one = f"registry.acme.test/tmp@sha256:{'a' * 64}"
    ran = bakery("publish", *TAG, one, one)
    assert (ran.code, "it is given twice" in ran.err) == (ExitCode.USAGE, True)


MISNAMED = {
    "a tar": ("amd64.tar", "'bakery publish --tag REPOSITORY:TAG oci-archive:amd64.tar'"),
    "a folder with a layout": ("layout", "'bakery publish --tag REPOSITORY:TAG oci-layout:layout'"),
    "a folder": ("empty", "name the files, as in 'empty/*'"),
    "a tag": ("localhost:5000/acme/app:1", "run 'bakery imagetools inspect' for the digest"),
}


TAKERS = {
    "publish": ("publish", *TAG),
    "publish --bake": ("publish", "--bake", "bake.json"),
    "ci publish": ("ci", "publish"),
    "soci convert": ("soci", "convert"),
}


@pytest.mark.parametrize("command", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(("source", "hint"), MISNAMED.values(), ids=MISNAMED)
def test_what_is_not_a_metadata_file_is_named_by_what_it_is(folder, command, source, hint):
    (folder / "bake.json").write_text('{"target": {"app": {"tags": ["registry.acme.test/app:1"]}}}')
    (folder / "empty").mkdir()
    (folder / "layout").mkdir()
    (folder / "layout/oci-layout").touch()
    ran = bakery(*command, source)
    assert ran.code == ExitCode.USAGE
    assert f"error[usage/invalid]: invalid source {source}: " in ran.err
    assert hint in ran.err


@pytest.mark.parametrize("source", ["oci-archive:amd64.tar", f"registry.acme.test/tmp@sha256:{'a' * 64}"])
def test_a_command_for_metadata_files_names_the_one_that_takes_other_sources(folder, source):
    ran = bakery("ci", "publish", source)
    assert (ran.code, f"'bakery publish --tag REPOSITORY:TAG {source}'" in ran.err) == (ExitCode.USAGE, True)


def test_a_metadata_file_that_does_not_exist_is_not_one_of_the_wrong_kind(folder):
    ran = bakery("publish", *TAG, "nope.json")
    assert ran.code == ExitCode.CONFIGURATION
    assert "nope.json: it does not exist\nhint: check the path" in ran.err


CONTENTS = {
    "nothing": (b"", "it is empty"),
    "no text": (b"\x80\x81", "it is not text: byte 0 is not valid UTF-8"),
    "half of it": (b'{"target": ', "expected a value in line 1, column 12, where the text ends"),
    "HCL": (b'target "app" {}', "expected a value in line 1, column 1"),
}
READERS = {
    "a bake file": (("publish", "--bake", "file.json", "x.json"), ExitCode.CONFIGURATION),
    "build metadata": (("publish", *TAG, "file.json"), ExitCode.CONFIGURATION),
    "a summary for a page": (("ci", "summary", "file.json", "--output", "page.md"), ExitCode.FAILED),
    "a summary to verify": (("verify", "file.json"), ExitCode.CONFIGURATION),
    "fault rules": (("rehearse", str(ROOT / "examples/hello"), "--faults", "file.json"), ExitCode.USAGE),
}


@pytest.mark.parametrize(("words", "code"), READERS.values(), ids=READERS)
@pytest.mark.parametrize(("content", "why"), CONTENTS.values(), ids=CONTENTS)
def test_a_file_that_is_not_json_is_refused_with_our_words(folder, words, code, content, why):
    (folder / "file.json").write_bytes(content)
    ran = bakery(*words)
    assert ran.code == code, ran.err
    assert why in ran.err
    assert "Expecting" not in ran.err
    assert "codec" not in ran.err


@pytest.mark.parametrize("option", ["--journal", "--summary-file", "--timeline", "--trace"])
def test_a_file_that_cannot_be_written_is_refused_with_a_hint_before_anything_is_done(folder, option):
    ran = bakery("publish", *TAG, option, "nope/file", "oci-archive:amd64.tar")
    assert ran.code == ExitCode.USAGE
    assert "folder nope does not exist\nhint: pass a file in a folder that exists" in ran.err


def test_offline_is_for_projects_and_dry_runs(folder):
    ran = bakery("publish", "--offline", *TAG, "oci-archive:amd64.tar")
    assert (ran.code, "cannot use --offline" in ran.err) == (ExitCode.USAGE, True)
    assert bakery("publish", "--offline", "--dry-run", *TAG, "oci-archive:amd64.tar").code == ExitCode.DONE
    assert "cannot tell what to publish" in bakery("publish", "--offline").err


def test_a_list_of_sources_has_texts_and_descriptors_only(folder):
    (folder / "sources.json").write_text('["a/b@sha256:1", 7]')
    ran = bakery("imagetools", "create", *TAG, "--file", "sources.json")
    assert ran.code == ExitCode.USAGE
    assert "expected sources as text, or descriptors, got a number" in ran.err


def test_the_doctor_wants_a_repository_since_permissions_are_per_repository():
    ran = bakery("doctor", "registry.acme.test")
    assert ran.code == ExitCode.USAGE
    assert "expected a repository: registries grant permissions per repository" in ran.err
