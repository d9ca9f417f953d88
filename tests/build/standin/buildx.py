"""A stand-in for buildx (and podman): records how it is called, prints as buildx 0.38.2 does, builds nothing.

STANDIN is a folder. `rules.json` in it says what happens: `defer_error`: whether the mode is known; `fail`: uid → how
often its build fails; `silent`: uids whose failure has no step; `hang`: uids that are built until a signal comes;
`inspect`: what `inspect` prints; `check`: what a check finds; `buildx`: whether it is a plugin of this docker. Every
call is a line of `calls.jsonl`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["STANDIN"])
RULES: dict[str, Any] = json.loads((FOLDER / "rules.json").read_text())
WORDS = sys.argv[1:]


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def option(name: str) -> str:
    return WORDS[WORDS.index(name) + 1] if name in WORDS else ""


def fails(uid: str) -> bool:
    """Whether this build of the target fails; each call counts."""
    counter = FOLDER / f"attempts-{uid}"
    done = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(done + 1))
    return done < int(RULES.get("fail", {}).get(uid, 0))


def entry(uid: str, name: str) -> dict[str, Any]:
    digest = f"sha256:{uid.encode().hex():0<64.64}"
    return {"buildx.build.ref": f"b/b0/{uid}", "containerimage.digest": digest, "image.name": name}


def steps(uid: str, number: int, *, named: bool, good: bool) -> None:
    about = f"{uid} " if named else ""
    say(f"#{number} [{about}1/2] COPY content /c\n#{number} CACHED\n")
    say(f"#{number + 1} [{about}2/2] RUN make\n#{number + 1} 0.1 \x1b[1;33mmaking\x1b[0m {uid}")
    say(f"#{number + 1} DONE 0.1s\n" if good else f"#{number + 1} ERROR: exit code: 2\n")


def bake(plan: dict[str, Any]) -> int:
    known = plan["target"]
    uids = [word for word in WORDS[1:] if word in known] or plan["group"]["default"]["targets"]
    deferring = "--jobs" in WORDS
    built: dict[str, Any] = {}
    failed = []
    hanging = set(RULES.get("hang", ())).intersection(uids)
    for number, uid in enumerate(uids, start=1):
        good = uid in hanging or not fails(uid)
        if uid not in RULES.get("silent", ()):
            steps(uid, 10 * number, named=len(uids) > 1, good=good)
        if not good:
            failed.append(uid)
        elif uid not in hanging:
            built[uid] = entry(uid, ",".join(known[uid]["tags"]))
    stopped = bool(hanging) and wait_for_a_signal()
    if (not failed and not stopped) or deferring:
        Path(option("--metadata-file")).write_text(json.dumps(built))
    for uid in failed[-1:]:
        say(f"Containerfile.ubuntu2404:3\n{'-' * 20}\n   3 | >>> RUN make\n{'-' * 20}")
        prefix = f"target {uid}: " if len(uids) > 1 else ""
        say(f'ERROR: {prefix}failed to solve: process "make" did not complete successfully: exit code: 2')
    return 1 if failed or stopped else 0


def wait_for_a_signal() -> bool:
    """Say that we are waiting, and return when SIGTERM comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    (FOLDER / "waiting").touch()
    signal.sigwait({signal.SIGTERM})
    return True


def build() -> int:
    uid = Path(option("--metadata-file")).name.rsplit("-", 1)[0]
    if uid in RULES.get("hang", ()):
        wait_for_a_signal()
        return 1
    good = not fails(uid)
    steps(uid, 10, named=False, good=good)
    if good:
        tags = [WORDS[place + 1] for place, word in enumerate(WORDS) if word == "--tag"]
        Path(option("--metadata-file")).write_text(json.dumps(entry(uid, ",".join(tags))))
        return 0
    say("ERROR: failed to build: failed to solve: exit code: 2")
    return 1


def podman() -> int:
    if WORDS[0] == "--version":
        sys.stdout.write("podman version 5.4.2\n")
    elif WORDS[0] == "push":
        Path(option("--digestfile")).write_text(f"sha256:{'5' * 64}")
    return 0


def main() -> int:
    global WORDS
    if WORDS[:1] == ["buildx"] and "buildx" not in RULES:
        say("docker: unknown command: docker buildx")
        return 1
    WORDS = WORDS[1:] if WORDS[:1] == ["buildx"] else WORDS
    stdin = "" if sys.stdin.isatty() else sys.stdin.read()
    call = {"program": Path(sys.argv[0]).name, "words": WORDS, "stdin": stdin, "cwd": str(Path.cwd())}
    with (FOLDER / "calls.jsonl").open("a") as calls:
        calls.write(f"{json.dumps(call)}\n")
    if Path(sys.argv[0]).name == "podman":
        return podman()
    if WORDS[0] == "version":
        sys.stdout.write("github.com/docker/buildx v0.38.2 abc\n")
    elif WORDS[0] == "inspect":
        sys.stdout.write(RULES.get("inspect", "Name:   b\nDriver: remote\n\nNodes:\nName:   b0\nStatus: running\n"))
    elif "--print" in WORDS:
        if not RULES.get("defer_error", True):
            say('ERROR: invalid jobs mode "defer-error"')
            return 1
    elif "--call" in WORDS:
        sys.stdout.write(json.dumps({"target": RULES.get("check", {})}))
    else:
        return bake(json.loads(stdin)) if WORDS[0] == "bake" else build()
    return 0


if __name__ == "__main__":
    sys.exit(main())
