"""The summary page: failures are first, tags lead to the registry, and the page fits on GitHub whatever a run has."""

import json

import pytest

from bakery.report.fitting import Part, fit
from bakery.report.merging import merge
from bakery.report.page import LIMIT_BYTES, summary_page
from bakery.report.reading import read_summary
from bakery.report.registry_pages import page_of

DIGEST = "sha256:" + "7a" * 32
BEFORE = "sha256:" + "0b" * 32
HELLO = "ghcr.io/acme/hello"


def tag(name, state="published", previous=None):
    return {"tag": name, "state": state, "previous": previous}


def target(number=1, *, state="published", places=(HELLO, "docker.io/acme/hello"), errors=(), image="hello"):
    tags = [tag(f"1.{number}.0", state), tag("latest", state, BEFORE)]
    return {
        "uid": f"{image}-1-{number}-0",
        "image_name": image,
        "version": f"1.{number}.0",
        "os": "Ubuntu 24.04",
        "variant": "Standard",
        "state": state,
        "digest": DIGEST,
        "platforms": ["linux/amd64", "linux/arm64"],
        "registry_size": 50_000_000,
        "destinations": [{"repository": place, "state": state, "tags": tags} for place in places],
        "errors": list(errors),
        "elapsed_s": 3.21,
    }


def failure(message="the registry answered 500", hint="run it again"):
    return {"step": "stage", "code": "registry/server", "destination": HELLO, "message": message, "hint": hint}


WORK = {
    "kind": "publish",
    "elapsed_s": 38.2,
    "stages": [
        {"stage": "wait", "start_s": 0.0, "end_s": 19.1, "busy_s": 60.0, "steps": 7},
        {"stage": "stage", "start_s": 19.1, "end_s": 38.2, "busy_s": 90.0, "steps": 14},
    ],
    "registries": [
        {
            "host": "ghcr.io", "requests": 1234, "bytes_out": 10**6, "bytes_in": 1000, "reused_bytes": 2 * 10**6,
            "retries": 3, "waited_s": 12.0,
            "causes": [{"reason": "429 too many requests", "count": 3, "waited_s": 12.0}],
        }
    ],
}  # fmt: skip


def page(*documents, **options):
    summaries = [
        read_summary(json.loads(json.dumps({"format": 2, "targets": [], **document}))) for document in documents
    ]
    return summary_page(merge(summaries), **options)


@pytest.mark.parametrize(
    ("document", "title"),
    [
        ({"targets": [target()]}, "✅ Published 1 target"),
        ({"targets": [target(1), target(2, state="failed")]}, "❌ 1 of 2 targets failed"),
        ({"targets": [target(1, state="unchanged")]}, "✅ Nothing changed: 1 target up to date"),
        ({"targets": [target(1), target(2, state="stopped")]}, "⏹️ Interrupted: 1 of 2 targets done"),
        ({"targets": [target(1)], "interrupted": True}, "⏹️ Interrupted: 1 of 1 target done"),
        ({"targets": [target(1, state="built")], "kind": "build"}, "✅ Built 1 target"),
        ({"targets": [target()], "kind": "rehearse"}, "Rehearsal: ✅ Published 1 target"),
        ({"targets": [target()], "exit_code": 3}, "❌ Failed: exit code 3"),
        ({}, "Nothing to publish"),
    ],
)  # fmt: skip
def test_the_title_is_the_result(document, title):
    assert page(document).splitlines()[0] == f"## {title}"


def test_the_counts_are_below_the_title():
    text = page({"targets": [target(), target(2, state="unchanged")], **WORK})
    counts = "**1** published · **1** unchanged · 4 tags moved · 1.0 MB sent · 2.0 MB already there · 3 retries · 38 s"
    assert text.splitlines()[2] == counts


def test_a_row_has_version_platforms_size_and_tags_as_links_to_the_registrys_page():
    text = page({"targets": [target()]})
    (line,) = [line for line in text.splitlines() if line.startswith("| **1.1.0 Standard Ubuntu 24.04**")]
    assert "| `linux/amd64` `linux/arm64` | 50.0\N{NO-BREAK SPACE}MB |" in line
    assert "[`ghcr.io/acme/hello`](https://ghcr.io/acme/hello) [1.1.0](https://ghcr.io/acme/hello)" in line
    assert "[latest](https://hub.docker.com/r/acme/hello/tags?name=latest)" in line
    assert line.endswith("| ✅ published 3.2\N{NO-BREAK SPACE}s |")


def test_pulling_by_digest_is_a_command_to_copy():
    assert f"```shell\ndocker pull {HELLO}@{DIGEST}\n```" in page({"targets": [target()]})
    assert "docker pull" not in page({"targets": [target(state="failed")]})


def test_what_moved_names_the_whole_digest_that_it_moved_from():
    text = page({"targets": [target(places=[HELLO])]})
    assert "<summary>2 tags moved</summary>" in text
    assert f"| `{HELLO}:latest` | `{BEFORE}` |" in text
    assert f"| `{HELLO}:1.1.0` | new |" in text
    assert "tags moved" not in page({"targets": [target(state="unchanged")]})


def test_a_tag_that_was_restored_or_could_not_be_says_so():
    failed = target(state="failed", places=[HELLO])
    failed["destinations"][0]["tags"] = [
        tag("1.1.0", "restored", BEFORE), tag("latest", "taken", BEFORE) | {"problem": "403 by [rule]"},
    ]  # fmt: skip
    text = page({"targets": [failed]})
    assert "↩️ 1.1.0 ⚠️ latest" in text
    assert f"| `{HELLO}:1.1.0` | `{BEFORE}` | restored |" in text
    assert f"| `{HELLO}:latest` | `{BEFORE}` | moved again by something else; 403 by \\[rule\\] |" in text


def test_failures_come_before_the_tables_with_reason_and_hint():
    text = page({"targets": [target(), target(2, state="failed", errors=[failure()])]})
    assert text.index("### Failures") < text.index("### hello")
    failed = "❌ `registry/server` **hello 1.2.0 Standard Ubuntu 24.04**: stage at `ghcr.io/acme/hello`: "
    assert f"{failed}the registry answered 500" in text
    assert "💡 Hint: run it again" in text


def test_the_same_failure_of_many_targets_is_one_entry_with_a_count():
    text = page({"targets": [target(number, state="failed", errors=[failure()]) for number in range(20)]})
    assert text.count("the registry answered 500") == 1
    assert "and 15 other targets" in text


def test_waits_and_retries_are_folded_with_their_reasons():
    text = page({"targets": [target()], **WORK})
    assert "<summary>Registries: 3 retries, 12 s of waiting</summary>" in text
    assert "| `ghcr.io` | 1,234 | 1.0 MB | 1.0 kB | 2.0 MB | 0 B | 3 | 12 s |" in text
    assert "- `ghcr.io`: 429 too many requests, 3 times, 12 s" in text


def test_time_by_stage_shows_when_each_stage_was_at_work():
    text = page({"targets": [target()], **WORK})
    wait, stage = [line for line in text.splitlines() if line.startswith(("wait ", "stage "))]
    assert wait == f"wait   {'█' * 20}{'·' * 20}       19 s for 7 steps"
    assert stage == f"stage  {'·' * 20}{'█' * 20}       19 s for 14 steps"


def test_several_runs_are_one_page_with_a_row_each():
    text = page({"targets": [target(1)], **WORK}, {"targets": [target(2)], **WORK})
    assert "<summary>2 runs</summary>" in text
    assert "| `publish` | 1 | 0 | 0 | 38 s |" in text
    assert "| `ghcr.io` | 2,468 | 2.0 MB |" in text
    assert f"stage  {'█' * 40}      3 min" in text


def test_a_build_and_its_publish_are_one_row():
    built = target(state="built", places=()) | {"elapsed_s": 60.0}
    text = page({"targets": [built], "kind": "build"}, {"targets": [target()], "kind": "publish"})
    assert text.count("| **1.1.0 Standard") == 1
    assert "✅ published 1 min 3 s" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_after_a_second_run_a_tag_still_says_what_it_named_before_the_first():
    again = target(state="unchanged", places=[HELLO])
    again["destinations"][0]["tags"] = [tag("1.1.0", "unchanged", DIGEST), tag("latest", "unchanged", DIGEST)]
    text = page({"targets": [target(places=[HELLO])]}, {"targets": [again]})
    assert f"| `{HELLO}:latest` | `{BEFORE}` |" in text


MANY = 2000


def large(**options):
    names = [f"image-{number % 100}" for number in range(MANY)]
    places = [(f"ghcr.io/acme/{name}", f"docker.io/acme/{name}") for name in names]
    return [target(number, image=names[number], places=places[number], **options) for number in range(MANY)]


def test_a_page_of_2000_targets_fits_on_github_and_counts_what_is_left_out():
    text = page({"targets": large(), **WORK})
    assert len(text.encode()) <= LIMIT_BYTES
    assert text.splitlines()[4].startswith("*The page is cut, since GitHub shows at most 1 MiB. Left out: ")
    rows = sum(line.startswith("| **1.") for line in text.splitlines())
    assert rows == MANY  # rows are worth more than commands to pull
    assert text.splitlines()[4].endswith("commands.*") or "tags" in text.splitlines()[4]


def test_of_too_many_failures_the_first_are_shown_and_the_others_counted():
    errors = [failure("x" * 1000 + str(number)) for number in range(MANY)]
    failed = [one | {"errors": [error]} for one, error in zip(large(state="failed"), errors, strict=True)]
    text = page({"targets": failed})
    assert len(text.encode()) <= LIMIT_BYTES
    shown = text.count("💡")
    assert f"{MANY - shown:,} failures" in text.splitlines()[4]
    assert 0 < shown < MANY


@pytest.mark.parametrize("limit", [600, 1000, 2000, 5000, 20_000])
def test_no_limit_is_exceeded_and_every_item_is_shown_or_counted(limit):
    parts = [
        Part(0, "## Title"),
        Part(2, "head", tuple(f"row {number} {'é' * 20}" for number in range(100)), noun="row"),
        Part(1, "", tuple(f"failure {number}" for number in range(50)), noun="failure"),
    ]
    text = fit(parts, limit)
    assert len(text.encode()) <= limit
    for word, total in (("row", 100), ("failure", 50)):
        shown = sum(line.startswith(f"{word} ") for line in text.splitlines())
        left_out = total - shown
        assert not left_out or f"{left_out} {word}" in text


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("ghcr.io/acme/hello", "https://ghcr.io/acme/hello"),
        ("docker.io/acme/hello", "https://hub.docker.com/r/acme/hello/tags?name=1.0%2Bx"),
        ("docker.io/library/hello", "https://hub.docker.com/_/hello/tags?name=1.0%2Bx"),
        ("quay.io/acme/hello", "https://quay.io/repository/acme/hello?tab=tags&tag=1.0%2Bx"),
        ("public.ecr.aws/acme/hello", "https://gallery.ecr.aws/acme/hello"),
        ("registry.example/acme/hello", ""),
        ("ghcr.io/acme/](http://evil)", ""),
    ],
)
def test_known_registries_have_pages(repository, url):
    assert page_of(repository, "1.0+x") == url
