"""What was built and then published is in both summaries: its platforms, tags and sizes count once, publish wins."""

import json

import pytest

from bakery.build.sizes import Size, TargetSizes
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.outcome import DestinationOutcome, Outcome, PlatformOutcome, State, TagOutcome, TargetOutcome
from bakery.report.build_summary import build_json, summarize_build
from bakery.report.merging import merge, platform_count, tag_count, totals
from bakery.report.page import summary_page
from bakery.report.reading import read_summary
from bakery.report.summary import to_json
from tests.report import builds

INDEX = Digest.of(b"index")
FULL = builds.targets()[0]
CACHE = TargetSizes(Size(1000, 3), Size(5000, 3), Size(70, 1))


def built(*platforms, sizes=CACHE, **given):
    """The summary of a job that built the target for these platforms."""
    outcome = builds.outcome(targets=(builds.built(FULL, platforms=platforms, cache_ref="r.example/c:1", **given),))
    return build_json(summarize_build(outcome, {FULL.uid: sizes}))


def published(*platforms, state=State.PUBLISHED):
    """The summary of a publish of the target, whose platforms have 1,100 bytes each."""
    place = DestinationOutcome(Repository("registry.example", "acme/app"), state, (TagOutcome("1.0.0", state),))
    items = tuple(PlatformOutcome(name, Digest.of(name.encode()), 1100, 3) for name in platforms)
    made = TargetOutcome(FULL.uid, "app", "1.0.0", "Full", "Debian 12", state, INDEX, items, (place,), elapsed_s=2.0)
    return to_json(Outcome((made,)))


def older(platforms, tags=3, **more):
    """A record of the tool that Bakery replaces."""
    none = {"layers": None, "registry_size": 10, "local_size": None, "cache_ref": None, "cache_size": None}
    names = {"uid": FULL.uid, "image_name": "app", "version": "1.0.0", "os": "", "variant": ""}
    return {"build_targets": 1, "targets": [names | {"platforms": platforms, "tags": tags} | none | more]}


def merged(*documents):
    whole = merge(read_summary(json.loads(json.dumps(document))) for document in documents)
    (target,) = whole.targets
    return target


AMD64, ARM64 = "linux/amd64", "linux/arm64"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_two_build_jobs_and_a_publish_count_every_platform_once(order):
    documents = (built(AMD64), built(ARM64), published(AMD64, "linux/arm64/v8"))
    target = merged(*(documents[number] for number in order))
    assert target.platforms == (AMD64, "linux/arm64/v8")
    assert (platform_count(target), tag_count(target)) == (2, 1)
    assert (target.registry_size, target.local_size, target.cache_size) == (2200, 5000, 70)
    assert (target.digest, target.state) == (str(INDEX), "published")
    assert target.elapsed_s == 1.5 + 1.5 + 2.0
    assert totals([target])["platform_builds"] == 2


def test_build_jobs_alone_add_up_and_the_same_job_counts_once():
    target = merged(built(AMD64), built(ARM64), built(AMD64))
    assert (target.platforms, tag_count(target), target.state) == ((AMD64, ARM64), 8, "built")
    assert target.registry_size == 2000


def test_what_failed_to_build_is_failed_whatever_was_published():
    failed = build_json(summarize_build(builds.outcome(targets=(builds.failed(FULL, platforms=(ARM64,)),)), {}))
    target = merged(failed, published(AMD64))
    assert (target.state, target.platforms) == ("failed", (AMD64,))
    assert [error.message for error in target.errors] == [
        'app/Containerfile:3: process "make" did not complete: exit code: 2'
    ]


def test_what_was_built_is_listed_if_the_publish_read_nothing():
    target = merged(built(AMD64), built(ARM64), published(state=State.FAILED))
    assert (target.platforms, target.registry_size, target.state) == ((AMD64, ARM64), 2000, "failed")


OLDER = {
    "builds with caches": [older(1, cache_ref="r/c:1"), older(1, cache_ref="r/c:2")],
    "builds that were loaded": [older(1, local_size=7), older(1, local_size=8)],
    "builds of this version": [built(AMD64), built(ARM64)],
}


@pytest.mark.parametrize("before", OLDER.values(), ids=OLDER)
def test_a_publish_by_the_older_tool_counts_no_platform_again(before):
    target = merged(*before, older(2, registry_size=30))
    assert (platform_count(target), target.registry_size) == (2, 30)


def test_jobs_of_the_older_tool_that_nothing_tells_apart_add_up():
    assert platform_count(merged(older(1), older(1))) == 2


def test_the_page_of_a_build_has_its_failures_with_file_and_line_and_no_tags_as_published():
    page = summary_page(
        merge([read_summary(json.loads(json.dumps(build_json(summarize_build(builds.outcome(), {})))))])
    )
    assert "app/Containerfile:3" in page.replace("\\", "")
    assert "docker pull" not in page
    assert "`registry.example/acme/app:latest`" not in page
