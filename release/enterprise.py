"""The reusable workflows for GitHub Enterprise Server: `make enterprise REPOSITORY=acme/bakery` rewrites them in place.

Such a server does not know `$/`, YAML anchors in every version, artifact actions from version 4 on, nor GitHub's own
runners. Lines are rewritten as text, so that comments and scripts stay as they are. A line that may need it and is not
of a known form is an error with its place, and the result is parsed and checked: nothing slips through when a workflow
changes. docs/workflows.md says how it is used.

With version 3 of the artifact actions, jobs of a matrix upload to one artifact of one name, and their files are merged.
What was downloaded by a pattern, and may be nothing, is downloaded by name, which fails if nothing was uploaded.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from release.git import NotReleasable, git, require_clean

ROOT: Final = Path(__file__).resolve().parents[1]
# The last versions that the server runs; both need Node 24.
UPLOAD: Final = "actions/upload-artifact@c6a366c94c3e0affe28c06c8df20a878f24da3cf # v3.2.2"
DOWNLOAD: Final = "actions/download-artifact@a9bc5e6ef2cb54c177f32aa5726adaa15e7e2d59 # v3.1.0"
MARK: Final = "# Rewritten for GitHub Enterprise Server"

# What a pattern collects: whether the job goes on without it. A page is written even if no build left a summary, but
# without metadata there is nothing to publish.
_COLLECTED: Final = {"metadata": False, "summary": True}
_OF_MATRIX: Final = "-${{ matrix.build.id }}"
_UPLOAD_INPUTS: Final = {"name", "path", "if-no-files-found", "retention-days"}
_HOSTED: Final = "default=ubuntu-24.04 linux/arm64=ubuntu-24.04-arm"

_USES: Final = re.compile(r"(?P<before> {6}- | {8})uses: (?P<used>\S+)(?P<version> # v\d+\.\d+\.\d+)?")
_OURS: Final = re.compile(r"\$/(\.github/actions/[\w-]+)")
_PINNED: Final = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40}")
_RUNS_ON: Final = re.compile(r" {4}runs-on: (?P<label>.+)")
_ITS_RUNNERS: Final = ("${{ inputs.publish-runner }}", "${{ matrix.build.runner }}")
_ANCHOR: Final = re.compile(r"(?P<before> *(?:- |[\w-]+: ))&(?P<name>\w+)")
_ALIAS: Final = re.compile(r"(?P<before> *(?:- |[\w-]+: ))\*(?P<name>\w+)")


class NotRewritable(NotReleasable):
    """A workflow has something that is not known here. The message starts with its file and line."""


@dataclass(frozen=True)
class Server:
    """An Enterprise server. repository: where this repository is on it. commit, version: the release that is rewritten.

    runner: the label for everything but builds. runners: labels for builds, in the form of the input `runners`.
    """

    repository: str
    commit: str
    version: str
    runner: str = "self-hosted"
    runners: str = "default=self-hosted,linux,x64 linux/arm64=self-hosted,linux,arm64"

    def __post_init__(self) -> None:
        for name, form in (
            ("repository", r"[\w.-]+/[\w.-]+"),
            ("commit", r"[0-9a-f]{40}"),
            ("runner", r"[\w.-]+"),
            ("runners", r"[\w/]+=[\w.,-]+( [\w/]+=[\w.,-]+)*"),
        ):
            if not re.fullmatch(form, getattr(self, name)):
                raise NotReleasable(f"invalid {name}: {getattr(self, name)!r}")


@dataclass(frozen=True)
class Line:
    """A line of a workflow, with its number in the file that it came from."""

    number: int
    text: str

    @property
    def depth(self) -> int:
        return len(self.text) - len(self.text.lstrip())


def rewrite(file: str, text: str, server: Server) -> str:
    """Return a reusable workflow as this server runs it. Raises NotRewritable for what is not known here."""
    lines = [Line(number, line) for number, line in enumerate(text.splitlines(), 1)]
    if any(line.text.startswith(MARK) for line in lines):
        raise NotRewritable(f"{file}: it is already rewritten; check out a release")
    expanded = _expanded(file, text, lines)
    if yaml.safe_load(_text(expanded)) != yaml.safe_load(text):
        raise NotRewritable(f"{file}: its anchors cannot be expanded")
    uploads = [step["with"]["name"] for step in _steps(yaml.safe_load(text)) if _is(step, "upload")]
    written: list[str] = []
    for block in _blocks(expanded):
        written += _rewritten(file, block, uploads, server)
    head = next(number for number, line in enumerate(written) if not line.startswith("#"))
    written.insert(head, f"{MARK} from {server.version} ({server.commit}) by `make enterprise`.")
    result = "\n".join(written) + "\n"
    _check(file, result, server)
    return result


def rewrite_all(root: Path, server: Server) -> tuple[list[Path], list[Path]]:
    """Rewrite the reusable workflows of a repository in place, and remove the others, which only Bakery itself needs.

    Returns both. Raises NotRewritable before anything is changed.
    """
    texts = {file: file.read_text() for file in sorted((root / ".github/workflows").glob("*.yml"))}
    reusable = {file: text for file, text in texts.items() if "\n  workflow_call:" in text}
    others = [file for file in texts if file not in reusable]
    rewritten = {file: rewrite(file.relative_to(root).as_posix(), text, server) for file, text in reusable.items()}
    for file, text in rewritten.items():
        file.write_text(text)
    for file in others:
        file.unlink()
    return list(rewritten), others


def required_actions(root: Path, server: Server) -> list[str]:
    """Return the third-party actions that the workflows and actions of a repository use, with their versions."""
    texts = [file.read_text() for file in (root / ".github").rglob("*.yml")]
    used = {match[1] for text in texts for match in re.finditer(r"uses: ([\w-]+/\S+@[0-9a-f]{40} # \S+)", text)}
    return sorted(one for one in used if not one.startswith(f"{server.repository}/"))


def _expanded(file: str, text: str, lines: Sequence[Line]) -> list[Line]:
    """Return the lines with every alias replaced by what its anchor names."""
    named: dict[str, tuple[Line, list[Line]]] = {}
    found = {event.start_mark.line: event for event in yaml.parse(text) if getattr(event, "anchor", None)}
    expanded: list[Line] = []
    skipped = 0  # lines of the block after an anchor, which were added with it
    for number, line in enumerate(lines):
        anchor, alias = _ANCHOR.fullmatch(line.text), _ALIAS.fullmatch(line.text)
        if skipped:
            skipped -= 1
        elif number not in found:
            expanded.append(line)
        elif anchor:
            block = _deeper(lines[number + 1 :], line.depth)
            named[anchor["name"]] = line, block
            expanded += _placed(anchor["before"], line, line, block)
            skipped = len(block)
        elif alias and alias["name"] in named:
            expanded += _placed(alias["before"], line, *named[alias["name"]])
        else:
            raise NotRewritable(f"{file}:{line.number}: cannot expand an anchor: {line.text.strip()}")
    return expanded


def _deeper(lines: Sequence[Line], depth: int) -> list[Line]:
    """Return the lines at the start that are indented further than `depth` spaces."""
    count = next((at for at, line in enumerate(lines) if line.text.strip() and line.depth <= depth), len(lines))
    while count and not lines[count - 1].text.strip():
        count -= 1
    return list(lines[:count])


def _placed(before: str, at: Line, anchor: Line, block: Sequence[Line]) -> Iterator[Line]:
    """Yield the block of an anchor as it is written at another line, after `- ` or a key."""
    moved = [
        Line(line.number, " " * (line.depth + at.depth - anchor.depth) + line.text.lstrip() if line.text else "")
        for line in block
    ]
    if before.endswith("- "):
        yield Line(moved[0].number, before + moved[0].text.lstrip())
        yield from moved[1:]
    else:
        yield Line(at.number, before.rstrip())
        yield from moved


def _blocks(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield steps as blocks of lines, and every other line by itself."""
    at, steps = 0, False
    while at < len(lines):
        steps = lines[at].text == "    steps:" or (steps and not 0 < lines[at].depth < 6)
        is_step = steps and lines[at].text.startswith("      - ")
        block = [lines[at], *(_deeper(lines[at + 1 :], 6) if is_step else ())]
        yield block
        at += len(block)


def _rewritten(file: str, block: Sequence[Line], uploads: Sequence[str], server: Server) -> Iterator[str]:
    """Yield the lines of a step, or another line, as the server takes them."""
    if len(block) > 1 or block[0].text.startswith("      - "):
        (step,) = yaml.safe_load(_text(block))
        try:
            if _is(step, "download"):
                yield from _download(step, uploads)
                return
            if _is(step, "upload"):
                if unknown := set(step["with"]) - _UPLOAD_INPUTS:
                    raise ValueError(f"an upload has {', '.join(sorted(unknown))}")
                block = [replace(line, text=line.text.replace(_OF_MATRIX, "")) for line in block]
        except ValueError as error:
            raise NotRewritable(f"{file}:{block[0].number}: {error}") from error
    for line in block:
        yield _line(file, line, server)


def _download(step: dict[str, Any], uploads: Sequence[str]) -> Iterator[str]:
    """Yield the steps that download by name what a step downloads. Raises ValueError if it is of another form."""
    if set(step) != {"uses", "with"}:
        raise ValueError(f"a download has {', '.join(sorted(set(step) - {'uses', 'with'}))}")
    given = step["with"]
    if "pattern" not in given:
        if unknown := set(given) - {"name", "path"}:
            raise ValueError(f"a download has {', '.join(sorted(unknown))}")
        yield from _downloaded(given, optional=False)
        return
    name = str(given["pattern"]).removesuffix("-*")
    collected = name.removeprefix("${{ inputs.name }}-")
    if set(given) != {"pattern", "path", "merge-multiple"} or given["merge-multiple"] is not True:
        raise ValueError("a download by a pattern that does not merge")
    if collected not in _COLLECTED or name + _OF_MATRIX not in uploads:
        raise ValueError(f"a download of the unknown pattern {given['pattern']}")
    for one in (name, *(other for other in uploads if other.startswith(f"{name}-") and other != name + _OF_MATRIX)):
        yield from _downloaded({"name": one, "path": given["path"]}, optional=_COLLECTED[collected])


def _downloaded(given: dict[str, str], *, optional: bool) -> Iterator[str]:
    yield f"      - uses: {DOWNLOAD}"
    if optional:
        yield "        continue-on-error: true # it fails if no job uploaded anything by this name"
    yield f"        with: {{ {', '.join(f'{name}: {json.dumps(value)}' for name, value in given.items())} }}"


def _line(file: str, line: Line, server: Server) -> str:
    """Return a line as the server takes it. Raises NotRewritable if it may need a change that is not known."""
    text = line.text
    if text == f"        default: {_HOSTED}":
        return f"        default: {server.runners}"
    if text.startswith("      publish-runner: { type: string, default: ubuntu-24.04, "):
        text = text.replace("ubuntu-24.04", server.runner)
    elif runs_on := _RUNS_ON.fullmatch(text):
        if runs_on["label"] == "ubuntu-24.04":
            text = f"    runs-on: {server.runner}"
        elif runs_on["label"] not in _ITS_RUNNERS:
            raise NotRewritable(f"{file}:{line.number}: unknown runner: {text.strip()}")
    elif re.match(r" *(?:- )?uses:", text):
        text = _used(file, line, server)
    if "ubuntu" in text or "$/" in text:
        raise NotRewritable(f"{file}:{line.number}: cannot rewrite {text.strip()}")
    return text


def _used(file: str, line: Line, server: Server) -> str:
    uses = _USES.fullmatch(line.text)
    if uses and (ours := _OURS.fullmatch(uses["used"])):
        return f"{uses['before']}uses: {server.repository}/{ours[1]}@{server.commit} # {server.version}"
    if uses and uses["version"] and _PINNED.fullmatch(uses["used"]):
        if uses["used"].startswith("actions/upload-artifact@"):
            return f"{uses['before']}uses: {UPLOAD}"
        return line.text
    raise NotRewritable(f"{file}:{line.number}: unknown action: {line.text.strip()}")


def _check(file: str, text: str, server: Server) -> None:
    """Raise NotRewritable if a rewritten workflow has something that the server does not know."""
    if any(getattr(event, "anchor", None) for event in yaml.parse(text)):
        raise NotRewritable(f"{file}: an anchor is left")
    document = yaml.safe_load(text)
    steps = list(_steps(document))
    uploads = {step["with"]["name"] for step in steps if _is(step, "upload")}
    downloads = {step["with"]["name"] for step in steps if _is(step, "download")}
    if unknown := downloads - uploads | {name for name in uploads if "matrix." in name}:
        raise NotRewritable(f"{file}: unknown artifacts: {', '.join(sorted(unknown))}")
    labels = {str(job.get("runs-on")) for job in document["jobs"].values()}
    if unknown := labels - {server.runner, *_ITS_RUNNERS}:
        raise NotRewritable(f"{file}: unknown runners: {', '.join(sorted(unknown))}")


def _is(step: dict[str, Any], kind: str) -> bool:
    return str(step.get("uses", "")).startswith(f"actions/{kind}-artifact@")


def _steps(document: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in document["jobs"].values():
        yield from job.get("steps", [])


def _text(lines: Sequence[Line]) -> str:
    return "\n".join(line.text for line in lines) + "\n"


def main(words: list[str]) -> int:
    """Run the command line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="enterprise", description="Rewrite the workflows for an Enterprise server.")
    parser.add_argument("repository", metavar="OWNER/REPOSITORY", help="this repository on the server")
    parser.add_argument("--runner", default=Server.runner, metavar="LABEL", help="default: %(default)s")
    parser.add_argument("--runners", default=Server.runners, metavar="MAPPING", help="for builds; default: %(default)s")
    given = parser.parse_args(words)
    try:
        require_clean(ROOT)
        commit, version = git(ROOT, "rev-parse", "HEAD"), git(ROOT, "describe", "--tags", "--always")
        server = Server(given.repository, commit, version, given.runner, given.runners)
        rewritten, removed = rewrite_all(ROOT, server)
    except NotReleasable as error:
        print(f"error: cannot rewrite the workflows: {error}", file=sys.stderr)
        return 1
    print(f"rewrote {', '.join(file.name for file in rewritten)} of {version} for {server.repository}")
    print(f"removed {', '.join(file.name for file in removed)}: they are for developing Bakery")
    print("actions that the server must have, by GitHub Connect or actions-sync:")
    for action in required_actions(ROOT, server):
        print(f"  {action}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
