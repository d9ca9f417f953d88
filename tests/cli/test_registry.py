"""`bakery registry serve`: JSON lines on stdout when it listens and when it has stopped, and text on stderr."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.program import PROGRAM

SERVE = [*PROGRAM, "registry", "serve"]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*SERVE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[dict[str, object], str]:
    process.send_signal(number)
    output, said = process.communicate(timeout=20)
    assert process.returncode == 0
    (line,) = output.splitlines()
    return json.loads(line), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_prints_counts(number, tmp_path):
    process = start("--storage", str(tmp_path / "store"))
    assert process.stdout is not None
    listening = json.loads(process.stdout.readline())
    assert listening["event"] == "listening"
    assert listening["url"] == f"http://{listening['address']}"
    assert status(f"{listening['url']}/v2/") == 200
    assert status(f"{listening['url']}/v2/acme/app/tags/list") == 404
    counts, said = stopped(process, number)
    assert counts == {
        "event": "stopped",
        "requests": 2,
        "by_route": {"GET base": 1, "GET tags": 1},
        "body_bytes": 0,
        "token_requests": 0,
        "faults_met": {},
    }
    assert listening["url"] in said
    assert "2 requests" in said


def test_faults_are_met_and_counted():
    process = start("--faults", "flaky", "--seed", "3", "--quiet")
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    seen = []
    for _ in range(150):
        try:
            seen.append(status(f"{url}/v2/"))
        except OSError:
            seen.append(0)
    counts, said = stopped(process, signal.SIGTERM)
    met = counts["faults_met"]
    assert isinstance(met, dict)
    assert seen.count(503) == met.get("server error", 0) > 0
    assert seen.count(429) == met.get("too many requests", 0)
    assert said == ""


def test_credentials_are_required_if_a_user_is_given():
    process = start("--user", "baker:flour")
    assert process.stdout is not None
    assert status(f"{json.loads(process.stdout.readline())['url']}/v2/") == 401
    stopped(process, signal.SIGTERM)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--faults", "nope"], "ghcr, hub, ecr, flaky, hostile"), (["--user", "nobody"], "NAME:PASSWORD")],
)
def test_a_mistake_exits_2_and_lists_what_is_expected(arguments, expected):
    process = start(*arguments)
    output, said = process.communicate(timeout=20)
    assert (process.returncode, output) == (2, "")
    assert expected in said
